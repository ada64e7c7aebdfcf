//! Faces in a picture, which, other than those in a frame, may fill it or be one among many.

use std::sync::Arc;

use rollcall_pipeline::image::I420;
use rollcall_pipeline::ports::FaceDetector;
use rollcall_pipeline::{
    Attention, CameraId, CameraTuning, Detection, Epoch, Fault, Frame, FrameTime, Image, ImageView, MediaTime,
    MonoTime, RoomId, StreamKey, TimeSource, WallTime,
};
use uuid::Uuid;

use crate::detect::suppress;

/// Longest side for an ordinary picture.
const LONGEST: u32 = 640;
/// Longest side for a large one, in which faces may be small.
const LONGEST_LARGE: u32 = 1280;
/// Border for a picture that may be all face, as a part of its longer side; the detector learned faces with surroundings.
const BORDER: f32 = 0.4;
/// A face that takes more of the picture than this may have been cut by the picture's edge: look again with a border.
const FILLS: f32 = 0.25;
/// The same face found at two scales overlaps more than this.
const SAME_FACE_IOU: f32 = 0.3;
/// The border's colour: dark grey, without hue.
const BORDER_YUV: [u8; 3] = [60, 128, 128];

/// All faces of a picture, best score first, whatever their size: looks at it at several scales, with and without a border.
///
/// # Errors
/// When the model fails.
pub fn faces(picture: &Image, detector: &mut dyn FaceDetector) -> Result<Vec<Detection>, Fault> {
    let (width, height) = (picture.width(), picture.height());
    let longest = width.max(height);
    let mut found = detector.detect(&still(picture.clone(), LONGEST))?;
    if longest > LONGEST as usize * 3 / 2 {
        found.extend(detector.detect(&still(picture.clone(), LONGEST_LARGE))?);
    }
    let area = (width * height) as f32;
    if found.is_empty() || found.iter().any(|face| face.bbox.area() > FILLS * area) {
        // Even, so that luma and chroma stay together.
        let border = (longest as f32 * BORDER) as usize & !1;
        let canvas = Image::new(bordered(&picture.view(), border));
        let shift = |face: &mut Detection| {
            face.bbox.x -= border as f32;
            face.bbox.y -= border as f32;
            for point in &mut face.landmarks {
                point.x -= border as f32;
                point.y -= border as f32;
            }
        };
        let mut more = detector.detect(&still(canvas, LONGEST))?;
        more.iter_mut().for_each(shift);
        found.extend(more);
    }
    Ok(suppress(found, SAME_FACE_IOU))
}

/// The face whose middle is nearest to the picture's middle: the one that a picture of LFW is of.
pub fn nearest_to_center<'a>(picture: &Image, faces: &'a [Detection]) -> Option<&'a Detection> {
    let (x, y) = (picture.width() as f32 / 2.0, picture.height() as f32 / 2.0);
    let distance = |face: &Detection| (face.bbox.center().x - x).hypot(face.bbox.center().y - y);
    faces.iter().min_by(|a, b| distance(a).total_cmp(&distance(b)))
}

/// A picture as a frame of no camera, since that is what detectors take.
fn still(image: Image, detect_size: u32) -> Frame {
    let tuning = CameraTuning {
        room: RoomId::new("picture"),
        direction: None,
        analysis_fps: 0.0,
        detect_size,
        min_face_px: 0.0,
        still_interval_s: 0.0,
        regions_of_interest: Vec::new(),
        privacy_masks: Vec::new(),
    };
    Frame {
        key: StreamKey { camera: CameraId::new("picture"), epoch: Epoch(Uuid::nil()) },
        seq: 0,
        time: FrameTime {
            media: MediaTime(0),
            received: MonoTime(std::time::Duration::ZERO),
            captured: WallTime::UNIX_EPOCH,
            source: TimeSource::File,
        },
        image,
        tuning: Arc::new(tuning),
        attention: Attention::default(),
    }
}

/// A picture with `border` pixels of one colour on each side; even.
fn bordered(view: &ImageView<'_>, border: usize) -> I420 {
    debug_assert!(border.is_multiple_of(2));
    let width = view.width + 2 * border;
    let mut canvas = I420::filled(width, view.height + 2 * border, BORDER_YUV);
    let sides = [(width, border), (width.div_ceil(2), border / 2), (width.div_ceil(2), border / 2)];
    for ((channel, plane), (columns, edge)) in view.channels().iter().zip(canvas.planes_mut()).zip(sides) {
        for (from, to) in channel.rows().zip(plane.chunks_exact_mut(columns).skip(edge)) {
            to[edge..].iter_mut().zip(from).for_each(|(place, value)| *place = value);
        }
    }
    canvas
}

#[cfg(test)]
mod tests {
    use rollcall_pipeline::PixelBuffer as _;

    use super::*;

    #[test]
    fn a_border_surrounds_every_plane_of_an_odd_picture() {
        let image = I420::from_rgb(5, 3, &[255; 45]);
        let bordered = bordered(&image.view(), 4);
        let view = bordered.view();
        assert_eq!((view.width, view.height), (13, 11));
        assert_eq!(view.planes.map(|p| p.data.len()), [143, 42, 42]);
        let row = &view.planes[0].data[13 * 4..13 * 5];
        assert_eq!(row, [60, 60, 60, 60, 235, 235, 235, 235, 235, 60, 60, 60, 60]);
        assert!(view.planes[0].data[13 * 7..].iter().all(|&y| y == 60));
    }
}
