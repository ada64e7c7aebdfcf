//! A process of its own that serves cameras, so that what they cost is not the daemon's.

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, bail};
use rollcall_test_camera::{Clip, TestCamera};

use super::process::{Usage, usage};

/// A process that serves cameras until this is dropped.
#[derive(Debug)]
pub struct Cameras {
    process: Child,
    urls: Vec<String>,
}

impl Cameras {
    /// Starts this program again with `arguments`, which make it call [`serve`] for `count` cameras.
    ///
    /// # Errors
    /// When it cannot be started, or ends before it serves.
    pub fn start(count: u16, arguments: &[String]) -> anyhow::Result<Self> {
        let mut command = Command::new(std::env::current_exe()?);
        let mut process = command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let output = process.stdout.take().context("a piped output")?;
        let lines = BufReader::new(output).lines().take(count.into());
        let urls = lines.collect::<Result<Vec<_>, _>>()?;
        let cameras = Self { process, urls };
        if cameras.urls.len() != usize::from(count) {
            bail!("the cameras did not start: see above");
        }
        Ok(cameras)
    }

    /// Their addresses.
    pub fn urls(&self) -> &[String] {
        &self.urls
    }

    /// What they have used.
    ///
    /// # Errors
    /// When the process is gone.
    pub fn usage(&self) -> anyhow::Result<Usage> {
        usage(self.process.id())
    }
}

impl Drop for Cameras {
    fn drop(&mut self) {
        drop(self.process.stdin.take());
        if let Err(error) = self.process.wait() {
            eprintln!("the cameras' process: {error}");
        }
    }
}

/// Serves `count` cameras, prints their addresses, and goes on until its input ends, as it does when the other process is
/// gone. Each shows the clip from `stagger` later on than the one before it.
///
/// # Errors
/// When a camera cannot be started.
pub fn serve(clip: &Clip, count: u16, stagger: Duration) -> anyhow::Result<()> {
    let cameras = (0..count).map(|n| TestCamera::start(clip.starting_at(stagger * u32::from(n)), Default::default()));
    let cameras = cameras.collect::<Result<Vec<_>, _>>()?;
    let mut out = std::io::stdout().lock();
    for camera in &cameras {
        use std::io::Write as _;
        writeln!(out, "{}", camera.url())?;
    }
    drop(out);
    std::io::stdin().read_to_end(&mut Vec::new())?;
    Ok(())
}
