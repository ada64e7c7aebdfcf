//! Counts, percentages, streaks, badges and boards.

use chrono::{Datelike, TimeDelta, Weekday};
use proptest::prelude::*;
use rollcall_attendance::analytics::{
    Arrivals, AttendanceRow, Badge, Standing, Streak, Summary, Tier, Weeks, badges, leaderboard, standings, weeks,
};
use rollcall_attendance::{AttendanceStatus, Tally};
use rollcall_pipeline::SessionId;
use uuid::Uuid;

use crate::fixture::{date, person};

use AttendanceStatus::{Absent, Excused, Late, Present};

/// `p`, `l`, `a` and `e`, in order.
fn statuses(letters: &str) -> Vec<AttendanceStatus> {
    let status = |letter| match letter {
        'p' => Present,
        'l' => Late,
        'a' => Absent,
        'e' => Excused,
        other => panic!("no status {other:?}"),
    };
    letters.chars().map(status).collect()
}

fn tally(letters: &str) -> Tally {
    statuses(letters).into_iter().collect()
}

#[test]
fn percentages_are_of_the_expected_and_excused_is_left_out() {
    let tally = tally("pppppplaee");
    assert_eq!((tally.expected(), tally.attended()), (8, 7));
    assert_eq!(tally.attendance(), Some(87.5));
    assert_eq!(tally.punctuality(), Some(75.0));
    assert_eq!(tally.absence(), Some(12.5));
    assert_eq!(tally.lateness().map(f64::round), Some(14.0));
    let none = Tally { excused: 3, ..Tally::default() };
    assert_eq!((none.attendance(), none.punctuality(), none.absence(), none.lateness()), (None, None, None, None));
}

#[test]
fn streaks_are_of_sessions_attended_without_a_miss() {
    let check = |letters: &str, expected: (u32, u32)| {
        let streak: Streak = statuses(letters).into_iter().collect();
        assert_eq!((streak.current(), streak.best()), expected, "{letters}");
    };
    check("", (0, 0));
    check("plp", (3, 3));
    check("ppap", (1, 2));
    check("ppa", (0, 2));
    // Excused neither breaks a streak nor counts for it.
    check("ppeep", (3, 3));
    check("eae", (0, 0));
}

#[test]
fn arrivals_fall_into_buckets_whose_edge_is_the_upper_ones() {
    let mut arrivals = Arrivals::default();
    for minutes in [-1e9, -30.1, -30.0, -0.1, 0.0, 4.9, 5.0, 60.0, f32::INFINITY, f32::NAN] {
        arrivals.add(minutes);
    }
    let full: Vec<_> = arrivals.buckets().filter(|b| b.count > 0).map(|b| (b.from, b.to, b.count)).collect();
    assert_eq!(
        full,
        [
            (None, Some(-30.0), 2),
            (Some(-30.0), Some(-15.0), 1),
            (Some(-5.0), Some(0.0), 1),
            (Some(0.0), Some(5.0), 2),
            (Some(5.0), Some(10.0), 1),
            (Some(60.0), None, 2),
        ]
    );
    assert_eq!((arrivals.total(), arrivals.before_start()), (9, 4));
}

fn standing(letters: &str, early: u64, on_time: u64) -> Standing {
    let mut arrivals = Arrivals::default();
    (0..early).for_each(|_| arrivals.add(-1.0));
    (0..on_time).for_each(|_| arrivals.add(0.0));
    Standing { tally: tally(letters), arrivals, streak: statuses(letters).into_iter().collect() }
}

#[test]
fn badges_are_earned_at_their_limits() {
    let check = |standing: Standing, expected: &[Badge]| assert_eq!(badges(&standing), expected);
    let attended = |present: usize, absent: usize| format!("{}{}", "a".repeat(absent), "pa".repeat(present));
    // Alternating with misses there are no streaks; `present` of `2 · present + absent`.
    check(standing(&attended(10, 0), 0, 0), &[]);
    let rate =
        |present, absent| Standing { tally: Tally { present, absent, ..Tally::default() }, ..Standing::default() };
    check(rate(95, 5), &[Badge::Attendance(Tier::Gold)]);
    check(rate(949, 51), &[Badge::Attendance(Tier::Silver)]);
    check(rate(9, 1), &[Badge::Attendance(Tier::Silver)]);
    check(rate(8, 2), &[Badge::Attendance(Tier::Bronze)]);
    check(rate(79, 21), &[]);
    check(rate(9, 0), &[]);
    check(rate(0, 0), &[]);
    check(standing("pppp", 0, 0), &[]);
    check(standing("pppppa", 0, 0), &[Badge::Streak(5)]);
    check(standing(&"p".repeat(50), 0, 0), &[Badge::Attendance(Tier::Gold), Badge::Streak(50)]);
    check(standing("", 8, 2), &[Badge::EarlyBird]);
    check(standing("", 7, 3), &[]);
    check(standing("", 9, 0), &[]);
}

#[test]
fn who_ties_shares_a_rank() {
    let board = [(5, "pp"), (4, "pa"), (3, "lp"), (2, "pp"), (1, "la"), (6, "ee"), (7, "pppp"), (8, "p")];
    let board = leaderboard(board.map(|(n, letters)| (person(n), tally(letters))), 2);
    let told: Vec<_> = board.iter().map(|line| (line.rank, line.person.0.as_u128())).collect();
    // Attendance first, punctuality second; 6 was never expected, 8 only once.
    assert_eq!(told, [(1, 2), (1, 5), (1, 7), (4, 3), (5, 4), (6, 1)]);
}

#[test]
fn weeks_begin_on_monday() {
    let mut trend = Weeks::default();
    for (day, letters) in [("2026-03-09", "l"), ("2026-03-02", "pl"), ("2026-03-08", "ll")] {
        trend.add(date(day), tally(letters));
    }
    let late: Vec<_> = trend.iter().map(|(monday, tally)| (monday, tally.lateness())).collect();
    assert_eq!(late, [(date("2026-03-02"), Some(75.0)), (date("2026-03-09"), Some(100.0))]);
    assert_eq!(weeks::monday(chrono::NaiveDate::MIN).year(), chrono::NaiveDate::MIN.year());
}

#[test]
fn the_heat_map_is_by_weekday_and_hour_of_the_start() {
    let row = AttendanceRow { start_minute: 9 * 60 + 59, ..row(0, 0, 0, Late, None) };
    let odd = AttendanceRow { start_minute: 9_999, ..row };
    let map = Summary::from_iter(&[row, odd]).heat_map;
    // 2026-01-01 is a Thursday.
    assert_eq!(map.cell(Weekday::Thu, 9), tally("l"));
    assert_eq!(map.cell(Weekday::Thu, 23), tally("l"));
    assert_eq!(map.cell(Weekday::Thu, 10), Tally::default());
    assert_eq!(map.cell(Weekday::Thu, 9_999), Tally::default());
    assert_eq!(map.rows().iter().flatten().copied().sum::<Tally>(), tally("ll"));
}

fn row(who: u128, day: i64, hour: u16, status: AttendanceStatus, minutes: Option<f32>) -> AttendanceRow {
    AttendanceRow {
        person: person(who),
        session: SessionId(Uuid::from_u128(day as u128 * 24 + u128::from(hour))),
        course: None,
        local_date: date("2026-01-01") + TimeDelta::days(day),
        start_minute: hour * 60,
        status,
        minutes_from_start: minutes,
    }
}

fn a_status() -> impl Strategy<Value = AttendanceStatus> {
    prop::sample::select(&AttendanceStatus::ALL[..])
}

/// Rows of four people, each session once for each.
fn rows() -> impl Strategy<Value = Vec<AttendanceRow>> {
    let one = ((0..4u128, 0..60i64, 0..24u16), (a_status(), prop::option::of(-40.0..80.0f32)));
    prop::collection::hash_map((0..4u128, 0..60i64, 0..24u16), one.prop_map(|(_, what)| what), 0..80)
        .prop_map(|rows| rows.into_iter().map(|((who, day, hour), (s, m))| row(who, day, hour, s, m)).collect())
}

proptest! {
    #[test]
    fn the_summary_of_parts_merged_is_that_of_the_whole(rows in rows(), parts in prop::collection::vec(0..3usize, 80)) {
        let mut of = [const { Vec::new() }; 3];
        rows.iter().zip(parts).for_each(|(row, part)| of[part].push(*row));
        let [a, b, c] = of.map(|rows| Summary::from_iter(&rows));
        let merged = |order: [&Summary; 3]| {
            let mut all = Summary::default();
            order.into_iter().for_each(|part| all.merge(part));
            all
        };
        let whole = Summary::from_iter(&rows);
        prop_assert_eq!(&merged([&a, &b, &c]), &whole);
        prop_assert_eq!(&merged([&c, &a, &b]), &whole);
        let mut right = b.clone();
        right.merge(&c);
        prop_assert_eq!(&merged([&a, &right, &Summary::default()]), &whole);
    }

    #[test]
    fn nothing_is_lost_or_counted_twice(rows in rows()) {
        let Summary { tally, arrivals, weeks, heat_map } = Summary::from_iter(&rows);
        prop_assert_eq!((tally.expected() + tally.excused) as usize, rows.len());
        prop_assert_eq!(weeks.iter().map(|(_, tally)| tally).sum::<Tally>(), tally);
        prop_assert_eq!(heat_map.rows().iter().flatten().copied().sum::<Tally>(), tally);
        prop_assert_eq!(standings(&rows).values().map(|standing| standing.tally).sum::<Tally>(), tally);
        prop_assert!(arrivals.total() <= tally.attended());
        prop_assert_eq!(arrivals.buckets().map(|bucket| bucket.count).sum::<u64>(), arrivals.total());
        if let (Some(attendance), Some(absence)) = (tally.attendance(), tally.absence()) {
            prop_assert!((attendance + absence - 100.0).abs() < 1e-9);
            prop_assert!(tally.punctuality().is_some_and(|p| p <= attendance));
        }
    }

    #[test]
    fn a_streak_of_stretches_is_that_of_the_whole(all in prop::collection::vec(a_status(), 0..40), cuts in any::<[prop::sample::Index; 2]>()) {
        let [a, b] = cuts.map(|cut| cut.index(all.len() + 1));
        let (a, b) = (a.min(b), a.max(b));
        let of = |part: &[AttendanceStatus]| part.iter().copied().collect::<Streak>();
        let (first, second, third) = (of(&all[..a]), of(&all[a..b]), of(&all[b..]));
        prop_assert_eq!(first.then(second).then(third), of(&all));
        prop_assert_eq!(first.then(second.then(third)), of(&all));
        // As one would count them by hand.
        let counted: Vec<bool> = all.iter().filter_map(|status| status.attended()).collect();
        let runs = || counted.split(|attended| !attended).map(<[bool]>::len);
        prop_assert_eq!(of(&all).best() as usize, runs().max().unwrap_or(0));
        prop_assert_eq!(of(&all).current() as usize, runs().next_back().unwrap_or(0));
    }

    #[test]
    fn standings_do_not_depend_on_the_order_of_rows(rows in rows(), by in any::<prop::sample::Index>()) {
        let mut turned = rows.clone();
        if !rows.is_empty() {
            turned.rotate_left(by.index(rows.len()));
            turned.reverse();
        }
        prop_assert_eq!(standings(&turned), standings(&rows));
    }

    #[test]
    fn a_board_is_the_same_in_any_order_and_its_ranks_are_of_the_better_ones(rows in rows()) {
        let people: Vec<_> = standings(&rows).into_iter().map(|(person, standing)| (person, standing.tally)).collect();
        let board = leaderboard(people.iter().copied(), 1);
        prop_assert_eq!(&board, &leaderboard(people.iter().rev().copied(), 1));
        for line in &board {
            let share = |t: &Tally| (t.attendance().expect("expected"), t.punctuality().expect("expected"));
            let better = board.iter().filter(|other| share(&other.tally) > share(&line.tally)).count();
            prop_assert_eq!(line.rank, better + 1);
        }
    }
}
