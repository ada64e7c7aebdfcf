//! detect: finds the faces of each analysed frame and leaves out those that the camera's tuning does not want. What has not changed
//! since it was searched is not searched again, except where somebody is (see [`motion`]); a frame of which nothing is left is
//! passed on as such.

mod letterbox;
pub mod motion;
mod shrink;
mod windows;
mod yunet;

use std::collections::HashMap;

use rollcall_pipeline::metrics::CameraMetrics;
use rollcall_pipeline::ports::{FaceDetector, PartialSearch};
use rollcall_pipeline::stage::{Outbox, Stage};
use rollcall_pipeline::{CameraTuning, Detection, Fault, Frame, FrameFaces, Point, StreamKey};

pub use letterbox::{Letterbox, Letterboxed};
pub(crate) use letterbox::{Part, resize as resize_plane};
use motion::{Grids, Look, MotionGate};
pub use yunet::{NMS_IOU, YuNetDetector, decode, suppress};

/// Faces of one frame that go on, at most; the best scores stay. It bounds the work of all later stages.
pub const MAX_FACES: usize = 64;

/// The stage.
pub struct DetectStage {
    detector: Box<dyn FaceDetector>,
    streams: HashMap<StreamKey, Stream>,
    grids: Grids,
}

/// What is kept of a stream.
struct Stream {
    metrics: CameraMetrics,
    gate: MotionGate,
}

impl Stream {
    fn new(key: &StreamKey) -> Self {
        Self { metrics: CameraMetrics::new(&key.camera), gate: MotionGate::default() }
    }
}

impl DetectStage {
    /// Around a detector.
    pub fn new(detector: impl FaceDetector + 'static) -> Self {
        Self { detector: Box::new(detector), streams: HashMap::new(), grids: Grids::default() }
    }
}

impl Stage for DetectStage {
    const NAME: &'static str = "detect";
    type In = Frame;
    type Out = FrameFaces;

    fn process(&mut self, batch: Vec<Frame>, out: &mut Outbox<FrameFaces>) -> Result<(), Fault> {
        for frame in batch {
            let stream = self.streams.entry(frame.key.clone()).or_insert_with_key(Stream::new);
            let look = stream.gate.look(&mut self.grids, &frame)?;
            stream.metrics.looked(look.as_str());
            if look.is_stir() {
                frame.attention.stirred();
            }
            let PartialSearch { faces: found, part } = match look {
                Look::Nowhere(_) => {
                    out.send(FrameFaces { frame, faces: Vec::new(), searched: 0.0 });
                    continue;
                }
                Look::Places(places, _) => self.detector.detect_at(&frame, &places)?,
                Look::Everywhere(_) => PartialSearch { faces: self.detector.detect(&frame)?, part: 1.0 },
            };
            let metrics = &mut stream.metrics;
            metrics.faces_detected(found.len());
            let mut faces = Vec::with_capacity(found.len().min(MAX_FACES));
            let (width, height) = (frame.image.width() as f32, frame.image.height() as f32);
            for face in found {
                match refusal(&face, &frame.tuning, width, height) {
                    Some(reason) => metrics.face_rejected(reason),
                    None if faces.len() == MAX_FACES => metrics.face_rejected("too_many"),
                    None => faces.push(face),
                }
            }
            if !faces.is_empty() {
                frame.attention.stirred();
            }
            stream.gate.found(&frame, &faces);
            out.send(FrameFaces { frame, faces, searched: part });
        }
        Ok(())
    }

    fn on_open(&mut self, key: &StreamKey) -> Result<(), Fault> {
        self.streams.insert(key.clone(), Stream::new(key));
        Ok(())
    }

    fn on_close(&mut self, key: &StreamKey, _out: &mut Outbox<FrameFaces>) -> Result<(), Fault> {
        self.streams.remove(key);
        Ok(())
    }
}

/// Why a face is left out; `None` if it goes on.
fn refusal(face: &Detection, tuning: &CameraTuning, width: f32, height: f32) -> Option<&'static str> {
    let values = [face.bbox.x, face.bbox.y, face.bbox.w, face.bbox.h, face.score];
    if !values.iter().chain(face.landmarks.iter().flat_map(|p| [&p.x, &p.y])).all(|v| v.is_finite()) {
        return Some("not_finite");
    }
    let center = face.bbox.center();
    let relative = Point { x: center.x / width, y: center.y / height };
    let regions = &tuning.regions_of_interest;
    if face.bbox.w < tuning.min_face_px {
        Some("too_small")
    } else if !regions.is_empty() && !regions.iter().any(|region| region.contains(relative)) {
        Some("outside_region")
    } else {
        None
    }
}
