//! One file a command.

mod admin;
mod calibrate;
mod completion;
mod config;
mod demo;
mod enroll;
mod eval;
mod migrate;
mod models;
mod openapi;
mod replay;
mod run;
mod spool;

use std::process::ExitCode;

use crate::cli::{Cli, Command};
use crate::logging;

/// Runs what was typed.
pub(crate) fn dispatch(cli: Cli) -> anyhow::Result<ExitCode> {
    let place = cli.place;
    if !matches!(cli.command, Command::Run) {
        logging::start_quiet();
    }
    match cli.command {
        Command::Run => run::run(&place),
        Command::Demo { stay, json } => demo::run(&place, stay, json),
        Command::Enroll { dir, json } => enroll::run(&place, &dir, json),
        Command::Calibrate(options) => calibrate::run(&place, &options),
        Command::Admin { command } => admin::run(&place, command),
        Command::Migrate { json } => migrate::run(&place, json),
        Command::Config { command } => config::run(command),
        Command::Models { command } => models::run(&place, command),
        Command::Spool { command } => spool::run(&place, command),
        Command::Replay(options) => replay::run(&place, &options),
        Command::Eval { command } => eval::run(&place, &command),
        Command::Openapi => openapi::run(),
        Command::Completion { shell } => completion::run(shell),
    }
}
