//! Which sessions a weekly timetable has on given dates.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::ops::RangeInclusive;

use chrono::{Datelike, NaiveDate, NaiveTime, TimeDelta, Weekday, WeekdaySet};
use chrono_tz::Tz;
use proptest::prelude::*;
use rollcall_attendance::{
    Calendar, CourseRules, DatedSession, Exception, Occurrence, RoomPlan, Schedule, SessionPlan, WeeklyEntry,
};
use rollcall_pipeline::SessionId;
use uuid::Uuid;

use crate::fixture::{BERLIN, NEW_YORK, date, entry, lab, room, site, time, utc};

type Exceptions = HashMap<(Uuid, NaiveDate), Exception>;

fn calendar(entries: Vec<WeeklyEntry>, holidays: &[&str], exceptions: Exceptions) -> Calendar {
    let holidays = holidays.iter().map(|day| date(day)).collect();
    Calendar::new(entries, holidays, exceptions).expect("a calendar without problems")
}

fn moved(to: &str, start: &str, end: &str) -> Exception {
    Exception::Moved { date: date(to), start: time(start), end: time(end) }
}

fn changes(of: &[(&str, Exception)]) -> Exceptions {
    of.iter().map(|(day, exception)| ((Uuid::from_u128(1), date(day)), *exception)).collect()
}

/// Local date, start and end in UTC, of the sessions from `from` to `to`.
fn check(calendar: &Calendar, tz: Tz, from: &str, to: &str, expected: &[&str]) {
    let found = calendar.occurrences(tz, &(date(from)..=date(to))).expect("a range that is taken");
    let told: Vec<_> = found
        .iter()
        .map(|o| format!("{} {} {}", o.local_date, o.starts_at.format("%dT%H:%M"), o.ends_at.format("%dT%H:%M")))
        .collect();
    assert_eq!(told, expected);
}

#[test]
fn a_week_has_the_days_of_its_entries_by_start() {
    // 2026-03-02 is a Monday.
    let maths = entry(1, &[Weekday::Mon, Weekday::Wed], "09:00", "10:00");
    let night = entry(2, &[Weekday::Mon], "22:00", "06:00");
    let early = entry(3, &[Weekday::Mon], "08:00", "08:45");
    check(
        &calendar(vec![maths, night, early], &[], HashMap::new()),
        BERLIN,
        "2026-03-02",
        "2026-03-08",
        &[
            "2026-03-02 02T07:00 02T07:45",
            "2026-03-02 02T08:00 02T09:00",
            "2026-03-02 02T21:00 03T05:00",
            "2026-03-04 04T08:00 04T09:00",
        ],
    );
}

#[test]
fn validity_is_by_the_date_of_the_start() {
    let mut night = entry(1, &[Weekday::Mon, Weekday::Tue, Weekday::Wed], "22:00", "06:00");
    (night.valid_from, night.valid_to) = (Some(date("2026-03-03")), Some(date("2026-03-03")));
    check(
        &calendar(vec![night], &[], HashMap::new()),
        BERLIN,
        "2026-03-01",
        "2026-03-31",
        &["2026-03-03 03T21:00 04T05:00"],
    );
}

#[test]
fn nothing_begins_on_a_holiday_unless_an_exception_says_so() {
    let maths = || vec![entry(1, &[Weekday::Mon], "22:00", "06:00")];
    let week = |holidays: &[&str], exceptions, expected: &[&str]| {
        check(&calendar(maths(), holidays, exceptions), BERLIN, "2026-03-02", "2026-03-08", expected);
    };
    week(&["2026-03-02"], HashMap::new(), &[]);
    // The night from Monday goes on into the holiday.
    week(&["2026-03-03"], HashMap::new(), &["2026-03-02 02T21:00 03T05:00"]);
    let to_tuesday = || changes(&[("2026-03-02", moved("2026-03-03", "09:00", "10:00"))]);
    week(&["2026-03-02"], to_tuesday(), &["2026-03-03 03T08:00 03T09:00"]);
    week(&["2026-03-03"], to_tuesday(), &["2026-03-03 03T08:00 03T09:00"]);
    week(&["2026-03-02"], changes(&[("2026-03-02", Exception::Cancelled)]), &[]);
}

#[test]
fn a_session_is_cancelled_or_moved_and_stays_the_same_session() {
    let maths = entry(1, &[Weekday::Mon], "09:00", "10:00");
    let ids = |from: &str, to: &str, exceptions| {
        let found = calendar(vec![maths.clone()], &[], exceptions).occurrences(BERLIN, &(date(from)..=date(to)));
        found.expect("a range that is taken").iter().map(|o| o.id).collect::<Vec<_>>()
    };
    let as_planned = ids("2026-03-02", "2026-03-02", HashMap::new());
    assert_eq!(as_planned, [maths.session_id(date("2026-03-02"))]);
    assert!(ids("2026-03-02", "2026-03-02", changes(&[("2026-03-02", Exception::Cancelled)])).is_empty());
    // It is made with the date on which it is held, and not with the one on which it was planned.
    let later = || changes(&[("2026-03-02", moved("2026-03-05", "14:00", "15:00"))]);
    assert!(ids("2026-03-02", "2026-03-04", later()).is_empty());
    assert_eq!(ids("2026-03-05", "2026-03-05", later()), as_planned);
    // Moved to a day that has a session of its own.
    let both = ids("2026-03-09", "2026-03-09", changes(&[("2026-03-02", moved("2026-03-09", "11:00", "12:00"))]));
    assert_eq!(both, [maths.session_id(date("2026-03-09")), as_planned[0]]);
    // What is not there cannot be moved.
    assert!(
        ids("2026-03-05", "2026-03-05", changes(&[("2026-03-03", moved("2026-03-05", "9:00", "10:00"))])).is_empty()
    );
}

#[test]
fn a_session_has_the_same_id_in_every_process_and_release() {
    let id = entry(1, &[Weekday::Mon], "09:00", "10:00").session_id(date("2026-03-02"));
    assert_eq!(id.to_string(), ID, "a changed derivation would make every session a second time");
}

const ID: &str = "3ecf4a84-d5ac-503c-87ad-0acbffd3350e";

#[test]
fn a_session_that_the_clock_jumps_over_keeps_a_length() {
    // 2026-03-29: Berlin goes from 02:00 to 03:00 at 01:00Z; 2026-10-25 back from 03:00 to 02:00 at 01:00Z.
    let on = |zone, day: &str, start: &str, end: &str| {
        let calendar = calendar(vec![entry(1, &[date(day).weekday()], start, end)], &[], HashMap::new());
        let session = calendar.occurrences(zone, &(date(day)..=date(day))).expect("a range that is taken")[0];
        [session.starts_at, session.ends_at].map(|t| t.format("%dT%H:%M").to_string())
    };
    assert_eq!(on(BERLIN, "2026-03-29", "02:15", "02:45"), ["29T01:00", "29T01:45"]);
    assert_eq!(on(BERLIN, "2026-03-29", "02:30", "03:00"), ["29T01:00", "29T01:30"]);
    assert_eq!(on(BERLIN, "2026-03-29", "02:30", "03:15"), ["29T01:00", "29T01:15"]);
    assert_eq!(on(BERLIN, "2026-10-25", "02:15", "03:30"), ["25T00:15", "25T02:30"]);
    assert_eq!(on(NEW_YORK, "2026-03-07", "22:00", "06:00"), ["08T03:00", "08T10:00"]);
}

#[test]
fn every_problem_is_told_with_its_place() {
    let mut bad = entry(1, &[], "09:00", "10:00");
    bad.end = NaiveTime::from_hms_milli_opt(10, 0, 0, 1).expect("a time");
    (bad.valid_from, bad.valid_to) = (Some(date("2026-03-02")), Some(date("2026-03-01")));
    let mut exceptions = changes(&[("2026-03-02", moved("1492-01-01", "09:00", "10:00"))]);
    exceptions.insert((Uuid::from_u128(7), date("2026-03-02")), Exception::Cancelled);
    let entries = vec![entry(1, &[Weekday::Mon], "09:00", "10:00"), bad];
    let problems = Calendar::new(entries, HashSet::new(), exceptions).expect_err("problems");
    let told: Vec<_> = problems.iter().map(ToString::to_string).collect();
    assert_eq!(
        told,
        [
            "entries[1].id: has the id of entries[0]; give it another one",
            "entries[1].days: has no day of the week; name at least one",
            "entries[1].end: must be in whole seconds",
            "entries[1].valid_to: 2026-03-01 is before valid_from (2026-03-02); swap them",
            "exceptions[00000000-0000-0000-0000-000000000001 2026-03-02].date: must lie in the years 1970 to 9998",
            "exceptions[00000000-0000-0000-0000-000000000007 2026-03-02]: \
             there is no entry 00000000-0000-0000-0000-000000000007; change one that there is",
        ]
    );
}

#[test]
fn a_range_is_bounded() {
    let empty = calendar(vec![], &[], HashMap::new());
    let check = |dates: RangeInclusive<NaiveDate>, expected: &str| {
        assert_eq!(empty.occurrences(BERLIN, &dates).expect_err("a refusal").to_string(), expected);
    };
    let day = date("2026-03-02");
    check(day..=day + TimeDelta::days(1_100), "dates: has 1101 days; ask for at most 1100 at once");
    check(NaiveDate::MIN..=NaiveDate::MIN, "dates: must lie in the years 1970 to 9998");
    check(NaiveDate::MAX..=NaiveDate::MAX, "dates: must lie in the years 1970 to 9998");
    assert!(empty.occurrences(BERLIN, &(day..=day + TimeDelta::days(1_099))).is_ok_and(|found| found.is_empty()));
    let backwards = RangeInclusive::new(day, day - TimeDelta::days(1));
    assert!(empty.occurrences(BERLIN, &backwards).is_ok_and(|found| found.is_empty()));
}

/// A day of some ten years with many kinds of transitions.
fn some_day() -> impl Strategy<Value = NaiveDate> {
    (0..3650i64).prop_map(|days| date("2018-01-01") + TimeDelta::days(days))
}

fn minute() -> impl Strategy<Value = NaiveTime> {
    (0..1440u32).prop_map(|m| NaiveTime::from_num_seconds_from_midnight_opt(m * 60, 0).expect("a minute of the day"))
}

fn days() -> impl Strategy<Value = WeekdaySet> {
    prop::collection::vec(0..7u8, 1..7)
        .prop_map(|days| days.into_iter().map(|d| Weekday::try_from(d).expect("a weekday")).collect())
}

fn zone() -> impl Strategy<Value = Tz> {
    prop::sample::select(&chrono_tz::TZ_VARIANTS[..])
}

/// Six weeks from `first` on: entries, holidays, exceptions within.
fn six_weeks(first: NaiveDate) -> impl Strategy<Value = (Vec<WeeklyEntry>, HashSet<NaiveDate>, Exceptions)> {
    let day = move || (0..42i64).prop_map(move |d| first + TimeDelta::days(d));
    let entries = prop::collection::vec((days(), minute(), minute(), prop::option::of(day())), 1..5).prop_map(|many| {
        let number = |(i, (days, start, end, valid_from))| WeeklyEntry {
            id: Uuid::from_u128(i),
            days,
            start,
            end,
            valid_from,
            valid_to: None,
        };
        (1..).zip(many).map(number).collect::<Vec<_>>()
    });
    let exception = prop_oneof![
        Just(Exception::Cancelled),
        (day(), minute(), minute()).prop_map(|(date, start, end)| Exception::Moved { date, start, end }),
    ];
    entries.prop_flat_map(move |entries| {
        let which = prop::sample::select(entries.iter().map(|e| e.id).collect::<Vec<_>>());
        let exceptions = prop::collection::hash_map((which, day()), exception.clone(), 0..12);
        (Just(entries), prop::collection::hash_set(day(), 0..6), exceptions)
    })
}

fn ids(found: &[Occurrence]) -> BTreeSet<SessionId> {
    found.iter().map(|o| o.id).collect()
}

proptest! {
    #[test]
    fn every_session_of_the_pattern_is_held_once_or_has_a_reason_not_to_be(
        (first, (entries, holidays, exceptions)) in some_day().prop_flat_map(|day| (Just(day), six_weeks(day))),
        tz in zone(),
    ) {
        let weeks = first..=first + TimeDelta::days(41);
        let made = Calendar::new(entries.clone(), holidays.clone(), exceptions.clone()).expect("no problems");
        let found = made.occurrences(tz, &weeks).expect("a range that is taken");
        let mut expected = BTreeSet::new();
        for (date, entry) in first.iter_days().take(42).flat_map(|date| entries.iter().map(move |entry| (date, entry))) {
            let held = match exceptions.get(&(entry.id, date)) {
                Some(exception) => *exception != Exception::Cancelled,
                None => !holidays.contains(&date),
            };
            if entry.occurs_on(date) && held {
                expected.insert(entry.session_id(date));
            }
        }
        prop_assert_eq!(ids(&found), expected);
        prop_assert_eq!(ids(&found).len(), found.len());
        for o in &found {
            prop_assert!(o.starts_at < o.ends_at, "{tz} {o:?}");
            prop_assert!(o.ends_at - o.starts_at <= TimeDelta::hours(49), "{tz} {o:?}");
            prop_assert!(weeks.contains(&o.local_date));
            // A start that the clock jumps over may land on the next date, where it jumps at midnight.
            let begins = o.starts_at.with_timezone(&tz).date_naive();
            prop_assert!(begins == o.local_date || begins == o.local_date + TimeDelta::days(1), "{tz} {o:?}");
        }
    }

    #[test]
    fn sessions_made_bit_by_bit_are_those_made_at_once(
        (first, (entries, holidays, exceptions)) in some_day().prop_flat_map(|day| (Just(day), six_weeks(day))),
        tz in zone(),
        cut in 0..41i64,
    ) {
        let made = Calendar::new(entries, holidays, exceptions).expect("no problems");
        let (last, cut) = (first + TimeDelta::days(41), first + TimeDelta::days(cut));
        let part = |dates| made.occurrences(tz, &dates).expect("a range that is taken");
        let mut parts = part(first..=cut);
        parts.extend(part(cut + TimeDelta::days(1)..=last));
        parts.sort_by_key(|o| (o.starts_at, o.id));
        prop_assert_eq!(parts, part(first..=last));
    }

    #[test]
    fn another_hour_or_zone_makes_no_other_sessions(
        first in some_day(), days in days(), (start, end, later) in (minute(), minute(), minute()), zones in (zone(), zone()),
    ) {
        let one = |start, tz| {
            let entry = WeeklyEntry { id: Uuid::from_u128(1), days, start, end, valid_from: None, valid_to: None };
            let made = Calendar::new(vec![entry], HashSet::new(), HashMap::new()).expect("no problems");
            ids(&made.occurrences(tz, &(first..=first + TimeDelta::days(13))).expect("a range that is taken"))
        };
        prop_assert_eq!(one(start, zones.0), one(later, zones.1));
    }

    #[test]
    fn sessions_made_ahead_are_judged_as_the_weekly_line_is(
        first in some_day(), days in days(), (start, end) in (minute(), minute()), tz in zone(),
        moments in prop::collection::vec(0..14 * 86_400i64, 20),
    ) {
        let weekly = SessionPlan::new("x", days, start, end);
        let entry = WeeklyEntry { id: Uuid::from_u128(1), days, start, end, valid_from: None, valid_to: None };
        let ahead = first - TimeDelta::days(3)..=first + TimeDelta::days(17);
        let made = Calendar::new(vec![entry], HashSet::new(), HashMap::new()).expect("no problems");
        let dated = made.occurrences(tz, &ahead).expect("a range that is taken").iter()
            .map(|o| DatedSession::new(o, &CourseRules::default(), None)).collect();
        let by_date = RoomPlan { dated, has_timetable: true, ..lab(vec![]) };
        let by_date = Schedule::new(&site(tz, vec![by_date])).expect("no problems");
        let by_week = Schedule::new(&site(tz, vec![lab(vec![weekly])])).expect("no problems");
        for second in moments {
            let at = first.and_time(NaiveTime::MIN).and_utc() + TimeDelta::seconds(second);
            let told = |schedule: &Schedule| {
                let occasion = schedule.occasion(&room("lab"), at);
                let s = occasion.session;
                (s.kind, s.starts_at, s.ends_at, s.local_date, occasion.roster, occasion.late_after)
            };
            prop_assert_eq!(told(&by_date), told(&by_week), "{} at {}", tz, at);
        }
    }
}

#[test]
fn weekdays_are_those_of_the_date() {
    let maths = entry(1, &[Weekday::Sun], "00:30", "01:00");
    let found = calendar(vec![maths], &[], HashMap::new())
        .occurrences(NEW_YORK, &(date("2026-03-02")..=date("2026-03-29")))
        .expect("a range that is taken");
    assert_eq!(found.len(), 4);
    assert!(found.iter().all(|o| o.local_date.weekday() == Weekday::Sun));
    assert_eq!(found[0].starts_at, utc("2026-03-08T05:30:00Z"));
}
