//! Rosters of courses over HTTP: who is enrolled from when to when, by whoever may see them, and overwritten by nobody.
#![allow(clippy::unwrap_used, reason = "tests")]

mod kit;

use std::sync::{Barrier, LazyLock};

use chrono::TimeDelta;
use kit::register::{course, now};
use kit::{Site, told, unique};
use serde_json::{Value, json};

static SITE: LazyLock<Site> = LazyLock::new(|| Site::start(""));

#[test]
fn the_log_says_from_when_to_when_somebody_was_enrolled() {
    let roster = format!("/api/v1/courses/{}/enrolments", course(&SITE));
    let ann = SITE.post("/api/v1/people", &json!({ "name": "Ann" })).expect(201)["id"].clone();
    let one = format!("{roster}/{}", ann.as_str().unwrap());
    let dates = |from: Value, to: Value| json!({ "valid_from": from, "valid_to": to });
    let (all, autumn) = (dates(Value::Null, Value::Null), dates(json!("2026-09-01"), json!("2026-12-31")));
    // Done again it changes nothing.
    for _ in 0..2 {
        SITE.json("PUT", &one, &[], &all).expect(200);
    }
    SITE.put_over(&one, &autumn).expect(200);
    SITE.send("DELETE", &one, &[], b"").expect(204);
    SITE.json("PUT", &one, &[], &autumn).expect(200);
    SITE.put_over(&roster, &json!({ "people": [] })).expect(200);
    let told = SITE.log(&format!("person={}&action=enrolment.", ann.as_str().unwrap()));
    let entry =
        |what: &str, before: &Value, after: &Value| (format!("enrolment.{what}"), before.clone(), after.clone());
    let (was_there, is_new) = (entry("delete", &autumn, &Value::Null), entry("create", &Value::Null, &autumn));
    let wished =
        [was_there.clone(), is_new, was_there, entry("update", &all, &autumn), entry("create", &Value::Null, &all)];
    assert_eq!(told, wished);
}

#[test]
fn a_roster_that_others_changed_is_not_overwritten() {
    let path = format!("/api/v1/courses/{}", course(&SITE));
    let roster = format!("{path}/enrolments");
    let new = |name: &str| SITE.post("/api/v1/people", &json!({ "name": name })).expect(201)["id"].clone();
    let (ann, ben) = (new("Ann"), new("Ben"));
    let with = |tag: &str, people: &[&Value]| {
        let people: Vec<_> = people.iter().map(|who| json!({ "person_id": who })).collect();
        SITE.json("PUT", &roster, &[("if-match", tag)], &json!({ "people": people }))
    };
    let read = SITE.get(&roster).header("etag").to_owned();
    assert_eq!(read, SITE.get(&path).header("etag"));
    SITE.json("PUT", &roster, &[], &json!({ "people": [] })).expect(428);
    let first = with(&read, &[&ann]);
    let tag = first.header("etag").to_owned();
    assert_eq!((first.expect(200)["added"].as_i64(), SITE.get(&roster).header("etag")), (Some(1), &*tag));
    with(&read, &[&ben]).expect(412);
    assert_eq!(with(&tag, &[&ann]).header("etag"), tag, "nothing is different");
    // Whoever enrols one alone overwrites nobody else; and who read the roster before does not know of it.
    let one = format!("{roster}/{}", ben.as_str().unwrap());
    SITE.put_over(&one, &json!({})).expect(200);
    with(&tag, &[&ann]).expect(412);
    let tag = SITE.get(&roster).header("etag").to_owned();
    SITE.delete(&one).expect(204);
    with(&tag, &[&ann, &ben]).expect(412);
    let names = SITE.get(&roster).expect(200)["items"].clone();
    assert_eq!(names.as_array().unwrap().iter().map(|row| &row["name"]).collect::<Vec<_>>(), ["Ann"]);
}

#[test]
fn dates_of_an_enrolment_that_others_chose_are_not_overwritten() {
    let roster = format!("/api/v1/courses/{}/enrolments", course(&SITE));
    let new = |name: &str| {
        let made = SITE.post("/api/v1/people", &json!({ "name": name })).expect(201);
        format!("{roster}/{}", made["id"].as_str().unwrap())
    };
    let (ann, ben) = (new("Ann"), new("Ben"));
    let autumn = json!({ "valid_from": "2026-09-01", "valid_to": "2026-12-31" });
    let read = SITE.get(&roster).header("etag").to_owned();
    let over = |tag: &str, one: &str, dates: &Value| SITE.json("PUT", one, &[("if-match", tag)], dates);
    SITE.json("PUT", &ann, &[], &autumn).expect(200);
    // Nothing is overwritten by those.
    SITE.json("PUT", &ann, &[], &autumn).expect(200);
    SITE.json("PUT", &ben, &[], &json!({})).expect(200);
    SITE.json("PUT", &ann, &[], &json!({})).expect(428);
    over(&read, &ann, &json!({})).expect(412);
    over(&read, &ann, &autumn).expect(412);
    let rows = SITE.get(&roster);
    let tag = rows.header("etag").to_owned();
    assert_eq!(rows.expect(200)["items"][0]["valid_to"], "2026-12-31");
    let again = over(&tag, &ann, &json!({}));
    assert_eq!((again.header("etag"), again.json["changed"].as_i64()), (SITE.get(&roster).header("etag"), Some(1)));
    over("*", &ann, &autumn).expect(200);
}

#[test]
fn many_enrol_at_once_over_few_connections() {
    let site = Site::start("[database]\nmax_connections = 4\n");
    let course = site.post("/api/v1/courses", &json!({ "name": "Crowd" })).expect(201)["id"].clone();
    let people: Vec<Value> =
        (0..24).map(|_| site.post("/api/v1/people", &json!({ "name": "Ann" })).expect(201)["id"].clone()).collect();
    let at = |person: &Value| {
        format!("/api/v1/courses/{}/enrolments/{}", course.as_str().unwrap(), person.as_str().unwrap())
    };
    let together = Barrier::new(people.len());
    let enrol = |person: &Value| {
        together.wait();
        site.json("PUT", &at(person), &[], &json!({})).status
    };
    let told: Vec<u16> = std::thread::scope(|scope| {
        let threads: Vec<_> = people.iter().map(|person| scope.spawn(move || enrol(person))).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert!(told.iter().all(|status| *status == 200), "{told:?}");
}

#[test]
fn nobody_enrols_whom_they_may_not_see() {
    let site = unique("annex");
    SITE.post("/api/v1/sites", &json!({ "id": site, "name": "Annex", "time_zone": "UTC" })).expect(201);
    let room = unique("room");
    SITE.post("/api/v1/rooms", &json!({ "id": room, "site_id": site })).expect(201);
    let operator = SITE.as_account(json!({ "role": "operator", "sites": [site] }));
    let here = operator.post("/api/v1/courses", &json!({ "name": "Here", "site_id": site })).expect(201);
    let (here, there) = (format!("/api/v1/courses/{}/enrolments", here["id"].as_str().unwrap()), course(&SITE));
    let number = unique("number");
    let person = |external_id: &str| {
        let made = SITE.post("/api/v1/people", &json!({ "name": "Somebody", "external_id": external_id })).expect(201);
        made["id"].as_str().unwrap().to_owned()
    };
    let (theirs, newcomer) = (person(&number), person(&unique("number")));
    SITE.put_over(&format!("/api/v1/courses/{there}/enrolments/{theirs}"), &json!({})).expect(200);
    let begins = now() + TimeDelta::hours(1);
    let session = |people: &[&str]| json!({ "room_id": room, "starts_at": begins, "ends_at": begins + TimeDelta::hours(1), "people": people });
    let own = operator.post("/api/v1/sessions", &session(&[])).expect(201);
    let own = format!("/api/v1/sessions/{}", own["id"].as_str().unwrap());

    let roster = json!({ "people": [{ "person_id": theirs }, { "external_id": number }, { "person_id": newcomer }] });
    assert_eq!(told(operator.put_over(&here, &roster)), ["#/people/0", "#/people/1", "#/people/2"]);
    operator.put_over(&format!("{here}/{theirs}"), &json!({})).expect(404);
    operator.put_over(&format!("{here}/{newcomer}"), &json!({})).expect(404);
    assert_eq!(told(operator.post("/api/v1/sessions", &session(&[&newcomer, &theirs]))), ["#/people/0", "#/people/1"]);
    assert_eq!(told(operator.patch(&own, &json!({ "people": [theirs] }))), ["#/people/0"]);
    operator.get(&format!("/api/v1/people/{theirs}")).expect(404);

    // Whoever sees everybody brings somebody new here; then they are of this place.
    SITE.put_over(&format!("{here}/{newcomer}"), &json!({})).expect(200);
    operator.put_over(&here, &json!({ "people": [{ "person_id": newcomer, "valid_from": "2026-09-01" }] })).expect(200);
    operator.put_over(&format!("{here}/{newcomer}"), &json!({})).expect(200);
    operator.patch(&own, &json!({ "people": [newcomer] })).expect(200);
    operator.post("/api/v1/sessions", &session(&[&newcomer])).expect(201);
}

#[test]
fn a_roster_of_ten_thousand_comes_in_one_request() {
    let roster = format!("/api/v1/courses/{}/enrolments", course(&SITE));
    let number = |n: usize| format!("{:0>60}", format!("roster-{n}"));
    let table: String = (0..10_000).map(|n| format!("{},Somebody\n", number(n))).collect();
    let table = format!("external_id,name\n{table}");
    let csv = [("content-type", "text/csv")];
    SITE.send("POST", "/api/v1/people/import", &csv, table.as_bytes()).expect(200);
    let year = |n| json!({ "external_id": number(n), "valid_from": "2026-09-01", "valid_to": "2027-07-31" });
    let people = |count| json!({ "people": (0..count).map(year).collect::<Vec<_>>() });
    assert_eq!(told(SITE.put_over(&roster, &people(10_001))), ["#/people"]);
    assert_eq!(SITE.put_over(&roster, &people(10_000)).expect(200)["enrolled"], 10_000);
}
