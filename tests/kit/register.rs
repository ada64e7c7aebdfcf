//! What stands in a register: sessions, and what cameras tell of who came.

use std::sync::atomic::{AtomicU32, Ordering};

use chrono::{DateTime, TimeDelta, Utc};
use rollcall_store::EventRecord;
use serde_json::{Value, json};
use uuid::Uuid;

use super::{Site, unique};

#[expect(clippy::disallowed_methods, reason = "a test is where time comes from")]
pub(crate) fn now() -> DateTime<Utc> {
    Utc::now()
}

/// A new course, that nobody takes yet.
pub(crate) fn course(site: &Site) -> String {
    let made = site.post("/api/v1/courses", &json!({ "name": unique("Course") })).expect(201);
    made["id"].as_str().unwrap().to_owned()
}

/// Somebody new.
pub(crate) fn person(site: &Site) -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let name = format!("Person {:03}", NEXT.fetch_add(1, Ordering::Relaxed));
    site.post("/api/v1/people", &json!({ "name": name })).expect(201)["id"].as_str().unwrap().to_owned()
}

/// A session that began ten minutes ago, and these people expected in it.
pub(crate) fn session(site: &Site, room: &str, people: &[&str]) -> Value {
    let new = json!({ "room_id": room, "starts_at": now() - TimeDelta::minutes(10),
        "ends_at": now() + TimeDelta::minutes(50), "grace_s": 300, "people": people });
    site.post("/api/v1/sessions", &new).expect(201)
}

pub(crate) fn id(of: &Value) -> &str {
    of["id"].as_str().unwrap()
}

/// What a camera at the door would have made: a mark of `person`, or else something to review.
pub(crate) fn event(session: &Value, person: Option<&str>, minutes: i64, what: Value) -> EventRecord {
    let starts: DateTime<Utc> = session["starts_at"].as_str().unwrap().parse().unwrap();
    let at = starts + TimeDelta::minutes(minutes);
    let mut event = json!({ "id": Uuid::now_v7(), "kind": "recorded", "person": person, "candidates": [],
        "room": session["room_id"], "camera": "door-1", "direction": null, "epoch": Uuid::nil(), "track_id": 1,
        "media_ms": 40, "captured_at": at, "time_source": "ntp", "first_usable_at": at, "similarity": 0.75,
        "margin": 0.25, "shots": 3, "liveness": "live", "liveness_score": 0.9, "liveness_reason": null,
        "gallery_version": 1, "model_id": "test", "review": false, "sealed_crop": null, "mark": null });
    event.as_object_mut().unwrap().extend(what.as_object().unwrap().clone());
    serde_json::from_value(event).unwrap()
}

/// That `person` came.
pub(crate) fn mark(session: &Value, person: &str, minutes: i64, status: &str) -> EventRecord {
    let of = json!({ "id": session["id"], "room": session["room_id"], "kind": "timetabled",
        "starts_at": session["starts_at"], "ends_at": session["ends_at"], "local_date": session["local_date"] });
    let mark = json!({ "mark": { "person": person, "session": of, "status": status } });
    event(session, Some(person), minutes, mark)
}

/// Beside the daemon.
pub(crate) fn write(site: &Site, events: &[EventRecord]) {
    site.with_store(async |store| {
        store.write_events(events).await.unwrap();
    });
}
