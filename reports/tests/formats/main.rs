//! What is written can be read back, is complete, and does no harm.
#![allow(clippy::unwrap_used, reason = "helpers of tests are tests")]

mod charts;
mod csv;
mod fixture;
mod json;
mod names;
mod pdf;
mod streaming;
mod xlsx;
