//! A frame that was chosen for analysis.

use std::sync::Arc;

use crate::attention::Attention;
use crate::geometry::Polygon;
use crate::ids::{RoomId, StreamKey};
use crate::image::Image;
use crate::time::FrameTime;

/// Which way people pass under a camera.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Direction {
    /// Into the room.
    Entry,
    /// Out of the room.
    Exit,
}

impl Direction {
    /// The word used in rows, events and configuration.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Entry => "entry",
            Self::Exit => "exit",
        }
    }
}

/// What a stage needs to know about the camera of a frame. It travels with the frame, so a changed tuning is in force from
/// the next frame on, and no stage holds configuration.
#[derive(Clone, Debug, PartialEq)]
pub struct CameraTuning {
    /// The room this camera looks into.
    pub room: RoomId,
    /// Which way people pass; `None` where the camera sees both.
    pub direction: Option<Direction>,
    /// Frames analysed a second of media time; zero analyses every frame.
    pub analysis_fps: f32,
    /// Longest side that the detector sees, in pixels.
    pub detect_size: u32,
    /// Faces whose box is narrower, in pixels of the decoded frame, are not tracked.
    pub min_face_px: f32,
    /// Where nothing moves and nobody is, the detector looks again after so many seconds of media time; zero or less: it looks
    /// everywhere in every analysed frame.
    pub still_interval_s: f32,
    /// Only faces whose centre lies in one of these count; empty = everywhere.
    pub regions_of_interest: Vec<Polygon>,
    /// Painted over before anything else sees pixels.
    pub privacy_masks: Vec<Polygon>,
}

/// One decoded picture on its way through the lane.
#[derive(Clone, Debug)]
pub struct Frame {
    /// Camera and connection.
    pub key: StreamKey,
    /// Number of the decoded frame within its epoch, from 0, or from where a restart of the lane cut the one before. Frames that
    /// are not analysed leave gaps.
    pub seq: u64,
    /// When.
    pub time: FrameTime,
    /// The pixels.
    pub image: Image,
    /// The camera's tuning at the time the frame was taken.
    pub tuning: Arc<CameraTuning>,
    /// Where to tell its camera's thread that there is something to look at.
    pub attention: Attention,
}
