//! How far the people of a gallery are apart, and what that says about strangers at the door. Pure.
//!
//! - `scores`: everybody against everybody else, leaving one out
//! - `tail`: how likely a stranger reaches a threshold, and what that makes in a day

mod scores;
mod tail;

pub use scores::{LeftOut, SAME_FACE, StrangerScores};
pub use tail::{Bounded, SURE, StrangerModel, Traffic, counted};
