//! Attendance marks: the rows that count. They are written with their events, see `events`.

use rollcall_pipeline::{CameraId, EventId, PersonId, RoomId, SessionId, WallTime};
use sqlx::Row;
use sqlx::postgres::PgRow;

use crate::row::all;
use crate::{Store, StoreError};

/// A mark with its person's name.
#[derive(Clone, Debug, PartialEq)]
pub struct MarkRow {
    /// In which session.
    pub session: SessionId,
    /// In which room.
    pub room: RoomId,
    /// Who.
    pub person: PersonId,
    /// Their name.
    pub name: String,
    /// `present`, `late`, `off_roster` or `off_schedule`.
    pub status: String,
    /// When the deciding picture was taken.
    pub captured_at: WallTime,
    /// When the row was written.
    pub recorded_at: WallTime,
    /// The event that made it.
    pub event: EventId,
    /// Which camera.
    pub camera: CameraId,
    /// `entry`, `exit` or neither.
    pub direction: Option<String>,
    /// Similarity to the best template.
    pub similarity: f32,
    /// Distance to the second-best person.
    pub margin: f32,
    /// Shots that the decision rests on.
    pub shots: u32,
    /// `live`, `spoof` or `undecided`.
    pub liveness: String,
    /// How often the person was seen in this session.
    pub sightings: u32,
    /// First time.
    pub first_seen_at: WallTime,
    /// Last time.
    pub last_seen_at: WallTime,
    /// Last time at an exit.
    pub last_exit_at: Option<WallTime>,
}

/// What the rules of attendance need to know after a restart: who is marked where, until when the session goes on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RestoredMark {
    /// Who.
    pub person: PersonId,
    /// In which session.
    pub session: SessionId,
    /// End of the session.
    pub ends_at: WallTime,
    /// `present`, `late`, `off_roster` or `off_schedule`.
    pub status: String,
    /// Which camera.
    pub camera: CameraId,
    /// When the deciding picture was taken.
    pub captured_at: WallTime,
    /// The event that made it.
    pub event: EventId,
}

impl Store {
    /// The marks recorded at or after `since`, oldest first, at most `limit`.
    ///
    /// # Errors
    /// When the database is away.
    pub async fn marks_since(&self, since: WallTime, limit: u32) -> Result<Vec<MarkRow>, StoreError> {
        let rows = sqlx::query(
            "select m.*, s.room_id, p.name
             from marks m join sessions s on s.id = m.session_id join people p on p.id = m.person_id
             where m.recorded_at >= $1 order by m.recorded_at, m.event_id limit $2",
        )
        .bind(since)
        .bind(i64::from(limit))
        .fetch_all(&self.pool)
        .await?;
        all(&rows, mark)
    }

    /// The marks of sessions that end at or after `since`, for the state that a restart forgets.
    ///
    /// # Errors
    /// When the database is away.
    pub async fn marks_to_restore(&self, since: WallTime) -> Result<Vec<RestoredMark>, StoreError> {
        let rows = sqlx::query(
            "select m.person_id, m.session_id, s.ends_at, m.status, m.camera, m.captured_at, m.event_id
             from marks m join sessions s on s.id = m.session_id
             where s.ends_at >= $1 and m.session_date >= ($1 - interval '8 days')::date",
        )
        .bind(since)
        .fetch_all(&self.pool)
        .await?;
        let read = |row: &PgRow| -> Result<RestoredMark, sqlx::Error> {
            Ok(RestoredMark {
                person: PersonId(row.try_get("person_id")?),
                session: SessionId(row.try_get("session_id")?),
                ends_at: row.try_get("ends_at")?,
                status: row.try_get("status")?,
                camera: CameraId::new(row.try_get::<String, _>("camera")?),
                captured_at: row.try_get("captured_at")?,
                event: EventId(row.try_get("event_id")?),
            })
        };
        all(&rows, read)
    }
}

pub(crate) fn mark(row: &PgRow) -> Result<MarkRow, sqlx::Error> {
    Ok(MarkRow {
        session: SessionId(row.try_get("session_id")?),
        room: RoomId::new(row.try_get::<String, _>("room_id")?),
        person: PersonId(row.try_get("person_id")?),
        name: row.try_get("name")?,
        status: row.try_get("status")?,
        captured_at: row.try_get("captured_at")?,
        recorded_at: row.try_get("recorded_at")?,
        event: EventId(row.try_get("event_id")?),
        camera: CameraId::new(row.try_get::<String, _>("camera")?),
        direction: row.try_get("direction")?,
        similarity: row.try_get("similarity")?,
        margin: row.try_get("margin")?,
        shots: row.try_get::<i32, _>("shots")?.unsigned_abs(),
        liveness: row.try_get("liveness")?,
        sightings: row.try_get::<i32, _>("sightings")?.unsigned_abs(),
        first_seen_at: row.try_get("first_seen_at")?,
        last_seen_at: row.try_get("last_seen_at")?,
        last_exit_at: row.try_get("last_exit_at")?,
    })
}
