//! Figures of the register, against what `attendance` makes of the same rows.
#![allow(clippy::unwrap_used, reason = "helpers of tests are tests")]

use chrono::{DateTime, Datelike, Days, NaiveDate, TimeDelta, Timelike, Utc};
use chrono_tz::Europe::Berlin;
use rollcall_attendance::analytics::weeks::monday;
use rollcall_attendance::analytics::{Arrivals, AttendanceRow, Summary, standings};
use rollcall_attendance::{AttendanceStatus, Tally};
use rollcall_pipeline::{PersonId, SessionId};
use rollcall_store::testing::{KEY, current_database, store};
use rollcall_store::{FiguresBy, FiguresFilter, RegisterSummary, Scope, Sealer, Store};
use sqlx::{ConnectOptions, Connection, PgConnection};
use uuid::Uuid;

const ROOMS: u128 = 3;
const PEOPLE: u128 = 7;
const DAYS: u64 = 20;

fn first_day() -> NaiveDate {
    NaiveDate::from_ymd_opt(2026, 3, 16).unwrap()
}

fn everything() -> FiguresFilter {
    let to = first_day() + Days::new(DAYS);
    FiguresFilter { from: first_day(), to, site: None, room: None, course: None, group: None, person: None }
}

fn group() -> Uuid {
    Uuid::from_u128(900)
}

fn course(room: u128) -> Uuid {
    Uuid::from_u128(100 + room)
}

/// Two sites (rooms 0 and 1, room 2) in Berlin, over the beginning of summer time; everybody is in one group.
struct Seed {
    connection: PgConnection,
    rows: Vec<AttendanceRow>,
}

async fn seed(store: &Store) -> Seed {
    let mut db = current_database(store).await.connect().await.unwrap();
    let sql = "insert into sites (id, name, time_zone) values ('a', 'A', 'Europe/Berlin'), ('b', 'B', 'Europe/Berlin')";
    sqlx::query(sql).execute(&mut db).await.unwrap();
    sqlx::query("insert into groups (id, name) values ($1, 'All')").bind(group()).execute(&mut db).await.unwrap();
    for person in 0..PEOPLE {
        let id = Uuid::from_u128(1 + person);
        let sql = "with p as (insert into people (id, name, external_id) values ($1, $2, $2) returning id)
                   insert into group_members (group_id, person_id) select $3, $1 from p";
        // The foreign key is looked at when the statement ends.
        sqlx::query(sql).bind(id).bind(format!("P{person}")).bind(group()).execute(&mut db).await.unwrap();
    }
    let (mut rows, mut numbers) = (Vec::new(), numbers());
    for room in 0..ROOMS {
        let (id, site) = (format!("room-{room}"), if room < 2 { "a" } else { "b" });
        sqlx::query("insert into rooms (id, site_id) values ($1, $2)")
            .bind(&id)
            .bind(site)
            .execute(&mut db)
            .await
            .unwrap();
        let sql = "insert into courses (id, site_id, name, code) values ($1, $2, $3, $3)";
        sqlx::query(sql).bind(course(room)).bind(site).bind(format!("C{room}")).execute(&mut db).await.unwrap();
        for day in 0..DAYS {
            let hour = u32::try_from(numbers.next().unwrap() % 24).unwrap();
            session(&mut db, &mut rows, &mut numbers, room, first_day() + Days::new(day), hour).await;
        }
    }
    Seed { connection: db, rows }
}

async fn session(
    db: &mut PgConnection,
    rows: &mut Vec<AttendanceRow>,
    numbers: &mut impl Iterator<Item = u64>,
    room: u128,
    date: NaiveDate,
    hour: u32,
) {
    // The hour that the clock jumps over is the next one.
    let local = date.and_hms_opt(hour, 30, 0).unwrap();
    let starts = local
        .and_local_timezone(Berlin)
        .earliest()
        .unwrap_or_else(|| (local + TimeDelta::hours(1)).and_local_timezone(Berlin).unwrap());
    let utc: DateTime<Utc> = starts.to_utc();
    let id = Uuid::new_v5(&course(room), local.to_string().as_bytes());
    sqlx::query(
        "insert into sessions (id, room_id, kind, starts_at, ends_at, local_date, course_id, origin)
         values ($1, $2, 'timetabled', $3, $3 + interval '1 hour', $4, $5, 'timetable')",
    )
    .bind(id)
    .bind(format!("room-{room}"))
    .bind(utc)
    .bind(date)
    .bind(course(room))
    .execute(&mut *db)
    .await
    .unwrap();
    for person in 0..PEOPLE {
        let number = numbers.next().unwrap();
        // Every fifth is nobody's business.
        let status = AttendanceStatus::ALL.get((number % 5) as usize).copied();
        let minutes = status.filter(|s| s.attended() == Some(true)).map(|_| (number / 5 % 1_000) as f32 / 10.0 - 35.0);
        sqlx::query(
            "insert into register (session_id, person_id, site_id, room_id, course_id, starts_at, local_date, status, source,
                                   minutes_from_start)
             select $1, $2, r.site_id, r.id, $4, $5, $6, $7, 'camera', $8 from rooms r where r.id = $3",
        )
        .bind(id)
        .bind(Uuid::from_u128(1 + person))
        .bind(format!("room-{room}"))
        .bind(course(room))
        .bind(utc)
        .bind(date)
        .bind(status.map_or("off_roster", AttendanceStatus::as_str))
        .bind(minutes)
        .execute(&mut *db)
        .await
        .unwrap();
        rows.extend(status.map(|status| AttendanceRow {
            person: PersonId(Uuid::from_u128(1 + person)),
            session: SessionId(id),
            course: Some(course(room)),
            local_date: date,
            start_minute: u16::try_from(starts.hour() * 60 + starts.minute()).unwrap(),
            status,
            minutes_from_start: minutes,
        }));
    }
}

fn numbers() -> impl Iterator<Item = u64> {
    std::iter::successors(Some(88_172_645_463_325_252_u64), |n| {
        let n = n ^ (n << 13);
        let n = n ^ (n >> 7);
        Some(n ^ (n << 17))
    })
    .map(|n| n >> 16)
}

async fn summary(store: &Store, scope: &Scope, filter: &FiguresFilter) -> RegisterSummary {
    store.register_summary(scope, filter).await.unwrap()
}

fn expected(rows: &[AttendanceRow], chosen: impl Fn(&AttendanceRow) -> bool) -> RegisterSummary {
    let rows: Vec<_> = rows.iter().filter(|row| chosen(row)).copied().collect();
    let mut sessions: Vec<_> = rows.iter().map(|row| row.session).collect();
    sessions.sort();
    sessions.dedup();
    RegisterSummary { sessions: sessions.len() as u64, summary: rows.iter().collect::<Summary>() }
}

#[tokio::test]
async fn postgresql_counts_as_the_rules_do() {
    let store = store().await;
    let Seed { rows, .. } = seed(&store).await;
    let all = everything();
    assert_eq!(summary(&store, &Scope::Everywhere, &all).await, expected(&rows, |_| true));
    // Of the rows and not of the tallies.
    let of_group = FiguresFilter { group: Some(group()), ..all.clone() };
    assert_eq!(summary(&store, &Scope::Everywhere, &of_group).await, expected(&rows, |_| true));
    let somebody = PersonId(Uuid::from_u128(3));
    let of_person = FiguresFilter { person: Some(somebody), ..all.clone() };
    let their = expected(&rows, |row| row.person == somebody);
    assert_eq!(summary(&store, &Scope::Everywhere, &of_person).await, their);
    assert_eq!(summary(&store, &Scope::Person(somebody), &all).await, their);
    let of_course = FiguresFilter { course: Some(course(1)), ..all.clone() };
    assert_eq!(summary(&store, &Scope::Everywhere, &of_course).await, expected(&rows, |r| r.course == Some(course(1))));
    let some_days = FiguresFilter { from: first_day() + Days::new(3), to: first_day() + Days::new(5), ..all };
    let chosen = |row: &AttendanceRow| row.local_date >= some_days.from && row.local_date <= some_days.to;
    assert_eq!(summary(&store, &Scope::Everywhere, &some_days).await, expected(&rows, chosen));
}

#[tokio::test]
async fn nobody_sees_figures_of_other_places() {
    let store = store().await;
    let Seed { rows, .. } = seed(&store).await;
    let at = |room: u128| move |row: &AttendanceRow| row.course == Some(course(room));
    let places = |sites: &[&str], rooms: &[&str]| Scope::Places {
        sites: sites.iter().map(|&s| s.to_owned()).collect(),
        rooms: rooms.iter().map(|&s| s.to_owned()).collect(),
    };
    for group in [None, Some(group())] {
        let all = FiguresFilter { group, ..everything() };
        assert_eq!(summary(&store, &places(&[], &[]), &all).await, RegisterSummary::default());
        assert_eq!(summary(&store, &places(&["b"], &[]), &all).await, expected(&rows, at(2)));
        assert_eq!(summary(&store, &places(&[], &["room-1"]), &all).await, expected(&rows, at(1)));
        let other = FiguresFilter { site: Some("a".to_owned()), ..all };
        assert_eq!(summary(&store, &places(&["b"], &[]), &other).await, RegisterSummary::default());
    }
    let scope = places(&["b"], &[]);
    let standings = store.standings(&scope, &everything()).await.unwrap();
    let tally: Tally = standings.iter().map(|row| row.standing.tally).sum();
    assert_eq!(tally, expected(&rows, at(2)).summary.tally);
    let mut reading = store.read_figures(scope, everything()).await.unwrap();
    reading.open_lines().await.unwrap();
    let lines = reading.next_lines().await.unwrap();
    assert!(!lines.is_empty() && lines.iter().all(|line| line.room == "room-2"));
    assert!(store.figures_person(&places(&["c"], &[]), PersonId(Uuid::from_u128(1))).await.unwrap().is_none());
}

#[tokio::test]
async fn tallies_follow_the_register() {
    let store = store().await;
    let Seed { connection: mut db, mut rows } = seed(&store).await;
    let same = async |db: &mut PgConnection, rows: &[AttendanceRow]| {
        assert_eq!(summary(&store, &Scope::Everywhere, &everything()).await, expected(rows, |_| true));
        let lost: i64 = sqlx::query_scalar(
            "select count(*) from session_tallies where least(present, late, absent, excused) < 0 or 0 > any(arrivals)",
        )
        .fetch_one(db)
        .await
        .unwrap();
        assert_eq!(lost, 0);
    };
    // What was late is excused; who came absurdly late was on time.
    sqlx::query("update register set status = 'excused' where status = 'late'").execute(&mut db).await.unwrap();
    sqlx::query("update register set minutes_from_start = 0 where minutes_from_start > 50")
        .execute(&mut db)
        .await
        .unwrap();
    for row in &mut rows {
        if row.status == AttendanceStatus::Late {
            row.status = AttendanceStatus::Excused;
        }
        row.minutes_from_start = row.minutes_from_start.map(|m| if m > 50.0 { 0.0 } else { m });
    }
    same(&mut db, &rows).await;
    sqlx::query("update register set status = 'void' where status = 'absent'").execute(&mut db).await.unwrap();
    rows.retain(|row| row.status != AttendanceStatus::Absent);
    same(&mut db, &rows).await;
    sqlx::query("delete from people where id = $1").bind(Uuid::from_u128(2)).execute(&mut db).await.unwrap();
    rows.retain(|row| row.person.0 != Uuid::from_u128(2));
    same(&mut db, &rows).await;
    sqlx::query("delete from register where room_id = 'room-0'").execute(&mut db).await.unwrap();
    rows.retain(|row| row.course != Some(course(0)));
    same(&mut db, &rows).await;
    db.close().await.unwrap();
}

#[tokio::test]
async fn standings_are_those_of_the_rules() {
    let store = store().await;
    let Seed { rows, .. } = seed(&store).await;
    let check = async |scope: Scope, filter: FiguresFilter, chosen: &dyn Fn(&AttendanceRow) -> bool| {
        let theirs = standings(&rows.iter().filter(|row| chosen(row)).copied().collect::<Vec<_>>());
        let ours = store.standings(&scope, &filter).await.unwrap();
        assert_eq!(ours.len(), theirs.len(), "{filter:?}");
        for row in &ours {
            let standing = theirs[&row.person];
            assert_eq!((row.standing.tally, row.standing.arrivals), (standing.tally, standing.arrivals));
            assert_eq!(row.standing.streak.current(), standing.streak.current(), "{}", row.name);
            assert_eq!(row.standing.streak.best(), standing.streak.best(), "{}", row.name);
        }
    };
    let (all, at_a) = (everything(), FiguresFilter { site: Some("a".to_owned()), ..everything() });
    let room = |room: u128| move |row: &AttendanceRow| row.course == Some(course(room));
    let is_at_a = |row: &AttendanceRow| !room(2)(row);
    // Of two sites, of one, and of a part of one.
    check(Scope::Everywhere, all.clone(), &|_| true).await;
    check(Scope::Everywhere, at_a.clone(), &is_at_a).await;
    check(Scope::Everywhere, FiguresFilter { course: Some(course(1)), ..all.clone() }, &room(1)).await;
    let places = |sites: &[&str], rooms: &[&str]| Scope::Places {
        sites: sites.iter().map(|&s| s.to_owned()).collect(),
        rooms: rooms.iter().map(|&s| s.to_owned()).collect(),
    };
    check(places(&["b"], &[]), all.clone(), &room(2)).await;
    check(places(&["b"], &["room-0"]), all.clone(), &|row| room(2)(row) || room(0)(row)).await;
    check(places(&["b"], &[]), at_a.clone(), &|_| false).await;
    // A few days, and some over the end of a month.
    for (from, to) in [(3, 5), (12, 18), (16, 16)] {
        let (from, to) = (first_day() + Days::new(from), first_day() + Days::new(to));
        let days = |row: &AttendanceRow| (from..=to).contains(&row.local_date);
        check(Scope::Everywhere, FiguresFilter { from, to, ..at_a.clone() }, &|row| days(row) && is_at_a(row)).await;
        check(Scope::Everywhere, FiguresFilter { from, to, ..all.clone() }, &days).await;
    }
    let somebody = PersonId(Uuid::from_u128(3));
    let theirs = |row: &AttendanceRow| row.person == somebody && is_at_a(row);
    check(Scope::Person(somebody), at_a.clone(), &theirs).await;
    check(Scope::Everywhere, FiguresFilter { person: Some(somebody), ..at_a.clone() }, &theirs).await;
    check(Scope::Everywhere, FiguresFilter { group: Some(group()), ..at_a }, &is_at_a).await;
}

#[tokio::test]
async fn runs_follow_the_register() {
    let store = store().await;
    let Seed { connection: mut db, .. } = seed(&store).await;
    let changes = [
        "update register set status = 'excused', version = version + 1 where room_id = 'room-1' and status = 'absent'",
        "update register set status = 'void' where room_id = 'room-0' and status = 'late'",
        "update register set minutes_from_start = 7 where status = 'present'",
        "update register set local_date = local_date + 17, starts_at = starts_at + interval '17 days' where room_id = 'room-2'",
        "delete from register where room_id = 'room-0'",
        "delete from people where name = 'P1'",
    ];
    for change in changes {
        sqlx::query(change).execute(&mut db).await.unwrap();
        let differences: i64 = sqlx::query_scalar(
            "select count(*) from person_runs r
             full join (select person_id, site_id, date_trunc('month', local_date)::date as month,
                               string_agg(run_entry(local_date, status, minutes_from_start), ''
                                          order by starts_at, session_id) as run
                        from register where status in ('present', 'late', 'absent', 'excused') group by 1, 2, 3) x
                 using (person_id, site_id, month)
             where r.run is distinct from x.run",
        )
        .fetch_one(&mut db)
        .await
        .unwrap();
        assert_eq!(differences, 0, "{change}");
    }
    db.close().await.unwrap();
}

#[tokio::test]
async fn tables_add_up_to_the_whole_however_they_are_cut() {
    use FiguresBy::{Course, Day, Group, Month, Person, Session, Week};
    let store = store().await;
    let Seed { rows, .. } = seed(&store).await;
    let whole = expected(&rows, |_| true);
    for group in [None, Some(group())] {
        let filter = FiguresFilter { group, ..everything() };
        for (by, lines) in [(Session, 60), (Course, 3), (Group, 1), (Person, 7), (Day, 20), (Week, 3), (Month, 2)] {
            let table = store.figures(&Scope::Everywhere, &filter, by).await.unwrap();
            assert_eq!(table.len(), lines, "{by:?}");
            assert_eq!(table.iter().map(|line| line.tally).sum::<Tally>(), whole.summary.tally, "{by:?}");
            if !matches!(by, Group | Person) {
                assert_eq!(table.iter().map(|line| line.sessions).sum::<u64>(), whole.sessions, "{by:?}");
            }
            let mut reading = store.read_figures(Scope::Everywhere, filter.clone()).await.unwrap();
            assert_eq!(reading.summary().await.unwrap(), whole);
            reading.open_figures(by).await.unwrap();
            assert_eq!(reading.next_figures().await.unwrap(), table);
            assert!(reading.next_figures().await.unwrap().is_empty());
        }
    }
}

#[tokio::test]
async fn a_report_is_of_one_moment() {
    let store = store().await;
    let Seed { connection: mut db, rows } = seed(&store).await;
    let mut reading = store.read_figures(Scope::Everywhere, everything()).await.unwrap();
    let before = reading.summary().await.unwrap();
    sqlx::query("delete from register").execute(&mut db).await.unwrap();
    reading.open_lines().await.unwrap();
    let mut lines = Vec::new();
    loop {
        let chunk = reading.next_lines().await.unwrap();
        if chunk.is_empty() {
            break;
        }
        lines.extend(chunk);
    }
    assert!(lines.is_sorted_by_key(|line| line.starts_at));
    let counted = lines.iter().filter(|line| line.status != "off_roster").count();
    assert_eq!((counted, before), (rows.len(), expected(&rows, |_| true)));
    assert_eq!(summary(&store, &Scope::Everywhere, &everything()).await, RegisterSummary::default());
}

#[tokio::test]
async fn one_connection_reads_reports_of_many_kinds() {
    let many = store().await;
    let Seed { rows, .. } = seed(&many).await;
    let one = Store::new(current_database(&many).await, Sealer::new(KEY), 1);
    for by in [FiguresBy::Person, FiguresBy::Day] {
        let mut reading = one.read_figures(Scope::Everywhere, everything()).await.unwrap();
        reading.open_lines().await.unwrap();
        assert!(reading.next_lines().await.unwrap().len() > rows.len() / 2);
        drop(reading);
        let mut reading = one.read_figures(Scope::Everywhere, everything()).await.unwrap();
        reading.open_figures(by).await.unwrap();
        assert!(!reading.next_figures().await.unwrap().is_empty());
    }
}

#[tokio::test]
async fn arrivals_fall_into_the_buckets_of_the_rules() {
    let store = store().await;
    let mut db = current_database(&store).await.connect().await.unwrap();
    let around = Arrivals::EDGES.into_iter().flat_map(|edge| [edge.next_down(), edge, edge.next_up()]);
    let others = [f32::MIN, -1e6, -0.0, 7.3, 1e6, f32::MAX, f32::INFINITY, f32::NEG_INFINITY, f32::NAN];
    for minutes in around.chain(others) {
        let sql = "select arrival_bucket($1)";
        let ours: Option<i32> = sqlx::query_scalar(sql).bind(minutes).fetch_one(&mut db).await.unwrap();
        let mut arrivals = Arrivals::default();
        arrivals.add(minutes);
        let theirs = arrivals.buckets().position(|bucket| bucket.count == 1);
        assert_eq!(ours.map(|i| usize::try_from(i).unwrap()), theirs, "{minutes}");
    }
}

#[tokio::test]
async fn weeks_begin_where_postgresql_begins_them() {
    let store = store().await;
    let mut db = current_database(&store).await.connect().await.unwrap();
    let days: Vec<NaiveDate> =
        (0..4_000).map(|n| NaiveDate::from_ymd_opt(2019, 12, 1).unwrap() + Days::new(n)).collect();
    let sql =
        "select date_trunc('week', d::timestamp)::date from unnest($1::date[]) with ordinality as u(d, n) order by n";
    let weeks: Vec<NaiveDate> = sqlx::query_scalar(sql).bind(&days).fetch_all(&mut db).await.unwrap();
    for (day, week) in days.into_iter().zip(weeks) {
        assert_eq!(week, monday(day), "{day}");
        assert_eq!(week.num_days_from_ce() % 7, 1);
    }
}
