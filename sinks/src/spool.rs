//! A bounded queue on disk that survives crashes: what was appended is there until it is acknowledged.
//!
//! ```text
//! <dir>/00000000000000000001.seg     header: magic (7) | version (1)
//!       00000000000000000412.seg     record: magic (4) | length (4) | crc32 (4) | time (8) | payload (length)
//!       lock                         the crc covers time and payload; all numbers are little-endian
//! ```
//!
//! The name of a segment is the number of its first record. A record counts as appended when its bytes are synced, and
//! for a new segment the directory too. Segments are removed when all of their records are acknowledged, so after a
//! restart up to one segment is delivered again: at least once, in order. A torn tail was never accepted and is cut off;
//! damage in the middle is kept aside and stepped over. It knows nothing of events, encryption, clocks or waiting.

mod segment;

use std::collections::{HashMap, VecDeque};
use std::fs::{self, File, TryLockError};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use nix::errno::Errno;

use segment::{Entry, Segment};

/// A payload that is longer was not made by us.
pub const MAX_PAYLOAD: usize = 4 << 20;

/// Why the spool did not take or give something.
#[derive(Debug, thiserror::Error)]
pub enum SpoolError {
    /// There is no room until records are acknowledged.
    #[error("the spool {dir} is full ({bytes} of {max} bytes): bring the database back, or raise spool.max_mb")]
    Full {
        /// Where.
        dir: PathBuf,
        /// Bytes on disk.
        bytes: u64,
        /// Bytes at most.
        max: u64,
    },
    /// The payload is larger than any that we make.
    #[error("a record of {0} bytes is too large for the spool")]
    TooLarge(usize),
    /// Another process writes there.
    #[error("the spool {0} is in use by another process: two daemons cannot share a data directory")]
    InUse(PathBuf),
    /// The disk.
    #[error("{what}: {source}{}", advice(source))]
    Io {
        /// What was tried, with the path.
        what: String,
        /// What the system said.
        source: io::Error,
    },
}

impl SpoolError {
    fn io(what: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let what = format!("cannot {what} {}", path.display());
        move |source| Self::Io { what, source }
    }
}

/// What to do about what the system said, where somebody can do something.
fn advice(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => ": free space on the disk of the spool",
        io::ErrorKind::ReadOnlyFilesystem => ": mount the disk of the spool for writing",
        io::ErrorKind::PermissionDenied => ": give the directory to the user that runs rollcall",
        _ if error.raw_os_error() == Some(Errno::EIO as i32) => {
            ": the disk fails. Stop rollcall, save what can be read of the file (ddrescue), take it away, and start again"
        }
        _ => "",
    }
}

/// Where it lies and how much it may take.
#[derive(Clone, Debug)]
pub struct SpoolOptions {
    /// A directory of its own.
    pub dir: PathBuf,
    /// Bytes of all segments together.
    pub max_bytes: u64,
    /// From this size on, the next record starts a new segment. Space comes back segment by segment.
    pub segment_bytes: u64,
}

impl SpoolOptions {
    /// In `dir`, so many bytes, in an eighth of that at a time but never more than 4 MiB.
    pub fn new(dir: impl Into<PathBuf>, max_bytes: u64) -> Self {
        Self { dir: dir.into(), max_bytes, segment_bytes: (max_bytes / 8).clamp(1, 4 << 20) }
    }
}

/// A record as it comes out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SpooledRecord {
    /// Its number, from 1, without gaps except where something was damaged.
    pub seq: u64,
    /// When it was appended, as the caller said, in milliseconds.
    pub time_ms: i64,
    /// What was appended.
    pub payload: Vec<u8>,
}

/// The queue.
#[derive(Debug)]
pub struct Spool {
    options: SpoolOptions,
    /// Oldest first; only the last may grow, and only while `appending` holds it open.
    segments: VecDeque<Segment>,
    appending: Option<File>,
    next_seq: u64,
    lock: File,
}

impl Drop for Spool {
    /// A process that is being started holds a copy of the lock's file for a moment: to close ours alone would not give it back.
    fn drop(&mut self) {
        if let Err(error) = self.lock.unlock() {
            tracing::warn!(dir = %self.options.dir.display(), %error, "the lock of the spool is not given back");
        }
    }
}

impl Spool {
    /// Opens or makes the queue, and repairs what a crash left.
    ///
    /// # Errors
    /// When the directory cannot be used or another process uses it.
    pub fn open(options: SpoolOptions) -> Result<Self, SpoolError> {
        let dir = &options.dir;
        fs::DirBuilder::new().recursive(true).mode(0o700).create(dir).map_err(SpoolError::io("make", dir))?;
        let lock = File::options()
            .create(true)
            .truncate(false)
            .write(true)
            .mode(0o600)
            .open(dir.join("lock"))
            .map_err(SpoolError::io("lock", dir))?;
        lock.try_lock().map_err(|e| match e {
            TryLockError::WouldBlock => SpoolError::InUse(dir.clone()),
            TryLockError::Error(source) => SpoolError::io("lock", dir)(source),
        })?;
        segment::remove_drafts(dir)?;
        let mut numbers: Vec<u64> = fs::read_dir(dir)
            .map_err(SpoolError::io("read", dir))?
            .flatten()
            .filter_map(|entry| entry.file_name().to_str()?.strip_suffix(".seg")?.parse().ok())
            .collect();
        numbers.sort_unstable();
        let mut segments = VecDeque::new();
        let mut next_seq = 1;
        for (at, &number) in numbers.iter().enumerate() {
            let last = at + 1 == numbers.len();
            let segment = segment::load(dir, number.max(next_seq), number, last)?;
            next_seq = segment.next_seq;
            if segment.entries.is_empty() {
                segment.remove();
            } else {
                segments.push_back(segment);
            }
        }
        Ok(Self { options, segments, appending: None, next_seq, lock })
    }

    /// Appends all payloads or none. When it returns `Ok`, they are on the disk.
    ///
    /// # Errors
    /// When there is no room in the spool or on the disk.
    pub fn append(&mut self, payloads: &[Vec<u8>], time_ms: i64) -> Result<(), SpoolError> {
        if let Some(large) = payloads.iter().find(|p| p.len() > MAX_PAYLOAD) {
            return Err(SpoolError::TooLarge(large.len()));
        }
        let mut bytes = Vec::new();
        let mut entries = Vec::with_capacity(payloads.len());
        for payload in payloads {
            let offset = bytes.len() as u64;
            segment::encode(&mut bytes, time_ms, payload);
            entries.push(Entry {
                seq: self.next_seq + entries.len() as u64,
                offset,
                time_ms,
                len: payload.len() as u32,
            });
        }
        let held = self.bytes();
        if held + bytes.len() as u64 + segment::HEADER_BYTES > self.options.max_bytes {
            return Err(SpoolError::Full { dir: self.options.dir.clone(), bytes: held, max: self.options.max_bytes });
        }
        let full = self.segments.back().is_none_or(|s| s.len >= self.options.segment_bytes);
        if full || self.appending.is_none() {
            self.start_segment()?;
        }
        let (Some(file), Some(segment)) = (&self.appending, self.segments.back_mut()) else {
            unreachable!("a segment was started above")
        };
        if let Err(source) = segment::write_synced(file, segment.len, &bytes) {
            // Whatever arrived is cut off, and what comes next goes to a new file: after a failed sync nobody knows
            // what the old one holds. If even this fails, the tail is delivered after a restart, which does no harm.
            let cut = file.set_len(segment.len);
            self.appending = None;
            let path = segment.path.clone();
            self.drop_empty_tail();
            tracing::debug!(?cut, "an append to the spool failed");
            return Err(SpoolError::io("write", &path)(source));
        }
        for entry in &mut entries {
            entry.offset += segment.len;
        }
        segment.len += bytes.len() as u64;
        segment.entries.extend(entries);
        self.next_seq += payloads.len() as u64;
        segment.next_seq = self.next_seq;
        Ok(())
    }

    fn start_segment(&mut self) -> Result<(), SpoolError> {
        self.appending = None;
        self.drop_empty_tail();
        let (segment, file) = segment::create(&self.options.dir, self.next_seq)?;
        self.segments.push_back(segment);
        self.appending = Some(file);
        Ok(())
    }

    /// A segment into which nothing was written would have the name of the next one.
    fn drop_empty_tail(&mut self) {
        if self.segments.back().is_some_and(|s| s.entries.is_empty())
            && let Some(segment) = self.segments.pop_back()
        {
            segment.remove();
        }
    }

    /// The oldest records, at most `max`, in order. They stay until they are acknowledged. Damaged ones are left out.
    ///
    /// # Errors
    /// When the disk does not give them.
    pub fn peek(&mut self, max: usize) -> Result<Vec<SpooledRecord>, SpoolError> {
        self.peek_from(0, max)
    }

    /// The same from a number on; none where there are none behind it.
    ///
    /// # Errors
    /// As [`Self::peek`].
    pub fn peek_from(&mut self, seq: u64, max: usize) -> Result<Vec<SpooledRecord>, SpoolError> {
        let mut records = Vec::new();
        let mut damaged = Vec::new();
        for segment in &self.segments {
            let first = segment.entries.partition_point(|entry| entry.seq < seq);
            if records.len() == max || first == segment.entries.len() {
                continue;
            }
            let file = File::open(&segment.path).map_err(SpoolError::io("read", &segment.path))?;
            for entry in segment.entries.range(first..) {
                if records.len() == max {
                    break;
                }
                match segment::read(&file, entry).map_err(SpoolError::io("read", &segment.path))? {
                    Some(payload) => records.push(SpooledRecord { seq: entry.seq, time_ms: entry.time_ms, payload }),
                    None => {
                        segment::keep_damaged(segment, &file, entry);
                        damaged.push(entry.seq);
                    }
                }
            }
        }
        if !damaged.is_empty() {
            self.segments.iter_mut().for_each(|s| s.entries.retain(|e| !damaged.contains(&e.seq)));
            self.remove_finished();
        }
        Ok(records)
    }

    /// Forgets all records up to and including `seq`, and gives back the space of segments that are done.
    pub fn acknowledge(&mut self, seq: u64) {
        for segment in &mut self.segments {
            while segment.entries.front().is_some_and(|entry| entry.seq <= seq) {
                segment.entries.pop_front();
            }
        }
        self.remove_finished();
    }

    /// Gives back the space of the oldest segments of which nothing is left.
    fn remove_finished(&mut self) {
        while self.segments.front().is_some_and(|s| s.entries.is_empty())
            && let Some(segment) = self.segments.pop_front()
        {
            segment.remove();
        }
        if self.segments.is_empty() {
            self.appending = None;
        }
    }

    /// Puts other payloads in the place of records, by their numbers. Afterwards no file holds what was there.
    ///
    /// # Errors
    /// When the disk does not give or take them. Each file is then as it was or as it was to be.
    pub fn replace(&mut self, payloads: &HashMap<u64, Vec<u8>>) -> Result<(), SpoolError> {
        if let Some(large) = payloads.values().find(|p| p.len() > MAX_PAYLOAD) {
            return Err(SpoolError::TooLarge(large.len()));
        }
        // It may be of a file that is about to lose its name.
        self.appending = None;
        for segment in &mut self.segments {
            if segment.entries.iter().any(|entry| payloads.contains_key(&entry.seq)) {
                segment.rewrite(payloads)?;
            }
        }
        self.remove_finished();
        Ok(())
    }

    /// Forgets the oldest records, a segment's worth, and returns how many that were.
    pub fn drop_oldest(&mut self) -> usize {
        let oldest = self.segments.iter().find(|segment| !segment.entries.is_empty());
        let Some((dropped, last)) = oldest.and_then(|s| Some((s.entries.len(), s.entries.back()?.seq))) else {
            return 0;
        };
        self.acknowledge(last);
        dropped
    }

    /// Records that wait.
    pub fn len(&self) -> usize {
        self.segments.iter().map(|s| s.entries.len()).sum()
    }

    /// Nothing waits.
    pub fn is_empty(&self) -> bool {
        self.segments.iter().all(|s| s.entries.is_empty())
    }

    /// Bytes on disk.
    pub fn bytes(&self) -> u64 {
        self.segments.iter().map(|s| s.len).sum()
    }

    /// When the oldest record was appended.
    pub fn oldest_ms(&self) -> Option<i64> {
        self.segments.iter().find_map(|s| s.entries.front()).map(|entry| entry.time_ms)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn a_spool_that_is_closed_is_free_whoever_still_has_a_copy_of_its_lock() {
        let dir = tempfile::tempdir().unwrap();
        let spool = Spool::open(SpoolOptions::new(dir.path(), 1 << 20)).unwrap();
        // As a process has that is being started.
        let _copy = spool.lock.try_clone().unwrap();
        drop(spool);
        assert!(Spool::open(SpoolOptions::new(dir.path(), 1 << 20)).is_ok());
    }
}
