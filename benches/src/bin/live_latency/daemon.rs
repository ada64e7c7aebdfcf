//! The real daemon with a configuration and a data directory of its own.

use std::fs::{self, File, Permissions};
use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::time::Duration;

use anyhow::{Context, bail};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use rollcall_pipeline::Clock;
use tempfile::TempDir;

use crate::exposition::{Exposition, get};
use crate::scene::portraits;
use crate::{Options, POLL};

/// `USER_HZ`: the same on all of Linux that this runs on.
const TICKS_PER_SECOND: u64 = 100;
const LOG_LINES: usize = 20;

/// The daemon. Dropping it ends it.
#[derive(Debug)]
pub(crate) struct Daemon {
    process: Child,
    address: SocketAddr,
    /// Gone with the daemon.
    dir: TempDir,
    stopped: bool,
}

/// What a process has used.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Usage {
    pub(crate) cpu: Duration,
    pub(crate) resident_mb: f64,
    pub(crate) peak_mb: f64,
}

impl Daemon {
    /// Enrols people and starts it.
    pub(crate) fn start(options: &Options, cameras: &[String]) -> anyhow::Result<Self> {
        let program = match &options.rollcall {
            Some(program) => program.clone(),
            None => std::env::current_exe()?.with_file_name("rollcall"),
        };
        if !program.is_file() {
            bail!("{} is not there: cargo build --release, or name it with --rollcall", program.display());
        }
        // Open, because a daemon that is started as root runs PostgreSQL as another user.
        let dir = tempfile::Builder::new().prefix("rollcall").permissions(Permissions::from_mode(0o755)).tempdir()?;
        let address = TcpListener::bind(("127.0.0.1", 0))?.local_addr()?;
        let config = dir.path().join("rollcall.toml");
        fs::write(&config, configuration(address, cameras, options.fps))?;
        let people = match &options.people {
            Some(people) => people.clone(),
            None => {
                let people = dir.path().join("people");
                portraits(&people)?;
                people
            }
        };
        let command = || {
            let mut command = Command::new(&program);
            command.arg("--config").arg(&config).arg("--data-dir").arg(dir.path().join("data"));
            command
        };
        if !command().arg("enroll").arg(&people).status()?.success() {
            bail!("{} enroll failed: see above", program.display());
        }
        let log = File::create(log(dir.path()))?;
        let process = command().arg("run").stdout(log.try_clone()?).stderr(log).spawn()?;
        Ok(Self { process, address, dir, stopped: false })
    }

    /// Ready: the database, the models and the cameras.
    pub(crate) fn wait_until_ready(&mut self, clock: &dyn Clock, patience: Duration) -> anyhow::Result<()> {
        let began = clock.mono();
        loop {
            let ended = self.process.try_wait()?;
            if ended.is_none() && get(self.address, "/health/ready").is_ok_and(|(status, _)| status == 200) {
                return Ok(());
            }
            if ended.is_some() || clock.mono().since(began) > patience {
                let log = fs::read_to_string(log(self.dir.path()))?;
                let lines: Vec<_> = log.lines().collect();
                let last = lines[lines.len().saturating_sub(LOG_LINES)..].join("\n");
                bail!("the daemon does not become ready; its last words:\n{last}");
            }
            std::thread::park_timeout(POLL);
        }
    }

    pub(crate) fn metrics(&self) -> anyhow::Result<Exposition> {
        let (_, text) = get(self.address, "/metrics").context("the daemon does not answer")?;
        Ok(Exposition::parse(&text))
    }

    /// Of the decisions that were logged behind the first `skip`: the kind, and how many seconds somebody had been in view, at
    /// any size, before their first usable face.
    pub(crate) fn leads(&self, skip: usize) -> anyhow::Result<Vec<(String, f64)>> {
        let text = fs::read_to_string(log(self.dir.path()))?;
        let decided = text.lines().filter_map(|line| {
            let line: serde_json::Value = serde_json::from_str(line).ok()?;
            let (seen, usable) = (line["seen_for_ms"].as_f64()?, line["usable_for_ms"].as_f64()?);
            Some((line["kind"].as_str()?.to_owned(), (seen - usable) / 1000.0))
        });
        Ok(decided.skip(skip).collect())
    }

    pub(crate) fn usage(&self) -> anyhow::Result<Usage> {
        let read = |file: &str| fs::read_to_string(format!("/proc/{}/{file}", self.process.id()));
        let stat = read("stat")?;
        // The name, in brackets, may hold anything; user and system time are the 12th and 13th field behind it.
        let fields =
            stat.rsplit_once(')').map(|(_, rest)| rest.split_whitespace().skip(11).take(2)).context("no stat")?;
        let ticks: u64 = fields.filter_map(|field| field.parse::<u64>().ok()).sum();
        let status = read("status")?;
        let megabytes = |key: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(key));
            let kilobytes: Option<f64> = line.and_then(|line| line.split_whitespace().next()?.parse().ok());
            kilobytes.map(|kilobytes| kilobytes / 1024.0).with_context(|| format!("no {key}"))
        };
        Ok(Usage {
            cpu: Duration::from_millis(ticks * 1000 / TICKS_PER_SECOND),
            resident_mb: megabytes("VmRSS:")?,
            peak_mb: megabytes("VmHWM:")?,
        })
    }

    /// Ends it in an orderly way, so that PostgreSQL ends too.
    pub(crate) fn stop(&mut self) -> anyhow::Result<()> {
        self.stopped = true;
        kill(Pid::from_raw(i32::try_from(self.process.id())?), Signal::SIGTERM)?;
        let status = self.process.wait()?;
        if !status.success() {
            bail!("the daemon ended with {status}");
        }
        Ok(())
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        if !self.stopped
            && let Err(error) = self.stop()
        {
            eprintln!("{error:#}");
        }
    }
}

fn log(dir: &Path) -> PathBuf {
    dir.join("daemon.log")
}

fn configuration(address: SocketAddr, cameras: &[String], fps: f32) -> String {
    let mut text = format!(
        "[server]\nlisten = \"{address}\"\n[log]\nformat = \"json\"\n[site]\ntime_zone = \"UTC\"\n[[rooms]]\nid = \"bench\"\n"
    );
    for (n, url) in cameras.iter().enumerate() {
        text += &format!(
            "[[cameras]]\nid = \"camera-{n}\"\nroom = \"bench\"\nstreams.detect = \"{url}\"\nanalysis_fps = {fps:.3}\n"
        );
    }
    text
}
