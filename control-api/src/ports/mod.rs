//! What handlers ask of the rest of the daemon, beside the store.

pub mod cameras;
pub mod faces;
