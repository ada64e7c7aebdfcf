//! Threads that are named, registered, watched and joined: the only place that starts one.
//!
//! It knows nothing of what the threads do. A thread that panics or fails is recorded and the process goes on; whoever
//! started it decides what follows.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use crossbeam_channel::Sender;
use parking_lot::{Condvar, Mutex};

use crate::clock::Clock;
use crate::error::{ErrorClass, Fault};
use crate::time::MonoTime;

/// What a thread is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Activity {
    /// Waits for work.
    Idle,
    /// Works.
    Busy,
    /// Waits for room downstream: somebody else's fault, so it never counts as hung.
    Blocked,
}

/// A thread's heartbeat: what it does, and since when. Cloning shares it.
#[derive(Clone, Debug)]
pub struct Progress {
    clock: Arc<dyn Clock>,
    /// Two bits of activity, 62 bits of nanoseconds (146 years).
    beat: Arc<AtomicU64>,
}

impl Progress {
    /// A heartbeat that starts idle.
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        let this = Self { clock, beat: Arc::default() };
        this.idle();
        this
    }

    /// Waits for work from now on.
    pub fn idle(&self) {
        self.set(0);
    }

    /// Works; each call is a sign of progress.
    pub fn busy(&self) {
        self.set(1);
    }

    /// Waits for room downstream from now on.
    pub fn blocked(&self) {
        self.set(2);
    }

    fn set(&self, activity: u64) {
        let nanos = self.clock.mono().0.as_nanos() as u64;
        // Read as a whole and never used to publish other memory.
        self.beat.store(nanos << 2 | activity, Ordering::Relaxed);
    }

    /// What it does, and how long it has done so without a sign of progress.
    pub fn activity(&self) -> (Activity, Duration) {
        let beat = self.beat.load(Ordering::Relaxed);
        let activity = match beat & 3 {
            0 => Activity::Idle,
            1 => Activity::Busy,
            _ => Activity::Blocked,
        };
        (activity, self.clock.mono().since(MonoTime(Duration::from_nanos(beat >> 2))))
    }

    /// The clock that times it.
    pub fn clock(&self) -> &Arc<dyn Clock> {
        &self.clock
    }
}

/// How a thread ended.
#[derive(Clone, Debug)]
pub enum Exit {
    /// Its work was over.
    Done,
    /// It gave up.
    Fault(Fault),
    /// It panicked, with this message. Where is in the log, see [`log_panics`].
    Panic(String),
}

/// A thread that runs, or that ended and was not joined yet.
#[derive(Clone, Debug)]
pub struct ThreadHealth {
    /// Its name.
    pub name: Arc<str>,
    /// What it does.
    pub activity: Activity,
    /// For how long, without a sign of progress.
    pub since: Duration,
    /// How it ended, if it did.
    pub exit: Option<Exit>,
}

#[derive(Debug)]
struct Entry {
    name: Arc<str>,
    progress: Progress,
    handle: Option<JoinHandle<()>>,
    exit: Option<Exit>,
    /// Nobody holds its [`Worker`]: forget it when it ends.
    dropped: bool,
}

#[derive(Debug, Default)]
struct Registry {
    next: u64,
    threads: BTreeMap<u64, Entry>,
}

#[derive(Debug)]
struct Inner {
    clock: Arc<dyn Clock>,
    registry: Mutex<Registry>,
    ended: Condvar,
}

/// The registry of threads. Cloning shares it.
#[derive(Clone, Debug)]
pub struct Supervisor(Arc<Inner>);

impl Supervisor {
    /// An empty registry.
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self(Arc::new(Inner { clock, registry: Mutex::default(), ended: Condvar::new() }))
    }

    /// Starts a thread and registers it. `body` beats through the [`Progress`] if it wants to be watched.
    ///
    /// # Errors
    /// When the system has no room for another thread.
    pub fn spawn(
        &self,
        name: impl Into<String>,
        body: impl FnOnce(&Progress) -> Result<(), Fault> + Send + 'static,
    ) -> Result<Worker, Fault> {
        self.start(name.into(), body, |_| {})
    }

    /// The same, and `exits` is told when and how it ended, under the name `tag`.
    pub(crate) fn spawn_reporting<T: Send + 'static>(
        &self,
        name: impl Into<String>,
        tag: T,
        exits: Sender<(T, Exit)>,
        body: impl FnOnce(&Progress) -> Result<(), Fault> + Send + 'static,
    ) -> Result<Worker, Fault> {
        // Nobody listens any more when whoever started it is gone.
        self.start(name.into(), body, move |exit| drop(exits.send((tag, exit.clone()))))
    }

    fn start(
        &self,
        name: String,
        body: impl FnOnce(&Progress) -> Result<(), Fault> + Send + 'static,
        then: impl FnOnce(&Exit) + Send + 'static,
    ) -> Result<Worker, Fault> {
        let inner = Arc::clone(&self.0);
        let progress = Progress::new(Arc::clone(&inner.clock));
        // Held until the entry is complete, so that a thread that ends at once finds it.
        let mut registry = inner.registry.lock();
        let id = registry.next;
        let run = {
            let (inner, progress) = (Arc::clone(&inner), progress.clone());
            move || {
                let exit = match caught(|| body(&progress)) {
                    Ok(Ok(())) => Exit::Done,
                    Ok(Err(fault)) => Exit::Fault(fault),
                    Err(message) => Exit::Panic(message),
                };
                progress.idle();
                then(&exit);
                inner.record(id, exit);
            }
        };
        let handle = std::thread::Builder::new()
            .name(name.clone())
            .spawn(run)
            .map_err(|e| Fault::new(ErrorClass::Transient, format_args!("cannot start thread {name}: {e}")))?;
        registry.next += 1;
        let entry = Entry { name: name.into(), progress, handle: Some(handle), exit: None, dropped: false };
        registry.threads.insert(id, entry);
        drop(registry);
        Ok(Worker { inner, id })
    }

    /// The clock that times the threads.
    pub fn clock(&self) -> &Arc<dyn Clock> {
        &self.0.clock
    }

    /// All threads that run, and those that ended and were not joined yet.
    pub fn threads(&self) -> Vec<ThreadHealth> {
        self.0.registry.lock().threads.values().map(Entry::health).collect()
    }

    /// Waits until every thread has ended, and joins them. For the end of the process: workers that are still held report
    /// [`Exit::Done`] from then on.
    ///
    /// # Errors
    /// After `patience`, the names of the threads that still run.
    pub fn join_all(&self, patience: Duration) -> Result<(), Vec<Arc<str>>> {
        let mut registry = self.0.registry.lock();
        let running = |r: &mut Registry| r.threads.values().any(|e| e.exit.is_none());
        self.0.ended.wait_while_for(&mut registry, running, patience);
        let (ended, left): (BTreeMap<_, _>, BTreeMap<_, _>) =
            std::mem::take(&mut registry.threads).into_iter().partition(|(_, e)| e.exit.is_some());
        let names: Vec<_> = left.values().map(|e| Arc::clone(&e.name)).collect();
        registry.threads = left;
        drop(registry);
        ended.into_values().for_each(|mut e| e.join());
        if names.is_empty() { Ok(()) } else { Err(names) }
    }
}

impl Inner {
    fn record(&self, id: u64, exit: Exit) {
        let mut registry = self.registry.lock();
        if let Some(entry) = registry.threads.get_mut(&id) {
            entry.exit = Some(exit);
            if entry.dropped {
                registry.threads.remove(&id);
            }
        }
        self.ended.notify_all();
    }
}

impl Entry {
    fn health(&self) -> ThreadHealth {
        let (activity, since) = self.progress.activity();
        ThreadHealth { name: Arc::clone(&self.name), activity, since, exit: self.exit.clone() }
    }

    fn join(&mut self) {
        if let Some(handle) = self.handle.take() {
            // Its exit was recorded in its last statement, and its panics were caught inside: nothing to learn.
            drop(handle.join());
        }
    }
}

/// A thread that was started. Dropping it leaves the thread running, and registered until it ends.
#[derive(Debug)]
pub struct Worker {
    inner: Arc<Inner>,
    id: u64,
}

impl Worker {
    /// Waits for its end.
    pub fn join(self) -> Exit {
        let mut registry = self.inner.registry.lock();
        self.inner.ended.wait_while(&mut registry, |r| r.runs(self.id));
        let entry = registry.threads.remove(&self.id);
        drop(registry);
        Self::finish(entry)
    }

    /// Waits for its end at most so long.
    ///
    /// # Errors
    /// The worker itself, if it still runs.
    pub fn join_within(self, patience: Duration) -> Result<Exit, Self> {
        let mut registry = self.inner.registry.lock();
        self.inner.ended.wait_while_for(&mut registry, |r| r.runs(self.id), patience);
        if registry.runs(self.id) {
            drop(registry);
            return Err(self);
        }
        let entry = registry.threads.remove(&self.id);
        drop(registry);
        Ok(Self::finish(entry))
    }

    /// What it does; `None` when it was joined by [`Supervisor::join_all`].
    pub fn health(&self) -> Option<ThreadHealth> {
        self.inner.registry.lock().threads.get(&self.id).map(Entry::health)
    }

    fn finish(entry: Option<Entry>) -> Exit {
        entry.map_or(Exit::Done, |mut entry| {
            entry.join();
            entry.exit.unwrap_or(Exit::Done)
        })
    }
}

impl Registry {
    fn runs(&self, id: u64) -> bool {
        self.threads.get(&id).is_some_and(|e| e.exit.is_none())
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        let mut registry = self.inner.registry.lock();
        let Some(entry) = registry.threads.get_mut(&self.id) else { return };
        entry.dropped = true;
        if entry.exit.is_some() {
            registry.threads.remove(&self.id);
        }
    }
}

/// Runs `body` and turns a panic into its message. What `body` owned is dropped with it; whether what it borrowed may be half
/// changed is for the caller to know.
///
/// # Errors
/// When it panics.
pub fn caught<T>(body: impl FnOnce() -> T) -> Result<T, String> {
    catch_unwind(AssertUnwindSafe(body)).map_err(|payload| {
        let text = payload.downcast_ref::<&str>().map(|s| (*s).to_owned());
        text.or_else(|| payload.downcast_ref::<String>().cloned())
            .unwrap_or_else(|| "panic without a message".to_owned())
    })
}

/// From now on a panic is one line of the log, with its thread and place, in place of text on standard error.
pub fn log_panics() {
    std::panic::set_hook(Box::new(|info| {
        let thread = std::thread::current();
        let place = info.location().map(ToString::to_string).unwrap_or_default();
        // Not `message`: that is the line's own.
        let panic = info.payload_as_str().unwrap_or("panic without a message");
        tracing::error!(thread = thread.name().unwrap_or("unnamed"), place, panic, "thread panicked");
    }));
}
