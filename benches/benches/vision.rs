//! The parts that touch pixels: from a decoded frame to embeddings and scores, one thread.
#![expect(clippy::print_stdout, reason = "a benchmark that says what it leaves out")]

use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;

use criterion::{BatchSize, BenchmarkId, Criterion};
use ndarray::Array4;
use rollcall_benches::{Numbers, face, models, picture};
use rollcall_models::{FaceMesh, FrLiveness, MiniFas, Models, Provider, SFACE_ID, SFace, YuNet};
use rollcall_pipeline::ports::{Embedder, LivenessModel};
use rollcall_pipeline::{
    Attention, CameraId, CameraTuning, Detection, Epoch, FaceChip, Frame, FrameTime, Image, MediaTime, MonoTime,
    PixelBuffer, Rect, RoomId, StreamKey, TimeSource, WallTime,
};
use rollcall_stages::chip;
use rollcall_stages::detect::motion::{Grids, MotionGate};
use rollcall_stages::detect::{Letterbox, NMS_IOU, YuNetDetector, decode, suppress};
use rollcall_stages::embed::SFaceEmbedder;
use rollcall_stages::liveness::{EyeModel, FrLivenessModel, MeshEyes, MiniFasModel};
use uuid::Uuid;

/// Longest side that the detector sees by default.
const DETECT_SIZE: u32 = 640;
const LOADED: &str = "a verified model loads";
const RUNS: &str = "a loaded model runs";

fn main() {
    let mut criterion = Criterion::default()
        .without_plots()
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(2))
        .sample_size(20)
        .configure_from_args();
    let models = models();
    gate(&mut criterion);
    detect(&mut criterion, &models);
    chips(&mut criterion, &models);
    criterion.final_summary();
}

/// What a frame costs in which nothing moved: less than what it saves, or there is no point.
fn gate(criterion: &mut Criterion) {
    let tuning = CameraTuning {
        room: RoomId::new("bench"),
        direction: None,
        analysis_fps: 5.0,
        detect_size: DETECT_SIZE,
        min_face_px: 24.0,
        still_interval_s: 2.0,
        regions_of_interest: Vec::new(),
        privacy_masks: Vec::new(),
    };
    let mut frame = Frame {
        key: StreamKey { camera: CameraId::new("bench"), epoch: Epoch(Uuid::nil()) },
        seq: 0,
        time: FrameTime {
            media: MediaTime(0),
            received: MonoTime(Duration::ZERO),
            captured: WallTime::UNIX_EPOCH,
            source: TimeSource::File,
        },
        image: Image::new(picture(1920, 1080)),
        tuning: Arc::new(tuning),
        attention: Attention::default(),
    };
    let (mut gate, mut grids) = (MotionGate::default(), Grids::default());
    let mut look = move || {
        frame.time.media = MediaTime(frame.time.media.0 + 200_000_000);
        gate.look(&mut grids, &frame).expect("planes of the right size")
    };
    assert_eq!([look().as_str(), look().as_str()], ["first", "still"]);
    criterion.bench_function("motion gate/1920x1080", |bench| bench.iter(&mut look));
}

fn detect(criterion: &mut Criterion, models: &Models) {
    let yunet = || YuNet::load(models, 1).expect(LOADED);
    for (width, height) in [(1920, 1080), (800, 600)] {
        let picture = picture(width, height);
        let size = format!("{width}x{height}");
        let mut letterbox = Letterbox::default();
        criterion.bench_function(&format!("letterbox/{size}"), |bench| {
            bench.iter(|| letterbox.fill(&picture.view(), DETECT_SIZE).expect("planes of the right size").scale);
        });
        let mut detector = YuNetDetector::new(yunet(), YuNetDetector::THRESHOLD);
        criterion.bench_function(&format!("letterbox+yunet+decode/{size}"), |bench| {
            bench.iter(|| detector.find(&picture.view(), DETECT_SIZE).expect(RUNS));
        });
        let place = [Rect { x: width as f32 / 2.0, y: height as f32 / 2.0, w: 120.0, h: 160.0 }];
        criterion.bench_function(&format!("letterbox+yunet+decode of a place of 120x160/{size}"), |bench| {
            bench.iter(|| detector.find_at(&picture.view(), DETECT_SIZE, &place).expect(RUNS).part);
        });
    }
    let mut net = yunet();
    for (width, height) in [(640, 384), (640, 480), (640, 640)] {
        let tensor = Array4::from_elem((1, 3, height, width), 90.0);
        criterion.bench_function(&format!("yunet/{width}x{height}"), |bench| {
            bench.iter(|| net.run(tensor.view()).expect(RUNS).strides().expect("the right shapes").len());
        });
    }
    let tensor = Array4::from_elem((1, 3, 480, 640), 90.0);
    let output = net.run(tensor.view()).expect(RUNS);
    let strides = output.strides().expect("the right shapes");
    criterion.bench_function("yunet decode/640x480", |bench| {
        bench.iter(|| decode(black_box(&strides), YuNetDetector::THRESHOLD));
    });
    drop(output);
    let mut numbers = Numbers::default();
    let mut near = |at: f32| at + 6.0 * numbers.next().unwrap_or_default();
    // Some fifteen anchors a face, as the network gives them.
    let candidates: Vec<Detection> = (0..300)
        .map(|i| face(near((i % 20) as f32 * 30.0), near((i % 4) as f32 * 80.0), 25.0, near(50.0) / 60.0))
        .collect();
    criterion.bench_function("nms/300 candidates of 20 faces", |bench| {
        bench.iter_batched(|| candidates.clone(), |faces| suppress(faces, NMS_IOU), BatchSize::SmallInput);
    });
}

fn chips(criterion: &mut Criterion, models: &Models) {
    let picture = picture(1920, 1080);
    let view = picture.view();
    let mut liveness = FrLivenessModel::new(FrLiveness::load(models, 1).expect(LOADED));
    let crop = liveness.crops()[0];
    for size in [48.0, 160.0] {
        let face = face(900.0, 500.0, size, 0.9);
        let mut group = criterion.benchmark_group("chip");
        group.bench_function(BenchmarkId::new("align", size), |bench| {
            bench.iter(|| chip::align(&view, black_box(&face.landmarks)));
        });
        group.bench_function(BenchmarkId::new("liveness crop", size), |bench| {
            bench.iter(|| chip::context(&view, black_box(&face.bbox), &crop));
        });
        group.bench_function(BenchmarkId::new("eyes crop", size), |bench| {
            bench.iter(|| chip::eyes(&view, black_box(&face.bbox), &face.landmarks));
        });
        group.finish();
    }
    let face = face(900.0, 500.0, 160.0, 0.9);
    let aligned = chip::align(&view, &face.landmarks);
    criterion.bench_function("chip/quality", |bench| bench.iter(|| chip::quality(black_box(&face), &aligned)));

    let chip = FaceChip { aligned, context: vec![chip::context(&view, &face.bbox, &crop)] };
    for (name, int8) in [("sface", false), ("sface in 8 bits", true)] {
        let models = models.clone().with_provider(Provider::Cpu { int8 });
        let mut sface = SFaceEmbedder::new(SFace::load(&models, 1).expect(LOADED));
        if models.provider_of(SFACE_ID) != (Provider::Cpu { int8 }) {
            println!("{name}: not measured: this processor has no instructions for it");
            continue;
        }
        for faces in [1, 8] {
            let chips = vec![&chip; faces];
            criterion.bench_function(&format!("{name}/{faces} faces"), |bench| {
                bench.iter(|| sface.embed(&chips).expect(RUNS));
            });
        }
    }
    criterion.bench_function("fr_liveness/1 face", |bench| bench.iter(|| liveness.score(&[&chip]).expect(RUNS)));
    let mut mesh = MeshEyes::new(FaceMesh::load(models, 1).expect(LOADED));
    let eyes = chip::eyes(&view, &face.bbox, &face.landmarks);
    criterion.bench_function("mesh/1 face", |bench| bench.iter(|| mesh.openness(&eyes).expect(RUNS)));
    // Set-up does not fetch these weights.
    if MiniFas::is_installed(models) {
        let mut minifas = MiniFasModel::new(MiniFas::load(models, 1).expect(LOADED));
        let context = minifas.crops().iter().map(|crop| chip::context(&view, &face.bbox, crop)).collect();
        let chip = FaceChip { context, ..chip };
        criterion.bench_function("minifas/1 face", |bench| bench.iter(|| minifas.score(&[&chip]).expect(RUNS)));
    } else {
        println!("minifas: not measured: ROLLCALL_BENCH_MODELS names no folder with both networks");
    }
}
