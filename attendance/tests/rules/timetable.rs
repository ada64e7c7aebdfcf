//! Which session a moment belongs to.

use chrono::{NaiveDate, Weekday};
use rollcall_attendance::{Occasion, RoomPlan, Roster, Schedule};
use rollcall_pipeline::ports::Expectations;
use rollcall_pipeline::{MarkStatus, PersonId, SessionKind};

use crate::fixture::{BERLIN, NEW_YORK, daily, expecting, lab, on, people, person, room, site, timetable, utc};

fn at(schedule: &Schedule, when: &str) -> Occasion {
    schedule.occasion(&room("lab"), utc(when))
}

/// Start and end of the session at `when`, or its kind where it is a day.
fn check(schedule: &Schedule, when: &str, expected: &str) {
    let session = at(schedule, when).session;
    let told = match session.kind {
        SessionKind::Timetabled => format!("{} {}", session.starts_at.format("%H:%M"), session.ends_at.format("%H:%M")),
        day => format!("{} {}", day.as_str(), session.local_date),
    };
    assert_eq!(told, expected, "at {when}");
}

#[test]
fn a_session_is_on_from_its_early_window_to_its_end() {
    // Berlin is an hour ahead of UTC in winter. 2026-03-02 is a Monday.
    let schedule = timetable(BERLIN, vec![on(&[Weekday::Mon], daily("maths", "09:00", "10:00"))]);
    check(&schedule, "2026-03-02T07:44:59Z", "off_schedule 2026-03-02");
    check(&schedule, "2026-03-02T07:45:00Z", "08:00 09:00");
    check(&schedule, "2026-03-02T08:00:00Z", "08:00 09:00");
    check(&schedule, "2026-03-02T08:59:59.999Z", "08:00 09:00");
    check(&schedule, "2026-03-02T09:00:00Z", "off_schedule 2026-03-02");
    check(&schedule, "2026-03-03T08:30:00Z", "off_schedule 2026-03-03");
    check(&schedule, "2026-03-09T08:30:00Z", "08:00 09:00");
}

#[test]
fn sessions_differ_by_date_start_name_and_room() {
    let plan = |name: &str| RoomPlan {
        room: room(name),
        ..lab(vec![daily("a", "09:00", "10:00"), daily("b", "11:00", "12:00"), daily("a", "13:00", "14:00")])
    };
    let schedule = Schedule::new(&site(BERLIN, vec![plan("lab"), plan("gym")])).expect("a plan without problems");
    let mut ids = Vec::new();
    for name in ["lab", "gym", "hall"] {
        for day in ["02", "03"] {
            for hour in ["08", "10", "12", "16"] {
                ids.push(schedule.occasion(&room(name), utc(&format!("2026-03-{day}T{hour}:30:00Z"))).session.id);
            }
        }
    }
    // The hall has no timetable: two days.
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), 2 * 2 * 4 + 2);
}

#[test]
fn a_session_has_the_same_id_in_every_process_and_release() {
    let schedule = timetable(BERLIN, vec![daily("maths", "09:00", "10:00")]);
    let ids = ["2026-03-02T08:30:00Z", "2026-03-02T12:00:00Z"].map(|when| at(&schedule, when).session.id.to_string());
    assert_eq!(ids, IDS, "a changed derivation would mark everybody a second time");
}

const IDS: [&str; 2] = ["45974bfc-94d5-5b76-b992-4caf7d0fa2ba", "fd0b56a5-8c11-5d6b-91fa-1de26b56a0f1"];

#[test]
fn validity_is_by_the_local_date_of_the_start() {
    let mut night = daily("night", "22:00", "06:00");
    (night.valid_from, night.valid_to) = (NaiveDate::from_ymd_opt(2026, 3, 2), NaiveDate::from_ymd_opt(2026, 3, 2));
    let schedule = timetable(BERLIN, vec![night]);
    check(&schedule, "2026-03-02T01:00:00Z", "off_schedule 2026-03-02");
    check(&schedule, "2026-03-02T22:00:00Z", "21:00 05:00");
    check(&schedule, "2026-03-03T04:59:00Z", "21:00 05:00");
    check(&schedule, "2026-03-03T22:00:00Z", "off_schedule 2026-03-03");
}

#[test]
fn a_session_that_crosses_midnight_belongs_to_the_day_it_began() {
    let schedule = timetable(NEW_YORK, vec![on(&[Weekday::Fri], daily("night", "22:00", "06:00"))]);
    // Friday 2026-03-06 in New York, five hours behind UTC.
    let evening = at(&schedule, "2026-03-07T03:30:00Z").session;
    let morning = at(&schedule, "2026-03-07T10:59:00Z").session;
    assert_eq!(evening, morning);
    assert_eq!(morning.local_date.to_string(), "2026-03-06");
    check(&schedule, "2026-03-07T11:00:00Z", "off_schedule 2026-03-07");
    check(&schedule, "2026-03-06T10:00:00Z", "off_schedule 2026-03-06");
}

#[test]
fn the_early_window_may_begin_on_the_day_before() {
    let schedule = timetable(BERLIN, vec![on(&[Weekday::Tue], daily("early", "00:05", "01:00"))]);
    check(&schedule, "2026-03-02T22:49:59Z", "off_schedule 2026-03-02");
    check(&schedule, "2026-03-02T22:50:00Z", "23:05 00:00");
    assert_eq!(at(&schedule, "2026-03-02T22:50:00Z").session.local_date.to_string(), "2026-03-03");
}

#[test]
fn a_session_that_ends_when_it_begins_lasts_a_day() {
    let schedule = timetable(BERLIN, vec![on(&[Weekday::Mon], daily("watch", "08:00", "08:00"))]);
    check(&schedule, "2026-03-03T06:59:00Z", "07:00 07:00");
    check(&schedule, "2026-03-03T07:00:00Z", "off_schedule 2026-03-03");
}

#[test]
fn of_overlapping_sessions_the_later_start_wins_once_it_has_begun() {
    let schedule = timetable(BERLIN, vec![daily("short", "10:00", "11:00"), daily("long", "09:00", "12:00")]);
    check(&schedule, "2026-03-02T08:50:00Z", "08:00 11:00");
    check(&schedule, "2026-03-02T09:00:00Z", "09:00 10:00");
    check(&schedule, "2026-03-02T10:00:00Z", "08:00 11:00");
}

#[test]
fn who_is_expected_elsewhere_belongs_there_where_sessions_overlap() {
    let schedule = timetable(
        BERLIN,
        vec![
            expecting(people([1, 2]), daily("first", "09:00", "10:00")),
            expecting(people([2, 3]), daily("second", "10:00", "11:00")),
        ],
    );
    let hour = |who: u128, when: &str| {
        let session = schedule.occasion_for(&room("lab"), utc(when), person(who), None).session;
        session.starts_at.format("%H").to_string()
    };
    // Ten minutes before the second lesson: who is expected only there has come early for it.
    assert_eq!([1, 2, 3, 4].map(|who| hour(who, "2026-03-02T08:50:00Z")), ["08", "08", "09", "08"]);
    assert_eq!([1, 2, 3, 4].map(|who| hour(who, "2026-03-02T09:00:00Z")), ["09", "09", "09", "09"]);
}

#[test]
fn a_room_without_timetable_has_days_with_the_rooms_roster() {
    let hall = RoomPlan { expected: people([1]), ..RoomPlan::new(room("hall")) };
    let schedule = Schedule::new(&site(NEW_YORK, vec![hall])).expect("a plan without problems");
    for (name, roster) in [("hall", people([1])), ("nowhere", Roster::Everybody)] {
        let day = schedule.occasion(&room(name), utc("2026-03-02T04:59:59Z"));
        assert_eq!(day.session.kind, SessionKind::Day);
        assert_eq!(day.session.local_date.to_string(), "2026-03-01");
        assert_eq!(day.session.starts_at, utc("2026-03-01T05:00:00Z"));
        assert_eq!(day.session.ends_at, utc("2026-03-02T05:00:00Z"));
        assert_eq!(day.roster, roster);
        assert_eq!(day.late_after, None);
    }
    let day = schedule.occasion(&room("hall"), utc("2026-03-02T12:00:00Z"));
    assert_eq!(day.status(person(1), utc("2026-03-02T12:00:00Z")), MarkStatus::Present);
    assert_eq!(day.status(person(2), utc("2026-03-02T12:00:00Z")), MarkStatus::OffRoster);
}

#[test]
fn a_room_may_lie_in_another_time_zone() {
    let abroad = RoomPlan { time_zone: Some(NEW_YORK), ..lab(vec![daily("maths", "09:00", "10:00")]) };
    let schedule = Schedule::new(&site(BERLIN, vec![abroad])).expect("a plan without problems");
    check(&schedule, "2026-03-02T14:30:00Z", "14:00 15:00");
    check(&schedule, "2026-03-02T08:30:00Z", "off_schedule 2026-03-02");
}

#[test]
fn late_is_after_the_grace_period() {
    let lesson = at(&timetable(BERLIN, vec![daily("maths", "09:00", "10:00")]), "2026-03-02T08:30:00Z");
    let status = |when| lesson.status(person(1), utc(when));
    assert_eq!(status("2026-03-02T07:50:00Z"), MarkStatus::Present);
    assert_eq!(status("2026-03-02T08:05:00Z"), MarkStatus::Present);
    assert_eq!(status("2026-03-02T08:05:00.001Z"), MarkStatus::Late);
}

#[test]
fn a_roster_built_by_hand_may_be_in_any_order() {
    let unsorted = Roster::People([3, 1, 2, 1].map(person).into());
    let schedule = timetable(BERLIN, vec![expecting(unsorted, daily("maths", "09:00", "10:00"))]);
    assert_eq!(at(&schedule, "2026-03-02T08:30:00Z").roster, people([1, 2, 3]));
}

#[test]
fn expected_is_everybody_whom_a_session_of_the_moment_expects() {
    let open = daily("open", "12:00", "13:00");
    let schedule = timetable(
        BERLIN,
        vec![
            expecting(people([1, 2]), daily("first", "09:00", "10:00")),
            expecting(people([2, 3]), daily("second", "10:00", "11:00")),
            expecting(people([4]), daily("third", "12:30", "14:00")),
            open,
        ],
    );
    let check = |when, expected: Option<&[u128]>| {
        let people = schedule.expected(&room("lab"), utc(when));
        let expected: Option<Vec<PersonId>> = expected.map(|e| e.iter().copied().map(person).collect());
        assert_eq!(people.as_deref(), expected.as_deref(), "at {when}");
    };
    check("2026-03-02T08:30:00Z", Some(&[1, 2]));
    check("2026-03-02T08:50:00Z", Some(&[1, 2, 3]));
    check("2026-03-02T09:30:00Z", Some(&[2, 3]));
    check("2026-03-02T10:30:00Z", None);
    check("2026-03-02T11:20:00Z", None);
    check("2026-03-02T12:30:00Z", Some(&[4]));
    assert_eq!(schedule.expected(&room("nowhere"), utc("2026-03-02T08:30:00Z")), None);
}

#[test]
fn times_at_the_ends_of_the_calendar_do_no_harm() {
    let schedule = timetable(BERLIN, vec![daily("night", "22:00", "22:00")]);
    for when in [chrono::DateTime::<chrono::Utc>::MIN_UTC, chrono::DateTime::<chrono::Utc>::MAX_UTC] {
        for name in ["lab", "nowhere"] {
            let session = schedule.occasion(&room(name), when).session;
            assert!(session.starts_at < session.ends_at);
        }
    }
}
