//! Real RTSP cameras on loopback, in process: for the demonstration, the benchmarks and the tests.
//!
//! A [`TestCamera`] serves a [`Clip`] (video, still pictures, pauses, or a generated pattern, encoded once into memory) as
//! H.264, H.265 or MJPEG at its own rate, over and over, for about one per cent of a core. It fails on demand in the ways
//! real cameras do: it goes away, freezes, talks nonsense, answers before it has a stream, sends what nobody can decode,
//! changes its resolution, sets its clock.

mod clip;
mod feeder;
mod packets;
mod server;
mod trouble;

pub use clip::{BitRate, Clip, Codec, Format, Segment};
pub use feeder::{Showing, Viewfinder};
pub use server::{Options, TestCamera, Transports};

/// Why a test camera cannot do what it was asked to.
#[derive(Debug, thiserror::Error)]
pub enum TestCameraError {
    /// GStreamer, or an element of it, is missing or fails.
    #[error("gstreamer: {0}")]
    Gstreamer(String),
    /// A recording cannot be turned into what the camera sends.
    #[error("cannot encode {what}: {reason}")]
    Encode {
        /// The segment.
        what: String,
        /// What GStreamer says.
        reason: String,
    },
    /// A port or thread is not to be had.
    #[error(transparent)]
    Io(#[from] std::io::Error),
}

impl From<gstreamer::glib::Error> for TestCameraError {
    fn from(error: gstreamer::glib::Error) -> Self {
        Self::Gstreamer(error.message().to_owned())
    }
}

impl From<gstreamer::glib::BoolError> for TestCameraError {
    fn from(error: gstreamer::glib::BoolError) -> Self {
        Self::Gstreamer(error.message.into_owned())
    }
}
