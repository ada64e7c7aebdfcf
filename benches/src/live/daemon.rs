//! The real daemon with a configuration and a data directory of its own.

use std::fs::{self, File};
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::time::Duration;

use anyhow::{Context, bail};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use rollcall_faults::portraits;
use rollcall_pipeline::Clock;
use tempfile::TempDir;

use super::exposition::{Exposition, get};
use super::latencies::names_somebody;
use super::process::{Usage, cpu_of_descendants, usage};
use crate::data_dir;

/// How often the daemon is asked whether it is ready.
const POLL: Duration = Duration::from_millis(100);
const LOG_LINES: usize = 20;

/// How it is started.
#[derive(Clone, Debug)]
pub struct Setup {
    /// The program; `None`: `rollcall` beside this one.
    pub rollcall: Option<PathBuf>,
    /// Who is enrolled: DIR/Name/*.jpg; `None`: the demo's men.
    pub people: Option<PathBuf>,
    /// Analysed frames a second and camera.
    pub fps: f32,
    /// More lines for each camera of the configuration.
    pub tuning: String,
}

/// The daemon. Dropping it ends it.
#[derive(Debug)]
pub struct Daemon {
    process: Child,
    address: SocketAddr,
    /// Gone with the daemon.
    dir: TempDir,
    stopped: bool,
}

impl Daemon {
    /// Enrols people and starts it.
    ///
    /// # Errors
    /// When the program is not there, or nobody can be enrolled.
    pub fn start(setup: &Setup, cameras: &[String]) -> anyhow::Result<Self> {
        let program = match &setup.rollcall {
            Some(program) => program.clone(),
            None => std::env::current_exe()?.with_file_name("rollcall"),
        };
        if !program.is_file() {
            bail!("{} is not there: cargo build --release, or name it with --rollcall", program.display());
        }
        let dir = data_dir()?;
        let address = TcpListener::bind(("127.0.0.1", 0))?.local_addr()?;
        let config = dir.path().join("rollcall.toml");
        fs::write(&config, configuration(address, cameras, setup))?;
        let people = match &setup.people {
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
        // What it says is not of the report.
        if !command().arg("enroll").arg(&people).stdout(std::io::stderr()).status()?.success() {
            bail!("{} enroll failed: see above", program.display());
        }
        let log = File::create(log(dir.path()))?;
        let process = command().arg("run").stdout(log.try_clone()?).stderr(log).spawn()?;
        Ok(Self { process, address, dir, stopped: false })
    }

    /// Ready: the database, the models and the cameras.
    ///
    /// # Errors
    /// With its last words, when it is not ready in time.
    pub fn wait_until_ready(&mut self, clock: &dyn Clock, patience: Duration) -> anyhow::Result<()> {
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

    /// What it says of itself now.
    ///
    /// # Errors
    /// When it does not answer.
    pub fn metrics(&self) -> anyhow::Result<Exposition> {
        let (_, text) = get(self.address, "/metrics").context("the daemon does not answer")?;
        Ok(Exposition::parse(&text))
    }

    /// Of the decisions with a name that were logged behind the first `skip`: how many seconds somebody had been in view before
    /// their first usable face.
    ///
    /// # Errors
    /// When the log cannot be read.
    pub fn leads(&self, skip: usize) -> anyhow::Result<Vec<f64>> {
        let text = fs::read_to_string(log(self.dir.path()))?;
        let decided = text.lines().filter_map(|line| {
            let line: serde_json::Value = serde_json::from_str(line).ok()?;
            let (seen, usable) = (line["seen_for_ms"].as_f64()?, line["usable_for_ms"].as_f64()?);
            names_somebody(line["kind"].as_str()?).then_some((seen - usable) / 1000.0)
        });
        Ok(decided.skip(skip).collect())
    }

    /// What it has used, without PostgreSQL.
    ///
    /// # Errors
    /// When it is gone.
    pub fn usage(&self) -> anyhow::Result<Usage> {
        usage(self.process.id())
    }

    /// What PostgreSQL has used.
    ///
    /// # Errors
    /// When /proc cannot be read.
    pub fn database_cpu(&self) -> anyhow::Result<Duration> {
        cpu_of_descendants(self.process.id())
    }

    /// Ends it in an orderly way, so that PostgreSQL ends too.
    ///
    /// # Errors
    /// When it does not end as it should.
    pub fn stop(&mut self) -> anyhow::Result<()> {
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

fn configuration(address: SocketAddr, cameras: &[String], setup: &Setup) -> String {
    let mut text = format!(
        "[server]\nlisten = \"{address}\"\n[log]\nformat = \"json\"\n[site]\ntime_zone = \"UTC\"\n[[rooms]]\nid = \"bench\"\n"
    );
    for (n, url) in cameras.iter().enumerate() {
        text += &format!(
            "[[cameras]]\nid = \"camera-{n}\"\nroom = \"bench\"\nstreams.detect = \"{url}\"\nanalysis_fps = {:.3}\n{}\n",
            setup.fps, setup.tuning
        );
    }
    text
}
