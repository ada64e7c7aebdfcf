//! The stages of the lane, one module each, and the pixel work between them.

pub mod chip;
pub mod decode;
