//! What holds for each operation of the document: nobody comes in without a name, nobody does more than they may or elsewhere
//! than they may, and what is changed stands in the log.
#![allow(clippy::unwrap_used, reason = "tests")]

mod kit;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;

use kit::{Answer, Client, Site};
use serde_json::{Value, json};

static SITE: LazyLock<Site> = LazyLock::new(|| Site::start(""));

/// Open to everybody, each for a reason.
const OPEN: [&str; 7] = [
    "GET /health/live",
    "GET /health/ready",
    // What is running is no secret; a load balancer and a bug report want it.
    "GET /api/v1/version",
    // The ways in.
    "POST /api/v1/auth/login",
    "POST /api/v1/auth/refresh",
    "POST /api/v1/auth/setup",
    // The way out, also of whoever is out already.
    "POST /api/v1/auth/logout",
];
/// Nothing that is there.
const NOBODY: &str = "0197a3d4-0000-7000-8000-000000000000";
/// A Wednesday.
const DAY: &str = "2031-01-01";

/// An operation, with what it takes to get past the reading of a request.
struct Operation {
    method: String,
    path: String,
    /// What it needs of one.
    query: String,
    /// What it may have in one.
    queried: Vec<String>,
    media_type: &'static str,
    body: String,
}

impl Operation {
    fn all() -> Vec<Self> {
        let document = SITE.guest().get("/api/openapi.json").expect(200);
        let mut operations = Vec::new();
        for (path, methods) in document["paths"].as_object().unwrap() {
            for (method, operation) in methods.as_object().unwrap().iter().filter(|(key, _)| *key != "parameters") {
                operations.push(Self::of(&document, method, path, operation));
            }
        }
        assert!(operations.len() > 100);
        operations
    }

    fn of(document: &Value, method: &str, path: &str, operation: &Value) -> Self {
        let (mut query, mut queried) = (Vec::new(), Vec::new());
        let parameters = operation["parameters"].as_array().into_iter().flatten();
        for parameter in parameters.filter(|parameter| parameter["in"] == "query") {
            let name = parameter["name"].as_str().unwrap();
            queried.push(name.to_owned());
            if parameter["required"] == true {
                let value = sample(document, &parameter["schema"]);
                query.push(format!("{name}={}", value.as_str().unwrap_or(&value.to_string())));
            }
        }
        let content = &operation["requestBody"]["content"];
        let (media_type, body) = if content["application/json"].is_object() {
            ("application/json", sample(document, &content["application/json"]["schema"]).to_string())
        } else if content["text/csv"].is_object() {
            ("text/csv", "external_id,name\n".to_owned())
        } else {
            ("multipart/form-data; boundary=x", if content.is_object() { "--x--\r\n" } else { "" }.to_owned())
        };
        Self { method: method.to_uppercase(), path: path.to_owned(), query: query.join("&"), queried, media_type, body }
    }

    fn name(&self) -> String {
        format!("{} {}", self.method, self.path)
    }

    /// Those of the façade speak like the service for which it stands.
    fn is_foreign(&self) -> bool {
        ["recognition", "detection", "verification"].iter().any(|part| self.path.contains(&format!("/v1/{part}/")))
    }

    /// The variables of its path.
    fn variables(&self) -> impl Iterator<Item = &str> {
        self.path.split('/').filter(|part| part.starts_with('{'))
    }

    fn ask(&self, client: &Client, made: &Made) -> Answer {
        let path = format!("{}?{}", made.filled(&self.path), self.query);
        let headers = [("if-match", "*"), ("content-type", self.media_type)];
        client.send(&self.method, &path, &headers, self.body.as_bytes())
    }

    /// Asks about what has this id.
    fn ask_about(&self, client: &Client, parameter: &str, id: &str) -> Answer {
        let (about, other) = (format!("{parameter}={id}"), format!("{parameter}="));
        let needed = self.query.split('&').filter(|part| !part.starts_with(&other));
        client.get(&format!("{}?{}", self.path, needed.chain([&about[..]]).collect::<Vec<_>>().join("&")))
    }
}

/// A value that has the shape of a schema, and is no more than that. A text is a short name, and Base64 as well.
fn sample(document: &Value, schema: &Value) -> Value {
    if let Some(reference) = schema["$ref"].as_str() {
        return sample(document, &document["components"]["schemas"][reference.rsplit('/').next().unwrap()]);
    }
    if let Some(first) = schema["enum"].as_array().and_then(|values| values.first()).or(schema.get("const")) {
        return first.clone();
    }
    for variants in ["oneOf", "anyOf"] {
        if let Some(variants) = schema[variants].as_array() {
            return sample(document, variants.iter().find(|variant| variant["type"] != "null").unwrap());
        }
    }
    if let Some(parts) = schema["allOf"].as_array() {
        let objects = parts.iter().map(|part| sample(document, part));
        return objects
            .filter_map(|part| part.as_object().cloned())
            .flatten()
            .collect::<serde_json::Map<_, _>>()
            .into();
    }
    let kind = schema["type"].as_str().or_else(|| schema["type"].as_array()?.first()?.as_str()).unwrap_or("object");
    match (kind, schema["format"].as_str()) {
        ("string", Some("uuid")) => json!(NOBODY),
        ("string", Some("date")) => json!(DAY),
        ("string", Some("date-time")) => json!(format!("{DAY}T00:00:00Z")),
        ("string", _) => schema.get("example").filter(|example| example.is_string()).cloned().unwrap_or(json!("aaaa")),
        ("integer" | "number", _) => schema.get("minimum").cloned().unwrap_or(json!(1)),
        ("boolean", _) => json!(false),
        ("array", _) if schema["minItems"].as_u64() > Some(0) => json!([sample(document, &schema["items"])]),
        ("array", _) => json!([]),
        _ => {
            let required = schema["required"].as_array().into_iter().flatten().map(|name| name.as_str().unwrap());
            required.map(|name| (name.to_owned(), sample(document, &schema["properties"][name]))).collect()
        }
    }
}

/// One of everything, by noun, and what else stands in paths.
#[derive(Default)]
struct Made(BTreeMap<&'static str, String>);

impl Made {
    fn put(&mut self, noun: &'static str, made: &Value) {
        self.0.insert(noun, made.as_str().unwrap().to_owned());
    }

    fn find(&self, path: &str, variable: &str) -> Option<&str> {
        let noun = match variable {
            "{id}" => path.split('/').nth(3)?,
            "{person}" | "{person_id}" => "people",
            "{session}" => "sessions",
            "{subject}" => "recognition",
            "{date}" => return Some(DAY),
            _ => return None,
        };
        self.0.get(noun).map(String::as_str)
    }

    /// What a parameter of a query asks about.
    fn asked(&self, parameter: &str) -> Option<&str> {
        let noun = match parameter {
            "camera" => "cameras",
            "course_id" => "courses",
            "group_id" => "groups",
            "person_id" => "people",
            "room_id" => "rooms",
            "session_id" => "sessions",
            "site_id" => "sites",
            // Of other systems, of the audit log, of the feed, of an account; and of strangers, whom cameras make.
            "external_id" | "object_id" | "last_event_id" | "teacher_id" | "visitor_id" => return None,
            other => {
                assert!(!other.ends_with("_id"), "whose is {other}?");
                return None;
            }
        };
        self.0.get(noun).map(String::as_str)
    }

    fn filled(&self, path: &str) -> String {
        let part = |part: &str| match part.starts_with('{') {
            true => self.find(path, part).unwrap_or(if part == "{date}" { DAY } else { NOBODY }).to_owned(),
            false => part.to_owned(),
        };
        path.split('/').map(part).collect::<Vec<_>>().join("/")
    }
}

/// Tells all of it at once.
#[track_caller]
fn nothing(told: &[String]) {
    assert!(told.is_empty(), "\n{}", told.join("\n"));
}

#[test]
fn every_operation_wants_to_know_who_asks() {
    let strangers = [
        SITE.guest(),
        SITE.guest().with("authorization", "Bearer rca_forged"),
        SITE.guest().with("authorization", "Basic YWRtaW46YWRtaW4="),
        SITE.guest().with("x-api-key", "rck_forged"),
        SITE.guest().with("x-api-key", &"x".repeat(5_000)),
        SITE.guest().with("cookie", "rollcall_refresh=rcr_forged"),
    ];
    let mut open = BTreeSet::from(OPEN.map(str::to_owned));
    for operation in Operation::all() {
        let name = operation.name();
        if open.remove(&name) {
            continue;
        }
        for stranger in &strangers {
            let answer = stranger.send(&operation.method, &Made::default().filled(&operation.path), &[], b"");
            assert_eq!(answer.status, 401, "{name}");
            let foreign = operation.is_foreign();
            let media_type = if foreign { "application/json" } else { "application/problem+json" };
            assert_eq!(answer.header("content-type"), media_type, "{name}");
            assert!(foreign || answer.header("www-authenticate") == "Bearer", "{name}");
        }
    }
    assert_eq!(open, BTreeSet::new(), "are gone");
}

/// Whoever is known may do this with whatever right they have.
const FOR_EVERYBODY: [&str; 1] = ["GET /api/v1/auth/me"];

#[test]
fn every_operation_wants_a_right() {
    // One that opens nothing without another.
    let idle = SITE.as_key(&["faces:embed"]);
    let mut told = Vec::new();
    let mut free: BTreeSet<_> = OPEN.iter().chain(&FOR_EVERYBODY).copied().collect();
    for operation in Operation::all() {
        let name = operation.name();
        if free.remove(name.as_str()) {
            continue;
        }
        let answer = operation.ask(&idle, &Made::default());
        if answer.status != 403 {
            told.push(format!("{name}: {} {}", answer.status, answer.json));
        }
    }
    nothing(&told);
    assert_eq!(free, BTreeSet::new(), "are gone");
}

/// What concerns the whole installation is refused whoever is limited to places, whether it is there or not.
const EVERYWHERE: [&str; 8] = [
    "/api/v1/accounts/",
    "/api/v1/keys/",
    "/api/v1/recognition/",
    "DELETE /api/v1/groups/{id}",
    "DELETE /api/v1/people/{id}",
    "DELETE /api/v1/sites/{id}",
    "DELETE /api/v1/visitors/{id}",
    "PATCH /api/v1/groups/{id}",
];

/// One of everything at one site, and who may do everything at another.
static TWO_SITES: LazyLock<(Made, Client)> = LazyLock::new(|| {
    let mut made = Made::default();
    SITE.post("/api/v1/sites", &json!({ "id": "ours", "name": "Ours", "time_zone": "UTC" })).expect(201);
    SITE.post("/api/v1/sites", &json!({ "id": "theirs", "name": "Theirs", "time_zone": "UTC" })).expect(201);
    SITE.post("/api/v1/rooms", &json!({ "id": "our-hall", "site_id": "ours" })).expect(201);
    let camera = json!({ "id": "our-door", "room_id": "our-hall", "enabled": false,
        "settings": { "streams": { "detect": "rtsp://127.0.0.1:9/door" } } });
    SITE.post("/api/v1/cameras", &camera).expect(201);
    for (noun, id) in [("sites", "ours"), ("rooms", "our-hall"), ("cameras", "our-door"), ("recognition", "ours-1")] {
        made.put(noun, &json!(id));
    }
    let mut make = |noun: &'static str, path: &str, body: Value| {
        let answer = SITE.post(&format!("/api/v1/{path}"), &body).expect(201);
        made.put(noun, &answer["id"]);
        made.0[noun].clone()
    };
    let group = make("groups", "groups", json!({ "name": "Ours" }));
    let person = make("people", "people", json!({ "name": "Ann", "external_id": "ours-1", "group_ids": [group] }));
    let course = make("courses", "courses", json!({ "site_id": "ours", "name": "Ours" }));
    let line = json!({ "room_id": "our-hall", "weekdays": [3], "starts": "08:00", "ends": "09:00" });
    let line = make("timetable", &format!("courses/{course}/timetable"), line);
    let times = json!({ "room_id": "our-hall", "course_id": course, "starts_at": format!("{DAY}T08:00:00Z"),
        "ends_at": format!("{DAY}T09:00:00Z") });
    make("sessions", "sessions", times);
    for (path, body) in [
        (format!("courses/{course}/enrolments/{person}"), json!({})),
        (format!("sites/ours/holidays/{DAY}"), json!({ "name": "A holiday" })),
        (format!("timetable/{line}/exceptions/{DAY}"), json!({ "kind": "cancelled" })),
    ] {
        SITE.json("PUT", &format!("/api/v1/{path}"), &[], &body).expect(200);
    }
    let rights = SITE.get("/api/v1/auth/me").expect(200)["rights"].clone();
    let key = json!({ "name": "theirs", "rights": rights, "sites": ["theirs"] });
    let key = SITE.post("/api/v1/keys", &key).expect(201)["secret"].as_str().unwrap().to_owned();
    (made, SITE.guest().with("x-api-key", &key))
});

#[test]
fn what_lies_at_another_site_is_not_there_for_any_operation() {
    let (made, theirs) = &*TWO_SITES;
    let mut told = Vec::new();
    let mut tried = 0;
    for operation in Operation::all().iter().filter(|operation| operation.variables().count() > 0) {
        let name = operation.name();
        let known = operation.variables().all(|variable| made.find(&operation.path, variable).is_some());
        // It is there for those who see it.
        if known && operation.method == "GET" && operation.ask(&SITE, made).status == 404 {
            told.push(format!("{name}: not there for anybody"));
        }
        tried += usize::from(known);
        let of_all = EVERYWHERE.iter().any(|part| name == *part || operation.path.starts_with(part));
        let answer = operation.ask(theirs, made);
        if answer.status != if of_all { 403 } else { 404 } {
            told.push(format!("{name}: {} {}", answer.status, answer.json));
        }
    }
    nothing(&told);
    assert!(tried > 50, "{tried}");
}

#[test]
fn who_asks_about_what_lies_at_another_site_learns_no_more_than_of_what_is_nowhere() {
    let (made, theirs) = &*TWO_SITES;
    let mut told = Vec::new();
    let mut tried = 0;
    let reads = Operation::all();
    for operation in reads.iter().filter(|operation| operation.method == "GET" && operation.variables().count() == 0) {
        for parameter in &operation.queried {
            let Some(id) = made.asked(parameter) else { continue };
            let answers = [id, NOBODY].map(|id| operation.ask_about(theirs, parameter, id));
            let [there, nowhere] = answers.map(|answer| (answer.status, String::from_utf8(answer.body).unwrap()));
            if there != nowhere {
                told.push(format!("{} by {parameter}: {there:?}, but {nowhere:?} of nothing", operation.name()));
            }
            tried += 1;
        }
    }
    nothing(&told);
    assert!(tried > 50, "{tried}");
}

/// What changes nothing that lasts.
const LOOKS: [&str; 14] = [
    "POST /api/v1/cameras/discover/streams",
    "POST /api/v1/cameras/test",
    "POST /api/v1/cameras/{id}/test",
    "POST /api/v1/detection/detect",
    "POST /api/v1/faces/detect",
    "POST /api/v1/faces/encode",
    "POST /api/v1/faces/examine",
    "POST /api/v1/faces/match",
    "POST /api/v1/faces/match-batch",
    "POST /api/v1/faces/verify",
    "POST /api/v1/live/ticket",
    "POST /api/v1/recognition/faces/{image_id}/verify",
    "POST /api/v1/recognition/recognize",
    "POST /api/v1/verification/verify",
];
/// What takes a face, an event, a login or a gap: their own tests ask the log for it.
const ELSEWHERE: [&str; 21] = [
    "DELETE /api/v1/people/{id}/templates",
    "DELETE /api/v1/people/{id}/templates/{template}",
    "DELETE /api/v1/recognition/faces",
    "DELETE /api/v1/recognition/faces/{image_id}",
    "DELETE /api/v1/recognition/subjects",
    "DELETE /api/v1/visitors/{id}",
    "POST /api/v1/attendance/mark",
    "POST /api/v1/auth/login",
    "POST /api/v1/auth/logout",
    "POST /api/v1/auth/password",
    "POST /api/v1/auth/refresh",
    "POST /api/v1/auth/setup",
    "POST /api/v1/people/{id}/templates",
    "POST /api/v1/people/{id}/templates/from-camera",
    "POST /api/v1/people/{id}/templates/from-review",
    "POST /api/v1/recognition/faces",
    "POST /api/v1/recognition/faces/delete",
    "POST /api/v1/review/{event}/assign",
    "POST /api/v1/review/{event}/confirm",
    "POST /api/v1/review/{event}/reject",
    "POST /api/v1/sessions/{id}/release",
];

/// Does one thing after the other, and finds each in the log.
#[derive(Default)]
struct Steps {
    made: Made,
    done: BTreeSet<String>,
}

impl Steps {
    #[track_caller]
    fn step(&mut self, operation: &str, body: Value, action: &str) -> Value {
        let (method, path) = operation.split_once(' ').unwrap();
        let path = format!("/api/v1/{path}");
        self.done.insert(format!("{method} {path}"));
        let table = path.ends_with("/import");
        let headers = [("if-match", "*"), ("content-type", if table { "text/csv" } else { "application/json" })];
        let text = if table { body.as_str().unwrap().to_owned() } else { body.to_string() };
        let answer = SITE.send(method, &self.made.filled(&path), &headers, text.as_bytes());
        assert!(answer.status < 300, "{operation}: {} {}", answer.status, answer.json);
        let log = SITE.get(&format!("/api/v1/audit?action={action}&limit=100")).expect(200);
        let request = answer.header("x-request-id");
        let mut entries = log["items"].as_array().unwrap().iter();
        assert!(entries.any(|entry| entry["request_id"] == request), "{operation}: no {action} in {log}");
        answer.json
    }

    /// Something new; what has another place for its id comes with its name there.
    fn make(&mut self, noun: &'static str, operation: &str, body: Value, action: &str) {
        let made = self.step(operation, body, action);
        let id = [&made["id"], &made["account"]["id"], &made["key"]["id"], &made["subject"]];
        self.made.put(noun, id.into_iter().find(|id| id.is_string()).unwrap());
    }
}

#[test]
fn every_change_is_in_the_log() {
    let mut all = Steps::default();
    all.make("sites", "POST sites", json!({ "id": "logged", "name": "Logged", "time_zone": "UTC" }), "site.create");
    all.step("PATCH sites/{id}", json!({ "name": "Log" }), "site.update");
    all.step("PUT sites/{id}/holidays/{date}", json!({ "name": "New Year" }), "holiday.put");
    all.step("DELETE sites/{id}/holidays/{date}", Value::Null, "holiday.delete");
    all.make("rooms", "POST rooms", json!({ "id": "logged", "site_id": "logged" }), "room.create");
    all.step("PATCH rooms/{id}", json!({ "name": "Log" }), "room.update");
    let settings = json!({ "streams": { "detect": "rtsp://127.0.0.1:9/door" } });
    let camera = json!({ "id": "logged", "room_id": "logged", "enabled": false, "settings": settings });
    all.make("cameras", "POST cameras", camera, "camera.create");
    all.step("PATCH cameras/{id}", json!({ "name": "Log" }), "camera.update");
    all.step("DELETE cameras/{id}", Value::Null, "camera.delete");

    all.make("people", "POST people", json!({ "name": "Ann" }), "person.create");
    all.step("PATCH people/{id}", json!({ "name": "Ann B." }), "person.update");
    let consent = json!({ "text_version": "1", "given_by": "Ann" });
    all.step("POST people/{id}/consents", consent, "consent.give");
    all.step("POST people/{id}/consents/withdraw", json!({}), "consent.withdraw");
    all.step("POST people/import", json!("external_id,name,groups\nlog-1,Ben,Log\n"), "people.import");
    all.make("groups", "POST groups", json!({ "name": "Logged" }), "group.create");
    all.step("PATCH groups/{id}", json!({ "name": "Logs" }), "group.update");
    all.step("PUT groups/{id}/members/{person}", Value::Null, "group.join");
    all.step("DELETE groups/{id}/members/{person}", Value::Null, "group.leave");
    all.step("DELETE groups/{id}", Value::Null, "group.delete");
    all.make("recognition", "POST recognition/subjects", json!({ "subject": "log-2" }), "person.create");
    all.step("PUT recognition/subjects/{subject}", json!({ "subject": "log-3" }), "person.update");
    all.made.put("recognition", &json!("log-3"));
    all.step("DELETE recognition/subjects/{subject}", Value::Null, "person.erase");

    all.make("courses", "POST courses", json!({ "site_id": "logged", "name": "Log" }), "course.create");
    all.step("PATCH courses/{id}", json!({ "name": "Logs" }), "course.update");
    let roster = json!({ "people": [{ "person_id": all.made.0["people"] }] });
    all.step("PUT courses/{id}/enrolments", roster, "enrolment.create");
    all.step("PUT courses/{id}/enrolments/{person_id}", json!({ "valid_to": DAY }), "enrolment.update");
    all.step("DELETE courses/{id}/enrolments/{person_id}", Value::Null, "enrolment.delete");
    let line = json!({ "room_id": "logged", "weekdays": [3], "starts": "08:00", "ends": "09:00" });
    all.make("timetable", "POST courses/{id}/timetable", line, "timetable.create");
    all.step("PATCH timetable/{id}", json!({ "starts": "07:00" }), "timetable.update");
    let cancelled = json!({ "kind": "cancelled" });
    all.step("PUT timetable/{id}/exceptions/{date}", cancelled, "timetable_exception.put");
    all.step("DELETE timetable/{id}/exceptions/{date}", Value::Null, "timetable_exception.delete");
    all.step("DELETE timetable/{id}", Value::Null, "timetable.delete");

    #[expect(clippy::disallowed_methods, reason = "a test is where time comes from")]
    let now = chrono::Utc::now();
    let minutes = chrono::TimeDelta::minutes;
    let session = json!({ "room_id": "logged", "starts_at": now + minutes(5), "ends_at": now + minutes(50),
        "people": [all.made.0["people"]] });
    all.make("sessions", "POST sessions", session.clone(), "session.create");
    all.step("DELETE sessions/{id}", Value::Null, "session.delete");
    all.make("sessions", "POST sessions", session, "session_person.create");
    all.step("POST sessions/{id}/open", Value::Null, "session.open");
    all.step("PATCH sessions/{id}", json!({ "starts_at": now - minutes(5) }), "session.update");
    all.step("POST sessions/{id}/cancel", json!({ "reason": "storm" }), "session.cancel");
    all.step("POST sessions/{id}/restore", json!({ "reason": "sun" }), "session.restore");
    let correction = json!({ "session_id": all.made.0["sessions"], "person_id": all.made.0["people"], "kind": "present",
        "reason": "seen" });
    all.step("POST attendance/corrections", correction, "attendance.correct");
    all.step("POST sessions/{id}/close", Value::Null, "session.close");
    all.step("DELETE people/{id}", Value::Null, "person.erase");
    all.make("courses", "POST courses", json!({ "site_id": "logged", "name": "Gone" }), "course.create");
    all.step("DELETE courses/{id}", Value::Null, "course.delete");
    all.make("rooms", "POST rooms", json!({ "id": "gone", "site_id": "logged" }), "room.create");
    all.step("DELETE rooms/{id}", Value::Null, "room.delete");
    all.make("sites", "POST sites", json!({ "id": "gone", "name": "Gone", "time_zone": "UTC" }), "site.create");
    all.step("DELETE sites/{id}", Value::Null, "site.delete");

    all.make("keys", "POST keys", json!({ "name": "log", "rights": ["people:read"] }), "api_key.create");
    all.step("PATCH keys/{id}", json!({ "name": "logs" }), "api_key.update");
    all.step("DELETE keys/{id}", Value::Null, "api_key.revoke");
    all.make("accounts", "POST accounts", json!({ "login": "log", "name": "Log", "role": "viewer" }), "account.create");
    all.step("PATCH accounts/{id}", json!({ "name": "Logs" }), "account.update");
    all.step("POST accounts/{id}/reset", json!({}), "account.reset");
    all.step("DELETE accounts/{id}", Value::Null, "account.delete");

    let changes = Operation::all().into_iter().filter(|operation| operation.method != "GET");
    let changes: BTreeSet<_> = changes.map(|operation| operation.name()).collect();
    all.done.extend(LOOKS.iter().chain(&ELSEWHERE).map(|name| (*name).to_owned()));
    assert_eq!(all.done, changes);
}
