//! What is decided about a track.

use std::sync::Arc;

use crate::face::{Chip, Embedding};
use crate::frame::CameraTuning;
use crate::ids::{GalleryVersion, PersonId, StreamKey, TrackId};
use crate::time::FrameTime;

/// A person with the similarity of their best template to the probe.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Candidate {
    /// Who.
    pub person: PersonId,
    /// Cosine similarity, −1 to 1.
    pub similarity: f32,
}

/// A name that was given.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Match {
    /// Who.
    pub person: PersonId,
    /// Similarity of the track's mean embedding to their best template.
    pub similarity: f32,
    /// Distance to the second-best person.
    pub margin: f32,
}

/// Who it is, as far as the face tells.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum MatchOutcome {
    /// Enough evidence for one person.
    Identified(Match),
    /// Too close to call: between two people, or between somebody and a stranger. A human decides.
    Ambiguous,
    /// Nobody who is enrolled.
    Unknown,
}

impl MatchOutcome {
    /// The person named, if one is.
    pub fn person(&self) -> Option<PersonId> {
        match self {
            Self::Identified(found) => Some(found.person),
            Self::Ambiguous | Self::Unknown => None,
        }
    }
}

/// What a name lacks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Lack {
    /// Nobody is as similar as they would have to be.
    Similarity,
    /// Too few shots say the same by themselves, or the last one says something else.
    Agreement,
    /// Somebody else is nearly as similar.
    Margin,
    /// A nearer face in view at the same time is nearly as similar to that person: one of the two is a mirror image.
    Elsewhere,
}

impl Lack {
    /// The word used in the log.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Similarity => "similarity",
            Self::Agreement => "agreement",
            Self::Margin => "margin",
            Self::Elsewhere => "elsewhere",
        }
    }
}

/// What an outcome rests on.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Grounds {
    /// The similarity that a name needs after so many shots.
    pub needed: f32,
    /// Shots that say the most similar person by themselves.
    pub agreeing: u32,
    /// Why nobody is named, the first reason of several.
    pub lacks: Option<Lack>,
}

/// Whether it is a living person.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum LivenessVerdict {
    /// Mean score over the track's shots.
    Live(f32),
    /// Mean score over the track's shots.
    Spoof(f32),
    /// No verdict, and why.
    Undecided(UndecidedReason),
}

impl LivenessVerdict {
    /// The word used in rows, events and the log.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Live(_) => "live",
            Self::Spoof(_) => "spoof",
            Self::Undecided(_) => "undecided",
        }
    }

    /// The score of a verdict.
    pub fn score(self) -> Option<f32> {
        match self {
            Self::Live(score) | Self::Spoof(score) => Some(score),
            Self::Undecided(_) => None,
        }
    }

    /// Why there is none.
    pub fn undecided(self) -> Option<UndecidedReason> {
        match self {
            Self::Live(_) | Self::Spoof(_) => None,
            Self::Undecided(reason) => Some(reason),
        }
    }
}

/// Why liveness could not be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum UndecidedReason {
    /// No shot was large enough.
    TooSmall,
    /// No shot was sharp or bright enough.
    TooPoor,
    /// The scores lie between the two thresholds.
    Unclear,
    /// A blink is required and none was seen.
    NoBlink,
    /// Liveness is switched off.
    Off,
}

impl UndecidedReason {
    /// The word used in rows, events and metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::TooSmall => "too_small",
            Self::TooPoor => "too_poor",
            Self::Unclear => "unclear",
            Self::NoBlink => "no_blink",
            Self::Off => "off",
        }
    }
}

/// What the `match` stage says about a track: a later one corrects an earlier of another kind, or repeats a mark while its
/// person stays.
#[derive(Clone, Debug)]
pub struct Decision {
    /// Camera and connection.
    pub key: StreamKey,
    /// The person's track (motion tracks joined by appearance).
    pub track: TrackId,
    /// Time of the first shot of the track, of whatever quality.
    pub first_seen: FrameTime,
    /// Time of the first usable face of the track.
    pub first_usable: FrameTime,
    /// Time of the shot that decided.
    pub decided: FrameTime,
    /// The camera's tuning.
    pub tuning: Arc<CameraTuning>,
    /// Who.
    pub outcome: MatchOutcome,
    /// Why, for whoever reads the log.
    pub grounds: Grounds,
    /// The best two people, best first, whatever the outcome; fewer if the gallery has fewer.
    pub candidates: Vec<Candidate>,
    /// Alive or not.
    pub liveness: LivenessVerdict,
    /// Shots that the decision rests on.
    pub shots: u32,
    /// The gallery that was searched.
    pub gallery: GalleryVersion,
    /// The best view, for review. Personal data.
    pub best: Option<Arc<Chip>>,
    /// The mean face, for telling strangers apart. Biometric.
    pub face: Option<Embedding>,
}
