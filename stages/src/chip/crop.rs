//! Square crops around a face that are not aligned to a template: what liveness models and the mesh look at.

use rollcall_pipeline::{Chip, ContextCrop, ImageView, Landmarks, Rect};

use super::patch::{Similarity, warp};

/// Side of the crop for the face mesh.
pub const EYES_SIDE: usize = 256;
/// Side of the square around the face box that the mesh was trained on, as a multiple of the box (MediaPipe's face graph).
const EYES_SCALE: f32 = 1.5;

/// A square crop of `crop.scale` × the box, shifted and, where the picture is too small for it, shrunk to lie inside.
///
/// The square has whole pixels, as in the liveness models' own scripts, and pixels at the half, as in OpenCV's `resize`.
pub fn context(image: &ImageView<'_>, bbox: &Rect, crop: &ContextCrop) -> Chip {
    let (x, y, side) = context_square(image.width, image.height, bbox, crop.scale);
    let step = side / crop.side as f32;
    let half = (step - 1.0) / 2.0;
    warp(image, &Similarity { a: step, b: 0.0, x0: x + half, y0: y + half }, crop.side)
}

/// Left, top and side of the context square, in whole pixels.
fn context_square(width: usize, height: usize, bbox: &Rect, scale: f32) -> (f32, f32, f32) {
    let (width, height) = (width as f32, height as f32);
    let side = (bbox.size() * scale).min(width).min(height).floor().max(1.0);
    let center = bbox.center();
    let place = |center: f32, length: f32| (center - side / 2.0).min(length - side).max(0.0).floor();
    (place(center.x, width), place(center.y, height), side)
}

/// The face for the mesh: the square of 1.5 × the box, turned so that the eyes are level; black outside of the picture.
pub fn eyes(image: &ImageView<'_>, bbox: &Rect, landmarks: &Landmarks) -> Chip {
    let (dx, dy) = (landmarks[1].x - landmarks[0].x, landmarks[1].y - landmarks[0].y);
    let length = dx.hypot(dy);
    let (cos, sin) = if length > 0.0 { (dx / length, dy / length) } else { (1.0, 0.0) };
    let step = bbox.size() * EYES_SCALE / EYES_SIDE as f32;
    let (a, b) = (step * cos, step * sin);
    let (center, middle) = (bbox.center(), (EYES_SIDE - 1) as f32 / 2.0);
    // A box edge lies between pixels, half a pixel before the centre of the first one.
    let (cx, cy) = (center.x - 0.5, center.y - 0.5);
    let map = Similarity { a, b, x0: cx - (a * middle - b * middle), y0: cy - (b * middle + a * middle) };
    warp(image, &map, EYES_SIDE)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_square_is_shifted_before_it_is_shrunk() {
        let bbox = Rect { x: 0.0, y: 10.0, w: 20.0, h: 20.0 };
        assert_eq!(context_square(100, 100, &bbox, 2.7), (0.0, 0.0, 54.0));
        assert_eq!(context_square(100, 40, &bbox, 2.7), (0.0, 0.0, 40.0));
        assert_eq!(context_square(100, 100, &Rect { x: 40.0, y: 40.0, ..bbox }, 2.0), (30.0, 30.0, 40.0));
    }

    proptest! {
        #[test]
        fn the_square_lies_in_the_picture(
            width in 1usize..3000, height in 1usize..3000,
            x in -500f32..3000.0, y in -500f32..3000.0, w in 0f32..2000.0, h in 0f32..2000.0, scale in 0.5f32..5.0,
        ) {
            let (left, top, side) = context_square(width, height, &Rect { x, y, w, h }, scale);
            prop_assert!(left >= 0.0 && top >= 0.0 && side >= 1.0);
            prop_assert!(left + side <= width as f32 && top + side <= height as f32);
        }
    }
}
