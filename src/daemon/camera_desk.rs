//! The cameras as the API sees them, and those of the database followed.

use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::Arc;
use std::sync::mpsc::Sender;
use std::time::Duration;

use parking_lot::Mutex;
use rollcall_control_api::ports::cameras as port;
use rollcall_control_api::ports::cameras::{CameraStatus, CameraTrouble};
use rollcall_pipeline::config::{CameraConfig, Config, Problem, Secret};
use rollcall_pipeline::{CameraId, Clock, RoomId, TimeSource};
use rollcall_stages::decode::{CameraSnapshot, CameraState};
use rollcall_store::{Store, StoreError, StoredCamera};
use serde_json::{Value, json};

use super::Control;
use super::cameras::{Cameras, Stored};

const RETRY: Duration = Duration::from_secs(1);
/// How often is looked whether the database was there for the first time.
const PREPARED_EVERY: Duration = Duration::from_millis(200);
/// Without news for so long it is looked anyway: a connection that a firewall dropped tells nothing for ever.
const ASK_AFTER: Duration = Duration::from_secs(45);
/// How often is looked whether a camera is different, for live views.
const TELL_EVERY: Duration = Duration::from_secs(1);

/// The cameras, and what it takes to check others.
pub(super) struct CameraDesk {
    cameras: Arc<Mutex<Cameras>>,
    /// What the daemon was started with: what cameras have to go with is in force from then on.
    config: Config,
    clock: Arc<dyn Clock>,
}

impl CameraDesk {
    pub(super) fn new(cameras: Arc<Mutex<Cameras>>, config: Config, clock: Arc<dyn Clock>) -> Self {
        Self { cameras, config, clock }
    }

    /// Loads the cameras of the database, and again whenever they changed; for ever. Without the database they stay as they
    /// were.
    pub(super) async fn follow(self: Arc<Self>, store: Store, control: Sender<Control>) {
        // Whoever follows the people prepares it.
        while !store.is_prepared() {
            tokio::time::sleep(PREPARED_EVERY).await;
        }
        loop {
            let Err(error) = self.follow_while_connected(&store, &control).await;
            // Whoever follows the gallery tells that the database is away.
            tracing::debug!(%error, "the cameras of the database cannot be followed; trying on");
            tokio::time::sleep(RETRY).await;
        }
    }

    async fn follow_while_connected(&self, store: &Store, control: &Sender<Control>) -> Result<Infallible, StoreError> {
        // Listen first: what changes after that is told.
        let mut changes = store.place_changes().await?;
        self.load(store, control).await?;
        loop {
            if let Ok(told) = tokio::time::timeout(ASK_AFTER, changes.changed()).await {
                told?;
                self.load(store, control).await?;
            } else if self.load(store, control).await? {
                // It changed and nobody told: the connection that listens is dead.
                changes = store.place_changes().await?;
            }
        }
    }

    /// Whether anything was different.
    async fn load(&self, store: &Store, control: &Sender<Control>) -> Result<bool, StoreError> {
        let stored = store.cameras_to_open().await?;
        let stored = stored.into_iter().map(|stored| self.read(stored)).collect();
        let news = self.cameras.lock().follow(stored);
        if news {
            // Nobody listens any more when the daemon ends.
            drop(control.send(Control::Cameras));
        }
        Ok(news)
    }

    fn read(&self, StoredCamera { camera, credentials }: StoredCamera) -> Stored {
        let checked = credentials.map_err(|error| format!("its user and password cannot be read: {error}"));
        let checked = checked.and_then(|credentials| {
            let camera = self.config.camera(&camera.id, &camera.room_id, camera.settings, credentials);
            camera.map_err(|problems| problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))
        });
        (CameraId::new(camera.id), checked)
    }

    /// Tells live views how cameras are, whenever that is different; for ever.
    pub(super) async fn tell(self: Arc<Self>, store: Store) {
        let mut told: HashMap<CameraId, (bool, Option<String>)> = HashMap::new();
        loop {
            tokio::time::sleep(TELL_EVERY).await;
            if !store.is_prepared() {
                continue;
            }
            let now = self.cameras.lock().snapshots();
            told.retain(|id, _| now.iter().any(|(config, _)| config.id == *id));
            for (config, snapshot) in now {
                let status = self.status_of(&snapshot);
                // A camera that is away is tried again and again: that is no news while the reason is the same.
                let short = (snapshot.state == CameraState::Live, status.reason.clone());
                if told.get(&config.id) == Some(&short) {
                    continue;
                }
                let payload = payload(&config.id, &config.tuning.room, &status);
                if store.tell_camera(config.tuning.room.as_str(), payload).await.is_ok() {
                    told.insert(config.id, short);
                }
            }
        }
    }

    fn status_of(&self, now: &CameraSnapshot) -> CameraStatus {
        let known = !now.info.codec.is_empty() || now.info.width > 0;
        let mono = self.clock.mono();
        let millis = |d: Duration| u64::try_from(d.as_millis()).unwrap_or(u64::MAX);
        CameraStatus {
            state: now.state.as_str().to_owned(),
            reason: now.complaint().map(str::to_owned),
            codec: known.then(|| now.info.codec.clone()),
            width: known.then_some(now.info.width),
            height: known.then_some(now.info.height),
            fps: (now.state == CameraState::Live).then_some(now.fps),
            frame_age_ms: now.frame_age(mono).map(millis),
            frames: now.decoded,
            reconnects: now.disconnects,
            retry_in_ms: now.retry_at.map(|at| millis(at.since(mono))),
            time_source: now.time_source.map(TimeSource::as_str),
            clock_skew_ms: now.clock_skew_ms,
            last_error: now.last_error.as_ref().map(|error| CameraTrouble {
                at: error.at,
                kind: error.reason,
                text: error.text.clone(),
            }),
        }
    }
}

fn payload(camera: &CameraId, room: &RoomId, status: &CameraStatus) -> Value {
    json!({
        "camera": camera.as_str(), "room_id": room.as_str(), "state": status.state, "reason": status.reason,
        "codec": status.codec, "width": status.width, "height": status.height,
    })
}

impl port::Cameras for CameraDesk {
    fn of_file(&self) -> Vec<CameraConfig> {
        self.cameras.lock().of_file().to_vec()
    }

    fn status(&self, id: &CameraId) -> Option<CameraStatus> {
        let cameras = self.cameras.lock();
        let refused = || cameras.refusal(id).map(|why| CameraStatus::of("refused", Some(why.to_owned())));
        cameras.snapshot(id).map(|now| self.status_of(&now)).or_else(refused)
    }

    fn check(
        &self,
        id: &str,
        room: &str,
        settings: Value,
        credentials: Option<(String, Secret)>,
    ) -> Result<CameraConfig, Vec<Problem>> {
        self.config.camera(id, room, settings, credentials)
    }

    fn room_for(&self, beside_the_file: usize) -> Result<(), String> {
        self.config.lane.room_for(self.cameras.lock().of_file().len() + beside_the_file)
    }
}
