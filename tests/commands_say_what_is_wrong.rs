//! Exit codes and messages of the commands that need no recording.
#![allow(clippy::unwrap_used, reason = "tests")]

mod kit;

use kit::{run, stderr, stdout};

#[test]
fn wrong_options_end_with_2_and_failures_with_1() {
    let dir = tempfile::tempdir().unwrap();
    let help = stdout(&run(dir.path(), &["--help"]));
    assert!(help.contains("Exit codes: 0 done, 1 failed (stderr says why), 2 wrong options"), "{help}");
    assert_eq!(run(dir.path(), &["replay"]).status.code(), Some(2));
    assert_eq!(run(dir.path(), &["run", "--colour"]).status.code(), Some(2));
    assert_eq!(run(dir.path(), &["replay", "x.mp4", "--people", "p", "--fps", "0"]).status.code(), Some(2));
    let nowhere = run(dir.path(), &["eval", "lfw", "--images", "i", "--pairs", "p", "--json", "/nowhere/out.json"]);
    assert_eq!(nowhere.status.code(), Some(2));
    assert!(stderr(&nowhere).contains("there is no folder /nowhere"), "{}", stderr(&nowhere));
    let missing = run(dir.path(), &["config", "check", "/nowhere.toml"]);
    assert_eq!(missing.status.code(), Some(1));
    assert!(stderr(&missing).contains("cannot read the configuration /nowhere.toml"), "{}", stderr(&missing));
}

#[test]
fn a_folder_without_a_spool_is_not_taken_for_one_that_holds_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let why = format!("error: there is no spool in {}: name the daemon's with --data-dir\n", data.display());
    for args in [["spool", "list"], ["spool", "retry"]] {
        for json in [&[][..], &["--json"]] {
            let told = run(&data, &[&args[..], json].concat());
            assert_eq!((told.status.code(), stdout(&told), stderr(&told)), (Some(1), String::new(), why.clone()));
        }
    }
    assert!(!data.exists(), "nothing was made");

    std::fs::create_dir_all(data.join("spool")).unwrap();
    let told = run(&data, &["spool", "list"]);
    assert_eq!((told.status.code(), stdout(&told).as_str()), (Some(0), "the database has refused nothing\n"));
    let told = run(&data, &["spool", "retry", "--json"]);
    assert_eq!(serde_json::from_slice::<serde_json::Value>(&told.stdout).unwrap()["events"], 0);
}

#[test]
fn a_configuration_is_checked_with_all_its_problems() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("rollcall.toml");
    std::fs::write(&file, "[spool]\nmax_mb = 0\n[site]\ntime_zone = \"Mars\"\n").unwrap();
    let checked = run(dir.path(), &["config", "check", file.to_str().unwrap()]);
    assert_eq!(checked.status.code(), Some(1));
    let told = stderr(&checked);
    assert!(told.contains("spool.max_mb: 0 is out of bounds") && told.contains("site.time_zone:"), "{told}");
    assert!(told.contains("has 2 problems"), "{told}");

    let checked = run(dir.path(), &["config", "check", "--json", file.to_str().unwrap()]);
    let report: serde_json::Value = serde_json::from_slice(&checked.stdout).unwrap();
    assert_eq!((report["valid"].as_bool(), report["problems"].as_array().unwrap().len()), (Some(false), 2));
    assert_eq!(checked.status.code(), Some(1));
    assert_eq!(
        stderr(&checked),
        format!("error: {} has 2 problems\n", file.display()),
        "and so are programs, in a line"
    );

    let reference = concat!(env!("CARGO_MANIFEST_DIR"), "/configs/rollcall.toml");
    let checked = run(dir.path(), &["config", "check", reference]);
    assert_eq!(checked.status.code(), Some(0), "{}", stderr(&checked));
    assert!(stdout(&checked).ends_with("is valid: 1 camera, 1 room, 1 session\n"), "{}", stdout(&checked));
}

#[test]
fn overlapping_entries_of_a_timetable_are_found_by_the_check_too() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("rollcall.toml");
    let session = "[[rooms.sessions]]\nname = \"A\"\ndays = [\"mon\"]\nstart = \"08:00\"\nend = \"09:00\"\n";
    std::fs::write(&file, format!("[[rooms]]\nid = \"r\"\n{session}{session}")).unwrap();
    let checked = run(dir.path(), &["config", "check", file.to_str().unwrap()]);
    assert_eq!(checked.status.code(), Some(1), "the same session twice: {}", stdout(&checked));
}

#[test]
fn missing_models_say_how_to_get_them() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("rollcall.toml");
    std::fs::write(&file, "[models]\ndir = \"nothing\"\n").unwrap();
    let config = file.to_str().unwrap();
    let listed = run(dir.path(), &["models", "list", "--json", "--config", config]);
    let models: serde_json::Value = serde_json::from_slice(&listed.stdout).unwrap();
    assert!(models.as_array().unwrap().iter().any(|m| m["state"] == "missing"), "{models}");
    let verified = run(dir.path(), &["models", "verify", "--config", config]);
    assert_eq!(verified.status.code(), Some(1));
    std::fs::create_dir(dir.path().join("people")).unwrap();
    std::fs::write(dir.path().join("people/Ada.jpg"), b"x").unwrap();
    let people = dir.path().join("people");
    let enrolled = run(dir.path(), &["enroll", people.to_str().unwrap(), "--config", config]);
    assert_eq!(enrolled.status.code(), Some(1));
    assert!(stderr(&enrolled).contains("make setup"), "{}", stderr(&enrolled));
}

#[test]
fn default_models_are_verified() {
    let dir = tempfile::tempdir().unwrap();
    let verified = run(dir.path(), &["models", "verify"]);
    assert_eq!(verified.status.code(), Some(0), "{}", stderr(&verified));
}

#[test]
fn weights_that_nobody_knows_are_not_installed() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("weights.onnx");
    std::fs::write(&file, b"not a model").unwrap();
    let installed = run(dir.path(), &["models", "install", file.to_str().unwrap()]);
    assert_eq!(installed.status.code(), Some(1));
    assert!(!dir.path().join("models").exists());
}

#[test]
fn a_database_is_brought_up_to_date_once() {
    let dir = tempfile::tempdir().unwrap();
    let migrated = run(dir.path(), &["migrate"]);
    assert_eq!(migrated.status.code(), Some(0), "{}", stderr(&migrated));
    assert!(stdout(&migrated).ends_with(" migrations applied\n"), "{}", stdout(&migrated));
    let again = run(dir.path(), &["migrate"]);
    assert_eq!((again.status.code(), stdout(&again).as_str()), (Some(0), "the database is up to date\n"));
    let told = run(dir.path(), &["migrate", "--json"]);
    assert_eq!(serde_json::from_slice::<serde_json::Value>(&told.stdout).unwrap()["applied"], 0);
}

#[test]
fn completion_knows_the_commands() {
    let dir = tempfile::tempdir().unwrap();
    for shell in ["bash", "zsh", "fish"] {
        let script = stdout(&run(dir.path(), &["completion", shell]));
        assert!(script.contains("enroll") && script.contains("replay"), "{shell}");
    }
}
