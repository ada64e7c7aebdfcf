//! What goes to the sinks.

use crate::decision::Decision;
use crate::ids::{EventId, PersonId, SessionId};

/// What came of a decision. The words are those of the event log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum EventKind {
    /// A mark: present or late in the session that is on.
    Recorded,
    /// Marked before (in this session, or within the debounce window): counted, not written again.
    Debounced,
    /// Nobody who is enrolled.
    Unknown,
    /// Left for review.
    Ambiguous,
    /// A picture or a screen, or so it seems; left for review.
    Spoof,
    /// A mark: an enrolled person who is not on the roster of the session that is on.
    OffRoster,
    /// A mark: an enrolled person in a room that has a timetable, at a time when no session is on.
    OffSchedule,
}

impl EventKind {
    /// All kinds.
    pub const ALL: [Self; 7] = [
        Self::Recorded,
        Self::Debounced,
        Self::Unknown,
        Self::Ambiguous,
        Self::Spoof,
        Self::OffRoster,
        Self::OffSchedule,
    ];

    /// The word used in rows, events and metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Recorded => "recorded",
            Self::Debounced => "debounced",
            Self::Unknown => "unknown",
            Self::Ambiguous => "ambiguous",
            Self::Spoof => "spoof",
            Self::OffRoster => "off_roster",
            Self::OffSchedule => "off_schedule",
        }
    }
}

/// The status of a mark.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum MarkStatus {
    /// In time.
    Present,
    /// After the grace period.
    Late,
    /// Not expected in this session.
    OffRoster,
    /// No session is on.
    OffSchedule,
}

impl MarkStatus {
    /// The word used in rows.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Present => "present",
            Self::Late => "late",
            Self::OffRoster => "off_roster",
            Self::OffSchedule => "off_schedule",
        }
    }
}

/// A mark to be made: one person in one session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mark {
    /// Who.
    pub person: PersonId,
    /// In which session.
    pub session: SessionId,
    /// How.
    pub status: MarkStatus,
}

/// One line of the event log: a decision, and what the rules of attendance made of it.
#[derive(Clone, Debug)]
pub struct AttendanceEvent {
    /// The same for every delivery of the same event.
    pub id: EventId,
    /// What came of it.
    pub kind: EventKind,
    /// The mark, where this event makes one.
    pub mark: Option<Mark>,
    /// The decision.
    pub decision: Decision,
}

impl AttendanceEvent {
    /// The person named, if one is.
    pub fn person(&self) -> Option<PersonId> {
        match self.decision.outcome {
            crate::MatchOutcome::Identified(m) => Some(m.person),
            _ => None,
        }
    }
}
