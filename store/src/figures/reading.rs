//! Reports, read piece by piece: head and rows are of one moment, however long the reader takes.

use chrono::NaiveDate;
use rollcall_pipeline::WallTime;
use sqlx::postgres::PgRow;
use sqlx::{AssertSqlSafe, Postgres, QueryBuilder, Transaction};
use uuid::Uuid;

use super::filter::{FiguresFilter, Source};
use super::summary::{RegisterSummary, summary};
use super::{FiguresBy, FiguresRow};
use crate::row::{all, row};
use crate::{Scope, Store, StoreError};

/// Rows that are read at once.
const CHUNK: u32 = 500;

row! {
    /// A row of the register, for reports.
    pub struct RegisterLine {
        /// In which session.
        pub session_id: Uuid,
        /// The session's date.
        pub local_date: NaiveDate,
        /// Its start.
        pub starts_at: WallTime,
        /// Its course.
        pub course: Option<String>,
        /// Its room.
        pub room: String,
        /// Who.
        pub person_id: Uuid,
        /// Their name.
        pub name: String,
        /// Their number in another system.
        pub external_id: Option<String>,
        /// What counts.
        pub status: String,
        /// When they came.
        pub arrived_at: Option<WallTime>,
        /// From the start to the arrival.
        pub minutes_from_start: Option<f32>,
        /// When they left.
        pub left_at: Option<WallTime>,
        /// Whether that was too early.
        pub left_early: bool,
        /// `camera`, `closing` or `correction`.
        pub source: String,
        /// Of a correction: why. Of closing: what was found.
        pub reason: Option<String>,
        /// Of an absence by closing: the cameras that it did not wait for any longer.
        pub waits_for: Option<serde_json::Value>,
    }
}

/// A snapshot that is read piece by piece. Dropped, it ends.
#[derive(Debug)]
pub struct FiguresReading {
    tx: Transaction<'static, Postgres>,
    scope: Scope,
    filter: FiguresFilter,
}

impl Store {
    /// Takes a snapshot of a part of the register. It holds a connection as long as it is there.
    ///
    /// # Errors
    /// When the database is away.
    pub async fn read_figures(&self, scope: Scope, filter: FiguresFilter) -> Result<FiguresReading, StoreError> {
        let tx = self.pool.begin_with("begin isolation level repeatable read read only").await?;
        Ok(FiguresReading { tx, scope, filter })
    }

    /// Figures by something, all at once: for what is known to be short.
    ///
    /// # Errors
    /// When the database is away.
    pub async fn figures(
        &self,
        scope: &Scope,
        filter: &FiguresFilter,
        by: FiguresBy,
    ) -> Result<Vec<FiguresRow>, StoreError> {
        let mut query = QueryBuilder::new("");
        figures(&mut query, scope, filter, by);
        let rows = query.build().fetch_all(&self.pool).await?;
        all(&rows, FiguresRow::read)
    }
}

impl FiguresReading {
    /// Sums it up.
    ///
    /// # Errors
    /// When the database is away.
    pub async fn summary(&mut self) -> Result<RegisterSummary, StoreError> {
        summary(&mut self.tx, &self.scope, &self.filter).await
    }

    /// Begins to read figures; [`next_figures`](Self::next_figures) goes on.
    ///
    /// # Errors
    /// When the database is away.
    pub async fn open_figures(&mut self, by: FiguresBy) -> Result<(), StoreError> {
        let mut query = QueryBuilder::new("declare report no scroll cursor for ");
        figures(&mut query, &self.scope, &self.filter, by);
        query.build().persistent(false).execute(&mut *self.tx).await?;
        Ok(())
    }

    /// The next lines; none at the end.
    ///
    /// # Errors
    /// When the database is away.
    pub async fn next_figures(&mut self) -> Result<Vec<FiguresRow>, StoreError> {
        all(&self.fetch().await?, FiguresRow::read)
    }

    /// Begins to read the rows themselves, oldest first; [`next_lines`](Self::next_lines) goes on. Also those that are in no
    /// figure, but for what was voided.
    ///
    /// # Errors
    /// When the database is away.
    pub async fn open_lines(&mut self) -> Result<(), StoreError> {
        let mut query = QueryBuilder::new(
            "declare report no scroll cursor for
             select x.session_id, x.local_date, x.starts_at, coalesce(s.name, c.name) as course,
                    coalesce(r.name, r.id) as room, x.person_id, p.name, p.external_id, x.status, x.arrived_at,
                    x.minutes_from_start, x.left_at, x.left_early, x.source, x.reason,
                    case when x.source = 'closing' then s.waits_for end as waits_for
             from register x join people p on p.id = x.person_id join sessions s on s.id = x.session_id
             join rooms r on r.id = x.room_id left join courses c on c.id = x.course_id
             where x.status <> 'void'",
        );
        Source::Rows.narrow(&mut query, &self.scope, &self.filter);
        // As the indexes have it.
        query.push(" order by x.starts_at, x.session_id desc, x.person_id desc");
        query.build().persistent(false).execute(&mut *self.tx).await?;
        Ok(())
    }

    /// The next rows; none at the end.
    ///
    /// # Errors
    /// When the database is away.
    pub async fn next_lines(&mut self) -> Result<Vec<RegisterLine>, StoreError> {
        all(&self.fetch().await?, RegisterLine::read)
    }

    async fn fetch(&mut self) -> Result<Vec<PgRow>, StoreError> {
        let fetch = AssertSqlSafe(format!("fetch {CHUNK} from report"));
        // Not kept prepared: another report on this connection has other columns.
        Ok(sqlx::query(fetch).persistent(false).fetch_all(&mut *self.tx).await?)
    }
}

/// The query for figures by something. All give the same columns.
fn figures(query: &mut QueryBuilder<Postgres>, scope: &Scope, filter: &FiguresFilter, by: FiguresBy) {
    let source = match by {
        FiguresBy::Group | FiguresBy::Person => Source::Rows,
        _ => Source::of(scope, filter),
    };
    let (place, counts) = (source.place(), source.counts());
    let inner = |query: &mut QueryBuilder<Postgres>, columns: &str| {
        query.push(format_args!("select {columns}, {counts}"));
        source.push(query, scope, filter);
    };
    // What is only shown is joined afterwards, to what was counted.
    let columns = |date: &str, starts: &str, ends: &str, id: &str, name: &str, code: &str, course: &str, room: &str| {
        format!(
            "select {date}::date as date, {starts}::timestamptz as starts_at, {ends}::timestamptz as ends_at,
                    {id}::uuid as id, {name}::text as name, {code}::text as code, {course}::text as course,
                    {room}::text as room, f.sessions, f.present, f.late, f.absent, f.excused from ("
        )
    };
    let none = "null";
    match by {
        FiguresBy::Session => {
            let (name, room) = ("s.name", "coalesce(r.name, r.id)");
            query.push(columns("s.local_date", "s.starts_at", "s.ends_at", "s.id", name, none, "c.name", room));
            inner(query, "s.id as session_id");
            query.push(
                " group by s.id) f join sessions s on s.id = f.session_id join rooms r on r.id = s.room_id
                  left join courses c on c.id = s.course_id order by s.starts_at, s.id",
            );
        }
        FiguresBy::Course => {
            query.push(columns(none, none, none, "c.id", "c.name", "c.code", none, none));
            inner(query, &format!("{place}.course_id"));
            query.push(format_args!(
                " group by {place}.course_id) f left join courses c on c.id = f.course_id order by c.name, c.id"
            ));
        }
        FiguresBy::Group => {
            query.push(columns(none, none, none, "g.id", "g.name", none, none, none));
            query.push(format_args!("select m.group_id, {counts} from group_members m join (select x.*"));
            source.push(query, scope, filter);
            query.push(") x on x.person_id = m.person_id");
            if let Some(group) = filter.group {
                query.push(" where m.group_id = ").push_bind(group);
            }
            query.push(" group by m.group_id) f join groups g on g.id = f.group_id order by g.name, g.id");
        }
        FiguresBy::Person => {
            query.push(columns(none, none, none, "p.id", "p.name", "p.external_id", none, none));
            inner(query, "x.person_id");
            query.push(" group by x.person_id) f join people p on p.id = f.person_id order by p.name, p.id");
        }
        FiguresBy::Day | FiguresBy::Week | FiguresBy::Month => {
            let day = match by {
                FiguresBy::Week => format!("date_trunc('week', {place}.local_date::timestamp)::date"),
                FiguresBy::Month => format!("date_trunc('month', {place}.local_date::timestamp)::date"),
                _ => format!("{place}.local_date"),
            };
            query.push(columns("f.day", none, none, none, none, none, none, none));
            inner(query, &format!("{day} as day"));
            query.push(" group by 1) f order by f.day");
        }
    }
}
