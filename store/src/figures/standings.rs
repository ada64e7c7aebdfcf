//! How people stand: tally, arrivals, streaks. Made of the runs of months, which triggers keep, where those can tell; else of
//! the register's rows, put in order.

use std::collections::HashMap;

use chrono::{Datelike, Days, NaiveDate};
use rollcall_attendance::analytics::{Arrivals, Standing, Streak};
use rollcall_attendance::{AttendanceStatus, Tally};
use rollcall_pipeline::PersonId;
use sqlx::postgres::PgRow;
use sqlx::{AssertSqlSafe, Postgres, QueryBuilder, Row};
use uuid::Uuid;

use super::filter::{FiguresFilter, Source};
use super::summary::BUCKETS;
use crate::row::all;
use crate::{Scope, Store, StoreError};

/// Sorting a year of a big site in less memory goes to disk.
const WORK_MEM: &str = "set local work_mem = '64MB'";
/// Day, status and arrival: `run_entry` in the migration.
const ENTRY: usize = 3;

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
    /// The standings of everybody in a part of the register, by name.
    ///
    /// # Errors
    /// When the database is away.
    pub async fn standings(&self, scope: &Scope, filter: &FiguresFilter) -> Result<Vec<StandingRow>, StoreError> {
        let sites_only = match scope {
            Scope::Everywhere | Scope::Person(_) => true,
            Scope::Places { rooms, .. } => rooms.is_empty(),
        };
        if !sites_only || filter.room.is_some() || filter.course.is_some() {
            return self.standings_of_rows(scope, filter, None).await;
        }
        let mut query = runs(scope, filter);
        let rows = query.build().fetch_all(&self.pool).await?;
        let mut standings = all(&rows, |row| of_runs(row, filter))?;
        // The runs of two sites do not say in which order they belong.
        let several = rows.iter().filter(|row| row.try_get("several").unwrap_or(false));
        let several = several.map(|row| row.try_get("id")).collect::<Result<Vec<Uuid>, _>>()?;
        if !several.is_empty() {
            let exact = self.standings_of_rows(scope, filter, Some(&several)).await?;
            let mut exact: HashMap<PersonId, StandingRow> = exact.into_iter().map(|row| (row.person, row)).collect();
            for row in &mut standings {
                if let Some(exact) = exact.remove(&row.person) {
                    *row = exact;
                }
            }
        }
        standings.retain(|row| row.standing.tally != Tally::default());
        Ok(standings)
    }

    async fn standings_of_rows(
        &self,
        scope: &Scope,
        filter: &FiguresFilter,
        people: Option<&[Uuid]>,
    ) -> Result<Vec<StandingRow>, StoreError> {
        // In order before they are grouped: an aggregate that sorts does so anew for each person, and takes twice the time.
        let mut query = QueryBuilder::<Postgres>::new(
            "select p.id, p.name, p.external_id, f.letters, f.minutes from (
                 select x.person_id, string_agg(left(x.status, 1), '') as letters,
                        array_agg(x.minutes_from_start)
                            filter (where x.status in ('present', 'late') and x.minutes_from_start is not null) as minutes
                 from (select x.person_id, x.status, x.minutes_from_start
                       from register x where x.status in ('present', 'late', 'absent', 'excused')",
        );
        Source::Rows.narrow(&mut query, scope, filter);
        if let Some(people) = people {
            query.push(" and x.person_id = any(").push_bind(people).push(")");
        }
        query.push(" order by x.person_id, x.starts_at, x.session_id) x group by x.person_id) f ");
        query.push("join people p on p.id = f.person_id order by p.name, p.id");
        let mut tx = self.pool.begin().await?;
        sqlx::query(AssertSqlSafe(WORK_MEM)).execute(&mut *tx).await?;
        let rows = query.build().fetch_all(&mut *tx).await?;
        tx.rollback().await?;
        all(&rows, of_rows)
    }
}

/// The runs of everybody at some sites, of all months that the period touches.
fn runs(scope: &Scope, filter: &FiguresFilter) -> QueryBuilder<Postgres> {
    let mut query = QueryBuilder::<Postgres>::new(
        "select p.id, p.name, p.external_id, f.* from (
             select x.person_id, array_agg(x.month order by x.month) as months, array_agg(x.run order by x.month) as runs,
                    min(x.site_id) <> max(x.site_id) as several
             from person_runs x where x.month between ",
    );
    query.push_bind(filter.from.with_day(1).unwrap_or(filter.from)).push(" and ").push_bind(filter.to);
    if let Some(id) = &filter.site {
        query.push(" and x.site_id = ").push_bind(id.clone());
    }
    match scope {
        Scope::Everywhere => {}
        Scope::Places { sites, .. } => {
            query.push(" and x.site_id = any(").push_bind(sites.clone()).push(")");
        }
        Scope::Person(person) => {
            query.push(" and x.person_id = ").push_bind(person.0);
        }
    }
    Source::of_people(&mut query, filter);
    query.push(" group by x.person_id) f join people p on p.id = f.person_id order by p.name, p.id");
    query
}

/// Reads rows that were put in order.
fn of_rows(row: &PgRow) -> Result<StandingRow, sqlx::Error> {
    let (letters, minutes): (String, Option<Vec<f32>>) = (row.try_get("letters")?, row.try_get("minutes")?);
    let mut standing = Standing::default();
    letters.bytes().filter_map(status).for_each(|status| count(&mut standing, status));
    minutes.into_iter().flatten().for_each(|minutes| standing.arrivals.add(minutes));
    of_person(row, standing)
}

/// Reads runs. Of whole months only what lies in the period counts.
fn of_runs(row: &PgRow, period: &FiguresFilter) -> Result<StandingRow, sqlx::Error> {
    let (months, runs): (Vec<NaiveDate>, Vec<String>) = (row.try_get("months")?, row.try_get("runs")?);
    let mut standing = Standing::default();
    let mut arrivals = [0; BUCKETS];
    for (run, month) in runs.iter().zip(months) {
        let in_period = |day: u8| {
            let date = month.checked_add_days(Days::new(u64::from(day.saturating_sub(b'A'))));
            date.is_none_or(|date| (period.from..=period.to).contains(&date))
        };
        for &[day, letter, bucket] in run.as_bytes().as_chunks::<ENTRY>().0 {
            let Some(status) = status(letter).filter(|_| in_period(day)) else { continue };
            count(&mut standing, status);
            let bucket = bucket.checked_sub(b'a').map(usize::from);
            if let Some(count) = bucket.and_then(|bucket| arrivals.get_mut(bucket)) {
                *count += 1;
            }
        }
    }
    standing.arrivals = Arrivals::from_counts(arrivals);
    of_person(row, standing)
}

fn count(standing: &mut Standing, status: AttendanceStatus) {
    standing.tally += Tally::one(status);
    standing.streak = standing.streak.then(Streak::one(status));
}

fn of_person(row: &PgRow, standing: Standing) -> Result<StandingRow, sqlx::Error> {
    let (person, name, external_id) = (PersonId(row.try_get("id")?), row.try_get("name")?, row.try_get("external_id")?);
    Ok(StandingRow { person, name, external_id, standing })
}

/// The status of a first letter. No two that are in figures have the same.
fn status(letter: u8) -> Option<AttendanceStatus> {
    AttendanceStatus::ALL.into_iter().find(|status| status.as_str().as_bytes().first() == Some(&letter))
}
