//! The feed comes before the rows that others lock with it in their hands: nobody who waits for it keeps them from going on.
#![allow(clippy::unwrap_used, reason = "helpers of tests are tests")]

use chrono::{NaiveDate, TimeZone, Utc};
use rollcall_pipeline::{EventId, WallTime};
use rollcall_store::testing::{current_database, event_of_nobody, store, until_somebody_waits};
use rollcall_store::{
    Actor, CandidateRecord, EventRecord, MarkRecord, NewCorrection, Retention, Scope, SessionRecord, Store,
};
use sqlx::{AssertSqlSafe, ConnectOptions, Connection};
use uuid::Uuid;

const SESSION: Uuid = Uuid::from_u128(1);
const MARKED: u128 = 2;
const STRANGER: Uuid = Uuid::from_u128(3);
const VISITOR: Uuid = Uuid::from_u128(4);

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

/// What `work` has locked of these rows while somebody else has the feed; then it goes on.
async fn locked_before_the_feed(
    store: &Store,
    rows: &[String],
    work: impl Future<Output = ()> + Send + 'static,
) -> Vec<String> {
    let options = current_database(store).await;
    let (mut db, mut watch) = (options.connect().await.unwrap(), options.connect().await.unwrap());
    let mut tx = db.begin().await.unwrap();
    let hold = "select pg_advisory_xact_lock(hashtextextended('rollcall.feed', 0))";
    sqlx::query(hold).execute(&mut *tx).await.unwrap();
    let work = tokio::spawn(work);
    until_somebody_waits(&mut watch).await;
    let mut locked = Vec::new();
    for row in rows {
        let mut step = tx.begin().await.unwrap();
        let sql = AssertSqlSafe(format!("select from {row} for update nowait"));
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
    assert_eq!(locked_before_the_feed(&store, &rows, marking).await, nothing, "a mark");

    let at_work = store.clone();
    let correcting = async move {
        let correct = NewCorrection { session: SESSION, person: ada, kind: "excuse", reason: "ill", review: None };
        let mut change = at_work.change(Actor::system("test")).await.unwrap();
        let before = change.lock_standing(SESSION, ada).await.unwrap().unwrap();
        change.correct(&before, &correct).await.unwrap();
        change.commit().await.unwrap();
    };
    assert_eq!(locked_before_the_feed(&store, &rows, correcting).await, nothing, "a correction");

    let at_work = store.clone();
    let rejecting = async move {
        let mut change = at_work.change(Actor::system("test")).await.unwrap();
        let item = change.lock_review(&Scope::Everywhere, EventId(STRANGER)).await.unwrap().unwrap();
        change.settle_review(&item, "rejected", None, None, at(9)).await.unwrap();
        change.commit().await.unwrap();
    };
    assert_eq!(locked_before_the_feed(&store, &rows, rejecting).await, nothing, "a decision");

    let at_work = store.clone();
    let forgetting = async move {
        let mut change = at_work.change(Actor::system("test")).await.unwrap();
        assert!(change.forget_visitor(VISITOR).await.unwrap());
        change.commit().await.unwrap();
    };
    assert_eq!(locked_before_the_feed(&store, &rows, forgetting).await, nothing, "a stranger who is forgotten");

    let at_work = store.clone();
    let retaining = async move {
        let from = NaiveDate::from_ymd_opt(2026, 3, 3);
        let retention = Retention { crops_from: from, reviews_from: from, ..Retention::default() };
        at_work.apply_retention(&retention).await.unwrap();
    };
    assert_eq!(locked_before_the_feed(&store, &rows, retaining).await, nothing, "retention");

    // The person is locked before, but against those alone who would change them.
    let at_work = store.clone();
    let erasing = async move { assert!(at_work.delete_person(ada).await.unwrap()) };
    assert_eq!(locked_before_the_feed(&store, &rows[1..], erasing).await, nothing, "an erasure");
}
