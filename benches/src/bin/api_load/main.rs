//! Measures the API over a register of a million rows, and nine o'clock: a hundred rooms of fifty people who come within a minute.
//! It starts the real daemon with its own PostgreSQL; this process, the daemon and PostgreSQL share the machine.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a command that reports")]

mod daemon;
mod http;
mod kiosk;
mod spike;

use std::num::NonZeroU16;
use std::path::PathBuf;
use std::time::Duration;

use clap::Parser;
use rollcall_pipeline::{Clock, SystemClock};
use rollcall_store::testing::{Load, fill_register};

use daemon::Daemon;
use http::{Figures, load};

/// Measures the API.
#[derive(Clone, Debug, Parser)]
struct Options {
    /// The program [default: rollcall beside this one]
    #[arg(long, value_name = "FILE")]
    rollcall: Option<PathBuf>,
    /// Rows of the register
    #[arg(long, value_name = "N", default_value_t = 1_000_000)]
    rows: u64,
    /// Connections that ask at once
    #[arg(long, value_name = "N", default_value = "16")]
    connections: NonZeroU16,
    /// How long each path is asked, in seconds
    #[arg(long, value_name = "S", default_value_t = 10)]
    seconds: u64,
    /// How long it takes until everybody has come, in seconds
    #[arg(long, value_name = "S", default_value_t = 60)]
    spike_seconds: u64,
}

fn main() -> anyhow::Result<()> {
    let options = Options::parse();
    let clock = SystemClock;
    let mut daemon = Daemon::start(options.rollcall.clone(), &clock)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    let (cluster, store) = daemon.database(&runtime)?;
    eprintln!("filling the register …");
    let began = clock.mono();
    let filled = runtime.block_on(fill_register(&store, options.rows, clock.wall().date_naive()))?;
    eprintln!("{} rows after {:.0} s", filled.rows, clock.mono().since(began).as_secs_f64());
    let rooms = &filled.rooms[..filled.rooms.len().min(2)];
    daemon.make_keys(rooms)?;

    println!("| path | requests/s | p50 | p95 | p99 |");
    println!("| --- | ---: | ---: | ---: | ---: |");
    let seconds = Duration::from_secs(options.seconds);
    let mut reads = Vec::new();
    for (name, paths, connections) in paths(&filled, options.connections.get()) {
        let figures = runtime.block_on(load(&daemon, &daemon.key, &paths, connections, seconds, &clock))?;
        println!("| {name}, {connections} at once | {figures} |");
        if connections > 1 {
            reads.push(figures);
        }
    }
    for path in ["people", "attendance"] {
        let paths = [format!("/api/v1/{path}?limit=50")];
        let figures = runtime.block_on(load(&daemon, &daemon.scoped_key, &paths, 1, seconds, &clock))?;
        println!("| {path}, a page, for somebody who sees two rooms, 1 at once | {figures} |");
    }
    let all = Figures::merge(&reads);
    println!("\nAll lists together: {:.0} requests/s, p95 {:.1} ms.", all.rate / reads.len() as f64, all.ms(0.95));
    let told = spike::measure(&options, &daemon, &store, &runtime, &filled)?;
    println!("\n{told}");
    runtime.block_on(store.close());
    daemon.stop()?;
    drop(cluster);
    Ok(())
}

/// What is asked: a name, paths that are asked in turn, and by how many at once.
fn paths(filled: &Load, connections: u16) -> Vec<(&'static str, Vec<String>, u16)> {
    let Load { from, to, courses, rooms, people, .. } = filled;
    let each = |ids: &[String], path: &dyn Fn(&str) -> String| ids.iter().map(|id| path(id)).collect::<Vec<_>>();
    let text = |ids: &[uuid::Uuid]| ids.iter().take(100).map(ToString::to_string).collect::<Vec<_>>();
    let (courses, people) = (text(courses), text(people));
    let period = format!("from={from}&to={to}");
    let analytics = |name: &str| format!("/api/v1/analytics/{name}?{period}&site_id=big");
    vec![
        ("register, a page", vec!["/api/v1/attendance?limit=50".to_owned()], connections),
        (
            "register of a course",
            each(&courses, &|id| format!("/api/v1/attendance?course_id={id}&limit=50")),
            connections,
        ),
        (
            "register of a person",
            each(&people, &|id| format!("/api/v1/attendance?person_id={id}&limit=50")),
            connections,
        ),
        ("board of a room", each(rooms, &|id| format!("/api/v1/rooms/{id}/board")), connections),
        ("record of a person", each(&people, &|id| format!("/api/v1/people/{id}/attendance")), connections),
        (
            "analytics of a course (10,000 rows)",
            each(&courses, &|id| format!("/api/v1/analytics/summary?{period}&course_id={id}")),
            1,
        ),
        ("analytics of the site (1,000,000 rows)", vec![analytics("summary")], 1),
        ("heat map of the site", vec![analytics("heatmap")], 1),
        (
            "leaderboard of a course",
            each(&courses, &|id| format!("/api/v1/analytics/leaderboard?{period}&course_id={id}")),
            1,
        ),
        ("leaderboard of the site", vec![analytics("leaderboard")], 1),
        ("streaks of the site", vec![analytics("streaks")], 1),
    ]
}
