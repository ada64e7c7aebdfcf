//! What the OpenAPI document has to say of every operation, so that clients, and what tries the API, can rely on it.
#![allow(clippy::unwrap_used, reason = "tests")]

mod kit;

use std::collections::BTreeSet;

use rollcall_stages::picture::MAX_PIXELS;
use serde_json::{Map, Value};

/// Open to everybody: who asks these has not said yet who they are.
const OPEN: &[&str] = &[
    "GET /health/live",
    "GET /health/ready",
    "POST /api/v1/auth/login",
    "POST /api/v1/auth/logout",
    "POST /api/v1/auth/refresh",
    "POST /api/v1/auth/setup",
    "GET /api/v1/version",
];
const METHODS: [&str; 5] = ["get", "put", "post", "patch", "delete"];
/// Formats that bound a string themselves.
const FORMATS: [&str; 6] = ["uuid", "date", "date-time", "time", "binary", "byte"];

struct Document(Value);

impl Document {
    fn read() -> Self {
        let printed = kit::run(&std::env::temp_dir(), &["openapi"]);
        assert!(printed.status.success(), "{}", kit::stderr(&printed));
        Self(serde_json::from_slice(&printed.stdout).unwrap())
    }

    /// Every operation, by its name: `GET /api/v1/sites`.
    fn operations(&self) -> Vec<(String, &Value)> {
        let paths = self.0["paths"].as_object().unwrap().iter();
        let operations = paths.flat_map(|(path, item)| {
            METHODS
                .iter()
                .filter_map(move |method| Some((format!("{} {path}", method.to_uppercase()), item.get(method)?)))
        });
        operations.collect()
    }

    /// Those that are ours: the façade speaks like the service that it stands in for.
    fn own(&self) -> Vec<(String, &Value)> {
        let facade = ["/api/v1/recognition/", "/api/v1/detection/", "/api/v1/verification/"];
        self.operations().into_iter().filter(|(name, _)| !facade.iter().any(|part| name.contains(part))).collect()
    }

    /// Notes every value below `schema` that has no bound; `seen` ends circles.
    fn unbounded(&self, place: &str, schema: &Value, seen: &mut BTreeSet<String>, told: &mut Vec<String>) {
        let Some(schema) = schema.as_object() else { return };
        if let Some(reference) = schema.get("$ref").and_then(Value::as_str) {
            let name = reference.rsplit('/').next().unwrap();
            if seen.insert(name.to_owned()) {
                let at = format!("{place}({name})");
                self.unbounded(&at, &self.0["components"]["schemas"][name], seen, told);
            }
            return;
        }
        if schema.contains_key("enum") || schema.contains_key("const") {
            return;
        }
        for variants in ["oneOf", "anyOf", "allOf"] {
            for variant in schema.get(variants).and_then(Value::as_array).into_iter().flatten() {
                self.unbounded(place, variant, seen, told);
            }
        }
        if is(schema, "string") && !bounded_text(schema) {
            told.push(format!("{place}: a string without max_length, pattern or format"));
        }
        if (is(schema, "integer") || is(schema, "number")) && !(has(schema, "minimum") && has(schema, "maximum")) {
            told.push(format!("{place}: a number without minimum and maximum"));
        }
        if is(schema, "array") {
            if !has(schema, "maxItems") {
                told.push(format!("{place}: an array without max_items"));
            }
            // What is no object there is checked one by one; the body as a whole is bounded, too.
            if schema["items"].get("$ref").is_some() {
                self.unbounded(&format!("{place}/*"), &schema["items"], seen, told);
            }
        }
        for (name, property) in schema.get("properties").and_then(Value::as_object).into_iter().flatten() {
            self.unbounded(&format!("{place}/{name}"), property, seen, told);
        }
    }
}

fn is(schema: &Map<String, Value>, wanted: &str) -> bool {
    match schema.get("type") {
        Some(Value::String(one)) => one == wanted,
        Some(Value::Array(several)) => several.iter().any(|one| one == wanted),
        _ => false,
    }
}

fn has(schema: &Map<String, Value>, key: &str) -> bool {
    schema.contains_key(key)
}

fn bounded_text(schema: &Map<String, Value>) -> bool {
    has(schema, "maxLength")
        || has(schema, "pattern")
        || schema.get("format").and_then(Value::as_str).is_some_and(|format| FORMATS.contains(&format))
}

/// Tells all of it at once.
#[track_caller]
fn nothing(told: &[String]) {
    assert!(told.is_empty(), "\n{}", told.join("\n"));
}

#[test]
fn every_operation_says_what_it_is_and_who_may() {
    let document = Document::read();
    let mut told = Vec::new();
    let (mut names, mut ids) = (BTreeSet::new(), BTreeSet::new());
    for (name, operation) in document.operations() {
        if operation["tags"].as_array().map_or(0, Vec::len) != 1 {
            told.push(format!("{name}: not one tag"));
        }
        let summary = operation["summary"].as_str().unwrap_or_default();
        if summary.is_empty() || summary.chars().count() > 120 || summary.ends_with('.') {
            told.push(format!("{name}: a summary is a short line without a full stop, not {summary:?}"));
        }
        // A way that asks for nothing is one for everybody.
        let closed = operation["security"]
            .as_array()
            .is_some_and(|ways| !ways.is_empty() && !ways.contains(&Value::Object(Map::new())));
        if closed == OPEN.contains(&name.as_str()) {
            told.push(format!("{name}: open to everybody, or not? Set security, or name it in OPEN"));
        }
        if !ids.insert(operation["operationId"].as_str().unwrap_or_default().to_owned()) {
            told.push(format!("{name}: its operationId {} is that of another, too", operation["operationId"]));
        }
        names.insert(name);
    }
    told.extend(
        OPEN.iter().filter(|name| !names.contains(**name)).map(|name| format!("{name} is open, but not there")),
    );
    nothing(&told);
}

#[test]
fn every_operation_says_how_it_refuses() {
    let document = Document::read();
    let mut told = Vec::new();
    for (name, operation) in document.own().into_iter().filter(|(name, _)| name.contains(" /api/")) {
        let responses = operation["responses"].as_object().unwrap();
        if !responses.keys().any(|status| status.starts_with('2') || status == "101") {
            told.push(format!("{name}: never succeeds"));
        }
        for status in ["400", "401", "403", "404", "422", "429", "500", "503"] {
            let content = &responses.get(status).unwrap_or(&Value::Null)["content"];
            if !content["application/problem+json"]["schema"].is_object() {
                told.push(format!("{name}: says nothing of {status}"));
            }
        }
    }
    nothing(&told);
}

#[test]
fn answers_say_what_they_carry_beside_their_bodies() {
    let document = Document::read();
    let mut told = Vec::new();
    for (name, operation) in document.own().into_iter().filter(|(name, _)| name.contains(" /api/")) {
        let mut parameters = operation["parameters"].as_array().into_iter().flatten();
        let versioned = parameters.any(|parameter| parameter["name"] == "If-Match");
        let mut carried = vec![("429", "Retry-After"), ("503", "Retry-After"), ("201", "Location"), ("201", "ETag")];
        carried.extend(versioned.then_some(("200", "ETag")));
        for (status, header) in carried {
            let answer = &operation["responses"][status];
            if answer.is_object() && !answer["headers"][header]["schema"].is_object() {
                told.push(format!("{name}: {status} says nothing of {header}"));
            }
        }
    }
    nothing(&told);
    let read = ["/people/{id}", "/courses/{id}/enrolments", "/sessions/{session}/people/{person}", "/review/{event}"];
    for path in read.map(|path| format!("/api/v1{path}")) {
        let read = &document.0["paths"][&path]["get"]["responses"]["200"];
        assert!(read["headers"]["ETag"].is_object(), "{path}: what is read has the ETag that a change needs");
    }
}

#[test]
fn an_enrolment_that_is_refused_says_why_of_each_picture() {
    let document = Document::read();
    for way in ["", "/from-camera", "/from-review"] {
        let enrol = &document.0["paths"][format!("/api/v1/people/{{id}}/templates{way}")]["post"];
        let refused = &enrol["responses"]["422"]["content"]["application/problem+json"]["schema"]["$ref"];
        let schema = &document.0["components"]["schemas"][refused.as_str().unwrap().rsplit('/').next().unwrap()];
        let mut parts = schema["allOf"].as_array().into_iter().flatten();
        assert!(parts.any(|part| part["properties"]["pictures"].is_object()), "{way}: {schema}");
    }
}

#[test]
fn a_check_in_may_bring_several_frames() {
    let document = Document::read();
    let image = &document.0["components"]["schemas"]["CheckInForm"]["properties"]["image"];
    assert!(is(image.as_object().unwrap(), "array"), "a client that is made from this sends one frame only: {image}");
    assert_eq!((&image["minItems"], &image["maxItems"]), (&Value::from(1), &Value::from(8)));
}

#[test]
fn whatever_comes_in_is_described_and_bounded() {
    let document = Document::read();
    let mut told = Vec::new();
    for (name, operation) in document.own() {
        let parameters = operation["parameters"].as_array().into_iter().flatten();
        for parameter in parameters {
            let place = format!("{name} {} {}", parameter["in"].as_str().unwrap(), parameter["name"].as_str().unwrap());
            if parameter["description"].as_str().unwrap_or_default().is_empty() {
                told.push(format!("{place}: no description"));
            }
            document.unbounded(&place, &parameter["schema"], &mut BTreeSet::new(), &mut told);
        }
        let bodies = operation["requestBody"]["content"].as_object().into_iter().flatten();
        // Tables and pictures are bounded by their size.
        let described = |media_type: &str| media_type.ends_with("json") || media_type.starts_with("multipart/");
        for (media_type, body) in bodies.filter(|(media_type, _)| described(media_type)) {
            document.unbounded(&format!("{name} {media_type} "), &body["schema"], &mut BTreeSet::new(), &mut told);
        }
    }
    nothing(&told);
}

#[test]
fn the_largest_picture_that_is_told_is_the_largest_that_is_read() {
    let text = Document::read().0.to_string();
    let told = text.match_indices(" megapixels").map(|(at, _)| text[..at].rsplit(' ').next().unwrap().parse().unwrap());
    assert_eq!(told.collect::<BTreeSet<u64>>(), BTreeSet::from([MAX_PIXELS / 1_000_000]));
}
