//! Reading the event log: each decision, and what was made of it.

use rollcall_pipeline::{CameraId, EventId, PersonId, RoomId, WallTime};
use sqlx::Row;
use sqlx::postgres::PgRow;
use sqlx::types::Json;

use crate::row::all;
use crate::{CandidateRecord, Store, StoreError};

/// A line of the event log.
#[derive(Clone, Debug, PartialEq)]
pub struct EventRow {
    /// Id.
    pub id: EventId,
    /// A word of `rollcall_pipeline::EventKind`.
    pub kind: String,
    /// The person named, if one is.
    pub person: Option<PersonId>,
    /// The best two people, best first.
    pub candidates: Vec<CandidateRecord>,
    /// Where.
    pub room: RoomId,
    /// Which camera.
    pub camera: CameraId,
    /// When the first usable face of the track was taken.
    pub first_usable_at: WallTime,
    /// When the deciding picture was taken.
    pub captured_at: WallTime,
    /// When the row was written.
    pub recorded_at: WallTime,
    /// Similarity to the best template.
    pub similarity: Option<f32>,
    /// Shots that the decision rests on.
    pub shots: u32,
    /// `live`, `spoof` or `undecided`.
    pub liveness: String,
    /// Mean score, where there is one.
    pub liveness_score: Option<f32>,
    /// The status of the mark that this event made, or would have made.
    pub mark_status: Option<String>,
}

impl Store {
    /// The events captured at or after `since`, in the order in which they were recorded, at most `limit`.
    ///
    /// # Errors
    /// When the database is away.
    pub async fn events_since(&self, since: WallTime, limit: u32) -> Result<Vec<EventRow>, StoreError> {
        let rows = sqlx::query(
            "select id, kind, person_id, candidates, room, camera, first_usable_at, captured_at, recorded_at, similarity,
                    shots, liveness, liveness_score, mark_status
             from events where captured_at >= $1 order by recorded_at, id limit $2",
        )
        .bind(since)
        .bind(i64::from(limit))
        .fetch_all(&self.pool)
        .await?;
        all(&rows, event)
    }
}

fn event(row: &PgRow) -> Result<EventRow, sqlx::Error> {
    Ok(EventRow {
        id: EventId(row.try_get("id")?),
        kind: row.try_get("kind")?,
        person: row.try_get::<Option<_>, _>("person_id")?.map(PersonId),
        candidates: row.try_get::<Json<_>, _>("candidates")?.0,
        room: RoomId::new(row.try_get::<String, _>("room")?),
        camera: CameraId::new(row.try_get::<String, _>("camera")?),
        first_usable_at: row.try_get("first_usable_at")?,
        captured_at: row.try_get("captured_at")?,
        recorded_at: row.try_get("recorded_at")?,
        similarity: row.try_get("similarity")?,
        shots: row.try_get::<i32, _>("shots")?.unsigned_abs(),
        liveness: row.try_get("liveness")?,
        liveness_score: row.try_get("liveness_score")?,
        mark_status: row.try_get("mark_status")?,
    })
}
