//! What the engine says about real pictures and clips, with the real networks.

mod kit;

use std::io::Cursor;
use std::sync::Arc;

use image::{ImageFormat, imageops};
use rollcall_attendance::{DecisionPolicy, Verdict};
use rollcall_faces::{
    Certainty, EnrolRequest, FaceEngine, JudgeRequest, Material, Refusal, match_gallery, match_list, verify,
};
use rollcall_models::SFACE_ID;
use rollcall_pipeline::{
    CameraId, CameraTuning, Embedding, Epoch, GalleryVersion, LivenessVerdict, MatchOutcome, ModelId, PersonId, RoomId,
    StreamKey, UndecidedReason, WallTime,
};
use rollcall_stages::matching::{Gallery, GalleryHandle};
use uuid::Uuid;

fn person(n: u128) -> PersonId {
    PersonId(Uuid::from_u128(n))
}

async fn template(engine: &FaceEngine, name: &str) -> Embedding {
    engine.encode(kit::media(name), 1).await.expect("a face").remove(0).1
}

fn gallery(templates: impl IntoIterator<Item = (PersonId, Embedding)>) -> Gallery {
    Gallery::new(GalleryVersion(1), ModelId::new(SFACE_ID), templates).expect("one model")
}

fn request(gallery: Gallery, min_agreeing: Option<u32>) -> JudgeRequest {
    JudgeRequest {
        key: StreamKey { camera: CameraId::new("check-in"), epoch: Epoch(Uuid::from_u128(7)) },
        tuning: Arc::new(CameraTuning {
            room: RoomId::new("hall"),
            direction: None,
            analysis_fps: 5.0,
            detect_size: 640,
            min_face_px: 0.0,
            still_interval_s: 0.0,
            regions_of_interest: Vec::new(),
            privacy_masks: Vec::new(),
        }),
        at: WallTime::UNIX_EPOCH,
        matcher: Arc::new(GalleryHandle::new(gallery)),
        expected: None,
        policy: DecisionPolicy::default(),
        min_agreeing,
    }
}

/// A photograph, changed and saved again.
fn again(name: &str, change: impl Fn(image::RgbImage) -> image::RgbImage) -> Vec<u8> {
    let picture = image::load_from_memory(&kit::media(name)).expect("a picture").into_rgb8();
    let mut bytes = Cursor::new(Vec::new());
    change(picture).write_to(&mut bytes, ImageFormat::Png).expect("memory");
    bytes.into_inner()
}

#[tokio::test]
async fn faces_are_found_encoded_and_compared() {
    let engine = kit::real_engine();
    let faces = engine.detect(kit::media("obama.jpg"), 8).await.unwrap();
    assert_eq!(faces.len(), 1);
    let face = &faces[0];
    assert!(face.score > 0.8 && face.quality.weight > 0.8, "{face:?}");
    assert!(face.liveness.score.is_some());
    // Side by side: the larger, better view comes first, and no more than asked for.
    let two = again("obama.jpg", |one| {
        let other = image::load_from_memory(&kit::media("biden.jpg")).unwrap().into_rgb8();
        let small = imageops::resize(&other, other.width() / 12, other.height() / 12, imageops::FilterType::Triangle);
        let mut canvas = image::RgbImage::from_pixel(one.width() + 200, one.height(), image::Rgb([90, 100, 110]));
        imageops::overlay(&mut canvas, &one, 0, 0);
        imageops::overlay(&mut canvas, &small, i64::from(one.width()) + 10, 100);
        canvas
    });
    let found = engine.detect(two.clone(), 8).await.unwrap();
    assert_eq!(found.len(), 2);
    assert!(found[0].quality.weight >= found[1].quality.weight && found[0].bbox.w > found[1].bbox.w);
    assert_eq!(found[1].liveness.verdict, LivenessVerdict::Undecided(UndecidedReason::TooSmall));
    assert_eq!(engine.detect(two, 1).await.unwrap().len(), 1);

    let settings = engine.settings().recognition;
    let (a, b, c) = (
        template(&engine, "obama.jpg").await,
        template(&engine, "obama2.jpg").await,
        template(&engine, "biden.jpg").await,
    );
    assert_eq!(verify(&a, &b, &settings).unwrap().0, Certainty::Confident);
    assert_eq!(verify(&a, &c, &settings).unwrap().0, Certainty::NoMatch);
    let people = gallery([(person(1), b.clone()), (person(2), c.clone())]);
    let matched = match_gallery(&a, &people, &settings, 5);
    assert_eq!((matched.certainty, matched.ranking[0].label), (Certainty::Confident, person(1)));
    assert_eq!(matched.ranking.len(), 2);
    let listed = match_list(&a, &[("joe", c), ("barack", b)], &settings, 1).unwrap();
    assert_eq!((listed.certainty, listed.ranking[0].label), (Certainty::Confident, "barack"));
    engine.stop();
}

#[tokio::test]
async fn enrolment_decides_a_persons_pictures_together_and_names_whose_face_it_is() {
    let engine = kit::real_engine();
    let obama = template(&engine, "obama.jpg").await;
    let others = Arc::new(gallery([(person(1), obama.clone())]));
    let request = EnrolRequest {
        person: person(2),
        own: Vec::new(),
        others: Arc::clone(&others) as _,
        pictures: vec![
            kit::media("biden.jpg"),
            kit::media("obama3.jpg"),
            again("biden.jpg", |p| imageops::blur(&p, 60.0)),
            b"<html>".to_vec(),
        ],
    };
    let told = engine.enrol(request.clone()).await.unwrap();
    assert!(told[0].outcome.is_ok());
    assert!(told[0].report.len() == 8 && told[0].report.iter().all(|r| r.pass), "{:?}", told[0].report);
    assert!(matches!(told[1].outcome, Err(Refusal::LooksLike { other, .. }) if other == person(1)));
    assert!(told[2].outcome.is_err());
    assert_eq!(told[3].outcome.as_ref().unwrap_err().code(), "unreadable");
    assert_ne!(told[0].sha256, told[1].sha256);
    // His own pictures are his own, with what he has and without.
    for own in [vec![], vec![obama]] {
        let own = EnrolRequest { person: person(1), own, pictures: vec![kit::media("obama3.jpg")], ..request.clone() };
        assert!(engine.enrol(own).await.unwrap()[0].outcome.is_ok());
    }
    let examined = engine.examine(kit::media("obama2.jpg")).await.unwrap();
    assert!(examined.shot.is_ok() && examined.bbox.is_some() && examined.report.iter().all(|r| r.pass));
    let dark = engine.examine(again("obama.jpg", |mut p| {
        p.iter_mut().for_each(|v| *v /= 10);
        p
    }));
    let dark = dark.await.unwrap();
    assert_eq!(dark.shot.unwrap_err().code(), "dark");
    assert!(dark.report.iter().any(|r| r.gate == "min_brightness" && !r.pass));
    let many = EnrolRequest { pictures: vec![Vec::new(); 33], ..request };
    assert_eq!(engine.enrol(many).await.unwrap_err().code(), "too_many");
    engine.stop();
}

#[tokio::test]
async fn one_picture_names_nobody_unless_one_is_enough() {
    let engine = kit::real_engine();
    let known = template(&engine, "obama.jpg").await;
    let people = || gallery([(person(1), known.clone())]);
    let photo = || Material::Pictures(vec![kit::media("obama2.jpg"), kit::media("obama2.jpg")]);
    let judged = engine.judge(photo(), request(people(), None)).await.unwrap();
    assert_eq!((judged.verdict, judged.frames), (Verdict::Ambiguous, 1), "the same file twice is one picture");
    assert_eq!(judged.decision.shots, 1);
    let judged = engine.judge(photo(), request(people(), Some(1))).await.unwrap();
    assert!(matches!(judged.decision.outcome, MatchOutcome::Identified(m) if m.person == person(1)));
    assert!(!matches!(judged.decision.liveness, LivenessVerdict::Spoof(_)));
    let expected = match judged.decision.liveness {
        LivenessVerdict::Live(_) => Verdict::Mark(person(1)),
        _ => Verdict::Ambiguous,
    };
    assert_eq!(judged.verdict, expected);
    let stranger = Material::Pictures(vec![kit::media("biden.jpg")]);
    let judged = engine.judge(stranger, request(people(), Some(1))).await.unwrap();
    assert_eq!(judged.decision.outcome, MatchOutcome::Unknown);
    engine.stop();
}

#[tokio::test]
async fn frames_of_one_moment_are_judged_as_a_lane_would() {
    let engine = kit::real_engine();
    let (he, known) = (person(1), template(&engine, "franck_02045.jpg").await);
    let other = template(&engine, "obama.jpg").await;
    let frames = ["franck_01829.jpg", "franck_02159.jpg", "franck_02221.jpg", "franck_02683.jpg"];
    let material = || Material::Pictures(frames.map(kit::media).to_vec());
    let people = gallery([(he, known), (person(2), other.clone())]);
    let judged = engine.judge(material(), request(people, None)).await.unwrap();
    assert_eq!((judged.verdict, judged.frames), (Verdict::Mark(he), 4));
    assert!(matches!(judged.decision.liveness, LivenessVerdict::Live(_)) && judged.decision.best.is_some());
    let judged = engine.judge(material(), request(gallery([(person(2), other)]), None)).await.unwrap();
    assert_eq!(judged.verdict, Verdict::Unknown);
    engine.stop();
}

#[tokio::test]
async fn hostile_files_are_refused_and_the_next_one_is_served() {
    let engine = kit::real_engine();
    let nobody = || request(gallery([]), None);
    // A PNG that says it has 60000 × 60000 pixels.
    let mut bomb = again("obama.jpg", |p| imageops::resize(&p, 8, 8, imageops::FilterType::Nearest));
    bomb[16..24].copy_from_slice(&[0, 0, 0xea, 0x60, 0, 0, 0xea, 0x60]);
    let crc = crc32(&bomb[12..29]);
    bomb[29..33].copy_from_slice(&crc.to_be_bytes());
    assert_eq!(engine.detect(bomb, 8).await.unwrap_err().code(), "too_large");
    // A picture with a script behind it is a picture; a script with a picture behind it is none.
    let mut tail = kit::media("obama.jpg");
    tail.extend_from_slice(b"<script>alert(1)</script>");
    assert_eq!(engine.detect(tail, 8).await.unwrap().len(), 1);
    let mut head = b"<?php ?>".to_vec();
    head.extend_from_slice(&kit::media("obama.jpg"));
    assert_eq!(engine.detect(head, 8).await.unwrap_err().code(), "unreadable");
    let too_large = engine.detect(vec![0; (20 << 20) + 1], 8).await.unwrap_err();
    assert_eq!(too_large.code(), "too_large");

    for (bytes, code) in [
        (b"#EXTM3U\nfile:///etc/passwd\n".to_vec(), "not_a_video"),
        (b"\0\0\0\x10ftypisom\0\0\0\0".to_vec(), "clip_unreadable"),
        (vec![0; (20 << 20) + 1], "clip_too_large"),
        (kit::media("franck.mp4"), "clip_too_long"),
    ] {
        let error = engine.judge(Material::Clip(bytes), nobody()).await.unwrap_err();
        assert_eq!(error.code(), code, "{error}");
    }
    assert_eq!(engine.judge(Material::Pictures(Vec::new()), nobody()).await.unwrap_err().code(), "no_face");
    assert_eq!(engine.detect(kit::media("biden.jpg"), 8).await.unwrap().len(), 1);
    engine.stop();
}

/// As PNG has it.
fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0u32, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |c, _| if c & 1 == 1 { c >> 1 ^ 0xedb8_8320 } else { c >> 1 })
    })
}
