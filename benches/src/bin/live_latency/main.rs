//! How long it takes from the first usable face before a live camera to the committed row, and what the daemon costs.
//!
//! ```text
//! this process: watches        live_latency --serve          rollcall run
//!   /metrics, /proc      1080p25 RTSP cameras in memory ──►  cameras ► lane ► private PostgreSQL
//! ```
//!
//! Two men come and go before all cameras at the same moment: with several cameras that is the worst case.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a command that reports")]

use std::path::PathBuf;
use std::time::Duration;

use anyhow::bail;
use clap::Parser;
use rollcall_benches::live::cameras::{Cameras, serve};
use rollcall_benches::live::daemon::{Daemon, Setup};
use rollcall_benches::live::latencies::{Latencies, Quantiles, spooled};
use rollcall_benches::live::process::Usage;
use rollcall_benches::live::scene::Scene;
use rollcall_benches::measured::{Latency, keep};
use rollcall_pipeline::{Clock, SystemClock};
use rollcall_test_camera::{BitRate, Codec, Format};

/// How often the daemon is asked; faces come and go more slowly.
const POLL: Duration = Duration::from_millis(100);
const START_UP: Duration = Duration::from_secs(60);

/// Measures the time from the first usable face to the committed row, with real cameras and the real daemon.
#[derive(Clone, Debug, Parser)]
struct Options {
    /// The program [default: rollcall beside this one]
    #[arg(long, value_name = "FILE")]
    rollcall: Option<PathBuf>,
    /// Cameras
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=64))]
    cameras: u16,
    /// How long it is watched, in seconds
    #[arg(long, value_name = "S", default_value_t = 60)]
    seconds: u64,
    /// Analysed frames a second and camera
    #[arg(long, value_name = "N", default_value_t = 5.0)]
    fps: f32,
    /// Compress as H.265 instead of H.264
    #[arg(long)]
    h265: bool,
    /// Show this recording over and over instead of the demo's men
    #[arg(long, value_name = "FILE", requires = "people")]
    video: Option<PathBuf>,
    /// Who is enrolled: DIR/Name/*.jpg
    #[arg(long, value_name = "DIR")]
    people: Option<PathBuf>,
    /// Write the figures there as JSON, too
    #[arg(long, value_name = "FILE")]
    keep: Option<PathBuf>,
    /// Be the cameras
    #[arg(long, hide = true)]
    serve: bool,
}

impl Options {
    fn format(&self) -> Format {
        let codec = if self.h265 { Codec::H265 } else { Codec::H264 };
        Format { width: 1920, height: 1080, fps: 25, codec }
    }

    /// How this program is started again to be the cameras.
    fn cameras(&self) -> Vec<String> {
        let mut arguments = vec!["--serve".to_owned(), "--cameras".to_owned(), self.cameras.to_string()];
        arguments.extend(self.h265.then(|| "--h265".to_owned()));
        for (name, path) in [("--video", &self.video), ("--people", &self.people)] {
            arguments.extend(path.iter().flat_map(|path| [name.to_owned(), path.display().to_string()]));
        }
        arguments
    }
}

fn main() -> anyhow::Result<()> {
    let options = Options::parse();
    if !options.serve {
        return measure(&options);
    }
    let clip = Scene::busy(options.video.as_deref()).encode(options.format(), BitRate::Constant)?;
    serve(&clip, options.cameras, Duration::ZERO)
}

fn measure(options: &Options) -> anyhow::Result<()> {
    let clock = SystemClock;
    eprintln!("encoding what the cameras show …");
    let cameras = Cameras::start(options.cameras, &options.cameras())?;
    let Options { rollcall, people, fps, .. } = options.clone();
    let mut daemon = Daemon::start(&Setup { rollcall, people, fps, tuning: String::new() }, cameras.urls())?;
    daemon.wait_until_ready(&clock, START_UP)?;
    let (earlier, mut latencies) = (daemon.leads(0)?.len(), Latencies::new(&daemon.metrics()?));
    eprintln!("watching for {} s …", options.seconds);
    let (began, before) = (clock.mono(), daemon.usage()?);
    let first = daemon.metrics()?;
    while clock.mono().since(began) < Duration::from_secs(options.seconds) {
        std::thread::park_timeout(POLL);
        latencies.take(&daemon.metrics()?);
    }
    let (seconds, after) = (clock.mono().since(began).as_secs_f64(), daemon.usage()?);
    let last = daemon.metrics()?;
    let leads = daemon.leads(earlier)?;
    daemon.stop()?;

    let cost = Usage { cpu: after.cpu - before.cpu, ..after };
    let count = |name: &str| last.total(name) - first.total(name);
    let Format { width, height, fps, codec } = options.format();
    println!(
        "{} camera(s), {width}x{height} at {fps}, {codec:?} over RTSP, {} analysed a second each, {seconds:.0} s",
        options.cameras, options.fps
    );
    println!("rows: {}", latencies.kinds());
    if latencies.bounds() > 0 {
        println!(
            "{} of them were committed between the same two readings as another: each counts with the longest that it may have taken",
            latencies.bounds()
        );
    }
    println!("first usable face to committed row, rows with a name: {}", latencies.named());
    println!("in view before that, too small or too blurred to be used: {}", Quantiles::new(leads.into_iter()));
    println!("first usable face to committed row, other rows (decided when somebody has left): {}", latencies.others());
    println!(
        "daemon: {:.1} % of a core, {:.0} MB resident, {:.0} MB at most (PostgreSQL and the cameras not counted)",
        100.0 * cost.cpu.as_secs_f64() / seconds,
        cost.resident_mb,
        cost.peak_mb
    );
    println!(
        "frames: {:.2} analysed a second, {} pushed out by newer ones",
        count("rollcall_camera_frames_analysed_total") / seconds,
        count("rollcall_camera_frames_evicted_total")
    );
    if let Some(path) = &options.keep {
        let named = latencies.named();
        let (rows, p50_s, p95_s) = (named.count(), named.quantile(0.5), named.quantile(0.95));
        let daemon_cores = cost.cpu.as_secs_f64() / seconds;
        keep(path, &Latency { rows, p50_s, p95_s, daemon_cores, resident_mb: cost.resident_mb })?;
    }
    let spooled = spooled(&last) - spooled(&first);
    if spooled > 0.0 {
        bail!(
            "{spooled} rows went through the spool, and what these took is not in the figures: see the log of the daemon"
        );
    }
    if latencies.is_empty() {
        bail!("nobody was named: see the log of the daemon with RUST_LOG=debug, or watch for longer");
    }
    Ok(())
}
