//! The daemon: everything that runs while `rollcall run` runs.
//!
//! ```text
//! main thread: waits for  Loaded ─► start cameras   Hangup ─► reload   Terminate, LaneOver ─► shut down
//! tokio:       signals; in the background: API, live views, places and cameras of the database, closing of sessions,
//!              states and minutes of cameras, visitors, upkeep
//! threads:     one a camera, the lane's, people (gallery, names, marks of before), the sink's drainer, the cluster's keeper
//! ```
//!
//! Cameras start when the gallery is there for the first time: before that everybody would be a stranger. After that the
//! database may go: events are spooled, the gallery stays as it was.

mod access;
mod background;
mod camera_desk;
mod cameras;
mod closing;
mod faces;
mod minutes;
mod people;
mod signals;
mod status;
mod tasks;
mod timetables;
mod upkeep;
mod visitors;
mod watches;

use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::Duration;

use anyhow::Context;
use parking_lot::Mutex;
use rollcall_attendance::{Register, Schedule};
use rollcall_control_api::{Live, Metrics};
use rollcall_faces::LiveShots;
use rollcall_pipeline::config::{Config, Reload};
use rollcall_pipeline::lane::{Lane, LaneOptions};
use rollcall_pipeline::ports::Observer;
use rollcall_pipeline::supervisor::{Supervisor, Worker, log_panics};
use rollcall_pipeline::{Clock, FrameMux, MuxMode, SystemClock};
use rollcall_sinks::{PgSink, PgSinkOptions, Refused, SinkMonitor};
use rollcall_stages::matching::{Gallery, GalleryHandle};
use rollcall_stages::preview::{PreviewHub, PreviewLimits};
use rollcall_store::Store;
use tokio::net::TcpListener;
use tokio::runtime::Runtime;

use crate::cli::Place;
use crate::compose::{Stages, Vision};
use crate::database::{self, Database};
use crate::output::explained;
use crate::paths;
use crate::rules::{self, Rules};
use crate::settings::{self, recognition_settings};

use background::Background;
use camera_desk::CameraDesk;
use cameras::{Cameras, STOP_PATIENCE, STOP_SOON};
use faces::{FaceDesk, Parts};
use people::People;

/// How often cameras are looked after and metrics are kept small.
const TICK: Duration = Duration::from_secs(1);
/// What runs in the background and panicked is begun again after so long.
const AGAIN_AFTER: Duration = Duration::from_secs(5);
/// How long each of those that end with the daemon may take.
const ENDING: Duration = Duration::from_secs(2);

/// What the main thread waits for.
pub(crate) enum Control {
    /// People are there for the first time.
    Loaded,
    /// The database has other cameras.
    Cameras,
    /// Read the configuration again.
    Hangup,
    /// End in an orderly way.
    Terminate,
    /// The lane ended or gave up.
    LaneOver,
}

/// A daemon that runs.
pub(crate) struct Daemon {
    place: Place,
    /// What is in force.
    config: Config,
    /// What the sections that are read only at start are compared with.
    started_with: Config,
    path: Option<PathBuf>,
    address: SocketAddr,
    runtime: Runtime,
    supervisor: Supervisor,
    metrics: Metrics,
    database: Database,
    vision: Vision,
    people: Arc<People>,
    faces: Arc<FaceDesk>,
    desk: Arc<CameraDesk>,
    live: Live,
    sink: SinkMonitor,
    lane: Arc<Lane>,
    cameras: Arc<Mutex<Cameras>>,
    background: Background,
    /// The thread that follows people and the gallery.
    following: Option<Worker>,
    control: Sender<Control>,
    controlled: Receiver<Control>,
}

impl Daemon {
    /// Opens everything and starts it. What cannot work at all (models, port, private cluster) is an error; a database or a
    /// camera that is away is waited for.
    pub(crate) fn start(place: Place, config: Config, path: Option<PathBuf>) -> anyhow::Result<Self> {
        // First: handles made before a recorder is there record nothing.
        let metrics = Metrics::install()?;
        log_panics();
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let supervisor = Supervisor::new(Arc::clone(&clock));
        let runtime = database::runtime()?;
        let (control, controlled) = channel();
        // From here on a second signal ends the process at once, whatever start-up waits for.
        signals::listen(&runtime, control.clone());
        let listener = listen(&config, &runtime)?;
        let vision = Vision::open(&place, &config)?;
        let database = Database::open(&place, &config, &supervisor, &runtime)?;
        let gallery = GalleryHandle::new(Gallery::empty(vision.embedding_model()));
        let rules = rules_of_the_start(&config);
        let writing = sink_options(&place, &config, &vision)?;
        let sink = sink(writing, &rules, &database.store, &runtime, &clock, &supervisor)?;
        let people = Arc::new(People::new(vision.embedding_model(), gallery.clone(), rules.clone(), &config));
        let frames = NonZeroUsize::new(config.lane.frames_per_camera).unwrap_or(NonZeroUsize::MIN);
        let mux = FrameMux::new(MuxMode::Evict, frames);
        let cameras = Arc::new(Mutex::new(Cameras::new(mux.clone(), supervisor.clone(), &config)));
        let (monitor, known) = (sink.monitor(), vision.clone());
        let live_shots = LiveShots::new();
        let named = rules.clone();
        let preview =
            PreviewHub::new(PreviewLimits::default(), supervisor.clone(), move |person| named.name_of(person));
        let observers: Vec<Arc<dyn Observer>> = vec![Arc::clone(&live_shots) as _, Arc::new(preview.clone())];
        let recognition = recognition_settings(&config.recognition);
        let parts = Parts {
            people: Arc::clone(&people),
            gallery: gallery.clone(),
            shots: live_shots,
            rules: rules.clone(),
            store: database.store.clone(),
            sink: sink_options(&place, &config, &vision)?,
            check_in: config.check_in,
            clips: place.data_dir()?.join("clips"),
        };
        let faces = Arc::new(FaceDesk::start(&vision, recognition, parts, &supervisor)?);
        let stages = Stages { vision, matcher: Arc::new(gallery), rules, observer: Arc::new(observers), recognition };
        let options = LaneOptions { stuck_after: config.lane.stuck_after, ..LaneOptions::live() };
        let lane = Arc::new(Lane::spawn(stages, Box::new(sink), &mux, &supervisor, options)?);
        let desk = Arc::new(CameraDesk::new(Arc::clone(&cameras), config.clone(), preview, clock));
        let address = listener.local_addr()?;
        let background = Background::new(runtime.handle().clone(), AGAIN_AFTER);
        let mut daemon = Self {
            place,
            started_with: config.clone(),
            config,
            path,
            address,
            runtime,
            supervisor,
            metrics,
            database,
            vision: known,
            people,
            faces,
            desk,
            live: Live::default(),
            sink: monitor,
            lane,
            cameras,
            background,
            following: None,
            control,
            controlled,
        };
        daemon.serve(listener);
        daemon.follow()?;
        daemon.keep_books();
        Ok(daemon)
    }

    /// Where its API is.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its database.
    pub(crate) fn store(&self) -> Store {
        self.database.store.clone()
    }

    /// Tells it to end, like a signal.
    pub(crate) fn ending(&self) -> Sender<Control> {
        self.control.clone()
    }

    /// Runs until it is told to end, or cannot go on.
    pub(crate) fn run(mut self) -> anyhow::Result<ExitCode> {
        loop {
            match self.controlled.recv_timeout(TICK) {
                Ok(Control::Loaded) => self.cameras.lock().apply(&[]),
                Ok(Control::Cameras) => {
                    let change = self.cameras.lock().want();
                    self.apply_cameras(&change);
                    tracing::info!(
                        added = change.added.len(),
                        removed = change.removed.len(),
                        restarted = change.restart.len(),
                        retuned = change.retune.len(),
                        "cameras changed"
                    );
                }
                Ok(Control::Hangup) => self.reload(),
                Ok(Control::Terminate) => {
                    tracing::info!("shutting down");
                    break;
                }
                Ok(Control::LaneOver) | Err(RecvTimeoutError::Disconnected) => break,
                Err(RecvTimeoutError::Timeout) => {
                    self.cameras.lock().look_after();
                    self.metrics.upkeep();
                }
            }
        }
        self.shut_down()
    }

    /// Parse, check, compare, apply; or keep everything as it is and tell every problem.
    fn reload(&mut self) {
        let Some(path) = &self.path else {
            tracing::warn!("nothing to reload: the daemon was started without a configuration file");
            return;
        };
        let new = match settings::load(path) {
            Ok(new) => new,
            Err(error) => {
                tracing::error!("the configuration stays as it is: {error}");
                return;
            }
        };
        let rules = Reload::diff(&self.config, &new).rules;
        if rules && let Err(error) = self.people.apply(&new) {
            tracing::error!("the configuration stays as it is: {}", explained(&error));
            return;
        }
        let change = self.cameras.lock().configure(&new.cameras);
        self.apply_cameras(&change);
        let waiting = Reload::diff(&self.started_with, &new).needs_restart;
        if !waiting.is_empty() {
            tracing::warn!(sections = waiting.join(", "), "changed, but in force only after a restart");
        }
        tracing::info!(
            added = change.added.len(),
            removed = change.removed.len(),
            restarted = change.restart.len(),
            retuned = change.retune.len(),
            rules,
            "configuration reloaded"
        );
        self.config = new;
    }

    /// Starts, swaps and stops cameras, each by itself: nobody waits for one that takes its time to end but its successor.
    fn apply_cameras(&self, change: &Reload) {
        if !self.people.is_loaded() {
            return;
        }
        let leaving = {
            let mut cameras = self.cameras.lock();
            let leaving = cameras.leave(change);
            cameras.apply(&change.restart);
            leaving
        };
        // Threads are joined without the lock, for which the API would wait; and not for long, for which the next change would.
        let late = leaving.join(STOP_SOON);
        let mut cameras = self.cameras.lock();
        cameras.wait_for(late);
        cameras.apply(&[]);
    }

    /// Cameras first, then what is on its way, then the database: nothing that was seen is lost.
    fn shut_down(self) -> anyhow::Result<ExitCode> {
        let (clock, patience) = (Arc::clone(self.supervisor.clock()), self.config.lane.shutdown);
        let begun = clock.mono();
        self.faces.stop();
        self.desk.stop();
        let leaving = self.cameras.lock().leave_all();
        // A camera that hangs leaves the lane its half: what was seen matters more than a thread.
        leaving.join(STOP_PATIENCE.min(patience / 2)).leave_behind();
        let drained = self.lane.shutdown(patience.saturating_sub(clock.mono().since(begun)));
        // What was seen last is told; then whoever follows is told to come back.
        self.live.stop();
        let Self { runtime, database, supervisor, place, following, background, .. } = self;
        // All of them hold connections.
        let hanging = runtime.block_on(background.end(ENDING));
        drop(following.map(|worker| worker.join_within(ENDING)));
        database.close(&runtime);
        runtime.shutdown_timeout(ENDING);
        let joined = supervisor.join_all(ENDING);
        let stats =
            drained.with_context(|| format!("some of it may be lost; see the log and {:?}", place.data_dir()))?;
        if !hanging.is_empty() {
            tracing::warn!(tasks = hanging.join(", "), "still at work at the end");
        }
        if let Err(threads) = joined {
            tracing::warn!(threads = threads.join(", "), "still running at the end");
        }
        tracing::info!(
            received = stats.frames.received,
            analysed = stats.frames.analysed,
            evicted = stats.frames.evicted,
            events = stats.events,
            "ended"
        );
        Ok(ExitCode::SUCCESS)
    }
}

fn listen(config: &Config, runtime: &Runtime) -> anyhow::Result<TcpListener> {
    let address = config.server.listen;
    let bound = runtime.block_on(TcpListener::bind(address));
    bound.with_context(|| format!("cannot listen on {address}: end what listens there, or change server.listen"))
}

/// Until the database's people and places are there: no timetable, and nobody who was marked before.
fn rules_of_the_start(config: &Config) -> Rules {
    let (schedule, register) = (Schedule::open(config.site.time_zone), Register::new(config.attendance.debounce));
    Rules::new(schedule, rules::policy(config), register).telling_names(config.log.names)
}

/// How events are written, whoever they come from.
fn sink_options(place: &Place, config: &Config, vision: &Vision) -> anyhow::Result<PgSinkOptions> {
    Ok(PgSinkOptions {
        spool_max_bytes: config.spool.max_bytes,
        review_unknown: config.privacy.keep_unknown_faces,
        tell_strangers_apart: config.privacy.cluster_unknown,
        ..PgSinkOptions::new(vision.embedding_model(), place.data_dir()?.join(paths::SPOOL))
    })
}

fn sink(
    options: PgSinkOptions,
    rules: &Rules,
    store: &Store,
    runtime: &Runtime,
    clock: &Arc<dyn Clock>,
    supervisor: &Supervisor,
) -> anyhow::Result<PgSink> {
    let forgetting = rules.clone();
    let refused = Refused::telling(move |person, event| forgetting.forget(person, event));
    let options = PgSinkOptions { refused, ..options };
    Ok(PgSink::open(store.clone(), runtime.handle().clone(), Arc::clone(clock), supervisor, options)?)
}
