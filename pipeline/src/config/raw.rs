//! The configuration as it is written: one struct a table, every key with its default. Whether the values make sense is
//! looked at in `validate`; here only words and types are fixed, and an unknown key is an error.
//!
//! `configs/rollcall.toml` documents each key; a test holds the two together.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::camera::RtspTransport;
use super::secret::Secret;
use super::types::{
    Blink, DETECT_SIZE, LivenessChoice, LogFormat, LogLevel, MIN_FACE_PX, Precision, Provider, ReviewOrMark,
    STILL_INTERVAL_S, SpoofOrUnknown,
};

/// The whole file.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct RawConfig {
    pub(super) site: RawSite,
    pub(super) server: RawServer,
    pub(super) log: RawLog,
    pub(super) database: RawDatabase,
    pub(super) models: RawModels,
    pub(super) lane: RawLane,
    pub(super) detection: RawDetection,
    pub(super) recognition: RawRecognition,
    pub(super) liveness: RawLiveness,
    pub(super) decisions: RawDecisions,
    pub(super) attendance: RawAttendance,
    pub(super) check_in: RawCheckIn,
    pub(super) spool: RawSpool,
    pub(super) retention: RawRetention,
    pub(super) privacy: RawPrivacy,
    pub(super) rooms: Vec<RawRoom>,
    pub(super) cameras: Vec<RawCamera>,
}

/// Declares a table: its keys, their types and their defaults.
macro_rules! table {
    ($(#[$doc:meta])* $name:ident { $($key:ident: $type:ty = $default:expr),* $(,)? }) => {
        $(#[$doc])*
        #[derive(Clone, Debug, Deserialize, Serialize)]
        #[serde(default, deny_unknown_fields)]
        pub(super) struct $name {
            $(pub(super) $key: $type,)*
        }

        impl Default for $name {
            fn default() -> Self {
                Self { $($key: $default,)* }
            }
        }
    };
}

table!(RawSite { name: String = "Rollcall".into(), time_zone: String = "UTC".into() });

table!(RawServer {
    listen: String = "127.0.0.1:8080".into(),
    public_url: Option<String> = None,
    trusted_proxies: Vec<String> = Vec::new(),
    cors_origins: Vec<String> = Vec::new(),
    rate_per_minute: i64 = 6_000,
    address_rate_per_minute: i64 = 12_000,
    login_rate_per_minute: i64 = 10,
    media_dir: Option<PathBuf> = None,
});

table!(RawLog { format: LogFormat = LogFormat::Pretty, level: LogLevel = LogLevel::Info, names: bool = false });

table!(RawDatabase {
    url: Option<Secret> = None,
    url_file: Option<PathBuf> = None,
    max_connections: i64 = 8,
    key_file: Option<PathBuf> = None,
});

table!(RawModels {
    dir: Option<PathBuf> = None,
    threads: i64 = 1,
    liveness: LivenessChoice = LivenessChoice::Auto,
    provider: Provider = Provider::Cpu,
    precision: Precision = Precision::Auto,
    runtime: Option<PathBuf> = None,
});

table!(RawLane {
    frames_per_camera: i64 = 2,
    memory_budget_mb: i64 = 256,
    stuck_after_s: i64 = 30,
    shutdown_s: i64 = 10,
});

table!(RawDetection { min_score: Option<f64> = None });

table!(RawRecognition {
    early_similarity: Option<f64> = None,
    settled_similarity: Option<f64> = None,
    review_similarity: Option<f64> = None,
    margin: Option<f64> = None,
    min_agreeing: Option<i64> = None,
    repeat_s: Option<i64> = None,
});

table!(RawLiveness {
    enabled: bool = true,
    live_from: Option<f64> = None,
    spoof_below: Option<f64> = None,
    min_face_px: Option<f64> = None,
    patience_ms: Option<i64> = None,
    blink: Blink = Blink::Off,
});

table!(RawDecisions {
    identified_undecided: ReviewOrMark = ReviewOrMark::Mark,
    identified_too_poor: ReviewOrMark = ReviewOrMark::Review,
    identified_unclear: ReviewOrMark = ReviewOrMark::Review,
    unknown_spoof: SpoofOrUnknown = SpoofOrUnknown::Spoof,
});

table!(RawAttendance {
    debounce_s: i64 = 30,
    early_min: i64 = 15,
    grace_min: i64 = 5,
    leave_min: i64 = 15,
    absences_wait_h: i64 = 24,
});

table!(RawCheckIn { min_agreeing: i64 = 2, require_live: Option<bool> = None });

table!(RawSpool { max_mb: i64 = 256 });

table!(RawPrivacy {
    consent_required: bool = false,
    templates_per_person: i64 = 20,
    keep_unknown_faces: bool = false,
    cluster_unknown: bool = false,
});

table!(RawRetention { crops_days: i64 = 30, events_days: i64 = 400, audit_days: i64 = 0 });

table!(RawRoom {
    id: Option<String> = None,
    name: Option<String> = None,
    time_zone: Option<String> = None,
    expected: Option<Vec<String>> = None,
    roster_file: Option<PathBuf> = None,
    sessions: Vec<RawSession> = Vec::new(),
});

table!(RawSession {
    name: Option<String> = None,
    days: Option<Vec<RawDay>> = None,
    start: Option<String> = None,
    end: Option<String> = None,
    valid_from: Option<String> = None,
    valid_to: Option<String> = None,
    early_min: Option<i64> = None,
    grace_min: Option<i64> = None,
    leave_min: Option<i64> = None,
    expected: Option<Vec<String>> = None,
    roster_file: Option<PathBuf> = None,
});

table!(RawCamera {
    id: Option<String> = None,
    room: Option<String> = None,
    direction: Option<RawDirection> = None,
    streams: RawStreams = RawStreams::default(),
    transport: Option<RtspTransport> = None,
    username: Option<String> = None,
    password: Option<Secret> = None,
    password_file: Option<PathBuf> = None,
    password_env: Option<String> = None,
    usb: Option<RawUsb> = None,
    file: Option<RawFile> = None,
    analysis_fps: f64 = 5.0,
    detect_size: i64 = i64::from(DETECT_SIZE),
    min_face_px: f64 = f64::from(MIN_FACE_PX),
    still_interval_s: f64 = f64::from(STILL_INTERVAL_S),
    regions_of_interest: Vec<RawPolygon> = Vec::new(),
    privacy_masks: Vec<RawPolygon> = Vec::new(),
    mounting: RawMounting = RawMounting::default(),
});

/// Corners as `[x, y]`.
pub(super) type RawPolygon = Vec<[f64; 2]>;

table!(RawStreams {
    detect: Option<String> = None,
    main: Option<String> = None,
});

table!(RawUsb {
    width: Option<i64> = None,
    height: Option<i64> = None,
    fps: Option<i64> = None,
});

table!(RawFile { realtime: bool = true, repeat: bool = false });

table!(RawMounting { rotate: i64 = 0, mirror: bool = false });

/// Which way people pass.
#[derive(Clone, Copy, Debug, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum RawDirection {
    Entry,
    Exit,
}

/// A day of the week.
#[derive(Clone, Copy, Debug, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum RawDay {
    Mon,
    Tue,
    Wed,
    Thu,
    Fri,
    Sat,
    Sun,
}
