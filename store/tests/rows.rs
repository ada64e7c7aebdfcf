//! What is written can be read again, twice is like once, and the schema looks after itself.
#![allow(clippy::unwrap_used, reason = "helpers of tests are tests")]

use std::collections::HashSet;
use std::time::Duration;

use chrono::{NaiveDate, TimeZone, Utc};
use rollcall_pipeline::{Embedding, ErrorClass, GalleryVersion, ModelId, PersonId};
use rollcall_store::testing::{database, event_of_nobody, store};
use rollcall_store::{
    CandidateRecord, EventRecord, MarkRecord, NewTemplate, Retention, Scope, Sealer, SessionFilter, SessionRecord,
    Store, StoreError, Written,
};
use uuid::Uuid;

/// What does not come within this never comes.
const PATIENCE: Duration = Duration::from_secs(30);

fn date(year: i32, month: u32, day: u32) -> NaiveDate {
    NaiveDate::from_ymd_opt(year, month, day).unwrap()
}

fn at(second: i64) -> chrono::DateTime<Utc> {
    Utc.with_ymd_and_hms(2026, 3, 2, 8, 0, 0).unwrap() + chrono::Duration::seconds(second)
}

fn session(n: u128) -> SessionRecord {
    SessionRecord {
        id: Uuid::from_u128(n),
        room: "room-1".to_owned(),
        kind: "timetabled".to_owned(),
        starts_at: at(0),
        ends_at: at(3600),
        local_date: date(2026, 3, 2),
    }
}

fn event(n: u128, kind: &str, person: Option<Uuid>, second: i64) -> EventRecord {
    EventRecord {
        person,
        candidates: person.map(|person| CandidateRecord { person, similarity: 0.7 }).into_iter().collect(),
        first_usable_at: at(second - 1),
        ..event_of_nobody(Uuid::from_u128(n), kind, at(second))
    }
}

fn marking(n: u128, person: Uuid, second: i64) -> EventRecord {
    let mark = MarkRecord { person, session: session(1), status: "present".to_owned() };
    EventRecord { mark: Some(mark), ..event(n, "recorded", Some(person), second) }
}

fn ids(ids: impl IntoIterator<Item = u128>) -> HashSet<Uuid> {
    ids.into_iter().map(Uuid::from_u128).collect()
}

async fn person(store: &Store, name: &str) -> Uuid {
    store.upsert_person_by_name(name).await.unwrap().0.0
}

fn face(model: &str, values: [f32; 3]) -> Embedding {
    Embedding::normalized(ModelId::new(model), values.to_vec()).unwrap()
}

fn template(person: Uuid, embedding: &Embedding, source: u8) -> NewTemplate<'_> {
    NewTemplate {
        person: PersonId(person),
        embedding,
        model_licence: "Apache-2.0",
        quality: 0.5,
        source_sha256: [source; 32],
    }
}

#[tokio::test]
async fn migrations_apply_once() {
    let options = database(false).await;
    let store = Store::new(options.clone(), Sealer::new([0; 32]), 4);
    let other = Store::new(options, Sealer::new([0; 32]), 4);
    let (a, b) = tokio::join!(store.migrate(), other.migrate());
    let all = std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/../migrations")).unwrap().count();
    assert_eq!(a.unwrap().max(b.unwrap()), all, "two at once, one does it");
    assert_eq!(store.migrate().await.unwrap(), 0);
    assert_eq!(store.make_partitions(date(2026, 3, 15)).await.unwrap(), 8, "February to May, marks and events");
    assert_eq!(store.make_partitions(date(2026, 3, 31)).await.unwrap(), 0);
}

#[tokio::test]
async fn a_database_that_is_away_is_transient_and_a_wrong_address_is_not() {
    let options = sqlx::postgres::PgConnectOptions::new_without_pgpass().socket("/nowhere/at/all");
    let away = Store::new(options, Sealer::new([0; 32]), 1).ping().await.unwrap_err();
    assert_eq!(away.class(), ErrorClass::Transient, "{away}");
    let missing = Store::new(database(false).await.database("missing"), Sealer::new([0; 32]), 1);
    let missing = missing.ping().await.unwrap_err();
    assert_eq!((missing.class(), missing.sqlstate().as_deref()), (ErrorClass::Permanent, Some("3D000")));
    assert!(!missing.is_row_fault());
    let url = secrecy::SecretString::from("mysql://u:geheim@h/d");
    let error = Store::parse_url(&url).unwrap_err().to_string();
    assert!(error.contains("postgres://user@host/database") && !error.contains("geheim"), "{error}");
}

#[tokio::test]
async fn enrolling_twice_is_like_once() {
    let store = store().await;
    let (ada, new) = store.upsert_person_by_name("Ada").await.unwrap();
    assert!(new);
    let many = futures_all((0..8).map(|_| store.upsert_person_by_name("Grace"))).await;
    assert_eq!(many.iter().filter(|(_, new)| *new).count(), 1);
    assert_eq!(store.upsert_person_by_name("Ada").await.unwrap(), (ada, false));

    let embedding = face("m", [1.0, 2.0, 2.0]);
    let version = store.gallery_version().await.unwrap();
    assert!(store.insert_template_if_new(&template(ada.0, &embedding, 1)).await.unwrap());
    assert!(!store.insert_template_if_new(&template(ada.0, &embedding, 1)).await.unwrap());
    assert!(store.insert_template_if_new(&template(ada.0, &face("other", [1.0, 0.0, 0.0]), 1)).await.unwrap());

    let gallery = store.gallery(&ModelId::new("m")).await.unwrap();
    assert_eq!(gallery.version, GalleryVersion(version.0 + 2), "a repetition is no change");
    assert_eq!(gallery.templates.len(), 1, "templates of another model are never in it");
    assert_eq!(gallery.templates[0].embedding, embedding);
    assert_eq!(gallery.names[&ada], "Ada");

    assert!(store.delete_person(ada).await.unwrap());
    assert!(store.gallery(&ModelId::new("m")).await.unwrap().templates.is_empty(), "gone with the person");
}

async fn futures_all<T, E: std::fmt::Debug>(
    futures: impl Iterator<Item = impl Future<Output = Result<T, E>>>,
) -> Vec<T> {
    let mut all = Vec::new();
    for future in futures {
        all.push(future.await.unwrap());
    }
    all
}

#[tokio::test]
async fn two_enrolments_of_one_name_at_once_add_one_person() {
    let store = store().await;
    let (a, b, c) = tokio::join!(
        store.upsert_person_by_name("Ada"),
        store.upsert_person_by_name("Ada"),
        store.upsert_person_by_name("Ada")
    );
    let all = [a.unwrap(), b.unwrap(), c.unwrap()];
    assert_eq!(all.iter().filter(|(_, new)| *new).count(), 1);
    assert!(all.iter().all(|(id, _)| *id == all[0].0));
}

#[tokio::test]
async fn a_wrong_key_is_an_error_and_a_moved_template_is_left_out() {
    let options = database(true).await;
    let ours = Store::new(options.clone(), Sealer::new([1; 32]), 2);
    let (ada, grace) = (person(&ours, "Ada").await, person(&ours, "Grace").await);
    ours.insert_template_if_new(&template(ada, &face("m", [1.0, 0.0, 0.0]), 1)).await.unwrap();
    ours.insert_template_if_new(&template(grace, &face("m", [0.0, 1.0, 0.0]), 2)).await.unwrap();
    let theirs = Store::new(options.clone(), Sealer::new([2; 32]), 2);
    let error = theirs.gallery(&ModelId::new("m")).await.unwrap_err();
    assert!(matches!(error, StoreError::Seal(_)) && error.to_string().contains("restore the key file"), "{error}");

    // Somebody who can write to the database makes Grace out of Ada's face.
    let pool = sqlx::PgPool::connect_with(options).await.unwrap();
    sqlx::query(
        "update templates set sealed = (select sealed from templates where person_id = $1) where person_id = $2",
    )
    .bind(ada)
    .bind(grace)
    .execute(&pool)
    .await
    .unwrap();
    let gallery = ours.gallery(&ModelId::new("m")).await.unwrap();
    assert_eq!(gallery.templates.iter().map(|t| t.person.0).collect::<Vec<_>>(), [ada]);
}

#[tokio::test]
async fn a_daemon_that_listens_hears_of_a_person_and_of_a_template() {
    let store = store().await;
    let mut changes = store.gallery_changes().await.unwrap();
    let ada = person(&store, "Ada").await;
    tokio::time::timeout(PATIENCE, changes.changed()).await.unwrap().unwrap();
    store.insert_template_if_new(&template(ada, &face("m", [1.0, 0.0, 0.0]), 1)).await.unwrap();
    tokio::time::timeout(PATIENCE, changes.changed()).await.unwrap().unwrap();
}

#[tokio::test]
async fn a_batch_becomes_rows_and_a_repetition_changes_nothing() {
    let store = store().await;
    let ada = person(&store, "Ada").await;
    let ambiguous = EventRecord {
        review: true,
        sealed_crop: Some(vec![1, 2, 3]),
        candidates: vec![CandidateRecord { person: ada, similarity: 0.5 }],
        ..event(3, "ambiguous", None, 30)
    };
    let batch = [marking(1, ada, 10), event(2, "debounced", Some(ada), 20), ambiguous, event(4, "unknown", None, 40)];
    let written = store.write_events(&batch).await.unwrap();
    assert_eq!(written, Written { fresh: ids(1..=4), marked: ids([1]), blocked: ids([]), orphaned: ids([]) });
    let check = async || {
        let marks = store.marks_since(at(-9999), 10).await.unwrap();
        assert_eq!(marks.len(), 1);
        let mark = &marks[0];
        assert_eq!((mark.name.as_str(), mark.status.as_str(), mark.sightings), ("Ada", "present", 2));
        assert_eq!((mark.captured_at, mark.first_seen_at, mark.last_seen_at), (at(10), at(9), at(20)));
        let reviews = store.open_reviews(10).await.unwrap();
        assert_eq!(reviews.len(), 1);
        assert_eq!((reviews[0].kind.as_str(), reviews[0].has_crop), ("ambiguous", true));
        assert_eq!(reviews[0].candidates.0, [CandidateRecord { person: ada, similarity: 0.5 }]);
        assert_eq!(store.event_counts().await.unwrap().values().sum::<u64>(), 4);
    };
    check().await;
    assert_eq!(store.write_events(&batch).await.unwrap(), Written::default(), "nothing is new");
    check().await;
    let that_day = SessionFilter { date: Some(date(2026, 3, 2)), ..SessionFilter::default() };
    let sessions = store.reading().await.unwrap().sessions(&Scope::Everywhere, &that_day, None, 10).await.unwrap();
    assert_eq!((sessions.len(), sessions[0].room_id.as_str()), (1, "room-1"));
    let restored = store.marks_to_restore(at(0)).await.unwrap();
    assert_eq!((restored.len(), restored[0].person.0, restored[0].ends_at), (1, ada, at(3600)));
    assert!(store.marks_to_restore(at(3601)).await.unwrap().is_empty());
}

#[tokio::test]
async fn one_mark_a_person_and_session_whoever_writes() {
    let store = store().await;
    let ada = person(&store, "Ada").await;
    // In one batch the earlier one is made, in whatever order they come.
    let written = store.write_events(&[marking(1, ada, 50), marking(2, ada, 5)]).await.unwrap();
    assert_eq!((written.marked, written.blocked), (ids([2]), ids([1])));

    let grace = person(&store, "Grace").await;
    let racing: Vec<_> = (10..26)
        .map(|n| {
            let store = store.clone();
            tokio::spawn(async move { store.write_events(&[marking(n, grace, 60)]).await })
        })
        .collect();
    let (mut marked, mut blocked) = (0, 0);
    for writer in racing {
        let written = writer.await.unwrap().unwrap();
        marked += written.marked.len();
        blocked += written.blocked.len();
    }
    assert_eq!((marked, blocked), (1, 15));
    let marks = store.marks_since(at(-9999), 10).await.unwrap();
    let sightings: Vec<_> = marks.iter().map(|m| (m.name.as_str(), m.sightings)).collect();
    assert_eq!(sightings, [("Ada", 2), ("Grace", 16)]);
}

#[tokio::test]
async fn the_event_of_a_deleted_person_is_kept_without_a_mark() {
    let store = store().await;
    let gone = Uuid::from_u128(99);
    let written = store.write_events(&[marking(1, gone, 0)]).await.unwrap();
    assert_eq!((written.fresh, written.orphaned), (ids([1]), ids([1])));
    assert!(store.marks_since(at(-9999), 10).await.unwrap().is_empty());
}

#[tokio::test]
async fn a_bad_value_is_the_fault_of_its_row() {
    let store = store().await;
    let long = EventRecord { kind: "nonsense".to_owned(), ..event(1, "unknown", None, 0) };
    let zero = EventRecord { camera: "a\0b".to_owned(), ..event(2, "unknown", None, 0) };
    for bad in [long, zero] {
        let error = store.write_events(&[event(3, "unknown", None, 0), bad]).await.unwrap_err();
        assert!(error.is_row_fault() && error.class() == ErrorClass::Permanent, "{error}");
    }
    assert!(store.event_counts().await.unwrap().is_empty(), "nothing of a refused batch");
}

#[tokio::test]
async fn an_exit_is_kept_on_the_mark() {
    let store = store().await;
    let ada = person(&store, "Ada").await;
    let exit = EventRecord { direction: Some("exit".to_owned()), ..event(2, "debounced", Some(ada), 500) };
    store.write_events(&[marking(1, ada, 0)]).await.unwrap();
    store.write_events(&[exit]).await.unwrap();
    assert_eq!(store.marks_since(at(-9999), 10).await.unwrap()[0].last_exit_at, Some(at(500)));
}

#[tokio::test]
async fn odd_clocks_lose_nothing_and_retention_drops_months() {
    let store = store().await;
    let years_off =
        EventRecord { captured_at: Utc.with_ymd_and_hms(1970, 1, 1, 0, 0, 0).unwrap(), ..event(1, "unknown", None, 0) };
    let ahead =
        EventRecord { captured_at: Utc.with_ymd_and_hms(2026, 8, 1, 0, 0, 0).unwrap(), ..event(2, "unknown", None, 0) };
    store.write_events(&[years_off, ahead, event(3, "unknown", None, 0)]).await.unwrap();
    // Rows of a month that gets its partition only now are moved there.
    assert!(store.make_partitions(date(2026, 7, 1)).await.unwrap() > 0);
    assert_eq!(store.event_counts().await.unwrap()["unknown"], 3);
    let retention = Retention { events_from: Some(date(2026, 4, 1)), ..Retention::default() };
    assert_eq!(store.apply_retention(&retention).await.unwrap(), 2, "February and March");
    assert_eq!(store.event_counts().await.unwrap()["unknown"], 1, "the one of August");
    assert_eq!(store.apply_retention(&Retention::default()).await.unwrap(), 0);
}
