//! The cameras that run. Implemented by the daemon; which there are in the database is the store's business.

use chrono::{DateTime, Utc};
use rollcall_pipeline::CameraId;
use rollcall_pipeline::config::{self, CameraConfig, Secret};
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

/// Runs cameras.
pub trait Cameras: Send + Sync + 'static {
    /// Those of the configuration file, in its order.
    fn of_file(&self) -> Vec<CameraConfig>;

    /// How a camera is; `None` if it is not known here (yet).
    fn status(&self, id: &CameraId) -> Option<CameraStatus>;

    /// Checks the settings of a camera as those in the file are checked.
    ///
    /// # Errors
    /// Every problem, with its key behind `settings`.
    fn check(
        &self,
        id: &str,
        room: &str,
        settings: Value,
        credentials: Option<(String, Secret)>,
    ) -> Result<CameraConfig, Vec<config::Problem>>;

    /// Whether there is memory for so many cameras beside those of the file.
    ///
    /// # Errors
    /// The sum, and what to do.
    fn room_for(&self, beside_the_file: usize) -> Result<(), String>;
}

/// How a camera is.
#[derive(Clone, Debug, Default, PartialEq, Serialize, ToSchema)]
pub struct CameraStatus {
    /// `connecting`, `live`, `backoff` (waits before the next attempt), `ended` (a recording that is over), `refused` (it
    /// cannot be opened as it is) or `disabled`.
    #[schema(example = "live")]
    pub state: String,
    /// Why it is not live, in plain words.
    pub reason: Option<String>,
    /// Codec of the stream.
    #[schema(example = "video/x-h264")]
    pub codec: Option<String>,
    /// Width of the decoded picture.
    pub width: Option<u32>,
    /// Height of the decoded picture.
    pub height: Option<u32>,
    /// Frames a second that arrive.
    pub fps: Option<f64>,
    /// Milliseconds since the last frame.
    pub frame_age_ms: Option<u64>,
    /// Frames decoded since the daemon started or the camera was opened anew.
    pub frames: u64,
    /// Connections that ended in that time.
    pub reconnects: u64,
    /// Milliseconds until it is tried again.
    pub retry_in_ms: Option<u64>,
    /// Where capture times come from.
    pub time_source: Option<&'static str>,
    /// The camera's clock less ours.
    pub clock_skew_ms: Option<i64>,
    /// The last thing that went wrong, also after it is mended.
    pub last_error: Option<CameraTrouble>,
}

impl CameraStatus {
    /// Nothing but a state.
    pub fn of(state: &str, reason: Option<String>) -> Self {
        Self { state: state.to_owned(), reason, ..Self::default() }
    }
}

/// Something that went wrong with a camera.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct CameraTrouble {
    /// When.
    pub at: DateTime<Utc>,
    /// One word.
    #[schema(example = "unauthorized")]
    pub kind: &'static str,
    /// What it is and what to do.
    pub text: String,
}
