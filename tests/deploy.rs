//! Holds `deploy/` to what the program and its set-up really are.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::process::Command;

use rollcall_pipeline::EventKind;
use rollcall_pipeline::metrics::{CounterName, GaugeName, HistogramName};

fn read(path: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

/// The words of a text, where metric and package names are words.
fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| !(c.is_ascii_alphanumeric() || "_-.+".contains(c))).filter(|word| !word.is_empty())
}

/// What is recorded, by name, with its labels.
fn recorded() -> BTreeMap<String, &'static [&'static str]> {
    let mut recorded = BTreeMap::new();
    recorded.extend(CounterName::ALL.iter().map(|m| (m.as_str().to_owned(), m.labels())));
    recorded.extend(GaugeName::ALL.iter().map(|m| (m.as_str().to_owned(), m.labels())));
    for m in HistogramName::ALL {
        let names = ["", "_bucket", "_count", "_sum"].map(|suffix| format!("{}{suffix}", m.as_str()));
        recorded.extend(names.map(|name| (name, m.labels())));
    }
    recorded
}

/// The metrics that are chosen by labels: `name{label="…",label=~"…"}`.
fn chosen(text: &str) -> impl Iterator<Item = (String, Vec<&str>)> {
    text.split("rollcall_").skip(1).filter_map(|rest| {
        let (name, labels) = rest.split_once('}')?.0.split_once('{')?;
        let is_name = name.chars().all(|c| c.is_ascii_lowercase() || c == '_');
        let keys: Vec<&str> =
            labels.split(',').filter_map(|label| Some(label.split_once(['=', '!'])?.0.trim())).collect();
        is_name.then(|| (format!("rollcall_{name}"), keys))
    })
}

/// Every metric that a file asks for is there, with the labels that it is chosen by.
#[track_caller]
fn asks_for_metrics_that_exist(path: &str) {
    let recorded = recorded();
    let text = read(path);
    let used: Vec<_> =
        words(&text).filter(|word| word.starts_with("rollcall_")).map(|word| word.trim_end_matches('.')).collect();
    assert!(used.len() > 10, "found only {used:?}");
    for word in used {
        assert!(recorded.contains_key(word), "{path} asks for {word}, which nothing records");
    }
    for (name, labels) in chosen(&text) {
        // What Prometheus adds says at which site it was recorded.
        let known = |label: &&str| *label == "instance" || recorded[&name].contains(label);
        assert!(labels.iter().all(known), "{path} asks for {name} by {labels:?}");
    }
}

#[test]
fn cameras_of_two_sites_are_two_cameras() {
    for path in ["deploy/prometheus/alerts.yml", "deploy/grafana/rollcall.json"] {
        let text = read(path);
        let grouped = text.split(" by (").skip(1).filter_map(|rest| Some(rest.split_once(')')?.0));
        let cameras: Vec<_> = grouped.filter(|labels| labels.contains("camera")).collect();
        assert!(!cameras.is_empty() && cameras.iter().all(|labels| labels.contains("instance")), "{path}: {cameras:?}");
    }
}

#[test]
fn latencies_are_those_of_the_rows_that_name_somebody() {
    let wanted = format!("outcome=~\"{}\"", EventKind::naming().collect::<Vec<_>>().join("|"));
    for path in ["deploy/prometheus/alerts.yml", "deploy/grafana/rollcall.json"] {
        let text = read(path).replace('\\', "");
        let chosen: Vec<_> =
            text.split("rollcall_event_end_to_end_seconds").skip(1).map(|rest| rest.split('}').next()).collect();
        assert!(
            !chosen.is_empty() && chosen.iter().all(|by| by.is_some_and(|by| by.contains(&wanted))),
            "{path}: {chosen:?}"
        );
    }
}

#[test]
fn alerts_ask_for_metrics_that_exist() {
    asks_for_metrics_that_exist("deploy/prometheus/alerts.yml");
}

#[test]
fn the_dashboard_asks_for_metrics_that_exist() {
    const DASHBOARD: &str = "deploy/grafana/rollcall.json";
    asks_for_metrics_that_exist(DASHBOARD);
    let dashboard: serde_json::Value = serde_json::from_str(&read(DASHBOARD)).unwrap();
    let panels = dashboard["panels"].as_array().unwrap();
    let ids: BTreeSet<_> = panels.iter().map(|panel| panel["id"].as_u64().unwrap()).collect();
    assert!(panels.len() >= 10 && ids.len() == panels.len(), "{ids:?}");
    for target in panels.iter().flat_map(|panel| panel["targets"].as_array().unwrap()) {
        assert!(target["expr"].as_str().unwrap().contains("rollcall_"), "{target}");
    }
}

#[test]
fn the_alert_for_memory_knows_the_limit() {
    let has = |path: &str, line: &str| assert!(read(path).lines().any(|l| l.trim() == line), "{path} lacks {line}");
    has("deploy/systemd/rollcall.service", "MemoryMax=2G");
    has("deploy/docker/compose.yaml", "mem_limit: 2g");
    assert!(read("deploy/prometheus/alerts.yml").contains("process_resident_memory_bytes > 0.8 * 2 * 1024 ^ 3 "));
}

#[test]
fn the_image_installs_what_set_up_installs() {
    let setup = read("scripts/setup.sh");
    let set_up = setup.split_once("PACKAGES=(").and_then(|(_, rest)| rest.split_once(")\n")).expect("a list").0;
    let set_up: BTreeSet<_> = words(set_up).collect();
    let image = read("deploy/docker/Dockerfile");
    let stage = image.rsplit_once("\nFROM ").expect("two stages").1;
    let installed =
        stage.split_once("--no-install-recommends").and_then(|(_, rest)| rest.split_once("#")).expect("a list").0;
    let installed: BTreeSet<_> = words(installed).collect();
    for package in &installed {
        // Programs link with libfoo-0, which comes with libfoo-dev.
        let dev = package.strip_suffix("-0").map(|library| format!("{library}-dev"));
        let known = set_up.contains(package) || dev.is_some_and(|dev| set_up.contains(dev.as_str()));
        assert!(known || *package == "curl", "the image installs {package}, set-up does not");
    }
    let at_run_time = |package: &&&str| {
        package.starts_with("gstreamer1.0-plugins") || package.ends_with("libav") || **package == "postgresql"
    };
    for package in set_up.iter().filter(at_run_time) {
        assert!(installed.contains(package), "set-up installs {package}, the image does not");
    }
}

/// Runs `cp` in the source tree.
fn copy(options: &[&str], what: &[&str], to: &Path) {
    let root = env!("CARGO_MANIFEST_DIR");
    let done = Command::new("cp").current_dir(root).args(options).args(what).arg(to).status().unwrap();
    assert!(done.success(), "{what:?} cannot be copied");
}

#[test]
fn the_image_copies_all_that_its_set_up_reads() {
    let image = read("deploy/docker/Dockerfile");
    let (before, after) = image.split_once("\nRUN scripts/setup.sh").expect("the image runs set-up");
    let layer = tempfile::tempdir().unwrap();
    for paths in before.lines().filter_map(|line| line.strip_prefix("COPY ")) {
        let paths: Vec<_> = paths.split_whitespace().collect();
        let (to, from) = paths.split_last().unwrap();
        let in_place = |from: &str| Path::new(from) == Path::new(to) || Path::new(from).parent() == Some(Path::new(to));
        assert!(from.iter().all(|from| in_place(from)), "{from:?} lies elsewhere in the image: {to}");
        copy(&["--recursive", "--parents"], from, layer.path());
    }
    // What the layer would fetch, as links: whatever set-up replaces here stays as it is there.
    let cache = Path::new(env!("CARGO_MANIFEST_DIR")).join("models/cache");
    copy(&["--recursive", "--symbolic-link"], &[cache.to_str().unwrap()], &layer.path().join("models"));
    let done = Command::new(layer.path().join("scripts/setup.sh"))
        .args(after.lines().next().unwrap().split_whitespace())
        .env("ROLLCALL_SKIP_SYSTEM_PACKAGES", "1")
        .env("PIP_NO_INDEX", "1")
        .env("npm_config_offline", "true")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&done.stdout);
    // It compares its inputs with those that the files were made from: all of them are there, or it would fetch.
    assert!(said.contains("everything is in place"), "{said}{}", String::from_utf8_lossy(&done.stderr));
}

#[test]
fn the_image_is_made_without_what_git_ignores() {
    let kept_out: BTreeSet<_> = read("deploy/docker/Dockerfile.dockerignore").lines().map(str::to_owned).collect();
    for ignored in read(".gitignore").lines() {
        // There a path starts at the root unless it says otherwise, here it does so with a slash.
        let path = ignored.trim_end_matches('/');
        let path = path.strip_prefix('/').map_or_else(|| format!("**/{path}"), str::to_owned);
        assert!(kept_out.contains(&path), "Dockerfile.dockerignore lacks {path}");
    }
}
