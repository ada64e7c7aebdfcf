//! What the sightings of one person come to by the rules of a course.

use std::time::Duration;

use chrono::TimeDelta;
use proptest::prelude::*;
use rollcall_attendance::{AttendanceStatus, CourseRules, Judged, MinPresence, Presence, Sightings, judge_presence};
use rollcall_pipeline::WallTime;

use crate::fixture::{minutes, utc};

/// A lesson of an hour; times below are minutes from its start.
fn at(minute: f64) -> WallTime {
    utc("2026-03-02T08:00:00Z") + TimeDelta::seconds((minute * 60.0).round() as i64)
}

fn judge(rules: &CourseRules, first: f64, last: f64, exit: Option<f64>) -> Presence {
    let seen = Sightings { first: at(first), last: at(last), last_exit: exit.map(at) };
    judge_presence(&(at(0.0)..at(60.0)), rules, &seen)
}

/// Status (or why absent), minutes late, minutes present, whether they left early.
fn check(rules: &CourseRules, first: f64, last: f64, exit: Option<f64>, expected: &str) {
    let presence = judge(rules, first, last, exit);
    let word = match presence.status {
        Judged::Absent(reason) => reason.as_str(),
        other => other.status().as_str(),
    };
    let present = presence.minutes_present().map_or("?".to_owned(), |minutes| minutes.to_string());
    let early = if presence.left_early { " left early" } else { "" };
    assert_eq!(format!("{word} {} {present}{early}", presence.minutes_late()), expected);
}

#[test]
fn by_default_there_is_present_and_late() {
    let rules = CourseRules::default();
    check(&rules, -14.0, -14.0, None, "present 0 60");
    check(&rules, 5.0, 5.0, None, "present 5 55");
    check(&rules, 5.1, 5.1, None, "late 5 54");
    check(&rules, 59.0, 59.0, None, "late 59 1");
    check(&rules, 0.0, 10.0, Some(10.0), "present 0 10");
}

#[test]
fn who_comes_too_late_is_absent() {
    let rules = CourseRules { absent_after: Some(minutes(30)), ..CourseRules::default() };
    check(&rules, 30.0, 30.0, None, "late 30 30");
    check(&rules, 30.1, 30.1, None, "too_late 30 29");
}

#[test]
fn who_stays_too_short_is_absent() {
    for least in [MinPresence::Time(minutes(30)), MinPresence::Percent(50)] {
        let rules = CourseRules { min_presence: Some(least), ..CourseRules::default() };
        check(&rules, 0.0, 30.0, Some(30.0), "present 0 30");
        check(&rules, 0.0, 29.9, Some(29.9), "too_short 0 29");
        // Time before the start and after the end is not presence.
        check(&rules, -14.0, 29.9, Some(29.9), "too_short 0 29");
        check(&rules, 30.0, 70.0, Some(70.0), "late 30 30");
        check(&rules, 31.0, 70.0, Some(70.0), "too_short 31 29");
        // Who came half an hour before the end cannot have been there longer.
        check(&rules, 31.0, 31.0, None, "too_short 31 29");
    }
    // A session that is shorter than the least presence takes all of it, not more.
    let rules = CourseRules { min_presence: Some(MinPresence::Time(minutes(90))), ..CourseRules::default() };
    check(&rules, 0.0, 60.0, Some(60.0), "present 0 60");
    check(&rules, 1.0, 60.0, Some(60.0), "too_short 1 59");
}

#[test]
fn who_is_not_seen_leaving_or_comes_back_stays() {
    let least = Some(MinPresence::Percent(80));
    let rules = CourseRules { min_presence: least, early_exit: Some(minutes(10)), ..CourseRules::default() };
    check(&rules, 0.0, 0.0, None, "present 0 60");
    check(&rules, 0.0, 25.0, Some(20.0), "present 0 60");
    check(&rules, 0.0, 20.0, Some(20.0), "too_short 0 20 left early");
}

#[test]
fn who_leaves_early_has_left_early() {
    let rules = CourseRules { early_exit: Some(minutes(10)), ..CourseRules::default() };
    check(&rules, 0.0, 50.0, Some(50.0), "present 0 50");
    check(&rules, 0.0, 49.9, Some(49.9), "present 0 49 left early");
    check(&rules, 20.0, 49.9, Some(49.9), "late 20 29 left early");
    check(&CourseRules::default(), 0.0, 1.0, Some(1.0), "present 0 1");
}

#[test]
fn who_is_only_seen_leaving_came_when_nobody_knows() {
    let rules = CourseRules {
        absent_after: Some(minutes(30)),
        min_presence: Some(MinPresence::Percent(50)),
        early_exit: Some(minutes(10)),
        ..CourseRules::default()
    };
    check(&rules, 61.0, 61.0, Some(61.0), "late 61 ?");
    check(&rules, 40.0, 40.0, Some(40.0), "late 40 ? left early");
}

#[test]
fn clocks_that_step_back_do_no_harm() {
    let rules = CourseRules { min_presence: Some(MinPresence::Percent(50)), ..CourseRules::default() };
    check(&rules, 10.0, 5.0, None, "late 10 50");
    check(&rules, 500_000_000.0, -500_000_000.0, None, "too_short 500000000 0");
    check(&rules, -500_000_000.0, 500_000_000.0, Some(500_000_000.0), "present 0 60");
}

#[test]
fn every_problem_of_rules_is_told() {
    let told = |rules: CourseRules| rules.problems().iter().map(ToString::to_string).collect::<Vec<_>>();
    assert_eq!(told(CourseRules::default()), [""; 0]);
    let long = Duration::from_secs(12 * 3600 + 1);
    let min_presence = Some(MinPresence::Time(long));
    let all = CourseRules {
        early: long,
        grace: long,
        leave: long,
        early_exit: Some(long),
        min_presence,
        ..CourseRules::default()
    };
    assert_eq!(
        told(CourseRules { absent_after: Some(Duration::ZERO), ..all }),
        [
            "early: must be at most 12 hours",
            "grace: must be at most 12 hours",
            "leave: must be at most 12 hours",
            "early_exit: must be at most 12 hours",
            "min_presence: must be at most 12 hours",
            "absent_after: must be at least as long as grace; who is not late cannot be absent",
        ]
    );
    let least = |least| told(CourseRules { min_presence: Some(least), ..CourseRules::default() });
    assert_eq!(least(MinPresence::Percent(0)), ["min_presence: must be 1 to 100 percent, or not set"]);
    assert_eq!(least(MinPresence::Percent(101)), ["min_presence: must be 1 to 100 percent, or not set"]);
    assert_eq!(least(MinPresence::Time(Duration::ZERO)), ["min_presence: must be longer than nothing, or not set"]);
    assert_eq!(least(MinPresence::Percent(100)), [""; 0]);
}

fn rules() -> impl Strategy<Value = CourseRules> {
    let least = prop_oneof![
        (1..90u64).prop_map(|m| MinPresence::Time(minutes(m))),
        (1..=100u8).prop_map(MinPresence::Percent),
    ];
    let some_minutes = || prop::option::of((0..90u64).prop_map(minutes));
    (0..30u64, some_minutes(), prop::option::of(least), some_minutes()).prop_map(
        |(grace, early_exit, min_presence, absent_after)| CourseRules {
            grace: minutes(grace),
            early_exit,
            min_presence,
            absent_after: absent_after.map(|after| after.max(minutes(grace))),
            ..CourseRules::default()
        },
    )
}

/// Worse is greater.
fn rank(presence: &Presence) -> u8 {
    match presence.status.status() {
        AttendanceStatus::Present => 0,
        AttendanceStatus::Late => 1,
        AttendanceStatus::Absent | AttendanceStatus::Excused => 2,
    }
}

proptest! {
    #[test]
    fn to_come_later_is_never_better(rules in rules(), a in -30.0..70.0f64, b in -30.0..70.0f64) {
        let (sooner, later) = (a.min(b), a.max(b));
        prop_assert!(rank(&judge(&rules, sooner, sooner, None)) <= rank(&judge(&rules, later, later, None)));
    }

    #[test]
    fn to_leave_sooner_is_never_better(rules in rules(), came in -30.0..20.0f64, a in 20.1..90.0f64, b in 20.1..90.0f64) {
        let (sooner, later) = (a.min(b), a.max(b));
        let [sooner, later] = [sooner, later].map(|left| judge(&rules, came, left, Some(left)));
        let stayed = judge(&rules, came, came, None);
        prop_assert!(rank(&stayed) <= rank(&later) && rank(&later) <= rank(&sooner));
        prop_assert!(sooner.left_early || !later.left_early);
        prop_assert!(!stayed.left_early);
    }

    #[test]
    fn without_further_rules_nobody_who_was_seen_is_absent(
        rules in rules(), first in -30.0..90.0f64, last in -30.0..90.0f64, exit in prop::option::of(-30.0..90.0f64),
    ) {
        let lenient = CourseRules { min_presence: None, absent_after: None, ..rules };
        let presence = judge(&lenient, first, last, exit);
        prop_assert!(rank(&presence) < 2);
        prop_assert_eq!(rank(&presence) == 1, presence.late_by > TimeDelta::from_std(rules.grace).expect("minutes"));
        if let Some(time) = presence.present_for {
            prop_assert!((TimeDelta::zero()..=TimeDelta::minutes(60)).contains(&time));
        }
    }
}
