//! How each camera did, minute by minute: whether there were pictures, how many faces, and why faces were left out. For
//! whoever asks why somebody was not recorded.

use rollcall_pipeline::WallTime;

use crate::row::{all, row};
use crate::{Store, StoreError};

row! {
    /// A minute of a camera.
    pub struct CameraMinute {
        /// Which.
        pub camera: String,
        /// The room it looks into.
        pub room: String,
        /// Its start.
        pub minute: WallTime,
        /// Frames that the lane took in.
        pub frames: i64,
        /// Faces found.
        pub faces: i64,
        /// Faces that were left out, by reason: `{"too_small": 3}`.
        pub refused: serde_json::Value,
        /// How long there were pictures.
        pub up_ms: i64,
        /// Why there were none, the last reason.
        pub down_reason: Option<String>,
    }
}

impl Store {
    /// Writes minutes down; what is there already is added to.
    ///
    /// # Errors
    /// When the database is away.
    pub async fn add_camera_minutes(&self, minutes: &[CameraMinute]) -> Result<(), StoreError> {
        fn column<T>(rows: &[CameraMinute], value: impl Fn(&CameraMinute) -> T) -> Vec<T> {
            rows.iter().map(value).collect()
        }
        if minutes.is_empty() {
            return Ok(());
        }
        sqlx::query(
            "insert into camera_minutes as m (camera, room, minute, frames, faces, refused, up_ms, down_reason)
             select * from unnest($1::text[], $2::text[], $3::timestamptz[], $4::bigint[], $5::bigint[], $6::jsonb[],
                 $7::bigint[], $8::text[])
             on conflict (camera, minute) do update set
                 room = excluded.room, frames = m.frames + excluded.frames, faces = m.faces + excluded.faces,
                 refused = (select coalesce(jsonb_object_agg(reason, n), '{}') from (
                                select key as reason, sum(value::bigint) as n
                                from (select * from jsonb_each_text(m.refused)
                                      union all select * from jsonb_each_text(excluded.refused)) both_of
                                group by key) sums),
                 up_ms = least(m.up_ms + excluded.up_ms, 60000),
                 down_reason = coalesce(excluded.down_reason, m.down_reason)",
        )
        .bind(column(minutes, |m| m.camera.clone()))
        .bind(column(minutes, |m| m.room.clone()))
        .bind(column(minutes, |m| m.minute))
        .bind(column(minutes, |m| m.frames))
        .bind(column(minutes, |m| m.faces))
        .bind(column(minutes, |m| m.refused.clone()))
        .bind(column(minutes, |m| m.up_ms))
        .bind(column(minutes, |m| m.down_reason.clone()))
        .execute(&self.pool)
        .await?;
        Ok(())
    }

    /// The minutes of a room's cameras that touch the time between two moments, by camera.
    ///
    /// # Errors
    /// When the database is away.
    pub async fn camera_minutes(
        &self,
        room: &str,
        from: WallTime,
        to: WallTime,
    ) -> Result<Vec<CameraMinute>, StoreError> {
        let rows = sqlx::query(
            "select camera, room, minute, frames, faces, refused, up_ms, down_reason from camera_minutes
             where room = $1 and minute > $2 - interval '1 minute' and minute < $3 order by camera, minute limit 20000",
        )
        .bind(room)
        .bind(from)
        .bind(to)
        .fetch_all(&self.pool)
        .await?;
        all(&rows, CameraMinute::read)
    }
}
