//! The daemon: everything that runs while `rollcall run` runs.
//!
//! ```text
//! main thread: waits for  Loaded ─► start cameras   Hangup ─► reload   Terminate, LaneOver ─► shut down
//! tokio:       API, feed, signals, cameras of the database, partitions, sessions and absences, minutes of cameras, visitors
//! threads:     one a camera, the lane's, people (gallery, names, marks of before), the sink's drainer, the cluster's keeper
//! ```
//!
//! Cameras start when the gallery is there for the first time: before that everybody would be a stranger. After that the
//! database may go: events are spooled, the gallery stays as it was.

mod access;
mod camera_desk;
mod cameras;
mod closing;
mod faces;
mod minutes;
mod people;
mod signals;
mod status;
mod timetables;
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
use chrono::{Days, TimeDelta};
use parking_lot::Mutex;
use rollcall_attendance::{Register, Schedule};
use rollcall_control_api::{Access, Api, Live, Metrics, router, serve};
use rollcall_faces::LiveShots;
use rollcall_pipeline::config::{Config, Reload, RetentionConfig};
use rollcall_pipeline::lane::{Lane, LaneOptions};
use rollcall_pipeline::ports::Observer;
use rollcall_pipeline::supervisor::{Supervisor, Worker, log_panics};
use rollcall_pipeline::{Clock, FrameMux, MuxMode, SystemClock};
use rollcall_sinks::{PgSink, PgSinkOptions, Refused};
use rollcall_stages::matching::{Gallery, GalleryHandle};
use rollcall_stages::preview::{PreviewHub, PreviewLimits};
use rollcall_store::{Retention, Store};
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::cli::Place;
use crate::compose::{Stages, Vision};
use crate::database::{self, Database};
use crate::figures::{self, recognition_settings};
use crate::paths;
use crate::rules::{self, Rules};

use camera_desk::CameraDesk;
use cameras::{Cameras, STOP_PATIENCE};
use closing::Closer;
use faces::{FaceDesk, Parts};
use minutes::Minutes;
use people::People;
use status::Status;

/// How often cameras are looked after and metrics are kept small.
const TICK: Duration = Duration::from_secs(1);
/// How often partitions are made ahead, and what is too old is forgotten.
const PARTITIONS_EVERY: Duration = Duration::from_secs(6 * 3600);
/// How long live views may go on where they stopped.
const FEED_KEPT: TimeDelta = TimeDelta::hours(24);
/// How often is looked whether the database was there for the first time.
const PREPARED_EVERY: Duration = Duration::from_secs(5);

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
    people: Arc<People>,
    faces: Arc<FaceDesk>,
    desk: Arc<CameraDesk>,
    live: Live,
    /// The task that feeds `live`.
    feeding: JoinHandle<()>,
    /// The thread that follows people and the gallery.
    following: Option<Worker>,
    lane: Arc<Lane>,
    cameras: Arc<Mutex<Cameras>>,
    control: Sender<Control>,
    controlled: Receiver<Control>,
    stopping: watch::Sender<bool>,
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
        let listener = runtime.block_on(TcpListener::bind(config.server.listen)).with_context(|| {
            format!("cannot listen on {}: end what listens there, or change server.listen", config.server.listen)
        })?;
        let vision = Vision::open(&place, &config)?;
        let database = Database::open(&place, &config, &supervisor, &runtime)?;
        let gallery = GalleryHandle::new(Gallery::empty(vision.embedding_model()));
        let rules = Rules::new(
            Schedule::open(config.site.time_zone),
            rules::policy(&config),
            Register::new(config.attendance.debounce),
        )
        .telling_names(config.log.names);
        let writing = sink_options(&place, &config, &vision)?;
        let sink = sink(writing, &rules, &database.store, &runtime, &clock, &supervisor)?;
        let people = Arc::new(People::new(vision.embedding_model(), gallery.clone(), rules.clone(), &config));
        let frames = NonZeroUsize::new(config.lane.frames_per_camera).unwrap_or(NonZeroUsize::MIN);
        let mux = FrameMux::new(MuxMode::Evict, frames, Arc::clone(&clock));
        let cameras = Arc::new(Mutex::new(Cameras::new(
            mux.clone(),
            supervisor.clone(),
            config.lane.clone(),
            config.cameras.clone(),
        )));
        let (monitor, known) = (sink.monitor(), vision.clone());
        let live_shots = LiveShots::new();
        let named = rules.clone();
        let preview =
            PreviewHub::new(PreviewLimits::default(), supervisor.clone(), move |person| named.name_of(person));
        let observers: Vec<Arc<dyn Observer>> = vec![Arc::clone(&live_shots) as _, Arc::new(preview.clone())];
        let recognition = recognition_settings(&config.recognition);
        let parts = Parts {
            gallery: gallery.clone(),
            shots: live_shots,
            rules: rules.clone(),
            store: database.store.clone(),
            sink: sink_options(&place, &config, &vision)?,
            check_in: config.check_in,
            clips: place.data_dir()?.join("clips"),
        };
        let faces = FaceDesk::start(&vision, recognition, parts, &supervisor)?;
        let faces = Arc::new(faces);
        let stages = Stages { vision, matcher: Arc::new(gallery), rules, observer: Arc::new(observers), recognition };
        let options = LaneOptions { stuck_after: config.lane.stuck_after, ..LaneOptions::live() };
        let lane = Arc::new(Lane::spawn(stages, Box::new(sink), &mux, &supervisor, options)?);

        let site = config.site.name.clone();
        let closer = Closer {
            store: database.store.clone(),
            people: Arc::clone(&people),
            cameras: Arc::clone(&cameras),
            lane: Arc::clone(&lane),
            sink: monitor.clone(),
            clock: Arc::clone(&clock),
        };
        let status = Status::new(
            Arc::clone(&people),
            monitor,
            Arc::clone(&lane),
            Arc::clone(&cameras),
            known,
            recognition,
            site,
        );
        let desk = Arc::new(CameraDesk::new(Arc::clone(&cameras), config.clone(), preview, Arc::clone(&clock)));
        let live = Live::default();
        let (feed, rows) = (live.clone(), database.store.clone());
        let feeding = runtime.spawn(async move { feed.follow(rows).await });
        let (stopping, mut stopped) = watch::channel(false);
        let (planner, store, mut over) = (Arc::clone(&people), database.store.clone(), stopped.clone());
        runtime.spawn(async move {
            tokio::select! {
                ((), ()) = async { tokio::join!(planner.follow_places(store), closer.run()) } => {}
                _ = over.wait_for(|stop| *stop) => {}
            }
        });
        let (store, changed, mut over) = (database.store.clone(), control.clone(), stopped.clone());
        let (follower, teller) = (Arc::clone(&desk), Arc::clone(&desk));
        runtime.spawn(async move {
            tokio::select! {
                () = follower.follow(store.clone(), changed) => {}
                () = teller.tell(store) => {}
                _ = over.wait_for(|stop| *stop) => {}
            }
        });
        let api = Api {
            store: database.store.clone(),
            daemon: Arc::new(status),
            cameras: Arc::clone(&desk) as _,
            faces: Arc::clone(&faces) as _,
            live: live.clone(),
            access: Access::new(config.server.clone()),
            privacy: config.privacy,
            clock,
        };
        let routes = router(Arc::new(api), metrics.clone());
        let address = listener.local_addr()?;
        runtime.spawn(async move {
            let stop = async move { drop(stopped.wait_for(|stop| *stop).await) };
            if let Err(error) = serve(listener, routes, stop).await {
                tracing::error!(%error, "the API ended");
            }
        });
        tracing::info!(%address, "serving /docs, /api/v1, /health and /metrics");
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
            people,
            faces,
            desk,
            live,
            feeding,
            following: None,
            lane,
            cameras,
            control,
            controlled,
            stopping,
        };
        daemon.watch()?;
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

    /// Starts what follows the database and the lane.
    fn watch(&mut self) -> anyhow::Result<()> {
        let (people, store, loaded) = (Arc::clone(&self.people), self.database.store.clone(), self.control.clone());
        let (runtime, mut stopped) = (self.runtime.handle().clone(), self.stopping.subscribe());
        let following = self.supervisor.spawn("people", move |_| {
            runtime.block_on(async {
                tokio::select! {
                    () = people.follow(store, loaded) => {}
                    _ = stopped.wait_for(|stop| *stop) => {}
                }
            });
            Ok(())
        })?;
        self.following = Some(following);
        let (store, clock) = (self.database.store.clone(), Arc::clone(self.supervisor.clock()));
        let retention = self.config.retention;
        self.runtime.spawn(async move { keep_partitions(store, clock, retention).await });
        let (store, clock) = (self.database.store.clone(), Arc::clone(self.supervisor.clock()));
        let (address, public_url) = (self.address, self.config.server.public_url.clone());
        self.runtime.spawn(async move {
            while !store.is_prepared() {
                tokio::time::sleep(PREPARED_EVERY).await;
            }
            if let Err(error) = access::offer_set_up(store, clock, address, public_url).await {
                tracing::warn!("the first admin has to be made with `rollcall admin create`: {error:#}");
            }
        });
        let minutes = Minutes {
            store: self.database.store.clone(),
            cameras: Arc::clone(&self.cameras),
            metrics: self.metrics.clone(),
            clock: Arc::clone(self.supervisor.clock()),
        };
        self.runtime.spawn(minutes.run());
        if self.config.privacy.cluster_unknown {
            let similarity = recognition_settings(&self.config.recognition).settled_similarity;
            self.runtime.spawn(visitors::tell_apart(self.database.store.clone(), similarity));
        }
        let (lane, over) = (Arc::clone(&self.lane), self.control.clone());
        self.supervisor.spawn("lane-watch", move |_| {
            // The error is told at the shutdown that this begins.
            drop(lane.wait());
            drop(over.send(Control::LaneOver));
            Ok(())
        })?;
        Ok(())
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
        let new = match figures::load(path) {
            Ok(new) => new,
            Err(error) => {
                tracing::error!("the configuration stays as it is: {error}");
                return;
            }
        };
        let mut change = Reload::diff(&self.config, &new);
        if change.rules
            && let Err(error) = self.people.apply(&new)
        {
            tracing::error!("the configuration stays as it is: {error:#}");
            return;
        }
        let cameras = self.cameras.lock().configure(&new.cameras);
        self.apply_cameras(&cameras);
        change = Reload { rules: change.rules, needs_restart: change.needs_restart, ..cameras };
        let waiting = Reload::diff(&self.started_with, &new).needs_restart;
        if !waiting.is_empty() {
            tracing::warn!(sections = waiting.join(", "), "changed, but in force only after a restart");
        }
        tracing::info!(
            added = change.added.len(),
            removed = change.removed.len(),
            restarted = change.restart.len(),
            retuned = change.retune.len(),
            rules = change.rules,
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
        // Threads are joined without the lock, for which the API would wait.
        leaving.join(STOP_PATIENCE);
        self.cameras.lock().apply(&[]);
    }

    /// Cameras first, then what is on its way, then the database: nothing that was seen is lost.
    fn shut_down(self) -> anyhow::Result<ExitCode> {
        let (clock, patience) = (Arc::clone(self.supervisor.clock()), self.config.lane.shutdown);
        let begun = clock.mono();
        self.faces.stop();
        self.desk.stop();
        let leaving = self.cameras.lock().leave_all();
        // A camera that hangs leaves the lane its half: what was seen matters more than a thread.
        leaving.join(STOP_PATIENCE.min(patience / 2));
        let drained = self.lane.shutdown(patience.saturating_sub(clock.mono().since(begun)));
        self.stopping.send_replace(true);
        // What was seen last is told; then whoever follows is told to come back.
        self.live.stop();
        let Self { runtime, database, supervisor, place, following, feeding, .. } = self;
        // It holds a connection.
        drop(runtime.block_on(async { tokio::time::timeout(Duration::from_secs(2), feeding).await }));
        drop(following.map(|worker| worker.join_within(Duration::from_secs(2))));
        database.close(&runtime);
        runtime.shutdown_timeout(Duration::from_secs(2));
        let joined = supervisor.join_all(Duration::from_secs(2));
        let stats =
            drained.with_context(|| format!("some of it may be lost; see the log and {:?}", place.data_dir()))?;
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

/// Makes partitions ahead, so that a row never finds only the default one, and forgets what is too old.
async fn keep_partitions(store: Store, clock: Arc<dyn Clock>, keep: RetentionConfig) {
    // Whoever follows the people prepares it.
    while !store.is_prepared() {
        tokio::time::sleep(PREPARED_EVERY).await;
    }
    loop {
        let today = clock.wall().date_naive();
        if let Err(error) = store.make_partitions(today).await {
            tracing::warn!(%error, "no partitions were made ahead; rows go to the default one until it works");
        }
        let from = |days: Option<u32>| days.and_then(|days| today.checked_sub_days(Days::new(days.into())));
        let retention = Retention {
            events_from: from(keep.events_days),
            reviews_from: from(keep.events_days),
            crops_from: from(keep.crops_days),
            marks_from: None,
            audit_from: from(keep.audit_days),
        };
        match store.apply_retention(&retention).await {
            Ok(0) => {}
            Ok(months) => tracing::info!(months, "forgot events that are too old"),
            Err(error) => tracing::warn!(%error, "what is too old was not forgotten; tried again in six hours"),
        }
        if let Err(error) = store.prune_feed(clock.wall() - FEED_KEPT).await {
            tracing::warn!(%error, "the feed keeps what is too old; tried again in six hours");
        }
        if let Err(error) = store.forget_expired_access(clock.wall()).await {
            tracing::warn!(%error, "expired tokens were not forgotten; tried again in six hours");
        }
        tokio::time::sleep(PARTITIONS_EVERY).await;
    }
}
