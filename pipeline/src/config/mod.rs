//! The configuration: one TOML file and the environment, checked as a whole before anything starts.
//!
//! `raw` fixes the words, `validate` looks at the values and makes [`Config`], `reload` says what a change means for a
//! running daemon. Every problem is told at once, each with its key. `configs/rollcall.toml` documents each key.

mod camera;
mod load;
mod problem;
mod raw;
mod reload;
pub mod roster;
mod rtsp_address;
mod secret;
mod types;
mod validate;

pub use camera::{CameraConfig, CameraSource, Mounting, Rotation, RtspTransport, Streams};
pub use load::environment;
pub use problem::{ConfigError, Problem};
pub use reload::Reload;
pub use rtsp_address::{NoRtspAddress, RtspAddress, RtspServer};
pub use secret::Secret;
pub use types::{
    AttendanceConfig, BLINK_FPS, Blink, CheckInConfig, Config, DETECT_SIZE, DatabaseConfig, DecisionsConfig,
    DetectionConfig, LaneConfig, LivenessChoice, LivenessConfig, LogConfig, LogFormat, LogLevel, MIN_FACE_PX,
    ModelsConfig, Precision, PrivacyConfig, Provider, RecognitionConfig, RetentionConfig, ReviewOrMark, RoomConfig,
    STILL_INTERVAL_S, ServerConfig, SessionConfig, SiteConfig, SpoofOrUnknown, SpoolConfig,
};

#[cfg(test)]
mod tests;
