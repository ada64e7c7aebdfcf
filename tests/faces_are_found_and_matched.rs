//! The face service: pictures in, faces and matches out, for systems with a roster of their own.
#![allow(clippy::unwrap_used, reason = "tests")]

mod kit;

use std::io::Cursor;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use kit::enrolling::enroll;
use kit::{Answer, Client, PATIENCE, Site, answer, media, people, stderr};
use rollcall_pipeline::{Clock, SystemClock};
use serde_json::{Value, json};

static SITE: LazyLock<Site> = LazyLock::new(|| {
    let site = Site::start("[site]\nname = \"Here\"\ntime_zone = \"UTC\"\n");
    let folder = people(&site.data().join(".."), &[("Barack", &["obama.jpg"]), ("Joe", &["biden.jpg"])]);
    let enrolled = enroll(&site, &folder, &[]);
    assert!(enrolled.status.success(), "{}", stderr(&enrolled));
    site
});

fn send(client: &Client, path: &str, field: &str, picture: &[u8]) -> Answer {
    client.upload(path, &[(field, "a.jpg", "image/jpeg", picture)])
}

fn base64(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for chunk in bytes.chunks(3) {
        let n = chunk.iter().fold(0u32, |n, b| n << 8 | u32::from(*b)) << (8 * (3 - chunk.len()));
        for i in 0..=chunk.len() {
            text.push(char::from(ALPHABET[(n >> (18 - 6 * i)) as usize & 63]));
        }
    }
    text
}

#[test]
fn faces_are_found_with_their_quality_and_encoded_only_for_who_may() {
    let machine = SITE.as_key(&["faces:use"]);
    let found = send(&machine, "/api/v1/faces/detect", "image", &media("obama.jpg")).expect(200);
    let face = &found["faces"][0];
    assert_eq!(found["faces"].as_array().unwrap().len(), 1);
    assert!(face["box"]["w"].as_f64().unwrap() > 50.0 && face["quality"]["overall"].as_f64().unwrap() > 0.5, "{face}");
    assert!(["live", "undecided"].contains(&face["liveness"]["verdict"].as_str().unwrap()));
    assert!(face.get("embedding").is_none());
    send(&machine, "/api/v1/faces/encode", "image", &media("obama.jpg")).expect(403);

    let machine = SITE.as_key(&["faces:use", "faces:embed"]);
    let encoded = machine.post("/api/v1/faces/encode", &json!({ "image": base64(&media("obama.jpg")) })).expect(200);
    assert_eq!(encoded["faces"][0]["embedding"]["values"].as_array().unwrap().len(), 128);
    // It makes nothing, so nothing of it is kept for whoever asks again.
    let keyed = machine.with("idempotency-key", "face-1");
    for _ in 0..2 {
        let again = send(&keyed, "/api/v1/faces/encode", "image", &media("obama.jpg"));
        assert_eq!((again.status, again.header("idempotency-replayed")), (200, ""));
    }
    let report = send(&machine, "/api/v1/faces/examine", "image", &media("obama.jpg")).expect(200);
    assert_eq!((report["accepted"].as_bool(), report["gates"].as_array().unwrap().len()), (Some(true), 8));
}

#[test]
fn a_face_is_matched_against_the_callers_list_or_against_everybody() {
    let machine = SITE.as_key(&["faces:use", "faces:embed"]);
    let embedding = |name: &str| {
        let told = send(&machine, "/api/v1/faces/encode", "image", &media(name)).expect(200);
        told["faces"][0]["embedding"].clone()
    };
    let list = json!([
        { "label": "b", "embedding": embedding("obama2.jpg") },
        { "label": "j", "embedding": embedding("biden.jpg") },
    ]);
    let asked = json!({ "image": base64(&media("obama.jpg")), "candidates": list, "max_matches": 1 });
    let told = machine.post("/api/v1/faces/match", &asked).expect(200);
    let face = &told["faces"][0];
    assert_eq!((face["certainty"].as_str(), face["matches"][0]["label"].as_str()), (Some("confident"), Some("b")));
    assert!(face["matches"][0]["distance"].as_f64().unwrap() < 0.6 && face["matches"].as_array().unwrap().len() == 1);

    // Everybody who is enrolled here: people's data.
    send(&machine, "/api/v1/faces/match", "image", &media("obama3.jpg")).expect(403);
    let machine = SITE.as_key(&["faces:use", "people:read"]);
    // The gallery is live within a second of the enrolment.
    let known = answer("somebody is known", || {
        let told = send(&machine, "/api/v1/faces/match", "image", &media("obama3.jpg")).expect(200);
        Some(told["faces"][0].clone()).filter(|face| face["certainty"] != "no_match")
    });
    assert_eq!(
        (known["certainty"].as_str(), known["matches"][0]["name"].as_str()),
        (Some("confident"), Some("Barack"))
    );

    let parts = [
        ("images", "1.jpg", "image/jpeg", &media("biden.jpg")[..]),
        ("images", "2.jpg", "image/jpeg", b"no picture"),
        ("images", "3.jpg", "image/jpeg", &media("audrey.jpg")),
    ];
    let told = machine.upload("/api/v1/faces/match-batch", &parts).expect(200);
    let pictures = told["pictures"].as_array().unwrap();
    assert_eq!(pictures[0]["faces"][0]["matches"][0]["name"], "Joe");
    assert_eq!((pictures[1]["faces"].is_null(), pictures[1]["code"].as_str()), (true, Some("unreadable")));
    assert_eq!(pictures[2]["faces"][0]["certainty"], "no_match");

    let verify = |a: &str, b: &str| {
        let (a, b) = (media(a), media(b));
        let parts = [("source", "a.jpg", "image/jpeg", &a[..]), ("target", "b.jpg", "image/jpeg", &b)];
        machine.upload("/api/v1/faces/verify", &parts).expect(200)["certainty"].as_str().unwrap().to_owned()
    };
    assert_eq!(verify("obama.jpg", "obama2.jpg"), "confident");
    assert_eq!(verify("obama.jpg", "biden.jpg"), "no_match");
}

#[test]
fn too_much_at_once_is_answered_at_once_and_the_next_caller_is_served() {
    // Of its own: others would be turned away, too.
    let site = Site::start("");
    let machine = site.as_key(&["faces:use"]);
    let picture = media("obama.jpg");
    let begun = SystemClock.mono();
    let (is_shed, served) = (AtomicBool::new(false), AtomicU32::new(0));
    // More than the engine holds, until it says so.
    std::thread::scope(|scope| {
        for _ in 0..40 {
            scope.spawn(|| {
                while !is_shed.load(Ordering::SeqCst) && SystemClock.mono().since(begun) < PATIENCE {
                    let answer = send(&machine, "/api/v1/faces/detect", "image", &picture);
                    if answer.status == 200 {
                        served.fetch_add(1, Ordering::SeqCst);
                        continue;
                    }
                    let wait: u64 = answer.header("retry-after").parse().unwrap();
                    assert!((1..=60).contains(&wait), "{wait}");
                    assert_eq!(answer.header("content-type"), "application/problem+json");
                    let told = answer.expect(503);
                    assert!(!told["detail"].as_str().unwrap().is_empty(), "{told}");
                    is_shed.store(true, Ordering::SeqCst);
                }
            });
        }
    });
    assert!(is_shed.load(Ordering::SeqCst), "the queue is never full");
    assert!(served.load(Ordering::SeqCst) > 0, "what it holds is served");
    send(&machine, "/api/v1/faces/detect", "image", &picture).expect(200);
}

#[test]
fn what_is_no_picture_or_too_much_is_refused() {
    let machine = SITE.as_key(&["faces:use", "faces:embed"]);
    let code = |picture: &[u8]| {
        let answer = send(&machine, "/api/v1/faces/detect", "image", picture);
        assert_eq!(answer.header("content-type"), "application/problem+json");
        (answer.status, answer.json["type"].as_str().unwrap().rsplit(':').next().unwrap().to_owned())
    };
    assert_eq!(code(b"<svg onload=alert(1)>").0, 422);
    assert_eq!(code(&media("obama.jpg")[..2000]).0, 422);
    assert_eq!(code(&[]).0, 422);
    assert_eq!(code(&vec![0xff; 21 << 20]).0, 413);
    // A bomb: a small PNG that says it is huge.
    let mut png = Cursor::new(Vec::new());
    image::RgbImage::new(1, 1).write_to(&mut png, image::ImageFormat::Png).unwrap();
    let mut png = png.into_inner();
    png[16..24].copy_from_slice(&[0, 0, 0xff, 0xff, 0, 0, 0xff, 0xff]);
    assert_eq!(code(&png).0, 422);

    let path = "/api/v1/faces/detect";
    let picture = base64(&media("obama.jpg"));
    machine.post(path, &json!({ "image": picture, "max_faces": 0 })).expect(422);
    machine.post(path, &json!({ "image": picture, "none": 1 })).expect(422);
    let twice = [
        ("image", "a.jpg", "image/jpeg", &media("obama.jpg")[..]),
        ("max_faces", "", "", b"1"),
        ("max_faces", "", "", b"2"),
    ];
    assert_eq!(machine.upload(path, &twice).expect(422)["errors"][0]["pointer"], "#/max_faces");
    machine.post(path, &json!({ "image": "no base64!" })).expect(422);
    machine.post(path, &json!({ "image": [picture, picture] })).expect(413);
    machine.post(path, &json!({})).expect(422);
    machine.post(path, &json!([])).expect(422);
    machine.send("POST", path, &[("content-type", "image/jpeg")], b"x").expect(415);
    machine.send("POST", path, &[("content-type", "multipart/form-data")], b"x").expect(400);
    machine.send("POST", path, &[("content-type", "multipart/form-data; boundary=x")], b"--x\r\n").expect(400);
    let wrong = |candidate: Value| {
        let asked = json!({ "image": picture, "candidates": [candidate] });
        machine.post("/api/v1/faces/match", &asked).expect(422);
    };
    wrong(json!({ "label": "a", "embedding": { "model": "m", "values": [] } }));
    wrong(json!({ "label": "a", "embedding": { "model": "m", "values": [0.0, 0.0] } }));
    wrong(json!({ "label": "", "embedding": { "model": "m", "values": [1.0] } }));
    // Another model's vectors mean nothing.
    wrong(json!({ "label": "a", "embedding": { "model": "m", "values": [1.0, 0.5] } }));
    SITE.as_key(&["people:read"]).post(path, &json!({ "image": picture })).expect(403);
}
