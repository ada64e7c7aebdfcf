//! What a check-in has to know of events and marks that are there.

use rollcall_pipeline::{EventId, PersonId, RoomId, SessionId, WallTime};

use crate::marks::mark;
use crate::{MarkRow, Store, StoreError};

impl Store {
    /// Whether an event is in the log.
    ///
    /// # Errors
    /// When the database is away.
    pub async fn has_event(&self, id: EventId) -> Result<bool, StoreError> {
        let found = sqlx::query_scalar("select exists (select from events where id = $1)").bind(id.0);
        Ok(found.fetch_one(&self.pool).await?)
    }

    /// The mark of a person in a session.
    ///
    /// # Errors
    /// When the database is away.
    pub async fn mark_of(&self, person: PersonId, session: SessionId) -> Result<Option<MarkRow>, StoreError> {
        let row = sqlx::query(
            "select m.*, s.room_id, p.name
             from sessions s join marks m on m.session_id = s.id and m.session_date = s.local_date
             join people p on p.id = m.person_id
             where s.id = $1 and m.person_id = $2",
        )
        .bind(session.0)
        .bind(person.0)
        .fetch_optional(&self.pool)
        .await?;
        Ok(row.as_ref().map(mark).transpose()?)
    }

    /// The mark that a person's sighting in a room repeats: the nearest in time.
    ///
    /// # Errors
    /// When the database is away.
    pub async fn mark_near(
        &self,
        person: PersonId,
        room: &RoomId,
        at: WallTime,
    ) -> Result<Option<MarkRow>, StoreError> {
        let row = sqlx::query(
            "select m.*, s.room_id, p.name
             from marks m join sessions s on s.id = m.session_id join people p on p.id = m.person_id
             where m.person_id = $1 and s.room_id = $2
               and m.session_date between ($3 - interval '2 days')::date and ($3 + interval '2 days')::date
             order by abs(extract(epoch from m.last_seen_at - $3)), m.session_id limit 1",
        )
        .bind(person.0)
        .bind(room.as_str())
        .bind(at)
        .fetch_optional(&self.pool)
        .await?;
        Ok(row.as_ref().map(mark).transpose()?)
    }
}
