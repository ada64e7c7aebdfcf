//! The feed comes before the rows that others lock with it in their hands: nobody who waits for it keeps them from going on.
//! Nor does whoever waits for the gallery's state.
#![allow(clippy::unwrap_used, reason = "helpers of tests are tests")]

use chrono::{NaiveDate, TimeZone, Utc};
use rollcall_pipeline::{EventId, WallTime};
use rollcall_store::testing::{current_database, event_of_nobody, store, until_somebody_waits};
use rollcall_store::{
    Actor, CandidateRecord, EventRecord, FileRoom, MarkRecord, NewCorrection, Retention, Scope, SessionDetail,
    SessionRecord, Store,
};
use sqlx::{AssertSqlSafe, ConnectOptions, Connection};
use uuid::Uuid;

const SESSION: Uuid = Uuid::from_u128(1);
const MARKED: u128 = 2;
const STRANGER: Uuid = Uuid::from_u128(3);
const VISITOR: Uuid = Uuid::from_u128(4);
const COURSE: Uuid = Uuid::from_u128(5);
const ENTRY: Uuid = Uuid::from_u128(6);
const TEACHER: Uuid = Uuid::from_u128(7);
/// Whoever tells the feed holds this …
const FEED: &str = "select pg_advisory_xact_lock(hashtextextended('rollcall.feed', 0))";
/// … and whoever writes a person or a template this.
const GALLERY: &str = "update gallery_state set version = version + 1";

fn at(second: i64) -> WallTime {
    Utc.with_ymd_and_hms(2026, 3, 2, 8, 0, 0).unwrap() + chrono::Duration::seconds(second)
}

fn event(id: u128, kind: &str, person: Uuid) -> EventRecord {
    let named = kind == "recorded";
    let session = SessionRecord {
        id: SESSION,
        room: "room-1".to_owned(),
        kind: "timetabled".to_owned(),
        starts_at: at(0),
        ends_at: at(3600),
        local_date: NaiveDate::from_ymd_opt(2026, 3, 2).unwrap(),
    };
    EventRecord {
        person: named.then_some(person),
        candidates: vec![CandidateRecord { person, similarity: 0.5 }],
        first_usable_at: at(0),
        mark: named.then(|| MarkRecord { person, session, status: "present".to_owned() }),
        review: !named,
        sealed_crop: (!named).then(|| vec![7; 40]),
        ..event_of_nobody(Uuid::from_u128(id), kind, at(1))
    }
}

/// What `work` keeps from others of these rows while somebody else has the feed, of those who want them for `what`; then
/// it goes on.
async fn locked_before_the_feed(
    store: &Store,
    what: &str,
    rows: &[String],
    work: impl Future<Output = ()> + Send + 'static,
) -> Vec<String> {
    locked_before(FEED, store, what, rows, work).await
}

/// The same while somebody else `holds` something.
async fn locked_before(
    holds: &'static str,
    store: &Store,
    what: &str,
    rows: &[String],
    work: impl Future<Output = ()> + Send + 'static,
) -> Vec<String> {
    let options = current_database(store).await;
    let (mut db, mut watch) = (options.connect().await.unwrap(), options.connect().await.unwrap());
    let mut tx = db.begin().await.unwrap();
    sqlx::query(holds).execute(&mut *tx).await.unwrap();
    let work = tokio::spawn(work);
    until_somebody_waits(&mut watch).await;
    let mut locked = Vec::new();
    for row in rows {
        let mut step = tx.begin().await.unwrap();
        let sql = AssertSqlSafe(format!("select from {row} for {what} nowait"));
        if sqlx::query(sql).execute(&mut *step).await.is_err() {
            locked.push(row.clone());
        }
        step.rollback().await.unwrap();
    }
    tx.commit().await.unwrap();
    work.await.unwrap();
    locked
}

#[tokio::test]
async fn whoever_waits_for_the_feed_has_locked_nothing() {
    let store = store().await;
    let ada = store.upsert_person_by_name("Ada").await.unwrap().0;
    store.write_events(&[event(MARKED, "recorded", ada.0), event(3, "unknown", ada.0)]).await.unwrap();
    let mut db = current_database(&store).await.connect().await.unwrap();
    for sql in [
        format!("insert into visitors (id, first_seen_at, last_seen_at) values ('{VISITOR}', now(), now())"),
        format!("update review_items set visitor_id = '{VISITOR}' where event_id = '{STRANGER}'"),
    ] {
        sqlx::query(AssertSqlSafe(sql)).execute(&mut db).await.unwrap();
    }
    let rows = [
        format!("people where id = '{ada}'"),
        format!("sessions where id = '{SESSION}'"),
        format!("register where session_id = '{SESSION}'"),
        format!("review_items where event_id = '{STRANGER}'"),
        format!("visitors where id = '{VISITOR}'"),
    ];
    let nothing: [String; 0] = [];

    let at_work = store.clone();
    let marking = async move {
        at_work.write_events(&[event(9, "recorded", ada.0)]).await.unwrap();
    };
    assert_eq!(locked_before_the_feed(&store, "update", &rows, marking).await, nothing, "a mark");

    let at_work = store.clone();
    let correcting = async move {
        let correct = NewCorrection { session: SESSION, person: ada, kind: "excuse", reason: "ill", review: None };
        let mut change = at_work.change(Actor::system("test")).await.unwrap();
        let before = change.lock_standing(SESSION, ada).await.unwrap().unwrap();
        change.correct(&before, &correct).await.unwrap();
        change.commit().await.unwrap();
    };
    assert_eq!(locked_before_the_feed(&store, "update", &rows, correcting).await, nothing, "a correction");

    let at_work = store.clone();
    let rejecting = async move {
        let mut change = at_work.change(Actor::system("test")).await.unwrap();
        let item = change.lock_review(&Scope::Everywhere, EventId(STRANGER)).await.unwrap().unwrap();
        change.settle_review(&item, "rejected", None, None, at(9)).await.unwrap();
        change.commit().await.unwrap();
    };
    assert_eq!(locked_before_the_feed(&store, "update", &rows, rejecting).await, nothing, "a decision");

    let at_work = store.clone();
    let forgetting = async move {
        let mut change = at_work.change(Actor::system("test")).await.unwrap();
        assert!(change.forget_visitor(VISITOR).await.unwrap());
        change.commit().await.unwrap();
    };
    assert_eq!(
        locked_before_the_feed(&store, "update", &rows, forgetting).await,
        nothing,
        "a stranger who is forgotten"
    );

    let at_work = store.clone();
    let retaining = async move {
        let from = NaiveDate::from_ymd_opt(2026, 3, 3);
        let retention = Retention { crops_from: from, reviews_from: from, ..Retention::default() };
        at_work.apply_retention(&retention).await.unwrap();
    };
    assert_eq!(locked_before_the_feed(&store, "update", &rows, retaining).await, nothing, "retention");

    // The person is locked before, but against those alone who would change them.
    let at_work = store.clone();
    let erasing = async move { assert!(at_work.delete_person(ada).await.unwrap()) };
    assert_eq!(locked_before_the_feed(&store, "update", &rows[1..], erasing).await, nothing, "an erasure");
}

/// A session of a course, in a room, by a line of its timetable, and an account that teaches in it.
async fn course_with_a_session(store: &Store) {
    let mut change = store.change(Actor::system("test")).await.unwrap();
    change.add_room("room-1", "main", None, None).await.unwrap();
    change.commit().await.unwrap();
    let mut db = current_database(store).await.connect().await.unwrap();
    for sql in [
        format!("insert into accounts (id, login, name, role) values ('{TEACHER}', 't', 'T', 'teacher')"),
        format!("insert into courses (id, site_id, name) values ('{COURSE}', 'main', 'Physics')"),
        format!(
            "insert into timetable_entries (id, course_id, room_id, weekdays, starts, ends)
             values ('{ENTRY}', '{COURSE}', 'room-1', '{{1}}', '08:00', '09:00')"
        ),
        format!(
            "insert into sessions (id, room_id, kind, origin, starts_at, ends_at, local_date, course_id, entry_id, substitute_id)
             values ('{SESSION}', 'room-1', 'timetabled', 'timetable', '{}', '{}', '2026-03-02', '{COURSE}', '{ENTRY}', '{TEACHER}')",
            at(0),
            at(3600)
        ),
    ] {
        sqlx::query(AssertSqlSafe(sql)).execute(&mut db).await.unwrap();
    }
}

#[tokio::test]
async fn whoever_waits_for_the_feed_has_locked_no_place_course_or_account() {
    let store = store().await;
    course_with_a_session(&store).await;
    let rows = [
        "sites where id = 'main'".to_owned(),
        "rooms where id = 'room-1'".to_owned(),
        format!("courses where id = '{COURSE}'"),
        format!("timetable_entries where id = '{ENTRY}'"),
        format!("accounts where id = '{TEACHER}'"),
    ];
    let nothing: [String; 0] = [];

    let planned = store.session(&Scope::Everywhere, SESSION).await.unwrap().unwrap();
    let at_work = store.clone();
    let holding_once = async move {
        let mut change = at_work.change(Actor::system("test")).await.unwrap();
        change.hold_feed().await.unwrap();
        change.lock_course(&Scope::Everywhere, COURSE).await.unwrap().unwrap();
        let once_more = SessionDetail { id: Uuid::now_v7(), ..planned };
        change.add_session(&once_more, &[]).await.unwrap();
        change.commit().await.unwrap();
    };
    assert_eq!(locked_before_the_feed(&store, "update", &rows, holding_once).await, nothing, "a session by hand");

    // A mark waits with the feed for a room that is being changed.
    let at_work = store.clone();
    let mirroring = async move {
        let mut planning = at_work.planning().await.unwrap().unwrap();
        let room = FileRoom { id: "room-1".to_owned(), name: "Hall".to_owned(), time_zone: None };
        planning.mirror("Main", "Europe/Oslo", &[room]).await.unwrap();
        planning.commit().await.unwrap();
    };
    assert_eq!(locked_before_the_feed(&store, "update", &rows, mirroring).await, nothing, "places of the file");

    // Goes with its course.
    let at_work = store.clone();
    let removing_a_line = async move {
        let mut change = at_work.change(Actor::system("test")).await.unwrap();
        change.hold_feed().await.unwrap();
        let entry = change.lock_timetable_entry(&Scope::Everywhere, ENTRY).await.unwrap().unwrap();
        change.remove_timetable_entry(&entry).await.unwrap();
        change.commit().await.unwrap();
    };
    assert_eq!(locked_before_the_feed(&store, "update", &rows, removing_a_line).await, nothing, "a line");

    // Goes with its person, and its courses change with it.
    let at_work = store.clone();
    let removing_an_account = async move {
        let mut change = at_work.change(Actor::system("test")).await.unwrap();
        change.hold_admins().await.unwrap();
        change.hold_feed().await.unwrap();
        let account = change.lock_account(TEACHER).await.unwrap().unwrap();
        change.delete_account(&account).await.unwrap();
        change.commit().await.unwrap();
    };
    assert_eq!(locked_before_the_feed(&store, "update", &rows, removing_an_account).await, nothing, "an account");

    let at_work = store.clone();
    let removing_a_course = async move {
        let mut change = at_work.change(Actor::system("test")).await.unwrap();
        change.hold_feed().await.unwrap();
        let course = change.lock_course(&Scope::Everywhere, COURSE).await.unwrap().unwrap();
        change.remove_course(&course).await.unwrap();
        change.commit().await.unwrap();
    };
    assert_eq!(locked_before_the_feed(&store, "update", &rows, removing_a_course).await, nothing, "a course");
}

#[tokio::test]
async fn whoever_is_taken_into_a_group_or_out_of_it_lets_others_refer_to_it() {
    let store = store().await;
    let ada = store.upsert_person_by_name("Ada").await.unwrap().0;
    let mut change = store.change(Actor::system("test")).await.unwrap();
    let group = change.add_group("7b").await.unwrap().id;
    change.commit().await.unwrap();
    let rows = [format!("groups where id = '{group}'")];
    let nothing: [String; 0] = [];
    for joins in [true, false] {
        let at_work = store.clone();
        let moving = async move {
            let mut change = at_work.change(Actor::system("test")).await.unwrap();
            let group = change.lock_group(&Scope::Everywhere, group).await.unwrap().unwrap();
            change.lock_person(&Scope::Everywhere, ada).await.unwrap().unwrap();
            let moved =
                if joins { change.join_group(&group, ada).await } else { change.leave_group(&group, ada).await };
            assert!(moved.unwrap());
            change.commit().await.unwrap();
        };
        assert_eq!(locked_before(GALLERY, &store, "key share", &rows, moving).await, nothing, "{joins}");
    }
}
