//! `rollcall config`.

use std::path::Path;
use std::process::ExitCode;

use rollcall_pipeline::config::Config;
use serde::Serialize;

use crate::cli::ConfigCommand;
use crate::output;

pub(super) fn run(command: ConfigCommand) -> anyhow::Result<ExitCode> {
    match command {
        ConfigCommand::Check { file, json } => check(&file, json),
    }
}

#[derive(Serialize)]
struct Report {
    valid: bool,
    problems: Vec<Problem>,
}

#[derive(Serialize)]
struct Problem {
    key: String,
    message: String,
}

fn check(file: &Path, json: bool) -> anyhow::Result<ExitCode> {
    let result = Config::load(file);
    if json {
        let problems = match &result {
            Ok(_) => Vec::new(),
            Err(error) if error.problems().is_empty() => {
                vec![Problem { key: String::new(), message: error.to_string() }]
            }
            Err(error) => {
                let told = error.problems().iter();
                told.map(|p| Problem { key: p.path.clone(), message: p.message.clone() }).collect()
            }
        };
        output::json(&Report { valid: problems.is_empty(), problems })?;
        return Ok(if result.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE });
    }
    let config = result?;
    let sessions: usize = config.rooms.iter().map(|room| room.sessions.len()).sum();
    output::line(format_args!(
        "{} is valid: {}, {}, {}",
        file.display(),
        counted(config.cameras.len(), "camera"),
        counted(config.rooms.len(), "room"),
        counted(sessions, "session"),
    ));
    Ok(ExitCode::SUCCESS)
}

fn counted(n: usize, what: &str) -> String {
    if n == 1 { format!("1 {what}") } else { format!("{n} {what}s") }
}
