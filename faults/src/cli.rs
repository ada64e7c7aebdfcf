//! What can be typed.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a command that reports")]

use std::fs;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::time::Duration;

use anyhow::{Context, bail};
use clap::Parser;
use rollcall_pipeline::{Clock, SystemClock};

use crate::report::{Outcome, Report};
use crate::scenario::{SCENARIOS, SOAK, find};
use crate::trial::{Matrix, Options};

/// Set in the process that has its own name space for disks.
const INSIDE: &str = "ROLLCALL_FAULTS_INSIDE";
const PATIENCE: Duration = Duration::from_secs(120);

/// Breaks cameras, the database, the disk, the clock and the daemon, and holds the rows against what was shown.
#[derive(Clone, Debug, Parser)]
#[command(name = "faults", max_term_width = 120)]
struct Cli {
    /// Play this scenario only; may be repeated
    #[arg(long, value_name = "NAME")]
    only: Vec<String>,
    /// Name the scenarios and say what happens in each
    #[arg(long)]
    list: bool,
    /// Print the report as JSON
    #[arg(long)]
    json: bool,
    /// Where chance begins; the same seed kills at the same moments [default: another one each time]
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
    /// How many seconds a fault lasts at least
    #[arg(long, value_name = "S", default_value_t = 120)]
    hold: u64,
    /// How often the daemon is killed
    #[arg(long, value_name = "N", default_value_t = 50)]
    kills: u32,
    /// How often a camera comes and goes, two seconds each
    #[arg(long, value_name = "N", default_value_t = 30)]
    flaps: u32,
    /// Cameras beyond those that a scenario needs
    #[arg(long, value_name = "N", default_value_t = 1)]
    more_cameras: usize,
    /// Soak for so many minutes instead: cameras come and go, and memory, threads and files are watched
    #[arg(long, value_name = "MINUTES")]
    soak: Option<u64>,
    /// The program [default: rollcall beside this one]
    #[arg(long, value_name = "FILE")]
    rollcall: Option<PathBuf>,
    /// Where the report and the logs of failures go [default: target/faults]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
}

/// Runs the command.
///
/// # Errors
/// When nothing can be tried at all.
pub fn run() -> anyhow::Result<ExitCode> {
    let cli = Cli::parse();
    if cli.list {
        for scenario in SCENARIOS {
            println!("{:<30}{}", scenario.name, scenario.what);
        }
        return Ok(ExitCode::SUCCESS);
    }
    let scenarios = match cli.soak {
        Some(_) => vec![&SOAK],
        None if cli.only.is_empty() => SCENARIOS.iter().collect(),
        None => {
            let found =
                cli.only.iter().map(|name| find(name).with_context(|| format!("no scenario {name}: see --list")));
            found.collect::<Result<Vec<_>, _>>()?
        }
    };
    enter_name_space()?;
    let options = cli.options()?;
    let (seed, out) = (options.seed, options.keep.clone());
    eprintln!("enrolling two people, and encoding what the cameras show …");
    let matrix = Matrix::prepare(options)?;
    let mut outcomes: Vec<Outcome> = Vec::new();
    for (number, scenario) in scenarios.iter().enumerate() {
        eprintln!("[{}/{}] {}: {} …", number + 1, scenarios.len(), scenario.name, scenario.what);
        let outcome = matrix.run(scenario);
        eprintln!("  {}", outcome.text());
        outcomes.push(outcome);
    }
    let report = Report::new(seed, outcomes);
    let args: Vec<_> = std::env::args().skip(1).collect();
    let page = report.markdown(format!("faults {}", args.join(" ")).trim(), &machine());
    fs::create_dir_all(&out)?;
    let path = out.join(if cli.soak.is_some() { "soak.md" } else { "latest.md" });
    fs::write(&path, &page)?;
    if cli.json {
        println!("{}", serde_json::to_string_pretty(&report)?);
    } else {
        println!("{page}");
    }
    eprintln!("seed {seed}; the report is in {}", path.display());
    Ok(if report.passed { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

impl Cli {
    fn options(&self) -> anyhow::Result<Options> {
        let beside = std::env::current_exe()?;
        let program = self.rollcall.clone().unwrap_or_else(|| beside.with_file_name("rollcall"));
        if !program.is_file() {
            bail!("{} is not there: cargo build, or name it with --rollcall", program.display());
        }
        let target = beside.ancestors().nth(2).unwrap_or(Path::new("target"));
        Ok(Options {
            program,
            patience: PATIENCE,
            hold: Duration::from_secs(self.hold),
            kills: self.kills,
            flaps: self.flaps,
            seed: self.seed.unwrap_or_else(|| SystemClock.wall().timestamp_millis().unsigned_abs()),
            more_cameras: self.more_cameras,
            soak: Duration::from_secs(60 * self.soak.unwrap_or_default()),
            keep: self.out.clone().unwrap_or_else(|| target.join("faults")),
        })
    }
}

/// Where that is allowed: begins anew in a name space in which disks may be mounted, and from which nothing is left at the end.
/// Elsewhere the scenarios that need small disks say so.
fn enter_name_space() -> anyhow::Result<()> {
    const OWN: [&str; 4] = ["--mount", "--propagation", "private", "--"];
    let allowed = || Command::new("unshare").args(OWN).arg("true").stderr(Stdio::null()).status();
    if std::env::var_os(INSIDE).is_some() || !allowed().is_ok_and(|status| status.success()) {
        return Ok(());
    }
    let mut command = Command::new("unshare");
    command.args(OWN).arg(std::env::current_exe()?).args(std::env::args_os().skip(1)).env(INSIDE, "1");
    Err(command.exec()).context("cannot run unshare, of util-linux")
}

/// The processor, and how busy it is.
fn machine() -> String {
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let info = read("/proc/cpuinfo");
    let model = info.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": ").map(|(_, name)| name));
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let load = read("/proc/loadavg");
    let load: Vec<_> = load.split_whitespace().take(3).collect();
    format!("{cores} cores of {}, load {}", model.unwrap_or("an unknown processor"), load.join(" "))
}
