//! What the database refused for its values, for whoever looks into it. The spool belongs to the daemon: not while one runs.

use std::path::Path;

use rollcall_pipeline::{Fault, WallTime};
use rollcall_store::Sealer;
use uuid::Uuid;

use crate::codec::{self, Rejected};
use crate::postgres::{REJECTED, spool_fault};
use crate::spool::{Spool, SpoolOptions, SpooledRecord};

/// An event that was put aside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// When.
    pub at: Option<WallTime>,
    /// What it was, if it can be read.
    pub event: Option<RefusedEvent>,
    /// What the database said, or why it cannot be read.
    pub reason: String,
}

/// What is told of it: nothing about whom it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RefusedEvent {
    /// Id.
    pub id: Uuid,
    /// Kind.
    pub kind: String,
    /// Camera.
    pub camera: String,
    /// When the deciding shot was taken.
    pub captured_at: WallTime,
}

/// What lies in the directory `rejected` of a spool, oldest first.
///
/// # Errors
/// When a daemon runs, or the disk does not give it.
pub fn list(spool_dir: &Path, sealer: &Sealer) -> Result<Vec<Refusal>, Fault> {
    let (_, records) = open(spool_dir, u64::MAX)?;
    Ok(records.iter().map(|record| refusal(sealer, record)).collect())
}

/// Puts back into the spool what can be read of it; the next daemon writes it. Returns how many events that were.
///
/// # Errors
/// When a daemon runs, the spool has no room, or the disk does not work. Nothing is lost then.
pub fn retry(spool_dir: &Path, max_bytes: u64, sealer: &Sealer) -> Result<usize, Fault> {
    let mut spool = Spool::open(SpoolOptions::new(spool_dir, max_bytes)).map_err(spool_fault)?;
    let (mut rejected, records) = open(spool_dir, max_bytes)?;
    let mut put_back = 0;
    for SpooledRecord { seq, time_ms, payload } in records {
        match codec::decode_rejected(sealer, &payload).and_then(|read| codec::encode(sealer, &read.record)) {
            // Both on the disk for a moment rather than on none: an event that is delivered twice is one.
            Ok(payload) => spool.append(&[payload], time_ms).map(|()| put_back += 1),
            Err(_) => rejected.append(&[payload], time_ms),
        }
        .map_err(spool_fault)?;
        rejected.acknowledge(seq);
    }
    Ok(put_back)
}

fn open(spool_dir: &Path, max_bytes: u64) -> Result<(Spool, Vec<SpooledRecord>), Fault> {
    let mut rejected = Spool::open(SpoolOptions::new(spool_dir.join(REJECTED), max_bytes)).map_err(spool_fault)?;
    let records = rejected.peek(usize::MAX).map_err(spool_fault)?;
    Ok((rejected, records))
}

fn refusal(sealer: &Sealer, record: &SpooledRecord) -> Refusal {
    let at = WallTime::from_timestamp_millis(record.time_ms);
    match codec::decode_rejected(sealer, &record.payload) {
        Ok(Rejected { reason, record }) => {
            let (kind, camera) = (record.kind, record.camera);
            let event = Some(RefusedEvent { id: record.id, kind, camera, captured_at: record.captured_at });
            Refusal { at, event, reason }
        }
        Err(error) => Refusal { at, event: None, reason: format!("it cannot be read: {error}") },
    }
}
