//! Still pictures: reading what people hand in, finding the face, and saying why a picture will not do.
//!
//! Everything about a file is hostile until proven otherwise. Deliberately knows no people and no database.

mod enrol;
mod read;
mod search;

pub use enrol::{EnrolGates, EnrolShot, GateReading, MainFace, examine, find_main};
pub use read::{MAX_BYTES, MAX_PIXELS, decode, read};
pub use search::{faces, nearest_to_center};

/// Why a picture cannot be used for enrolment; the text says what to do.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum RefusedPicture {
    /// Not a picture, or a broken one.
    #[error("the picture cannot be read: {why}")]
    Unreadable {
        /// In the words of the system or of the decoder.
        why: String,
    },
    /// Above the limits on bytes or pixels.
    #[error(
        "the picture is too large ({what}); at most {} MB and {} megapixels are read, so scale it down",
        MAX_BYTES >> 20,
        MAX_PIXELS / 1_000_000
    )]
    TooLarge {
        /// How large it is.
        what: String,
    },
    /// The detector finds none.
    #[error("no face was found; use a picture that shows the whole face from the front")]
    NoFace,
    /// It is not clear who is meant.
    #[error("{faces} faces were found and none is clearly the main one; crop the picture to one person")]
    SeveralFaces {
        /// How many.
        faces: usize,
    },
    /// Too few pixels to tell people apart.
    #[error(
        "the face is too small: {eye_distance_px:.0} pixels between the eyes, at least {min:.0} are needed; \
         use a larger or closer picture"
    )]
    TooSmall {
        /// What it has.
        eye_distance_px: f32,
        /// What it should have.
        min: f32,
    },
    /// No detail.
    #[error("the face is blurred (sharpness {sharpness:.4}); use a picture that is in focus and was taken at rest")]
    Blurred {
        /// As in the quality of a shot.
        sharpness: f32,
    },
    /// Hardly any light on the face.
    #[error("the face is too dark (brightness {brightness:.0} of 255); light it from the front")]
    Dark {
        /// Mean luma.
        brightness: f32,
    },
    /// Burnt out.
    #[error("the face is over-exposed (brightness {brightness:.0} of 255); use softer light")]
    OverExposed {
        /// Mean luma.
        brightness: f32,
    },
    /// Turned away, or looking far up or down.
    #[error("the face is turned too far (about {yaw:.0}° sideways, {pitch:.0}° up); look into the camera")]
    ExtremePose {
        /// Degrees; to the right is positive.
        yaw: f32,
        /// Degrees; up is positive.
        pitch: f32,
    },
}

impl RefusedPicture {
    /// The word for it in tables and JSON.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Unreadable { .. } => "unreadable",
            Self::TooLarge { .. } => "too_large",
            Self::NoFace => "no_face",
            Self::SeveralFaces { .. } => "several_faces",
            Self::TooSmall { .. } => "too_small",
            Self::Blurred { .. } => "blurred",
            Self::Dark { .. } => "dark",
            Self::OverExposed { .. } => "over_exposed",
            Self::ExtremePose { .. } => "extreme_pose",
        }
    }
}
