//! Where the outside is plugged in. Tests pass fakes; the composition root passes the real ones.

use crate::decision::{Candidate, Decision};
use crate::error::Fault;
use crate::event::AttendanceEvent;
use crate::face::{ContextCrop, Detection, Embedding, FaceChip, LiveShot, TrackObservation};
use crate::frame::Frame;
use crate::geometry::Rect;
use crate::ids::{GalleryVersion, ModelId, PersonId, RoomId, StreamKey, TrackId};
use crate::time::WallTime;

/// Finds faces.
pub trait FaceDetector: Send {
    /// The faces of one frame, best score first, in pixels of the decoded frame.
    ///
    /// # Errors
    /// When the model fails; the lane is restarted.
    fn detect(&mut self, frame: &Frame) -> Result<Vec<Detection>, Fault>;

    /// The faces of some places of a frame, in pixels of the decoded frame. Others may be among them; that they are not, says
    /// nothing. What cannot search a part searches everywhere.
    ///
    /// # Errors
    /// As [`Self::detect`].
    fn detect_at(&mut self, frame: &Frame, _places: &[Rect]) -> Result<PartialSearch, Fault> {
        Ok(PartialSearch { faces: self.detect(frame)?, part: 1.0 })
    }
}

/// What a search of some places found.
#[derive(Clone, Debug)]
pub struct PartialSearch {
    /// Best score first.
    pub faces: Vec<Detection>,
    /// The part of the picture that was searched, 0 to 1.
    pub part: f32,
}

/// Turns aligned chips into embeddings.
pub trait Embedder: Send {
    /// The model whose embeddings these are.
    fn model(&self) -> &ModelId;

    /// One embedding a chip, in order; `None` where a chip has none (the model gave no direction).
    ///
    /// # Errors
    /// When the model fails; the lane is restarted.
    fn embed(&mut self, chips: &[&FaceChip]) -> Result<Vec<Option<Embedding>>, Fault>;
}

/// Tells living faces from pictures of faces, one shot at a time.
pub trait LivenessModel: Send {
    /// The crops it needs; [`FaceChip::context`] has one for each.
    fn crops(&self) -> &[ContextCrop];

    /// The probability of a living face for each chip that has its context crops, in order.
    ///
    /// # Errors
    /// When the model fails; the lane is restarted.
    fn score(&mut self, chips: &[&FaceChip]) -> Result<Vec<f32>, Fault>;
}

impl<M: LivenessModel + ?Sized> LivenessModel for Box<M> {
    fn crops(&self) -> &[ContextCrop] {
        (**self).crops()
    }

    fn score(&mut self, chips: &[&FaceChip]) -> Result<Vec<f32>, Fault> {
        (**self).score(chips)
    }
}

/// An answer of the gallery.
#[derive(Clone, Debug, PartialEq)]
pub struct Ranking {
    /// The version that was searched.
    pub gallery: GalleryVersion,
    /// The best two people among those expected, best first.
    pub expected: Vec<Candidate>,
    /// The best two people of the whole gallery, best first.
    pub all: Vec<Candidate>,
}

/// Searches the gallery.
pub trait Matcher: Send + Sync {
    /// The best people for a probe, exact, each person counted once by their best template. `expected` limits the first list;
    /// `None` expects everybody, and both lists are the same.
    fn rank(&self, probe: &Embedding, expected: Option<&[PersonId]>) -> Ranking;
}

/// Knows who is expected where and when.
pub trait Expectations: Send + Sync {
    /// The roster of the session that is on in `room` at `at`; `None` when everybody is welcome.
    fn expected(&self, room: &RoomId, at: WallTime) -> Option<std::sync::Arc<[PersonId]>>;
}

/// Turns decisions into events by the rules of attendance: rosters, sessions, debounce.
pub trait Judge: Send {
    /// Exactly one event a decision.
    fn judge(&mut self, decision: Decision) -> AttendanceEvent;

    /// Whether a known face that is too small for the liveness check is worth waiting for: it would be left for review.
    fn waits_when_small(&self) -> bool;
}

/// Watches tracks: the live view, track files. Called on stage threads, must return at once.
pub trait Observer: Send + Sync {
    /// Where the motion tracks were in an analysed frame (also when there are none).
    fn observed(&self, _frame: &Frame, _tracks: &[TrackObservation]) {}

    /// How much of an analysed frame was searched for faces, see [`FrameFaces::searched`]. [`Observer::observed`] is told of it,
    /// too.
    ///
    /// [`FrameFaces::searched`]: crate::FrameFaces::searched
    fn searched(&self, _frame: &Frame, _part: f32) {}

    /// A view of a motion track, with embedding and liveness score, before anything is made of it.
    fn shot(&self, _shot: &LiveShot) {}

    /// From frame `from_seq` on, `motion` (a track of the `track` stage) belongs to `track` (the person's).
    fn linked(&self, _key: &StreamKey, _motion: TrackId, _from_seq: u64, _track: TrackId) {}

    /// From frame `seq` on, `track` bears a name; `None` takes it away.
    fn named(&self, _key: &StreamKey, _track: TrackId, _seq: u64, _person: Option<PersonId>) {}

    /// Nothing more is said about a stream, and nothing need be kept of it.
    fn closed(&self, _key: &StreamKey) {}
}

/// Watches nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoObserver;

impl Observer for NoObserver {}

/// Several watch, one after the other.
impl Observer for Vec<std::sync::Arc<dyn Observer>> {
    fn observed(&self, frame: &Frame, tracks: &[TrackObservation]) {
        self.iter().for_each(|o| o.observed(frame, tracks));
    }

    fn searched(&self, frame: &Frame, part: f32) {
        self.iter().for_each(|o| o.searched(frame, part));
    }

    fn shot(&self, shot: &LiveShot) {
        self.iter().for_each(|o| o.shot(shot));
    }

    fn linked(&self, key: &StreamKey, motion: TrackId, from_seq: u64, track: TrackId) {
        self.iter().for_each(|o| o.linked(key, motion, from_seq, track));
    }

    fn named(&self, key: &StreamKey, track: TrackId, seq: u64, person: Option<PersonId>) {
        self.iter().for_each(|o| o.named(key, track, seq, person));
    }

    fn closed(&self, key: &StreamKey) {
        self.iter().for_each(|o| o.closed(key));
    }
}

/// Where events go.
pub trait EventSink: Send {
    /// Takes a batch, in order. When it returns `Ok`, every event is durable: committed, or on disk and synced.
    /// Blocks while there is no room.
    ///
    /// # Errors
    /// Only when an operator is needed; nothing of the batch may be assumed written.
    fn accept(&mut self, batch: &[AttendanceEvent]) -> Result<(), Fault>;
}
