//! The register is asked page by page without loss, corrected without forgetting, and explains itself.
#![allow(clippy::unwrap_used, reason = "helpers of tests are tests")]

use std::collections::{BTreeMap, BTreeSet};

use chrono::{NaiveDate, TimeDelta, TimeZone, Utc};
use rollcall_pipeline::{EventId, PersonId, WallTime};
use rollcall_store::testing::{current_database, event_of_nobody, store};
use rollcall_store::{
    Actor, CameraMinute, CandidateRecord, EventRecord, FirstSeen, MarkRecord, NewCorrection, RegisterFilter,
    RegisterKey, RegisterRow, Registered, ReviewFilter, Scope, SeenAt, SessionRecord, Store,
};
use serde_json::json;
use sqlx::ConnectOptions as _;
use uuid::Uuid;

fn at(minute: i64) -> WallTime {
    Utc.with_ymd_and_hms(2026, 3, 2, 8, 0, 0).unwrap() + TimeDelta::minutes(minute)
}

fn session(n: u128, room: &str) -> SessionRecord {
    let start = at(i64::try_from(n).unwrap() * 24 * 60);
    SessionRecord {
        id: Uuid::from_u128(n + 1000),
        room: room.to_owned(),
        kind: "timetabled".to_owned(),
        starts_at: start,
        ends_at: start + TimeDelta::hours(1),
        local_date: start.date_naive(),
    }
}

fn event(kind: &str, person: Option<Uuid>, candidates: &[(Uuid, f32)], room: &str, when: WallTime) -> EventRecord {
    EventRecord {
        person,
        candidates: candidates.iter().map(|&(person, similarity)| CandidateRecord { person, similarity }).collect(),
        room: room.to_owned(),
        camera: format!("{room}-door"),
        similarity: candidates.first().map(|c| c.1),
        margin: None,
        ..event_of_nobody(Uuid::now_v7(), kind, when)
    }
}

fn mark(person: Uuid, session: &SessionRecord, status: &str) -> EventRecord {
    let mark = MarkRecord { person, session: session.clone(), status: status.to_owned() };
    let kind = if status.starts_with("off") { status } else { "recorded" };
    EventRecord { mark: Some(mark), ..event(kind, Some(person), &[(person, 0.7)], &session.room, session.starts_at) }
}

async fn people(store: &Store, n: usize) -> Vec<Uuid> {
    let mut people = Vec::new();
    for i in 0..n {
        people.push(store.upsert_person_by_name(&format!("Person {i}")).await.unwrap().0.0);
    }
    people
}

fn key(row: &RegisterRow) -> RegisterKey {
    (row.starts_at, row.session_id, row.person_id)
}

/// The rows, each of which came with its own session.
fn rows_of(page: Vec<Registered>) -> Vec<RegisterRow> {
    assert!(
        page.iter().all(|Registered { row, session }| row.session_id == session.id && row.starts_at < session.ends_at)
    );
    page.into_iter().map(|found| found.row).collect()
}

/// All pages.
async fn all(store: &Store, scope: &Scope, filter: &RegisterFilter, limit: u32) -> Vec<RegisterRow> {
    let (mut rows, mut after) = (Vec::new(), None);
    loop {
        let mut page =
            rows_of(store.reading().await.unwrap().register(scope, filter, after.as_ref(), limit).await.unwrap());
        let more = page.len() > limit as usize;
        page.truncate(limit as usize);
        rows.extend(page);
        if !more {
            return rows;
        }
        after = rows.last().map(key);
    }
}

/// 12 people in 10 sessions of two rooms, all statuses that a camera makes.
async fn seeded() -> (Store, Vec<Uuid>) {
    let store = store().await;
    let people = people(&store, 12).await;
    let mut batch = Vec::new();
    for n in 0..10_u128 {
        let session = session(n, if n % 2 == 0 { "east" } else { "west" });
        for (i, person) in people.iter().enumerate() {
            let status = ["present", "late", "off_roster", "present", "off_schedule"][(i + n as usize) % 5];
            batch.push(mark(*person, &session, status));
        }
    }
    store.write_events(&batch).await.unwrap();
    (store, people)
}

#[tokio::test]
async fn the_rows_of_one_person_are_those_that_everybody_s_page_has() {
    let (store, people) = seeded().await;
    let mut db = current_database(&store).await.connect().await.unwrap();
    sqlx::raw_sql("update sessions set name = 'Session ' || id; update rooms set name = 'Room ' || id")
        .execute(&mut db)
        .await
        .unwrap();
    let mut reading = store.reading().await.unwrap();
    let everybody = reading.register(&Scope::Everywhere, &RegisterFilter::default(), None, 500).await.unwrap();
    for Registered { row, session } in &everybody {
        assert_eq!(session.session_name, Some(format!("Session {}", row.session_id)));
        assert_eq!(session.room_name, Some(format!("Room {}", row.room_id)));
    }
    for person in people {
        let filter = RegisterFilter { person: Some(PersonId(person)), ..RegisterFilter::default() };
        let theirs = reading.register(&Scope::Everywhere, &filter, None, 500).await.unwrap();
        let expected: Vec<_> = everybody.iter().filter(|found| found.row.person_id == person).cloned().collect();
        assert_eq!(theirs, expected);
    }
}

#[tokio::test]
async fn pages_hold_every_row_once_and_statuses_add_up() {
    let (store, people) = seeded().await;
    let everything = all(&store, &Scope::Everywhere, &RegisterFilter::default(), 500).await;
    assert_eq!(everything.len(), 120);
    assert!(
        everything
            .is_sorted_by(|a, b| (b.starts_at, a.session_id, a.person_id) <= (a.starts_at, b.session_id, b.person_id))
    );
    let places =
        |rooms: &[&str]| Scope::Places { sites: vec![], rooms: rooms.iter().map(|r| (*r).to_owned()).collect() };
    let group = Uuid::now_v7();
    let room = |room: &str| RegisterFilter { room: Some(room.to_owned()), ..RegisterFilter::default() };
    for limit in [1, 7, 119, 120] {
        assert_eq!(all(&store, &Scope::Everywhere, &RegisterFilter::default(), limit).await, everything, "{limit}");
        assert_eq!(
            all(&store, &places(&["east", "west"]), &RegisterFilter::default(), limit).await,
            everything,
            "{limit}"
        );
    }
    let east: Vec<_> = everything.iter().filter(|row| row.room_id == "east").cloned().collect();
    assert_eq!(all(&store, &places(&["east"]), &RegisterFilter::default(), 7).await, east);
    assert_eq!(all(&store, &Scope::Everywhere, &room("east"), 7).await, east);
    assert_eq!(all(&store, &places(&["west"]), &room("east"), 7).await, []);
    assert_eq!(
        all(&store, &Scope::Places { sites: vec!["main".into()], rooms: vec![] }, &RegisterFilter::default(), 50).await,
        everything
    );
    let mut db = current_database(&store).await.connect().await.unwrap();
    sqlx::raw_sql(
        "insert into sites (id, name, time_zone) values ('annex', 'Annex', 'UTC'); update rooms set site_id = 'annex' where id = 'east'",
    )
    .execute(&mut db)
    .await
    .unwrap();
    let annex = Scope::Places { sites: vec!["annex".into()], rooms: vec![] };
    assert_eq!(all(&store, &annex, &RegisterFilter::default(), 50).await, [], "what was before is another site's");
    assert_eq!(all(&store, &places(&["east"]), &RegisterFilter::default(), 50).await, east);
    let own = Scope::Person(PersonId(people[3]));
    assert_eq!(all(&store, &own, &RegisterFilter::default(), 4).await.len(), 10);
    let others = RegisterFilter { person: Some(PersonId(people[4])), ..RegisterFilter::default() };
    assert_eq!(all(&store, &own, &others, 4).await, []);
    let nobody = RegisterFilter { group: Some(group), ..RegisterFilter::default() };
    assert_eq!(all(&store, &Scope::Everywhere, &nobody, 4).await, []);

    let mut sum = 0;
    for status in ["present", "late", "absent", "excused", "off_roster", "off_schedule", "void"] {
        let filter = RegisterFilter { status: Some(status.to_owned()), ..RegisterFilter::default() };
        let rows = all(&store, &Scope::Everywhere, &filter, 11).await;
        assert!(rows.iter().all(|row| row.status == status));
        sum += rows.len();
    }
    assert_eq!(sum, everything.len());

    let day = NaiveDate::from_ymd_opt(2026, 3, 4).unwrap();
    let filter = RegisterFilter { from: Some(day), to: day.succ_opt(), ..RegisterFilter::default() };
    let rows = all(&store, &Scope::Everywhere, &filter, 5).await;
    assert_eq!(
        rows.iter().map(|row| row.local_date).collect::<BTreeSet<_>>(),
        BTreeSet::from([day, day.succ_opt().unwrap()])
    );
    let everything = RegisterFilter::default();
    let record = store
        .reading()
        .await
        .unwrap()
        .record(&Scope::Everywhere, PersonId(people[0]), &everything, None, 5)
        .await
        .unwrap();
    let (record, page) = record.unwrap();
    assert_eq!(record.standing.len(), 10, "{record:?}");
    let theirs = RegisterFilter { person: Some(PersonId(people[0])), ..everything.clone() };
    assert_eq!(rows_of(page), all(&store, &Scope::Everywhere, &theirs, 50).await[..6], "five, and one more");
    let nobody = store
        .reading()
        .await
        .unwrap()
        .record(&Scope::Everywhere, PersonId(Uuid::nil()), &everything, None, 5)
        .await
        .unwrap();
    assert_eq!(nobody, None);
}

#[tokio::test]
async fn pages_neither_skip_nor_repeat_what_was_there_while_others_are_marked() {
    let (store, _) = seeded().await;
    let before = all(&store, &Scope::Everywhere, &RegisterFilter::default(), 500).await;
    let mut newcomers = Vec::new();
    for i in 0..40 {
        newcomers.push(store.upsert_person_by_name(&format!("Newcomer {i}")).await.unwrap().0.0);
    }
    let writer = async {
        for (i, person) in newcomers.iter().enumerate() {
            let session = session((i % 12) as u128, if i % 2 == 0 { "east" } else { "west" });
            store.write_events(&[mark(*person, &session, "present")]).await.unwrap();
        }
    };
    let everything = RegisterFilter::default();
    let (read, ()) = tokio::join!(all(&store, &Scope::Everywhere, &everything, 3), writer);
    let mut seen = BTreeMap::new();
    read.iter().for_each(|row| *seen.entry(key(row)).or_insert(0) += 1);
    assert!(seen.values().all(|n| *n == 1), "a row came twice");
    assert!(before.iter().all(|row| seen.contains_key(&key(row))), "a row was skipped");
}

async fn correct(store: &Store, session: Uuid, person: Uuid, kind: &str) -> Option<String> {
    let mut change = store.change(Actor::system("test")).await.unwrap();
    let before = change.lock_standing(session, PersonId(person)).await.unwrap().unwrap();
    let new = NewCorrection { session, person: PersonId(person), kind, reason: "because", review: None };
    let (_, after) = change.correct(&before, &new).await.unwrap();
    change.commit().await.unwrap();
    after.status
}

#[tokio::test]
async fn corrections_stand_over_marks_and_can_be_taken_back() {
    let store = store().await;
    let person = people(&store, 1).await[0];
    let session = session(0, "east");
    let first = mark(person, &session, "late");
    store.write_events(std::slice::from_ref(&first)).await.unwrap();
    let marked = store.register_row(&Scope::Everywhere, session.id, PersonId(person)).await.unwrap().unwrap();
    for (kind, status) in
        [("void", "void"), ("restore", "late"), ("excuse", "excused"), ("present", "present"), ("restore", "late")]
    {
        assert_eq!(correct(&store, session.id, person, kind).await.as_deref(), Some(status), "{kind}");
    }
    let corrections = store.corrections(session.id, PersonId(person)).await.unwrap();
    let before: Vec<_> = corrections.iter().map(|c| c.status_before.as_deref().unwrap()).collect();
    assert_eq!(before, ["late", "void", "late", "excused", "present"]);
    let mark = store.original_mark(session.id, PersonId(person)).await.unwrap().unwrap();
    assert_eq!((mark.status.as_str(), mark.event_id), ("late", first.id), "what the camera saw stays");
    let found = store.register_row(&Scope::Everywhere, session.id, PersonId(person)).await.unwrap().unwrap();
    assert_eq!((found.row.source.as_str(), found.row.version), ("camera", marked.row.version + 5));
}

#[tokio::test]
async fn a_mark_and_a_correction_at_the_same_time_are_both_seen() {
    let store = store().await;
    let people = people(&store, 30).await;
    let session = session(0, "east");
    store.write_events(&[mark(people[0], &session, "present")]).await.unwrap();
    for person in &people[1..] {
        let marking = [mark(*person, &session, "present")];
        let (written, excused) =
            tokio::join!(store.write_events(&marking), correct(&store, session.id, *person, "excuse"));
        written.unwrap();
        assert_eq!(excused.as_deref(), Some("excused"));
        let row = store.register_row(&Scope::Everywhere, session.id, PersonId(*person)).await.unwrap().unwrap().row;
        assert_eq!(
            (row.status.as_str(), row.arrived_at),
            ("excused", Some(session.starts_at)),
            "the later one won alone"
        );
    }
}

#[tokio::test]
async fn items_are_reviewed_once_and_looks_are_noted() {
    let store = store().await;
    let people = people(&store, 2).await;
    let known = [(people[0], 0.5), (people[1], 0.45)];
    let ambiguous = EventRecord { review: true, ..event("ambiguous", None, &known, "east", at(0)) };
    let undecided = EventRecord {
        review: true,
        liveness: "undecided".to_owned(),
        liveness_reason: Some("unclear".to_owned()),
        ..event("ambiguous", Some(people[0]), &known, "east", at(1))
    };
    store.write_events(&[mark(people[0], &session(5, "east"), "present"), ambiguous.clone(), undecided]).await.unwrap();
    let items = store.reviews(&Scope::Everywhere, &ReviewFilter::default(), None, 1).await.unwrap();
    assert_eq!(items.iter().map(|i| i.kind.as_str()).collect::<Vec<_>>(), ["undecided", "ambiguous"]);
    let next = (items[0].captured_at, items[0].event_id);
    let rest = store.reviews(&Scope::Everywhere, &ReviewFilter::default(), Some(&next), 1).await.unwrap();
    assert_eq!(rest, items[1..]);
    assert_eq!(rest[0].candidates[1]["name"], "Person 1");
    let elsewhere = Scope::Places { sites: vec![], rooms: vec!["west".into()] };
    assert!(store.review(&elsewhere, EventId(ambiguous.id)).await.unwrap().is_none());

    let mut change = store.change(Actor::system("test")).await.unwrap();
    let item = change.lock_review(&Scope::Everywhere, EventId(ambiguous.id)).await.unwrap().unwrap();
    change.note_review_view(&item).await.unwrap();
    let who = Some(PersonId(people[1]));
    let item = change.settle_review(&item, "confirmed", who, Some("seen"), at(2)).await.unwrap();
    change.commit().await.unwrap();
    assert_eq!((item.status.as_str(), item.person_name.as_deref(), item.version), ("confirmed", Some("Person 1"), 2));
    let seen = store.first_seen(EventId(ambiguous.id), ambiguous.captured_at).await.unwrap();
    assert_eq!(seen, Some(FirstSeen { first_usable_at: at(0), leaving: None }));
}

#[tokio::test]
async fn the_session_of_a_moment_is_that_which_expects_somebody() {
    let store = store().await;
    let people = people(&store, 2).await;
    let session = session(0, "east");
    store.write_events(&[mark(people[0], &session, "present")]).await.unwrap();
    let who = PersonId(people[0]);
    let of = |who, minute, leaving| SeenAt { room: "east", at: at(minute), person: who, leaving };
    for (minute, early, found) in [(0, 0, true), (59, 0, true), (60, 0, false), (-5, 600, true), (-11, 600, false)] {
        let on = store.session_at(of(who, minute, false), early, 0).await.unwrap();
        assert_eq!(on.map(|s| s.id), found.then_some(session.id), "{minute}");
    }
    let west = SeenAt { room: "west", ..of(who, 0, false) };
    assert_eq!(store.session_at(west, 0, 0).await.unwrap(), None);
    // Who is marked in it, and who is expected and goes, belongs to it for a while after its end; who goes enters none.
    let other = PersonId(people[1]);
    for (who, minute, leaving, found) in [
        (who, 69, false, true),
        (who, 70, false, false),
        (other, 69, false, false),
        (other, 69, true, true),
        (other, 70, true, false),
        (other, -5, false, true),
        (other, -5, true, false),
    ] {
        let on = store.session_at(of(who, minute, leaving), 600, 600).await.unwrap();
        assert_eq!(on.map(|s| s.id), found.then_some(session.id), "{minute} {leaving}");
    }
    let board = store.reading().await.unwrap().board_people(&[session.id], 5).await.unwrap();
    assert_eq!((board.len(), board[0].expected, board[0].status.as_deref()), (1, false, Some("present")));
    assert_eq!(store.reading().await.unwrap().board_counts(&[session.id]).await.unwrap()[0].people, 1);
    assert!(store.is_person_in(&Scope::Everywhere, PersonId(people[1])).await.unwrap());
    let east = Scope::Places { sites: vec![], rooms: vec!["east".into()] };
    assert!(store.is_person_in(&east, PersonId(people[0])).await.unwrap());
    assert!(!store.is_person_in(&east, PersonId(people[1])).await.unwrap());
    assert!(store.session_of(&Scope::Person(who), session.id, who).await.unwrap().is_some());
    let other = Scope::Person(PersonId(people[1]));
    assert!(store.session_of(&other, session.id, who).await.unwrap().is_none());
    // One that has no list welcomes everybody; else it expects those on it.
    let expects = async |who| store.session_at(of(who, 0, false), 0, 0).await.unwrap().unwrap().expects;
    assert!(expects(who).await);
    let mut change = store.change(Actor::system("test")).await.unwrap();
    change.put_session_people(session.id, &[people[1]]).await.unwrap();
    change.commit().await.unwrap();
    assert!(!expects(who).await && expects(PersonId(people[1])).await);
}

#[tokio::test]
async fn what_explains_somebody_is_found() {
    let store = store().await;
    let people = people(&store, 2).await;
    let (anna, ben) = (people[0], people[1]);
    store
        .write_events(&[
            event("unknown", None, &[(anna, 0.31), (ben, 0.1)], "east", at(0)),
            event("unknown", None, &[(ben, 0.2)], "east", at(1)),
            event("spoof", Some(anna), &[(anna, 0.7)], "east", at(2)),
            event("spoof", Some(anna), &[(anna, 0.7)], "west", at(2)),
            event("spoof", Some(anna), &[(anna, 0.7)], "east", at(90)),
        ])
        .await
        .unwrap();
    let (events, strangers) =
        store.why_events(&Scope::Everywhere, "east", at(-5), at(5), PersonId(anna)).await.unwrap();
    let told: Vec<_> = events.iter().map(|e| (e.kind.as_str(), e.theirs, e.other_name.as_deref())).collect();
    assert_eq!(told, [("unknown", Some(0.31), Some("Person 1")), ("spoof", Some(0.7), None)]);
    assert_eq!(strangers, 1);
    assert_eq!(store.known(PersonId(anna), "m").await.unwrap(), rollcall_store::Known::default());

    let minute = |n, up_ms, reason: Option<&str>| CameraMinute {
        camera: "east-door".to_owned(),
        room: "east".to_owned(),
        minute: at(n),
        frames: 100,
        faces: 4,
        refused: json!({ "too_small": 2 }),
        up_ms,
        down_reason: reason.map(str::to_owned),
    };
    store.add_camera_minutes(&[minute(0, 30_000, Some("no route")), minute(1, 60_000, None)]).await.unwrap();
    store.add_camera_minutes(&[minute(0, 40_000, None)]).await.unwrap();
    let minutes = store.camera_minutes("east", at(0), at(5)).await.unwrap();
    assert_eq!(minutes.len(), 2);
    assert_eq!((minutes[0].frames, minutes[0].up_ms, &minutes[0].refused), (200, 60_000, &json!({ "too_small": 4 })));
    assert_eq!(minutes[0].down_reason.as_deref(), Some("no route"));
}
