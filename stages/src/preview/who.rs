//! What the `match` stage said about the tracks in view, for whoever draws them. Bounded; it deliberately knows no names, only
//! people.
//!
//! Frames end at `track` and names come later, out of another thread: the two meet here, by epoch and track. A frame is drawn
//! by what is known when it is drawn.

use std::collections::{HashMap, VecDeque};

use rollcall_pipeline::{CameraId, Epoch, PersonId, StreamKey, TrackId};

/// Things remembered of one stream; who was told of longest ago is forgotten first, and hardly in view any more.
const TRACKS: usize = 256;
/// Cameras remembered. What was configured at any one time is far below.
const CAMERAS: usize = 1024;

/// How far the `match` stage is with a track.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Said {
    /// Nothing yet.
    Undecided,
    /// This is who it is.
    Recognised(PersonId),
    /// Nobody known, nobody certain, or no living face.
    NotRecognised,
}

/// All streams that are open.
#[derive(Debug, Default)]
pub(super) struct Who {
    streams: HashMap<CameraId, Stream>,
}

#[derive(Debug)]
struct Stream {
    epoch: Epoch,
    links: Recent<TrackId>,
    names: Recent<Option<PersonId>>,
}

impl Who {
    /// A motion track belongs to a person's track.
    pub(super) fn link(&mut self, key: &StreamKey, motion: TrackId, track: TrackId) {
        if let Some(stream) = self.stream(key) {
            stream.links.set(motion, track);
        }
    }

    /// A person's track bears a name, or none.
    pub(super) fn name(&mut self, key: &StreamKey, track: TrackId, person: Option<PersonId>) {
        if let Some(stream) = self.stream(key) {
            stream.names.set(track, person);
        }
    }

    /// A stream is over.
    pub(super) fn forget(&mut self, key: &StreamKey) {
        if self.streams.get(&key.camera).is_some_and(|stream| stream.epoch == key.epoch) {
            self.streams.remove(&key.camera);
        }
    }

    /// The person's track of a motion track, and what was said of it.
    pub(super) fn is(&self, key: &StreamKey, motion: TrackId) -> (TrackId, Said) {
        let Some(stream) = self.streams.get(&key.camera).filter(|stream| stream.epoch == key.epoch) else {
            return (motion, Said::Undecided);
        };
        let track = stream.links.get(motion).unwrap_or(motion);
        let said = match stream.names.get(track) {
            None => Said::Undecided,
            Some(Some(person)) => Said::Recognised(person),
            Some(None) => Said::NotRecognised,
        };
        (track, said)
    }

    /// Streams about which something is remembered.
    pub(super) fn streams(&self) -> usize {
        self.streams.len()
    }

    /// Where a stream is remembered; `None` when a later one of the same camera is known already.
    fn stream(&mut self, key: &StreamKey) -> Option<&mut Stream> {
        if self.streams.len() >= CAMERAS && !self.streams.contains_key(&key.camera) {
            let oldest = self.streams.iter().min_by_key(|(_, stream)| stream.epoch).map(|(camera, _)| camera.clone());
            self.streams.remove(&oldest?);
        }
        let stream = self.streams.entry(key.camera.clone()).or_insert_with(|| Stream::new(key.epoch));
        // Epochs are UUIDv7: of two, the later is the greater.
        if stream.epoch < key.epoch {
            *stream = Stream::new(key.epoch);
        }
        (stream.epoch == key.epoch).then_some(stream)
    }
}

impl Stream {
    fn new(epoch: Epoch) -> Self {
        Self { epoch, links: Recent::default(), names: Recent::default() }
    }
}

/// The last [`TRACKS`] things that were said, the latest at the end.
#[derive(Debug)]
struct Recent<T>(VecDeque<(TrackId, T)>);

impl<T> Default for Recent<T> {
    fn default() -> Self {
        Self(VecDeque::new())
    }
}

impl<T: Copy> Recent<T> {
    fn set(&mut self, track: TrackId, value: T) {
        self.0.retain(|(t, _)| *t != track);
        if self.0.len() >= TRACKS {
            self.0.pop_front();
        }
        self.0.push_back((track, value));
    }

    fn get(&self, track: TrackId) -> Option<T> {
        self.0.iter().rev().find(|(t, _)| *t == track).map(|(_, value)| *value)
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    fn key(camera: u32, epoch: u128) -> StreamKey {
        StreamKey { camera: CameraId::new(format!("door-{camera}")), epoch: Epoch(Uuid::from_u128(epoch)) }
    }

    const ADA: PersonId = PersonId(Uuid::from_u128(7));

    #[test]
    fn a_motion_track_bears_the_name_of_the_persons_track() {
        let mut who = Who::default();
        who.link(&key(1, 1), TrackId(5), TrackId(2));
        assert_eq!(who.is(&key(1, 1), TrackId(5)), (TrackId(2), Said::Undecided));
        who.name(&key(1, 1), TrackId(2), Some(ADA));
        assert_eq!(who.is(&key(1, 1), TrackId(5)), (TrackId(2), Said::Recognised(ADA)));
        assert_eq!(who.is(&key(1, 1), TrackId(2)), (TrackId(2), Said::Recognised(ADA)));
        assert_eq!(who.is(&key(2, 1), TrackId(5)), (TrackId(5), Said::Undecided));
        who.name(&key(1, 1), TrackId(2), None);
        assert_eq!(who.is(&key(1, 1), TrackId(5)), (TrackId(2), Said::NotRecognised));
    }

    #[test]
    fn a_new_stream_takes_the_place_of_the_old_and_a_late_word_about_the_old_is_not_heard() {
        let mut who = Who::default();
        who.name(&key(1, 1), TrackId(1), Some(ADA));
        assert_eq!(who.is(&key(1, 2), TrackId(1)).1, Said::Undecided);
        who.name(&key(1, 2), TrackId(2), Some(ADA));
        who.name(&key(1, 1), TrackId(1), Some(ADA));
        assert_eq!(who.is(&key(1, 1), TrackId(1)).1, Said::Undecided);
        assert_eq!(who.is(&key(1, 2), TrackId(2)).1, Said::Recognised(ADA));
        who.forget(&key(1, 1));
        assert_eq!(who.streams(), 1);
        who.forget(&key(1, 2));
        assert_eq!(who.streams(), 0);
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let mut who = Who::default();
        for n in 0..5_000u64 {
            who.link(&key(1, 1), TrackId(n), TrackId(n + 1));
            who.name(&key(1, 1), TrackId(n), Some(ADA));
            who.name(&key(n as u32, 2 + u128::from(n)), TrackId(1), None);
        }
        assert_eq!(who.streams(), CAMERAS);
        let stream = &who.streams[&key(4_999, 0).camera];
        assert!(stream.names.0.len() <= TRACKS);
        let mut recent = Recent::default();
        (0..1_000).for_each(|n| recent.set(TrackId(n), n));
        assert_eq!((recent.0.len(), recent.get(TrackId(999)), recent.get(TrackId(1))), (TRACKS, Some(999), None));
    }
}
