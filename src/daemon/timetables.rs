//! Timetables in force: the file's rooms as rows, sessions made ahead, and the sessions of the database in the matcher.
//!
//! ```text
//! start, news (rollcall_places), reload, each minute ─► plan ahead (one daemon at a time) ─► load ─► rules in force
//! ```

use std::collections::{BTreeMap, HashMap, HashSet};
use std::convert::Infallible;
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use chrono::{Days, NaiveDate, TimeDelta, Weekday};
use chrono_tz::Tz;
use rollcall_attendance::{Calendar, Exception, RoomPlan, Roster, Schedule, SitePlan, WeeklyEntry, calendar};
use rollcall_attendance::{DatedSession, SessionPlan};
use rollcall_pipeline::config::{AttendanceConfig, Config};
use rollcall_pipeline::{Clock, PersonId, RoomId, SessionId, SystemClock, WallTime};
use rollcall_store::{
    FileRoom, Holiday, Origin, PlaceEnrolment, PlaceSession, Places, PlannedEntry, PlannedSession, Planning, Store,
    TimetableException,
};
use uuid::Uuid;

use super::people::People;
use crate::output::explained;

/// News come in swarms: one look is enough for all that come within.
const SETTLE: Duration = Duration::from_millis(100);
/// Without news: for a new day, and for news that got lost.
const AGAIN_AFTER: Duration = Duration::from_secs(60);
const RETRY: Duration = Duration::from_secs(3);
/// Sessions are made from yesterday (another zone's today) to four weeks ahead.
const DAYS_BACK: u64 = 1;
const DAYS_AHEAD: u64 = 28;
/// Those of the configuration file, which knows its weeks by heart, are only made for who looks at the next days.
const FILE_DAYS_AHEAD: u64 = 7;
/// What the matcher has in mind.
const LOADED_BACK: TimeDelta = TimeDelta::days(2);
const LOADED_AHEAD: TimeDelta = TimeDelta::days(8);

impl People {
    /// Keeps sessions planned and the matcher's rules as the database has them; for ever. The database may be away.
    pub(super) async fn follow_places(self: Arc<Self>, store: Store) {
        loop {
            let Err(error) = self.follow_places_while_connected(&store).await;
            // Whoever follows the gallery tells that the database is away.
            if self.trouble().is_none() {
                tracing::warn!("timetables cannot be followed, trying on: {}", explained(&error));
            }
            tokio::time::sleep(RETRY).await;
        }
    }

    async fn follow_places_while_connected(&self, store: &Store) -> anyhow::Result<Infallible> {
        // It replans before cameras start.
        self.until_loaded().await;
        let mut changes = store.place_changes().await?;
        loop {
            self.replan(store).await?;
            tokio::select! {
                told = changes.changed() => told?,
                () = self.replan_soon.notified() => {}
                () = tokio::time::sleep(AGAIN_AFTER) => {}
            }
            tokio::time::sleep(SETTLE).await;
            changes.skip();
        }
    }

    /// Makes sessions ahead, and puts the sessions of the database in force.
    pub(super) async fn replan(&self, store: &Store) -> anyhow::Result<()> {
        let now = SystemClock.wall();
        let (config, by_name) = self.configured();
        if let Some(planning) = store.planning().await? {
            plan_ahead(planning, &config, &by_name, now).await?;
        }
        let places = store.places(now - LOADED_BACK, now + LOADED_AHEAD).await?;
        self.put_places_in_force(places)
    }
}

/// Makes rows of the file's rooms and of all sessions to come.
async fn plan_ahead(
    mut planning: Planning,
    config: &Config,
    by_name: &HashMap<String, PersonId>,
    now: WallTime,
) -> anyhow::Result<()> {
    let site = &config.site;
    let rooms = config.rooms.iter().map(|room| FileRoom {
        id: room.id.to_string(),
        name: room.name.clone(),
        time_zone: (room.time_zone != site.time_zone).then(|| room.time_zone.name().to_owned()),
    });
    planning.mirror(&site.name, site.time_zone.name(), &rooms.collect::<Vec<_>>()).await?;
    let entries = planning.entries().await?;
    // Wide enough for every zone's today, and for what was moved.
    let today = now.date_naive();
    let reach = days_around(today, DAYS_BACK + 1, DAYS_AHEAD + 1);
    let (holidays, exceptions) = planning.differences(*reach.start(), *reach.end()).await?;
    let (planned, unplanned) = occurrences(&entries, &holidays, &exceptions, now);
    let made = planning.write(Origin::Timetable, now, &planned, &unplanned).await?;
    let of_file = planning.write(Origin::File, now, &of_the_file(config, by_name, now)?, &[]).await?;
    planning.commit().await?;
    if made != Default::default() || of_file != Default::default() {
        tracing::info!(
            made = made.made + of_file.made,
            changed = made.changed + of_file.changed,
            removed = made.removed + of_file.removed,
            "planned sessions ahead"
        );
    }
    Ok(())
}

fn days_around(today: NaiveDate, back: u64, ahead: u64) -> RangeInclusive<NaiveDate> {
    let from = today.checked_sub_days(Days::new(back)).unwrap_or(today);
    from..=today.checked_add_days(Days::new(ahead)).unwrap_or(today)
}

/// What timetables come to, and the lines of which nobody knows: what is there of them stays. Lines of one site and zone
/// share a calendar.
fn occurrences(
    entries: &[PlannedEntry],
    holidays: &[Holiday],
    exceptions: &[TimetableException],
    now: WallTime,
) -> (Vec<PlannedSession>, Vec<Uuid>) {
    let mut groups: BTreeMap<(&str, &str), Vec<&PlannedEntry>> = BTreeMap::new();
    for entry in entries {
        groups.entry((&entry.site_id, &entry.time_zone)).or_default().push(entry);
    }
    let (mut planned, mut unplanned) = (Vec::new(), Vec::new());
    for ((site, zone), entries) in groups {
        let Ok(zone) = zone.parse::<Tz>() else {
            tracing::error!(site, zone, "is no time zone: sessions there are not planned");
            unplanned.extend(entries.iter().map(|entry| entry.id));
            continue;
        };
        let days = days_around(now.with_timezone(&zone).date_naive(), DAYS_BACK, DAYS_AHEAD);
        let by_id: HashMap<Uuid, &PlannedEntry> = entries.iter().map(|entry| (entry.id, *entry)).collect();
        let free = holidays.iter().filter(|h| h.site_id == site).map(|h| h.date).collect();
        let different = exceptions.iter().filter(|e| by_id.contains_key(&e.entry_id)).map(exception).collect();
        let found = Calendar::new(entries.iter().map(|e| weekly(e)).collect(), free, different)
            .map_err(|errors| errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))
            .and_then(|calendar| calendar.occurrences(zone, &days).map_err(|error| error.to_string()));
        match found {
            Ok(found) => planned.extend(found.iter().filter_map(|o| Some(of_entry(o, by_id.get(&o.entry)?)))),
            Err(error) => {
                tracing::error!(site, error, "sessions there are not planned");
                unplanned.extend(entries.iter().map(|entry| entry.id));
            }
        }
    }
    (planned, unplanned)
}

fn of_entry(occurrence: &calendar::Occurrence, entry: &PlannedEntry) -> PlannedSession {
    PlannedSession {
        id: occurrence.id.0,
        course: Some(entry.course_id),
        entry: Some(entry.id),
        room: entry.room_id.clone(),
        name: None,
        starts_at: occurrence.starts_at,
        ends_at: occurrence.ends_at,
        local_date: occurrence.local_date,
        windows: [None; 3],
        known_since: entry.changed_at,
        people: None,
    }
}

fn weekly(entry: &PlannedEntry) -> WeeklyEntry {
    let days = entry.weekdays.iter().filter_map(|day| Weekday::try_from(u8::try_from(*day).ok()?.checked_sub(1)?).ok());
    WeeklyEntry {
        id: entry.id,
        days: days.collect(),
        start: entry.starts,
        end: entry.ends,
        valid_from: entry.valid_from,
        valid_to: entry.valid_to,
    }
}

fn exception(row: &TimetableException) -> ((Uuid, NaiveDate), Exception) {
    let moved = row.new_date.zip(row.new_starts.zip(row.new_ends));
    let what = moved.map_or(Exception::Cancelled, |(date, (start, end))| Exception::Moved { date, start, end });
    ((row.entry_id, row.date), what)
}

/// The sessions of the configuration file, with the ids that the matcher gives them.
fn of_the_file(
    config: &Config,
    by_name: &HashMap<String, PersonId>,
    now: WallTime,
) -> anyhow::Result<Vec<PlannedSession>> {
    let (plan, _) = crate::rules::plan(config, by_name);
    let schedule = crate::rules::schedule(&plan)?;
    let mut planned = Vec::new();
    for (room, plan) in config.rooms.iter().zip(&plan.rooms) {
        let today = now.with_timezone(&room.time_zone).date_naive();
        let days = days_around(today, DAYS_BACK, FILE_DAYS_AHEAD);
        for date in days.start().iter_days().take_while(|date| date <= days.end()) {
            for (line, occasion) in schedule.weekly(&plan.room, date) {
                let SessionPlan { name, early, grace, leave, .. } = &plan.sessions[line];
                let people = match &occasion.roster {
                    Roster::Everybody => None,
                    Roster::People(people) => Some(people.iter().map(|person| person.0).collect()),
                };
                planned.push(PlannedSession {
                    id: occasion.session.id.0,
                    course: None,
                    entry: None,
                    room: room.id.to_string(),
                    name: Some(name.clone()),
                    starts_at: occasion.session.starts_at,
                    ends_at: occasion.session.ends_at,
                    local_date: date,
                    windows: [early, grace, leave].map(|window| i32::try_from(window.as_secs()).ok()),
                    known_since: now,
                    people,
                });
            }
        }
    }
    Ok(planned)
}

/// The rules of the file and of the database together.
pub(super) fn schedule(mut plan: SitePlan, places: &Places, rules: &AttendanceConfig) -> anyhow::Result<Schedule> {
    let mut at: HashMap<RoomId, usize> = plan.rooms.iter().enumerate().map(|(i, r)| (r.room.clone(), i)).collect();
    for room in &places.rooms {
        let id = RoomId::new(room.id.as_str());
        let index = *at.entry(id.clone()).or_insert_with(|| {
            let time_zone = room.time_zone.parse().ok();
            plan.rooms.push(RoomPlan { time_zone, ..RoomPlan::new(id) });
            plan.rooms.len() - 1
        });
        plan.rooms[index].has_timetable |= room.has_timetable;
    }
    let mut rosters = Rosters::new(&places.enrolments);
    for session in &places.sessions {
        let Some(&index) = at.get(&RoomId::new(session.room_id.as_str())) else { continue };
        plan.rooms[index].dated.extend(dated(session, rules, &mut rosters));
    }
    crate::rules::schedule(&plan)
}

/// A session as it is really held. Opening it lets people come earlier; closing it ends it.
fn dated(session: &PlaceSession, rules: &AttendanceConfig, rosters: &mut Rosters<'_>) -> Option<DatedSession> {
    let seconds = |value: Option<i32>, default| value.map_or(default, |s| Duration::from_secs(s.unsigned_abs().into()));
    let early = seconds(session.early_s, rules.early);
    let opened = session.opened_at.and_then(|at| (session.starts_at - at).to_std().ok()).unwrap_or_default();
    let ends_at = session.closed_at.map_or(session.ends_at, |at| at.min(session.ends_at));
    let expected = match (&session.people, session.course_id) {
        (Some(people), _) => Some(Roster::people(people.iter().copied().map(PersonId))),
        (None, Some(course)) => Some(rosters.of(course, session.local_date)),
        (None, None) => Some(Roster::Everybody),
    };
    (session.starts_at < ends_at).then(|| DatedSession {
        id: SessionId(session.id),
        local_date: session.local_date,
        starts_at: session.starts_at,
        ends_at,
        expected,
        early: early.max(opened.min(rollcall_attendance::plan::MAX_WINDOW)),
        grace: seconds(session.grace_s, rules.grace),
        leave: seconds(session.leave_s, rules.leave),
    })
}

/// Who is enrolled in which course on which date. Most rosters are the same on all dates, and shared.
struct Rosters<'p> {
    by_course: HashMap<Uuid, Vec<&'p PlaceEnrolment>>,
    dated: HashSet<Uuid>,
    made: HashMap<(Uuid, Option<NaiveDate>), Roster>,
}

impl<'p> Rosters<'p> {
    fn new(enrolments: &'p [PlaceEnrolment]) -> Self {
        let mut by_course: HashMap<Uuid, Vec<&PlaceEnrolment>> = HashMap::new();
        for enrolment in enrolments {
            by_course.entry(enrolment.course_id).or_default().push(enrolment);
        }
        let dated = enrolments.iter().filter(|e| e.valid_from.is_some() || e.valid_to.is_some());
        Self { by_course, dated: dated.map(|e| e.course_id).collect(), made: HashMap::new() }
    }

    fn of(&mut self, course: Uuid, date: NaiveDate) -> Roster {
        let key = (course, self.dated.contains(&course).then_some(date));
        let Self { by_course, made, .. } = self;
        let on = |e: &&&PlaceEnrolment| {
            e.valid_from.is_none_or(|from| from <= date) && e.valid_to.is_none_or(|to| date <= to)
        };
        let roster = made.entry(key).or_insert_with(|| {
            let people = by_course.get(&course).into_iter().flatten().filter(on);
            Roster::people(people.map(|e| PersonId(e.person_id)))
        });
        roster.clone()
    }
}

#[cfg(test)]
mod tests {
    use chrono::{NaiveTime, TimeZone, Utc};

    use super::*;

    fn entry(weekdays: &[i16], starts: (u32, u32), ends: (u32, u32)) -> PlannedEntry {
        let time = |(h, m)| NaiveTime::from_hms_opt(h, m, 0).expect("a time");
        PlannedEntry {
            id: Uuid::from_u128(1),
            course_id: Uuid::from_u128(2),
            site_id: "main".to_owned(),
            room_id: "r".to_owned(),
            time_zone: "Europe/Berlin".to_owned(),
            weekdays: weekdays.to_vec(),
            starts: time(starts),
            ends: time(ends),
            valid_from: None,
            valid_to: None,
            changed_at: WallTime::UNIX_EPOCH,
        }
    }

    #[test]
    fn lessons_keep_their_local_time_over_the_change_of_clocks() {
        // Clocks went forward on Sunday, 29 March 2026.
        let now = Utc.with_ymd_and_hms(2026, 3, 25, 12, 0, 0).unwrap();
        let (planned, _) = occurrences(&[entry(&[5, 7], (8, 0), (9, 0))], &[], &[], now);
        let starts: Vec<String> = planned.iter().take(3).map(|s| s.starts_at.to_rfc3339()).collect();
        assert_eq!(starts, ["2026-03-27T07:00:00+00:00", "2026-03-29T06:00:00+00:00", "2026-04-03T06:00:00+00:00"]);
        let (night, _) = occurrences(&[entry(&[7], (2, 15), (2, 45))], &[], &[], now);
        assert_eq!(night[0].starts_at.to_rfc3339(), "2026-03-29T01:00:00+00:00", "at the jump");
        assert_eq!(night[0].ends_at - night[0].starts_at, TimeDelta::minutes(45), "see local::bounds");
    }

    #[test]
    fn a_line_that_cannot_be_planned_keeps_what_is_there() {
        let now = Utc.with_ymd_and_hms(2026, 3, 25, 12, 0, 0).unwrap();
        let nowhere = PlannedEntry { time_zone: "Mars/Olympus".to_owned(), ..entry(&[5], (8, 0), (9, 0)) };
        assert_eq!(occurrences(&[nowhere], &[], &[], now), (vec![], vec![Uuid::from_u128(1)]));
        let long_ago = TimetableException {
            entry_id: Uuid::from_u128(1),
            date: now.date_naive(),
            kind: "moved".to_owned(),
            new_date: NaiveDate::from_ymd_opt(26, 12, 1),
            new_starts: NaiveTime::from_hms_opt(8, 0, 0),
            new_ends: NaiveTime::from_hms_opt(9, 0, 0),
            note: None,
            version: 1,
        };
        let (planned, unplanned) = occurrences(&[entry(&[5], (8, 0), (9, 0))], &[], &[long_ago], now);
        assert_eq!((planned.len(), unplanned.len()), (0, 1));
    }

    #[test]
    fn opening_lets_people_come_earlier_and_closing_ends_it() {
        let at = |minute| Utc.with_ymd_and_hms(2026, 3, 2, 8, minute, 0).unwrap();
        let rules = AttendanceConfig {
            debounce: Duration::ZERO,
            early: Duration::from_secs(300),
            grace: Duration::from_secs(60),
            leave: Duration::ZERO,
            absences_wait: Duration::from_secs(3600),
        };
        let session = PlaceSession {
            id: Uuid::nil(),
            room_id: "r".to_owned(),
            course_id: Some(Uuid::nil()),
            starts_at: at(30),
            ends_at: at(50),
            local_date: at(0).date_naive(),
            early_s: None,
            grace_s: Some(0),
            leave_s: None,
            opened_at: Some(at(10)),
            closed_at: Some(at(40)),
            people: None,
        };
        let enrolled = |n, from: Option<u32>| PlaceEnrolment {
            course_id: Uuid::nil(),
            person_id: Uuid::from_u128(n),
            valid_from: from.and_then(|day| NaiveDate::from_ymd_opt(2026, 3, day)),
            valid_to: None,
        };
        let enrolments = [enrolled(1, None), enrolled(2, Some(2)), enrolled(3, Some(3))];
        let mut rosters = Rosters::new(&enrolments);
        let held = dated(&session, &rules, &mut rosters).expect("it is held");
        assert_eq!((held.early, held.grace, held.ends_at), (Duration::from_secs(1200), Duration::ZERO, at(40)));
        let on_that_day = Roster::people([1, 2].map(|n| PersonId(Uuid::from_u128(n))));
        assert_eq!(held.expected, Some(on_that_day));
    }
}
