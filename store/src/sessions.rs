//! What people do with sessions: hold one once, open, close, move, cancel and restore it.

use rollcall_pipeline::WallTime;
use uuid::Uuid;

use crate::calendar::{IN_SCOPE, SESSION};
use crate::change::Entry;
use crate::courses::Noted;
use crate::feed::hold_feed;
use crate::row::one;
use crate::{Change, Scope, SessionDetail, StoreError};

impl Change<'_> {
    /// A session, until the end of the change nobody else's.
    ///
    /// # Errors
    /// When the database is away.
    pub async fn lock_session(&mut self, scope: &Scope, id: Uuid) -> Result<Option<SessionDetail>, StoreError> {
        let (sites, rooms) = scope.places();
        hold_feed(self.connection()).await?;
        let sql = format!("select {SESSION} where {IN_SCOPE} and s.id = $3 for update of s");
        let row = sqlx::query(sqlx::AssertSqlSafe(sql))
            .bind(sites)
            .bind(rooms)
            .bind(id)
            .fetch_optional(self.connection())
            .await?;
        one(row, SessionDetail::read)
    }

    async fn session_now(&mut self, id: Uuid) -> Result<SessionDetail, StoreError> {
        let row = sqlx::query(sqlx::AssertSqlSafe(format!("select {SESSION} where s.id = $1")))
            .bind(id)
            .fetch_one(self.connection())
            .await?;
        Ok(SessionDetail::read(&row)?)
    }

    /// A session that was changed, as it is now; what was done is written down.
    async fn session_changed(&mut self, action: &str, before: &SessionDetail) -> Result<SessionDetail, StoreError> {
        let session = self.session_now(before.id).await?;
        self.audit(Entry::changed(action, "session", session.id, before, &session)).await?;
        Ok(session)
    }

    /// Whether anybody has, or had, a row in the register of a session.
    ///
    /// # Errors
    /// When the database is away.
    pub async fn is_marked(&mut self, session: Uuid) -> Result<bool, StoreError> {
        let sql = "select exists (select from register where session_id = $1)
                       or exists (select from corrections where session_id = $1)";
        Ok(sqlx::query_scalar(sql).bind(session).fetch_one(self.connection()).await?)
    }

    /// Makes a session by hand. Of `session` counts what a one-off session can have. Without course and people everybody
    /// is welcome.
    ///
    /// # Errors
    /// When there is no such room, course or person, or the database is away.
    pub async fn add_session(&mut self, session: &SessionDetail, people: &[Uuid]) -> Result<SessionDetail, StoreError> {
        hold_feed(self.connection()).await?;
        sqlx::query(
            "insert into sessions (id, room_id, kind, origin, starts_at, ends_at, local_date, name, course_id,
                 substitute_id, early_s, grace_s, leave_s, note, fixed)
             values ($1, $2, 'timetabled', 'one_off', $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, true)",
        )
        .bind(session.id)
        .bind(&session.room_id)
        .bind(session.starts_at)
        .bind(session.ends_at)
        .bind(session.local_date)
        .bind(&session.name)
        .bind(session.course_id)
        .bind(session.substitute_id)
        .bind(session.early_s)
        .bind(session.grace_s)
        .bind(session.leave_s)
        .bind(&session.note)
        .execute(self.connection())
        .await?;
        self.put_session_people(session.id, people).await?;
        let session = self.session_now(session.id).await?;
        self.audit(Entry::created("session.create", "session", session.id, &session)).await?;
        Ok(session)
    }

    /// These people and nobody else are expected in a session; nobody: whoever its course expects.
    ///
    /// # Errors
    /// When somebody is not there (any more), or the database is away.
    pub async fn put_session_people(&mut self, session: Uuid, people: &[Uuid]) -> Result<(), StoreError> {
        let removed: Vec<Uuid> = sqlx::query_scalar(
            "delete from session_people where session_id = $1 and person_id <> all($2) returning person_id",
        )
        .bind(session)
        .bind(people)
        .fetch_all(self.connection())
        .await?;
        let added: Vec<Uuid> = sqlx::query_scalar(
            "insert into session_people (session_id, person_id) select $1, p from unnest($2::uuid[]) as n (p)
             on conflict do nothing returning person_id",
        )
        .bind(session)
        .bind(people)
        .fetch_all(self.connection())
        .await?;
        sqlx::query("update sessions set listed = $2 where id = $1")
            .bind(session)
            .bind(!people.is_empty())
            .execute(self.connection())
            .await?;
        let nothing = Noted::new();
        self.audit_people("session_person.create", "session", session, &added, &nothing, &nothing).await?;
        self.audit_people("session_person.delete", "session", session, &removed, &nothing, &nothing).await
    }

    /// Changes name, room, time, substitute, rules and note of a locked session.
    ///
    /// # Errors
    /// When there is no such room, or the database is away.
    pub async fn replace_session(
        &mut self,
        before: &SessionDetail,
        after: &SessionDetail,
    ) -> Result<SessionDetail, StoreError> {
        sqlx::query(
            "update sessions set name = $2, room_id = $3, starts_at = $4, ends_at = $5, local_date = $6, substitute_id = $7,
                 early_s = $8, grace_s = $9, leave_s = $10, note = $11, fixed = $12, version = version + 1,
                 released_at = case when (room_id, starts_at, ends_at) = ($3, $4, $5) then released_at end,
                 waits_for = case when settled_at is not null or (room_id, starts_at, ends_at) = ($3, $4, $5) then waits_for end
             where id = $1",
        )
        .bind(before.id)
        .bind(&after.name)
        .bind(&after.room_id)
        .bind(after.starts_at)
        .bind(after.ends_at)
        .bind(after.local_date)
        .bind(after.substitute_id)
        .bind(after.early_s)
        .bind(after.grace_s)
        .bind(after.leave_s)
        .bind(&after.note)
        .bind(after.fixed)
        .execute(self.connection())
        .await?;
        self.session_changed("session.update", before).await
    }

    /// Opens a locked session: people may come from now on.
    ///
    /// # Errors
    /// When the database is away.
    pub async fn open_session(&mut self, before: &SessionDetail, now: WallTime) -> Result<SessionDetail, StoreError> {
        sqlx::query("update sessions set state = 'open', opened_at = $2, version = version + 1 where id = $1")
            .bind(before.id)
            .bind(now)
            .execute(self.connection())
            .await?;
        self.session_changed("session.open", before).await
    }

    /// Closes a locked session: it ends now. Its absences are written when the cameras have delivered.
    ///
    /// # Errors
    /// When the database is away.
    pub async fn close_session(&mut self, before: &SessionDetail, now: WallTime) -> Result<SessionDetail, StoreError> {
        sqlx::query("update sessions set closed_at = $2, version = version + 1 where id = $1")
            .bind(before.id)
            .bind(now)
            .execute(self.connection())
            .await?;
        self.session_changed("session.close", before).await
    }

    /// Writes the absences of a locked session, once it is over, without waiting for cameras.
    ///
    /// # Errors
    /// When the database is away.
    pub async fn release_session(
        &mut self,
        before: &SessionDetail,
        now: WallTime,
    ) -> Result<SessionDetail, StoreError> {
        sqlx::query("update sessions set released_at = $2, version = version + 1 where id = $1")
            .bind(before.id)
            .bind(now)
            .execute(self.connection())
            .await?;
        self.session_changed("session.release", before).await
    }

    /// Cancels a locked session. Whoever has a row in its register is corrected to `void`: it counts nowhere.
    ///
    /// # Errors
    /// When the database is away.
    pub async fn cancel_session(&mut self, before: &SessionDetail, reason: &str) -> Result<SessionDetail, StoreError> {
        let by = self.actor().clone();
        // Whatever is voided from then on is voided by it, since nobody corrects a cancelled session. So it is the time now,
        // with the session in hand, and not that at which the transaction began.
        sqlx::query(
            "update sessions set state = 'cancelled', cancelled_at = clock_timestamp(), version = version + 1,
                 waits_for = case when settled_at is not null then waits_for end
             where id = $1",
        )
        .bind(before.id)
        .execute(self.connection())
        .await?;
        sqlx::query(
            "insert into corrections (id, session_id, person_id, kind, reason, status_before, by_id, by_name)
             select gen_random_uuid(), session_id, person_id, 'void', $2, status, $3, $4
             from register where session_id = $1 and status <> 'void' order by person_id",
        )
        .bind(before.id)
        .bind(reason)
        .bind(by.id)
        .bind(by.name)
        .execute(self.connection())
        .await?;
        self.session_changed("session.cancel", before).await
    }

    /// Restores a locked session that was cancelled. What the cancelling voided, then and since, counts again: by the
    /// correction that was in force, or else by what cameras saw.
    ///
    /// # Errors
    /// When the database is away.
    pub async fn restore_session(&mut self, before: &SessionDetail, reason: &str) -> Result<SessionDetail, StoreError> {
        let by = self.actor().clone();
        sqlx::query(
            "insert into corrections (id, session_id, person_id, kind, reason, status_before, by_id, by_name)
             select gen_random_uuid(), v.session_id, v.person_id,
                    coalesce((select c.kind from corrections c where c.session_id = v.session_id
                                  and c.person_id = v.person_id and c.ordinal < v.ordinal
                              order by c.ordinal desc limit 1), 'restore'),
                    $2, 'void', $3, $4
             from corrections v join sessions s on s.id = v.session_id
             where v.session_id = $1 and v.kind = 'void' and v.at >= s.cancelled_at order by v.person_id",
        )
        .bind(before.id)
        .bind(reason)
        .bind(by.id)
        .bind(by.name)
        .execute(self.connection())
        .await?;
        sqlx::query(
            "update sessions set state = case when opened_at is null then 'planned' else 'open' end, cancelled_at = null,
                 version = version + 1
             where id = $1",
        )
        .bind(before.id)
        .execute(self.connection())
        .await?;
        self.session_changed("session.restore", before).await
    }

    /// Removes a locked session in which nobody was marked.
    ///
    /// # Errors
    /// When somebody was, or the database is away.
    pub async fn remove_session(&mut self, session: &SessionDetail) -> Result<(), StoreError> {
        sqlx::query("delete from sessions where id = $1").bind(session.id).execute(self.connection()).await?;
        self.audit(Entry::removed("session.delete", "session", session.id, session)).await
    }
}
