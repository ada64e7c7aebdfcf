//! A real camera before which nothing happens is decoded by its key frames alone, and no picture is missing when something does.
#![allow(clippy::unwrap_used)]

mod decode_kit;

use std::time::Duration;

use decode_kit::{Rig, config, lumas, rtsp};
use rollcall_pipeline::Frame;
use rollcall_pipeline::config::RtspTransport;
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

/// Frames up to the first of which the camera says that it dozes.
fn until_it_dozes(rig: &Rig) -> Frame {
    (0..60 * FPS).map(|_| look(rig).0).find(|_| rig.control.snapshot().dozing).expect("it dozes within a minute")
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
    until_it_dozes(&rig);
    let (first, _) = look(&rig);
    let (second, _) = look(&rig);
    assert!((apart(&first, &second) - 1.0).abs() < 0.1, "{} s", apart(&first, &second));
    let now = rig.control.snapshot();
    assert!((now.fps - f64::from(FPS)).abs() < 5.0, "what is not decoded came all the same: {} fps", now.fps);

    // Whoever wants to see pictures gets them all, those since the last key frame included.
    rig.control.attention().asked();
    let mut frames = vec![second];
    frames.extend((0..2 * FPS).map(|_| look(&rig).0));
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
