//! Closing sessions: how far the cameras have got, which sessions are over, and what was found in them.

use rollcall_pipeline::{PersonId, WallTime};
use sqlx::{Postgres, Transaction};
use uuid::Uuid;

use crate::feed::hold_feed;
use crate::row::{all, row};
use crate::{Store, StoreError};

row! {
    /// How far a camera has got.
    pub struct Delivery {
        /// Which.
        pub camera_id: String,
        /// The room it looks into.
        pub room_id: String,
        /// Everything that it saw before this is written. Null: nothing is known.
        pub delivered_until: Option<WallTime>,
        /// Why it does not deliver; null while it does.
        pub offline_reason: Option<String>,
        /// Since when.
        pub offline_since: Option<WallTime>,
        /// When this was written.
        pub updated_at: WallTime,
    }
}

row! {
    /// A time through which a camera had pictures, and all that it saw is written.
    pub struct CameraWatch {
        /// Which.
        pub camera_id: String,
        /// The room it looked into.
        pub room_id: String,
        /// Since when.
        pub since: WallTime,
        /// Until when; it may still go on.
        pub until: WallTime,
        /// Why there were no pictures before.
        pub away_for: Option<String>,
    }
}

row! {
    /// A session that is over. Rules in seconds, its own or its course's.
    pub struct EndedSession {
        /// Id.
        pub id: Uuid,
        /// Where.
        pub room_id: String,
        /// The room's zone.
        pub time_zone: String,
        /// Start.
        pub starts_at: WallTime,
        /// End as planned.
        pub ends_at: WallTime,
        /// When it was opened by hand.
        pub opened_at: Option<WallTime>,
        /// When it was closed by hand.
        pub closed_at: Option<WallTime>,
        /// When somebody decided that its absences wait for no camera.
        pub released_at: Option<WallTime>,
        /// Since when it was known that it would be held, if that is known.
        pub known_since: Option<WallTime>,
        /// `planned`, `open` or `closed`.
        pub state: String,
        /// What it waits for so far.
        pub waits_for: Option<serde_json::Value>,
        /// Early window.
        pub early_s: Option<i32>,
        /// Grace period.
        pub grace_s: Option<i32>,
        /// Leave window.
        pub leave_s: Option<i32>,
        /// Who leaves more than this before the end has left early.
        pub early_exit_s: Option<i32>,
        /// Who is there for less of the session is absent.
        pub min_presence_percent: Option<i32>,
        /// Who comes later than this after the start is absent.
        pub absent_after_s: Option<i32>,
    }
}

row! {
    /// When somebody was seen in a session.
    pub struct Seen {
        /// Who.
        pub person_id: Uuid,
        /// Status of the mark.
        pub status: String,
        /// First.
        pub first_seen_at: WallTime,
        /// Last.
        pub last_seen_at: WallTime,
        /// Last at an exit.
        pub last_exit_at: Option<WallTime>,
    }
}

/// What closing found about somebody.
#[derive(Clone, Debug, PartialEq)]
pub struct Finding {
    /// Who.
    pub person: PersonId,
    /// Whether they count as absent; else there is something to remark.
    pub absent: bool,
    /// `not_seen`, `too_late`, `too_short` or `left_early`.
    pub reason: &'static str,
    /// How long they were there, as far as it is known.
    pub minutes_present: Option<f32>,
}

const ENDED: &str =
    "s.id, s.room_id, coalesce(r.time_zone, i.time_zone) as time_zone, s.starts_at, s.ends_at, s.opened_at,
    s.closed_at, s.released_at, case when s.origin = 'one_off' then s.created_at end as known_since, s.state, s.waits_for, coalesce(s.early_s, c.early_s) as early_s, coalesce(s.grace_s, c.grace_s) as grace_s,
    coalesce(s.leave_s, c.leave_s) as leave_s, c.early_exit_s, c.min_presence_percent, c.absent_after_s
    from sessions s join rooms r on r.id = s.room_id join sites i on i.id = r.site_id
    left join courses c on c.id = s.course_id";

/// A session that is being closed: nobody else changes it.
#[derive(Debug)]
pub struct Settling {
    tx: Transaction<'static, Postgres>,
    session: Uuid,
    /// Who was expected.
    pub expected: Vec<PersonId>,
    /// Who was seen.
    pub seen: Vec<Seen>,
}

impl Store {
    /// Writes how far cameras have got. What was delivered stays delivered.
    ///
    /// # Errors
    /// When the database is away.
    pub async fn put_deliveries(&self, deliveries: &[Delivery]) -> Result<(), StoreError> {
        if deliveries.is_empty() {
            return Ok(());
        }
        fn column<T>(rows: &[Delivery], value: impl Fn(&Delivery) -> T) -> Vec<T> {
            rows.iter().map(value).collect()
        }
        sqlx::query(
            "insert into camera_deliveries as d (camera_id, room_id, delivered_until, offline_reason, offline_since, updated_at)
             select * from unnest($1::text[], $2::text[], $3::timestamptz[], $4::text[], $5::timestamptz[], $6::timestamptz[])
             on conflict (camera_id) do update set
                 room_id = excluded.room_id, delivered_until = greatest(d.delivered_until, excluded.delivered_until),
                 offline_reason = excluded.offline_reason,
                 offline_since = case when excluded.offline_reason is not null
                                      then coalesce(d.offline_since, excluded.offline_since) end,
                 updated_at = excluded.updated_at",
        )
        .bind(column(deliveries, |d| d.camera_id.clone()))
        .bind(column(deliveries, |d| d.room_id.clone()))
        .bind(column(deliveries, |d| d.delivered_until))
        .bind(column(deliveries, |d| d.offline_reason.clone()))
        .bind(column(deliveries, |d| d.offline_since))
        .bind(column(deliveries, |d| d.updated_at))
        .execute(&self.pool)
        .await?;
        Ok(())
    }

    /// Forgets cameras that are no more, and those that no daemon has told of since `before`.
    ///
    /// # Errors
    /// When the database is away.
    pub async fn forget_deliveries(&self, cameras: &[String], before: WallTime) -> Result<(), StoreError> {
        sqlx::query("delete from camera_deliveries where camera_id = any($1) or updated_at < $2")
            .bind(cameras)
            .bind(before)
            .execute(&self.pool)
            .await?;
        Ok(())
    }

    /// How far all cameras have got.
    ///
    /// # Errors
    /// When the database is away.
    pub async fn deliveries(&self) -> Result<Vec<Delivery>, StoreError> {
        let rows = sqlx::query(
            "select camera_id, room_id, delivered_until, offline_reason, offline_since, updated_at from camera_deliveries
             order by camera_id",
        )
        .fetch_all(&self.pool)
        .await?;
        all(&rows, Delivery::read)
    }

    /// Writes what cameras watched; what was begun goes on.
    ///
    /// # Errors
    /// When the database is away.
    pub async fn put_watches(&self, watches: &[CameraWatch]) -> Result<(), StoreError> {
        if watches.is_empty() {
            return Ok(());
        }
        fn column<T>(rows: &[CameraWatch], value: impl Fn(&CameraWatch) -> T) -> Vec<T> {
            rows.iter().map(value).collect()
        }
        sqlx::query(
            "insert into camera_watches as w (camera_id, room_id, since, until, away_for)
             select * from unnest($1::text[], $2::text[], $3::timestamptz[], $4::timestamptz[], $5::text[])
             on conflict (camera_id, since) do update set until = greatest(w.until, excluded.until)",
        )
        .bind(column(watches, |w| w.camera_id.clone()))
        .bind(column(watches, |w| w.room_id.clone()))
        .bind(column(watches, |w| w.since))
        .bind(column(watches, |w| w.until))
        .bind(column(watches, |w| w.away_for.clone()))
        .execute(&self.pool)
        .await?;
        Ok(())
    }

    /// What the cameras of these rooms watched after a moment, by camera and time.
    ///
    /// # Errors
    /// When the database is away.
    pub async fn watches(&self, rooms: &[String], after: WallTime) -> Result<Vec<CameraWatch>, StoreError> {
        let rows = sqlx::query(
            "select camera_id, room_id, since, until, away_for from camera_watches
             where room_id = any($1) and until > $2 order by camera_id, since",
        )
        .bind(rooms)
        .bind(after)
        .fetch_all(&self.pool)
        .await?;
        all(&rows, CameraWatch::read)
    }

    /// Forgets what was watched up to a moment.
    ///
    /// # Errors
    /// When the database is away.
    pub async fn forget_watches(&self, before: WallTime) -> Result<(), StoreError> {
        sqlx::query("delete from camera_watches where until < $1").bind(before).execute(&self.pool).await?;
        Ok(())
    }

    /// The sessions that are over, leave window included, and not closed; by end, at most `limit`.
    ///
    /// # Errors
    /// When the database is away.
    pub async fn ended_sessions(
        &self,
        now: WallTime,
        default_leave_s: i32,
        limit: u32,
    ) -> Result<Vec<EndedSession>, StoreError> {
        let rows = sqlx::query(sqlx::AssertSqlSafe(format!(
            "select {ENDED} where s.kind = 'timetabled' and s.state in ('planned', 'open')
               and (s.ends_at <= $1 or s.closed_at is not null)
               and coalesce(s.closed_at, s.ends_at) + make_interval(secs => coalesce(s.leave_s, c.leave_s, $2)) <= $1
             order by s.ends_at, s.id limit $3"
        )))
        .bind(now)
        .bind(default_leave_s)
        .bind(i64::from(limit))
        .fetch_all(&self.pool)
        .await?;
        all(&rows, EndedSession::read)
    }

    /// Closed sessions in which a mark was written or seen again after they were closed, at or after `since`.
    ///
    /// # Errors
    /// When the database is away.
    pub async fn sessions_with_late_marks(&self, since: WallTime) -> Result<Vec<EndedSession>, StoreError> {
        let rows = sqlx::query(sqlx::AssertSqlSafe(format!(
            "select {ENDED} where s.kind = 'timetabled' and s.state = 'closed' and s.id in (
                 select m.session_id from marks m join sessions x on x.id = m.session_id
                 where coalesce(m.changed_at, m.recorded_at) >= $1
                   and coalesce(m.changed_at, m.recorded_at) > x.settled_at)
             order by s.ends_at, s.id"
        )))
        .bind(since)
        .fetch_all(&self.pool)
        .await?;
        all(&rows, EndedSession::read)
    }

    /// Says what the absences of a session wait for.
    ///
    /// # Errors
    /// When the database is away.
    pub async fn set_waits_for(&self, session: Uuid, waits_for: &serde_json::Value) -> Result<(), StoreError> {
        sqlx::query("update sessions set waits_for = $2 where id = $1 and state in ('planned', 'open')")
            .bind(session)
            .bind(waits_for)
            .execute(&self.pool)
            .await?;
        Ok(())
    }

    /// Begins to close a session; `None` if it is not in `state` any more, or somebody else changes it.
    ///
    /// # Errors
    /// When the database is away.
    pub async fn settling(&self, session: Uuid, state: &str) -> Result<Option<Settling>, StoreError> {
        let mut tx = self.pool.begin().await?;
        let mine: bool =
            sqlx::query_scalar("select pg_try_advisory_xact_lock(hashtextextended('rollcall.close.' || $1, 0))")
                .bind(session.to_string())
                .fetch_one(&mut *tx)
                .await?;
        if !mine {
            return Ok(None);
        }
        // Marks are written with this lock too: what is not seen below was changed after `settled_at`.
        hold_feed(&mut tx).await?;
        let there = sqlx::query("select 1 from sessions where id = $1 and state = $2 for update")
            .bind(session)
            .bind(state)
            .fetch_optional(&mut *tx)
            .await?;
        if there.is_none() {
            return Ok(None);
        }
        let expected: Vec<Uuid> =
            sqlx::query_scalar("select person_id from expected_people where session_id = $1 order by 1")
                .bind(session)
                .fetch_all(&mut *tx)
                .await?;
        let seen = sqlx::query(
            "select m.person_id, m.status, m.first_seen_at, m.last_seen_at, m.last_exit_at
             from marks m join sessions s on s.id = m.session_id and s.local_date = m.session_date where s.id = $1",
        )
        .bind(session)
        .fetch_all(&mut *tx)
        .await?;
        let (expected, seen) = (expected.into_iter().map(PersonId).collect(), all(&seen, Seen::read)?);
        Ok(Some(Settling { tx, session, expected, seen }))
    }
}

impl Settling {
    /// Writes what was found, instead of what was found before, and closes the session: its roster stays as it is. A mark
    /// that comes in the meantime wins over `not_seen`.
    ///
    /// # Errors
    /// When the database is away; then the session is as it was.
    pub async fn settle(
        mut self,
        findings: &[Finding],
        waits_for: Option<&serde_json::Value>,
    ) -> Result<(), StoreError> {
        let people: Vec<Uuid> = findings.iter().map(|f| f.person.0).collect();
        sqlx::query("delete from findings where session_id = $1 and person_id <> all($2)")
            .bind(self.session)
            .bind(&people)
            .execute(&mut *self.tx)
            .await?;
        sqlx::query(
            "insert into findings as f (session_id, person_id, verdict, reason, minutes_present)
             select $1, n.p, case when n.a then 'absent' else 'attended' end, n.r, n.m
             from unnest($2::uuid[], $3::boolean[], $4::text[], $5::real[]) as n (p, a, r, m)
             join people on people.id = n.p order by n.p
             on conflict (session_id, person_id) do update set verdict = excluded.verdict, reason = excluded.reason,
                 minutes_present = excluded.minutes_present, found_at = excluded.found_at
             where (f.verdict, f.reason, f.minutes_present)
                   is distinct from (excluded.verdict, excluded.reason, excluded.minutes_present)",
        )
        .bind(self.session)
        .bind(&people)
        .bind(findings.iter().map(|f| f.absent).collect::<Vec<_>>())
        .bind(findings.iter().map(|f| f.reason).collect::<Vec<_>>())
        .bind(findings.iter().map(|f| f.minutes_present).collect::<Vec<_>>())
        .execute(&mut *self.tx)
        .await?;
        self.keep_roster().await?;
        sqlx::query(
            "update sessions set state = 'closed', settled_at = clock_timestamp(), waits_for = $2, version = version + 1
             where id = $1",
        )
        .bind(self.session)
        .bind(waits_for)
        .execute(&mut *self.tx)
        .await?;
        Ok(self.tx.commit().await?)
    }

    /// Writes down who was expected, the first time: a course's roster goes on changing, this one does not.
    async fn keep_roster(&mut self) -> Result<(), StoreError> {
        let expected: Vec<Uuid> = self.expected.iter().map(|person| person.0).collect();
        sqlx::query(
            "insert into closed_rosters (session_id, person_id)
             select s.id, e.person_id from sessions s, unnest($2::uuid[]) as e (person_id)
             where s.id = $1 and s.state <> 'closed' and s.course_id is not null and not s.listed",
        )
        .bind(self.session)
        .bind(expected)
        .execute(&mut *self.tx)
        .await?;
        Ok(())
    }
}
