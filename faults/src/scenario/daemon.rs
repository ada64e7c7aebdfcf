//! A daemon that is killed, ended, reloaded, hangs, or panics.

use std::time::Duration;

use anyhow::{Context, bail};
use nix::sys::ptrace;
use nix::sys::signal::Signal;
use nix::sys::wait::{WaitPidFlag, waitpid};
use nix::unistd::Pid;
use rand::RngExt;

use crate::ledger::Said;
use crate::process::{is_within, thread};
use crate::site::Plan;
use crate::trial::Trial;
use crate::verdict::Promise;

/// A life ends at a random moment of its first seconds: while it starts, while cameras connect, under load.
const LIFE_MS: u64 = 9_000;
const RELOAD_EVERY: Duration = Duration::from_millis(300);
const RELOADS: u32 = 20;
/// The embedder works some milliseconds of each second in which somebody is in view.
const LOOKS: u32 = 5_000;
const LOOK_EVERY: Duration = Duration::from_millis(7);

pub(super) fn killed(trial: &mut Trial<'_>) -> anyhow::Result<()> {
    trial.begin(Plan { own_database: true, ..Plan::default() })?;
    let (kills, patience) = (trial.matrix.options.kills, trial.patience());
    for number in 0..kills {
        // Every second one first has an event, however long that takes: how many are killed under load is left neither to
        // chance nor to the speed of the machine. The others are killed at any moment, most of them while they start.
        let under_load = number % 2 == 1;
        if under_load {
            until_loaded(trial, patience)?;
        }
        let latest = if under_load { LIFE_MS / 3 } else { LIFE_MS };
        let moment = Duration::from_millis(trial.chance.random_range(0..latest));
        trial.pass(moment)?;
        trial.kill()?;
        trial.site()?.start()?;
    }
    trial.kill()?;
    trial.fact("kills", kills + 1);
    // The first life has had its events before anything was broken.
    let loaded = |said: &Said| said.lives.iter().skip(1).filter(|life| !life.accepted.is_empty()).count();
    let loaded = trial.site()?.ledger.read(loaded);
    trial.fact("killed after an event", format!("{loaded} of {kills}"));
    trial.start()
}

pub(super) fn killed_while_spooling(trial: &mut Trial<'_>) -> anyhow::Result<()> {
    trial.begin(Plan::default())?;
    let kills = (trial.matrix.options.kills / 5).max(2);
    for _ in 0..kills {
        trial.site()?.server()?.kill()?;
        trial.until_metric("rollcall_spool_depth", |depth| depth >= 1.0)?;
        let moment = Duration::from_millis(trial.chance.random_range(0..LIFE_MS / 3));
        trial.pass(moment)?;
        trial.kill()?;
        trial.site()?.server()?.start()?;
        trial.start()?;
    }
    trial.fact("kills", kills);
    Ok(())
}

/// Waits for an event of the process that runs.
fn until_loaded(trial: &mut Trial<'_>, patience: Duration) -> anyhow::Result<()> {
    trial.site()?.ledger.wait("an event of this life", patience, |said| {
        said.lives.last().is_some_and(|life| !life.accepted.is_empty()).then_some(())
    })
}

pub(super) fn terminated(trial: &mut Trial<'_>) -> anyhow::Result<()> {
    trial.begin(Plan { own_database: true, ..Plan::default() })?;
    let (stops, patience) = ((trial.matrix.options.kills / 10).max(2), trial.patience());
    for number in 0..stops {
        // As with kills: every second one ends under load, whatever the speed of the machine.
        if number % 2 == 1 {
            until_loaded(trial, patience)?;
        }
        let moment = Duration::from_millis(trial.chance.random_range(0..LIFE_MS / 3));
        trial.pass(moment)?;
        trial.terminate()?;
        trial.start()?;
    }
    trial.fact("stops", stops);
    Ok(())
}

pub(super) fn reloaded(trial: &mut Trial<'_>) -> anyhow::Result<()> {
    trial.begin(Plan::default())?;
    trial.expected_errors.push("the configuration stays as it is");
    let connections = |trial: &mut Trial<'_>| -> anyhow::Result<usize> {
        Ok(trial.site()?.ledger.read(|said| said.cameras.iter().filter(|word| word.what == "live").count()))
    };
    let before = connections(trial)?;
    for round in 0..RELOADS {
        let site = trial.site()?;
        match round % 3 {
            0 => site.configure("analysis_fps = 4.0\n")?,
            1 => site.misconfigure()?,
            _ => site.configure("analysis_fps = 5.0\n")?,
        }
        site.daemon()?.signal(Signal::SIGHUP)?;
        trial.pass(RELOAD_EVERY)?;
    }
    trial.site()?.configure("")?;
    trial.site()?.daemon()?.signal(Signal::SIGHUP)?;
    trial.until_said("configuration reloaded")?;
    trial.until_said("the configuration stays as it is")?;
    trial.until_events_of_all(4)?;
    if connections(trial)? != before {
        trial.tell(Promise::Behaves, "a reload that touched no address made cameras connect again".to_owned());
    }
    trial.fact("reloads", RELOADS + 1);
    Ok(())
}

pub(super) fn model_hangs(trial: &mut Trial<'_>) -> anyhow::Result<()> {
    trial.begin(Plan {
        config: "[lane]\nstuck_after_s = 5\nshutdown_s = 5\n",
        own_database: true,
        ..Plan::default()
    })?;
    trial.expected_errors.extend(["stage detect has hung", "stage embed has hung", "the lane gave up"]);
    let patience = trial.patience();
    for stage in ["detect", "embed"] {
        trial.excuse(None);
        let daemon = match trial.site()?.daemon.take() {
            Some(daemon) => daemon,
            None => bail!("the daemon does not run"),
        };
        let held = hold_within(daemon.pid(), &format!("lane-{stage}"), "libonnxruntime")?;
        if let Err(error) = trial.until_said("the lane gave up") {
            // Nobody could end a process of which a thread is held.
            ptrace::detach(held, None)?;
            return Err(error);
        }
        // Its end is told to whoever traces it, before that of the process.
        waitpid(held, Some(WaitPidFlag::__WALL))?;
        let status = daemon.ended(patience)?;
        if status.success() {
            trial.tell(Promise::Behaves, "it ended as if all were well, so nobody would start it again".to_owned());
        }
        trial.fact(&format!("ended by {stage} with"), status);
        trial.start()?;
        trial.until_events_of_all(2)?;
    }
    Ok(())
}

/// Holds a thread while it works within a library, and it alone: whoever traces it can. A thread that waits for work hangs not.
fn hold_within(pid: u32, name: &str, library: &str) -> anyhow::Result<Pid> {
    let held = Pid::from_raw(thread(pid, name)?);
    ptrace::seize(held, ptrace::Options::empty())?;
    for _ in 0..LOOKS {
        stop(held)?;
        match is_within(pid, held.as_raw(), library) {
            Ok(true) => return Ok(held),
            Ok(false) => ptrace::cont(held, None)?,
            Err(error) => {
                ptrace::detach(held, None)?;
                return Err(error);
            }
        }
        std::thread::park_timeout(LOOK_EVERY);
    }
    // Nobody could end a process of which a thread is traced.
    stop(held)?;
    ptrace::detach(held, None)?;
    bail!("{name} was never seen in {library}")
}

fn stop(traced: Pid) -> anyhow::Result<()> {
    ptrace::interrupt(traced)?;
    waitpid(traced, Some(WaitPidFlag::__WALL))?;
    Ok(())
}

pub(super) fn model_panics(trial: &mut Trial<'_>) -> anyhow::Result<()> {
    trial.begin(Plan { wall_clock: true, ..Plan::default() })?;
    trial.expected_errors.push("thread panicked");
    // As often as the lane starts anew before it gives up.
    for (n, thread) in (1..=5).zip(["lane-detect", "lane-embed", "lane-liveness"].into_iter().cycle()) {
        trial.excuse(None);
        trial.site()?.clock.as_ref().context("a clock that fails")?.panic(thread, n)?;
        trial.until_said("thread panicked")?;
        trial.until_said("the lane starts anew")?;
        trial.well(None);
        trial.until_events_of_all(2)?;
        if n == 1 {
            // What one set of models leaves behind the next one uses: it is not given back, and not left four times.
            trial.hold_to_now()?;
        }
    }
    let restarts = trial.metric("rollcall_lane_restarts_total")?;
    trial.fact("restarts", restarts);
    Ok(())
}
