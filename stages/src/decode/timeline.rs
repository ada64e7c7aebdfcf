//! Presentation time stamps as they come, placed on a media time that never decreases. Pure.

use std::time::Duration;

use rollcall_pipeline::{MediaTime, MonoTime};

/// A step backwards up to this is reordering or rounding and is levelled out; a larger one is a clock that was set.
const BACKWARD_TOLERANCE_NS: u64 = 500_000_000;
/// A live stream that gets this far ahead of the time that really passed had its clock set.
const FORWARD_TOLERANCE: Duration = Duration::from_secs(10);
/// Stands in for the duration of frames that bring neither time stamp nor duration.
const ASSUMED_STEP_NS: u64 = 40_000_000;

/// Where a frame stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Placed {
    /// Time within the epoch that the frame belongs to.
    pub(super) media: MediaTime,
    /// The clock jumped: the frame begins a new epoch (and `media` is zero).
    pub(super) jumped: bool,
}

/// The time line of one epoch.
#[derive(Clone, Copy, Debug)]
pub(super) struct Timeline {
    live: bool,
    epoch: Option<Start>,
}

#[derive(Clone, Copy, Debug)]
struct Start {
    first_pts: u64,
    last_pts: Option<u64>,
    last: u64,
    last_received: MonoTime,
    step: u64,
}

impl Start {
    fn new(pts: Option<u64>, duration: Option<u64>, received: MonoTime) -> Self {
        let step = duration.unwrap_or(ASSUMED_STEP_NS);
        Self { first_pts: pts.unwrap_or(0), last_pts: pts, last: 0, last_received: received, step }
    }
}

impl Timeline {
    /// An empty time line. Only a `live` source can jump: a file is one recording, whatever its stamps say.
    pub(super) fn new(live: bool) -> Self {
        Self { live, epoch: None }
    }

    /// Forgets the epoch: the next frame starts at zero.
    pub(super) fn restart(&mut self) {
        self.epoch = None;
    }

    /// Places a frame by its time stamp and duration in nanoseconds (of any origin) and the time it was received.
    pub(super) fn place(&mut self, pts: Option<u64>, duration: Option<u64>, received: MonoTime) -> Placed {
        let Some(start) = &mut self.epoch else {
            self.epoch = Some(Start::new(pts, duration, received));
            return Placed { media: MediaTime(0), jumped: false };
        };
        // Some demuxers (GIF) stamp every frame alike; two frames at one moment are two frames without a stamp.
        let repeated = pts.is_some() && pts == start.last_pts;
        start.last_pts = pts;
        let Some(pts) = pts.filter(|_| !repeated) else {
            start.last = start.last.saturating_add(start.step);
            start.step = duration.unwrap_or(start.step);
            start.last_received = received;
            return Placed { media: MediaTime(start.last), jumped: false };
        };
        let expected = start.first_pts.saturating_add(start.last);
        let behind = expected.saturating_sub(pts);
        let ahead = Duration::from_nanos(pts.saturating_sub(expected));
        let passed = received.since(start.last_received);
        if self.live && (behind > BACKWARD_TOLERANCE_NS || ahead > passed + FORWARD_TOLERANCE) {
            *start = Start::new(Some(pts), duration, received);
            return Placed { media: MediaTime(0), jumped: true };
        }
        let media = pts.saturating_sub(start.first_pts).max(start.last);
        start.step = duration.unwrap_or(start.step);
        start.last = media;
        start.last_received = received;
        Placed { media: MediaTime(media), jumped: false }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(ms: u64) -> MonoTime {
        MonoTime(Duration::from_millis(ms))
    }

    #[test]
    fn a_clock_that_is_set_back_begins_a_new_epoch() {
        let mut line = Timeline::new(true);
        assert_eq!(line.place(Some(5_000_000_000), None, at(0)).media, MediaTime(0));
        assert_eq!(line.place(Some(5_040_000_000), None, at(40)).media, MediaTime(40_000_000));
        assert_eq!(line.place(Some(1_000_000_000), None, at(80)), Placed { media: MediaTime(0), jumped: true });
        assert_eq!(
            line.place(Some(1_040_000_000), None, at(120)),
            Placed { media: MediaTime(40_000_000), jumped: false }
        );
    }

    #[test]
    fn a_clock_that_is_set_forward_begins_a_new_epoch_but_a_pause_does_not() {
        let mut line = Timeline::new(true);
        line.place(Some(0), None, at(0));
        assert!(!line.place(Some(30_000_000_000), None, at(30_000)).jumped);
        assert!(line.place(Some(3_600_000_000_000), None, at(30_040)).jumped);
    }

    #[test]
    fn a_file_never_jumps_and_frames_without_stamps_keep_the_pace() {
        let mut line = Timeline::new(false);
        line.place(Some(10_000_000_000), Some(33_000_000), at(0));
        line.place(Some(10_033_000_000), Some(33_000_000), at(0));
        assert_eq!(line.place(None, None, at(0)).media, MediaTime(66_000_000));
        assert_eq!(line.place(Some(0), None, at(0)), Placed { media: MediaTime(66_000_000), jumped: false });
    }

    proptest! {
        #[test]
        fn media_time_never_decreases_within_an_epoch(
            live: bool,
            frames in prop::collection::vec(
                (
                    prop::option::of(prop_oneof![9 => 0u64..20_000_000_000, 1 => any::<u64>()]),
                    prop::option::of(prop_oneof![9 => 0u64..100_000_000, 1 => any::<u64>()]),
                    0u64..3_000,
                ),
                1..200,
            ),
        ) {
            let mut line = Timeline::new(live);
            let (mut last, mut now) = (0, 0);
            for (pts, duration, wait) in frames {
                now += wait;
                let placed = line.place(pts, duration, at(now));
                if placed.jumped {
                    prop_assert!(live);
                    prop_assert_eq!(placed.media.0, 0);
                } else {
                    prop_assert!(placed.media.0 >= last);
                }
                last = placed.media.0;
            }
        }
    }
}
