//! A stage that panics or fails takes its generation down; the next one starts from nothing, and the sink loses nothing.
#![allow(clippy::unwrap_used, reason = "helpers of tests are tests")]

mod support;

use std::collections::BTreeMap;
use std::time::Duration;

use rollcall_pipeline::{CloseReason, ErrorClass, Fault, LaneError, LaneState};
use support::{Plan, Rig, Seen, What, camera, frame};

const STAGES: [&str; 5] = ["detect", "track", "embed", "liveness", "match"];

fn panics_at(stage: &'static str, seq: u64) -> Plan {
    Plan::hook(move |seen| {
        assert!(seen.stage != stage || seen.what != What::Item(seq), "a panic that the test wants");
        Ok(())
    })
}

/// Waits until a generation of the lane has opened the stream at every stage.
fn wait_open(rig: &mut Rig, generation: u64) -> Seen {
    rig.wait(|s| s.generation == generation && s.stage == "match" && s.what == What::Open)
}

fn check_restart_after_a_panic_in(stage: &'static str) {
    let mut rig = panics_at(stage, 2).start();
    let door = rig.mux.open(&camera(1)).unwrap();
    let first = wait_open(&mut rig, 1).key;
    for seq in 0..2 {
        door.push(frame(seq)).unwrap();
        rig.wait_item("sink", seq);
    }
    door.push(frame(2)).unwrap();
    let second = wait_open(&mut rig, 2).key;
    door.push(frame(3)).unwrap();
    rig.wait_item("sink", 3);
    assert!(second.epoch > first.epoch, "track numbers begin anew, so the epoch has to");
    assert_eq!(rig.lane.stats().restarts, 1);
    assert_eq!(rig.lane.state(), LaneState::Running);
    door.close(CloseReason::Stopped);
    let (ended, events, seen) = rig.finish();
    assert_eq!(ended, Ok(()));
    assert_eq!(events[&camera(1)], [0, 1, 3], "{stage}");
    for name in STAGES {
        let opened = |generation, key, what| {
            seen.iter()
                .filter(|s| s.stage == name && s.generation == generation && s.key == key && s.what == what)
                .count()
        };
        // The stage that died is dropped as it is; all others close what they saw open.
        assert_eq!(opened(1, first.clone(), What::Close), usize::from(name != stage), "{name} when {stage} died");
        assert_eq!(opened(2, second.clone(), What::Close), 1, "{name} when {stage} died");
        assert!(!seen.iter().any(|s| s.generation == 2 && s.key == first), "{name} met what was before");
    }
}

#[test]
fn a_panic_in_any_stage_restarts_all_of_them() {
    STAGES.into_iter().for_each(check_restart_after_a_panic_in);
}

#[test]
fn a_frame_that_kills_the_detector_counts_as_lost() {
    let mut rig = panics_at("detect", 0).start();
    let door = rig.mux.open(&camera(1)).unwrap();
    wait_open(&mut rig, 1);
    door.push(frame(0)).unwrap();
    wait_open(&mut rig, 2);
    let frames = rig.lane.stats().frames;
    assert_eq!((frames.received, frames.lost, frames.analysed), (1, 1, 0));
    drop(door);
    assert_eq!(rig.finish().0, Ok(()));
}

#[test]
fn every_camera_begins_anew_and_none_is_closed() {
    let mut rig = panics_at("embed", 0).start();
    let doors: Vec<_> = (0..3).map(|n| rig.mux.open(&camera(n)).unwrap()).collect();
    (0..3).for_each(|_| drop(wait_open(&mut rig, 1)));
    doors[1].push(frame(0)).unwrap();
    (0..3).for_each(|_| drop(wait_open(&mut rig, 2)));
    for (seq, door) in doors.iter().enumerate() {
        door.push(frame(seq as u64 + 1)).unwrap();
        rig.wait_item("sink", seq as u64 + 1);
    }
    drop(doors);
    let (ended, events, _) = rig.finish();
    assert_eq!(ended, Ok(()));
    assert_eq!(events, BTreeMap::from([(camera(0), vec![1]), (camera(1), vec![2]), (camera(2), vec![3])]));
}

#[test]
fn what_the_match_stage_sent_survives_its_death() {
    // The sink waits with the first event in hand while the match stage sends three more and dies.
    let (open, wait) = support::gate();
    let mut rig = Plan::hook(move |seen| {
        if seen.stage == "sink" && seen.what == What::Item(0) {
            wait();
        }
        assert!(seen.stage != "match" || seen.what != What::Item(4), "a panic that the test wants");
        Ok(())
    })
    .start();
    let door = rig.mux.open(&camera(1)).unwrap();
    for seq in 0..5 {
        door.push(frame(seq)).unwrap();
        rig.wait_item("match", seq);
    }
    wait_open(&mut rig, 2);
    open.send(()).unwrap();
    door.close(CloseReason::Stopped);
    let (ended, events, _) = rig.finish();
    assert_eq!(ended, Ok(()));
    assert_eq!(events[&camera(1)], [0, 1, 2, 3]);
}

fn always_fails() -> Plan {
    Plan::hook(|seen| match (seen.stage, seen.what) {
        ("embed", What::Item(_)) => Err(Fault::new(ErrorClass::Transient, "the model gave up")),
        _ => Ok(()),
    })
}

#[test]
fn five_restarts_in_ten_minutes_are_enough() {
    let mut rig = always_fails().start();
    let door = rig.mux.open(&camera(1)).unwrap();
    for generation in 1..=6 {
        wait_open(&mut rig, generation);
        door.push(frame(generation)).unwrap();
    }
    let gave_up = LaneError::GaveUp { stage: "embed", restarts: 5, message: "the model gave up".to_owned() };
    assert_eq!(rig.lane.wait(), Err(gave_up.clone()));
    assert_eq!(rig.lane.stats().restarts, 5);
    drop(door);
    assert_eq!(rig.finish().0, Err(gave_up));
}

#[test]
fn restarts_longer_ago_are_forgotten() {
    let mut rig = always_fails().start();
    let door = rig.mux.open(&camera(1)).unwrap();
    for generation in 1..=12 {
        wait_open(&mut rig, generation);
        rig.advance(Duration::from_secs(121), &[]);
        door.push(frame(generation)).unwrap();
    }
    wait_open(&mut rig, 13);
    assert_eq!(rig.lane.state(), LaneState::Running);
    drop(door);
    assert_eq!(rig.finish().0, Ok(()));
}

#[test]
fn stages_that_cannot_be_built_again_use_the_restarts_up() {
    let mut plan = always_fails();
    plan.build = Box::new(|generation| match generation {
        1 => Ok(()),
        2 => panic!("a panic that the test wants"),
        _ => Err(Fault::new(ErrorClass::Transient, "out of memory")),
    });
    gives_up(plan, 5, "out of memory");
}

#[test]
fn stages_that_will_never_be_built_again_are_not_tried_again() {
    let mut plan = always_fails();
    plan.build = Box::new(|generation| match generation {
        1 => Ok(()),
        _ => Err(Fault::new(ErrorClass::Permanent, "no such model")),
    });
    gives_up(plan, 1, "no such model");
}

#[track_caller]
fn gives_up(plan: Plan, restarts: usize, message: &str) {
    let rig = plan.start();
    let door = rig.mux.open(&camera(1)).unwrap();
    door.push(frame(0)).unwrap();
    let gave_up = LaneError::GaveUp { stage: "lane", restarts, message: message.to_owned() };
    assert_eq!(rig.lane.wait(), Err(gave_up.clone()));
    drop(door);
    assert_eq!(rig.finish().0, Err(gave_up));
}

#[test]
fn stages_that_cannot_be_built_at_start_start_nothing() {
    let plan = Plan { build: Box::new(|_| Err(Fault::new(ErrorClass::Permanent, "no such model"))), ..Plan::default() };
    assert_eq!(plan.try_start().err(), Some(LaneError::Build("no such model".to_owned())));
}

#[test]
fn a_recording_is_not_restarted() {
    let mut plan = panics_at("track", 1);
    plan.max_restarts = 0;
    let rig = plan.start();
    let door = rig.mux.open(&camera(1)).unwrap();
    door.push(frame(1)).unwrap();
    let error = rig.lane.wait().unwrap_err();
    assert!(matches!(error, LaneError::GaveUp { stage: "track", restarts: 0, .. }), "{error}");
    drop(door);
    assert_eq!(rig.finish().0, Err(error));
}

#[test]
fn a_sink_that_fails_ends_the_lane() {
    let rig = Plan::hook(|seen| match seen.stage {
        "sink" => Err(Fault::new(ErrorClass::Permanent, "the spool cannot be written")),
        _ => Ok(()),
    })
    .start();
    let door = rig.mux.open(&camera(1)).unwrap();
    door.push(frame(0)).unwrap();
    let failed = LaneError::Sink("the spool cannot be written".to_owned());
    assert_eq!(rig.lane.wait(), Err(failed.clone()));
    assert!(rig.mux.is_closed(), "cameras learn that there is nobody to push to");
    drop(door);
    assert_eq!(rig.finish().0, Err(failed));
}
