//! The cameras that run. Implemented by the daemon; which there are in the database is the store's business.

use std::fmt;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::http::StatusCode;
use chrono::{DateTime, Utc};
use rollcall_pipeline::CameraId;
use rollcall_pipeline::config::{self, CameraConfig, Secret};
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use super::faces::Later;
use crate::problem::Problem;

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

    /// Opens a camera without keeping anything, for ten seconds at most. That there is no picture is an answer.
    fn probe(&self, camera: CameraConfig) -> Later<'_, Result<CameraProbe, NoPicture>>;

    /// Shows what a camera sees, `fps` times a second at most, until what is returned is dropped.
    ///
    /// # Errors
    /// When too many watch already.
    fn watch(&self, id: &CameraId, fps: f32, overlay: Overlay) -> Result<Box<dyn Pictures>, NoPicture>;

    /// Asks who is there in the local network, or at one address.
    fn discover(&self, time: Duration, at: Option<Ipv4Addr>) -> Later<'_, Result<Vec<FoundDevice>, NoPicture>>;

    /// Asks a device where its streams are.
    fn streams_of(&self, ask: StreamsAsk) -> Later<'_, Result<DeviceStreams, NoPicture>>;
}

/// What is drawn onto pictures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Overlay {
    /// Nothing.
    None,
    /// Boxes, track ids and whether somebody was recognised.
    Boxes,
    /// Names too.
    Names,
}

/// A picture. Personal data.
#[derive(Clone)]
pub struct Picture {
    /// The JPEG.
    pub jpeg: Arc<[u8]>,
    /// When it was taken.
    pub captured: DateTime<Utc>,
}

impl fmt::Debug for Picture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Picture({}, {} bytes)", self.captured, self.jpeg.len())
    }
}

/// Somebody who watches. Dropping it ends the work that is done for them.
pub trait Pictures: Send {
    /// The next picture, once it is there.
    fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Result<Picture, NoPicture>>;
}

/// Why there is no picture.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NoPicture {
    /// Not now: too many ask.
    Busy(String),
    /// Nothing came in time, or what was asked for could not be done here.
    Unavailable(String),
    /// It is over.
    Ended,
    /// Our fault.
    Failed(String),
}

impl From<NoPicture> for Problem {
    fn from(why: NoPicture) -> Self {
        match why {
            NoPicture::Busy(detail) => Self::busy(StatusCode::TOO_MANY_REQUESTS, detail, 5),
            NoPicture::Unavailable(detail) => Self::busy(StatusCode::SERVICE_UNAVAILABLE, detail, 5),
            NoPicture::Ended => Self::busy(StatusCode::SERVICE_UNAVAILABLE, "the preview has ended: start it again", 1),
            NoPicture::Failed(cause) => Self::internal(cause),
        }
    }
}

/// What a look at a camera showed.
#[derive(Clone, Debug, Default, PartialEq, Serialize, ToSchema)]
pub struct CameraProbe {
    /// There is a picture.
    pub ok: bool,
    /// Why there is none, or what went wrong after it, in plain words.
    pub reason: Option<String>,
    /// The same in one word.
    #[schema(example = "unauthorized")]
    pub kind: Option<&'static str>,
    /// Codec of the stream.
    #[schema(example = "video/x-h265")]
    pub codec: Option<String>,
    /// What decodes it.
    pub decoder: Option<String>,
    /// Width of the picture as mounted.
    pub width: Option<u32>,
    /// Height of the picture as mounted.
    pub height: Option<u32>,
    /// Frames a second, as counted.
    pub fps: Option<f64>,
    /// Where capture times would come from.
    pub time_source: Option<&'static str>,
    /// The camera's clock less ours, where it told it.
    pub clock_skew_ms: Option<i64>,
    /// It sends over UDP only.
    pub over_udp: bool,
    /// The first picture, with its privacy masks: a JPEG in base64, at most 1280 pixels long.
    #[schema(content_encoding = "base64", content_media_type = "image/jpeg")]
    pub jpeg: Option<String>,
}

/// A device that answered. Everything but `from` is what it says of itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct FoundDevice {
    /// Its lasting name.
    #[schema(example = "urn:uuid:1419d68a-1dd2-11b2-a105-000000000000")]
    pub endpoint: String,
    /// Where its ONVIF service is.
    pub addresses: Vec<String>,
    /// Its name.
    pub name: Option<String>,
    /// Its model.
    pub hardware: Option<String>,
    /// Where it hangs.
    pub location: Option<String>,
    /// What it is.
    pub types: Vec<String>,
    /// Who sent the answer.
    pub from: String,
}

/// A device that is asked for its streams.
#[derive(Clone, Debug)]
pub struct StreamsAsk {
    /// Its device service, as it told it.
    pub address: String,
    /// User and password.
    pub credentials: Option<(String, Secret)>,
}

/// A stream that a device offers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct OfferedStream {
    /// What the device calls it.
    pub profile: String,
    /// The name that people gave it.
    pub name: Option<String>,
    /// Its codec.
    #[schema(example = "H264")]
    pub codec: Option<String>,
    /// Width of its picture.
    pub width: Option<u32>,
    /// Height of its picture.
    pub height: Option<u32>,
    /// What goes into `settings.streams` of a camera: without user and password, at the host that was asked.
    #[schema(example = "rtsp://192.0.2.10:554/stream2")]
    pub address: String,
}

/// What a device says of its streams.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, ToSchema)]
pub struct DeviceStreams {
    /// It told them.
    pub ok: bool,
    /// Why it did not, in plain words.
    pub reason: Option<String>,
    /// The same in one word: `address`, `unreachable`, `unauthorized`, `refused`, `no_onvif`, `none` or `late`.
    #[schema(example = "unauthorized")]
    pub kind: Option<&'static str>,
    /// The streams, in its order.
    pub streams: Vec<OfferedStream>,
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
    /// Nothing happens before it: its key frames alone are decoded.
    pub dozing: bool,
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
