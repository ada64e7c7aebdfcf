//! MediaPipe's face mesh: 478 landmarks of one face, from which blinks are read.

use ndarray::ArrayView4;

use crate::net::Net;
use crate::{ModelError, Models};

/// Id of the weights.
pub const FACE_MESH_ID: &str = "mediapipe-face-mesh-478";
/// Side of the crop in pixels.
pub const FACE_MESH_SIDE: usize = 256;
/// Number of landmarks.
pub const FACE_MESH_POINTS: usize = 478;

/// The landmark network.
#[derive(Debug)]
pub struct FaceMesh {
    net: Net,
}

/// Landmarks of one crop.
#[derive(Debug, Clone, PartialEq)]
pub struct FaceMeshOutput {
    /// x, y and z of the 478 landmarks, in pixels of the crop.
    pub points: Vec<[f32; 3]>,
    /// How likely the crop shows a face, 0 to 1.
    pub presence: f32,
}

impl FaceMesh {
    /// Makes a session that uses `threads` threads.
    ///
    /// # Errors
    ///
    /// [`ModelError::Session`], [`ModelError::WrongShape`].
    pub fn load(models: &Models, threads: usize) -> Result<Self, ModelError> {
        Ok(Self { net: Net::load(models, FACE_MESH_ID, threads)? })
    }

    /// Runs on one crop: 1×3×256×256 (planes, not interleaved as in MediaPipe), RGB, 0 to 1.
    ///
    /// The crop is a square of 1.5 times the face box, turned so that the eyes are level.
    ///
    /// # Errors
    ///
    /// [`ModelError::WrongInput`], [`ModelError::NotFinite`], [`ModelError::Session`].
    pub fn run(&mut self, crop: ArrayView4<'_, f32>) -> Result<FaceMeshOutput, ModelError> {
        const TAKES: &str = "one contiguous crop 1×3×256×256";
        if self.net.check_input(&crop, FACE_MESH_SIDE, TAKES)? != 1 {
            return Err(self.net.wrong_input(&crop, TAKES));
        }
        let outputs = self.net.run(crop)?;
        let (points, _) = outputs.values("landmarks", FACE_MESH_POINTS * 3)?.as_chunks::<3>();
        let logit = outputs.values("presence", 1)?[0];
        Ok(FaceMeshOutput { points: points.to_vec(), presence: 1.0 / (1.0 + (-logit).exp()) })
    }
}
