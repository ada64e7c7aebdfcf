//! A failing model as the fault of its stage.

use rollcall_models::ModelError;
use rollcall_pipeline::{ErrorClass, Fault};

/// A tensor of the wrong shape is our own mistake; everything else needs an operator, and the text says for what.
pub(crate) fn of_model(error: ModelError) -> Fault {
    let class = match error {
        ModelError::WrongInput { .. } => ErrorClass::Bug,
        _ => ErrorClass::Permanent,
    };
    Fault::new(class, error)
}
