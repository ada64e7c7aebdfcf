//! Where everybody was, frame by frame, in the columns of MOT Challenge with the person behind them.

use std::collections::{BTreeSet, HashMap};
use std::io::Write;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;
use rollcall_pipeline::ports::Observer;
use rollcall_pipeline::{Frame, PersonId, Rect, StreamKey, TrackId, TrackObservation};

use super::numbers::Numbers;

/// Watches the lane.
pub(crate) struct Tracks {
    keep: bool,
    faces: AtomicU64,
    searched: Mutex<Searched>,
    numbers: Mutex<Numbers>,
    frames: Mutex<BTreeSet<u64>>,
    streams: Mutex<Vec<(StreamKey, Stream)>>,
}

/// How much the detector had to look at.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Searched {
    /// Frames that were searched, or a part of them.
    pub(crate) frames: u64,
    /// As many whole frames as these parts add up to.
    pub(crate) pictures: f64,
}

/// What was seen of one stream, in the order it was told.
#[derive(Default)]
struct Stream {
    rows: Vec<Row>,
    /// From a frame on, a motion track belongs to a person's track; what was said later holds.
    links: HashMap<TrackId, Vec<(u64, TrackId)>>,
    /// From a frame on, a person's track bears a name.
    names: HashMap<TrackId, Vec<(u64, Option<PersonId>)>>,
}

struct Row {
    seq: u64,
    motion: TrackId,
    bbox: Rect,
    score: f32,
}

impl Tracks {
    /// Counts faces, and keeps rows if they are to be written.
    pub(crate) fn new(keep: bool) -> Self {
        Self {
            keep,
            faces: AtomicU64::new(0),
            searched: Mutex::default(),
            numbers: Mutex::default(),
            frames: Mutex::default(),
            streams: Mutex::default(),
        }
    }

    /// Faces on tracks, over all frames.
    pub(crate) fn faces(&self) -> u64 {
        self.faces.load(Ordering::Relaxed)
    }

    /// How much the detector had to look at.
    pub(crate) fn searched(&self) -> Searched {
        *self.searched.lock()
    }

    /// Numbers of the frames that were analysed, where rows are kept.
    pub(crate) fn frames(&self) -> BTreeSet<u64> {
        self.frames.lock().clone()
    }

    /// The number of a person's track in all that is written of the recording.
    pub(crate) fn number(&self, stream: &StreamKey, track: TrackId) -> u64 {
        self.numbers.lock().of(stream, track)
    }

    fn stream(&self, key: &StreamKey, change: impl FnOnce(&mut Stream)) {
        if !self.keep {
            return;
        }
        let mut streams = self.streams.lock();
        let found = streams.iter().position(|(k, _)| k == key);
        let i = found.unwrap_or_else(|| {
            streams.push((key.clone(), Stream::default()));
            streams.len() - 1
        });
        change(&mut streams[i].1);
    }

    /// All rows, in the order of frames and ids.
    pub(crate) fn rows(&self) -> Vec<TrackRow> {
        let mut all = Vec::new();
        for (key, stream) in &*self.streams.lock() {
            let resolve = |row: &Row| {
                let owner = stream.owner(row);
                let person = stream.name(owner, row.seq);
                TrackRow { seq: row.seq, id: self.number(key, owner), bbox: row.bbox, score: row.score, person }
            };
            let mut rows: Vec<_> = stream.rows.iter().map(resolve).collect();
            rows.sort_by_key(|row| (row.seq, row.id));
            all.append(&mut rows);
        }
        all
    }

    /// Writes all rows.
    pub(crate) fn write(&self, to: impl Write, names: &HashMap<PersonId, String>) -> anyhow::Result<()> {
        let mut csv = csv::Writer::from_writer(to);
        csv.write_record(["frame", "id", "x", "y", "w", "h", "conf", "person"])?;
        for row in self.rows() {
            csv.write_record([
                (row.seq + 1).to_string(),
                row.id.to_string(),
                format!("{:.1}", row.bbox.x),
                format!("{:.1}", row.bbox.y),
                format!("{:.1}", row.bbox.w),
                format!("{:.1}", row.bbox.h),
                format!("{:.3}", row.score),
                row.person.and_then(|person| names.get(&person)).cloned().unwrap_or_default(),
            ])?;
        }
        Ok(csv.flush()?)
    }
}

/// Where somebody was in a frame.
pub(crate) struct TrackRow {
    /// Number of the frame, from 0.
    pub(crate) seq: u64,
    /// The [number](Tracks::number) of the person's track.
    pub(crate) id: u64,
    /// Box in pixels of the decoded frame.
    pub(crate) bbox: Rect,
    /// Detector score.
    pub(crate) score: f32,
    /// The name that the track bears at this frame.
    pub(crate) person: Option<PersonId>,
}

impl Stream {
    fn owner(&self, row: &Row) -> TrackId {
        let said = self.links.get(&row.motion).map_or(&[][..], Vec::as_slice);
        said.iter().rev().find(|(from, _)| *from <= row.seq).map_or(row.motion, |(_, track)| *track)
    }

    fn name(&self, track: TrackId, seq: u64) -> Option<PersonId> {
        let said = self.names.get(&track).map_or(&[][..], Vec::as_slice);
        said.iter().rev().find(|(from, _)| *from <= seq).and_then(|(_, person)| *person)
    }
}

impl Observer for Tracks {
    fn searched(&self, _frame: &Frame, part: f32) {
        let mut searched = self.searched.lock();
        searched.frames += u64::from(part > 0.0);
        searched.pictures += f64::from(part);
    }

    fn observed(&self, frame: &Frame, tracks: &[TrackObservation]) {
        self.faces.fetch_add(tracks.len() as u64, Ordering::Relaxed);
        self.numbers.lock().see(&frame.key, tracks.iter().map(|seen| seen.track));
        if self.keep {
            self.frames.lock().insert(frame.seq);
        }
        self.stream(&frame.key, |stream| {
            let row = |t: &TrackObservation| Row { seq: frame.seq, motion: t.track, bbox: t.bbox, score: t.score };
            stream.rows.extend(tracks.iter().map(row));
        });
    }

    fn linked(&self, key: &StreamKey, motion: TrackId, from_seq: u64, track: TrackId) {
        self.stream(key, |stream| stream.links.entry(motion).or_default().push((from_seq, track)));
    }

    fn named(&self, key: &StreamKey, track: TrackId, seq: u64, person: Option<PersonId>) {
        self.stream(key, |stream| stream.names.entry(track).or_default().push((seq, person)));
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use rollcall_pipeline::image::I420;
    use rollcall_pipeline::{
        Attention, CameraId, CameraTuning, Epoch, FrameTime, Image, MediaTime, MonoTime, RoomId, TimeSource, WallTime,
    };
    use uuid::Uuid;

    use super::*;

    fn frame(key: &StreamKey, seq: u64) -> Frame {
        let tuning = CameraTuning {
            room: RoomId::new("r"),
            direction: None,
            analysis_fps: 0.0,
            detect_size: 640,
            min_face_px: 16.0,
            still_interval_s: 0.0,
            regions_of_interest: Vec::new(),
            privacy_masks: Vec::new(),
        };
        let time = FrameTime {
            media: MediaTime(seq),
            received: MonoTime(std::time::Duration::ZERO),
            captured: WallTime::default(),
            source: TimeSource::File,
        };
        let image = Image::new(I420::filled(2, 2, [0, 128, 128]));
        Frame { key: key.clone(), seq, time, image, tuning: Arc::new(tuning), attention: Attention::default() }
    }

    #[test]
    fn rows_carry_the_track_of_the_person_and_the_name_from_when_it_was_given() {
        let key = StreamKey { camera: CameraId::new("c"), epoch: Epoch(Uuid::nil()) };
        let ada = PersonId(Uuid::from_u128(1));
        let tracks = Tracks::new(true);
        let bbox = Rect { x: 1.0, y: 2.0, w: 3.0, h: 4.0 };
        for (seq, motion) in [(0, 1), (1, 1), (2, 2), (3, 2)] {
            tracks.observed(&frame(&key, seq), &[TrackObservation { track: TrackId(motion), bbox, score: 0.9 }]);
        }
        tracks.linked(&key, TrackId(2), 0, TrackId(1));
        tracks.linked(&key, TrackId(2), 3, TrackId(7));
        tracks.named(&key, TrackId(1), 1, Some(ada));
        let mut out = Vec::new();
        tracks.write(&mut out, &HashMap::from([(ada, "Ada".to_owned())])).unwrap();
        let text = String::from_utf8(out).unwrap();
        assert_eq!(
            text.lines().collect::<Vec<_>>(),
            [
                "frame,id,x,y,w,h,conf,person",
                "1,1,1.0,2.0,3.0,4.0,0.900,",
                "2,1,1.0,2.0,3.0,4.0,0.900,Ada",
                "3,1,1.0,2.0,3.0,4.0,0.900,Ada",
                "4,7,1.0,2.0,3.0,4.0,0.900,",
            ]
        );
        assert_eq!(tracks.faces(), 4);
    }

    #[test]
    fn a_recording_that_changes_its_size_has_each_number_once_and_one_for_rows_and_events() {
        let [small, large] = [1, 2].map(|n| StreamKey { camera: CameraId::new("c"), epoch: Epoch(Uuid::from_u128(n)) });
        let tracks = Tracks::new(true);
        let bbox = Rect { x: 1.0, y: 2.0, w: 3.0, h: 4.0 };
        let seen = |track| TrackObservation { track: TrackId(track), bbox, score: 0.9 };
        tracks.observed(&frame(&small, 0), &[seen(1), seen(3)]);
        tracks.observed(&frame(&large, 1), &[seen(1), seen(2)]);
        // Said late, and part of what was one: neither moves the numbers of the stream behind it.
        let cut = |motion: u64| TrackId(motion | (1 << 32));
        tracks.linked(&small, TrackId(3), 0, cut(3));
        tracks.linked(&large, TrackId(2), 0, TrackId(1));
        tracks.observed(&frame(&large, 2), &[seen(3)]);
        tracks.linked(&large, TrackId(3), 0, cut(3));
        let ids: Vec<_> = tracks.rows().iter().map(|row| row.id).collect();
        assert_eq!(ids, [1, tracks.number(&small, cut(3)), 4, 4, tracks.number(&large, cut(3))]);
        assert_eq!(tracks.number(&large, TrackId(1)), 4, "as an event has it");
        assert_ne!(ids[1], ids[4]);
    }
}
