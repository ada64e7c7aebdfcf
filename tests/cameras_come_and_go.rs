//! Cameras through the API, with real RTSP cameras: made, changed, looked at and removed, while the others go on.
#![allow(clippy::unwrap_used, reason = "tests")]

mod kit;

use std::sync::RwLock;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use kit::cameras::{SITE, SMALL, brightness, camera, clip, is_live, make, metric, metrics, new, read, remove};
use kit::{Client, message, pointers, until};
use nix::sys::signal::Signal;
use rollcall_test_camera::{Options, TestCamera};
use serde_json::{Value, json};

/// Whoever counts cameras, or the frames that one misses, is alone.
static COUNTED: RwLock<()> = RwLock::new(());

#[test]
fn a_camera_is_made_shown_changed_and_removed() {
    let _counted = COUNTED.read();
    let options = Options { credentials: Some(("ada".into(), "b@cus".into())), digest: true, ..Options::default() };
    let door = TestCamera::start(SMALL.clone(), options).unwrap();
    let address = door.url().replace("rtsp://", "rtsp://ada:b%40cus@");
    let made = SITE.post("/api/v1/cameras", &new("door", &address));
    assert_eq!(made.header("location"), "/api/v1/cameras/door");
    let tag = made.header("etag").to_owned();
    let made = made.expect(201);
    assert_eq!(made["settings"]["streams"]["detect"], door.url(), "without user and password");
    assert_eq!((&made["has_credentials"], &made["managed_by"]), (&json!(true), &json!("api")));
    assert_eq!((&made["settings"]["detect_size"], &made["settings"]["min_face_px"]), (&json!(160), &json!(20.0)));
    until("it is live", || is_live("door"));
    let status = read("door")["status"].clone();
    assert_eq!(
        (&status["codec"], &status["width"], &status["height"]),
        (&json!("video/x-h264"), &json!(320), &json!(240))
    );

    // Nobody who can only change its address learns its password.
    let elsewhere = json!({ "settings": { "streams": { "detect": "rtsp://127.0.0.2:8554/mine" } } });
    let refused = SITE.patch("/api/v1/cameras/door", &elsewhere).expect(422);
    assert_eq!(pointers(&refused), ["#/credentials"]);
    let audit = SITE.get("/api/v1/audit?object_kind=camera&limit=500").body;
    assert!(!String::from_utf8(audit).unwrap().contains("b@cus"));

    // Two who change it at the same time do not overwrite each other.
    let named = json!({ "name": "Front door", "enabled": false });
    let old = [("if-match", tag.as_str())];
    let changed = SITE.json("PATCH", "/api/v1/cameras/door", &old, &named);
    assert_eq!(changed.header("etag"), SITE.get("/api/v1/cameras/door").header("etag"));
    let changed = changed.expect(200);
    assert_eq!((&changed["name"], &changed["status"]["state"]), (&json!("Front door"), &json!("disabled")));
    SITE.json("PATCH", "/api/v1/cameras/door", &old, &named).expect(412);
    SITE.json("PATCH", "/api/v1/cameras/door", &[], &named).expect(428);
    SITE.get("/api/v1/cameras/door/snapshot.jpg").expect(409);

    // With the wrong password it waits and says why, and no new password is told either.
    let wrong = json!({ "enabled": true, "credentials": { "username": "ada", "password": "wr0ng-0ne" } });
    SITE.patch("/api/v1/cameras/door", &wrong).expect(200);
    until("it says what is wrong", || {
        read("door")["status"]["reason"].as_str().is_some_and(|why| why.contains("refuses user or password"))
    });
    assert_eq!(read("door")["status"]["last_error"]["kind"], "unauthorized");
    assert!(!read("door").to_string().contains("wr0ng-0ne"));
    let (status, mut live) = SITE.follow("/api/v1/live?kinds=camera&last_event_id=0", &[]);
    assert_eq!(status, 200);
    assert!(live.any(|told| told.contains("\"camera\":\"door\"") && told.contains("refuses user or password")));

    SITE.post("/api/v1/cameras", &new("door", "rtsp://192.0.2.1/x")).expect(409);
    remove("door");
    assert_eq!(SITE.get("/api/v1/cameras/door").status, 404);
    assert_eq!(SITE.delete("/api/v1/cameras/door").status, 404);
}

#[test]
fn a_change_comes_into_force_and_no_other_camera_loses_a_frame() {
    let _alone = COUNTED.write();
    let cameras = [camera(), camera(), camera()];
    let ids = ["left", "middle", "right"];
    for (camera, id) in cameras.iter().zip(ids) {
        make(id, &camera.url());
    }
    let others = ["left", "right"];
    until("all are live and analysed", || {
        ids.iter().all(|id| is_live(id) && metric("rollcall_camera_frames_analysed_total", id) >= 2.0)
    });
    let frames = ["decoded", "received", "analysed"].map(|what| format!("rollcall_camera_frames_{what}_total"));
    let counts = |id: &str| metrics(frames.each_ref().map(String::as_str), id);
    let before = others.map(counts);

    // Another tuning: the picture goes on, masked all over.
    let everything = json!({ "settings": { "privacy_masks": [[[0, 0], [1, 0], [1, 1], [0, 1]]] } });
    assert!(brightness(&SITE.get("/api/v1/cameras/middle/snapshot.jpg").body) > 150);
    SITE.patch("/api/v1/cameras/middle", &everything).expect(200);
    until("it is masked", || brightness(&SITE.get("/api/v1/cameras/middle/snapshot.jpg").body) < 60);
    let status = read("middle")["status"].clone();
    assert_eq!((&status["state"], &status["reconnects"]), (&json!("live"), &json!(0)));

    // Another source: it is opened anew, and nothing else.
    let large = TestCamera::start(clip(640, 480), Options::default()).unwrap();
    let moved = json!({ "settings": { "streams": { "detect": large.url() } } });
    SITE.patch("/api/v1/cameras/middle", &moved).expect(200);
    until("it comes from there", || read("middle")["status"]["width"] == 640);

    // One that takes long to fail, one that goes, and the file read again.
    SITE.patch("/api/v1/cameras/middle", &json!({ "settings": { "mounting": { "rotate": 90 } } })).expect(200);
    until("it is turned", || read("middle")["status"]["width"] == 480);
    SITE.signal(Signal::SIGHUP);
    let reloaded = SITE.wait_for(|line| message(line) == "configuration reloaded");
    assert_eq!((&reloaded["added"], &reloaded["removed"], &reloaded["restarted"]), (&0.into(), &0.into(), &0.into()));
    remove("middle");
    until("it is closed", || metric("rollcall_camera_up", "middle").is_nan());

    until("the others went on", || others.iter().zip(before).all(|(id, before)| counts(id)[2] >= before[2] + 20.0));
    for id in others {
        let [decoded, received, analysed] = counts(id);
        assert_eq!(metric("rollcall_camera_reconnects_total", id), 0.0, "{id}: one connection, over TCP");
        assert_eq!(metric("rollcall_camera_frames_evicted_total", id), 0.0, "{id}");
        // Read one after the other, while pictures come.
        assert!(
            (received - decoded).abs() <= 2.0 && received - analysed <= 16.0,
            "{id}: {decoded} {received} {analysed}"
        );
        remove(id);
    }
}

#[test]
fn what_makes_no_sense_is_told_at_once_with_its_place() {
    let refused = |change: Value, places: &[&str]| {
        let mut body = new("wrong", "rtsp://192.0.2.1/x");
        for (key, value) in change.as_object().unwrap() {
            body[key] = value.clone();
        }
        let problem = SITE.post("/api/v1/cameras", &body).expect(422);
        assert_eq!(pointers(&problem), places, "{change}: {problem}");
    };
    let settings = |more: Value| {
        let mut settings = json!({ "streams": { "detect": "rtsp://192.0.2.1/x" }, "analysis_fps": 0 });
        for (key, value) in more.as_object().unwrap() {
            settings[key] = value.clone();
        }
        json!({ "settings": settings })
    };
    let detect = |address: &str| settings(json!({ "streams": { "detect": address } }));
    refused(json!({ "id": "No Slug", "room_id": "nowhere", "name": "a\u{0}b" }), &["#/id", "#/name", "#/room_id"]);
    refused(json!({ "id": "discover" }), &["#/id"]);
    refused(json!({ "colour": 1 }), &["#/colour"]);
    refused(settings(json!({ "colour": 1 })), &["#/settings/colour"]);
    refused(settings(json!({ "password_file": "/etc/shadow" })), &["#/settings/password_file"]);
    refused(settings(json!({ "analysis_fps": "fast" })), &["#/settings/analysis_fps"]);
    refused(
        settings(json!({ "detect_size": 1, "min_face_px": 1e9, "mounting": { "rotate": 45 } })),
        &["#/settings/mounting/rotate", "#/settings/detect_size", "#/settings/min_face_px"],
    );
    refused(settings(json!({ "privacy_masks": [[[0, 0], [1, 1]]] })), &["#/settings/privacy_masks/0"]);
    refused(
        settings(json!({ "regions_of_interest": [[[0, 0], [2, 0], [1, 1]]] })),
        &["#/settings/regions_of_interest/0"],
    );
    // The file says that blinks are required here; 5 a second is the default.
    refused(settings(json!({ "analysis_fps": 5 })), &["#/settings/analysis_fps"]);
    refused(settings(json!({ "analysis_fps": null })), &["#/settings/analysis_fps"]);
    for address in
        ["", "http://192.0.2.1/", "rtsp://", "file:/etc/passwd", "file:../secret.mp4", "v4l2:///dev/sda", "a\u{0}b"]
    {
        refused(detect(address), &["#/settings/streams/detect"]);
    }
    refused(detect("rtsp://user@192.0.2.1/x"), &["#/settings/streams/detect"]);
    refused(settings(json!({ "streams": {} })), &["#/settings/streams/detect"]);
    let both = json!({ "credentials": { "username": "a", "password": "b" } });
    let mut twice = detect("rtsp://a:b@192.0.2.1/x");
    twice["credentials"] = both["credentials"].clone();
    refused(twice, &["#/credentials"]);
    refused(
        json!({ "credentials": { "username": "a\n", "password": "" } }),
        &["#/credentials/username", "#/credentials/password"],
    );
    refused(json!({ "credentials": { "username": "a" } }), &["#/credentials"]);
    let mut of_a_file = detect("file:franck.mp4");
    of_a_file["credentials"] = both["credentials"].clone();
    refused(of_a_file, &["#/credentials/username"]);
    SITE.post("/api/v1/cameras", &json!({})).expect(422);
    SITE.send("POST", "/api/v1/cameras", &[("content-type", "application/json")], b"{").expect(400);
    assert_eq!(SITE.get("/api/v1/cameras/wrong").status, 404, "nothing is half made");
    let odd = SITE.get("/api/v1/cameras/..%2f%00'%20or%201=1");
    assert_eq!(odd.status, 404);
    SITE.get("/api/v1/cameras?limit=0").expect(422);
}

#[test]
fn cameras_of_the_file_are_shown_and_changed_there() {
    let shown = read("of-the-file");
    assert_eq!(
        (&shown["managed_by"], &shown["version"], &shown["has_credentials"]),
        (&json!("file"), &json!(null), &json!(true))
    );
    assert!(!shown.to_string().contains("hunter2"));
    let told = SITE.patch("/api/v1/cameras/of-the-file", &json!({ "name": "x" })).expect(409);
    assert!(told["detail"].as_str().unwrap().contains("configuration file"), "{told}");
    SITE.delete("/api/v1/cameras/of-the-file").expect(409);
    let told = SITE.post("/api/v1/cameras", &new("of-the-file", "rtsp://192.0.2.1/x")).expect(409);
    assert!(told["detail"].as_str().unwrap().contains("configuration file"), "{told}");
    until("it says why it is not live", || read("of-the-file")["status"]["reason"].is_string());
}

#[test]
fn a_camera_that_does_not_fit_is_refused_with_the_sum() {
    let _alone = COUNTED.write();
    let ids: Vec<_> = (0..20).map(|n| format!("one-of-many-{n:02}")).collect();
    for id in &ids {
        let mut body = new(id, "rtsp://127.0.0.1:1/nobody");
        body["enabled"] = false.into();
        SITE.post("/api/v1/cameras", &body).expect(201);
    }
    let enable = |id: &String| SITE.patch(&format!("/api/v1/cameras/{id}"), &json!({ "enabled": true }));
    // One is the file's.
    ids[..15].iter().for_each(|id| drop(enable(id).expect(200)));
    let told = enable(&ids[15]).expect(409);
    assert!(told["detail"].as_str().unwrap().contains("17 cameras with 16 frames of 1920x1080 each need"), "{told}");
    let told = SITE.post("/api/v1/cameras", &new("one-too-many", "rtsp://127.0.0.1:1/nobody")).expect(409);
    assert!(told["detail"].as_str().unwrap().contains("lane.memory_budget_mb"), "{told}");
    // The file has one more: the last of the database is not opened, and whoever watches metrics alone hears of it.
    let last = &ids[14];
    let before = std::fs::read_to_string(SITE.config()).unwrap();
    let more = "[[cameras]]\nid = \"another-of-the-file\"\nroom = \"hall\"\nanalysis_fps = 0\n\
                streams.detect = \"rtsp://127.0.0.1:1/nobody\"\n";
    let reload = |config: &str| {
        std::fs::write(SITE.config(), config).unwrap();
        SITE.signal(Signal::SIGHUP);
        SITE.wait_for(|line| message(line) == "configuration reloaded");
    };
    reload(&(before.clone() + more));
    until("it is refused", || read(last)["status"]["state"] == "refused");
    until("it is not up", || metric("rollcall_camera_up", last) == 0.0);
    reload(&before);
    until("it is tried again", || read(last)["status"]["state"] != "refused");
    // A page at a time, those of the file among them.
    let mut seen = Vec::new();
    let mut next = String::new();
    loop {
        let page = SITE.get(&format!("/api/v1/cameras?limit=6{next}")).expect(200);
        seen.extend(page["items"].as_array().unwrap().iter().map(|c| c["id"].as_str().unwrap().to_owned()));
        match page["next_cursor"].as_str() {
            Some(cursor) => next = format!("&cursor={cursor}"),
            None => break,
        }
    }
    let mut sorted = seen.clone();
    sorted.sort();
    sorted.dedup();
    assert_eq!(seen, sorted);
    assert!(seen.contains(&"of-the-file".to_owned()) && ids.iter().all(|id| seen.contains(id)), "{seen:?}");
    ids.iter().for_each(|id| remove(id));
}

#[test]
fn a_site_sees_its_own_cameras() {
    let mut body = new("attic-door", "rtsp://127.0.0.1:1/nobody");
    (body["room_id"], body["enabled"]) = ("attic".into(), false.into());
    SITE.post("/api/v1/cameras", &body).expect(201);
    let annex = SITE.as_account(json!({ "role": "operator", "sites": ["annex"] }));
    let hall = SITE.as_account(json!({ "role": "operator", "rooms": ["hall"] }));
    let ids = |client: &Client| {
        let page = client.get("/api/v1/cameras?limit=500").expect(200);
        page["items"].as_array().unwrap().iter().map(|c| c["id"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(ids(&annex), ["attic-door"]);
    assert!(ids(&hall).contains(&"of-the-file".to_owned()) && !ids(&hall).contains(&"attic-door".to_owned()));
    for path in ["", "/snapshot.jpg", "/preview?seconds=1", "/preview/ws"] {
        assert_eq!(annex.get(&format!("/api/v1/cameras/of-the-file{path}")).status, 404, "{path}");
        assert_eq!(hall.get(&format!("/api/v1/cameras/attic-door{path}")).status, 404, "{path}");
    }
    hall.patch("/api/v1/cameras/attic-door", &json!({ "name": "mine" })).expect(404);
    annex.patch("/api/v1/cameras/of-the-file", &json!({ "name": "mine" })).expect(404);
    assert_eq!(hall.delete("/api/v1/cameras/attic-door").status, 404);
    hall.post("/api/v1/cameras/attic-door/test", &json!({})).expect(404);
    let told = annex.post("/api/v1/cameras", &new("x", "rtsp://192.0.2.1/x")).expect(422);
    assert_eq!(pointers(&told), ["#/room_id"]);
    let told = annex.patch("/api/v1/cameras/attic-door", &json!({ "room_id": "hall" })).expect(422);
    assert_eq!(pointers(&told), ["#/room_id"]);
    let viewer = SITE.as_role("viewer");
    viewer.post("/api/v1/cameras", &new("x", "rtsp://192.0.2.1/x")).expect(403);
    viewer
        .post("/api/v1/cameras/test", &json!({ "settings": { "streams": { "detect": "rtsp://192.0.2.1/x" } } }))
        .expect(403);
    viewer.get("/api/v1/cameras/discover").expect(403);

    // Whoever is limited to places asks no host for anybody else.
    let probe = |room: Value| {
        let settings = json!({ "streams": { "detect": "rtsp://127.0.0.1:9/x" }, "analysis_fps": 0 });
        hall.post("/api/v1/cameras/test", &json!({ "room_id": room, "settings": settings }))
    };
    for room in [Value::Null, json!("attic"), json!("nowhere")] {
        assert_eq!(pointers(&probe(room).expect(422)), ["#/room_id"]);
    }
    assert_eq!(probe(json!("hall")).expect(200)["kind"], "refused");
    for limited in [&hall, &annex] {
        limited.get("/api/v1/cameras/discover?seconds=1&address=127.0.0.1").expect(403);
        let ask = json!({ "address": "http://127.0.0.1:9/onvif" });
        limited.post("/api/v1/cameras/discover/streams", &ask).expect(403);
    }
    remove("attic-door");
}

#[test]
fn a_camera_is_looked_at_before_it_is_kept() {
    let options = Options { credentials: Some(("ada".into(), "s3cret-w0rd".into())), ..Options::default() };
    let mut door = TestCamera::start(SMALL.clone(), options).unwrap();
    let look = |password: &str, address: &str| {
        let settings = json!({ "streams": { "detect": address }, "analysis_fps": 0 });
        let credentials = json!({ "username": "ada", "password": password });
        SITE.post("/api/v1/cameras/test", &json!({ "settings": settings, "credentials": credentials })).expect(200)
    };
    let seen = look("s3cret-w0rd", &door.url());
    assert_eq!((&seen["ok"], &seen["codec"], &seen["width"]), (&json!(true), &json!("video/x-h264"), &json!(320)));
    assert!((seen["fps"].as_f64().unwrap() - 10.0).abs() < 2.0, "{}", seen["fps"]);
    assert!(brightness(&STANDARD.decode(seen["jpeg"].as_str().unwrap()).unwrap()) > 150);
    let refused = look("wrong", &door.url());
    assert_eq!(
        (&refused["ok"], &refused["kind"], &refused["jpeg"]),
        (&json!(false), &json!("unauthorized"), &json!(null))
    );
    assert!(refused["reason"].as_str().unwrap().contains("check username and password"), "{refused}");
    door.kill();
    assert_eq!(look("s3cret-w0rd", &door.url())["kind"], "refused");
    let audit = SITE.get("/api/v1/audit?action=camera.test&limit=500");
    let text = String::from_utf8(audit.body.clone()).unwrap();
    assert!(!text.contains("s3cret-w0rd") && audit.expect(200)["items"].as_array().unwrap().len() >= 3, "{text}");
    let outside = json!({ "settings": { "streams": { "detect": "file:/etc/passwd" }, "analysis_fps": 0 } });
    SITE.post("/api/v1/cameras/test", &outside).expect(422);
    // A recording below media_dir, kept and then looked at.
    let _counted = COUNTED.read();
    let mut body = new("recording", "file:franck.mp4");
    body["enabled"] = false.into();
    SITE.post("/api/v1/cameras", &body).expect(201);
    assert_eq!(SITE.post("/api/v1/cameras/recording/test", &json!({})).expect(200)["ok"], true);
    remove("recording");
}

#[test]
fn it_is_told_and_measured_how_far_the_clock_of_a_camera_is_off() {
    let _counted = COUNTED.read();
    let door = camera();
    make("clock", &door.url());
    // Some seconds after its first picture a camera tells its time.
    until("its time is known", || read("clock")["status"]["time_source"] == "ntp");
    assert!(read("clock")["status"]["clock_skew_ms"].is_i64());
    // It has our clock, and its pictures are some time on the way: 0 would be what nobody has set.
    let skew = metric("rollcall_camera_clock_skew_seconds", "clock");
    assert!(skew != 0.0 && skew.abs() < 5.0, "{skew} s");
    remove("clock");
    until("nobody is called for what is gone", || metric("rollcall_camera_clock_skew_seconds", "clock").is_nan());
}
