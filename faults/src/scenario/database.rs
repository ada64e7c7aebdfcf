//! A database that fails: events go through the spool, and nobody before a camera notices.

use std::time::Duration;

use anyhow::bail;
use rollcall_pipeline::{Clock, SystemClock};

use crate::postgres::CODES_FIRST;
use crate::site::{Others, Plan};
use crate::trial::Trial;

/// Longer than the daemon tries a write before it spools.
const STILL: Duration = Duration::from_secs(4);
const MOVES: Duration = Duration::from_secs(1);
/// Few, so that others can have them all.
const CONNECTIONS: usize = 12;

/// Takes the database away while events are accepted, and gives it back.
fn away(
    trial: &mut Trial<'_>,
    fail: impl Fn(&mut Trial<'_>) -> anyhow::Result<()>,
    mend: impl Fn(&mut Trial<'_>) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    fail(trial)?;
    let spooled = trial.until_metric("rollcall_spool_depth", |depth| depth >= 1.0)?;
    trial.hold(4)?;
    let most = trial.metric("rollcall_spool_depth")?.max(spooled);
    trial.fact("spooled", most);
    mend(trial)
}

pub(super) fn stopped(trial: &mut Trial<'_>) -> anyhow::Result<()> {
    trial.begin(Plan::default())?;
    away(trial, |trial| trial.site()?.server()?.stop(), |trial| trial.site()?.server()?.start())
}

pub(super) fn killed(trial: &mut Trial<'_>) -> anyhow::Result<()> {
    trial.begin(Plan::default())?;
    away(trial, |trial| trial.site()?.server()?.kill(), |trial| trial.site()?.server()?.start())
}

pub(super) fn restarted(trial: &mut Trial<'_>) -> anyhow::Result<()> {
    trial.begin(Plan::default())?;
    for round in 0..6 {
        let server = trial.site()?.server()?;
        if round % 2 == 0 {
            server.stop()?
        } else {
            server.kill()?
        }
        server.start()?;
        trial.until_events_of_all(1)?;
    }
    Ok(())
}

pub(super) fn slow(trial: &mut Trial<'_>) -> anyhow::Result<()> {
    trial.begin(Plan::default())?;
    let rounds = (trial.matrix.options.hold.as_secs() / (STILL + MOVES).as_secs()).max(2);
    for round in 0..rounds {
        trial.site()?.server()?.freeze();
        trial.pass(STILL)?;
        if round == 0 {
            // Until an event has met it.
            trial.until_metric("rollcall_spool_depth", |depth| depth >= 1.0)?;
        }
        trial.site()?.server()?.resume();
        trial.pass(MOVES)?;
    }
    trial.fact("stood still", format!("{rounds} times {} s", STILL.as_secs()));
    Ok(())
}

pub(super) fn full_of_clients(trial: &mut Trial<'_>) -> anyhow::Result<()> {
    trial.begin(Plan::default())?;
    let server = trial.site()?.server()?;
    server.stop()?;
    // It comes back behind another door, so that others are there before the daemon.
    let (usual, hidden) = (server.sockets().to_owned(), server.sockets().with_extension("hidden"));
    std::fs::create_dir(&hidden)?;
    if let Some((uid, gid)) = server.owner() {
        std::os::unix::fs::chown(&hidden, Some(uid), Some(gid))?;
    }
    server.start_with(&[
        format!("unix_socket_directories=\"{}\"", hidden.display()),
        format!("max_connections={CONNECTIONS}"),
        CODES_FIRST.to_owned(),
    ])?;
    let others = Others::take(&hidden, CONNECTIONS - 1)?;
    trial.fact("taken by others", others.count());
    let before = trial.site()?.server()?.refused()?;
    let link = usual.join(".s.PGSQL.5432");
    std::os::unix::fs::symlink(hidden.join(".s.PGSQL.5432"), &link)?;
    // Only the daemon asks from here on. Events wait since the stop, so their number does not tell that it was refused, and its
    // pool asks again by itself before anybody hears why.
    let linked = SystemClock.mono();
    while trial.site()?.server()?.refused()? == before {
        if SystemClock.mono().since(linked) > trial.patience() {
            bail!("nobody was refused for want of connections");
        }
        trial.pass(Duration::from_millis(100))?;
    }
    trial.until_metric("rollcall_spool_depth", |depth| depth >= 1.0)?;
    trial.hold(4)?;
    let refused = trial.site()?.server()?.refused()? - before;
    trial.fact("refused for want of connections", refused);
    drop(others);
    trial.until_metric("rollcall_spool_depth", |depth| depth == 0.0)?;
    trial.until_events_of_all(2)?;
    // As it was.
    let server = trial.site()?.server()?;
    server.stop()?;
    std::fs::remove_file(&link)?;
    server.start()
}

pub(super) fn disk_full(trial: &mut Trial<'_>) -> anyhow::Result<()> {
    // What PostgreSQL says about itself is in its own log.
    trial.begin(Plan { database_disk_kb: Some(160 * 1024), ..Plan::default() })?;
    let site = trial.site()?;
    if let Some(disk) = &site.database_disk {
        disk.fill()?;
    }
    trial.until_metric("rollcall_spool_depth", |depth| depth >= 1.0)?;
    trial.hold(4)?;
    let site = trial.site()?;
    if let Some(disk) = &site.database_disk {
        disk.free()?;
    }
    // Without room for its own log it ends itself.
    let runs = site.server()?.runs()?;
    if !runs {
        site.server()?.start()?;
    }
    trial.fact("PostgreSQL", if runs { "refused to write" } else { "ended itself" });
    Ok(())
}
