//! How many live cameras one machine carries while whoever comes is in the database within a second.
//!
//! One process serves the cameras, with pictures that were encoded before; what it costs is told apart. For each number of
//! cameras a new daemon watches that many of them, between two runs of something that only decodes them. People come to the
//! cameras at different moments. In each round all numbers have their turn.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a command that reports")]

mod report;

use std::path::PathBuf;
use std::time::Duration;

use clap::{Parser, ValueEnum};
use rollcall_benches::live::bare;
use rollcall_benches::live::cameras::{Cameras, serve};
use rollcall_benches::live::daemon::{Daemon, Setup};
use rollcall_benches::live::latencies::{Latencies, spooled};
use rollcall_benches::live::scene::Scene;
use rollcall_benches::measured::{Capacity, keep, kept};
use rollcall_pipeline::{Clock, SystemClock};
use rollcall_test_camera::{BitRate, Codec, Format};

use report::Watch;

/// How often the daemon is asked: seldom enough that asking costs it nothing to speak of.
const POLL: Duration = Duration::from_millis(100);
const START_UP: Duration = Duration::from_secs(120);
/// So much later in the film than one camera the next one begins. Of the time between two visits it leaves the golden part, of
/// which no small multiple is near a whole one, so that no two cameras show the same at the same time; and eight of them are
/// spread over the whole film.
const STAGGER: Duration = Duration::from_millis(25_170);
/// Connections, first key frames and the first template search are over by then.
const WARM_UP: Duration = Duration::from_secs(5);
/// So long something that only decodes runs before the daemon, and again after it: neither sees all of the film.
const BARE: Duration = Duration::from_secs(15);

/// What the cameras show.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Show {
    /// Somebody comes every four and a half seconds, and stays for three
    Busy,
    /// Somebody comes every fifteen seconds; in between there is the noise of an empty hall
    Quiet,
}

/// Measures how many cameras the daemon carries with a bound on latency.
#[derive(Clone, Debug, Parser)]
struct Options {
    /// The program [default: rollcall beside this one]
    #[arg(long, value_name = "FILE")]
    rollcall: Option<PathBuf>,
    /// Numbers of cameras to measure, such as 1,2,4,8
    #[arg(long, value_name = "N,…", value_delimiter = ',', default_values_t = [1, 2, 4, 8, 16], value_parser = clap::value_parser!(u16).range(1..=64))]
    cameras: Vec<u16>,
    /// How long each number is watched, in seconds
    #[arg(long, value_name = "S", default_value_t = 60)]
    seconds: u64,
    /// How often; the figures are the medians
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..=100))]
    rounds: u8,
    /// What the cameras show
    #[arg(long, value_enum, default_value_t = Show::Busy)]
    scene: Show,
    /// Width and height of the streams, multiples of 8
    #[arg(long, value_name = "WxH", default_value = "1920x1080", value_parser = size)]
    size: (u32, u32),
    /// Analysed frames a second and camera
    #[arg(long, value_name = "N", default_value_t = 5.0)]
    fps: f32,
    /// Compress as H.265 instead of H.264
    #[arg(long)]
    h265: bool,
    /// Spend the bits that a picture needs, instead of as many on each
    #[arg(long)]
    vbr: bool,
    /// A line for each camera of the daemon's configuration, such as "still_interval_s = 0"
    #[arg(long, value_name = "LINE", default_value = "")]
    tuning: String,
    /// Show this recording without a pause instead of the demo's men
    #[arg(long, value_name = "FILE", requires = "people")]
    video: Option<PathBuf>,
    /// Who is enrolled: DIR/Name/*.jpg
    #[arg(long, value_name = "DIR")]
    people: Option<PathBuf>,
    /// Add the figures to those in this JSON file, too
    #[arg(long, value_name = "FILE")]
    keep: Option<PathBuf>,
    /// Be the cameras
    #[arg(long, hide = true)]
    serve: bool,
}

fn size(text: &str) -> Result<(u32, u32), String> {
    let sides = text.split_once('x').and_then(|(w, h)| Some((w.parse().ok()?, h.parse().ok()?)));
    sides
        .filter(|(w, h): &(u32, u32)| [w, h].iter().all(|s| (64..=4096).contains(*s) && s.is_multiple_of(8)))
        .ok_or_else(|| "not a size such as 1920x1080, of multiples of 8 up to 4096".to_owned())
}

impl Options {
    fn format(&self) -> Format {
        let codec = if self.h265 { Codec::H265 } else { Codec::H264 };
        Format { width: self.size.0, height: self.size.1, fps: 25, codec }
    }

    fn bit_rate(&self) -> BitRate {
        if self.vbr { BitRate::Variable } else { BitRate::Constant }
    }

    /// What the cameras show, and how they compress it.
    fn shown(&self) -> String {
        let who = match (&self.video, self.scene) {
            (Some(_), Show::Busy) => "a recording of a crowd, without a pause",
            (Some(_), Show::Quiet) => "a recording of a crowd, now and then",
            (None, Show::Busy) => "busy doors",
            (None, Show::Quiet) => "quiet doors",
        };
        format!("{who}, {} bit rate", if self.vbr { "variable" } else { "constant" })
    }

    fn most(&self) -> u16 {
        self.cameras.iter().copied().max().unwrap_or(1)
    }

    /// How this program is started again to be the cameras.
    fn served(&self) -> Vec<String> {
        let scene = self.scene.to_possible_value().map(|v| v.get_name().to_owned()).unwrap_or_default();
        let (width, height) = self.size;
        let named =
            [("--cameras", self.most().to_string()), ("--scene", scene), ("--size", format!("{width}x{height}"))];
        let paths = [("--video", &self.video), ("--people", &self.people)];
        let paths = paths.into_iter().filter_map(|(name, path)| Some((name, path.as_ref()?.display().to_string())));
        let flags = [(self.h265, "--h265"), (self.vbr, "--vbr")];
        let flags = flags.into_iter().filter(|(set, _)| *set).map(|(_, flag)| flag.to_owned());
        let named = named.into_iter().chain(paths).flat_map(|(name, value)| [name.to_owned(), value]);
        named.chain(["--serve".to_owned()]).chain(flags).collect()
    }
}

fn main() -> anyhow::Result<()> {
    let options = Options::parse();
    if options.serve {
        let scene = match options.scene {
            Show::Busy => Scene::busy(options.video.as_deref()),
            Show::Quiet => Scene::quiet(options.video.as_deref()),
        };
        return serve(&scene.encode(options.format(), options.bit_rate())?, options.most(), STAGGER);
    }
    eprintln!("encoding what the cameras show …");
    let cameras = Cameras::start(options.most(), &options.served())?;
    let mut watched = Vec::new();
    for round in 1..=options.rounds {
        for &count in &options.cameras {
            eprintln!("round {round} of {}: {count} cameras for {} s …", options.rounds, options.seconds);
            watched.push(watch(&options, &cameras, count)?);
        }
    }
    print!("{}", report::markdown(&options, &watched));
    if let Some(path) = &options.keep {
        let mut all: Vec<Capacity> = kept(path)?.unwrap_or_default();
        all.push(report::figures(&options, &watched));
        keep(path, &all)?;
    }
    Ok(())
}

fn watch(options: &Options, cameras: &Cameras, count: u16) -> anyhow::Result<Watch> {
    let clock = SystemClock;
    let Options { rollcall, people, fps, tuning, .. } = options.clone();
    let setup = Setup { rollcall, people, fps, tuning };
    let urls = &cameras.urls()[..usize::from(count)];
    let watched = Duration::from_secs(options.seconds);
    let bare_cores = || bare::decode_cores(urls, options.format(), watched.min(BARE));
    let bare_before = bare_cores()?;
    let mut daemon = Daemon::start(&setup, urls)?;
    daemon.wait_until_ready(&clock, START_UP)?;
    std::thread::park_timeout(WARM_UP);

    let first = daemon.metrics()?;
    let mut latencies = Latencies::new(&first);
    let (began, before, served) = (clock.mono(), daemon.usage()?, cameras.usage()?);
    let database = daemon.database_cpu()?;
    while clock.mono().since(began) < watched {
        std::thread::park_timeout(POLL);
        latencies.take(&daemon.metrics()?);
    }
    let seconds = clock.mono().since(began).as_secs_f64();
    let (after, last) = (daemon.usage()?, daemon.metrics()?);
    let cores = |now: Duration, then: Duration| now.saturating_sub(then).as_secs_f64() / seconds;
    let searched = |reading: &rollcall_benches::live::exposition::Exposition| {
        let frames = reading.by("rollcall_detector_frames_total", "reason");
        frames.filter(|(reason, _)| !matches!(*reason, "still" | "soon")).map(|(_, count)| count).sum::<f64>()
    };
    let grown = |name: &str| last.total(name) - first.total(name);
    let watch = Watch {
        cameras: count,
        seconds,
        bare_cores: bare_before,
        daemon_cores: cores(after.cpu, before.cpu),
        database_cores: cores(daemon.database_cpu()?, database),
        camera_cores: cores(cameras.usage()?.cpu, served.cpu),
        peak_mb: after.peak_mb,
        named: latencies.named(),
        bounds: latencies.bounds(),
        spooled: spooled(&last) - spooled(&first),
        decoded: grown("rollcall_camera_frames_decoded_total"),
        received: grown("rollcall_camera_frames_received_total"),
        evicted: grown("rollcall_camera_frames_evicted_total"),
        late: grown("rollcall_camera_frames_late_total"),
        analysed: grown("rollcall_camera_frames_analysed_total"),
        searched: searched(&last) - searched(&first),
        load: load(),
    };
    daemon.stop()?;
    Ok(Watch { bare_cores: f64::midpoint(bare_before, bare_cores()?), ..watch })
}

/// Runnable tasks of the whole machine, averaged over the last minute; 0 where that is not told.
fn load() -> f64 {
    let text = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split(' ').next().and_then(|load| load.parse().ok()).unwrap_or_default()
}
