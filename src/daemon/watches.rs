//! What each camera watches without a break, and why it did not before: between two watches nobody saw who came.

use std::collections::{HashMap, HashSet, VecDeque};

use rollcall_pipeline::config::CameraConfig;
use rollcall_pipeline::{MonoTime, WallTime};
use rollcall_stages::decode::{CameraSnapshot, CameraState};
use rollcall_store::CameraWatch;

/// Watches that are over and kept while the database is away. Of more the oldest are forgotten: nobody watched then.
const MOST: usize = 10_000;

/// The watches of all cameras that are not written in full yet.
#[derive(Debug, Default)]
pub(super) struct Watches {
    cameras: HashMap<String, Watching>,
    /// Watches that are over.
    over: VecDeque<CameraWatch>,
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
        now: (WallTime, MonoTime),
    ) {
        for (config, camera) in cameras {
            let watching = self.cameras.entry(config.id.to_string()).or_default();
            self.over.extend(watching.look(config, camera, trouble, now));
        }
        let here: HashSet<&str> = cameras.iter().map(|(config, _)| config.id.as_str()).collect();
        for (_, gone) in self.cameras.extract_if(|id, _| !here.contains(id.as_str())) {
            self.over.extend(gone.now.map(|watch| watch.row));
        }
        while self.over.len() > MOST {
            self.over.pop_front();
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

impl Default for Watching {
    fn default() -> Self {
        Self { now: None, ended: None, away_for: Some("Rollcall or this camera did not run".to_owned()) }
    }
}

impl Watching {
    /// Takes note of how the camera is. Gives the watch that is over by that, if one is.
    fn look(
        &mut self,
        config: &CameraConfig,
        camera: &CameraSnapshot,
        trouble: Option<&str>,
        (wall, mono): (WallTime, MonoTime),
    ) -> Option<CameraWatch> {
        let at = |then: MonoTime| wall - chrono::TimeDelta::from_std(mono.since(then)).unwrap_or_default();
        let (seen, phase) = match (camera.state, camera.last_frame) {
            _ if trouble.is_some() => (None, None),
            (CameraState::Live, Some(frame)) => (Some(at(frame)), camera.since),
            // Nothing more is to be expected of a recording that came to its end.
            (CameraState::Ended, _) => (Some(wall), self.now.as_ref().and_then(|watch| watch.phase)),
            _ => (None, None),
        };
        let room = config.tuning.room.as_str();
        let goes_on = |watch: &Watch| seen.is_some() && watch.phase == phase && watch.row.room_id == room;
        let over = self.now.take_if(|watch| !goes_on(watch));
        if let Some(over) = &over {
            if over.row.room_id != room {
                self.away_for = Some("it looked into another room".to_owned());
            }
            self.ended = Some((over.row.since, over.phase));
        }
        match (seen, &mut self.now) {
            (Some(seen), Some(watch)) => watch.row.until = watch.row.until.max(seen),
            (Some(seen), none) => {
                // A connection that goes on, after an interruption or in another room, was not watched since it began.
                let is_same = self.ended.is_some_and(|(_, ended)| ended == phase);
                let since = phase.filter(|_| !is_same).map_or(seen, at).min(seen);
                // Two watches of a camera never begin at once.
                let after = self.ended.map(|(since, _)| since + chrono::TimeDelta::microseconds(1));
                let since = after.map_or(since, |after| since.max(after));
                let row = CameraWatch {
                    camera_id: config.id.to_string(),
                    room_id: room.to_owned(),
                    since,
                    until: seen.max(since),
                    away_for: self.away_for.take().or_else(|| Some("its pictures broke off".to_owned())),
                };
                *none = Some(Watch { row, phase });
            }
            (None, _) => {
                let complaint = trouble.or_else(|| camera.complaint()).map(str::to_owned);
                let word = || Some(camera.state.as_str().to_owned());
                self.away_for = complaint.or_else(|| self.away_for.take()).or_else(word);
            }
        }
        over.map(|watch| watch.row)
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::time::Duration;

    use rollcall_pipeline::RoomId;
    use rollcall_pipeline::config::Config;

    use super::*;

    /// A camera that came to life in second 10, looked at every other second.
    struct Door {
        watches: Watches,
        config: CameraConfig,
        second: u64,
    }

    impl Door {
        fn new() -> Self {
            let text = "[[rooms]]\nid = \"hall\"\n[[cameras]]\nid = \"door\"\nroom = \"hall\"\n\
                        streams.detect = \"rtsp://192.0.2.7/\"\n";
            let config = Config::parse(text, Path::new("rollcall.toml"), HashMap::new())
                .expect("a configuration")
                .cameras
                .remove(0);
            Self { watches: Watches::default(), config, second: 10 }
        }

        fn look(&mut self, trouble: Option<&str>) {
            self.second += 2;
            let at = |second| MonoTime(Duration::from_secs(second));
            let live = CameraSnapshot {
                state: CameraState::Live,
                since: Some(at(10)),
                last_frame: Some(at(self.second)),
                ..CameraSnapshot::default()
            };
            let wall = WallTime::UNIX_EPOCH + Duration::from_secs(self.second);
            self.watches.look(&[(self.config.clone(), live)], trouble, (wall, at(self.second)));
            self.watches.is_written(wall);
        }

        /// Room, seconds from and to, and why not before.
        fn rows(&self) -> Vec<(String, i64, i64, Option<String>)> {
            let rows = self.watches.rows().into_iter();
            rows.map(|row| (row.room_id, row.since.timestamp(), row.until.timestamp(), row.away_for)).collect()
        }
    }

    fn row(room: &str, since: i64, until: i64, why: &str) -> (String, i64, i64, Option<String>) {
        (room.to_owned(), since, until, Some(why.to_owned()))
    }

    #[test]
    fn what_was_not_analysed_was_not_watched_though_the_connection_lasted() {
        let mut door = Door::new();
        door.look(None);
        door.look(None);
        (0..4).for_each(|_| door.look(Some("restarting")));
        door.look(None);
        door.look(None);
        let began = row("hall", 10, 14, "Rollcall or this camera did not run");
        assert_eq!(door.rows(), [began, row("hall", 24, 26, "restarting")]);
    }

    #[test]
    fn a_room_was_not_watched_before_its_camera_looked_into_it() {
        let mut door = Door::new();
        door.look(None);
        door.config.tuning.room = RoomId::new("gate");
        door.look(None);
        door.look(None);
        let began = row("hall", 10, 12, "Rollcall or this camera did not run");
        assert_eq!(door.rows(), [began, row("gate", 14, 16, "it looked into another room")]);
    }

    #[test]
    fn no_two_watches_of_a_camera_begin_at_once() {
        let mut door = Door::new();
        for _ in 0..6 {
            door.second -= 2;
            door.look(None);
            door.second -= 2;
            door.look(Some("restarting"));
        }
        let mut begun: Vec<_> = door.watches.rows().into_iter().map(|row| row.since).collect();
        let all = begun.len();
        begun.sort();
        begun.dedup();
        assert_eq!((begun.len(), all > 1), (all, true));
    }
}
