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
mod figures;
mod logging;
mod offline;
mod output;
mod paths;
mod rules;

use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode};

use clap::Parser;

use cli::Cli;

/// ONNX Runtime's builds from the registries report home unless this is set when the library is loaded.
const NO_TELEMETRY: &str = "ORT_DISABLE_TELEMETRY";

fn main() -> ExitCode {
    if std::env::var_os(NO_TELEMETRY).is_none() {
        return start_without_telemetry();
    }
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

/// Starts the program anew in its own place, with the variable set. To set it in a running process is not safe.
fn start_without_telemetry() -> ExitCode {
    let mut arguments = std::env::args_os();
    let name = arguments.next().unwrap_or_else(|| "rollcall".into());
    let error = match std::env::current_exe() {
        Ok(program) => Command::new(program).arg0(name).args(arguments).env(NO_TELEMETRY, "1").exec(),
        Err(error) => error,
    };
    output::complain(&anyhow::anyhow!("cannot start without telemetry ({error}); set {NO_TELEMETRY}=1 and try again"));
    ExitCode::FAILURE
}
