//! Weekly timetables on the calendar: which sessions there are on given local dates.
//!
//! Sessions are made ahead as rows, again and again. The id of a session comes from its entry and the date on which the
//! weekly pattern has it, and from nothing else; so making them again changes nothing, and a session that is moved, or whose
//! entry gets another hour, stays the same session. What belongs to a room, a course or a roster is not known here.

use std::collections::{HashMap, HashSet};
use std::ops::{Range, RangeInclusive};

use chrono::{Datelike, NaiveDate, NaiveTime, WeekdaySet};
use chrono_tz::Tz;
use rollcall_pipeline::{SessionId, WallTime};
use uuid::Uuid;

use crate::local;
use crate::problems::{PlanError, PlanProblem, Problems, YEARS};

/// Most local dates that are asked for at once: three years.
pub const MAX_DAYS: i64 = 1_100;

const NAMESPACE: Uuid = Uuid::from_u128(0x3c52_a0d6_8f14_4b7e_b6a1_54e9_07d3_c8f2);

/// A line of a timetable: it comes every week.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WeeklyEntry {
    /// Which; part of its sessions' identity.
    pub id: Uuid,
    /// The days of the week on which its sessions begin.
    pub days: WeekdaySet,
    /// Local time at which they begin. Whole seconds.
    pub start: NaiveTime,
    /// Local time at which they end; at or before `start` means on the next day.
    pub end: NaiveTime,
    /// First local date on which one may begin.
    pub valid_from: Option<NaiveDate>,
    /// Last local date on which one may begin.
    pub valid_to: Option<NaiveDate>,
}

impl WeeklyEntry {
    /// Whether the weekly pattern has a session on `date`, whatever holidays and exceptions say.
    pub fn occurs_on(&self, date: NaiveDate) -> bool {
        self.days.contains(date.weekday())
            && self.valid_from.is_none_or(|from| from <= date)
            && self.valid_to.is_none_or(|to| date <= to)
    }

    /// The id of the session that the weekly pattern has on `date`, wherever it is moved to.
    pub fn session_id(&self, date: NaiveDate) -> SessionId {
        SessionId(Uuid::new_v5(&NAMESPACE, format!("{}/{date}", self.id).as_bytes()))
    }
}

/// What is different about one session of an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exception {
    /// It is not held.
    Cancelled,
    /// It is held at another time.
    Moved {
        /// On this local date.
        date: NaiveDate,
        /// From when.
        start: NaiveTime,
        /// To when; at or before `start` means on the next day.
        end: NaiveTime,
    },
}

/// A session on the calendar.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Occurrence {
    /// The session's; see [`WeeklyEntry::session_id`].
    pub id: SessionId,
    /// The entry's.
    pub entry: Uuid,
    /// The date that the weekly pattern has for it.
    pub original_date: NaiveDate,
    /// The local date on which it begins.
    pub local_date: NaiveDate,
    /// When it begins.
    pub starts_at: WallTime,
    /// When it ends, exclusive; always later than it begins.
    pub ends_at: WallTime,
}

/// Entries, holidays and exceptions, checked.
#[derive(Clone, Debug)]
pub struct Calendar {
    entries: Vec<WeeklyEntry>,
    holidays: HashSet<NaiveDate>,
    exceptions: HashMap<(Uuid, NaiveDate), Exception>,
}

impl Calendar {
    /// Checks a calendar. Exceptions are keyed by their entry and the date of the weekly pattern; one for a date on which the
    /// pattern has nothing does nothing.
    ///
    /// # Errors
    /// Everything that is wrong with it.
    pub fn new(
        entries: Vec<WeeklyEntry>,
        holidays: HashSet<NaiveDate>,
        exceptions: HashMap<(Uuid, NaiveDate), Exception>,
    ) -> Result<Self, Vec<PlanError>> {
        let mut found = Problems::default();
        let mut ids = HashMap::new();
        for (i, entry) in entries.iter().enumerate() {
            let path = format!("entries[{i}]");
            match ids.get(&entry.id) {
                Some(&first) => found.add(format!("{path}.id"), PlanProblem::SameEntry(first)),
                None => drop(ids.insert(entry.id, i)),
            }
            if entry.days.is_empty() {
                found.add(format!("{path}.days"), PlanProblem::NoDays);
            }
            found.times(&path, [("start", entry.start), ("end", entry.end)]);
            found.validity(&path, entry.valid_from, entry.valid_to);
        }
        let mut sorted: Vec<_> = exceptions.iter().collect();
        sorted.sort_by_key(|(key, _)| *key);
        for ((entry, date), exception) in sorted {
            let path = format!("exceptions[{entry} {date}]");
            if !ids.contains_key(entry) {
                found.add(path.clone(), PlanProblem::NoEntry(*entry));
            }
            if let Exception::Moved { date, start, end } = exception {
                found.times(&path, [("start", *start), ("end", *end)]);
                if !YEARS.contains(&date.year()) {
                    found.add(format!("{path}.date"), PlanProblem::Year);
                }
            }
        }
        if found.0.is_empty() { Ok(Self { entries, holidays, exceptions }) } else { Err(found.0) }
    }

    /// The sessions that begin on these local dates of `tz`, by start. An exception says more than a holiday: what was moved
    /// away from a holiday, or onto one, is held.
    ///
    /// # Errors
    /// When there are more dates than [`MAX_DAYS`], or dates that nobody means.
    pub fn occurrences(&self, tz: Tz, dates: &RangeInclusive<NaiveDate>) -> Result<Vec<Occurrence>, PlanError> {
        let refused = |problem| PlanError { path: "dates".to_owned(), problem };
        let days = (*dates.end() - *dates.start()).num_days().saturating_add(1);
        if days > MAX_DAYS {
            return Err(refused(PlanProblem::TooManyDays(days)));
        }
        if !YEARS.contains(&dates.start().year()) || !YEARS.contains(&dates.end().year()) {
            return Err(refused(PlanProblem::Year));
        }
        let mut found = Vec::new();
        for date in dates.start().iter_days().take_while(|date| date <= dates.end()) {
            if self.holidays.contains(&date) {
                continue;
            }
            for entry in self.entries.iter().filter(|entry| entry.occurs_on(date)) {
                if !self.exceptions.contains_key(&(entry.id, date)) {
                    found.push(held(tz, entry, date, date, entry.start, entry.end));
                }
            }
        }
        let entries: HashMap<Uuid, &WeeklyEntry> = self.entries.iter().map(|entry| (entry.id, entry)).collect();
        for ((id, original), exception) in &self.exceptions {
            if let Exception::Moved { date, start, end } = exception
                && dates.contains(date)
                && let Some(entry) = entries.get(id).filter(|entry| entry.occurs_on(*original))
            {
                found.push(held(tz, entry, *original, *date, *start, *end));
            }
        }
        found.sort_by_key(|o| (o.starts_at, o.id));
        Ok(found)
    }
}

fn held(
    tz: Tz,
    entry: &WeeklyEntry,
    original_date: NaiveDate,
    local_date: NaiveDate,
    start: NaiveTime,
    end: NaiveTime,
) -> Occurrence {
    let Range { start: starts_at, end: ends_at } = local::bounds(tz, local_date, start, end);
    Occurrence { id: entry.session_id(original_date), entry: entry.id, original_date, local_date, starts_at, ends_at }
}
