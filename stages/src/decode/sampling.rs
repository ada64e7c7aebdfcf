//! Which decoded frames are analysed: a rate in media time. Pure.

use rollcall_pipeline::MediaTime;

/// Chooses frames at a rate, on a fixed grid of media time, so that jitter of single frames does not change the rate.
#[derive(Clone, Copy, Debug, Default)]
pub struct Sampler {
    next: u64,
}

impl Sampler {
    /// Whether the frame at `media` is analysed at `fps` analysed frames a second; zero or less analyses every frame.
    ///
    /// The first frame always is. After a gap the grid starts anew: lost time is not made up for.
    pub fn take(&mut self, media: MediaTime, fps: f32) -> bool {
        if fps.is_nan() || fps <= 0.0 {
            self.next = media.0;
            return true;
        }
        if media.0 < self.next {
            return false;
        }
        let period = (1e9 / f64::from(fps)) as u64;
        let grid = if media.0 - self.next >= period { media.0 } else { self.next };
        self.next = grid.saturating_add(period);
        true
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn taken(times: impl Iterator<Item = u64>, fps: f32) -> usize {
        let mut sampler = Sampler::default();
        times.filter(|&t| sampler.take(MediaTime(t), fps)).count()
    }

    #[test]
    fn five_of_twenty_five() {
        assert_eq!(taken((0..250).map(|i| i * 40_000_000), 5.0), 50);
        assert_eq!(taken((0..250).map(|i| i * 40_000_000), 0.0), 250);
    }

    #[test]
    fn a_rate_next_to_nothing_takes_nothing_more_also_from_one_frame_to_the_next() {
        let mut sampler = Sampler::default();
        assert!(sampler.take(MediaTime(0), 5.0) && sampler.take(MediaTime(200_000_000), f32::MIN_POSITIVE));
        assert!(!sampler.take(MediaTime(u64::MAX - 1), f32::MIN_POSITIVE));
    }

    proptest! {
        #[test]
        fn the_rate_holds_whatever_the_jitter(
            gaps in prop::collection::vec(1_000_000u64..120_000_000, 1..400),
            fps in 1.0f32..60.0,
        ) {
            let times: Vec<u64> = gaps.iter().scan(0, |t, g| { *t += g; Some(*t) }).collect();
            let span = (times[times.len() - 1] - times[0]) as f64 / 1e9;
            let n = taken(times.iter().copied(), fps) as f64;
            prop_assert!(n <= (span * f64::from(fps)).floor() + 2.0, "{n} frames in {span} s at {fps}");
            // Where frames are dense enough, each period has its frame.
            let longest = *gaps.iter().max().unwrap_or(&0) as f64 / 1e9;
            if longest < 0.5 / f64::from(fps) {
                prop_assert!(n >= (span * f64::from(fps)).floor(), "{n} frames in {span} s at {fps}");
            }
        }
    }
}
