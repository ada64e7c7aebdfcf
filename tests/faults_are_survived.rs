//! The fault matrix in short: the daemon killed and ended, PostgreSQL killed, a spool that rots, a camera that flaps, a model
//! that panics; the rows are held against what the cameras showed. `make faults` does all of it, for longer.
#![allow(clippy::unwrap_used, reason = "tests")]

mod kit;

use std::path::Path;
use std::sync::LazyLock;
use std::time::Duration;

use rollcall_faults::{Matrix, Options, find};

/// Enrols and encodes once for all.
static MATRIX: LazyLock<Matrix> = LazyLock::new(|| {
    Matrix::prepare(Options {
        program: env!("CARGO_BIN_EXE_rollcall").into(),
        patience: kit::PATIENCE,
        hold: Duration::from_secs(1),
        kills: 2,
        flaps: 2,
        seed: 4,
        more_cameras: 0,
        soak: Duration::ZERO,
        keep: Path::new(env!("CARGO_TARGET_TMPDIR")).join("faults"),
    })
    .unwrap()
});

#[track_caller]
fn check(name: &str) {
    let outcome = MATRIX.run(find(name).unwrap());
    assert!(outcome.passed, "{}", outcome.text());
}

#[test]
fn a_daemon_that_is_killed_loses_nothing() {
    check("daemon-killed");
}

#[test]
fn a_daemon_that_is_killed_while_the_database_is_away_loses_nothing() {
    check("daemon-killed-while-spooling");
}

#[test]
fn a_daemon_that_is_ended_loses_nothing() {
    check("daemon-sigterm");
}

#[test]
fn a_database_that_is_killed_costs_nothing() {
    check("database-killed");
}

#[test]
fn a_record_that_rots_on_the_disk_is_the_only_one_lost() {
    check("spool-corrupted");
}

#[test]
fn a_camera_that_flaps_is_back_soon() {
    check("camera-flaps");
}

#[test]
fn a_model_that_panics_takes_only_the_lane_with_it() {
    check("model-panics");
}
