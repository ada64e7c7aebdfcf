//! What a replay did and what it cost.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use nix::sys::resource::{Usage, UsageWho, getrusage};
use nix::sys::time::TimeVal;
use rollcall_pipeline::lane::LaneStats;
use rollcall_pipeline::{Clock, EventKind, MonoTime};
use serde::Serialize;

use crate::offline::{Fed, Tracks};

/// The moment before the first frame: opening models and enrolling people is not counted.
pub(super) struct Start {
    at: MonoTime,
    cpu: Duration,
}

impl Start {
    pub(super) fn now(clock: &dyn Clock) -> anyhow::Result<Self> {
        Ok(Self { at: clock.mono(), cpu: cpu(&getrusage(UsageWho::RUSAGE_SELF)?) })
    }
}

/// A replay in figures.
#[derive(Debug, Serialize)]
pub(super) struct Summary {
    frames_decoded: u64,
    frames_analysed: u64,
    /// Of the others nothing had changed since it was searched.
    frames_searched: u64,
    /// As many whole frames as the parts of them that were searched add up to.
    pictures_searched: f64,
    width: u32,
    height: u32,
    /// Faces on tracks, over all analysed frames.
    faces: u64,
    events: BTreeMap<&'static str, u64>,
    wall_seconds: f64,
    cpu_seconds: f64,
    analysed_per_cpu_second: f64,
    max_resident_mb: f64,
}

impl Summary {
    pub(super) fn new(
        start: &Start,
        clock: &dyn Clock,
        fed: &Fed,
        stats: &LaneStats,
        tracks: &Tracks,
        events: &HashMap<EventKind, u64>,
    ) -> anyhow::Result<Self> {
        let searched = tracks.searched();
        let usage = getrusage(UsageWho::RUSAGE_SELF)?;
        let cpu_seconds = cpu(&usage).saturating_sub(start.cpu).as_secs_f64();
        let kinds = EventKind::ALL.iter().map(|kind| (kind.as_str(), events.get(kind).copied().unwrap_or(0)));
        Ok(Self {
            frames_decoded: fed.frames,
            frames_analysed: stats.frames.analysed,
            frames_searched: searched.frames,
            pictures_searched: rounded(searched.pictures),
            width: fed.size.0,
            height: fed.size.1,
            faces: tracks.faces(),
            events: kinds.collect(),
            wall_seconds: rounded(clock.mono().since(start.at).as_secs_f64()),
            cpu_seconds: rounded(cpu_seconds),
            analysed_per_cpu_second: rounded(stats.frames.analysed as f64 / cpu_seconds.max(1e-3)),
            // Linux counts in kilobytes.
            max_resident_mb: rounded(usage.max_rss() as f64 / 1024.0),
        })
    }

    pub(super) fn text(&self) -> String {
        let events = self.events.iter().filter(|(_, n)| **n > 0).map(|(kind, n)| format!("{n} {kind}"));
        let events = events.collect::<Vec<_>>().join(", ");
        format!(
            "{} frames of {}x{} decoded, {} analysed, {} of them searched (as much as {:.0} whole ones), with {} faces on tracks\nevents: {}\n\
             {:.1} s, {:.1} CPU seconds, {:.1} analysed frames a CPU second, at most {:.0} MB resident",
            self.frames_decoded,
            self.width,
            self.height,
            self.frames_analysed,
            self.frames_searched,
            self.pictures_searched,
            self.faces,
            if events.is_empty() { "none" } else { &events },
            self.wall_seconds,
            self.cpu_seconds,
            self.analysed_per_cpu_second,
            self.max_resident_mb,
        )
    }
}

fn cpu(usage: &Usage) -> Duration {
    let seconds = |t: TimeVal| Duration::new(t.tv_sec().unsigned_abs(), t.tv_usec().unsigned_abs() as u32 * 1000);
    seconds(usage.user_time()) + seconds(usage.system_time())
}

/// To milliseconds.
fn rounded(value: f64) -> f64 {
    (value * 1000.0).round() / 1000.0
}
