//! A lane whose stages behave: everything arrives, in order, between its markers, and nothing waits where there is no room.
#![allow(clippy::unwrap_used, reason = "helpers of tests are tests")]

mod support;

use rollcall_pipeline::{CloseReason, MuxMode, MuxStats};
use support::{Plan, What, camera, frame, gate};

const STAGES: [&str; 5] = ["detect", "track", "embed", "liveness", "match"];

#[test]
fn a_recording_arrives_whole_and_in_order_between_its_markers() {
    const FRAMES: u64 = 100;
    let rig = Plan { mode: MuxMode::Block, ..Plan::default() }.start();
    std::thread::scope(|s| {
        for n in 0..3 {
            let mux = &rig.mux;
            s.spawn(move || {
                let door = mux.open(&camera(n)).unwrap();
                (0..FRAMES).for_each(|seq| door.push(frame(seq)).unwrap());
                door.close(CloseReason::Ended);
            });
        }
    });
    let mux = rig.mux.clone();
    let (ended, events, seen) = rig.finish();
    assert_eq!(ended, Ok(()));
    assert_eq!(mux.stats(), MuxStats { received: 3 * FRAMES, analysed: 3 * FRAMES, ..MuxStats::default() });
    for n in 0..3 {
        assert_eq!(events[&camera(n)], (0..FRAMES).collect::<Vec<_>>());
        for stage in STAGES {
            let met: Vec<_> =
                seen.iter().filter(|s| s.stage == stage && s.key.camera == camera(n)).map(|s| s.what).collect();
            let expected = [What::Open].into_iter().chain((0..FRAMES).map(What::Item)).chain([What::Close]);
            assert_eq!(met, expected.collect::<Vec<_>>(), "{stage}");
        }
    }
}

/// `track` holds one frame, its edge two, `detect` one that it cannot hand on, the ring two: what is more is evicted.
#[test]
fn a_stage_that_waits_fills_the_edges_to_their_capacity_and_no_further() {
    let (open, wait) = gate();
    let mut rig = Plan::hook(move |seen| {
        if seen.stage == "track" && seen.what == What::Item(0) {
            wait();
        }
        Ok(())
    })
    .start();
    let door = rig.mux.open(&camera(1)).unwrap();
    door.push(frame(0)).unwrap();
    rig.wait_item("track", 0);
    for seq in 1..4 {
        door.push(frame(seq)).unwrap();
        rig.wait_item("detect", seq);
    }
    (4..10).for_each(|seq| door.push(frame(seq)).unwrap());
    let stats = rig.lane.stats();
    let expected = MuxStats { received: 10, evicted: 4, queued: 2, in_flight: 1, analysed: 3, lost: 0 };
    assert_eq!(stats.frames, expected);
    assert_eq!(stats.edges[0].capacity, 2);
    open.send(()).unwrap();
    door.close(CloseReason::Stopped);
    let (ended, events, _) = rig.finish();
    assert_eq!(ended, Ok(()));
    assert_eq!(events[&camera(1)], [0, 1, 2, 3, 8, 9]);
}
