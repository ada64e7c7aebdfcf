//! What holds for any sequence of decisions.

use std::collections::HashMap;

use chrono::TimeDelta;
use proptest::prelude::*;
use rollcall_attendance::{DecisionPolicy, MadeMark, Register, Schedule};
use rollcall_pipeline::{
    AttendanceEvent, Direction, EventId, EventKind, LivenessVerdict, Mark, MatchOutcome, PersonId, SessionId,
    UndecidedReason,
};

use crate::fixture::{BERLIN, DEBOUNCE, LIVE, Seen, daily, expecting, named, people, seen_at, timetable, utc};

fn schedule() -> Schedule {
    timetable(
        BERLIN,
        vec![
            expecting(people([0, 1, 2]), daily("first", "09:00", "09:20")),
            expecting(people([2, 3]), daily("second", "09:20", "09:40")),
            daily("open", "09:30", "10:00"),
        ],
    )
}

/// Sightings of five people around the lessons, in no order; the position is the media time, so no two are the same.
fn sightings() -> impl Strategy<Value = Vec<Seen>> {
    let who = prop_oneof![
        8 => (0..5u128).prop_map(named),
        1 => Just(MatchOutcome::Ambiguous),
        1 => Just(MatchOutcome::Unknown),
    ];
    let alive = prop_oneof![
        6 => Just(LIVE),
        1 => Just(LivenessVerdict::Spoof(0.1)),
        1 => Just(LivenessVerdict::Undecided(UndecidedReason::TooSmall)),
        1 => Just(LivenessVerdict::Undecided(UndecidedReason::Unclear)),
    ];
    let place = (
        prop::sample::select(vec!["door-1", "door-2"]),
        prop::sample::select(vec!["lab", "hall"]),
        prop::sample::select(vec![None, Some(Direction::Entry), Some(Direction::Exit)]),
    );
    let one = (who, alive, place, 0..7200i64, 0..30i64, 0..4u64);
    prop::collection::vec(one, 0..80).prop_map(|many| {
        let mut seen = Vec::new();
        for (i, (outcome, liveness, (camera, room, direction), second, before, track)) in many.into_iter().enumerate() {
            let at = utc("2026-03-02T07:30:00Z") + TimeDelta::seconds(second);
            let first = at - TimeDelta::seconds(before);
            let media_ms = i as u64;
            seen.push(Seen { first, outcome, liveness, camera, room, direction, track, media_ms, ..seen_at(0, at) });
        }
        seen
    })
}

fn judge_all<'a>(register: &mut Register, seen: impl IntoIterator<Item = &'a Seen>) -> Vec<AttendanceEvent> {
    let (schedule, policy) = (schedule(), DecisionPolicy::default());
    seen.into_iter().map(|s| register.judge(s.clone().decision(), &schedule, &policy)).collect()
}

fn told(events: &[AttendanceEvent]) -> Vec<(EventId, EventKind, Option<Mark>)> {
    events.iter().map(|e| (e.id, e.kind, e.mark.clone())).collect()
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

fn marks(events: &[AttendanceEvent]) -> HashMap<(PersonId, SessionId), Vec<EventId>> {
    let mut marks: HashMap<_, Vec<_>> = HashMap::new();
    for event in events {
        if let Some(mark) = &event.mark {
            marks.entry((mark.person, mark.session.id)).or_default().push(event.id);
        }
    }
    marks
}

proptest! {
    #[test]
    fn a_person_has_at_most_one_mark_a_session_and_each_decision_one_event(seen in sightings()) {
        let events = judge_all(&mut Register::new(DEBOUNCE), &seen);
        prop_assert_eq!(events.len(), seen.len());
        for (whose, by) in marks(&events) {
            prop_assert_eq!(by.len(), 1, "{:?}", whose);
        }
        let mut ids: Vec<_> = events.iter().map(|e| e.id).collect();
        ids.sort();
        ids.dedup();
        prop_assert_eq!(ids.len(), events.len());
        for event in &events {
            let makes = matches!(event.kind, EventKind::Recorded | EventKind::OffRoster | EventKind::OffSchedule);
            prop_assert_eq!(makes, event.mark.is_some());
            if let Some(mark) = &event.mark {
                prop_assert_eq!(Some(mark.person), event.person());
                prop_assert_eq!(&mark.session.room, &event.decision.tuning.room);
            }
        }
    }

    #[test]
    fn the_same_decisions_make_the_same_events(seen in sightings()) {
        let once = judge_all(&mut Register::new(DEBOUNCE), &seen);
        let again = judge_all(&mut Register::new(DEBOUNCE), &seen);
        prop_assert_eq!(told(&once), told(&again));
    }

    #[test]
    fn decisions_given_twice_make_no_further_events(seen in sightings(), at in any::<prop::sample::Index>()) {
        let mut register = Register::new(DEBOUNCE);
        let before = judge_all(&mut register, &seen);
        let from = if seen.is_empty() { 0 } else { at.index(seen.len()) };
        let again = judge_all(&mut register, &seen[from..]);
        for (b, a) in before[from..].iter().zip(&again) {
            // What was a mark is the same mark. What was none may not have become one.
            prop_assert_eq!(&b.mark, &a.mark);
            prop_assert_eq!(b.id, a.id);
        }
    }

    #[test]
    fn others_make_no_difference(seen in sightings()) {
        let all = judge_all(&mut Register::new(DEBOUNCE), &seen);
        // One person after the other, in any order of people, each in the order in which they were seen.
        let mut by_person: Vec<&Seen> = seen.iter().collect();
        by_person.sort_by_key(|s| match s.outcome {
            MatchOutcome::Identified(m) => std::cmp::Reverse(Some(m.person)),
            _ => std::cmp::Reverse(None),
        });
        let mut apart = told(&judge_all(&mut Register::new(DEBOUNCE), by_person));
        let mut together = told(&all);
        apart.sort_by_key(|e| e.0);
        together.sort_by_key(|e| e.0);
        prop_assert_eq!(together, apart);
    }

    #[test]
    fn a_restart_in_between_changes_nothing(seen in sightings(), at in any::<prop::sample::Index>()) {
        let middle = if seen.is_empty() { 0 } else { at.index(seen.len()) };
        let through = judge_all(&mut Register::new(DEBOUNCE), &seen);
        let mut events = judge_all(&mut Register::new(DEBOUNCE), &seen[..middle]);
        // The database gives the marks back in an order of its own.
        let mut rows: Vec<MadeMark> = events.iter().filter_map(made).collect();
        rows.sort_by_key(|m| m.event);
        events.extend(judge_all(&mut Register::restore(DEBOUNCE, rows), &seen[middle..]));
        prop_assert_eq!(told(&events), told(&through));
    }

    #[test]
    fn no_camera_marks_a_person_twice_within_the_debounce_window(seen in sightings()) {
        let events = judge_all(&mut Register::new(DEBOUNCE), &seen);
        let recorded: Vec<MadeMark> =
            events.iter().filter(|e| e.kind == EventKind::Recorded).filter_map(made).collect();
        for (i, a) in recorded.iter().enumerate() {
            for b in &recorded[..i] {
                let close = (a.at - b.at).abs() < TimeDelta::from_std(DEBOUNCE).expect("seconds");
                prop_assert!(!(a.person == b.person && a.camera == b.camera && close), "{a:?} {b:?}");
            }
        }
    }
}
