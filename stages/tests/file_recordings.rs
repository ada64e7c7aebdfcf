//! Recordings: whole, cut, damaged, turned, odd; through GStreamer itself.
#![allow(clippy::unwrap_used)]

mod decode_kit;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use decode_kit::{Rig, Seen, config, file, launch, luma, tuning};
use gstreamer as gst;
use gstreamer::prelude::*;
use rollcall_pipeline::config::{CameraSource, Mounting, Rotation};
use rollcall_pipeline::supervisor::Exit;
use rollcall_pipeline::{Clock, CloseReason, ErrorClass, Point, Polygon, SystemClock, TimeSource, WallTime};
use rollcall_stages::decode::{CameraState, DecodedFrame, DisconnectReason, VideoFile};
use tempfile::TempDir;

const FRAMES: usize = 60;

/// A recording of 60 frames at 30 a second whose left third is white and whose rest is dark, in the given form.
fn record(dir: &TempDir, name: &str, form: &str) -> PathBuf {
    let path = dir.path().join(name);
    launch(&format!(
        "videotestsrc pattern=black num-buffers={FRAMES} ! video/x-raw,format=I420,width=320,height=240,framerate=30/1 \
         ! videobox left=-160 fill=white ! videoscale add-borders=false ! video/x-raw,width=320,height=240,pixel-aspect-ratio=1/1 \
         ! {form} ! filesink location={}",
        path.display()
    ));
    path
}

const MP4: &str = "x264enc key-int-max=30 bframes=2 ! mp4mux faststart=true";

fn open(path: &Path) -> Result<VideoFile, DisconnectReason> {
    VideoFile::open(path, Mounting::default(), Arc::new(SystemClock))
}

fn read(path: &Path) -> (Vec<DecodedFrame>, Option<DisconnectReason>) {
    let mut frames = Vec::new();
    for next in open(path).unwrap() {
        match next {
            Ok(frame) => frames.push(frame),
            Err(reason) => return (frames, Some(reason)),
        }
    }
    (frames, None)
}

#[track_caller]
fn check_whole(name: &str, form: &str) {
    let dir = TempDir::new().unwrap();
    let (frames, error) = read(&record(&dir, name, form));
    assert_eq!(error, None);
    assert_eq!(frames.len(), FRAMES);
    for (i, pair) in frames.windows(2).enumerate() {
        assert_eq!((pair[0].index, pair[1].index), (i as u64, i as u64 + 1));
        let step = pair[1].media.since(pair[0].media).as_secs_f64();
        assert!((step - 1.0 / 30.0).abs() < 0.02, "{name}: frame {i} is {step} s long");
    }
    assert_eq!(frames[0].media.0, 0);
    assert_eq!((frames[0].image.width(), frames[0].image.height()), (320, 240));
}

#[test]
fn every_frame_is_delivered_once_and_in_order() {
    check_whole("a.mp4", MP4);
    check_whole("b.mkv", "x265enc key-int-max=30 ! h265parse ! matroskamux");
    check_whole("c.mov", "jpegenc ! qtmux");
    check_whole("d.avi", "avenc_mpeg4 ! avimux");
    check_whole("e.webm", "vp8enc deadline=1 ! webmmux");
    check_whole("f.ts", "x264enc key-int-max=30 ! mpegtsmux");
    check_whole("g.3gp", "x264enc ! h264parse ! 3gppmux");
}

#[test]
fn a_recording_whose_size_changes_keeps_its_time_line() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("sizes.ts");
    let part = |size: &str| {
        format!(
            "videotestsrc num-buffers=30 ! video/x-raw,format=I420,{size},framerate=30/1 ! x264enc tune=zerolatency \
             ! video/x-h264,stream-format=byte-stream,profile=high ! h264parse ! parts."
        )
    };
    let (small, large) = (part("width=320,height=240"), part("width=640,height=480"));
    let whole = format!("concat name=parts ! h264parse ! mpegtsmux ! filesink location={}", path.display());
    launch(&format!("{whole} {small} {large}"));

    let (frames, error) = read(&path);
    assert_eq!(error, None);
    let anew: Vec<_> = frames.iter().filter(|frame| frame.anew.is_some()).map(|frame| frame.index).collect();
    assert_eq!((frames.len(), anew), (FRAMES, vec![30]));
    let length = frames[59].media.as_millis();
    assert!((1_900..2_100).contains(&length), "{length} ms");

    // Two epochs of one camera, dated as one recording.
    let rig = Rig::start(&config(file(&path)));
    let (first, _) = rig.until_closed();
    let (second, _) = rig.until_closed();
    assert_eq!((first.len(), second.len()), (30, 30));
    let dated = second[29].time.captured - first[0].time.captured;
    assert!((1_900..2_100).contains(&dated.num_milliseconds()), "{dated}");
}

#[test]
fn odd_pixel_formats_arrive_as_planes_of_eight_bits() {
    let dir = TempDir::new().unwrap();
    for (name, form) in [
        ("deep.mkv", "videoconvert ! video/x-raw,format=I420_10LE ! x264enc ! matroskamux"),
        ("wide.mov", "videoconvert ! video/x-raw,format=Y42B ! jpegenc ! qtmux"),
        ("full.mkv", "videoconvert ! video/x-raw,format=Y444 ! x264enc ! matroskamux"),
    ] {
        let (frames, error) = read(&record(&dir, name, form));
        assert_eq!((frames.len(), error), (FRAMES, None), "{name}");
        assert!(luma(&frames[9].image, [0.0, 0.3], [0.0, 1.0]) > 200.0, "{name}");
        assert!(luma(&frames[9].image, [0.4, 1.0], [0.0, 1.0]) < 40.0, "{name}");
    }
}

#[test]
fn a_recording_goes_through_the_camera_loop_without_loss() {
    let dir = TempDir::new().unwrap();
    let mut rig = Rig::start(&config(file(&record(&dir, "a.mp4", MP4))));
    assert!(matches!(rig.next(), Seen::Open(_)));
    let (frames, reason) = rig.until_closed();
    assert_eq!((frames.len(), reason), (FRAMES, CloseReason::Ended));
    assert!(frames.iter().enumerate().all(|(i, f)| f.seq == i as u64));
    assert_eq!(frames[30].time.source, TimeSource::File);
    assert_eq!((frames[30].time.captured - WallTime::UNIX_EPOCH).num_milliseconds(), 1_000);
    assert!(matches!(rig.ended(), Exit::Done));
    let snapshot = rig.control.snapshot();
    assert_eq!((snapshot.state, snapshot.decoded, snapshot.sampled), (CameraState::Ended, 60, 60));
}

#[test]
fn only_sampled_frames_are_handed_on() {
    let dir = TempDir::new().unwrap();
    let mut camera = config(file(&record(&dir, "a.mp4", MP4)));
    camera.tuning = tuning(5.0);
    let rig = Rig::start(&camera);
    let (frames, _) = rig.until_closed();
    assert_eq!(frames.iter().map(|f| f.seq).collect::<Vec<_>>(), (0..10).map(|i| i * 6).collect::<Vec<_>>());
    assert_eq!(rig.control.snapshot().decoded, 60);
}

#[test]
fn a_repeated_recording_is_a_new_stream_each_time() {
    let dir = TempDir::new().unwrap();
    let path = record(&dir, "a.mp4", MP4);
    let rig = Rig::start(&config(CameraSource::File { path, realtime: false, repeat: true }));
    let Seen::Open(first) = rig.next() else { panic!("no stream") };
    assert_eq!(rig.until_closed().0.len(), FRAMES);
    let Seen::Open(second) = rig.next() else { panic!("no second stream") };
    assert_eq!(rig.until_closed().0.len(), FRAMES);
    assert_ne!(first.epoch, second.epoch);
}

#[test]
fn a_recording_at_its_own_pace_takes_its_own_time() {
    let dir = TempDir::new().unwrap();
    let path = record(&dir, "a.mp4", MP4);
    let begun = SystemClock.mono();
    let rig = Rig::start(&config(CameraSource::File { path, realtime: true, repeat: false }));
    let (frames, _) = rig.until_closed();
    assert_eq!(frames.len(), FRAMES);
    let took = frames[FRAMES - 1].time.received.since(begun).as_secs_f64();
    assert!(took > 1.8, "two seconds were over in {took}");
}

#[test]
fn masks_are_black_in_what_the_lane_gets_and_only_there() {
    let dir = TempDir::new().unwrap();
    let mut camera = config(file(&record(&dir, "a.mp4", MP4)));
    let corners = [(0.0, 0.0), (1.0, 0.0), (1.0, 0.5), (0.0, 0.5)];
    camera.tuning.privacy_masks = vec![Polygon(corners.iter().map(|&(x, y)| Point { x, y }).collect())];
    let rig = Rig::start(&camera);
    let (frames, _) = rig.until_closed();
    assert_eq!(frames.len(), FRAMES);
    for frame in &frames {
        assert_eq!(luma(&frame.image, [0.0, 1.0], [0.0, 0.5]), 16.0);
        assert!(luma(&frame.image, [0.0, 0.3], [0.51, 1.0]) > 200.0);
    }
}

#[test]
fn masks_lie_in_the_picture_as_it_is_mounted() {
    let dir = TempDir::new().unwrap();
    let mut camera = config(file(&record(&dir, "a.mp4", MP4)));
    // The white third is then at the top; half of it is masked, on the left of who looks at the turned and mirrored picture.
    camera.mounting = Mounting { rotate: Rotation::Quarter, mirror: true };
    let corners = [(0.0, 0.0), (0.5, 0.0), (0.5, 0.25), (0.0, 0.25)];
    camera.tuning.privacy_masks = vec![Polygon(corners.iter().map(|&(x, y)| Point { x, y }).collect())];
    let (frames, _) = Rig::start(&camera).until_closed();
    assert_eq!(frames.len(), FRAMES);
    for frame in &frames {
        assert_eq!((frame.image.width(), frame.image.height()), (240, 320));
        assert_eq!(luma(&frame.image, [0.0, 0.45], [0.0, 0.2]), 16.0);
        assert!(luma(&frame.image, [0.55, 1.0], [0.0, 0.2]) > 200.0);
    }
}

/// Where the white third of the picture is: left, right, top or bottom.
fn white_side(frame: &DecodedFrame) -> &'static str {
    let third = |x, y| luma(&frame.image, x, y) > 150.0;
    match (third([0.0, 0.3], [0.4, 0.6]), third([0.7, 1.0], [0.4, 0.6]), third([0.4, 0.6], [0.0, 0.3])) {
        (true, false, false) => "left",
        (false, true, false) => "right",
        (false, false, true) => "top",
        (false, false, false) => "bottom",
        _ => "unclear",
    }
}

/// Writes "turn by 90° clockwise" into the track header, as phones that are held upright do.
fn turn_like_a_phone(path: &Path) {
    let mut bytes = std::fs::read(path).unwrap();
    let header = bytes.windows(4).position(|w| w == b"tkhd").unwrap();
    // Name, version and flags, times, id, duration, layer and volume come before the matrix.
    let matrix = header + 4 + 4 + 20 + 16;
    let turn = [0, 0x1_0000, 0, -0x1_0000, 0, 0, 0, 0, 0x4000_0000];
    bytes[matrix..matrix + 36].copy_from_slice(&turn.map(i32::to_be_bytes).concat());
    std::fs::write(path, bytes).unwrap();
}

#[test]
fn orientation_tags_and_mountings_turn_the_picture_upright() {
    let dir = TempDir::new().unwrap();
    let turned = record(&dir, "turned.mp4", MP4);
    turn_like_a_phone(&turned);
    let frame = open(&turned).unwrap().next().unwrap().unwrap();
    assert_eq!((frame.image.width(), frame.image.height(), white_side(&frame)), (240, 320, "top"));

    let path = record(&dir, "a.mp4", MP4);
    for (rotate, mirror, side) in [
        (Rotation::None, false, "left"),
        (Rotation::None, true, "right"),
        (Rotation::Quarter, false, "top"),
        (Rotation::Quarter, true, "top"),
        (Rotation::Half, false, "right"),
        (Rotation::Half, true, "left"),
        (Rotation::ThreeQuarters, false, "bottom"),
        (Rotation::ThreeQuarters, true, "bottom"),
    ] {
        let mounting = Mounting { rotate, mirror };
        let mut video = VideoFile::open(&path, mounting, Arc::new(SystemClock)).unwrap();
        assert_eq!(white_side(&video.next().unwrap().unwrap()), side, "{mounting:?}");
    }
}

#[test]
fn a_cut_recording_gives_its_frames_and_then_says_so() {
    let dir = TempDir::new().unwrap();
    for (name, form) in [
        ("cut.mp4", MP4),
        ("cut.avi", "avenc_mpeg4 ! avimux"),
        ("cut.mkv", "x264enc key-int-max=30 ! h264parse ! matroskamux"),
        ("cut.webm", "vp8enc deadline=1 ! webmmux"),
    ] {
        let path = record(&dir, name, form);
        let whole = std::fs::metadata(&path).unwrap().len();
        std::fs::OpenOptions::new().write(true).open(&path).unwrap().set_len(whole * 7 / 10).unwrap();
        let (frames, error) = read(&path);
        let Some(DisconnectReason::Truncated { frames: counted, missing_bytes, .. }) = error else {
            panic!("{name}: {error:?}")
        };
        assert!(frames.len() > FRAMES / 4 && frames.len() < FRAMES, "{name}: {} frames", frames.len());
        assert_eq!((counted, missing_bytes), (frames.len() as u64, whole - whole * 7 / 10), "{name}");

        let mut rig = Rig::start(&config(file(&path)));
        assert_eq!(rig.until_closed().0.len(), frames.len());
        let Exit::Fault(fault) = rig.ended() else { panic!("no fault") };
        assert!(
            fault.message.starts_with("the file is cut off: ")
                && fault.message.ends_with("copy the file again from where it was recorded"),
            "{fault}"
        );
    }
}

#[test]
fn a_recording_without_its_index_is_named_as_cut() {
    let dir = TempDir::new().unwrap();
    // Without faststart the index stands at the end.
    let path = record(&dir, "cut.mp4", "x264enc ! mp4mux");
    let whole = std::fs::metadata(&path).unwrap().len();
    std::fs::OpenOptions::new().write(true).open(&path).unwrap().set_len(whole / 2).unwrap();
    let error = open(&path).err();
    assert!(matches!(error, Some(DisconnectReason::Truncated { frames: 0, .. })), "{error:?}");
}

#[test]
fn damage_in_the_middle_costs_frames_and_not_the_rest() {
    let dir = TempDir::new().unwrap();
    let path = record(&dir, "a.mp4", "videoconvert ! x264enc key-int-max=10 ! mp4mux faststart=true");
    let mut bytes = std::fs::read(&path).unwrap();
    let at = bytes.len() * 6 / 10;
    bytes[at..at + 200].iter_mut().for_each(|b| *b = b.wrapping_mul(31).wrapping_add(7));
    std::fs::write(&path, bytes).unwrap();
    let (frames, error) = read(&path);
    assert_eq!(error, None);
    assert!(frames.len() > FRAMES / 2, "{} frames", frames.len());
}

#[test]
fn what_is_no_video_is_refused_with_a_reason() {
    let dir = TempDir::new().unwrap();
    let write = |name: &str, bytes: &[u8]| {
        let path = dir.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        path
    };
    let noise: Vec<u8> = (0u32..100_000).map(|i| (i.wrapping_mul(2_654_435_761) >> 15) as u8).collect();
    let error = |path: &Path| open(path).err().map(|e| (e.as_str(), e.class()));
    assert_eq!(error(&write("noise.mp4", &noise)), Some(("corrupt", ErrorClass::Transient)));
    assert_eq!(
        error(&write("text.mp4", b"this is not a video, this is not a video at all\n")),
        Some(("corrupt", ErrorClass::Transient))
    );
    assert_eq!(error(&write("empty.mp4", b"")), Some(("corrupt", ErrorClass::Transient)));
    assert_eq!(error(&dir.path().join("nowhere.mp4")), Some(("not_found", ErrorClass::Permanent)));
    assert_eq!(error(dir.path()), Some(("not_found", ErrorClass::Permanent)));

    let sound = dir.path().join("sound.wav");
    launch(&format!("audiotestsrc num-buffers=50 ! wavenc ! filesink location={}", sound.display()));
    assert_eq!(error(&sound), Some(("corrupt", ErrorClass::Transient)));
}

#[test]
fn sound_beside_the_picture_is_not_in_the_way() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("talk.mp4");
    launch(&format!(
        "mp4mux name=mux ! filesink location={} \
         videotestsrc num-buffers=50 ! video/x-raw,width=320,height=240,framerate=25/1 ! x264enc ! queue ! mux. \
         audiotestsrc num-buffers=200 samplesperbuffer=441 ! audio/x-raw,rate=44100 ! avenc_aac ! queue ! mux.",
        path.display()
    ));
    assert_eq!(read(&path).0.len(), 50);
}

#[test]
fn a_codec_without_decoder_is_named_with_its_package() {
    gst::init().unwrap();
    let dir = TempDir::new().unwrap();
    let path = record(&dir, "odd.ogg", "theoraenc ! oggmux");
    // No other test reads this codec.
    for decoder in ["theoradec", "avdec_theora"] {
        if let Some(factory) = gst::ElementFactory::find(decoder) {
            factory.set_rank(gst::Rank::NONE);
        }
    }
    let error = open(&path).err().unwrap();
    assert_eq!(
        error,
        DisconnectReason::Unsupported {
            codec: "Theora decoder".to_owned(),
            package: Some("gstreamer1.0-plugins-base")
        }
    );
    assert_eq!(error.class(), ErrorClass::Permanent);
}

#[test]
fn a_usb_camera_that_is_not_there_says_so() {
    let source = CameraSource::Usb { device: "/dev/video-none".into(), width: Some(640), height: None, fps: Some(25) };
    let rig = Rig::start(&config(source));
    let text = rig.wait_for_error("unplugged");
    assert!(text.contains("plug it in, or check the device in the streams of camera door-1"), "{text}");
    // Somebody may plug it in at any time.
    assert_eq!(rig.control.snapshot().last_error.unwrap().class, ErrorClass::Transient);
}

#[test]
fn what_the_system_says_of_a_device_that_it_does_not_open_is_told() {
    let dir = TempDir::new().unwrap();
    let source = CameraSource::Usb { device: dir.path().to_owned(), width: None, height: None, fps: None };
    let text = Rig::start(&config(source)).wait_for_error("unplugged");
    assert!(text.starts_with("not plugged in: Is a directory"), "{text}");
}
