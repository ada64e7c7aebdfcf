//! Events into PostgreSQL, through the spool while it is away.
//!
//! ```text
//!            spool empty                    committed
//! accept ──────────────────► Writer ──────────────────────► Ok
//!    │  spool not empty,       │ away, or an operator is needed
//!    └──────────┬──────────────┘
//!               ▼     synced                thread `spool-drain`: oldest first
//!             Spool ─────────► Ok           Spool ──► Writer ──► acknowledged
//!               │ full: wait for the drainer
//!               │ the disk takes nothing, and nothing waits: the database again
//! ```
//!
//! An event is accepted when it is committed or synced to disk, and never before. Order is kept: while anything waits in
//! the spool, everything goes through it. Events that the database refuses for their values go to a second spool,
//! `rejected`, with the reason, which gives up its oldest when it is full; all others stay until they are written, however long
//! that takes.

mod drain;
mod monitor;
mod options;
mod queues;

use std::path::PathBuf;
use std::sync::Arc;

use parking_lot::{Condvar, Mutex};
use rollcall_pipeline::clock::Clock;
use rollcall_pipeline::metrics::SinkMetrics;
use rollcall_pipeline::ports::EventSink;
use rollcall_pipeline::supervisor::{Supervisor, Worker};
use rollcall_pipeline::{AttendanceEvent, Fault};
use rollcall_store::{EventRecord, Store};
use tokio::runtime::Handle;
use tokio::sync::Notify;

use crate::pace::Pace;
use crate::spool::{Spool, SpoolOptions};
use crate::writer::Writer;
use queues::{Queues, Shared};

pub use monitor::{SinkMonitor, SinkStatus};
pub use options::{PgSinkOptions, Refused};
pub(crate) use queues::spool_fault;

/// Where in the directory of the spool what was refused for ever is put aside.
pub(crate) const REJECTED: &str = "rejected";

/// The sink. Dropping it stops the drainer; what is in the spool stays for the next start.
#[derive(Debug)]
pub struct PgSink {
    shared: Arc<Shared>,
    runtime: Handle,
    options: PgSinkOptions,
    drainer: Option<Worker>,
}

impl PgSink {
    /// Opens the spool and starts the thread that drains it. The database may be away. `runtime` is where the store's
    /// connections live; [`accept`](EventSink::accept) must not be called on one of its threads.
    ///
    /// # Errors
    /// When the spool cannot be used.
    pub fn open(
        store: Store,
        runtime: Handle,
        clock: Arc<dyn Clock>,
        supervisor: &Supervisor,
        options: PgSinkOptions,
    ) -> Result<Self, Fault> {
        let open = |dir: PathBuf| Spool::open(SpoolOptions::new(dir, options.spool_max_bytes));
        let spool = open(options.spool_dir.clone()).map_err(spool_fault)?;
        let rejected = open(options.spool_dir.join(REJECTED)).map_err(spool_fault)?;
        if !spool.is_empty() {
            tracing::info!(events = spool.len(), "the spool holds events of an earlier run: writing them first");
        }
        let metrics = SinkMetrics::new();
        metrics.spool_capacity(options.spool_max_bytes);
        let pace = Pace::new(options.write_budget);
        let writer = Writer { store, clock: Arc::clone(&clock), metrics: metrics.clone() };
        let queues = Queues { spool, rejected, trouble: None, full: None, stopping: false };
        let status = Mutex::new(queues.status());
        let queues = Mutex::new(queues);
        let refused = options.refused.clone();
        let (changed, stop) = (Condvar::new(), Notify::new());
        let shared = Arc::new(Shared { queues, status, changed, stop, writer, refused, metrics, clock });
        // What an earlier run left, before anything is written.
        shared.show(&shared.queues.lock());
        let (drained, on) = (Arc::clone(&shared), runtime.clone());
        let drainer = supervisor.spawn("spool-drain", move |_| {
            drained.keep_draining(&on, pace);
            Ok(())
        })?;
        Ok(Self { shared, runtime, options, drainer: Some(drainer) })
    }

    /// For health and metrics.
    pub fn monitor(&self) -> SinkMonitor {
        SinkMonitor(Arc::downgrade(&self.shared))
    }
}

impl EventSink for PgSink {
    fn accept(&mut self, batch: &[AttendanceEvent]) -> Result<(), Fault> {
        let records: Vec<EventRecord> =
            batch.iter().map(|event| self.options.record(event, self.shared.writer.store.sealer())).collect();
        let mut done = 0;
        // The database and the disk in turn, until one of them has taken each event: either may come back first.
        while done < records.len() {
            // Before its first contact with the database the drainer brings the schema up to date, however long that takes.
            if self.shared.writer.store.is_prepared() && self.shared.queues.lock().spool.is_empty() {
                // Only this thread appends, so the spool stays empty meanwhile.
                done += self.write(&batch[done..], &records[done..])?;
            }
            done += self.shared.spool(&records[done..])?;
        }
        Ok(())
    }
}

impl PgSink {
    /// Writes to the database, and returns how many events are done.
    fn write(&self, batch: &[AttendanceEvent], records: &[EventRecord]) -> Result<usize, Fault> {
        let progress = self.runtime.block_on(self.shared.writer.write(records, self.options.write_budget));
        let done = progress.done;
        let committed = self.shared.clock.mono();
        let poison: Vec<usize> = progress.poison.iter().map(|(at, _)| *at).collect();
        for (_, event) in batch.iter().enumerate().take(done).filter(|(at, _)| !poison.contains(at)) {
            self.shared.metrics.end_to_end(event.kind, event.decision.first_usable.received, committed);
        }
        self.shared.settle(records, progress)?;
        Ok(done)
    }
}

impl Drop for PgSink {
    fn drop(&mut self) {
        self.shared.queues.lock().stopping = true;
        self.shared.changed.notify_all();
        self.shared.stop.notify_one();
        if let Some(drainer) = self.drainer.take() {
            drainer.join();
        }
    }
}
