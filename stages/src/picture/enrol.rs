//! Whether a picture is good enough to know somebody by.

use rollcall_pipeline::ports::{Embedder, FaceDetector};
use rollcall_pipeline::{Chip, Detection, Embedding, FaceChip, Fault, Image, Rect, ShotQuality};

use super::{RefusedPicture, search};
use crate::chip;

/// A face without contrast that is darker than this lacks light; one that is brighter lacks focus.
const HALF_LIGHT: f32 = 60.0;

/// What an enrolment picture must reach. The defaults refuse what is useless and nothing else: a poor template that is the
/// person's own is better than none, and matching has a margin to the second-best person.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct EnrolGates {
    /// Detector score of the face.
    pub min_score: f32,
    /// Pixels between the eyes.
    pub min_eye_distance_px: f32,
    /// Sharpness, as in [`ShotQuality::sharpness`].
    pub min_sharpness: f32,
    /// Mean luma of the face, 0 to 255.
    pub min_brightness: f32,
    /// Mean luma of the face, 0 to 255.
    pub max_brightness: f32,
    /// Standard deviation of the face's luma; light that is as flat shows no features.
    pub min_contrast: f32,
    /// Degrees to either side.
    pub max_yaw: f32,
    /// Degrees up or down.
    pub max_pitch: f32,
    /// The main face of several must have so many times the area of the next one.
    pub dominance: f32,
}

impl Default for EnrolGates {
    fn default() -> Self {
        Self {
            min_score: 0.6,
            min_eye_distance_px: 14.0,
            min_sharpness: 0.025,
            min_brightness: 25.0,
            max_brightness: 235.0,
            min_contrast: 5.0,
            max_yaw: 60.0,
            max_pitch: 50.0,
            dominance: 3.0,
        }
    }
}

/// A face that somebody can be enrolled with.
#[derive(Clone, Debug)]
pub struct EnrolShot {
    /// The template.
    pub embedding: Embedding,
    /// How good the view is.
    pub quality: ShotQuality,
    /// Where the face is, in pixels of the upright picture.
    pub bbox: Rect,
}

/// The face that a picture is of.
#[derive(Clone, Debug)]
pub struct MainFace {
    /// Box, score and points, in pixels of the upright picture.
    pub face: Detection,
    /// Cut out and aligned.
    pub aligned: Chip,
    /// How good the view is.
    pub quality: ShotQuality,
}

/// One figure of a view against its limit.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct GateReading {
    /// The word for it in tables and JSON.
    pub gate: &'static str,
    /// What was measured.
    pub value: f32,
    /// What it is held to.
    pub limit: f32,
    /// The limit is an upper one.
    pub at_most: bool,
    /// Whether it holds.
    pub pass: bool,
}

impl EnrolGates {
    /// Every gate with what was measured, also of a picture that is accepted.
    pub fn readings(&self, q: &ShotQuality) -> [GateReading; 8] {
        let least = |gate, value, limit| GateReading { gate, value, limit, at_most: false, pass: value >= limit };
        let most = |gate, value, limit| GateReading { gate, value, limit, at_most: true, pass: value <= limit };
        [
            least("score", q.score, self.min_score),
            least("eye_distance_px", q.eye_distance_px, self.min_eye_distance_px),
            most("yaw", q.pose.yaw.abs(), self.max_yaw),
            most("pitch", q.pose.pitch.abs(), self.max_pitch),
            least("min_brightness", q.brightness, self.min_brightness),
            most("max_brightness", q.brightness, self.max_brightness),
            least("contrast", q.contrast, self.min_contrast),
            least("sharpness", q.sharpness, self.min_sharpness),
        ]
    }

    /// The first gate that a view does not pass, as the reason that a picture is refused for.
    ///
    /// # Errors
    /// That reason.
    pub fn check(&self, q: &ShotQuality) -> Result<(), RefusedPicture> {
        if q.eye_distance_px < self.min_eye_distance_px {
            return Err(RefusedPicture::TooSmall { eye_distance_px: q.eye_distance_px, min: self.min_eye_distance_px });
        }
        if q.pose.yaw.abs() > self.max_yaw || q.pose.pitch.abs() > self.max_pitch {
            return Err(RefusedPicture::ExtremePose { yaw: q.pose.yaw, pitch: q.pose.pitch });
        }
        if q.brightness < self.min_brightness {
            return Err(RefusedPicture::Dark { brightness: q.brightness });
        }
        if q.brightness > self.max_brightness {
            return Err(RefusedPicture::OverExposed { brightness: q.brightness });
        }
        if q.contrast < self.min_contrast && q.brightness < HALF_LIGHT {
            return Err(RefusedPicture::Dark { brightness: q.brightness });
        }
        if q.contrast < self.min_contrast || q.sharpness < self.min_sharpness {
            return Err(RefusedPicture::Blurred { sharpness: q.sharpness });
        }
        Ok(())
    }

    /// The only face, or the one that all others are clearly behind.
    ///
    /// # Errors
    /// [`RefusedPicture::NoFace`], [`RefusedPicture::SeveralFaces`].
    pub fn main_face<'a>(&self, faces: &'a [Detection]) -> Result<&'a Detection, RefusedPicture> {
        let mut faces: Vec<&Detection> = faces.iter().filter(|face| face.score >= self.min_score).collect();
        faces.sort_by(|a, b| b.bbox.area().total_cmp(&a.bbox.area()));
        match faces[..] {
            [] => Err(RefusedPicture::NoFace),
            [face] => Ok(face),
            [face, next, ..] if face.bbox.area() >= self.dominance * next.bbox.area() => Ok(face),
            _ => Err(RefusedPicture::SeveralFaces { faces: faces.len() }),
        }
    }
}

/// Finds the face that a picture is of, whether it passes the other gates or not.
///
/// # Errors
/// The outer error is a failing model; the inner one a picture without a face, or with several.
pub fn find_main(
    picture: &Image,
    detector: &mut dyn FaceDetector,
    gates: &EnrolGates,
) -> Result<Result<MainFace, RefusedPicture>, Fault> {
    let faces = search::faces(picture, detector)?;
    Ok(gates.main_face(&faces).map(|face| {
        let aligned = chip::align(&picture.view(), &face.landmarks);
        let quality = chip::quality(face, &aligned);
        MainFace { face: *face, aligned, quality }
    }))
}

/// Finds the one face of a picture, holds it to the gates and embeds it.
///
/// # Errors
/// The outer error is a failing model; the inner one a picture that will not do.
pub fn examine(
    picture: &Image,
    detector: &mut dyn FaceDetector,
    embedder: &mut dyn Embedder,
    gates: &EnrolGates,
) -> Result<Result<EnrolShot, RefusedPicture>, Fault> {
    let MainFace { face, aligned, quality } = match find_main(picture, detector, gates)? {
        Ok(found) => found,
        Err(refused) => return Ok(Err(refused)),
    };
    if let Err(refused) = gates.check(&quality) {
        return Ok(Err(refused));
    }
    let chip = FaceChip { aligned, context: Vec::new() };
    let embedding = embedder.embed(&[&chip])?.pop().flatten();
    Ok(embedding
        .map(|embedding| EnrolShot { embedding, quality, bbox: face.bbox })
        .ok_or(RefusedPicture::Blurred { sharpness: quality.sharpness }))
}
