//! Where things are on this machine.

use std::env;
use std::path::{Path, PathBuf};

use anyhow::{Context, anyhow};
use rollcall_models::setup;
use rollcall_pipeline::config::{self, Config};

use crate::cli::Place;
use crate::settings;

const SYSTEM_CONFIG: &str = "/etc/rollcall/rollcall.toml";
const SYSTEM_DATA: &str = "/var/lib/rollcall";
/// In the data directory: where events wait for the database.
pub(crate) const SPOOL: &str = "spool";

impl Place {
    /// The configuration in force, and the file it came from.
    pub(crate) fn load_config(&self) -> anyhow::Result<(Config, Option<PathBuf>)> {
        let system = || Some(PathBuf::from(SYSTEM_CONFIG)).filter(|path| path.is_file());
        match self.config.clone().or_else(system) {
            Some(path) => Ok((settings::load(&path)?, Some(path))),
            // A text without a line, so that the environment counts here too.
            None => Ok((settings::check(Config::parse("", Path::new(""), config::environment())?)?, None)),
        }
    }

    /// The data directory. Nothing is made here.
    pub(crate) fn data_dir(&self) -> anyhow::Result<PathBuf> {
        if let Some(dir) = &self.data_dir {
            return std::path::absolute(dir).with_context(|| format!("{} is no directory", dir.display()));
        }
        let home = env::var_os("HOME").map(PathBuf::from).filter(|home| home.is_absolute());
        if home.as_deref().is_none_or(|home| home == Path::new("/root")) {
            return Ok(SYSTEM_DATA.into());
        }
        let data = env::var_os("XDG_DATA_HOME").map(PathBuf::from).filter(|dir| dir.is_absolute());
        let data = data.or_else(|| home.map(|home| home.join(".local/share")));
        Ok(data.context("there is no HOME: say where the data is with --data-dir")?.join("rollcall"))
    }

    /// Where weights are that an operator installed.
    pub(crate) fn operator_models_dir(&self) -> anyhow::Result<PathBuf> {
        Ok(self.data_dir()?.join("models"))
    }

    /// Where the default models are: as configured, or where `make setup` puts them.
    pub(crate) fn models_dir(&self, config: &Config) -> anyhow::Result<PathBuf> {
        if let Some(dir) = &config.models.dir {
            return Ok(dir.clone());
        }
        let root = source_root().ok_or_else(|| {
            anyhow!("there are no models: run `make setup` in the source tree, or name their directory in models.dir")
        })?;
        Ok(setup::cache_dir(&root))
    }
}

/// The directory that holds the set-up script.
pub(crate) fn source_root() -> Option<PathBuf> {
    let exe = env::current_exe().ok()?;
    let here = env::current_dir().ok()?;
    setup::find_root(&exe, &here)
}
