//! Blinks from the openness of the eyes, one track at a time.
//!
//! Eyes differ, and so do cameras: closed is relative to how open the eyes of this track are when they are open.
//!
//! ```text
//!            openness < CLOSED × open level          openness > OPEN × open level
//! Open ────────────────────────────────────► Closed ────────────────────────────► Open
//!                                                      a blink, if within MAX_CLOSED
//! ```

use std::time::Duration;

use rollcall_pipeline::MediaTime;

/// Eyes less open than this part of the open level are closed. In the recordings looked at, 0.36 open went with 0.09 closed.
const CLOSED: f32 = 0.6;
/// Eyes more open than this part of it are open again; between the two nothing changes.
const OPEN: f32 = 0.8;
/// Longer than this, closed eyes are no blink (the issue's own limit; human blinks take 0.1 to 0.4 s).
const MAX_CLOSED: Duration = Duration::from_millis(400);
/// The last look before they closed must be as fresh, else nobody knows when they did.
const MAX_GAP: Duration = Duration::from_millis(500);
/// Below this even the open level says that the eyes cannot be seen (0.2 to 0.4 is usual).
const MIN_OPEN_LEVEL: f32 = 0.15;
/// Looks at open eyes before the level is trusted.
const MIN_LOOKS: u32 = 2;

/// The eyes of one track.
#[derive(Clone, Debug, Default)]
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
        let fresh = self.last.is_some_and(|last| at.since(last) <= MAX_GAP);
        self.last = Some(at);
        if !fresh {
            self.closed_since = None;
        }
        let relative = openness / self.open_level.max(1e-3);
        if let Some(since) = self.closed_since {
            if relative <= OPEN {
                return false;
            }
            self.closed_since = None;
            self.learn(openness);
            return at.since(since) <= MAX_CLOSED;
        }
        let known = self.looks >= MIN_LOOKS && self.open_level >= MIN_OPEN_LEVEL;
        if known && relative < CLOSED {
            if fresh {
                self.closed_since = Some(at);
            }
        } else {
            self.learn(openness);
        }
        false
    }

    /// Follows open eyes: up quickly, since the first look may have been at half-closed ones, down slowly.
    fn learn(&mut self, openness: f32) {
        let rate = if self.looks == 0 {
            1.0
        } else if openness > self.open_level {
            0.5
        } else {
            0.1
        };
        self.open_level += rate * (openness - self.open_level);
        self.looks = self.looks.saturating_add(1);
    }
}

/// The six points of each eye in MediaPipe's mesh: outer corner, two above, inner corner, two below (and mirrored).
const EYES: [[usize; 6]; 2] = [[33, 160, 158, 133, 153, 144], [362, 385, 387, 263, 373, 380]];

/// Eye aspect ratio: height over width, mean of both eyes (Soukupová and Čech, 2016). `None` if a point is missing or an eye
/// has no width.
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
        check(40, &[0.3, 0.3, 0.29, 0.2, 0.1, 0.08, 0.15, 0.22, 0.28, 0.3], &[320]);
    }

    #[test]
    fn eyes_closed_for_long_are_no_blink() {
        check(200, &[0.3, 0.3, 0.3, 0.1, 0.1, 0.1, 0.1, 0.3, 0.3, 0.1, 0.3], &[2000]);
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
        assert!(!at(5000, 0.1) && !at(5200, 0.3));
        assert!(!at(5400, 0.1) && at(5600, 0.3));
        assert!(!at(5800, 0.1) && !at(9000, 0.3));
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
