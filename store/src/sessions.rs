//! Sessions: the rows to which marks belong. They are written with the events that need them, see `events`.

use chrono::NaiveDate;
use rollcall_pipeline::{RoomId, SessionId, WallTime};
use sqlx::Row;

use crate::{Store, StoreError};

/// A session that had at least one mark.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionRow {
    /// Id.
    pub id: SessionId,
    /// Where.
    pub room: RoomId,
    /// `timetabled`, `day` or `off_schedule`.
    pub kind: String,
    /// Start.
    pub starts_at: WallTime,
    /// End, exclusive.
    pub ends_at: WallTime,
    /// The room's date at the start.
    pub local_date: NaiveDate,
}

impl Store {
    /// The sessions of one local date, by start.
    ///
    /// # Errors
    /// When the database is away.
    pub async fn sessions_on(&self, date: NaiveDate) -> Result<Vec<SessionRow>, StoreError> {
        let rows = sqlx::query(
            "select id, room_id, kind, starts_at, ends_at, local_date from sessions where local_date = $1
             order by starts_at, room_id",
        )
        .bind(date)
        .fetch_all(&self.pool)
        .await?;
        let read = |row: &sqlx::postgres::PgRow| -> Result<SessionRow, sqlx::Error> {
            Ok(SessionRow {
                id: SessionId(row.try_get("id")?),
                room: RoomId::new(row.try_get::<String, _>("room_id")?),
                kind: row.try_get("kind")?,
                starts_at: row.try_get("starts_at")?,
                ends_at: row.try_get("ends_at")?,
                local_date: row.try_get("local_date")?,
            })
        };
        Ok(rows.iter().map(read).collect::<Result<_, _>>()?)
    }
}
