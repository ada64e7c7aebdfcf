//! Whoever is erased is nowhere any more, and stays so whatever still waits in a spool.
#![allow(clippy::unwrap_used, reason = "helpers of tests are tests")]

use std::collections::BTreeSet;

use chrono::{NaiveDate, TimeZone, Utc};
use rollcall_pipeline::{Embedding, EventId, ModelId, PersonId};
use rollcall_store::testing::{KEY, current_database, event_of_nobody, store};
use rollcall_store::{
    Actor, Attributes, CandidateRecord, Claim, EventRecord, ImportError, ImportedPerson, MarkRecord, Misfit,
    NewConsent, NewTemplate, NoConsent, PersonFields, PersonFilter, Scope, Sealer, SessionRecord, Store,
    TemplateOrigin,
};
use sqlx::{AssertSqlSafe, ConnectOptions, Executor, PgConnection, Row};
use uuid::Uuid;

const NAME: &str = "Augusta Lovelace";
const NUMBER: &str = "ext-4711";

fn at(second: i64) -> chrono::DateTime<Utc> {
    Utc.with_ymd_and_hms(2026, 3, 2, 8, 0, 0).unwrap() + chrono::Duration::seconds(second)
}

fn event(n: u128, kind: &str, people: &[Uuid]) -> EventRecord {
    let candidates = people.iter().map(|person| CandidateRecord { person: *person, similarity: 0.7 }).collect();
    let person = (kind == "recorded").then(|| people[0]);
    let session = SessionRecord {
        id: Uuid::from_u128(n),
        room: "room-1".to_owned(),
        kind: "timetabled".to_owned(),
        starts_at: at(0),
        ends_at: at(3600),
        local_date: NaiveDate::from_ymd_opt(2026, 3, 2).unwrap(),
    };
    EventRecord {
        person,
        candidates,
        first_usable_at: at(0),
        mark: person.map(|person| MarkRecord { person, session, status: "present".to_owned() }),
        review: kind != "recorded",
        sealed_crop: (kind != "recorded").then(|| vec![7; 40]),
        ..event_of_nobody(Uuid::from_u128(n), kind, at(1))
    }
}

fn actor() -> Actor {
    Actor::system("a test")
}

/// A person of whom there is everything.
async fn well_known(store: &Store) -> Uuid {
    let mut change = store.change(actor()).await.unwrap();
    let group = change.add_group("Mathematics").await.unwrap();
    let fields = PersonFields {
        name: NAME.to_owned(),
        external_id: Some(NUMBER.to_owned()),
        attributes: Attributes::from([("Room".to_owned(), "12".to_owned())]),
        groups: vec![group.id],
    };
    let person = change.add_person(&fields).await.unwrap();
    let id = PersonId(person.id);
    let consent = NewConsent { text_version: "1", given_by: NAME, given_at: at(0) };
    change.add_consent(id, &consent).await.unwrap();
    let embedding = Embedding::normalized(ModelId::new("m"), vec![1.0, 0.0]).unwrap();
    let template =
        NewTemplate { person: id, embedding: &embedding, model_licence: "MIT", quality: 0.5, source_sha256: [3; 32] };
    let origin = TemplateOrigin { source: "picture", report: serde_json::json!([]) };
    assert_eq!(change.add_templates(id, &[(template, origin)]).await.unwrap().len(), 1);
    change.commit().await.unwrap();
    person.id
}

/// Every row of every table that has `text` somewhere, with its table.
async fn search(db: &mut PgConnection, text: &str) -> Vec<String> {
    let tables = "select c.oid::regclass::text from pg_class c join pg_namespace n on n.oid = c.relnamespace
        where n.nspname = 'public' and c.relkind = 'r'";
    let tables: Vec<String> = sqlx::query_scalar(tables).fetch_all(&mut *db).await.unwrap();
    let mut found = Vec::new();
    for table in tables {
        let sql = format!("select t::text from {table} t where strpos(t::text, $1) > 0");
        let rows = sqlx::query(AssertSqlSafe(sql)).bind(text).fetch_all(&mut *db).await.unwrap();
        found.extend(rows.iter().map(|row| format!("{table}: {}", row.get::<String, _>(0))));
    }
    found
}

#[tokio::test]
async fn erased_people_are_nowhere() {
    let store = store().await;
    let mut db = current_database(&store).await.connect().await.unwrap();
    let ada = well_known(&store).await;
    let grace = store.upsert_person_by_name("Grace").await.unwrap().0.0;
    let events = [event(1, "recorded", &[ada, grace]), event(2, "ambiguous", &[ada, grace]), event(3, "unknown", &[])];
    assert_eq!(store.write_events(&events).await.unwrap().marked.len(), 1);
    let account = Uuid::from_u128(77);
    // What other nouns write, in short.
    let others = format!(
        "insert into accounts (id, login, name, role, person_id) values ('{account}', 'ada', '{NAME}', 'person', '{ada}');
         insert into audit_log (actor_kind, actor_id, actor_name, address, action, object_kind, object_id)
             values ('account', '{account}', '{NAME}', '10.0.0.7', 'auth.login', 'account', '{account}'),
                    ('system', null, 'somebody', '10.0.0.8', 'login.failed', 'account', '{account}');
         insert into corrections (id, session_id, person_id, kind, reason, by_name)
             values ('{account}', '{session}', '{ada}', 'excuse', '{NAME} was ill', 'a teacher');
         update review_items set status = 'assigned', person_id = '{ada}', note = 'this is {NAME}'
             where event_id = '{unknown}';",
        session = Uuid::from_u128(1),
        unknown = Uuid::from_u128(3),
    );
    db.execute(AssertSqlSafe(others)).await.unwrap();
    for text in [NAME, NUMBER, &ada.to_string()] {
        assert!(search(&mut db, text).await.len() > 1, "{text}");
    }
    let version = store.gallery_version().await.unwrap();

    let mut change = store.change(actor()).await.unwrap();
    let person = change.lock_person(&Scope::Everywhere, PersonId(ada)).await.unwrap().unwrap();
    assert_eq!((person.templates, person.consent.as_deref()), (1, Some("1")));
    change.erase_person(&person).await.unwrap();
    change.commit().await.unwrap();

    assert!(store.gallery_version().await.unwrap() > version, "the matcher is told");
    for text in [NAME, NUMBER, &account.to_string(), "10.0.0.7", "10.0.0.8"] {
        assert_eq!(search(&mut db, text).await, Vec::<String>::new(), "{text}");
    }
    let proof = search(&mut db, &ada.to_string()).await;
    assert!(matches!(&proof[..], [one] if one.starts_with("audit_log") && one.contains("person.erase")), "{proof:?}");
    // What was seen stays, of nobody; and of Grace as before.
    assert_eq!(store.events_since(at(-10), 10).await.unwrap().len(), 3);
    assert!(!search(&mut db, &grace.to_string()).await.is_empty());
    let crops: i64 = sqlx::query_scalar("select count(*) from review_items where sealed_crop is not null")
        .fetch_one(&mut db)
        .await
        .unwrap();
    assert_eq!(crops, 0, "the pictures of both items were of her, or may have been");

    // What waited in a spool, and comes now.
    let written =
        store.write_events(&[event(4, "recorded", &[ada]), event(5, "ambiguous", &[ada, grace])]).await.unwrap();
    assert_eq!((written.fresh.len(), written.marked.len(), written.orphaned.len()), (2, 0, 1));
    assert_eq!(search(&mut db, &ada.to_string()).await, proof);
    let late = store.events_since(at(-10), 10).await.unwrap();
    let ambiguous = late.iter().find(|event| event.id.0 == Uuid::from_u128(5)).unwrap();
    assert_eq!(ambiguous.candidates.len(), 1, "Grace stays");
}

#[tokio::test]
async fn erasure_reads_no_entries_of_others() {
    let store = store().await;
    let options = current_database(&store).await;
    let mut db = options.connect().await.unwrap();
    let ada = PersonId(well_known(&store).await);
    let watch = "create function refuse_a_scan() returns trigger language plpgsql as $$ begin
             if (select seq_scan from pg_stat_xact_user_tables where relname = 'audit_log') > 0 then
                 raise exception 'all of the log was read';
             end if;
             return null;
         end $$;
         create trigger refuse_a_scan after update on audit_log for each statement execute function refuse_a_scan();";
    db.execute(watch).await.unwrap();
    // A log as short as this one would be read as a whole.
    let store = Store::new(options.options([("enable_seqscan", "off")]), Sealer::new(KEY), 1);
    assert!(store.delete_person(ada).await.unwrap());
}

#[tokio::test]
async fn a_face_that_is_looked_at_during_an_erasure_names_nobody() {
    let store = store().await;
    let mut db = current_database(&store).await.connect().await.unwrap();
    let ada = well_known(&store).await;
    let grace = store.upsert_person_by_name("Grace").await.unwrap().0.0;
    store.write_events(&[event(1, "recorded", &[grace]), event(2, "ambiguous", &[ada, grace])]).await.unwrap();
    let seen = store.review(&Scope::Everywhere, EventId(Uuid::from_u128(2))).await.unwrap().unwrap();
    assert!(store.delete_person(PersonId(ada)).await.unwrap());
    let mut change = store.change(actor()).await.unwrap();
    change.note_review_view(&seen).await.unwrap();
    change.commit().await.unwrap();
    let proof = search(&mut db, &ada.to_string()).await;
    assert!(matches!(&proof[..], [one] if one.contains("person.erase")), "{proof:?}");
    let noted = search(&mut db, "review_crop.view").await;
    assert!(matches!(&noted[..], [one] if one.contains(&grace.to_string())), "{noted:?}");
}

#[tokio::test]
async fn answers_from_before_an_erasure_are_told_to_nobody() {
    let store = store().await;
    let ada = PersonId(well_known(&store).await);
    let caller = Uuid::from_u128(5);
    let claim = async |key: &str| store.claim_request(caller, key, &[0; 32], at(0), at(-60)).await.unwrap();
    let keep = async |key: &str| store.keep_answer(caller, key, 201, Some(NAME.as_bytes())).await.unwrap();
    for key in ["told", "under way", "refused"] {
        assert_eq!(claim(key).await, Claim::Ours);
    }
    keep("told").await;
    assert_eq!(claim("told").await, Claim::Done(Some(NAME.as_bytes().to_vec())));
    assert!(store.delete_person(ada).await.unwrap());
    keep("under way").await;
    for key in ["told", "under way"] {
        assert_eq!(claim(key).await, Claim::Done(None), "{key}");
    }
    store.give_claim_back(caller, "refused").await.unwrap();
    assert_eq!(claim("refused").await, Claim::Ours);
    keep("refused").await;
    assert!(matches!(claim("refused").await, Claim::Done(Some(_))), "what comes after it is kept");
}

#[tokio::test]
async fn the_audit_log_is_changed_by_erasure_alone() {
    let store = store().await;
    let mut db = current_database(&store).await.connect().await.unwrap();
    well_known(&store).await;
    for sql in ["update audit_log set before = null", "delete from audit_log", "truncate audit_log"] {
        assert!(db.execute(sql).await.is_err(), "{sql}");
    }
}

#[tokio::test]
async fn withdrawn_consent_takes_templates_and_pictures_with_it() {
    let store = store().await;
    let mut db = current_database(&store).await.connect().await.unwrap();
    let ada = PersonId(well_known(&store).await);
    let grace = store.upsert_person_by_name("Grace").await.unwrap().0.0;
    let events =
        [event(2, "ambiguous", &[ada.0, grace]), event(3, "ambiguous", &[grace, ada.0]), event(4, "unknown", &[])];
    store.write_events(&events).await.unwrap();
    let decided = format!("update review_items set person_id = '{}' where event_id = '{}'", ada.0, Uuid::from_u128(4));
    db.execute(AssertSqlSafe(decided)).await.unwrap();
    let mut change = store.change(actor()).await.unwrap();
    let before = change.lock_person(&Scope::Everywhere, ada).await.unwrap().unwrap();
    assert_eq!(NoConsent::check(Some(&before), true), Ok(()));
    let withdrawn = change.withdraw_consent(ada, at(9)).await.unwrap().unwrap();
    assert_eq!((withdrawn.consent.withdrawn_at, withdrawn.templates, withdrawn.pictures), (Some(at(9)), 1, 2));
    assert!(change.withdraw_consent(ada, at(10)).await.unwrap().is_none());
    change.commit().await.unwrap();
    assert!(store.gallery(&ModelId::new("m")).await.unwrap().templates.is_empty());
    let may_be_enrolled = async |required: bool| {
        let mut change = store.change(actor()).await.unwrap();
        let person = change.lock_person(&Scope::Everywhere, ada).await.unwrap();
        NoConsent::check(person.as_ref(), required)
    };
    assert_eq!(may_be_enrolled(false).await, Err(NoConsent::Withdrawn), "whatever the site requires");
    assert_eq!(may_be_enrolled(true).await, Err(NoConsent::Withdrawn));
    let with_faces = "select event_id from review_items where sealed_crop is not null or sealed_embedding is not null
        order by event_id";
    let mut with_faces = async || sqlx::query_scalar::<_, Uuid>(with_faces).fetch_all(&mut db).await.unwrap();
    assert_eq!(with_faces().await, [Uuid::from_u128(3)], "who is most like Grace");

    // What waited in a spool, and comes now; and what comes when there is a consent again.
    let late =
        |n: u128, people: &[Uuid]| EventRecord { sealed_embedding: Some(vec![7; 40]), ..event(n, "ambiguous", people) };
    store.write_events(&[late(5, &[ada.0, grace]), late(6, &[grace, ada.0])]).await.unwrap();
    let mut change = store.change(actor()).await.unwrap();
    change.add_consent(ada, &NewConsent { text_version: "2", given_by: NAME, given_at: at(11) }).await.unwrap();
    change.commit().await.unwrap();
    assert_eq!(may_be_enrolled(true).await, Ok(()), "they agreed again");
    store.write_events(&[late(7, &[ada.0])]).await.unwrap();
    assert_eq!(with_faces().await, [3, 6, 7].map(Uuid::from_u128));
    assert_eq!(store.open_reviews(10).await.unwrap().len(), 6, "an item without a face is one");
}

fn imported(external_id: &str, name: &str, groups: &[&str]) -> ImportedPerson {
    ImportedPerson {
        id: None,
        external_id: Some(external_id.to_owned()),
        name: name.to_owned(),
        groups: Some(groups.iter().map(|group| (*group).to_owned()).collect()),
        attributes: Attributes::new(),
    }
}

#[tokio::test]
async fn an_import_is_done_as_a_whole_or_not_at_all() {
    let store = store().await;
    let noted = BTreeSet::new();
    let all = [imported("1", "Ada", &["A", "B"]), imported("2", "Grace", &["B"])];
    for _ in 0..2 {
        let mut change = store.change(actor()).await.unwrap();
        let told = change.import_people(&all, &noted).await.unwrap();
        assert_eq!((told.created, told.groups_created), (2, 2), "a dry run changes nothing");
    }
    let mut change = store.change(actor()).await.unwrap();
    change.import_people(&all, &noted).await.unwrap();
    change.commit().await.unwrap();
    let version = store.gallery_version().await.unwrap();
    let again = [imported("1", "Ada", &["B", "A"]), imported("2", "Grace H.", &[]), imported("3", "Alan", &["A"])];
    let mut change = store.change(actor()).await.unwrap();
    let told = change.import_people(&again, &noted).await.unwrap();
    assert_eq!((told.created, told.updated, told.unchanged, told.groups_created), (1, 1, 1, 0));
    change.commit().await.unwrap();
    assert!(store.gallery_version().await.unwrap() > version);
    let people = store.people_in(&Scope::Everywhere, &PersonFilter::default(), None, 10).await.unwrap();
    let told: Vec<_> = people.iter().map(|p| (p.name.as_str(), p.groups.len(), p.version)).collect();
    assert_eq!(told, [("Ada", 2, 1), ("Alan", 1, 1), ("Grace H.", 0, 2)]);

    let mut full = imported("4", "Full", &[]);
    full.attributes = (0..51).map(|n| (format!("note {n}"), "x".to_owned())).collect();
    let mut change = store.change(actor()).await.unwrap();
    let ada = people[0].id;
    let by_id = |id: Uuid, number: Option<&str>| ImportedPerson {
        id: Some(id),
        external_id: number.map(str::to_owned),
        ..imported("", "Ada", &["A", "B"])
    };
    let misfits =
        [imported("1", "Ada", &[]), full, by_id(Uuid::nil(), None), by_id(ada, None), by_id(people[1].id, Some("2"))];
    let ImportError::Misfits(told) = change.import_people(&misfits, &noted).await.unwrap_err() else { panic!() };
    assert_eq!(told, [(1, Misfit::TooManyAttributes), (2, Misfit::Unknown), (3, Misfit::Twice), (4, Misfit::Taken)]);
    drop(change);
    let mut change = store.change(actor()).await.unwrap();
    let told = change.import_people(&[by_id(ada, None)], &noted).await.unwrap();
    assert_eq!((told.created, told.unchanged), (0, 1), "whoever has the id keeps their number");
    let told = change.import_people(&[by_id(ada, Some("9"))], &noted).await.unwrap();
    assert_eq!(told.updated, 1);
    change.commit().await.unwrap();
    assert_eq!(store.people().await.unwrap()[0].external_id.as_deref(), Some("9"));
}
