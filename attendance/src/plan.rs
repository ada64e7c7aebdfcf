//! Rooms and timetables as plain data, and what can be wrong with them. Configuration and database both bring this.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use chrono::{NaiveDate, NaiveTime, Timelike, WeekdaySet};
use chrono_tz::Tz;
use rollcall_pipeline::{PersonId, RoomId};

/// Most sessions in the timetable of one room.
pub const MAX_SESSIONS: usize = 1_000;
/// Most people on one roster.
pub const MAX_ROSTER: usize = 100_000;
/// Longest name of a session, in bytes.
pub const MAX_NAME: usize = 200;
/// Longest `early`, `grace` and `leave`.
pub const MAX_WINDOW: Duration = Duration::from_secs(12 * 3600);

/// Who is expected.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub enum Roster {
    /// Everybody who is enrolled.
    #[default]
    Everybody,
    /// These people, sorted, each once. Made by [`Roster::people`].
    People(Arc<[PersonId]>),
}

impl Roster {
    /// A roster of these people, in any order.
    pub fn people(people: impl IntoIterator<Item = PersonId>) -> Self {
        Self::People(sorted(people.into_iter().collect()))
    }

    /// Whether `person` is on it. Needs a sorted list, which [`Roster::people`] makes and [`crate::Schedule`] makes sure of.
    pub fn expects(&self, person: PersonId) -> bool {
        match self {
            Self::Everybody => true,
            Self::People(people) => people.binary_search(&person).is_ok(),
        }
    }

    /// The same roster, sorted even if somebody built the variant by hand.
    pub(crate) fn in_order(&self) -> Self {
        match self {
            Self::People(people) if !people.is_sorted_by(|a, b| a < b) => Self::People(sorted(people.to_vec())),
            other => other.clone(),
        }
    }
}

fn sorted(mut people: Vec<PersonId>) -> Arc<[PersonId]> {
    people.sort_unstable();
    people.dedup();
    people.into()
}

/// A site: its rooms and their timetables.
#[derive(Clone, Debug, PartialEq)]
pub struct SitePlan {
    /// Where rooms are that do not say it themselves.
    pub time_zone: Tz,
    /// The rooms. A room that is not here has no timetable and welcomes everybody.
    pub rooms: Vec<RoomPlan>,
}

/// A room.
#[derive(Clone, Debug, PartialEq)]
pub struct RoomPlan {
    /// Its name.
    pub room: RoomId,
    /// Where it is, if not where the site is.
    pub time_zone: Option<Tz>,
    /// Who is expected in sessions that do not say it, and on the days of a room that has no timetable.
    pub expected: Roster,
    /// The timetable. Empty: the room has none, and marks once a local day.
    pub sessions: Vec<SessionPlan>,
}

impl RoomPlan {
    /// A room without a timetable that welcomes everybody.
    pub fn new(room: RoomId) -> Self {
        Self { room, time_zone: None, expected: Roster::Everybody, sessions: Vec::new() }
    }
}

/// A line of a timetable: a session that comes every week.
#[derive(Clone, Debug, PartialEq)]
pub struct SessionPlan {
    /// What it is called; part of the session's identity.
    pub name: String,
    /// The days of the week on which it begins.
    pub days: WeekdaySet,
    /// Local time at which it begins; part of the session's identity. Whole seconds.
    pub start: NaiveTime,
    /// Local time at which it ends; at or before `start` means on the next day, so that 00:00 to 00:00 is a whole day.
    pub end: NaiveTime,
    /// First local date on which it may begin.
    pub valid_from: Option<NaiveDate>,
    /// Last local date on which it may begin.
    pub valid_to: Option<NaiveDate>,
    /// Who is expected; `None`: whoever the room expects.
    pub expected: Option<Roster>,
    /// How long before the start people may come.
    pub early: Duration,
    /// How long after the start people are not late.
    pub grace: Duration,
    /// How long after the end people who were there may still be seen leaving.
    pub leave: Duration,
}

impl SessionPlan {
    /// Default of [`SessionPlan::early`].
    pub const EARLY: Duration = Duration::from_secs(15 * 60);
    /// Default of [`SessionPlan::grace`].
    pub const GRACE: Duration = Duration::from_secs(5 * 60);
    /// Default of [`SessionPlan::leave`].
    pub const LEAVE: Duration = Duration::from_secs(15 * 60);

    /// A session with the default windows, always valid, for whoever the room expects.
    pub fn new(name: impl Into<String>, days: WeekdaySet, start: NaiveTime, end: NaiveTime) -> Self {
        Self {
            name: name.into(),
            days,
            start,
            end,
            valid_from: None,
            valid_to: None,
            expected: None,
            early: Self::EARLY,
            grace: Self::GRACE,
            leave: Self::LEAVE,
        }
    }

    /// Whether one session could be both: same name, same start, a common day, overlapping validity.
    fn same_session(&self, other: &Self) -> bool {
        let before = |to: Option<NaiveDate>, from: Option<NaiveDate>| to.zip(from).is_some_and(|(t, f)| t < f);
        self.start == other.start
            && self.name == other.name
            && !self.days.intersection(other.days).is_empty()
            && !before(self.valid_to, other.valid_from)
            && !before(other.valid_to, self.valid_from)
    }
}

/// Something that is wrong with a plan, and where.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{path}: {problem}")]
pub struct PlanError {
    /// Where, such as `rooms[2].sessions[0].end`; indices count from 0.
    pub path: String,
    /// What.
    pub problem: PlanProblem,
}

/// What can be wrong with a plan.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PlanProblem {
    /// Two rooms with one name.
    #[error("room {0} is already at rooms[{1}]; put all of its sessions there")]
    SameRoom(RoomId, usize),
    /// Two lines that would be one session.
    #[error("has the name, the start and a day of sessions[{0}]; give it another name")]
    SameSession(usize),
    /// A name that is empty or too long.
    #[error("must be 1 to {MAX_NAME} bytes long and more than spaces")]
    Name,
    /// A session that never comes.
    #[error("has no day of the week; name at least one")]
    NoDays,
    /// A time between two seconds.
    #[error("must be in whole seconds")]
    Fraction,
    /// The last date before the first.
    #[error("{to} is before valid_from ({from}); swap them")]
    NeverValid {
        /// First date.
        from: NaiveDate,
        /// Last date.
        to: NaiveDate,
    },
    /// A window that is too long.
    #[error("must be at most {} hours", MAX_WINDOW.as_secs() / 3600)]
    Window,
    /// A timetable that is too long.
    #[error("has {0} sessions; at most {MAX_SESSIONS} can be handled")]
    TooManySessions(usize),
    /// A roster that is too long.
    #[error("has {0} people; at most {MAX_ROSTER} can be handled")]
    TooManyPeople(usize),
}

impl SitePlan {
    /// Finds everything that is wrong with it, in order.
    pub fn problems(&self) -> Vec<PlanError> {
        let mut found = Problems::default();
        let mut seen: HashMap<&RoomId, usize> = HashMap::new();
        for (i, room) in self.rooms.iter().enumerate() {
            if let Some(&first) = seen.get(&room.room) {
                found.add(format!("rooms[{i}].room"), PlanProblem::SameRoom(room.room.clone(), first));
            } else {
                seen.insert(&room.room, i);
            }
            found.roster(format!("rooms[{i}].expected"), &room.expected);
            if room.sessions.len() > MAX_SESSIONS {
                found.add(format!("rooms[{i}].sessions"), PlanProblem::TooManySessions(room.sessions.len()));
                continue;
            }
            let mut twins = HashSet::new();
            for (j, session) in room.sessions.iter().enumerate() {
                found.session(&format!("rooms[{i}].sessions[{j}]"), session);
                // Comparing all pairs is only worth it where name and start were seen before.
                if !twins.insert((&session.name, session.start))
                    && let Some(first) = room.sessions[..j].iter().position(|other| other.same_session(session))
                {
                    found.add(format!("rooms[{i}].sessions[{j}]"), PlanProblem::SameSession(first));
                }
            }
        }
        found.0
    }
}

#[derive(Default)]
struct Problems(Vec<PlanError>);

impl Problems {
    fn add(&mut self, path: String, problem: PlanProblem) {
        self.0.push(PlanError { path, problem });
    }

    fn roster(&mut self, path: String, roster: &Roster) {
        if let Roster::People(people) = roster
            && people.len() > MAX_ROSTER
        {
            self.add(path, PlanProblem::TooManyPeople(people.len()));
        }
    }

    fn session(&mut self, path: &str, session: &SessionPlan) {
        if session.name.trim().is_empty() || session.name.len() > MAX_NAME {
            self.add(format!("{path}.name"), PlanProblem::Name);
        }
        if session.days.is_empty() {
            self.add(format!("{path}.days"), PlanProblem::NoDays);
        }
        for (key, time) in [("start", session.start), ("end", session.end)] {
            if time.nanosecond() != 0 {
                self.add(format!("{path}.{key}"), PlanProblem::Fraction);
            }
        }
        if let (Some(from), Some(to)) = (session.valid_from, session.valid_to)
            && to < from
        {
            self.add(format!("{path}.valid_to"), PlanProblem::NeverValid { from, to });
        }
        if let Some(roster) = &session.expected {
            self.roster(format!("{path}.expected"), roster);
        }
        for (key, window) in [("early", session.early), ("grace", session.grace), ("leave", session.leave)] {
            if window > MAX_WINDOW {
                self.add(format!("{path}.{key}"), PlanProblem::Window);
            }
        }
    }
}
