//! Sessions as people look at them. Rows are made ahead by `planning`, by hand (`sessions`), or by the first mark; see `events`.

use chrono::NaiveDate;
use rollcall_pipeline::WallTime;
use sqlx::{Postgres, QueryBuilder};
use uuid::Uuid;

use crate::row::{all, and_one, one, row};
use crate::{Reading, Scope, Store, StoreError};

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

pub(crate) const SESSION: &str =
    "s.id, s.kind, s.origin, s.name, s.room_id, r.site_id, coalesce(r.time_zone, i.time_zone) as time_zone,
    s.course_id, c.name as course_name, s.entry_id, c.teacher_id, s.substitute_id, s.state, s.starts_at, s.ends_at,
    s.local_date, s.early_s, s.grace_s, s.leave_s, s.opened_at, s.closed_at, s.released_at, s.settled_at, s.waits_for,
    s.note, s.fixed, s.version, (select count(*) from expected_people e where e.session_id = s.id) as expected,
    coalesce((select t.present + t.late from session_tallies t where t.session_id = s.id), 0)::bigint as attended
    from sessions s join rooms r on r.id = s.room_id join sites i on i.id = r.site_id
    left join courses c on c.id = s.course_id";
/// As in the index `sessions_waiting`.
const WAITING: &str =
    "s.waits_for is not null and s.settled_at is null and s.released_at is null and s.state in ('planned', 'open')";
pub(crate) const IN_SCOPE: &str = "($1::text[] is null or r.site_id = any($1) or r.id = any($2))";

impl Reading {
    /// The sessions in `scope`, by start.
    ///
    /// # Errors
    /// When the database is away.
    pub async fn sessions(
        &mut self,
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
        let rows = q.build().fetch_all(self.connection()).await?;
        all(&rows, SessionDetail::read)
    }
}

impl Store {
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
