//! Cuts faces out of frames: the aligned chip, the crops around it, and how good the view is.
//!
//! Pure functions over borrowed pixels. It deliberately knows no model and no camera; what is cut here owns its pixels, so
//! that the frame can go.

mod align;
pub mod color;
mod crop;
mod patch;
mod quality;
mod tensor;

pub use align::{TEMPLATE, align};
pub use crop::{EYES_SIDE, context, eyes};
pub use quality::{
    can_accuse, evidence_weight, flaw, geometry_flaw, geometry_weight, is_usable, may_be_usable, pose, quality,
};
pub use tensor::{ChannelOrder, push_planes};
