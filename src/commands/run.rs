//! `rollcall run`.

use std::process::ExitCode;

use crate::cli::Place;
use crate::daemon::Daemon;
use crate::logging;

pub(super) fn run(place: &Place) -> anyhow::Result<ExitCode> {
    let (config, path) = place.load_config()?;
    logging::start(&config.log);
    Daemon::start(place.clone(), config, path)?.run()
}
