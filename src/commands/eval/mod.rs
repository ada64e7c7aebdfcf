//! `rollcall eval`: how good it is, on labelled data.

mod all;
mod boxes;
mod curves;
mod door;
mod lfw;
mod liveness;
mod mirror;
mod mot;
mod roc;
mod selfies;

use std::path::Path;
use std::process::ExitCode;

use anyhow::Context;
use serde::Serialize;

use crate::cli::{EvalCommand, Place};

pub(super) fn run(place: &Place, command: &EvalCommand) -> anyhow::Result<ExitCode> {
    match command {
        EvalCommand::All(options) => all::run(place, options),
        EvalCommand::Lfw(options) => lfw::run(place, options),
        EvalCommand::Door(options) => door::run(place, options),
        EvalCommand::Liveness(options) => liveness::run(place, options),
    }
}

fn write_json(path: Option<&Path>, figures: &impl Serialize) -> anyhow::Result<()> {
    let Some(path) = path else { return Ok(()) };
    let text = serde_json::to_string_pretty(figures)?;
    std::fs::write(path, text + "\n").with_context(|| format!("cannot write {}", path.display()))
}

/// Part of a whole; 0 of nothing.
fn rate(part: usize, whole: usize) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 / whole as f64 }
}
