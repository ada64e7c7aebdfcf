//! YuNet: faces and five landmarks of each, as raw anchors. Decoding them is the detector's business.

use ndarray::ArrayView4;

use crate::net::{Net, Outputs};
use crate::{ModelError, Models};

/// Id of the weights.
pub const YUNET_ID: &str = "yunet-2023mar";

/// One side of the input at most; a 4K frame at full size.
const MAX_SIDE: usize = 4096;
const STRIDES: [usize; 3] = [8, 16, 32];

/// The detector network.
#[derive(Debug)]
pub struct YuNet {
    net: Net,
}

/// Raw outputs for one image, still in ONNX Runtime's memory.
pub struct YuNetOutput<'s> {
    outputs: Outputs<'s>,
    rows_px: usize,
    columns_px: usize,
}

/// The anchors of one stride, row by row: anchor `i` is at column `i % columns`, row `i / columns`.
///
/// score = √(cls·obj); centre = (column + dx, row + dy)·stride; size = exp(w, h)·stride; landmark = (x + column, y + row)·stride.
/// Landmarks: right eye, left eye, nose, right and left mouth corner of the person, that is, image-left first.
#[derive(Debug, Clone, Copy)]
pub struct YuNetStride<'a> {
    /// Pixels from one anchor to the next.
    pub stride: usize,
    /// Anchors in a row.
    pub columns: usize,
    /// Rows of anchors.
    pub rows: usize,
    /// One value an anchor, 0 to 1.
    pub cls: &'a [f32],
    /// One value an anchor, 0 to 1.
    pub obj: &'a [f32],
    /// Four values an anchor: dx, dy, log width, log height.
    pub bbox: &'a [f32],
    /// Ten values an anchor: x and y of five landmarks.
    pub kps: &'a [f32],
}

impl YuNet {
    /// Makes a session that uses `threads` threads.
    ///
    /// # Errors
    ///
    /// [`ModelError::Session`], [`ModelError::WrongShape`].
    pub fn load(models: &Models, threads: usize) -> Result<Self, ModelError> {
        Ok(Self { net: Net::load(models, YUNET_ID, threads)? })
    }

    /// Runs on one image: 1×3×H×W, BGR, 0 to 255, H and W multiples of 32, padded with zeros at the right and the bottom.
    ///
    /// The view must be contiguous; nothing is copied, so the caller can keep one buffer for all frames.
    ///
    /// # Errors
    ///
    /// [`ModelError::WrongInput`], [`ModelError::NotFinite`], [`ModelError::Session`].
    pub fn run(&mut self, input: ArrayView4<'_, f32>) -> Result<YuNetOutput<'_>, ModelError> {
        let (batch, channels, height, width) = input.dim();
        let fits = |side: usize| side.is_multiple_of(32) && (32..=MAX_SIDE).contains(&side);
        if (batch, channels) != (1, 3) || !fits(height) || !fits(width) || !input.is_standard_layout() {
            let expected = "one contiguous image 1×3×H×W with H and W multiples of 32 up to 4096";
            return Err(self.net.wrong_input(&input, expected));
        }
        Ok(YuNetOutput { outputs: self.net.run(input)?, rows_px: height, columns_px: width })
    }
}

impl YuNetOutput<'_> {
    /// Returns the anchors of strides 8, 16 and 32.
    ///
    /// # Errors
    ///
    /// [`ModelError::WrongShape`] if the network answered with another number of anchors.
    pub fn strides(&self) -> Result<[YuNetStride<'_>; 3], ModelError> {
        let [fine, middle, coarse] = STRIDES;
        Ok([self.stride(fine)?, self.stride(middle)?, self.stride(coarse)?])
    }

    fn stride(&self, stride: usize) -> Result<YuNetStride<'_>, ModelError> {
        let (columns, rows) = (self.columns_px / stride, self.rows_px / stride);
        let values = |kind: &str, each: usize| self.outputs.values(&format!("{kind}_{stride}"), columns * rows * each);
        Ok(YuNetStride {
            stride,
            columns,
            rows,
            cls: values("cls", 1)?,
            obj: values("obj", 1)?,
            bbox: values("bbox", 4)?,
            kps: values("kps", 10)?,
        })
    }
}
