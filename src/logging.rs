//! Where log lines go: stderr, for people or as JSON.

use rollcall_pipeline::config::{LogConfig, LogFormat};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::format::FmtSpan;

/// Starts logging for the daemon.
pub(crate) fn start(config: &LogConfig) {
    install(config.format, config.level.as_str());
}

/// Starts logging for a command that is done soon: only what is odd, unless `RUST_LOG` asks for more.
pub(crate) fn start_quiet() {
    install(LogFormat::Pretty, "warn");
}

fn install(format: LogFormat, level: &str) {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(level));
    let lines =
        tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_span_events(FmtSpan::NONE);
    match format {
        LogFormat::Pretty => lines.with_target(false).init(),
        LogFormat::Json => lines.json().flatten_event(true).init(),
    }
}
