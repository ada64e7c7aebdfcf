//! What each camera watches without a break, and why it did not before: between two watches nobody saw who came.

use std::collections::{HashMap, HashSet};

use rollcall_pipeline::config::CameraConfig;
use rollcall_pipeline::{MonoTime, WallTime};
use rollcall_stages::decode::{CameraSnapshot, CameraState};
use rollcall_store::CameraWatch;

/// The watches of all cameras that are not written in full yet.
#[derive(Debug, Default)]
pub(super) struct Watches {
    cameras: HashMap<String, Watching>,
    /// Watches that are over.
    over: Vec<CameraWatch>,
    /// Everything that was seen before this is written.
    written: Option<WallTime>,
}

#[derive(Debug)]
struct Watching {
    now: Option<Watch>,
    /// When the last one began that is over, and on which connection.
    ended: Option<(WallTime, Option<MonoTime>)>,
    away_for: Option<String>,
}

#[derive(Debug)]
struct Watch {
    row: CameraWatch,
    /// When its connection came to life; another one is another watch.
    phase: Option<MonoTime>,
}

impl Watches {
    /// Takes note of how cameras are. `trouble`: why nothing of what they see is analysed.
    pub(super) fn look(
        &mut self,
        cameras: &[(CameraConfig, CameraSnapshot)],
        trouble: Option<&str>,
        (wall, mono): (WallTime, MonoTime),
    ) {
        let at = |then: MonoTime| wall - chrono::TimeDelta::from_std(mono.since(then)).unwrap_or_default();
        for (config, camera) in cameras {
            let watching = self.cameras.entry(config.id.to_string()).or_insert_with(|| Watching {
                now: None,
                ended: None,
                away_for: Some("Rollcall or this camera did not run".to_owned()),
            });
            let (seen, phase) = match (camera.state, camera.last_frame) {
                _ if trouble.is_some() => (None, None),
                (CameraState::Live, Some(frame)) => (Some(at(frame)), camera.since),
                // Nothing more is to be expected of a recording that came to its end.
                (CameraState::Ended, _) => (Some(wall), watching.now.as_ref().and_then(|watch| watch.phase)),
                _ => (None, None),
            };
            let room = config.tuning.room.as_str();
            let goes_on = |watch: &Watch| seen.is_some() && watch.phase == phase && watch.row.room_id == room;
            if let Some(ended) = watching.now.take_if(|watch| !goes_on(watch)) {
                watching.ended = Some((ended.row.since, ended.phase));
                self.over.push(ended.row);
            }
            match (seen, &mut watching.now) {
                (Some(seen), Some(watch)) => watch.row.until = watch.row.until.max(seen),
                (Some(seen), none) => {
                    // A connection that goes on, after an interruption or in another room, was not watched since it began.
                    let goes_on = watching.ended.is_some_and(|(_, ended)| ended == phase);
                    let since = phase.filter(|_| !goes_on).map_or(seen, at).min(seen);
                    // Two watches of a camera never begin at once.
                    let after = watching.ended.map(|(since, _)| since + chrono::TimeDelta::microseconds(1));
                    let since = after.map_or(since, |after| since.max(after));
                    let row = CameraWatch {
                        camera_id: config.id.to_string(),
                        room_id: room.to_owned(),
                        since,
                        until: seen.max(since),
                        away_for: watching.away_for.take().or_else(|| Some("its pictures broke off".to_owned())),
                    };
                    *none = Some(Watch { row, phase });
                }
                (None, _) => {
                    let complaint = trouble.or_else(|| camera.complaint()).map(str::to_owned);
                    let word = || Some(camera.state.as_str().to_owned());
                    watching.away_for = complaint.or_else(|| watching.away_for.take()).or_else(word);
                }
            }
        }
        let here: HashSet<&str> = cameras.iter().map(|(config, _)| config.id.as_str()).collect();
        for (_, gone) in self.cameras.extract_if(|id, _| !here.contains(id.as_str())) {
            self.over.extend(gone.now.map(|watch| watch.row));
        }
    }

    /// Everything that was seen before this is written.
    pub(super) fn is_written(&mut self, until: WallTime) {
        self.written = self.written.max(Some(until));
    }

    /// What is known to have been watched, as far as what was seen is written. One that has just begun is as short as can be.
    pub(super) fn rows(&self) -> Vec<CameraWatch> {
        let now = self.cameras.values().filter_map(|watching| watching.now.as_ref()).map(|watch| &watch.row);
        let until = |row: &CameraWatch| self.written.map_or(row.since, |written| row.until.min(written).max(row.since));
        self.over.iter().chain(now).map(|row| CameraWatch { until: until(row), ..row.clone() }).collect()
    }

    /// Forgets watches that are over and were written down.
    pub(super) fn forget_written(&mut self) {
        let written = self.written;
        self.over.retain(|row| written.is_none_or(|written| row.until > written));
    }
}
