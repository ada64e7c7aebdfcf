//! What can be wrong with plans, calendars and rules, and where. Everything is found at once.

use std::ops::RangeInclusive;
use std::time::Duration;

use chrono::{DateTime, Datelike, NaiveDate, NaiveTime, Timelike};
use rollcall_pipeline::{RoomId, SessionId, WallTime};
use uuid::Uuid;

use crate::calendar::MAX_DAYS;
use crate::plan::{
    DatedSession, MAX_DATED, MAX_LENGTH, MAX_NAME, MAX_ROSTER, MAX_SESSIONS, MAX_WINDOW, Roster, SessionPlan,
};

/// Captured times outside of the years 1 to 9999 are a broken clock; the calendar is not asked about them.
pub(crate) const FIRST: WallTime =
    DateTime::from_timestamp(-62_135_596_800, 0).expect("the year 1 is in chrono's range");
pub(crate) const LAST: WallTime =
    DateTime::from_timestamp(253_402_300_799, 0).expect("the year 9999 is in chrono's range");
/// The years in which dates are taken.
pub const YEARS: RangeInclusive<i32> = 1970..=9998;

/// Something that is wrong with a plan, a calendar or rules, and where.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{path}: {problem}")]
pub struct PlanError {
    /// Where, such as `rooms[2].sessions[0].end`; indices count from 0.
    pub path: String,
    /// What.
    pub problem: PlanProblem,
}

/// What can be wrong.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PlanProblem {
    /// Two rooms with one name.
    #[error("room {0} is already at rooms[{1}]; put all of its sessions there")]
    SameRoom(RoomId, usize),
    /// Two lines that would be one session.
    #[error("has the name, the start and a day of sessions[{0}]; give it another name")]
    SameSession(usize),
    /// Two sessions with one id.
    #[error("session {0} is there twice; a session has one room and one time")]
    SameId(SessionId),
    /// Two weekly entries with one id.
    #[error("has the id of entries[{0}]; give it another one")]
    SameEntry(usize),
    /// A change to an entry that is not there.
    #[error("there is no entry {0}; change one that there is")]
    NoEntry(Uuid),
    /// A name that is empty or too long.
    #[error("must be 1 to {MAX_NAME} bytes long and more than spaces")]
    Name,
    /// A session that never comes.
    #[error("has no day of the week; name at least one")]
    NoDays,
    /// A time between two seconds.
    #[error("must be in whole seconds")]
    Fraction,
    /// A date or a time that nobody means.
    #[error("must lie in the years {} to {}", YEARS.start(), YEARS.end())]
    Year,
    /// The last date before the first.
    #[error("{to} is before valid_from ({from}); swap them")]
    NeverValid {
        /// First date.
        from: NaiveDate,
        /// Last date.
        to: NaiveDate,
    },
    /// A session that is over when it begins.
    #[error("must be after starts_at")]
    NoLength,
    /// A session that is too long.
    #[error("is more than {} days after starts_at; make several sessions of it", MAX_LENGTH.as_secs() / 86_400)]
    TooLong,
    /// A window that is too long.
    #[error("must be at most {} hours", MAX_WINDOW.as_secs() / 3600)]
    Window,
    /// A share that is none.
    #[error("must be 1 to 100 percent, or not set")]
    Percent,
    /// A least presence that everybody reaches.
    #[error("must be longer than nothing, or not set")]
    Nothing,
    /// Rules by which nobody can be late.
    #[error("must be at least as long as grace; who is not late cannot be absent")]
    AbsentBeforeLate,
    /// A timetable that is too long.
    #[error("has {0} sessions; at most {MAX_SESSIONS} can be handled")]
    TooManySessions(usize),
    /// Too many sessions made ahead.
    #[error("has {0} sessions; at most {MAX_DATED} can be handled: make them less far ahead")]
    TooManyDated(usize),
    /// A roster that is too long.
    #[error("has {0} people; at most {MAX_ROSTER} can be handled")]
    TooManyPeople(usize),
    /// Too many days at once.
    #[error("has {0} days; ask for at most {MAX_DAYS} at once")]
    TooManyDays(i64),
}

/// Problems, as they are found.
#[derive(Default)]
pub(crate) struct Problems(pub(crate) Vec<PlanError>);

impl Problems {
    pub(crate) fn add(&mut self, path: String, problem: PlanProblem) {
        self.0.push(PlanError { path, problem });
    }

    pub(crate) fn roster(&mut self, path: String, roster: &Roster) {
        if let Roster::People(people) = roster
            && people.len() > MAX_ROSTER
        {
            self.add(path, PlanProblem::TooManyPeople(people.len()));
        }
    }

    pub(crate) fn session(&mut self, path: &str, session: &SessionPlan) {
        if session.name.trim().is_empty() || session.name.len() > MAX_NAME {
            self.add(format!("{path}.name"), PlanProblem::Name);
        }
        if session.days.is_empty() {
            self.add(format!("{path}.days"), PlanProblem::NoDays);
        }
        self.times(path, [("start", session.start), ("end", session.end)]);
        self.validity(path, session.valid_from, session.valid_to);
        if let Some(roster) = &session.expected {
            self.roster(format!("{path}.expected"), roster);
        }
        let windows = [("early", session.early), ("grace", session.grace), ("leave", session.leave)];
        self.windows(windows.map(|(key, window)| (format!("{path}.{key}"), window)));
    }

    pub(crate) fn dated(&mut self, path: &str, session: &DatedSession) {
        let DatedSession { id: _, local_date, starts_at, ends_at, expected, early, grace, leave } = session;
        let path_of = |key: &str| format!("{path}.{key}");
        for (key, year) in
            [("local_date", local_date.year()), ("starts_at", starts_at.year()), ("ends_at", ends_at.year())]
        {
            if !YEARS.contains(&year) {
                self.add(path_of(key), PlanProblem::Year);
            }
        }
        match (*ends_at - starts_at).to_std() {
            Err(_) | Ok(Duration::ZERO) => self.add(path_of("ends_at"), PlanProblem::NoLength),
            Ok(length) if length > MAX_LENGTH => self.add(path_of("ends_at"), PlanProblem::TooLong),
            Ok(_) => {}
        }
        if let Some(roster) = expected {
            self.roster(path_of("expected"), roster);
        }
        self.windows([("early", *early), ("grace", *grace), ("leave", *leave)].map(|(key, w)| (path_of(key), w)));
    }

    pub(crate) fn times(&mut self, path: &str, times: [(&str, NaiveTime); 2]) {
        for (key, time) in times {
            if time.nanosecond() != 0 {
                self.add(format!("{path}.{key}"), PlanProblem::Fraction);
            }
        }
    }

    pub(crate) fn validity(&mut self, path: &str, from: Option<NaiveDate>, to: Option<NaiveDate>) {
        if let (Some(from), Some(to)) = (from, to)
            && to < from
        {
            self.add(format!("{path}.valid_to"), PlanProblem::NeverValid { from, to });
        }
    }

    pub(crate) fn windows(&mut self, windows: impl IntoIterator<Item = (impl Into<String>, Duration)>) {
        for (path, window) in windows {
            if window > MAX_WINDOW {
                self.add(path.into(), PlanProblem::Window);
            }
        }
    }
}
