//! Clients of CompreFace: what they send is understood, and what they are told has the shape that they know.
#![allow(clippy::unwrap_used, reason = "tests")]

mod kit;

use std::path::Path;
use std::process::Command;
use std::sync::LazyLock;

use kit::{Answer, Client, Site, answer, demo_media, media};
use serde_json::{Value, json};

static SITE: LazyLock<Site> = LazyLock::new(|| Site::start("[site]\nname = \"Here\"\ntime_zone = \"UTC\"\n"));

const RIGHTS: [&str; 4] = ["faces:use", "faces:embed", "people:read", "people:write"];

fn send(client: &Client, path: &str, files: &[(&str, &str)]) -> Answer {
    let files: Vec<_> = files.iter().map(|(field, name)| (*field, media(name))).collect();
    let parts: Vec<_> = files.iter().map(|(field, bytes)| (*field, "a.jpg", "image/jpeg", &bytes[..])).collect();
    client.upload(path, &parts)
}

fn keys(value: &Value) -> Vec<&str> {
    value.as_object().unwrap().keys().map(String::as_str).collect()
}

#[test]
fn subjects_and_faces_are_people_and_templates() {
    let client = SITE.as_key(&RIGHTS);
    let added = client.post("/api/v1/recognition/subjects", &json!({ "subject": "Joe" })).expect(201);
    assert_eq!(added, json!({ "subject": "Joe" }));
    client.post("/api/v1/recognition/subjects", &json!({ "subject": "Joe" })).expect(400);
    // A face makes its subject.
    let saved =
        send(&client, "/api/v1/recognition/faces?subject=Barack&det_prob_threshold=0.8", &[("file", "obama.jpg")]);
    let saved = saved.expect(201);
    assert_eq!(keys(&saved), ["image_id", "subject"]);
    let id = saved["image_id"].as_str().unwrap();
    // The same picture is the same face.
    let again = send(&client, "/api/v1/recognition/faces?subject=Barack", &[("file", "obama.jpg")]).expect(201);
    assert_eq!(again["image_id"], saved["image_id"]);
    // Nobody has two names.
    let other = send(&client, "/api/v1/recognition/faces?subject=Joe", &[("file", "obama.jpg")]).expect(400);
    assert_eq!(keys(&other), ["code", "message"]);
    let listed = client.get("/api/v1/recognition/faces?page=0&size=1&subject=Barack").expect(200);
    let page = json!({ "faces": [saved], "page_number": 0, "page_size": 1, "total_pages": 1, "total_elements": 1 });
    assert_eq!(listed, page);
    let subjects = client.get("/api/v1/recognition/subjects/").expect(200);
    assert_eq!(subjects, client.get("/api/v1/recognition/subjects").expect(200));
    assert_eq!(subjects["subjects"], json!(["Barack", "Joe"]));

    let query = "limit=0&det_prob_threshold=0.5&prediction_count=2&face_plugins=landmarks,calculator,age&status=True";
    let path = format!("/api/v1/recognition/recognize?&{query}");
    // The face is live within a second.
    let known = answer("somebody is known", || {
        let told = send(&client, &path, &[("file", "obama2.jpg")]).expect(200);
        Some(told).filter(|told| told["result"][0]["subjects"] != json!([]))
    });
    let face = &known["result"][0];
    assert_eq!(keys(face), ["box", "embedding", "execution_time", "landmarks", "subjects"]);
    assert_eq!(keys(&face["box"]), ["probability", "x_max", "x_min", "y_max", "y_min"]);
    assert_eq!(face["landmarks"].as_array().unwrap().len(), 5);
    assert!(face["box"]["x_max"].as_i64() > face["box"]["x_min"].as_i64());
    assert_eq!(face["subjects"][0]["subject"], "Barack");
    assert!(face["subjects"][0]["similarity"].as_f64().unwrap() > 0.9);
    assert_eq!(keys(&known["plugins_versions"]), ["calculator", "detector"]);
    let verified =
        send(&client, &format!("/api/v1/recognition/faces/{id}/verify"), &[("file", "obama3.jpg")]).expect(200);
    assert!(verified["result"][0]["similarity"].as_f64().unwrap() > 0.8, "{verified}");

    let renamed = client.json(
        "PUT",
        "/api/v1/recognition/subjects/Joe",
        &[],
        &json!({ "subject": "Joseph", "api_endpoint": "Joe" }),
    );
    assert_eq!(renamed.expect(200), json!({ "updated": true }));
    client.json("PUT", "/api/v1/recognition/subjects/Joseph", &[], &json!({ "subject": "Barack" })).expect(409);
    assert_eq!(client.delete(&format!("/api/v1/recognition/faces/{id}")).expect(200), saved);
    assert_eq!(client.delete(&format!("/api/v1/recognition/faces/{id}")).expect(404)["code"], 11);
    assert_eq!(client.delete("/api/v1/recognition/faces?subject=Barack").expect(200), json!({ "deleted": 0 }));
    assert_eq!(client.delete("/api/v1/recognition/subjects/Barack").expect(200), json!({ "subject": "Barack" }));
    // Nothing erases everybody.
    client.delete("/api/v1/recognition/subjects").expect(409);
    client.delete("/api/v1/recognition/faces").expect(409);
    client.delete("/api/v1/recognition/subjects/Joseph").expect(200);
    client.delete("/api/v1/recognition/subjects/Joseph").expect(404);
}

#[test]
fn faces_are_detected_and_verified_and_errors_have_their_shape() {
    let client = SITE.as_key(&["faces:use"]);
    let found = send(&client, "/api/v1/detection/detect", &[("file", "obama.jpg")]).expect(200);
    assert_eq!(keys(&found), ["result"]);
    assert_eq!(keys(&found["result"][0]), ["box"]);
    let pair = [("source_image", "obama.jpg"), ("target_image", "obama2.jpg")];
    let told = send(&client, "/api/v1/verification/verify", &pair).expect(200);
    assert_eq!(keys(&told["result"][0]), ["face_matches", "source_image_face"]);
    assert!(told["result"][0]["face_matches"][0]["similarity"].as_f64().unwrap() > 0.9);

    let failed = |answer: Answer, status: u16, code: u32| {
        let told = answer.expect(status);
        assert_eq!((keys(&told), told["code"].as_u64()), (vec!["code", "message"], Some(u64::from(code))), "{told}");
    };
    failed(send(&client, "/api/v1/detection/detect?det_prob_threshold=1.0", &[("file", "obama.jpg")]), 400, 28);
    failed(send(&client, "/api/v1/detection/detect?limit=x", &[("file", "obama.jpg")]), 400, 26);
    failed(send(&client, "/api/v1/detection/detect?face_plugins=calculator", &[("file", "obama.jpg")]), 403, 0);
    failed(send(&client, "/api/v1/recognition/recognize", &[("file", "obama.jpg")]), 403, 0);
    failed(send(&client, "/api/v1/detection/detect", &[]), 400, 33);
    failed(client.post("/api/v1/detection/detect", &json!({ "file": "eA==" })), 400, 21);
    failed(send(&SITE.guest(), "/api/v1/detection/detect", &[("file", "obama.jpg")]), 401, 20);
    failed(
        send(&SITE.guest().with("x-api-key", "none"), "/api/v1/detection/detect", &[("file", "obama.jpg")]),
        401,
        20,
    );
    let writer = SITE.as_key(&RIGHTS);
    failed(send(&writer, "/api/v1/recognition/faces", &[("file", "obama.jpg")]), 400, 33);
    failed(writer.post("/api/v1/recognition/subjects", &json!({ "subject": "a\u{0}b" })), 400, 26);
    failed(writer.post("/api/v1/recognition/subjects", &json!({})), 400, 26);
    failed(writer.delete("/api/v1/recognition/subjects/'%20or%201=1"), 404, 0);
    // What cannot be read of path and query, too.
    failed(writer.delete("/api/v1/recognition/faces/not-an-id"), 400, 26);
    failed(writer.delete("/api/v1/recognition/subjects/%ff"), 400, 26);
    failed(writer.delete("/api/v1/recognition/faces?subject=a&subject=b"), 400, 26);
    failed(send(&client, "/api/v1/detection/detect?limit=1&limit=2", &[("file", "obama.jpg")]), 400, 26);
}

#[test]
fn the_sdk_for_python_does_all_it_can() {
    // Its own site: the SDK lists everybody.
    let site = Site::start("[site]\nname = \"Here\"\ntime_zone = \"UTC\"\n");
    let client = site.as_key(&RIGHTS);
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let pictures = demo_media("obama.jpg").parent().unwrap().to_owned();
    let mut sdk = Command::new(root.join(".venv/bin/python"));
    sdk.arg(root.join("tests/clients/compreface_sdk.py")).args([client.base(), client.key()]).arg(pictures);
    let told = sdk.output().unwrap();
    assert!(told.status.success(), "{}", String::from_utf8_lossy(&told.stderr));
}
