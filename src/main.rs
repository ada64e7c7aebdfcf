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
mod settings;

use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode};

use clap::Parser;
use mimalloc::MiMalloc;

use cli::Cli;

/// Answers of the API are made of many small pieces by several threads: with glibc's allocator, held to two heaps as it is below,
/// they take a fifth longer. GStreamer and ONNX Runtime go on with that one.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

/// What has to be in the environment before libraries are loaded and threads are started, unless somebody chose otherwise.
const ENVIRONMENT: [(&str, &str); 4] = [
    // ONNX Runtime's builds from the registries report home without it.
    ("ORT_DISABLE_TELEMETRY", "1"),
    // Each connection to a camera brings threads of its own, and glibc gives them up to eight heaps a core, which keep what is
    // freed in them: memory would grow for hours.
    ("MALLOC_ARENA_MAX", "2"),
    // glibc raises it by itself up to 32 MiB, and keeps what is freed below it: models of a lane that was started anew would
    // stay, 30 to 70 MB of them.
    ("MALLOC_MMAP_THRESHOLD_", "4194304"),
    // Pages of 2 MiB for heaps that are never full would take 50 MB more.
    ("MIMALLOC_ALLOW_THP", "0"),
];

fn main() -> ExitCode {
    let missing: Vec<_> = ENVIRONMENT.into_iter().filter(|(name, _)| std::env::var_os(name).is_none()).collect();
    if !missing.is_empty() {
        return start_anew(&missing);
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

/// Starts the program anew in its own place, with these variables set. To set them in a running process is not safe.
fn start_anew(missing: &[(&str, &str)]) -> ExitCode {
    let mut arguments = std::env::args_os();
    let name = arguments.next().unwrap_or_else(|| "rollcall".into());
    let error = match std::env::current_exe() {
        Ok(program) => Command::new(program).arg0(name).args(arguments).envs(missing.iter().copied()).exec(),
        Err(error) => error,
    };
    let set: Vec<_> = missing.iter().map(|(name, value)| format!("{name}={value}")).collect();
    output::complain(&anyhow::anyhow!("cannot start anew ({error}); set {} and try again", set.join(" ")));
    ExitCode::FAILURE
}
