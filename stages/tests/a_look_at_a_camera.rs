//! Looking at cameras that are not configured: what they send, or why there is no picture, in bounded time.
#![allow(clippy::unwrap_used)]

mod decode_kit;

use std::sync::Arc;
use std::time::Duration;

use decode_kit::{file, launch, lumas, rtsp, rtsp_as};
use rollcall_pipeline::config::{CameraSource, Mounting, Rotation, RtspTransport};
use rollcall_pipeline::{CameraId, Clock, SystemClock, TimeSource};
use rollcall_stages::decode::{DisconnectReason, Probe, ProbeLimits, probe};
use rollcall_test_camera::{Clip, Codec, Format, Options, TestCamera, Transports};

fn camera(codec: Codec, options: Options) -> TestCamera {
    let clip = Clip::pattern(Format { width: 320, height: 240, fps: 25, codec }).unwrap();
    TestCamera::start(clip, options).unwrap()
}

fn clock() -> Arc<dyn Clock> {
    Arc::new(SystemClock)
}

fn look(source: &CameraSource) -> Result<Probe, DisconnectReason> {
    probe(source, Mounting::default(), ProbeLimits::default(), &clock(), &|| false)
}

#[track_caller]
fn check(codec: Codec, name: &str) {
    let camera = camera(codec, Options::default());
    let seen = look(&rtsp(camera.url(), RtspTransport::Tcp)).unwrap();
    assert_eq!((seen.info.codec.as_str(), seen.info.width, seen.info.height), (name, 320, 240));
    assert!((seen.fps.unwrap() - 25.0).abs() < 2.0, "{:?} fps", seen.fps);
    assert_eq!((seen.first_frame.width(), seen.first_frame.height()), (320, 240));
    assert!(lumas(&seen.first_frame).into_iter().any(|y| y > 150), "nothing is to be seen");
    assert!(!seen.over_udp);
    assert_eq!(seen.ended, None);
    assert_ne!(seen.time_source, TimeSource::File);
}

#[test]
fn h264_is_seen() {
    check(Codec::H264, "video/x-h264");
}

#[test]
fn h265_is_seen() {
    check(Codec::H265, "video/x-h265");
}

#[test]
fn a_camera_that_only_sends_datagrams_is_seen_and_said_to() {
    let camera = camera(Codec::H264, Options { transports: Transports::Udp, ..Options::default() });
    assert!(look(&rtsp(camera.url(), RtspTransport::Auto)).unwrap().over_udp);
    assert_eq!(look(&rtsp(camera.url(), RtspTransport::Tcp)).err(), Some(DisconnectReason::Transport));
}

#[test]
fn the_picture_is_as_mounted() {
    let camera = camera(Codec::H264, Options::default());
    let mounting = Mounting { rotate: Rotation::Quarter, mirror: false };
    let source = rtsp(camera.url(), RtspTransport::Tcp);
    let seen = probe(&source, mounting, ProbeLimits::default(), &clock(), &|| false).unwrap();
    assert_eq!((seen.info.width, seen.info.height), (240, 320));
}

#[test]
fn a_wrong_password_and_a_wrong_path_are_told_apart_in_plain_words() {
    let credentials = Some(("rollcall".to_owned(), "right".to_owned()));
    let camera = camera(Codec::H264, Options { credentials, digest: true, ..Options::default() });
    let refused = look(&rtsp_as(camera.url(), "rollcall", "wr0ng-pass")).unwrap_err();
    assert_eq!(refused, DisconnectReason::Unauthorized);
    assert_eq!(
        refused.explain(&CameraId::new("new-door")),
        "the camera refuses user or password; check username and password of camera new-door"
    );
    look(&rtsp_as(camera.url(), "rollcall", "right")).unwrap();
    let elsewhere = rtsp_as(camera.url().replace("/stream", "/nothing"), "rollcall", "right");
    assert_eq!(look(&elsewhere).unwrap_err().as_str(), "not_found");
}

#[test]
fn a_camera_that_is_off_refuses_and_an_unknown_codec_is_named() {
    let mut off = camera(Codec::H264, Options::default());
    off.kill();
    assert_eq!(look(&rtsp(off.url(), RtspTransport::Auto)).unwrap_err().as_str(), "refused");
    let odd = camera(Codec::H264, Options { claims: Some("X-ODD".to_owned()), ..Options::default() });
    let codec = "X-ODD".to_owned();
    let refused = look(&rtsp(odd.url(), RtspTransport::Tcp)).unwrap_err();
    assert_eq!(refused, DisconnectReason::Unsupported { codec, package: None });
}

#[test]
fn a_port_that_never_answers_takes_no_longer_than_allowed() {
    let mut camera = camera(Codec::H264, Options::default());
    camera.silence().unwrap();
    let limits = ProbeLimits { time: Duration::from_millis(400), ..ProbeLimits::default() };
    let source = rtsp(camera.url(), RtspTransport::Auto);
    let begun = clock().mono();
    let refused = probe(&source, Mounting::default(), limits, &clock(), &|| false).unwrap_err();
    assert_eq!(refused.as_str(), "stalled", "{refused:?}");
    assert!(clock().mono().since(begun) < Duration::from_secs(3));
}

#[test]
fn a_camera_whose_video_cannot_be_decoded_is_told_from_one_that_sends_nothing() {
    let camera = camera(Codec::H264, Options::default());
    camera.scramble(true);
    let limits = ProbeLimits { time: Duration::from_secs(5), ..ProbeLimits::default() };
    let source = rtsp(camera.url(), RtspTransport::Tcp);
    let refused = probe(&source, Mounting::default(), limits, &clock(), &|| false).unwrap_err();
    assert_eq!(refused.as_str(), "undecodable", "{refused:?}");
}

#[test]
fn a_look_can_be_called_off() {
    let camera = camera(Codec::H264, Options::default());
    let source = rtsp(camera.url(), RtspTransport::Tcp);
    let stopped = probe(&source, Mounting::default(), ProbeLimits::default(), &clock(), &|| true);
    assert_eq!(stopped.err(), Some(DisconnectReason::Shutdown));
}

#[test]
fn a_camera_that_freezes_behind_its_first_pictures_is_seen_with_what_went_wrong() {
    let camera = camera(Codec::H264, Options::default());
    let source = rtsp(camera.url(), RtspTransport::Tcp);
    let limits = ProbeLimits { measure: Duration::from_secs(3600), ..ProbeLimits::default() };
    // Frozen once pictures come, which the test camera counts.
    let stopped = || {
        if camera.sent() > 20 {
            camera.freeze();
        }
        false
    };
    let seen = probe(&source, Mounting::default(), limits, &clock(), &stopped).unwrap();
    assert!(matches!(seen.ended, Some(DisconnectReason::Stalled(_))), "{:?}", seen.ended);
}

#[test]
fn a_recording_is_counted_at_the_speed_of_its_stamps() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("clip.mp4");
    launch(&format!(
        "videotestsrc num-buffers=30 ! video/x-raw,width=160,height=120,framerate=10/1 ! x264enc ! mp4mux ! filesink \
         location={}",
        path.display()
    ));
    let seen = look(&file(&path)).unwrap();
    assert!((seen.fps.unwrap() - 10.0).abs() < 0.5, "{:?}", seen.fps);
    assert_eq!(seen.time_source, TimeSource::File);
}
