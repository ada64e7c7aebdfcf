//! Sites, rooms, courses and timetables over HTTP: sessions follow them, by the clock of the place and by hand.
#![allow(clippy::unwrap_used, reason = "tests")]

mod kit;

use std::sync::LazyLock;

use chrono::{DateTime, Datelike, Days, NaiveDate, TimeDelta, Utc, Weekday};
use chrono_tz::Tz;
use kit::register::{course, now};
use kit::{Answer, Client, Site, told, unique};
use serde_json::{Value, json};

static SITE: LazyLock<Site> = LazyLock::new(|| {
    let hall = "[attendance]\nleave_min = 0\n[site]\nname = \"School\"\ntime_zone = \"Europe/Berlin\"\n[[rooms]]\nid = \"hall\"\n";
    let lines = "[[rooms.sessions]]\nname = \"Shift\"\ndays = [\"mon\", \"tue\", \"wed\", \"thu\", \"fri\", \"sat\", \"sun\"]\n";
    Site::start(&format!("{hall}{lines}start = \"00:00\"\nend = \"00:00\"\n"))
});

fn room(zone: &str) -> String {
    let id = unique("room");
    SITE.post("/api/v1/rooms", &json!({ "id": id, "time_zone": zone })).expect(201);
    id
}

fn entry(course: &str, room: &str, weekdays: &[u32], starts: &str, ends: &str) -> String {
    let new = json!({ "room_id": room, "weekdays": weekdays, "starts": starts, "ends": ends });
    let made = SITE.post(&format!("/api/v1/courses/{course}/timetable"), &new).expect(201);
    made["id"].as_str().unwrap().to_owned()
}

/// The sessions of a course once they are as wished. The daemon plans within a moment.
#[track_caller]
fn sessions(course: &str, wished: impl Fn(&[Value]) -> bool) -> Vec<Value> {
    let path = format!("/api/v1/sessions?course_id={course}&limit=100");
    let page = SITE.until(&path, |page| wished(page["items"].as_array().unwrap()));
    page["items"].as_array().unwrap().clone()
}

fn time(session: &Value, key: &str) -> DateTime<Utc> {
    session[key].as_str().unwrap().parse().unwrap()
}

fn berlin() -> Tz {
    "Europe/Berlin".parse().unwrap()
}

#[test]
fn a_timetable_becomes_sessions_of_four_weeks_that_follow_its_changes() {
    let (course, room) = (course(&SITE), room("Europe/Berlin"));
    let tomorrow = now().with_timezone(&berlin()).date_naive() + Days::new(1);
    let line = entry(&course, &room, &[tomorrow.weekday().number_from_monday()], "08:00", "09:30");
    let made = sessions(&course, |s| s.len() >= 4);
    assert_eq!(made.len(), 4, "{made:?}");
    for (week, session) in (0..).zip(&made) {
        let date = tomorrow + Days::new(7 * week);
        assert_eq!(session["local_date"], date.to_string());
        let local = time(session, "starts_at").with_timezone(&berlin());
        assert_eq!(local.naive_local(), date.and_hms_opt(8, 0, 0).unwrap(), "eight o'clock, summer or winter");
        assert_eq!((session["phase"].as_str(), session["origin"].as_str()), (Some("upcoming"), Some("timetable")));
    }

    // A holiday, one moved, one cancelled; the fourth at another hour like the rest.
    let dates: Vec<NaiveDate> = (0..4).map(|week| tomorrow + Days::new(7 * week)).collect();
    let holiday = format!("/api/v1/sites/main/holidays/{}", dates[0]);
    SITE.put_over(&holiday, &json!({ "name": "Founders' day" })).expect(200);
    sessions(&course, |s| s.len() == 3);
    let exception = |date: NaiveDate| format!("/api/v1/timetable/{line}/exceptions/{date}");
    SITE.put_over(&exception(dates[1]), &json!({ "kind": "cancelled", "note": "storm" })).expect(200);
    let moved = json!({ "kind": "moved", "date": dates[2] + Days::new(1), "starts": "10:00", "ends": "11:00" });
    SITE.put_over(&exception(dates[2]), &moved).expect(200);
    let left = sessions(&course, |s| s.len() == 2 && s[0]["local_date"] == (dates[2] + Days::new(1)).to_string());
    assert_eq!(left[0]["id"], made[2]["id"], "it stays the same session");
    SITE.patch(&format!("/api/v1/timetable/{line}"), &json!({ "starts": "12:00", "ends": "13:00" })).expect(200);
    let later = sessions(&course, |s| time(&s[1], "ends_at") - time(&made[3], "ends_at") == TimeDelta::minutes(210));
    assert_eq!(later[1]["id"], made[3]["id"]);
    SITE.delete(&exception(dates[1])).expect(204);
    SITE.delete(&holiday).expect(204);
    sessions(&course, |s| s.len() == 4);
    SITE.delete(&format!("/api/v1/timetable/{line}")).expect(204);
    sessions(&course, <[Value]>::is_empty);
    SITE.delete(&format!("/api/v1/courses/{course}")).expect(204);
}

#[test]
fn a_session_by_hand_opens_closes_and_is_over_only_once() {
    let room = room("Asia/Tokyo");
    let soon = now() + TimeDelta::minutes(10);
    let new = json!({ "room_id": room, "name": "Exam", "starts_at": soon, "ends_at": soon + TimeDelta::hours(1) });
    let made = SITE.post("/api/v1/sessions", &new).expect(201);
    let tokyo: Tz = "Asia/Tokyo".parse().unwrap();
    assert_eq!(made["local_date"], soon.with_timezone(&tokyo).date_naive().to_string());
    let path = format!("/api/v1/sessions/{}", made["id"].as_str().unwrap());
    let post = |what: &str| SITE.post_over(&format!("{path}/{what}"), &json!({ "reason": "mistake" }));
    let on = SITE.get(&format!("/api/v1/rooms/{room}/now")).expect(200);
    assert_eq!((&on["now"], &on["next"]["id"]), (&Value::Null, &made["id"]));

    post("close").expect(409);
    assert_eq!(post("open").expect(200)["phase"], "on");
    post("open").expect(409);
    let on = SITE.get(&format!("/api/v1/rooms/{room}/now")).expect(200);
    assert_eq!(on["now"]["id"], made["id"], "it is open before its time");
    post("close").expect(409);
    SITE.patch(&path, &json!({ "starts_at": now() - TimeDelta::minutes(1) })).expect(200);
    let closed = post("close").expect(200);
    assert_eq!(closed["phase"], "over");
    post("open").expect(409);
    post("close").expect(409);
    let done = SITE.until(&path, |session| session["state"] == "closed");
    assert_eq!(done["phase"], "closed");
    post("cancel").expect(409);
    SITE.patch(&path, &json!({ "room_id": "hall" })).expect(409);
    assert_eq!(SITE.patch(&path, &json!({ "note": "went well" })).expect(200)["note"], "went well");

    let other = SITE.post("/api/v1/sessions", &new).expect(201);
    let path = format!("/api/v1/sessions/{}", other["id"].as_str().unwrap());
    let cancelled = SITE.post_over(&format!("{path}/cancel"), &json!({ "reason": "nobody came" })).expect(200);
    assert_eq!((cancelled["phase"].as_str(), cancelled["state"].as_str()), (Some("cancelled"), Some("cancelled")));
    SITE.post_over(&format!("{path}/open"), &json!({})).expect(409);
    SITE.delete(&path).expect(204);
    SITE.get(&path).expect(404);
}

#[test]
fn a_substitution_stays_when_the_timetable_changes() {
    let (course, room) = (course(&SITE), room("Europe/Berlin"));
    let day = now().with_timezone(&berlin()).date_naive() + Days::new(2);
    let line = entry(&course, &room, &[day.weekday().number_from_monday()], "08:00", "09:00");
    let made = sessions(&course, |s| s.len() >= 4);
    let path = format!("/api/v1/sessions/{}", made[0]["id"].as_str().unwrap());
    let teacher = SITE.get("/api/v1/auth/me").expect(200);
    let teacher = teacher["id"].as_str().or_else(|| teacher["account"]["id"].as_str()).unwrap().to_owned();
    let starts_at = time(&made[0], "starts_at") + TimeDelta::minutes(15);
    let changed = SITE.patch(&path, &json!({ "substitute_id": teacher, "starts_at": starts_at })).expect(200);
    assert_eq!(changed["substitute_id"], teacher.as_str());
    SITE.patch(&path, &json!({ "substitute_id": made[0]["id"] })).expect(422);
    SITE.patch(&format!("/api/v1/timetable/{line}"), &json!({ "starts": "07:00" })).expect(200);
    let later = sessions(&course, |s| time(&s[1], "starts_at") < time(&made[1], "starts_at"));
    assert_eq!(time(&later[0], "starts_at"), starts_at, "it was set by hand");
    SITE.delete(&format!("/api/v1/timetable/{line}")).expect(204);
}

#[test]
fn of_two_changes_at_once_one_is_made_and_one_is_told() {
    let path = format!("/api/v1/rooms/{}", room("UTC"));
    let read = SITE.get(&path);
    let tag = read.header("etag").to_owned();
    let statuses: Vec<u16> = std::thread::scope(|scope| {
        let change = |name: &'static str| {
            let (path, tag) = (&path, &tag);
            scope.spawn(move || SITE.json("PATCH", path, &[("if-match", tag)], &json!({ "name": name })).status)
        };
        [change("A"), change("B")].map(|thread| thread.join().unwrap()).into()
    });
    assert!(statuses.contains(&200) && statuses.contains(&412), "{statuses:?}");
    SITE.json("PATCH", &path, &[], &json!({ "name": "C" })).expect(428);
    SITE.json("PATCH", &path, &[("if-match", "\"x\"")], &json!({ "name": "C" })).expect(412);
    SITE.delete(&path).expect(204);
}

#[test]
fn a_holiday_and_an_exception_that_others_changed_are_not_overwritten() {
    let site = unique("annex");
    SITE.post("/api/v1/sites", &json!({ "id": site, "name": "Annex", "time_zone": "UTC" })).expect(201);
    let line = entry(&course(&SITE), &room("UTC"), &[1], "08:00", "09:00");
    let holiday = |name: &str| json!({ "name": name });
    let cancelled = |note: &str| json!({ "kind": "cancelled", "note": note });
    for (list, object, verb, [first, second]) in [
        (format!("/api/v1/sites/{site}/holidays"), &site, "holiday", ["A", "B"].map(holiday)),
        (format!("/api/v1/timetable/{line}/exceptions"), &line, "timetable_exception", ["A", "B"].map(cancelled)),
    ] {
        let path = format!("{list}/2027-03-01");
        let put = |headers: &[(&str, &str)], body: &Value| SITE.json("PUT", &path, headers, body);
        let delete = |headers: &[(&str, &str)]| SITE.send("DELETE", &path, headers, b"");
        delete(&[("if-match", "*")]).expect(404);
        put(&[("if-match", "\"1\"")], &first).expect(412);
        // Nobody has to name the version of what is not there; and nobody overwrites what came meanwhile.
        let tag = put(&[], &first).header("etag").to_owned();
        put(&[], &second).expect(428);
        let other = put(&[("if-match", &tag)], &second);
        assert_eq!(other.header("etag"), format!("\"{}\"", other.json["version"]), "{other:?}");
        put(&[("if-match", &tag)], &first).expect(412);
        put(&[("if-match", "\"0\"")], &first).expect(412);
        assert_eq!(SITE.get(&list).expect(200)["items"], json!([other.json]));
        delete(&[]).expect(428);
        delete(&[("if-match", &tag)]).expect(412);
        delete(&[("if-match", other.header("etag"))]).expect(204);

        let told = SITE.log(&format!("object_id={object}&action={verb}."));
        let words = |entry: &Value| entry["name"].as_str().or(entry["note"].as_str()).unwrap_or("-").to_owned();
        let told: Vec<_> = told.iter().map(|(action, b, a)| (action.clone(), words(b), words(a))).collect();
        let entry =
            |what: &str, before: &str, after: &str| (format!("{verb}.{what}"), before.to_owned(), after.to_owned());
        assert_eq!(told, [entry("delete", "B", "-"), entry("put", "A", "B"), entry("put", "-", "A")]);
    }
}

#[test]
fn whoever_read_what_is_gone_does_not_change_what_was_made_anew_in_its_place() {
    let site = unique("annex");
    let sites = json!({ "id": site, "name": "Annex", "time_zone": "UTC" });
    let (room, line) = (unique("room"), entry(&course(&SITE), &room("UTC"), &[1], "08:00", "09:00"));
    SITE.post("/api/v1/sites", &sites).expect(201);
    let post = |list: &str, body: Value| SITE.post(&format!("/api/v1/{list}"), &body);
    let put = |path: &str, body: Value| SITE.json("PUT", &format!("/api/v1/{path}"), &[], &body);
    let holiday = || put(&format!("sites/{site}/holidays/2027-03-01"), json!({ "name": "A day off" }));
    let exception = || put(&format!("timetable/{line}/exceptions/2027-03-01"), json!({ "kind": "cancelled" }));
    let new_room = || post("rooms", json!({ "id": room }));
    let camera = || {
        let settings = json!({ "streams": { "detect": "rtsp://127.0.0.1:9/door" } });
        post("cameras", json!({ "id": site, "room_id": "hall", "enabled": false, "settings": settings }))
    };
    let makes: [(String, &dyn Fn() -> Answer); 4] = [
        (format!("sites/{site}/holidays/2027-03-01"), &holiday),
        (format!("timetable/{line}/exceptions/2027-03-01"), &exception),
        (format!("rooms/{room}"), &new_room),
        (format!("cameras/{site}"), &camera),
    ];
    for (path, make) in makes {
        let path = format!("/api/v1/{path}");
        let delete = |tag: &str| SITE.send("DELETE", &path, &[("if-match", tag)], b"");
        let first = make();
        delete(first.header("etag")).expect(204);
        let second = make();
        delete(first.header("etag")).expect(412);
        delete(second.header("etag")).expect(204);
    }
    let path = format!("/api/v1/sites/{site}");
    let first = SITE.get(&path).header("etag").to_owned();
    SITE.delete(&path).expect(204);
    SITE.post("/api/v1/sites", &sites).expect(201);
    SITE.json("PATCH", &path, &[("if-match", &first)], &json!({ "name": "Other" })).expect(412);
}

#[test]
fn whoever_read_a_session_that_went_with_its_occurrence_does_not_change_the_one_that_came_with_it() {
    let (course, room) = (course(&SITE), room("UTC"));
    let day = now().date_naive() + Days::new(2);
    let line = entry(&course, &room, &[day.weekday().number_from_monday()], "08:00", "09:00");
    let made = sessions(&course, |s| s.len() == 4);
    let path = format!("/api/v1/sessions/{}", made[0]["id"].as_str().unwrap());
    let read = SITE.get(&path).header("etag").to_owned();
    let exception = format!("/api/v1/timetable/{line}/exceptions/{day}");
    SITE.put_over(&exception, &json!({ "kind": "cancelled" })).expect(200);
    sessions(&course, |s| s.len() == 3);
    SITE.delete(&exception).expect(204);
    let again = sessions(&course, |s| s.len() == 4);
    assert_eq!(again[0]["id"], made[0]["id"]);
    SITE.json("PATCH", &path, &[("if-match", &read)], &json!({ "note": "X" })).expect(412);
}

#[test]
fn there_is_no_exception_where_a_line_has_no_session() {
    let new = json!({ "room_id": room("UTC"), "weekdays": [1, 4], "starts": "08:00", "ends": "09:00",
        "valid_from": "2027-03-02", "valid_to": "2027-03-09" });
    let line = SITE.post(&format!("/api/v1/courses/{}/timetable", course(&SITE)), &new).expect(201);
    let list = format!("/api/v1/timetable/{}/exceptions", line["id"].as_str().unwrap());
    let put = |date: &str, body: &Value| SITE.json("PUT", &format!("{list}/{date}"), &[], body);
    let cancelled = json!({ "kind": "cancelled" });
    let moved = json!({ "kind": "moved", "date": "2027-03-05", "starts": "08:00", "ends": "09:00" });
    for date in ["2027-03-01", "2027-03-03", "2027-03-07", "2027-03-11"] {
        assert_eq!(told(put(date, &cancelled)), ["date"], "{date}");
        assert_eq!(told(put(date, &moved)), ["date"], "{date}");
    }
    assert_eq!(SITE.get(&list).expect(200)["items"], json!([]));
    put("2027-03-04", &moved).expect(200);
    put("2027-03-08", &cancelled).expect(200);
}

#[test]
fn a_session_that_others_changed_is_not_opened_closed_or_cancelled() {
    let soon = now() + TimeDelta::minutes(10);
    let new = json!({ "room_id": room("UTC"), "starts_at": soon, "ends_at": soon + TimeDelta::hours(1) });
    let made = SITE.post("/api/v1/sessions", &new);
    let stale = made.header("etag").to_owned();
    let path = format!("/api/v1/sessions/{}", made.expect(201)["id"].as_str().unwrap());
    let moved = SITE.patch(&path, &json!({ "starts_at": now() - TimeDelta::minutes(1) }));
    let why = json!({ "reason": "storm" });
    for what in ["open", "close", "release", "cancel", "restore"] {
        let path = format!("{path}/{what}");
        SITE.post(&path, &why).expect(428);
        SITE.json("POST", &path, &[("if-match", &stale)], &why).expect(412);
    }
    let opened = SITE.json("POST", &format!("{path}/open"), &[("if-match", moved.header("etag"))], &why);
    let closed = SITE.json("POST", &format!("{path}/close"), &[("if-match", opened.header("etag"))], &why);
    assert_eq!(closed.expect(200)["phase"], "over");
}

#[test]
fn an_archived_course_takes_nothing_new() {
    let (course, room) = (course(&SITE), room("UTC"));
    let line = entry(&course, &room, &[1], "08:00", "09:00");
    let ann = SITE.post("/api/v1/people", &json!({ "name": "Ann" })).expect(201)["id"].as_str().unwrap().to_owned();
    let (path, line) = (format!("/api/v1/courses/{course}"), format!("/api/v1/timetable/{line}"));
    let one = format!("{path}/enrolments/{ann}");
    let soon = now() + TimeDelta::hours(1);
    let times =
        json!({ "room_id": room, "course_id": course, "starts_at": soon, "ends_at": soon + TimeDelta::hours(1) });
    let tuesdays = json!({ "room_id": room, "weekdays": [2], "starts": "08:00", "ends": "09:00" });
    let additions = [
        ("PUT", format!("{path}/enrolments"), json!({ "people": [{ "person_id": ann }] })),
        ("PUT", one.clone(), json!({ "valid_from": "2027-01-01" })),
        ("POST", format!("{path}/timetable"), tuesdays),
        ("PATCH", line.clone(), json!({ "starts": "07:00" })),
        ("PUT", format!("{line}/exceptions/2031-01-06"), json!({ "kind": "cancelled" })),
        ("POST", "/api/v1/sessions".to_owned(), times),
    ];
    let archive = |archived: bool| SITE.patch(&path, &json!({ "archived": archived })).expect(200);
    archive(true);
    for (method, path, body) in &additions {
        let refused = SITE.json(method, path, &[("if-match", "*")], body).expect(409);
        assert!(refused["detail"].as_str().unwrap().contains("un-archive it first"), "{refused}");
    }
    archive(false);
    for (method, path, body) in &additions {
        let taken = SITE.json(method, path, &[("if-match", "*")], body);
        assert!([200, 201].contains(&taken.status), "{taken:?}");
    }
    // What is too much may always go.
    archive(true);
    SITE.delete(&one).expect(204);
    SITE.delete(&line).expect(204);
}

#[test]
fn what_belongs_to_another_site_is_not_there() {
    let site = unique("annex");
    SITE.post("/api/v1/sites", &json!({ "id": site, "name": "Annex", "time_zone": "America/New_York" })).expect(201);
    let theirs = unique("room");
    SITE.post("/api/v1/rooms", &json!({ "id": theirs, "site_id": site })).expect(201);
    let operator = SITE.as_account(json!({ "role": "operator", "sites": [site] }));
    let (ours, course) = (room("UTC"), course(&SITE));
    let line = entry(&course, &ours, &[1], "08:00", "09:00");
    let session = sessions(&course, |s| !s.is_empty())[0]["id"].as_str().unwrap().to_owned();
    let gone = |answer: Answer| assert_eq!(answer.expect(404)["type"], "urn:rollcall:problem:not-found");
    for path in [
        "/api/v1/sites/main".to_owned(),
        format!("/api/v1/rooms/{ours}"),
        format!("/api/v1/courses/{course}"),
        format!("/api/v1/timetable/{line}"),
    ] {
        gone(operator.get(&path));
        gone(operator.patch(&path, &json!({})));
    }
    gone(operator.get(&format!("/api/v1/rooms/{ours}/now")));
    gone(operator.get(&format!("/api/v1/sessions/{session}/roster")));
    gone(operator.patch(&format!("/api/v1/sessions/{session}"), &json!({})));
    gone(operator.get(&format!("/api/v1/courses/{course}/enrolments")));
    operator.post("/api/v1/courses", &json!({ "name": "Ours" })).expect(422);
    let rooms = operator.get("/api/v1/rooms").expect(200);
    assert_eq!((rooms["items"].as_array().unwrap().len(), &rooms["items"][0]["id"]), (1, &json!(theirs)));
    let here = operator.post("/api/v1/courses", &json!({ "name": "Theirs", "site_id": site })).expect(201);
    let new = json!({ "room_id": ours, "weekdays": [1], "starts": "08:00", "ends": "09:00" });
    operator.post(&format!("/api/v1/courses/{}/timetable", here["id"].as_str().unwrap()), &new).expect(422);
    operator.post("/api/v1/sites", &json!({ "id": "x", "name": "X", "time_zone": "UTC" })).expect(403);
    let viewer = SITE.as_role("viewer");
    viewer.post("/api/v1/rooms", &json!({ "id": "x" })).expect(403);
    SITE.guest().get("/api/v1/sessions").expect(401);
    SITE.delete(&format!("/api/v1/sites/{site}")).expect(409);
}

#[test]
fn what_the_file_defines_is_shown_and_left_alone() {
    let site = SITE.get("/api/v1/sites/main").expect(200);
    let named = (site["name"].as_str(), site["time_zone"].as_str(), site["managed_by"].as_str());
    assert_eq!(named, (Some("School"), Some("Europe/Berlin"), Some("file")));
    assert_eq!(SITE.get("/api/v1/rooms/hall").expect(200)["managed_by"], "file");
    for path in ["/api/v1/sites/main", "/api/v1/rooms/hall"] {
        let refused = SITE.patch(path, &json!({ "name": "X" })).expect(409);
        assert!(refused["detail"].as_str().unwrap().contains("configuration file"), "{refused}");
        SITE.delete(path).expect(409);
    }
    let hall = SITE.get("/api/v1/rooms/hall/now").expect(200);
    assert_eq!((&hall["now"]["name"], &hall["now"]["origin"]), (&json!("Shift"), &json!("file")));
    let path = format!("/api/v1/sessions/{}", hall["now"]["id"].as_str().unwrap());
    SITE.patch(&path, &json!({ "note": "X" })).expect(409);
    SITE.post_over(&format!("{path}/close"), &json!({})).expect(409);
}

#[test]
fn what_makes_no_sense_is_told_all_at_once() {
    let client: &Client = &SITE;
    let long = "x".repeat(201);
    let new = json!({ "id": "A room", "name": long, "time_zone": "Europe/Atlantis", "site_id": "nowhere" });
    assert_eq!(told(client.post("/api/v1/rooms", &new)), ["#/id", "#/name", "#/time_zone", "#/site_id"]);
    assert_eq!(told(client.post("/api/v1/rooms", &json!({ "id": "r", "name": "a\0b" }))), ["#/name"]);
    assert_eq!(told(client.post("/api/v1/rooms", &json!({ "id": "r", "colour": 1 }))), ["#/colour"]);
    let rules = json!({ "grace_s": 600, "absent_after_s": 60, "min_presence_percent": 101, "early_s": -1 });
    let pointers = told(client.post("/api/v1/courses", &json!({ "name": " ", "rules": rules })));
    assert_eq!(pointers, ["#/name", "#/rules/early_s", "#/rules/min_presence_percent", "#/rules/absent_after_s"]);
    let (course, room) = (course(&SITE), room("UTC"));
    // Against the grace time of the installation, where it has none of its own.
    let path = format!("/api/v1/courses/{course}");
    for rules in [json!({ "absent_after_s": 299 }), json!({ "grace_s": null, "absent_after_s": 0 })] {
        let new = json!({ "name": "Strict", "rules": rules });
        assert_eq!(told(client.post("/api/v1/courses", &new)), ["#/rules/absent_after_s"]);
        assert_eq!(told(client.patch(&path, &json!({ "rules": rules }))), ["#/rules/absent_after_s"]);
    }
    for rules in [json!({ "absent_after_s": 300 }), json!({ "grace_s": 30, "absent_after_s": 60 })] {
        client.patch(&path, &json!({ "rules": rules })).expect(200);
    }
    let path = format!("/api/v1/courses/{course}/timetable");
    let bad = json!({ "room_id": "nowhere", "weekdays": [0, 3, 3], "starts": "24:00", "ends": "9:00",
        "valid_from": "2026-09-02", "valid_to": "2026-09-01" });
    assert_eq!(told(client.post(&path, &bad)), ["#/starts", "#/ends", "#/weekdays", "#/valid_to", "#/room_id"]);
    let at = now();
    let bad = json!({ "room_id": room, "starts_at": at, "ends_at": at, "people": [course], "course_id": room_uuid() });
    assert_eq!(told(client.post("/api/v1/sessions", &bad)), ["#/ends_at", "#/people/0", "#/course_id"]);
    let people = json!({ "people": [{}, { "external_id": "nobody" }] });
    assert_eq!(told(SITE.put_over(&format!("/api/v1/courses/{course}/enrolments"), &people)), ["#/people/0"]);
    let hostile = "'; drop table rooms; --";
    client.get("/api/v1/courses?q=%27%3B%20drop%20table%20rooms%3B--").expect(200);
    assert_eq!(told(client.post("/api/v1/rooms", &json!({ "id": hostile }))), ["#/id"]);
    client.get("/api/v1/rooms/..%2f..%2fetc").expect(404);
    assert!(matches!(client.get("/api/v1/rooms/%00").status, 400 | 404 | 422));
    let nobody = format!("sessions/{course}/people/nobody");
    for (path, wrong) in [
        ("courses/not-an-id", "id"),
        ("sites/main/holidays?limit=x", "limit"),
        (nobody.as_str(), "person"),
        ("sessions/%ff", "id"),
        ("sessions?date=2026-02-30", "date"),
        ("sessions?kind=lunch", "kind"),
        ("sessions?colour=red", "colour"),
        ("sessions?limit=1&limit=2", "limit"),
        ("why", "person_id"),
    ] {
        let problem = client.get(&format!("/api/v1/{path}")).expect(400);
        assert_eq!(kit::pointers(&problem), [wrong], "{problem}");
        assert!(problem["detail"].as_str().unwrap().starts_with(&format!("{wrong}: ")), "{problem}");
    }
    assert_eq!(told(client.get("/api/v1/sessions?limit=0")), ["limit"]);
    assert_eq!(told(client.get("/api/v1/sessions?cursor=abc")), ["cursor"]);
    assert_eq!(client.get(&path).expect(200)["items"], json!([]), "nothing half-written");
}

fn room_uuid() -> &'static str {
    "00000000-0000-0000-0000-000000000000"
}

#[test]
fn weekdays_of_the_wire_are_those_of_iso() {
    assert_eq!(Weekday::Mon.number_from_monday(), 1);
    let (course, room) = (course(&SITE), room("Pacific/Kiritimati"));
    let line = entry(&course, &room, &[1, 7], "23:30", "00:30");
    let made = sessions(&course, |s| s.len() >= 8);
    for session in &made {
        let date: NaiveDate = session["local_date"].as_str().unwrap().parse().unwrap();
        assert!(matches!(date.weekday(), Weekday::Mon | Weekday::Sun), "{session}");
        assert_eq!(time(session, "ends_at") - time(session, "starts_at"), TimeDelta::hours(1), "past midnight");
    }
    SITE.delete(&format!("/api/v1/timetable/{line}")).expect(204);
}
