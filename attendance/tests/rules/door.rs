//! A door whose decisions are judged, in few words.

use rollcall_attendance::{DecisionPolicy, Register, Schedule};
use rollcall_pipeline::AttendanceEvent;

use crate::fixture::{BERLIN, DEBOUNCE, Seen, daily, expecting, people, timetable};

/// A register, its schedule and what came of the decisions so far.
pub(crate) struct Door {
    pub(crate) register: Register,
    pub(crate) schedule: Schedule,
    pub(crate) events: Vec<AttendanceEvent>,
}

impl Door {
    /// First lesson 09:00 to 10:00 for 1 and 2, second 10:00 to 11:00 for 2 and 3; in UTC 08:00 and 09:00.
    pub(crate) fn new() -> Self {
        let first = expecting(people([1, 2]), daily("first", "09:00", "10:00"));
        let second = expecting(people([2, 3]), daily("second", "10:00", "11:00"));
        Self::with(timetable(BERLIN, vec![first, second]))
    }

    pub(crate) fn with(schedule: Schedule) -> Self {
        Self { register: Register::new(DEBOUNCE), schedule, events: vec![] }
    }

    pub(crate) fn judge(&mut self, seen: Seen) -> AttendanceEvent {
        let event = self.register.judge(seen.decision(), &self.schedule, &DecisionPolicy::default());
        self.events.push(event.clone());
        event
    }

    /// Judges, and tells kind and, where there is a mark, status and start of its session in UTC.
    pub(crate) fn check(&mut self, seen: Seen, expected: &str) {
        let when = seen.at;
        let event = self.judge(seen);
        let mut told = event.kind.as_str().to_owned();
        if let Some(mark) = event.mark {
            told = format!("{told}: {} {}", mark.status.as_str(), mark.session.starts_at.format("%H:%M"));
        }
        assert_eq!(told, expected, "at {when}");
    }
}
