//! What leaves the liveness stage: scores of the shots that are checked, and blinks on the next shot of their track, or on its end.

mod vision;

use std::sync::Arc;

use rollcall_models::{FaceMesh, FrLiveness};
use rollcall_pipeline::ports::LivenessModel;
use rollcall_pipeline::{
    Chip, ContextCrop, EmbeddedShot, Embedding, ErrorClass, EyeShot, FaceChip, Fault, LiveShot, ModelId, Outbox, Point,
    Pose, Rect, ShotQuality, Stage as _, TrackEnd, TrackId, TrackShot, Tracked,
};
use rollcall_stages::chip;
use rollcall_stages::liveness::{EyeModel, FrLivenessModel, LivenessStage, MeshEyes, NoLiveness};

/// Scores by the first byte of the first crop, in percent.
struct Percent;

impl LivenessModel for Percent {
    fn crops(&self) -> &[ContextCrop] {
        &[ContextCrop { scale: 2.0, side: 1 }]
    }

    fn score(&mut self, chips: &[&FaceChip]) -> Result<Vec<f32>, Fault> {
        Ok(chips.iter().map(|chip| f32::from(chip.context[0].rgb[0]) / 100.0).collect())
    }
}

/// Reads openness from the first byte, in percent; 255 is no face.
struct PercentOpen;

impl EyeModel for PercentOpen {
    fn openness(&mut self, face: &Chip) -> Result<Option<f32>, Fault> {
        Ok((face.rgb[0] != 255).then(|| f32::from(face.rgb[0]) / 100.0))
    }
}

fn dot(value: u8) -> Chip {
    Chip { side: 1, rgb: vec![value; 3] }
}

fn shot(stream: u128, track: u64, live: Option<u8>) -> Tracked<EmbeddedShot> {
    let quality = ShotQuality {
        eye_distance_px: 30.0,
        face_px: 60.0,
        pose: Pose::default(),
        sharpness: 0.1,
        brightness: 100.0,
        contrast: 30.0,
        score: 0.9,
        weight: 0.8,
    };
    let shot = TrackShot {
        key: vision::stream(stream),
        track: TrackId(track),
        seq: 0,
        time: vision::at(0),
        tuning: Arc::new(vision::tuning()),
        bbox: Rect::default(),
        quality,
        chip: FaceChip { aligned: dot(0), context: live.map(dot).into_iter().collect() },
    };
    let embedding = Embedding::normalized(ModelId::new("test"), vec![1.0, 0.0]).expect("a direction");
    Tracked::Shot(EmbeddedShot { shot, embedding })
}

/// Looks at the eyes of a track, one every 200 ms.
fn looks(stream: u128, track: u64, percent: &[u8]) -> Vec<Tracked<EmbeddedShot>> {
    let look = |(i, &p): (usize, &u8)| {
        let (key, time) = (vision::stream(stream), vision::at(i as u64 * 200));
        Tracked::Eyes(EyeShot { key, track: TrackId(track), time, face: dot(p) })
    };
    percent.iter().enumerate().map(look).collect()
}

fn ended(stream: u128, track: u64) -> Tracked<EmbeddedShot> {
    Tracked::Ended(TrackEnd {
        key: vision::stream(stream),
        track: TrackId(track),
        first: vision::at(0),
        last: vision::at(1000),
        frames: 6,
        blinked: false,
        tuning: Arc::new(vision::tuning()),
    })
}

fn shots(items: Vec<Tracked<LiveShot>>) -> Vec<LiveShot> {
    items.into_iter().filter_map(|i| if let Tracked::Shot(shot) = i { Some(shot) } else { None }).collect()
}

#[test]
fn shots_without_crops_are_not_scored_and_order_is_kept() {
    let mut out = Outbox::collecting();
    let batch = vec![shot(1, 1, Some(90)), shot(1, 2, None), shot(1, 3, Some(10)), ended(1, 1)];
    LivenessStage::new(Percent).process(batch, &mut out).unwrap();
    let sent = out.take();
    assert!(matches!(sent.last(), Some(Tracked::Ended(_))));
    let sent = shots(sent);
    assert_eq!(
        sent.iter().map(|s| (s.shot.track.0, s.live)).collect::<Vec<_>>(),
        [(1, Some(0.9)), (2, None), (3, Some(0.1))]
    );
    assert!(sent.iter().all(|s| s.shot.chip.context.is_empty()), "crops are not carried on");
}

#[test]
fn a_score_that_is_no_probability_is_a_bug() {
    let fault =
        LivenessStage::new(Percent).process(vec![shot(1, 1, Some(101))], &mut Outbox::collecting()).unwrap_err();
    assert_eq!(fault.class, ErrorClass::Bug);
}

#[test]
fn without_a_model_nothing_is_asked_for_and_nothing_is_scored() {
    assert!(NoLiveness.crops().is_empty());
    let mut out = Outbox::collecting();
    LivenessStage::new(NoLiveness).process(vec![shot(1, 1, None)], &mut out).unwrap();
    assert_eq!(shots(out.take())[0].live, None);
}

#[test]
fn a_blink_is_told_once_by_the_next_shot_of_its_track() {
    let mut stage = LivenessStage::new(Percent).with_blinks(PercentOpen);
    let mut out = Outbox::collecting();
    let mut batch = looks(1, 1, &[30, 30, 255, 31, 8, 30]);
    batch.extend(looks(2, 1, &[30, 30, 30, 30, 30, 30]));
    batch.extend([shot(2, 1, None), shot(1, 2, None), shot(1, 1, None), shot(1, 1, None)]);
    stage.process(batch, &mut out).unwrap();
    let blinked: Vec<_> = shots(out.take()).iter().map(|s| (s.shot.key.clone(), s.shot.track.0, s.blinked)).collect();
    let (one, two) = (vision::stream(1), vision::stream(2));
    assert_eq!(blinked, [(two, 1, false), (one.clone(), 2, false), (one.clone(), 1, true), (one, 1, false)]);
}

#[test]
fn a_blink_after_the_last_shot_is_told_by_the_end_of_its_track() {
    let ends = |items: Vec<Tracked<LiveShot>>| -> Vec<_> {
        let ends = items.into_iter().filter_map(|i| if let Tracked::Ended(end) = i { Some(end) } else { None });
        ends.map(|end| (end.track.0, end.blinked)).collect()
    };
    let mut stage = LivenessStage::new(Percent).with_blinks(PercentOpen);
    let mut out = Outbox::collecting();
    let mut batch = looks(1, 1, &[30, 30, 30, 8, 30]);
    batch.extend(looks(1, 2, &[30, 30, 30, 8, 30]));
    batch.extend(looks(1, 3, &[30, 30, 30, 30, 30]));
    batch.extend([shot(1, 2, None), ended(1, 1), ended(1, 2), ended(1, 3)]);
    stage.process(batch, &mut out).unwrap();
    assert_eq!(ends(out.take()), [(1, true), (2, false), (3, false)], "once, by the shot or by the end");
}

#[test]
fn state_ends_with_the_track_and_with_the_stream() {
    let mut stage = LivenessStage::new(Percent).with_blinks(PercentOpen);
    let mut out = Outbox::collecting();
    let mut batch = looks(1, 1, &[30, 30]);
    batch.extend(looks(1, 2, &[30]));
    batch.extend(looks(2, 1, &[30]));
    stage.process(batch, &mut out).unwrap();
    assert_eq!(stage.tracks(), 3);
    stage.process(vec![ended(1, 1)], &mut out).unwrap();
    assert_eq!(stage.tracks(), 2);
    stage.on_close(&vision::stream(1), &mut out).unwrap();
    assert_eq!(stage.tracks(), 1);
}

#[test]
fn looks_are_dropped_where_the_check_is_off() {
    let mut stage = LivenessStage::new(Percent);
    let mut out = Outbox::collecting();
    stage.process(looks(1, 1, &[30, 30, 30, 8, 30]), &mut out).unwrap();
    assert_eq!((out.take().len(), stage.tracks()), (0, 0));
}

/// The face of a photograph of the demo media: box and landmarks as the Python reference finds them.
fn known_face() -> (Rect, [Point; 5]) {
    let points = [(359.2, 264.5), (481.0, 251.9), (440.9, 329.8), (379.3, 403.6), (483.8, 393.7)];
    (Rect { x: 271.6, y: 111.6, w: 268.1, h: 395.1 }, points.map(|(x, y)| Point { x, y }))
}

#[test]
fn a_photograph_of_a_person_scores_as_in_the_reference() {
    let mut model = FrLivenessModel::new(FrLiveness::load(&vision::models(), 1).unwrap());
    let photo = vision::photo("franck_02045.jpg");
    let context = model.crops().iter().map(|crop| chip::context(&photo.view(), &known_face().0, crop)).collect();
    let chip = FaceChip { aligned: dot(0), context };
    let scores = model.score(&[&chip, &chip]).unwrap();
    // 0.9998 with OpenCV's resize.
    assert!(scores.len() == 2 && scores.iter().all(|s| *s > 0.99), "{scores:?}");
    let nothing = FaceChip { aligned: dot(0), context: Vec::new() };
    assert_eq!(model.score(&[&nothing]).unwrap_err().class, ErrorClass::Bug);
}

#[test]
fn the_mesh_sees_open_eyes_and_no_eyes_in_a_wall() {
    let mut mesh = MeshEyes::new(FaceMesh::load(&vision::models(), 1).unwrap());
    let photo = vision::photo("franck_02045.jpg");
    let (bbox, landmarks) = known_face();
    let open = mesh.openness(&chip::eyes(&photo.view(), &bbox, &landmarks)).unwrap();
    assert!(open.is_some_and(|open| (0.15..0.6).contains(&open)), "{open:?}");
    let wall = Chip { side: chip::EYES_SIDE, rgb: vec![120; chip::EYES_SIDE * chip::EYES_SIDE * 3] };
    assert_eq!(mesh.openness(&wall).unwrap(), None);
}
