//! Writing to PostgreSQL: tried again while that makes sense, poison isolated.
//!
//! It decides by the class of the error alone. It knows no spool and no threads.

use std::sync::Arc;
use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBuilder};
use rollcall_pipeline::clock::Clock;
use rollcall_pipeline::metrics::SinkMetrics;
use rollcall_pipeline::{CameraId, ErrorClass, MarkStatus};
use rollcall_store::{EventRecord, Store, StoreError, Written};

const FIRST_DELAY: Duration = Duration::from_millis(50);
const LAST_DELAY: Duration = Duration::from_millis(500);

/// Writes batches.
#[derive(Debug)]
pub(crate) struct Writer {
    pub(crate) store: Store,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) metrics: SinkMetrics,
}

/// Why the rest of a batch was not written.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Stopped {
    /// The last answer of the database.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// No connection in time.
    #[error("no connection to the database within {0:?}: see that PostgreSQL runs, and that database.url leads to it")]
    Unreached(Duration),
    /// A connection, but no answer in time.
    #[error("the database did not answer within {0:?}: see what it waits for (locks, disk, load)")]
    Timeout(Duration),
}

impl Stopped {
    /// Somebody has to do something; waiting does not help.
    pub(crate) fn needs_operator(&self) -> bool {
        matches!(self, Self::Store(e) if e.class() != ErrorClass::Transient)
    }

    fn reason(&self) -> &'static str {
        match self {
            Self::Timeout(_) => "timeout",
            Self::Unreached(_) => "connection",
            Self::Store(e) => match e.sqlstate().as_deref().and_then(|code| code.get(..2)) {
                Some("08") | None => "connection",
                Some("40") => "conflict",
                Some("53") => "resources",
                Some("57") => "shutdown",
                Some(_) => "other",
            },
        }
    }
}

/// How far a batch came.
#[derive(Debug)]
pub(crate) struct Progress {
    /// So many events from the start are done: committed or refused.
    pub(crate) done: usize,
    /// Refused for ever, with the reason: positions in the batch.
    pub(crate) poison: Vec<(usize, String)>,
    /// Why it did not come further.
    pub(crate) stopped: Option<Stopped>,
}

impl Writer {
    /// Writes a batch in order, waiting at most for `patience` for a connection, and for as long again for the answer. Events
    /// whose values the database refuses are singled out by halving.
    pub(crate) async fn write(&self, batch: &[EventRecord], patience: Duration) -> Progress {
        let mut progress = Progress { done: 0, poison: Vec::new(), stopped: None };
        // What is still to be written after `next`, nearest on top.
        let mut later = Vec::new();
        let mut next = Some(0..batch.len());
        while let Some(range) = next.take().or_else(|| later.pop()) {
            match self.write_within(patience, &batch[range.clone()]).await {
                Ok(()) => progress.done = range.end,
                Err(Stopped::Store(error)) if error.is_row_fault() && range.len() == 1 => {
                    progress.poison.push((range.start, error.to_string()));
                    progress.done = range.end;
                }
                Err(Stopped::Store(error)) if error.is_row_fault() => {
                    let middle = range.start + range.len() / 2;
                    later.push(middle..range.end);
                    next = Some(range.start..middle);
                }
                Err(stopped) => {
                    progress.stopped = Some(stopped);
                    break;
                }
            }
        }
        progress
    }

    async fn write_within(&self, patience: Duration, batch: &[EventRecord]) -> Result<(), Stopped> {
        if batch.is_empty() {
            return Ok(());
        }
        // Apart: what connecting takes is not missing for the rows. Where it fails at once, it is tried again with them.
        let reached = tokio::time::timeout(patience, self.store.reach()).await;
        let mut last = reached.map_err(|_| Stopped::Unreached(patience))?.err();
        let tried = tokio::time::timeout(patience, self.try_until_final(batch, &mut last)).await;
        // A write that is cut off here may have been committed all the same: the next attempt finds that out.
        tried.unwrap_or_else(|_| Err(last.map_or(Stopped::Timeout(patience), Stopped::Store)))
    }

    async fn try_until_final(&self, batch: &[EventRecord], last: &mut Option<StoreError>) -> Result<(), Stopped> {
        let mut delays = ExponentialBuilder::new()
            .with_min_delay(FIRST_DELAY)
            .with_max_delay(LAST_DELAY)
            .without_max_times()
            .with_jitter()
            .build();
        loop {
            let error = match self.try_once(batch).await {
                Ok(()) => return Ok(()),
                Err(error) => error,
            };
            let stopped = Stopped::Store(error);
            if stopped.needs_operator() {
                return Err(stopped);
            }
            self.metrics.retried(stopped.reason());
            if let Stopped::Store(error) = stopped {
                tracing::debug!(%error, events = batch.len(), "writing again");
                *last = Some(error);
            }
            tokio::time::sleep(delays.next().unwrap_or(LAST_DELAY)).await;
        }
    }

    async fn try_once(&self, batch: &[EventRecord]) -> Result<(), StoreError> {
        let before = self.clock.mono();
        let written = self.store.write_events(batch).await?;
        self.metrics.db_write(self.clock.mono().since(before));
        self.count(batch, &written);
        Ok(())
    }

    fn count(&self, batch: &[EventRecord], written: &Written) {
        for event in batch {
            let camera = || CameraId::new(event.camera.as_str());
            if written.marked.contains(&event.id) {
                let status = event.mark.as_ref().and_then(|mark| MarkStatus::parse(&mark.status));
                status.into_iter().for_each(|status| self.metrics.marked(&camera(), status));
            }
            if written.blocked.contains(&event.id) {
                tracing::debug!(event = %event.id, camera = event.camera, "marked before: counted as a sighting");
                self.metrics.duplicate_blocked(&camera());
            }
            if written.orphaned.contains(&event.id) {
                tracing::warn!(event = %event.id, "no mark: the person was deleted in the meantime");
            }
        }
        // Last: whoever sees that events are committed sees what became of them, too.
        self.metrics.events("committed", written.fresh.len());
        self.metrics.events("duplicate", batch.len() - written.fresh.len());
    }
}
