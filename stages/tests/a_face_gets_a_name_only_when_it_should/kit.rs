//! A door before which faces are shown to the `match` stage, and what it said of them.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use rollcall_pipeline::ports::{Expectations, Judge, Observer};
use rollcall_pipeline::stage::{Outbox, Stage};
use rollcall_pipeline::{
    AttendanceEvent, CameraId, CameraTuning, Chip, Decision, Embedding, Epoch, EventId, EventKind, FaceChip, FrameTime,
    GalleryVersion, LiveShot, LivenessVerdict, MatchOutcome, MediaTime, ModelId, MonoTime, PersonId, Pose, Rect,
    RoomId, ShotQuality, StreamKey, TimeSource, TrackEnd, TrackId, TrackShot, Tracked, UndecidedReason, WallTime,
};
use rollcall_stages::matching::{Gallery, LivenessSettings, MatchPorts, MatchStage, RecognitionSettings};
use uuid::Uuid;

pub(crate) const ADA: PersonId = PersonId(Uuid::from_u128(1));
pub(crate) const BOB: PersonId = PersonId(Uuid::from_u128(2));

/// Ada is the x axis, Bob the y axis; strangers are elsewhere.
pub(crate) fn face(x: f32, y: f32) -> Embedding {
    let z = (1.0 - x * x - y * y).max(0.0).sqrt();
    embedding(vec![x, y, z, 0.0])
}

pub(crate) fn somebody_else() -> Embedding {
    embedding(vec![0.0, 0.0, 0.0, 1.0])
}

pub(crate) fn embedding(values: Vec<f32>) -> Embedding {
    Embedding::normalized(ModelId::new("test"), values).unwrap()
}

#[derive(Default)]
pub(crate) struct Watched(pub(crate) Mutex<Vec<String>>);

impl Observer for Watched {
    fn linked(&self, _: &StreamKey, motion: TrackId, from_seq: u64, track: TrackId) {
        self.0.lock().unwrap().push(format!("{} from {from_seq} is {}", motion.0, track.0));
    }
}

struct Roster(Option<Arc<[PersonId]>>);

impl Expectations for Roster {
    fn expected(&self, _: &RoomId, _: WallTime) -> Option<Arc<[PersonId]>> {
        self.0.clone()
    }
}

/// Says what was decided; small faces are waited for or not.
pub(crate) struct AsDecided {
    pub(crate) waits_when_small: bool,
}

impl Judge for AsDecided {
    fn judge(&mut self, decision: Decision) -> AttendanceEvent {
        use UndecidedReason::{NoBlink, Unclear};
        let kind = match (decision.outcome, decision.liveness) {
            (_, LivenessVerdict::Spoof(_)) => EventKind::Spoof,
            (MatchOutcome::Unknown, _) => EventKind::Unknown,
            (MatchOutcome::Ambiguous, _) | (_, LivenessVerdict::Undecided(Unclear | NoBlink)) => EventKind::Ambiguous,
            (MatchOutcome::Identified(_), _) => EventKind::Recorded,
        };
        AttendanceEvent { id: EventId(Uuid::nil()), kind, mark: None, repeats: None, decision }
    }

    fn waits_when_small(&self) -> bool {
        self.waits_when_small
    }
}

pub(crate) struct Door {
    stage: MatchStage,
    out: Outbox<AttendanceEvent>,
    pub(crate) watched: Arc<Watched>,
    pub(crate) now_ms: u64,
}

pub(crate) struct Seen {
    pub(crate) track: u64,
    pub(crate) face: Embedding,
    pub(crate) live: Option<f32>,
    pub(crate) x: f32,
}

/// How large and how sharp a face is.
#[derive(Clone, Copy)]
pub(crate) struct View {
    pub(crate) face_px: f32,
    pub(crate) eye_distance_px: f32,
    pub(crate) sharpness: f32,
}

pub(crate) const SMALL: View = View { face_px: 50.0, eye_distance_px: 24.0, sharpness: 0.1 };
pub(crate) const NEAR: View = View { face_px: 100.0, eye_distance_px: 40.0, sharpness: 0.4 };
pub(crate) const BLURRED: View = View { sharpness: 0.2, ..NEAR };

impl Door {
    pub(crate) fn new() -> Self {
        Self::with(None, LivenessSettings { enabled: false, ..LivenessSettings::default() })
    }

    pub(crate) fn with(roster: Option<Arc<[PersonId]>>, liveness: LivenessSettings) -> Self {
        Self::judged_by(AsDecided { waits_when_small: false }, roster, liveness)
    }

    pub(crate) fn judged_by(judge: AsDecided, roster: Option<Arc<[PersonId]>>, liveness: LivenessSettings) -> Self {
        let templates = [(ADA, embedding(vec![1.0, 0.0, 0.0, 0.0])), (BOB, embedding(vec![0.0, 1.0, 0.0, 0.0]))];
        let watched = Arc::new(Watched::default());
        let ports = MatchPorts {
            matcher: Arc::new(Gallery::new(GalleryVersion(1), ModelId::new("test"), templates).unwrap()),
            expectations: Arc::new(Roster(roster)),
            judge: Box::new(judge),
            observer: watched.clone(),
        };
        let mut stage = MatchStage::new(ports, RecognitionSettings::default(), liveness);
        stage.on_open(&key()).unwrap();
        Self { stage, out: Outbox::collecting(), watched, now_ms: 0 }
    }

    fn time(&self) -> FrameTime {
        FrameTime {
            media: MediaTime(self.now_ms * 1_000_000),
            received: MonoTime(Duration::from_millis(self.now_ms)),
            captured: WallTime::UNIX_EPOCH + Duration::from_millis(self.now_ms),
            source: TimeSource::File,
        }
    }

    /// Shows a face 200 ms after what was before; near, if it is checked.
    pub(crate) fn see(&mut self, seen: Seen) -> Vec<Decision> {
        let view = if seen.live.is_some() { NEAR } else { SMALL };
        self.see_as(view, seen)
    }

    pub(crate) fn see_as(&mut self, view: View, seen: Seen) -> Vec<Decision> {
        self.see_eyes(view, seen, false)
    }

    /// Shows a living face near by, in a track that may have blinked since the shot before.
    pub(crate) fn see_alive(&mut self, face: Embedding, blinked: bool) -> Vec<Decision> {
        self.see_eyes(NEAR, Seen { track: 1, face, live: Some(0.99), x: 0.0 }, blinked)
    }

    fn see_eyes(&mut self, view: View, seen: Seen, blinked: bool) -> Vec<Decision> {
        self.now_ms += 200;
        let View { face_px, eye_distance_px, sharpness } = view;
        let quality = ShotQuality {
            eye_distance_px,
            face_px,
            pose: Pose::default(),
            sharpness,
            brightness: 120.0,
            contrast: 40.0,
            score: 0.9,
            weight: 0.8,
        };
        let chip = FaceChip { aligned: Chip { side: 1, rgb: vec![0; 3] }, context: Vec::new() };
        let shot = TrackShot {
            key: key(),
            track: TrackId(seen.track),
            seq: self.now_ms / 40,
            time: self.time(),
            tuning: tuning(),
            bbox: Rect { x: seen.x, y: 0.0, w: face_px, h: 1.2 * face_px },
            quality,
            chip,
        };
        self.process(Tracked::Shot(LiveShot { shot, embedding: seen.face, live: seen.live, blinked }))
    }

    pub(crate) fn shot(&mut self, track: u64, face: Embedding) -> Vec<Decision> {
        self.see(Seen { track, face, live: None, x: 0.0 })
    }

    pub(crate) fn lose(&mut self, track: u64) -> Vec<Decision> {
        self.end(track, false)
    }

    pub(crate) fn end(&mut self, track: u64, blinked: bool) -> Vec<Decision> {
        let (first, last) = (self.time(), self.time());
        let track = TrackId(track);
        self.process(Tracked::Ended(TrackEnd { key: key(), track, first, last, frames: 1, blinked, tuning: tuning() }))
    }

    pub(crate) fn wait(&mut self, ms: u64) -> Vec<Decision> {
        self.now_ms += ms;
        let now = self.time();
        self.process(Tracked::Tick(key(), now))
    }

    pub(crate) fn close(&mut self) -> Vec<Decision> {
        self.stage.on_close(&key(), &mut self.out).unwrap();
        self.said()
    }

    fn process(&mut self, item: Tracked<LiveShot>) -> Vec<Decision> {
        self.stage.process(vec![item], &mut self.out).unwrap();
        self.said()
    }

    fn said(&mut self) -> Vec<Decision> {
        self.out.take().into_iter().map(|event| event.decision).collect()
    }
}

fn key() -> StreamKey {
    StreamKey { camera: CameraId::new("door"), epoch: Epoch(Uuid::nil()) }
}

fn tuning() -> Arc<CameraTuning> {
    Arc::new(CameraTuning {
        room: RoomId::new("room"),
        direction: None,
        analysis_fps: 5.0,
        detect_size: 640,
        min_face_px: 20.0,
        still_interval_s: 0.0,
        regions_of_interest: Vec::new(),
        privacy_masks: Vec::new(),
    })
}

pub(crate) fn names(decisions: &[Decision]) -> Vec<Option<PersonId>> {
    let name = |d: &Decision| match d.outcome {
        MatchOutcome::Identified(found) => Some(found.person),
        MatchOutcome::Ambiguous | MatchOutcome::Unknown => None,
    };
    decisions.iter().map(name).collect()
}

/// From the first usable face to the decision.
pub(crate) fn clock_ms(decision: &Decision) -> u64 {
    decision.decided.media.since(decision.first_usable.media).as_millis() as u64
}
