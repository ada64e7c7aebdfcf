//! A wall clock that can be set, for one process: a library that is loaded before the C library and adds to its answers what
//! stands in a file. The whole machine's clock belongs to others, and there is no name space for it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, bail};
use chrono::TimeDelta;

const SOURCE: &str = include_str!("clock.c");

/// The library and its file.
#[derive(Debug)]
pub(crate) struct WallClock {
    library: PathBuf,
    offset: PathBuf,
}

impl WallClock {
    /// Compiles it.
    ///
    /// # Errors
    /// Without a C compiler.
    pub(crate) fn build(dir: &Path) -> anyhow::Result<Self> {
        let (source, library, offset) = (dir.join("clock.c"), dir.join("clock.so"), dir.join("clock.offset"));
        fs::write(&source, SOURCE)?;
        fs::write(&offset, 0i64.to_ne_bytes())?;
        let mut command = Command::new("cc");
        command.args(["-shared", "-fPIC", "-O1", "-o"]).arg(&library).arg(&source);
        let done = command.output().context("no C compiler: run `make setup`, or install build-essential")?;
        if !done.status.success() {
            bail!("cc: {}", String::from_utf8_lossy(&done.stderr));
        }
        Ok(Self { library, offset })
    }

    /// What a process is given so that it believes it.
    pub(crate) fn environment(&self) -> [(&'static str, &Path); 2] {
        [("LD_PRELOAD", &self.library), ("ROLLCALL_FAULTS_CLOCK", &self.offset)]
    }

    /// Steps it, in all processes that believe it.
    pub(crate) fn set(&self, offset: TimeDelta) -> anyhow::Result<()> {
        let nanos = offset.num_nanoseconds().context("an offset that is not that large")?;
        // In place: they have mapped it.
        let file = fs::File::options().write(true).open(&self.offset)?;
        Ok(std::os::unix::fs::FileExt::write_all_at(&file, &nanos.to_ne_bytes(), 0)?)
    }
}
