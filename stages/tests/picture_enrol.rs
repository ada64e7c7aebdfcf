//! Which pictures people can be enrolled with, with the real detector and embedder.

mod vision;

use image::imageops::{self, FilterType};
use image::{Rgb, RgbImage};
use rollcall_models::{SFace, YuNet};
use rollcall_pipeline::Image;
use rollcall_pipeline::image::I420;
use rollcall_stages::detect::YuNetDetector;
use rollcall_stages::embed::SFaceEmbedder;
use rollcall_stages::picture::{EnrolGates, EnrolShot, RefusedPicture, examine, faces, nearest_to_center};

struct Desk {
    detector: YuNetDetector,
    embedder: SFaceEmbedder,
    gates: EnrolGates,
}

impl Desk {
    fn new() -> Self {
        let models = vision::models();
        let detector = YuNetDetector::new(YuNet::load(&models, 1).expect("a verified model"), YuNetDetector::THRESHOLD);
        let embedder = SFaceEmbedder::new(SFace::load(&models, 1).expect("a verified model"));
        Self { detector, embedder, gates: EnrolGates::default() }
    }

    fn examine(&mut self, picture: &RgbImage) -> Result<EnrolShot, RefusedPicture> {
        let picture = frame(picture);
        examine(&picture, &mut self.detector, &mut self.embedder, &self.gates).expect("models that run")
    }

    fn check_refused(&mut self, picture: &RgbImage, code: &str) {
        match self.examine(picture) {
            Ok(shot) => panic!("{:?} instead of {code}", shot.quality),
            Err(refused) => assert_eq!(refused.code(), code, "{refused}"),
        }
    }
}

fn frame(rgb: &RgbImage) -> Image {
    Image::new(I420::from_rgb(rgb.width() as usize, rgb.height() as usize, rgb.as_raw()))
}

/// A photograph of the demo media, for what is done to it here.
fn photo(name: &str) -> RgbImage {
    let path = vision::cache().join("demo").join(name);
    image::open(path).expect("the demo media are in models/cache; run `make setup`").into_rgb8()
}

fn scaled(picture: &RgbImage, factor: f32) -> RgbImage {
    let side = |side: u32| (side as f32 * factor).round() as u32;
    imageops::resize(picture, side(picture.width()), side(picture.height()), FilterType::Triangle)
}

fn map(picture: &RgbImage, change: impl Fn(f32) -> f32) -> RgbImage {
    let mut out = picture.clone();
    out.iter_mut().for_each(|value| *value = change(f32::from(*value)).clamp(0.0, 255.0) as u8);
    out
}

fn canvas(width: u32, height: u32) -> RgbImage {
    RgbImage::from_pixel(width, height, Rgb([110, 120, 130]))
}

#[test]
fn a_good_picture_is_taken_whatever_its_size_and_margin() {
    let mut desk = Desk::new();
    let whole = photo("obama.jpg");
    let plain = desk.examine(&whole).unwrap();
    assert!(plain.quality.weight > 0.8, "{:?}", plain.quality);
    let tight = imageops::crop_imm(&whole, 369, 91, 242, 330).to_image();
    let small = scaled(&whole, 0.3);
    let mut far = canvas(3000, 2000);
    imageops::overlay(&mut far, &scaled(&whole, 0.5), 2000, 900);
    for (what, picture) in [("tight", tight), ("small", small), ("far", far)] {
        let shot = desk.examine(&picture).unwrap_or_else(|e| panic!("{what}: {e}"));
        let similarity = shot.embedding.similarity(&plain.embedding).unwrap();
        assert!(similarity > 0.85, "{what}: {similarity}");
    }
}

#[test]
fn each_refusal_names_its_reason() {
    let mut desk = Desk::new();
    let good = photo("obama.jpg");
    desk.check_refused(&canvas(600, 400), "no_face");
    desk.check_refused(&RgbImage::from_fn(1, 1, |_, _| Rgb([1, 2, 3])), "no_face");
    desk.check_refused(&scaled(&good, 0.09), "too_small");
    desk.check_refused(&map(&good, |v| v * 0.1), "dark");
    desk.check_refused(&map(&good, |v| v * 0.1 + 235.0), "over_exposed");
    desk.check_refused(&imageops::blur(&scaled(&good, 0.5), 9.0), "blurred");
}

#[test]
fn a_face_that_is_turned_away_is_refused() {
    let mut desk = Desk::new();
    let good = photo("obama.jpg");
    let middle = desk.examine(&good).unwrap().bbox.center().x as u32;
    // Foreshortened to one side, as a turned head is.
    let near = imageops::crop_imm(&good, middle, 0, good.width() - middle, good.height()).to_image();
    let far = imageops::crop_imm(&good, 0, 0, middle, good.height()).to_image();
    let far = imageops::resize(&far, middle / 3, good.height(), FilterType::Triangle);
    let mut turned = canvas(far.width() + near.width(), good.height());
    imageops::overlay(&mut turned, &far, 0, 0);
    imageops::overlay(&mut turned, &near, i64::from(far.width()), 0);
    desk.gates.max_yaw = 20.0;
    desk.check_refused(&turned, "extreme_pose");
    desk.examine(&good).unwrap();
}

#[test]
fn of_several_faces_one_must_be_clearly_the_main_one() {
    let mut desk = Desk::new();
    let (one, other) = (scaled(&photo("obama.jpg"), 0.4), photo("biden.jpg"));
    let mut equals = canvas(900, 600);
    imageops::overlay(&mut equals, &one, 20, 20);
    imageops::overlay(&mut equals, &scaled(&other, 0.25), 550, 20);
    desk.check_refused(&equals, "several_faces");
    let mut behind = canvas(900, 600);
    imageops::overlay(&mut behind, &one, 20, 20);
    imageops::overlay(&mut behind, &scaled(&other, 0.15), 550, 20);
    let shot = desk.examine(&behind).unwrap();
    assert!(shot.bbox.center().x < 400.0, "{:?}", shot.bbox);
}

#[test]
fn the_middle_face_can_be_picked() {
    let mut desk = Desk::new();
    let mut three = canvas(900, 400);
    for (i, name) in ["obama.jpg", "franck_02045.jpg", "obama3.jpg"].into_iter().enumerate() {
        let face = imageops::resize(&photo(name), 280, 380, FilterType::Triangle);
        imageops::overlay(&mut three, &face, 10 + 300 * i as i64, 10);
    }
    let picture = frame(&three);
    let found = faces(&picture, &mut desk.detector).unwrap();
    assert_eq!(found.len(), 3);
    let middle = nearest_to_center(&picture, &found).unwrap().bbox.center();
    assert!((300.0..600.0).contains(&middle.x), "{middle:?}");
    assert_eq!(nearest_to_center(&picture, &[]), None);
}

#[test]
fn texts_say_what_to_do() {
    let texts = [
        RefusedPicture::NoFace.to_string(),
        RefusedPicture::SeveralFaces { faces: 3 }.to_string(),
        RefusedPicture::TooSmall { eye_distance_px: 9.4, min: 14.0 }.to_string(),
    ];
    assert_eq!(texts[0], "no face was found; use a picture that shows the whole face from the front");
    assert_eq!(texts[1], "3 faces were found and none is clearly the main one; crop the picture to one person");
    assert_eq!(
        texts[2],
        "the face is too small: 9 pixels between the eyes, at least 14 are needed; use a larger or closer picture"
    );
}
