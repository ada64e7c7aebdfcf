//! The lane: the one place that names the order and the capacity of the stages, starts them, and restarts them as a unit.
//!
//! ```text
//! FrameMux ─► detect ─► track ─► embed ─► liveness ─► match ─► sink
//!   drops     └────────── one generation ──────────┘    └ outlives generations
//! ```
//!
//! Every edge is bounded and blocks; frames are dropped in the mux and nowhere else, events nowhere. When a stage fails or
//! panics, its neighbours find their channel gone: those below finish what they have and close its streams, those above
//! stop, and a controller thread builds all five anew. The sink and its queue survive that: what the match stage sent
//! arrives. A stage that hangs cannot be stopped, so the lane gives up and names it; the process has to end.

mod controller;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::{Condvar, Mutex};

use crate::error::{ErrorClass, Fault};
use crate::event::AttendanceEvent;
use crate::face::{EmbeddedShot, FrameFaces, LiveShot, TrackShot, Tracked};
use crate::frame::Frame;
use crate::mux::{FrameMux, MuxStats};
use crate::ports::EventSink;
use crate::stage::{BatchPolicy, Edge, Stage};
use crate::supervisor::{Supervisor, caught};

use controller::Controller;

/// `detect → track`: full frames (3.1 MB at 1080p), so just enough that detection does not wait for tracking.
const FACES: (&str, usize) = ("detect_track", 2);
/// `track → embed`: chips of at most 0.3 MB; a crowd that steps in at once gives some dozen in one frame.
const SHOTS: (&str, usize) = ("track_embed", 32);
/// `embed → liveness`: the same chips.
const EMBEDDED: (&str, usize) = ("embed_liveness", 32);
/// `liveness → match`: matching is the fastest of all; room for the ends of a crowd of tracks when a camera closes.
const LIVE: (&str, usize) = ("liveness_match", 64);
/// `match → sink`: events (0.05 MB with the best view), some minutes of a busy door while a commit takes long.
const EVENTS: (&str, usize) = ("match_sink", 128);

/// The detector takes one frame at a time, and a frame taken early is one that can no longer give way to a newer one.
const DETECT: BatchPolicy = BatchPolicy::SINGLE;
/// Tracking is sequential by nature.
const TRACK: BatchPolicy = BatchPolicy::SINGLE;
/// What gathered while the last batch ran; nobody waits for one to fill. A CPU runs the network for each face all the same.
const EMBED: BatchPolicy = BatchPolicy::up_to(8);
/// As for `embed`.
const LIVENESS: BatchPolicy = BatchPolicy::up_to(8);
/// Matching gains nothing from batches but fewer wake-ups.
const MATCH: BatchPolicy = BatchPolicy::up_to(16);
/// One commit a batch.
const SINK: BatchPolicy = BatchPolicy::up_to(64);

/// How often what remains is logged during a shutdown.
const REPORT_EVERY: Duration = Duration::from_secs(5);

const SINK_NAME: &str = "sink";

/// The five stages of one generation.
#[derive(Debug)]
pub struct LaneStages<F: LaneFactory + ?Sized> {
    /// Finds faces.
    pub detect: F::Detect,
    /// Makes tracks of them and chooses shots.
    pub track: F::Track,
    /// Makes embeddings.
    pub embed: F::Embed,
    /// Checks for life.
    pub liveness: F::Liveness,
    /// Searches the gallery and decides.
    pub matching: F::Match,
}

/// Builds the stages, once for each generation of the lane. Their types fix the order.
pub trait LaneFactory: Send + 'static {
    /// Finds faces.
    type Detect: Stage<In = Frame, Out = FrameFaces> + 'static;
    /// Makes tracks of them and chooses shots.
    type Track: Stage<In = FrameFaces, Out = Tracked<TrackShot>> + 'static;
    /// Makes embeddings.
    type Embed: Stage<In = Tracked<TrackShot>, Out = Tracked<EmbeddedShot>> + 'static;
    /// Checks for life.
    type Liveness: Stage<In = Tracked<EmbeddedShot>, Out = Tracked<LiveShot>> + 'static;
    /// Searches the gallery and decides.
    type Match: Stage<In = Tracked<LiveShot>, Out = AttendanceEvent> + 'static;

    /// Builds all stages from nothing; those of the last generation are gone when it is called again.
    ///
    /// # Errors
    /// When one cannot be built, such as a model that cannot be loaded.
    fn build(&mut self) -> Result<LaneStages<Self>, Fault>;
}

/// When the lane gives up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LaneOptions {
    /// Prefix of its threads' names; short, since Linux shows 15 bytes.
    pub name: String,
    /// A stage that works on one batch for longer, and is not blocked on send, hangs.
    pub stuck_after: Duration,
    /// So many restarts are tried …
    pub max_restarts: usize,
    /// … within such a time; one more and the lane gives up.
    pub restart_window: Duration,
    /// How often it looks for a stage that hangs.
    pub check_every: Duration,
}

impl LaneOptions {
    /// For cameras: five restarts in ten minutes.
    pub fn live() -> Self {
        Self {
            name: "lane".to_owned(),
            stuck_after: Duration::from_secs(30),
            max_restarts: 5,
            restart_window: Duration::from_secs(600),
            check_every: Duration::from_secs(1),
        }
    }

    /// For recordings: no restart, since one would lose what is on its way.
    pub fn replay() -> Self {
        Self { max_restarts: 0, ..Self::live() }
    }
}

/// Why a lane ended badly.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LaneError {
    /// The stages could not be built at start.
    #[error("the lane cannot be built: {0}")]
    Build(String),
    /// A stage hangs in its work.
    #[error("stage {stage} has hung for {} s; end the process", since.as_secs())]
    Stuck {
        /// The stage.
        stage: &'static str,
        /// Time without progress.
        since: Duration,
    },
    /// Restarts did not help.
    #[error("stage {stage} failed after {restarts} restarts of the lane: {message}")]
    GaveUp {
        /// The stage that failed last.
        stage: &'static str,
        /// Restarts within the window.
        restarts: usize,
        /// What it said.
        message: String,
    },
    /// The sink takes no more events.
    #[error("the sink failed: {0}")]
    Sink(String),
    /// A stage failed when the lane was closed already: what was on its way is lost.
    #[error("stage {stage} failed while the lane drained: {message}")]
    Draining {
        /// The stage.
        stage: &'static str,
        /// What it said.
        message: String,
    },
    /// Not everything was done when time was up.
    #[error("not done in time: {}", remaining.join(", "))]
    Deadline {
        /// What still ran and what still waited.
        remaining: Vec<String>,
    },
    /// The controller itself broke.
    #[error("the lane's controller ended early: a bug")]
    Controller,
}

impl LaneError {
    /// What a retry within the process would bring.
    pub fn class(&self) -> ErrorClass {
        match self {
            Self::Controller => ErrorClass::Bug,
            _ => ErrorClass::Permanent,
        }
    }
}

/// What a lane is doing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LaneState {
    /// Its stages run.
    Running,
    /// A stage failed; the others end, then all are built anew.
    Restarting,
    /// It was closed and everything arrived.
    Ended,
    /// It gave up; the process should end.
    Failed(LaneError),
}

/// How full an edge was when somebody last sent or received.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EdgeDepth {
    /// Its name, from stage to stage.
    pub edge: &'static str,
    /// Packets that wait.
    pub depth: usize,
    /// Packets that it holds at most.
    pub capacity: usize,
}

/// Where everything is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LaneStats {
    /// Frames, at one moment: `received = evicted + queued + in_flight + analysed + lost`.
    pub frames: MuxStats,
    /// The edges, in order.
    pub edges: Vec<EdgeDepth>,
    /// Events that the sink has accepted.
    pub events: u64,
    /// Restarts since start.
    pub restarts: u64,
}

#[derive(Debug)]
struct Status {
    state: LaneState,
    /// Stages whose threads run.
    running: Vec<&'static str>,
    /// The controller is done: no thread of the lane is left.
    drained: bool,
}

#[derive(Debug)]
struct Shared {
    mux: FrameMux,
    status: Mutex<Status>,
    changed: Condvar,
    edges: [Edge; 5],
    accepted: AtomicU64,
    restarts: AtomicU64,
}

impl Shared {
    fn set(&self, state: LaneState) {
        self.status.lock().state = state;
        self.changed.notify_all();
    }

    /// The first failure is the cause; later ones follow from it. Whoever learns of it finds the mux closed.
    fn fail(&self, error: LaneError) {
        self.mux.close();
        let mut status = self.status.lock();
        if !matches!(status.state, LaneState::Failed(_)) {
            tracing::error!(%error, "the lane gave up");
            status.state = LaneState::Failed(error);
        }
        self.changed.notify_all();
    }

    fn remaining(&self, status: &Status) -> Vec<String> {
        let frames = self.mux.stats().queued;
        let waiting = self.edges.iter().map(|e| (e.name, e.depth())).chain([("mux_detect", frames as usize)]);
        let waiting = waiting.filter(|(_, n)| *n > 0).map(|(edge, n)| format!("{n} packets on {edge}"));
        status.running.iter().map(|stage| format!("stage {stage}")).chain(waiting).collect()
    }
}

/// A running lane. Dropping it closes the mux; the threads then end by themselves.
#[derive(Debug)]
pub struct Lane {
    shared: Arc<Shared>,
}

impl Lane {
    /// Builds the stages, starts the threads, sink first, and begins to take frames from `mux`.
    ///
    /// # Errors
    /// [`LaneError::Build`] if a stage cannot be built or a thread cannot be started.
    pub fn spawn<F: LaneFactory>(
        mut factory: F,
        sink: Box<dyn EventSink>,
        mux: &FrameMux,
        supervisor: &Supervisor,
        options: LaneOptions,
    ) -> Result<Self, LaneError> {
        let stages = build(&mut factory).map_err(|f| LaneError::Build(f.message))?;
        let shared = Arc::new(Shared {
            mux: mux.clone(),
            status: Mutex::new(Status { state: LaneState::Running, running: Vec::new(), drained: false }),
            changed: Condvar::new(),
            edges: [FACES, SHOTS, EMBEDDED, LIVE, EVENTS].map(|(name, capacity)| Edge::new(name, capacity)),
            accepted: AtomicU64::new(0),
            restarts: AtomicU64::new(0),
        });
        let lane = Self { shared: Arc::clone(&shared) };
        let name = format!("{}-control", options.name);
        let mut controller = Controller::new(shared, factory, supervisor.clone(), options);
        // From here on `lane` closes the mux if something fails, and what was started ends.
        controller.start_sink(sink).and_then(|()| controller.start(stages)).map_err(|f| LaneError::Build(f.message))?;
        supervisor.spawn(name, move |_| controller.run()).map_err(|f| LaneError::Build(f.message))?;
        Ok(lane)
    }

    /// What it does.
    pub fn state(&self) -> LaneState {
        self.shared.status.lock().state.clone()
    }

    /// Where everything is.
    pub fn stats(&self) -> LaneStats {
        let edges = &self.shared.edges;
        LaneStats {
            frames: self.shared.mux.stats(),
            edges: edges.iter().map(|e| EdgeDepth { edge: e.name, depth: e.depth(), capacity: e.capacity }).collect(),
            events: self.shared.accepted.load(Ordering::Relaxed),
            restarts: self.shared.restarts.load(Ordering::Relaxed),
        }
    }

    /// Blocks until the lane ended, or gave up: then the process should shut down, since it will analyse no more.
    ///
    /// # Errors
    /// Why it gave up.
    pub fn wait(&self) -> Result<(), LaneError> {
        let mut status = self.shared.status.lock();
        self.shared.changed.wait_while(&mut status, |s| !s.drained && !matches!(s.state, LaneState::Failed(_)));
        outcome(&status)
    }

    /// Closes the mux and waits until everything has arrived at the sink and all threads ended; says every 5 s what remains.
    /// The cameras should have been stopped before.
    ///
    /// # Errors
    /// [`LaneError::Deadline`] after `patience`, with what remains; else why the lane gave up.
    pub fn shutdown(&self, patience: Duration) -> Result<LaneStats, LaneError> {
        self.shared.mux.close();
        let mut left = patience;
        let mut status = self.shared.status.lock();
        while !status.drained {
            if left.is_zero() {
                return Err(LaneError::Deadline { remaining: self.shared.remaining(&status) });
            }
            let slice = left.min(REPORT_EVERY);
            if self.shared.changed.wait_while_for(&mut status, |s| !s.drained, slice).timed_out() {
                left -= slice;
                tracing::info!(remaining = self.shared.remaining(&status).join(", "), "the lane drains");
            }
        }
        outcome(&status)?;
        drop(status);
        Ok(self.stats())
    }
}

impl Drop for Lane {
    fn drop(&mut self) {
        self.shared.mux.close();
    }
}

fn outcome(status: &Status) -> Result<(), LaneError> {
    match &status.state {
        LaneState::Failed(error) => Err(error.clone()),
        _ => Ok(()),
    }
}

fn build<F: LaneFactory>(factory: &mut F) -> Result<LaneStages<F>, Fault> {
    caught(|| factory.build()).unwrap_or_else(|panic| Err(Fault::new(ErrorClass::Bug, panic)))
}
