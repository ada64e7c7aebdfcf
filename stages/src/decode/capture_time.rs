//! When the shutter opened, in UTC. Pure: it is told what the clocks say.
//!
//! The best answer is the camera's own NTP time, if it is sane. Otherwise it is estimated: media time tells exactly how far
//! frames are apart, and each frame arrives late by an unknown, varying delay. The least-delayed frame tells best where
//! media time lies in ours; the estimate is anchored at it, and follows (crystals drift by some 50 ppm) slowly enough that
//! a delayed burst does not move it. What remains is the least delay itself, some 10 to 200 ms, which nobody can see from here.

use rollcall_pipeline::{MediaTime, MonoTime, TimeSource, WallTime};

/// A camera clock further off than this is wrong rather than late.
const MAX_SKEW: chrono::TimeDelta = chrono::TimeDelta::seconds(5);
/// How fast the anchor moves: 500 ppm, ten times what crystals drift.
const SLEW_DIVISOR: i64 = 2_000;
/// At the start the anchor takes every improvement at once: the first frames come in a burst out of full buffers.
const WARM_UP_NS: u64 = 2_000_000_000;
/// An anchor that is wrong by more is set at once: at 500 ppm a second takes half an hour.
const STEP_NS: i64 = 1_000_000_000;

/// The capture clock of one epoch.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct CaptureClock {
    anchor: Option<Anchor>,
}

#[derive(Clone, Copy, Debug)]
struct Anchor {
    /// Monotonic time less media time of an undelayed frame, in nanoseconds.
    offset: i64,
    /// Media time of the last frame.
    last: u64,
}

/// When a frame was taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Captured {
    /// UTC.
    pub(super) at: WallTime,
    /// How that is known.
    pub(super) source: TimeSource,
    /// The camera's NTP time less ours, where it sends one; includes the delay of the way.
    pub(super) skew: Option<chrono::TimeDelta>,
}

impl CaptureClock {
    /// The capture time of a frame at `media` that arrived at `received`, when UTC was `wall`; `ntp` is what the camera says.
    ///
    /// Frames come in order. The answer is never later than `wall`, but for NTP.
    pub(super) fn place(
        &mut self,
        media: MediaTime,
        received: MonoTime,
        wall: WallTime,
        ntp: Option<WallTime>,
    ) -> Captured {
        let delay = self.delay(media, received);
        let skew = ntp.map(|ntp| ntp - wall);
        match (ntp, skew) {
            (Some(at), Some(skew)) if skew.abs() <= MAX_SKEW => {
                Captured { at, source: TimeSource::Ntp, skew: Some(skew) }
            }
            _ => Captured { at: wall - chrono::TimeDelta::nanoseconds(delay), source: TimeSource::Estimate, skew },
        }
    }

    /// By how many nanoseconds the frame is later than an undelayed one. Moves the anchor.
    fn delay(&mut self, media: MediaTime, received: MonoTime) -> i64 {
        let received = i64::try_from(received.0.as_nanos()).unwrap_or(i64::MAX);
        let offset = received.saturating_sub_unsigned(media.0);
        let Some(anchor) = &mut self.anchor else {
            self.anchor = Some(Anchor { offset, last: media.0 });
            return 0;
        };
        let passed = i64::try_from(media.0.saturating_sub(anchor.last)).unwrap_or(i64::MAX);
        anchor.last = media.0;
        let slew = passed / SLEW_DIVISOR;
        let error = offset.saturating_sub(anchor.offset);
        let moved = if error < -STEP_NS || (error < 0 && media.0 <= WARM_UP_NS) {
            error
        } else {
            // Upwards too: where the camera's clock is slow every frame seems later than the one before.
            error.clamp(-slew, slew)
        };
        anchor.offset = anchor.offset.saturating_add(moved);
        offset.saturating_sub(anchor.offset).max(0)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use chrono::TimeDelta;
    use proptest::prelude::*;

    use super::*;

    const START: WallTime = WallTime::UNIX_EPOCH;

    fn arrive(clock: &mut CaptureClock, media_ns: u64, received_ns: u64, ntp: Option<WallTime>) -> Captured {
        let received = MonoTime(Duration::from_nanos(received_ns));
        clock.place(MediaTime(media_ns), received, START + Duration::from_nanos(received_ns), ntp)
    }

    #[test]
    fn ntp_counts_within_five_seconds() {
        let mut clock = CaptureClock::default();
        for (off, source) in
            [(4, TimeSource::Ntp), (-5, TimeSource::Ntp), (6, TimeSource::Estimate), (-3600, TimeSource::Estimate)]
        {
            let ntp = START + TimeDelta::seconds(10_000 + off);
            let got = arrive(&mut clock, 0, 10_000_000_000_000, Some(ntp));
            assert_eq!((got.source, got.skew), (source, Some(TimeDelta::seconds(off))));
            assert_eq!(got.at == ntp, source == TimeSource::Ntp);
        }
    }

    #[test]
    fn a_late_burst_is_dated_back() {
        let mut clock = CaptureClock::default();
        let ms = 1_000_000;
        arrive(&mut clock, 0, 100 * ms, None);
        arrive(&mut clock, 40 * ms, 140 * ms, None);
        // Three frames stuck on the way for 300 ms and came together.
        for media in [80, 120, 160] {
            let got = arrive(&mut clock, media * ms, 480 * ms, None);
            let at = (got.at - START).num_microseconds().unwrap();
            assert!((at - (100_000 + media as i64 * 1000)).abs() < 200, "{at} µs");
        }
    }

    #[test]
    fn a_first_frame_that_was_late_is_forgotten_at_once() {
        let mut clock = CaptureClock::default();
        let ms = 1_000_000;
        arrive(&mut clock, 0, 900 * ms, None);
        assert_eq!(arrive(&mut clock, 40 * ms, 140 * ms, None).at, START + TimeDelta::milliseconds(140));
        let got = arrive(&mut clock, 80 * ms, 200 * ms, None).at - START;
        assert!((got - TimeDelta::milliseconds(180)).abs() < TimeDelta::milliseconds(1));
    }

    proptest! {
        /// A camera whose clock runs off by `ppm`, over a way with a least delay and jitter.
        #[test]
        fn the_estimate_stays_between_shutter_and_arrival(
            jitter in prop::collection::vec(0u64..80_000_000, 100..600),
            base in 0u64..500_000_000,
            ppm in -200i64..200,
        ) {
            let mut clock = CaptureClock::default();
            let mut before: Option<(TimeDelta, u64)> = None;
            for (i, jitter) in jitter.iter().enumerate() {
                let shutter = i as u64 * 40_000_000;
                let media = shutter.saturating_add_signed(shutter as i64 * ppm / 1_000_000);
                let arrival = shutter + base + jitter;
                let at = arrive(&mut clock, media, arrival, None).at - START;
                let (shutter, arrival) = (TimeDelta::nanoseconds(shutter as i64), TimeDelta::nanoseconds(arrival as i64));
                prop_assert!(at <= arrival);
                if i > 50 {
                    let least = shutter + TimeDelta::nanoseconds(base as i64);
                    prop_assert!(at - least <= TimeDelta::milliseconds(80), "{} late", at - least);
                    prop_assert!(least - at <= TimeDelta::milliseconds(2), "{} early", least - at);
                    // Slewed, never stepped: steps between frames differ from media time by 500 ppm at most, but for frames
                    // that are even less delayed than the anchor, which arrive when they arrive.
                    if let Some((before, media_before)) = before
                        && at < arrival
                    {
                        let step = (at - before).num_nanoseconds().unwrap_or(0);
                        let off = step - (media - media_before) as i64;
                        prop_assert!(off <= (media - media_before) as i64 / 2_000 + 80_000_000, "{off}");
                    }
                }
                before = Some((at, media));
            }
        }

        /// Stamps and NTP are the camera's: whatever they are, an estimate lies before the arrival and NTP near it.
        #[test]
        fn no_stamp_of_a_camera_moves_a_time_far(
            frames in prop::collection::vec((any::<u64>(), 0u64..1 << 60, prop::option::of(any::<i8>())), 1..100),
        ) {
            let mut clock = CaptureClock::default();
            for (media, received, ntp) in frames {
                let ntp = ntp.map(|seconds| START + TimeDelta::seconds(i64::from(seconds)));
                let received = MonoTime(Duration::from_nanos(received));
                let got = clock.place(MediaTime(media), received, START, ntp);
                match got.source {
                    TimeSource::Ntp => prop_assert!((got.at - START).abs() <= MAX_SKEW && Some(got.at) == ntp),
                    _ => prop_assert!(got.at <= START),
                }
            }
        }

        #[test]
        fn a_quiet_stream_keeps_its_distances(delay in 0u64..1_000_000_000, n in 2usize..200) {
            let mut clock = CaptureClock::default();
            for i in 0..n as u64 {
                let media = i * 33_333_333;
                let at = arrive(&mut clock, media, media + delay, None).at - START;
                prop_assert_eq!(at, TimeDelta::nanoseconds((media + delay) as i64));
            }
        }
    }
}
