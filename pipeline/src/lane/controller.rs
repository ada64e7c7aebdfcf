//! The thread that starts the stages of a lane, learns of their ends, and restarts them or gives up.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender};

use super::{
    DETECT, EMBED, LIVENESS, LaneError, LaneFactory, LaneOptions, LaneStages, LaneState, MATCH, SINK, SINK_NAME,
    Shared, TRACK, build,
};
use crate::error::{ErrorClass, Fault};
use crate::event::AttendanceEvent;
use crate::metrics::record_lane_restart;
use crate::ports::EventSink;
use crate::stage::{BatchPolicy, Outbox, Outlet, Source, Stage, run_stage};
use crate::supervisor::{Activity, Exit, Supervisor, Worker};
use crate::time::MonoTime;

/// A stage that ended badly.
struct Failure {
    stage: &'static str,
    /// `panic`, `fault` or `build`.
    reason: &'static str,
    message: String,
}

impl Failure {
    fn of(stage: &'static str, exit: Exit) -> Option<Self> {
        match exit {
            Exit::Done => None,
            Exit::Fault(fault) => Some(Self { stage, reason: "fault", message: fault.message }),
            Exit::Panic(message) => Some(Self { stage, reason: "panic", message }),
        }
    }
}

pub(super) struct Controller<F> {
    shared: Arc<Shared>,
    factory: F,
    supervisor: Supervisor,
    options: LaneOptions,
    /// The threads that run: those of this generation, and the sink.
    workers: Vec<(&'static str, Worker)>,
    exits_tx: Sender<(&'static str, Exit)>,
    exits: Receiver<(&'static str, Exit)>,
    /// Keeps the sink alive between generations.
    events: Option<Outlet<AttendanceEvent>>,
    /// When the lane was restarted, within the window.
    restarts: VecDeque<MonoTime>,
    /// The stage that hung at the last look.
    suspect: Option<&'static str>,
}

impl<F: LaneFactory> Controller<F> {
    pub(super) fn new(shared: Arc<Shared>, factory: F, supervisor: Supervisor, options: LaneOptions) -> Self {
        // Five stages and the sink report once each before any of them is started again: sends never block.
        let (exits_tx, exits) = crossbeam_channel::bounded(6);
        let (workers, restarts) = (Vec::new(), VecDeque::new());
        Self { shared, factory, supervisor, options, workers, exits_tx, exits, events: None, restarts, suspect: None }
    }

    /// Starts the sink, once.
    pub(super) fn start_sink(&mut self, sink: Box<dyn EventSink>) -> Result<(), Fault> {
        let [.., events] = &self.shared.edges;
        let (outlet, source) = events.channel();
        self.events = Some(outlet);
        let stage = SinkStage { sink, shared: Arc::clone(&self.shared) };
        self.thread(stage, source, None, SINK)
    }

    /// Starts a generation, last stage first.
    pub(super) fn start(&mut self, stages: LaneStages<F>) -> Result<(), Fault> {
        let shared = Arc::clone(&self.shared);
        let [faces, shots, embedded, live, _] = &shared.edges;
        let (to_track, from_detect) = faces.channel();
        let (to_embed, from_track) = shots.channel();
        let (to_liveness, from_embed) = embedded.channel();
        let (to_match, from_liveness) = live.channel();
        self.thread(stages.matching, from_liveness, self.events.clone(), MATCH)?;
        self.thread(stages.liveness, from_embed, Some(to_match), LIVENESS)?;
        self.thread(stages.embed, from_track, Some(to_liveness), EMBED)?;
        self.thread(stages.track, from_detect, Some(to_embed), TRACK)?;
        self.thread(stages.detect, shared.mux.attach(), Some(to_track), DETECT)
    }

    fn thread<S: Stage + 'static>(
        &mut self,
        stage: S,
        mut source: impl Source<S::In> + Send + 'static,
        outlet: Option<Outlet<S::Out>>,
        policy: BatchPolicy,
    ) -> Result<(), Fault> {
        let name = format!("{}-{}", self.options.name, S::NAME);
        let worker = self.supervisor.spawn_reporting(name, S::NAME, self.exits_tx.clone(), move |progress| {
            run_stage(stage, &mut source, Outbox::to(outlet, progress), policy, progress).inspect_err(|_| {
                tracing::warn!(stage = S::NAME, packets = source.depth(), "packets that waited for the stage are lost");
            })
        })?;
        self.workers.push((S::NAME, worker));
        self.shared.status.lock().running.push(S::NAME);
        Ok(())
    }

    /// Runs until everything is over; whatever happens, whoever waits for the lane learns of it.
    pub(super) fn run(mut self) -> Result<(), Fault> {
        let _over = Over(Arc::clone(&self.shared));
        if let Err(error) = self.generations() {
            self.shared.fail(error);
        }
        // After a failure too, what can still drain does.
        self.shared.mux.close();
        self.events = None;
        while !self.workers.is_empty() {
            if let Some(failure) = self.next_exit(self.exits.recv().ok()) {
                self.shared.fail(LaneError::Sink(failure.message));
            }
        }
        Ok(())
    }

    /// Runs one generation after the other, until the mux is closed and all has drained into the sink's queue.
    fn generations(&mut self) -> Result<(), LaneError> {
        loop {
            let failure = self.watch()?;
            let Some(failure) = failure else { return Ok(()) };
            if self.shared.mux.is_closed() {
                return Err(LaneError::Draining { stage: failure.stage, message: failure.message });
            }
            let stages = self.rebuild(failure)?;
            // Before the first thread: whoever gets something from the new stages finds a lane that runs.
            self.shared.set(LaneState::Running);
            self.start(stages).map_err(|f| LaneError::Build(f.message))?;
        }
    }

    /// Waits until the stages of a generation have ended; gives the first failure.
    fn watch(&mut self) -> Result<Option<Failure>, LaneError> {
        let mut first = None;
        while self.workers.iter().any(|(stage, _)| *stage != SINK_NAME) {
            match self.exits.recv_timeout(self.options.check_every) {
                Err(RecvTimeoutError::Timeout) => self.look_for_hung_stage()?,
                Err(RecvTimeoutError::Disconnected) => return Err(LaneError::Controller),
                Ok((stage, exit)) => {
                    let failure = self.next_exit(Some((stage, exit)));
                    if stage == SINK_NAME {
                        let message = failure.map_or_else(|| "it ended early".to_owned(), |f| f.message);
                        return Err(LaneError::Sink(message));
                    }
                    if let Some(failure) = failure
                        && first.is_none()
                    {
                        tracing::warn!(stage, reason = failure.reason, error = failure.message, "a stage failed");
                        self.shared.set(LaneState::Restarting);
                        self.shared.mux.detach();
                        first = Some(failure);
                    }
                }
            }
        }
        Ok(first)
    }

    /// Joins a thread that said it ended; gives its failure, if it was one.
    fn next_exit(&mut self, exit: Option<(&'static str, Exit)>) -> Option<Failure> {
        let (stage, exit) = exit?;
        if let Some(at) = self.workers.iter().position(|(name, _)| *name == stage) {
            self.workers.swap_remove(at).1.join();
        }
        self.shared.status.lock().running.retain(|name| *name != stage);
        Failure::of(stage, exit)
    }

    /// Gives up if a stage hangs at two looks in a row: after the process was stopped for a while (a debugger, a paused
    /// machine) every busy stage seems to hang until it has run again.
    ///
    /// The sink is not looked at: it may rightly wait for hours for the database and for room on the disk.
    fn look_for_hung_stage(&mut self) -> Result<(), LaneError> {
        let stages = self.workers.iter().filter(|(stage, _)| *stage != SINK_NAME);
        let mut healths = stages.filter_map(|(stage, worker)| Some((*stage, worker.health()?)));
        let hung = healths.find(|(_, health)| {
            health.exit.is_none() && health.activity == Activity::Busy && health.since > self.options.stuck_after
        });
        match hung {
            Some((stage, health)) if self.suspect == Some(stage) => {
                Err(LaneError::Stuck { stage, since: health.since })
            }
            hung => {
                self.suspect = hung.map(|(stage, _)| stage);
                Ok(())
            }
        }
    }

    /// Builds the next generation, unless that was tried too often.
    fn rebuild(&mut self, mut failure: Failure) -> Result<LaneStages<F>, LaneError> {
        loop {
            let Failure { stage, reason, message } = failure;
            let now = self.supervisor.clock().mono();
            self.restarts.retain(|at| now.since(*at) < self.options.restart_window);
            let restarts = self.restarts.len();
            if restarts >= self.options.max_restarts {
                return Err(LaneError::GaveUp { stage, restarts, message });
            }
            self.restarts.push_back(now);
            self.shared.restarts.fetch_add(1, Ordering::Relaxed);
            record_lane_restart(stage, reason);
            match build(&mut self.factory) {
                Ok(stages) => {
                    tracing::warn!(stage, reason, restarts = restarts + 1, "the lane starts anew");
                    return Ok(stages);
                }
                // It will not get better by itself.
                Err(fault) if fault.class == ErrorClass::Permanent => {
                    return Err(LaneError::GaveUp { stage: "lane", restarts: restarts + 1, message: fault.message });
                }
                Err(fault) => failure = Failure { stage: "lane", reason: "build", message: fault.message },
            }
        }
    }
}

/// Says that no thread of the lane is left.
struct Over(Arc<Shared>);

impl Drop for Over {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.fail(LaneError::Controller);
        }
        let mut status = self.0.status.lock();
        status.drained = true;
        if !matches!(status.state, LaneState::Failed(_)) {
            status.state = LaneState::Ended;
        }
        self.0.changed.notify_all();
    }
}

/// The end of the lane: hands events to the sink, which makes them durable.
struct SinkStage {
    sink: Box<dyn EventSink>,
    shared: Arc<Shared>,
}

impl Stage for SinkStage {
    const NAME: &'static str = SINK_NAME;
    type In = AttendanceEvent;
    type Out = Infallible;

    fn process(&mut self, batch: Vec<AttendanceEvent>, _: &mut Outbox<Infallible>) -> Result<(), Fault> {
        self.sink.accept(&batch)?;
        for event in &batch {
            // Whoever wants to prove that nothing is lost compares these lines with the rows.
            tracing::debug!(camera = %event.decision.key.camera, event = %event.id, "accepted");
        }
        self.shared.accepted.fetch_add(batch.len() as u64, Ordering::Relaxed);
        Ok(())
    }
}
