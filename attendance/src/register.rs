//! Turns decisions into events: each decision into exactly one, and each person into at most one mark a session.
//!
//! It only knows the marks of the last day or so. The database is the last instance: its UNIQUE (person, session) makes a
//! second mark impossible even where this forgets. [`MadeMark`]s are read back from there at start.

use std::collections::HashMap;
use std::time::Duration;

use chrono::TimeDelta;
use rollcall_pipeline::{
    AttendanceEvent, CameraId, Decision, EventId, EventKind, Mark, MarkStatus, PersonId, Repeat, RepeatRule, SessionId,
    WallTime,
};

use crate::policy::{DecisionPolicy, Verdict, decide};
use crate::schedule::Schedule;

/// A mark that was made, as far as later decisions depend on it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MadeMark {
    /// Who.
    pub person: PersonId,
    /// In which session.
    pub session: SessionId,
    /// When the session ends; the mark is forgotten [`Register::RETENTION`] later.
    pub ends_at: WallTime,
    /// How.
    pub status: MarkStatus,
    /// On which camera.
    pub camera: CameraId,
    /// Captured time of the shot that decided.
    pub at: WallTime,
    /// The event that made it.
    pub event: EventId,
}

/// The marks that were made, and the rules by which a decision becomes one.
#[derive(Debug)]
pub struct Register {
    debounce: TimeDelta,
    /// Small lists: the sessions of one person within about a day.
    made: HashMap<PersonId, Vec<MadeMark>>,
    marks: usize,
    sweep_at: usize,
}

impl Register {
    /// How long a mark is remembered after its session ended. A restart has to read back the marks of sessions that ended
    /// later than this before now.
    pub const RETENTION: TimeDelta = TimeDelta::hours(24);

    /// So few marks are not worth a sweep.
    const SWEEP_FLOOR: usize = 1024;

    /// An empty register. Within `debounce`, a person who was marked on a camera is not marked on it again, not even in
    /// another session; zero switches that off.
    pub fn new(debounce: Duration) -> Self {
        Self {
            debounce: TimeDelta::from_std(debounce).unwrap_or(TimeDelta::MAX),
            made: HashMap::new(),
            marks: 0,
            sweep_at: Self::SWEEP_FLOOR,
        }
    }

    /// A register that remembers `marks`, in any order: those that the database has.
    pub fn restore(debounce: Duration, marks: impl IntoIterator<Item = MadeMark>) -> Self {
        let mut register = Self::new(debounce);
        for mark in marks {
            register.remember(mark);
        }
        register.sweep_at = (register.marks * 2).max(Self::SWEEP_FLOOR);
        register
    }

    /// Changes the debounce window; what was marked stays marked.
    pub fn set_debounce(&mut self, debounce: Duration) {
        self.debounce = TimeDelta::from_std(debounce).unwrap_or(TimeDelta::MAX);
    }

    /// Marks in memory.
    pub fn len(&self) -> usize {
        self.marks
    }

    /// Whether no mark is in memory.
    pub fn is_empty(&self) -> bool {
        self.marks == 0
    }

    /// What comes of a decision; a mark is remembered.
    ///
    /// The id depends on the decision and on what came of it, on nothing else: the same decision, given again, has the same
    /// id and makes the same mark. (Between two processes it may come out as `recorded` in one and, once the mark is
    /// restored without its event, as `debounced` in the other. That is two events and still one mark.)
    pub fn judge(&mut self, decision: Decision, schedule: &Schedule, policy: &DecisionPolicy) -> AttendanceEvent {
        let event = self.propose(decision, schedule, policy);
        self.keep(&event);
        event
    }

    /// The same, remembering nothing: for an event that may yet fail to be kept. Until then nobody else is debounced for it;
    /// who is judged meanwhile may make the same mark a second time, and the database keeps one of them.
    pub fn propose(&self, decision: Decision, schedule: &Schedule, policy: &DecisionPolicy) -> AttendanceEvent {
        let (kind, mark, repeats) = match decide(&decision.outcome, &decision.liveness, policy) {
            Verdict::Mark(person) => match self.mark(person, &decision, schedule) {
                Ok(mark) => (kind_of(mark.status), Some(mark), None),
                Err(repeats) => (EventKind::Debounced, None, Some(repeats)),
            },
            Verdict::Ambiguous => (EventKind::Ambiguous, None, None),
            Verdict::Spoof => (EventKind::Spoof, None, None),
            Verdict::Unknown => (EventKind::Unknown, None, None),
        };
        AttendanceEvent { id: event_id(&decision, kind), kind, mark, repeats, decision }
    }

    /// The mark to be made, or the one that is enough.
    fn mark(&self, person: PersonId, decision: &Decision, schedule: &Schedule) -> Result<Mark, Repeat> {
        let at = decision.decided.captured;
        let camera = &decision.key.camera;
        let made = self.made.get(&person).map_or(&[][..], Vec::as_slice);
        let in_session = |id: SessionId| made.iter().find(|m| m.session == id);
        let repeat = |m: &MadeMark, rule| Err(Repeat { event: m.event, session: m.session, rule });

        let occasions = schedule.occasions(&decision.tuning.room, at);
        // The same decision again: later ones may have changed where it would belong now.
        let again = made.iter().find(|m| m.event == event_id(decision, kind_of(m.status)));
        if let Some((made, session)) = again.and_then(|m| Some((m, occasions.session(m.session)?))) {
            return Ok(Mark { person, session: session.clone(), status: made.status });
        }
        let occasion = occasions.of(person, decision.tuning.direction, |id| in_session(id).is_some());
        if let Some(made) = in_session(occasion.session.id) {
            return repeat(made, RepeatRule::Session);
        }

        // The session is that of the deciding shot; whether they were late is told by when they were first seen.
        let status = occasion.status(person, decision.first_usable.captured.min(at));
        let close = |m: &MadeMark| m.camera == *camera && (at - m.at).abs() < self.debounce;
        // Who waits at the door until it may be entered must not miss the session for the mark that the waiting made.
        let outranked =
            |m: &MadeMark| kind_of(status) == EventKind::Recorded && kind_of(m.status) != EventKind::Recorded;
        if let Some(made) = made.iter().find(|m| close(m) && !outranked(m)) {
            return repeat(made, RepeatRule::Debounce);
        }

        Ok(Mark { person, session: occasion.session, status })
    }

    /// Remembers the mark of an event, if it makes one.
    pub fn keep(&mut self, event: &AttendanceEvent) {
        let Some(mark) = &event.mark else { return };
        let at = event.decision.decided.captured;
        self.remember(MadeMark {
            person: mark.person,
            session: mark.session.id,
            ends_at: mark.session.ends_at,
            status: mark.status,
            camera: event.decision.key.camera.clone(),
            at,
            event: event.id,
        });
        self.sweep(at);
    }

    /// Takes back the mark of an event that will never be kept: whoever it was about is marked when they are seen again.
    pub fn forget(&mut self, person: PersonId, event: EventId) {
        if let Some(made) = self.made.get_mut(&person) {
            let before = made.len();
            made.retain(|mark| mark.event != event);
            self.marks -= before - made.len();
        }
    }

    fn remember(&mut self, mark: MadeMark) {
        let made = self.made.entry(mark.person).or_default();
        if made.iter().all(|m| m.session != mark.session) {
            made.push(mark);
            self.marks += 1;
        }
    }

    /// Forgets, once there are twice as many marks as after the last sweep, what lies more than [`Self::RETENTION`] from
    /// `now` — on either side, since a camera's clock that ran ahead leaves marks that would never grow old. By count and not
    /// by time, so that single decisions with a wrong time do not sweep, and the cost stays constant a mark.
    fn sweep(&mut self, now: WallTime) {
        if self.marks < self.sweep_at {
            return;
        }
        self.made.retain(|_, made| {
            made.retain(|m| now - m.ends_at <= Self::RETENTION && m.at - now <= Self::RETENTION);
            !made.is_empty()
        });
        self.marks = self.made.values().map(Vec::len).sum();
        self.sweep_at = (self.marks * 2).max(Self::SWEEP_FLOOR);
    }
}

/// The kind of event that makes a mark.
fn kind_of(status: MarkStatus) -> EventKind {
    match status {
        MarkStatus::Present | MarkStatus::Late => EventKind::Recorded,
        MarkStatus::OffRoster => EventKind::OffRoster,
        MarkStatus::OffSchedule => EventKind::OffSchedule,
    }
}

/// A track has at most one decision at a time, so its media time tells the track's decisions apart without any memory.
fn event_id(decision: &Decision, kind: EventKind) -> EventId {
    // Milliseconds wrap after 49 days, longer than any track lasts.
    let occurrence = decision.decided.media.as_millis() as u32;
    EventId::derive(&decision.key, decision.track, decision.outcome.person(), kind.as_str(), occurrence)
}
