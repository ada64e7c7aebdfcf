//! How long to wait before the next attempt to reach a camera. Pure.

use std::time::Duration;

use rollcall_pipeline::{ErrorClass, MonoTime};

use super::failure::DisconnectReason;

/// A camera that showed a picture this recently is restarting, not gone: it is asked again at once and often.
const RECENT: Duration = Duration::from_secs(30);
/// A connection that lasted this long wipes out the failures before it.
const STEADY: Duration = Duration::from_secs(60);
/// The first wait; it doubles with each failure.
const FIRST: Duration = Duration::from_secs(1);
/// The longest wait.
const LONGEST: Duration = Duration::from_secs(60);
/// Nothing but a person's hand mends a wrong password or codec; asking more often locks accounts.
const PERMANENT: Duration = Duration::from_secs(300);
/// Cameras take up to this long to start, and some say "not found" or "unauthorized" meanwhile: what looks permanent in
/// a camera that showed a picture as recently may pass.
const STARTING: Duration = Duration::from_secs(120);
/// How often such a camera is asked: four times at most, which locks no account.
const PERMANENT_STARTING: Duration = Duration::from_secs(30);
/// "Not found" locks no account however often it is asked, and passes by itself where a recorder finds its camera again.
const MISSING: Duration = Duration::from_secs(30);
/// A camera that answers before it has its stream is to be live three seconds after it has.
const MISSING_STARTING: Duration = Duration::from_secs(2);

/// Counts the failures of one camera.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Backoff {
    failures: u32,
    /// When it was last known to be alive.
    alive: Option<MonoTime>,
}

impl Backoff {
    /// The camera gave a sign of life at `now`, after it had given none: it starts.
    pub(super) fn answered(&mut self, now: MonoTime) {
        self.alive = Some(now);
    }

    /// The wait after a connection that failed at `now` for this reason. `live` is when its first and last frame came, if any
    /// did; `chance` is a random number from 0 to 1 that keeps a hundred cameras behind one switch from asking in step.
    pub(super) fn after(
        &mut self,
        reason: &DisconnectReason,
        live: Option<(MonoTime, MonoTime)>,
        now: MonoTime,
        chance: f64,
    ) -> Duration {
        if let Some((first, last)) = live {
            self.alive = Some(last);
            if last.since(first) >= STEADY {
                self.failures = 0;
            }
        }
        let within = |limit| self.alive.is_some_and(|t| now.since(t) < limit);
        let chance = chance.clamp(0.0, 1.0);
        match (reason, reason.class()) {
            (DisconnectReason::NotFound(_), _) if within(STARTING) => MISSING_STARTING,
            (DisconnectReason::NotFound(_), _) => MISSING,
            (_, ErrorClass::Permanent) if within(STARTING) => PERMANENT_STARTING,
            (_, ErrorClass::Permanent) => PERMANENT,
            _ if within(RECENT) => FIRST.mul_f64(0.5 + 0.5 * chance),
            _ => {
                let doubled = FIRST.saturating_mul(1 << self.failures.min(10)).min(LONGEST);
                self.failures = self.failures.saturating_add(1);
                doubled.mul_f64(0.75 + 0.25 * chance)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What passes by itself, what a person mends, and what may be either.
    const AWAY: &DisconnectReason = &DisconnectReason::Eos;
    const WRONG: &DisconnectReason = &DisconnectReason::Unauthorized;
    const NOT_FOUND: &DisconnectReason = &DisconnectReason::NotFound(String::new());

    fn at(s: u64) -> MonoTime {
        MonoTime(Duration::from_secs(s))
    }

    #[test]
    fn a_camera_that_never_came_is_asked_ever_less() {
        let mut backoff = Backoff::default();
        let waits: Vec<f64> = (0..8).map(|_| backoff.after(AWAY, None, at(1000), 1.0).as_secs_f64()).collect();
        assert_eq!(waits, [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 60.0, 60.0]);
        assert_eq!(backoff.after(AWAY, None, at(1000), 0.0), Duration::from_secs(45));
        assert_eq!(backoff.after(WRONG, None, at(1000), 0.5), PERMANENT);
        assert_eq!(backoff.after(NOT_FOUND, None, at(1000), 0.5), MISSING);
    }

    #[test]
    fn a_camera_that_was_live_a_moment_ago_is_asked_every_second() {
        let mut backoff = Backoff::default();
        let mut now = 100;
        let mut live = Some((at(50), at(100)));
        while now < 130 {
            let wait = backoff.after(AWAY, live.take(), at(now), 1.0);
            assert_eq!(wait, Duration::from_secs(1));
            now += 1;
        }
        assert_eq!(backoff.after(AWAY, None, at(131), 1.0), Duration::from_secs(1));
        assert_eq!(backoff.after(AWAY, None, at(132), 1.0), Duration::from_secs(2));
    }

    #[test]
    fn what_looks_permanent_while_a_camera_starts_is_asked_again_soon_but_not_for_ever() {
        for (reason, starting, later) in
            [(WRONG, PERMANENT_STARTING, PERMANENT), (NOT_FOUND, MISSING_STARTING, MISSING)]
        {
            let mut backoff = Backoff::default();
            let mut live = Some((at(50), at(100)));
            for now in [100, 130, 160, 190, 219] {
                assert_eq!(backoff.after(reason, live.take(), at(now), 1.0), starting);
            }
            assert_eq!(backoff.after(reason, None, at(220), 1.0), later);
        }
    }

    #[test]
    fn a_camera_that_answers_again_is_asked_often() {
        let mut backoff = Backoff::default();
        for _ in 0..6 {
            backoff.after(AWAY, None, at(1000), 1.0);
        }
        backoff.answered(at(1100));
        assert_eq!(backoff.after(AWAY, None, at(1101), 1.0), Duration::from_secs(1));
        assert_eq!(backoff.after(WRONG, None, at(1110), 1.0), PERMANENT_STARTING);
        assert_eq!(backoff.after(AWAY, None, at(1131), 1.0), LONGEST);
    }

    #[test]
    fn a_steady_minute_wipes_the_slate() {
        let mut backoff = Backoff::default();
        for _ in 0..6 {
            backoff.after(AWAY, None, at(0), 1.0);
        }
        backoff.after(AWAY, Some((at(100), at(159))), at(159), 1.0);
        assert_eq!(backoff.after(AWAY, None, at(300), 1.0), LONGEST);
        backoff.after(AWAY, Some((at(400), at(460))), at(460), 1.0);
        assert_eq!(backoff.after(AWAY, None, at(600), 1.0), FIRST);
    }
}
