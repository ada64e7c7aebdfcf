//! Week by week: the trend.

use std::collections::BTreeMap;

use chrono::{Datelike, NaiveDate, TimeDelta};

use crate::tally::Tally;

/// Tallies by week. Weeks begin on Monday (ISO 8601; PostgreSQL's `date_trunc('week', …)`).
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Weeks(BTreeMap<NaiveDate, Tally>);

impl Weeks {
    /// Counts `tally` in the week of `date`.
    pub fn add(&mut self, date: NaiveDate, tally: Tally) {
        *self.0.entry(monday(date)).or_default() += tally;
    }

    /// Takes in other weeks.
    pub fn merge(&mut self, other: &Self) {
        other.0.iter().for_each(|(&week, &tally)| self.add(week, tally));
    }

    /// Monday and tally of the weeks in which something was counted, in order. [`Tally::lateness`] of each is the late trend.
    pub fn iter(&self) -> impl Iterator<Item = (NaiveDate, Tally)> {
        self.0.iter().map(|(&week, &tally)| (week, tally))
    }
}

/// The Monday of the week of `date`.
pub fn monday(date: NaiveDate) -> NaiveDate {
    let days = TimeDelta::days(date.weekday().num_days_from_monday().into());
    date.checked_sub_signed(days).unwrap_or(NaiveDate::MIN)
}
