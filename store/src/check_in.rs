//! What a check-in has to know of events and marks that are there.

use rollcall_pipeline::{PersonId, RoomId, SessionId, WallTime};
use uuid::Uuid;

use crate::change::Entry;
use crate::events::write;
use crate::marks::mark;
use crate::row::one;
use crate::{Change, EventRecord, MarkRow, Store, StoreError};

impl Change<'_> {
    /// Writes what came of a check-in. Whether it made a mark; of an event that is in the log nothing is written.
    ///
    /// # Errors
    /// When the database is away.
    pub async fn check_in(&mut self, event: &EventRecord) -> Result<bool, StoreError> {
        // The same picture is the same event, at whatever time it comes: no key of the log says so.
        let there = sqlx::query_scalar("select exists (select from events where id = $1)").bind(event.id);
        if there.fetch_one(self.connection()).await? {
            return Ok(false);
        }
        let marked = write(self.connection(), std::slice::from_ref(event)).await?.marked.contains(&event.id);
        // As it was written: nobody is named who was erased meanwhile.
        let person: Option<Uuid> = sqlx::query_scalar("select person_id from events where id = $1")
            .bind(event.id)
            .fetch_one(self.connection())
            .await?;
        let session = event.mark.as_ref().map(|mark| mark.session.id);
        let after = serde_json::json!({ "kind": event.kind, "liveness": event.liveness, "room_id": event.room,
            "session_id": session, "marked": marked });
        self.audit(Entry {
            action: "attendance.mark",
            object_kind: "event",
            object_id: event.id.to_string(),
            person: person.map(PersonId),
            after: Some(after),
            ..Entry::default()
        })
        .await?;
        Ok(marked)
    }
}

impl Store {
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
        one(row, mark)
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
        one(row, mark)
    }
}
