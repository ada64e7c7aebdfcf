//! What a process holds: memory, threads, open files.

use std::collections::HashSet;
use std::fs;

use anyhow::Context;

/// At one moment.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Holdings {
    pub(crate) resident_mb: f64,
    pub(crate) threads: usize,
    pub(crate) files: usize,
    /// Of the network: cameras and clients.
    pub(crate) sockets: usize,
    /// Of this machine: connections of the pool to PostgreSQL, which come and go with its use.
    pub(crate) local: usize,
}

/// What a process holds now.
pub(crate) fn holdings(pid: u32) -> anyhow::Result<Holdings> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let field = |key: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(key));
        line.and_then(|line| line.split_whitespace().next()?.parse::<f64>().ok()).with_context(|| format!("no {key}"))
    };
    let unix = fs::read_to_string(format!("/proc/{pid}/net/unix"))?;
    let unix: HashSet<&str> = unix.lines().filter_map(|line| line.split_whitespace().nth(6)).collect();
    let (mut files, mut sockets, mut local) = (0, 0, 0);
    for entry in fs::read_dir(format!("/proc/{pid}/fd"))?.flatten() {
        // One that was closed meanwhile is not held.
        if let Ok(target) = fs::read_link(entry.path()) {
            let target = target.to_string_lossy();
            match target.strip_prefix("socket:[").and_then(|inode| inode.strip_suffix(']')) {
                Some(inode) if unix.contains(inode) => local += 1,
                Some(_) => sockets += 1,
                None => files += 1,
            }
        }
    }
    Ok(Holdings { resident_mb: field("VmRSS:")? / 1024.0, threads: field("Threads:")? as usize, files, sockets, local })
}

/// The children of a process, and theirs.
pub(crate) fn descendants(pid: u32) -> Vec<u32> {
    let parents: Vec<(u32, u32)> = fs::read_dir("/proc")
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| {
            let pid: u32 = entry.file_name().to_str()?.parse().ok()?;
            let stat = fs::read_to_string(entry.path().join("stat")).ok()?;
            // The name, in brackets, may hold anything; the parent is the second field behind it.
            let parent = stat.rsplit_once(')')?.1.split_whitespace().nth(1)?.parse().ok()?;
            Some((pid, parent))
        })
        .collect();
    let mut found = vec![pid];
    let mut at = 0;
    while at < found.len() {
        let parent = found[at];
        found.extend(parents.iter().filter(|(_, of)| *of == parent).map(|(pid, _)| *pid));
        at += 1;
    }
    found.remove(0);
    found
}

/// The thread of a process that has this name.
pub(crate) fn thread(pid: u32, name: &str) -> anyhow::Result<i32> {
    let threads = fs::read_dir(format!("/proc/{pid}/task"))?.flatten();
    let mut named =
        threads.filter(|task| fs::read_to_string(task.path().join("comm")).is_ok_and(|comm| comm.trim() == name));
    let task = named.next().with_context(|| format!("no thread {name}"))?;
    Ok(task.file_name().to_string_lossy().parse()?)
}

/// Whether a thread that is stopped is just within this library.
pub(crate) fn is_within(pid: u32, thread: i32, library: &str) -> anyhow::Result<bool> {
    let number = |hex: &str| u64::from_str_radix(hex.trim_start_matches("0x"), 16);
    // The last word is where it goes on.
    let call = fs::read_to_string(format!("/proc/{pid}/task/{thread}/syscall"))?;
    let at = number(call.split_whitespace().last().context("it runs")?)?;
    let maps = fs::read_to_string(format!("/proc/{pid}/maps"))?;
    let mut parts = maps.lines().filter(|line| line.contains(library)).filter_map(|line| {
        let (from, to) = line.split_whitespace().next()?.split_once('-')?;
        Some(number(from).ok()?..number(to).ok()?)
    });
    Ok(parts.any(|part| part.contains(&at)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_holds_something() {
        let socket = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let pair = std::os::unix::net::UnixStream::pair().unwrap();
        let held = holdings(std::process::id()).unwrap();
        drop((socket, pair));
        assert!(held.resident_mb > 1.0 && held.threads >= 1 && held.files >= 3, "{held:?}");
        assert!(held.sockets >= 1 && held.local >= 2, "{held:?}");
    }
}
