//! The composition root: configuration → models, stages and rules, put together.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context;
use rollcall_control_api::ModelView;
use rollcall_faces::{FaceNets, FaceSettings, LoadNets};
use rollcall_models::{
    FACE_MESH_ID, FR_LIVENESS_ID, FaceMesh, FrLiveness, MINIFAS_V1SE_ID, MINIFAS_V2_ID, Manifest, MiniFas, Models,
    Provider, SFACE_ID, SFace, YUNET_ID, YuNet,
};
use rollcall_pipeline::config::{self, Blink, Config, LivenessChoice, LivenessConfig, ModelsConfig, Precision};
use rollcall_pipeline::lane::{LaneFactory, LaneStages};
use rollcall_pipeline::ports::{LivenessModel, Matcher, Observer};
use rollcall_pipeline::{ErrorClass, Fault, ModelId};
use rollcall_stages::detect::{DetectStage, YuNetDetector};
use rollcall_stages::embed::{EmbedStage, SFaceEmbedder};
use rollcall_stages::liveness::{FrLivenessModel, LivenessStage, MeshEyes, MiniFasModel, NoLiveness};
use rollcall_stages::matching::{Aloud, MatchPorts, MatchStage, RecognitionSettings};
use rollcall_stages::picture::EnrolGates;
use rollcall_stages::track::{LivenessGate, ShotSettings, TrackSettings, TrackStage, TrackerSettings};

use crate::cli::Place;
use crate::rules::Rules;
use crate::settings::liveness_settings;

/// Which shots the liveness models judge fairly: not blurred, neither dark nor burnt out. The first four are checked, which
/// is what a verdict needs, then every third: a track that stays is watched, not measured.
const LIVENESS_GATE: LivenessGate = LivenessGate {
    min_face_px: 0.0,
    min_sharpness: 0.004,
    brightness: (40.0, 225.0),
    first_checks: 4,
    then_every: 3,
    crops: Vec::new(),
};

/// The models in `dir`, to be run as configured.
pub(crate) fn open_models(dir: &Path, config: &ModelsConfig) -> anyhow::Result<Models> {
    let models = Manifest::pinned().and_then(|pinned| Models::open_with(pinned, dir, config.runtime.as_deref()));
    let provider = match config.provider {
        config::Provider::Cpu => Provider::Cpu { int8: config.precision == Precision::Auto },
        config::Provider::Cuda => Provider::Cuda,
        config::Provider::TensorRt => Provider::TensorRt,
        config::Provider::OpenVino => Provider::OpenVino { bf16: config.precision == Precision::Bf16 },
        config::Provider::CoreMl => Provider::CoreMl,
    };
    let models = models.with_context(|| format!("the models in {} cannot be used", dir.display()))?;
    Ok(models.with_provider(provider))
}

/// The models, opened and verified, and how to make networks of them.
#[derive(Clone, Debug)]
pub(crate) struct Vision {
    models: Models,
    threads: usize,
    min_score: f32,
    minifas: bool,
    liveness: LivenessConfig,
}

impl Vision {
    /// Opens the models that `config` names. Reads and checks every file.
    pub(crate) fn open(place: &Place, config: &Config) -> anyhow::Result<Self> {
        let dir = place.models_dir(config)?;
        let models = open_models(&dir, &config.models)?;
        Ok(Self::new(models, place.operator_models_dir()?, config))
    }

    fn new(models: Models, operator_dir: PathBuf, config: &Config) -> Self {
        let models = models.with_operator_dir(operator_dir);
        // Asked once: everything judges with the same model, also when another one is installed meanwhile.
        let minifas = match config.models.liveness {
            LivenessChoice::Auto => models.is_installed(MINIFAS_V2_ID) && models.is_installed(MINIFAS_V1SE_ID),
            LivenessChoice::Default => false,
            LivenessChoice::Minifas => true,
        };
        Self {
            models,
            threads: config.models.threads,
            min_score: config.detection.min_score.unwrap_or(YuNetDetector::THRESHOLD),
            minifas,
            liveness: config.liveness.clone(),
        }
    }

    /// The model whose embeddings are compared.
    pub(crate) fn embedding_model(&self) -> ModelId {
        ModelId::new(SFACE_ID)
    }

    /// The models that the lane runs, with their licences.
    pub(crate) fn in_use(&self) -> Vec<ModelView> {
        let mut ids = vec![YUNET_ID, SFACE_ID];
        if self.liveness.enabled {
            ids.extend(if self.minifas { &[MINIFAS_V2_ID, MINIFAS_V1SE_ID][..] } else { &[FR_LIVENESS_ID] });
        }
        ids.extend(self.wants_eyes().then_some(FACE_MESH_ID));
        let entries = ids.into_iter().filter_map(|id| self.models.manifest().model(id).ok());
        entries
            .map(|m| ModelView {
                id: m.id.clone(),
                job: m.job.clone(),
                licence: m.licence.clone(),
                origin: m.origin.clone(),
                runs_on: self.models.provider_of(&m.id).to_string(),
                fallback: self.models.fallback(&m.id),
            })
            .collect()
    }

    /// A detector of its own.
    pub(crate) fn detector(&self) -> Result<YuNetDetector, Fault> {
        let net = YuNet::load(&self.models, self.threads).map_err(broken)?;
        Ok(YuNetDetector::new(net, self.min_score))
    }

    /// An embedder of its own, as configured: for a lane, and to measure it.
    pub(crate) fn embedder(&self) -> Result<SFaceEmbedder, Fault> {
        Ok(SFaceEmbedder::new(SFace::load(&self.models, self.threads).map_err(broken)?))
    }

    /// An embedder of its own, for pictures: these are few, and become templates that all others are compared with, so that they are
    /// never embedded in 8 bits.
    pub(crate) fn picture_embedder(&self) -> Result<SFaceEmbedder, Fault> {
        Ok(SFaceEmbedder::new(SFace::load(&self.models.in_32_bits(), self.threads).map_err(broken)?))
    }

    /// The liveness model that is to be used.
    fn liveness_model(&self) -> Result<Box<dyn LivenessModel>, Fault> {
        if !self.liveness.enabled {
            return Ok(Box::new(NoLiveness));
        }
        Ok(if self.minifas {
            Box::new(MiniFasModel::new(MiniFas::load(&self.models, self.threads).map_err(broken)?))
        } else {
            Box::new(FrLivenessModel::new(FrLiveness::load(&self.models, self.threads).map_err(broken)?))
        })
    }

    fn liveness_stage(&self, model: Box<dyn LivenessModel>) -> Result<LivenessStage, Fault> {
        let stage = LivenessStage::new(model);
        if !self.wants_eyes() {
            return Ok(stage);
        }
        let mesh = FaceMesh::load(&self.models, self.threads).map_err(broken)?;
        Ok(stage.with_blinks(MeshEyes::new(mesh)))
    }

    /// Figures and networks for pictures beside the lane: the lane's, but for the embedder.
    pub(crate) fn faces(&self, recognition: RecognitionSettings) -> (FaceSettings, LoadNets) {
        let settings = FaceSettings {
            gates: EnrolGates::default(),
            recognition,
            liveness: liveness_settings(&self.liveness),
            fair: LIVENESS_GATE,
        };
        // One thread each: cameras come first.
        let vision = Self { threads: 1, ..self.clone() };
        let load = move || {
            let eyes = vision.wants_eyes().then(|| FaceMesh::load(&vision.models, 1).map_err(broken)).transpose()?;
            Ok(FaceNets {
                detector: Box::new(vision.detector()?),
                embedder: Box::new(vision.picture_embedder()?),
                liveness: vision.liveness_model()?,
                eyes: eyes.map(|mesh| Box::new(MeshEyes::new(mesh)) as _),
            })
        };
        (settings, Arc::new(load))
    }

    fn wants_eyes(&self) -> bool {
        self.liveness.enabled && self.liveness.blink == Blink::Required
    }
}

/// A model that cannot be loaded now cannot be loaded by the next generation of the lane either.
fn broken(error: rollcall_models::ModelError) -> Fault {
    Fault::new(ErrorClass::Permanent, error)
}

/// Builds the five stages of a lane, generation by generation.
pub(crate) struct Stages {
    /// The networks.
    pub(crate) vision: Vision,
    /// The gallery.
    pub(crate) matcher: Arc<dyn Matcher>,
    /// The rules of attendance; they outlive generations.
    pub(crate) rules: Rules,
    /// Who watches.
    pub(crate) observer: Arc<dyn Observer>,
    /// When a face has a name.
    pub(crate) recognition: RecognitionSettings,
}

impl LaneFactory for Stages {
    type Detect = DetectStage;
    type Track = TrackStage;
    type Embed = EmbedStage;
    type Liveness = LivenessStage;
    type Match = MatchStage;

    fn build(&mut self) -> Result<LaneStages<Self>, Fault> {
        let liveness = liveness_settings(&self.vision.liveness);
        let model = self.vision.liveness_model()?;
        let track = TrackSettings {
            tracker: TrackerSettings::default(),
            shots: ShotSettings::default(),
            liveness: liveness.enabled.then(|| LivenessGate {
                min_face_px: liveness.min_face_px,
                crops: model.crops().to_vec(),
                ..LIVENESS_GATE
            }),
            eyes_min_face_px: self.vision.wants_eyes().then_some(liveness.min_face_px),
        };
        let ports = MatchPorts {
            matcher: Arc::clone(&self.matcher),
            expectations: self.rules.expectations(),
            judge: Box::new(Aloud(self.rules.clone())),
            observer: Arc::clone(&self.observer),
        };
        Ok(LaneStages {
            detect: DetectStage::new(self.vision.detector()?),
            track: TrackStage::new(track, Arc::clone(&self.observer)),
            embed: EmbedStage::new(self.vision.embedder()?),
            liveness: self.vision.liveness_stage(model)?,
            matching: MatchStage::new(ports, self.recognition, liveness),
        })
    }
}
