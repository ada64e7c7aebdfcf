//! `rollcall openapi`.

use std::process::ExitCode;

use crate::output;

pub(super) fn run() -> anyhow::Result<ExitCode> {
    output::json(&rollcall_control_api::document())?;
    Ok(ExitCode::SUCCESS)
}
