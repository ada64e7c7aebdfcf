//! An attendance event as it is written down: in the spool, in rows, in lines of JSON. Plain values, no core types, so
//! that the vocabulary may change while what lies on disk can still be read.

use std::borrow::Cow;

use chrono::NaiveDate;
use rollcall_pipeline::{AttendanceEvent, Decision, EventKind, MatchOutcome, ModelId, WallTime};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::Sealer;
use crate::review::crop_place;
use crate::templates::to_bytes;
use crate::visitors::stranger_place;

/// Version of [`EventRecord`]'s layout on disk. A change of any field is a new version, and the old one stays readable.
pub const RECORD_VERSION: u8 = 2;

/// One of the people that come into question.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct CandidateRecord {
    /// Who.
    pub person: Uuid,
    /// Cosine similarity, −1 to 1.
    pub similarity: f32,
}

/// A session.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionRecord {
    /// Id.
    pub id: Uuid,
    /// Room.
    pub room: String,
    /// `timetabled`, `day` or `off_schedule`.
    pub kind: String,
    /// Start.
    pub starts_at: WallTime,
    /// End, exclusive.
    pub ends_at: WallTime,
    /// The room's date at the start.
    pub local_date: NaiveDate,
}

/// A mark to be made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MarkRecord {
    /// Who.
    pub person: Uuid,
    /// In which session.
    pub session: SessionRecord,
    /// `present`, `late`, `off_roster` or `off_schedule`.
    pub status: String,
}

/// An event with everything that is to be kept of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EventRecord {
    /// The same for every delivery.
    pub id: Uuid,
    /// A word of [`EventKind`].
    pub kind: String,
    /// The person named, if one is.
    pub person: Option<Uuid>,
    /// The best two people, best first.
    pub candidates: Vec<CandidateRecord>,
    /// Room.
    pub room: String,
    /// Camera.
    pub camera: String,
    /// `entry` or `exit`.
    pub direction: Option<String>,
    /// Connection; track and media time count from its start.
    pub epoch: Uuid,
    /// Track.
    pub track_id: i64,
    /// Media time of the deciding shot.
    pub media_ms: i64,
    /// When the deciding shot was taken.
    pub captured_at: WallTime,
    /// How well that is known.
    pub time_source: String,
    /// When the first usable face of the track was taken.
    pub first_usable_at: WallTime,
    /// Similarity to the best person.
    pub similarity: Option<f32>,
    /// Distance to the second-best person.
    pub margin: Option<f32>,
    /// Shots that the decision rests on.
    pub shots: i32,
    /// `live`, `spoof` or `undecided`.
    pub liveness: String,
    /// Mean score.
    pub liveness_score: Option<f32>,
    /// Why it is undecided.
    pub liveness_reason: Option<String>,
    /// The gallery that was searched.
    pub gallery_version: i64,
    /// The model whose embeddings were compared.
    pub model_id: String,
    /// The mark, where this event makes one.
    pub mark: Option<MarkRecord>,
    /// To be put before a human.
    pub review: bool,
    /// The face for review, sealed for this event.
    pub sealed_crop: Option<Vec<u8>>,
    /// A stranger's face, sealed for this event, where strangers are told apart. Since version 2.
    pub sealed_embedding: Option<Vec<u8>>,
}

/// Similarity and margin of a decision: of the match, or else of the best candidates.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Scores {
    /// Similarity to the best person; `None` if there was nobody to compare with.
    pub similarity: Option<f32>,
    /// Distance to the second-best person; `None` if there was none.
    pub margin: Option<f32>,
}

impl Scores {
    /// Of a decision.
    pub fn of(decision: &Decision) -> Self {
        if let MatchOutcome::Identified(found) = decision.outcome {
            return Self { similarity: Some(found.similarity), margin: Some(found.margin) };
        }
        let similarity = decision.candidates.first().map(|c| c.similarity);
        let second = decision.candidates.get(1).map(|c| c.similarity);
        Self { similarity, margin: similarity.zip(second).map(|(best, second)| best - second) }
    }
}

impl EventRecord {
    /// Writes an event down. `crop` is the face as a JPEG, for events that go to review; `strangers` are told apart.
    pub fn new(
        event: &AttendanceEvent,
        model: &ModelId,
        review: bool,
        crop: Option<&[u8]>,
        strangers: bool,
        sealer: &Sealer,
    ) -> Self {
        let decision = &event.decision;
        let scores = Scores::of(decision);
        let mark = event.mark.as_ref().map(|mark| MarkRecord {
            person: mark.person.0,
            session: SessionRecord {
                id: mark.session.id.0,
                room: mark.session.room.to_string(),
                kind: mark.session.kind.as_str().to_owned(),
                starts_at: mark.session.starts_at,
                ends_at: mark.session.ends_at,
                local_date: mark.session.local_date,
            },
            status: mark.status.as_str().to_owned(),
        });
        Self {
            id: event.id.0,
            kind: event.kind.as_str().to_owned(),
            person: event.person().map(|p| p.0),
            candidates: decision
                .candidates
                .iter()
                // JSON has no word for what is not a number.
                .filter(|c| c.similarity.is_finite())
                .take(2)
                .map(|c| CandidateRecord { person: c.person.0, similarity: c.similarity })
                .collect(),
            room: decision.tuning.room.to_string(),
            camera: decision.key.camera.to_string(),
            direction: decision.tuning.direction.map(|d| d.as_str().to_owned()),
            epoch: decision.key.epoch.0,
            track_id: i64::try_from(decision.track.0).unwrap_or(i64::MAX),
            media_ms: i64::try_from(decision.decided.media.as_millis()).unwrap_or(i64::MAX),
            captured_at: decision.decided.captured,
            time_source: decision.decided.source.as_str().to_owned(),
            first_usable_at: decision.first_usable.captured,
            similarity: scores.similarity,
            margin: scores.margin,
            shots: i32::try_from(decision.shots).unwrap_or(i32::MAX),
            liveness: decision.liveness.as_str().to_owned(),
            liveness_score: decision.liveness.score(),
            liveness_reason: decision.liveness.undecided().map(|reason| reason.as_str().to_owned()),
            gallery_version: i64::try_from(decision.gallery.0).unwrap_or(i64::MAX),
            model_id: model.to_string(),
            mark,
            review,
            sealed_crop: crop.filter(|_| review).map(|jpeg| sealer.seal(&crop_place(event.id.0), jpeg)),
            sealed_embedding: decision
                .face
                .as_ref()
                .filter(|face| strangers && event.kind == EventKind::Unknown && face.model() == model)
                .map(|face| sealer.seal(&stranger_place(event.id.0, model.as_str()), &to_bytes(face.values()))),
        }
    }

    /// Everybody whom it names.
    pub fn named(&self) -> impl Iterator<Item = Uuid> {
        let candidates = self.candidates.iter().map(|candidate| candidate.person);
        candidates.chain(self.person).chain(self.mark.as_ref().map(|mark| mark.person))
    }

    /// The same without those who are not known (any more). The face may be theirs, so it goes too.
    pub fn without(&self, is_known: impl Fn(&Uuid) -> bool) -> Cow<'_, Self> {
        if self.named().all(|person| is_known(&person)) {
            return Cow::Borrowed(self);
        }
        let mut event = self.clone();
        event.person = event.person.filter(&is_known);
        event.candidates.retain(|candidate| is_known(&candidate.person));
        event.mark = event.mark.filter(|mark| is_known(&mark.person));
        event.take_face();
        Cow::Owned(event)
    }

    pub(crate) fn take_face(&mut self) {
        self.sealed_crop = None;
        self.sealed_embedding = None;
    }

    /// Somebody who is marked already was seen again.
    pub fn is_debounced(&self) -> bool {
        self.kind == EventKind::Debounced.as_str()
    }
}
