//! The mux: `received = evicted + queued + in_flight + analysed + lost`, order within a camera, and every marker in its place.
#![allow(clippy::unwrap_used, reason = "helpers of tests are tests")]

mod support;

use std::collections::VecDeque;

use proptest::prelude::*;
use rollcall_pipeline::stage::{Received, Source};
use rollcall_pipeline::{
    BatchPolicy, CloseReason, Frame, FrameMux, MuxError, MuxMode, MuxReceiver, MuxSender, MuxStats, StreamKey,
};
use support::{camera, capacity, frame};

fn mux(mode: MuxMode, frames: usize) -> FrameMux {
    FrameMux::new(mode, capacity(frames))
}

/// What was received, in words that can be compared: camera and number of each frame.
fn words(received: Option<Received<Frame>>) -> String {
    match received {
        None => "end".to_owned(),
        Some(Received::Open(key)) => format!("open {}", key.camera),
        Some(Received::Close(key, reason)) => format!("close {} {reason:?}", key.camera),
        Some(Received::Batch(frames)) => {
            frames.iter().map(|f| format!("{}#{}", f.key.camera, f.seq)).collect::<Vec<_>>().join(" ")
        }
    }
}

fn check(receiver: &mut MuxReceiver, max_items: usize, expected: &str) {
    assert_eq!(words(receiver.recv(BatchPolicy::up_to(max_items))), expected);
}

fn push(sender: &MuxSender, seqs: impl IntoIterator<Item = u64>) {
    seqs.into_iter().for_each(|seq| sender.push(frame(seq)).unwrap());
}

#[test]
fn a_full_ring_gives_up_its_oldest_frames() {
    let mux = mux(MuxMode::Evict, 2);
    let mut lane = mux.attach();
    let door = mux.open(&camera(1)).unwrap();
    push(&door, 0..5);
    assert_eq!(mux.stats(), MuxStats { received: 5, evicted: 3, queued: 2, ..MuxStats::default() });
    check(&mut lane, 8, "open door-1");
    check(&mut lane, 8, "door-1#3 door-1#4");
    assert_eq!(mux.stats(), MuxStats { received: 5, evicted: 3, in_flight: 2, ..MuxStats::default() });
    door.close(CloseReason::Ended);
    check(&mut lane, 8, "close door-1 Ended");
    assert_eq!(mux.stats(), MuxStats { received: 5, evicted: 3, analysed: 2, ..MuxStats::default() });
}

#[test]
fn cameras_take_turns_and_a_marker_ends_a_batch() {
    let mux = mux(MuxMode::Evict, 4);
    let mut lane = mux.attach();
    let [a, b] = [1, 2].map(|n| mux.open(&camera(n)).unwrap());
    check(&mut lane, 8, "open door-1");
    check(&mut lane, 8, "open door-2");
    push(&a, 0..4);
    push(&b, 0..2);
    check(&mut lane, 3, "door-2#0 door-1#0 door-2#1");
    b.close(CloseReason::Lost);
    check(&mut lane, 8, "door-1#1");
    check(&mut lane, 8, "close door-2 Lost");
    check(&mut lane, 8, "door-1#2 door-1#3");
}

#[test]
fn a_camera_that_comes_and_goes_unseen_leaves_nothing() {
    let mux = mux(MuxMode::Evict, 1);
    let mut lane = mux.attach();
    for _ in 0..100 {
        mux.open(&camera(1)).unwrap().close(CloseReason::Lost);
    }
    assert_eq!(lane.depth(), 0);
    for seq in 0..100 {
        push(&mux.open(&camera(1)).unwrap(), [seq]);
    }
    assert_eq!(lane.depth(), 3, "one frame with its markers");
    check(&mut lane, 8, "open door-1");
    check(&mut lane, 8, "door-1#99");
    check(&mut lane, 8, "close door-1 Lost");
    assert_eq!(mux.stats(), MuxStats { received: 100, evicted: 99, in_flight: 0, analysed: 1, ..MuxStats::default() });
}

#[test]
fn a_stream_is_closed_when_its_camera_panics() {
    let mux = mux(MuxMode::Evict, 1);
    let mut lane = mux.attach();
    let door = mux.open(&camera(1)).unwrap();
    check(&mut lane, 1, "open door-1");
    let died = std::thread::scope(|s| {
        s.spawn(move || {
            let _door = door;
            panic!("a camera dies, as the test wants");
        })
        .join()
        .is_err()
    });
    assert!(died);
    check(&mut lane, 1, "close door-1 Panicked");
}

#[test]
fn a_camera_has_one_stream_at_a_time() {
    let mux = mux(MuxMode::Evict, 1);
    let _door = mux.open(&camera(1)).unwrap();
    assert_eq!(mux.open(&camera(1)).unwrap_err(), MuxError::AlreadyOpen(camera(1)));
}

#[test]
fn closing_closes_streams_and_ends_the_receiver_after_what_waits() {
    let mux = mux(MuxMode::Block, 1);
    let mut lane = mux.attach();
    let door = mux.open(&camera(1)).unwrap();
    push(&door, [0]);
    std::thread::scope(|s| {
        let waiting = s.spawn(|| door.push(frame(1)));
        mux.close();
        assert_eq!(waiting.join().unwrap(), Err(MuxError::Closed), "nobody waits for room in a closed mux");
    });
    assert_eq!(mux.open(&camera(2)).unwrap_err(), MuxError::Closed);
    check(&mut lane, 8, "open door-1");
    check(&mut lane, 8, "door-1#0");
    check(&mut lane, 8, "close door-1 Stopped");
    check(&mut lane, 8, "end");
    assert_eq!(mux.stats(), MuxStats { received: 1, analysed: 1, ..MuxStats::default() });
}

#[test]
fn a_new_generation_begins_every_open_stream_anew() {
    let mux = mux(MuxMode::Evict, 2);
    let mut old = mux.attach();
    let door = mux.open(&camera(1)).unwrap();
    push(&mux.open(&camera(2)).unwrap(), [7]);
    let first = door.key().unwrap();
    check(&mut old, 1, "open door-1");
    push(&door, 0..3);
    check(&mut old, 1, "door-1#1");
    mux.detach();
    check(&mut old, 1, "end");
    let mut new = mux.attach();
    assert_eq!(mux.stats(), MuxStats { received: 4, evicted: 3, analysed: 1, ..MuxStats::default() });
    push(&door, [3]);
    let Some(Received::Open(second)) = new.recv(BatchPolicy::SINGLE) else { panic!("the stream begins anew") };
    assert!(second.epoch > first.epoch, "epochs never come back");
    assert_eq!(door.key().unwrap(), second);
    let Some(Received::Batch(frames)) = new.recv(BatchPolicy::SINGLE) else { panic!("frames follow") };
    assert_eq!((&frames[0].key, frames[0].seq), (&second, 3), "the frame belongs to the new stream");
    check(&mut old, 1, "end");
    drop(new);
    assert_eq!(mux.stats(), MuxStats { received: 5, evicted: 3, analysed: 1, lost: 1, ..MuxStats::default() });
}

#[test]
fn nothing_is_lost_between_threads_when_the_mux_blocks() {
    const FRAMES: u64 = 200;
    let mux = mux(MuxMode::Block, 2);
    let mut lane = mux.attach();
    std::thread::scope(|s| {
        let cameras: Vec<_> = (0..3).map(|n| mux.open(&camera(n)).unwrap()).collect();
        for door in cameras {
            s.spawn(move || {
                push(&door, 0..FRAMES);
                door.close(CloseReason::Ended);
            });
        }
        let mut next = [0; 3];
        let mut closed = 0;
        while closed < 3 {
            match lane.recv(BatchPolicy::up_to(4)).unwrap() {
                Received::Open(_) => {}
                Received::Close(..) => closed += 1,
                Received::Batch(frames) => {
                    for f in frames {
                        let n = (0..3).find(|&n| camera(n) == f.key.camera).unwrap();
                        assert_eq!(f.seq, next[n], "in order");
                        next[n] += 1;
                    }
                }
            }
        }
        assert_eq!(next, [FRAMES; 3]);
    });
    assert_eq!(mux.stats(), MuxStats { received: 3 * FRAMES, analysed: 3 * FRAMES, ..MuxStats::default() });
}

#[derive(Clone, Debug)]
enum Step {
    Open(usize),
    Push(usize),
    Close(usize),
    Receive(usize),
    Restart { after_a_panic: bool },
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        2 => (0..3usize).prop_map(Step::Open),
        8 => (0..3usize).prop_map(Step::Push),
        1 => (0..3usize).prop_map(Step::Close),
        6 => (1..5usize).prop_map(Step::Receive),
        1 => any::<bool>().prop_map(|after_a_panic| Step::Restart { after_a_panic }),
    ];
    prop::collection::vec(step, 0..200)
}

/// One packet of the model: what it is, and of which stream (streams are numbered as they are opened).
#[derive(Clone, Debug, PartialEq, Eq)]
enum Word {
    Open(usize),
    Frame(usize, u64),
    Close(usize),
}

/// The same mux, written as plainly as possible: a list for each camera that is tidied after every step.
#[derive(Default)]
struct Model {
    queues: [VecDeque<Word>; 3],
    open: [Option<usize>; 3],
    streams: usize,
    turn: usize,
    stats: MuxStats,
}

impl Model {
    fn frames(queue: &VecDeque<Word>) -> usize {
        queue.iter().filter(|w| matches!(w, Word::Frame(..))).count()
    }

    fn begin(&mut self, camera: usize) {
        self.streams += 1;
        self.open[camera] = Some(self.streams);
        self.queues[camera].push_back(Word::Open(self.streams));
    }

    fn push(&mut self, camera: usize, seq: u64, capacity: usize) {
        let Some(stream) = self.open[camera] else { return };
        let queue = &mut self.queues[camera];
        queue.push_back(Word::Frame(stream, seq));
        self.stats.received += 1;
        if Self::frames(queue) > capacity {
            let oldest = queue.iter().position(|w| matches!(w, Word::Frame(..))).unwrap();
            queue.remove(oldest);
            self.stats.evicted += 1;
        }
        self.tidy();
    }

    fn close(&mut self, camera: usize) {
        let Some(stream) = self.open[camera].take() else { return };
        self.queues[camera].push_back(Word::Close(stream));
        self.tidy();
    }

    fn tidy(&mut self) {
        for queue in &mut self.queues {
            let words: Vec<_> = queue.drain(..).collect();
            for word in words {
                match (queue.back(), &word) {
                    (Some(Word::Open(opened)), Word::Close(closed)) if opened == closed => drop(queue.pop_back()),
                    _ => queue.push_back(word),
                }
            }
        }
        self.stats.queued = self.queues.iter().map(|q| Self::frames(q) as u64).sum();
    }

    fn receive(&mut self, max_items: usize) -> Vec<Word> {
        self.stats.analysed += std::mem::take(&mut self.stats.in_flight);
        let mut batch = Vec::new();
        while batch.len() < max_items {
            let Some(camera) = (0..3).map(|i| (self.turn + i) % 3).find(|&c| !self.queues[c].is_empty()) else { break };
            self.turn = camera;
            let is_frame = matches!(self.queues[camera][0], Word::Frame(..));
            if !is_frame && !batch.is_empty() {
                break;
            }
            batch.extend(self.queues[camera].pop_front());
            if !is_frame {
                break;
            }
            self.turn = camera + 1;
            self.stats.in_flight += 1;
        }
        self.tidy();
        batch
    }

    fn restart(&mut self, after_a_panic: bool) {
        let held = std::mem::take(&mut self.stats.in_flight);
        if after_a_panic {
            self.stats.lost += held
        } else {
            self.stats.analysed += held
        }
        self.stats.evicted += self.stats.queued;
        self.queues.iter_mut().for_each(VecDeque::clear);
        for camera in 0..3 {
            if self.open[camera].is_some() {
                self.begin(camera);
            }
        }
        self.tidy();
    }
}

proptest! {
    #[test]
    fn the_mux_does_what_the_model_says(frames in 1..4usize, steps in steps()) {
        let mux = mux(MuxMode::Evict, frames);
        // The model numbers cameras from the start; the mux in order of arrival.
        let mut doors: [Option<MuxSender>; 3] = [0, 1, 2].map(|n| Some(mux.open(&camera(n)).unwrap()));
        let mut lane = mux.attach();
        let mut model = Model::default();
        (0..3).for_each(|n| model.begin(n));
        let mut keys: Vec<StreamKey> = doors.iter().flatten().map(|d| d.key().unwrap()).collect();
        for (seq, step) in steps.into_iter().enumerate() {
            match step {
                Step::Open(n) => {
                    if doors[n].is_none() {
                        doors[n] = Some(mux.open(&camera(n)).unwrap());
                        keys.push(doors[n].as_ref().unwrap().key().unwrap());
                        model.begin(n);
                    }
                }
                Step::Push(n) => {
                    if let Some(door) = &doors[n] {
                        door.push(frame(seq as u64)).unwrap();
                        model.push(n, seq as u64, frames);
                    }
                }
                Step::Close(n) => {
                    drop(doors[n].take());
                    model.close(n);
                }
                Step::Receive(max_items) => {
                    let expected = model.receive(max_items);
                    if expected.is_empty() {
                        // It would block; the same bookkeeping happens on the way to the end of a detached mux.
                        mux.detach();
                        prop_assert!(lane.recv(BatchPolicy::SINGLE).is_none());
                        model.restart(false);
                        lane = mux.attach();
                        keys.extend(doors.iter().flatten().map(|d| d.key().unwrap()));
                    } else {
                        let number = |key: &StreamKey| keys.iter().position(|k| k == key).unwrap() + 1;
                        let got = match lane.recv(BatchPolicy::up_to(max_items)).unwrap() {
                            Received::Open(key) => vec![Word::Open(number(&key))],
                            Received::Close(key, _) => vec![Word::Close(number(&key))],
                            Received::Batch(b) => b.iter().map(|f| Word::Frame(number(&f.key), f.seq)).collect(),
                        };
                        prop_assert_eq!(got, expected);
                    }
                }
                Step::Restart { after_a_panic } => {
                    mux.detach();
                    if !after_a_panic {
                        prop_assert!(lane.recv(BatchPolicy::SINGLE).is_none());
                    }
                    model.restart(after_a_panic);
                    lane = mux.attach();
                    keys.extend(doors.iter().flatten().map(|d| d.key().unwrap()));
                }
            }
            let stats = mux.stats();
            prop_assert_eq!(stats, model.stats);
            prop_assert_eq!(stats.received, stats.evicted + stats.queued + stats.delivered());
            prop_assert!(lane.depth() <= 3 * (3 * frames + 2), "markers are bounded by frames");
        }
    }
}
