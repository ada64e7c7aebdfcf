//! What waits on the disk: events for the database, and those that it refused. The sink, its drainer and its monitor share it.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::{Condvar, Mutex};
use rollcall_pipeline::clock::Clock;
use rollcall_pipeline::metrics::SinkMetrics;
use rollcall_pipeline::{ErrorClass, Fault};
use rollcall_store::EventRecord;
use tokio::sync::Notify;

use super::monitor::SinkStatus;
use super::options::Refused;
use crate::codec::{self, Rejected};
use crate::spool::{Spool, SpoolError};
use crate::writer::{Progress, Stopped, Writer};

/// Events that are synced to disk together.
const SPOOL_BATCH: usize = 32;
/// A spool that is full (or a disk) is looked at so often while the lane waits.
const FULL_PAUSE: Duration = Duration::from_millis(500);

#[derive(Debug)]
pub(super) struct Queues {
    pub(super) spool: Spool,
    pub(super) rejected: Spool,
    /// Why the last write failed.
    pub(super) trouble: Option<String>,
    /// Why the last append failed.
    pub(super) full: Option<String>,
    pub(super) stopping: bool,
}

impl Queues {
    /// Notes why nothing can be written, or that it can; whether that is news, and to be logged.
    pub(super) fn note(&mut self, trouble: Option<String>) -> bool {
        let is_other = self.trouble != trouble;
        self.trouble = trouble;
        is_other
    }

    pub(super) fn status(&self) -> SinkStatus {
        SinkStatus {
            spooled: self.spool.len(),
            spool_bytes: self.spool.bytes(),
            rejected: self.rejected.len(),
            full: self.full.is_some(),
            trouble: self.full.clone().or_else(|| self.trouble.clone()),
        }
    }
}

#[derive(Debug)]
pub(super) struct Shared {
    pub(super) queues: Mutex<Queues>,
    /// What was to say of them last: whoever asks does not wait for the disk.
    pub(super) status: Mutex<SinkStatus>,
    /// Something was spooled, acknowledged, or is to stop.
    pub(super) changed: Condvar,
    /// Cuts off what the drainer waits for.
    pub(super) stop: Notify,
    pub(super) writer: Writer,
    pub(super) refused: Refused,
    pub(super) metrics: SinkMetrics,
    pub(super) clock: Arc<dyn Clock>,
}

impl Shared {
    /// Puts records on disk, waiting for room while others wait there, and returns how many it took: fewer when the disk
    /// takes none and the spool is empty.
    pub(super) fn spool(&self, records: &[EventRecord]) -> Result<usize, Fault> {
        let sealer = self.writer.store.sealer();
        let mut done = 0;
        // In pieces, so that a large batch fits into a small spool as soon as there is any room.
        let mut size = SPOOL_BATCH;
        while done < records.len() {
            let piece = &records[done..records.len().min(done + size)];
            let payloads: Result<Vec<_>, _> = piece.iter().map(|record| codec::encode(sealer, record)).collect();
            let payloads = payloads.map_err(|e| Fault::new(ErrorClass::Bug, e))?;
            match self.append(&payloads) {
                Ok(()) => {
                    self.metrics.events("spooled", piece.len());
                    done += piece.len();
                }
                Err(SpoolError::Full { .. }) if piece.len() > 1 => size = piece.len() / 2,
                Err(SpoolError::Io { .. }) => break,
                Err(error) => return Err(never_fits(error)),
            }
        }
        Ok(done)
    }

    /// Appends to the spool. Blocks while there is no room in it: whoever gave the events keeps them, and the lane waits.
    /// Comes back with an error when waiting makes no sense: nothing is in it, and they do not fit or (after a pause) the
    /// disk does not take them.
    fn append(&self, payloads: &[Vec<u8>]) -> Result<(), SpoolError> {
        let mut queues = self.queues.lock();
        loop {
            let now_ms = self.clock.wall().timestamp_millis();
            let Err(error) = queues.spool.append(payloads, now_ms) else {
                queues.full = None;
                self.show(&queues);
                self.changed.notify_all();
                return Ok(());
            };
            let hopeless = match error {
                SpoolError::TooLarge(_) => true,
                SpoolError::Full { .. } => queues.spool.is_empty(),
                _ => false,
            };
            if hopeless {
                return Err(error);
            }
            if queues.full.is_none() {
                tracing::error!(%error, "events cannot be put on disk: frames are dropped until they can");
            }
            queues.full = Some(error.to_string());
            self.show(&queues);
            self.changed.wait_for(&mut queues, FULL_PAUSE);
            if matches!(error, SpoolError::Io { .. }) && queues.spool.is_empty() {
                return Err(error);
            }
        }
    }

    /// Keeps what the database refused, and remembers what went wrong.
    pub(super) fn settle(&self, records: &[EventRecord], progress: Progress) -> Result<(), Fault> {
        for (at, reason) in progress.poison {
            // It may stay for long, and whoever is erased is taken out of it only hours later: no face is put aside.
            let record = EventRecord { sealed_crop: None, sealed_embedding: None, ..records[at].clone() };
            tracing::error!(
                event = %record.id, camera = record.camera, reason,
                "the database refuses an event for its values: put aside in the spool's directory rejected"
            );
            let sealer = self.writer.store.sealer();
            let payload = codec::encode_rejected(sealer, &Rejected { reason, record });
            self.reject(payload.map_err(|e| Fault::new(ErrorClass::Bug, e))?)?;
            self.refused.tell(&records[at]);
        }
        self.remember(progress.stopped.as_ref());
        Ok(())
    }

    pub(super) fn reject(&self, payload: Vec<u8>) -> Result<(), Fault> {
        let payload = [payload];
        let mut queues = self.queues.lock();
        loop {
            let now_ms = self.clock.wall().timestamp_millis();
            let Err(error) = queues.rejected.append(&payload, now_ms) else { break };
            match error {
                SpoolError::Full { .. } if !queues.rejected.is_empty() => {
                    let dropped = queues.rejected.drop_oldest();
                    self.metrics.events("dropped", dropped);
                    tracing::error!(dropped, "the directory rejected is full: its oldest events are dropped");
                }
                SpoolError::Io { .. } if !queues.stopping => {
                    queues.full = Some(error.to_string());
                    self.show(&queues);
                    self.changed.wait_for(&mut queues, FULL_PAUSE);
                }
                SpoolError::Io { .. } => return Err(Fault::new(ErrorClass::Transient, error)),
                error => return Err(never_fits(error)),
            }
        }
        self.show(&queues);
        self.metrics.events("poison", 1);
        Ok(())
    }

    pub(super) fn remember(&self, stopped: Option<&Stopped>) {
        let mut queues = self.queues.lock();
        if queues.note(stopped.map(ToString::to_string)) {
            match stopped {
                Some(error) if error.needs_operator() => {
                    tracing::error!(%error, "the database refuses to work; events are kept on disk")
                }
                Some(error) => tracing::warn!(%error, "the database is away; events are kept on disk"),
                None => tracing::info!("the database is back"),
            }
        }
        // Nothing needs the disk now; if it is still of no use, the next outage tells.
        if stopped.is_none() && queues.spool.is_empty() {
            queues.full = None;
        }
        self.show(&queues);
    }

    pub(super) fn show(&self, queues: &Queues) {
        let now_ms = self.clock.wall().timestamp_millis();
        let age = queues.spool.oldest_ms().map_or(0, |then| u64::try_from(now_ms - then).unwrap_or_default());
        *self.status.lock() = queues.status();
        let (spool, rejected) = (&queues.spool, queues.rejected.len() as u64);
        self.metrics.spool(spool.len() as u64, spool.bytes(), Duration::from_millis(age), rejected);
    }

    pub(super) fn acknowledge(&self, seq: u64) {
        let mut queues = self.queues.lock();
        queues.spool.acknowledge(seq);
        self.show(&queues);
        drop(queues);
        self.changed.notify_all();
    }
}

pub(crate) fn spool_fault(error: SpoolError) -> Fault {
    Fault::new(ErrorClass::Permanent, error)
}

/// A record that an empty queue does not take is never taken.
fn never_fits(error: SpoolError) -> Fault {
    let class = if matches!(error, SpoolError::TooLarge(_)) { ErrorClass::Bug } else { ErrorClass::Permanent };
    Fault::new(class, error)
}
