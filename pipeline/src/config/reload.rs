//! What a changed configuration means for a running daemon.

use super::camera::CameraConfig;
use super::types::Config;
use crate::ids::CameraId;

/// What has to be done to get from one configuration to another.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reload {
    /// Cameras that are new.
    pub added: Vec<CameraId>,
    /// Cameras that are gone.
    pub removed: Vec<CameraId>,
    /// Cameras whose source or mounting changed: they connect anew.
    pub restart: Vec<CameraId>,
    /// Cameras whose tuning changed: it is swapped, the picture goes on.
    pub retune: Vec<CameraId>,
    /// Rooms, timetables or rules changed: a new schedule is put in force.
    pub rules: bool,
    /// Sections that are only read at start: the change waits for a restart.
    pub needs_restart: Vec<&'static str>,
}

impl Reload {
    /// Compares two configurations.
    pub fn diff(old: &Config, new: &Config) -> Self {
        let mut reload = Self::cameras(&old.cameras, &new.cameras);
        reload.rules = (&old.rooms, &old.decisions, &old.attendance, old.site.time_zone)
            != (&new.rooms, &new.decisions, &new.attendance, new.site.time_zone);
        reload.needs_restart = [
            ("site.name", old.site.name == new.site.name),
            ("server", old.server == new.server),
            ("log", old.log == new.log),
            ("database", old.database == new.database),
            ("models", old.models == new.models),
            ("lane", old.lane == new.lane),
            ("detection", old.detection == new.detection),
            ("recognition", old.recognition == new.recognition),
            ("liveness", old.liveness == new.liveness),
            ("check_in", old.check_in == new.check_in),
            ("spool", old.spool == new.spool),
            ("retention", old.retention == new.retention),
            ("privacy", old.privacy == new.privacy),
        ]
        .into_iter()
        .filter_map(|(section, same)| (!same).then_some(section))
        .collect();
        reload
    }

    /// Compares cameras alone.
    pub fn cameras(old: &[CameraConfig], new: &[CameraConfig]) -> Self {
        let mut reload = Self::default();
        for camera in new {
            match old.iter().find(|c| c.id == camera.id) {
                None => reload.added.push(camera.id.clone()),
                Some(was) if (&was.streams.detect, was.mounting) != (&camera.streams.detect, camera.mounting) => {
                    reload.restart.push(camera.id.clone());
                }
                Some(was) if was.tuning != camera.tuning => reload.retune.push(camera.id.clone()),
                Some(_) => {}
            }
        }
        let gone = old.iter().filter(|c| !new.iter().any(|n| n.id == c.id));
        reload.removed = gone.map(|c| c.id.clone()).collect();
        reload
    }

    /// Whether nothing has to be done.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}
