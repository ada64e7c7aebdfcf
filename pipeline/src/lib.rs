//! The vocabulary of Rollcall and the machinery that moves it: frames in, attendance events out.
//!
//! This crate deliberately knows no GStreamer, no model, no database, no HTTP and no async runtime. It fixes the words
//! (one type a concept), the ports that the outside is plugged into, the one lossy edge (the mux), the loop that runs
//! every stage and the order of the stages.

pub mod attention;
pub mod clock;
pub mod config;
pub mod decision;
pub mod error;
pub mod event;
pub mod face;
pub mod frame;
pub mod geometry;
pub mod ids;
pub mod image;
pub mod lane;
pub mod metrics;
pub mod mux;
pub mod packet;
pub mod ports;
pub mod stage;
pub mod supervisor;
pub mod time;

pub use self::image::{Image, ImageView, PixelBuffer, PixelFormat, Plane};
pub use attention::Attention;
pub use clock::{Clock, ManualClock, SystemClock};
pub use decision::{Candidate, Decision, Grounds, Lack, LivenessVerdict, Match, MatchOutcome, UndecidedReason};
pub use error::{ErrorClass, Fault};
pub use event::{AttendanceEvent, EventKind, Mark, MarkStatus, Repeat, RepeatRule, Session, SessionKind};
pub use face::{
    Chip, ContextCrop, Detection, EmbeddedShot, Embedding, EyeShot, FaceChip, FrameFaces, LiveShot, Pose, ShotQuality,
    TrackEnd, TrackObservation, TrackShot, Tracked,
};
pub use frame::{CameraTuning, Direction, Frame};
pub use geometry::{Landmarks, Point, Polygon, Rect};
pub use ids::{CameraId, Epoch, EventId, GalleryVersion, ModelId, PersonId, RoomId, SessionId, StreamKey, TrackId};
pub use lane::{EdgeDepth, Lane, LaneError, LaneFactory, LaneOptions, LaneStages, LaneState, LaneStats};
pub use mux::{FrameMux, MuxError, MuxMode, MuxReceiver, MuxSender, MuxStats};
pub use packet::{CloseReason, Packet};
pub use stage::{BatchPolicy, Outbox, Stage};
pub use supervisor::{Activity, Exit, Progress, Supervisor, ThreadHealth, Worker};
pub use time::{FrameTime, MediaTime, MonoTime, TimeSource, WallTime};
