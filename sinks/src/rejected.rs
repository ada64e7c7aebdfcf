//! What the database refused for its values, for whoever looks into it. The spool belongs to the daemon: not while one runs.

use std::collections::{HashMap, HashSet};
use std::path::Path;

use rollcall_pipeline::{ErrorClass, Fault, WallTime};
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
    let (_, records) = open(spool_dir)?;
    Ok(records.iter().map(|record| refusal(sealer, record)).collect())
}

/// Puts back into the spool what can be read of it; the next daemon writes it. Returns how many events that were.
///
/// # Errors
/// When a daemon runs, the spool has no room, or the disk does not work. Nothing is lost then.
pub fn retry(spool_dir: &Path, max_bytes: u64, sealer: &Sealer) -> Result<usize, Fault> {
    let mut spool = Spool::open(SpoolOptions::new(spool_dir, max_bytes)).map_err(spool_fault)?;
    let (mut rejected, records) = open(spool_dir)?;
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

/// What can be read of some records, by their numbers.
pub(crate) fn read(records: &[SpooledRecord], sealer: &Sealer) -> Vec<(u64, Rejected)> {
    let read = |record: &SpooledRecord| Some((record.seq, codec::decode_rejected(sealer, &record.payload).ok()?));
    records.iter().filter_map(read).collect()
}

/// Everybody whom they name.
pub(crate) fn named(refused: &[(u64, Rejected)]) -> Vec<Uuid> {
    refused.iter().flat_map(|(_, refused)| refused.record.named()).collect()
}

/// What is to stand in the place of those that name one of these people: the same without them.
pub(crate) fn without(
    refused: Vec<(u64, Rejected)>,
    gone: &HashSet<Uuid>,
    sealer: &Sealer,
) -> Result<HashMap<u64, Vec<u8>>, Fault> {
    let naming = refused.into_iter().filter(|(_, refused)| refused.record.named().any(|person| gone.contains(&person)));
    naming
        .map(|(seq, Rejected { reason, record })| {
            let record = record.without(|person| !gone.contains(person)).into_owned();
            let payload = codec::encode_rejected(sealer, &Rejected { reason, record });
            Ok((seq, payload.map_err(|e| Fault::new(ErrorClass::Bug, e))?))
        })
        .collect()
}

/// Without a bound: the daemon has kept it, and what cannot be read is there twice for a moment.
fn open(spool_dir: &Path) -> Result<(Spool, Vec<SpooledRecord>), Fault> {
    let mut rejected = Spool::open(SpoolOptions::new(spool_dir.join(REJECTED), u64::MAX)).map_err(spool_fault)?;
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

#[cfg(test)]
mod tests {
    use rollcall_store::EventRecord;

    use super::*;

    fn refused(n: u128, who: Uuid) -> Rejected {
        let json = serde_json::json!({
            "id": Uuid::from_u128(n), "kind": "off_roster", "person": who,
            "candidates": [{ "person": who, "similarity": 0.7 }], "room": "hall", "camera": "door-1",
            "direction": null, "epoch": Uuid::nil(), "track_id": 1, "media_ms": 40,
            "captured_at": "2026-03-02T08:00:00Z", "time_source": "ntp", "first_usable_at": "2026-03-02T08:00:00Z",
            "similarity": 0.7, "margin": null, "shots": 3, "liveness": "live", "liveness_score": 0.5,
            "liveness_reason": null, "gallery_version": 1, "model_id": "m", "mark": null, "review": false,
            "sealed_crop": null, "sealed_embedding": null,
        });
        let record: EventRecord = serde_json::from_value(json).expect("an event");
        Rejected { reason: "too long".to_owned(), record }
    }

    #[test]
    fn no_file_names_whoever_is_forgotten() {
        let (sealer, dir) = (Sealer::new([7; 32]), tempfile::tempdir().expect("a directory"));
        let open = || Spool::open(SpoolOptions::new(dir.path(), 1 << 20)).expect("a spool");
        let (ada, grace) = (Uuid::from_u128(1), Uuid::from_u128(2));
        let mut spool = open();
        for (n, who) in [(1, ada), (2, grace)] {
            let payload = codec::encode_rejected(&sealer, &refused(n, who)).expect("it is written");
            spool.append(&[payload], 5).expect("there is room");
        }
        let all = |spool: &mut Spool| read(&spool.peek(9).expect("it is read"), &sealer);
        let without = without(all(&mut spool), &HashSet::from([ada]), &sealer).expect("it works");
        assert_eq!(without.len(), 1);
        spool.replace(&without).expect("it works");
        drop(spool);
        // Opened anew, a spool gives all that is in its files, whatever was acknowledged.
        let mut spool = open();
        assert_eq!(named(&all(&mut spool)), [grace; 2]);
        let left = spool.peek(9).expect("it is read");
        let ids = left.iter().map(|record| refusal(&sealer, record).event.expect("an event").id);
        assert_eq!(ids.collect::<Vec<_>>(), [1, 2].map(Uuid::from_u128));
    }

    #[test]
    fn what_cannot_be_read_is_put_aside_again_where_there_is_no_more_room() {
        let (sealer, dir) = (Sealer::new([7; 32]), tempfile::tempdir().expect("a directory"));
        let mut full = Spool::open(SpoolOptions::new(dir.path().join(REJECTED), 4096)).expect("a spool");
        while full.append(&[vec![0; 100]], 5).is_ok() {}
        let unreadable = full.len();
        drop(full);
        assert_eq!(retry(dir.path(), 4096, &sealer).expect("it works"), 0);
        assert_eq!(list(dir.path(), &sealer).expect("it works").len(), unreadable);
    }
}
