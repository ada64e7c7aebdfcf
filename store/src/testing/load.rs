//! A register as large as years of a big site, in seconds.

use std::ops::RangeInclusive;

use chrono::{Days, NaiveDate};
use sqlx::PgConnection;
use uuid::Uuid;

use crate::{Store, StoreError};

/// What is there afterwards. Everything is at one site, `big`, in Berlin.
#[derive(Clone, Debug)]
pub struct Load {
    /// The first date.
    pub from: NaiveDate,
    /// The last date.
    pub to: NaiveDate,
    /// Courses, each in a room of its own.
    pub courses: Vec<Uuid>,
    /// Rooms.
    pub rooms: Vec<String>,
    /// People.
    pub people: Vec<Uuid>,
    /// Rows of the register.
    pub rows: u64,
}

/// Rooms, and courses.
const ROOMS: i32 = 100;
/// People of a course.
const COURSE: i32 = 50;
/// People.
const PEOPLE: i32 = 5_000;

/// Fills the register with some `rows` rows up to `today`: 100 courses of 50 people each, a session a day. Triggers do not run;
/// tallies and runs are made at the end.
///
/// # Errors
/// When the database does not want it.
pub async fn fill_register(store: &Store, rows: u64, today: NaiveDate) -> Result<Load, StoreError> {
    let days = i32::try_from(rows / u64::from((ROOMS * COURSE).unsigned_abs())).unwrap_or(1).max(1);
    let from = today.checked_sub_days(Days::new(u64::from(days.unsigned_abs()) - 1)).unwrap_or(today);
    let mut tx = store.pool.begin().await?;
    for sql in [
        "set local session_replication_role = replica",
        "set local statement_timeout = 0",
        "insert into sites (id, name, time_zone) values ('big', 'Big', 'Europe/Berlin')",
    ] {
        sqlx::query(sql).execute(&mut *tx).await?;
    }
    make_rooms_people_and_courses(&mut tx).await?;
    make_sessions(&mut tx, from, days).await?;
    let written = make_rows(&mut tx).await?;
    sum_up(&mut tx).await?;
    tx.commit().await?;
    sqlx::query("vacuum analyze").execute(&store.pool).await?;
    let courses = ids(store, "c", 1..=ROOMS).await?;
    let people = ids(store, "p", 0..=PEOPLE - 1).await?;
    let rooms = (1..=ROOMS).map(|i| format!("big-{i}")).collect();
    Ok(Load { from, to: today, courses, rooms, people, rows: written })
}

async fn make_rooms_people_and_courses(db: &mut PgConnection) -> Result<(), StoreError> {
    sqlx::query("insert into rooms (id, site_id, name, managed_by) select 'big-' || i, 'big', 'Room ' || i, 'api' from generate_series(1, $1) i")
        .bind(ROOMS)
        .execute(&mut *db)
        .await?;
    sqlx::query("insert into people (id, name, external_id) select md5('p' || i)::uuid, 'Person ' || i, 'N' || i from generate_series(0, $1 - 1) i")
        .bind(PEOPLE)
        .execute(&mut *db)
        .await?;
    sqlx::query("insert into courses (id, site_id, name, code) select md5('c' || i)::uuid, 'big', 'Course ' || i, 'C' || i from generate_series(1, $1) i")
        .bind(ROOMS)
        .execute(db)
        .await?;
    Ok(())
}

async fn make_sessions(db: &mut PgConnection, from: NaiveDate, days: i32) -> Result<(), StoreError> {
    sqlx::query(
        "insert into sessions (id, room_id, kind, starts_at, ends_at, local_date, origin, course_id, state)
         select md5('s' || c || '.' || n)::uuid, 'big-' || c, 'timetabled', t, t + interval '1 hour', $1 + n, 'timetable',
                md5('c' || c)::uuid, 'closed'
         from generate_series(1, $2) c, generate_series(0, $3 - 1) n,
              lateral (select ($1 + n + make_interval(hours => 8 + (c + n) % 9)) at time zone 'Europe/Berlin' as t) at",
    )
    .bind(from)
    .bind(ROOMS)
    .bind(days)
    .execute(db)
    .await?;
    Ok(())
}

/// Returns how many.
async fn make_rows(db: &mut PgConnection) -> Result<u64, StoreError> {
    // Day by day, as a register grows.
    let made = sqlx::query(
        "insert into register (session_id, person_id, site_id, room_id, course_id, starts_at, local_date, status, source,
                               arrived_at, minutes_from_start, camera, similarity)
         select s.id, md5('p' || (split_part(s.room_id, '-', 2)::integer * $1 + k) % $2)::uuid, 'big', s.room_id, s.course_id,
                s.starts_at, s.local_date,
                case when x < 0.8 then 'present' when x < 0.9 then 'late' when x < 0.97 then 'absent' else 'excused' end,
                case when x < 0.9 then 'camera' else 'closing' end,
                case when x < 0.9 then s.starts_at + make_interval(secs => minutes * 60) end,
                case when x < 0.9 then minutes end, case when x < 0.9 then 'door' end, case when x < 0.9 then 0.6 end
         from sessions s, generate_series(1, $1) k,
              lateral (select (hashtextextended(s.id::text, k) & 65535) / 65536.0 as x) draw,
              lateral (select case when x < 0.8 then x * 18 - 14 else (x - 0.8) * 250 + 5 end as minutes) came
         where s.room_id like 'big-%' order by s.starts_at",
    )
    .bind(COURSE)
    .bind(PEOPLE)
    .execute(db)
    .await?;
    Ok(made.rows_affected())
}

/// What triggers keep of the rows.
async fn sum_up(db: &mut PgConnection) -> Result<(), StoreError> {
    sqlx::query(
        "insert into closed_rosters (session_id, person_id) select session_id, person_id from register where site_id = 'big'",
    )
    .execute(&mut *db)
    .await?;
    sqlx::query(
        "insert into session_tallies (session_id, present, late, absent, excused, arrivals)
         select session_id, count(*) filter (where status = 'present'), count(*) filter (where status = 'late'),
                count(*) filter (where status = 'absent'), count(*) filter (where status = 'excused'),
                array(select count(*) filter (where b = i)::integer
                      from generate_series(0, 10) i, unnest(array_agg(arrival_bucket(minutes_from_start))) b group by i
                      order by i)
         from register where site_id = 'big' group by session_id",
    )
    .execute(&mut *db)
    .await?;
    sqlx::query(
        "insert into person_runs (person_id, site_id, month, run)
         select person_id, site_id, date_trunc('month', local_date)::date,
                string_agg(run_entry(local_date, status, minutes_from_start), '' order by starts_at, session_id)
         from register where site_id = 'big' group by 1, 2, 3",
    )
    .execute(db)
    .await?;
    Ok(())
}

async fn ids(store: &Store, of: &str, numbers: RangeInclusive<i32>) -> Result<Vec<Uuid>, StoreError> {
    let sql = "select md5($1 || i)::uuid from generate_series($2, $3) i order by i";
    Ok(sqlx::query_scalar(sql).bind(of).bind(*numbers.start()).bind(*numbers.end()).fetch_all(&store.pool).await?)
}
