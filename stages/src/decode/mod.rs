//! Cameras and recordings → frames for the lane. The only place that knows GStreamer; it knows nothing of faces.
//!
//! [`Camera`] is one camera on its own thread; [`VideoFile`] is a recording on the caller's; [`probe()`] is one look at a
//! source that is not configured yet.

mod backoff;
mod buffer;
pub mod camera;
mod capture_time;
mod container;
mod delivery;
mod doze;
mod failure;
mod file;
mod gst;
mod intake;
mod knock;
mod late;
mod lazy;
mod login;
mod mask;
mod probe;
mod sampling;
mod status;
mod stream;
mod timeline;
mod unit;

pub use camera::{Camera, CameraControl};
pub use failure::DisconnectReason;
pub use file::VideoFile;
pub use intake::Unseen;
pub use mask::Masks;
pub use probe::{Probe, ProbeLimits, probe};
pub use sampling::Sampler;
pub use status::{CameraError, CameraSnapshot, CameraState, CameraStatus};
pub use stream::{Anew, DecodedFrame, StreamInfo};
