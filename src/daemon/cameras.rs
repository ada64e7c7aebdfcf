//! The threads of the cameras: started, swapped, restarted after a panic, stopped.

use std::sync::Arc;
use std::time::Duration;

use rollcall_pipeline::config::{CameraConfig, Reload};
use rollcall_pipeline::supervisor::{Exit, Supervisor, Worker};
use rollcall_pipeline::{CameraId, Clock, FrameMux};
use rollcall_stages::decode::{Camera, CameraControl, CameraSnapshot};

/// A camera that is told to stop does within a fraction of a second.
pub(super) const STOP_PATIENCE: Duration = Duration::from_secs(5);

/// All cameras, in the order of the configuration. The API asks them too, so nothing here waits; see [`Leaving`].
pub(super) struct Cameras {
    mux: FrameMux,
    supervisor: Supervisor,
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
    pub(super) fn new(mux: FrameMux, supervisor: Supervisor) -> Self {
        Self { mux, supervisor, running: Vec::new() }
    }

    /// Starts a camera; one that runs already goes on.
    pub(super) fn start(&mut self, config: &CameraConfig) {
        if self.running.iter().any(|r| r.config.id == config.id) {
            return;
        }
        let running = self.spawn(config.clone());
        self.running.push(running);
    }

    fn spawn(&self, config: CameraConfig) -> Running {
        let clock: Arc<dyn Clock> = Arc::clone(self.supervisor.clock());
        let camera = Camera::new(&config, self.mux.clone(), clock);
        let control = camera.control();
        let worker = self.supervisor.spawn(format!("cam-{}", config.id), move |_| camera.run());
        let worker = worker.inspect_err(|error| tracing::error!(camera = %config.id, %error, "no thread")).ok();
        Running { config, control, worker }
    }

    /// Tells those to stop that a reload removes or restarts.
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

    /// Starts and retunes cameras until they are as configured; those that left do not count.
    pub(super) fn apply(&mut self, new: &[CameraConfig]) {
        for camera in new {
            match self.running.iter_mut().find(|r| r.config.id == camera.id) {
                Some(running) if running.config.tuning != camera.tuning => {
                    running.control.retune(camera.tuning.clone());
                    running.config = camera.clone();
                }
                Some(_) => {}
                None => self.start(camera),
            }
        }
        let place = |r: &Running| new.iter().position(|camera| camera.id == r.config.id);
        self.running.sort_by_key(place);
    }

    /// Starts cameras again whose thread panicked, or for which there was no thread.
    pub(super) fn look_after(&mut self) {
        for at in 0..self.running.len() {
            let Running { config, worker, .. } = &self.running[at];
            match worker.as_ref().map(|worker| worker.health().and_then(|health| health.exit)) {
                Some(Some(Exit::Panic(message))) => {
                    tracing::error!(camera = %config.id, message, "the camera's thread panicked; starting it again");
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
