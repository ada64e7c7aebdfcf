//! What the stages know about a face, from a box to a shot with an embedding and a liveness score.

use std::fmt;
use std::sync::Arc;

use ::image::codecs::jpeg::JpegEncoder;
use ::image::{ExtendedColorType, ImageEncoder as _};

use crate::frame::{CameraTuning, Frame};
use crate::geometry::{Landmarks, Rect};
use crate::ids::{ModelId, StreamKey, TrackId};
use crate::time::FrameTime;

/// A face found in a frame.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Detection {
    /// Box in pixels of the decoded frame; may reach over its edges.
    pub bbox: Rect,
    /// Detector score, 0 to 1.
    pub score: f32,
    /// The five points, in pixels of the decoded frame.
    pub landmarks: Landmarks,
}

/// detect → track.
#[derive(Clone, Debug)]
pub struct FrameFaces {
    /// The frame.
    pub frame: Frame,
    /// Its faces, best score first.
    pub faces: Vec<Detection>,
    /// The part of the picture that was searched, 0 to 1; what lies elsewhere has not changed since it was. 0: there was nothing
    /// to search, and nobody was there.
    pub searched: f32,
}

/// Where a track was in an analysed frame: for overlays, track files and presence. Not part of the lane's edges.
#[derive(Clone, Debug)]
pub struct TrackObservation {
    /// The motion track, as the `track` stage numbers it.
    pub track: TrackId,
    /// The box that was detected (never a predicted one).
    pub bbox: Rect,
    /// Detector score.
    pub score: f32,
}

/// Square crops around the face that a liveness model wants beside the aligned chip.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ContextCrop {
    /// Side of the crop as a multiple of the face box, shifted (not shrunk) to stay inside the frame.
    pub scale: f32,
    /// Side of the resized crop in pixels.
    pub side: usize,
}

/// A square RGB picture, rows of `side * 3` bytes. Owns its pixels; they are personal data and are not in `Debug`.
#[derive(Clone)]
pub struct Chip {
    /// Side in pixels.
    pub side: usize,
    /// `side * side * 3` bytes, R G B.
    pub rgb: Vec<u8>,
}

impl Chip {
    /// The picture as a JPEG, of a quality from 1 to 100; `None` if it is not as large as it says.
    pub fn jpeg(&self, quality: u8) -> Option<Vec<u8>> {
        let side = u32::from(u16::try_from(self.side).ok()?);
        // The encoder panics otherwise.
        if self.rgb.len() != self.side * self.side * 3 {
            return None;
        }
        let mut out = Vec::new();
        let encoder = JpegEncoder::new_with_quality(&mut out, quality);
        encoder.write_image(&self.rgb, side, side, ExtendedColorType::Rgb8).ok()?;
        Some(out)
    }
}

impl fmt::Debug for Chip {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Chip({0}x{0})", self.side)
    }
}

/// The pixels of one face, cut from its frame: from here on nobody needs the frame.
#[derive(Clone, Debug)]
pub struct FaceChip {
    /// The face, similarity-aligned by its five points to the 112×112 ArcFace template.
    pub aligned: Chip,
    /// One crop for each [`ContextCrop`] of the liveness model, in its order; empty when this shot is not to be checked.
    pub context: Vec<Chip>,
}

/// Head pose as far as five points tell; rough, in degrees.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Pose {
    /// Turned to image-right is positive.
    pub yaw: f32,
    /// Looking up is positive.
    pub pitch: f32,
    /// Clockwise in the image is positive.
    pub roll: f32,
}

/// How good a view of a face is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ShotQuality {
    /// Distance between the eyes, in pixels of the decoded frame.
    pub eye_distance_px: f32,
    /// Width of the face box, in pixels of the decoded frame.
    pub face_px: f32,
    /// Pose.
    pub pose: Pose,
    /// Sharpness: variance of the Laplacian of the aligned chip's luma at half size over its variance, so that contrast
    /// cancels.
    pub sharpness: f32,
    /// Mean luma of the aligned chip, 0 to 255.
    pub brightness: f32,
    /// Standard deviation of the aligned chip's luma.
    pub contrast: f32,
    /// Detector score, 0 to 1.
    pub score: f32,
    /// All of the above in one figure, 0 (useless) to 1: the weight of this shot among others.
    pub weight: f32,
}

/// One good view of a track.
#[derive(Clone, Debug)]
pub struct TrackShot {
    /// Camera and connection.
    pub key: StreamKey,
    /// The motion track it belongs to.
    pub track: TrackId,
    /// Number of the decoded frame within its epoch.
    pub seq: u64,
    /// When.
    pub time: FrameTime,
    /// The camera's tuning.
    pub tuning: Arc<CameraTuning>,
    /// Box in pixels of the decoded frame.
    pub bbox: Rect,
    /// How good the view is.
    pub quality: ShotQuality,
    /// The pixels.
    pub chip: FaceChip,
}

/// A face as a point on the unit sphere. It is biometric data: `Debug` hides it.
#[derive(Clone, PartialEq)]
pub struct Embedding {
    model: ModelId,
    values: Arc<[f32]>,
}

impl Embedding {
    /// Normalises `values` to unit length. `None` if they have no direction (zero, infinite or not a number).
    pub fn normalized(model: ModelId, mut values: Vec<f32>) -> Option<Self> {
        let norm = values.iter().map(|v| v * v).sum::<f32>().sqrt();
        if !norm.is_finite() || norm < 1e-6 {
            return None;
        }
        for v in &mut values {
            *v /= norm;
        }
        Some(Self { model, values: values.into() })
    }

    /// The model that made it.
    pub fn model(&self) -> &ModelId {
        &self.model
    }

    /// Unit vector.
    pub fn values(&self) -> &[f32] {
        &self.values
    }

    /// Cosine similarity, −1 to 1; `None` between two models, where it has no meaning.
    pub fn similarity(&self, other: &Self) -> Option<f32> {
        (self.model == other.model && self.values.len() == other.values.len())
            .then(|| self.values.iter().zip(other.values.iter()).map(|(a, b)| a * b).sum())
    }
}

impl fmt::Debug for Embedding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Embedding({}, {} values)", self.model, self.values.len())
    }
}

/// embed → liveness.
#[derive(Clone, Debug)]
pub struct EmbeddedShot {
    /// The shot.
    pub shot: TrackShot,
    /// Its face.
    pub embedding: Embedding,
}

/// liveness → match. The pixels that liveness needed are gone; the aligned chip stays for review.
#[derive(Clone, Debug)]
pub struct LiveShot {
    /// The shot.
    pub shot: TrackShot,
    /// Its face.
    pub embedding: Embedding,
    /// Probability that this is a living person, 0 to 1; `None` when the shot was not to be checked (too small, too blurred).
    pub live: Option<f32>,
    /// A blink was completed on this track since its last shot.
    pub blinked: bool,
}

/// A motion track that is over: no more shots follow.
#[derive(Clone, Debug)]
pub struct TrackEnd {
    /// Camera and connection.
    pub key: StreamKey,
    /// The motion track.
    pub track: TrackId,
    /// Time of its first analysed frame.
    pub first: FrameTime,
    /// Time of its last analysed frame.
    pub last: FrameTime,
    /// Analysed frames in which it was seen.
    pub frames: u32,
    /// A blink was completed on this track since its last shot. Only `liveness` knows: it is `false` before.
    pub blinked: bool,
    /// The camera's tuning.
    pub tuning: Arc<CameraTuning>,
}

/// The eyes of a track in one analysed frame, for the blink check: every frame counts there, not only the good shots.
#[derive(Clone, Debug)]
pub struct EyeShot {
    /// Camera and connection.
    pub key: StreamKey,
    /// The motion track.
    pub track: TrackId,
    /// When.
    pub time: FrameTime,
    /// 256×256, the square of 1.5 × the face box, rotated so that the eyes are level.
    pub face: Chip,
}

/// What flows on the edges after `track`: shots of any kind, and the ends of tracks, in order.
#[derive(Clone, Debug)]
pub enum Tracked<S> {
    /// A view of a track.
    Shot(S),
    /// For the blink check in `liveness`, which keeps it; none where that check is off.
    Eyes(EyeShot),
    /// The stream has come this far: about one a second, so that what waits for time to pass is not kept waiting by an
    /// empty scene.
    Tick(StreamKey, FrameTime),
    /// The end of a track, after all of its shots.
    Ended(TrackEnd),
}
