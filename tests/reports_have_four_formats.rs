//! Reports and analytics over HTTP: what is in them, who sees them, and what is refused.
#![allow(clippy::unwrap_used, reason = "tests")]

mod kit;

use std::sync::{Arc, LazyLock};

use chrono::{DateTime, Days, NaiveDate, TimeDelta, TimeZone, Utc};
use chrono_tz::Europe::Berlin;
use kit::{Answer, Client, Site};
use rollcall_pipeline::supervisor::Supervisor;
use rollcall_pipeline::{Clock, SystemClock};
use rollcall_store::{CameraMinute, Cluster, EventRecord, Sealer, Store};
use serde_json::{Value, json};
use uuid::Uuid;

/// Two courses at two sites. At each of ten sessions of Physics Ann is five minutes early and Bob seven late, of the last he is
/// excused; Cid is absent but for the first. In Shift, at the other site, Ann is on time once.
struct School {
    site: Site,
    physics: String,
    ann: String,
    group: String,
}

static SCHOOL: LazyLock<School> = LazyLock::new(School::new);

const SESSIONS: u64 = 10;
const PERIOD: &str = "from=2026-03-20&to=2026-04-05";

/// Over the beginning of summer time, on Sunday the 29th.
fn first_day() -> NaiveDate {
    NaiveDate::from_ymd_opt(2026, 3, 23).unwrap()
}

fn eight(date: NaiveDate) -> DateTime<Utc> {
    Berlin.from_local_datetime(&date.and_hms_opt(8, 0, 0).unwrap()).unwrap().to_utc()
}

fn id(made: &Value) -> String {
    made["id"].as_str().unwrap().to_owned()
}

impl School {
    fn new() -> Self {
        let site = Site::start("[site]\nname = \"Main\"\ntime_zone = \"Europe/Berlin\"\n");
        for (id, name) in [("school", "Grundschule Süd"), ("works", "Works")] {
            site.post("/api/v1/sites", &json!({ "id": id, "name": name, "time_zone": "Europe/Berlin" })).expect(201);
        }
        site.post("/api/v1/rooms", &json!({ "id": "lab", "site_id": "school" })).expect(201);
        site.post("/api/v1/rooms", &json!({ "id": "gate", "site_id": "works" })).expect(201);
        let group = id(&site.post("/api/v1/groups", &json!({ "name": "3b" })).expect(201));
        let person = |name: &str, number: &str| {
            let new = json!({ "name": name, "external_id": number, "group_ids": [group] });
            id(&site.post("/api/v1/people", &new).expect(201))
        };
        let people = [person("Ann", "1"), person("=Bob", "2"), person("Cid", "3")];
        let course = |site_id: &str, name: &str| {
            id(&site.post("/api/v1/courses", &json!({ "site_id": site_id, "name": name })).expect(201))
        };
        let (physics, shift) = (course("school", "../Physics \"1\""), course("works", "Shift"));
        let mut events = Vec::new();
        let mut corrections = Vec::new();
        let session = |room: &str, course: &str, starts: DateTime<Utc>| {
            let new = json!({ "room_id": room, "course_id": course, "starts_at": starts,
                "ends_at": starts + TimeDelta::hours(1), "people": people });
            id(&site.post("/api/v1/sessions", &new).expect(201))
        };
        for day in 0..SESSIONS {
            let date = first_day() + Days::new(day);
            let made = session("lab", &physics, eight(date));
            events.push(event(&made, "lab", &people[0], eight(date), -5, "present"));
            events.push(event(&made, "lab", &people[1], eight(date), 7, "late"));
            if day == 0 {
                events.push(event(&made, "lab", &people[2], eight(date), 0, "present"));
            } else {
                corrections.push((made.clone(), &people[2], "absent"));
            }
            if day == SESSIONS - 1 {
                corrections.push((made, &people[1], "excuse"));
            }
        }
        let made = session("gate", &shift, eight(first_day()));
        events.push(event(&made, "gate", &people[0], eight(first_day()), 0, "present"));
        write(&site, &events);
        let minute = |camera: &str, n: i64, up_ms: i64| CameraMinute {
            camera: camera.to_owned(),
            room: "lab".to_owned(),
            minute: eight(first_day()) + TimeDelta::minutes(n),
            frames: 300,
            faces: up_ms / 10_000,
            refused: json!({}),
            up_ms,
            down_reason: (up_ms == 0).then(|| "unreachable".to_owned()),
        };
        let minutes = [minute("door-1", 0, 60_000), minute("door-1", 1, 30_000), minute("door-2", 0, 0)];
        site.with_store(async |store| store.add_camera_minutes(&minutes).await.unwrap());
        for (session, person, kind) in corrections {
            let new = json!({ "session_id": session, "person_id": person, "kind": kind, "reason": "as told" });
            let answer = site.json("POST", "/api/v1/attendance/corrections", &[("if-match", "*")], &new);
            assert!((200..300).contains(&answer.status), "{}", String::from_utf8_lossy(&answer.body));
        }
        let [ann, ..] = people;
        Self { site, physics, ann, group }
    }

    fn get(&self, path: &str) -> Value {
        self.site.get(path).expect(200)
    }
}

/// What a camera at the door would have made.
fn event(session: &str, room: &str, person: &str, starts: DateTime<Utc>, minutes: i64, status: &str) -> EventRecord {
    let at = starts + TimeDelta::minutes(minutes);
    let session = json!({ "id": session, "room": room, "kind": "timetabled", "starts_at": starts,
        "ends_at": starts + TimeDelta::hours(1), "local_date": starts.with_timezone(&Berlin).date_naive() });
    serde_json::from_value(json!({ "id": Uuid::now_v7(), "kind": "recorded", "person": person, "candidates": [],
        "room": room, "camera": "door-1", "direction": null, "epoch": Uuid::nil(), "track_id": 1, "media_ms": 40,
        "captured_at": at + TimeDelta::milliseconds(500), "time_source": "ntp", "first_usable_at": at, "similarity": 0.75,
        "margin": 0.25, "shots": 3, "liveness": "live", "liveness_score": 0.9, "liveness_reason": null,
        "gallery_version": 1, "model_id": "test", "review": false, "sealed_crop": null,
        "mark": { "person": person, "session": session, "status": status } }))
    .unwrap()
}

/// Through the daemon's own database, beside it.
fn write(site: &Site, events: &[EventRecord]) {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let cluster = Cluster::start(&site.data(), &Supervisor::new(clock)).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let store = Store::in_cluster(&cluster, Sealer::new([7; 32]), 1);
        let written = store.write_events(events).await.unwrap();
        assert_eq!(written.marked.len(), events.len());
        store.close().await;
    });
}

fn report(client: &Client, query: &str) -> Answer {
    client.get(&format!("/api/v1/reports/attendance?{PERIOD}&{query}"))
}

fn rows(query: &str) -> Vec<Value> {
    report(&SCHOOL.site, query).expect(200)["rows"].as_array().unwrap().clone()
}

fn analytics(query: &str) -> Value {
    let (name, rest) = query.split_once('?').unwrap_or((query, ""));
    SCHOOL.get(&format!("/api/v1/analytics/{name}?{PERIOD}&{rest}"))
}

#[test]
fn figures_are_cut_in_every_way_and_add_up() {
    for (by, lines) in
        [("session", 11), ("course", 2), ("group", 1), ("person", 3), ("day", 10), ("week", 2), ("month", 2)]
    {
        let rows = rows(&format!("by={by}"));
        assert_eq!(rows.len(), lines, "{by}");
        let sum = |key: &str| rows.iter().map(|row| row[key].as_u64().unwrap()).sum::<u64>();
        assert_eq!((sum("present"), sum("late"), sum("absent"), sum("excused")), (12, 9, 9, 1), "{by}: {rows:?}");
    }
    let people = rows("by=person");
    assert_eq!(
        people[1],
        json!({ "person": "Ann", "external_id": "1", "sessions": 11, "present": 11, "late": 0,
        "absent": 0, "excused": 0, "attendance": 1.0, "punctuality": 1.0, "lateness": 0.0 })
    );
    assert_eq!((&people[2]["person"], &people[2]["attendance"]), (&json!("Cid"), &json!(0.1)));
    // Excused sessions are in no percentage.
    assert_eq!((&people[0]["excused"], &people[0]["attendance"]), (&json!(1), &json!(1.0)));
    let physics = rows(&format!("by=row&course_id={}", SCHOOL.physics));
    assert_eq!(physics.len(), 30);
}

#[test]
fn arrivals_and_hours_of_the_week_are_rows_in_every_format() {
    let arrivals = rows("by=arrival&site_id=school");
    let came = |from: i64| arrivals.iter().find(|row| row["from"] == from).unwrap();
    assert_eq!(came(-5), &json!({ "from": -5, "to": 0, "arrivals": 10, "share": 0.5 }));
    assert_eq!((&came(0)["arrivals"], &came(5)["arrivals"]), (&json!(1), &json!(9)));
    assert_eq!((arrivals.len(), &arrivals[0]["from"], &arrivals[10]["to"]), (11, &Value::Null, &Value::Null));
    let hours = rows("by=hour&site_id=school");
    assert_eq!(hours.len(), 7, "an hour a weekday: {hours:?}");
    let monday = &hours[0];
    assert_eq!((&monday["weekday"], &monday["hour"]), (&json!("Monday"), &json!(8)));
    assert_eq!((&monday["present"], &monday["late"], &monday["absent"]), (&json!(3), &json!(2), &json!(1)));
    let file = |by: &str, format: &str| {
        let answer = report(&SCHOOL.site, &format!("by={by}&site_id=school&format={format}"));
        assert_eq!(answer.status, 200, "{}", String::from_utf8_lossy(&answer.body));
        answer.body
    };
    let csv = String::from_utf8(file("arrival", "csv")).unwrap();
    assert!(csv.starts_with("From (min),To (min),Arrivals,") && csv.contains("\r\n-5,0,10,"), "{csv}");
    let csv = String::from_utf8(file("hour", "csv")).unwrap();
    assert!(csv.starts_with("Weekday,Hour,Present,") && csv.contains("\r\nMonday,8,3,2,1,0,"), "{csv}");
    for by in ["arrival", "hour"] {
        assert!(file(by, "xlsx").starts_with(b"PK\x03\x04") && file(by, "pdf").starts_with(b"%PDF-"), "{by}");
    }
}

#[test]
fn times_are_those_of_the_site_on_both_sides_of_summer_time() {
    let sessions = rows(&format!("by=session&course_id={}", SCHOOL.physics));
    assert_eq!(sessions[0]["starts_at"], "2026-03-23T08:00:00+01:00");
    assert_eq!(sessions[9]["starts_at"], "2026-04-01T08:00:00+02:00");
    let heat = analytics("heatmap?site_id=school");
    assert!(heat["cells"].as_array().unwrap().iter().all(|cell| cell["hour"] == 8), "{heat}");
    assert_eq!(heat["period"]["time_zone"], "Europe/Berlin");
}

#[test]
fn every_format_says_what_it_is_and_has_a_name_that_harms_nobody() {
    let query = format!("by=row&course_id={}", SCHOOL.physics);
    for (format, media_type, magic) in [
        ("json", "application/json", &b"{"[..]),
        ("csv", "text/csv; charset=utf-8; header=present", b"Date,Starts,"),
        ("xlsx", "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet", b"PK\x03\x04"),
        ("pdf", "application/pdf", b"%PDF-"),
    ] {
        for report in ["attendance", "standings", "quality"] {
            let query = if report == "attendance" { query.as_str() } else { "site_id=school" };
            let answer = SCHOOL.site.get(&format!("/api/v1/reports/{report}?{PERIOD}&{query}&format={format}"));
            assert_eq!(answer.status, 200, "{}", String::from_utf8_lossy(&answer.body));
            assert_eq!(answer.header("content-type"), media_type);
            let name = answer.header("content-disposition").strip_prefix("attachment; filename=\"rollcall-").unwrap();
            let name = name.strip_suffix(&format!(".{format}\"")).unwrap();
            assert!(name.starts_with("grundschule-sud-") && !name.contains(['/', '.', '"', '\\']), "{name}");
            if report == "attendance" {
                assert!(answer.body.starts_with(magic), "{}", String::from_utf8_lossy(&answer.body[..32]));
            }
        }
    }
    let csv = report(&SCHOOL.site, &format!("{query}&format=csv"));
    let text = String::from_utf8(csv.body).unwrap();
    assert!(text.contains(",'=Bob,") && !text.contains(",=Bob"), "no spreadsheet runs a name: {text}");
    let excel = report(&SCHOOL.site, &format!("{query}&format=csv&separator=semicolon"));
    assert!(excel.body.starts_with("\u{FEFF}Date;Starts;".as_bytes()));
}

#[test]
fn the_title_page_says_what_was_chosen() {
    let query = format!("by=day&course_id={}&person_id={}&group_id={}", SCHOOL.physics, SCHOOL.ann, SCHOOL.group);
    let report = report(&SCHOOL.site, &query).expect(200);
    let text = report.to_string();
    for told in ["Grundschule Süd", "../Physics \\\"1\\\"", "3b", "Ann", "2026-03-20", "Europe/Berlin"] {
        assert!(text.contains(told), "{told} is not in {text}");
    }
    assert_eq!(report["rows"].as_array().unwrap().len(), 10);
}

#[test]
fn analytics_are_as_the_rules_define_them() {
    let all = analytics("summary");
    assert_eq!(all["sessions"], 11);
    let tally = &all["tally"];
    assert_eq!((&tally["expected"], &tally["attendance_percent"]), (&json!(30), &json!(70.0)));
    assert_eq!((&tally["absence_percent"], &tally["punctuality_percent"]), (&json!(30.0), &json!(40.0)));

    let arrivals = analytics("arrivals?site_id=school");
    assert_eq!((&arrivals["total"], &arrivals["before_start"]), (&json!(20), &json!(10)));
    let at = |from: f64| {
        let buckets = arrivals["buckets"].as_array().unwrap();
        buckets.iter().find(|bucket| bucket["from_minutes"] == from).unwrap()["count"].clone()
    };
    assert_eq!((at(-5.0), at(0.0), at(5.0)), (json!(10), json!(1), json!(9)));

    let weeks = analytics("trend?by=week");
    let dates: Vec<_> = weeks["steps"].as_array().unwrap().iter().map(|step| step["date"].as_str().unwrap()).collect();
    assert_eq!(dates, ["2026-03-23", "2026-03-30"]);

    let board = analytics("leaderboard");
    let line = |n: usize| (board["items"][n]["rank"].as_u64(), board["items"][n]["name"].as_str());
    assert_eq!([line(0), line(1), line(2)], [(Some(1), Some("Ann")), (Some(2), Some("=Bob")), (Some(3), Some("Cid"))]);
    let first = analytics("leaderboard?limit=1");
    let next = analytics(&format!("leaderboard?limit=1&cursor={}", first["next_cursor"].as_str().unwrap()));
    assert_eq!((&first["items"][0], &next["items"][0]), (&board["items"][0], &board["items"][1]));
    assert_eq!(analytics("leaderboard?at_least=11")["items"].as_array().unwrap().len(), 1);

    let streaks = analytics("streaks");
    let of =
        |n: usize| (streaks["items"][n]["current"].as_u64().unwrap(), streaks["items"][n]["best"].as_u64().unwrap());
    assert_eq!([of(0), of(1), of(2)], [(11, 11), (9, 9), (0, 1)]);

    let badges = analytics("badges");
    assert_eq!(badges["items"][0]["badges"], json!(["streak_5"]), "Bob was expected nine times: {badges}");
    assert_eq!(badges["items"][1]["badges"], json!(["gold", "streak_10", "early_bird"]));

    let quality = analytics("quality?room_id=lab");
    assert_eq!(quality["days"].as_array().unwrap().len(), 11);
    let day = &quality["days"][0];
    assert_eq!((&day["camera_id"], &day["tracks"], &day["recorded"]), (&json!("door-1"), &json!(3), &json!(3)));
    assert_eq!((&day["watched_min"], &day["up_share"], &day["faces"]), (&json!(2), &json!(0.75), &json!(9)));
    let away = &quality["days"][1];
    assert_eq!((&away["camera_id"], &away["up_share"], &away["tracks"]), (&json!("door-2"), &json!(0.0), &json!(0)));
    assert_eq!(quality["days"][2]["up_share"], Value::Null, "nobody watched");
    assert_eq!((&day["mean_similarity"], &day["mean_decision_s"]), (&json!(0.75), &json!(0.5)));
}

#[test]
fn nobody_sees_figures_of_other_sites() {
    let works = SCHOOL.site.as_account(json!({ "role": "viewer", "sites": ["works"] }));
    let mine = report(&works, "by=person").expect(200);
    assert_eq!(mine["rows"].as_array().unwrap().len(), 1, "Ann alone was there: {mine}");
    for path in ["summary?site_id=school", &format!("summary?course_id={}", SCHOOL.physics), "quality?room_id=lab"] {
        works.get(&format!("/api/v1/analytics/{path}")).expect(404);
    }
    let theirs = id(&SCHOOL.site.post("/api/v1/groups", &json!({ "name": "4a" })).expect(201));
    for path in ["analytics/summary", "analytics/leaderboard", "reports/attendance", "reports/standings"] {
        for (group, status) in [(&theirs, 404), (&SCHOOL.group, 200)] {
            works.get(&format!("/api/v1/{path}?{PERIOD}&group_id={group}")).expect(status);
        }
        SCHOOL.get(&format!("/api/v1/{path}?{PERIOD}&group_id={theirs}"));
    }
    let summary = works.get(&format!("/api/v1/analytics/summary?{PERIOD}")).expect(200);
    assert_eq!((&summary["sessions"], &summary["tally"]["present"]), (&json!(1), &json!(1)));
    let quality = works.get(&format!("/api/v1/analytics/quality?{PERIOD}")).expect(200);
    assert!(quality["days"].as_array().unwrap().iter().all(|day| day["room_id"] == "gate"));
    let person = SCHOOL.site.as_account(json!({ "role": "person", "person_id": SCHOOL.ann }));
    person.get("/api/v1/reports/attendance").expect(403);
    SCHOOL.site.as_key(&["attendance:read"]).get("/api/v1/analytics/summary").expect(403);
    SCHOOL.site.as_key(&["reports:read"]).get("/api/v1/analytics/summary").expect(200);
    SCHOOL.site.guest().get("/api/v1/reports/attendance").expect(401);
}

#[test]
fn what_makes_no_sense_is_refused() {
    for (query, status) in [
        ("attendance?format=docx", 400),
        ("attendance?by=planet", 400),
        ("attendance?colour=red", 400),
        ("attendance?course_id=1", 400),
        ("attendance?from=yesterday", 400),
        ("attendance?from=2026-02-30", 400),
        ("attendance?from=2026-04-01&to=2026-03-01", 422),
        ("attendance?from=2000-01-01&to=2026-03-01", 422),
        ("attendance?to=%2B12345-01-01", 422),
        ("attendance?room_id=%00", 422),
        ("attendance?site_id=", 422),
        ("attendance?room_id=x%27%3B%20drop%20table%20register%3B%20--", 404),
        ("attendance?site_id=..%2F..%2Fetc", 404),
        ("attendance?group_id=00000000-0000-0000-0000-000000000000", 404),
        ("attendance?person_id=00000000-0000-0000-0000-000000000000", 404),
        ("quality?from=2026-01-01&to=2026-12-31", 422),
        ("quality?course_id=00000000-0000-0000-0000-000000000000", 400),
    ] {
        let answer = SCHOOL.site.get(&format!("/api/v1/reports/{query}"));
        assert_eq!(answer.header("content-type"), "application/problem+json", "{query}");
        answer.expect(status);
    }
    for query in ["leaderboard?limit=0", "leaderboard?at_least=0", "streaks?limit=501", "badges?cursor=x"] {
        SCHOOL.site.get(&format!("/api/v1/analytics/{query}")).expect(422);
    }
    assert_eq!(rows("by=row").len(), 31, "nothing was dropped");
}
