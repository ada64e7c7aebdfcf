//! The review queue over HTTP: what cameras could not decide, and what people make of it.
#![allow(clippy::unwrap_used, reason = "tests")]

mod kit;

use std::sync::LazyLock;

use kit::register::{event, id, mark, person, session, write};
use kit::{Site, until};
use rollcall_store::EventRecord;
use serde_json::{Value, json};
use uuid::Uuid;

static SITE: LazyLock<Site> = LazyLock::new(|| {
    // Where there is a timetable, though of other days.
    let lab = "[[rooms]]\nid = \"lab\"\n[[rooms.sessions]]\nname = \"Shift\"\ndays = [\"mon\"]\nstart = \"08:00\"\nend = \"09:00\"\n";
    let rooms = "[[rooms]]\nid = \"hall\"\n[[rooms]]\nid = \"gate\"\n";
    Site::start(&format!("{rooms}{lab}valid_to = \"2020-01-01\"\n"))
});

#[test]
fn what_cameras_could_not_decide_people_decide_once() {
    let (ann, ben) = (person(&SITE), person(&SITE));
    let session = session(&SITE, "hall", &[&ann, &ben]);
    let of = id(&session);
    let between = json!([{ "person": ann, "similarity": 0.55 }, { "person": ben, "similarity": 0.5 }]);
    let item = |kind: &str, minutes| {
        event(&session, None, minutes, json!({ "kind": kind, "candidates": between, "review": true }))
    };
    let (late, spoof, other) = (item("ambiguous", 6), item("spoof", 2), item("ambiguous", 3));
    write(&SITE, &[late.clone(), spoof.clone(), other.clone()]);
    let path = |event: &EventRecord, what: &str| format!("/api/v1/review/{}{what}", event.id);

    let page = SITE.get("/api/v1/review?status=open&kind=spoof&room_id=hall").expect(200);
    assert!(page["items"].as_array().unwrap().iter().any(|i| i["event_id"] == spoof.id.to_string()));
    let first = SITE.get(&path(&late, "")).expect(200);
    assert_eq!(
        (first["candidates"][0]["person_id"].as_str(), first["has_face"].as_bool()),
        (Some(ann.as_str()), Some(false))
    );
    SITE.get(&path(&late, "/face.jpg")).expect(404);

    let (one, two) = std::thread::scope(|scope| {
        let ask = || scope.spawn(|| SITE.post(&path(&late, "/confirm"), &json!({})).status);
        let (one, two) = (ask(), ask());
        (one.join().unwrap(), two.join().unwrap())
    });
    assert_eq!([one.min(two), one.max(two)], [200, 409], "of two at once one decides");
    let record = SITE.get(&format!("/api/v1/sessions/{of}/people/{ann}")).expect(200);
    assert_eq!(
        (record["now"]["status"].as_str(), record["now"]["source"].as_str()),
        (Some("late"), Some("correction"))
    );
    assert_eq!(record["corrections"][0]["review_event_id"], late.id.to_string());

    SITE.post(&path(&spoof, "/reject"), &json!({ "note": "a photograph" })).expect(200);
    SITE.post(&path(&spoof, "/confirm"), &json!({})).expect(409);
    let stranger = person(&SITE);
    SITE.post(&path(&other, "/confirm"), &json!({ "person_id": stranger })).expect(422);
    SITE.post(&path(&other, "/assign"), &json!({ "person_id": Uuid::nil() })).expect(404);
    let decided = SITE.post(&path(&other, "/assign"), &json!({ "person_id": ben })).expect(200);
    assert_eq!((decided["attendance"]["status"].as_str(), decided["changed"].as_bool()), (Some("present"), Some(true)));
    assert_eq!(decided["item"]["status"], "assigned");

    // Whoever looks after another room sees none of it.
    let elsewhere = SITE.as_account(json!({ "role": "teacher", "rooms": ["gate"] }));
    elsewhere.get(&path(&late, "")).expect(404);
    elsewhere.post(&path(&late, "/reject"), &json!({})).expect(404);
    SITE.as_role("viewer").get("/api/v1/review").expect(403);

    // Strangers are not told apart unless that is configured.
    assert_eq!(SITE.get("/api/v1/visitors").expect(200)["items"], json!([]));
    SITE.get(&format!("/api/v1/visitors/{}", Uuid::nil())).expect(404);
    SITE.delete(&format!("/api/v1/visitors/{}", Uuid::nil())).expect(404);
    elsewhere.delete(&format!("/api/v1/visitors/{}", Uuid::nil())).expect(403);
}

#[test]
fn candidates_who_belong_to_other_rooms_are_neither_named_nor_confirmed() {
    let (ann, ben) = (person(&SITE), person(&SITE));
    let session = session(&SITE, "hall", &[&ann]);
    let between = json!([{ "person": ben, "similarity": 0.55 }, { "person": ann, "similarity": 0.5 }]);
    let item = event(&session, None, 3, json!({ "kind": "ambiguous", "candidates": between, "review": true }));
    write(&SITE, std::slice::from_ref(&item));
    let hall = SITE.as_account(json!({ "role": "teacher", "rooms": ["hall"] }));
    let path = format!("/api/v1/review/{}", item.id);
    let named = |item: &Value| {
        let candidates = item["candidates"].as_array().unwrap().iter();
        candidates.map(|one| (one["person_id"].clone(), one["name"].is_string())).collect::<Vec<_>>()
    };
    assert_eq!(named(&SITE.get(&path).expect(200)), [(json!(ben), true), (json!(ann), true)]);
    let hidden = [(Value::Null, false), (json!(ann), true)];
    assert_eq!(named(&hall.get(&path).expect(200)), hidden);
    let page = hall.get("/api/v1/review?room_id=hall&limit=500").expect(200);
    let mut listed = page["items"].as_array().unwrap().iter();
    assert_eq!(named(listed.find(|one| one["event_id"] == item.id.to_string()).unwrap()), hidden);
    for whom in [json!({}), json!({ "person_id": ben })] {
        hall.post(&format!("{path}/confirm"), &whom).expect(404);
    }
    let decided = hall.post(&format!("{path}/confirm"), &json!({ "person_id": ann })).expect(200);
    assert_eq!(named(&decided["item"]), hidden);
}

#[test]
fn whom_nobody_expected_counts_no_more_for_having_been_confirmed() {
    // From then on it knows its timetables.
    until("the daemon is ready", || SITE.get("/health/ready").status == 200);
    let (ann, ben, cid) = (person(&SITE), person(&SITE), person(&SITE));
    let (lesson, talk) = (session(&SITE, "lab", &[&ann]), session(&SITE, "hall", &[&ann]));
    let item = |of: &Value, minutes, who: &str| {
        let alike = json!([{ "person": who, "similarity": 0.55 }]);
        event(of, None, minutes, json!({ "kind": "ambiguous", "candidates": alike, "review": true }))
    };
    let (inside, before) = (item(&lesson, 3, &ben), item(&lesson, -120, &ben));
    let (again, talking) = (item(&lesson, 4, &cid), item(&talk, 3, &cid));
    let marked = mark(&lesson, &cid, 2, "off_roster");
    write(&SITE, &[inside.clone(), before.clone(), marked, again.clone(), talking.clone()]);
    let confirm = |event: &EventRecord| {
        let decided = SITE.post(&format!("/api/v1/review/{}/confirm", event.id), &json!({})).expect(200);
        let row = &decided["attendance"];
        (row["status"].clone(), row["session_id"].clone(), decided["changed"].clone())
    };
    assert_eq!(confirm(&inside), (json!("off_roster"), lesson["id"].clone(), json!(true)));
    let (status, outside, changed) = confirm(&before);
    assert_eq!((status, changed), (json!("off_schedule"), json!(true)));
    assert_ne!(outside, lesson["id"]);
    assert_eq!(confirm(&again), (json!("off_roster"), lesson["id"].clone(), json!(false)), "as the camera said");
    let figures = SITE.get(&format!("/api/v1/people/{ben}/attendance")).expect(200)["figures"].clone();
    assert_eq!((&figures["unexpected"], &figures["expected"], &figures["attended"]), (&json!(2), &json!(0), &json!(0)));

    // A room without timetable has its day beside a session by hand.
    let (status, day, _) = confirm(&talking);
    assert_eq!(status, "present");
    assert_ne!(day, talk["id"]);

    // Whoever corrects the register may say more.
    let correction = json!({ "session_id": lesson["id"], "person_id": ben, "kind": "present", "reason": "a guest" });
    let record = SITE.post_over("/api/v1/attendance/corrections", &correction).expect(201);
    assert_eq!(
        (&record["now"]["status"], &record["corrections"][0]["kind"]),
        (&json!("present"), &json!("off_roster"))
    );
}

#[test]
fn who_is_confirmed_after_the_end_was_in_the_session_if_they_were_leaving_it() {
    until("the daemon is ready", || SITE.get("/health/ready").status == 200);
    let (dan, eve, fay) = (person(&SITE), person(&SITE), person(&SITE));
    let lesson = session(&SITE, "lab", &[&dan, &eve, &fay]);
    let after_the_end = |who: &str, direction: Option<&str>| {
        let alike = json!([{ "person": who, "similarity": 0.55 }]);
        let what = json!({ "kind": "ambiguous", "candidates": alike, "review": true, "direction": direction });
        event(&lesson, None, 65, what)
    };
    let (going, standing, marked) =
        (after_the_end(&dan, Some("exit")), after_the_end(&eve, None), after_the_end(&fay, None));
    write(&SITE, &[mark(&lesson, &fay, 2, "present"), going.clone(), standing.clone(), marked.clone()]);
    let confirm = |event: &EventRecord| {
        let decided = SITE.post(&format!("/api/v1/review/{}/confirm", event.id), &json!({})).expect(200);
        let row = &decided["attendance"];
        (row["status"].clone(), row["session_id"] == lesson["id"], decided["changed"].clone())
    };
    assert_eq!(confirm(&going), (json!("late"), true, json!(true)));
    assert_eq!(confirm(&standing), (json!("off_schedule"), false, json!(true)));
    assert_eq!(confirm(&marked), (json!("present"), true, json!(false)));
}
