//! How a sink is that works elsewhere, and what is done with its queues from outside.

use std::collections::{HashMap, HashSet};
use std::sync::Weak;

use rollcall_pipeline::Fault;
use rollcall_store::{Scope, Store};
use uuid::Uuid;

use super::queues::{Shared, spool_fault};
use crate::rejected;
use crate::spool::SpooledRecord;

/// Refused events that are looked through together for people who were erased.
const REFUSED_BATCH: usize = 256;

/// What waits, for health and the log.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SinkStatus {
    /// Events in the spool.
    pub spooled: usize,
    /// Its bytes on disk.
    pub spool_bytes: u64,
    /// Events that the database refused for ever, since the spool directory was made.
    pub rejected: usize,
    /// Whether nothing more can be put on disk: the lane stands still until it can.
    pub full: bool,
    /// Why the last write failed, until one succeeds.
    pub trouble: Option<String>,
}

/// Asks a sink that works elsewhere how it is. Does not keep the spool open when the sink is gone.
#[derive(Clone, Debug)]
pub struct SinkMonitor(pub(super) Weak<Shared>);

impl SinkMonitor {
    /// What waits now.
    pub fn status(&self) -> SinkStatus {
        let Some(shared) = self.0.upgrade() else {
            return SinkStatus { trouble: Some("the sink was closed".to_owned()), ..SinkStatus::default() };
        };
        shared.status.lock().clone()
    }

    /// Takes whoever was erased out of what the database refused. Returns of how many events.
    ///
    /// In pieces, so that whoever has to put something aside waits for one of them; and the spool is not kept open while the
    /// database is asked.
    ///
    /// # Errors
    /// When the database is away, or the disk does not work.
    pub async fn forget_erased(&self) -> Result<usize, Fault> {
        let (mut next, mut forgotten) = (0, 0);
        while let Some((store, records)) = self.refused_from(next)? {
            let Some(last) = records.last() else { break };
            next = last.seq + 1;
            let refused = rejected::read(&records, store.sealer());
            let named = rejected::named(&refused);
            let known = store.people_among(&Scope::Everywhere, &named).await.map_err(|e| Fault::new(e.class(), e))?;
            let gone: HashSet<Uuid> = named.into_iter().filter(|person| !known.contains(person)).collect();
            forgotten += self.replace_refused(&rejected::without(refused, &gone, store.sealer())?)?;
        }
        Ok(forgotten)
    }

    /// Some of what was refused, from a number on; `None` when the sink is closed.
    fn refused_from(&self, seq: u64) -> Result<Option<(Store, Vec<SpooledRecord>)>, Fault> {
        let Some(shared) = self.0.upgrade() else { return Ok(None) };
        let records = shared.queues.lock().rejected.peek_from(seq, REFUSED_BATCH).map_err(spool_fault)?;
        Ok(Some((shared.writer.store.clone(), records)))
    }

    /// Returns how many were replaced.
    fn replace_refused(&self, payloads: &HashMap<u64, Vec<u8>>) -> Result<usize, Fault> {
        let Some(shared) = self.0.upgrade().filter(|_| !payloads.is_empty()) else { return Ok(0) };
        let mut queues = shared.queues.lock();
        queues.rejected.replace(payloads).map_err(spool_fault)?;
        shared.show(&queues);
        Ok(payloads.len())
    }
}
