//! The threads of the cameras: started, swapped, restarted after a panic, stopped.

use std::sync::Arc;
use std::time::Duration;

use rollcall_pipeline::config::{CameraConfig, Reload};
use rollcall_pipeline::supervisor::{Exit, Supervisor, Worker};
use rollcall_pipeline::{CameraId, Clock, FrameMux};
use rollcall_stages::decode::{Camera, CameraControl, CameraSnapshot};

/// A camera that is told to stop does within a fraction of a second.
const STOP_PATIENCE: Duration = Duration::from_secs(5);

/// All cameras, in the order of the configuration.
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

    /// Does what a reload asks for.
    pub(super) fn apply(&mut self, change: &Reload, new: &[CameraConfig]) {
        for id in change.removed.iter().chain(&change.restart) {
            self.stop(id);
        }
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

    fn stop(&mut self, id: &CameraId) {
        let Some(at) = self.running.iter().position(|r| r.config.id == *id) else { return };
        let running = self.running.remove(at);
        running.control.stop();
        if running.worker.is_some_and(|worker| worker.join_within(STOP_PATIENCE).is_err()) {
            tracing::warn!(camera = %id, "did not stop in time; its thread is left behind");
        }
    }

    /// Starts cameras again whose thread panicked.
    pub(super) fn look_after(&mut self) {
        for at in 0..self.running.len() {
            let exit = self.running[at].worker.as_ref().and_then(Worker::health).and_then(|health| health.exit);
            if let Some(Exit::Panic(message)) = exit {
                let config = self.running[at].config.clone();
                tracing::error!(camera = %config.id, message, "the camera's thread panicked; starting it again");
                self.running[at] = self.spawn(config);
            }
        }
    }

    /// Tells all to stop, then waits for all.
    pub(super) fn stop_all(&mut self, patience: Duration) {
        self.running.iter().for_each(|r| r.control.stop());
        let clock = Arc::clone(self.supervisor.clock());
        let begun = clock.mono();
        for running in self.running.drain(..) {
            let left = patience.saturating_sub(clock.mono().since(begun));
            if running.worker.is_some_and(|worker| worker.join_within(left).is_err()) {
                tracing::warn!(camera = %running.config.id, "did not stop in time");
            }
        }
    }

    /// Every camera and how it is.
    pub(super) fn snapshots(&self) -> Vec<(CameraConfig, CameraSnapshot)> {
        self.running.iter().map(|r| (r.config.clone(), r.control.snapshot())).collect()
    }
}
