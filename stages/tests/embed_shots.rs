//! What leaves the embed stage, and whether alignment and network together say what the Python reference says.

mod vision;

use std::sync::Arc;

use rollcall_models::{Provider, SFace};
use rollcall_pipeline::ports::Embedder;
use rollcall_pipeline::{
    Chip, Embedding, ErrorClass, EyeShot, FaceChip, Fault, ModelId, Outbox, Point, Pose, Rect, ShotQuality, Stage as _,
    TrackEnd, TrackId, TrackShot, Tracked,
};
use rollcall_stages::chip;
use rollcall_stages::embed::{EmbedStage, SFaceEmbedder};

/// Embeds a chip by its first byte; zero has no direction. Remembers the sizes of its batches.
struct FirstByte(ModelId);

impl Embedder for FirstByte {
    fn model(&self) -> &ModelId {
        &self.0
    }

    fn embed(&mut self, chips: &[&FaceChip]) -> Result<Vec<Option<Embedding>>, Fault> {
        let embedding =
            |chip: &&FaceChip| Embedding::normalized(self.0.clone(), vec![f32::from(chip.aligned.rgb[0]), 0.0]);
        Ok(chips.iter().map(embedding).collect())
    }
}

fn shot(seq: u64, first_byte: u8) -> Tracked<TrackShot> {
    Tracked::Shot(TrackShot {
        key: vision::stream(1),
        track: TrackId(1),
        seq,
        time: vision::at(seq * 200),
        tuning: Arc::new(vision::tuning()),
        bbox: Rect::default(),
        quality: ShotQuality {
            eye_distance_px: 30.0,
            face_px: 60.0,
            pose: Pose::default(),
            sharpness: 0.1,
            brightness: 100.0,
            contrast: 30.0,
            score: 0.9,
            weight: 0.8,
        },
        chip: FaceChip { aligned: Chip { side: 1, rgb: vec![first_byte, 0, 0] }, context: Vec::new() },
    })
}

fn eyes(seq: u64) -> Tracked<TrackShot> {
    let face = Chip { side: 1, rgb: vec![0; 3] };
    Tracked::Eyes(EyeShot { key: vision::stream(1), track: TrackId(1), time: vision::at(seq * 200), face })
}

fn ended() -> Tracked<TrackShot> {
    Tracked::Ended(TrackEnd {
        key: vision::stream(1),
        track: TrackId(1),
        first: vision::at(0),
        last: vision::at(1000),
        frames: 6,
        blinked: false,
        tuning: Arc::new(vision::tuning()),
    })
}

#[test]
fn order_is_kept_and_a_shot_without_direction_goes() {
    let mut stage = EmbedStage::new(FirstByte(ModelId::new("first-byte")));
    let mut out = Outbox::collecting();
    let tick = Tracked::Tick(vision::stream(1), vision::at(900));
    let batch = vec![shot(0, 9), eyes(1), shot(2, 0), shot(3, 7), tick, ended()];
    stage.process(batch, &mut out).unwrap();
    let words = out.take().into_iter().map(|item| match item {
        Tracked::Shot(shot) => format!("shot {}", shot.shot.seq),
        Tracked::Eyes(eyes) => format!("eyes {}", eyes.time.media.as_millis()),
        Tracked::Tick(_, time) => format!("tick {}", time.media.as_millis()),
        Tracked::Ended(_) => "ended".to_owned(),
    });
    assert_eq!(words.collect::<Vec<_>>(), ["shot 0", "eyes 200", "shot 3", "tick 900", "ended"]);
}

#[test]
fn a_batch_without_shots_does_not_wake_the_model() {
    struct Asleep(ModelId);
    impl Embedder for Asleep {
        fn model(&self) -> &ModelId {
            &self.0
        }
        fn embed(&mut self, _chips: &[&FaceChip]) -> Result<Vec<Option<Embedding>>, Fault> {
            Err(Fault::new(ErrorClass::Bug, "woken"))
        }
    }
    let mut out = Outbox::collecting();
    EmbedStage::new(Asleep(ModelId::new("asleep"))).process(vec![eyes(0), ended()], &mut out).unwrap();
    assert_eq!(out.take().len(), 2);
}

#[test]
fn too_few_embeddings_are_a_bug() {
    struct Short(ModelId);
    impl Embedder for Short {
        fn model(&self) -> &ModelId {
            &self.0
        }
        fn embed(&mut self, _chips: &[&FaceChip]) -> Result<Vec<Option<Embedding>>, Fault> {
            Ok(vec![])
        }
    }
    let fault = EmbedStage::new(Short(ModelId::new("short"))).process(vec![shot(0, 1)], &mut Outbox::collecting());
    assert_eq!(fault.unwrap_err().class, ErrorClass::Bug);
}

/// Similarities of the Python reference (OpenCV's `INTER_AREA` and `warpAffine`, the same weights), from its landmarks.
#[test]
fn similarities_are_those_of_the_reference() {
    let points = |p: [(f32, f32); 5]| p.map(|(x, y)| Point { x, y });
    let photos = [
        ("obama.jpg", points([(439.7, 213.7), (555.2, 213.8), (496.0, 267.1), (440.2, 318.2), (546.7, 320.9)])),
        ("obama2.jpg", points([(244.5, 375.9), (367.7, 384.1), (276.3, 455.5), (245.1, 523.4), (350.0, 531.4)])),
        ("obama3.jpg", points([(736.3, 378.1), (867.1, 381.1), (813.5, 444.7), (736.8, 509.1), (850.1, 512.0)])),
        ("biden.jpg", points([(519.6, 325.6), (669.6, 330.1), (603.0, 409.7), (510.4, 466.7), (639.7, 471.6)])),
    ];
    let chips = photos.map(|(name, landmarks)| FaceChip {
        aligned: chip::align(&vision::photo(name).view(), &landmarks),
        context: Vec::new(),
    });
    let embed = |provider: Provider| -> Vec<Embedding> {
        let models = vision::models().with_provider(provider);
        let mut embedder = SFaceEmbedder::new(SFace::load(&models, 1).unwrap());
        embedder.embed(&chips.each_ref()).unwrap().into_iter().map(Option::unwrap).collect()
    };
    // A processor without instructions for it does both in 32 bits.
    let (full, int8) = (embed(Provider::default()), embed(Provider::Cpu { int8: true }));
    for (full, int8) in full.iter().zip(&int8) {
        assert_eq!([full, int8].map(|embedding| embedding.model().as_str()), ["sface-2021dec"; 2]);
        let similarity = full.similarity(int8).unwrap();
        assert!(similarity > 0.985, "in 8 bits: {similarity}");
    }
    for (a, b, expected) in [(0, 1, 0.745), (0, 2, 0.806), (1, 2, 0.730), (0, 3, 0.079)] {
        for embeddings in [&full, &int8] {
            let found = embeddings[a].similarity(&embeddings[b]).unwrap();
            assert!((found - expected).abs() < 0.04, "{} and {}: {found}, not {expected}", photos[a].0, photos[b].0);
        }
    }
}

#[test]
fn one_by_one_is_the_same_as_many_at_once() {
    let landmarks = chip::TEMPLATE.map(|(x, y)| Point { x: 200.0 + 3.0 * x, y: 80.0 + 3.0 * y });
    let names = ["franck_02045.jpg", "franck_02888.jpg", "franck_04000.jpg"];
    let photos: Vec<FaceChip> = (0..9)
        .map(|i| FaceChip { aligned: chip::align(&vision::photo(names[i % 3]).view(), &landmarks), context: vec![] })
        .collect();
    let mut embedder = SFaceEmbedder::new(SFace::load(&vision::models(), 1).unwrap());
    let together = embedder.embed(&photos.iter().collect::<Vec<_>>()).unwrap();
    for (chip, many) in photos.iter().zip(&together) {
        let one = embedder.embed(&[chip]).unwrap().remove(0).unwrap();
        assert!(one.similarity(many.as_ref().unwrap()).unwrap() > 0.999_9);
    }
}
