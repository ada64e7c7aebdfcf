//! Cameras and files → decoded frames. The only place that knows GStreamer; it knows nothing of faces.

mod buffer;
mod container;
mod failure;
mod file;
mod gst;
mod sampling;
mod stream;
mod timeline;

pub use failure::DisconnectReason;
pub use file::VideoFile;
pub use sampling::Sampler;
pub use stream::{Anew, DecodedFrame, StreamInfo};
