//! Check-in by picture: the decisions of a camera at the door, written the same way.
#![allow(clippy::unwrap_used, reason = "tests")]

mod kit;

use std::sync::LazyLock;
use std::sync::atomic::{AtomicU32, Ordering};

use chrono::{DateTime, TimeDelta, Utc};
use kit::{Answer, Client, Site, demo_media, people, run, stderr};
use serde_json::{Value, json};

static SITE: LazyLock<Site> = LazyLock::new(|| {
    let config = "[site]\nname = \"Here\"\ntime_zone = \"UTC\"\n[decisions]\nidentified_unclear = \"mark\"\n";
    let site = Site::start(config);
    let folder = people(&site.data().join(".."), &[("Barack", &["obama.jpg"]), ("Joe", &["biden.jpg"])]);
    let config = site.config();
    let enrolled = run(&site.data(), &["enroll", folder.to_str().unwrap(), "--config", config.to_str().unwrap()]);
    assert!(enrolled.status.success(), "{}", stderr(&enrolled));
    site
});

#[expect(clippy::disallowed_methods, reason = "a test is where time comes from")]
fn now() -> DateTime<Utc> {
    Utc::now()
}

/// A session that is on now, in a room of its own.
fn session() -> (String, String) {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let room = format!("room-{}", NEXT.fetch_add(1, Ordering::Relaxed));
    SITE.post("/api/v1/rooms", &json!({ "id": room })).expect(201);
    let (from, to) = (now() - TimeDelta::minutes(1), now() + TimeDelta::hours(1));
    let new = json!({ "room_id": room, "starts_at": from.to_rfc3339(), "ends_at": to.to_rfc3339() });
    let made = SITE.post("/api/v1/sessions", &new).expect(201);
    (room, made["id"].as_str().unwrap().to_owned())
}

fn show(client: &Client, picture: &str, session: &str) -> Answer {
    let bytes = std::fs::read(demo_media(picture)).unwrap();
    client.upload(
        "/api/v1/attendance/mark",
        &[("image", "a.jpg", "image/jpeg", &bytes), ("session_id", "", "", session.as_bytes())],
    )
}

/// The first check-in in a session and after an enrolment: both are live within a second.
#[track_caller]
fn first(client: &Client, picture: &str, session: &str) -> Value {
    loop {
        let answer = show(client, picture, session);
        if answer.status == 201 {
            return answer.json;
        }
        let early = answer.status == 409 || (answer.status == 200 && answer.json["outcome"] == "unknown");
        assert!(early, "{}: {}", answer.status, answer.json);
    }
}

#[test]
fn a_picture_marks_once_and_tells_the_first_time_after_that() {
    let (_, session) = session();
    let machine = SITE.as_key(&["attendance:mark"]);
    let told = first(&machine, "obama2.jpg", &session);
    assert_eq!((told["outcome"].as_str(), told["name"].as_str()), (Some("recorded"), Some("Barack")), "{told}");
    assert_eq!((told["session_id"].as_str(), told["status"].as_str()), (Some(&*session), Some("present")));
    // The same file is the same event; another picture is another sighting of the same mark.
    let again = show(&machine, "obama2.jpg", &session).expect(200);
    assert_eq!((&again["outcome"], &again["event_id"]), (&json!("already_marked"), &told["event_id"]));
    let other = show(&machine, "obama3.jpg", &session).expect(200);
    assert_eq!((&other["outcome"], &other["first_seen_at"]), (&json!("already_marked"), &told["first_seen_at"]));
    assert_ne!(other["event_id"], told["event_id"]);
    // It stands in the register like any other.
    let register = SITE.get(&format!("/api/v1/attendance?session_id={session}")).expect(200);
    let rows = register["items"].as_array().unwrap();
    assert_eq!(rows.iter().map(|row| row["status"].as_str().unwrap()).collect::<Vec<_>>(), ["present"], "{register}");
    let stranger = show(&machine, "audrey.jpg", &session).expect(200);
    assert_eq!((&stranger["outcome"], &stranger["person_id"]), (&json!("unknown"), &Value::Null));
}

#[test]
fn only_who_may_and_only_while_the_session_is_on() {
    let (room, session) = session();
    SITE.as_key(&["attendance:read"]).post("/api/v1/attendance/mark", &json!({})).expect(403);
    let elsewhere = SITE.as_account(json!({ "role": "teacher", "rooms": [session_room()] }));
    show(&elsewhere, "obama.jpg", &session).expect(404);
    let machine = SITE.as_key(&["attendance:mark"]);
    show(&machine, "obama.jpg", "00000000-0000-0000-0000-000000000001").expect(404);
    first(&machine, "biden.jpg", &session);
    SITE.post(&format!("/api/v1/sessions/{session}/close"), &json!({}));
    show(&machine, "obama.jpg", &session).expect(409);

    let send = |texts: &[(&str, &str)], file: (&str, &[u8])| {
        let mut parts = vec![(file.0, "a", "application/octet-stream", file.1)];
        parts.extend(texts.iter().map(|(name, text)| (*name, "", "", text.as_bytes())));
        machine.upload("/api/v1/attendance/mark", &parts).status
    };
    let picture = std::fs::read(demo_media("obama.jpg")).unwrap();
    let old = (now() - TimeDelta::hours(1)).to_rfc3339();
    assert_eq!(send(&[("room_id", &room), ("captured_at", &old)], ("image", &picture)), 422);
    assert_eq!(send(&[("room_id", &room), ("session_id", &session)], ("image", &picture)), 422);
    assert_eq!(send(&[], ("image", &picture)), 422);
    assert_eq!(send(&[("room_id", "../etc")], ("image", &picture)), 404);
    assert_eq!(send(&[("room_id", &room), ("none", "1")], ("image", &picture)), 422);
    assert_eq!(send(&[("room_id", &room)], ("image", b"GIF89a")), 422);
    assert_eq!(send(&[("room_id", &room)], ("video", &picture)), 422);
    assert_eq!(send(&[("room_id", &room)], ("other", &picture)), 422);
}

fn session_room() -> String {
    session().0
}
