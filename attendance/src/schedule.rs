//! Which session a moment belongs to: an immutable snapshot of rooms and timetables, made from a [`SitePlan`].
//!
//! It is swapped as a whole when configuration or database change. It deliberately knows nobody's marks; who belongs where
//! in spite of overlaps is asked with the marks at hand, in `Occasions::of`.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use chrono::{Datelike, NaiveDate, NaiveTime, TimeDelta};
use chrono_tz::Tz;
use rollcall_pipeline::ports::Expectations;
use rollcall_pipeline::{Direction, MarkStatus, PersonId, RoomId, Session, SessionId, SessionKind, WallTime};
use uuid::Uuid;

use crate::dated::Dated;
use crate::local;
use crate::plan::{MAX_WINDOW, RoomPlan, Roster, SessionPlan, SitePlan};
use crate::problems::{FIRST, LAST, PlanError};

const NAMESPACE: Uuid = Uuid::from_u128(0x0f6b_9f5e_3a7d_4c1c_8e55_71b8_92d4_6a03);

/// A session, with what its rules need.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Occasion {
    /// The session.
    pub session: Session,
    /// Who is expected. Nobody's absence counts where no session is on; there it is everybody.
    pub roster: Roster,
    /// Who is seen first after this is late; `None` where nobody can be.
    pub late_after: Option<WallTime>,
}

impl Occasion {
    /// The status of `person`, first seen at `seen`.
    pub fn status(&self, person: PersonId, seen: WallTime) -> MarkStatus {
        if self.session.kind == SessionKind::OffSchedule {
            MarkStatus::OffSchedule
        } else if !self.roster.expects(person) {
            MarkStatus::OffRoster
        } else if self.late_after.is_some_and(|limit| seen > limit) {
            MarkStatus::Late
        } else {
            MarkStatus::Present
        }
    }
}

/// All that a moment in a room may belong to. Rarely more than one session: where one ends and the next begins.
#[derive(Debug)]
pub(crate) struct Occasions {
    /// Sessions that have begun and not ended, latest start first.
    begun: Vec<Occasion>,
    /// Sessions about to begin, earliest start first.
    upcoming: Vec<Occasion>,
    /// Sessions that people are still leaving, latest end first.
    ended: Vec<Occasion>,
    /// The local day: of a room without timetable, or off schedule.
    day: Occasion,
}

/// How a moment stands to a session.
#[derive(Clone, Copy)]
enum Phase {
    Begun,
    Upcoming,
    Ended,
}

impl Phase {
    fn of(at: WallTime, starts_at: WallTime, ends_at: WallTime, early: TimeDelta, leave: TimeDelta) -> Option<Self> {
        if (starts_at..ends_at).contains(&at) {
            Some(Self::Begun)
        } else if (starts_at - early..starts_at).contains(&at) {
            Some(Self::Upcoming)
        } else if (ends_at..ends_at + leave).contains(&at) {
            Some(Self::Ended)
        } else {
            None
        }
    }
}

impl Occasions {
    fn list(&mut self, phase: Phase) -> &mut Vec<Occasion> {
        match phase {
            Phase::Begun => &mut self.begun,
            Phase::Upcoming => &mut self.upcoming,
            Phase::Ended => &mut self.ended,
        }
    }

    /// The session with this id, if it is one of them.
    pub(crate) fn session(&self, id: SessionId) -> Option<&Session> {
        let Self { begun, upcoming, ended, day } = self;
        let all = begun.iter().chain(upcoming).chain(ended).chain([day]);
        all.map(|o| &o.session).find(|session| session.id == id)
    }

    /// The one a person belongs to.
    ///
    /// In this order: the session they are expected in that is on; that is about to begin; the one that just ended, if they
    /// are marked in it, or are seen on their way out and were expected; else the day of a room without timetable, if it
    /// expects them: a single session there is not their business; else whatever is on, or the day. Who is on their way out
    /// does not belong to a session that has not begun.
    pub(crate) fn of(
        self,
        person: PersonId,
        direction: Option<Direction>,
        marked: impl Fn(SessionId) -> bool,
    ) -> Occasion {
        let exit = direction == Some(Direction::Exit);
        let Self { begun, mut upcoming, ended, day } = self;
        if exit {
            upcoming.clear();
        }
        let expects = |o: &&Occasion| o.roster.expects(person);
        let left = |o: &&Occasion| marked(o.session.id) || (exit && o.roster.expects(person));
        begun
            .iter()
            .chain(&upcoming)
            .find(expects)
            .or_else(|| ended.iter().find(left))
            .or_else(|| Some(&day).filter(|day| day.session.kind == SessionKind::Day).filter(expects))
            .or_else(|| begun.first())
            .or_else(|| upcoming.first())
            .unwrap_or(&day)
            .clone()
    }
}

/// Rooms and timetables, ready to be asked.
#[derive(Clone, Debug)]
pub struct Schedule {
    time_zone: Tz,
    rooms: HashMap<RoomId, Room>,
}

#[derive(Clone, Debug)]
struct Room {
    time_zone: Tz,
    roster: Roster,
    entries: Vec<Entry>,
    /// Indices into `entries`, by the weekday on which they begin, from Monday.
    by_day: [Vec<usize>; 7],
    dated: Dated,
    timetabled: bool,
}

#[derive(Clone, Debug)]
struct Entry {
    name: Box<str>,
    start: NaiveTime,
    end: NaiveTime,
    valid_from: NaiveDate,
    valid_to: NaiveDate,
    roster: Roster,
    early: TimeDelta,
    grace: TimeDelta,
    leave: TimeDelta,
}

impl Schedule {
    /// Checks a plan and makes it ready.
    ///
    /// # Errors
    /// Everything that is wrong with the plan.
    pub fn new(plan: &SitePlan) -> Result<Self, Vec<PlanError>> {
        let problems = plan.problems();
        if !problems.is_empty() {
            return Err(problems);
        }
        let rooms = plan.rooms.iter().map(|r| (r.room.clone(), Room::new(r, plan.time_zone))).collect();
        Ok(Self { time_zone: plan.time_zone, rooms })
    }

    /// A site where no room has a timetable and everybody is welcome.
    pub fn open(time_zone: Tz) -> Self {
        Self { time_zone, rooms: HashMap::new() }
    }

    /// The session of the moment in `room`: the one that has begun, of several the one that began last; else the one that
    /// may be entered already, of several the one that begins first; else the local day, which is off schedule where the
    /// room has a timetable.
    pub fn occasion(&self, room: &RoomId, at: WallTime) -> Occasion {
        let Occasions { begun, upcoming, day, .. } = self.occasions(room, at);
        begun.into_iter().chain(upcoming).next().unwrap_or(day)
    }

    /// The session of the moment for `person`, who has no mark anywhere and passed a camera in that direction. Where sessions
    /// overlap (also by the time in which one may come early), it is the first that expects the person.
    pub fn occasion_for(
        &self,
        room: &RoomId,
        at: WallTime,
        person: PersonId,
        direction: Option<Direction>,
    ) -> Occasion {
        self.occasions(room, at).of(person, direction, |_| false)
    }

    /// The sessions of the timetable's weekly lines that begin in `room` on a local date, each with the index of its line.
    pub fn weekly(&self, room: &RoomId, date: NaiveDate) -> Vec<(usize, Occasion)> {
        self.rooms.get(room).map_or_else(Vec::new, |rules| rules.weekly(room, date))
    }

    /// Whether that session is on in the room then, its early and leave windows included.
    pub fn is_on(&self, room: &RoomId, at: WallTime, session: SessionId) -> bool {
        self.occasions(room, at).session(session).is_some()
    }

    pub(crate) fn occasions(&self, room: &RoomId, at: WallTime) -> Occasions {
        let at = at.clamp(FIRST, LAST);
        match self.rooms.get(room) {
            Some(rules) => rules.occasions(room, at),
            None => Room::new(&RoomPlan::new(room.clone()), self.time_zone).occasions(room, at),
        }
    }
}

impl Expectations for Schedule {
    /// Everybody who is on the roster of a session that is on or may be entered already. `None` where one of them, or the
    /// room, welcomes everybody, and off schedule.
    fn expected(&self, room: &RoomId, at: WallTime) -> Option<Arc<[PersonId]>> {
        let Occasions { begun, upcoming, day, .. } = self.occasions(room, at);
        let rosters: Option<Vec<Arc<[PersonId]>>> = begun
            .into_iter()
            .chain(upcoming)
            .map(|o| o.roster)
            .chain((day.session.kind == SessionKind::Day).then_some(day.roster))
            .map(|roster| match roster {
                Roster::Everybody => None,
                Roster::People(people) => Some(people),
            })
            .collect();
        match rosters?.as_slice() {
            [] => None,
            [one] => Some(Arc::clone(one)),
            several => match Roster::people(several.iter().flat_map(|people| people.iter().copied())) {
                Roster::People(people) => Some(people),
                Roster::Everybody => None,
            },
        }
    }
}

impl Room {
    fn new(plan: &RoomPlan, site: Tz) -> Self {
        let mut by_day = <[Vec<usize>; 7]>::default();
        for (i, session) in plan.sessions.iter().enumerate() {
            for (day, indices) in (0..).map_while(|d| chrono::Weekday::try_from(d).ok()).zip(&mut by_day) {
                if session.days.contains(day) {
                    indices.push(i);
                }
            }
        }
        let roster = plan.expected.in_order();
        let entries = plan.sessions.iter().map(|s| Entry::new(s, &roster)).collect();
        let dated = Dated::new(&plan.dated, &roster);
        let time_zone = plan.time_zone.unwrap_or(site);
        Self { time_zone, roster, entries, by_day, dated, timetabled: plan.is_timetabled() }
    }

    fn occasions(&self, room: &RoomId, at: WallTime) -> Occasions {
        let tz = self.time_zone;
        let today = at.with_timezone(&tz).date_naive();
        let mut found = Occasions { begun: vec![], upcoming: vec![], ended: vec![], day: self.day(room, today) };
        // No session is longer than a day, nor any window: yesterday's may be on, tomorrow's may be entered.
        for date in [today.pred_opt(), Some(today), today.succ_opt()].into_iter().flatten() {
            for &index in &self.by_day[date.weekday().num_days_from_monday() as usize] {
                let entry = &self.entries[index];
                if !(entry.valid_from..=entry.valid_to).contains(&date) {
                    continue;
                }
                let Range { start, end } = local::bounds(tz, date, entry.start, entry.end);
                if let Some(phase) = Phase::of(at, start, end, entry.early, entry.leave) {
                    found.list(phase).push(entry.occasion(room, date, start, end));
                }
            }
        }
        for session in self.dated.around(at) {
            if let Some(phase) = Phase::of(at, session.starts_at, session.ends_at, session.early, session.leave) {
                found.list(phase).push(session.occasion(room));
            }
        }
        // Stable sorts: ties keep the order of the timetable, weekly lines first.
        found.begun.sort_by_key(|o| std::cmp::Reverse(o.session.starts_at));
        found.upcoming.sort_by_key(|o| o.session.starts_at);
        found.ended.sort_by_key(|o| std::cmp::Reverse(o.session.ends_at));
        found
    }

    fn weekly(&self, room: &RoomId, date: NaiveDate) -> Vec<(usize, Occasion)> {
        let lines = &self.by_day[date.weekday().num_days_from_monday() as usize];
        let held = lines.iter().map(|&line| (line, &self.entries[line]));
        held.filter(|(_, entry)| (entry.valid_from..=entry.valid_to).contains(&date))
            .map(|(line, entry)| {
                let Range { start, end } = local::bounds(self.time_zone, date, entry.start, entry.end);
                (line, entry.occasion(room, date, start, end))
            })
            .collect()
    }

    fn day(&self, room: &RoomId, date: NaiveDate) -> Occasion {
        let (kind, roster) = if self.timetabled {
            (SessionKind::OffSchedule, Roster::Everybody)
        } else {
            (SessionKind::Day, self.roster.clone())
        };
        let session = Session {
            id: session_id(kind, room, date, NaiveTime::MIN, ""),
            room: room.clone(),
            kind,
            starts_at: local::day_begins(self.time_zone, date),
            ends_at: local::day_begins(self.time_zone, date.succ_opt().unwrap_or(date)),
            local_date: date,
        };
        Occasion { session, roster, late_after: None }
    }
}

impl Entry {
    fn new(plan: &SessionPlan, room: &Roster) -> Self {
        Self {
            name: plan.name.as_str().into(),
            start: plan.start,
            end: plan.end,
            valid_from: plan.valid_from.unwrap_or(NaiveDate::MIN),
            valid_to: plan.valid_to.unwrap_or(NaiveDate::MAX),
            roster: plan.expected.as_ref().map_or_else(|| room.clone(), Roster::in_order),
            early: delta(plan.early),
            grace: delta(plan.grace),
            leave: delta(plan.leave),
        }
    }

    fn occasion(&self, room: &RoomId, date: NaiveDate, starts_at: WallTime, ends_at: WallTime) -> Occasion {
        let kind = SessionKind::Timetabled;
        let id = session_id(kind, room, date, self.start, &self.name);
        let session = Session { id, room: room.clone(), kind, starts_at, ends_at, local_date: date };
        Occasion { session, roster: self.roster.clone(), late_after: Some(starts_at + self.grace) }
    }
}

/// The same for the same room, local date, start and name, in every process. The parts cannot run into each other: date,
/// start and kind have a fixed form, the room's length is told, the name is last.
fn session_id(kind: SessionKind, room: &RoomId, date: NaiveDate, start: NaiveTime, name: &str) -> SessionId {
    let room = room.as_str();
    let text = format!("{}/{date}/{start}/{}:{room}/{name}", kind.as_str(), room.len());
    SessionId(Uuid::new_v5(&NAMESPACE, text.as_bytes()))
}

/// Plans are checked: no window is longer than hours. One that is not checked is cut, so that no sum leaves the calendar.
pub(crate) fn delta(window: Duration) -> TimeDelta {
    TimeDelta::from_std(window.min(MAX_WINDOW)).unwrap_or(TimeDelta::zero())
}
