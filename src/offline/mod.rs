//! The lane over a recording: the same stages as in the daemon behind a mux that blocks, so that nothing is lost.

mod feed;
mod numbers;
mod tracks;

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use rollcall_attendance::{Register, RoomPlan, Roster, SitePlan};
use rollcall_pipeline::config::{BLINK_FPS, Config, DETECT_SIZE, MIN_FACE_PX, STILL_INTERVAL_S};
use rollcall_pipeline::lane::{Lane, LaneOptions, LaneStats};
use rollcall_pipeline::ports::{EventSink, Observer};
use rollcall_pipeline::supervisor::Supervisor;
use rollcall_pipeline::{CameraTuning, Clock, FrameMux, MuxMode, RoomId};
use rollcall_stages::matching::Gallery;

use crate::compose::{Stages, Vision};
use crate::rules::{Rules, policy, schedule};
use crate::settings::recognition_settings;

pub(crate) use feed::{Fed, Feed, unreadable};
pub(crate) use tracks::{TrackRow, Tracks};

/// The only room and the only camera.
const NAME: &str = "replay";
/// Decoding goes on while the detector works, no further ahead than this.
const AHEAD: NonZeroUsize = NonZeroUsize::new(4).expect("4 is not 0");
/// When the last frame was handed over there is little left to do.
const DRAIN: Duration = Duration::from_secs(120);

/// What a recording is held against.
pub(crate) struct Offline<'a> {
    /// The figures in force.
    pub(crate) config: &'a Config,
    /// The networks.
    pub(crate) vision: &'a Vision,
    /// Who is known.
    pub(crate) gallery: Gallery,
    /// Who is expected.
    pub(crate) roster: Roster,
    /// Who watches.
    pub(crate) observer: Arc<dyn Observer>,
}

impl Offline<'_> {
    /// Runs all of `feed` through a lane of its own into `sink`; blocks until everything has arrived.
    pub(crate) fn run(
        self,
        feed: Feed,
        sink: Box<dyn EventSink>,
        clock: &Arc<dyn Clock>,
    ) -> anyhow::Result<(Fed, LaneStats)> {
        let mux = FrameMux::new(MuxMode::Block, AHEAD);
        let supervisor = Supervisor::new(Arc::clone(clock));
        let stages = Stages {
            vision: self.vision.clone(),
            matcher: Arc::new(self.gallery),
            rules: rules(self.config, self.roster)?,
            observer: self.observer,
            recognition: recognition_settings(&self.config.recognition),
        };
        let lane = Lane::spawn(stages, sink, &mux, &supervisor, LaneOptions::replay())?;
        let fed = feed.run(&mux);
        // A lane that failed is why the feed could not go on, so its error comes first.
        let stats = lane.shutdown(DRAIN)?;
        Ok((fed?, stats))
    }
}

/// One room, one mark a day; who is not on the roster is `off_roster`.
fn rules(config: &Config, roster: Roster) -> anyhow::Result<Rules> {
    let room = RoomPlan { expected: roster, ..RoomPlan::new(RoomId::new(NAME)) };
    let plan = SitePlan { time_zone: config.site.time_zone, rooms: vec![room] };
    Ok(Rules::new(schedule(&plan)?, policy(config), Register::new(config.attendance.debounce)))
}

/// Refuses a rate (0 for every frame) at which the blink that is asked for would be missed, and living people with it.
pub(crate) fn sees_blinks(config: &Config, fps: f32) -> anyhow::Result<()> {
    if config.liveness.misses_blinks(f64::from(fps)) {
        anyhow::bail!(
            "{fps} frames a second are too few to see blinks, and liveness.blink is \"required\": choose --fps {BLINK_FPS} \
             or more"
        );
    }
    Ok(())
}

/// How a recording is analysed: like a camera of which nothing is said, but for the rate; one of 0 analyses every frame.
pub(crate) fn tuning(analysis_fps: f32) -> CameraTuning {
    CameraTuning {
        room: RoomId::new(NAME),
        direction: None,
        analysis_fps,
        detect_size: DETECT_SIZE,
        min_face_px: MIN_FACE_PX,
        still_interval_s: STILL_INTERVAL_S,
        regions_of_interest: Vec::new(),
        privacy_masks: Vec::new(),
    }
}
