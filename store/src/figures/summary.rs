//! Everything that can be counted in any order, in one pass.

use chrono::Weekday;
use rollcall_attendance::analytics::{Arrivals, Summary};
use sqlx::postgres::PgRow;
use sqlx::{PgConnection, Postgres, QueryBuilder, Row};

use super::filter::{FiguresFilter, Source};
use super::{count, tally};
use crate::{Scope, Store, StoreError};

/// Buckets of arrivals.
pub(super) const BUCKETS: usize = Arrivals::EDGES.len() + 1;

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
    // Counted hour by hour of each day, then put together here: some hundred rows go out, not thousands.
    let sums = ["sessions", "present", "late", "absent", "excused"].map(sum).join(", ");
    let buckets = (1..=BUCKETS).map(|i| format!("coalesce(sum(f.arrivals[{i}]), 0)::bigint")).collect::<Vec<_>>();
    let mut query = QueryBuilder::<Postgres>::new(format!(
        "select f.week, f.weekday, f.hour, {sums}, array[{}] as arrivals from (
             select date_trunc('week', {place}.local_date::timestamp)::date as week,
                    extract(isodow from {place}.local_date)::smallint as weekday,
                    extract(hour from {place}.starts_at at time zone coalesce(r.time_zone, z.time_zone))::smallint as hour,
                    {}, {} as arrivals",
        buckets.join(", "),
        source.counts(),
        arrivals(source)
    ));
    source.push(&mut query, scope, filter);
    query.push(" group by 1, 2, 3) f group by grouping sets ((f.week), (f.weekday, f.hour), ())");
    let mut whole = RegisterSummary::default();
    for row in query.build().fetch_all(connection).await? {
        add(&mut whole, &row)?;
    }
    Ok(whole)
}

fn sum(column: &str) -> String {
    format!("coalesce(sum(f.{column}), 0)::bigint as {column}")
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

/// Adds a week, an hour of the week, or the row of everything.
fn add(whole: &mut RegisterSummary, row: &PgRow) -> Result<(), sqlx::Error> {
    let tally = tally(row)?;
    let weekday =
        row.try_get::<Option<i16>, _>("weekday")?.and_then(|n| Weekday::try_from(u8::try_from(n - 1).ok()?).ok());
    if let Some(week) = row.try_get("week")? {
        whole.summary.weeks.add(week, tally);
    } else if let Some(weekday) = weekday {
        whole.summary.heat_map.add(weekday, row.try_get::<i16, _>("hour")?.unsigned_abs(), tally);
    } else {
        whole.sessions = count(row, "sessions")?;
        whole.summary.tally = tally;
        whole.summary.arrivals = read_arrivals(row)?;
    }
    Ok(())
}
