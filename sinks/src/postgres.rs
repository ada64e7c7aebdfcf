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

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::path::PathBuf;
use std::sync::{Arc, Weak};
use std::time::Duration;

use parking_lot::{Condvar, Mutex};
use rollcall_pipeline::clock::Clock;
use rollcall_pipeline::metrics::SinkMetrics;
use rollcall_pipeline::ports::EventSink;
use rollcall_pipeline::supervisor::{Supervisor, Worker};
use rollcall_pipeline::{AttendanceEvent, ErrorClass, EventId, EventKind, Fault, ModelId, PersonId};
use rollcall_store::{EventRecord, Scope, Sealer, Store};
use tokio::runtime::Handle;
use tokio::sync::Notify;
use uuid::Uuid;

use crate::codec::{self, CodecError, Rejected};
use crate::crop::jpeg;
use crate::pace::Pace;
use crate::rejected;
use crate::spool::{Spool, SpoolError, SpoolOptions, SpooledRecord};
use crate::writer::{Progress, Stopped, Writer};

const FIRST_PAUSE: Duration = Duration::from_millis(200);
/// Events that are synced to disk together.
const SPOOL_BATCH: usize = 32;
/// Refused events that are looked through together for people who were erased.
const REFUSED_BATCH: usize = 256;
/// The database is asked so often while it is away; also how late the age of the spool may be shown.
const LAST_PAUSE: Duration = Duration::from_secs(3);
/// Where in the directory of the spool what was refused for ever is put aside.
pub(crate) const REJECTED: &str = "rejected";
/// A spool that is full (or a disk) is looked at so often while the lane waits.
const FULL_PAUSE: Duration = Duration::from_millis(500);

/// How [`PgSink`] works.
#[derive(Clone, Debug)]
pub struct PgSinkOptions {
    /// The model whose embeddings are compared; stands in every row.
    pub model: ModelId,
    /// Strangers go to review, too, with their faces. Ambiguous faces and attacks always do.
    pub review_unknown: bool,
    /// Strangers go to review with what tells them apart, for the list of visitors.
    pub tell_strangers_apart: bool,
    /// Directory of the spool.
    pub spool_dir: PathBuf,
    /// Bytes that the spool may take, and as many again what was refused.
    pub spool_max_bytes: u64,
    /// So long a connection, and then an answer, is waited for before a batch goes to the spool.
    pub write_budget: Duration,
    /// Told of marks that will never be.
    pub refused: Refused,
}

/// Who is told that the database refused a mark for its values, by person and event: whatever they remember of it is wrong.
#[derive(Clone, Default)]
pub struct Refused(Option<Arc<dyn Fn(PersonId, EventId) + Send + Sync>>);

impl Refused {
    /// Tells `whom`, on the thread that writes.
    pub fn telling(whom: impl Fn(PersonId, EventId) + Send + Sync + 'static) -> Self {
        Self(Some(Arc::new(whom)))
    }

    fn tell(&self, record: &EventRecord) {
        if let (Some(whom), Some(mark)) = (&self.0, &record.mark) {
            whom(PersonId(mark.person), EventId(record.id));
        }
    }
}

impl fmt::Debug for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Refused").field(&self.0.is_some()).finish()
    }
}

impl PgSinkOptions {
    /// Defaults: strangers are not reviewed, 256 MiB of spool, 1.5 s a batch.
    pub fn new(model: ModelId, spool_dir: impl Into<PathBuf>) -> Self {
        Self {
            model,
            review_unknown: false,
            tell_strangers_apart: false,
            spool_dir: spool_dir.into(),
            spool_max_bytes: 256 << 20,
            write_budget: Duration::from_millis(1500),
            refused: Refused::default(),
        }
    }

    /// What is written of an event.
    pub fn record(&self, event: &AttendanceEvent, sealer: &Sealer) -> EventRecord {
        let review = match event.kind {
            EventKind::Ambiguous | EventKind::Spoof => true,
            EventKind::Unknown => self.review_unknown || self.tell_strangers_apart,
            _ => false,
        };
        // Whoever wants strangers told apart has not asked for their pictures.
        let pictured = review && (event.kind != EventKind::Unknown || self.review_unknown);
        let crop = event.decision.best.as_deref().filter(|_| pictured).and_then(jpeg);
        EventRecord::new(event, &self.model, review, crop.as_deref(), self.tell_strangers_apart, sealer)
    }
}

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

#[derive(Debug)]
struct Queues {
    spool: Spool,
    rejected: Spool,
    /// Why the last write failed.
    trouble: Option<String>,
    /// Why the last append failed.
    full: Option<String>,
    stopping: bool,
}

impl Queues {
    fn status(&self) -> SinkStatus {
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
struct Shared {
    queues: Mutex<Queues>,
    /// What was to say of them last: whoever asks does not wait for the disk.
    status: Mutex<SinkStatus>,
    /// Something was spooled, acknowledged, or is to stop.
    changed: Condvar,
    /// Cuts off what the drainer waits for.
    stop: Notify,
    writer: Writer,
    refused: Refused,
    metrics: SinkMetrics,
    clock: Arc<dyn Clock>,
}

/// Asks a sink that works elsewhere how it is. Does not keep the spool open when the sink is gone.
#[derive(Clone, Debug)]
pub struct SinkMonitor(Weak<Shared>);

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
        let (drained, on) = (Arc::clone(&shared), runtime.clone());
        let drainer = supervisor.spawn("spool-drain", move |_| {
            drained.drain(&on, pace);
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
            self.shared.metrics.end_to_end(event.decision.first_usable.received, committed);
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

impl Shared {
    /// Puts records on disk, waiting for room while others wait there, and returns how many it took: fewer when the disk
    /// takes none and the spool is empty.
    fn spool(&self, records: &[EventRecord]) -> Result<usize, Fault> {
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
    fn settle(&self, records: &[EventRecord], progress: Progress) -> Result<(), Fault> {
        for (at, reason) in progress.poison {
            // It may stay for long, and nobody who is erased is looked for there: no face is put aside.
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

    fn reject(&self, payload: Vec<u8>) -> Result<(), Fault> {
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

    fn remember(&self, stopped: Option<&Stopped>) {
        let mut queues = self.queues.lock();
        let trouble = stopped.map(ToString::to_string);
        if queues.trouble != trouble {
            match stopped {
                Some(error) if error.needs_operator() => {
                    tracing::error!(%error, "the database refuses to work; events are kept on disk")
                }
                Some(error) => tracing::warn!(%error, "the database is away; events are kept on disk"),
                None => tracing::info!("the database is back"),
            }
            queues.trouble = trouble;
        }
        // Nothing needs the disk now; if it is still of no use, the next outage tells.
        if stopped.is_none() && queues.spool.is_empty() {
            queues.full = None;
        }
        self.show(&queues);
    }

    fn show(&self, queues: &Queues) {
        let now_ms = self.clock.wall().timestamp_millis();
        let age = queues.spool.oldest_ms().map_or(0, |then| u64::try_from(now_ms - then).unwrap_or_default());
        *self.status.lock() = queues.status();
        self.metrics.spool(queues.spool.len() as u64, queues.spool.bytes(), Duration::from_millis(age));
    }

    /// Writes what is in the spool, oldest first, until it is to stop.
    fn drain(&self, runtime: &Handle, mut pace: Pace) {
        let mut pause = FIRST_PAUSE;
        loop {
            let records = {
                let mut queues = self.queues.lock();
                self.changed.wait_while(&mut queues, |q| q.spool.is_empty() && !q.stopping);
                if queues.stopping {
                    return;
                }
                queues.spool.peek(pace.most)
            };
            let went_well = match records.map_err(|e| Fault::new(ErrorClass::Transient, e)) {
                Ok(records) => self.drain_batch(runtime, records, &mut pace),
                Err(fault) => Err(fault),
            };
            let went_well = went_well.unwrap_or_else(|fault| {
                tracing::error!(%fault, "cannot drain the spool; trying again");
                false
            });
            let mut queues = self.queues.lock();
            self.show(&queues);
            if went_well {
                pause = FIRST_PAUSE;
            } else {
                self.changed.wait_while_for(&mut queues, |q| !q.stopping, pause);
                pause = (pause * 2).min(LAST_PAUSE);
            }
        }
    }

    /// Whether all of it is done.
    fn drain_batch(&self, runtime: &Handle, spooled: Vec<SpooledRecord>, pace: &mut Pace) -> Result<bool, Fault> {
        let sealer = self.writer.store.sealer();
        let mut records = Vec::with_capacity(spooled.len());
        let mut unreadable = None;
        for item in &spooled {
            match codec::decode(sealer, &item.payload) {
                Ok(record) => records.push(record),
                Err(error) => {
                    unreadable = Some((item, error));
                    break;
                }
            }
        }
        if let (true, Some((item, error))) = (records.is_empty(), unreadable.as_ref()) {
            return self.handle_unreadable(item, error);
        }
        let before = self.clock.mono();
        let today = self.clock.wall().date_naive();
        let work = async {
            self.writer.store.prepare(today).await?;
            Ok::<_, Stopped>(self.writer.write(&records, pace.patience).await)
        };
        let done = runtime.block_on(async {
            tokio::select! {
                done = work => Some(done),
                // What is not acknowledged is delivered again by the next process.
                () = self.stop.notified() => None,
            }
        });
        let progress = match done {
            None => return Ok(false),
            Some(Ok(progress)) => progress,
            Some(Err(stopped)) => {
                self.remember(Some(&stopped));
                return Ok(false);
            }
        };
        match progress.stopped {
            None => pace.went_through(self.clock.mono().since(before)),
            Some(Stopped::Timeout(_)) => pace.too_slow(),
            Some(Stopped::Unreached(_)) => pace.be_patient(),
            Some(Stopped::Store(_)) => {}
        }
        let (done, stopped) = (progress.done, progress.stopped.is_some());
        self.settle(&records, progress)?;
        if let Some(item) = done.checked_sub(1).and_then(|last| spooled.get(last)) {
            self.acknowledge(item.seq);
            self.metrics.events("replayed", done);
        }
        Ok(!stopped)
    }

    fn handle_unreadable(&self, item: &SpooledRecord, error: &CodecError) -> Result<bool, Fault> {
        if !error.may_pass() {
            tracing::error!(%error, "an event in the spool cannot be read: put aside in the directory rejected");
            self.reject(item.payload.clone())?;
            self.acknowledge(item.seq);
            return Ok(true);
        }
        // With the right key, or the right version of the program, it can be read: everything waits for that.
        let mut queues = self.queues.lock();
        let trouble = Some(error.to_string());
        if queues.trouble != trouble {
            tracing::error!(%error, "cannot read an event in the spool; nothing is written until it can be read");
            queues.trouble = trouble;
            self.show(&queues);
        }
        Ok(false)
    }

    fn acknowledge(&self, seq: u64) {
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
