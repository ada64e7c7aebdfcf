//! Which session of the database a moment in a room belongs to, for what is decided about it afterwards.

use rollcall_pipeline::{PersonId, Session, WallTime};
use uuid::Uuid;

use crate::row::{one, row};
use crate::{Change, Store, StoreError};

row! {
    /// The session that a moment belongs to.
    pub struct SessionAt {
        /// Id.
        pub id: Uuid,
        /// Start.
        pub starts_at: WallTime,
        /// Its own grace period or its course's, in seconds.
        pub grace_s: Option<i32>,
        /// Whether it expects the person, or welcomes everybody.
        pub expects: bool,
    }
}

impl Store {
    /// The timetabled session in a room to which a moment belongs for a person: of those that are on or may be entered the
    /// first that expects them, else any. `early_s` is the early window of sessions that have none of their own.
    ///
    /// # Errors
    /// When the database is away.
    pub async fn session_at(
        &self,
        room: &str,
        at: WallTime,
        person: PersonId,
        early_s: i32,
    ) -> Result<Option<SessionAt>, StoreError> {
        let row = sqlx::query(
            "select s.id, s.starts_at, coalesce(s.grace_s, c.grace_s) as grace_s,
                    exists (select from expected_people e where e.session_id = s.id and e.person_id = $3)
                    or (s.course_id is null and not s.listed
                        and not exists (select from session_people p where p.session_id = s.id)) as expects
             from sessions s left join courses c on c.id = s.course_id
             where s.room_id = $1 and s.kind = 'timetabled' and s.state <> 'cancelled'
               and s.starts_at <= $2 + interval '12 hours' and s.ends_at > $2
               and (s.closed_at is null or s.closed_at > $2)
               and (s.starts_at - make_interval(secs => coalesce(s.early_s, c.early_s, $4)) <= $2 or s.opened_at <= $2)
             order by expects desc, s.starts_at <= $2 desc, abs(extract(epoch from s.starts_at - $2)), s.id
             limit 1",
        )
        .bind(room)
        .bind(at)
        .bind(person.0)
        .bind(early_s)
        .fetch_optional(&self.pool)
        .await?;
        one(row, SessionAt::read)
    }
}

impl Change<'_> {
    /// Makes a session's row if there is none yet, as a mark would.
    ///
    /// # Errors
    /// When the database is away.
    pub async fn ensure_session(&mut self, session: &Session) -> Result<(), StoreError> {
        sqlx::query("insert into rooms (id) values ($1) on conflict do nothing")
            .bind(session.room.as_str())
            .execute(self.connection())
            .await?;
        sqlx::query(
            "insert into sessions (id, room_id, kind, starts_at, ends_at, local_date) values ($1, $2, $3, $4, $5, $6)
             on conflict do nothing",
        )
        .bind(session.id.0)
        .bind(session.room.as_str())
        .bind(session.kind.as_str())
        .bind(session.starts_at)
        .bind(session.ends_at)
        .bind(session.local_date)
        .execute(self.connection())
        .await?;
        Ok(())
    }
}
