//! Nobody is absent before every camera of the room is known to have delivered, nor whom a camera could not have seen.
#![allow(clippy::unwrap_used, reason = "tests")]

mod kit;

use chrono::TimeDelta;
use kit::cameras::camera;
use kit::register::now;
use kit::{Site, until};
use rollcall_test_camera::TestCamera;
use serde_json::{Value, json};

/// A site with the camera `door-1` in the room `hall`, and nobody else's pictures.
fn site(camera: &TestCamera) -> Site {
    let site = Site::start(&format!(
        "[attendance]\nleave_min = 0\n[[rooms]]\nid = \"hall\"\n[[rooms]]\nid = \"gate\"\n\
         [[cameras]]\nid = \"door-1\"\nroom = \"hall\"\nstreams.detect = \"{}\"\n",
        camera.url()
    ));
    is_live(&site, "door-1");
    site
}

fn is_live(site: &Site, camera: &str) {
    site.until(&format!("/api/v1/cameras/{camera}"), |camera| camera["status"]["state"] == "live");
}

/// A session that is over in a moment, and expects one person, whom nobody sees.
fn session(site: &Site, room: &str) -> String {
    session_of(TimeDelta::seconds(2), site, room)
}

/// The same, over after so long.
fn session_of(time: TimeDelta, site: &Site, room: &str) -> String {
    let person = site.post("/api/v1/people", &json!({ "name": "Franck" })).expect(201)["id"].clone();
    let new = json!({ "room_id": room, "starts_at": now() - TimeDelta::seconds(1),
        "ends_at": now() + time, "people": [person] });
    let made = site.post("/api/v1/sessions", &new).expect(201);
    assert_eq!(made["expected"], 1);
    format!("/api/v1/sessions/{}", made["id"].as_str().unwrap())
}

/// What a session waits for once the camera is back or gone: one gap, which is over.
#[track_caller]
fn gap(site: &Site, session: &str) -> Value {
    let waiting = site.until(session, |session| session["waits_for"][0]["to"].is_string());
    assert_eq!((waiting["phase"].as_str(), waiting["state"].as_str()), (Some("over"), Some("planned")), "{waiting}");
    let roster = site.get(&format!("{session}/roster")).expect(200);
    assert_eq!(roster["items"][0]["status"], Value::Null, "nobody is absent yet: {roster}");
    waiting["waits_for"][0].clone()
}

/// Releases it, and returns the row of the register: it says what the session did not wait for any longer.
fn released(site: &Site, session: &str) -> Value {
    assert!(site.post_over(&format!("{session}/release"), &json!({})).expect(200)["released_at"].is_string());
    let row = closed(site, session);
    assert_eq!(site.get(session).expect(200)["waits_for"], row["gaps"], "what was not waited for stays known");
    assert_eq!(row["gaps"].as_array().unwrap().len(), 1, "{row}");
    row
}

/// The sessions whose absences wait, or do not.
fn that_wait(site: &Site, waiting: bool) -> Vec<String> {
    let listed = site.get(&format!("/api/v1/sessions?waiting={waiting}")).expect(200);
    let ids = listed["items"].as_array().unwrap().iter().map(|session| session["id"].as_str().unwrap());
    ids.map(|id| format!("/api/v1/sessions/{id}")).collect()
}

fn closed(site: &Site, session: &str) -> Value {
    site.until(session, |session| session["state"] == "closed");
    let id = session.rsplit('/').next().unwrap();
    let rows = site.get(&format!("/api/v1/attendance?session_id={id}")).expect(200);
    let row = rows["items"][0].clone();
    assert_eq!((&row["status"], &row["source"]), (&json!("absent"), &json!("closing")), "{rows}");
    row
}

#[test]
fn an_absence_waits_for_a_camera_and_for_a_human_if_the_camera_missed_something() {
    let mut camera = camera();
    let site = site(&camera);
    camera.kill();
    site.until("/api/v1/cameras/door-1", |camera| camera["status"]["state"] != "live");
    let missed = session(&site, "hall");
    let waiting = site.until(&missed, |session| !session["waits_for"].as_array().unwrap().is_empty());
    let reason = waiting["waits_for"][0]["reason"].as_str().unwrap();
    assert!(reason.starts_with("offline since ") && waiting["waits_for"][0]["camera"] == "door-1", "{waiting}");

    // Back at the bell: nobody knows who came meanwhile.
    camera.restart().unwrap();
    let gap = gap(&site, &missed);
    let reason = gap["reason"].as_str().unwrap();
    assert!(reason.starts_with("saw nothing from ") && gap["camera"] == "door-1" && gap["from"].is_string(), "{gap}");
    site.as_role("viewer").post_over(&format!("{missed}/release"), &json!({})).expect(403);
    assert_eq!((that_wait(&site, true), that_wait(&site, false).len()), (vec![missed.clone()], 0));
    let row = released(&site, &missed);
    assert_eq!((that_wait(&site, true).len(), that_wait(&site, false)), (0, vec![missed.clone()]));
    assert_eq!((&row["reason"], &row["gaps"][0]["camera"]), (&json!("not_seen"), &json!("door-1")), "{row}");
    site.post_over(&format!("{missed}/release"), &json!({})).expect(409);
    let audit = site.get("/api/v1/audit?object_kind=session&limit=20").expect(200);
    let released = audit["items"].as_array().unwrap().iter().find(|entry| entry["action"] == "session.release");
    assert_eq!(released.unwrap()["actor_name"], "admin");
    let report = site.get("/api/v1/reports/attendance?by=row&format=csv");
    let report = String::from_utf8(report.body).unwrap();
    assert!(report.contains("not_seen; door-1 saw nothing from "), "{report}");

    // What was seen in full is closed at once.
    is_live(&site, "door-1");
    let seen = session(&site, "hall");
    assert_eq!(closed(&site, &seen)["gaps"], json!([]));
    assert_eq!(site.get(&seen).expect(200)["waits_for"], json!([]));

    // What still lasts is not released.
    let lasting = session_of(TimeDelta::hours(1), &site, "hall");
    site.post_over(&format!("{lasting}/release"), &json!({})).expect(409);
}

#[test]
fn a_camera_that_is_switched_off_meanwhile_is_not_forgotten() {
    let camera = camera();
    let site = site(&camera);
    let settings = json!({ "streams": { "detect": camera.url() } });
    site.post("/api/v1/cameras", &json!({ "id": "side", "room_id": "gate", "settings": settings })).expect(201);
    is_live(&site, "side");
    closed(&site, &session(&site, "gate"));
    // However long the camera takes to end, the session goes on meanwhile.
    let session = session_of(TimeDelta::hours(1), &site, "gate");
    site.patch("/api/v1/cameras/side", &json!({ "enabled": false })).expect(200);
    until("it has ended", || site.metric("rollcall_camera_up{camera=\"side\"}").is_nan());
    site.post_over(&format!("{session}/close"), &json!({})).expect(200);
    let gap = gap(&site, &session);
    assert!(gap["reason"].as_str().unwrap().ends_with("(it was switched off or removed)"), "{gap}");
    released(&site, &session);
}

#[test]
fn nobody_is_absent_while_nothing_ran() {
    let camera = camera();
    let mut site = site(&camera);
    let session = session(&site, "hall");
    site.restart();
    let gap = gap(&site, &session);
    assert!(gap["reason"].as_str().unwrap().ends_with("(Rollcall or this camera did not run)"), "{gap}");
    released(&site, &session);
}
