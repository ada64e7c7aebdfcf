//! A wall clock that can be set, for one process: a library that is loaded before the C library and adds to its answers what
//! stands in a file. The whole machine's clock belongs to others, and there is no name space for it. The same library makes a
//! thread panic, by a clock that fails it once: no other way leads from outside into a program that is as it is shipped.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, bail};
use chrono::TimeDelta;

const SOURCE: &str = include_str!("clock.c");
/// What stands in the file: the offset, how many panics were ordered, and in which thread the last.
const ORDERS: usize = 8 + 8 + THREAD;
/// Linux knows no longer names.
const THREAD: usize = 16;

/// The library and its file.
#[derive(Debug)]
pub(crate) struct WallClock {
    library: PathBuf,
    orders: PathBuf,
}

impl WallClock {
    /// Compiles it.
    ///
    /// # Errors
    /// Without a C compiler.
    pub(crate) fn build(dir: &Path) -> anyhow::Result<Self> {
        let (source, library, orders) = (dir.join("clock.c"), dir.join("clock.so"), dir.join("clock.orders"));
        fs::write(&source, SOURCE)?;
        fs::write(&orders, [0; ORDERS])?;
        let mut command = Command::new("cc");
        command.args(["-shared", "-fPIC", "-O1", "-o"]).arg(&library).arg(&source);
        let done = command.output().context("no C compiler: run `make setup`, or install build-essential")?;
        if !done.status.success() {
            bail!("cc: {}", String::from_utf8_lossy(&done.stderr));
        }
        Ok(Self { library, orders })
    }

    /// What a process is given so that it believes it.
    pub(crate) fn environment(&self) -> [(&'static str, &Path); 3] {
        [
            ("LD_PRELOAD", &self.library),
            ("ROLLCALL_FAULTS_CLOCK", &self.orders),
            // Its allocator asks for the time when it puts off giving memory back, and takes any answer: a panic would be lost on it.
            ("MIMALLOC_PURGE_DELAY", Path::new("0")),
        ]
    }

    /// Steps it, in all processes that believe it.
    pub(crate) fn set(&self, offset: TimeDelta) -> anyhow::Result<()> {
        let nanos = offset.num_nanoseconds().context("an offset that is not that large")?;
        self.order(0, &nanos.to_ne_bytes())
    }

    /// Lets a thread of that name panic, for the `n`-th time that one is let, from 1 on.
    pub(crate) fn panic(&self, thread: &str, n: i64) -> anyhow::Result<()> {
        let mut name = [0; THREAD];
        let place = name.get_mut(..thread.len()).context("a thread's name of 15 letters at most")?;
        place.copy_from_slice(thread.as_bytes());
        // The name first: the number is what is waited for.
        self.order(16, &name)?;
        self.order(8, &n.to_ne_bytes())
    }

    /// In place: they have mapped it.
    fn order(&self, at: u64, bytes: &[u8]) -> anyhow::Result<()> {
        let file = fs::File::options().write(true).open(&self.orders)?;
        Ok(std::os::unix::fs::FileExt::write_all_at(&file, bytes, at)?)
    }
}
