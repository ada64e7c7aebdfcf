//! Local times that do not exist or exist twice.

use chrono::{NaiveDate, NaiveTime, TimeDelta, WeekdaySet};
use chrono_tz::Tz;
use proptest::prelude::*;
use rollcall_attendance::{Schedule, SessionPlan};
use rollcall_pipeline::{Session, SessionKind};

use crate::fixture::{BERLIN, NEW_YORK, daily, room, timetable, utc};

/// The bounds in UTC of the session from `start` to `end`, asked a little after it began.
fn check(zone: Tz, start: &str, end: &str, asked: &str, bounds: [&str; 2]) {
    let session = timetable(zone, vec![daily("x", start, end)]).occasion(&room("lab"), utc(asked)).session;
    assert_eq!(session.kind, SessionKind::Timetabled, "{start} to {end} in {zone}");
    let told = [session.starts_at, session.ends_at].map(|t| t.format("%dT%H:%M").to_string());
    assert_eq!(told, bounds, "{start} to {end} in {zone}");
}

#[test]
fn a_start_in_the_gap_is_the_moment_of_the_jump() {
    // 2026-03-29: Berlin goes from 02:00 (+1) to 03:00 (+2) at 01:00Z.
    check(BERLIN, "02:30", "04:00", "2026-03-29T01:01:00Z", ["29T01:00", "29T02:00"]);
    check(BERLIN, "02:00", "03:05", "2026-03-29T01:01:00Z", ["29T01:00", "29T01:05"]);
    // 2026-03-08: New York goes from 02:00 (-5) to 03:00 (-4) at 07:00Z.
    check(NEW_YORK, "02:30", "03:15", "2026-03-08T07:01:00Z", ["08T07:00", "08T07:15"]);
}

#[test]
fn an_end_in_the_gap_is_counted_as_if_the_clock_had_not_jumped() {
    check(BERLIN, "01:30", "02:30", "2026-03-29T00:31:00Z", ["29T00:30", "29T01:30"]);
    check(BERLIN, "02:15", "02:45", "2026-03-29T01:01:00Z", ["29T01:00", "29T01:45"]);
    check(NEW_YORK, "22:00", "02:30", "2026-03-08T06:00:00Z", ["08T03:00", "08T07:30"]);
}

#[test]
fn a_time_that_exists_twice_is_its_first_occurrence() {
    // 2026-10-25: Berlin goes from 03:00 (+2) to 02:00 (+1) at 01:00Z.
    check(BERLIN, "02:30", "03:30", "2026-10-25T00:31:00Z", ["25T00:30", "25T02:30"]);
    check(BERLIN, "01:30", "02:30", "2026-10-25T00:00:00Z", ["24T23:30", "25T00:30"]);
    // 2026-11-01: New York goes from 02:00 (-4) to 01:00 (-5) at 06:00Z.
    check(NEW_YORK, "01:00", "01:59", "2026-11-01T05:01:00Z", ["01T05:00", "01T05:59"]);
    // In the second occurrence of 01:30, the session is over.
    let second =
        timetable(NEW_YORK, vec![daily("x", "01:00", "01:59")]).occasion(&room("lab"), utc("2026-11-01T06:30:00Z"));
    assert_eq!(second.session.kind, SessionKind::OffSchedule);
}

#[test]
fn a_night_over_the_change_is_an_hour_shorter_or_longer() {
    check(BERLIN, "22:00", "06:00", "2026-03-29T00:00:00Z", ["28T21:00", "29T04:00"]);
    check(BERLIN, "22:00", "06:00", "2026-10-25T00:00:00Z", ["24T20:00", "25T05:00"]);
    check(NEW_YORK, "22:00", "06:00", "2026-03-08T05:00:00Z", ["08T03:00", "08T10:00"]);
    check(NEW_YORK, "22:00", "06:00", "2026-11-01T05:00:00Z", ["01T02:00", "01T11:00"]);
}

#[test]
fn windows_are_in_real_minutes_across_the_change() {
    let schedule = timetable(BERLIN, vec![daily("x", "03:05", "04:00")]);
    // 15 real minutes before 03:05 (01:05Z) it is 01:50 local.
    let kind = |when| schedule.occasion(&room("lab"), utc(when)).session.kind;
    assert_eq!(kind("2026-03-29T00:49:59Z"), SessionKind::OffSchedule);
    assert_eq!(kind("2026-03-29T00:50:00Z"), SessionKind::Timetabled);
}

#[test]
fn a_local_day_has_23_to_25_hours() {
    let hours = |zone, when: &str| {
        let day: Session = Schedule::open(zone).occasion(&room("lab"), utc(when)).session;
        (day.local_date.to_string(), (day.ends_at - day.starts_at).num_hours())
    };
    assert_eq!(hours(BERLIN, "2026-03-29T12:00:00Z"), ("2026-03-29".to_owned(), 23));
    assert_eq!(hours(BERLIN, "2026-10-25T12:00:00Z"), ("2026-10-25".to_owned(), 25));
    assert_eq!(hours(NEW_YORK, "2026-11-01T12:00:00Z"), ("2026-11-01".to_owned(), 25));
    // Where the clock jumps at midnight, the day begins at one.
    assert_eq!(hours(chrono_tz::Africa::Cairo, "2026-04-24T12:00:00Z"), ("2026-04-24".to_owned(), 23));
}

proptest! {
    #[test]
    fn every_session_has_a_length_and_holds_its_moments(
        zone in prop::sample::select(&chrono_tz::TZ_VARIANTS[..]),
        (day, start, end) in (0..3650i64, 0..1440u32, 0..1440u32),
        ask in 0.0..1.0f64,
    ) {
        let minute = |m| NaiveTime::from_num_seconds_from_midnight_opt(m * 60, 0).expect("a minute of the day");
        let plan = SessionPlan::new("x", WeekdaySet::ALL, minute(start), minute(end));
        let schedule = timetable(zone, vec![plan]);
        let first = NaiveDate::from_ymd_opt(2018, 1, 1).expect("a date").and_time(minute(start)).and_utc();
        let anchor = first + TimeDelta::days(day);
        // Some session is on or off at the anchor; ask at a moment of the one that is.
        for room in [room("lab"), room("nowhere")] {
            let session = schedule.occasion(&room, anchor).session;
            prop_assert!(session.starts_at < session.ends_at, "{zone} {session:?}");
            let inside = session.starts_at + (session.ends_at - session.starts_at).mul_f64(ask);
            let again = schedule.occasion(&room, inside).session;
            match session.kind {
                SessionKind::OffSchedule => prop_assert!(again.kind != SessionKind::Day),
                // At its own moments it is on, unless its successor has begun.
                _ => prop_assert!(again == session || again.starts_at > session.starts_at, "{zone} {session:?} {again:?}"),
            }
            if session.kind != SessionKind::Timetabled {
                prop_assert!((session.starts_at..session.ends_at).contains(&anchor), "{zone} {session:?}");
            }
        }
    }
}
trait Scale {
    fn mul_f64(self, by: f64) -> Self;
}

impl Scale for TimeDelta {
    fn mul_f64(self, by: f64) -> Self {
        TimeDelta::milliseconds((self.num_milliseconds() as f64 * by) as i64)
    }
}
