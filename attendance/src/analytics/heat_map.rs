//! By weekday and hour: when a site is full and when people are missing.

use chrono::Weekday;

use crate::tally::Tally;

/// Tallies by the weekday and the local hour in which sessions begin.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct HeatMap {
    /// From Monday; by hour.
    cells: [[Tally; 24]; 7],
}

impl HeatMap {
    /// Counts `tally` in a cell; an hour that no day has is counted in its last one.
    pub fn add(&mut self, weekday: Weekday, hour: u16, tally: Tally) {
        self.cells[weekday.num_days_from_monday() as usize][usize::from(hour).min(23)] += tally;
    }

    /// Takes in another map.
    pub fn merge(&mut self, other: &Self) {
        for (cell, more) in self.cells.iter_mut().flatten().zip(other.cells.iter().flatten()) {
            *cell += *more;
        }
    }

    /// The tally of a cell; an empty one for an hour that no day has.
    pub fn cell(&self, weekday: Weekday, hour: u16) -> Tally {
        let day = &self.cells[weekday.num_days_from_monday() as usize];
        day.get(usize::from(hour)).copied().unwrap_or_default()
    }

    /// All cells: the days from Monday, each with its hours from 0.
    pub fn rows(&self) -> &[[Tally; 24]; 7] {
        &self.cells
    }
}
