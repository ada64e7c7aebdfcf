//! The configuration: one TOML file and the environment, checked as a whole before anything starts.

mod camera;
mod secret;

pub use camera::{CameraConfig, CameraSource, Mounting, Rotation, RtspTransport, Streams};
pub use secret::Secret;
