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

/// Somebody was seen.
#[derive(Clone, Copy, Debug)]
pub struct SeenAt<'a> {
    /// Where.
    pub room: &'a str,
    /// When.
    pub at: WallTime,
    /// Who it was.
    pub person: PersonId,
    /// By a camera that people pass on their way out.
    pub leaving: bool,
}

impl Store {
    /// The timetabled session to which it belongs that somebody was seen, chosen as a camera does: the first that expects
    /// them of those that are on or may be entered; else one that has just ended, if they are marked in it, or are expected
    /// and on their way out; else any that is on. Who is on their way out enters none. `early_s` and `leave_s` are the
    /// windows of sessions that have none of their own.
    ///
    /// # Errors
    /// When the database is away.
    pub async fn session_at(
        &self,
        seen: SeenAt<'_>,
        early_s: i32,
        leave_s: i32,
    ) -> Result<Option<SessionAt>, StoreError> {
        let row = sqlx::query(
            "with near as (
                 select s.id, s.starts_at, coalesce(s.grace_s, c.grace_s) as grace_s,
                        exists (select from expected_people e where e.session_id = s.id and e.person_id = $3)
                        or (s.course_id is null and not s.listed
                            and not exists (select from session_people p where p.session_id = s.id)) as expects,
                        least(s.ends_at, s.closed_at) > $2 as lasts,
                        exists (select from register g where g.session_id = s.id and g.person_id = $3
                                    and g.status in ('present', 'late', 'off_roster')) as marked
                 from sessions s left join courses c on c.id = s.course_id
                 where s.room_id = $1 and s.kind = 'timetabled' and s.state <> 'cancelled'
                   and s.starts_at <= $2 + interval '12 hours'
                   and least(s.ends_at, s.closed_at) + make_interval(secs => coalesce(s.leave_s, c.leave_s, $5)) > $2
                   and (s.starts_at <= $2 or (not $6 and (s.opened_at <= $2
                        or s.starts_at - make_interval(secs => coalesce(s.early_s, c.early_s, $4)) <= $2))))
             select id, starts_at, grace_s, expects from near
             where lasts or marked or (expects and $6)
             order by case when lasts and expects then 0 when not lasts then 1 else 2 end,
                      starts_at <= $2 desc, abs(extract(epoch from starts_at - $2)), id
             limit 1",
        )
        .bind(seen.room)
        .bind(seen.at)
        .bind(seen.person.0)
        .bind(early_s)
        .bind(leave_s)
        .bind(seen.leaving)
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
