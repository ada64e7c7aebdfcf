//! Badges: what a person has earned.

use super::Standing;
use crate::tally::reaches;

/// So many sessions it takes for a tier of attendance, and arrivals for an early bird: two lucky days are no habit.
pub const AT_LEAST: u64 = 10;
/// Percentage of arrivals before the start that makes an early bird.
pub const EARLY_BIRD: u8 = 80;
/// Lengths of streaks that earn a badge.
pub const STREAKS: [u32; 4] = [5, 10, 20, 50];

/// A tier of attendance.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Tier {
    /// The third.
    Bronze,
    /// The second.
    Silver,
    /// The first.
    Gold,
}

impl Tier {
    /// All tiers, best first.
    pub const ALL: [Self; 3] = [Self::Gold, Self::Silver, Self::Bronze];

    /// The percentage of attendance that it takes.
    pub fn from_percent(self) -> u8 {
        match self {
            Self::Gold => 95,
            Self::Silver => 90,
            Self::Bronze => 80,
        }
    }

    /// The word used in answers.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Gold => "gold",
            Self::Silver => "silver",
            Self::Bronze => "bronze",
        }
    }
}

/// A badge.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Badge {
    /// Of a tier of attendance.
    Attendance(Tier),
    /// Of a streak of at least this many sessions, one of [`STREAKS`].
    Streak(u32),
    /// Of somebody who mostly comes before the start.
    EarlyBird,
}

/// What somebody has earned: the highest tier, the longest of the streaks (the best one counts, it need not last), early bird.
pub fn badges(standing: &Standing) -> Vec<Badge> {
    let Standing { tally, arrivals, streak } = standing;
    let tier = Tier::ALL
        .into_iter()
        .find(|tier| tally.expected() >= AT_LEAST && reaches(tally.attended(), tally.expected(), tier.from_percent()));
    let longest = STREAKS.into_iter().rev().find(|length| streak.best() >= *length);
    let early = arrivals.total() >= AT_LEAST && reaches(arrivals.before_start(), arrivals.total(), EARLY_BIRD);
    let earned = [tier.map(Badge::Attendance), longest.map(Badge::Streak), early.then_some(Badge::EarlyBird)];
    earned.into_iter().flatten().collect()
}
