//! SFace: an aligned face to an embedding.

use ndarray::{Array2, ArrayView4};

use crate::net::Net;
use crate::{ModelError, Models};

/// Id of the weights; belongs to every embedding they make.
pub const SFACE_ID: &str = "sface-2021dec";
/// Side of the aligned face in pixels.
pub const SFACE_SIDE: usize = 112;
/// Length of an embedding.
pub const SFACE_DIMENSION: usize = 128;

/// The embedding network.
#[derive(Debug)]
pub struct SFace {
    net: Net,
}

impl SFace {
    /// Makes a session that uses `threads` threads.
    ///
    /// # Errors
    ///
    /// [`ModelError::Session`], [`ModelError::WrongShape`].
    pub fn load(models: &Models, threads: usize) -> Result<Self, ModelError> {
        Ok(Self { net: Net::load(models, SFACE_ID, threads)? })
    }

    /// The id that belongs to every embedding this network makes.
    pub fn model_id(&self) -> &str {
        self.net.id()
    }

    /// Embeds N×3×112×112, RGB, 0 to 255, aligned to the five-point template, to N×128, not yet of unit length.
    ///
    /// # Errors
    ///
    /// [`ModelError::WrongInput`], [`ModelError::NotFinite`], [`ModelError::Session`].
    pub fn run(&mut self, chips: ArrayView4<'_, f32>) -> Result<Array2<f32>, ModelError> {
        let batch = self.net.check_input(&chips, SFACE_SIDE, "1 to 64 contiguous aligned faces N×3×112×112")?;
        let values = self.net.run_batch(chips, "fc1", SFACE_DIMENSION)?;
        Ok(Array2::from_shape_vec((batch, SFACE_DIMENSION), values).expect("as many values as were asked for"))
    }
}
