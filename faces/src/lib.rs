//! Faces beside the lane: in pictures and clips that people hand in, and in front of a live camera that somebody stands
//! before to be enrolled.
//!
//! It judges by the figures and the code of the lane. It deliberately knows no HTTP, no database and no names: who asks,
//! and what may be stored, is decided elsewhere.

pub mod breaker;
pub mod clip;
pub mod compare;
pub mod engine;
pub mod error;
pub mod examiner;
pub mod jobs;
pub mod judge;
pub mod known;
pub mod live;
pub mod look;
pub mod nets;

pub use breaker::{BreakerSettings, BreakerState};
pub use clip::{MAX_CLIP, MAX_CLIP_BYTES, RefusedClip};
pub use compare::{Certainty, Likeness, Matched, Ranked, match_gallery, match_list, verify};
pub use engine::{EngineOptions, EngineState, FaceEngine};
pub use error::FacesError;
pub use examiner::{Bytes, Examiner};
pub use jobs::{Accepted, EnrolRequest, Enrolled};
pub use judge::{JudgeRequest, Judged, MAX_PICTURES, Material};
pub use known::{Known, Refusal, SAME_FACE};
pub use live::{LiveEnrolment, LiveRefusal, LiveShots, LiveTemplate};
pub use look::{Examined, FaceInfo, FaceLiveness, MAX_FACES};
pub use nets::{FaceNets, FaceSettings, LoadNets};
