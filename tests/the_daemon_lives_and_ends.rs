//! `rollcall run` from start to end: enrol, mark, reload, restart, and a database that is away.
#![allow(clippy::unwrap_used, reason = "tests")]

mod kit;

use std::fs;
use std::path::{Path, PathBuf};

use kit::{Client, Daemon, demo_media, make_admin, message, people, run, stderr};
use nix::sys::signal::Signal;
use serde_json::Value;

const FRANCK: (&str, &[&str]) = ("Franck", &["franck_01829.jpg", "franck_02045.jpg", "franck_04117.jpg"]);

fn config(dir: &Path, more: &str) -> PathBuf {
    let path = dir.join("rollcall.toml");
    let video = demo_media("franck.mp4");
    let text = format!(
        "{more}\n[[rooms]]\nid = \"hall\"\n[[cameras]]\nid = \"door-1\"\nroom = \"hall\"\n\
         streams.detect = \"file:{}\"\nfile.realtime = false\n",
        video.display()
    );
    fs::write(&path, text).unwrap();
    path
}

fn is_decided(line: &Value, kind: &str) -> bool {
    line["kind"] == kind && message(line) == "decided"
}

#[test]
fn a_person_is_marked_once_also_across_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let people = people(dir.path(), &[FRANCK]);
    let enrolled = run(&data, &["enroll", people.to_str().unwrap(), "--json"]);
    assert_eq!(enrolled.status.code(), Some(0), "{}", stderr(&enrolled));
    let report: Value = serde_json::from_slice(&enrolled.stdout).unwrap();
    assert_eq!((report["enrolled"].as_u64(), report["known"].as_u64()), (Some(3), Some(0)));
    let again = run(&data, &["enroll", people.to_str().unwrap(), "--json"]);
    let report: Value = serde_json::from_slice(&again.stdout).unwrap();
    assert_eq!((report["enrolled"].as_u64(), report["known"].as_u64()), (Some(0), Some(3)), "idempotent");

    let config = config(dir.path(), "");
    let daemon = Daemon::start(&data, &config);
    daemon.wait_for(|line| is_decided(line, "recorded"));
    assert_eq!(daemon.get("/health/live").0, 200);
    make_admin(&data, &config, "admin");
    let admin = Client::new(&daemon.address).log_in("admin");
    assert!(String::from_utf8_lossy(&admin.get("/api/v1/cameras").body).contains("\"door-1\""));
    assert!(daemon.get("/metrics").1.contains("rollcall_gallery_persons 1"));
    assert!(daemon.terminate().success());

    let daemon = Daemon::start(&data, &config);
    let restored = daemon.wait_for(|line| message(line).starts_with("read back the marks"));
    assert_eq!(restored["marks"], 1, "the mark was committed before the daemon ended");
    daemon.wait_for(|line| is_decided(line, "debounced"));
    assert!(daemon.terminate().success());
}

#[test]
fn a_bad_reload_changes_nothing_and_a_good_one_touches_what_changed() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let path = config(dir.path(), "");
    let daemon = Daemon::start(&data, &path);
    daemon.wait_for(|line| message(line) == "live");

    let good = fs::read_to_string(&path).unwrap();
    fs::write(&path, format!("{good}colour = 1\nanalysis_fps = 99\n")).unwrap();
    daemon.signal(Signal::SIGHUP);
    let told = daemon.wait_for(|line| message(line).starts_with("the configuration stays as it is"));
    assert!(message(&told).contains("cameras[0].colour") && message(&told).contains("analysis_fps"), "{told}");

    let second = good[good.find("[[cameras]]").unwrap()..].replace("door-1", "door-2");
    fs::write(&path, format!("[spool]\nmax_mb = 9\n{good}analysis_fps = 2\n{second}")).unwrap();
    daemon.signal(Signal::SIGHUP);
    let told = daemon.wait_for(|line| message(line).starts_with("changed, but in force only after a restart"));
    assert_eq!(told["sections"], "spool");
    let done = daemon.wait_for(|line| message(line) == "configuration reloaded");
    assert_eq!((&done["added"], &done["retuned"], &done["restarted"]), (&1.into(), &1.into(), &0.into()));
    make_admin(&data, &path, "admin");
    let admin = Client::new(&daemon.address).log_in("admin");
    assert!(String::from_utf8_lossy(&admin.get("/api/v1/cameras/door-2").body).contains("hall"));
    // Compared with what it was started with, not with the last reload.
    daemon.signal(Signal::SIGHUP);
    let told = daemon.wait_for(|line| message(line).starts_with("changed, but in force only after a restart"));
    assert_eq!(told["sections"], "spool");
    assert!(daemon.terminate().success());
}

#[test]
fn a_database_that_is_away_is_waited_for_and_told() {
    let dir = tempfile::tempdir().unwrap();
    // Nothing listens there.
    let config = config(dir.path(), "[database]\nurl = \"postgres://rollcall:hunter2@127.0.0.1:1/rollcall\"");
    let daemon = Daemon::start(&dir.path().join("data"), &config);
    let told = daemon.wait_for(|line| message(line).starts_with("the database is away"));
    assert!(!told.to_string().contains("hunter2"), "{told}");
    let (status, body) = daemon.get("/health/ready");
    let body: Value = serde_json::from_str(&body).unwrap();
    assert_eq!((status, &body["database"]["ready"], &body["lane"]["ready"]), (503, &false.into(), &true.into()));
    assert!(daemon.terminate().success());
}

#[test]
fn what_cannot_start_says_why() {
    let dir = tempfile::tempdir().unwrap();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let config = config(dir.path(), &format!("[server]\nlisten = \"{address}\""));
    let ended = run(&dir.path().join("data"), &["run", "--config", config.to_str().unwrap()]);
    assert_eq!(ended.status.code(), Some(1));
    assert!(stderr(&ended).contains("change server.listen"), "{}", stderr(&ended));
}
