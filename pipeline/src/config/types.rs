//! The configuration as the program uses it: checked, complete, in its own units.

use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use chrono::{NaiveDate, NaiveTime, Weekday};
use chrono_tz::Tz;
use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use super::camera::CameraConfig;
use super::secret::Secret;
use crate::ids::RoomId;

/// Everything that is configured.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// The place.
    pub site: SiteConfig,
    /// The HTTP side.
    pub server: ServerConfig,
    /// Logging.
    pub log: LogConfig,
    /// Where rows go.
    pub database: DatabaseConfig,
    /// The models.
    pub models: ModelsConfig,
    /// The lane's bounds.
    pub lane: LaneConfig,
    /// Finding faces.
    pub detection: DetectionConfig,
    /// Naming faces.
    pub recognition: RecognitionConfig,
    /// Telling people from pictures of people.
    pub liveness: LivenessConfig,
    /// The open cells of the decision matrix.
    pub decisions: DecisionsConfig,
    /// The rules of attendance.
    pub attendance: AttendanceConfig,
    /// Checking in by picture.
    pub check_in: CheckInConfig,
    /// The disk spool.
    pub spool: SpoolConfig,
    /// How long things are kept.
    pub retention: RetentionConfig,
    /// What is kept of people.
    pub privacy: PrivacyConfig,
    /// Rooms, in the order of the file.
    pub rooms: Vec<RoomConfig>,
    /// Cameras, in the order of the file.
    pub cameras: Vec<CameraConfig>,
}

/// The place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SiteConfig {
    /// Its name, for titles and reports.
    pub name: String,
    /// In which timetables are read, where a room has none of its own.
    pub time_zone: Tz,
}

/// The HTTP side.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerConfig {
    /// The only address that is served.
    pub listen: SocketAddr,
    /// Where people reach it, without a slash at the end. With `https` cookies travel over TLS only.
    pub public_url: Option<String>,
    /// Proxies whose `X-Forwarded-For` is believed.
    pub trusted_proxies: Vec<IpNet>,
    /// Pages of other origins that may use the API.
    pub cors_origins: Vec<String>,
    /// Requests of one account or key a minute; `None`: no limit.
    pub rate_per_minute: Option<NonZeroU32>,
    /// Requests from one address a minute; `None`: no limit.
    pub address_rate_per_minute: Option<NonZeroU32>,
    /// Tries to log in a minute of one address; ten times as many may fail for one login.
    pub login_rate_per_minute: NonZeroU32,
    /// Below it lie the recordings that cameras made through the API may name; `None`: they may name none.
    pub media_dir: Option<PathBuf>,
}

/// How log lines look.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people.
    Pretty,
    /// One JSON object a line.
    Json,
}

/// From which consequence on lines are written.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum LogLevel {
    /// Data lost, or an operator is needed.
    Error,
    /// Odd but recovered.
    Warn,
    /// What happens.
    Info,
    /// How it happens.
    Debug,
    /// Everything.
    Trace,
}

impl LogLevel {
    /// The word that `tracing` filters know.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warn => "warn",
            Self::Info => "info",
            Self::Debug => "debug",
            Self::Trace => "trace",
        }
    }
}

/// Logging.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogConfig {
    /// How lines look.
    pub format: LogFormat,
    /// Which lines are written.
    pub level: LogLevel,
    /// Whether people's names may stand in them.
    pub names: bool,
}

/// Where rows go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DatabaseConfig {
    /// A server of one's own; `None` is the private cluster in the data directory.
    pub url: Option<Secret>,
    /// Connections of the pool.
    pub max_connections: u32,
    /// The key that templates are sealed with; `None` is the one in the data directory.
    pub key_file: Option<PathBuf>,
}

/// Which liveness model is used.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum LivenessChoice {
    /// The best one that is installed.
    Auto,
    /// The one of the default set.
    Default,
    /// The MiniFASNet pair, which an operator installs from files.
    Minifas,
}

/// What the models run on.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Provider {
    /// The processor, with ONNX Runtime's own kernels.
    Cpu,
    /// An NVIDIA card.
    Cuda,
    /// An NVIDIA card, with TensorRT.
    TensorRt,
    /// The processor, with Intel's kernels.
    OpenVino,
    /// Apple's accelerators.
    CoreMl,
}

/// How exactly the models count.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Precision {
    /// What cameras see is embedded in 8 bits, where the processor does that work and has instructions for it; all else as `Full`.
    Auto,
    /// In the 32 bits that they were made with.
    Full,
    /// In bfloat16, where the processor can.
    Bf16,
}

/// The models.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ModelsConfig {
    /// Their directory; `None` looks in the usual places.
    pub dir: Option<PathBuf>,
    /// Threads of each model.
    pub threads: usize,
    /// Which liveness model is used.
    pub liveness: LivenessChoice,
    /// What they run on.
    pub provider: Provider,
    /// How exactly; `Bf16` only with [`Provider::OpenVino`].
    pub precision: Precision,
    /// A build of ONNX Runtime with that provider; `None` is the one beside the models, which has the processor alone.
    pub runtime: Option<PathBuf>,
}

/// The lane's bounds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LaneConfig {
    /// Frames that wait for the detector, a camera; the oldest goes when a new one comes.
    pub frames_per_camera: usize,
    /// Bytes that waiting frames may need, all cameras together. A bound for the configuration: it is refused when its
    /// cameras could need more; nothing is measured while it runs.
    pub memory_budget_bytes: u64,
    /// A stage without progress for so long is stuck.
    pub stuck_after: Duration,
    /// How long a shutdown may take.
    pub shutdown: Duration,
}

/// What a frame costs in memory as far as the configuration can know: 1920×1080 in I420 or NV12.
const FRAME_BYTES: u64 = 1920 * 1080 * 3 / 2;

/// Frames between the mux and the end of `track`, all cameras together (see `lane.rs`), and those in the decoders' hands.
const FRAMES_IN_FLIGHT: u64 = 16;

impl LaneConfig {
    /// Whether the waiting frames of so many cameras keep within the budget.
    ///
    /// # Errors
    /// How much they could need, and what to do.
    pub fn room_for(&self, cameras: usize) -> Result<(), String> {
        let frames_per_camera = self.frames_per_camera;
        let needed = (cameras as u64 * frames_per_camera as u64 + FRAMES_IN_FLIGHT) * FRAME_BYTES;
        if needed <= self.memory_budget_bytes {
            return Ok(());
        }
        let mb = needed.div_ceil(1 << 20);
        Err(format!(
            "{cameras} cameras with {frames_per_camera} frames of 1920x1080 each need {mb} MB: raise it, lower \
             lane.frames_per_camera or use fewer cameras"
        ))
    }
}

/// Finding faces. `None` here and below: what suits the models in use.
#[derive(Clone, Debug, PartialEq)]
pub struct DetectionConfig {
    /// Detector scores below are not faces, 0 to 1.
    pub min_score: Option<f32>,
}

/// Naming faces.
#[derive(Clone, Debug, PartialEq)]
pub struct RecognitionConfig {
    /// Similarity that two shots need to name somebody.
    pub early_similarity: Option<f32>,
    /// Similarity that many shots need.
    pub settled_similarity: Option<f32>,
    /// From this similarity on, whoever is not named is left for review.
    pub review_similarity: Option<f32>,
    /// Least distance to the second-best person.
    pub margin: Option<f32>,
    /// Least number of shots that agree.
    pub min_agreeing: Option<u32>,
    /// Somebody who stays in view is judged again after this time.
    pub repeat: Option<Duration>,
}

/// Whether a blink is asked for.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Blink {
    /// No; the check does not run.
    Off,
    /// Nobody is live without one.
    Required,
}

/// Longest side of the picture that is searched for faces, in pixels, where nothing else is said: of cameras and recordings.
pub const DETECT_SIZE: u32 = 640;

/// Narrower faces are left alone where nothing else is said, in pixels. The boxes of faces of 24 px come out a little narrower
/// or wider: a limit of 24 costs up to 2 % of them, this one none.
pub const MIN_FACE_PX: f32 = 20.0;

/// How long a still scene is left alone where nothing else is said, in seconds.
pub const STILL_INTERVAL_S: f32 = 2.0;

/// Least rate at which blinks are seen, analysed frames a second: eyes are shut for 0.1 s in a short blink, so looks 0.1 s
/// apart do not miss it, and the next ones see them open again well within the 0.4 s of a long one. In recordings 94 % of all
/// blinks were found at 10 a second, 69 % at 5.
pub const BLINK_FPS: f64 = 10.0;

/// Telling people from pictures of people.
#[derive(Clone, Debug, PartialEq)]
pub struct LivenessConfig {
    /// Off: nothing is checked, every verdict is `undecided (off)`.
    pub enabled: bool,
    /// Mean score from which on a track is live.
    pub live_from: Option<f32>,
    /// Mean score up to which a track is a spoof.
    pub spoof_below: Option<f32>,
    /// Smaller faces are not checked, in pixels of the decoded frame.
    pub min_face_px: Option<f32>,
    /// How long a known face waits for its verdict.
    pub patience: Option<Duration>,
    /// Whether a blink is asked for.
    pub blink: Blink,
}

impl LivenessConfig {
    /// Whether a blink is asked for that this rate of analysis, 0 for every frame, is too slow to see.
    pub fn misses_blinks(&self, analysis_fps: f64) -> bool {
        self.enabled && self.blink == Blink::Required && analysis_fps > 0.0 && analysis_fps < BLINK_FPS
    }
}

/// A cell of the decision matrix: what becomes of a named face.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum ReviewOrMark {
    /// A human looks at it.
    Review,
    /// It counts.
    Mark,
}

/// A cell of the decision matrix: what becomes of a picture of a stranger.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum SpoofOrUnknown {
    /// A human looks at it.
    Spoof,
    /// A stranger like any other.
    Unknown,
}

/// The open cells of the decision matrix.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DecisionsConfig {
    /// Named, and too small for liveness, or it is off.
    pub identified_undecided: ReviewOrMark,
    /// Named and large enough, and every view too poor for liveness.
    pub identified_too_poor: ReviewOrMark,
    /// Named, and liveness lies between its two thresholds.
    pub identified_unclear: ReviewOrMark,
    /// Not known, and a picture.
    pub unknown_spoof: SpoofOrUnknown,
}

/// The rules of attendance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AttendanceConfig {
    /// For so long after a mark the same person before the same camera is only counted.
    pub debounce: Duration,
    /// For so long before it starts a session takes marks.
    pub early: Duration,
    /// For so long after it started one is in time.
    pub grace: Duration,
    /// For so long after it ended those who were there may be seen leaving.
    pub leave: Duration,
    /// Absences wait so long for cameras that were offline; then they are written all the same.
    pub absences_wait: Duration,
}

/// Checking in by picture. Whoever sends a picture chooses it, other than whoever passes a camera.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CheckInConfig {
    /// Views that must each name the person by themselves. One picture is one view.
    pub min_agreeing: u32,
    /// Nobody is marked of whom it is not known that they are alive, whatever the decision matrix says of cameras.
    pub require_live: bool,
}

/// The disk spool.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SpoolConfig {
    /// What it may hold.
    pub max_bytes: u64,
}

/// How long things are kept, in days; `None` = for ever. Marks are kept for ever.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RetentionConfig {
    /// The pictures of review items.
    pub crops_days: Option<u32>,
    /// The event log and review items.
    pub events_days: Option<u32>,
    /// The audit log.
    pub audit_days: Option<u32>,
}

/// What is kept of people.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PrivacyConfig {
    /// No template is stored of somebody whose consent is not on record. Of who withdrew theirs none is in any case.
    pub consent_required: bool,
    /// Templates of one person, at most, beside those of a folder.
    pub templates_per_person: u32,
    /// Strangers go to review, with their faces.
    pub keep_unknown_faces: bool,
    /// Strangers who come again are told apart, by a number.
    pub cluster_unknown: bool,
}

/// A room.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RoomConfig {
    /// Its short name.
    pub id: RoomId,
    /// Its name for people.
    pub name: String,
    /// In which its timetable is read.
    pub time_zone: Tz,
    /// Names of those expected in sessions that do not say it, and on days without a timetable; `None` = everybody.
    pub expected: Option<Arc<[String]>>,
    /// Its timetable; empty = one mark a day.
    pub sessions: Vec<SessionConfig>,
}

/// An entry of a timetable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionConfig {
    /// What it is called.
    pub name: String,
    /// On which days it starts.
    pub days: Vec<Weekday>,
    /// Local time.
    pub start: NaiveTime,
    /// Local time; at or before `start` it is that of the next day.
    pub end: NaiveTime,
    /// First day.
    pub valid_from: Option<NaiveDate>,
    /// Last day.
    pub valid_to: Option<NaiveDate>,
    /// Opens so long before its start.
    pub early: Duration,
    /// One is in time so long after its start.
    pub grace: Duration,
    /// Those who were there may be seen leaving so long after its end.
    pub leave: Duration,
    /// Names of those expected; `None` = whoever the room expects.
    pub expected: Option<Arc<[String]>>,
}
