//! Which absences are written when a session closes.

use std::collections::{BTreeSet, HashSet};
use std::ops::Range;

use chrono::TimeDelta;
use proptest::prelude::*;
use rollcall_attendance::{CameraProgress, Closing, CourseRules, Roster, SHORT_GAP, ToClose, Watched, arrivals, close};
use rollcall_pipeline::{CameraId, PersonId, WallTime};

use crate::fixture::{BERLIN, minutes, people, person, utc};

/// Minutes from the start of a lesson of an hour, at 09:00 in Berlin.
fn at(minute: i64) -> WallTime {
    utc("2026-03-02T08:00:00Z") + TimeDelta::minutes(minute)
}

fn camera(name: &str, delivered: Option<i64>, offline: Option<i64>) -> CameraProgress {
    let (delivered_until, offline_since) = (delivered.map(at), offline.map(at));
    // Whatever it delivered, it saw without a break.
    let watched = delivered.map(|delivered| watched(-9_999..delivered, None)).into_iter().collect();
    CameraProgress { camera: CameraId::new(name), delivered_until, offline_since, watched }
}

fn watched(minutes: Range<i64>, away_for: Option<&str>) -> Watched {
    Watched { time: at(minutes.start)..at(minutes.end), away_for: away_for.map(str::to_owned) }
}

/// A camera that has delivered everything, and watched these minutes.
fn watching(minutes: &[Range<i64>]) -> CameraProgress {
    let watched = minutes.iter().map(|m| watched(m.clone(), Some("unplugged"))).collect();
    CameraProgress { watched, ..camera("a", Some(90), None) }
}

/// Closes the lesson of 1 to 4, of whom 2 is marked and 3 excused, with 15 minutes to leave.
fn close_lesson(now: i64, cameras: &[CameraProgress]) -> Closing {
    close_at(60, now, cameras)
}

/// Closes it when it ended at some minute.
fn close_at(end: i64, now: i64, cameras: &[CameraProgress]) -> Closing {
    let settled = HashSet::from([person(2), person(3)]);
    let (held, roster) = (at(0)..at(end), people([4, 3, 2, 1]));
    close(&ToClose {
        held: &held,
        leave: minutes(15),
        arrivals: &arrivals(&held, &CourseRules::default()),
        roster: &roster,
        settled: &settled,
        cameras,
        now: at(now),
    })
}

/// The absent, or until when (in minutes) and for which cameras it waits.
fn told(closing: &Closing) -> String {
    match closing {
        Closing::Write(absent) => format!("absent: {:?}", absent.iter().map(|p| p.0.as_u128()).collect::<Vec<_>>()),
        Closing::Wait { until, cameras } => {
            let words = cameras.iter().map(|c| format!("; {} {}", c.camera, c.reason.words(BERLIN)));
            format!("wait for {}{}", (*until - at(0)).num_minutes(), words.collect::<String>())
        }
    }
}

fn check(now: i64, cameras: &[CameraProgress], expected: &str) {
    assert_eq!(told(&close_lesson(now, cameras)), expected);
}

#[test]
fn absences_wait_for_every_camera_up_to_the_end_of_the_leave_window() {
    let cameras = |a, b| [camera("a", Some(a), None), camera("b", Some(b), None)];
    check(30, &cameras(30, 30), "wait for 75");
    check(74, &cameras(74, 74), "wait for 75");
    check(75, &cameras(75, 75), "absent: [1, 4]");
    check(76, &cameras(76, 74), "wait for 75; b behind: what it saw is known up to 2026-03-02 10:14");
}

#[test]
fn a_camera_that_was_offline_delays_the_absence_and_says_so() {
    let offline = camera("b", Some(12), Some(12));
    check(
        90,
        &[camera("a", Some(90), None), offline, camera("c", None, Some(-9_999)), camera("d", None, None)],
        "wait for 75; b offline since 2026-03-02 09:12; what it saw is known up to 2026-03-02 09:12\
         ; c offline since 2026-02-23 10:21; nothing of what it saw is known; d has not delivered anything yet",
    );
    // One that went offline after everything was delivered holds nothing back.
    check(90, &[camera("a", Some(80), Some(80))], "absent: [1, 4]");
    // A room without cameras, or an admin who does not want to wait.
    check(75, &[], "absent: [1, 4]");
    check(74, &[], "wait for 75");
}

#[test]
#[expect(clippy::single_range_in_vec_init, reason = "one time that was watched")]
fn nobody_is_absent_whom_a_camera_could_not_have_seen() {
    let check = |watched: &[Range<i64>], expected: &str| check(80, &[watching(watched)], expected);
    check(&[-20..75], "absent: [1, 4]");
    check(&[-15..60], "absent: [1, 4]");
    // Down for the whole lesson and back at the bell.
    check(&[-900..-16, 61..90], "wait for 75; a saw nothing from 2026-03-02 08:45 to 2026-03-02 10:00 (unplugged)");
    check(
        &[-10..20, 25..40, 41..90],
        "wait for 75; a saw nothing from 2026-03-02 08:45 to 2026-03-02 08:50 (unplugged)\
         ; a saw nothing from 2026-03-02 09:20 to 2026-03-02 09:25 (unplugged)\
         ; a saw nothing from 2026-03-02 09:40 to 2026-03-02 09:41 (unplugged)",
    );
    check(
        &[-20..30],
        "wait for 75; a saw nothing from 2026-03-02 09:30 to 2026-03-02 10:00 (it was switched off or removed)",
    );
    // Away only before one could come and after the end.
    check(&[-30..-16, -15..60, 70..90], "absent: [1, 4]");
    // What two daemons saw one after the other, or at once.
    check(&[-20..30, 10..20, 30..90], "absent: [1, 4]");
}

#[test]
fn a_moment_without_pictures_is_no_gap() {
    let mut camera = watching(&[-20..30, 30..90]);
    camera.watched[1].time.start = at(30) + SHORT_GAP;
    check(80, std::slice::from_ref(&camera), "absent: [1, 4]");
    camera.watched[1].time.start += TimeDelta::milliseconds(1);
    let told = told(&close_lesson(80, &[camera]));
    assert_eq!(told, "wait for 75; a saw nothing from 2026-03-02 09:30 to 2026-03-02 09:30 (unplugged)");
}

#[test]
fn many_gaps_are_told_as_one_from_the_tenth_on() {
    let flapping: Vec<_> = (0..12).map(|n| n * 5..n * 5 + 4).chain(std::iter::once(60..90)).collect();
    let told = told(&close_lesson(80, &[watching(&flapping)]));
    let gaps: Vec<_> = told.split("; ").skip(1).collect();
    assert_eq!(gaps.len(), 10, "{told}");
    assert_eq!(gaps[8], "a saw nothing from 2026-03-02 09:39 to 2026-03-02 09:40 (unplugged)");
    assert_eq!(gaps[9], "a saw nothing from 2026-03-02 09:44 to 2026-03-02 10:00 (4 times)");
}

#[test]
fn a_camera_that_is_still_away_is_told_with_what_it_missed_before() {
    let camera = CameraProgress {
        watched: vec![watched(-20..10, None), watched(20..30, Some("unplugged"))],
        ..camera("a", Some(30), Some(30))
    };
    check(
        80,
        &[camera],
        "wait for 75; a offline since 2026-03-02 09:30; what it saw is known up to 2026-03-02 09:30\
         ; a saw nothing from 2026-03-02 09:10 to 2026-03-02 09:20 (unplugged)",
    );
}

#[test]
fn one_can_come_until_whoever_comes_is_absent_all_the_same() {
    let held = at(0)..at(60);
    let rules = |after: Option<u64>| CourseRules { absent_after: after.map(minutes), ..CourseRules::default() };
    assert_eq!(arrivals(&held, &rules(None)), at(-15)..at(60));
    assert_eq!(arrivals(&held, &rules(Some(20))), at(-15)..at(20));
    assert_eq!(arrivals(&held, &rules(Some(90))), at(-15)..at(60));
}

#[test]
fn a_session_by_hand_ends_when_it_was_closed() {
    let camera = [camera("a", Some(200), None)];
    assert_eq!(told(&close_at(30, 50, &camera)), "absent: [1, 4]");
    assert_eq!(told(&close_at(30, 44, &camera)), "wait for 45");
}

#[test]
fn where_everybody_is_welcome_nobody_is_absent() {
    let (held, settled) = (at(0)..at(60), HashSet::new());
    let lesson = ToClose {
        held: &held,
        leave: minutes(15),
        arrivals: &held,
        roster: &Roster::Everybody,
        settled: &settled,
        cameras: &[],
        now: at(0),
    };
    assert_eq!(close(&lesson), Closing::Write(vec![]));
}

fn some_people() -> impl Strategy<Value = HashSet<PersonId>> {
    prop::collection::hash_set((0..20u128).prop_map(person), 0..20)
}

fn cameras() -> impl Strategy<Value = Vec<CameraProgress>> {
    let one = (prop::option::of(60..90i64), prop::option::of(0..90i64));
    prop::collection::vec(one, 0..4).prop_map(|many| many.into_iter().map(|(d, o)| camera("c", d, o)).collect())
}

proptest! {
    #[test]
    fn everybody_on_the_roster_is_settled_or_absent_and_nobody_else(
        roster in some_people(), settled in some_people(), cameras in cameras(), now in 60..90i64,
    ) {
        let (held, roster_) = (at(0)..at(60), Roster::people(roster.iter().copied()));
        let lesson = ToClose {
            held: &held, leave: minutes(15), arrivals: &held, roster: &roster_, settled: &settled,
            cameras: &cameras, now: at(now),
        };
        let delivered = |c: &CameraProgress| c.delivered_until.is_some_and(|d| d >= at(75));
        match close(&lesson) {
            Closing::Write(absent) => {
                prop_assert!(now >= 75 && cameras.iter().all(delivered));
                let expected: BTreeSet<_> = roster.difference(&settled).copied().collect();
                prop_assert_eq!(absent, expected.into_iter().collect::<Vec<_>>());
            }
            Closing::Wait { until, cameras: behind } => {
                prop_assert_eq!(until, at(75));
                let waits = cameras.iter().filter(|c| !delivered(c)).count();
                prop_assert_eq!(behind.len(), if now < 75 { 0 } else { waits });
                prop_assert!(now < 75 || waits > 0);
            }
        }
    }

    #[test]
    fn what_could_be_written_can_be_written_later(cameras in cameras(), now in 60..90i64, more in 0..30i64) {
        if let Closing::Write(absent) = close_lesson(now, &cameras) {
            let later: Vec<_> = cameras.into_iter()
                .map(|mut c| {
                    let more = TimeDelta::minutes(more);
                    c.watched.iter_mut().for_each(|w| w.time.end += more);
                    CameraProgress { delivered_until: c.delivered_until.map(|d| d + more), ..c }
                })
                .collect();
            prop_assert_eq!(close_lesson(now + more, &later), Closing::Write(absent));
        }
    }
}
