//! One file a command.

mod completion;
mod config;
mod models;
mod replay;

use std::process::ExitCode;

use crate::cli::{Cli, Command};
use crate::logging;

/// Runs what was typed.
pub(crate) fn dispatch(cli: Cli) -> anyhow::Result<ExitCode> {
    let place = cli.place;
    logging::start_quiet();
    match cli.command {
        Command::Config { command } => config::run(command),
        Command::Models { command } => models::run(&place, command),
        Command::Replay(options) => replay::run(&place, &options),
        Command::Completion { shell } => completion::run(shell),
    }
}
