//! The register over HTTP: what counts, and how people correct it without anything being lost.
#![allow(clippy::unwrap_used, reason = "tests")]

mod kit;

use std::sync::LazyLock;

use chrono::{DateTime, TimeDelta, Utc};
use kit::register::{event, id, mark, now, person, session, write};
use kit::{Answer, Client, Site};
use rollcall_store::{Actor, EventRecord, Scope};
use serde_json::{Value, json};
use uuid::Uuid;

static SITE: LazyLock<Site> = LazyLock::new(|| {
    Site::start(
        "[site]\nname = \"School\"\ntime_zone = \"Europe/Berlin\"\n[[rooms]]\nid = \"hall\"\n[[rooms]]\nid = \"gate\"\n",
    )
});

fn correct(client: &Client, session: &str, person: &str, kind: &str, version: &str) -> Answer {
    let body =
        json!({ "session_id": session, "person_id": person, "kind": kind, "reason": format!("{kind}, says the test") });
    client.json("POST", "/api/v1/attendance/corrections", &[("if-match", version)], &body)
}

#[test]
fn a_mark_is_corrected_voided_and_restored_and_nothing_is_lost() {
    let (ann, ben) = (person(&SITE), person(&SITE));
    let session = session(&SITE, "hall", &[&ann, &ben]);
    let of = id(&session);
    write(&SITE, &[mark(&session, &ann, 6, "late")]);
    let path = format!("/api/v1/sessions/{of}/people/{ann}");
    let read = SITE.get(&path);
    let tag = read.header("etag").to_owned();
    let record = read.expect(200);
    assert_eq!((record["now"]["status"].as_str(), record["now"]["source"].as_str()), (Some("late"), Some("camera")));

    let body = json!({ "session_id": of, "person_id": ann, "kind": "excuse", "reason": "a note" });
    SITE.post("/api/v1/attendance/corrections", &body).expect(428);
    let made = correct(&SITE, of, &ann, "excuse", &tag);
    let excused = made.header("etag").to_owned();
    assert_eq!((excused.as_str(), made.header("location")), (SITE.get(&path).header("etag"), path.as_str()));
    assert_eq!(made.expect(201)["now"]["status"], "excused");
    correct(&SITE, of, &ann, "void", &tag).expect(412);
    correct(&SITE, of, &ann, "excuse", "*").expect(409);
    let voided = correct(&SITE, of, &ann, "void", &excused);
    assert_eq!(voided.json["now"]["status"], "void", "{voided:?}");
    let list =
        |query: &str| SITE.get(&format!("/api/v1/attendance?session_id={of}&{query}")).expect(200)["items"].clone();
    assert_eq!(list(""), json!([]), "what is void is shown only on request");
    assert_eq!(list("void=true").as_array().unwrap().len(), 1);
    let record = correct(&SITE, of, &ann, "restore", voided.header("etag")).expect(201);
    assert_eq!((record["now"]["status"].as_str(), record["now"]["source"].as_str()), (Some("late"), Some("camera")));
    correct(&SITE, of, &ann, "restore", "*").expect(409);

    let record = SITE.get(&path).expect(200);
    assert_eq!(record["mark"]["status"], "late", "the original stays");
    let corrections = record["corrections"].as_array().unwrap();
    let told: Vec<_> =
        corrections.iter().map(|c| (c["kind"].as_str().unwrap(), c["status_before"].as_str().unwrap())).collect();
    assert_eq!(told, [("excuse", "late"), ("void", "excused"), ("restore", "void")]);
    assert!(
        corrections.iter().all(|c| c["by_name"] == "admin" && c["reason"].as_str().unwrap().ends_with("says the test"))
    );

    // Nobody had seen Ben: there is no row to name a version of.
    correct(&SITE, of, &ben, "void", "*").expect(409);
    correct(&SITE, of, &ben, "present", "\"0\"").expect(201);
    let walk_in = person(&SITE);
    correct(&SITE, of, &walk_in, "excuse", "*").expect(409);
    assert_eq!(correct(&SITE, of, &walk_in, "present", "\"0\"").expect(201)["expected"], false);

    let date = session["local_date"].as_str().unwrap();
    let board = SITE.get(&format!("/api/v1/rooms/hall/board?date={date}")).expect(200);
    let shown = board["sessions"].as_array().unwrap().iter().find(|s| s["session"]["id"] == session["id"]).unwrap();
    let counts = &shown["counts"];
    let count = |key: &str| counts[key].as_i64().unwrap();
    assert_eq!(["expected", "present", "late", "absent", "pending", "unexpected"].map(count), [2, 2, 1, 0, 0, 1]);
    assert_eq!(shown["people"].as_array().unwrap().len(), 3);
    let history = SITE.get(&format!("/api/v1/people/{ann}/attendance")).expect(200);
    assert_eq!(
        (history["figures"]["late"].as_u64(), history["figures"]["lateness_percent"].as_f64()),
        (Some(1), Some(100.0))
    );
    assert_eq!(history["items"][0]["session_id"], session["id"]);
}

#[test]
fn whoever_read_a_row_that_is_gone_does_not_correct_the_one_after_it() {
    let ann = person(&SITE);
    let session = session(&SITE, "hall", &[&ann]);
    let by_hand = |kind: &str, version: &str| correct(&SITE, id(&session), &ann, kind, version);
    let first = by_hand("present", "\"0\"");
    let read = first.header("etag").to_owned();
    // Nobody saw her: nothing is left when it is taken back.
    assert_eq!(by_hand("restore", &read).expect(201)["now"], Value::Null);
    let second = by_hand("late", "\"0\"");
    by_hand("void", &read).expect(412);
    by_hand("void", second.header("etag")).expect(201);
}

#[test]
fn a_cancelled_session_is_restored_and_everybody_counts_as_before() {
    let [ann, ben, cid, dan, eve] = [(); 5].map(|()| person(&SITE));
    let session = session(&SITE, "hall", &[&ann, &ben, &cid, &dan, &eve]);
    let of = id(&session);
    write(
        &SITE,
        &[mark(&session, &ann, 6, "late"), mark(&session, &ben, 1, "present"), mark(&session, &cid, 1, "present")],
    );
    correct(&SITE, of, &ben, "excuse", "*").expect(201);
    correct(&SITE, of, &cid, "void", "*").expect(201);
    for kind in ["present", "restore"] {
        correct(&SITE, of, &eve, kind, "*").expect(201);
    }
    let post = |what: &str, headers: &[(&str, &str)], body: &Value| {
        SITE.json("POST", &format!("/api/v1/sessions/{of}/{what}"), headers, body)
    };
    let why = json!({ "reason": "the wrong one" });
    post("restore", &[("if-match", "*")], &why).expect(409);
    let cancelled = post("cancel", &[("if-match", "*")], &why);
    let tag = cancelled.header("etag").to_owned();
    assert_eq!(cancelled.expect(200)["phase"], "cancelled");
    let status = |who: &str| {
        let record = SITE.get(&format!("/api/v1/sessions/{of}/people/{who}")).expect(200);
        (record["now"]["status"].as_str().unwrap().to_owned(), record["corrections"].as_array().unwrap().len())
    };
    // Two are delivered when it is cancelled already.
    write(&SITE, &[mark(&session, &dan, 2, "present"), mark(&session, &eve, 7, "late")]);
    assert_eq!([&ann, &ben, &cid, &dan, &eve].map(|who| status(who).0), ["void"; 5]);

    post("restore", &[], &why).expect(428);
    post("restore", &[("if-match", "\"0\"")], &why).expect(412);
    post("restore", &[("if-match", &tag)], &json!({ "reason": "" })).expect(422);
    post("restore", &[("if-match", &tag)], &json!({})).expect(422);
    let elsewhere = SITE.as_account(json!({ "role": "teacher", "rooms": ["gate"] }));
    elsewhere.json("POST", &format!("/api/v1/sessions/{of}/restore"), &[("if-match", "*")], &why).expect(404);
    SITE.as_role("viewer")
        .json("POST", &format!("/api/v1/sessions/{of}/restore"), &[("if-match", "*")], &why)
        .expect(403);
    let restored = post("restore", &[("if-match", &tag)], &json!({ "reason": "held after all" })).expect(200);
    assert_eq!((&restored["phase"], &restored["state"]), (&json!("on"), &json!("planned")), "{restored}");
    post("restore", &[("if-match", "*")], &why).expect(409);
    // What a camera saw, what somebody decided, and what somebody had voided before.
    assert_eq!(status(&ann), ("late".to_owned(), 2));
    assert_eq!(status(&ben), ("excused".to_owned(), 3));
    assert_eq!(status(&cid), ("void".to_owned(), 1));
    assert_eq!(status(&dan), ("present".to_owned(), 2));
    assert_eq!(status(&eve), ("late".to_owned(), 4));
    let record = SITE.get(&format!("/api/v1/sessions/{of}/people/{ann}")).expect(200);
    assert_eq!(
        (&record["now"]["source"], &record["corrections"][1]["reason"]),
        (&json!("camera"), &json!("held after all"))
    );
    let audit = SITE.get(&format!("/api/v1/audit?object_id={of}&action=session.restore")).expect(200)["items"].clone();
    assert_eq!(
        (&audit[0]["before"]["state"], &audit[0]["after"]["state"]),
        (&json!("cancelled"), &json!("planned")),
        "{audit}"
    );
    assert_eq!(SITE.get("/api/v1/rooms/hall/board").expect(200)["room_id"], "hall");
    // One that was opened by hand is open again.
    let soon =
        json!({ "room_id": "gate", "starts_at": now() + TimeDelta::hours(1), "ends_at": now() + TimeDelta::hours(2) });
    let soon = SITE.post("/api/v1/sessions", &soon).expect(201);
    let at = |what: &str| format!("/api/v1/sessions/{}/{what}", id(&soon));
    SITE.post_over(&at("open"), &json!({})).expect(200);
    SITE.post_over(&at("cancel"), &why).expect(200);
    assert_eq!(SITE.post_over(&at("restore"), &why).expect(200)["state"], "open");
}

#[test]
fn a_session_stays_on_its_date_when_its_room_gets_another_zone() {
    let ann = person(&SITE);
    SITE.post("/api/v1/rooms", &json!({ "id": "far", "time_zone": "UTC" })).expect(201);
    let new = json!({ "room_id": "far", "starts_at": "2031-01-01T12:00:00Z", "ends_at": "2031-01-01T13:00:00Z" });
    let session = SITE.post("/api/v1/sessions", &new).expect(201);
    write(&SITE, &[mark(&session, &ann, 1, "present")]);
    // Where it is the second of January already.
    SITE.patch("/api/v1/rooms/far", &json!({ "time_zone": "Pacific/Kiritimati" })).expect(200);
    let noted = SITE.patch(&format!("/api/v1/sessions/{}", id(&session)), &json!({ "note": "went well" })).expect(200);
    assert_eq!((&noted["note"], &noted["local_date"]), (&json!("went well"), &json!("2031-01-01")));
}

/// Asks while others do.
fn apart<T: Send + 'static>(ask: impl FnOnce() -> T + Send + 'static) -> std::thread::JoinHandle<T> {
    std::thread::Builder::new().spawn(ask).unwrap()
}

#[test]
fn nobody_comes_to_count_in_a_session_that_is_being_cancelled() {
    let people = [(); 4].map(|()| person(&SITE));
    let expected: Vec<_> = people.iter().map(String::as_str).collect();
    let session = session(&SITE, "hall", &expected);
    let of = id(&session).to_owned();
    let between = json!([{ "person": people[0], "similarity": 0.55 }]);
    let item = event(&session, None, 1, json!({ "kind": "ambiguous", "candidates": between, "review": true }));
    write(&SITE, std::slice::from_ref(&item));
    SITE.with_store(async |store| {
        let mut change = store.change(Actor::system("a test")).await.unwrap();
        let held = change.lock_session(&Scope::Everywhere, of.parse().unwrap()).await.unwrap().unwrap();
        change.cancel_session(&held, "fire").await.unwrap();
        let deciding = apart(move || SITE.post(&format!("/api/v1/review/{}/confirm", item.id), &json!({})));
        let correcting = people[1..].iter().cloned().map(|who| {
            let of = of.clone();
            apart(move || correct(&SITE, &of, &who, "present", "*").status)
        });
        let correcting: Vec<_> = correcting.collect();
        assert_eq!(SITE.get(&format!("/api/v1/sessions/{of}")).expect(200)["state"], "planned");
        change.commit().await.unwrap();
        assert_eq!(correcting.into_iter().map(|thread| thread.join().unwrap()).collect::<Vec<_>>(), [409; 3]);
        // Whoever decides late finds another session of that time, or none.
        let decided = deciding.join().unwrap();
        assert!([200, 409].contains(&decided.status) && decided.json["attendance"]["session_id"] != of, "{decided:?}");
    });
    assert_eq!(SITE.get(&format!("/api/v1/attendance?session_id={of}&void=true")).expect(200)["items"], json!([]));
}

fn until_closed(session: &str) {
    SITE.until(&format!("/api/v1/sessions/{session}"), |session| session["state"] == "closed");
}

/// Puts these people on the roster of a course, and nobody else.
fn enrol(course: &Value, people: &[&str]) {
    let people: Vec<Value> = people.iter().map(|id| json!({ "person_id": id })).collect();
    let path = format!("/api/v1/courses/{}/enrolments", id(course));
    SITE.put_over(&path, &json!({ "people": people })).expect(200);
}

#[test]
fn the_rules_of_a_course_count_when_its_session_closes() {
    let people: Vec<String> = (0..5).map(|_| person(&SITE)).collect();
    let [late, too_late, too_short, left_early, nobody] = people.iter().collect::<Vec<_>>().try_into().unwrap();
    let rules = json!({ "grace_s": 300, "leave_s": 0, "absent_after_s": 900, "min_presence_percent": 50,
        "early_exit_s": 600 });
    let course = SITE.post("/api/v1/courses", &json!({ "name": "Rules", "rules": rules })).expect(201);
    enrol(&course, &[late, too_late, too_short, left_early, nobody]);
    let new = json!({ "room_id": "gate", "course_id": course["id"], "starts_at": now() - TimeDelta::minutes(60),
        "ends_at": now() + TimeDelta::minutes(30) });
    let session = SITE.post("/api/v1/sessions", &new).expect(201);
    assert_eq!(session["expected"], 5);
    let exit =
        |who: &str, minutes| EventRecord { direction: Some("exit".to_owned()), ..mark(&session, who, minutes, "late") };
    write(
        &SITE,
        &[
            mark(&session, late, 8, "late"),
            mark(&session, too_late, 20, "late"),
            mark(&session, too_short, 1, "present"),
            exit(too_short, 25),
            mark(&session, left_early, 1, "present"),
            exit(left_early, 45),
        ],
    );
    // It ends an hour after its start, with everybody seen.
    let of = id(&session);
    SITE.post_over(&format!("/api/v1/sessions/{of}/close"), &json!({})).expect(200);
    until_closed(of);
    let row = |who: &str| {
        let rows = SITE.get(&format!("/api/v1/attendance?session_id={of}&person_id={who}")).expect(200);
        let row = &rows["items"][0];
        let text = |key: &str| row[key].as_str().unwrap_or("-").to_owned();
        (text("status"), text("source"), text("reason"), row["left_early"].as_bool().unwrap())
    };
    let told = |status: &str, source: &str, reason: &str, left: bool| {
        (status.to_owned(), source.to_owned(), reason.to_owned(), left)
    };
    assert_eq!(row(late), told("late", "camera", "-", false));
    assert_eq!(row(too_late), told("absent", "closing", "too_late", false));
    assert_eq!(row(too_short), told("absent", "closing", "too_short", false));
    assert_eq!(row(left_early), told("present", "camera", "left_early", true));
    assert_eq!(row(nobody), told("absent", "closing", "not_seen", false));
    // Who decided otherwise has the last word.
    correct(&SITE, of, too_late, "excuse", "*").expect(201);
    assert_eq!(row(too_late).0, "excused");
}

#[test]
fn a_roster_that_changes_later_changes_neither_boards_nor_absences_nor_figures() {
    let [ann, ben, cid] = [(); 3].map(|()| person(&SITE));
    SITE.post("/api/v1/rooms", &json!({ "id": "past" })).expect(201);
    let course = json!({ "name": "Past", "rules": { "grace_s": 300, "leave_s": 0 } });
    let course = SITE.post("/api/v1/courses", &course).expect(201);
    enrol(&course, &[&ann, &ben]);
    let new = json!({ "room_id": "past", "course_id": course["id"], "starts_at": now() - TimeDelta::minutes(10),
        "ends_at": now() + TimeDelta::minutes(50) });
    let session = SITE.post("/api/v1/sessions", &new).expect(201);
    let of = id(&session);
    write(&SITE, &[mark(&session, &ann, 1, "present")]);
    SITE.post_over(&format!("/api/v1/sessions/{of}/close"), &json!({})).expect(200);
    until_closed(of);
    let told = || {
        let date = session["local_date"].as_str().unwrap();
        let board = SITE.get(&format!("/api/v1/rooms/past/board?date={date}")).expect(200)["sessions"].clone();
        let others = [
            format!("/api/v1/sessions/{of}/roster"),
            format!("/api/v1/sessions/{of}/people/{ann}"),
            format!("/api/v1/attendance?course_id={}", id(&course)),
            format!("/api/v1/analytics/summary?course_id={}", id(&course)),
        ];
        (board, others.map(|path| SITE.get(&path).expect(200)))
    };
    let before = told();
    let counts = &before.0[0]["counts"];
    let count = |key: &str| counts[key].as_i64().unwrap();
    assert_eq!(["expected", "present", "absent", "pending", "unexpected"].map(count), [2, 1, 1, 0, 0]);

    enrol(&course, &[&ben, &cid]);
    assert_eq!(told(), before);
    // Whoever came to the course later was as little expected as anybody else.
    correct(&SITE, of, &cid, "excuse", "*").expect(409);
    correct(&SITE, of, &ben, "excuse", "*").expect(201);
    assert_eq!(told().1[0]["items"].as_array().unwrap().len(), 2);
}

#[test]
fn people_see_their_own_record_and_others_what_lies_in_their_rooms() {
    let (ann, ben) = (person(&SITE), person(&SITE));
    let session = session(&SITE, "hall", &[&ann]);
    let of = id(&session);
    write(&SITE, &[mark(&session, &ann, 1, "present")]);
    let herself = SITE.as_account(json!({ "role": "person", "person_id": ann }));
    assert_eq!(herself.get("/api/v1/me/attendance").expect(200)["figures"]["present"], 1);
    assert_eq!(herself.get("/api/v1/attendance").expect(200)["items"].as_array().unwrap().len(), 1);
    herself.get(&format!("/api/v1/people/{ann}/attendance")).expect(200);
    herself.get(&format!("/api/v1/sessions/{of}/people/{ann}")).expect(200);
    herself.get(&format!("/api/v1/people/{ben}/attendance")).expect(404);
    herself.get(&format!("/api/v1/sessions/{of}/people/{ben}")).expect(404);
    correct(&herself, of, &ann, "excuse", "*").expect(403);
    SITE.get("/api/v1/me/attendance").expect(404);

    let elsewhere = SITE.as_account(json!({ "role": "teacher", "rooms": ["gate"] }));
    assert_eq!(elsewhere.get(&format!("/api/v1/attendance?session_id={of}")).expect(200)["items"], json!([]));
    elsewhere.get("/api/v1/rooms/hall/board").expect(404);
    elsewhere.get(&format!("/api/v1/sessions/{of}/people/{ann}")).expect(404);
    elsewhere.get(&format!("/api/v1/people/{ann}/attendance")).expect(404);
    elsewhere.get(&format!("/api/v1/why?person_id={ann}&session_id={of}")).expect(404);
    correct(&elsewhere, of, &ann, "void", "*").expect(404);
    SITE.guest().get("/api/v1/attendance").expect(401);
}

#[test]
fn the_register_is_asked_by_course_room_group_date_and_status() {
    let [ann, ben] = [(); 2].map(|()| person(&SITE));
    let course = SITE.post("/api/v1/courses", &json!({ "name": "Filtered" })).expect(201);
    let at = |room: &str, days: i64, course: &Value, people: &[&String]| {
        let from = now() - TimeDelta::days(days);
        let new = json!({ "room_id": room, "course_id": course, "people": people, "starts_at": from,
            "ends_at": from + TimeDelta::minutes(50) });
        SITE.post("/api/v1/sessions", &new).expect(201)
    };
    // What is over is closed at some moment, and whoever is expected there and did not come is absent then.
    let (lesson, other) = (at("hall", 0, &course["id"], &[&ann, &ben]), at("gate", 3, &Value::Null, &[&ann]));
    write(&SITE, &[mark(&lesson, &ann, 1, "present"), mark(&lesson, &ben, 9, "late"), mark(&other, &ann, 9, "late")]);
    let group = SITE.post("/api/v1/groups", &json!({ "name": format!("Of {ben}") })).expect(201);
    SITE.send("PUT", &format!("/api/v1/groups/{}/members/{ben}", id(&group)), &[], b"").expect(204);
    // Those of these two: others share the daemon.
    let rows = |query: &str| {
        let rows = SITE.get(&format!("/api/v1/attendance?limit=500&{query}")).expect(200);
        let row = |row: &Value| (row["session_id"].clone(), row["person_id"].clone());
        let mut rows: Vec<_> = rows["items"].as_array().unwrap().iter().map(row).collect();
        rows.retain(|(_, person)| [&ann, &ben].iter().any(|who| person == who.as_str()));
        rows.sort_by_key(|(session, person)| (session == id(&other), person == ben.as_str()));
        rows
    };
    let row = |session: &Value, person: &str| (session["id"].clone(), json!(person));
    let (first, second, third) = (row(&lesson, &ann), row(&lesson, &ben), row(&other, &ann));
    let both = vec![first.clone(), second.clone()];
    let (on, before) = (lesson["local_date"].as_str().unwrap(), other["local_date"].as_str().unwrap());
    for (query, wished) in [
        (String::new(), vec![first.clone(), second.clone(), third.clone()]),
        (format!("course_id={}", id(&course)), both.clone()),
        ("room_id=hall".to_owned(), both.clone()),
        ("room_id=gate".to_owned(), vec![third.clone()]),
        ("room_id=nowhere".to_owned(), vec![]),
        ("site_id=main".to_owned(), vec![first.clone(), second.clone(), third.clone()]),
        (format!("group_id={}", id(&group)), vec![second.clone()]),
        (format!("group_id={}&person_id={ann}", id(&group)), vec![]),
        (format!("person_id={ann}"), vec![first.clone(), third.clone()]),
        (format!("from={on}"), both),
        (format!("to={before}"), vec![third.clone()]),
        (format!("from={before}&to={before}&room_id=hall"), vec![]),
        ("status=present".to_owned(), vec![first]),
        (format!("status=late&course_id={}", id(&course)), vec![second]),
        ("status=late&room_id=gate".to_owned(), vec![third]),
        ("status=absent".to_owned(), vec![]),
    ] {
        assert_eq!(rows(&query), wished, "{query}");
    }
}

#[test]
fn a_board_says_when_there_are_more_sessions_than_it_shows() {
    SITE.post("/api/v1/rooms", &json!({ "id": "busy" })).expect(201);
    let from: DateTime<Utc> = "2031-01-01T08:00:00Z".parse().unwrap();
    let board = || {
        let board = SITE.get("/api/v1/rooms/busy/board?date=2031-01-01").expect(200);
        (board["sessions"].as_array().unwrap().len(), board["sessions_go_on"].as_bool().unwrap())
    };
    for n in 0..=100 {
        let starts_at = from + TimeDelta::minutes(n);
        let new = json!({ "room_id": "busy", "starts_at": starts_at, "ends_at": starts_at + TimeDelta::minutes(1) });
        SITE.post("/api/v1/sessions", &new).expect(201);
        if n == 99 {
            assert_eq!(board(), (100, false));
        }
    }
    assert_eq!(board(), (100, true));
    let all = SITE.get("/api/v1/sessions?room_id=busy&date=2031-01-01&limit=500").expect(200);
    assert_eq!(all["items"].as_array().unwrap().len(), 101);
}

#[test]
fn bad_input_is_told_and_changes_nothing() {
    let ann = person(&SITE);
    let session = session(&SITE, "hall", &[&ann]);
    let of = id(&session);
    for (query, status) in [
        ("limit=0", 422),
        ("limit=501", 422),
        ("cursor=x", 422),
        ("from=2026-03-02&to=2026-03-01", 422),
        ("status=gone", 400),
        ("unknown=1", 400),
        ("person_id=1%20or%201=1", 400),
        ("from=yesterday", 400),
        ("room_id=%27;drop%20table%20x", 200),
    ] {
        SITE.get(&format!("/api/v1/attendance?{query}")).expect(status);
    }
    let good = json!({ "session_id": of, "person_id": ann, "kind": "present", "reason": "seen" });
    for (field, value, status) in [
        ("reason", json!(""), 422),
        ("reason", json!("a\u{0}b"), 422),
        ("reason", json!("x".repeat(1001)), 422),
        ("kind", json!("forgive"), 422),
        ("more", json!(1), 422),
        ("session_id", json!(Uuid::nil()), 404),
        ("person_id", json!(Uuid::nil()), 404),
        ("person_id", json!(7), 422),
    ] {
        let mut body = good.clone();
        body[field] = value;
        SITE.json("POST", "/api/v1/attendance/corrections", &[("if-match", "*")], &body).expect(status);
    }
    let record = SITE.get(&format!("/api/v1/sessions/{of}/people/{ann}")).expect(200);
    assert_eq!((&record["now"], &record["corrections"]), (&Value::Null, &json!([])));
    let soon = json!({ "room_id": "hall", "starts_at": now() + TimeDelta::hours(1), "ends_at": now() + TimeDelta::hours(2),
        "people": [ann] });
    let soon = SITE.post("/api/v1/sessions", &soon).expect(201);
    correct(&SITE, id(&soon), &ann, "absent", "*").expect(409);
    correct(&SITE, id(&soon), &ann, "excuse", "\"0\"").expect(201);
}
