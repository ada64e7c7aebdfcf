//! The reference file and the code say the same.

use std::collections::HashMap;
use std::path::Path;

use serde_json::Value;

use super::raw::{RawCamera, RawConfig, RawRoom, RawSession};
use super::{Config, Precision, Provider, Reload};

const REFERENCE: &str = include_str!("../../../configs/rollcall.toml");

/// The reference with every commented key switched on.
fn uncommented() -> String {
    let is_key = |text: &str| {
        let key = text.split_once(" = ").map(|(key, _)| key);
        key.is_some_and(|key| key.chars().all(|c| c.is_ascii_lowercase() || c == '_' || c == '.'))
    };
    let lines = REFERENCE.lines().map(|line| match line.strip_prefix("# ") {
        Some(rest) if is_key(rest) => rest,
        _ => line,
    });
    lines.collect::<Vec<_>>().join("\n")
}

fn json(value: impl serde::Serialize) -> Value {
    serde_json::to_value(value).unwrap()
}

/// Every key that `value` has no value for.
fn missing(path: &str, value: &Value, out: &mut Vec<String>) {
    match value {
        Value::Null => out.push(path.to_owned()),
        Value::Object(fields) => fields.iter().for_each(|(key, v)| missing(&format!("{path}.{key}"), v, out)),
        Value::Array(items) => items.iter().enumerate().for_each(|(i, v)| missing(&format!("{path}[{i}]"), v, out)),
        _ => {}
    }
}

/// Every key whose default in the code is another value than the one in the file.
fn different(path: &str, default: &Value, file: &Value, out: &mut Vec<String>) {
    match (default, file) {
        (Value::Null, _) => {}
        (Value::Object(fields), _) => {
            fields.iter().for_each(|(key, v)| different(&format!("{path}.{key}"), v, &file[key], out));
        }
        // The rooms and cameras of the reference are examples; their keys are compared one by one.
        (Value::Array(items), Value::Array(_)) if items.is_empty() => {}
        _ if default == file => {}
        _ => out.push(format!("{path}: {default} in the code, {file} in the file")),
    }
}

#[test]
fn the_reference_names_every_key_with_its_default() {
    let text = uncommented();
    let full: RawConfig = toml::from_str(&text).unwrap_or_else(|e| panic!("{e}"));
    let full = json(full);

    let mut gaps = Vec::new();
    missing("", &full, &mut gaps);
    assert_eq!(gaps, Vec::<String>::new(), "keys of the code that configs/rollcall.toml does not show");

    let mut wrong = Vec::new();
    different("", &json(RawConfig::default()), &full, &mut wrong);
    different("camera", &json(RawCamera::default()), &full["cameras"][0], &mut wrong);
    different("room", &json(RawRoom::default()), &full["rooms"][0], &mut wrong);
    different("session", &json(RawSession::default()), &full["rooms"][0]["sessions"][0], &mut wrong);
    assert_eq!(wrong, Vec::<String>::new());
}

#[test]
fn the_reference_shows_a_key_for_each_list() {
    // An empty list has no null to find; these are the lists that have no default but emptiness.
    for key in ["regions_of_interest = []", "privacy_masks = []", "[[rooms.sessions]]", "[[cameras]]"] {
        assert!(REFERENCE.contains(key), "{key}");
    }
}

#[test]
fn the_reference_and_the_examples_are_valid() {
    let configs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../configs");
    let env = HashMap::from([("DOOR_PASSWORD".to_owned(), "x".to_owned())]);
    let reference = Config::load_with(&configs.join("rollcall.toml"), env.clone()).unwrap_or_else(|e| panic!("{e}"));
    assert_eq!((reference.rooms.len(), reference.cameras.len()), (1, 1));
    let mut examples = 0;
    for entry in std::fs::read_dir(configs.join("examples")).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|e| e == "toml") {
            Config::load_with(&path, env.clone()).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
            examples += 1;
        }
    }
    assert!(examples >= 2);
}

#[test]
fn the_defaults_are_valid_and_equal_an_empty_file() {
    let empty = Config::parse("", Path::new("rollcall.toml"), HashMap::new()).unwrap();
    assert_eq!(empty, Config::defaults());
    assert!(Reload::diff(&empty, &Config::defaults()).is_empty());
}

#[test]
fn zero_days_keep_things_for_ever() {
    let parse = |text: &str| Config::parse(text, Path::new("rollcall.toml"), HashMap::new());
    let kept = parse("[retention]\ncrops_days = 0\nevents_days = 7").unwrap().retention;
    assert_eq!((kept.crops_days, kept.events_days, kept.audit_days), (None, Some(7), None));
    assert_eq!(parse("[retention]\naudit_days = 730").unwrap().retention.audit_days, Some(730));
    let told = parse("[retention]\ncrops_days = -1").unwrap_err().to_string();
    assert!(told.contains("retention.crops_days: -1 is out of bounds: 0 to 36500 days"), "{told}");
}

#[test]
fn bfloat16_wants_the_provider_that_has_it() {
    let parse = |text: &str| Config::parse(text, Path::new("rollcall.toml"), HashMap::new());
    let models = parse("[models]\nprovider = \"openvino\"\nprecision = \"bf16\"\n").unwrap().models;
    assert_eq!((models.provider, models.precision), (Provider::OpenVino, Precision::Bf16));
    for provider in ["cpu", "cuda"] {
        let told =
            parse(&format!("[models]\nprovider = \"{provider}\"\nprecision = \"bf16\"\n")).unwrap_err().to_string();
        assert!(told.contains("models.precision: bf16 is for"), "{told}");
    }
}

#[test]
fn a_check_in_needs_life_unless_that_is_never_looked_at() {
    let parse = |text: &str| Config::parse(text, Path::new("rollcall.toml"), HashMap::new());
    let told = |text: &str| parse(text).map(|config| (config.check_in.min_agreeing, config.check_in.require_live));
    assert_eq!(told("").unwrap(), (2, true));
    assert_eq!(told("[check_in]\nmin_agreeing = 1\nrequire_live = false").unwrap(), (1, false));
    assert_eq!(told("[liveness]\nenabled = false").unwrap(), (2, false));
    let both = "[liveness]\nenabled = false\n[check_in]\nrequire_live = true\nmin_agreeing = 0";
    let wrong = parse(both).unwrap_err().to_string();
    assert!(wrong.contains("check_in.require_live") && wrong.contains("check_in.min_agreeing"), "{wrong}");
}

#[test]
fn the_server_believes_only_what_is_written_exactly() {
    let parse = |text: &str| Config::parse(text, Path::new("rollcall.toml"), HashMap::new());
    let good = "[server]\npublic_url = \"https://r.example.org/\"\ntrusted_proxies = [\"127.0.0.1\", \"fd00::/8\"]\n\
                cors_origins = [\"https://app.example.org\"]\nrate_per_minute = 0\n";
    let server = parse(good).unwrap().server;
    assert_eq!(server.public_url.as_deref(), Some("https://r.example.org"));
    assert_eq!(
        server.trusted_proxies.iter().map(ToString::to_string).collect::<Vec<_>>(),
        ["127.0.0.1/32", "fd00::/8"]
    );
    assert_eq!((server.rate_per_minute, server.login_rate_per_minute.get()), (None, 10));
    for bad in [
        "public_url = \"r.example.org\"",
        "public_url = \"https://r.example.org/?a\"",
        "trusted_proxies = [\"proxy\"]",
        "cors_origins = [\"*\"]",
        "cors_origins = [\"https://app.example.org/\"]",
        "login_rate_per_minute = 0",
    ] {
        let error = parse(&format!("[server]\n{bad}\n")).unwrap_err().to_string();
        assert!(error.contains("server."), "{bad}: {error}");
    }
}
