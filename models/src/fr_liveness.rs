//! fr_liveness: the default passive liveness network.

use ndarray::ArrayView4;

use crate::minifas::softmax_at;
use crate::net::Net;
use crate::{ModelError, Models};

/// Id of the weights.
pub const FR_LIVENESS_ID: &str = "fr-liveness-0.0.1";
/// Side of the crop in pixels.
pub const FR_LIVENESS_SIDE: usize = 128;
const CLASSES: usize = 3;
/// Its three classes are live and two kinds of attack.
const LIVE: usize = 0;

/// The passive liveness network of the default set.
#[derive(Debug)]
pub struct FrLiveness {
    net: Net,
}

impl FrLiveness {
    /// Makes a session that uses `threads` threads.
    ///
    /// # Errors
    ///
    /// [`ModelError::Session`], [`ModelError::WrongShape`].
    pub fn load(models: &Models, threads: usize) -> Result<Self, ModelError> {
        Ok(Self { net: Net::load(models, FR_LIVENESS_ID, threads)? })
    }

    /// Id of the weights.
    pub fn model_id(&self) -> &str {
        self.net.id()
    }

    /// Returns the probability of `live` for each of N×3×128×128, BGR, 0 to 255.
    ///
    /// Each is a crop of 2.7 times the face box, shifted to stay inside the frame.
    ///
    /// # Errors
    ///
    /// [`ModelError::WrongInput`], [`ModelError::NotFinite`], [`ModelError::Session`].
    pub fn run(&mut self, crops: ArrayView4<'_, f32>) -> Result<Vec<f32>, ModelError> {
        self.net.check_input(&crops, FR_LIVENESS_SIDE, "1 to 64 contiguous crops N×3×128×128")?;
        let logits = self.net.run_batch(crops, "output", CLASSES)?;
        Ok(logits.chunks_exact(CLASSES).map(|logits| softmax_at(logits, LIVE)).collect())
    }
}
