//! The stages of the lane, one module each, and the pixel work between them.

pub mod chip;
pub mod decode;
pub mod detect;
pub mod embed;
mod fault;
pub mod liveness;
pub mod matching;
pub mod picture;
pub mod preview;
pub mod track;
