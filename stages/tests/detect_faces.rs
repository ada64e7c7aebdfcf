//! What leaves the detect stage, with the real detector and with one that says what the test wants.

mod vision;

use rollcall_models::YuNet;
use rollcall_pipeline::image::I420;
use rollcall_pipeline::ports::FaceDetector;
use rollcall_pipeline::{
    CameraTuning, Detection, ErrorClass, Fault, Frame, Image, Outbox, Point, Polygon, Rect, Stage as _,
};
use rollcall_stages::detect::{DetectStage, MAX_FACES, YuNetDetector};

/// Finds the same faces in every frame.
struct Always(Vec<Detection>);

impl FaceDetector for Always {
    fn detect(&mut self, _frame: &Frame) -> Result<Vec<Detection>, Fault> {
        Ok(self.0.clone())
    }
}

fn face(x: f32, y: f32, side: f32) -> Detection {
    Detection { bbox: Rect { x, y, w: side, h: side }, score: 0.9, landmarks: [Point { x, y }; 5] }
}

/// Runs one frame of 200×100 pixels; gives the left edges of the faces that go on.
fn check(tuning: CameraTuning, found: Vec<Detection>, expected: &[f32]) {
    let mut stage = DetectStage::new(Always(found));
    let mut out = Outbox::collecting();
    let image = Image::new(I420::filled(200, 100, [100, 128, 128]));
    stage.on_open(&vision::stream(1)).expect("a detector that never fails");
    stage.process(vec![vision::frame(0, image, tuning)], &mut out).expect("a detector that never fails");
    let sent = out.take();
    assert_eq!(sent.len(), 1, "one item a frame, with faces or without");
    assert_eq!(sent[0].faces.iter().map(|f| f.bbox.x).collect::<Vec<_>>(), expected);
}

#[test]
fn small_faces_stay_behind() {
    check(vision::tuning(), vec![face(1.0, 1.0, 24.0), face(2.0, 2.0, 23.9), face(3.0, 3.0, 80.0)], &[1.0, 3.0]);
    check(vision::tuning(), vec![], &[]);
}

#[test]
fn only_faces_whose_middle_is_in_a_region_count() {
    let corner = |x: f32, y: f32| Point { x, y };
    let left = Polygon(vec![corner(0.0, 0.0), corner(0.5, 0.0), corner(0.5, 1.0), corner(0.0, 1.0)]);
    let far_right = Polygon(vec![corner(0.9, 0.0), corner(1.0, 0.0), corner(1.0, 1.0), corner(0.9, 1.0)]);
    let tuning = CameraTuning { regions_of_interest: vec![left, far_right], ..vision::tuning() };
    let faces = vec![face(10.0, 10.0, 30.0), face(80.0, 10.0, 30.0), face(90.0, 10.0, 30.0), face(170.0, 10.0, 28.0)];
    check(tuning, faces, &[10.0, 80.0, 170.0]);
}

#[test]
fn a_crowd_is_cut_to_its_best() {
    let crowd = (0..MAX_FACES + 9).map(|i| face(i as f32, 0.0, 30.0)).collect();
    check(vision::tuning(), crowd, &(0..MAX_FACES).map(|i| i as f32).collect::<Vec<_>>());
}

#[test]
fn nonsense_from_a_model_stays_behind() {
    let mut bad = face(1.0, 1.0, 30.0);
    bad.landmarks[2].y = f32::NAN;
    check(vision::tuning(), vec![bad, face(f32::INFINITY, 0.0, 30.0), face(5.0, 5.0, 30.0)], &[5.0]);
}

#[test]
fn a_failing_model_is_a_fault() {
    struct Broken;
    impl FaceDetector for Broken {
        fn detect(&mut self, _frame: &Frame) -> Result<Vec<Detection>, Fault> {
            Err(Fault::new(ErrorClass::Permanent, "broken"))
        }
    }
    let image = Image::new(I420::filled(64, 64, [100, 128, 128]));
    let batch = vec![vision::frame(0, image, vision::tuning())];
    assert_eq!(DetectStage::new(Broken).process(batch, &mut Outbox::collecting()).unwrap_err().message, "broken");
}

fn detector() -> YuNetDetector {
    YuNetDetector::new(YuNet::load(&vision::models(), 1).expect("a verified model"), YuNetDetector::THRESHOLD)
}

/// Box and eyes that the Python reference (OpenCV's resize, the same weights) finds at 640 pixels.
#[test]
fn faces_are_where_the_reference_finds_them() {
    let cases = [
        ("obama.jpg", [369.0, 91.1, 241.8, 330.1], [439.7, 213.7, 555.2, 213.8]),
        ("obama2.jpg", [201.2, 229.3, 275.4, 404.0], [244.5, 375.9, 367.7, 384.1]),
        ("franck_02045.jpg", [271.6, 111.6, 268.1, 395.1], [359.2, 264.5, 481.0, 251.9]),
    ];
    let mut detector = detector();
    for (name, [x, y, w, h], [left_x, left_y, right_x, right_y]) in cases {
        let image = vision::photo(name);
        let faces = detector.find(&image.view(), 640).unwrap();
        assert_eq!(faces.len(), 1, "{name}");
        let overlap = faces[0].bbox.iou(&Rect { x, y, w, h });
        assert!(overlap > 0.95, "{name}: IoU {overlap} of {:?}", faces[0].bbox);
        let eyes = [(faces[0].landmarks[0], left_x, left_y), (faces[0].landmarks[1], right_x, right_y)];
        for (found, x, y) in eyes {
            assert!((found.x - x).hypot(found.y - y) < 5.0, "{name}: {found:?} instead of {x}, {y}");
        }
    }
}

#[test]
fn a_picture_without_a_face_has_none() {
    let stripes: Vec<u8> = (0..640 * 480).flat_map(|i| [(i % 64 * 4) as u8, (i / 640 % 32 * 8) as u8, 90]).collect();
    let image = Image::new(I420::from_rgb(640, 480, &stripes));
    let mut stage = DetectStage::new(detector());
    let mut out = Outbox::collecting();
    stage.process(vec![vision::frame(0, image, vision::tuning())], &mut out).unwrap();
    assert!(out.take()[0].faces.is_empty());
}
