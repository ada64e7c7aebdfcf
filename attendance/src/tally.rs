//! Counts of present, late, absent and excused, and the percentages made of them.

use std::iter::Sum;
use std::ops::{Add, AddAssign};

/// What stands in the register for a person who was expected in a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum AttendanceStatus {
    /// Came in time.
    Present,
    /// Came, after the grace period.
    Late,
    /// Did not come, or too late, or for too short.
    Absent,
    /// Was not there and need not have been: counts for nothing.
    Excused,
}

impl AttendanceStatus {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Present, Self::Late, Self::Absent, Self::Excused];

    /// The word used in rows.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Present => "present",
            Self::Late => "late",
            Self::Absent => "absent",
            Self::Excused => "excused",
        }
    }

    /// Whether the person was there; `None` where it does not count.
    pub fn attended(self) -> Option<bool> {
        match self {
            Self::Present | Self::Late => Some(true),
            Self::Absent => Some(false),
            Self::Excused => None,
        }
    }
}

/// How often which status. Tallies of parts add up to that of the whole, in any order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub struct Tally {
    /// In time.
    pub present: u64,
    /// Late.
    pub late: u64,
    /// Absent.
    pub absent: u64,
    /// Excused.
    pub excused: u64,
}

impl Tally {
    /// A tally of one.
    pub fn one(status: AttendanceStatus) -> Self {
        let mut tally = Self::default();
        match status {
            AttendanceStatus::Present => tally.present = 1,
            AttendanceStatus::Late => tally.late = 1,
            AttendanceStatus::Absent => tally.absent = 1,
            AttendanceStatus::Excused => tally.excused = 1,
        }
        tally
    }

    /// How often they were there: present and late.
    pub fn attended(&self) -> u64 {
        self.present + self.late
    }

    /// How often they should have been there: present, late and absent. The denominator; excused is left out of it.
    pub fn expected(&self) -> u64 {
        self.attended() + self.absent
    }

    /// Percentage of the expected sessions that were attended, in time or late; `None` where nothing was expected.
    pub fn attendance(&self) -> Option<f64> {
        percent(self.attended(), self.expected())
    }

    /// Percentage of the expected sessions that were attended in time.
    pub fn punctuality(&self) -> Option<f64> {
        percent(self.present, self.expected())
    }

    /// Percentage of the attended sessions to which they came late.
    pub fn lateness(&self) -> Option<f64> {
        percent(self.late, self.attended())
    }

    /// Percentage of the expected sessions that were missed.
    pub fn absence(&self) -> Option<f64> {
        percent(self.absent, self.expected())
    }
}

/// `None` of nothing.
fn percent(part: u64, whole: u64) -> Option<f64> {
    (whole > 0).then(|| part as f64 * 100.0 / whole as f64)
}

/// Whether `part` is at least `percent` % of `whole`, exactly.
pub(crate) fn reaches(part: u64, whole: u64, percent: u8) -> bool {
    u128::from(part) * 100 >= u128::from(whole) * u128::from(percent)
}

impl AddAssign for Tally {
    fn add_assign(&mut self, other: Self) {
        self.present += other.present;
        self.late += other.late;
        self.absent += other.absent;
        self.excused += other.excused;
    }
}

impl Add for Tally {
    type Output = Self;

    fn add(mut self, other: Self) -> Self {
        self += other;
        self
    }
}

impl Sum for Tally {
    fn sum<I: Iterator<Item = Self>>(parts: I) -> Self {
        parts.fold(Self::default(), Add::add)
    }
}

impl FromIterator<AttendanceStatus> for Tally {
    fn from_iter<I: IntoIterator<Item = AttendanceStatus>>(statuses: I) -> Self {
        statuses.into_iter().map(Self::one).sum()
    }
}
