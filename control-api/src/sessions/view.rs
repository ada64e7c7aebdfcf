//! Sessions and rosters as they are shown.

use chrono::{DateTime, NaiveDate, Utc};
use rollcall_store::{RosterRow, SessionDetail};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;
use uuid::Uuid;

/// Where a session is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Phase {
    /// It comes.
    Upcoming,
    /// It was opened, or has begun.
    On,
    /// It is over; its absences are not written yet.
    Over,
    /// It is over and its absences are written.
    Closed,
    /// It is not held.
    Cancelled,
}

/// A camera that did not see all of the time in which one could come, or whose pictures are not all judged yet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub(crate) struct WaitsFor {
    /// The camera.
    pub camera: String,
    /// Why, in plain words.
    pub reason: String,
    /// From when on it is not known what was before it.
    #[serde(default)]
    pub from: Option<DateTime<Utc>>,
    /// Until when; null: it still is not.
    #[serde(default)]
    pub to: Option<DateTime<Utc>>,
}

impl WaitsFor {
    /// As they are kept.
    pub(crate) fn all(json: Option<Value>) -> Vec<Self> {
        json.and_then(|json| serde_json::from_value(json).ok()).unwrap_or_default()
    }
}

/// A session.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub(crate) struct SessionView {
    /// Id.
    pub id: Uuid,
    /// `timetabled`, `day` (a room without a timetable) or `off_schedule`.
    pub kind: String,
    /// `file`, `timetable` or `one_off`.
    pub origin: String,
    /// What it is called: its own name or its course's.
    pub name: Option<String>,
    /// Where.
    pub room_id: String,
    /// The room's site.
    pub site_id: String,
    /// The room's zone.
    pub time_zone: String,
    /// The course.
    pub course_id: Option<Uuid>,
    /// The line of its timetable.
    pub entry_id: Option<Uuid>,
    /// Account of whoever teaches the course.
    pub teacher_id: Option<Uuid>,
    /// Account of whoever stands in for them.
    pub substitute_id: Option<Uuid>,
    /// `planned`, `open` (by hand), `closed` or `cancelled`.
    pub state: String,
    /// The same by the clock.
    pub phase: Phase,
    /// Start.
    pub starts_at: DateTime<Utc>,
    /// End, exclusive.
    pub ends_at: DateTime<Utc>,
    /// The room's date at the start.
    pub local_date: NaiveDate,
    /// How long before the start people may come, in seconds; null: as its course has it.
    pub early_s: Option<i32>,
    /// How long after the start people are not late, in seconds; null: as its course has it.
    pub grace_s: Option<i32>,
    /// How long after the end people may be seen leaving, in seconds; null: as its course has it.
    pub leave_s: Option<i32>,
    /// When it was opened by hand.
    pub opened_at: Option<DateTime<Utc>>,
    /// When it was closed by hand.
    pub closed_at: Option<DateTime<Utc>>,
    /// When somebody decided that its absences wait for no camera.
    pub released_at: Option<DateTime<Utc>>,
    /// When its absences were written.
    pub settled_at: Option<DateTime<Utc>>,
    /// What its absences wait for although it is over; of a closed one, what was not waited for any longer.
    pub waits_for: Vec<WaitsFor>,
    /// What somebody wrote about it.
    pub note: Option<String>,
    /// For If-Match.
    pub version: i64,
    /// How many are expected, or were when it closed; 0 also where everybody is welcome.
    pub expected: i64,
    /// How many count as present or late.
    pub attended: i64,
}

impl SessionView {
    /// As it is at a moment.
    pub(crate) fn of(session: SessionDetail, now: DateTime<Utc>) -> Self {
        let phase = phase(&session, now);
        let waits_for = WaitsFor::all(session.waits_for);
        Self {
            phase,
            waits_for,
            id: session.id,
            kind: session.kind,
            origin: session.origin,
            name: session.name.or(session.course_name),
            room_id: session.room_id,
            site_id: session.site_id,
            time_zone: session.time_zone,
            course_id: session.course_id,
            entry_id: session.entry_id,
            teacher_id: session.teacher_id,
            substitute_id: session.substitute_id,
            state: session.state,
            starts_at: session.starts_at,
            ends_at: session.ends_at,
            local_date: session.local_date,
            early_s: session.early_s,
            grace_s: session.grace_s,
            leave_s: session.leave_s,
            opened_at: session.opened_at,
            closed_at: session.closed_at,
            released_at: session.released_at,
            settled_at: session.settled_at,
            note: session.note,
            version: session.version,
            expected: session.expected,
            attended: session.attended,
        }
    }
}

/// Where it is in its life at a moment.
pub(super) fn phase(session: &SessionDetail, now: DateTime<Utc>) -> Phase {
    match session.state.as_str() {
        "cancelled" => Phase::Cancelled,
        "closed" => Phase::Closed,
        _ if session.closed_at.is_some() || session.ends_at <= now => Phase::Over,
        "open" => Phase::On,
        _ if session.starts_at <= now => Phase::On,
        _ => Phase::Upcoming,
    }
}

/// Somebody who is expected, or was seen.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub(crate) struct RosterView {
    /// Who.
    pub person_id: Uuid,
    /// Their name.
    pub name: String,
    /// Their number in another system.
    pub external_id: Option<String>,
    /// Whether they are expected.
    pub expected: bool,
    /// `present`, `late`, `absent`, `excused`, `off_roster`; null while there is nothing to count.
    pub status: Option<String>,
    /// `camera`, `closing` or `correction`.
    pub source: Option<String>,
    /// When they were first seen.
    pub arrived_at: Option<DateTime<Utc>>,
}

impl From<RosterRow> for RosterView {
    fn from(row: RosterRow) -> Self {
        let RosterRow { person_id, name, external_id, expected, status, source, arrived_at } = row;
        Self { person_id, name, external_id, expected, status, source, arrived_at }
    }
}
