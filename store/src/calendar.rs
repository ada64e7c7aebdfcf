//! Sessions as people look at them, and what people do with them. Rows are made ahead by `planning`, by hand, or by the
//! first mark; see `events`.

use chrono::NaiveDate;
use rollcall_pipeline::WallTime;
use sqlx::{Postgres, QueryBuilder};
use uuid::Uuid;

use crate::change::Entry;
use crate::courses::Noted;
use crate::feed::hold_feed;
use crate::row::{all, and_one, one, row};
use crate::{Change, Scope, Store, StoreError};

row! {
    /// A session with what belongs to it.
    pub struct SessionDetail {
        /// Id.
        pub id: Uuid,
        /// `timetabled`, `day` or `off_schedule`.
        pub kind: String,
        /// `file`, `timetable` or `one_off`.
        pub origin: String,
        /// Its own name; of a course's session that of the course.
        pub name: Option<String>,
        /// Where.
        pub room_id: String,
        /// The room's site.
        pub site_id: String,
        /// The room's zone.
        pub time_zone: String,
        /// The course.
        pub course_id: Option<Uuid>,
        /// The course's name.
        pub course_name: Option<String>,
        /// The line of the timetable.
        pub entry_id: Option<Uuid>,
        /// Whoever teaches the course.
        pub teacher_id: Option<Uuid>,
        /// Whoever stands in for them.
        pub substitute_id: Option<Uuid>,
        /// `planned`, `open`, `closed` or `cancelled`.
        pub state: String,
        /// Start.
        pub starts_at: WallTime,
        /// End, exclusive.
        pub ends_at: WallTime,
        /// The room's date at the start.
        pub local_date: NaiveDate,
        /// Rules of this session alone, in seconds.
        pub early_s: Option<i32>,
        /// Grace period.
        pub grace_s: Option<i32>,
        /// Leave window.
        pub leave_s: Option<i32>,
        /// When it was opened by hand.
        pub opened_at: Option<WallTime>,
        /// When it was closed by hand.
        pub closed_at: Option<WallTime>,
        /// When somebody decided that its absences wait for no camera.
        pub released_at: Option<WallTime>,
        /// When its absences were written.
        pub settled_at: Option<WallTime>,
        /// What its absences wait for, or did not wait for any longer.
        pub waits_for: Option<serde_json::Value>,
        /// What somebody wrote about it.
        pub note: Option<String>,
        /// Whether its time or room was set by hand.
        pub fixed: bool,
        /// Grows with each change.
        pub version: i64,
        /// How many are expected.
        pub expected: i64,
        /// How many of whoever was seen count as present or late.
        pub attended: i64,
    }
}

row! {
    /// Somebody who is expected in a session, or has a row in its register.
    pub struct RosterRow {
        /// Who.
        pub person_id: Uuid,
        /// Their name.
        pub name: String,
        /// Their number in another system.
        pub external_id: Option<String>,
        /// Whether they are expected.
        pub expected: bool,
        /// What counts; null while there is nothing to count.
        pub status: Option<String>,
        /// `camera`, `closing` or `correction`.
        pub source: Option<String>,
        /// When they were first seen.
        pub arrived_at: Option<WallTime>,
    }
}

/// Which sessions.
#[derive(Clone, Debug, Default)]
pub struct SessionFilter {
    /// Of this site.
    pub site: Option<String>,
    /// In this room.
    pub room: Option<String>,
    /// Of this course.
    pub course: Option<Uuid>,
    /// On this local date.
    pub date: Option<NaiveDate>,
    /// That end after this.
    pub from: Option<WallTime>,
    /// That begin before this.
    pub to: Option<WallTime>,
    /// In this state.
    pub state: Option<String>,
    /// Of this kind.
    pub kind: Option<String>,
    /// Whose absences wait, or do not.
    pub waiting: Option<bool>,
}

const SESSION: &str =
    "s.id, s.kind, s.origin, s.name, s.room_id, r.site_id, coalesce(r.time_zone, i.time_zone) as time_zone,
    s.course_id, c.name as course_name, s.entry_id, c.teacher_id, s.substitute_id, s.state, s.starts_at, s.ends_at,
    s.local_date, s.early_s, s.grace_s, s.leave_s, s.opened_at, s.closed_at, s.released_at, s.settled_at, s.waits_for,
    s.note, s.fixed, s.version, (select count(*) from expected_people e where e.session_id = s.id) as expected,
    (select count(*) from register g where g.session_id = s.id and g.status in ('present', 'late')) as attended
    from sessions s join rooms r on r.id = s.room_id join sites i on i.id = r.site_id
    left join courses c on c.id = s.course_id";
/// As in the index `sessions_waiting`.
const WAITING: &str =
    "s.waits_for is not null and s.settled_at is null and s.released_at is null and s.state in ('planned', 'open')";
const IN_SCOPE: &str = "($1::text[] is null or r.site_id = any($1) or r.id = any($2))";

impl Store {
    /// The sessions in `scope`, by start.
    ///
    /// # Errors
    /// When the database is away.
    pub async fn sessions(
        &self,
        scope: &Scope,
        filter: &SessionFilter,
        after: Option<&(WallTime, Uuid)>,
        limit: u32,
    ) -> Result<Vec<SessionDetail>, StoreError> {
        // The conditions that are there, and no others: so the plan that is kept can use the indexes.
        let mut q = QueryBuilder::<Postgres>::new(format!("select {SESSION} where true"));
        if let (Some(sites), Some(rooms)) = scope.places() {
            q.push(" and (r.site_id = any(").push_bind(sites).push(") or r.id = any(").push_bind(rooms).push("))");
        }
        let texts = [("r.site_id", &filter.site), ("s.room_id", &filter.room), ("s.state", &filter.state)];
        for (column, value) in texts.into_iter().chain([("s.kind", &filter.kind)]) {
            if let Some(value) = value {
                q.push(format_args!(" and {column} = ")).push_bind(value);
            }
        }
        if let Some(waiting) = filter.waiting {
            let not = if waiting { "" } else { "not " };
            q.push(format_args!(" and {not}({WAITING})"));
        }
        if let Some(course) = filter.course {
            q.push(" and s.course_id = ").push_bind(course);
        }
        if let Some(date) = filter.date {
            q.push(" and s.local_date = ").push_bind(date);
        }
        if let Some(from) = filter.from {
            q.push(" and s.ends_at > ").push_bind(from);
        }
        if let Some(to) = filter.to {
            q.push(" and s.starts_at < ").push_bind(to);
        }
        if let Some((at, id)) = after {
            q.push(" and (s.starts_at, s.id) > (").push_bind(*at).push(", ").push_bind(*id).push(")");
        }
        // Written out and not bound: a plan for whatever limit is one for many rows.
        q.push(" order by s.starts_at, s.id limit ").push(and_one(limit));
        let rows = q.build().fetch_all(&self.pool).await?;
        all(&rows, SessionDetail::read)
    }

    /// One session.
    ///
    /// # Errors
    /// When the database is away.
    pub async fn session(&self, scope: &Scope, id: Uuid) -> Result<Option<SessionDetail>, StoreError> {
        let (sites, rooms) = scope.places();
        let row = sqlx::query(sqlx::AssertSqlSafe(format!("select {SESSION} where {IN_SCOPE} and s.id = $3")))
            .bind(sites)
            .bind(rooms)
            .bind(id)
            .fetch_optional(&self.pool)
            .await?;
        one(row, SessionDetail::read)
    }

    /// The session that is on in a room: one that was opened or has begun, of several the one that began last; a day only
    /// where there is no other.
    ///
    /// # Errors
    /// When the database is away.
    pub async fn session_on(&self, room: &str, now: WallTime) -> Result<Option<SessionDetail>, StoreError> {
        let row = sqlx::query(sqlx::AssertSqlSafe(format!(
            "select {SESSION} where s.room_id = $1 and s.kind in ('timetabled', 'day') and s.state in ('planned', 'open')
               and (s.starts_at <= $2 or s.opened_at <= $2) and s.ends_at > $2 and s.closed_at is null
             order by s.kind = 'day', s.starts_at desc, s.id limit 1"
        )))
        .bind(room)
        .bind(now)
        .fetch_optional(&self.pool)
        .await?;
        one(row, SessionDetail::read)
    }

    /// The session that comes next in a room.
    ///
    /// # Errors
    /// When the database is away.
    pub async fn session_next(&self, room: &str, now: WallTime) -> Result<Option<SessionDetail>, StoreError> {
        let row = sqlx::query(sqlx::AssertSqlSafe(format!(
            "select {SESSION} where s.room_id = $1 and s.kind = 'timetabled' and s.state = 'planned' and s.starts_at > $2
             order by s.starts_at, s.id limit 1"
        )))
        .bind(room)
        .bind(now)
        .fetch_optional(&self.pool)
        .await?;
        one(row, SessionDetail::read)
    }

    /// Who is expected in a session or has a row in its register, by name.
    ///
    /// # Errors
    /// When the database is away.
    pub async fn roster(
        &self,
        session: Uuid,
        after: Option<&(String, Uuid)>,
        limit: u32,
    ) -> Result<Vec<RosterRow>, StoreError> {
        let rows = sqlx::query(
            "select p.id as person_id, p.name, p.external_id, e.person_id is not null as expected, g.status, g.source,
                    g.arrived_at
             from (select person_id from expected_people where session_id = $1) e
             full join (select * from register where session_id = $1 and status <> 'void') g on g.person_id = e.person_id
             join people p on p.id = coalesce(e.person_id, g.person_id)
             where $2::text is null or (p.name, p.id) > ($2, $3)
             order by p.name, p.id limit $4",
        )
        .bind(session)
        .bind(after.map(|(name, _)| name))
        .bind(after.map(|(_, id)| *id))
        .bind(and_one(limit))
        .fetch_all(&self.pool)
        .await?;
        all(&rows, RosterRow::read)
    }
}

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
        let session = self.session_now(before.id).await?;
        self.audit(Entry::changed("session.update", "session", session.id, before, &session)).await?;
        Ok(session)
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
        let session = self.session_now(before.id).await?;
        self.audit(Entry::changed("session.open", "session", session.id, before, &session)).await?;
        Ok(session)
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
        let session = self.session_now(before.id).await?;
        self.audit(Entry::changed("session.close", "session", session.id, before, &session)).await?;
        Ok(session)
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
        let session = self.session_now(before.id).await?;
        self.audit(Entry::changed("session.release", "session", session.id, before, &session)).await?;
        Ok(session)
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
        let session = self.session_now(before.id).await?;
        self.audit(Entry::changed("session.cancel", "session", session.id, before, &session)).await?;
        Ok(session)
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
        let session = self.session_now(before.id).await?;
        self.audit(Entry::changed("session.restore", "session", session.id, before, &session)).await?;
        Ok(session)
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
