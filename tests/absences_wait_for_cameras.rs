//! Nobody is absent before every camera of the room is known to have delivered.
#![allow(clippy::unwrap_used, reason = "tests")]

mod kit;

use chrono::{DateTime, TimeDelta, Utc};
use kit::{PATIENCE, Site, people, run, stderr};
use rollcall_test_camera::{Clip, Codec, Format, Options, TestCamera};
use serde_json::{Value, json};

#[expect(clippy::disallowed_methods, reason = "a test is where time comes from")]
fn now() -> DateTime<Utc> {
    Utc::now()
}

/// Asks until the answer is as wished.
#[track_caller]
fn until(site: &Site, path: &str, wished: impl Fn(&Value) -> bool) -> Value {
    let begun = now();
    loop {
        let answer = site.get(path).expect(200);
        if wished(&answer) {
            return answer;
        }
        assert!((now() - begun).to_std().unwrap_or_default() < PATIENCE, "not as wished: {answer}");
    }
}

#[test]
fn an_absence_waits_for_a_camera_that_is_offline() {
    let format = Format { width: 320, height: 240, fps: 10, codec: Codec::H264 };
    let mut camera = TestCamera::start(Clip::pattern(format).unwrap(), Options::default()).unwrap();
    let line = "name = \"Shift\"\ndays = [\"mon\", \"tue\", \"wed\", \"thu\", \"fri\", \"sat\", \"sun\"]\n";
    let site = Site::start(&format!(
        "[attendance]\nleave_min = 0\n[[rooms]]\nid = \"hall\"\n[[rooms]]\nid = \"gate\"\nexpected = [\"Franck\"]\n\
         [[rooms.sessions]]\n{line}start = \"00:00\"\nend = \"00:00\"\n\
         [[cameras]]\nid = \"door-1\"\nroom = \"hall\"\nstreams.detect = \"{}\"\n",
        camera.url()
    ));
    let pictures = people(&site.data(), &[("Franck", &["franck_01829.jpg"])]);
    let config = site.config();
    let enrolled = run(&site.data(), &["enroll", pictures.to_str().unwrap(), "--config", config.to_str().unwrap()]);
    assert!(enrolled.status.success(), "{}", stderr(&enrolled));
    // Who is on a roster of the file is found by name as soon as they are enrolled.
    let gate = until(&site, "/api/v1/rooms/gate/now", |gate| !gate["roster"].as_array().unwrap().is_empty());
    let franck = gate["roster"][0]["person_id"].clone();

    until(&site, "/api/v1/cameras/door-1", |camera| camera["status"]["state"] == "live");
    camera.kill();
    until(&site, "/api/v1/cameras/door-1", |camera| camera["status"]["state"] != "live");
    let new = json!({ "room_id": "hall", "starts_at": now() - TimeDelta::seconds(1),
        "ends_at": now() + TimeDelta::seconds(1), "people": [franck] });
    let made = site.post("/api/v1/sessions", &new).expect(201);
    assert_eq!(made["expected"], 1);
    let path = format!("/api/v1/sessions/{}", made["id"].as_str().unwrap());
    let waiting = until(&site, &path, |session| !session["waits_for"].as_array().unwrap().is_empty());
    let reason = waiting["waits_for"][0]["reason"].as_str().unwrap();
    assert!(reason.starts_with("offline since ") && waiting["waits_for"][0]["camera"] == "door-1", "{waiting}");
    assert_eq!((waiting["phase"].as_str(), waiting["state"].as_str()), (Some("over"), Some("planned")));
    let roster = site.get(&format!("{path}/roster")).expect(200);
    assert_eq!(roster["items"][0]["status"], Value::Null, "nobody is absent yet: {roster}");

    camera.restart().unwrap();
    let closed = until(&site, &path, |session| session["state"] == "closed");
    assert_eq!(closed["waits_for"], json!([]));
    let roster = site.get(&format!("{path}/roster")).expect(200);
    let row = &roster["items"][0];
    assert_eq!((&row["status"], &row["source"]), (&json!("absent"), &json!("closing")), "{roster}");
}
