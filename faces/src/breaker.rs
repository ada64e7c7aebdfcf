//! A circuit breaker: models that fail again and again are left alone for a while, and then tried with one job.
//!
//! Pure: times come in. The crates that offer this count calls and not probes, and read the clock themselves.
//!
//! ```text
//!              so many failures in a row, or stuck            the time is over
//! Closed ───────────────────────────────────────► Open ─────────────────────────► HalfOpen: one probe
//!    ▲                                              ▲                                │   │
//!    │                                              └─────────── it fails ───────────┘   │
//!    └────────────────────────────────────── it succeeds ────────────────────────────────┘
//! ```

use std::time::Duration;

use rollcall_pipeline::MonoTime;

/// When the breaker opens, and for how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BreakerSettings {
    /// So many failures in a row open it; at least 1.
    pub failures: u32,
    /// For how long it stays open before a probe.
    pub open_for: Duration,
}

impl Default for BreakerSettings {
    fn default() -> Self {
        Self { failures: 3, open_for: Duration::from_secs(15) }
    }
}

/// What the breaker lets through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BreakerState {
    /// Everything.
    Closed,
    /// Nothing.
    Open,
    /// One probe.
    HalfOpen,
}

#[derive(Clone, Copy, Debug)]
enum State {
    Closed { failures: u32 },
    Open { until: MonoTime },
    HalfOpen { probing: bool },
}

/// A job that was let through; says later what became of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "a probe that nobody accounts for keeps the breaker half open"]
pub struct Permit {
    probe: bool,
}

/// The state machine.
#[derive(Clone, Debug)]
pub struct Breaker {
    settings: BreakerSettings,
    state: State,
}

impl Breaker {
    /// Closed.
    pub fn new(settings: BreakerSettings) -> Self {
        Self { settings, state: State::Closed { failures: 0 } }
    }

    /// Lets a job through, or says how long to wait.
    ///
    /// # Errors
    /// The time after which it is worth trying again.
    pub fn admit(&mut self, now: MonoTime) -> Result<Permit, Duration> {
        match self.state {
            State::Closed { .. } => Ok(Permit { probe: false }),
            State::Open { until } if now < until => Err(until.since(now)),
            State::HalfOpen { probing: true } => Err(self.settings.open_for),
            State::Open { .. } | State::HalfOpen { probing: false } => {
                self.state = State::HalfOpen { probing: true };
                Ok(Permit { probe: true })
            }
        }
    }

    /// The models did their work.
    pub fn succeeded(&mut self, permit: Permit) {
        // A job from before the breaker opened proves nothing about now.
        if permit.probe || matches!(self.state, State::Closed { .. }) {
            self.state = State::Closed { failures: 0 };
        }
    }

    /// The models failed.
    pub fn failed(&mut self, permit: Permit, now: MonoTime) {
        match &mut self.state {
            State::Closed { failures } => {
                *failures += 1;
                if *failures >= self.settings.failures {
                    self.trip(now);
                }
            }
            _ if permit.probe => self.trip(now),
            State::Open { .. } | State::HalfOpen { .. } => {}
        }
    }

    /// The job ended without the models having been asked.
    pub fn abandoned(&mut self, permit: Permit) {
        if permit.probe && matches!(self.state, State::HalfOpen { .. }) {
            self.state = State::HalfOpen { probing: false };
        }
    }

    /// Opens at once.
    pub fn trip(&mut self, now: MonoTime) {
        self.state = State::Open { until: MonoTime(now.0 + self.settings.open_for) };
    }

    /// What it lets through.
    pub fn state(&self) -> BreakerState {
        match self.state {
            State::Closed { .. } => BreakerState::Closed,
            State::Open { .. } => BreakerState::Open,
            State::HalfOpen { .. } => BreakerState::HalfOpen,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(s: u64) -> MonoTime {
        MonoTime(Duration::from_secs(s))
    }

    fn breaker() -> Breaker {
        Breaker::new(BreakerSettings { failures: 3, open_for: Duration::from_secs(10) })
    }

    #[test]
    fn failures_in_a_row_open_it_and_one_probe_closes_it() {
        let mut b = breaker();
        for _ in 0..2 {
            let p = b.admit(at(0)).unwrap();
            b.failed(p, at(0));
        }
        let p = b.admit(at(0)).unwrap();
        b.succeeded(p);
        for _ in 0..3 {
            let p = b.admit(at(1)).unwrap();
            b.failed(p, at(1));
        }
        assert_eq!(b.admit(at(4)), Err(Duration::from_secs(7)));
        let probe = b.admit(at(11)).unwrap();
        assert_eq!(b.state(), BreakerState::HalfOpen);
        assert!(b.admit(at(12)).is_err(), "one probe at a time");
        b.failed(probe, at(13));
        assert_eq!(b.admit(at(14)), Err(Duration::from_secs(9)));
        let probe = b.admit(at(23)).unwrap();
        b.succeeded(probe);
        assert_eq!(b.state(), BreakerState::Closed);
    }

    #[test]
    fn a_probe_that_never_ran_makes_room_for_another() {
        let mut b = breaker();
        b.trip(at(0));
        let probe = b.admit(at(10)).unwrap();
        b.abandoned(probe);
        assert!(b.admit(at(10)).is_ok());
    }

    #[test]
    fn a_job_from_before_it_opened_says_nothing() {
        let mut b = breaker();
        let old = b.admit(at(0)).unwrap();
        b.trip(at(1));
        b.succeeded(old);
        b.failed(old, at(5));
        b.abandoned(old);
        assert_eq!(b.admit(at(2)), Err(Duration::from_secs(9)));
    }

    proptest! {
        #[test]
        fn it_never_stays_shut(ends in prop::collection::vec(0u8..3, 0..60)) {
            let mut b = breaker();
            let mut now = 0;
            for end in ends {
                now += 3;
                if let Ok(permit) = b.admit(at(now)) {
                    match end {
                        0 => b.succeeded(permit),
                        1 => b.failed(permit, at(now)),
                        _ => b.abandoned(permit),
                    }
                }
            }
            prop_assert!(b.admit(at(now + 10)).is_ok());
        }
    }
}
