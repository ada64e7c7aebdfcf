//! Reading the register: for each person and session what counts. It is derived by triggers; see the migration.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::sync::Arc;

use chrono::{NaiveDate, TimeDelta};
use rollcall_pipeline::{PersonId, WallTime};
use sqlx::{Postgres, QueryBuilder};
use uuid::Uuid;

use crate::row::{Columns, all, and_one, one, row};
use crate::{Reading, Scope, Store, StoreError};

row! {
    /// A row of the register, and whose it is.
    pub struct RegisterRow {
        /// In which session.
        pub session_id: Uuid,
        /// Who.
        pub person_id: Uuid,
        /// Their name.
        pub name: String,
        /// Their number in another system.
        pub external_id: Option<String>,
        /// The room's site.
        pub site_id: String,
        /// Where.
        pub room_id: String,
        /// The course.
        pub course_id: Option<Uuid>,
        /// Start of the session.
        pub starts_at: WallTime,
        /// The room's date at the start.
        pub local_date: NaiveDate,
        /// What counts.
        pub status: String,
        /// `camera`, `closing` or `correction`.
        pub source: String,
        /// Of a correction: why. Of closing: what was found.
        pub reason: Option<String>,
        /// When they were first seen.
        pub arrived_at: Option<WallTime>,
        /// When they were last seen at an exit.
        pub left_at: Option<WallTime>,
        /// From the start to the arrival.
        pub minutes_from_start: Option<f32>,
        /// Whether they went too early.
        pub left_early: bool,
        /// The event behind the mark.
        pub event_id: Option<Uuid>,
        /// The camera that saw them.
        pub camera: Option<String>,
        /// Similarity to the best template.
        pub similarity: Option<f32>,
        /// When the row last changed.
        pub updated_at: WallTime,
        /// Grows with each change.
        pub version: i64,
    }
}

row! {
    /// What all rows of a session have in common.
    pub struct RegisterSession {
        /// Which.
        pub id: Uuid,
        /// Its own name; else that of its course.
        pub session_name: Option<String>,
        /// The room's name.
        pub room_name: Option<String>,
        /// The course's name.
        pub course_name: Option<String>,
        /// When it ends.
        pub ends_at: WallTime,
        /// The cameras that closing did not wait for any longer.
        pub waits_for: Option<serde_json::Value>,
    }
}

/// A row of the register, with its session.
#[derive(Clone, Debug, PartialEq)]
pub struct Registered {
    /// The row.
    pub row: RegisterRow,
    /// Its session, shared with all others of it.
    pub session: Arc<RegisterSession>,
}

row! {
    /// Whose record it is, and how their sessions count.
    pub struct RecordRow {
        /// Their name.
        pub name: String,
        /// Their number in another system.
        pub external_id: Option<String>,
        /// The first letter of each status, in the order in which the sessions were held.
        pub standing: String,
    }
}

row! {
    /// Who is in a session of the board.
    pub struct BoardPerson {
        /// In which session.
        pub session_id: Uuid,
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
        /// When they were last seen at an exit.
        pub left_at: Option<WallTime>,
    }
}

row! {
    /// How many of a session's people stand how.
    pub struct BoardCount {
        /// In which session.
        pub session_id: Uuid,
        /// Whether they are expected.
        pub expected: bool,
        /// What counts; null while there is nothing to count.
        pub status: Option<String>,
        /// How many.
        pub people: i64,
    }
}

/// Which rows.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RegisterFilter {
    /// Of this person.
    pub person: Option<PersonId>,
    /// In this room.
    pub room: Option<String>,
    /// At this site.
    pub site: Option<String>,
    /// Of this course.
    pub course: Option<Uuid>,
    /// Of this session.
    pub session: Option<Uuid>,
    /// Of the people of this group.
    pub group: Option<Uuid>,
    /// From this local date on.
    pub from: Option<NaiveDate>,
    /// Up to and with this local date.
    pub to: Option<NaiveDate>,
    /// Standing like this; `void` finds what was voided.
    pub status: Option<String>,
    /// With what was voided.
    pub void: bool,
}

/// What the next page begins after.
pub type RegisterKey = (WallTime, Uuid, Uuid);

/// Each of some sessions by itself, and the array where the planner does not see how long it is: it would make another plan
/// for each, which takes longer than to carry one out.
const EACH_SESSION: &str = "unnest((select $1::uuid[])) s(id) cross join lateral";
/// Who is expected in the session `s`, or has a row in its register.
const ON_THE_BOARD: &str = "(select person_id from expected_people where session_id = s.id) e
    full join (select * from register where session_id = s.id and status <> 'void') g on g.person_id = e.person_id";
const ORDER: &str = " order by g.starts_at desc, g.session_id, g.person_id limit ";
/// The same where there is but one person, in whose index it is this: with the other, what comes in order is sorted again.
const ORDER_OF_ONE: &str = " order by g.starts_at desc, g.session_id limit ";
const ROW: &str = "g.session_id, g.person_id, p.name, p.external_id, g.site_id, g.room_id, g.course_id, g.starts_at,
    g.local_date, g.status, g.source, g.reason, g.arrived_at, g.left_at, g.minutes_from_start, g.left_early, g.event_id,
    g.camera, g.similarity, g.updated_at, g.version";
/// A [`RegisterSession`] …
const SESSION_OF_ROW: &str = "s.id, coalesce(s.name, c.name) as session_name, r.name as room_name,
    c.name as course_name, s.ends_at, s.waits_for";
/// … where it is read of as many sessions as there are rows …
const SESSIONS: &str = "sessions s join rooms r on r.id = s.room_id left join courses c on c.id = s.course_id";
/// … and where many rows have few sessions: to look two up takes half as long as to read all rooms and courses. The limits
/// keep the planner from that: without them these are joins like any others.
const FEW_SESSIONS: &str = "sessions s
    left join lateral (select name from rooms where id = s.room_id limit 1) r on true
    left join lateral (select name from courses where id = s.course_id limit 1) c on true";

impl RegisterFilter {
    /// The conditions that are there, and no others: each query is planned for what it asks.
    fn push(&self, q: &mut QueryBuilder<Postgres>, scope: &Scope, after: Option<&RegisterKey>) {
        let (sites, rooms, own) = scope.bounds();
        q.push(" where true");
        if let (Some(sites), Some(rooms)) = (sites, rooms) {
            q.push(" and (g.site_id = any(").push_bind(sites).push(") or g.room_id = any(").push_bind(rooms).push("))");
        }
        if let Some(own) = own {
            q.push(" and g.person_id = ").push_bind(own);
        }
        if let Some(person) = self.person {
            q.push(" and g.person_id = ").push_bind(person.0);
        }
        if let Some(room) = &self.room {
            q.push(" and g.room_id = ").push_bind(room);
        }
        if let Some(site) = &self.site {
            q.push(" and g.site_id = ").push_bind(site);
        }
        if let Some(course) = self.course {
            q.push(" and g.course_id = ").push_bind(course);
        }
        if let Some(session) = self.session {
            q.push(" and g.session_id = ").push_bind(session);
        }
        // The indices are by start. A date begins nowhere on earth more than 14 hours before, and ends nowhere more than 12
        // hours after, that of UTC.
        if let Some(from) = self.from {
            q.push(" and g.local_date >= ").push_bind(from);
            if let Some(earliest) = from.and_time(chrono::NaiveTime::MIN).checked_sub_signed(TimeDelta::hours(14)) {
                q.push(" and g.starts_at >= ").push_bind(earliest.and_utc());
            }
        }
        if let Some(to) = self.to {
            q.push(" and g.local_date <= ").push_bind(to);
            if let Some(latest) = to.and_time(chrono::NaiveTime::MIN).checked_add_signed(TimeDelta::hours(36)) {
                q.push(" and g.starts_at < ").push_bind(latest.and_utc());
            }
        }
        match (&self.status, self.void) {
            (Some(status), _) => {
                q.push(" and g.status = ").push_bind(status);
            }
            (None, false) => {
                q.push(" and g.status <> 'void'");
            }
            (None, true) => {}
        }
        if let Some((starts_at, session, person)) = after {
            q.push(" and g.starts_at <= ").push_bind(*starts_at).push(" and (g.starts_at < ").push_bind(*starts_at);
            q.push(" or (g.session_id, g.person_id) > (").push_bind(*session).push(", ").push_bind(*person).push("))");
        }
    }

    /// Whether an index finds few rows without looking at places.
    fn is_narrow(&self) -> bool {
        self.person.is_some() || self.room.is_some() || self.course.is_some() || self.session.is_some()
    }
}

impl Reading {
    /// Rows of the register in `scope`, latest session first. A session is read, sent and decoded once, and not once for each
    /// of its people, which takes twice as long; but with the rows of one person comes that of each.
    ///
    /// # Errors
    /// When the database is away.
    pub async fn register(
        &mut self,
        scope: &Scope,
        filter: &RegisterFilter,
        after: Option<&RegisterKey>,
        limit: u32,
    ) -> Result<Vec<Registered>, StoreError> {
        let rows = rows(scope, filter, after, limit).build().fetch_all(self.connection()).await?;
        if filter.person.is_some() {
            let mut rows = all(&rows, |row| {
                let mut columns = Columns::of(row);
                let row = RegisterRow::next(&mut columns)?;
                Ok(Registered { row, session: Arc::new(RegisterSession::next(&mut columns)?) })
            })?;
            // In order before they were joined. Here that costs nothing; there, whole rows are sorted again.
            rows.sort_unstable_by_key(|Registered { row, .. }| (Reverse(row.starts_at), row.session_id));
            return Ok(rows);
        }
        if rows.is_empty() {
            return Ok(Vec::new());
        }
        let rows = all(&rows, RegisterRow::read)?;
        let mut ids: Vec<Uuid> = rows.iter().map(|row| row.session_id).collect();
        // Rows come session by session.
        ids.dedup();
        // The ids within a query of their own: seen by the planner, it would plan for their number anew each time, which
        // takes longer than to find them.
        let sessions = sqlx::query(sqlx::AssertSqlSafe(format!(
            "select {SESSION_OF_ROW} from {FEW_SESSIONS} where s.id = any((select $1::uuid[])::uuid[])"
        )));
        let sessions = all(&sessions.bind(ids).fetch_all(self.connection()).await?, RegisterSession::read)?;
        let sessions: HashMap<_, _> = sessions.into_iter().map(|session| (session.id, Arc::new(session))).collect();
        // No session goes that anybody has a row in. Where one is gone, whoever it was has been erased in between.
        let with_session = |row: RegisterRow| {
            let session = Arc::clone(sessions.get(&row.session_id)?);
            Some(Registered { row, session })
        };
        Ok(rows.into_iter().filter_map(with_session).collect())
    }

    /// How a person's sessions count, and a page of their rows, latest session first; `None` where there is no such person.
    ///
    /// # Errors
    /// When the database is away.
    pub async fn record(
        &mut self,
        scope: &Scope,
        person: PersonId,
        filter: &RegisterFilter,
        after: Option<&RegisterKey>,
        limit: u32,
    ) -> Result<Option<(RecordRow, Vec<Registered>)>, StoreError> {
        let filter = RegisterFilter { person: Some(person), ..filter.clone() };
        let mut q = QueryBuilder::new(
            "select name, external_id, (
                 select coalesce(string_agg(left(g.status, 1), '' order by g.starts_at, g.session_id), '') from register g",
        );
        filter.push(&mut q, scope, None);
        q.push(") as standing from people where id = ").push_bind(person.0);
        let record = one(q.build().fetch_optional(self.connection()).await?, RecordRow::read)?;
        let Some(record) = record else { return Ok(None) };
        Ok(Some((record, self.register(scope, &filter, after, limit).await?)))
    }

    /// Who is in these sessions, by name, at most `limit` of each and one more.
    ///
    /// # Errors
    /// When the database is away.
    pub async fn board_people(&mut self, sessions: &[Uuid], limit: u32) -> Result<Vec<BoardPerson>, StoreError> {
        let rows = sqlx::query(sqlx::AssertSqlSafe(format!(
            "select s.id as session_id, b.* from {EACH_SESSION} (
                 select p.id as person_id, p.name, p.external_id, e.person_id is not null as expected, g.status, g.source,
                        g.arrived_at, g.left_at
                 from {ON_THE_BOARD} join people p on p.id = coalesce(e.person_id, g.person_id)
                 order by p.name, p.id limit {}) b
             order by s.id, b.name, b.person_id",
            and_one(limit)
        )))
        .bind(sessions)
        .fetch_all(self.connection())
        .await?;
        all(&rows, BoardPerson::read)
    }

    /// How many of these sessions' people stand how.
    ///
    /// # Errors
    /// When the database is away.
    pub async fn board_counts(&mut self, sessions: &[Uuid]) -> Result<Vec<BoardCount>, StoreError> {
        let rows = sqlx::query(sqlx::AssertSqlSafe(format!(
            "select s.id as session_id, b.* from {EACH_SESSION} (
                 select e.person_id is not null as expected, g.status, count(*) as people from {ON_THE_BOARD}
                 group by 1, 2) b"
        )))
        .bind(sessions)
        .fetch_all(self.connection())
        .await?;
        all(&rows, BoardCount::read)
    }
}

impl Store {
    /// The row of one person in one session.
    ///
    /// # Errors
    /// When the database is away.
    pub async fn register_row(
        &self,
        scope: &Scope,
        session: Uuid,
        person: PersonId,
    ) -> Result<Option<Registered>, StoreError> {
        let filter =
            RegisterFilter { session: Some(session), person: Some(person), void: true, ..RegisterFilter::default() };
        Ok(self.reading().await?.register(scope, &filter, None, 1).await?.into_iter().next())
    }

    /// Whether somebody is expected in a session.
    ///
    /// # Errors
    /// When the database is away.
    pub async fn is_expected(&self, session: Uuid, person: PersonId) -> Result<bool, StoreError> {
        let sql = "select exists (select from expected_people where session_id = $1 and person_id = $2)";
        Ok(sqlx::query_scalar(sql).bind(session).bind(person.0).fetch_one(&self.pool).await?)
    }

    /// A session that a caller who sees `scope` may look at because of `person`: it lies in their places, or the person is
    /// all they see and belongs to it.
    ///
    /// # Errors
    /// When the database is away.
    pub async fn session_of(
        &self,
        scope: &Scope,
        session: Uuid,
        person: PersonId,
    ) -> Result<Option<crate::SessionDetail>, StoreError> {
        let Scope::Person(own) = scope else { return self.session(scope, session).await };
        let sql = "select exists (select from expected_people where session_id = $1 and person_id = $2)
                       or exists (select from register where session_id = $1 and person_id = $2)";
        let theirs: bool = sqlx::query_scalar(sql).bind(session).bind(own.0).fetch_one(&self.pool).await?;
        if *own != person || !theirs {
            return Ok(None);
        }
        self.session(&Scope::Everywhere, session).await
    }

    /// The mark behind a row of the register, as the camera made it.
    ///
    /// # Errors
    /// When the database is away.
    pub async fn original_mark(&self, session: Uuid, person: PersonId) -> Result<Option<OriginalMark>, StoreError> {
        let row = sqlx::query(
            "select m.status, m.captured_at, m.recorded_at, m.time_source, m.event_id, m.camera, m.direction, m.similarity,
                    m.margin, m.shots, m.liveness, m.liveness_score, m.sightings, m.first_seen_at, m.last_seen_at,
                    m.last_exit_at
             from marks m join sessions s on s.id = m.session_id and s.local_date = m.session_date
             where m.session_id = $1 and m.person_id = $2",
        )
        .bind(session)
        .bind(person.0)
        .fetch_optional(&self.pool)
        .await?;
        one(row, OriginalMark::read)
    }

    /// What closing the session found about somebody.
    ///
    /// # Errors
    /// When the database is away.
    pub async fn finding(&self, session: Uuid, person: PersonId) -> Result<Option<FindingRow>, StoreError> {
        let row = sqlx::query(
            "select verdict, reason, minutes_present, found_at from findings where session_id = $1 and person_id = $2",
        )
        .bind(session)
        .bind(person.0)
        .fetch_optional(&self.pool)
        .await?;
        one(row, FindingRow::read)
    }
}

fn rows(scope: &Scope, filter: &RegisterFilter, after: Option<&RegisterKey>, limit: u32) -> QueryBuilder<Postgres> {
    let (columns, sessions) = match filter.person {
        Some(_) => (format!("{ROW}, {SESSION_OF_ROW}"), format!(" join ({SESSIONS}) on s.id = g.session_id")),
        None => (ROW.to_owned(), String::new()),
    };
    let mut q = QueryBuilder::new(format!("select {columns} from ("));
    // Written out and not bound: a plan for whatever limit is one for many rows, so none would ever be kept.
    let limit = and_one(limit);
    let order = if filter.person.is_some() { ORDER_OF_ONE } else { ORDER };
    let (sites, rooms) = scope.places();
    // What is asked of some people or some places is asked of each of them, and put together: no index has all of
    // them in order, and walking through everybody else's rows to find them takes long.
    let mut within = scope;
    let each = if let (Some(group), None) = (filter.group, filter.person) {
        q.push("select g.* from (select person_id as each from group_members where group_id = ").push_bind(group);
        q.push(") e cross join lateral (select * from register g");
        Some(" and g.person_id = e.each")
    } else if let (Scope::Places { .. }, Some(sites), Some(rooms), false) = (scope, sites, rooms, filter.is_narrow()) {
        // The rooms are the scope. Said of the register's rows as well, the planner reads all of theirs first. Only what a
        // room held when it was another site's is not that of whoever sees its site: said as what the planner believes of
        // half of the rows, since it would take an equation for one that few fulfil.
        within = &Scope::Everywhere;
        q.push("select g.* from (select id as each, case when id = any(").push_bind(rooms);
        q.push(") then null else site_id end as site from rooms where site_id = any(").push_bind(sites);
        q.push(") or id = any(").push_bind(rooms).push(")) e cross join lateral (select * from register g");
        Some(" and g.room_id = e.each and not coalesce(g.site_id <> e.site, false)")
    } else {
        q.push("select * from register g");
        None
    };
    filter.push(&mut q, within, after);
    if let (Some(group), Some(_)) = (filter.group, filter.person) {
        q.push(" and exists (select from group_members m where m.person_id = g.person_id and m.group_id = ");
        q.push_bind(group).push(")");
    }
    if let Some(each) = each {
        q.push(each).push(order).push(limit).push(") g");
    }
    q.push(order).push(limit).push(") g join people p on p.id = ");
    match filter.person {
        // Found once, and not for each of their rows.
        Some(person) => q.push_bind(person.0),
        None => q.push("g.person_id"),
    };
    q.push(sessions);
    if filter.person.is_none() {
        q.push(order).push(limit);
    }
    q
}

row! {
    /// What a camera saw.
    pub struct OriginalMark {
        /// `present`, `late`, `off_roster` or `off_schedule`.
        pub status: String,
        /// When the deciding picture was taken.
        pub captured_at: WallTime,
        /// When the row was written.
        pub recorded_at: WallTime,
        /// How well the time is known.
        pub time_source: String,
        /// The event.
        pub event_id: Uuid,
        /// The camera.
        pub camera: String,
        /// `entry` or `exit`.
        pub direction: Option<String>,
        /// Similarity to the best template.
        pub similarity: f32,
        /// Distance to the second-best person.
        pub margin: f32,
        /// Shots that it rests on.
        pub shots: i32,
        /// `live`, `spoof` or `undecided`.
        pub liveness: String,
        /// Mean score.
        pub liveness_score: Option<f32>,
        /// How often the person was seen in the session.
        pub sightings: i32,
        /// First time.
        pub first_seen_at: WallTime,
        /// Last time.
        pub last_seen_at: WallTime,
        /// Last time at an exit.
        pub last_exit_at: Option<WallTime>,
    }
}

row! {
    /// What closing a session found about somebody.
    pub struct FindingRow {
        /// `absent` or `attended`.
        pub verdict: String,
        /// `not_seen`, `too_late`, `too_short` or `left_early`.
        pub reason: String,
        /// How long they were there, as far as it is known.
        pub minutes_present: Option<f32>,
        /// When the session was closed.
        pub found_at: WallTime,
    }
}
