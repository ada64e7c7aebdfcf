//! Of a real camera only those pictures are decoded that an analysed one needs, and it looks as if all had been.
#![allow(clippy::unwrap_used)]

mod decode_kit;

use std::collections::HashSet;
use std::time::Duration;

use decode_kit::{Rig, config, lumas, rtsp, tuning};
use rollcall_pipeline::Frame;
use rollcall_pipeline::config::{CameraConfig, RtspTransport};
use rollcall_test_camera::{Clip, Codec, Format, Options, TestCamera};

const FPS: u64 = 25;
const ANALYSED: u64 = 5;
const SECONDS: u64 = 8;

/// How many pictures a second were decoded of those that came within [`SECONDS`], or a little longer.
#[track_caller]
fn decoded(codec: Codec) -> f64 {
    let format = Format { width: 320, height: 240, fps: FPS as u32, codec };
    let camera = TestCamera::start(Clip::pattern(format).unwrap(), Options::default()).unwrap();
    let whole = config(rtsp(camera.url(), RtspTransport::Tcp));
    let rig = Rig::start(&whole);
    let shown: HashSet<Vec<u8>> = (0..3 * FPS).map(|_| lumas(&rig.frame().image)).collect();
    assert_eq!(shown.len() as u64, 2 * FPS, "each picture of the clip is another");
    drop(rig);

    let rig = Rig::start(&CameraConfig { tuning: tuning(ANALYSED as f32), ..whole });
    let frames: Vec<_> = (0..=SECONDS * ANALYSED).map(|_| rig.frame()).collect();
    assert!(frames.iter().all(|frame| shown.contains(&lumas(&frame.image))), "as if all had been decoded");
    for pair in frames.windows(2) {
        let apart = pair[1].time.media.since(pair[0].time.media);
        assert!(apart.abs_diff(Duration::from_millis(200)) < Duration::from_millis(60), "{apart:?}");
    }
    // What is not decoded came all the same.
    let now = rig.wait(|s| (s.fps - FPS as f64).abs() < 5.0);
    assert_eq!(now.disconnects, 0);
    // By the time of those that were analysed until then, since the camera goes on.
    now.decoded as f64 * ANALYSED as f64 / (now.sampled - 1) as f64
}

/// Those between the last analysed one and a key frame are not.
#[track_caller]
fn check_skips_before_key_frames(codec: Codec) {
    let decoded = decoded(codec);
    assert!((21.0..=(FPS - 2) as f64).contains(&decoded), "{decoded} of {FPS} a second");
}

#[test]
fn analysed_pictures_come_to_be_the_key_frames() {
    let format = Format { width: 320, height: 240, fps: FPS as u32, codec: Codec::H264 };
    let camera = TestCamera::start(Clip::pattern(format).unwrap(), Options::default()).unwrap();
    let rig = Rig::start(&config(rtsp(camera.url(), RtspTransport::Tcp)));
    // A camera begins with a key frame.
    let keys: Vec<Vec<u8>> = (0..=FPS).map(|_| lumas(&rig.frame().image)).step_by(FPS as usize).collect();
    let is_key = |frame: &Frame| keys.contains(&lumas(&frame.image));
    // Now five a second, from a moment on at which they miss the key frames.
    loop {
        rig.control.retune(tuning(12.5));
        (0..3).for_each(|_| drop(rig.frame()));
        rig.control.retune(tuning(ANALYSED as f32));
        if !(0..3 * ANALYSED).map(|_| rig.frame()).skip(ANALYSED as usize).any(|frame| is_key(&frame)) {
            break;
        }
    }
    let later = (0..15 * ANALYSED).map(|_| rig.frame()).skip(12 * ANALYSED as usize);
    assert_eq!(later.filter(is_key).count() as u64, 3, "one a second");
}

#[test]
fn h264() {
    check_skips_before_key_frames(Codec::H264);
}

#[test]
fn h265() {
    check_skips_before_key_frames(Codec::H265);
}

#[test]
fn of_key_frames_alone_none_but_those_that_are_analysed() {
    let decoded = decoded(Codec::Mjpeg);
    assert!((ANALYSED as f64..=(ANALYSED + 2) as f64).contains(&decoded), "{decoded} of {FPS} a second");
}
