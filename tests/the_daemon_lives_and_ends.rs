//! `rollcall run` from start to end: enrol, mark, reload, restart, and a database that is away.
#![allow(clippy::unwrap_used, reason = "tests")]

mod kit;

use std::cell::RefCell;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use kit::{Client, Daemon, PATIENCE, answer, demo_media, make_admin, message, people, run, stderr, zone_at_noon};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use rollcall_pipeline::SystemClock;
use rollcall_pipeline::supervisor::Supervisor;
use rollcall_store::Cluster;
use serde_json::Value;

const FRANCK: (&str, &[&str]) = ("Franck", &["franck_01829.jpg", "franck_02045.jpg", "franck_04117.jpg"]);

fn config(dir: &Path, more: &str) -> PathBuf {
    let path = dir.join("rollcall.toml");
    let video = demo_media("franck.mp4");
    let text = format!(
        "{more}\n[site]\ntime_zone = \"{}\"\n[[rooms]]\nid = \"hall\"\n\
         [[cameras]]\nid = \"door-1\"\nroom = \"hall\"\nstreams.detect = \"file:{}\"\nfile.realtime = false\n",
        zone_at_noon(),
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
    let recorded = daemon.wait_for(|line| is_decided(line, "recorded"));
    assert_eq!((&recorded["room"], &recorded["status"]), (&"hall".into(), &"present".into()), "{recorded}");
    assert_eq!(daemon.get("/health/live").0, 200);
    assert_eq!(Scrape::of(&daemon).value("rollcall_camera_up{camera=\"door-1\"}"), 1.0);
    let repeated = daemon.wait_for(|line| is_decided(line, "debounced"));
    assert_eq!(
        [&repeated["repeats"], &repeated["session"], &repeated["repeats_by"]],
        [&recorded["event"], &recorded["session"], &"session".into()],
        "{repeated}"
    );
    check_metrics_of_a_mark_and_a_repeat(&daemon);
    make_admin(&data, &config, "admin");
    let admin = Client::new(&daemon.address).log_in("admin");
    assert!(String::from_utf8_lossy(&admin.get("/api/v1/cameras").body).contains("\"door-1\""));
    assert!(daemon.terminate().success());

    let daemon = Daemon::start(&data, &config);
    let restored = daemon.wait_for(|line| message(line).starts_with("read back the marks"));
    assert_eq!(restored["marks"], 1, "the mark was committed before the daemon ended");
    daemon.wait_for(|line| is_decided(line, "debounced"));
    assert!(daemon.terminate().success());
}

/// What `/metrics` says at one moment.
struct Scrape(String);

impl Scrape {
    fn of(daemon: &Daemon) -> Self {
        Self(daemon.get("/metrics").1)
    }

    /// The values of a metric by their labels.
    fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = (&'a str, f64)> {
        self.0.lines().filter_map(move |line| {
            let (labels, value) = line.strip_prefix(name)?.rsplit_once(' ')?;
            (labels.is_empty() || labels.starts_with('{')).then(|| (labels, value.parse().unwrap()))
        })
    }

    /// One value, by name and labels.
    #[track_caller]
    fn value(&self, series: &str) -> f64 {
        let mut found = self.all(series);
        found.find(|(labels, _)| labels.is_empty()).unwrap_or_else(|| panic!("no {series} in\n{}", self.0)).1
    }

    /// Count and mean of a histogram.
    #[track_caller]
    fn histogram(&self, name: &str, labels: &str) -> (f64, f64) {
        let (count, sum) = (self.value(&format!("{name}_count{labels}")), self.value(&format!("{name}_sum{labels}")));
        (count, sum / count)
    }
}

const STAGES: [&str; 6] = ["detect", "track", "embed", "liveness", "match", "sink"];

/// Asks until the mark and the repeat are committed, which is a moment after they are decided, and every stage has told of it.
fn check_metrics_of_a_mark_and_a_repeat(daemon: &Daemon) {
    let metrics = answer("both are committed", || {
        let metrics = Scrape::of(daemon);
        let is_there = |series: &str, label: &str, least: f64| {
            metrics.all(series).any(|(labels, n)| labels.contains(&format!("\"{label}\"")) && n >= least)
        };
        let both = is_there("rollcall_sink_events_total", "committed", 2.0)
            && is_there("rollcall_event_end_to_end_seconds_count", "recorded", 1.0)
            && STAGES.iter().all(|stage| is_there("rollcall_stage_duration_seconds_count", stage, 1.0))
            && metrics.value("rollcall_spool_depth") == 0.0;
        both.then_some(metrics)
    });
    let at_door = |name: &str, more: &str| metrics.value(&format!("{name}{{camera=\"door-1\"{more}}}"));
    let patience = PATIENCE.as_secs_f64();

    assert!((0.0..patience).contains(&at_door("rollcall_camera_frame_age_seconds", "")));
    let received = at_door("rollcall_camera_frames_received_total", "");
    let analysed = at_door("rollcall_camera_frames_analysed_total", "");
    let evicted = at_door("rollcall_camera_frames_evicted_total", ",reason=\"full\"");
    assert!(analysed > 0.0 && received > 0.0 && evicted >= 0.0, "{received} {analysed} {evicted}");
    assert!(at_door("rollcall_faces_detected_total", "") > 0.0);

    for stage in STAGES {
        let stage = format!("{{stage=\"{stage}\"}}");
        let (batches, worked) = metrics.histogram("rollcall_stage_duration_seconds", &stage);
        let (_, blocked) = metrics.histogram("rollcall_stage_blocked_seconds", &stage);
        assert!(batches > 0.0 && worked > 0.0 && worked < patience && blocked >= 0.0, "{stage}: {worked} {blocked}");
    }
    let edges: Vec<_> = metrics.all("rollcall_stage_queue_capacity").collect();
    assert_eq!(edges.len(), 6, "{edges:?}");
    for (edge, capacity) in edges {
        let depth = metrics.value(&format!("rollcall_stage_queue_depth{edge}"));
        assert!(capacity >= 1.0 && (0.0..=capacity).contains(&depth), "{edge}: {depth} of {capacity}");
    }

    let (decisions, similarity) = metrics.histogram("rollcall_match_score", "{outcome=\"best\"}");
    assert!(decisions >= 2.0 && similarity > 0.5 && similarity <= 1.0, "{decisions} {similarity}");
    assert!(at_door("rollcall_match_decisions_total", ",outcome=\"identified\"") >= 2.0);
    let (shots, live) = metrics.histogram("rollcall_liveness_score", "");
    assert!(shots >= 2.0 && live > 0.5 && live <= 1.0, "{shots} {live}");

    assert_eq!(at_door("rollcall_attendance_events_total", ",outcome=\"recorded\""), 1.0);
    assert_eq!(at_door("rollcall_attendance_marked_total", ",outcome=\"present\""), 1.0);
    assert!(at_door("rollcall_duplicates_blocked_total", "") >= 1.0);
    let (committed, latency) = metrics.histogram("rollcall_event_end_to_end_seconds", "{outcome=\"recorded\"}");
    assert!(committed >= 1.0 && latency > 0.0 && latency < patience, "{committed} {latency}");
    assert!(metrics.histogram("rollcall_db_write_seconds", "").0 >= 1.0);
    for empty in ["depth", "bytes", "oldest_seconds", "rejected"].map(|of| format!("rollcall_spool_{of}")) {
        assert_eq!(metrics.value(&empty), 0.0, "{empty}");
    }
    assert!(metrics.value("rollcall_spool_capacity_bytes") > 1e6);
    assert_eq!(metrics.value(&format!("rollcall_build_info{{version=\"{}\"}}", env!("CARGO_PKG_VERSION"))), 1.0);
    assert_eq!(metrics.value("rollcall_gallery_persons"), 1.0);
    assert_eq!(metrics.value("rollcall_gallery_templates"), 3.0);
}

/// The log up to the line that is wished.
#[track_caller]
fn log_until(daemon: &Daemon, wished: impl Fn(&Value) -> bool) -> String {
    let log = RefCell::new(String::new());
    daemon.wait_for(|line| {
        log.borrow_mut().push_str(&line.to_string());
        wished(line)
    });
    log.into_inner()
}

#[test]
fn a_name_stands_in_the_log_only_where_that_is_wished() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let people = people(dir.path(), &[FRANCK]);
    assert!(run(&data, &["enroll", people.to_str().unwrap()]).status.success());
    let config = config(dir.path(), "");
    let room = fs::read_to_string(&config).unwrap();
    fs::write(&config, room.replace("id = \"hall\"", "id = \"hall\"\nexpected = [\"Franck\", \"Ada Stranger\"]"))
        .unwrap();

    let daemon = Daemon::start(&data, &config);
    let log = log_until(&daemon, |line| is_decided(line, "recorded"));
    assert!(log.contains("on a roster, but not enrolled under that name"), "{log}");
    assert!(!log.contains("Franck") && !log.contains("Stranger"), "{log}");
    assert!(daemon.terminate().success());

    let daemon = Daemon::start_with(&data, &config, &[("ROLLCALL__LOG__NAMES", "true")]);
    let log = log_until(&daemon, |line| is_decided(line, "debounced"));
    assert!(log.contains("Franck") && log.contains("Ada Stranger"), "{log}");
    assert!(daemon.terminate().success());
}

/// A process that does nothing until this is dropped.
struct Frozen(Pid);

impl Frozen {
    fn new(pid: Pid) -> Self {
        kill(pid, Signal::SIGSTOP).unwrap();
        Self(pid)
    }
}

impl Drop for Frozen {
    fn drop(&mut self) {
        // It may have ended after all.
        kill(self.0, Signal::SIGCONT).unwrap_or_default();
    }
}

#[test]
fn a_second_signal_ends_it_at_once_whatever_it_waits_for() {
    let dir = tempfile::tempdir().unwrap();
    let (data, config) = (dir.path().join("data"), dir.path().join("rollcall.toml"));
    fs::write(&config, "").unwrap();
    let daemon = Daemon::start(&data, &config);
    let postmaster = fs::read_to_string(data.join("postgres/data/postmaster.pid")).unwrap();
    // Its end is waited for, and it does not come.
    let _frozen = Frozen::new(Pid::from_raw(postmaster.lines().next().unwrap().parse().unwrap()));
    daemon.signal(Signal::SIGTERM);
    daemon.wait_for(|line| message(line) == "shutting down");
    daemon.signal(Signal::SIGTERM);
    daemon.wait_for(|line| message(line).starts_with("a second signal: ending at once"));
    assert_eq!(daemon.ended().code(), Some(130));
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
    let data = dir.path().join("data");
    let people = people(dir.path(), &[FRANCK]);
    assert!(run(&data, &["enroll", people.to_str().unwrap()]).status.success());
    // The daemon is told where it is, but does not run it. It does not run yet.
    let start = || Cluster::start(&data, &Supervisor::new(Arc::new(SystemClock))).unwrap();
    let socket = start().connect_options().get_socket().unwrap().clone();
    let url = format!("postgres:///rollcall?host={}&user=rollcall&password=hunter2", socket.display());
    let config = config(dir.path(), &format!("[database]\nurl = \"{url}\""));
    let daemon = Daemon::start(&data, &config);
    let told = daemon.wait_for(|line| message(line).starts_with("the database is away"));
    assert!(!told.to_string().contains("hunter2"), "{told}");
    let (status, body) = daemon.get("/health/ready");
    let body: Value = serde_json::from_str(&body).unwrap();
    assert_eq!((status, &body["database"]["ready"], &body["lane"]["ready"]), (503, &false.into(), &true.into()));
    let metrics = Scrape::of(&daemon);
    let ready = |part: &str| metrics.value(&format!("rollcall_ready{{part=\"{part}\"}}"));
    assert_eq!(["database", "models", "lane"].map(ready), [0.0, 1.0, 1.0], "who watches metrics alone is told, too");
    let decoded = metrics.all("rollcall_camera_frames_decoded_total").map(|(_, frames)| frames).sum::<f64>();
    assert_eq!(decoded, 0.0, "everybody would be a stranger");
    // It comes: the camera opens, and who is enrolled is recorded.
    let _cluster = start();
    daemon.wait_for(|line| is_decided(line, "recorded"));
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
