//! The threads of the cameras: started, swapped, restarted after a panic, stopped. Those of the configuration file and
//! those of the database are one list here.

use std::sync::Arc;
use std::time::Duration;

use rollcall_pipeline::config::{CameraConfig, Config, LaneConfig, Reload};
use rollcall_pipeline::metrics::CameraMetrics;
use rollcall_pipeline::supervisor::{Exit, Supervisor, Worker};
use rollcall_pipeline::{CameraId, Clock, FrameMux, MonoTime, RoomId};
use rollcall_stages::decode::{Camera, CameraControl, CameraSnapshot};

/// A camera that is told to stop does within a second.
pub(super) const STOP_SOON: Duration = Duration::from_secs(1);
/// One that hangs is waited for so long.
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
    /// They take their time to end: only their successors wait for them.
    late: Vec<Leaver>,
}

struct Running {
    config: CameraConfig,
    control: CameraControl,
    worker: Option<Worker>,
}

/// Cameras that were told to stop.
#[must_use = "their threads are to be joined"]
pub(super) struct Leaving {
    leavers: Vec<Leaver>,
    clock: Arc<dyn Clock>,
}

/// The thread of a camera that was told to stop.
struct Leaver {
    id: CameraId,
    worker: Worker,
    /// From then on it hangs.
    until: MonoTime,
}

impl Leaving {
    /// Waits for their ends at most so long, and returns those that still run. Not while [`Cameras`] are locked.
    pub(super) fn join(self, patience: Duration) -> Self {
        let Self { leavers, clock } = self;
        let begun = clock.mono();
        let still_runs = |Leaver { id, worker, until }| {
            let left = patience.saturating_sub(clock.mono().since(begun));
            Some(Leaver { id, worker: worker.join_within(left).err()?, until })
        };
        let leavers = leavers.into_iter().filter_map(still_runs).collect();
        Self { leavers, clock }
    }

    /// Nobody waits for them any more.
    pub(super) fn leave_behind(self) {
        self.leavers.iter().for_each(Leaver::left_behind);
    }
}

impl Leaver {
    /// Whether its successor has to wait.
    fn is_waited_for(&self, now: MonoTime) -> bool {
        let runs = self.worker.health().is_some_and(|health| health.exit.is_none());
        let hangs = runs && now >= self.until;
        if hangs {
            self.left_behind();
        }
        runs && !hangs
    }

    fn left_behind(&self) {
        tracing::warn!(camera = %self.id, "did not stop in time; its thread is left behind");
    }
}

impl Cameras {
    pub(super) fn new(mux: FrameMux, supervisor: Supervisor, config: &Config) -> Self {
        let (lane, of_file, wanted) = (config.lane.clone(), config.cameras.clone(), config.cameras.clone());
        Self {
            mux,
            supervisor,
            lane,
            of_file,
            stored: Vec::new(),
            wanted,
            refused: Vec::new(),
            running: Vec::new(),
            late: Vec::new(),
        }
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
        let mut leaving = self.stop(|_| true);
        leaving.leavers.append(&mut self.late);
        leaving
    }

    fn stop(&mut self, leaves: impl Fn(&CameraId) -> bool) -> Leaving {
        let clock = Arc::clone(self.supervisor.clock());
        let until = MonoTime(clock.mono().0 + STOP_PATIENCE);
        let leaving = self.running.extract_if(.., |r| leaves(&r.config.id));
        let told = leaving.filter_map(|Running { config, control, worker }| {
            control.stop();
            Some(Leaver { id: config.id, worker: worker?, until })
        });
        Leaving { leavers: told.collect(), clock }
    }

    /// Has the successors of these wait until they have ended, or hang.
    pub(super) fn wait_for(&mut self, late: Leaving) {
        self.late.extend(late.leavers);
    }

    /// Starts and retunes cameras until they are as wanted, but for those of `later`, and those of which a thread still runs.
    pub(super) fn apply(&mut self, later: &[CameraId]) {
        let now = self.supervisor.clock().mono();
        self.late.retain(|leaver| leaver.is_waited_for(now));
        let waits = |id: &CameraId| later.contains(id) || self.late.iter().any(|leaver| leaver.id == *id);
        let wanted = std::mem::take(&mut self.wanted);
        for camera in wanted.iter().filter(|camera| !waits(&camera.id)) {
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
        lacking.for_each(|refused| CameraMetrics::new(&refused.id).unseen());
        self.wanted = wanted;
    }

    /// Starts cameras again whose thread panicked, or for which there was no thread, and those whose predecessor has ended.
    pub(super) fn look_after(&mut self) {
        if !self.late.is_empty() {
            self.apply(&[]);
        }
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

    /// Every camera and how it is; one that waits for its predecessor's end has yet to connect.
    pub(super) fn snapshots(&self) -> Vec<(CameraConfig, CameraSnapshot)> {
        let running = self.running.iter().map(|r| (r.config.clone(), r.control.snapshot()));
        let wait = self.wanted.iter().filter(|camera| self.late.iter().any(|leaver| leaver.id == camera.id));
        running.chain(wait.map(|camera| (camera.clone(), CameraSnapshot::default()))).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;
    use std::num::NonZeroUsize;
    use std::path::Path;
    use std::sync::mpsc::{Sender, channel};

    use rollcall_pipeline::{ManualClock, MuxMode};
    use rollcall_stages::decode::CameraState;

    use super::*;

    /// Two cameras that were told to connect anew; one of them hangs.
    struct Doors {
        cameras: Cameras,
        clock: Arc<ManualClock>,
        supervisor: Supervisor,
        /// Ends what hangs.
        hold: Sender<()>,
    }

    impl Doors {
        fn new() -> Self {
            let text = "[[rooms]]\nid = \"hall\"\n\
                        [[cameras]]\nid = \"hung\"\nroom = \"hall\"\nstreams.detect = \"rtsp://127.0.0.1:1/\"\n\
                        [[cameras]]\nid = \"well\"\nroom = \"hall\"\nstreams.detect = \"rtsp://127.0.0.1:1/\"\n";
            let config = Config::parse(text, Path::new("rollcall.toml"), HashMap::new()).expect("a configuration");
            let clock = Arc::new(ManualClock::default());
            let supervisor = Supervisor::new(Arc::clone(&clock) as Arc<dyn Clock>);
            let mux = FrameMux::new(MuxMode::Evict, NonZeroUsize::MIN);
            let mut cameras = Cameras::new(mux.clone(), supervisor.clone(), &config);
            let (hold, held) = channel::<()>();
            let mut held = Some(held);
            for config in config.cameras {
                let control = Camera::new(&config, mux.clone(), Arc::clone(&clock) as Arc<dyn Clock>).control();
                let hangs = held.take();
                let worker = supervisor.spawn("before", move |_| {
                    if let Some(held) = hangs {
                        held.recv().unwrap_or(());
                    }
                    Ok(())
                });
                cameras.running.push(Running { config, control, worker: worker.ok() });
            }
            let ids = vec![CameraId::new("hung"), CameraId::new("well")];
            let leaving = cameras.leave(&Reload { restart: ids.clone(), ..Reload::default() });
            cameras.apply(&ids);
            assert!(cameras.running.is_empty(), "they wait for those before them");
            until(&supervisor, 1);
            cameras.wait_for(leaving.join(Duration::ZERO));
            cameras.apply(&[]);
            Self { cameras, clock, supervisor, hold }
        }

        /// Whose successors were begun.
        fn begun(&self) -> Vec<&str> {
            self.cameras.running.iter().map(|running| running.config.id.as_str()).collect()
        }

        fn end(mut self) {
            // What hangs ends when nobody holds it any more.
            drop(self.hold);
            self.cameras.leave_all().join(Duration::from_secs(30)).leave_behind();
        }
    }

    /// Until so many of the threads before run.
    #[track_caller]
    fn until(supervisor: &Supervisor, running: usize) {
        let runs = || supervisor.threads().iter().filter(|t| &*t.name == "before" && t.exit.is_none()).count();
        for _ in 0..30_000 {
            if runs() <= running {
                return;
            }
            std::thread::park_timeout(Duration::from_millis(1));
        }
        panic!("{} run", runs());
    }

    #[test]
    fn a_camera_that_takes_long_to_end_holds_up_its_successor_alone() {
        let mut doors = Doors::new();
        assert_eq!(doors.begun(), ["well"]);
        doors.cameras.look_after();
        assert_eq!(doors.begun(), ["well"]);
        let shown: Vec<_> = doors.cameras.snapshots().into_iter().map(|(config, now)| (config.id, now.state)).collect();
        assert!(shown.contains(&(CameraId::new("hung"), CameraState::Connecting)) && shown.len() == 2, "{shown:?}");
        doors.hold.send(()).expect("it hangs");
        until(&doors.supervisor, 0);
        doors.cameras.look_after();
        assert_eq!(doors.begun(), ["hung", "well"], "in the order of the file");
        doors.end();
    }

    #[test]
    fn a_camera_that_hangs_is_left_behind() {
        let mut doors = Doors::new();
        doors.clock.advance(STOP_PATIENCE);
        doors.cameras.look_after();
        assert_eq!(doors.begun(), ["hung", "well"]);
        doors.end();
    }
}
