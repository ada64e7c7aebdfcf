//! Where log lines go: stderr, for people or as JSON.

use std::io::IsTerminal;

use rollcall_pipeline::config::{LogConfig, LogFormat};
use tracing_subscriber::EnvFilter;

/// Starts logging for the daemon.
pub(crate) fn start(config: &LogConfig) {
    install(config.format, config.level.as_str());
}

/// Starts logging for a command that is done soon: only what is odd, unless `RUST_LOG` asks for more.
pub(crate) fn start_quiet() {
    install(LogFormat::Pretty, "warn");
}

fn install(format: LogFormat, level: &str) {
    // At `info` sqlx repeats every notice of the server.
    let default = || EnvFilter::new(format!("{level},sqlx=warn"));
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| default());
    let lines = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    match format {
        LogFormat::Pretty => lines.with_target(false).with_ansi(std::io::stderr().is_terminal()).init(),
        LogFormat::Json => lines.json().flatten_event(true).init(),
    }
}
