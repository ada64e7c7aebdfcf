//! The `track` stage: follows faces from frame to frame and cuts out the views that are worth more than a box.
//!
//! Full frames end here: only chips go on. It deliberately knows nobody: who a face is, and whether a broken track goes on
//! elsewhere, is decided in [`crate::matching`].

mod association;
mod kalman;
mod schedule;
mod tracker;

use std::collections::HashMap;
use std::sync::Arc;

use rollcall_pipeline::metrics::CameraMetrics;
use rollcall_pipeline::ports::Observer;
use rollcall_pipeline::stage::{Outbox, Stage};
use rollcall_pipeline::{
    ContextCrop, Detection, EyeShot, FaceChip, Fault, Frame, FrameFaces, FrameTime, ShotQuality, StreamKey, TrackEnd,
    TrackId, TrackObservation, TrackShot, Tracked,
};

use crate::chip;
use schedule::{ShotSchedule, View};

pub use schedule::ShotSettings;
pub(crate) use tracker::distance_in_sizes;
pub use tracker::{Ended, Seen, Tracker, TrackerSettings, Update};

/// Time between two ticks of a stream, seconds of media time.
const TICK_S: f32 = 1.0;

/// Which shots are cut for the liveness model too.
#[derive(Clone, Debug, PartialEq)]
pub struct LivenessGate {
    /// Least width of the face, pixels of the decoded frame: false alarms rise sharply on small faces.
    pub min_face_px: f32,
    /// Least sharpness, see [`ShotQuality::sharpness`].
    pub min_sharpness: f32,
    /// Darkest and brightest mean luma.
    pub brightness: (f32, f32),
    /// The first so many shots that pass are all checked …
    pub first_checks: u32,
    /// … and of the later ones every n-th.
    pub then_every: u32,
    /// What the liveness model wants cut.
    pub crops: Vec<ContextCrop>,
}

impl LivenessGate {
    fn passes(&self, quality: &ShotQuality) -> bool {
        quality.face_px >= self.min_face_px
            && quality.sharpness >= self.min_sharpness
            && (self.brightness.0..=self.brightness.1).contains(&quality.brightness)
    }

    fn is_due(&self, passed: u32) -> bool {
        passed < self.first_checks || (passed - self.first_checks).is_multiple_of(self.then_every.max(1))
    }
}

/// How the stage works.
#[derive(Clone, Debug, PartialEq)]
pub struct TrackSettings {
    /// How tracks begin, go on and end.
    pub tracker: TrackerSettings,
    /// When shots are taken.
    pub shots: ShotSettings,
    /// Which shots are checked for liveness; `None` where that is off.
    pub liveness: Option<LivenessGate>,
    /// Cut the eyes in every analysed frame in which the face is at least so wide; `None` where no blink is asked for.
    pub eyes_min_face_px: Option<f32>,
}

/// The `track` stage.
pub struct TrackStage {
    settings: TrackSettings,
    observer: Arc<dyn Observer>,
    streams: HashMap<StreamKey, Stream>,
}

struct Stream {
    metrics: CameraMetrics,
    tracker: Tracker,
    followed: HashMap<TrackId, Followed>,
    last_tick: Option<FrameTime>,
}

/// What came of a look at a face.
enum Look {
    /// A shot.
    Shot(TrackShot),
    /// Nothing can be told by such a view, because of this.
    Poor(&'static str),
    /// There was one a moment ago.
    NotYet,
}

/// What is kept of a track beside its motion.
struct Followed {
    schedule: ShotSchedule,
    liveness_passed: u32,
    end: TrackEnd,
}

impl TrackStage {
    /// No streams yet.
    pub fn new(settings: TrackSettings, observer: Arc<dyn Observer>) -> Self {
        Self { settings, observer, streams: HashMap::new() }
    }

    fn frame(&mut self, item: FrameFaces, out: &mut Outbox<Tracked<TrackShot>>) -> Result<(), Fault> {
        let FrameFaces { frame, faces, searched } = item;
        let stream = self.streams.get_mut(&frame.key).ok_or_else(|| crate::fault::not_open(&frame.key))?;
        let update = stream.tracker.update(frame.time.media, &faces);
        for ended in update.ended {
            stream.end(ended.track, out);
        }
        self.observer.searched(&frame, searched);
        self.observer.observed(&frame, &observations(&update.seen, &faces));
        for seen in update.seen {
            let face = &faces[seen.face];
            let followed = stream.followed.entry(seen.track).or_insert_with(|| Followed::new(&frame, seen.track));
            followed.end.last = frame.time;
            followed.end.frames += 1;
            match followed.shoot(&self.settings, &frame, face) {
                Look::Shot(shot) => out.send(Tracked::Shot(shot)),
                Look::Poor(flaw) => stream.metrics.face_rejected(flaw),
                Look::NotYet => {}
            }
            if self.settings.eyes_min_face_px.is_some_and(|least| face.bbox.w >= least) {
                let chip = chip::eyes(&frame.image.view(), &face.bbox, &face.landmarks);
                out.send(Tracked::Eyes(EyeShot {
                    key: frame.key.clone(),
                    track: seen.track,
                    time: frame.time,
                    face: chip,
                }));
            }
        }
        if stream.last_tick.is_none_or(|t| frame.time.media.since(t.media).as_secs_f32() >= TICK_S) {
            stream.last_tick = Some(frame.time);
            out.send(Tracked::Tick(frame.key, frame.time));
        }
        Ok(())
    }
}

impl Stage for TrackStage {
    const NAME: &'static str = "track";
    type In = FrameFaces;
    type Out = Tracked<TrackShot>;

    fn process(&mut self, batch: Vec<FrameFaces>, out: &mut Outbox<Self::Out>) -> Result<(), Fault> {
        batch.into_iter().try_for_each(|item| self.frame(item, out))
    }

    fn on_open(&mut self, key: &StreamKey) -> Result<(), Fault> {
        let tracker = Tracker::new(self.settings.tracker);
        let metrics = CameraMetrics::new(&key.camera);
        self.streams.insert(key.clone(), Stream { metrics, tracker, followed: HashMap::new(), last_tick: None });
        Ok(())
    }

    fn on_close(&mut self, key: &StreamKey, out: &mut Outbox<Self::Out>) -> Result<(), Fault> {
        if let Some(mut stream) = self.streams.remove(key) {
            for ended in stream.tracker.finish() {
                stream.end(ended.track, out);
            }
        }
        Ok(())
    }
}

impl Stream {
    fn end(&mut self, track: TrackId, out: &mut Outbox<Tracked<TrackShot>>) {
        if let Some(followed) = self.followed.remove(&track) {
            out.send(Tracked::Ended(followed.end));
        }
    }
}

impl Followed {
    fn new(frame: &Frame, track: TrackId) -> Self {
        let end = TrackEnd {
            key: frame.key.clone(),
            track,
            first: frame.time,
            last: frame.time,
            frames: 0,
            blinked: false,
            tuning: frame.tuning.clone(),
        };
        Self { schedule: ShotSchedule::default(), liveness_passed: 0, end }
    }

    /// Cuts a shot, if one is due and this view is worth it.
    fn shoot(&mut self, settings: &TrackSettings, frame: &Frame, face: &Detection) -> Look {
        let now = frame.time.media;
        // Cheap things first: no pixel is touched for a view that geometry alone rules out.
        let at_best = View { weight: chip::geometry_weight(face), usable: chip::may_be_usable(face) };
        if at_best.weight < settings.shots.min_weight {
            return Look::Poor(chip::geometry_flaw(face));
        }
        if !self.schedule.is_due(&settings.shots, now, at_best) {
            return Look::NotYet;
        }
        let image = frame.image.view();
        let aligned = chip::align(&image, &face.landmarks);
        let quality = chip::quality(face, &aligned);
        let view = View { weight: quality.weight, usable: chip::is_usable(&quality) };
        if view.weight < settings.shots.min_weight {
            return Look::Poor(chip::flaw(&quality));
        }
        if !self.schedule.is_due(&settings.shots, now, view) {
            return Look::NotYet;
        }
        self.schedule.took(&settings.shots, now, view);
        let mut context = Vec::new();
        if let Some(gate) = settings.liveness.as_ref().filter(|gate| gate.passes(&quality)) {
            if gate.is_due(self.liveness_passed) {
                context = gate.crops.iter().map(|crop| chip::context(&image, &face.bbox, crop)).collect();
            }
            self.liveness_passed += 1;
        }
        Look::Shot(TrackShot {
            key: frame.key.clone(),
            track: self.end.track,
            seq: frame.seq,
            time: frame.time,
            tuning: frame.tuning.clone(),
            bbox: face.bbox,
            quality,
            chip: FaceChip { aligned, context },
        })
    }
}

fn observations(seen: &[Seen], faces: &[Detection]) -> Vec<TrackObservation> {
    let of = |s: &Seen| TrackObservation { track: s.track, bbox: faces[s.face].bbox, score: faces[s.face].score };
    seen.iter().map(of).collect()
}
