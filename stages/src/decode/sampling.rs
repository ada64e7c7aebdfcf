//! Which decoded frames are analysed: a rate in media time. Pure.

use std::time::Duration;

use rollcall_pipeline::MediaTime;

/// A frame this part of a period before its time is taken, or so many nanoseconds: time stamps are rounded, and wander.
const ROUNDING: u64 = 16;
const MOST_ROUNDING: u64 = 20_000_000;
/// The grid moves to a key frame at most once in so many nanoseconds, for which one frame more is analysed.
const ALIGNED_FOR: u64 = 10_000_000_000;

/// Chooses frames at a rate, on a fixed grid of media time, so that jitter of single frames does not change the rate.
#[derive(Clone, Copy, Debug, Default)]
pub struct Sampler {
    next: u64,
    period: u64,
    /// By which frames may be before it.
    rounding: u64,
    aligned: u64,
}

/// What a [`Sampler`] does not take.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Idle {
    /// No frame for so long after the last one.
    pub(super) left: Duration,
    /// And then all but one in so long.
    pub(super) each: Duration,
}

impl Sampler {
    /// Whether the frame at `media` is analysed at `fps` analysed frames a second; zero or less analyses every frame.
    ///
    /// The first frame always is, and begins the grid. After a gap the grid starts anew: lost time is not made up for.
    pub fn take(&mut self, media: MediaTime, fps: f32) -> bool {
        if fps.is_nan() || fps <= 0.0 {
            (self.next, self.period, self.rounding) = (media.0, 0, 0);
            return true;
        }
        let period = (1e9 / f64::from(fps)) as u64;
        let begins = self.period == 0;
        (self.period, self.rounding) = (period, (period / ROUNDING).min(MOST_ROUNDING));
        if media.0.saturating_add(self.rounding) < self.next {
            return false;
        }
        let grid = if begins || media.0.saturating_sub(self.next) >= period { media.0 } else { self.next };
        self.next = grid.saturating_add(period);
        true
    }

    /// Moves the grid to the frame at `media`, which can be decoded without those before it. Where such key frames come as a
    /// multiple of the period, all of them lie on the grid then.
    pub(super) fn align(&mut self, media: MediaTime) {
        if media.0 < self.next && media.0.saturating_sub(self.aligned) >= ALIGNED_FOR {
            (self.next, self.aligned) = (media.0, media.0);
        }
    }

    /// What is not analysed after the frame at `media`.
    pub(super) fn idle(&self, media: MediaTime) -> Idle {
        let left = self.next.saturating_sub(self.rounding).saturating_sub(media.0);
        Idle { left: Duration::from_nanos(left), each: Duration::from_nanos(self.period) }
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
    fn the_grid_begins_with_the_first_frame_whenever_that_is() {
        assert_eq!(taken([190_000_000, 200_000_000, 400_000_000].into_iter(), 5.0), 2);
    }

    #[test]
    fn a_rate_next_to_nothing_takes_nothing_more_also_from_one_frame_to_the_next() {
        let mut sampler = Sampler::default();
        assert!(sampler.take(MediaTime(0), 5.0) && sampler.take(MediaTime(200_000_000), f32::MIN_POSITIVE));
        assert!(!sampler.take(MediaTime(u64::MAX / 2), f32::MIN_POSITIVE));
    }

    #[test]
    fn stamps_that_wander_a_little_choose_the_same_frames() {
        let wander = [0, 900_000, -900_000, 400_000, -300_000];
        let mut sampler = Sampler::default();
        let chosen = (0..500u64).filter(|n| {
            let media = (n * 40_000_000).saturating_add_signed(wander[(n % 7 % 5) as usize]);
            sampler.take(MediaTime(media), 5.0)
        });
        assert!(chosen.eq((0..500).step_by(5)));
    }

    #[test]
    fn key_frames_come_to_lie_on_the_grid() {
        let mut sampler = Sampler::default();
        let chosen: Vec<u64> = (0..1_000)
            .filter(|n| {
                let media = MediaTime(n * 40_000_000);
                if (n + 3) % 25 == 0 {
                    sampler.align(media);
                }
                sampler.take(media, 5.0)
            })
            .collect();
        assert_eq!(chosen.len(), 201, "one more than without");
        assert!(chosen.iter().filter(|n| **n > 275).all(|n| (n + 3) % 5 == 0), "{chosen:?}");
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

        #[test]
        fn nothing_is_chosen_while_it_is_idle(
            frames in prop::collection::vec((0u64..400_000_000, any::<bool>()), 1..400),
            fps in 0.5f32..60.0,
        ) {
            let (mut sampler, mut media, mut idle_until, mut moved) = (Sampler::default(), 0, 0, 0);
            for (gap, is_key) in frames {
                media += gap;
                if is_key {
                    sampler.align(MediaTime(media));
                    moved += u64::from(idle_until > media && sampler.next == media);
                    idle_until = if sampler.next == media { media } else { idle_until };
                }
                let taken = sampler.take(MediaTime(media), fps);
                prop_assert!(!taken || media >= idle_until);
                idle_until = media + sampler.idle(MediaTime(media)).left.as_nanos() as u64;
            }
            prop_assert!(moved <= media / ALIGNED_FOR);
        }
    }
}
