//! One camera: where its pictures come from, how it is mounted, how it is analysed.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::rtsp_address::RtspAddress;
use super::secret::Secret;
use crate::frame::CameraTuning;
use crate::ids::CameraId;

/// A camera. Which part changed decides what a reload does: `streams` and `mounting` restart the camera, `tuning` is swapped
/// while it runs.
#[derive(Clone, Debug, PartialEq)]
pub struct CameraConfig {
    /// Its name.
    pub id: CameraId,
    /// Where its pictures come from.
    pub streams: Streams,
    /// How it hangs.
    pub mounting: Mounting,
    /// How its pictures are analysed.
    pub tuning: CameraTuning,
}

/// The streams of one camera.
#[derive(Clone, Debug, PartialEq)]
pub struct Streams {
    /// The stream that faces are looked for in.
    pub detect: CameraSource,
    /// A second stream of the same view in higher resolution; it is not opened yet.
    pub main: Option<CameraSource>,
}

/// Where pictures come from.
#[derive(Clone, Debug, PartialEq)]
pub enum CameraSource {
    /// A network camera.
    Rtsp {
        /// Its stream, without user and password.
        address: RtspAddress,
        /// How the media travels.
        transport: RtspTransport,
        /// Both, or none.
        username: Option<String>,
        /// Both, or none.
        password: Option<Secret>,
    },
    /// A camera at a USB port.
    Usb {
        /// The device file, such as `/dev/video0`.
        device: PathBuf,
        /// Wanted width in pixels; `None` takes what the camera offers first.
        width: Option<u32>,
        /// Wanted height in pixels.
        height: Option<u32>,
        /// Wanted frames a second.
        fps: Option<u32>,
    },
    /// A recorded file.
    File {
        /// The file.
        path: PathBuf,
        /// Plays at the speed of its time stamps; otherwise as fast as the lane takes it.
        realtime: bool,
        /// Starts again at the end, as a new connection.
        repeat: bool,
    },
}

/// How the media of an RTSP camera travels.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum RtspTransport {
    /// TCP; UDP where the camera refuses TCP.
    #[default]
    Auto,
    /// Inside the RTSP connection.
    Tcp,
    /// Datagrams beside it.
    Udp,
}

/// How a camera hangs: what has to be done to its pictures so that people stand upright.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Mounting {
    /// Turn of the picture, clockwise.
    pub rotate: Rotation,
    /// Left and right are exchanged, after the turn.
    pub mirror: bool,
}

/// A turn by quarters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Rotation {
    /// As it is.
    #[default]
    None,
    /// 90° clockwise.
    Quarter,
    /// 180°.
    Half,
    /// 270° clockwise.
    ThreeQuarters,
}
