//! A wall clock that is set.

use anyhow::Context;
use chrono::TimeDelta;
use rollcall_pipeline::{Clock, SystemClock};

use crate::site::Plan;
use crate::trial::Trial;

pub(super) fn stepped(trial: &mut Trial<'_>) -> anyhow::Result<()> {
    trial.begin(Plan { wall_clock: true, ..Plan::default() })?;
    let hour = TimeDelta::hours(1);
    // Each row is dated by the clock as it was when somebody was there.
    for offset in [hour, -hour, TimeDelta::zero()] {
        trial.offsets.push((SystemClock.wall(), offset));
        trial.site()?.clock.as_ref().context("a clock that can be set")?.set(offset)?;
        trial.until_events_of_all(6)?;
    }
    Ok(())
}
