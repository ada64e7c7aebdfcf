//! Writes down how each camera did, minute by minute, for whoever asks why somebody was not recorded.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, DurationRound, TimeDelta};
use parking_lot::Mutex;
use rollcall_control_api::Metrics;
use rollcall_pipeline::metrics::CounterName;
use rollcall_pipeline::{Clock, ErrorClass, WallTime};
use rollcall_stages::decode::CameraState;
use rollcall_store::{CameraMinute, Store};

use super::cameras::Cameras;

/// How often is looked whether there are pictures.
const TICK: Duration = Duration::from_secs(2);
/// Minutes that are kept while the database is away; older ones are forgotten.
const MOST: usize = 10_000;

/// What it takes.
pub(super) struct Minutes {
    pub(super) store: Store,
    pub(super) cameras: Arc<Mutex<Cameras>>,
    pub(super) metrics: Metrics,
    pub(super) clock: Arc<dyn Clock>,
}

/// Counters of a camera since the start.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Counts {
    frames: i64,
    faces: i64,
    refused: HashMap<String, i64>,
}

impl Counts {
    /// What was counted since `before`.
    fn since(&self, before: &Self) -> Self {
        let refused = self.refused.iter().map(|(reason, n)| {
            let then = before.refused.get(reason).copied().unwrap_or_default();
            (reason.clone(), (n - then).max(0))
        });
        Self {
            frames: (self.frames - before.frames).max(0),
            faces: (self.faces - before.faces).max(0),
            refused: refused.filter(|(_, n)| *n > 0).collect(),
        }
    }
}

impl Minutes {
    /// For ever.
    pub(super) async fn run(self: Arc<Self>) {
        // It may have been begun again: what was counted so far is of no minute to come.
        let mut before = counts(&self.metrics.render());
        let mut current: HashMap<String, CameraMinute> = HashMap::new();
        // One row a camera and minute, also when the clock goes back: the later one counts.
        let mut waiting: BTreeMap<(WallTime, String), CameraMinute> = BTreeMap::new();
        let mut minute = minute_of(self.clock.wall());
        loop {
            self.look(minute, &mut current);
            tokio::time::sleep(TICK).await;
            let now = minute_of(self.clock.wall());
            if now == minute {
                continue;
            }
            let counts = counts(&self.metrics.render());
            for (id, mut row) in current.drain() {
                let then = before.remove(&id).unwrap_or_default();
                let came = counts.get(&id).map(|counts| counts.since(&then)).unwrap_or_default();
                row.frames = came.frames;
                row.faces = came.faces;
                row.refused = came.refused.into_iter().collect();
                waiting.insert((row.minute, id), row);
            }
            (before, minute) = (counts, now);
            while waiting.len() > MOST {
                waiting.pop_first();
            }
            self.write(&mut waiting).await;
        }
    }

    /// Writes what waits, and forgets it unless the database is only away.
    async fn write(&self, waiting: &mut BTreeMap<(WallTime, String), CameraMinute>) {
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
    fn look(&self, minute: WallTime, current: &mut HashMap<String, CameraMinute>) {
        let snapshots = self.cameras.lock().snapshots();
        for (config, now) in snapshots {
            let row = current.entry(config.id.to_string()).or_insert_with(|| CameraMinute {
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

fn minute_of(at: WallTime) -> WallTime {
    at.duration_trunc(TimeDelta::minutes(1)).unwrap_or(DateTime::UNIX_EPOCH)
}

/// Reads the counters of the cameras from the exposition: the one place where all of them are.
fn counts(exposition: &str) -> HashMap<String, Counts> {
    let mut all: HashMap<String, Counts> = HashMap::new();
    for line in exposition.lines().filter(|line| !line.starts_with('#')) {
        let Some((name, rest)) = line.split_once('{') else { continue };
        let Some((labels, value)) = rest.rsplit_once('}') else { continue };
        let label = |key: &str| {
            let from = labels.find(&format!("{key}=\""))? + key.len() + 2;
            labels[from..].split('"').next()
        };
        let (Some(camera), Ok(value)) = (label("camera"), value.trim().parse::<f64>()) else { continue };
        #[expect(clippy::cast_possible_truncation, reason = "counters are whole")]
        let value = value as i64;
        let (frames, faces, rejected) =
            (CounterName::CameraFramesAnalysed, CounterName::FacesDetected, CounterName::FacesRejected);
        let Some(counter) = [frames, faces, rejected].into_iter().find(|counter| counter.as_str() == name) else {
            continue;
        };
        let counts = all.entry(camera.to_owned()).or_default();
        match label("reason") {
            Some(reason) => {
                counts.refused.insert(reason.to_owned(), value);
            }
            None if counter == frames => counts.frames = value,
            None => counts.faces = value,
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_are_read_by_camera_and_reason() {
        let text = "# TYPE rollcall_faces_detected_total counter\n\
            rollcall_faces_detected_total{camera=\"door-1\"} 7\n\
            rollcall_camera_frames_analysed_total{camera=\"door-1\"} 300\n\
            rollcall_faces_rejected_total{camera=\"door-1\",reason=\"too_small\"} 2\n\
            rollcall_events_total{camera=\"door-1\"} 9\n";
        let counts = counts(text);
        let door = Counts { frames: 300, faces: 7, refused: HashMap::from([("too_small".to_owned(), 2)]) };
        assert_eq!(counts, HashMap::from([("door-1".to_owned(), door)]));
    }
}
