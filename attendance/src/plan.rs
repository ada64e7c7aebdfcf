//! Rooms and timetables as plain data. Configuration and database both bring this: the file lines that come every week, the
//! database sessions that were made ahead.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use chrono::{NaiveDate, NaiveTime, WeekdaySet};
use chrono_tz::Tz;
use rollcall_pipeline::{PersonId, RoomId, SessionId, WallTime};

use crate::calendar::Occurrence;
use crate::course::CourseRules;
use crate::problems::{PlanError, PlanProblem, Problems};

/// Most sessions in the timetable of one room.
pub const MAX_SESSIONS: usize = 1_000;
/// Most sessions made ahead for one room.
pub const MAX_DATED: usize = 50_000;
/// Longest session that is made ahead or by hand.
pub const MAX_LENGTH: Duration = Duration::from_secs(7 * 24 * 3600);
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
    /// The timetable's lines: sessions that come every week.
    pub sessions: Vec<SessionPlan>,
    /// Sessions of their own date, in any order: made ahead from a calendar, or once by hand.
    pub dated: Vec<DatedSession>,
    /// Whether courses meet here, by a timetable that is kept elsewhere: it has holidays, and its sessions are among `dated`. A
    /// room with weekly lines has one, too. One without marks once a local day, also when a single session is held there.
    pub has_timetable: bool,
}

impl RoomPlan {
    /// A room without a timetable that welcomes everybody.
    pub fn new(room: RoomId) -> Self {
        let expected = Roster::Everybody;
        Self { room, time_zone: None, expected, sessions: Vec::new(), dated: Vec::new(), has_timetable: false }
    }

    /// Whether what lies outside of its sessions is off schedule.
    pub(crate) fn is_timetabled(&self) -> bool {
        self.has_timetable || !self.sessions.is_empty()
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

/// One session on one date. It has an identity of its own, so that it may be moved or renamed and stays what it is.
#[derive(Clone, Debug, PartialEq)]
pub struct DatedSession {
    /// Which.
    pub id: SessionId,
    /// The room's date on which it begins. May differ between two snapshots (the session was moved), but not once somebody
    /// is marked in it.
    pub local_date: NaiveDate,
    /// When it begins.
    pub starts_at: WallTime,
    /// When it ends, exclusive.
    pub ends_at: WallTime,
    /// Who is expected; `None`: whoever the room expects.
    pub expected: Option<Roster>,
    /// How long before the start people may come.
    pub early: Duration,
    /// How long after the start people are not late.
    pub grace: Duration,
    /// How long after the end people who were there may still be seen leaving.
    pub leave: Duration,
}

impl DatedSession {
    /// An occurrence of a calendar, by the rules of its course.
    pub fn new(occurrence: &Occurrence, rules: &CourseRules, expected: Option<Roster>) -> Self {
        let Occurrence { id, local_date, starts_at, ends_at, .. } = *occurrence;
        let CourseRules { early, grace, leave, .. } = *rules;
        Self { id, local_date, starts_at, ends_at, expected, early, grace, leave }
    }
}

impl SitePlan {
    /// Finds everything that is wrong with it, in order.
    pub fn problems(&self) -> Vec<PlanError> {
        let mut found = Problems::default();
        let mut seen: HashMap<&RoomId, usize> = HashMap::new();
        let mut ids = HashSet::new();
        for (i, room) in self.rooms.iter().enumerate() {
            if let Some(&first) = seen.get(&room.room) {
                found.add(format!("rooms[{i}].room"), PlanProblem::SameRoom(room.room.clone(), first));
            } else {
                seen.insert(&room.room, i);
            }
            found.roster(format!("rooms[{i}].expected"), &room.expected);
            room.weekly_problems(i, &mut found);
            if room.dated.len() > MAX_DATED {
                found.add(format!("rooms[{i}].dated"), PlanProblem::TooManyDated(room.dated.len()));
                continue;
            }
            for (j, session) in room.dated.iter().enumerate() {
                found.dated(&format!("rooms[{i}].dated[{j}]"), session);
                if !ids.insert(session.id) {
                    found.add(format!("rooms[{i}].dated[{j}].id"), PlanProblem::SameId(session.id));
                }
            }
        }
        found.0
    }
}

impl RoomPlan {
    fn weekly_problems(&self, i: usize, found: &mut Problems) {
        if self.sessions.len() > MAX_SESSIONS {
            found.add(format!("rooms[{i}].sessions"), PlanProblem::TooManySessions(self.sessions.len()));
            return;
        }
        let mut twins = HashSet::new();
        for (j, session) in self.sessions.iter().enumerate() {
            found.session(&format!("rooms[{i}].sessions[{j}]"), session);
            // Comparing all pairs is only worth it where name and start were seen before.
            if !twins.insert((&session.name, session.start))
                && let Some(first) = self.sessions[..j].iter().position(|other| other.same_session(session))
            {
                found.add(format!("rooms[{i}].sessions[{j}]"), PlanProblem::SameSession(first));
            }
        }
    }
}
