//! Errors by what one can do about them.

use std::fmt;

/// What a retry would bring. The retry policy reads this, never a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ErrorClass {
    /// It may work later: retry with a growing delay.
    Transient,
    /// It will not work until somebody changes something.
    Permanent,
    /// Our own mistake.
    Bug,
}

/// Why a stage gave up. The lane is restarted as a unit.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{message}")]
pub struct Fault {
    /// Lower-case, no full stop; never contains personal data.
    pub message: String,
    /// What can be done.
    pub class: ErrorClass,
}

impl Fault {
    /// A fault from any error.
    pub fn new(class: ErrorClass, error: impl fmt::Display) -> Self {
        Self { message: error.to_string(), class }
    }
}
