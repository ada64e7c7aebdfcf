//! Who was expected in a session when it closed stays so, whoever comes to its course or leaves it later.
#![allow(clippy::unwrap_used, reason = "helpers of tests are tests")]

use std::path::PathBuf;

use chrono::{TimeZone, Utc};
use rollcall_pipeline::{PersonId, WallTime};
use rollcall_store::testing::{current_database, database, store};
use rollcall_store::{Actor, Change, Finding, Scope, SessionDetail, Store};
use sqlx::{AssertSqlSafe, ConnectOptions, Executor, PgConnection};
use uuid::Uuid;

const COURSE: Uuid = Uuid::from_u128(9);
const ADA: Uuid = Uuid::from_u128(11);
const GRACE: Uuid = Uuid::from_u128(12);
const MARY: Uuid = Uuid::from_u128(13);
/// Two sessions of the course, one after the other.
const FIRST: Uuid = Uuid::from_u128(1);
const SECOND: Uuid = Uuid::from_u128(2);
/// One of the course by hand, with Ada alone on its list.
const BY_HAND: Uuid = Uuid::from_u128(3);

fn at(hour: u32) -> WallTime {
    Utc.with_ymd_and_hms(2026, 3, 2, hour, 0, 0).unwrap()
}

/// A course of Ada and Grace, and a Mary who is not in it.
async fn seed(db: &mut PgConnection) {
    let session = |id: Uuid, origin: &str, hour: u32| {
        let (starts, ends) = (at(hour), at(hour + 1));
        format!("('{id}', 'hall', 'timetabled', '{origin}', '{COURSE}', '{starts}', '{ends}', '2026-03-02')")
    };
    let sessions = [session(FIRST, "timetable", 8), session(SECOND, "timetable", 10), session(BY_HAND, "one_off", 12)];
    run(
        db,
        &format!(
            "insert into rooms (id) values ('hall');
             insert into people (id, name) values ('{ADA}', 'Ada'), ('{GRACE}', 'Grace'), ('{MARY}', 'Mary');
             insert into courses (id, site_id, name) values ('{COURSE}', 'main', 'Physics');
             insert into enrolments (course_id, person_id) values ('{COURSE}', '{ADA}'), ('{COURSE}', '{GRACE}');
             insert into sessions (id, room_id, kind, origin, course_id, starts_at, ends_at, local_date) values {}",
            sessions.join(", ")
        ),
    )
    .await;
}

async fn run(db: &mut PgConnection, sql: &str) {
    db.execute(AssertSqlSafe(sql.to_owned())).await.unwrap();
}

/// With that course.
async fn seeded() -> (Store, PgConnection) {
    let store = store().await;
    let mut db = current_database(&store).await.connect().await.unwrap();
    seed(&mut db).await;
    let mut change = store.change(Actor::system("test")).await.unwrap();
    change.put_session_people(BY_HAND, &[ADA]).await.unwrap();
    change.commit().await.unwrap();
    (store, db)
}

/// Mary comes to the course, and Ada leaves it.
async fn mary_for_ada(db: &mut PgConnection) {
    run(db, &format!("update enrolments set person_id = '{MARY}' where person_id = '{ADA}'")).await;
}

/// Closes a session, or judges a closed one anew: whoever was not seen is absent.
async fn settle(store: &Store, session: Uuid, state: &str) {
    let settling = store.settling(session, state).await.unwrap().unwrap();
    let absent =
        |person: &PersonId| Finding { person: *person, absent: true, reason: "not_seen", minutes_present: None };
    let findings: Vec<Finding> = settling.expected.iter().map(absent).collect();
    settling.settle(&findings, None).await.unwrap();
}

/// Who is expected in a session or stands in its register, by name: whether they are expected, and what counts.
async fn roster(store: &Store, session: Uuid) -> Vec<(String, bool, String)> {
    let rows = store.roster(session, None, 10).await.unwrap();
    rows.into_iter().map(|row| (row.name, row.expected, row.status.unwrap_or_default())).collect()
}

fn expected(name: &str, status: &str) -> (String, bool, String) {
    (name.to_owned(), true, status.to_owned())
}

/// Whom the matcher takes to be expected; `None`: whoever is in the course.
async fn matched(store: &Store, session: Uuid) -> Option<Vec<Uuid>> {
    let places = store.places(at(0), at(23)).await.unwrap();
    places.sessions.into_iter().find(|place| place.id == session).unwrap().people
}

async fn lock(change: &mut Change<'_>, session: Uuid) -> SessionDetail {
    change.lock_session(&Scope::Everywhere, session).await.unwrap().unwrap()
}

#[tokio::test]
async fn a_roster_that_changes_later_changes_no_session_that_is_closed() {
    let (store, mut db) = seeded().await;
    settle(&store, FIRST, "planned").await;
    let board = store.reading().await.unwrap().board_people(&[FIRST], 10).await.unwrap();
    mary_for_ada(&mut db).await;
    assert_eq!(roster(&store, FIRST).await, [expected("Ada", "absent"), expected("Grace", "absent")]);
    assert_eq!(store.reading().await.unwrap().board_people(&[FIRST], 10).await.unwrap(), board);
    assert_eq!(store.session(&Scope::Everywhere, FIRST).await.unwrap().unwrap().expected, 2);
    assert!(store.is_expected(FIRST, PersonId(ADA)).await.unwrap());
    assert!(!store.is_expected(FIRST, PersonId(MARY)).await.unwrap());
    assert_eq!(matched(&store, FIRST).await, Some(vec![ADA, GRACE]));
    assert_eq!(roster(&store, SECOND).await, [expected("Grace", ""), expected("Mary", "")], "it is to come");
    assert_eq!(matched(&store, SECOND).await, None);
}

#[tokio::test]
async fn a_late_mark_is_judged_by_the_roster_of_the_closing() {
    let (store, mut db) = seeded().await;
    settle(&store, FIRST, "planned").await;
    mary_for_ada(&mut db).await;
    let seen = at(8);
    let mark = format!(
        "insert into marks (session_id, person_id, session_date, status, captured_at, time_source, event_id, camera,
             similarity, margin, shots, gallery_version, model_id, liveness, first_seen_at, last_seen_at)
         values ('{FIRST}', '{GRACE}', '2026-03-02', 'present', '{seen}', 'ntp', '{FIRST}', 'door-1', 0.7, 0.3, 3, 1, 'm',
             'live', '{seen}', '{seen}')"
    );
    run(&mut db, &mark).await;
    let late = store.sessions_with_late_marks(at(0)).await.unwrap();
    assert_eq!(late.iter().map(|session| session.id).collect::<Vec<_>>(), [FIRST]);
    settle(&store, FIRST, "closed").await;
    assert_eq!(roster(&store, FIRST).await, [expected("Ada", "absent"), expected("Grace", "present")]);
}

#[tokio::test]
async fn a_list_expects_nobody_once_all_on_it_are_erased() {
    let (store, _db) = seeded().await;
    assert_eq!(roster(&store, BY_HAND).await, [expected("Ada", "")]);
    settle(&store, FIRST, "planned").await;
    assert!(store.delete_person(PersonId(ADA)).await.unwrap());
    assert_eq!(roster(&store, FIRST).await, [expected("Grace", "absent")], "nothing is left of her");
    assert_eq!((roster(&store, BY_HAND).await, matched(&store, BY_HAND).await), (vec![], Some(vec![])));
    settle(&store, BY_HAND, "planned").await;
    assert_eq!(roster(&store, BY_HAND).await, []);
}

#[tokio::test]
async fn a_list_that_is_taken_away_leaves_the_course() {
    let (store, _db) = seeded().await;
    let mut change = store.change(Actor::system("test")).await.unwrap();
    change.put_session_people(BY_HAND, &[]).await.unwrap();
    change.commit().await.unwrap();
    assert_eq!(roster(&store, BY_HAND).await, [expected("Ada", ""), expected("Grace", "")]);
    assert_eq!(matched(&store, BY_HAND).await, None);
}

#[tokio::test]
async fn a_session_that_is_restored_expects_whoever_is_in_the_course_when_it_closes() {
    let (store, mut db) = seeded().await;
    let mut change = store.change(Actor::system("test")).await.unwrap();
    let planned = lock(&mut change, FIRST).await;
    change.cancel_session(&planned, "fire alarm").await.unwrap();
    change.commit().await.unwrap();
    mary_for_ada(&mut db).await;
    let mut change = store.change(Actor::system("test")).await.unwrap();
    let cancelled = lock(&mut change, FIRST).await;
    change.restore_session(&cancelled, "held after all").await.unwrap();
    change.commit().await.unwrap();
    settle(&store, FIRST, "planned").await;
    run(&mut db, "delete from enrolments").await;
    assert_eq!(roster(&store, FIRST).await, [expected("Grace", "absent"), expected("Mary", "absent")]);
}

async fn expected_in(db: &mut PgConnection, session: Uuid) -> Vec<Uuid> {
    let sql = "select person_id from expected_people where session_id = $1 order by 1";
    sqlx::query_scalar(sql).bind(session).fetch_all(db).await.unwrap()
}

#[tokio::test]
async fn what_was_closed_before_rosters_were_kept_stays_as_it_was() {
    let migrations = std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/../migrations")).unwrap();
    let mut migrations: Vec<PathBuf> = migrations.map(|entry| entry.unwrap().path()).collect();
    migrations.sort();
    let of_rosters = migrations.iter().position(|path| path.ends_with("0021_closed_rosters.sql")).unwrap();
    let sql = |path: &PathBuf| std::fs::read_to_string(path).unwrap();
    let mut db = database(false).await.connect().await.unwrap();
    for path in &migrations[..of_rosters] {
        run(&mut db, &sql(path)).await;
    }
    seed(&mut db).await;
    run(&mut db, &format!("insert into session_people (session_id, person_id) values ('{BY_HAND}', '{ADA}')")).await;
    run(&mut db, &format!("update sessions set state = 'closed' where id <> '{SECOND}'")).await;
    run(&mut db, &sql(&migrations[of_rosters])).await;
    mary_for_ada(&mut db).await;
    assert_eq!(expected_in(&mut db, FIRST).await, [ADA, GRACE]);
    assert_eq!(expected_in(&mut db, SECOND).await, [GRACE, MARY]);
    assert_eq!(expected_in(&mut db, BY_HAND).await, [ADA]);
    run(&mut db, &format!("delete from people where id = '{ADA}'")).await;
    assert_eq!(expected_in(&mut db, FIRST).await, [GRACE]);
    assert_eq!(expected_in(&mut db, BY_HAND).await, Vec::<Uuid>::new());
}
