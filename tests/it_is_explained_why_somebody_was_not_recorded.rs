//! Why was this person not recorded? The sightings, refusals and outages that explain it, on one screen; and all sightings of
//! one person.
#![allow(clippy::unwrap_used, reason = "tests")]

mod kit;

use std::cmp::Reverse;
use std::sync::LazyLock;

use chrono::{DateTime, TimeDelta, Utc};
use kit::register::{event, id, mark, person, session, write};
use kit::{Client, Site};
use rollcall_store::{CameraMinute, EventRecord};
use serde_json::{Value, json};
use uuid::Uuid;

static SITE: LazyLock<Site> = LazyLock::new(|| {
    Site::start(
        "[site]\nname = \"School\"\ntime_zone = \"Europe/Berlin\"\n[[rooms]]\nid = \"hall\"\n[[rooms]]\nid = \"gate\"\n",
    )
});

#[test]
fn it_is_explained_why_somebody_was_not_recorded() {
    let (ann, ben) = (person(&SITE), person(&SITE));
    let session = session(&SITE, "hall", &[&ann]);
    let of = id(&session);
    let like = json!([{ "person": ann, "similarity": 0.31 }, { "person": ben, "similarity": 0.1 }]);
    write(&SITE, &[event(&session, None, 3, json!({ "kind": "unknown", "candidates": like }))]);
    let why = |query: &str| SITE.get(&format!("/api/v1/why?{query}"));
    let answer = why(&format!("person_id={ann}&session_id={of}")).expect(200);
    let reason = |code: &str| {
        let reasons = answer["reasons"].as_array().unwrap();
        reasons.iter().find(|reason| reason["code"] == code).unwrap_or_else(|| panic!("no {code}: {answer}")).clone()
    };
    assert_eq!(answer["reasons"][0]["code"], "not_enrolled", "{answer}");
    assert!(
        answer["verdict"].as_str().unwrap().ends_with("was not recorded: no face of theirs is enrolled."),
        "{answer}"
    );
    let near = reason("below_threshold")["evidence"].clone();
    assert!(
        (near["similarity"].as_f64().unwrap() - 0.31).abs() < 1e-6 && near["needed"].as_f64().unwrap() > 0.4,
        "{near}"
    );
    reason("daemon_down");

    let at = session["starts_at"].as_str().unwrap();
    let ben_there = why(&format!("person_id={ben}&room_id=hall&at={at}")).expect(200);
    assert_eq!(ben_there["room_id"], "hall");
    write(&SITE, &[mark(&session, &ann, 4, "present")]);
    let marked = why(&format!("person_id={ann}&session_id={of}")).expect(200);
    assert_eq!((marked["reasons"][0]["code"].as_str(), marked["status"].as_str()), (Some("recorded"), Some("present")));
    // Between two who are alike, and a camera that was away for most of the time.
    let near = json!([{ "person": ben, "similarity": 0.5 }, { "person": ann, "similarity": 0.47 }]);
    let starts: DateTime<Utc> = at.parse().unwrap();
    let down = |minute: i64| CameraMinute {
        camera: "door-1".to_owned(),
        room: "hall".to_owned(),
        minute: starts - TimeDelta::seconds(starts.timestamp() % 60) + TimeDelta::minutes(minute),
        frames: 40,
        faces: 9,
        refused: json!({ "too_dark": 4, "turned_away": 2 }),
        up_ms: 9_000,
        down_reason: Some("the camera refuses the connection".to_owned()),
    };
    write(
        &SITE,
        &[event(&session, None, 5, json!({ "kind": "ambiguous", "candidates": near, "review": true, "shots": 1 }))],
    );
    SITE.with_store(async |store| store.add_camera_minutes(&(-15..9).map(down).collect::<Vec<_>>()).await.unwrap());
    let told = why(&format!("person_id={ben}&session_id={of}")).expect(200);
    let reason = |code: &str| {
        let reasons = told["reasons"].as_array().unwrap();
        reasons.iter().find(|reason| reason["code"] == code).unwrap_or_else(|| panic!("no {code}: {told}")).clone()
    };
    let between = reason("ambiguous");
    assert_eq!(between["evidence"]["other_person_id"], ann.as_str());
    assert!(between["text"].as_str().unwrap().contains("(0.50 and 0.47)"), "{between}");
    let away = reason("camera_down");
    assert_eq!((&away["evidence"]["camera"], &away["evidence"]["minutes"]), (&json!("door-1"), &json!(24)));
    assert!(away["text"].as_str().unwrap().contains("the camera refuses the connection"), "{away}");
    assert_eq!(reason("too_dark")["evidence"]["faces"], 4 * 24);
    assert_eq!(reason("turned_away")["evidence"]["faces"], 2 * 24);
    for wrong in [
        format!("person_id={ann}"),
        format!("person_id={ann}&session_id={of}&room_id=hall"),
        format!("person_id={ann}&room_id=hall&at={at}&minutes=181"),
    ] {
        why(&wrong).expect(422);
    }
    why("person_id=x").expect(400);
}

#[test]
fn it_is_explained_that_somebody_was_seen_and_not_recorded() {
    let [ann, ben] = [(); 2].map(|()| person(&SITE));
    let session = session(&SITE, "hall", &[&ben]);
    let of = id(&session);
    let like = json!([{ "person": ann, "similarity": 0.61 }]);
    let far = json!([{ "person": ann, "similarity": 0.58 }, { "person": ben, "similarity": 0.40 }]);
    let seen = |kind: &str, more: Value| {
        let mut what = json!({ "kind": kind, "candidates": like });
        what.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        event(&session, Some(&ann).filter(|_| kind != "spoof").map(|who| who.as_str()), 3, what)
    };
    let doubt =
        json!({ "review": true, "liveness": "undecided", "liveness_score": null, "liveness_reason": "too_poor" });
    write(
        &SITE,
        &[
            seen("off_roster", json!({})),
            seen("spoof", json!({ "review": true, "liveness": "spoof", "liveness_score": 0.02 })),
            seen("ambiguous", doubt),
            // As the mirror image of somebody is.
            event(&session, None, 4, json!({ "kind": "ambiguous", "candidates": far, "review": true, "shots": 5 })),
        ],
    );
    let consents = format!("/api/v1/people/{ann}/consents");
    SITE.post(&consents, &json!({ "text_version": "1", "given_by": "Ann" })).expect(201);
    SITE.post(&format!("{consents}/withdraw"), &json!({})).expect(200);
    let starts: DateTime<Utc> = session["starts_at"].as_str().unwrap().parse().unwrap();
    let minute = CameraMinute {
        camera: "door-2".to_owned(),
        room: "hall".to_owned(),
        minute: starts - TimeDelta::seconds(starts.timestamp() % 60) + TimeDelta::minutes(2),
        frames: 300,
        faces: 12,
        refused: json!({ "too_small": 5, "blurred": 3 }),
        up_ms: 60_000,
        down_reason: None,
    };
    SITE.with_store(async |store| store.add_camera_minutes(std::slice::from_ref(&minute)).await.unwrap());

    let told = SITE.get(&format!("/api/v1/why?person_id={ann}&session_id={of}")).expect(200);
    let reasons = told["reasons"].as_array().unwrap();
    let reason = |code: &str| {
        reasons.iter().find(|reason| reason["code"] == code).unwrap_or_else(|| panic!("no {code}: {told}"))
    };
    for (code, words, evidence, value) in [
        ("off_roster", "not on the roster", "kind", json!("off_roster")),
        ("consent_withdrawn", "consent was withdrawn", "consent_withdrawn", json!(true)),
        ("spoof", "a picture or a screen", "liveness", json!("spoof")),
        ("undecided", "too dark or blurred", "liveness_reason", json!("too_poor")),
        ("in_doubt", "a nearer one at the same time", "shots", json!(5)),
        ("not_expected", "not on the roster", "expected", json!(1)),
        ("too_small", "too small", "faces", json!(5)),
        ("blurred", "too blurred", "faces", json!(3)),
    ] {
        let reason = reason(code);
        assert_eq!(reason["evidence"][evidence], value, "{reason}");
        assert!(reason["text"].as_str().unwrap().contains(words), "{reason}");
    }
    assert_eq!(reasons[0]["code"], "off_roster", "the most telling first: {told}");
    assert_eq!(told["status"], Value::Null);
}

#[test]
fn nobody_is_named_who_belongs_to_other_rooms() {
    let (ann, ben) = (person(&SITE), person(&SITE));
    let session = session(&SITE, "hall", &[&ann]);
    let near = json!([{ "person": ben, "similarity": 0.5 }, { "person": ann, "similarity": 0.47 }]);
    write(&SITE, &[event(&session, None, 5, json!({ "kind": "ambiguous", "candidates": near, "review": true }))]);
    let told = |client: &Client| {
        let told = client.get(&format!("/api/v1/why?person_id={ann}&session_id={}", id(&session))).expect(200);
        let mut reasons = told["reasons"].as_array().unwrap().iter();
        reasons.find(|reason| reason["code"] == "ambiguous").unwrap_or_else(|| panic!("not ambiguous: {told}")).clone()
    };
    assert_eq!(told(&SITE)["evidence"]["other_person_id"], ben.as_str());
    let hidden = told(&SITE.as_account(json!({ "role": "teacher", "rooms": ["hall"] })));
    assert_eq!(hidden["evidence"]["other_person_id"], Value::Null);
    assert!(hidden["text"].as_str().unwrap().contains("that of somebody else (0.47 and 0.50)"), "{hidden}");
}

/// The rooms in which somebody was seen, as it is told there.
#[track_caller]
fn rooms(client: &Client, path: &str) -> Vec<String> {
    let told = client.get(path).expect(200);
    let items = told["items"].as_array().unwrap().iter();
    items.map(|item| item["room_id"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn everything_that_names_somebody_is_listed_newest_first_and_page_by_page() {
    let [ann, ben] = [(); 2].map(|()| person(&SITE));
    let session = session(&SITE, "hall", &[&ann, &ben]);
    let like = json!([{ "person": ann, "similarity": 0.31 }]);
    let left = event(&session, Some(&ann), 8, json!({ "kind": "debounced", "direction": "exit" }));
    let doubt = json!({ "kind": "ambiguous", "liveness": "undecided", "liveness_reason": "too_poor" });
    let mut seen = [
        mark(&session, &ann, 1, "present"),
        // Two at once, between which a page ends.
        event(&session, Some(&ann), 5, doubt),
        event(&session, Some(&ann), 5, json!({ "kind": "spoof", "liveness": "spoof" })),
        // A hundred days before, in another table.
        event(&session, Some(&ann), -100 * 24 * 60, json!({ "kind": "off_schedule" })),
        left.clone(),
    ];
    write(&SITE, &seen);
    let unnamed = event(&session, None, 7, json!({ "kind": "unknown", "candidates": like }));
    write(&SITE, &[mark(&session, &ben, 6, "late"), unnamed]);
    seen.sort_by_key(|event| (Reverse(event.captured_at), event.id));
    let ids = |events: &[EventRecord]| events.iter().map(|event| json!(event.id)).collect::<Vec<_>>();

    let path = format!("/api/v1/people/{ann}/sightings");
    let told = |query: &str| {
        let page = SITE.get(&format!("{path}?{query}")).expect(200);
        let items = page["items"].as_array().unwrap().iter();
        (items.map(|item| item["event_id"].clone()).collect::<Vec<_>>(), page["next_cursor"].clone())
    };
    assert_eq!(told(""), (ids(&seen), Value::Null));
    let (first, cursor) = told("limit=2");
    let (second, cursor) = told(&format!("limit=2&cursor={}", cursor.as_str().unwrap()));
    let (third, cursor) = told(&format!("limit=2&cursor={}", cursor.as_str().unwrap()));
    assert_eq!([first, second, third].concat(), ids(&seen));
    assert_eq!(cursor, Value::Null);
    let at = |event: &EventRecord| json!(event.captured_at).as_str().unwrap().to_owned();
    let (newest, tied) = (at(&seen[0]), at(&seen[1]));
    assert_eq!(told(&format!("from={tied}")).0, ids(&seen[..3]));
    assert_eq!(told(&format!("from={tied}&to={newest}")).0, ids(&seen[1..3]));
    assert_eq!(told(&format!("to={tied}")).0, ids(&seen[3..]));

    let page = SITE.get(&path).expect(200);
    let wished = json!({ "event_id": left.id, "captured_at": left.captured_at, "time_source": "ntp", "kind": "debounced",
        "room_id": "hall", "camera": "door-1", "direction": "exit", "similarity": 0.75, "liveness": "live",
        "session_id": null, "mark_status": null, "review": null });
    assert_eq!(page["items"][0], wished);
    let made = &page["items"][3];
    assert_eq!((&made["session_id"], &made["mark_status"]), (&session["id"], &json!("present")));

    for (query, status) in [
        ("limit=0", 422),
        ("cursor=x", 422),
        ("from=9999-01-01T00:00:00Z", 422),
        ("from=2026-03-02T00:00:00Z&to=2026-03-01T00:00:00Z", 422),
        ("from=2026-03-02", 400),
        ("room_id=hall", 400),
    ] {
        SITE.get(&format!("{path}?{query}")).expect(status);
    }
}

#[test]
fn what_a_reviewer_decided_to_be_somebody_is_listed_as_theirs() {
    let [ann, ben] = [(); 2].map(|()| person(&SITE));
    let session = session(&SITE, "hall", &[&ann, &ben]);
    let like = json!([{ "person": ben, "similarity": 0.5 }, { "person": ann, "similarity": 0.25 }]);
    let item = |who: Option<&str>, minutes, kind: &str| {
        event(&session, who, minutes, json!({ "kind": kind, "candidates": like, "review": true }))
    };
    let (confirmed, assigned) = (item(None, 1, "ambiguous"), item(None, 2, "unknown"));
    let (named, rejected, of_ben) =
        (item(Some(ann.as_str()), 3, "ambiguous"), item(None, 4, "ambiguous"), item(Some(ben.as_str()), 5, "spoof"));
    write(&SITE, &[&confirmed, &assigned, &named, &rejected, &of_ben].map(Clone::clone));
    let decide = |event: &EventRecord, how: &str, body: Value| {
        SITE.post(&format!("/api/v1/review/{}/{how}", event.id), &body).expect(200);
    };
    for event in [&confirmed, &named] {
        decide(event, "confirm", json!({ "person_id": ann }));
    }
    for event in [&assigned, &of_ben] {
        decide(event, "assign", json!({ "person_id": ann }));
    }
    decide(&rejected, "reject", json!({}));

    let herself = SITE.as_account(json!({ "role": "person", "person_id": ann }));
    let (mut told, mut cursor) = (Vec::new(), Some(String::new()));
    while let Some(after) = cursor {
        let page = herself.get(&format!("/api/v1/me/sightings?limit=1{after}")).expect(200);
        let item = &page["items"][0];
        told.push((item["event_id"].clone(), item["review"].clone(), item["similarity"].clone()));
        cursor = page["next_cursor"].as_str().map(|next| format!("&cursor={next}"));
    }
    let row = |event: &EventRecord, review: &str, similarity: f64| (json!(event.id), json!(review), json!(similarity));
    let wished = [
        row(&of_ben, "assigned", 0.25),
        row(&named, "confirmed", 0.75),
        row(&assigned, "assigned", 0.25),
        row(&confirmed, "confirmed", 0.25),
    ];
    assert_eq!(told, wished);
    let page = SITE.get(&format!("/api/v1/people/{ben}/sightings")).expect(200);
    let rows: Vec<_> =
        page["items"].as_array().unwrap().iter().map(|item| (&item["event_id"], &item["review"])).collect();
    assert_eq!(rows, [(&json!(of_ben.id), &json!("rejected"))], "what the camera said stays, and what was made of it");
}

#[test]
fn sightings_are_told_to_those_who_may_know_of_the_person_and_of_their_places_alone() {
    let [ann, ben] = [(); 2].map(|()| person(&SITE));
    let [hall, gate] = ["hall", "gate"].map(|room| session(&SITE, room, &[&ann]));
    write(&SITE, &[mark(&hall, &ann, 1, "present"), event(&gate, Some(&ann), 2, json!({ "kind": "off_roster" }))]);
    write(&SITE, &[mark(&hall, &ben, 1, "off_roster")]);
    SITE.post("/api/v1/rooms", &json!({ "id": "cellar" })).expect(201);
    let (of_ann, of_ben) = (format!("/api/v1/people/{ann}/sightings"), format!("/api/v1/people/{ben}/sightings"));
    let teacher = |places: &str, place: &str| SITE.as_account(json!({ "role": "teacher", places: [place] }));

    assert_eq!(rooms(&SITE, &of_ann), ["gate", "hall"]);
    assert_eq!(rooms(&SITE.as_role("viewer"), &of_ann), ["gate", "hall"]);
    assert_eq!(rooms(&teacher("sites", "main"), &of_ann), ["gate", "hall"]);
    assert_eq!(rooms(&teacher("rooms", "hall"), &of_ann), ["hall"]);
    assert_eq!(rooms(&teacher("rooms", "gate"), &of_ann), ["gate"]);
    teacher("rooms", "gate").get(&of_ben).expect(404);
    teacher("rooms", "cellar").get(&of_ann).expect(404);

    let herself = SITE.as_account(json!({ "role": "person", "person_id": ann }));
    assert_eq!(rooms(&herself, "/api/v1/me/sightings"), ["gate", "hall"]);
    assert_eq!(rooms(&herself, &of_ann), ["gate", "hall"]);
    herself.get(&of_ben).expect(404);
    SITE.get("/api/v1/me/sightings").expect(404);
    SITE.get(&format!("/api/v1/people/{}/sightings", Uuid::nil())).expect(404);
    SITE.as_key(&["people:read"]).get(&of_ann).expect(403);
    SITE.guest().get(&of_ann).expect(401);
}
