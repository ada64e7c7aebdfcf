//! What the API is told.

use std::sync::Arc;

use chrono::TimeDelta;
use parking_lot::Mutex;
use rollcall_control_api as api;
use rollcall_control_api::{Part, Readiness, Recognition, VersionView, Windows};
use rollcall_models::SFACE_ID;
use rollcall_pipeline::lane::{Lane, LaneState};
use rollcall_pipeline::{Mark, WallTime};
use rollcall_sinks::SinkMonitor;
use rollcall_stages::decode::CameraState;
use rollcall_stages::matching::RecognitionSettings;
use rollcall_store::SeenAt;

use super::cameras::Cameras;
use super::people::People;
use crate::compose::Vision;

pub(super) struct Status {
    pub(super) people: Arc<People>,
    pub(super) sink: SinkMonitor,
    pub(super) lane: Arc<Lane>,
    pub(super) cameras: Arc<Mutex<Cameras>>,
    pub(super) vision: Vision,
    pub(super) recognition: RecognitionSettings,
    /// Its name.
    pub(super) site: String,
}

impl Status {
    fn database(&self) -> Part {
        let sink = self.sink.status();
        let waiting = match sink.spooled {
            0 => String::new(),
            n => format!("; {n} events wait in the spool"),
        };
        match self.people.trouble().or(sink.trouble) {
            Some(trouble) => Part::not_ready(format!("{trouble}{waiting}")),
            None if !self.people.is_loaded() => Part::not_ready("connecting; cameras start when the gallery is loaded"),
            None => Part::ready(format!("connected{waiting}")),
        }
    }

    fn cameras_part(&self) -> Part {
        let (cameras, refused) = {
            let cameras = self.cameras.lock();
            (cameras.snapshots(), cameras.refused().to_vec())
        };
        let live = cameras.iter().filter(|(_, now)| now.state == CameraState::Live).count();
        let mut reason = format!("{live} of {} live", cameras.len() + refused.len());
        for (config, now) in &cameras {
            if let Some(complaint) = now.complaint() {
                reason.push_str(&format!("; {}: {complaint}", config.id));
            }
        }
        for camera in &refused {
            reason.push_str(&format!("; {}: not opened: {}", camera.id, camera.why));
        }
        if live > 0 || cameras.is_empty() && refused.is_empty() { Part::ready(reason) } else { Part::not_ready(reason) }
    }

    fn lane_part(&self) -> Part {
        match self.lane.state() {
            LaneState::Running => Part::ready("running"),
            LaneState::Restarting => Part::not_ready("a stage failed; the lane is being restarted"),
            LaneState::Ended => Part::not_ready("shutting down"),
            LaneState::Failed(error) => Part::not_ready(error.to_string()),
        }
    }
}

impl api::Daemon for Status {
    fn readiness(&self) -> Readiness {
        Readiness {
            database: self.database(),
            // The process would not run without them.
            models: Part::ready(format!("{} loaded", self.vision.in_use().len())),
            cameras: self.cameras_part(),
            lane: self.lane_part(),
        }
    }

    fn version(&self) -> VersionView {
        VersionView {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            site: self.site.clone(),
            models: self.vision.in_use(),
        }
    }

    fn windows(&self) -> Windows {
        let config = self.people.config();
        let rules = &config.attendance;
        let delta = |window| TimeDelta::from_std(window).unwrap_or_default();
        Windows { early: delta(rules.early), grace: delta(rules.grace), leave: delta(rules.leave) }
    }

    fn recognition(&self) -> Recognition {
        let settings = &self.recognition;
        Recognition {
            model: SFACE_ID.to_owned(),
            early: settings.early_similarity,
            settled: settings.settled_similarity,
            review: settings.review_similarity,
            margin: settings.margin,
        }
    }

    fn mark_of(&self, seen: SeenAt<'_>, first: WallTime) -> Option<Mark> {
        // Before the timetables are there every session would be a day.
        self.people.is_loaded().then(|| self.people.mark_of(seen, first))
    }
}
