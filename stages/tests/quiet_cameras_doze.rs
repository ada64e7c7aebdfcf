//! A real camera before which nothing happens is decoded by its key frames alone, and no picture is missing when something does.
#![allow(clippy::unwrap_used)]

mod decode_kit;

use std::time::Duration;

use decode_kit::{Rig, config, lumas, rtsp};
use rollcall_pipeline::config::RtspTransport;
use rollcall_pipeline::{Clock, Frame, SystemClock};
use rollcall_test_camera::{Clip, Codec, Format, Options, Segment, TestCamera};

const FPS: u32 = 25;
const QUIET: Duration = Duration::from_secs(8);
const BUSY: Duration = Duration::from_secs(2);

/// Takes the next frame, and tells the camera of what moves in it, as the search would.
fn look(rig: &Rig) -> (Frame, bool) {
    let frame = rig.frame();
    let stirs = lumas(&frame.image).into_iter().any(|level| level > 100);
    if stirs {
        frame.attention.stirred();
    }
    (frame, stirs)
}

fn apart(a: &Frame, b: &Frame) -> f64 {
    b.time.media.since(a.time.media).as_secs_f64()
}

/// Whether a frame is the next key frame, and nothing between them was decoded.
fn is_next_key(a: &Frame, b: &Frame) -> bool {
    (apart(a, b) - 1.0).abs() < 0.1
}

/// Frames up to the first that comes a key frame's time after the one before. What the camera itself says is of later ones.
fn until_it_dozes(rig: &Rig) -> Frame {
    let mut before = look(rig).0;
    let mut frames = (0..60 * FPS).map(|_| look(rig).0);
    let dozes = |frame: &Frame| is_next_key(&std::mem::replace(&mut before, frame.clone()), frame);
    frames.find(dozes).expect("it dozes within a minute")
}

#[track_caller]
fn check_gapless(frames: &[Frame]) {
    for pair in frames.windows(2) {
        assert!(
            (apart(&pair[0], &pair[1]) - 0.04).abs() < 0.02,
            "{:?}",
            pair.iter().map(|f| f.time).collect::<Vec<_>>()
        );
    }
}

#[track_caller]
fn check(codec: Codec) {
    let format = Format { width: 320, height: 240, fps: FPS, codec };
    let clip = [Segment::Blank { duration: QUIET }, Segment::Pattern { duration: BUSY }];
    let clip = Clip::encode(&clip, format).unwrap().starting_at(Duration::from_secs(2));
    let camera = TestCamera::start(clip, Options::default()).unwrap();
    let rig = Rig::start(&config(rtsp(camera.url(), RtspTransport::Tcp)));

    // It has told of the first time that something moved: once there is quiet again, key frames are all that comes.
    let mut key = until_it_dozes(&rig);
    // What is not decoded came all the same.
    rig.wait(|s| s.dozing && (s.fps - f64::from(FPS)).abs() < 5.0);

    // Whoever wants to see pictures gets them all, those since the last key frame included.
    let asked = SystemClock.mono();
    rig.control.attention().asked();
    let mut next = look(&rig).0;
    while is_next_key(&key, &next) && next.time.received < asked {
        key = std::mem::replace(&mut next, look(&rig).0);
    }
    let mut frames = vec![key, next];
    frames.extend((1..2 * FPS).map(|_| look(&rig).0));
    check_gapless(&frames);

    // Of what happens while it dozes every picture is there.
    until_it_dozes(&rig);
    let mut busy: Vec<Frame> = Vec::new();
    loop {
        match look(&rig) {
            (frame, true) => busy.push(frame),
            (_, false) if busy.is_empty() => {}
            (_, false) => break,
        }
    }
    check_gapless(&busy);
    assert_eq!(busy.len() as u64, BUSY.as_secs() * u64::from(FPS));
    assert_eq!(rig.control.snapshot().disconnects, 0);
}

#[test]
fn h264() {
    check(Codec::H264);
}

#[test]
fn h265() {
    check(Codec::H265);
}
