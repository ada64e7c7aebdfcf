//! The networks of one worker, and by which figures they are believed.

use std::sync::Arc;

use rollcall_pipeline::ports::{Embedder, FaceDetector, LivenessModel};
use rollcall_pipeline::{Fault, LivenessVerdict, ShotQuality, UndecidedReason};
use rollcall_stages::liveness::EyeModel;
use rollcall_stages::matching::{LivenessSettings, RecognitionSettings};
use rollcall_stages::picture::EnrolGates;
use rollcall_stages::track::LivenessGate;

/// Networks that nobody else uses.
pub struct FaceNets {
    /// Finds faces.
    pub detector: Box<dyn FaceDetector>,
    /// Makes embeddings.
    pub embedder: Box<dyn Embedder>,
    /// Tells faces from pictures of faces.
    pub liveness: Box<dyn LivenessModel>,
    /// Looks at eyes, where a blink is asked for.
    pub eyes: Option<Box<dyn EyeModel>>,
}

/// Makes networks: called on the worker's own thread, so that their threads have its low priority too.
pub type LoadNets = Arc<dyn Fn() -> Result<FaceNets, Fault> + Send + Sync>;

/// The figures; those of the lane, so that a face is the same at a door and in a picture.
#[derive(Clone, Debug)]
pub struct FaceSettings {
    /// What an enrolment picture must reach.
    pub gates: EnrolGates,
    /// When a face has a name.
    pub recognition: RecognitionSettings,
    /// When a face is alive.
    pub liveness: LivenessSettings,
    /// Which views the liveness model judges fairly; its `crops` and numbers of checks are not used here.
    pub fair: LivenessGate,
}

impl FaceSettings {
    /// Why the liveness model would not judge this view fairly, if so.
    pub(crate) fn unfair(&self, quality: &ShotQuality) -> Option<UndecidedReason> {
        let light = self.fair.brightness.0..=self.fair.brightness.1;
        if !self.liveness.enabled {
            Some(UndecidedReason::Off)
        } else if quality.face_px < self.liveness.min_face_px {
            Some(UndecidedReason::TooSmall)
        } else if quality.sharpness < self.fair.min_sharpness || !light.contains(&quality.brightness) {
            Some(UndecidedReason::TooPoor)
        } else {
            None
        }
    }

    /// What so many checks with this mean say.
    pub(crate) fn verdict(&self, mean: f32, checks: u32, needed_for_spoof: u32) -> LivenessVerdict {
        if mean >= self.liveness.live_from {
            LivenessVerdict::Live(mean)
        } else if mean <= self.liveness.spoof_below && checks >= needed_for_spoof {
            LivenessVerdict::Spoof(mean)
        } else {
            LivenessVerdict::Undecided(UndecidedReason::Unclear)
        }
    }
}
