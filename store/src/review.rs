//! The review queue: decisions that a human should take. Items are written with their events, see `events`.

use rollcall_pipeline::{CameraId, EventId, RoomId, WallTime};
use sqlx::Row;
use sqlx::postgres::PgRow;
use sqlx::types::Json;
use uuid::Uuid;

use crate::seal::Bound;
use crate::{CandidateRecord, Store, StoreError};

/// An item of the queue.
#[derive(Clone, Debug, PartialEq)]
pub struct ReviewRow {
    /// The event it is about.
    pub event: EventId,
    /// `unknown`, `ambiguous` or `spoof`.
    pub kind: String,
    /// Where.
    pub room: RoomId,
    /// Which camera.
    pub camera: CameraId,
    /// When.
    pub captured_at: WallTime,
    /// The best two people.
    pub candidates: Vec<CandidateRecord>,
    /// `open`, `confirmed`, `assigned` or `rejected`.
    pub status: String,
    /// There is a picture of the face.
    pub has_crop: bool,
}

/// Where the crop of an event belongs.
pub(crate) fn crop_place(event: Uuid) -> Bound {
    Bound::new("crop", &[event.as_bytes()])
}

impl Store {
    /// The open items, oldest first, at most `limit`.
    ///
    /// # Errors
    /// When the database is away.
    pub async fn open_reviews(&self, limit: u32) -> Result<Vec<ReviewRow>, StoreError> {
        let rows = sqlx::query(
            "select event_id, kind, room, camera, captured_at, candidates, status, sealed_crop is not null as has_crop
             from review_items where status = 'open' order by captured_at, event_id limit $1",
        )
        .bind(i64::from(limit))
        .fetch_all(&self.pool)
        .await?;
        let read = |row: &PgRow| -> Result<ReviewRow, sqlx::Error> {
            Ok(ReviewRow {
                event: EventId(row.try_get("event_id")?),
                kind: row.try_get("kind")?,
                room: RoomId::new(row.try_get::<String, _>("room")?),
                camera: CameraId::new(row.try_get::<String, _>("camera")?),
                captured_at: row.try_get("captured_at")?,
                candidates: row.try_get::<Json<_>, _>("candidates")?.0,
                status: row.try_get("status")?,
                has_crop: row.try_get("has_crop")?,
            })
        };
        Ok(rows.iter().map(read).collect::<Result<_, _>>()?)
    }

    /// The face of an item as a JPEG; `None` if there is no such item or no picture (any more).
    ///
    /// # Errors
    /// When the key is another, the picture was altered, or the database is away.
    pub async fn review_crop(&self, event: EventId) -> Result<Option<Vec<u8>>, StoreError> {
        let sealed: Option<Option<Vec<u8>>> =
            sqlx::query_scalar("select sealed_crop from review_items where event_id = $1")
                .bind(event.0)
                .fetch_optional(&self.pool)
                .await?;
        let opened = sealed.flatten().map(|sealed| self.sealer.open(&crop_place(event.0), &sealed));
        Ok(opened.transpose()?)
    }
}
