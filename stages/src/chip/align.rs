//! The five-point similarity alignment that face embeddings are trained on.

use rollcall_pipeline::{Chip, ImageView, Landmarks};

use super::patch::{Similarity, warp};

/// Side of an aligned chip.
const ALIGNED_SIDE: usize = 112;

/// Where the five points go in the chip: the template of ArcFace (InsightFace `arcface_dst`), which SFace shares.
pub const TEMPLATE: [(f32, f32); 5] =
    [(38.2946, 51.6963), (73.5318, 51.5014), (56.0252, 71.7366), (41.5493, 92.3655), (70.7299, 92.2041)];

/// Cuts the face out and turns, scales and shifts it so that its five points meet the template.
///
/// Points that coincide or are not finite give a black chip; so does a face outside of the picture.
pub fn align(image: &ImageView<'_>, landmarks: &Landmarks) -> Chip {
    warp(image, &to_picture(landmarks), ALIGNED_SIDE)
}

/// The similarity from chip to picture that is, in the other direction, the least-squares fit of the points to the template.
///
/// Umeyama's solution, which in two dimensions and without reflection needs no decomposition: with both point sets centred
/// and read as complex numbers, the factor is `Σ conj(s)·d / Σ |s|²`.
pub(crate) fn to_picture(landmarks: &Landmarks) -> Similarity {
    let mean = |f: fn(&(f32, f32)) -> f32| TEMPLATE.iter().map(f).sum::<f32>() / 5.0;
    let (tx, ty) = (mean(|p| p.0), mean(|p| p.1));
    let (px, py) = (landmarks.iter().map(|p| p.x).sum::<f32>() / 5.0, landmarks.iter().map(|p| p.y).sum::<f32>() / 5.0);
    let (mut re, mut im, mut norm) = (0.0, 0.0, 0.0);
    for (p, &(x, y)) in landmarks.iter().zip(&TEMPLATE) {
        let (sx, sy, dx, dy) = (p.x - px, p.y - py, x - tx, y - ty);
        re += sx * dx + sy * dy;
        im += sx * dy - sy * dx;
        norm += sx * sx + sy * sy;
    }
    // Picture to chip is the factor (re + i·im) / norm; its inverse is norm · conj(·) / |·|². Points that coincide give 0/0,
    // which the warp refuses.
    let square = re * re + im * im;
    let (a, b) = (norm * re / square, -norm * im / square);
    Similarity { a, b, x0: px - (a * tx - b * ty), y0: py - (b * tx + a * ty) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rollcall_pipeline::Point;

    use super::*;

    proptest! {
        #[test]
        fn a_moved_template_is_found_again(angle in -3.1f32..3.1, scale in 0.2f32..8.0, x in 0f32..2000.0, y in 0f32..2000.0) {
            let (a, b) = (scale * angle.cos(), scale * angle.sin());
            let truth = Similarity { a, b, x0: x, y0: y };
            let points = TEMPLATE.map(|(x, y)| truth.apply(x, y)).map(|(x, y)| Point { x, y });
            let found = to_picture(&points);
            for corner in [(0.0, 0.0), (111.0, 111.0)] {
                let (p, q) = (truth.apply(corner.0, corner.1), found.apply(corner.0, corner.1));
                prop_assert!((p.0 - q.0).hypot(p.1 - q.1) < 0.05 * scale.max(1.0), "{p:?} {q:?}");
            }
        }
    }
}
