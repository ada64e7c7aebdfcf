//! The code against the tables of `docs/rules.md`.

use rollcall_attendance::analytics::badges::{AT_LEAST, EARLY_BIRD, STREAKS};
use rollcall_attendance::analytics::{Arrivals, Streak, Tier};
use rollcall_attendance::calendar::MAX_DAYS;
use rollcall_attendance::plan::{MAX_DATED, MAX_LENGTH, MAX_WINDOW};
use rollcall_attendance::{AbsentReason, AttendanceStatus, CourseRules, Tally};

use crate::documents::{page, table};

/// The rows below a heading, without the table's head.
fn rows(heading: &str) -> Vec<Vec<String>> {
    table(&page("rules.md"), heading).split_off(1)
}

fn yes_or_no(yes: bool) -> &'static str {
    if yes { "yes" } else { "no" }
}

#[test]
fn statuses_count_as_documented() {
    let told: Vec<_> = rows("## Statuses").into_iter().map(|row| row[..4].to_vec()).collect();
    let counted = AttendanceStatus::ALL.map(|status| {
        let one = Tally::one(status);
        let streak = match [Streak::one(status), Streak::one(AttendanceStatus::Present).then(Streak::one(status))] {
            [alone, _] if alone.current() == 1 => "counts",
            [_, after] if after.current() == 0 => "breaks",
            _ => "nothing",
        };
        [status.as_str(), yes_or_no(one.attended() == 1), yes_or_no(one.expected() == 1), streak]
            .map(str::to_owned)
            .to_vec()
    });
    assert_eq!(told, counted);
}

#[test]
fn rules_have_the_documented_defaults() {
    let CourseRules { early, grace, leave, early_exit, min_presence, absent_after } = CourseRules::default();
    let minutes = |window: std::time::Duration| format!("{} min", window.as_secs() / 60);
    let none = |unset: bool| if unset { "none" } else { "set" }.to_owned();
    let defaults = [
        ("early", minutes(early)),
        ("grace", minutes(grace)),
        ("leave", minutes(leave)),
        ("absent_after", none(absent_after.is_none())),
        ("min_presence", none(min_presence.is_none())),
        ("early_exit", none(early_exit.is_none())),
    ];
    let told: Vec<_> = rows("## Rules of a course").into_iter().map(|row| (row[0].clone(), row[1].clone())).collect();
    assert_eq!(told, defaults.map(|(key, default)| (key.to_owned(), default)));
}

#[test]
fn reasons_have_the_documented_words() {
    let text = page("rules.md");
    for reason in [AbsentReason::TooLate, AbsentReason::TooShort] {
        assert!(text.contains(&format!("`{}`", reason.as_str())), "{reason:?}");
    }
}

#[test]
fn percentages_are_as_documented() {
    let tally = Tally { present: 6, late: 1, absent: 1, excused: 2 };
    let of = |words: &str| match words {
        "present" => tally.present,
        "late" => tally.late,
        "absent" => tally.absent,
        "present + late" => tally.present + tally.late,
        "present + late + absent" => tally.present + tally.late + tally.absent,
        other => panic!("no count {other:?}"),
    };
    let figures = [
        ("attendance", tally.attendance()),
        ("punctuality", tally.punctuality()),
        ("absence", tally.absence()),
        ("lateness", tally.lateness()),
    ];
    let told: Vec<_> = rows("## Percentages")
        .into_iter()
        .map(|row| (row[0].clone(), Some(of(&row[1]) as f64 * 100.0 / of(&row[2]) as f64)))
        .collect();
    assert_eq!(told, figures.map(|(name, figure)| (name.to_owned(), figure)));
}

#[test]
fn buckets_are_as_documented() {
    let told: Vec<_> = rows("### Arrivals").into_iter().map(|row| row[0].clone()).collect();
    let words: Vec<_> = Arrivals::default()
        .buckets()
        .map(|bucket| match (bucket.from, bucket.to) {
            (Some(from), Some(to)) => format!("{from} to {to}"),
            (None, Some(to)) => format!("before {to}"),
            (Some(from), None) => format!("{from} or more"),
            (None, None) => "all".to_owned(),
        })
        .collect();
    assert_eq!(told, words);
}

#[test]
fn badges_are_as_documented() {
    let mut badges: Vec<_> = Tier::ALL
        .iter()
        .map(|tier| {
            (tier.as_str().to_owned(), format!("attendance ≥ {} % of ≥ {AT_LEAST} sessions", tier.from_percent()))
        })
        .collect();
    let lengths = STREAKS.map(|length| length.to_string()).join(", ");
    badges.push(("streak".to_owned(), format!("best streak ≥ {lengths}")));
    badges.push(("early bird".to_owned(), format!("≥ {EARLY_BIRD} % of ≥ {AT_LEAST} arrivals before the start")));
    let told: Vec<_> = rows("### Badges").into_iter().map(|row| (row[0].clone(), row[1].clone())).collect();
    assert_eq!(told, badges);
}

#[test]
fn bounds_are_as_documented() {
    let told: Vec<_> = rows("## Bounds").into_iter().map(|row| row[1].clone()).collect();
    let bounds = [
        format!("{MAX_DAYS} days"),
        format!("{MAX_DATED}"),
        format!("{} days", MAX_LENGTH.as_secs() / 86_400),
        format!("{} hours", MAX_WINDOW.as_secs() / 3600),
    ];
    assert_eq!(told, bounds);
}
