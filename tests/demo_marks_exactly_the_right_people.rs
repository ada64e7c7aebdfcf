//! The demo's own verdict, and the rows behind it: real RTSP, real models, real PostgreSQL.

use std::process::Command;

use serde_json::Value;

#[test]
fn the_demo_marks_exactly_the_right_people() {
    let data = tempfile::Builder::new().prefix("rollcall").tempdir().unwrap();
    let out = Command::new(env!("CARGO_BIN_EXE_rollcall"))
        .args(["demo", "--json"])
        // An installation on this machine must not matter.
        .env("ROLLCALL__DATABASE__URL", "postgres://nobody@192.0.2.1/nothing")
        .env("ROLLCALL_CONFIG", data.path().join("no-such-file.toml"))
        .env_remove("ROLLCALL_DATA_DIR")
        .env("TMPDIR", data.path())
        .output()
        .unwrap();
    let (stdout, stderr) = (String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr));
    assert!(out.status.success(), "{stdout}\n{stderr}");
    let report: Value = serde_json::from_str(&stdout).unwrap_or_else(|e| panic!("{e}: {stdout}\n{stderr}"));
    assert_eq!(report["passed"], true, "{report:#}");

    let marks: Vec<_> = lines(&report["marks"], &["person", "status", "camera"]);
    assert_eq!(marks, ["Alex present front-door", "Franck off_roster side-door"], "{report:#}");
    let latency = report["slowest_mark_ms"].as_i64().unwrap();
    assert!(latency > 0, "{latency} ms from the first usable face to the row");

    let mut kinds = lines(&report["events"], &["camera", "kind", "person"]);
    kinds.dedup();
    assert_eq!(
        kinds,
        [
            "front-door recorded Alex",
            "front-door debounced Alex",
            "side-door off_roster Franck",
            "side-door debounced Franck",
            "back-door unknown -",
            "lift spoof Obama",
        ],
        "{report:#}"
    );
    let left = std::fs::read_dir(data.path()).unwrap().flatten().map(|entry| entry.file_name());
    let left: Vec<_> = left.filter(|name| name.to_string_lossy().starts_with("rollcall")).collect();
    assert!(left.is_empty(), "left behind: {left:?}");
}

#[test]
fn a_data_directory_that_is_in_use_is_left_alone() {
    let data = tempfile::tempdir().unwrap();
    std::fs::write(data.path().join("theirs"), b"x").unwrap();
    let out =
        Command::new(env!("CARGO_BIN_EXE_rollcall")).args(["demo", "--data-dir"]).arg(data.path()).output().unwrap();
    let stderr = String::from_utf8_lossy(&out.stderr);
    assert_eq!(out.status.code(), Some(1), "{stderr}");
    assert!(stderr.contains("wants a data directory of its own"), "{stderr}");
    assert_eq!(std::fs::read_dir(data.path()).unwrap().count(), 1);
}

/// Some fields of each object, sorted as the marks and scenes are.
fn lines(objects: &Value, fields: &[&str]) -> Vec<String> {
    let text = |object: &Value, field: &str| object[field].as_str().unwrap_or("-").to_owned();
    let line = |object: &Value| fields.iter().map(|field| text(object, field)).collect::<Vec<_>>().join(" ");
    let mut lines: Vec<_> = objects.as_array().expect("a list").iter().map(line).collect();
    if fields.contains(&"status") {
        lines.sort();
    }
    lines
}
