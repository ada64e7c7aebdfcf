//! What the tests of the pixel stages share: the real models and photographs that `make setup` fetched, and frames of them.

#![allow(dead_code, reason = "each test file uses its own part")]

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use rollcall_models::Models;
use rollcall_pipeline::{
    Attention, CameraId, CameraTuning, Epoch, Frame, FrameTime, Image, MediaTime, MonoTime, Polygon, RoomId, StreamKey,
    TimeSource, WallTime,
};
use rollcall_stages::picture;
use uuid::Uuid;

pub(crate) fn cache() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../models/cache")
}

pub(crate) fn models() -> Models {
    Models::open(cache()).expect("the models are in models/cache; run `make setup`")
}

/// A photograph of the demo media.
pub(crate) fn photo(name: &str) -> Image {
    picture::read(&cache().join("demo").join(name)).expect("the demo media are in models/cache; run `make setup`")
}

pub(crate) fn stream(n: u128) -> StreamKey {
    StreamKey { camera: CameraId::new(format!("door-{n}")), epoch: Epoch(Uuid::from_u128(n)) }
}

pub(crate) fn at(ms: u64) -> FrameTime {
    FrameTime {
        media: MediaTime(ms * 1_000_000),
        received: MonoTime(Duration::from_millis(ms)),
        captured: WallTime::UNIX_EPOCH,
        source: TimeSource::File,
    }
}

pub(crate) fn tuning() -> CameraTuning {
    CameraTuning {
        room: RoomId::new("hall"),
        direction: None,
        analysis_fps: 5.0,
        detect_size: 640,
        min_face_px: 24.0,
        still_interval_s: 0.0,
        regions_of_interest: Vec::<Polygon>::new(),
        privacy_masks: Vec::new(),
    }
}

pub(crate) fn frame(seq: u64, image: Image, tuning: CameraTuning) -> Frame {
    Frame { key: stream(1), seq, time: at(seq * 200), image, tuning: Arc::new(tuning), attention: Attention::default() }
}
