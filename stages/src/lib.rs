//! The stages of the lane, one module each, and the pixel work between them.

pub mod chip;
pub mod decode;
pub mod detect;
mod fault;
pub mod matching;
pub mod track;
