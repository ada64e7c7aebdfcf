//! YuNet's anchors as faces.

use rollcall_models::{YuNet, YuNetStride};
use rollcall_pipeline::ports::{FaceDetector, PartialSearch};
use rollcall_pipeline::{Detection, Fault, Frame, ImageView, Point, Rect};

use super::letterbox::{Layout, Letterbox};
use super::windows::{CELL, Window, cover};
use crate::fault;

/// Boxes that overlap more are the same face.
pub const NMS_IOU: f32 = 0.3;
/// Candidates that suppression looks at: its cost is their square, and a crowd has no more.
const MAX_CANDIDATES: usize = 500;
/// A face is at most this large, in pixels of the tensor: an exponential of the network's that is larger is nonsense.
const MAX_SIDE: f32 = 8192.0;

/// YuNet behind the port.
#[derive(Debug)]
pub struct YuNetDetector {
    net: YuNet,
    letterbox: Letterbox,
    threshold: f32,
}

impl YuNetDetector {
    /// Score from which on a candidate is a face.
    ///
    /// At a backlit door no face of 24 pixels and more was missed up to here, at 480, 640 and 800 pixels alike; from 0.65 on
    /// some are.
    pub const THRESHOLD: f32 = 0.6;

    /// Wraps a loaded network.
    pub fn new(net: YuNet, threshold: f32) -> Self {
        Self { net, letterbox: Letterbox::default(), threshold }
    }

    /// The faces of a picture, best score first, whose longest side is scaled down to `longest` pixels.
    ///
    /// # Errors
    /// When the model fails.
    pub fn find(&mut self, image: &ImageView<'_>, longest: u32) -> Result<Vec<Detection>, Fault> {
        let boxed = self.letterbox.fill(image, longest)?;
        let scale = boxed.scale;
        let output = self.net.run(boxed.tensor).map_err(fault::of_model)?;
        let strides = output.strides().map_err(fault::of_model)?;
        Ok(in_frame(suppress(decode(&strides, self.threshold), NMS_IOU), scale))
    }

    /// The same, of some places (pixels of the picture) and what is around them; nothing is said of what lies elsewhere.
    ///
    /// # Errors
    /// When the model fails.
    pub fn find_at(&mut self, image: &ImageView<'_>, longest: u32, places: &[Rect]) -> Result<PartialSearch, Fault> {
        let layout = Layout::new(image, longest);
        let (cells, scale) = (layout.cells(), layout.scale());
        let in_tensor = |r: &Rect| Rect { x: r.x / scale.0, y: r.y / scale.1, w: r.w / scale.0, h: r.h / scale.1 };
        let Some(windows) = cover(places.iter().map(in_tensor), cells) else {
            return Ok(PartialSearch { faces: self.find(image, longest)?, part: 1.0 });
        };
        let (mut faces, mut part) = (Vec::new(), 0.0);
        for window in windows {
            part += window.area() as f32 / (cells.0 * cells.1) as f32;
            let boxed = self.letterbox.fill_window(image, &layout, window)?;
            let output = self.net.run(boxed.tensor).map_err(fault::of_model)?;
            let strides = output.strides().map_err(fault::of_model)?;
            let found = decode(&strides, self.threshold).into_iter().filter(|face| !is_cut(&face.bbox, window, cells));
            faces.extend(found.map(|face| shifted(face, window)));
        }
        Ok(PartialSearch { faces: in_frame(suppress(faces, NMS_IOU), scale), part })
    }
}

impl FaceDetector for YuNetDetector {
    fn detect(&mut self, frame: &Frame) -> Result<Vec<Detection>, Fault> {
        self.find(&frame.image.view(), frame.tuning.detect_size)
    }

    fn detect_at(&mut self, frame: &Frame, places: &[Rect]) -> Result<PartialSearch, Fault> {
        self.find_at(&frame.image.view(), frame.tuning.detect_size, places)
    }
}

/// From pixels of the tensor to those of the frame.
fn in_frame(mut faces: Vec<Detection>, scale: (f32, f32)) -> Vec<Detection> {
    for face in &mut faces {
        face.bbox.x *= scale.0;
        face.bbox.w *= scale.0;
        face.bbox.y *= scale.1;
        face.bbox.h *= scale.1;
        for point in &mut face.landmarks {
            point.x *= scale.0;
            point.y *= scale.1;
        }
    }
    faces
}

/// From pixels of the window to those of the whole tensor.
fn shifted(mut face: Detection, window: Window) -> Detection {
    let (left, top) = ((window.left * CELL) as f32, (window.top * CELL) as f32);
    face.bbox.x += left;
    face.bbox.y += top;
    for point in &mut face.landmarks {
        point.x += left;
        point.y += top;
    }
    face
}

/// Whether a box (pixels of the window) goes over an edge of the window behind which the picture goes on: what is there of the
/// face is not what was asked for, and its box and landmarks are guessed.
fn is_cut(bbox: &Rect, window: Window, (columns, rows): (usize, usize)) -> bool {
    let width = ((window.right - window.left) * CELL) as f32;
    let height = ((window.bottom - window.top) * CELL) as f32;
    (window.left > 0 && bbox.x < 0.0)
        || (window.top > 0 && bbox.y < 0.0)
        || (window.right < columns && bbox.x + bbox.w > width)
        || (window.bottom < rows && bbox.y + bbox.h > height)
}

/// The anchors whose score reaches the threshold as faces, in pixels of the tensor; most faces come several times.
pub fn decode(strides: &[YuNetStride<'_>], threshold: f32) -> Vec<Detection> {
    strides.iter().flat_map(|stride| candidates(stride, threshold)).collect()
}

/// The anchors of one stride whose score reaches the threshold, in pixels of the tensor. A box that lies nowhere would hide all
/// others.
fn candidates<'a>(anchors: &'a YuNetStride<'a>, threshold: f32) -> impl Iterator<Item = Detection> + 'a {
    let scores = anchors.cls.iter().zip(anchors.obj).map(|(&c, &o)| (c.clamp(0.0, 1.0) * o.clamp(0.0, 1.0)).sqrt());
    let faces = scores.enumerate().filter(move |(_, score)| *score >= threshold).map(|(i, score)| {
        let stride = anchors.stride as f32;
        let (column, row) = ((i % anchors.columns) as f32, (i / anchors.columns) as f32);
        let bbox = &anchors.bbox[i * 4..][..4];
        let points = &anchors.kps[i * 10..][..10];
        let side = |log: f32| (log.exp() * stride).min(MAX_SIDE);
        let (w, h) = (side(bbox[2]), side(bbox[3]));
        Detection {
            bbox: Rect { x: (column + bbox[0]) * stride - w / 2.0, y: (row + bbox[1]) * stride - h / 2.0, w, h },
            score,
            landmarks: std::array::from_fn(|n| Point {
                x: (points[n * 2] + column) * stride,
                y: (points[n * 2 + 1] + row) * stride,
            }),
        }
    });
    faces.filter(|face| {
        let points = face.landmarks.iter().flat_map(|point| [point.x, point.y]);
        points.chain([face.bbox.x, face.bbox.y, face.bbox.w, face.bbox.h]).all(f32::is_finite)
    })
}

/// Non-maximum suppression: best score first, everything that overlaps a better one by more than `iou` goes.
pub fn suppress(mut faces: Vec<Detection>, iou: f32) -> Vec<Detection> {
    faces.sort_by(|a, b| b.score.total_cmp(&a.score));
    faces.truncate(MAX_CANDIDATES);
    let mut kept: Vec<Detection> = Vec::new();
    for face in faces {
        if kept.iter().all(|better| better.bbox.iou(&face.bbox) <= iou) {
            kept.push(face);
        }
    }
    kept
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn an_anchor_is_decoded_relative_to_its_cell() {
        let mut kps = vec![0.0; 60];
        kps[50..].copy_from_slice(&[0.5, 0.25, 1.5, 0.25, 1.0, 1.0, 0.5, 1.5, 1.5, 1.5]);
        let mut bbox = vec![0.0; 24];
        bbox[20..].copy_from_slice(&[0.5, 0.5, 2f32.ln(), 3f32.ln()]);
        let (cls, obj) = (vec![0.1, 0.1, 0.1, 0.1, 0.1, 0.64], vec![1.0; 6]);
        let anchors = YuNetStride { stride: 16, columns: 3, rows: 2, cls: &cls, obj: &obj, bbox: &bbox, kps: &kps };
        let faces: Vec<_> = candidates(&anchors, 0.6).collect();
        assert_eq!(faces.len(), 1);
        let face = faces[0];
        assert!((face.score - 0.8).abs() < 1e-6);
        // Cell (2, 1) of 16 pixels; centre at its half, 32 × 48 pixels.
        assert!((face.bbox.x - 24.0).abs() < 1e-4 && (face.bbox.y - 0.0).abs() < 1e-4, "{:?}", face.bbox);
        assert!((face.bbox.w - 32.0).abs() < 1e-4 && (face.bbox.h - 48.0).abs() < 1e-4, "{:?}", face.bbox);
        assert_eq!(face.landmarks[0], Point { x: 40.0, y: 20.0 });
    }

    #[test]
    fn a_monstrous_size_stays_finite() {
        let anchors = YuNetStride {
            stride: 8,
            columns: 1,
            rows: 1,
            cls: &[1.0],
            obj: &[7.0],
            bbox: &[0.0, 0.0, 500.0, 88.0],
            kps: &[0.0; 10],
        };
        let face = candidates(&anchors, 0.5).next().unwrap();
        assert_eq!((face.bbox.w, face.bbox.h, face.score), (MAX_SIDE, MAX_SIDE, 1.0));
    }

    fn some_faces() -> impl Strategy<Value = Vec<Detection>> {
        let face = (0f32..100.0, 0f32..100.0, 1f32..60.0, 1f32..60.0, 0f32..1.0).prop_map(|(x, y, w, h, score)| {
            Detection { bbox: Rect { x, y, w, h }, score, landmarks: Default::default() }
        });
        proptest::collection::vec(face, 0..60)
    }

    /// What a network may answer: mostly what one answers, now and then what none should.
    fn answer(values: usize) -> impl Strategy<Value = Vec<f32>> {
        let odd = prop_oneof![
            Just(f32::MAX),
            Just(f32::MIN),
            Just(f32::MIN_POSITIVE),
            Just(f32::NAN),
            Just(f32::INFINITY),
            any::<f32>(),
        ];
        proptest::collection::vec(prop_oneof![9 => -3f32..3.0, 1 => odd], values)
    }

    proptest! {
        #[test]
        fn any_answer_of_the_network_is_survived(
            cls in answer(12), obj in answer(12), bbox in answer(48), kps in answer(120), threshold in 0.1f32..0.99,
        ) {
            let anchors = YuNetStride { stride: 8, columns: 4, rows: 3, cls: &cls, obj: &obj, bbox: &bbox, kps: &kps };
            let found: Vec<_> = candidates(&anchors, threshold).collect();
            prop_assert!(found.iter().all(|face| face.score >= threshold && face.score <= 1.0));
            prop_assert!(found.iter().all(|face| face.bbox.w <= MAX_SIDE && face.bbox.h <= MAX_SIDE));
            let kept = suppress(found.clone(), NMS_IOU);
            for face in &found {
                let hidden = kept.iter().any(|b| b.score >= face.score && b.bbox.iou(&face.bbox) > NMS_IOU);
                prop_assert!(hidden || kept.contains(face), "{face:?} of {found:?}");
            }
        }

        #[test]
        fn what_is_kept_does_not_overlap_and_what_is_not_does(faces in some_faces()) {
            let kept = suppress(faces.clone(), NMS_IOU);
            for (i, a) in kept.iter().enumerate() {
                prop_assert!(kept[..i].iter().all(|b| b.score >= a.score && b.bbox.iou(&a.bbox) <= NMS_IOU));
            }
            for face in &faces {
                let survives = kept.contains(face);
                prop_assert!(survives || kept.iter().any(|b| b.score >= face.score && b.bbox.iou(&face.bbox) > NMS_IOU));
            }
        }
    }
}
