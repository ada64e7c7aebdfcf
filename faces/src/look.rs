//! What is to be seen in one picture. Runs networks, knows nobody.

use std::panic::{AssertUnwindSafe, catch_unwind};

use rollcall_pipeline::{
    Chip, Detection, Embedding, ErrorClass, FaceChip, Fault, Image, Landmarks, LivenessVerdict, Rect, ShotQuality,
};
use rollcall_stages::chip;
use rollcall_stages::picture::{self, EnrolShot, GateReading, MainFace, RefusedPicture};
use sha2::{Digest as _, Sha256};

use crate::nets::{FaceNets, FaceSettings};

/// Faces of one picture that are described, at most.
pub const MAX_FACES: usize = 64;

/// A face in a picture.
#[derive(Clone, Debug, PartialEq)]
pub struct FaceInfo {
    /// Box in pixels of the upright picture; may reach over its edges.
    pub bbox: Rect,
    /// The five points, in the same pixels.
    pub landmarks: Landmarks,
    /// Detector score, 0 to 1.
    pub score: f32,
    /// How good the view is.
    pub quality: ShotQuality,
    /// Whether it is alive.
    pub liveness: FaceLiveness,
}

/// What one picture says about life. A lane asks at least three shots before it calls a face a picture: a single check of a
/// living face can fail badly, so nothing that counts should rest on this alone.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct FaceLiveness {
    /// By the thresholds of the lane, for this one view.
    pub verdict: LivenessVerdict,
    /// The model's score, 0 to 1; `None` where the view was not fit to be checked.
    pub score: Option<f32>,
}

/// What an enrolment picture came to.
#[derive(Clone, Debug)]
pub struct Examined {
    /// sha256 of the file.
    pub sha256: [u8; 32],
    /// Every gate with what was measured; empty where there is no face to measure.
    pub report: Vec<GateReading>,
    /// Where the face is.
    pub bbox: Option<Rect>,
    /// The template, or why there is none.
    pub shot: Result<EnrolShot, RefusedPicture>,
}

impl Examined {
    /// A picture that shows nothing to measure.
    pub(crate) fn refused(sha256: [u8; 32], refused: RefusedPicture) -> Self {
        Self { sha256, report: Vec::new(), bbox: None, shot: Err(refused) }
    }
}

/// Decodes a file. A decoder that panics has met a file that was made for it, which is a refusal and no failure.
pub(crate) fn decode(bytes: &[u8]) -> Result<Image, RefusedPicture> {
    // Nothing survives the panic: the decoder owns all it works on.
    catch_unwind(AssertUnwindSafe(|| picture::decode(bytes))).unwrap_or_else(|_| {
        Err(RefusedPicture::Unreadable { why: "the decoder failed on it; save it again as JPEG or PNG".to_owned() })
    })
}

pub(crate) fn sha256(bytes: &[u8]) -> [u8; 32] {
    Sha256::digest(bytes).into()
}

/// The faces of a picture, best view first, with their aligned chips.
pub(crate) fn faces(
    image: &Image,
    nets: &mut FaceNets,
    settings: &FaceSettings,
    most: usize,
) -> Result<Vec<(FaceInfo, FaceChip)>, Fault> {
    let found = picture::faces(image, &mut *nets.detector)?;
    let mut faces: Vec<_> = found.iter().take(MAX_FACES).map(|face| (*face, view(image, face))).collect();
    faces.sort_by(|(_, a), (_, b)| b.1.weight.total_cmp(&a.1.weight));
    faces.truncate(most);
    faces
        .into_iter()
        .map(|(face, (aligned, quality))| {
            let liveness = liveness(image, &face, &quality, &aligned, nets, settings)?;
            let info = FaceInfo { bbox: face.bbox, landmarks: face.landmarks, score: face.score, quality, liveness };
            Ok((info, FaceChip { aligned, context: Vec::new() }))
        })
        .collect()
}

/// Cuts a face out and looks at how good the view is.
pub(crate) fn view(image: &Image, face: &Detection) -> (Chip, ShotQuality) {
    let aligned = chip::align(&image.view(), &face.landmarks);
    let quality = chip::quality(face, &aligned);
    (aligned, quality)
}

fn liveness(
    image: &Image,
    face: &Detection,
    quality: &ShotQuality,
    aligned: &Chip,
    nets: &mut FaceNets,
    settings: &FaceSettings,
) -> Result<FaceLiveness, Fault> {
    if let Some(reason) = settings.unfair(quality) {
        return Ok(FaceLiveness { verdict: LivenessVerdict::Undecided(reason), score: None });
    }
    let score = score(image, face, aligned, nets)?;
    Ok(FaceLiveness { verdict: settings.verdict(score, 1, 1), score: Some(score) })
}

/// The liveness score of one view.
pub(crate) fn score(image: &Image, face: &Detection, aligned: &Chip, nets: &mut FaceNets) -> Result<f32, Fault> {
    let context = nets.liveness.crops().iter().map(|crop| chip::context(&image.view(), &face.bbox, crop)).collect();
    let chip = FaceChip { aligned: aligned.clone(), context };
    match nets.liveness.score(&[&chip])?[..] {
        [score] if (0.0..=1.0).contains(&score) => Ok(score),
        _ => Err(Fault::new(ErrorClass::Bug, "the liveness model gave no probability for a face")),
    }
}

/// One embedding a chip; `None` where the model gives no direction.
pub(crate) fn embed(chips: &[&FaceChip], nets: &mut FaceNets) -> Result<Vec<Option<Embedding>>, Fault> {
    let embeddings = if chips.is_empty() { Vec::new() } else { nets.embedder.embed(chips)? };
    if embeddings.len() != chips.len() {
        return Err(Fault::new(ErrorClass::Bug, format!("{} embeddings for {} faces", embeddings.len(), chips.len())));
    }
    Ok(embeddings)
}

/// Holds a picture to the gates for enrolment, and says what was measured.
pub(crate) fn examine(
    image: &Image,
    sha256: [u8; 32],
    nets: &mut FaceNets,
    settings: &FaceSettings,
) -> Result<Examined, Fault> {
    let gates = &settings.gates;
    let MainFace { face, aligned, quality } = match picture::find_main(image, &mut *nets.detector, gates)? {
        Ok(found) => found,
        Err(reason) => return Ok(Examined::refused(sha256, reason)),
    };
    let measured = Examined {
        report: gates.readings(&quality).to_vec(),
        bbox: Some(face.bbox),
        ..Examined::refused(sha256, RefusedPicture::Blurred { sharpness: quality.sharpness })
    };
    if let Err(reason) = gates.check(&quality) {
        return Ok(Examined { shot: Err(reason), ..measured });
    }
    let chip = FaceChip { aligned, context: Vec::new() };
    let Some(embedding) = embed(&[&chip], nets)?.pop().flatten() else { return Ok(measured) };
    Ok(Examined { shot: Ok(EnrolShot { embedding, quality, bbox: face.bbox }), ..measured })
}
