//! Follows the faces of one stream by their motion alone. Pure: boxes and media times in, track ids out.
//!
//! A motion track must be *pure*: it breaks rather than jump to another face, because whatever is learnt of one face is
//! believed of the whole track. Broken tracks are joined again later by appearance (`matching::people`), where a mistake
//! needs two faces that look alike and not merely two that come near each other.
//!
//! ```text
//!            hit                 missed for max_lost_s, or a birth nearby
//! Tentative ─────► Confirmed ◄──► Lost ─────────────────────────────────► ended
//!     └── missed ──────────────────────────────────────────────────────► forgotten
//! ```

use rollcall_pipeline::{Detection, MediaTime, Rect, TrackId};

use super::association::assign;
use super::kalman::Motion;

/// How tracks begin, go on and end.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TrackerSettings {
    /// Detections with at least this score are assigned first; the weaker ones only to tracks that are left over
    /// (ByteTrack, Zhang et al. 2022).
    pub strong_score: f32,
    /// A detection with at least this score that continues nothing begins a track.
    pub birth_score: f32,
    /// Least overlap (IoU) of a track's predicted box with a detection that continues it.
    pub min_iou: f32,
    /// A track that is not seen for this long has ended, seconds of media time.
    pub max_lost_s: f32,
    /// A birth within this many face sizes of a lost track ends it, so that appearance can tell whether it goes on there.
    pub birth_reach: f32,
    /// Tracks a stream at most; further births wait.
    pub max_tracks: usize,
}

impl Default for TrackerSettings {
    fn default() -> Self {
        Self { strong_score: 0.6, birth_score: 0.65, min_iou: 0.25, max_lost_s: 0.5, birth_reach: 3.0, max_tracks: 128 }
    }
}

/// One face of the frame, and the track it belongs to.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Seen {
    /// The track.
    pub track: TrackId,
    /// Index of the detection in the frame's list.
    pub face: usize,
}

/// A track that is over.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Ended {
    /// The track.
    pub track: TrackId,
}

/// What a frame brought.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Update {
    /// Tracks that are over; they come before what is seen.
    pub ended: Vec<Ended>,
    /// Tracks that are seen in this frame.
    pub seen: Vec<Seen>,
}

#[derive(Clone, Debug)]
struct Track {
    id: TrackId,
    motion: Motion,
    last_seen: MediaTime,
    hits: u32,
}

impl Track {
    fn is_tentative(&self) -> bool {
        self.hits < 2
    }
}

/// The tracks of one stream.
#[derive(Clone, Debug)]
pub struct Tracker {
    settings: TrackerSettings,
    tracks: Vec<Track>,
    next_id: u64,
    now: Option<MediaTime>,
}

impl Tracker {
    /// No tracks yet; ids count from 1.
    pub fn new(settings: TrackerSettings) -> Self {
        Self { settings, tracks: Vec::new(), next_id: 1, now: None }
    }

    /// Takes a frame in. Times never decrease within a stream.
    pub fn update(&mut self, time: MediaTime, faces: &[Detection]) -> Update {
        let dt = self.now.map_or(0.0, |now| time.since(now).as_secs_f32());
        self.now = Some(time);
        for track in &mut self.tracks {
            track.motion.predict(dt);
        }

        let mut seen = Vec::with_capacity(faces.len());
        let mut taken = vec![false; faces.len()];
        let strong_score = self.settings.strong_score;
        for strong in [true, false] {
            self.assign_round(time, faces, &mut taken, &mut seen, |d| (d.score >= strong_score) == strong);
        }
        let births: Vec<usize> =
            (0..faces.len()).filter(|&i| !taken[i] && faces[i].score >= self.settings.birth_score).collect();
        let ended = self.end_lost(time, &births.iter().map(|&i| faces[i].bbox).collect::<Vec<_>>());
        for face in births {
            if self.tracks.len() >= self.settings.max_tracks {
                break;
            }
            let id = TrackId(self.next_id);
            self.next_id += 1;
            self.tracks.push(Track { id, motion: Motion::new(&faces[face].bbox), last_seen: time, hits: 1 });
            seen.push(Seen { track: id, face });
        }
        Update { ended, seen }
    }

    /// Ends all tracks: the stream is over.
    pub fn finish(&mut self) -> Vec<Ended> {
        self.tracks.drain(..).map(|t| Ended { track: t.id }).collect()
    }

    fn assign_round(
        &mut self,
        time: MediaTime,
        faces: &[Detection],
        taken: &mut [bool],
        seen: &mut Vec<Seen>,
        belongs: impl Fn(&Detection) -> bool,
    ) {
        let open: Vec<usize> =
            (0..self.tracks.len()).filter(|&i| !seen.iter().any(|s| s.track == self.tracks[i].id)).collect();
        let offered: Vec<usize> = (0..faces.len()).filter(|&i| !taken[i] && belongs(&faces[i])).collect();
        let predicted: Vec<Rect> = open.iter().map(|&i| self.tracks[i].motion.bbox()).collect();
        let boxes: Vec<Rect> = offered.iter().map(|&i| faces[i].bbox).collect();
        for (row, column) in assign(&predicted, &boxes, self.settings.min_iou) {
            let (track, face) = (&mut self.tracks[open[row]], offered[column]);
            track.motion.update(&faces[face].bbox);
            track.last_seen = time;
            track.hits += 1;
            taken[face] = true;
            seen.push(Seen { track: track.id, face });
        }
    }

    fn end_lost(&mut self, time: MediaTime, births: &[Rect]) -> Vec<Ended> {
        let TrackerSettings { max_lost_s, birth_reach, .. } = self.settings;
        let mut ended = Vec::new();
        self.tracks.retain(|track| {
            if track.last_seen == time {
                return true;
            }
            let bbox = track.motion.bbox();
            let over = track.is_tentative()
                || time.since(track.last_seen).as_secs_f32() > max_lost_s
                || births.iter().any(|b| distance_in_sizes(&bbox, b) < birth_reach);
            if over {
                ended.push(Ended { track: track.id });
            }
            !over
        });
        ended
    }
}

/// Distance between the centres in multiples of the larger face.
pub(crate) fn distance_in_sizes(a: &Rect, b: &Rect) -> f32 {
    let (p, q) = (a.center(), b.center());
    (p.x - q.x).hypot(p.y - q.y) / a.h.max(b.h).max(1.0)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn face(x: f32, score: f32) -> Detection {
        Detection { bbox: Rect { x, y: 100.0, w: 40.0, h: 50.0 }, score, landmarks: Default::default() }
    }

    fn ms(ms: u64) -> MediaTime {
        MediaTime(ms * 1_000_000)
    }

    #[test]
    fn two_who_walk_apart_keep_their_ids() {
        let mut tracker = Tracker::new(TrackerSettings::default());
        for i in 0..20 {
            let step = 8.0 * i as f32;
            let update = tracker.update(ms(i * 200), &[face(300.0 - step, 0.9), face(360.0 + step, 0.9)]);
            assert_eq!(update.seen.iter().map(|s| (s.track.0, s.face)).collect::<Vec<_>>(), [(1, 0), (2, 1)]);
        }
    }

    #[test]
    fn a_weak_detection_continues_a_track_but_begins_none() {
        let mut tracker = Tracker::new(TrackerSettings::default());
        assert_eq!(tracker.update(ms(0), &[face(0.0, 0.55)]).seen, []);
        tracker.update(ms(200), &[face(0.0, 0.9)]);
        assert_eq!(tracker.update(ms(400), &[face(2.0, 0.55)]).seen, [Seen { track: TrackId(1), face: 0 }]);
    }

    #[test]
    fn a_face_that_comes_back_in_time_is_the_same_track_and_later_a_new_one() {
        let mut tracker = Tracker::new(TrackerSettings::default());
        for t in [0, 100, 200] {
            tracker.update(ms(t), &[face(0.0, 0.9)]);
        }
        tracker.update(ms(400), &[]);
        assert_eq!(tracker.update(ms(600), &[face(0.0, 0.9)]).seen[0].track, TrackId(1));
        assert_eq!(tracker.update(ms(1200), &[]).ended, [Ended { track: TrackId(1) }]);
        assert_eq!(tracker.update(ms(1300), &[face(0.0, 0.9)]).seen[0].track, TrackId(2));
    }

    #[test]
    fn a_jump_ends_the_track_before_the_next_begins() {
        let mut tracker = Tracker::new(TrackerSettings::default());
        tracker.update(ms(0), &[face(0.0, 0.9)]);
        tracker.update(ms(33), &[face(0.0, 0.9)]);
        let update = tracker.update(ms(66), &[face(80.0, 0.9)]);
        assert_eq!(update.ended, [Ended { track: TrackId(1) }]);
        assert_eq!(update.seen, [Seen { track: TrackId(2), face: 0 }]);
    }

    proptest! {
        #[test]
        fn every_track_ends_once_and_is_never_seen_after(
            frames in prop::collection::vec(prop::collection::vec((0.0f32..600.0, 0.4f32..1.0), 0..6), 1..40)
        ) {
            let mut tracker = Tracker::new(TrackerSettings::default());
            let mut begun = std::collections::BTreeSet::new();
            let mut over = std::collections::BTreeSet::new();
            for (i, boxes) in frames.iter().enumerate() {
                let faces: Vec<_> = boxes.iter().map(|&(x, s)| face(x, s)).collect();
                let update = tracker.update(ms(i as u64 * 200), &faces);
                for e in &update.ended {
                    prop_assert!(begun.contains(&e.track) && over.insert(e.track));
                }
                let mut in_frame = std::collections::BTreeSet::new();
                for s in &update.seen {
                    prop_assert!(!over.contains(&s.track) && in_frame.insert(s.track));
                    begun.insert(s.track);
                }
            }
            over.extend(tracker.finish().into_iter().map(|e| e.track));
            prop_assert_eq!(begun, over);
        }
    }
}
