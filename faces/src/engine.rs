//! The engine: few threads with networks of their own behind a short queue.
//!
//! Cameras come first: the threads have a low priority, what does not fit into the queue is refused at once, and what nobody
//! waits for any more is not begun. A breaker stands in front, so that models that fail or hang cost a caller nothing.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::{Condvar, Mutex};
use rollcall_pipeline::metrics::FaceEngineMetrics;
use rollcall_pipeline::{Activity, Clock, ErrorClass, Fault, MonoTime, Progress, Supervisor, Worker};
use tokio::sync::oneshot;

use crate::breaker::{Breaker, BreakerSettings, BreakerState, Permit};
use crate::error::FacesError;
use crate::nets::{FaceNets, FaceSettings, LoadNets};

/// What a full queue tells callers at most: longer than that it never takes.
const LONGEST_WAIT: Duration = Duration::from_secs(60);
/// What a job takes, before any was seen.
const FIRST_GUESS: Duration = Duration::from_millis(300);
/// How much the newest job moves the mean.
const NEWEST: u32 = 8;

/// How the engine works.
#[derive(Clone, Debug)]
pub struct EngineOptions {
    /// Threads, each with its own networks (about 60 MB); at least 1.
    pub workers: usize,
    /// Jobs that wait, at most; at least 1.
    pub queue: usize,
    /// Bytes that wait, at most; a job that is larger by itself is taken when nothing else waits.
    pub queue_bytes: usize,
    /// How long a caller waits, if it does not say otherwise.
    pub patience: Duration,
    /// Added to the niceness of the threads, 0 to 19.
    pub niceness: i32,
    /// When the breaker opens.
    pub breaker: BreakerSettings,
    /// A worker that is at one job for so long hangs.
    pub stuck_after: Duration,
    /// Loads the networks at the start and not at the first job.
    pub eager: bool,
    /// Where clips lie while they are looked at; on the same machine, private, and with room for 20 MB a worker.
    pub temp_dir: PathBuf,
}

impl Default for EngineOptions {
    fn default() -> Self {
        Self {
            workers: 1,
            queue: 16,
            queue_bytes: 96 << 20,
            patience: Duration::from_secs(15),
            niceness: 10,
            breaker: BreakerSettings::default(),
            stuck_after: Duration::from_secs(30),
            eager: true,
            temp_dir: std::env::temp_dir(),
        }
    }
}

/// The engine. Cloning shares it.
#[derive(Clone)]
pub struct FaceEngine {
    inner: Arc<Inner>,
    patience: Duration,
}

/// For health and tests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EngineState {
    /// Jobs that wait.
    pub queued: usize,
    /// What is let through.
    pub breaker: BreakerState,
    /// Whether every worker hangs or is gone.
    pub stuck: bool,
}

struct Inner {
    queue: Mutex<Queue>,
    news: Condvar,
    breaker: Mutex<Breaker>,
    workers: Mutex<Vec<Worker>>,
    clock: Arc<dyn Clock>,
    metrics: FaceEngineMetrics,
    load: LoadNets,
    settings: Arc<FaceSettings>,
    options: EngineOptions,
}

#[derive(Default)]
struct Queue {
    jobs: VecDeque<Waiting>,
    bytes: usize,
    /// How long a job takes, on average.
    pace: Option<Duration>,
    stopped: bool,
}

struct Waiting {
    job: Box<dyn Job>,
    bytes: usize,
    until: MonoTime,
    permit: Permit,
}

impl FaceEngine {
    /// Starts the workers.
    ///
    /// # Errors
    /// When the system has no room for another thread.
    pub fn start(
        options: EngineOptions,
        settings: FaceSettings,
        load: LoadNets,
        supervisor: &Supervisor,
    ) -> Result<Self, Fault> {
        let patience = options.patience;
        let inner = Arc::new(Inner {
            queue: Mutex::default(),
            news: Condvar::new(),
            breaker: Mutex::new(Breaker::new(options.breaker)),
            workers: Mutex::default(),
            clock: Arc::clone(supervisor.clock()),
            metrics: FaceEngineMetrics::new(),
            load,
            settings: Arc::new(settings),
            options,
        });
        let engine = Self { inner, patience };
        for n in 0..engine.inner.options.workers.max(1) {
            let inner = Arc::clone(&engine.inner);
            match supervisor.spawn(format!("faces-{n}"), move |progress| inner.work(progress)) {
                Ok(worker) => engine.inner.workers.lock().push(worker),
                Err(fault) => {
                    engine.stop();
                    return Err(fault);
                }
            }
        }
        Ok(engine)
    }

    /// The figures it judges by.
    pub fn settings(&self) -> &FaceSettings {
        &self.inner.settings
    }

    /// What it is like now.
    pub fn state(&self) -> EngineState {
        let queued = self.inner.queue.lock().jobs.len();
        EngineState { queued, breaker: self.inner.breaker.lock().state(), stuck: self.inner.is_stuck() }
    }

    /// Takes no more jobs, drops those that wait, and lets the workers end after the job they are at. Does not wait: the
    /// supervisor joins them.
    pub fn stop(&self) {
        let mut queue = self.inner.queue.lock();
        queue.stopped = true;
        let jobs = std::mem::take(&mut queue.jobs);
        queue.bytes = 0;
        drop(queue);
        self.inner.metrics.depth(0);
        self.inner.news.notify_all();
        // Their callers are told that it has stopped.
        drop(jobs);
    }

    /// Queues a job, or says at once that there is no room.
    ///
    /// # Errors
    /// [`FacesError::Busy`], [`FacesError::Unavailable`], [`FacesError::Stopped`].
    pub(crate) fn try_submit<T: Send + 'static>(
        &self,
        bytes: usize,
        work: impl FnOnce(&mut Desk<'_>) -> Result<T, FacesError> + Send + 'static,
    ) -> Result<Pending<T>, FacesError> {
        let now = self.inner.clock.mono();
        let permit = self.inner.admit(now)?;
        let (answer, answered) = oneshot::channel();
        let job =
            Waiting { job: Box::new(Typed { answer, work }), bytes, until: MonoTime(now.0 + self.patience), permit };
        match self.inner.enqueue(job) {
            Ok(()) => Ok(Pending { answered, patience: self.patience }),
            Err(error) => {
                self.inner.breaker.lock().abandoned(permit);
                if matches!(error, FacesError::Busy { .. }) {
                    self.inner.metrics.ended("busy");
                }
                Err(error)
            }
        }
    }
}

/// An answer that is on its way. Dropping it takes the job out of the queue when its turn comes.
pub(crate) struct Pending<T> {
    answered: oneshot::Receiver<Result<T, FacesError>>,
    patience: Duration,
}

impl<T> Pending<T> {
    /// Waits for the answer.
    pub(crate) async fn answer(self) -> Result<T, FacesError> {
        match tokio::time::timeout(self.patience, self.answered).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(_)) => Err(FacesError::Stopped),
            Err(_) => Err(FacesError::TooLate),
        }
    }
}

impl Inner {
    fn admit(&self, now: MonoTime) -> Result<Permit, FacesError> {
        let stuck = self.is_stuck();
        let mut breaker = self.breaker.lock();
        if stuck && breaker.state() != BreakerState::Open {
            tracing::error!("every face worker hangs or is gone; pictures are refused until one comes back");
            breaker.trip(now);
        }
        breaker.admit(now).map_err(|retry_after| {
            self.metrics.ended("unavailable");
            FacesError::Unavailable { retry_after }
        })
    }

    fn is_stuck(&self) -> bool {
        let hangs = |worker: &Worker| {
            let health = worker.health();
            health.is_none_or(|h| {
                h.exit.is_some() || (h.activity == Activity::Busy && h.since >= self.options.stuck_after)
            })
        };
        let workers = self.workers.lock();
        !workers.is_empty() && workers.iter().all(hangs)
    }

    fn enqueue(&self, job: Waiting) -> Result<(), FacesError> {
        let mut queue = self.queue.lock();
        if queue.stopped {
            return Err(FacesError::Stopped);
        }
        let waiting = queue.jobs.len();
        let fits = waiting == 0 || queue.bytes.saturating_add(job.bytes) <= self.options.queue_bytes;
        if waiting >= self.options.queue.max(1) || !fits {
            let pace = queue.pace.unwrap_or(FIRST_GUESS);
            let turns = (waiting / self.options.workers.max(1) + 1) as u32;
            return Err(FacesError::Busy { retry_after: pace.saturating_mul(turns).min(LONGEST_WAIT) });
        }
        queue.bytes += job.bytes;
        queue.jobs.push_back(job);
        self.metrics.depth(queue.jobs.len());
        drop(queue);
        self.news.notify_one();
        Ok(())
    }

    /// Waits for the next job; `None` when the engine stops.
    fn next(&self) -> Option<Waiting> {
        let mut queue = self.queue.lock();
        self.news.wait_while(&mut queue, |q| q.jobs.is_empty() && !q.stopped);
        let job = queue.jobs.pop_front()?;
        queue.bytes -= job.bytes;
        self.metrics.depth(queue.jobs.len());
        Some(job)
    }

    /// The life of a worker.
    fn work(&self, progress: &Progress) -> Result<(), Fault> {
        if let Err(error) = rustix::process::nice(self.options.niceness.clamp(0, 19)) {
            tracing::warn!(%error, "face workers run at the priority of everything else");
        }
        let mut nets = None;
        if self.options.eager {
            progress.busy();
            match (self.load)() {
                Ok(loaded) => nets = Some(loaded),
                Err(error) => tracing::error!(%error, "the models of the face engine cannot be loaded"),
            }
        }
        loop {
            progress.idle();
            let Some(job) = self.next() else { return Ok(()) };
            progress.busy();
            self.run(job, &mut nets, progress);
        }
    }

    fn run(&self, job: Waiting, nets: &mut Option<FaceNets>, progress: &Progress) {
        let Waiting { job, until, permit, .. } = job;
        let began = self.clock.mono();
        if began >= until || job.is_unwanted() {
            job.refuse(FacesError::TooLate);
            self.breaker.lock().abandoned(permit);
            self.metrics.ended("late");
            return;
        }
        let bench = Bench { nets, inner: self, until, progress };
        let Ended { outcome, asked, deliver } = job.run(bench);
        let now = self.clock.mono();
        let took = now.since(began);
        self.metrics.worked(took);
        self.metrics.ended(outcome);
        match asked {
            Asked::NotAtAll => self.breaker.lock().abandoned(permit),
            Asked::Worked => self.breaker.lock().succeeded(permit),
            Asked::Failed => {
                // Whatever state they are in: the next job gets new ones.
                *nets = None;
                self.breaker.lock().failed(permit, now);
            }
        }
        let mut queue = self.queue.lock();
        let pace = queue.pace.unwrap_or(took);
        queue.pace = Some((pace * (NEWEST - 1) + took) / NEWEST);
        drop(queue);
        // Last, so that whoever has the answer meets a breaker that knows of it.
        deliver();
    }
}

/// What became of a job.
struct Ended {
    /// The word for metrics.
    outcome: &'static str,
    asked: Asked,
    /// Gives the caller the answer.
    deliver: Box<dyn FnOnce()>,
}

/// What a job says about the models.
enum Asked {
    NotAtAll,
    Worked,
    Failed,
}

/// Where a worker works.
struct Bench<'a> {
    nets: &'a mut Option<FaceNets>,
    inner: &'a Inner,
    until: MonoTime,
    progress: &'a Progress,
}

/// What a job works with.
pub(crate) struct Desk<'a> {
    bench: Bench<'a>,
    unwanted: &'a dyn Fn() -> bool,
    asked: bool,
}

impl Desk<'_> {
    /// The networks, loaded if need be, and the figures.
    pub(crate) fn nets(&mut self) -> Result<(&mut FaceNets, &FaceSettings), FacesError> {
        self.asked = true;
        if self.bench.nets.is_none() {
            *self.bench.nets = Some((self.bench.inner.load)()?);
        }
        let missing = || Fault::new(ErrorClass::Bug, "networks that were just loaded are missing");
        let nets = self.bench.nets.as_mut().ok_or_else(missing)?;
        Ok((nets, &self.bench.inner.settings))
    }

    /// To be asked between the parts of a long job: whether anybody still waits for it. A sign of progress, too.
    pub(crate) fn go_on(&self) -> Result<(), FacesError> {
        self.bench.progress.busy();
        let late = self.bench.inner.clock.mono() >= self.bench.until || (self.unwanted)();
        if late { Err(FacesError::TooLate) } else { Ok(()) }
    }

    pub(crate) fn clock(&self) -> &Arc<dyn Clock> {
        &self.bench.inner.clock
    }

    pub(crate) fn temp_dir(&self) -> PathBuf {
        self.bench.inner.options.temp_dir.clone()
    }

    pub(crate) fn shared_settings(&self) -> Arc<FaceSettings> {
        Arc::clone(&self.bench.inner.settings)
    }
}

/// A job, whatever its answer.
trait Job: Send {
    /// Nobody waits for it.
    fn is_unwanted(&self) -> bool;
    fn refuse(self: Box<Self>, error: FacesError);
    fn run(self: Box<Self>, bench: Bench<'_>) -> Ended;
}

struct Typed<T, W> {
    answer: oneshot::Sender<Result<T, FacesError>>,
    work: W,
}

impl<T: Send + 'static, W: FnOnce(&mut Desk<'_>) -> Result<T, FacesError> + Send> Job for Typed<T, W> {
    fn is_unwanted(&self) -> bool {
        self.answer.is_closed()
    }

    fn refuse(self: Box<Self>, error: FacesError) {
        // Whoever asked may be gone.
        drop(self.answer.send(Err(error)));
    }

    fn run(self: Box<Self>, bench: Bench<'_>) -> Ended {
        let Self { answer, work } = *self;
        let unwanted = || answer.is_closed();
        let mut desk = Desk { bench, unwanted: &unwanted, asked: false };
        // Networks that saw a panic are thrown away, and nothing else is shared.
        let caught = catch_unwind(AssertUnwindSafe(|| work(&mut desk)));
        let asked = desk.asked;
        let result = caught
            .unwrap_or_else(|_| Err(Fault::new(ErrorClass::Bug, "a face job panicked; the log says where").into()));
        let worked = if asked { Asked::Worked } else { Asked::NotAtAll };
        let (outcome, asked) = match &result {
            Ok(_) => ("done", worked),
            Err(FacesError::TooLate) => ("late", Asked::NotAtAll),
            Err(FacesError::Failed(fault)) => {
                tracing::error!(error = %fault, "a face job failed");
                ("failed", if asked { Asked::Failed } else { Asked::NotAtAll })
            }
            Err(_) => ("refused", worked),
        };
        // Whoever asked may be gone.
        let deliver = Box::new(move || drop(answer.send(result)));
        Ended { outcome, asked, deliver }
    }
}
