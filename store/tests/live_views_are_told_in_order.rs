//! What a batch writes is told in the order in which it was decided, whatever plan the database makes.
#![allow(clippy::unwrap_used, reason = "helpers of tests are tests")]

use rollcall_store::testing::database;
use rollcall_store::{EventRecord, Scope, Sealer, Store};
use serde_json::json;
use uuid::Uuid;

/// An event of that number that marks somebody, or of nobody.
fn event(n: u128, marks: Option<Uuid>) -> EventRecord {
    let session = json!({
        "id": Uuid::from_u128(n), "room": "hall", "kind": "timetabled", "starts_at": "2026-03-02T08:00:00Z",
        "ends_at": "2026-03-02T09:00:00Z", "local_date": "2026-03-02",
    });
    let mark = marks.map(|person| json!({ "person": person, "session": session, "status": "present" }));
    let event = json!({
        "id": Uuid::from_u128(n), "kind": if mark.is_some() { "recorded" } else { "unknown" }, "person": marks,
        "candidates": [], "room": "hall", "camera": "door-1", "direction": null, "epoch": Uuid::nil(), "track_id": 1,
        "media_ms": 40, "captured_at": "2026-03-02T08:00:00Z", "time_source": "ntp",
        "first_usable_at": "2026-03-02T08:00:00Z", "similarity": 0.7, "margin": null, "shots": 3, "liveness": "live",
        "liveness_score": 0.5, "liveness_reason": null, "gallery_version": 1, "model_id": "m", "mark": mark,
        "review": false, "sealed_crop": null, "sealed_embedding": null,
    });
    serde_json::from_value(event).unwrap()
}

#[tokio::test]
async fn also_where_the_database_joins_the_other_way_round() {
    // As it came about with few people and many events: events in the hash table, and people who look them up.
    let options = database(true).await.options([("enable_nestloop", "off"), ("enable_mergejoin", "off")]);
    let store = Store::new(options, Sealer::new([7; 32]), 1);
    let mut people = Vec::new();
    for n in 0..50 {
        people.push(store.upsert_person_by_name(&format!("Person {n}")).await.unwrap().0.0);
    }
    // The plan is made for a single event, and kept.
    store.write_events(&[event(1, Some(people[0]))]).await.unwrap();
    let batch: Vec<_> = (2..=60).map(|n| event(n, (n % 5 > 0).then(|| people[n as usize % 2]))).collect();
    store.write_events(&batch).await.unwrap();
    let told = async |kind: &str| {
        let rows = store.feed_after(0, &Scope::Everywhere, &[kind], 100).await.unwrap();
        let id = |payload: &serde_json::Value| payload["event_id"].as_str().and_then(|id| id.parse::<Uuid>().ok());
        rows.iter().filter_map(|row| id(&row.payload)).map(|id| id.as_u128()).collect::<Vec<_>>()
    };
    assert_eq!(told("sighting").await, (1..=60).collect::<Vec<_>>());
    assert_eq!(told("mark").await, (1..=60).filter(|n| n % 5 > 0).collect::<Vec<_>>());
    store.close().await;
}
