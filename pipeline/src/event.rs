//! What goes to the sinks.

use chrono::NaiveDate;

use crate::decision::Decision;
use crate::ids::{EventId, PersonId, RoomId, SessionId};
use crate::time::WallTime;

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

    /// The words of those that [name somebody](Self::names_somebody).
    pub fn naming() -> impl Iterator<Item = &'static str> {
        Self::ALL.into_iter().filter(|kind| kind.names_somebody()).map(Self::as_str)
    }

    /// Somebody was recognised: a mark, or the repeat of one.
    pub fn names_somebody(self) -> bool {
        match self {
            Self::Recorded | Self::Debounced | Self::OffRoster | Self::OffSchedule => true,
            Self::Unknown | Self::Ambiguous | Self::Spoof => false,
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
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Present, Self::Late, Self::OffRoster, Self::OffSchedule];

    /// The status of a word in rows.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.as_str() == word)
    }

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

/// Where a session comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SessionKind {
    /// An entry of the room's timetable.
    Timetabled,
    /// One local day of a room that has no timetable.
    Day,
    /// One local day of a room that has a timetable, outside of its entries.
    OffSchedule,
}

impl SessionKind {
    /// The word used in rows.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Timetabled => "timetabled",
            Self::Day => "day",
            Self::OffSchedule => "off_schedule",
        }
    }
}

/// A session in full. It travels with the mark, so that the sink can write the session's row without knowing timetables;
/// the same id always has the same room, kind and local date.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Session {
    /// Derived from room, local date, start and name of the timetable's entry: the same in every process.
    pub id: SessionId,
    /// Where.
    pub room: RoomId,
    /// Where it comes from.
    pub kind: SessionKind,
    /// Start, without the time in which people may come early.
    pub starts_at: WallTime,
    /// End, exclusive.
    pub ends_at: WallTime,
    /// The room's date at the start: a session that crosses midnight belongs to the day on which it began.
    pub local_date: NaiveDate,
}

/// A mark to be made: one person in one session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mark {
    /// Who.
    pub person: PersonId,
    /// In which session.
    pub session: Session,
    /// How.
    pub status: MarkStatus,
}

/// A mark that somebody has already, and for which they get no other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Repeat {
    /// The event that made it.
    pub event: EventId,
    /// Its session.
    pub session: SessionId,
    /// Why it is enough.
    pub rule: RepeatRule,
}

/// Why a mark is enough.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RepeatRule {
    /// It is in the same session.
    Session,
    /// It was made on the same camera, within the debounce window.
    Debounce,
}

impl RepeatRule {
    /// The word used in the log.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Session => "session",
            Self::Debounce => "debounce",
        }
    }
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
    /// The mark that it repeats, where it makes none for that.
    pub repeats: Option<Repeat>,
    /// The decision.
    pub decision: Decision,
}

impl AttendanceEvent {
    /// The person named, if one is.
    pub fn person(&self) -> Option<PersonId> {
        self.decision.outcome.person()
    }
}
