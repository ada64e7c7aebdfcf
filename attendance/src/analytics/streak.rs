//! Sessions attended one after the other.

use crate::tally::AttendanceStatus;

/// The streaks of one person over a stretch of sessions. Stretches can be put together, in the order in which they happened.
///
/// Late is attended. Excused neither breaks a streak nor counts for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub struct Streak {
    /// Sessions attended up to the end of the stretch, without a miss.
    current: u32,
    /// The longest run of sessions attended without a miss.
    best: u32,
    /// Sessions attended from the beginning of the stretch to the first miss.
    leading: u32,
    /// Whether something was missed.
    missed: bool,
}

impl Streak {
    /// A stretch of one session.
    pub fn one(status: AttendanceStatus) -> Self {
        match status.attended() {
            Some(true) => Self { current: 1, best: 1, leading: 1, missed: false },
            Some(false) => Self { missed: true, ..Self::default() },
            None => Self::default(),
        }
    }

    /// This stretch, and then `later`.
    #[must_use]
    pub fn then(self, later: Self) -> Self {
        let joined = self.current + later.leading;
        Self {
            current: if later.missed { later.current } else { joined },
            best: self.best.max(later.best).max(joined),
            leading: if self.missed { self.leading } else { joined },
            missed: self.missed || later.missed,
        }
    }

    /// Sessions attended since the last miss.
    pub fn current(&self) -> u32 {
        self.current
    }

    /// The longest streak there was.
    pub fn best(&self) -> u32 {
        self.best
    }
}

impl FromIterator<AttendanceStatus> for Streak {
    fn from_iter<I: IntoIterator<Item = AttendanceStatus>>(in_order: I) -> Self {
        in_order.into_iter().map(Self::one).fold(Self::default(), Self::then)
    }
}
