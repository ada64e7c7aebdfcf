//! `rollcall config`.

use std::path::Path;
use std::process::ExitCode;

use anyhow::bail;
use rollcall_pipeline::config::ConfigError;
use serde::Serialize;

use crate::cli::ConfigCommand;
use crate::output::counted;
use crate::{output, settings};

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

impl Problem {
    fn of(error: ConfigError) -> Vec<Self> {
        match error.problems() {
            [] => vec![Self { key: String::new(), message: error.to_string() }],
            told => told.iter().map(|p| Self { key: p.path.clone(), message: p.message.clone() }).collect(),
        }
    }
}

fn check(file: &Path, json: bool) -> anyhow::Result<ExitCode> {
    match settings::load(file).map_err(Problem::of) {
        Ok(_) if json => output::json(&Report { valid: true, problems: Vec::new() })?,
        Ok(config) => {
            let sessions: usize = config.rooms.iter().map(|room| room.sessions.len()).sum();
            output::line(format_args!(
                "{} is valid: {}, {}, {}",
                file.display(),
                counted(config.cameras.len(), "camera"),
                counted(config.rooms.len(), "room"),
                counted(sessions, "session"),
            ));
        }
        Err(problems) => {
            let what = format!("{} has {}", file.display(), counted(problems.len(), "problem"));
            if json {
                output::json(&Report { valid: false, problems })?;
            } else {
                for Problem { key, message } in &problems {
                    output::note(if key.is_empty() { message.clone() } else { format!("{key}: {message}") });
                }
            }
            bail!(what);
        }
    }
    Ok(ExitCode::SUCCESS)
}
