//! People over HTTP: tables of them, their faces, their consent, and their right to be forgotten.
#![allow(clippy::unwrap_used, reason = "tests")]

mod kit;

use std::path::Path;
use std::sync::{LazyLock, Mutex};
use std::time::Duration;

use kit::enrolling::{PEOPLE, at};
use kit::{Answer, Site, demo_media, media, zone_at_noon};
use rollcall_test_camera::{Clip, Codec, Format, Options, Segment, TestCamera};
use serde_json::{Value, json};

/// Somebody stands before it, for ever.
static CAMERA: LazyLock<TestCamera> = LazyLock::new(|| {
    let format = Format { width: 720, height: 576, fps: 12, codec: Codec::H264 };
    let stands = Segment::Video {
        path: demo_media("franck.mp4"),
        from: Duration::from_secs(12),
        to: Some(Duration::from_secs(18)),
    };
    TestCamera::start(Clip::encode(&[stands], format).unwrap(), Options::default()).unwrap()
});

/// With that camera, and one that is not there.
static SITE: LazyLock<Site> = LazyLock::new(|| {
    let camera = |id: &str, room: &str, url: &str| {
        format!(
            "[[rooms]]\nid = \"{room}\"\n[[cameras]]\nid = \"{id}\"\nroom = \"{room}\"\nstreams.detect = \"{url}\"\n"
        )
    };
    let zone = format!("[site]\ntime_zone = \"{}\"\n", zone_at_noon());
    let privacy = "[privacy]\nconsent_required = true\ntemplates_per_person = 2\n";
    let (gate, door) = (camera("gate", "gate", &CAMERA.url()), camera("door", "hall", "rtsp://127.0.0.1:9/none"));
    Site::start(&format!("{zone}{privacy}{gate}{door}"))
});

/// He has one name at a time there: whoever enrols him is alone, and leaves none of his faces.
static FRANCK: Mutex<()> = Mutex::new(());

/// A person; consent is given.
fn person(name: &str) -> Value {
    consenting(SITE.post(PEOPLE, &json!({ "name": name })).expect(201))
}

fn consenting(person: Value) -> Value {
    let consent = json!({ "text_version": "2026-09", "given_by": person["name"] });
    SITE.post(&at(&person, "/consents"), &consent).expect(201);
    person
}

fn enrol(person: &Value, pictures: &[&[u8]]) -> Answer {
    let parts: Vec<_> =
        pictures.iter().map(|bytes| ("pictures", "../../x'; drop table people.jpg", "image/jpeg", *bytes)).collect();
    SITE.upload(&at(person, "/templates"), &parts)
}

/// Until the matcher knows what is stored.
fn until_live() {
    SITE.until("/api/v1/gallery", |gallery| gallery["current"] == true);
}

#[test]
fn tables_are_taken_as_a_whole_and_given_back() {
    let import = |table: &[u8], query: &str| {
        SITE.send("POST", &format!("{PEOPLE}/import{query}"), &[("content-type", "text/csv")], table)
    };
    let table = "\u{feff}External_ID;Name;Groups;attribute.Room\n\
        t-1;\"Noether; Emmy\";Table A|Table B;12\nt-2;'=cmd|' /C calc'!A0;Table A;\n";
    let told = import(table.as_bytes(), "?dry_run=true").expect(200);
    let counts = json!({ "dry_run": true, "created": 2, "updated": 0, "unchanged": 0, "groups_created": 2 });
    assert_eq!(told, counts);
    assert_eq!(SITE.get(&format!("{PEOPLE}?external_id=t-1")).expect(200)["items"], json!([]));

    let told = import(b"external_id,name\nt-1,Emmy\n,Nobody\nt-3,\xff\nt-1,Twice\n", "").expect(422);
    let lines: Vec<_> = told["errors"].as_array().unwrap().iter().map(|e| e["pointer"].as_str().unwrap()).collect();
    assert_eq!(lines, ["line 3, external_id", "line 4, name", "line 5, external_id"]);
    assert_eq!(SITE.get(&format!("{PEOPLE}?external_id=t-1")).expect(200)["items"], json!([]), "nothing half-applied");

    assert_eq!(import(table.as_bytes(), "").expect(200)["created"], 2);
    assert_eq!(import(table.as_bytes(), "").expect(200)["unchanged"], 2);
    assert_eq!(import(b"external_id,name\nt-1,Emmy Noether\n", "").expect(200)["updated"], 1);
    let emmy = &SITE.get(&format!("{PEOPLE}?external_id=t-1")).expect(200)["items"][0];
    assert_eq!(
        (emmy["groups"].as_array().unwrap().len(), &emmy["attributes"]["Room"]),
        (2, &json!("12")),
        "what has no column stays"
    );

    let group = SITE.get("/api/v1/groups?q=table%20a").expect(200)["items"][0]["id"].as_str().unwrap().to_owned();
    let new = json!({ "name": "Nobody's number", "group_ids": [group] });
    let without = SITE.post(PEOPLE, &new).expect(201)["id"].as_str().unwrap().to_owned();
    let export = SITE.get(&format!("{PEOPLE}/export?group_id={group}"));
    assert_eq!((export.status, export.header("content-type")), (200, "text/csv; charset=utf-8"));
    let text = String::from_utf8(export.body).unwrap();
    assert!(text.starts_with("id,external_id,name,groups"), "{text}");
    assert!(text.contains(",t-2,'=cmd|' /C calc'!A0,Table A"), "{text}");
    assert!(text.contains(&format!("{without},,Nobody's number,Table A")), "{text}");
    assert_eq!(import(text.as_bytes(), "").expect(200)["unchanged"], 3, "an export can be imported");
    let numbered = format!("id,external_id,name\n{without},t-3,Nobody's number\n");
    assert_eq!(import(numbered.as_bytes(), "").expect(200)["updated"], 1);
    assert_eq!(SITE.get(&at(&json!({ "id": without }), "")).expect(200)["external_id"], "t-3");
    let wrong = format!("id,external_id,name\n{group},,Nobody\n{without},t-1,Emmy's number\n,,Nobody at all\n");
    let told = import(wrong.lines().take(3).collect::<Vec<_>>().join("\n").as_bytes(), "").expect(422);
    let lines: Vec<_> = told["errors"].as_array().unwrap().iter().map(|e| e["pointer"].as_str().unwrap()).collect();
    assert_eq!(lines, ["line 2", "line 3"], "{told}");
    assert_eq!(import(wrong.as_bytes(), "").expect(422)["errors"][0]["pointer"], "line 4, external_id");

    SITE.send("POST", &format!("{PEOPLE}/import"), &[("content-type", "application/json")], b"{}").expect(415);
    import(&vec![b'x'; (20 << 20) + 1], "").expect(413);
    import(b"", "").expect(422);
    SITE.as_role("teacher")
        .send("POST", &format!("{PEOPLE}/import"), &[("content-type", "text/csv")], b"x")
        .expect(403);
}

#[test]
fn an_export_can_be_imported_however_many_attributes_there_are() {
    let group = SITE.post("/api/v1/groups", &json!({ "name": "Much noted" })).expect(201)["id"].clone();
    for n in 0..3 {
        let notes: serde_json::Map<_, _> = (0..40).map(|i| (format!("note {n}.{i}"), json!("x"))).collect();
        let new = json!({ "name": "Somebody", "attributes": notes, "group_ids": [group] });
        SITE.post(PEOPLE, &new).expect(201);
    }
    let export = SITE.get(&format!("{PEOPLE}/export?group_id={}", group.as_str().unwrap())).body;
    let import = |table: &[u8]| SITE.send("POST", &format!("{PEOPLE}/import"), &[("content-type", "text/csv")], table);
    assert_eq!(import(&export).expect(200)["unchanged"], 3);
    let cleared = String::from_utf8(export).unwrap().replace(",x", ",");
    assert_eq!(import(cleared.as_bytes()).expect(200)["updated"], 3);
    let people = SITE.get(&format!("{PEOPLE}?group_id={}", group.as_str().unwrap())).expect(200);
    assert!(people["items"].as_array().unwrap().iter().all(|person| person["attributes"] == json!({})), "{people}");
}

#[test]
fn nobody_joins_more_groups_than_an_import_takes() {
    let group = |n: usize| SITE.post("/api/v1/groups", &json!({ "name": format!("One of many {n}") })).expect(201);
    let groups: Vec<Value> = (0..101).map(|n| group(n)["id"].clone()).collect();
    let busy = SITE.post(PEOPLE, &json!({ "name": "Busy", "group_ids": groups[..100] })).expect(201);
    let join = |group: &Value| {
        let path = format!("/api/v1/groups/{}/members/{}", group.as_str().unwrap(), busy["id"].as_str().unwrap());
        SITE.send("PUT", &path, &[], b"")
    };
    join(&groups[100]).expect(409);
    join(&groups[0]).expect(204);
}

#[test]
fn faces_are_enrolled_by_picture_with_consent() {
    let barack = SITE.post(PEOPLE, &json!({ "name": "Barack" })).expect(201);
    let (one, two, three) = (media("obama.jpg"), media("obama2.jpg"), media("obama3.jpg"));
    let told = enrol(&barack, &[&one]).expect(409);
    assert_eq!(told["type"], "urn:rollcall:problem:consent-required");
    let consent = json!({ "text_version": "2026-09", "given_by": "Barack" });
    SITE.post(&at(&barack, "/consents"), &consent).expect(201);
    SITE.post(&at(&barack, "/consents"), &consent).expect(409);

    let told = enrol(&barack, &[&one, b"no picture at all", &one]).expect(201);
    let states: Vec<_> = told["pictures"].as_array().unwrap().iter().map(|p| p["state"].as_str().unwrap()).collect();
    assert_eq!(states, ["accepted", "refused", "known"], "{told}");
    assert_eq!(told["pictures"][1]["code"], "unreadable");
    let gates = told["pictures"][0]["gates"].as_array().unwrap();
    assert!(gates.iter().any(|gate| gate["gate"] == "eye_distance_px" && gate["pass"] == true), "{told}");
    until_live();
    assert_eq!(enrol(&barack, &[&one]).expect(200)["added"], 0);
    let told = enrol(&barack, &[&two, &three]).expect(201);
    assert_eq!(
        (&told["added"], &told["templates"], &told["pictures"][1]["code"]),
        (&json!(1), &json!(2), &json!("too_many_templates"))
    );

    // Somebody else's face.
    let joe = person("Joe");
    let told = enrol(&joe, &[&two]).expect(422);
    assert_eq!(
        (&told["type"], &told["pictures"][0]["looks_like_person_id"]),
        (&json!("urn:rollcall:problem:looks_like_another"), &barack["id"])
    );
    let told = enrol(&joe, &[&two, &media("biden.jpg")]).expect(201);
    assert_eq!((&told["added"], &told["pictures"][0]["code"]), (&json!(1), &json!("looks_like_another")));

    let answer = SITE.get(&at(&barack, "/templates"));
    let text = String::from_utf8(answer.body.clone()).unwrap();
    assert!(!text.contains("sealed") && !text.contains("embedding") && !text.contains("values"), "{text}");
    let templates = answer.expect(200)["items"].clone();
    assert_eq!(templates[0]["source"], "picture");
    let first = at(&barack, &format!("/templates/{}", templates[0]["id"].as_str().unwrap()));
    SITE.delete(&first.replace(barack["id"].as_str().unwrap(), joe["id"].as_str().unwrap())).expect(404);
    SITE.delete(&first).expect(204);
    SITE.delete(&first).expect(404);
    assert_eq!(SITE.get(&at(&barack, "")).expect(200)["templates"], 1);

    // Withdrawal takes the rest.
    let told = SITE.post(&at(&barack, "/consents/withdraw"), &json!({})).expect(200);
    assert_eq!((&told["templates_erased"], told["consent"]["withdrawn_at"].is_string()), (&json!(1), true));
    SITE.post(&at(&barack, "/consents/withdraw"), &json!({})).expect(409);
    enrol(&barack, &[&one]).expect(409);
    assert_eq!(SITE.get(&at(&barack, "/consents")).expect(200)["items"].as_array().unwrap().len(), 1);
    SITE.delete(&at(&joe, "/templates")).expect(204);
    until_live();
}

#[test]
fn a_form_that_is_sent_again_is_done_once_whatever_parts_its_fields() {
    let _alone = FRANCK.lock();
    let again = person("Again");
    let one = media("franck_04117.jpg");
    let send = |boundary: &str, pictures: &[&[u8]]| {
        let parts: Vec<_> = pictures.iter().map(|bytes| ("pictures", "a.jpg", "image/jpeg", *bytes)).collect();
        SITE.with("idempotency-key", "a-form").upload_parted(boundary, &at(&again, "/templates"), &parts)
    };
    let first = send("one", &[&one]);
    assert_eq!((first.status, &first.json["added"]), (201, &json!(1)), "{first:?}");
    let told = send("another", &[&one]);
    assert_eq!((told.status, told.header("idempotency-replayed")), (201, "true"), "{told:?}");
    assert_eq!(told.json, first.json);
    for other in [&[&media("franck_04035.jpg")[..]][..], &[&one, &one], &[]] {
        assert_eq!(send("one", other).expect(422)["type"], "urn:rollcall:problem:idempotency-key");
    }
    assert_eq!(SITE.get(&at(&again, "/templates")).expect(200)["items"].as_array().unwrap().len(), 1);
    SITE.delete(&at(&again, "/templates")).expect(204);
    // The camera sees him all the time.
    until_live();
}

#[test]
fn pictures_of_one_request_show_one_person() {
    // Of its own: elsewhere these faces have names.
    let site = Site::start("");
    let path = |person: &Value| at(person, "/templates");
    let nobody = site.post(PEOPLE, &json!({ "name": "Two of them" })).expect(201);
    let send = |pictures: &[&[u8]]| {
        let parts: Vec<_> = pictures.iter().map(|bytes| ("pictures", "a.jpg", "image/jpeg", *bytes)).collect();
        site.upload(&path(&nobody), &parts)
    };
    let codes = |told: &Value| {
        let pictures = told["pictures"].as_array().unwrap();
        pictures.iter().map(|picture| picture["code"].as_str().unwrap_or("accepted").to_owned()).collect::<Vec<_>>()
    };
    // Nobody can tell whose of the two it is.
    let (one, two, biden) = (media("obama.jpg"), media("obama2.jpg"), media("biden.jpg"));
    let told = send(&[&one, &biden]).expect(422);
    assert_eq!(codes(&told), ["another_person"; 2], "{told}");
    assert!(told["pictures"][0]["detail"].as_str().unwrap().ends_with("send pictures of one person"), "{told}");
    // With a second picture of one of them the other is out.
    let told = send(&[&biden, &one, &two]).expect(201);
    assert_eq!(codes(&told), ["another_person", "accepted", "accepted"], "{told}");
    // What is enrolled counts.
    let told = send(&[&media("audrey.jpg"), &media("obama3.jpg")]).expect(201);
    assert_eq!(codes(&told), ["another_person", "accepted"], "{told}");
    // However different the light: ten pictures of one man.
    let franck = site.post(PEOPLE, &json!({ "name": "Franck" })).expect(201);
    let names = ["01829", "02045", "02159", "02221", "02683", "02888", "03909", "03979", "04000", "04035"];
    let pictures = names.map(|name| media(&format!("franck_{name}.jpg")));
    let parts: Vec<_> = pictures.iter().map(|bytes| ("pictures", "a.jpg", "image/jpeg", &bytes[..])).collect();
    let told = site.upload(&path(&franck), &parts).expect(201);
    assert!(codes(&told).iter().all(|code| code != "another_person"), "{:?}", codes(&told));
}

/// A BMP of so many pixels that has none of them.
fn bomb(side: u32) -> Vec<u8> {
    let mut bytes = b"BM".to_vec();
    for word in [u32::MAX, 0, 54, 40, side, side, 1 | 24 << 16, 0, 0, 0, 0, 0, 0] {
        bytes.extend_from_slice(&word.to_le_bytes());
    }
    bytes
}

#[test]
fn hostile_uploads_are_refused_and_leave_nothing() {
    let victim = person("Nicolas");
    let good = media("cage.jpg");
    let refused = |bytes: &[u8]| {
        let told = enrol(&victim, &[bytes]).expect(422);
        told["pictures"][0]["code"].as_str().unwrap().to_owned()
    };
    assert_eq!(refused(&bomb(60_000)), "too_large");
    assert_eq!(refused(&good[..good.len() / 3]), "unreadable");
    assert_eq!(refused(b"GIF89a\x01\0\x01\0<script>alert(1)</script>"), "unreadable");
    assert_eq!(refused(b"%PDF-1.7 %\xff\xd8\xff"), "unreadable");
    assert_eq!(refused(b""), "unreadable");
    enrol(&victim, &[&vec![0xff; (20 << 20) + 1]]).expect(413);
    enrol(&victim, &[&b"x"[..]; 11]).expect(413);
    let path = at(&victim, "/templates");
    SITE.upload(&path, &[]).expect(422);
    SITE.upload(&path, &[("sudo", "", "", b"yes")]).expect(422);
    SITE.send("POST", &path, &[("content-type", "image/jpeg")], &good).expect(415);
    SITE.send("POST", &path, &[("content-type", "multipart/form-data; boundary=x")], b"--x\r\nbroken").expect(400);
    SITE.post(&path, &json!({ "pictures": ["not base64 !"] })).expect(422);
    SITE.post(&path, &json!({ "pictures": [], "person_id": 1 })).expect(422);
    SITE.as_role("operator").upload(&path, &[("pictures", "a.jpg", "image/jpeg", &good)]).expect(403);
    assert_eq!(SITE.get(&at(&victim, "")).expect(200)["templates"], 0);

    // A picture with an archive at its end is the picture alone; its name is nobody's business.
    let polyglot = [&good[..], b"PK\x03\x04 and so on"].concat();
    assert_eq!(enrol(&victim, &[&polyglot]).expect(201)["added"], 1);

    let from = |what: &str, body: Value| SITE.post(&at(&victim, &format!("/templates/from-{what}")), &body);
    assert_eq!(from("camera", json!({ "camera_id": "door" })).expect(422)["type"], "urn:rollcall:problem:no_picture");
    for camera in ["none", "../door", "door'; --"] {
        from("camera", json!({ "camera_id": camera })).expect(404);
    }
    from("review", json!({ "event_id": victim["id"] })).expect(404);
}

#[test]
fn whoever_stands_before_a_camera_is_enrolled() {
    let _alone = FRANCK.lock();
    SITE.until("/api/v1/cameras/gate", |camera| camera["status"]["state"] == "live");
    let (franck, other) = (person("Franck"), person("Francis"));
    let session = course_at_the_gate(&franck);
    let stand = |person: &Value| SITE.post(&at(person, "/templates/from-camera"), &json!({ "camera_id": "gate" }));
    let told = stand(&franck).expect(201);
    assert!(told["added"].as_u64().unwrap() >= 1 && told["pictures"][0]["state"] == "accepted", "{told}");
    assert_eq!(SITE.get(&at(&franck, "/templates")).expect(200)["items"][0]["source"], "camera");
    let told = stand(&other).expect(422);
    assert_eq!(told["pictures"][0]["code"], "looks_like_another", "{told}");
    assert_eq!(told["pictures"][0]["looks_like_person_id"], franck["id"]);
    is_marked_by_the_camera(&franck, &session);
    SITE.delete(&at(&franck, "/templates")).expect(204);
}

/// A course of this person, planned to meet before the camera all day long: its session, once it is on.
fn course_at_the_gate(person: &Value) -> Value {
    let course = SITE.post("/api/v1/courses", &json!({ "name": "Early shift" })).expect(201);
    let course = course["id"].as_str().unwrap();
    let people = json!({ "people": [{ "person_id": person["id"] }] });
    SITE.put_over(&format!("/api/v1/courses/{course}/enrolments"), &people).expect(200);
    let line = json!({ "room_id": "gate", "weekdays": [1, 2, 3, 4, 5, 6, 7], "starts": "00:00", "ends": "00:00" });
    SITE.post(&format!("/api/v1/courses/{course}/timetable"), &line).expect(201);
    let now = SITE.until("/api/v1/rooms/gate/now", |room| room["now"]["course_id"] == course)["now"].clone();
    assert_eq!((&now["origin"], &now["expected"]), (&json!("timetable"), &json!(1)), "{now}");
    now
}

/// What the camera sees is a row of the planned session, wherever one looks.
fn is_marked_by_the_camera(person: &Value, session: &Value) {
    let of = session["id"].as_str().unwrap();
    let marked = |register: &Value| register["items"].as_array().unwrap().len() == 1;
    let row = SITE.until(&format!("/api/v1/attendance?session_id={of}"), marked)["items"][0].clone();
    assert_eq!((&row["person_id"], &row["source"], &row["camera"]), (&person["id"], &json!("camera"), &json!("gate")));
    assert!(["present", "late"].contains(&row["status"].as_str().unwrap()), "{row}");
    let now = SITE.get("/api/v1/rooms/gate/now").expect(200);
    assert_eq!((&now["now"]["id"], &now["now"]["attended"]), (&session["id"], &json!(1)), "{now}");
    let roster = SITE.get(&format!("/api/v1/sessions/{of}/roster")).expect(200);
    assert_eq!((&roster["items"][0]["person_id"], &roster["items"][0]["status"]), (&person["id"], &row["status"]));
    let record = SITE.get(&format!("/api/v1/sessions/{of}/people/{}", person["id"].as_str().unwrap())).expect(200);
    assert_eq!((&record["mark"]["camera"], &record["now"]["status"]), (&json!("gate"), &row["status"]), "{record}");
    let (status, mut lines) = SITE.follow("/api/v1/live?kinds=mark&last_event_id=0", &[]);
    assert_eq!(status, 200);
    // It ends when the daemon does.
    let told = lines.find(|line| line.starts_with("data: ") && line.contains(of)).unwrap();
    let told: Value = serde_json::from_str(told.trim_start_matches("data: ")).unwrap();
    assert_eq!((&told["room_id"], &told["person_id"]), (&json!("gate"), &person["id"]), "{told}");
}

/// The files below a directory that have one of these texts in them. PostgreSQL's own are left out: what it deletes stays in
/// its files until it is written over.
fn files_with(dir: &Path, texts: &[&str]) -> Vec<String> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(dir).unwrap().flatten() {
        let path = entry.path();
        if entry.file_name() == "postgres" {
            continue;
        }
        if entry.file_type().unwrap().is_dir() {
            found.extend(files_with(&path, texts));
        } else if let Ok(bytes) = std::fs::read(&path) {
            let has = |text: &str| bytes.windows(text.len()).any(|window| window == text.as_bytes());
            found.extend(texts.iter().any(|text| has(text)).then(|| path.display().to_string()));
        }
    }
    found
}

#[test]
fn nothing_is_left_of_whoever_is_erased() {
    let new = json!({ "name": "Audrey Kathleen Ruston" });
    let add = || SITE.json("POST", PEOPLE, &[("idempotency-key", "audrey")], &new);
    let audrey = consenting(add().expect(201));
    let id = audrey["id"].as_str().unwrap().to_owned();
    enrol(&audrey, &[&media("audrey.jpg")]).expect(201);
    until_live();
    let account = SITE.as_account(json!({ "role": "person", "person_id": id }));
    account.get("/api/v1/auth/me").expect(200);
    let etag = SITE.get(&at(&audrey, "")).header("etag").to_owned();
    SITE.send("DELETE", &at(&audrey, ""), &[("if-match", "\"0\"")], b"").expect(412);
    SITE.send("DELETE", &at(&audrey, ""), &[("if-match", &etag)], b"").expect(204);
    until_live();

    for rest in ["", "/templates", "/consents"] {
        SITE.get(&at(&audrey, rest)).expect(404);
    }
    account.get("/api/v1/auth/me").expect(401);
    let told = add().expect(409).to_string();
    assert!(told.contains("erased") && !told.contains("Ruston") && !told.contains(&id), "{told}");
    let audit = SITE.get("/api/v1/audit?limit=500").expect(200).to_string();
    assert!(!audit.contains("Ruston"), "{audit}");
    assert_eq!(audit.matches(&id).count(), 1, "that she was erased, by whom: {audit}");
    assert!(audit.contains("person.erase"));
    assert_eq!(files_with(&SITE.data(), &["Ruston", &id]), Vec::<String>::new());
    // Her face is free: she may come back under another name.
    let again = person("Somebody");
    enrol(&again, &[&media("audrey.jpg")]).expect(201);
    SITE.delete(&at(&again, "")).expect(204);
}
