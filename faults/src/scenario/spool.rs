//! A spool that fails, while PostgreSQL is away and all depends on it.

use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;

use anyhow::Context;

use crate::site::Plan;
use crate::trial::Trial;
use crate::verdict::Promise;

/// Head of a segment; head of a record before the time and the payload.
const SEGMENT_HEAD: usize = 8;
const RECORD_HEAD: usize = 20;

/// Until so many events lie in the spool.
fn spool(trial: &mut Trial<'_>, events: f64) -> anyhow::Result<()> {
    trial.site()?.server()?.stop()?;
    trial.until_metric("rollcall_spool_depth", |depth| depth >= events).map(drop)
}

pub(super) fn disk_full(trial: &mut Trial<'_>) -> anyhow::Result<()> {
    trial.begin(Plan { spool_disk_kb: Some(512), ..Plan::default() })?;
    trial.expected_errors.push("events cannot be put on disk");
    spool(trial, 2.0)?;
    let disk = |trial: &mut Trial<'_>, full: bool| -> anyhow::Result<()> {
        let site = trial.site()?;
        let disk = site.spool_disk.as_ref().context("a small disk")?;
        if full { disk.fill() } else { disk.free() }
    };
    // First the disk comes back, then, the second time, the database.
    for database_first in [false, true] {
        disk(trial, true)?;
        trial.excuse(None);
        trial.until_said("events cannot be put on disk")?;
        let hold = trial.matrix.options.hold;
        trial.pass(hold)?;
        if database_first {
            trial.site()?.server()?.start()?;
            trial.until_events_of_all(2)?;
            disk(trial, false)?;
        } else {
            disk(trial, false)?;
            trial.until_events_of_all(2)?;
        }
        trial.well(None);
        trial.until_events_of_all(2)?;
    }
    Ok(())
}

/// The segment that is written to.
fn last_segment(trial: &mut Trial<'_>) -> anyhow::Result<PathBuf> {
    let entries = fs::read_dir(trial.site()?.spool())?.flatten().map(|entry| entry.path());
    let segments = entries.filter(|path| path.extension().is_some_and(|extension| extension == "seg"));
    segments.max().context("a segment in the spool")
}

pub(super) fn torn(trial: &mut Trial<'_>) -> anyhow::Result<()> {
    trial.begin(Plan::default())?;
    for part in [3, RECORD_HEAD - 1, RECORD_HEAD + 40] {
        spool(trial, 3.0)?;
        trial.kill()?;
        let path = last_segment(trial)?;
        let whole = fs::read(&path)?;
        // The beginning of one more record, which was never synced and so never accepted.
        let begun = whole.get(SEGMENT_HEAD..SEGMENT_HEAD + part).context("a record")?;
        File::options().append(true).open(&path)?.write_all(begun)?;
        trial.site()?.server()?.start()?;
        trial.start()?;
        trial.until_said("cut a torn tail off the spool")?;
        trial.until_events_of_all(1)?;
    }
    Ok(())
}

pub(super) fn corrupted(trial: &mut Trial<'_>) -> anyhow::Result<()> {
    trial.begin(Plan::default())?;
    trial.expected_errors.push("a part of the spool is damaged on disk and was left out");
    // Both men have their marks: an event that is counted on a mark needs one.
    trial.until_events_of_all(6)?;
    spool(trial, 4.0)?;
    trial.kill()?;
    let path = last_segment(trial)?;
    let bytes = fs::read(&path)?;
    let at = SEGMENT_HEAD + RECORD_HEAD + 10;
    let byte = *bytes.get(at).context("a record")?;
    File::options().write(true).open(&path)?.write_all_at(&[!byte], at as u64)?;
    // The disk took this one, and nobody can give it back; it must be the only one, and it must be told.
    trial.destroyed = 1;
    trial.site()?.server()?.start()?;
    trial.start()?;
    trial.until_said("a part of the spool is damaged on disk and was left out")?;
    let aside = fs::read_dir(trial.site()?.spool())?.flatten();
    let aside = aside.filter(|entry| entry.path().extension().is_some_and(|extension| extension == "damaged")).count();
    trial.fact("kept aside", aside);
    if aside == 0 {
        trial.tell(Promise::Behaves, "what is damaged was not kept aside".to_owned());
    }
    Ok(())
}
