//! The end of a lane: what was accepted arrives; what hangs is named.
#![allow(clippy::unwrap_used, reason = "helpers of tests are tests")]

mod support;

use std::time::Duration;

use rollcall_pipeline::{Activity, CloseReason, ErrorClass, Fault, LaneError, LaneState, MuxError, MuxMode};
use support::{PATIENCE, Plan, What, camera, frame, gate};

#[test]
fn everything_that_waits_anywhere_arrives() {
    let (open, wait) = gate();
    let hook = move |seen: &support::Seen| {
        if seen.stage == "liveness" && seen.what == What::Item(0) {
            wait();
        }
        Ok(())
    };
    let mut rig = Plan { mode: MuxMode::Block, capacity: 8, ..Plan::hook(hook) }.start();
    let door = rig.mux.open(&camera(1)).unwrap();
    door.push(frame(0)).unwrap();
    rig.wait_item("liveness", 0);
    (1..30).for_each(|seq| door.push(frame(seq)).unwrap());
    // The camera does not even say that it ends.
    rig.mux.close();
    assert_eq!(door.push(frame(30)), Err(MuxError::Closed));
    open.send(()).unwrap();
    let (ended, events, seen) = rig.finish();
    assert_eq!(ended, Ok(()));
    assert_eq!(events[&camera(1)], (0..30).collect::<Vec<_>>());
    assert_eq!(seen.iter().filter(|s| s.what == What::Close).count(), 5, "each stage closes the stream once");
}

#[test]
fn a_lane_that_saw_nothing_ends() {
    let rig = Plan::default().start();
    assert!(rig.lane.shutdown(PATIENCE).is_ok());
    assert_eq!(rig.lane.state(), LaneState::Ended);
    assert_eq!(rig.lane.wait(), Ok(()));
}

#[test]
fn threads_end_when_the_lane_is_dropped() {
    let rig = Plan::default().start();
    let door = rig.mux.open(&camera(1)).unwrap();
    drop(rig.lane);
    assert_eq!(rig.supervisor.join_all(PATIENCE), Ok(()));
    assert_eq!(door.push(frame(0)), Err(MuxError::Closed));
}

#[test]
fn what_remains_at_the_deadline_is_named() {
    let (open, wait) = gate();
    let mut rig = Plan::hook(move |seen| {
        if seen.stage == "match" && seen.what == What::Item(0) {
            wait();
        }
        Ok(())
    })
    .start();
    let door = rig.mux.open(&camera(1)).unwrap();
    door.push(frame(0)).unwrap();
    rig.wait_item("match", 0);
    door.close(CloseReason::Stopped);
    rig.wait(|s| s.stage == "liveness" && s.what == What::Close);
    let Err(LaneError::Deadline { remaining }) = rig.lane.shutdown(Duration::ZERO) else { panic!("it cannot be done") };
    assert!(remaining.contains(&"stage match".to_owned()), "{remaining:?}");
    assert!(remaining.contains(&"stage sink".to_owned()), "{remaining:?}");
    open.send(()).unwrap();
    assert_eq!(rig.finish().0, Ok(()), "the deadline is that of one call, not of the lane");
}

#[test]
fn a_failure_while_draining_is_told() {
    let (open, wait) = gate();
    let mut rig = Plan::hook(move |seen| {
        if seen.stage == "embed" && seen.what == What::Item(0) {
            wait();
            return Err(Fault::new(ErrorClass::Transient, "the model gave up"));
        }
        Ok(())
    })
    .start();
    let door = rig.mux.open(&camera(1)).unwrap();
    door.push(frame(0)).unwrap();
    rig.wait_item("embed", 0);
    rig.mux.close();
    open.send(()).unwrap();
    let failed = LaneError::Draining { stage: "embed", message: "the model gave up".to_owned() };
    assert_eq!(rig.finish().0, Err(failed));
}

#[test]
fn a_stage_that_hangs_is_named() {
    let (open, wait) = gate();
    let mut rig = Plan::hook(move |seen| {
        if seen.stage == "embed" && seen.what == What::Item(0) {
            wait();
        }
        Ok(())
    })
    .start();
    let door = rig.mux.open(&camera(1)).unwrap();
    // Nothing is on its way any more to the stages behind: one that just got something would seem to hang, too.
    rig.wait(|s| s.stage == "match" && s.what == What::Open);
    door.push(frame(0)).unwrap();
    rig.wait_item("embed", 0);
    rig.advance(Duration::from_secs(31), &["lane-embed"]);
    let stuck = LaneError::Stuck { stage: "embed", since: Duration::from_secs(31) };
    assert_eq!(rig.lane.wait(), Err(stuck.clone()));
    assert_eq!(door.push(frame(1)), Err(MuxError::Closed), "no camera waits for a lane that hangs");
    open.send(()).unwrap();
    assert_eq!(rig.finish().0, Err(stuck));
}

#[test]
fn who_waits_for_room_does_not_hang() {
    let (open, wait) = gate();
    let hook = move |seen: &support::Seen| {
        if seen.stage == "sink" && seen.what == What::Item(0) {
            wait();
        }
        Ok(())
    };
    let mut rig = Plan { mode: MuxMode::Block, ..Plan::hook(hook) }.start();
    let door = rig.mux.open(&camera(1)).unwrap();
    door.push(frame(0)).unwrap();
    rig.wait_item("sink", 0);
    // As many events as the sink's queue holds, and one that the match stage cannot hand on.
    let room = rig.lane.stats().edges[4].capacity as u64;
    for seq in 1..=room + 1 {
        door.push(frame(seq)).unwrap();
        rig.wait_item("match", seq);
    }
    let matching =
        |rig: &support::Rig| rig.supervisor.threads().into_iter().find(|t| &*t.name == "lane-match").unwrap();
    while matching(&rig).activity != Activity::Blocked {
        std::thread::yield_now();
    }
    rig.advance(Duration::from_secs(3600), &["lane-sink"]);
    assert_eq!(matching(&rig).activity, Activity::Blocked);
    assert_eq!(rig.lane.state(), LaneState::Running);
    open.send(()).unwrap();
    door.close(CloseReason::Ended);
    let (ended, events, _) = rig.finish();
    assert_eq!(ended, Ok(()));
    assert_eq!(events[&camera(1)].len() as u64, room + 2);
}
