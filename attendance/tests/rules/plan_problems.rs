//! Everything that is wrong with a plan is told at once, with its place.

use std::time::Duration;

use chrono::{NaiveDate, NaiveTime, Weekday, WeekdaySet};
use rollcall_attendance::{RoomPlan, Schedule, SitePlan};

use crate::fixture::{BERLIN, daily, lab, on, people, site};

fn check(plan: &SitePlan, expected: &[&str]) {
    let told: Vec<String> = match Schedule::new(plan) {
        Ok(_) => vec![],
        Err(problems) => problems.iter().map(ToString::to_string).collect(),
    };
    assert_eq!(told, expected);
}

#[test]
fn a_plan_without_problems_has_none() {
    check(&site(BERLIN, vec![]), &[]);
    check(&site(BERLIN, vec![lab(vec![daily("a", "09:00", "10:00"), daily("b", "09:00", "10:00")])]), &[]);
}

#[test]
fn every_problem_is_told_with_its_place() {
    let date = |d| NaiveDate::from_ymd_opt(2026, 3, d);
    let mut bad = on(&[], daily(" ", "09:00", "10:00"));
    bad.end = NaiveTime::from_hms_milli_opt(10, 0, 0, 1).expect("a time");
    (bad.valid_from, bad.valid_to) = (date(2), date(1));
    bad.early = Duration::from_secs(12 * 3600 + 1);
    bad.grace = Duration::MAX;
    let rooms = vec![lab(vec![]), lab(vec![daily("fine", "09:00", "10:00"), bad])];
    check(
        &site(BERLIN, rooms),
        &[
            "rooms[1].room: room lab is already at rooms[0]; put all of its sessions there",
            "rooms[1].sessions[1].name: must be 1 to 200 bytes long and more than spaces",
            "rooms[1].sessions[1].days: has no day of the week; name at least one",
            "rooms[1].sessions[1].end: must be in whole seconds",
            "rooms[1].sessions[1].valid_to: 2026-03-01 is before valid_from (2026-03-02); swap them",
            "rooms[1].sessions[1].early: must be at most 12 hours",
            "rooms[1].sessions[1].grace: must be at most 12 hours",
        ],
    );
}

#[test]
fn two_lines_may_not_be_one_session() {
    let day = |d| NaiveDate::from_ymd_opt(2026, 3, d);
    let on_monday = || on(&[Weekday::Mon], daily("a", "09:00", "10:00"));
    let on_tuesday = || on(&[Weekday::Tue], daily("a", "09:00", "10:00"));
    let until = |d, mut s: rollcall_attendance::SessionPlan| {
        s.valid_to = day(d);
        s
    };
    let from = |d, mut s: rollcall_attendance::SessionPlan| {
        s.valid_from = day(d);
        s
    };
    let check = |sessions, expected: &[&str]| check(&site(BERLIN, vec![lab(sessions)]), expected);
    let twins = "rooms[0].sessions[1]: has the name, the start and a day of sessions[0]; give it another name";
    check(vec![on_monday(), on_monday()], &[twins]);
    check(vec![on_monday(), daily("a", "09:00", "11:00")], &[twins]);
    check(vec![until(8, on_monday()), from(8, on_monday())], &[twins]);
    check(vec![on_monday(), on_tuesday()], &[]);
    check(vec![until(8, on_monday()), from(9, on_monday())], &[]);
    check(vec![from(9, on_monday()), until(8, on_monday())], &[]);
}

#[test]
fn sizes_are_bounded() {
    let sessions = (0..=1000).map(|n| daily(&n.to_string(), "09:00", "10:00")).collect();
    let crowded = RoomPlan { expected: people(0..100_001), ..lab(sessions) };
    check(
        &site(BERLIN, vec![crowded]),
        &[
            "rooms[0].expected: has 100001 people; at most 100000 can be handled",
            "rooms[0].sessions: has 1001 sessions; at most 1000 can be handled",
        ],
    );
    let mut long = daily(&"x".repeat(201), "09:00", "10:00");
    long.days = WeekdaySet::ALL;
    check(
        &site(BERLIN, vec![lab(vec![long])]),
        &["rooms[0].sessions[0].name: must be 1 to 200 bytes long and more than spaces"],
    );
}
