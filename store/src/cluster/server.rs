//! One life of the postmaster: clean up, make the cluster if there is none, start, wait, watch, stop.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::time::Duration;

use nix::sys::signal::Signal;
use nix::unistd::Pid;
use rollcall_pipeline::supervisor::Supervisor;

use super::binaries::Binaries;
use super::place::{PORT, Place, signal};
use super::{NAME, Shared, State};
use crate::StoreError;

/// While it starts and stops, every step is waited for.
const QUICK: Duration = Duration::from_millis(10);
/// While it runs; its death is noticed after this time at most.
const WATCH: Duration = Duration::from_millis(250);
/// Steps of [`QUICK`] between one signal and the next, sharper one.
const STOP_STEPS: u32 = 1000;
const MAX_LOG_LINE: u64 = 8192;

#[derive(Debug, thiserror::Error)]
pub(super) enum Failure {
    /// It may start when it is tried again.
    #[error("{0}")]
    Start(String),
    #[error(transparent)]
    Final(#[from] StoreError),
}

impl Failure {
    pub(super) fn final_(&self) -> bool {
        matches!(self, Self::Final(_))
    }
}

/// Runs the postmaster until it ends or is to be stopped. `Ok` if it took connections at any time.
pub(super) fn run(place: &Place, supervisor: &Supervisor, shared: &Arc<Shared>) -> Result<(), Failure> {
    stop_orphan(place, shared)?;
    place.remove_stale_locks();
    let binaries = Binaries::find(place.version())?;
    if place.version().is_none() {
        create(place, &binaries)?;
    }
    shared.inner.lock().said.clear();
    let mut child = start(place, &binaries)?;
    if let Some(stderr) = child.stderr.take() {
        relay_log(stderr, supervisor, shared)?;
    }
    let ready = await_ready(place, shared, &mut child);
    while ready.is_ok() && !shared.stopping() && exited(&mut child).is_none() {
        shared.pause(WATCH);
    }
    stop(&mut child, shared);
    ready
}

/// A postmaster whose daemon was killed: it is about to end, or nobody told it to.
fn stop_orphan(place: &Place, shared: &Shared) -> Result<(), Failure> {
    for sharper in [Signal::SIGINT, Signal::SIGQUIT, Signal::SIGKILL] {
        let Some((pid, _)) = place.postmaster() else { return Ok(()) };
        tracing::warn!(%pid, signal = %sharper, "stopping the PostgreSQL that an earlier process left");
        signal(pid, sharper);
        for _ in 0..STOP_STEPS {
            if place.postmaster().is_none() {
                return Ok(());
            }
            shared.pause_anyway(QUICK);
        }
    }
    Err(Failure::Start("the PostgreSQL that an earlier process left does not end".to_owned()))
}

/// Makes the cluster under another name first, so that a crash leaves either none or a whole one.
fn create(place: &Place, binaries: &Binaries) -> Result<(), StoreError> {
    let (draft, data) = (place.root.join("data.new"), place.data());
    if draft.exists() {
        fs::remove_dir_all(&draft).map_err(StoreError::io(format!("cannot remove {}", draft.display())))?;
    }
    tracing::info!(path = %data.display(), version = binaries.major, "making the private database");
    let initdb = command(place, &binaries.program("initdb"))
        .arg("--pgdata")
        .arg(&draft)
        // Anybody who can reach the socket may connect, and that is only the user who runs it.
        .args(["--username", NAME, "--auth", "trust", "--encoding", "UTF8", "--locale", "C.UTF-8"])
        .args(["--data-checksums", "--no-instructions"])
        .output();
    succeeded("initdb", initdb)?;
    let single = command(place, &binaries.program("postgres"))
        .args(["--single", "-D"])
        .arg(&draft)
        .arg("postgres")
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .and_then(|mut child| {
            if let Some(mut stdin) = child.stdin.take() {
                writeln!(stdin, "create database {NAME}")?;
            }
            child.wait_with_output()
        });
    succeeded("postgres --single", single)?;
    fs::rename(&draft, &data)
        .and_then(|()| File::open(&place.root)?.sync_all())
        .map_err(StoreError::io(format!("cannot make {}", data.display())))
}

fn succeeded(what: &str, output: std::io::Result<std::process::Output>) -> Result<(), StoreError> {
    let output = output.map_err(StoreError::io(format!("cannot run {what}")))?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(StoreError::Cluster(format!("{what} failed ({}): {}", output.status, said.trim())))
}

/// A command that runs as the cluster's user, in a directory that this user can enter.
fn command(place: &Place, program: &Path) -> Command {
    let mut command = Command::new(program);
    if let Some(user) = place.run_as {
        command.uid(user.uid).gid(user.gid);
    }
    prepare(&mut command, place);
    command
}

fn prepare(command: &mut Command, place: &Place) {
    // No PG* variable of ours may change what it does.
    command.env_clear().env("PATH", "/usr/bin:/bin").env("LC_ALL", "C.UTF-8").current_dir(&place.root);
    // A process group of its own: Ctrl-C on the terminal is for the daemon, which still has to write what it holds.
    command.stdin(Stdio::null()).process_group(0);
}

/// `setpriv` drops root and arms the death signal, which cannot be done between fork and exec without unsafe code.
fn start(place: &Place, binaries: &Binaries) -> Result<Child, StoreError> {
    let program = binaries.program("postgres");
    let mut command = match find_setpriv() {
        Some(setpriv) => {
            let mut command = Command::new(setpriv);
            if let Some(user) = place.run_as {
                command.arg(format!("--reuid={}", user.uid)).arg(format!("--regid={}", user.gid)).arg("--clear-groups");
            }
            command.args(["--pdeathsig", "INT", "--"]).arg(&program);
            prepare(&mut command, place);
            command
        }
        None => command(place, &program),
    };
    command.arg("-D").arg(place.data());
    for (key, value) in settings(place) {
        command.arg("-c").arg(format!("{key}={value}"));
    }
    command.stdout(Stdio::null()).stderr(Stdio::piped());
    command.spawn().map_err(StoreError::io(format!("cannot run {}", program.display())))
}

fn find_setpriv() -> Option<PathBuf> {
    let found = ["/usr/bin/setpriv", "/bin/setpriv"].iter().map(PathBuf::from).find(|path| path.is_file());
    if found.is_none() {
        tracing::warn!("setpriv is not installed (package util-linux): a killed daemon leaves its database running");
    }
    found
}

fn settings(place: &Place) -> [(&'static str, String); 13] {
    [
        ("listen_addresses", String::new()),
        ("port", PORT.to_string()),
        ("unix_socket_directories", format!("\"{}\"", place.socket_dir.display())),
        ("unix_socket_permissions", "0700".to_owned()),
        ("max_connections", "60".to_owned()),
        ("shared_buffers", "64MB".to_owned()),
        // Nobody has disks with heads any more: to look up fifty people is cheaper than to read all of them.
        ("random_page_cost", "1.1".to_owned()),
        ("timezone", "UTC".to_owned()),
        // Everything goes to our own log ...
        ("logging_collector", "off".to_owned()),
        ("log_destination", "stderr".to_owned()),
        ("log_line_prefix", String::new()),
        // ... without statements and row contents, in which there are names.
        ("log_min_error_statement", "panic".to_owned()),
        ("log_error_verbosity", "terse".to_owned()),
    ]
}

fn await_ready(place: &Place, shared: &Shared, child: &mut Child) -> Result<(), Failure> {
    let pid = Pid::from_raw(child.id() as i32);
    loop {
        if let Some(status) = exited(child) {
            // Its last words are still on the way through the pipe.
            shared.pause_anyway(QUICK * 5);
            let said: Vec<_> = shared.inner.lock().said.iter().cloned().collect();
            return Err(Failure::Start(format!("postgres ended at once ({status}): {}", said.join("; "))));
        }
        if place.postmaster() == Some((pid, true)) {
            shared.set(State::Ready(pid.as_raw()));
            return Ok(());
        }
        if shared.stopping() {
            return Err(Failure::Start("it was stopped while it started".to_owned()));
        }
        shared.pause(QUICK);
    }
}

fn exited(child: &mut Child) -> Option<ExitStatus> {
    // An error means that it is not our child any more, which nobody but us can bring about.
    child.try_wait().ok().flatten()
}

/// A fast shutdown, then an immediate one (as good as a crash, which PostgreSQL survives), then the end.
fn stop(child: &mut Child, shared: &Shared) {
    let pid = Pid::from_raw(child.id() as i32);
    for sharper in [Signal::SIGINT, Signal::SIGQUIT, Signal::SIGKILL] {
        for step in 0..STOP_STEPS {
            if exited(child).is_some() {
                return;
            }
            if step == 0 {
                signal(pid, sharper);
            }
            shared.pause_anyway(QUICK);
        }
        tracing::warn!(signal = %sharper, "PostgreSQL does not end");
    }
}

/// Carries PostgreSQL's own log into ours, on a thread that ends with it.
fn relay_log(stderr: ChildStderr, supervisor: &Supervisor, shared: &Arc<Shared>) -> Result<(), StoreError> {
    let shared = Arc::clone(shared);
    let worker = supervisor.spawn("postgres-log", move |_| {
        let mut lines = BufReader::new(stderr);
        let mut line = Vec::new();
        while lines.by_ref().take(MAX_LOG_LINE).read_until(b'\n', &mut line).is_ok_and(|n| n > 0) {
            let text = String::from_utf8_lossy(&line);
            let text = text.trim();
            shared.heard(text);
            match text.split_once(':').map(|(level, _)| level) {
                Some("PANIC") => tracing::error!(target: "postgres", "{text}"),
                // Whoever is still connected is told that it ends: nothing odd.
                Some("FATAL") if shared.stopping() => tracing::debug!(target: "postgres", "{text}"),
                Some("WARNING" | "FATAL") => tracing::warn!(target: "postgres", "{text}"),
                _ => tracing::debug!(target: "postgres", "{text}"),
            }
            line.clear();
        }
        Ok(())
    });
    worker.map(drop).map_err(|fault| StoreError::Cluster(fault.message))
}
