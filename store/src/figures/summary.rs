//! Everything that can be counted in any order, in one pass.

use chrono::{Datelike, NaiveDate};
use rollcall_attendance::analytics::{Arrivals, Summary};
use sqlx::postgres::PgRow;
use sqlx::{PgConnection, Postgres, QueryBuilder, Row};

use super::filter::{FiguresFilter, Source};
use super::{count, tally};
use crate::{Scope, Store, StoreError};

/// Buckets of arrivals.
const BUCKETS: usize = Arrivals::EDGES.len() + 1;

/// What a part of the register comes to.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct RegisterSummary {
    /// How many sessions.
    pub sessions: u64,
    /// The figures.
    pub summary: Summary,
}

impl Store {
    /// Sums up a part of the register.
    ///
    /// # Errors
    /// When the database is away.
    pub async fn register_summary(&self, scope: &Scope, filter: &FiguresFilter) -> Result<RegisterSummary, StoreError> {
        summary(&mut *self.pool.acquire().await?, scope, filter).await
    }
}

pub(super) async fn summary(
    connection: &mut PgConnection,
    scope: &Scope,
    filter: &FiguresFilter,
) -> Result<RegisterSummary, StoreError> {
    let source = Source::of(scope, filter);
    let place = source.place();
    let mut query = QueryBuilder::<Postgres>::new(format!(
        "select {place}.local_date,
                extract(hour from {place}.starts_at at time zone coalesce(r.time_zone, z.time_zone))::smallint as hour,
                {}, {} as arrivals",
        source.counts(),
        arrivals(source)
    ));
    source.push(&mut query, scope, filter);
    query.push(" group by 1, 2");
    let mut whole = RegisterSummary::default();
    for row in query.build().fetch_all(connection).await? {
        add(&mut whole, &row)?;
    }
    Ok(whole)
}

/// The buckets of arrivals as an array.
pub(super) fn arrivals(source: Source) -> String {
    let bucket = |i: usize| match source {
        Source::Sessions => format!("sum(t.arrivals[{}])::bigint", i + 1),
        Source::Rows => format!("count(*) filter (where x.bucket = {i})"),
    };
    format!("array[{}]", (0..BUCKETS).map(bucket).collect::<Vec<_>>().join(", "))
}

/// Reads what [`arrivals`] made.
pub(super) fn read_arrivals(row: &PgRow) -> Result<Arrivals, sqlx::Error> {
    let counts: Vec<i64> = row.try_get("arrivals")?;
    let mut buckets = [0; BUCKETS];
    for (bucket, count) in buckets.iter_mut().zip(counts) {
        *bucket = count.unsigned_abs();
    }
    Ok(Arrivals::from_counts(buckets))
}

fn add(whole: &mut RegisterSummary, row: &PgRow) -> Result<(), sqlx::Error> {
    let date: NaiveDate = row.try_get("local_date")?;
    let hour: i16 = row.try_get("hour")?;
    let tally = tally(row)?;
    whole.sessions += count(row, "sessions")?;
    whole.summary.tally += tally;
    whole.summary.weeks.add(date, tally);
    whole.summary.heat_map.add(date.weekday(), hour.unsigned_abs(), tally);
    whole.summary.arrivals.merge(&read_arrivals(row)?);
    Ok(())
}
