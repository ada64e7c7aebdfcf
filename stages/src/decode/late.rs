//! What is too old is thrown away before it is decoded.
//!
//! rtspsrc keeps whatever arrives while the decoder is busy, without a bound, and hands on every bit of it, in order: where
//! decoding is slower than the stream, pictures get older and older. Its own remedy, `drop-on-latency`, drops single packets,
//! and everything up to the next key frame is damaged by each. Here whole pictures are dropped, from the moment on at which
//! one is [`TOO_OLD`], up to a key frame that is not; that costs nothing, so what waits is gone at once.

use std::time::Duration;

use gstreamer as gst;
use gstreamer::prelude::*;

/// Compressed pictures that came longer ago are not decoded any more.
pub(super) const TOO_OLD: Duration = Duration::from_secs(2);
/// Decoding goes on at a key frame that came no longer ago than this. Time stamps lie up to a second beside the arrival: so
/// far rtspsrc lets them drift before it corrects them.
const CAUGHT_UP: Duration = Duration::from_millis(1_200);
/// Some cameras send no key frames, but refresh their picture bit by bit: then it goes on anywhere.
const KEY_FRAME_PATIENCE: Duration = Duration::from_secs(6);
/// No backlog grows as old as this: the camera's clock was set.
const NO_BACKLOG: Duration = Duration::from_secs(30);

/// How long ago what is stamped `pts` should have come here; zero where that cannot be told.
pub(super) fn age(at: &gst::Element, segment: &gst::Segment, pts: Option<gst::ClockTime>) -> Duration {
    let now = at.current_running_time().map(Duration::from);
    let age = now.zip(running_time(segment, pts)).map(|(now, came)| now.saturating_sub(came));
    age.filter(|age| *age < NO_BACKLOG).unwrap_or_default()
}

/// What is stamped `pts`, in running time of the stream.
pub(super) fn running_time(segment: &gst::Segment, pts: Option<gst::ClockTime>) -> Option<Duration> {
    pts.and_then(|pts| segment.downcast_ref::<gst::ClockTime>()?.to_running_time(pts)).map(Duration::from)
}

/// Open, or shut since some moment. Pure.
#[derive(Debug, Default)]
pub(super) struct Gate {
    shut_since: Option<Duration>,
}

impl Gate {
    /// Whether a picture of this `age` is decoded.
    pub(super) fn passes(&mut self, now: Duration, age: Duration, is_key: bool) -> bool {
        let Some(since) = self.shut_since else {
            if age > TOO_OLD {
                self.shut_since = Some(now);
            }
            return self.shut_since.is_none();
        };
        let goes_on_here = is_key && age <= CAUGHT_UP;
        let goes_on_anywhere = age <= TOO_OLD && now.saturating_sub(since) >= KEY_FRAME_PATIENCE;
        if goes_on_here || goes_on_anywhere {
            self.shut_since = None;
        }
        self.shut_since.is_none()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn what_is_too_old_is_dropped_up_to_a_key_frame_that_is_not() {
        let mut gate = Gate::default();
        assert!(gate.passes(ms(0), ms(1_900), false));
        assert!(!gate.passes(ms(100), ms(2_100), false));
        assert!(!gate.passes(ms(101), ms(1_700), true), "there is more of it");
        assert!(!gate.passes(ms(102), ms(100), false), "nothing to decode it by");
        assert!(gate.passes(ms(500), ms(50), true));
        assert!(gate.passes(ms(540), ms(50), false));
    }

    #[test]
    fn a_camera_without_key_frames_goes_on_anywhere_after_a_while() {
        let mut gate = Gate::default();
        assert!(!gate.passes(ms(0), ms(2_100), false));
        assert!(!gate.passes(ms(5_900), ms(50), false));
        assert!(gate.passes(ms(6_000), ms(50), false));
    }
}
