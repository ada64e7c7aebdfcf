//! People over HTTP: kept, found and changed, by whoever may see them.
#![allow(clippy::unwrap_used, reason = "tests")]

mod kit;

use std::sync::LazyLock;

use kit::Site;
use kit::enrolling::{PEOPLE, at};
use serde_json::{Value, json};

static SITE: LazyLock<Site> = LazyLock::new(|| Site::start("[site]\ntime_zone = \"UTC\"\n[[rooms]]\nid = \"hall\"\n"));

fn person(name: &str) -> Value {
    SITE.post(PEOPLE, &json!({ "name": name })).expect(201)
}

#[test]
fn people_are_kept_found_and_changed() {
    let group = SITE.post("/api/v1/groups", &json!({ "name": "Physics" })).expect(201);
    let new = json!({
        "name": "Chien-Shiung Wu", "external_id": "wu-1", "attributes": { "Room": "12" }, "group_ids": [group["id"]]
    });
    let made = SITE.post(PEOPLE, &new);
    let etag = made.header("etag").to_owned();
    let place = made.header("location").to_owned();
    let wu = made.expect(201);
    assert_eq!(place, at(&wu, ""));
    assert_eq!((wu["groups"][0]["name"].as_str(), wu["templates"].as_i64()), (Some("Physics"), Some(0)));
    SITE.post(PEOPLE, &new).expect(409);

    let found = |query: &str| SITE.get(&format!("{PEOPLE}?{query}")).expect(200)["items"].as_array().unwrap().len();
    assert_eq!(found("q=shiung"), 1);
    assert_eq!(found("q=SHIUNG&has_template=true"), 0);
    assert_eq!(found("external_id=wu-1"), 1);
    assert_eq!(found(&format!("group_id={}", group["id"].as_str().unwrap())), 1);
    assert_eq!(found("q=%27%3B%20drop%20table%20people"), 0);

    let changed =
        SITE.json("PATCH", &place, &[("if-match", &etag)], &json!({ "attributes": { "Room": null, "Desk": "3" } }));
    assert_eq!(changed.expect(200)["attributes"], json!({ "Desk": "3" }));
    SITE.json("PATCH", &place, &[("if-match", &etag)], &json!({ "name": "C. S. Wu" })).expect(412);
    SITE.json("PATCH", &place, &[], &json!({ "name": "C. S. Wu" })).expect(428);
    let nobody = format!("{PEOPLE}/{}", group["id"].as_str().unwrap());
    SITE.get(&nobody).expect(404);
    SITE.get(&format!("{PEOPLE}/not-an-id")).expect(400);

    let member = format!("/api/v1/groups/{}/members/{}", group["id"].as_str().unwrap(), wu["id"].as_str().unwrap());
    SITE.delete(&member).expect(204);
    SITE.delete(&member).expect(404);
    SITE.send("PUT", &member, &[], b"").expect(204);
    SITE.send("PUT", &member, &[], b"").expect(204);
    let members = format!("/api/v1/groups/{}/members", group["id"].as_str().unwrap());
    assert_eq!(SITE.get(&members).expect(200)["items"][0]["name"], "Chien-Shiung Wu");

    for (wrong, pointer) in [
        (json!({ "name": "" }), "#/name"),
        (json!({ "name": "a\u{0}b" }), "#/name"),
        (json!({ "name": "x".repeat(201) }), "#/name"),
        (json!({ "name": "Ada", "salary": 1 }), "#/salary"),
        (json!({ "name": "Ada", "attributes": { "x": "y".repeat(501) } }), "#/attributes/x"),
        (json!({ "name": "Ada", "group_ids": [group["id"], wu["id"]] }), "#/group_ids/1"),
    ] {
        let told = SITE.post(PEOPLE, &wrong).expect(422);
        assert_eq!(told["errors"][0]["pointer"], pointer, "{told}");
    }
}

#[test]
fn whoever_is_limited_knows_the_groups_of_the_people_they_see() {
    let group = |name: &str| SITE.post("/api/v1/groups", &json!({ "name": name })).expect(201)["id"].clone();
    let (ours, theirs, empty) = (group("Limits ours"), group("Limits theirs"), group("Limits empty"));
    let new = |name: &str, group: &Value| SITE.post(PEOPLE, &json!({ "name": name, "group_ids": [group] })).expect(201);
    let (ann, _) = (new("Ann", &ours), new("Ben", &theirs));
    let expected = json!({ "room_id": "hall", "starts_at": "2031-01-01T08:00:00Z", "ends_at": "2031-01-01T09:00:00Z",
        "people": [ann["id"]] });
    SITE.post("/api/v1/sessions", &expected).expect(201);
    let key = json!({ "name": "hall", "rights": ["people:read", "people:write"], "rooms": ["hall"] });
    let made = SITE.post("/api/v1/keys", &key).expect(201);
    let local = SITE.guest().with("x-api-key", made["secret"].as_str().unwrap());

    let at_group = |group: &Value, rest: &str| format!("/api/v1/groups/{}{rest}", group.as_str().unwrap());
    let member = format!("/members/{}", ann["id"].as_str().unwrap());
    let seen = local.get("/api/v1/groups?q=Limits").expect(200)["items"].clone();
    let seen: Vec<_> = seen.as_array().unwrap().iter().map(|group| (&group["name"], &group["members"])).collect();
    assert_eq!(seen, [(&json!("Limits ours"), &json!(1))]);
    for other in [&theirs, &empty] {
        local.get(&at_group(other, "")).expect(404);
        local.get(&at_group(other, "/members")).expect(404);
        local.send("PUT", &at_group(other, &member), &[], b"").expect(404);
        local.delete(&at_group(other, &member)).expect(404);
        let told = local.patch(&at(&ann, ""), &json!({ "group_ids": [ours, other] })).expect(422);
        assert_eq!(told["errors"][0]["pointer"], "#/group_ids/1", "{told}");
    }
    local.send("PUT", &at_group(&ours, &member), &[], b"").expect(204);
    local.patch(&at(&ann, ""), &json!({ "name": "Ann B.", "group_ids": [ours] })).expect(200);
    local.get(&at_group(&ours, "/members")).expect(200);
    // Whoever sees everybody sees all groups, also those that nobody belongs to.
    assert_eq!(SITE.get("/api/v1/groups?q=Limits").expect(200)["items"].as_array().unwrap().len(), 3);
    SITE.send("PUT", &at_group(&empty, &member), &[], b"").expect(204);
    local.get(&at_group(&empty, "")).expect(200);
    local.delete(&at_group(&empty, &member)).expect(204);
    local.get(&at_group(&empty, "")).expect(404);
}

#[test]
fn who_is_limited_to_places_sees_the_people_there() {
    SITE.post("/api/v1/sites", &json!({ "id": "annex", "name": "Annex", "time_zone": "UTC" })).expect(201);
    let course = SITE.post("/api/v1/courses", &json!({ "name": "Maps", "site_id": "annex" })).expect(201);
    let (inside, outside) = (person("Inside"), person("Outside"));
    let enrolment =
        format!("/api/v1/courses/{}/enrolments/{}", course["id"].as_str().unwrap(), inside["id"].as_str().unwrap());
    SITE.json("PUT", &enrolment, &[], &json!({})).expect(200);
    let teacher = SITE.as_account(json!({ "role": "teacher", "sites": ["annex"] }));
    let items = teacher.get(PEOPLE).expect(200)["items"].clone();
    assert_eq!(items.as_array().unwrap().iter().map(|p| &p["name"]).collect::<Vec<_>>(), ["Inside"]);
    teacher.get(&at(&inside, "")).expect(200);
    for rest in ["", "/templates", "/consents"] {
        teacher.get(&at(&outside, rest)).expect(404);
    }
    let export = teacher.get(&format!("{PEOPLE}/export"));
    assert!(!String::from_utf8(export.body).unwrap().contains("Outside"));
    teacher.patch(&at(&inside, ""), &json!({ "name": "X" })).expect(403);
    let rights = json!(["people:read", "people:write"]);
    let key = SITE.post("/api/v1/keys", &json!({ "name": "annex", "rights": rights, "sites": ["annex"] })).expect(201);
    let limited = SITE.guest().with("x-api-key", key["secret"].as_str().unwrap());
    limited.patch(&at(&inside, ""), &json!({ "name": "Still inside" })).expect(200);
    limited.patch(&at(&outside, ""), &json!({ "name": "X" })).expect(404);
    limited.post(PEOPLE, &json!({ "name": "New" })).expect(403);
    limited.delete(&at(&inside, "")).expect(403);
    SITE.guest().get(PEOPLE).expect(401);
    SITE.as_role("viewer").get(PEOPLE).expect(403);
}

#[test]
fn who_is_limited_to_a_room_sees_the_people_of_a_course_that_meets_there_once() {
    // Two courses of one site, each in no timetable: what they share with a room is one session.
    let course = |room: &str| {
        SITE.post("/api/v1/rooms", &json!({ "id": room })).expect(201);
        let course = SITE.post("/api/v1/courses", &json!({ "name": room })).expect(201)["id"].clone();
        let session = json!({ "room_id": room, "course_id": course, "starts_at": "2031-01-02T08:00:00Z",
            "ends_at": "2031-01-02T09:00:00Z" });
        SITE.post("/api/v1/sessions", &session).expect(201);
        course
    };
    let enrolled = |name: &str, course: &Value| {
        let person = person(name);
        let (course, id) = (course.as_str().unwrap(), person["id"].as_str().unwrap());
        SITE.json("PUT", &format!("/api/v1/courses/{course}/enrolments/{id}"), &[], &json!({})).expect(200);
        person
    };
    let (here, there) = (course("cellar"), course("loft"));
    let (seen, hidden) = (enrolled("In the cellar", &here), [enrolled("In the loft", &there), person("At home")]);
    let teacher = SITE.as_account(json!({ "role": "teacher", "rooms": ["cellar"] }));
    let listed = teacher.get(PEOPLE).expect(200)["items"].clone();
    assert_eq!(listed.as_array().unwrap().iter().map(|p| &p["id"]).collect::<Vec<_>>(), [&seen["id"]]);
    for rest in ["", "/attendance"] {
        teacher.get(&at(&seen, rest)).expect(200);
        for other in &hidden {
            teacher.get(&at(other, rest)).expect(404);
        }
    }
}
