//! Figures over the register: what a site, a course, a group or a person looks like over time.
//!
//! A big site is counted by the database, group by group, and put together here. So every aggregate can be merged: the
//! aggregate of two halves, merged, is that of the whole. All but [`Streak`] can be merged in any order.

pub mod arrivals;
pub mod badges;
pub mod heat_map;
pub mod leaderboard;
pub mod streak;
pub mod weeks;

use std::collections::BTreeMap;

use chrono::{NaiveDate, Weekday};
use rollcall_pipeline::{PersonId, SessionId};
use uuid::Uuid;

pub use arrivals::Arrivals;
pub use badges::{Badge, Tier, badges};
pub use heat_map::HeatMap;
pub use leaderboard::{Ranked, leaderboard};
pub use streak::Streak;
pub use weeks::Weeks;

use crate::tally::{AttendanceStatus, Tally};

/// A line of the register: what stands for one person in one session, corrections applied.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AttendanceRow {
    /// Who.
    pub person: PersonId,
    /// In which session; once for each person.
    pub session: SessionId,
    /// Of which course or shift, if of one.
    pub course: Option<Uuid>,
    /// The room's date on which the session began.
    pub local_date: NaiveDate,
    /// Minute of the local day at which the session began, 0 to 1439.
    pub start_minute: u16,
    /// What stands in the register.
    pub status: AttendanceStatus,
    /// When they came, in minutes from the start, negative before it; `None` where they did not, or nobody knows when.
    pub minutes_from_start: Option<f32>,
}

impl AttendanceRow {
    /// The day of the week on which the session began.
    pub fn weekday(&self) -> Weekday {
        chrono::Datelike::weekday(&self.local_date)
    }

    /// What puts a person's rows in the order in which they happened.
    fn order(&self) -> (NaiveDate, u16, SessionId) {
        (self.local_date, self.start_minute, self.session)
    }
}

/// All figures that can be counted in any order.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct Summary {
    /// How often which status.
    pub tally: Tally,
    /// When people came.
    pub arrivals: Arrivals,
    /// Week by week.
    pub weeks: Weeks,
    /// By weekday and hour.
    pub heat_map: HeatMap,
}

impl Summary {
    /// Counts one more row.
    pub fn add(&mut self, row: &AttendanceRow) {
        let one = Tally::one(row.status);
        self.tally += one;
        self.weeks.add(row.local_date, one);
        self.heat_map.add(row.weekday(), row.start_minute / 60, one);
        if row.status.attended() == Some(true)
            && let Some(minutes) = row.minutes_from_start
        {
            self.arrivals.add(minutes);
        }
    }

    /// Takes in the summary of other rows.
    pub fn merge(&mut self, other: &Self) {
        self.tally += other.tally;
        self.arrivals.merge(&other.arrivals);
        self.weeks.merge(&other.weeks);
        self.heat_map.merge(&other.heat_map);
    }
}

impl<'a> FromIterator<&'a AttendanceRow> for Summary {
    fn from_iter<I: IntoIterator<Item = &'a AttendanceRow>>(rows: I) -> Self {
        let mut summary = Self::default();
        rows.into_iter().for_each(|row| summary.add(row));
        summary
    }
}

/// What one person's rows come to.
#[derive(Clone, Copy, Debug, PartialEq, Default)]
pub struct Standing {
    /// How often which status.
    pub tally: Tally,
    /// When they came.
    pub arrivals: Arrivals,
    /// How many sessions in a row.
    pub streak: Streak,
}

/// The standing of each person, from rows in any order.
pub fn standings(rows: &[AttendanceRow]) -> BTreeMap<PersonId, Standing> {
    let mut in_order: Vec<&AttendanceRow> = rows.iter().collect();
    in_order.sort_by_key(|row| row.order());
    let mut people: BTreeMap<PersonId, Standing> = BTreeMap::new();
    for row in in_order {
        let standing = people.entry(row.person).or_default();
        standing.tally += Tally::one(row.status);
        standing.streak = standing.streak.then(Streak::one(row.status));
        if row.status.attended() == Some(true)
            && let Some(minutes) = row.minutes_from_start
        {
            standing.arrivals.add(minutes);
        }
    }
    people
}
