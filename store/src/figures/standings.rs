//! How people stand: tally, arrivals, streaks.

use rollcall_attendance::AttendanceStatus;
use rollcall_attendance::analytics::{Standing, Streak};
use rollcall_pipeline::PersonId;
use sqlx::postgres::PgRow;
use sqlx::{AssertSqlSafe, Postgres, QueryBuilder, Row};
use uuid::Uuid;

use super::filter::{FiguresFilter, Source};
use super::summary::{arrivals, read_arrivals};
use super::tally;
use crate::row::all;
use crate::{Scope, Store, StoreError};

/// Sorting a year of a big site in less memory goes to disk.
const WORK_MEM: &str = "set local work_mem = '64MB'";

/// How somebody stands.
#[derive(Clone, Debug, PartialEq)]
pub struct StandingRow {
    /// Who.
    pub person: PersonId,
    /// Their name.
    pub name: String,
    /// Their number in another system.
    pub external_id: Option<String>,
    /// How they stand.
    pub standing: Standing,
}

impl Store {
    /// The standings of everybody in a part of the register, by name: the `whole` of them, for which rows are put in order, or
    /// only their tallies, several times as fast.
    ///
    /// # Errors
    /// When the database is away.
    pub async fn standings(
        &self,
        scope: &Scope,
        filter: &FiguresFilter,
        whole: bool,
    ) -> Result<Vec<StandingRow>, StoreError> {
        // One letter a session, in order: all that a streak needs.
        let rest = if whole {
            let run = "string_agg(left(x.status, 1), '' order by x.local_date, x.starts_at, x.session_id)";
            format!("{run} as run, {} as arrivals", arrivals(Source::Rows))
        } else {
            "'' as run, '{}'::bigint[] as arrivals".to_owned()
        };
        let mut query = QueryBuilder::<Postgres>::new(format!(
            "select p.id, p.name, p.external_id, f.* from (
                 select x.person_id, {}, {rest}",
            // Each row is a session of its own.
            Source::Rows.counts().replace("count(distinct x.session_id) as sessions,", "count(*) as sessions,")
        ));
        Source::Rows.push(&mut query, scope, filter);
        query.push(" group by x.person_id) f join people p on p.id = f.person_id order by p.name, p.id");
        let mut tx = self.pool.begin().await?;
        sqlx::query(AssertSqlSafe(WORK_MEM)).execute(&mut *tx).await?;
        let rows = query.build().fetch_all(&mut *tx).await?;
        tx.rollback().await?;
        all(&rows, standing)
    }
}

fn standing(row: &PgRow) -> Result<StandingRow, sqlx::Error> {
    let run: String = row.try_get("run")?;
    let status = |letter: u8| {
        AttendanceStatus::ALL.into_iter().find(|status| status.as_str().as_bytes().first() == Some(&letter))
    };
    Ok(StandingRow {
        person: PersonId(row.try_get::<Uuid, _>("id")?),
        name: row.try_get("name")?,
        external_id: row.try_get("external_id")?,
        standing: Standing {
            tally: tally(row)?,
            arrivals: read_arrivals(row)?,
            streak: run.bytes().filter_map(status).collect::<Streak>(),
        },
    })
}
