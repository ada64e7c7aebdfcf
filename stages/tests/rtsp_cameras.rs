//! Real RTSP cameras on loopback: every codec and transport, and every way in which they fail.
#![allow(clippy::unwrap_used)]

mod decode_kit;

use std::sync::{Arc, LazyLock};
use std::time::Duration;

use decode_kit::{Rig, Seen, config, luma, rtsp, rtsp_as};
use rollcall_pipeline::config::{Mounting, RtspTransport};
use rollcall_pipeline::{CameraId, Clock, CloseReason, ErrorClass, Frame, ManualClock, SystemClock, TimeSource};
use rollcall_stages::decode::{CameraState, DisconnectReason, ProbeLimits, probe};
use rollcall_test_camera::{Clip, Codec, Format, Options, TestCamera, Transports};

const FPS: u32 = 25;

fn format(width: u32, height: u32, codec: Codec) -> Format {
    Format { width, height, fps: FPS, codec }
}

/// Encoded once for all tests.
static H264: LazyLock<Clip> = LazyLock::new(|| Clip::pattern(format(320, 240, Codec::H264)).unwrap());

fn camera(options: Options) -> TestCamera {
    TestCamera::start(H264.clone(), options).unwrap()
}

fn over_tcp(camera: &TestCamera) -> Rig {
    Rig::start(&config(rtsp(camera.url(), RtspTransport::Tcp)))
}

/// Takes `n` frames and checks that they are one stream in order.
#[track_caller]
fn check_stream(rig: &Rig, n: usize) -> Vec<Frame> {
    let frames: Vec<Frame> = (0..n).map(|_| rig.frame()).collect();
    for pair in frames.windows(2) {
        assert_eq!(pair[0].key, pair[1].key);
        assert_eq!(pair[0].seq + 1, pair[1].seq);
        assert!(pair[0].time.media < pair[1].time.media, "{:?}", pair.iter().map(|f| f.time).collect::<Vec<_>>());
        assert!(pair[0].time.captured < pair[1].time.captured || pair[0].time.source != pair[1].time.source);
    }
    frames
}

#[track_caller]
fn check(codec: Codec, transport: RtspTransport, name: &str) {
    let clip = if codec == Codec::H264 { H264.clone() } else { Clip::pattern(format(320, 240, codec)).unwrap() };
    let camera = TestCamera::start(clip, Options::default()).unwrap();
    let rig = Rig::start(&config(rtsp(camera.url(), transport)));
    assert!(matches!(rig.next(), Seen::Open(_)));
    let frames = check_stream(&rig, 40);
    assert_eq!((frames[0].image.width(), frames[0].image.height()), (320, 240));
    let snapshot = rig.wait(|s| (s.fps - f64::from(FPS)).abs() < 5.0);
    assert_eq!((snapshot.state, snapshot.info.codec.as_str()), (CameraState::Live, name));
    assert_eq!(snapshot.complaint(), None);
}

#[test]
fn h264_over_tcp() {
    check(Codec::H264, RtspTransport::Tcp, "video/x-h264");
}

#[test]
fn h264_over_udp() {
    check(Codec::H264, RtspTransport::Udp, "video/x-h264");
}

#[test]
fn h265_over_tcp() {
    check(Codec::H265, RtspTransport::Tcp, "video/x-h265");
}

#[test]
fn h265_over_udp() {
    check(Codec::H265, RtspTransport::Udp, "video/x-h265");
}

#[test]
fn mjpeg_over_tcp() {
    check(Codec::Mjpeg, RtspTransport::Tcp, "image/jpeg");
}

#[test]
fn mjpeg_over_udp() {
    check(Codec::Mjpeg, RtspTransport::Udp, "image/jpeg");
}

#[test]
fn auto_takes_what_the_camera_offers() {
    for transports in [Transports::Both, Transports::Tcp, Transports::Udp] {
        let camera = camera(Options { transports, ..Options::default() });
        let rig = Rig::start(&config(rtsp(camera.url(), RtspTransport::Auto)));
        check_stream(&rig, 10);
    }
}

#[test]
fn what_gave_no_picture_over_udp_is_tried_over_tcp_again() {
    // It refuses TCP, and over UDP sends what nobody can decode.
    let claims = Some("X-ODD".to_owned());
    let camera = camera(Options { transports: Transports::Udp, claims, ..Options::default() });
    let clock = Arc::new(ManualClock::default());
    let rig = Rig::start_by(&config(rtsp(camera.url(), RtspTransport::Auto)), clock.clone());
    rig.wait_for_error("unsupported");
    let waits = rig.wait(|s| s.retry_at.is_some());
    clock.advance(waits.retry_at.unwrap().since(waits.since.unwrap()));
    rig.wait_for_error("transport");
}

#[test]
fn a_transport_that_is_refused_is_named() {
    let camera = camera(Options { transports: Transports::Udp, ..Options::default() });
    let text = over_tcp(&camera).wait_for_error("transport");
    assert!(text.ends_with("set transport of camera door-1 to auto, or to the other of tcp and udp"), "{text}");
}

#[test]
fn the_cameras_own_clock_dates_the_frames_once_it_is_known() {
    let camera = camera(Options::default());
    let rig = over_tcp(&camera);
    let first = rig.frame();
    assert_eq!(first.time.source, TimeSource::Estimate);
    let dated = (0..200).map(|_| rig.frame()).find(|f| f.time.source == TimeSource::Ntp).expect("no NTP time came");
    let snapshot = rig.wait(|s| s.clock_skew_ms.is_some());
    assert!(snapshot.clock_skew_ms.unwrap().abs() < 1_000, "{snapshot:?}");
    // Both ways of dating speak of the same moments.
    let media = dated.time.media.since(first.time.media);
    let captured = (dated.time.captured - first.time.captured).to_std().unwrap();
    assert!(captured.abs_diff(media) < Duration::from_millis(500), "{captured:?} against {media:?}");
}

#[test]
fn credentials_are_used_basic_and_digest() {
    for digest in [false, true] {
        let credentials = Some(("rollcall".to_owned(), "s3cret/@:".to_owned()));
        let camera = camera(Options { credentials, digest, ..Options::default() });
        let rig = Rig::start(&config(rtsp_as(camera.url(), "rollcall", "s3cret/@:")));
        check_stream(&rig, 5);
    }
}

#[test]
fn a_wrong_password_is_told_in_plain_words_and_tried_rarely() {
    for digest in [false, true] {
        let credentials = Some(("rollcall".to_owned(), "right".to_owned()));
        let camera = camera(Options { credentials, digest, ..Options::default() });
        let rig = Rig::start(&config(rtsp_as(camera.url(), "rollcall", "wr0ng-pass")));
        let text = rig.wait_for_error("unauthorized");
        assert_eq!(text, "the camera refuses user or password; check username and password of camera door-1");
        let snapshot = rig.wait(|s| s.retry_at.is_some());
        assert_eq!(snapshot.last_error.unwrap().class, ErrorClass::Permanent);
        assert!(snapshot.retry_at.unwrap().since(snapshot.since.unwrap()) >= Duration::from_secs(299));
    }
}

#[test]
fn a_camera_that_refuses_the_password_hears_nothing_until_the_wait_is_over() {
    let credentials = Some(("rollcall".to_owned(), "right".to_owned()));
    let camera = camera(Options { credentials, digest: true, ..Options::default() });
    let source = rtsp_as(camera.url(), "rollcall", "wr0ng-pass");
    let real: Arc<dyn Clock> = Arc::new(SystemClock);
    probe(&source, Mounting::default(), ProbeLimits::default(), &real, &|| false).unwrap_err();
    let an_attempt = camera.calls();
    assert!(an_attempt > 0);

    // A first knock would come as the wait begins, and so before the second attempt.
    let clock = Arc::new(ManualClock::default());
    let rig = Rig::start_by(&config(source), clock.clone());
    let waits = rig.wait(|s| s.retry_at.is_some());
    clock.advance(waits.retry_at.unwrap().since(waits.since.unwrap()));
    rig.wait(|s| s.disconnects == 2);
    assert_eq!(camera.calls(), 3 * an_attempt, "a look and two attempts");
}

#[test]
fn a_password_that_is_refused_is_told_once_an_attempt() {
    let real: Arc<dyn Clock> = Arc::new(SystemClock);
    for digest in [false, true] {
        let mut camera = camera(Options { digest, ..Options::default() });
        camera.refuse_logins().unwrap();
        let source = rtsp_as(camera.url(), "rollcall", "wr0ng-pass");
        let refused = probe(&source, Mounting::default(), ProbeLimits::default(), &real, &|| false).unwrap_err();
        assert_eq!((refused, camera.refused_logins()), (DisconnectReason::Unauthorized, 1), "digest: {digest}");
    }
}

#[test]
fn a_certificate_that_nobody_trusts_is_named() {
    let camera = camera(Options { encrypted: true, ..Options::default() });
    let text = over_tcp(&camera).wait_for_error("untrusted");
    let why =
        "the camera's certificate is not trusted: nobody known has signed it; install the authority that signed it on";
    assert!(text.starts_with(why) && text.contains("give camera door-1 another certificate"), "{text}");
}

#[test]
fn a_path_that_is_not_there_is_named() {
    let camera = camera(Options::default());
    let rig = Rig::start(&config(rtsp(camera.url().replace("/stream", "/nothing"), RtspTransport::Tcp)));
    let text = rig.wait_for_error("not_found");
    assert!(text.contains("check the address or file in the streams of camera door-1"), "{text}");
    assert!(!text.contains("://"), "{text}");
}

#[test]
fn a_codec_that_nobody_knows_is_named() {
    let camera = camera(Options { claims: Some("X-ODD".to_owned()), ..Options::default() });
    let text = over_tcp(&camera).wait_for_error("unsupported");
    assert_eq!(text, "no decoder for X-ODD; set the camera to H.264, H.265 or MJPEG");
}

#[test]
fn a_camera_that_comes_up_later_is_found() {
    let mut camera = camera(Options::default());
    camera.kill();
    let rig = over_tcp(&camera);
    let text = rig.wait_for_error("refused");
    assert!(text.contains("check that the camera has power and network"), "{text}");
    camera.restart().unwrap();
    check_stream(&rig, 5);
}

#[test]
fn a_camera_that_answers_before_it_has_its_stream_is_tried_when_it_has() {
    let mut camera = camera(Options::default());
    camera.without_stream().unwrap();
    // By this clock no wait is ever over: only what is heard by knocking ends one.
    let clock = Arc::new(ManualClock::default());
    let rig = Rig::start_by(&config(rtsp(camera.url(), RtspTransport::Tcp)), clock);
    rig.wait_for_error("not_found");
    rig.wait(|s| s.retry_at.is_some());
    let attempt = camera.calls();
    let knocked = (0..30_000).any(|_| {
        std::thread::park_timeout(Duration::from_millis(1));
        camera.calls() > attempt
    });
    assert!(knocked, "nobody asks whether it has its stream");
    camera.restart().unwrap();
    rig.wait(|s| s.state == CameraState::Live);
}

/// Whatever goes wrong: the epoch ends, the reason is told, and once the camera is well there is video again. (How soon is
/// measured by `make faults`.)
#[track_caller]
fn check_recovery(
    transport: RtspTransport,
    reasons: &[&str],
    fail: impl Fn(&mut TestCamera),
    mend: impl Fn(&mut TestCamera),
) {
    let mut camera = camera(Options::default());
    let rig = Rig::start(&config(rtsp(camera.url(), transport)));
    let Seen::Open(first) = rig.next() else { panic!("no stream") };
    check_stream(&rig, 5);
    fail(&mut camera);
    let (_, close) = rig.until_closed();
    assert_eq!(close, CloseReason::Lost);
    let told = rig.wait(|s| s.last_error.is_some()).last_error.unwrap();
    assert!(reasons.contains(&told.reason), "{told:?}");
    mend(&mut camera);
    let Seen::Open(second) = rig.next() else { panic!("no second stream") };
    assert_ne!(first.epoch, second.epoch);
    check_stream(&rig, 5);
}

#[test]
fn a_camera_that_restarts_comes_back() {
    check_recovery(RtspTransport::Tcp, &["eos", "refused"], TestCamera::kill, |c| c.restart().unwrap());
}

#[test]
fn a_camera_that_restarts_comes_back_over_udp() {
    check_recovery(RtspTransport::Udp, &["eos", "broken", "refused"], TestCamera::kill, |c| c.restart().unwrap());
}

#[test]
fn a_frozen_camera_has_stalled_after_two_seconds_and_comes_back() {
    for transport in [RtspTransport::Tcp, RtspTransport::Udp] {
        check_recovery(transport, &["stalled", "broken"], |c| c.freeze(), |c| c.resume());
    }
}

#[test]
fn a_camera_whose_video_cannot_be_decoded_is_told_from_a_silent_one_and_comes_back() {
    // Noise that is no H.264 does not get as far as the decoder; as H.265 it does.
    for codec in [Codec::H264, Codec::H265] {
        let clip = Clip::pattern(format(320, 240, codec)).unwrap();
        let camera = TestCamera::start(clip, Options::default()).unwrap();
        let rig = over_tcp(&camera);
        check_stream(&rig, 5);
        camera.scramble(true);
        let (_, close) = rig.until_closed();
        assert_eq!(close, CloseReason::Lost);
        let told = rig.wait(|s| s.last_error.is_some()).last_error.unwrap();
        assert_eq!((told.reason, told.class), ("undecodable", ErrorClass::Transient), "{told:?}");
        assert!(told.text.contains("set the camera to H.264") && told.text.ends_with("camera door-1"), "{told:?}");
        camera.scramble(false);
        check_stream(&rig, 5);
    }
}

#[test]
fn noise_instead_of_a_camera_is_survived() {
    check_recovery(
        RtspTransport::Tcp,
        &["eos", "broken", "refused"],
        |c| c.garbage().unwrap(),
        |c| c.restart().unwrap(),
    );
}

#[test]
fn a_port_that_never_answers_is_given_up() {
    let mut camera = camera(Options::default());
    camera.silence().unwrap();
    let rig = over_tcp(&camera);
    let snapshot = rig.wait(|s| s.last_error.is_some());
    let error = snapshot.last_error.unwrap();
    assert!(["refused", "broken"].contains(&error.reason), "{error:?}");
}

#[test]
fn another_resolution_is_a_new_epoch_of_the_same_connection() {
    let camera = camera(Options::default());
    let rig = over_tcp(&camera);
    let Seen::Open(first) = rig.next() else { panic!("no stream") };
    check_stream(&rig, 5);
    camera.switch(Clip::pattern(format(640, 480, Codec::H264)).unwrap());
    let (frames, _) = rig.until_closed();
    assert!(frames.iter().all(|f| (f.image.width(), f.image.height()) == (320, 240)));
    let Seen::Open(second) = rig.next() else { panic!("no second stream") };
    assert_ne!(first.epoch, second.epoch);
    let frames = check_stream(&rig, 5);
    assert_eq!((frames[0].seq, frames[0].time.media.0), (0, 0));
    assert!(frames.iter().all(|f| (f.image.width(), f.image.height()) == (640, 480)));
    let snapshot = rig.control.snapshot();
    assert_eq!((snapshot.disconnects, snapshot.info.width), (0, 640), "{snapshot:#?}");
}

#[test]
fn a_camera_whose_clock_is_set_goes_on() {
    for seconds in [3_600, -3_600] {
        let camera = camera(Options::default());
        let rig = over_tcp(&camera);
        check_stream(&rig, 5);
        camera.jump_clock(seconds);
        // Either nothing is to be seen of it, or a new epoch begins; within one, time goes on as it should.
        let mut last: Option<Frame> = None;
        for _ in 0..75 {
            let frame = rig.frame();
            if let Some(last) = last.filter(|l| l.key == frame.key) {
                let step = frame.time.media.since(last.time.media);
                assert!(last.time.media <= frame.time.media && step < Duration::from_secs(10), "{step:?}");
            }
            let late = SystemClock.wall() - frame.time.captured;
            assert_eq!(late.num_minutes(), 0, "{late}");
            last = Some(frame);
        }
    }
}

#[test]
fn a_camera_whose_last_stream_is_still_open_tells_it_and_waits() {
    let mut camera = camera(Options::default());
    camera.kill();
    let rig = over_tcp(&camera);
    let before = rig.mux.open(&CameraId::new("door-1")).unwrap();
    camera.restart().unwrap();
    rig.wait_for_error("overlap");
    drop(before);
    check_stream(&rig, 5);
}

#[test]
fn two_clients_see_the_same_camera() {
    let camera = camera(Options::default());
    let (one, two) = (over_tcp(&camera), over_tcp(&camera));
    check_stream(&one, 10);
    check_stream(&two, 10);
}

#[test]
fn the_picture_is_the_one_that_was_sent() {
    let white = rollcall_test_camera::Segment::Picture {
        width: 2,
        height: 2,
        rgb: vec![255; 12],
        duration: Duration::from_secs(1),
    };
    let blank = rollcall_test_camera::Segment::Blank { duration: Duration::from_secs(1) };
    let clip = Clip::encode(&[white, blank], format(320, 240, Codec::H264)).unwrap();
    assert_eq!((clip.frames(), clip.duration()), (50, Duration::from_secs(2)));
    let camera = TestCamera::start(clip, Options::default()).unwrap();
    let rig = over_tcp(&camera);
    // The square picture stands in the middle; its borders are black.
    let bright = rig.frame();
    assert!(luma(&bright.image, [0.2, 0.8], [0.1, 0.9]) > 220.0 && luma(&bright.image, [0.0, 0.1], [0.0, 1.0]) < 20.0);
    let dark = (0..50).map(|_| rig.frame()).find(|f| luma(&f.image, [0.0, 1.0], [0.0, 1.0]) < 20.0);
    assert!(dark.is_some(), "the blank scene never came");
}
