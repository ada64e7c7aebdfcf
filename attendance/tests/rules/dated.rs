//! Sessions of their own date beside the lines that come every week.

use std::time::Duration;

use chrono::{TimeDelta, Weekday};
use proptest::prelude::*;
use rollcall_attendance::{DatedSession, RoomPlan, Roster, Schedule};
use rollcall_pipeline::ports::Expectations;
use rollcall_pipeline::{EventKind, SessionId, SessionKind};
use uuid::Uuid;

use crate::door::Door;
use crate::fixture::{BERLIN, daily, dated, lab, minutes, on, people, person, room, seen, site, utc};

fn schedule(plan: RoomPlan) -> Schedule {
    Schedule::new(&site(BERLIN, vec![plan])).expect("a plan without problems")
}

/// A room whose timetable came to these sessions.
fn only(sessions: Vec<DatedSession>) -> Schedule {
    schedule(RoomPlan { dated: sessions, has_timetable: true, ..lab(vec![]) })
}

/// The session of the moment: its number, the start of a weekly line, or the kind of day.
fn check(schedule: &Schedule, when: &str, expected: &str) {
    let session = schedule.occasion(&room("lab"), utc(when)).session;
    let told = match (session.kind, session.id.0.as_u128()) {
        (SessionKind::Timetabled, number @ 0..1_000) => number.to_string(),
        (SessionKind::Timetabled, _) => session.starts_at.format("%H:%M").to_string(),
        (day, _) => day.as_str().to_owned(),
    };
    assert_eq!(told, expected, "at {when}");
}

#[test]
fn a_dated_session_has_its_windows() {
    let schedule = only(vec![dated(1, "2026-03-02T08:00:00Z", "2026-03-02T09:00:00Z")]);
    check(&schedule, "2026-03-02T07:44:59Z", "off_schedule");
    check(&schedule, "2026-03-02T07:45:00Z", "1");
    check(&schedule, "2026-03-02T08:59:59Z", "1");
    check(&schedule, "2026-03-02T09:00:00Z", "off_schedule");
    let lesson = schedule.occasion(&room("lab"), utc("2026-03-02T08:30:00Z"));
    assert_eq!(lesson.late_after, Some(utc("2026-03-02T08:05:00Z")));
}

#[test]
fn a_timetable_without_sessions_is_off_schedule_and_not_a_day() {
    check(&schedule(lab(vec![])), "2026-03-02T08:00:00Z", "day");
    check(&schedule(RoomPlan { has_timetable: true, ..lab(vec![]) }), "2026-03-02T08:00:00Z", "off_schedule");
    // In summer, when no session of the year is near.
    check(
        &only(vec![dated(1, "2026-03-02T08:00:00Z", "2026-03-02T09:00:00Z")]),
        "2026-08-02T08:00:00Z",
        "off_schedule",
    );
}

#[test]
fn a_session_by_hand_leaves_a_room_without_timetable_its_day() {
    let exam = DatedSession { expected: Some(people([1])), ..dated(1, "2026-03-02T08:00:00Z", "2026-03-02T09:00:00Z") };
    let mut door = Door::with(schedule(RoomPlan { dated: vec![exam], ..lab(vec![]) }));
    let mut kind = |who, at| door.judge(seen(who, at)).mark.map(|mark| (mark.session.kind, mark.status.as_str()));
    let (day, exam) = (Some((SessionKind::Day, "present")), Some((SessionKind::Timetabled, "present")));
    assert_eq!(kind(1, "2026-03-01T08:00:00Z"), day, "the day before");
    assert_eq!(kind(1, "2026-03-02T06:30:00Z"), day, "before it");
    assert_eq!(kind(1, "2026-03-02T07:50:00Z"), exam, "it expects them");
    assert_eq!(kind(2, "2026-03-02T08:10:00Z"), day, "it expects somebody else");
    assert_eq!(kind(1, "2026-03-02T09:05:00Z"), None, "on their way out of it");
    assert_eq!(kind(2, "2026-03-02T10:00:00Z"), None, "the day has them already");
    assert_eq!(kind(1, "2026-03-03T08:00:00Z"), day, "the day after");
}

#[test]
fn dated_sessions_and_weekly_lines_stand_beside_each_other() {
    let weekly = on(&[Weekday::Mon], daily("maths", "09:00", "11:00"));
    let extra = dated(1, "2026-03-02T09:00:00Z", "2026-03-02T09:30:00Z");
    let schedule = schedule(RoomPlan { dated: vec![extra], ..lab(vec![weekly]) });
    check(&schedule, "2026-03-02T08:50:00Z", "08:00");
    check(&schedule, "2026-03-02T09:10:00Z", "1");
    check(&schedule, "2026-03-02T09:40:00Z", "08:00");
    check(&schedule, "2026-03-09T09:10:00Z", "08:00");
}

#[test]
fn of_sessions_at_the_same_time_the_weekly_line_wins_and_then_the_first_of_the_plan() {
    let [a, b] = [2, 1].map(|n| dated(n, "2026-03-02T08:00:00Z", "2026-03-02T09:00:00Z"));
    check(&only(vec![a.clone(), b.clone()]), "2026-03-02T08:10:00Z", "2");
    let beside = RoomPlan { dated: vec![a, b], ..lab(vec![daily("maths", "09:00", "10:00")]) };
    check(&schedule(beside), "2026-03-02T08:10:00Z", "08:00");
}

#[test]
fn a_roster_is_the_sessions_or_the_rooms() {
    let own =
        DatedSession { expected: Some(people([2, 3])), ..dated(1, "2026-03-02T08:00:00Z", "2026-03-02T09:00:00Z") };
    let rooms = dated(2, "2026-03-02T09:00:00Z", "2026-03-02T10:00:00Z");
    let plan = RoomPlan { dated: vec![own, rooms], expected: people([1, 2]), has_timetable: true, ..lab(vec![]) };
    let schedule = schedule(plan);
    let expected = |when| schedule.expected(&room("lab"), utc(when)).map(|people| people.to_vec());
    assert_eq!(expected("2026-03-02T08:10:00Z"), Some(vec![person(2), person(3)]));
    assert_eq!(expected("2026-03-02T08:50:00Z"), Some(vec![person(1), person(2), person(3)]));
    assert_eq!(expected("2026-03-02T09:10:00Z"), Some(vec![person(1), person(2)]));
    assert_eq!(expected("2026-03-02T12:00:00Z"), None);
    let hour = |who| {
        let occasion = schedule.occasion_for(&room("lab"), utc("2026-03-02T08:50:00Z"), person(who), None);
        occasion.session.id.0.as_u128()
    };
    assert_eq!([1, 2, 3, 4].map(hour), [2, 1, 1, 1]);
}

#[test]
fn who_is_marked_stays_marked_when_the_session_is_moved_by_an_hour() {
    let mut door = Door::with(only(vec![dated(1, "2026-03-02T08:00:00Z", "2026-03-02T09:00:00Z")]));
    door.check(seen(1, "2026-03-02T07:50:00Z"), "recorded: present 08:00");
    door.schedule = only(vec![dated(1, "2026-03-02T09:00:00Z", "2026-03-02T10:00:00Z")]);
    door.check(seen(1, "2026-03-02T08:50:00Z"), "debounced");
    door.check(seen(2, "2026-03-02T09:10:00Z"), "recorded: late 09:00");
}

#[test]
fn a_mark_in_a_dated_session_has_its_id() {
    let lesson =
        DatedSession { expected: Some(people([1])), ..dated(7, "2026-03-02T08:00:00Z", "2026-03-02T09:00:00Z") };
    let mut door = Door::with(only(vec![lesson]));
    let mark = door.judge(seen(1, "2026-03-02T08:01:00Z")).mark.expect("a mark");
    assert_eq!(mark.session.id, SessionId(Uuid::from_u128(7)));
    assert_eq!(door.judge(seen(2, "2026-03-02T08:01:00Z")).kind, EventKind::OffRoster);
    assert_eq!(door.judge(seen(2, "2026-03-02T10:01:00Z")).kind, EventKind::OffSchedule);
    // Leaving, by a door that belongs to no session any more.
    door.check(seen(1, "2026-03-02T09:10:00Z"), "debounced");
}

#[test]
fn every_problem_is_told_with_its_place() {
    let fine = dated(1, "2026-03-02T08:00:00Z", "2026-03-02T09:00:00Z");
    let bad = DatedSession {
        early: Duration::from_secs(12 * 3600 + 1),
        leave: Duration::MAX,
        expected: Some(people(0..100_001)),
        ..dated(2, "2026-03-02T08:00:00Z", "2026-03-02T08:00:00Z")
    };
    let long = dated(3, "2026-03-02T08:00:00Z", "2026-03-09T08:00:01Z");
    let lost = dated(4, "1492-03-02T08:00:00Z", "1492-03-02T09:00:00Z");
    let plan = RoomPlan { dated: vec![fine.clone(), bad, long, lost, fine], ..lab(vec![]) };
    let problems = Schedule::new(&site(BERLIN, vec![plan])).expect_err("problems");
    let told: Vec<_> = problems.iter().map(|p| p.to_string().replace("rooms[0].dated", "")).collect();
    assert_eq!(
        told,
        [
            "[1].ends_at: must be after starts_at",
            "[1].expected: has 100001 people; at most 100000 can be handled",
            "[1].early: must be at most 12 hours",
            "[1].leave: must be at most 12 hours",
            "[2].ends_at: is more than 7 days after starts_at; make several sessions of it",
            "[3].local_date: must lie in the years 1970 to 9998",
            "[3].starts_at: must lie in the years 1970 to 9998",
            "[3].ends_at: must lie in the years 1970 to 9998",
            "[4].id: session 00000000-0000-0000-0000-000000000001 is there twice; a session has one room and one time",
        ]
    );
    let fine = dated(1, "2026-03-02T08:00:00Z", "2026-03-02T09:00:00Z");
    let crowd = RoomPlan { dated: vec![fine; 50_001], ..lab(vec![]) };
    let problems = Schedule::new(&site(BERLIN, vec![crowd])).expect_err("problems");
    assert_eq!(
        problems[0].to_string(),
        "rooms[0].dated: has 50001 sessions; at most 50000 can be handled: make them less far ahead"
    );
}

/// Sessions of a month, from a minute to a week long, with windows up to the longest.
fn sessions() -> impl Strategy<Value = Vec<DatedSession>> {
    let length = prop_oneof![4 => 1..180i64, 1 => 1..10_080i64];
    let window = || prop_oneof![3 => 0..30u64, 1 => 0..720u64];
    let one = (0..43_200i64, length, window(), window());
    prop::collection::vec(one, 0..60).prop_map(|many| {
        let first = utc("2026-03-01T00:00:00Z");
        let make = |(i, (start, length, early, leave))| {
            let starts_at = first + TimeDelta::minutes(start);
            DatedSession {
                id: SessionId(Uuid::from_u128(i)),
                local_date: starts_at.date_naive(),
                starts_at,
                ends_at: starts_at + TimeDelta::minutes(length),
                expected: None,
                early: minutes(early),
                grace: minutes(5),
                leave: minutes(leave),
            }
        };
        (1..).zip(many).map(make).collect()
    })
}

proptest! {
    #[test]
    fn the_index_finds_what_a_look_at_every_session_finds(
        sessions in sessions(), moments in prop::collection::vec(-1_000..50_000i64, 30),
    ) {
        let schedule = schedule(RoomPlan { dated: sessions.clone(), has_timetable: true, ..lab(vec![]) });
        for minute in moments {
            let at = utc("2026-03-01T00:00:00Z") + TimeDelta::minutes(minute);
            let begun = sessions.iter().filter(|s| (s.starts_at..s.ends_at).contains(&at)).max_by_key(|s| s.starts_at);
            let soon = |s: &&DatedSession| {
                let early = TimeDelta::from_std(s.early).expect("hours");
                (s.starts_at - early..s.starts_at).contains(&at)
            };
            let upcoming = sessions.iter().filter(soon).min_by_key(|s| s.starts_at);
            let session = schedule.occasion(&room("lab"), at).session;
            match begun.or(upcoming) {
                // Of several at the same time, any.
                Some(s) => prop_assert_eq!((session.kind, session.starts_at), (SessionKind::Timetabled, s.starts_at)),
                None => prop_assert_eq!(session.kind, SessionKind::OffSchedule),
            }
        }
    }

    #[test]
    fn a_room_without_timetable_is_never_off_schedule(
        sessions in sessions(), roster in prop::option::of(prop::collection::vec(1..5u128, 0..4)), who in 1..5u128,
        moments in prop::collection::vec(-1_000..50_000i64, 30),
    ) {
        let expected = roster.map_or(Roster::Everybody, people);
        let sessions: Vec<_> = sessions.into_iter()
            .zip((0..4).cycle())
            .map(|(session, n)| DatedSession { expected: Some(people([n + 1])), ..session })
            .collect();
        let with = schedule(RoomPlan { dated: sessions.clone(), expected: expected.clone(), ..lab(vec![]) });
        let without = schedule(RoomPlan { expected: expected.clone(), ..lab(vec![]) });
        for minute in moments {
            let at = utc("2026-03-01T00:00:00Z") + TimeDelta::minutes(minute);
            let occasion = with.occasion_for(&room("lab"), at, person(who), None);
            let on = |s: &&DatedSession| {
                (s.starts_at - TimeDelta::from_std(s.early).expect("hours")..s.ends_at).contains(&at)
            };
            let wanted = sessions.iter().filter(on).any(|s| s.expected.as_ref().is_some_and(|r| r.expects(person(who))));
            let held = sessions.iter().any(|s| on(&s));
            if wanted || (held && !expected.expects(person(who))) {
                prop_assert_eq!(occasion.session.kind, SessionKind::Timetabled);
            } else {
                // To the last bit the day that it would be if there were no session.
                prop_assert_eq!(occasion, without.occasion_for(&room("lab"), at, person(who), None));
            }
        }
    }

    #[test]
    fn the_order_of_the_plan_makes_no_difference(sessions in sessions(), minute in -1_000..50_000i64) {
        let mut starts: Vec<_> = sessions.iter().map(|s| s.starts_at).collect();
        starts.sort();
        starts.dedup();
        prop_assume!(starts.len() == sessions.len());
        let at = utc("2026-03-01T00:00:00Z") + TimeDelta::minutes(minute);
        let there = only(sessions.clone()).occasion(&room("lab"), at);
        let back = only(sessions.into_iter().rev().collect()).occasion(&room("lab"), at);
        prop_assert_eq!(there, back);
    }
}
