//! Who can be enrolled from a live camera, by the shots that the lane takes.

mod kit;

use std::sync::Arc;
use std::time::Duration;

use rollcall_faces::{LiveEnrolment, LiveRefusal, LiveShots, LiveTemplate};
use rollcall_models::{SFACE_ID, SFACE_SIDE};
use rollcall_pipeline::image::I420;
use rollcall_pipeline::ports::Observer;
use rollcall_pipeline::{
    Attention, CameraId, CameraTuning, Chip, Embedding, Epoch, FaceChip, Frame, FrameTime, Image, LiveShot, MediaTime,
    ModelId, MonoTime, Pose, Rect, RoomId, ShotQuality, StreamKey, TimeSource, TrackId, TrackShot, WallTime,
};
use uuid::Uuid;

/// A shot to be made: whose face (in degrees), which motion track, how wide, how alive.
#[derive(Clone, Copy)]
struct Shot {
    face: f32,
    track: u64,
    width: f32,
    live: Option<f32>,
    weight: f32,
}

const SOMEBODY: Shot = Shot { face: 0.0, track: 1, width: 120.0, live: Some(0.9), weight: 0.5 };

fn time() -> FrameTime {
    FrameTime {
        media: MediaTime(0),
        received: MonoTime(Duration::ZERO),
        captured: WallTime::UNIX_EPOCH,
        source: TimeSource::Ntp,
    }
}

fn key(camera: &str) -> StreamKey {
    StreamKey { camera: CameraId::new(camera), epoch: Epoch(Uuid::from_u128(1)) }
}

fn tuning() -> Arc<CameraTuning> {
    Arc::new(CameraTuning {
        room: RoomId::new("hall"),
        direction: None,
        analysis_fps: 5.0,
        detect_size: 640,
        min_face_px: 24.0,
        still_interval_s: 0.0,
        regions_of_interest: Vec::new(),
        privacy_masks: Vec::new(),
    })
}

fn shot(camera: &str, s: Shot) -> LiveShot {
    let (sin, cos) = s.face.to_radians().sin_cos();
    let quality = ShotQuality {
        eye_distance_px: s.width * 0.45,
        face_px: s.width,
        pose: Pose::default(),
        sharpness: 0.2,
        brightness: 120.0,
        contrast: 40.0,
        score: 0.9,
        weight: s.weight,
    };
    LiveShot {
        shot: TrackShot {
            key: key(camera),
            track: TrackId(s.track),
            seq: 1,
            time: time(),
            tuning: tuning(),
            bbox: Rect { x: 0.0, y: 0.0, w: s.width, h: s.width },
            quality,
            chip: FaceChip { aligned: Chip { side: 2, rgb: vec![(s.weight * 100.0) as u8; 12] }, context: Vec::new() },
        },
        embedding: Embedding::normalized(ModelId::new("m"), vec![cos, sin]).expect("a direction"),
        live: s.live,
        blinked: false,
    }
}

fn stand(shots: &[Shot]) -> Result<LiveEnrolment, LiveRefusal> {
    let live = LiveShots::new();
    let capture = live.begin(&CameraId::new("door")).expect("room for one");
    let image = Image::new(I420::filled(4, 4, [0, 128, 128]));
    live.observed(
        &Frame { key: key("door"), seq: 1, time: time(), image, tuning: tuning(), attention: Attention::default() },
        &[],
    );
    for s in shots {
        live.shot(&shot("door", *s));
        live.shot(&shot("elsewhere", Shot { face: 90.0, track: 9, width: 500.0, ..*s }));
    }
    capture.finish(3, &kit::settings())
}

#[track_caller]
fn check(shots: &[Shot], code: &str) {
    assert_eq!(stand(shots).map(|_| ()).map_err(|refusal| refusal.code()), Err(code));
}

#[test]
fn the_best_views_of_whoever_stands_there_become_templates() {
    let weights = [0.3, 0.9, 0.1, 0.7, 0.5];
    let found = stand(&weights.map(|weight| Shot { weight, ..SOMEBODY })).unwrap();
    let kept: Vec<_> = found.templates.iter().map(|t| t.quality.weight).collect();
    assert_eq!(kept, [0.9, 0.7, 0.5]);
    assert!(found.templates.iter().all(|t| t.report.iter().all(|r| r.pass)));
    assert!(found.templates[0].sha256 != found.templates[1].sha256);
}

#[test]
fn turning_away_and_back_is_one_person_and_a_passer_by_is_nobody() {
    let back = Shot { track: 2, face: 20.0, ..SOMEBODY };
    let passing = Shot { track: 3, face: 90.0, ..SOMEBODY };
    let far = Shot { track: 4, face: 180.0, width: 50.0, ..SOMEBODY };
    let found = stand(&[SOMEBODY, SOMEBODY, back, passing, far, far, far]).unwrap();
    assert_eq!(found.templates.len(), 3);
    check(&[SOMEBODY, SOMEBODY, passing, passing], "several_people");
}

#[test]
fn a_shot_of_somebody_else_in_the_same_track_makes_no_template() {
    let other = Shot { face: 80.0, weight: 0.4, ..SOMEBODY };
    assert_eq!(stand(&[SOMEBODY, SOMEBODY, other]).unwrap().templates.len(), 2);
}

#[tokio::test(flavor = "current_thread")]
async fn what_becomes_a_template_is_embedded_again() {
    let mut taken = stand(&[SOMEBODY; 3]).unwrap().templates;
    for template in &mut taken {
        template.chip = Chip { side: SFACE_SIDE, rgb: (0..3 * SFACE_SIDE * SFACE_SIDE).map(|i| i as u8).collect() };
    }
    let engine = kit::real_engine();
    let embedded = engine.embed_again(taken.clone()).await.unwrap();
    engine.stop();
    let weights = |templates: &[LiveTemplate]| templates.iter().map(|t| t.quality.weight).collect::<Vec<_>>();
    assert_eq!(weights(&embedded), weights(&taken));
    assert!(embedded.iter().all(|template| template.embedding.model().as_str() == SFACE_ID), "by the engine's network");
}

#[test]
fn refusals_say_why() {
    check(&[], "nobody_there");
    let fake = Shot { live: Some(0.05), ..SOMEBODY };
    check(&[fake; 3], "spoof");
    check(&[fake; 2], "not_alive");
    check(&[Shot { live: Some(0.5), ..SOMEBODY }; 3], "not_alive");
    check(&[Shot { live: None, width: 60.0, ..SOMEBODY }; 3], "not_alive");
    check(&[Shot { live: None, width: 20.0, ..SOMEBODY }; 3], "too_small");
    let silent = LiveShots::new();
    let refusal = silent.begin(&CameraId::new("door")).unwrap().finish(3, &kit::settings()).unwrap_err();
    assert_eq!(refusal, LiveRefusal::NoPicture);
}

#[tokio::test(flavor = "current_thread")]
async fn captures_are_few_and_end_with_whoever_asked() {
    let live = LiveShots::new();
    let camera = CameraId::new("door");
    let held: Vec<_> = (0..4).map(|_| live.begin(&camera).unwrap()).collect();
    assert_eq!(live.begin(&camera).unwrap_err(), LiveRefusal::Busy);
    let asked = live.best_shots(&camera, Duration::ZERO, 3, &kit::settings()).await;
    assert_eq!(asked.unwrap_err(), LiveRefusal::Busy);
    drop(held);
    live.shot(&shot("door", SOMEBODY));
    let asked = live.best_shots(&camera, Duration::ZERO, 3, &kit::settings()).await;
    assert_eq!(asked.unwrap_err(), LiveRefusal::NoPicture, "what came before is not kept");
}
