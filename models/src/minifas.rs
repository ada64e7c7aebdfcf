//! MiniFASNet V2 and V1SE: the better passive liveness pair, for which an operator supplies the weights.

use ndarray::ArrayView4;

use crate::net::Net;
use crate::{ModelError, Models};

/// Id of the weights that look at 2.7 times the face box.
pub const MINIFAS_V2_ID: &str = "minifas-v2-2.7";
/// Id of the weights that look at 4 times the face box.
pub const MINIFAS_V1SE_ID: &str = "minifas-v1se-4.0";
/// Side of both crops in pixels.
pub const MINIFAS_SIDE: usize = 80;
const CLASSES: usize = 3;
const LIVE: usize = 1;
const TAKES: &str = "as many contiguous crops N×3×80×80 of both scales, 1 to 64";

/// Both networks; their mean is the score.
#[derive(Debug)]
pub struct MiniFas {
    near: Net,
    wide: Net,
}

impl MiniFas {
    /// Makes two sessions that use `threads` threads each.
    ///
    /// # Errors
    ///
    /// [`ModelError::NotInstalled`] unless both files are in the operator's directory, [`ModelError::Altered`],
    /// [`ModelError::Session`], [`ModelError::WrongShape`].
    pub fn load(models: &Models, threads: usize) -> Result<Self, ModelError> {
        let near = Net::load(models, MINIFAS_V2_ID, threads)?;
        Ok(Self { near, wide: Net::load(models, MINIFAS_V1SE_ID, threads)? })
    }

    /// Tells whether both files are in the operator's directory.
    pub fn is_installed(models: &Models) -> bool {
        models.is_installed(MINIFAS_V2_ID) && models.is_installed(MINIFAS_V1SE_ID)
    }

    /// Returns the probability of `live` for each face: `near` are crops of 2.7, `wide` of 4 times the same boxes.
    ///
    /// Both N×3×80×80, BGR, 0 to 255.
    ///
    /// # Errors
    ///
    /// [`ModelError::WrongInput`], [`ModelError::NotFinite`], [`ModelError::Session`].
    pub fn run(&mut self, near: ArrayView4<'_, f32>, wide: ArrayView4<'_, f32>) -> Result<Vec<f32>, ModelError> {
        if self.near.check_input(&near, MINIFAS_SIDE, TAKES)? != self.wide.check_input(&wide, MINIFAS_SIDE, TAKES)? {
            return Err(self.wide.wrong_input(&wide, TAKES));
        }
        // These files end in a softmax.
        let near = self.near.run_batch(near, "prob", CLASSES)?;
        let wide = self.wide.run_batch(wide, "prob", CLASSES)?;
        let faces = near.chunks_exact(CLASSES).zip(wide.chunks_exact(CLASSES));
        Ok(faces.map(|(near, wide)| (near[LIVE] + wide[LIVE]) / 2.0).collect())
    }
}

/// The probability of one class from logits.
pub(crate) fn softmax_at(logits: &[f32], index: usize) -> f32 {
    // Relative to the largest, so that no exponential overflows.
    let largest = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let sum: f32 = logits.iter().map(|logit| (logit - largest).exp()).sum();
    (logits[index] - largest).exp() / sum
}
