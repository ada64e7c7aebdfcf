//! `rollcall run`.

use std::process::ExitCode;

use crate::cli::Place;
use crate::daemon::Daemon;
use crate::logging;

pub(super) fn run(place: &Place) -> anyhow::Result<ExitCode> {
    let (config, path) = place.load_config()?;
    logging::start(&config.log);
    if config.cameras.is_empty() {
        tracing::warn!("no camera is configured: add [[cameras]] to the configuration and send SIGHUP");
    }
    Daemon::start(place.clone(), config, path)?.run()
}
