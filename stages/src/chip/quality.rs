//! How good a view of a face is: which shots are worth an embedding, and how much each counts ([`evidence_weight`]).
//!
//! `weight = size · pose · score · sharpness · light · contrast`, each factor between 0 and 1 and growing with its figure
//! (falling, for angles and for light that is far from the middle). A product, since one thing that is bad spoils a shot
//! whatever the rest is. The first three need no pixels: their product, [`geometry_weight`], is never less than the weight.
//! The limits were set so that the weight ranks a person's shots by their similarity to that person's other shots (rank
//! correlation 0.6 on a backlit door; no single figure reaches 0.4).

use rollcall_pipeline::{Chip, Detection, Landmarks, Pose, ShotQuality};

use super::color::rgb_to_luma;

/// Distance of the nose tip from the plane of the eyes, in distances between the eyes (28 mm and 63 mm in the mean adult).
const NOSE_DEPTH: f32 = 0.45;
/// Distance from the eye line to the mouth line, in the same unit, in the ArcFace template.
const FACE_HEIGHT: f32 = 1.155;
/// Where YuNet puts the nose between the eye line (0) and the mouth line (1) of a face that looks straight ahead: the median
/// of press photographs and of a door alike.
const NOSE_HEIGHT: f32 = 0.56;

/// What a [usable](is_usable) shot has at least.
const USABLE_EYE_DISTANCE_PX: f32 = 16.0;
const USABLE_SHARPNESS: f32 = 0.1;
/// Degrees to either side at most.
const USABLE_YAW: f32 = 20.0;

/// What a shot has at least by which somebody may be called a picture, see [`can_accuse`].
const ACCUSING_SHARPNESS: f32 = 0.3;
/// Degrees to either side at most.
const ACCUSING_YAW: f32 = 30.0;

/// Blurred beyond use (similarity to the sharp picture under 0.6), and sharp enough (over 0.9).
const SHARP: (f32, f32) = (0.02, 0.2);

/// The part of the aligned chip that is face whatever the pose: from the brows to the chin, between the cheeks.
const FACE_X: std::ops::Range<usize> = 24..88;
const FACE_Y: std::ops::Range<usize> = 32..104;

/// Head pose from five points: how far the nose lies from the middle between eyes and mouth, as if it were a stick that
/// stands on the face. Good to about 10°, less beyond 45°; expression and beards move the pitch.
pub fn pose(landmarks: &Landmarks) -> Pose {
    let [left, right, nose, mouth_left, mouth_right] = *landmarks;
    let (dx, dy) = (right.x - left.x, right.y - left.y);
    let roll = dy.atan2(dx);
    let (sin, cos) = (-roll).sin_cos();
    let eyes = ((left.x + right.x) / 2.0, (left.y + right.y) / 2.0);
    let mouth = ((mouth_left.x + mouth_right.x) / 2.0, (mouth_left.y + mouth_right.y) / 2.0);
    // In a frame that is level with the eyes and starts between them.
    let level = |x: f32, y: f32| (cos * (x - eyes.0) - sin * (y - eyes.1), sin * (x - eyes.0) + cos * (y - eyes.1));
    let (nose, mouth) = (level(nose.x, nose.y), level(mouth.0, mouth.1));
    let between_eyes = dx.hypot(dy).max(1e-3);
    let along = nose.1 / if mouth.1.abs() > 1e-3 { mouth.1 } else { 1e-3 };
    // On the line from between the eyes to the mouth, at the height of the nose: a face that leans is not turned.
    let offset = (nose.0 - mouth.0 * along.clamp(0.0, 1.0)) / between_eyes;
    let yaw = (offset / NOSE_DEPTH).atan();
    let pitch = ((NOSE_HEIGHT - along) * FACE_HEIGHT / NOSE_DEPTH).atan();
    Pose { yaw: yaw.to_degrees(), pitch: pitch.to_degrees(), roll: roll.to_degrees() }
}

/// The quality of a shot from its detection and its aligned chip.
pub fn quality(detection: &Detection, aligned: &Chip) -> ShotQuality {
    let light = Light::of(aligned);
    let quality = ShotQuality {
        eye_distance_px: eye_distance(&detection.landmarks),
        face_px: detection.bbox.w,
        pose: pose(&detection.landmarks),
        sharpness: light.sharpness,
        brightness: light.mean,
        contrast: light.deviation,
        score: detection.score,
        weight: 0.0,
    };
    ShotQuality { weight: weight(&quality), ..quality }
}

/// How much a shot counts when it is told who it is: its weight, of which blur takes more. A picture that was scaled up or is out of
/// focus has the pixels and shows little, and would outvote the few good views. When a shot is due goes by the weight alone: of
/// somebody who stays out of focus there is nothing better.
pub fn evidence_weight(quality: &ShotQuality) -> f32 {
    quality.weight * (0.2 + 0.8 * ramp(quality.sharpness, SHARP.0, SHARP.1))
}

/// Whether the embedder can tell people by a shot like this: of the first such shots of people, half are by themselves as
/// similar to the person's templates as a settled name needs. Size alone does not say it, since a picture that was scaled up
/// or is out of focus has many pixels between the eyes and shows little. `docs/decisions.md` has the curves.
///
/// It says when the clock starts and when shots come thick and fast. What counts as evidence is told by [`evidence_weight`].
pub fn is_usable(quality: &ShotQuality) -> bool {
    quality.eye_distance_px >= USABLE_EYE_DISTANCE_PX
        && quality.sharpness >= USABLE_SHARPNESS
        && quality.pose.yaw.abs() <= USABLE_YAW
}

/// Whether a low score of the passive liveness model speaks against a shot like this. The model looks for the texture of
/// screens and prints; a living face that is blurred, scaled up or turned away lacks its own, and is called a picture several
/// times as often. `docs/decisions.md` has the curves.
pub fn can_accuse(quality: &ShotQuality) -> bool {
    quality.sharpness >= ACCUSING_SHARPNESS && quality.pose.yaw.abs() <= ACCUSING_YAW
}

/// Whether a shot can be [usable](is_usable), before any pixel is touched.
pub fn may_be_usable(detection: &Detection) -> bool {
    eye_distance(&detection.landmarks) >= USABLE_EYE_DISTANCE_PX && pose(&detection.landmarks).yaw.abs() <= USABLE_YAW
}

/// What the weight of a shot can be at most, before any pixel is touched: its size, pose and score.
pub fn geometry_weight(detection: &Detection) -> f32 {
    geometry(eye_distance(&detection.landmarks), &pose(&detection.landmarks), detection.score)
}

/// What spoils a view most: `too_small`, `turned_away`, `uncertain` (hardly a face), `too_dark`, `too_bright`, `low_contrast` or
/// `blurred`. The factor of the weight that is least.
pub fn flaw(quality: &ShotQuality) -> &'static str {
    let light = [
        // As in `weight`, each with its part of `visible`.
        ("blurred", 0.5 + 0.5 * ramp(quality.sharpness, SHARP.0, SHARP.1)),
        ("too_dark", ramp(quality.brightness, 8.0, 16.0) * (0.2 + 0.8 * ramp(quality.brightness, 15.0, 75.0))),
        (
            "too_bright",
            ramp(-quality.brightness, -252.0, -235.0) * (0.2 + 0.8 * ramp(-quality.brightness, -240.0, -190.0)),
        ),
        ("low_contrast", ramp(quality.contrast, 1.0, 4.0) * (0.2 + 0.8 * ramp(quality.contrast, 4.0, 30.0))),
    ];
    let geometry = geometry_factors(quality.eye_distance_px, &quality.pose, quality.score);
    least(geometry.into_iter().chain(light))
}

/// The same before any pixel is touched.
pub fn geometry_flaw(detection: &Detection) -> &'static str {
    least(geometry_factors(eye_distance(&detection.landmarks), &pose(&detection.landmarks), detection.score))
}

fn least(factors: impl IntoIterator<Item = (&'static str, f32)>) -> &'static str {
    factors.into_iter().min_by(|a, b| a.1.total_cmp(&b.1)).map_or("uncertain", |(flaw, _)| flaw)
}

fn eye_distance(landmarks: &Landmarks) -> f32 {
    (landmarks[1].x - landmarks[0].x).hypot(landmarks[1].y - landmarks[0].y)
}

/// 0 up to `from`, 1 from `to` on, straight between; not-a-number is 0.
fn ramp(value: f32, from: f32, to: f32) -> f32 {
    let x = (value - from) / (to - from);
    if x.is_nan() { 0.0 } else { x.clamp(0.0, 1.0) }
}

/// The cosine's bell over ±`limit` degrees.
fn bell(degrees: f32, limit: f32) -> f32 {
    let x = (degrees / limit).abs();
    if x < 1.0 { 0.5 + 0.5 * (x * std::f32::consts::PI).cos() } else { 0.0 }
}

fn geometry(eye_distance_px: f32, pose: &Pose, score: f32) -> f32 {
    geometry_factors(eye_distance_px, pose, score).into_iter().map(|(_, factor)| factor).product()
}

/// Each with the word for what is wrong where it is small.
fn geometry_factors(eye_distance_px: f32, pose: &Pose, score: f32) -> [(&'static str, f32); 3] {
    let size = ramp(eye_distance_px, 6.0, 32.0).sqrt();
    // Roll costs little: the alignment undoes it.
    let pose = bell(pose.yaw, 65.0) * bell(pose.pitch, 65.0) * bell(pose.roll, 120.0);
    [("too_small", size), ("turned_away", pose), ("uncertain", ramp(score, 0.5, 0.9))]
}

/// The combined weight, from all figures but `weight` itself.
fn weight(q: &ShotQuality) -> f32 {
    // Poor light and focus cost most of the weight, not all of it: at a backlit door there may be nothing else, and people
    // are known by it. Only where nothing can be seen is nothing left.
    let visible = ramp(q.contrast, 1.0, 4.0) * ramp(q.brightness, 8.0, 16.0) * ramp(-q.brightness, -252.0, -235.0);
    visible
        * geometry(q.eye_distance_px, &q.pose, q.score)
        * (0.5 + 0.5 * ramp(q.sharpness, SHARP.0, SHARP.1))
        * (0.2 + 0.8 * ramp(q.brightness, 15.0, 75.0) * ramp(-q.brightness, -240.0, -190.0))
        * (0.2 + 0.8 * ramp(q.contrast, 4.0, 30.0))
}

/// Light and sharpness of the face in an aligned chip.
struct Light {
    mean: f32,
    deviation: f32,
    sharpness: f32,
}

impl Light {
    fn of(chip: &Chip) -> Self {
        let side = chip.side;
        let (xs, ys) = (FACE_X.start..FACE_X.end.min(side), FACE_Y.start..FACE_Y.end.min(side));
        if xs.len() < 6 || ys.len() < 6 || chip.rgb.len() < side * side * 3 {
            return Self { mean: 0.0, deviation: 0.0, sharpness: 0.0 };
        }
        let width = xs.len();
        let luma: Vec<i32> = ys
            .flat_map(|y| chip.rgb[(y * side + xs.start) * 3..(y * side + xs.end) * 3].chunks_exact(3))
            .map(|p| i32::from(rgb_to_luma([p[0], p[1], p[2]])))
            .collect();
        let (mean, variance) = moments(luma.iter().copied());
        // Sums of 2×2 pixels: detail as fine as single pixels is mostly noise, from the camera and from rounding, which would
        // make a dark, blurred face look sharp.
        let rows: Vec<&[i32]> = luma.chunks_exact(width).collect();
        let halved: Vec<Vec<i32>> = rows
            .chunks_exact(2)
            .map(|r| r[0].chunks_exact(2).zip(r[1].chunks_exact(2)).map(|(a, b)| a[0] + a[1] + b[0] + b[1]).collect())
            .collect();
        let (_, spread) = moments(halved.iter().flatten().copied());
        let laplacian = halved
            .windows(3)
            .flat_map(|r| (1..width / 2 - 1).map(|x| r[0][x] + r[2][x] + r[1][x - 1] + r[1][x + 1] - 4 * r[1][x]));
        let (_, edges) = moments(laplacian);
        Self { mean, deviation: variance.sqrt(), sharpness: edges / spread.max(16.0) }
    }
}

/// Mean and variance.
fn moments(values: impl Iterator<Item = i32>) -> (f32, f32) {
    let (n, sum, squares) = values.fold((0i64, 0i64, 0i64), |(n, s, q), v| {
        let v = i64::from(v);
        (n + 1, s + v, q + v * v)
    });
    let n = n.max(1) as f64;
    let mean = sum as f64 / n;
    (mean as f32, (squares as f64 / n - mean * mean).max(0.0) as f32)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rollcall_pipeline::{Point, Rect};

    use super::*;
    use crate::chip::TEMPLATE;

    /// A face of the template's proportions whose nose is moved by a part of the distance between the eyes.
    fn face(nose_x: f32, nose_y: f32) -> Landmarks {
        let mut points = TEMPLATE.map(|(x, y)| Point { x, y });
        let between = points[1].x - points[0].x;
        points[2].x += nose_x * between;
        points[2].y += nose_y * between;
        points
    }

    #[test]
    fn a_nose_to_the_right_is_a_head_turned_right() {
        assert!(pose(&face(0.0, 0.0)).yaw.abs() < 4.0);
        let ahead = pose(&face(0.0, 0.06));
        assert!(ahead.pitch.abs() < 3.0, "{ahead:?}");
        let right = pose(&face(0.3, 0.0));
        assert!((25.0..45.0).contains(&right.yaw), "{right:?}");
        let up = pose(&face(0.0, -0.15));
        assert!((20.0..40.0).contains(&up.pitch), "{up:?}");
    }

    #[test]
    fn turning_the_picture_changes_roll_only() {
        let upright = face(0.2, -0.1);
        let (sin, cos) = 30f32.to_radians().sin_cos();
        let turned = upright.map(|p| Point { x: cos * p.x - sin * p.y, y: sin * p.x + cos * p.y });
        let (a, b) = (pose(&upright), pose(&turned));
        assert!((b.roll - a.roll - 30.0).abs() < 0.1, "{a:?} {b:?}");
        assert!((b.yaw - a.yaw).abs() < 0.1 && (b.pitch - a.pitch).abs() < 0.1, "{a:?} {b:?}");
    }

    #[test]
    fn a_flat_chip_is_worth_nothing_and_noise_is_sharper_than_a_gradient() {
        let detection =
            Detection { bbox: Rect { x: 0.0, y: 0.0, w: 80.0, h: 90.0 }, score: 0.9, landmarks: face(0.0, 0.0) };
        let chip = |f: fn(usize) -> u8| Chip { side: 112, rgb: (0..112 * 112).flat_map(|i| [f(i); 3]).collect() };
        let flat = quality(&detection, &chip(|_| 120));
        let gradient = quality(&detection, &chip(|i| (60 + i % 112) as u8));
        let checks = quality(&detection, &chip(|i| if (i / 336 + i % 112 / 3) % 2 == 0 { 60 } else { 180 }));
        assert_eq!(flat.weight, 0.0);
        assert!(gradient.weight > 0.0 && gradient.sharpness < 0.01);
        assert!(checks.sharpness > 1.0 && checks.weight > gradient.weight);
        assert!((checks.brightness - 120.0).abs() < 2.0 && (checks.contrast - 60.0).abs() < 1.0);
    }

    fn figures() -> impl Strategy<Value = ShotQuality> {
        let pose = (-90f32..90.0, -90f32..90.0, -90f32..90.0).prop_map(|(yaw, pitch, roll)| Pose { yaw, pitch, roll });
        (1f32..200.0, pose, 0f32..1.0, 0f32..255.0, 0f32..90.0, 0f32..1.0).prop_map(
            |(eye_distance_px, pose, sharpness, brightness, contrast, score)| ShotQuality {
                eye_distance_px,
                face_px: eye_distance_px * 2.0,
                pose,
                sharpness,
                brightness,
                contrast,
                score,
                weight: 0.0,
            },
        )
    }

    proptest! {
        #[test]
        fn the_weight_grows_with_each_figure(q in figures(), more in 0f32..50.0) {
            let base = weight(&q);
            prop_assert!((0.0..=1.0).contains(&base));
            prop_assert!(base <= geometry(q.eye_distance_px, &q.pose, q.score));
            let better = [
                ShotQuality { eye_distance_px: q.eye_distance_px + more, ..q },
                ShotQuality { sharpness: q.sharpness + more, ..q },
                ShotQuality { contrast: q.contrast + more, ..q },
                ShotQuality { score: q.score + more, ..q },
                ShotQuality { brightness: q.brightness + (135.0 - q.brightness).clamp(-more, more), ..q },
            ];
            for better in better {
                prop_assert!(weight(&better) >= base, "{:?}", better);
            }
            let turn = |angle: f32| angle + more.copysign(angle);
            let turned = [
                Pose { yaw: turn(q.pose.yaw), ..q.pose },
                Pose { pitch: turn(q.pose.pitch), ..q.pose },
                Pose { roll: turn(q.pose.roll), ..q.pose },
            ];
            for pose in turned {
                let turned = ShotQuality { pose, ..q };
                prop_assert!(weight(&turned) <= base, "{:?}", turned);
            }
        }
    }
}
