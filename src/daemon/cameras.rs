//! The threads of the cameras: started, swapped, restarted after a panic, stopped. Those of the configuration file and
//! those of the database are one list here.

use std::sync::Arc;
use std::time::Duration;

use rollcall_pipeline::config::{CameraConfig, Config, LaneConfig, Reload};
use rollcall_pipeline::metrics::CameraMetrics;
use rollcall_pipeline::supervisor::{Exit, Supervisor, Worker};
use rollcall_pipeline::{CameraId, Clock, FrameMux, RoomId};
use rollcall_stages::decode::{Camera, CameraControl, CameraSnapshot};

/// A camera that is told to stop does within a fraction of a second.
pub(super) const STOP_PATIENCE: Duration = Duration::from_secs(5);

/// A camera of the database that is to be opened.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Stored {
    pub(super) id: CameraId,
    pub(super) room: RoomId,
    /// Or why it cannot be opened.
    pub(super) config: Result<CameraConfig, String>,
}

/// A camera of the database that is not opened.
#[derive(Clone, Debug)]
pub(super) struct Refused {
    pub(super) id: CameraId,
    pub(super) room: RoomId,
    pub(super) why: String,
}

/// All cameras: those of the configuration in its order, then those of the database. The API asks them too, so nothing here
/// waits; see [`Leaving`].
pub(super) struct Cameras {
    mux: FrameMux,
    supervisor: Supervisor,
    lane: LaneConfig,
    of_file: Vec<CameraConfig>,
    stored: Vec<Stored>,
    wanted: Vec<CameraConfig>,
    refused: Vec<Refused>,
    running: Vec<Running>,
}

struct Running {
    config: CameraConfig,
    control: CameraControl,
    worker: Option<Worker>,
}

/// Cameras that were told to stop.
#[must_use = "their threads are to be joined"]
pub(super) struct Leaving {
    cameras: Vec<Running>,
    clock: Arc<dyn Clock>,
}

impl Leaving {
    /// Waits for their ends. Not while [`Cameras`] are locked.
    pub(super) fn join(self, patience: Duration) {
        let begun = self.clock.mono();
        for running in self.cameras {
            let left = patience.saturating_sub(self.clock.mono().since(begun));
            if running.worker.is_some_and(|worker| worker.join_within(left).is_err()) {
                tracing::warn!(camera = %running.config.id, "did not stop in time; its thread is left behind");
            }
        }
    }
}

impl Cameras {
    pub(super) fn new(mux: FrameMux, supervisor: Supervisor, config: &Config) -> Self {
        let (lane, of_file, wanted) = (config.lane.clone(), config.cameras.clone(), config.cameras.clone());
        Self { mux, supervisor, lane, of_file, stored: Vec::new(), wanted, refused: Vec::new(), running: Vec::new() }
    }

    /// Those of the configuration file.
    pub(super) fn of_file(&self) -> &[CameraConfig] {
        &self.of_file
    }

    /// The configuration file has these now. Returns what that changes.
    pub(super) fn configure(&mut self, of_file: &[CameraConfig]) -> Reload {
        self.of_file = of_file.to_vec();
        self.want()
    }

    /// The database has these now. Whether that changes anything.
    pub(super) fn follow(&mut self, stored: Vec<Stored>) -> bool {
        let news = self.stored != stored;
        self.stored = stored;
        news
    }

    /// Makes one list of both. Those of the file come first: what does not go with them is not opened.
    pub(super) fn want(&mut self) -> Reload {
        let mut wanted = self.of_file.clone();
        let mut refused = Vec::new();
        for Stored { id, room, config } in &self.stored {
            let outcome = config.clone().and_then(|camera| {
                if wanted.iter().any(|other| other.id == *id) {
                    return Err("the configuration file has a camera with this id: remove one of them".to_owned());
                }
                self.lane.room_for(wanted.len() + 1).map_err(|sum| format!("lane.memory_budget_mb: {sum}"))?;
                Ok(camera)
            });
            match outcome {
                Ok(camera) => wanted.push(camera),
                Err(why) => {
                    if self.refusal(id) != Some(&why) {
                        tracing::error!(camera = %id, "not opened: {why}");
                    }
                    refused.push(Refused { id: id.clone(), room: room.clone(), why });
                }
            }
        }
        let change = Reload::cameras(&self.wanted, &wanted);
        let before = std::mem::replace(&mut self.refused, refused);
        self.wanted = wanted;
        let settled = before.into_iter().filter(|old| self.refusal(&old.id).is_none());
        settled.for_each(|old| CameraMetrics::new(&old.id).gone());
        change
    }

    /// Why a camera of the database is not opened.
    pub(super) fn refusal(&self, id: &CameraId) -> Option<&str> {
        self.refused.iter().find(|refused| refused.id == *id).map(|refused| refused.why.as_str())
    }

    /// Cameras of the database that are not opened.
    pub(super) fn refused(&self) -> &[Refused] {
        &self.refused
    }

    /// How a camera that runs is.
    pub(super) fn snapshot(&self, id: &CameraId) -> Option<CameraSnapshot> {
        self.running.iter().find(|r| r.config.id == *id).map(|r| r.control.snapshot())
    }

    /// Has a camera decode all that it sends for a while, if it runs.
    pub(super) fn rouse(&self, id: &CameraId) {
        if let Some(running) = self.running.iter().find(|r| r.config.id == *id) {
            running.control.attention().asked();
        }
    }

    fn spawn(&self, config: CameraConfig) -> Running {
        let clock: Arc<dyn Clock> = Arc::clone(self.supervisor.clock());
        let camera = Camera::new(&config, self.mux.clone(), clock);
        let control = camera.control();
        let worker = self.supervisor.spawn(format!("cam-{}", config.id), move |_| camera.run());
        let worker = worker.inspect_err(|error| tracing::error!(camera = %config.id, %error, "no thread")).ok();
        Running { config, control, worker }
    }

    /// Tells those to stop that a change removes or restarts.
    pub(super) fn leave(&mut self, change: &Reload) -> Leaving {
        self.stop(|id| change.removed.contains(id) || change.restart.contains(id))
    }

    /// Tells all to stop.
    pub(super) fn leave_all(&mut self) -> Leaving {
        self.stop(|_| true)
    }

    fn stop(&mut self, leaves: impl Fn(&CameraId) -> bool) -> Leaving {
        let cameras: Vec<Running> = self.running.extract_if(.., |r| leaves(&r.config.id)).collect();
        cameras.iter().for_each(|r| r.control.stop());
        Leaving { cameras, clock: Arc::clone(self.supervisor.clock()) }
    }

    /// Starts and retunes cameras until they are as wanted, but for those of `later`.
    pub(super) fn apply(&mut self, later: &[CameraId]) {
        let wanted = std::mem::take(&mut self.wanted);
        for camera in wanted.iter().filter(|camera| !later.contains(&camera.id)) {
            match self.running.iter_mut().find(|r| r.config.id == camera.id) {
                Some(running) if running.config.tuning != camera.tuning => {
                    running.control.retune(camera.tuning.clone());
                    running.config = camera.clone();
                }
                Some(_) => {}
                None => {
                    let running = self.spawn(camera.clone());
                    self.running.push(running);
                }
            }
        }
        let place = |r: &Running| wanted.iter().position(|camera| camera.id == r.config.id);
        self.running.sort_by_key(place);
        // Whoever is called for a camera that gives nothing is called for one that is not opened.
        let lacking = self.refused.iter().filter(|refused| wanted.iter().all(|camera| camera.id != refused.id));
        lacking.for_each(|refused| CameraMetrics::new(&refused.id).up(false));
        self.wanted = wanted;
    }

    /// Starts cameras again whose thread panicked, or for which there was no thread.
    pub(super) fn look_after(&mut self) {
        for at in 0..self.running.len() {
            let Running { config, worker, .. } = &self.running[at];
            match worker.as_ref().map(|worker| worker.health().and_then(|health| health.exit)) {
                Some(Some(Exit::Panic(panic))) => {
                    tracing::error!(camera = %config.id, panic, "the camera's thread panicked; starting it again");
                }
                Some(_) => continue,
                None => {}
            }
            let config = config.clone();
            self.running[at] = self.spawn(config);
        }
    }

    /// Every camera and how it is.
    pub(super) fn snapshots(&self) -> Vec<(CameraConfig, CameraSnapshot)> {
        self.running.iter().map(|r| (r.config.clone(), r.control.snapshot())).collect()
    }
}
