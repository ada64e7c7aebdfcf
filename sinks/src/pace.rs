//! How much is written at a time, and for how long an answer is waited for: a slow database gets less, and more time. Pure.

use std::time::Duration;

/// Events that are written in one transaction at most.
const MOST: usize = 128;
/// So many times the first patience is waited for a single event.
const MOST_PATIENT: u32 = 16;

/// The pace of the drainer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pace {
    first_patience: Duration,
    pub(crate) most: usize,
    pub(crate) patience: Duration,
}

impl Pace {
    /// The fastest, for a database that answers within `patience`.
    pub(crate) fn new(patience: Duration) -> Self {
        Self { first_patience: patience, most: MOST, patience }
    }

    /// Events did not get through in time: fewer next time, and more time where there was but one.
    pub(crate) fn too_slow(&mut self) {
        if self.most > 1 {
            self.most /= 2;
        } else {
            self.be_patient();
        }
    }

    /// Not even a connection came in time.
    pub(crate) fn be_patient(&mut self) {
        self.patience = (self.patience * 2).min(self.first_patience * MOST_PATIENT);
    }

    /// They took so long: there may be more next time, if twice as many would have got through.
    pub(crate) fn went_through(&mut self, took: Duration) {
        if took * 2 < self.patience {
            self.most = (self.most * 2).min(MOST);
        }
        if took * 4 < self.patience {
            self.patience = (self.patience / 2).max(self.first_patience);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Writes against a database that takes `each` for an event, and says how much it wrote in the last of `tries`.
    fn after(tries: u32, each: Duration) -> usize {
        let mut pace = Pace::new(Duration::from_millis(1_500));
        let mut wrote = 0;
        for _ in 0..tries {
            let takes = each * u32::try_from(pace.most).unwrap();
            wrote = if takes < pace.patience { pace.most } else { 0 };
            match wrote {
                0 => pace.too_slow(),
                _ => pace.went_through(takes),
            }
        }
        wrote
    }

    #[test]
    fn a_slow_database_gets_as_much_as_it_can_take() {
        assert_eq!(after(5, Duration::from_millis(1)), 128);
        assert_eq!(after(20, Duration::from_micros(12_500)), 64, "128 would take 1.6 s");
        assert_eq!(after(20, Duration::from_millis(900)), 1);
        assert_eq!(after(20, Duration::from_secs(4)), 1, "slower than the first patience");
    }

    #[test]
    fn a_database_that_is_fast_again_is_written_to_as_before() {
        let mut pace = Pace::new(Duration::from_millis(1_500));
        (0..20).for_each(|_| pace.too_slow());
        assert_eq!((pace.most, pace.patience), (1, Duration::from_secs(24)));
        (0..10).for_each(|_| pace.went_through(Duration::from_millis(5)));
        assert_eq!((pace.most, pace.patience), (128, Duration::from_millis(1_500)));
    }
}
