//! A failing model as the fault of its stage.

use rollcall_models::ModelError;
use rollcall_pipeline::{ErrorClass, Fault, StreamKey};

/// A tensor of the wrong shape is our own mistake; everything else needs an operator, and the text says for what.
pub(crate) fn of_model(error: ModelError) -> Fault {
    let class = match error {
        ModelError::WrongInput { .. } => ErrorClass::Bug,
        _ => ErrorClass::Permanent,
    };
    Fault::new(class, error)
}

/// An item of a stream that was not opened, or is closed: the loop that runs the stages is broken.
pub(crate) fn not_open(key: &StreamKey) -> Fault {
    Fault::new(ErrorClass::Bug, format!("an item of {} came outside of its stream", key.camera))
}
