//! Blinks from the openness of the eyes, one track at a time.
//!
//! Eyes differ, and so do cameras and poses: closed is relative to how open these eyes were a moment ago. Nothing older
//! counts, since who turns or nods changes what the camera sees of open eyes by a half.
//!
//! ```text
//!           openness < CLOSED × open level          openness > REOPENED × open level
//! Open ───────────────────────────────────► Closed ──────────────────────────────────► Open, a blink
//!   ▲                                         │ longer than MAX_CLOSED
//!   └──────────── learn the level anew ───────┘
//! ```

use std::time::Duration;

use rollcall_pipeline::MediaTime;

/// Eyes less open than this part of the open level are closed. Where the figures come from: `docs/decisions.md`.
const CLOSED: f32 = 0.45;
/// Eyes more open than this part of it are open again. Low, since lids rise slowly at the end, and many a blink ends in a squint.
const REOPENED: f32 = 0.6;
/// Longer than this, closed eyes are no blink (0.1 to 0.4 s, says the literature; 0.08 to 0.33 s in the recordings).
const MAX_CLOSED: Duration = Duration::from_millis(400);
/// Media times of a steady rate are rounded: four frames of ten a second may be a little more than 0.4 s.
const ROUNDING: Duration = Duration::from_millis(20);
/// The last look must be as fresh, else nobody knows what the eyes did between.
const MAX_GAP: Duration = Duration::from_millis(500);
/// The open level follows open eyes with this time constant, seconds.
const FOLLOW_S: f32 = 0.4;
/// Eyes that are this open by the mesh are eyes in profile: the level does not follow them up.
const WIDEST: f32 = 0.45;
/// Below this even the open level says that the eyes cannot be seen: what moves is the mesh.
const MIN_OPEN_LEVEL: f32 = 0.18;
/// Looks at open eyes before the level is trusted.
const MIN_LOOKS: u32 = 2;

/// The eyes of one track.
#[derive(Clone, Copy, Debug, Default)]
pub struct Blinks {
    open_level: f32,
    looks: u32,
    last: Option<MediaTime>,
    closed_since: Option<MediaTime>,
}

impl Blinks {
    /// Takes the openness (eye aspect ratio) of one frame; says whether it completes a blink.
    pub fn observe(&mut self, at: MediaTime, openness: f32) -> bool {
        if !openness.is_finite() {
            return false;
        }
        let gap = self.last.map(|last| at.since(last)).filter(|gap| *gap <= MAX_GAP);
        let too_long = self.closed_since.is_some_and(|since| at.since(since) > MAX_CLOSED + ROUNDING);
        let Some(gap) = gap.filter(|_| !too_long) else {
            *self = Self { open_level: openness.min(WIDEST), looks: 1, last: Some(at), closed_since: None };
            return false;
        };
        self.last = Some(at);
        if self.closed_since.is_some() {
            if openness < REOPENED * self.open_level {
                return false;
            }
            self.closed_since = None;
            self.follow(gap, openness);
            return true;
        }
        let is_known = self.looks >= MIN_LOOKS && self.open_level >= MIN_OPEN_LEVEL;
        if is_known && openness < CLOSED * self.open_level {
            self.closed_since = Some(at);
        } else {
            self.follow(gap, openness);
        }
        false
    }

    fn follow(&mut self, gap: Duration, openness: f32) {
        let rate = 1.0 - (-gap.as_secs_f32() / FOLLOW_S).exp();
        self.open_level += rate * (openness.min(WIDEST) - self.open_level);
        self.looks = self.looks.saturating_add(1);
    }
}

/// The six points of each eye in MediaPipe's mesh: outer corner, two above, inner corner, two below (and mirrored).
const EYES: [[usize; 6]; 2] = [[33, 160, 158, 133, 153, 144], [362, 385, 387, 263, 373, 380]];

/// Eye aspect ratio: height over width, mean of both eyes (T. Soukupová and J. Čech, "Real-Time Eye Blink Detection using Facial
/// Landmarks", Computer Vision Winter Workshop 2016, equation 1). Their fixed threshold of 0.2 would call narrow eyes closed, so
/// [`Blinks`] compares with the person's own. `None` if a point is missing or an eye has no width.
pub fn eye_aspect_ratio(mesh: &[[f32; 3]]) -> Option<f32> {
    let distance = |a: usize, b: usize| -> Option<f32> {
        let (a, b) = (mesh.get(a)?, mesh.get(b)?);
        Some((a[0] - b[0]).hypot(a[1] - b[1]))
    };
    let mut sum = 0.0;
    for [outer, above_1, above_2, inner, below_2, below_1] in EYES {
        let width = distance(outer, inner)?;
        if width.is_nan() || width < 1.0 {
            return None;
        }
        sum += (distance(above_1, below_1)? + distance(above_2, below_2)?) / (2.0 * width);
    }
    Some(sum / 2.0)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Feeds openness every `step_ms` and gives the times of the blinks, in ms.
    fn check(step_ms: u64, openness: &[f32], expected: &[u64]) {
        let mut blinks = Blinks::default();
        let times = openness.iter().enumerate().filter_map(|(i, &o)| {
            let ms = i as u64 * step_ms;
            blinks.observe(MediaTime(ms * 1_000_000), o).then_some(ms)
        });
        assert_eq!(times.collect::<Vec<_>>(), expected);
    }

    #[test]
    fn closed_then_open_is_a_blink() {
        check(200, &[0.3, 0.31, 0.3, 0.09, 0.3, 0.3], &[800]);
        check(40, &[0.3, 0.3, 0.29, 0.2, 0.1, 0.08, 0.15, 0.22, 0.28, 0.3], &[280]);
    }

    #[test]
    fn eyes_closed_for_long_are_no_blink() {
        check(200, &[0.3, 0.3, 0.3, 0.1, 0.1, 0.1, 0.1, 0.3, 0.3, 0.1, 0.3], &[2000]);
    }

    #[test]
    fn lids_that_rise_slowly_are_a_blink_and_a_squint_is_none() {
        check(40, &[0.3, 0.3, 0.3, 0.06, 0.05, 0.08, 0.14, 0.17, 0.19, 0.2, 0.21, 0.21], &[320]);
        check(40, &[0.3, 0.3, 0.3, 0.18, 0.16, 0.15, 0.18, 0.25, 0.3], &[]);
    }

    #[test]
    fn a_face_that_turned_blinks_like_any_other() {
        let turned = [0.3, 0.3, 0.5, 0.8, 0.9, 0.6];
        let back = [0.31, 0.3, 0.3, 0.3, 0.3, 0.05, 0.3];
        check(100, &[&turned[..], &back[..]].concat(), &[1200]);
    }

    #[test]
    fn half_closed_or_noisy_eyes_are_no_blink() {
        check(100, &[0.3, 0.3, 0.22, 0.3, 0.2, 0.3, 0.26, 0.31, 0.19, 0.3], &[]);
    }

    #[test]
    fn narrow_eyes_blink_too_and_eyes_that_cannot_be_seen_do_not() {
        check(100, &[0.18, 0.18, 0.18, 0.06, 0.18], &[400]);
        check(100, &[0.08, 0.08, 0.08, 0.01, 0.08], &[]);
    }

    #[test]
    fn a_gap_is_not_a_blink() {
        let mut blinks = Blinks::default();
        let mut at = |ms: u64, openness| blinks.observe(MediaTime(ms * 1_000_000), openness);
        assert!(!at(0, 0.3) && !at(200, 0.3) && !at(400, 0.3));
        assert!(!at(5000, 0.1) && !at(5200, 0.3) && !at(5400, 0.3) && !at(5600, 0.3));
        assert!(!at(5800, 0.1) && at(6000, 0.3));
        assert!(!at(6200, 0.1) && !at(9000, 0.3));
    }

    #[test]
    fn the_ratio_is_height_over_width() {
        let mut mesh = vec![[0.0; 3]; 478];
        for (n, [outer, above_1, above_2, inner, below_2, below_1]) in EYES.into_iter().enumerate() {
            let x = 100.0 * n as f32;
            mesh[outer] = [x, 50.0, 0.0];
            mesh[inner] = [x + 40.0, 50.0, 0.0];
            mesh[above_1] = [x + 10.0, 44.0, 0.0];
            mesh[below_1] = [x + 10.0, 56.0, 0.0];
            mesh[above_2] = [x + 30.0, 44.0, 0.0];
            mesh[below_2] = [x + 30.0, 56.0, 0.0];
        }
        assert!((eye_aspect_ratio(&mesh).unwrap() - 0.3).abs() < 1e-6);
        assert_eq!(eye_aspect_ratio(&mesh[..200]), None);
        assert_eq!(eye_aspect_ratio(&vec![[1.0; 3]; 478]), None);
    }

    proptest! {
        #[test]
        fn steady_eyes_never_blink(level in 0.05f32..0.6, jitter in proptest::collection::vec(-0.08f32..0.08, 1..60)) {
            let mut blinks = Blinks::default();
            for (i, j) in jitter.iter().enumerate() {
                prop_assert!(!blinks.observe(MediaTime(i as u64 * 200_000_000), level * (1.0 + j)));
            }
        }
    }
}
