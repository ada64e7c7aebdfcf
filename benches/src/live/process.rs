//! What a process has used, as Linux tells it.

use std::fs;
use std::time::Duration;

use anyhow::Context;

/// `USER_HZ`: the same on all of Linux that this runs on.
const TICKS_PER_SECOND: u64 = 100;

/// What a process has used.
#[derive(Clone, Copy, Debug)]
pub struct Usage {
    /// User and system time of all its threads, without its children.
    pub cpu: Duration,
    /// Memory that is resident now.
    pub resident_mb: f64,
    /// The most that ever was.
    pub peak_mb: f64,
}

/// Of a process that runs.
///
/// # Errors
/// When it does not.
pub fn usage(pid: u32) -> anyhow::Result<Usage> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let megabytes = |key: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(key));
        let kilobytes: Option<f64> = line.and_then(|line| line.split_whitespace().next()?.parse().ok());
        kilobytes.map(|kilobytes| kilobytes / 1024.0).with_context(|| format!("no {key}"))
    };
    Ok(Usage { cpu: stat(pid)?.cpu, resident_mb: megabytes("VmRSS:")?, peak_mb: megabytes("VmHWM:")? })
}

/// CPU time of all that a process started and that runs, children's children included.
///
/// # Errors
/// When /proc cannot be read.
pub fn cpu_of_descendants(pid: u32) -> anyhow::Result<Duration> {
    let pids = fs::read_dir("/proc")?.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    // A process may end meanwhile: then it is not counted.
    let all: Vec<(u32, Stat)> = pids.filter_map(|pid| Some((pid, stat(pid).ok()?))).collect();
    let (mut family, mut sum) = (vec![pid], Duration::ZERO);
    while let Some(parent) = family.pop() {
        for (child, stat) in all.iter().filter(|(_, stat)| stat.parent == parent) {
            family.push(*child);
            sum += stat.cpu;
        }
    }
    Ok(sum)
}

struct Stat {
    parent: u32,
    cpu: Duration,
}

fn stat(pid: u32) -> anyhow::Result<Stat> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    // The name, in brackets, may hold anything. Behind it: state, parent, and as 12th and 13th user and system time.
    let fields: Vec<&str> = stat.rsplit_once(')').context("no name")?.1.split_whitespace().collect();
    let number = |i: usize| fields.get(i).and_then(|field| field.parse::<u64>().ok()).context("no stat");
    let cpu = Duration::from_millis((number(11)? + number(12)?) * 1000 / TICKS_PER_SECOND);
    Ok(Stat { parent: u32::try_from(number(1)?)?, cpu })
}
