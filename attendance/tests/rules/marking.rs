//! From decisions to events, rule by rule.

use std::time::Duration;

use rollcall_attendance::{DecisionPolicy, MadeMark, Register, Schedule};
use rollcall_pipeline::{
    AttendanceEvent, Direction, EventKind, LivenessVerdict, MarkStatus, MatchOutcome, Repeat, RepeatRule, SessionKind,
    WallTime,
};

use crate::door::Door;
use crate::fixture::{BERLIN, DEBOUNCE, Seen, person, seen, seen_at, utc};

#[test]
fn a_person_is_marked_once_a_session() {
    let mut door = Door::new();
    door.check(seen(1, "2026-03-02T07:50:00Z"), "recorded: present 08:00");
    door.check(seen(1, "2026-03-02T08:20:00Z"), "debounced");
    door.check(Seen { camera: "door-2", ..seen(1, "2026-03-02T08:21:00Z") }, "debounced");
    door.check(seen(2, "2026-03-02T08:21:00Z"), "recorded: late 08:00");
    door.check(seen(1, "2026-03-03T08:00:00Z"), "recorded: present 08:00");
}

#[test]
fn a_mark_brings_its_session_along() {
    let mut door = Door::new();
    let mark = door.judge(seen(1, "2026-03-02T08:00:00Z")).mark.expect("a mark");
    assert_eq!((mark.person, mark.status), (person(1), MarkStatus::Present));
    assert_eq!((mark.session.room.as_str(), mark.session.kind), ("lab", SessionKind::Timetabled));
    assert_eq!(
        [mark.session.starts_at, mark.session.ends_at],
        ["2026-03-02T08:00:00Z", "2026-03-02T09:00:00Z"].map(utc)
    );
    assert_eq!(mark.session.local_date.to_string(), "2026-03-02");
}

#[test]
fn nobody_is_late_because_the_decision_took_a_while() {
    let mut door = Door::new();
    let in_time = utc("2026-03-02T08:05:00Z");
    door.check(Seen { first: in_time, ..seen(1, "2026-03-02T08:05:10Z") }, "recorded: present 08:00");
    let after = in_time + chrono::TimeDelta::milliseconds(1);
    door.check(Seen { first: after, ..seen(2, "2026-03-02T08:05:10Z") }, "recorded: late 08:00");
}

#[test]
fn the_unexpected_are_marked_as_such() {
    let mut door = Door::new();
    door.check(seen(4, "2026-03-02T08:20:00Z"), "off_roster: off_roster 08:00");
    door.check(seen(4, "2026-03-02T08:30:00Z"), "debounced");
    // Local midnight is 23:00 in UTC.
    door.check(seen(1, "2026-03-02T06:00:00Z"), "off_schedule: off_schedule 23:00");
    door.check(seen(1, "2026-03-02T15:00:00Z"), "debounced");
    door.check(Seen { room: "hall", ..seen(1, "2026-03-02T15:10:00Z") }, "recorded: present 23:00");
}

#[test]
fn who_comes_early_for_the_next_lesson_is_marked_there() {
    let mut door = Door::new();
    door.check(seen(3, "2026-03-02T08:50:00Z"), "recorded: present 09:00");
    door.check(seen(3, "2026-03-02T09:01:00Z"), "debounced");
}

#[test]
fn who_stays_for_the_next_lesson_is_marked_when_seen_in_it() {
    let mut door = Door::new();
    door.check(seen(2, "2026-03-02T08:00:00Z"), "recorded: present 08:00");
    door.check(seen(2, "2026-03-02T08:55:00Z"), "debounced");
    door.check(seen(2, "2026-03-02T09:02:00Z"), "recorded: present 09:00");
}

#[test]
fn who_leaves_after_the_lesson_is_not_marked_again() {
    let mut door = Door::new();
    door.check(seen(1, "2026-03-02T08:00:00Z"), "recorded: present 08:00");
    door.check(seen(3, "2026-03-02T09:00:00Z"), "recorded: present 09:00");
    // The second lesson is on, and does not expect them.
    door.check(seen(1, "2026-03-02T09:03:00Z"), "debounced");
    // Nothing is on.
    door.check(seen(3, "2026-03-02T10:14:59Z"), "debounced");
    door.check(seen(3, "2026-03-02T10:15:00Z"), "off_schedule: off_schedule 23:00");
    // Who was not there does not leave.
    door.check(seen(2, "2026-03-02T10:05:00Z"), "off_schedule: off_schedule 23:00");
}

#[test]
fn who_is_seen_leaving_was_there() {
    let exit = |who, at| Seen { direction: Some(Direction::Exit), ..seen(who, at) };
    let entry = |who, at| Seen { direction: Some(Direction::Entry), ..seen(who, at) };
    let mut door = Door::new();
    door.check(exit(1, "2026-03-02T09:01:00Z"), "recorded: late 08:00");
    door.check(exit(3, "2026-03-02T10:01:00Z"), "recorded: late 09:00");
    // Out of the room before the lesson begins is not present in it.
    door.check(exit(2, "2026-03-02T07:50:00Z"), "off_schedule: off_schedule 23:00");
    door.check(entry(2, "2026-03-02T07:55:00Z"), "recorded: present 08:00");
    door.check(exit(2, "2026-03-02T08:30:00Z"), "debounced");
}

#[test]
fn a_mark_debounces_across_a_session_border() {
    let mut door = Door::new();
    door.check(seen(2, "2026-03-02T08:59:50Z"), "recorded: late 08:00");
    door.check(seen(2, "2026-03-02T09:00:05Z"), "debounced");
    door.check(seen(2, "2026-03-02T09:00:19.999Z"), "debounced");
    door.check(seen(2, "2026-03-02T09:00:20Z"), "recorded: present 09:00");

    let mut door = Door::new();
    door.check(seen(2, "2026-03-02T08:59:50Z"), "recorded: late 08:00");
    door.check(Seen { camera: "door-2", ..seen(2, "2026-03-02T09:00:05Z") }, "recorded: present 09:00");
}

#[test]
fn a_repeat_says_which_mark_it_repeats_and_by_which_rule() {
    let mut door = Door::new();
    let first = door.judge(seen(2, "2026-03-02T08:59:50Z"));
    assert_eq!(first.repeats, None);
    let session = first.mark.expect("a mark").session.id;
    let of = |rule| Some(Repeat { event: first.id, session, rule });
    // The same lesson; then the next one, in which they are expected, too.
    assert_eq!(door.judge(seen(2, "2026-03-02T08:59:55Z")).repeats, of(RepeatRule::Session));
    assert_eq!(door.judge(seen(2, "2026-03-02T09:00:05Z")).repeats, of(RepeatRule::Debounce));
    assert_eq!(door.judge(Seen { outcome: MatchOutcome::Unknown, ..seen(2, "2026-03-02T09:00:06Z") }).repeats, None);
}

#[test]
fn debounce_can_be_switched_off_and_changed() {
    let mut door = Door::new();
    door.register.set_debounce(Duration::ZERO);
    door.check(seen(2, "2026-03-02T08:59:59Z"), "recorded: late 08:00");
    door.check(seen(2, "2026-03-02T09:00:00Z"), "recorded: present 09:00");
    door.register.set_debounce(Duration::MAX);
    door.check(seen(2, "2026-03-09T08:00:00Z"), "debounced");
}

#[test]
fn debounce_goes_by_the_distance_in_time_not_by_the_order() {
    for (first, second) in [("08:59:50", "09:00:05"), ("09:00:05", "08:59:50")] {
        let mut door = Door::new();
        let at = |t: &str| seen(2, &format!("2026-03-02T{t}Z"));
        assert_eq!(door.judge(at(first)).kind, EventKind::Recorded);
        assert_eq!(door.judge(at(second)).kind, EventKind::Debounced);
    }
    // A step back that is longer than the window is no reason to miss somebody.
    let mut door = Door::new();
    door.check(seen(2, "2026-03-02T09:30:00Z"), "recorded: late 09:00");
    door.check(seen(2, "2026-03-02T08:30:00Z"), "recorded: late 08:00");
}

#[test]
fn waiting_at_the_door_does_not_cost_the_lesson() {
    let mut door = Door::new();
    door.check(seen(1, "2026-03-02T07:44:50Z"), "off_schedule: off_schedule 23:00");
    door.check(seen(1, "2026-03-02T07:45:05Z"), "recorded: present 08:00");
}

#[test]
fn what_is_not_a_mark_is_logged_as_what_it_is() {
    let mut door = Door::new();
    let at = "2026-03-02T08:00:00Z";
    door.check(Seen { outcome: MatchOutcome::Unknown, ..seen(1, at) }, "unknown");
    door.check(Seen { outcome: MatchOutcome::Ambiguous, ..seen(1, at) }, "ambiguous");
    door.check(Seen { liveness: LivenessVerdict::Spoof(0.1), ..seen(1, at) }, "spoof");
    // None of them keeps the person from being marked.
    door.check(seen(1, at), "recorded: present 08:00");
}

#[test]
fn each_correction_on_a_track_has_its_own_id() {
    let mut door = Door::new();
    let at = |ms: u64| Seen { media_ms: ms, ..seen(1, "2026-03-02T08:00:00Z") };
    let spoof = LivenessVerdict::Spoof(0.1);
    door.check(Seen { outcome: MatchOutcome::Ambiguous, ..at(1000) }, "ambiguous");
    door.check(at(2000), "recorded: present 08:00");
    door.check(at(3000), "debounced");
    door.check(at(4000), "debounced");
    door.check(Seen { liveness: spoof, ..at(5000) }, "spoof");
    door.check(Seen { liveness: spoof, track: 2, ..at(5000) }, "spoof");
    door.check(Seen { liveness: spoof, camera: "door-2", ..at(5000) }, "spoof");
    let mut ids: Vec<_> = door.events.iter().map(|e| e.id).collect();
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), 7);
}

#[test]
fn a_decision_given_again_makes_the_same_event() {
    let mut door = Door::new();
    let sightings = [
        seen(2, "2026-03-02T08:00:00Z"),
        Seen { media_ms: 1000, ..seen(2, "2026-03-02T08:00:01Z") },
        Seen { media_ms: 2000, outcome: MatchOutcome::Ambiguous, ..seen(2, "2026-03-02T08:00:02Z") },
        Seen { media_ms: 3000, ..seen(4, "2026-03-02T08:00:03Z") },
        Seen { media_ms: 4000, ..seen(4, "2026-03-02T12:00:03Z") },
    ];
    let once: Vec<_> = sightings.clone().into_iter().map(|s| door.judge(s)).collect();
    let again: Vec<_> = sightings.into_iter().map(|s| door.judge(s)).collect();
    for (a, b) in once.iter().zip(&again) {
        assert_eq!((a.id, a.kind, &a.mark), (b.id, b.kind, &b.mark));
    }
}

#[test]
fn a_mark_that_is_not_kept_holds_nobody_back() {
    let mut door = Door::new();
    let at_desk = Seen { camera: "check-in@room-1", ..seen(1, "2026-03-02T08:00:00Z") };
    let propose =
        |door: &Door, seen: Seen| door.register.propose(seen.decision(), &door.schedule, &DecisionPolicy::default());
    // Whoever sees them before it is known whether the first is kept makes the mark; if it is, too, the session is taken once.
    let proposed = propose(&door, at_desk.clone());
    assert_eq!((proposed.kind, door.register.len()), (EventKind::Recorded, 0));
    door.check(seen(1, "2026-03-02T08:00:01Z"), "recorded: present 08:00");
    door.register.keep(&proposed);
    assert_eq!(door.register.len(), 1);
    assert_eq!(propose(&door, at_desk).kind, EventKind::Debounced);

    // One that was remembered and then refused for good.
    let refused = door.judge(seen(2, "2026-03-02T08:00:00Z"));
    door.check(seen(2, "2026-03-02T08:10:00Z"), "debounced");
    door.register.forget(person(2), refused.id);
    door.check(seen(2, "2026-03-02T08:11:00Z"), "recorded: late 08:00");
}

fn made(event: &AttendanceEvent) -> Option<MadeMark> {
    event.mark.as_ref().map(|mark| MadeMark {
        person: mark.person,
        session: mark.session.id,
        ends_at: mark.session.ends_at,
        status: mark.status,
        camera: event.decision.key.camera.clone(),
        at: event.decision.decided.captured,
        event: event.id,
    })
}

#[test]
fn a_restored_register_goes_on_where_the_old_one_stopped() {
    let mut door = Door::new();
    let first = seen(2, "2026-03-02T08:59:50Z");
    let before = door.judge(first.clone());
    // Rows that come twice, from the marks and from the spool, are one mark.
    let rows = door.events.iter().chain(&door.events).filter_map(made);
    door.register = Register::restore(DEBOUNCE, rows);
    assert_eq!(door.register.len(), 1);
    // The same decision, the same session, the debounce window: all as if nothing had happened.
    let after = door.judge(first);
    assert_eq!((after.id, after.kind, after.mark), (before.id, before.kind, before.mark));
    door.check(Seen { media_ms: 1, ..seen(2, "2026-03-02T08:59:55Z") }, "debounced");
    door.check(seen(2, "2026-03-02T09:00:05Z"), "debounced");
    door.check(seen(2, "2026-03-02T09:01:00Z"), "recorded: present 09:00");
}

#[test]
fn memory_is_bounded_by_the_marks_of_a_day() {
    let mut door = Door::with(Schedule::open(BERLIN));
    let crowd = 200;
    let mut most = 0;
    for day in 0..60 {
        for n in 0..crowd {
            let at = utc("2026-03-02T08:00:00Z") + chrono::TimeDelta::days(day);
            assert_eq!(door.judge(seen_at(n, at)).kind, EventKind::Recorded);
            most = most.max(door.register.len());
        }
    }
    // Sweeps leave two days (yesterday's session ended hours ago), and come when there is twice as much, but not below 1024.
    assert_eq!(most, 1023);
}

#[test]
fn memory_is_bounded_when_clocks_are_wild() {
    let mut door = Door::with(Schedule::open(BERLIN));
    for n in 0..20_000i64 {
        let now: WallTime = utc("2026-03-02T08:00:00Z") + chrono::TimeDelta::days(n * 7_919 % 1_000_003 - 500_000);
        door.judge(Seen { media_ms: n.unsigned_abs(), ..seen_at(1, now) });
        assert!(door.register.len() < 1024);
    }
}
