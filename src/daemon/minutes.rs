//! Writes down how each camera did, minute by minute, for whoever asks why somebody was not recorded.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, DurationRound, TimeDelta};
use parking_lot::Mutex;
use rollcall_pipeline::metrics::{CameraTally, camera_tallies};
use rollcall_pipeline::{CameraId, Clock, ErrorClass, WallTime};
use rollcall_stages::decode::CameraState;
use rollcall_store::{CameraMinute, Store};

use super::cameras::Cameras;

/// How often is looked whether there are pictures.
const TICK: Duration = Duration::from_secs(2);
/// Minutes that are kept while the database is away; older ones are forgotten.
const MOST: usize = 10_000;

/// One row a camera and minute, also when the clock goes back: the later one counts.
type Waiting = BTreeMap<(WallTime, CameraId), CameraMinute>;

/// What it takes.
pub(super) struct Minutes {
    pub(super) store: Store,
    pub(super) cameras: Arc<Mutex<Cameras>>,
    pub(super) clock: Arc<dyn Clock>,
}

impl Minutes {
    /// For ever.
    pub(super) async fn run(self: Arc<Self>) {
        // It may have been begun again: what was counted so far is of no minute to come.
        let mut before = camera_tallies();
        let mut current: HashMap<CameraId, CameraMinute> = HashMap::new();
        let mut waiting = Waiting::new();
        let mut minute = minute_of(self.clock.wall());
        loop {
            self.look(minute, &mut current);
            tokio::time::sleep(TICK).await;
            let now = minute_of(self.clock.wall());
            if now == minute {
                continue;
            }
            let tallies = camera_tallies();
            for (id, mut row) in current.drain() {
                let then = before.remove(&id).unwrap_or_default();
                count(&mut row, tallies.get(&id).map(|tally| tally.since(&then)).unwrap_or_default());
                waiting.insert((row.minute, id), row);
            }
            (before, minute) = (tallies, now);
            while waiting.len() > MOST {
                waiting.pop_first();
            }
            self.write(&mut waiting).await;
        }
    }

    /// Writes what waits, and forgets it unless the database is only away.
    async fn write(&self, waiting: &mut Waiting) {
        if !self.store.is_prepared() {
            return;
        }
        let rows: Vec<_> = waiting.values().cloned().collect();
        match self.store.add_camera_minutes(&rows).await {
            Ok(()) => waiting.clear(),
            Err(error) if error.class() == ErrorClass::Transient => {
                tracing::debug!(%error, "how the cameras did is written down later");
            }
            Err(error) => {
                tracing::warn!(%error, rows = rows.len(), "how the cameras did is not written down");
                waiting.clear();
            }
        }
    }

    /// Counts a tick for or against each camera.
    fn look(&self, minute: WallTime, current: &mut HashMap<CameraId, CameraMinute>) {
        let snapshots = self.cameras.lock().snapshots();
        for (config, now) in snapshots {
            let row = current.entry(config.id.clone()).or_insert_with(|| CameraMinute {
                camera: config.id.to_string(),
                room: config.tuning.room.to_string(),
                minute,
                frames: 0,
                faces: 0,
                refused: serde_json::json!({}),
                up_ms: 0,
                down_reason: None,
            });
            if now.state == CameraState::Live {
                row.up_ms = (row.up_ms + TICK.as_millis() as i64).min(60_000);
            } else {
                let reason = now.complaint().map_or_else(|| now.state.as_str().to_owned(), str::to_owned);
                row.down_reason = Some(reason);
            }
        }
    }
}

fn count(row: &mut CameraMinute, came: CameraTally) {
    let whole = |n: u64| i64::try_from(n).unwrap_or(i64::MAX);
    (row.frames, row.faces) = (whole(came.frames), whole(came.faces));
    row.refused = came.rejected.into_iter().collect();
}

fn minute_of(at: WallTime) -> WallTime {
    at.duration_trunc(TimeDelta::minutes(1)).unwrap_or(DateTime::UNIX_EPOCH)
}
