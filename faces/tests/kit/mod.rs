//! What the tests share: the real models and the demo media that `make setup` fetched, and networks that are none.

#![allow(dead_code, reason = "each test file uses its own part")]

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use rollcall_faces::{EngineOptions, FaceEngine, FaceNets, FaceSettings, LoadNets};
use rollcall_models::{FrLiveness, Models, SFace, YuNet};
use rollcall_pipeline::ports::{Embedder, FaceDetector, LivenessModel};
use rollcall_pipeline::{
    Clock, ContextCrop, Detection, Embedding, ErrorClass, FaceChip, Fault, Frame, ModelId, Supervisor, SystemClock,
};
use rollcall_stages::detect::YuNetDetector;
use rollcall_stages::embed::SFaceEmbedder;
use rollcall_stages::liveness::FrLivenessModel;
use rollcall_stages::matching::{LivenessSettings, RecognitionSettings};
use rollcall_stages::picture::EnrolGates;
use rollcall_stages::track::LivenessGate;

pub(crate) fn cache() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../models/cache")
}

/// A file of the demo media.
pub(crate) fn media(name: &str) -> Vec<u8> {
    let path = cache().join("demo").join(name);
    std::fs::read(path).expect("the demo media are in models/cache; run `make setup`")
}

pub(crate) fn settings() -> FaceSettings {
    FaceSettings {
        gates: EnrolGates::default(),
        recognition: RecognitionSettings::default(),
        liveness: LivenessSettings::default(),
        fair: LivenessGate {
            min_face_px: 0.0,
            min_sharpness: 0.004,
            brightness: (40.0, 225.0),
            first_checks: 4,
            then_every: 3,
            crops: Vec::new(),
        },
    }
}

/// The real networks, loaded once for each engine.
pub(crate) fn real_nets() -> LoadNets {
    Arc::new(|| {
        let models = Models::open(cache()).expect("the models are in models/cache; run `make setup`");
        let broken = |e| Fault::new(ErrorClass::Permanent, e);
        Ok(FaceNets {
            detector: Box::new(YuNetDetector::new(YuNet::load(&models, 1).map_err(broken)?, YuNetDetector::THRESHOLD)),
            embedder: Box::new(SFaceEmbedder::new(SFace::load(&models, 1).map_err(broken)?)),
            liveness: Box::new(FrLivenessModel::new(FrLiveness::load(&models, 1).map_err(broken)?)),
            eyes: None,
        })
    })
}

/// An engine with the real networks, and time to spare on a busy machine.
pub(crate) fn real_engine() -> FaceEngine {
    let options = EngineOptions {
        patience: Duration::from_secs(120),
        niceness: 0,
        stuck_after: Duration::from_secs(600),
        ..EngineOptions::default()
    };
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    FaceEngine::start(options, settings(), real_nets(), &Supervisor::new(clock)).expect("a thread")
}

/// A detector made of a function; nothing else is ever asked.
pub(crate) struct Scripted<F>(pub(crate) F);

impl<F: FnMut() -> Result<Vec<Detection>, Fault> + Send> FaceDetector for Scripted<F> {
    fn detect(&mut self, _: &Frame) -> Result<Vec<Detection>, Fault> {
        (self.0)()
    }
}

/// Networks around a detector.
pub(crate) fn nets(detector: impl FaceDetector + 'static) -> FaceNets {
    FaceNets {
        detector: Box::new(detector),
        embedder: Box::new(NoEmbedder(ModelId::new("none"))),
        liveness: Box::new(NoScore),
        eyes: None,
    }
}

struct NoEmbedder(ModelId);

impl Embedder for NoEmbedder {
    fn model(&self) -> &ModelId {
        &self.0
    }

    fn embed(&mut self, chips: &[&FaceChip]) -> Result<Vec<Option<Embedding>>, Fault> {
        Ok(vec![None; chips.len()])
    }
}

struct NoScore;

impl LivenessModel for NoScore {
    fn crops(&self) -> &[ContextCrop] {
        &[]
    }

    fn score(&mut self, chips: &[&FaceChip]) -> Result<Vec<f32>, Fault> {
        Ok(vec![0.5; chips.len()])
    }
}
