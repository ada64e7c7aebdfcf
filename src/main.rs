//! Rollcall: turns door cameras into attendance.
//!
//! This package is the program: its commands, one file each, and [`compose`], the only place where models, stages, rules,
//! store and sinks meet.

mod cli;
mod commands;
mod compose;
mod daemon;
mod database;
mod enrolment;
mod logging;
mod offline;
mod output;
mod paths;
mod rules;

use std::process::ExitCode;

use clap::Parser;

use cli::Cli;

fn main() -> ExitCode {
    // Wrong options end here, with exit code 2 and what would have been right.
    let cli = Cli::parse();
    match commands::dispatch(cli) {
        Ok(code) => code,
        Err(error) => {
            output::complain(&error);
            ExitCode::FAILURE
        }
    }
}
