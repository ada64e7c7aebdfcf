//! A PostgreSQL that does as it is told: stops, dies, hangs, comes back. The program, its settings and its files are those of
//! the daemon's private cluster; only the hand that holds it is another.
#![expect(clippy::print_stderr, reason = "what is left behind is told")]

use std::ffi::OsString;
use std::fs::{self, File};
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, geteuid};
use rollcall_pipeline::supervisor::Supervisor;
use rollcall_pipeline::{Clock, SystemClock};
use rollcall_store::Cluster;

use crate::process::descendants;

const POLL: Duration = Duration::from_millis(20);
/// After a crash it reads its log first.
const START_WITHIN: Duration = Duration::from_secs(60);
const SOCKETS: &str = "unix_socket_directories=";
/// The setting with which each line of its log begins with the SQLSTATE.
pub(crate) const CODES_FIRST: &str = "log_line_prefix=%e ";
/// The SQLSTATE of a client for whom there is no connection left.
const TOO_MANY_CONNECTIONS: &str = "53300";

/// The server. Dropping it kills it: its files are thrown away.
#[derive(Debug)]
pub(crate) struct Server {
    program: PathBuf,
    args: Vec<OsString>,
    /// Whom it runs as, where that is not us.
    owner: Option<(u32, u32)>,
    data: PathBuf,
    sockets: PathBuf,
    log: PathBuf,
    child: Option<Child>,
}

impl Server {
    /// Takes over the private cluster in a data directory, which nobody uses. It does not run yet.
    pub(crate) fn adopt(data_dir: &Path) -> anyhow::Result<Self> {
        let supervisor = Supervisor::new(Arc::new(SystemClock));
        let cluster = Cluster::start(data_dir, &supervisor)?;
        let pid = cluster.pid().context("a cluster that runs")?;
        let of = |what: &str| PathBuf::from(format!("/proc/{pid}/{what}"));
        let program = fs::read_link(of("exe"))?;
        let args: Vec<OsString> = fs::read(of("cmdline"))?
            .split(|byte| *byte == 0)
            .skip(1)
            .filter(|arg| !arg.is_empty())
            .map(|arg| OsString::from_vec(arg.to_vec()))
            .collect();
        let owner = fs::metadata(of(""))?;
        let owner = (owner.uid() != geteuid().as_raw()).then(|| (owner.uid(), owner.gid()));
        let data = fs::read_link(of("cwd"))?;
        let sockets = args.iter().find_map(|arg| arg.to_str()?.strip_prefix(SOCKETS)).context("its sockets")?;
        let sockets = PathBuf::from(sockets.trim_matches('"'));
        cluster.stop();
        let log = data_dir.join("postgres.log");
        Ok(Self { program, args, owner, data, sockets, log, child: None })
    }

    /// Where it is reached.
    pub(crate) fn url(&self) -> String {
        url(&self.sockets)
    }

    /// Starts it and waits until it takes connections.
    pub(crate) fn start(&mut self) -> anyhow::Result<()> {
        self.start_with(&[])
    }

    /// The same with other settings.
    pub(crate) fn start_with(&mut self, settings: &[String]) -> anyhow::Result<()> {
        let log = File::options().create(true).append(true).open(&self.log)?;
        let mut command = match self.owner {
            None => Command::new(&self.program),
            Some((uid, gid)) => {
                let mut command = Command::new("setpriv");
                command.arg(format!("--reuid={uid}")).arg(format!("--regid={gid}")).arg("--clear-groups");
                command.args(["--pdeathsig", "KILL", "--"]).arg(&self.program);
                command
            }
        };
        command.args(&self.args);
        for setting in settings {
            command.arg("-c").arg(setting);
        }
        command.env_clear().env("PATH", "/usr/bin:/bin").env("LC_ALL", "C.UTF-8").current_dir(&self.data);
        command.process_group(0).stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        // What a killed one left would be in the way if its number belongs to somebody else by now.
        fs::remove_file(self.data.join("postmaster.pid")).unwrap_or_default();
        let child = command.spawn().with_context(|| format!("cannot run {}", self.program.display()))?;
        let pid = child.id();
        self.child = Some(child);
        let clock = SystemClock;
        let begun = clock.mono();
        loop {
            let text = fs::read_to_string(self.data.join("postmaster.pid")).unwrap_or_default();
            let lines: Vec<_> = text.lines().map(str::trim).collect();
            if lines.first() == Some(&pid.to_string().as_str()) && lines.get(7) == Some(&"ready") {
                return Ok(());
            }
            if !self.runs()? || clock.mono().since(begun) > START_WITHIN {
                let said = fs::read_to_string(&self.log).unwrap_or_default();
                let last: Vec<_> = said.lines().rev().take(10).collect();
                bail!("PostgreSQL does not start; its last words, last first:\n{}", last.join("\n"));
            }
            std::thread::park_timeout(POLL);
        }
    }

    /// Whether it has not ended by itself.
    pub(crate) fn runs(&mut self) -> anyhow::Result<bool> {
        Ok(match &mut self.child {
            Some(child) => child.try_wait()?.is_none(),
            None => false,
        })
    }

    /// An orderly stop that waits for no client.
    pub(crate) fn stop(&mut self) -> anyhow::Result<()> {
        self.end(Signal::SIGINT)
    }

    /// `kill -9` of all its processes.
    pub(crate) fn kill(&mut self) -> anyhow::Result<()> {
        self.end(Signal::SIGKILL)
    }

    fn end(&mut self, how: Signal) -> anyhow::Result<()> {
        let Some(mut child) = self.child.take() else { return Ok(()) };
        let others = descendants(child.id());
        signal(child.id(), how);
        if how == Signal::SIGKILL {
            others.iter().for_each(|pid| signal(*pid, how));
        }
        child.wait()?;
        // The next one must not meet the memory of those.
        let clock = SystemClock;
        let begun = clock.mono();
        while others.iter().any(|pid| Path::new("/proc").join(pid.to_string()).exists()) {
            if clock.mono().since(begun) > START_WITHIN {
                bail!("processes of PostgreSQL do not end");
            }
            std::thread::park_timeout(POLL);
        }
        Ok(())
    }

    /// Stops all of its processes in the middle of whatever they do, until [`Server::resume`].
    pub(crate) fn freeze(&self) {
        self.all(Signal::SIGSTOP);
    }

    /// Ends [`Server::freeze`].
    pub(crate) fn resume(&self) {
        self.all(Signal::SIGCONT);
    }

    fn all(&self, how: Signal) {
        if let Some(child) = &self.child {
            signal(child.id(), how);
            descendants(child.id()).into_iter().for_each(|pid| signal(pid, how));
        }
    }

    /// How often it has refused somebody because others have all connections; it has to run with [`CODES_FIRST`].
    pub(crate) fn refused(&self) -> anyhow::Result<usize> {
        let said = fs::read_to_string(&self.log)?;
        Ok(said.lines().filter(|line| line.starts_with(TOO_MANY_CONNECTIONS)).count())
    }

    /// The directory of its socket.
    pub(crate) fn sockets(&self) -> &Path {
        &self.sockets
    }

    /// Whom its files belong to, where that is not us.
    pub(crate) fn owner(&self) -> Option<(u32, u32)> {
        self.owner
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.resume();
        if let Err(error) = self.kill() {
            eprintln!("{error:#}");
        }
    }
}

/// The address of a server by the directory of its socket.
pub(crate) fn url(sockets: &Path) -> String {
    format!("postgres:///rollcall?host={}&user=rollcall", sockets.display())
}

fn signal(pid: u32, how: Signal) {
    let sent = i32::try_from(pid).is_ok_and(|pid| kill(Pid::from_raw(pid), how).is_ok());
    // Whoever is gone needs none; a process of somebody else is a bug of ours.
    if !sent && Path::new("/proc").join(pid.to_string()).exists() {
        eprintln!("process {pid} of PostgreSQL takes no signal");
    }
}
