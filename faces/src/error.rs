//! Why there is no answer, by what the caller can do.

use std::time::Duration;

use rollcall_pipeline::{ErrorClass, Fault, ModelId};
use rollcall_stages::picture::RefusedPicture;

use crate::clip::RefusedClip;

/// Why a job has no answer.
#[derive(Clone, Debug, thiserror::Error)]
pub enum FacesError {
    /// The picture will not do.
    #[error(transparent)]
    Picture(#[from] RefusedPicture),
    /// The clip will not do.
    #[error(transparent)]
    Clip(#[from] RefusedClip),
    /// More is asked for at once than one job may do.
    #[error("{what}: at most {most}; ask in parts")]
    TooMany {
        /// What there is too much of.
        what: &'static str,
        /// How many are taken.
        most: usize,
    },
    /// The queue is full.
    #[error("the face engine is busy; try again in {} s", .retry_after.as_secs().max(1))]
    Busy {
        /// When there is likely to be room.
        retry_after: Duration,
    },
    /// The models fail or hang, and are left alone for a while.
    #[error("the face engine is out of order; try again in {} s", .retry_after.as_secs().max(1))]
    Unavailable {
        /// When they are tried again.
        retry_after: Duration,
    },
    /// The time for this job is over.
    #[error("there was no answer in time; try again when less is going on")]
    TooLate,
    /// The models failed.
    #[error("the models failed: {}", .0.message)]
    Failed(Fault),
    /// The process ends.
    #[error("the face engine has stopped")]
    Stopped,
    /// Two embeddings have no common measure.
    #[error("embeddings of {found} and {expected} cannot be compared: encode both pictures with the same model")]
    OtherModel {
        /// What one was made by.
        found: ModelId,
        /// What the other was made by.
        expected: ModelId,
    },
}

impl From<Fault> for FacesError {
    fn from(fault: Fault) -> Self {
        Self::Failed(fault)
    }
}

impl FacesError {
    /// What a retry would bring.
    pub fn class(&self) -> ErrorClass {
        match self {
            Self::Picture(_) | Self::Clip(_) | Self::TooMany { .. } | Self::OtherModel { .. } => ErrorClass::Permanent,
            Self::Busy { .. } | Self::Unavailable { .. } | Self::TooLate | Self::Stopped => ErrorClass::Transient,
            Self::Failed(fault) => fault.class,
        }
    }

    /// When it is worth trying again, where that is known.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Busy { retry_after } | Self::Unavailable { retry_after } => Some(*retry_after),
            _ => None,
        }
    }

    /// The word for it in metrics, tables and JSON.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Picture(refused) => refused.code(),
            Self::Clip(refused) => refused.code(),
            Self::TooMany { .. } => "too_many",
            Self::Busy { .. } => "busy",
            Self::Unavailable { .. } => "unavailable",
            Self::TooLate => "too_late",
            Self::Failed(_) => "models_failed",
            Self::Stopped => "stopped",
            Self::OtherModel { .. } => "other_model",
        }
    }
}
