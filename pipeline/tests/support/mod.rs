//! Frames without pictures, and a lane of stages that do nothing but tell what they see, and misbehave on request.
#![allow(dead_code, unreachable_pub, reason = "each test file uses its part")]
#![allow(clippy::unwrap_used, reason = "helpers of tests are tests")]

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, unbounded};
use parking_lot::Mutex;
use rollcall_pipeline::image::I420;
use rollcall_pipeline::{
    Activity, AttendanceEvent, Attention, CameraId, CameraTuning, Chip, Decision, EmbeddedShot, Embedding, Epoch,
    EventId, EventKind, FaceChip, Fault, Frame, FrameFaces, FrameMux, FrameTime, GalleryVersion, Grounds, Image, Lane,
    LaneError, LaneFactory, LaneOptions, LaneStages, LiveShot, LivenessVerdict, ManualClock, MatchOutcome, MediaTime,
    ModelId, MonoTime, MuxMode, Outbox, Pose, Rect, RoomId, ShotQuality, Stage, StreamKey, Supervisor, ThreadHealth,
    TimeSource, TrackId, TrackShot, Tracked, UndecidedReason, WallTime, ports::EventSink,
};

/// Longer than anything here takes; only a broken lane waits so long.
pub const PATIENCE: Duration = Duration::from_secs(20);

pub fn camera(n: usize) -> CameraId {
    CameraId::new(format!("door-{n}"))
}

pub fn capacity(n: usize) -> NonZeroUsize {
    NonZeroUsize::new(n).unwrap()
}

pub fn frame(seq: u64) -> Frame {
    let tuning = CameraTuning {
        room: RoomId::new("hall"),
        direction: None,
        analysis_fps: 0.0,
        detect_size: 640,
        min_face_px: 24.0,
        still_interval_s: 0.0,
        regions_of_interest: Vec::new(),
        privacy_masks: Vec::new(),
    };
    Frame {
        key: StreamKey { camera: CameraId::new("set by the mux"), epoch: Epoch(uuid::Uuid::nil()) },
        seq,
        time: time(seq),
        image: Image::new(I420::filled(2, 2, [0, 0, 0])),
        tuning: Arc::new(tuning),
        attention: Attention::default(),
    }
}

fn time(seq: u64) -> FrameTime {
    FrameTime {
        media: MediaTime(seq * 40_000_000),
        received: MonoTime(Duration::ZERO),
        captured: WallTime::UNIX_EPOCH,
        source: TimeSource::Estimate,
    }
}

/// What a stage met.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    pub generation: u64,
    pub stage: &'static str,
    pub key: StreamKey,
    pub what: What,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What {
    Open,
    Item(u64),
    Close,
}

type Hook = Box<dyn Fn(&Seen) -> Result<(), Fault> + Send + Sync>;

/// What all stages share: they tell it what they meet, and it tells them what to do: go on, fail, panic, or wait.
pub struct Kit {
    hook: Hook,
    tell: Sender<Seen>,
}

impl Kit {
    fn meet(&self, generation: u64, stage: &'static str, key: &StreamKey, what: What) -> Result<(), Fault> {
        let seen = Seen { generation, stage, key: key.clone(), what };
        self.tell.send(seen.clone()).unwrap();
        (self.hook)(&seen)
    }
}

/// A stage that maps each item.
pub struct Fake<const STAGE: usize> {
    kit: Arc<Kit>,
    generation: u64,
}

macro_rules! fake {
    ($n:literal, $name:literal, $in:ty => $out:ty, $key:expr, $map:expr) => {
        impl Stage for Fake<$n> {
            const NAME: &'static str = $name;
            type In = $in;
            type Out = $out;

            fn process(&mut self, batch: Vec<$in>, out: &mut Outbox<$out>) -> Result<(), Fault> {
                for item in batch {
                    let (key, seq): (StreamKey, u64) = $key(&item);
                    self.kit.meet(self.generation, $name, &key, What::Item(seq))?;
                    out.send($map(item));
                }
                Ok(())
            }

            fn on_open(&mut self, key: &StreamKey) -> Result<(), Fault> {
                self.kit.meet(self.generation, $name, key, What::Open)
            }

            fn on_close(&mut self, key: &StreamKey, _: &mut Outbox<$out>) -> Result<(), Fault> {
                self.kit.meet(self.generation, $name, key, What::Close)
            }
        }
    };
}

fn of_tracked<S>(item: Tracked<S>) -> S {
    match item {
        Tracked::Shot(shot) => shot,
        _ => panic!("the fakes send shots only"),
    }
}

fn key_of<S>(item: &Tracked<S>, shot: impl Fn(&S) -> &TrackShot) -> (StreamKey, u64) {
    match item {
        Tracked::Shot(s) => (shot(s).key.clone(), shot(s).seq),
        _ => panic!("the fakes send shots only"),
    }
}

fake!(0, "detect", Frame => FrameFaces, |f: &Frame| (f.key.clone(), f.seq), |frame| FrameFaces { frame, faces: Vec::new(), searched: 1.0 });
fake!(1, "track", FrameFaces => Tracked<TrackShot>, |f: &FrameFaces| (f.frame.key.clone(), f.frame.seq),
    |f: FrameFaces| Tracked::Shot(shot(&f.frame)));
fake!(2, "embed", Tracked<TrackShot> => Tracked<EmbeddedShot>, |t| key_of(t, |s: &TrackShot| s),
    |t| Tracked::Shot(EmbeddedShot { shot: of_tracked(t), embedding: embedding() }));
fake!(3, "liveness", Tracked<EmbeddedShot> => Tracked<LiveShot>, |t| key_of(t, |s: &EmbeddedShot| &s.shot), |t| {
    let EmbeddedShot { shot, embedding } = of_tracked(t);
    Tracked::Shot(LiveShot { shot, embedding, live: None, blinked: false })
});
fake!(4, "match", Tracked<LiveShot> => AttendanceEvent, |t| key_of(t, |s: &LiveShot| &s.shot),
    |t: Tracked<LiveShot>| event(of_tracked(t).shot));

fn embedding() -> Embedding {
    Embedding::normalized(ModelId::new("fake"), vec![1.0]).unwrap()
}

fn shot(frame: &Frame) -> TrackShot {
    let quality = ShotQuality {
        eye_distance_px: 40.0,
        face_px: 80.0,
        pose: Pose::default(),
        sharpness: 1.0,
        brightness: 128.0,
        contrast: 40.0,
        score: 0.9,
        weight: 1.0,
    };
    TrackShot {
        key: frame.key.clone(),
        track: TrackId(frame.seq),
        seq: frame.seq,
        time: frame.time,
        tuning: Arc::clone(&frame.tuning),
        bbox: Rect { x: 0.0, y: 0.0, w: 1.0, h: 1.0 },
        quality,
        chip: FaceChip { aligned: Chip { side: 0, rgb: Vec::new() }, context: Vec::new() },
    }
}

fn event(shot: TrackShot) -> AttendanceEvent {
    AttendanceEvent {
        id: EventId::derive(&shot.key, shot.track, None, "unknown", 0),
        kind: EventKind::Unknown,
        mark: None,
        repeats: None,
        decision: Decision {
            key: shot.key,
            track: shot.track,
            first_seen: shot.time,
            first_usable: shot.time,
            decided: shot.time,
            tuning: shot.tuning,
            outcome: MatchOutcome::Unknown,
            grounds: Grounds::default(),
            candidates: Vec::new(),
            liveness: LivenessVerdict::Undecided(UndecidedReason::Off),
            shots: 1,
            gallery: GalleryVersion(0),
            best: None,
            face: None,
        },
    }
}

type Build = Box<dyn FnMut(u64) -> Result<(), Fault> + Send>;

struct Factory {
    kit: Arc<Kit>,
    generation: u64,
    before: Build,
}

impl LaneFactory for Factory {
    type Detect = Fake<0>;
    type Track = Fake<1>;
    type Embed = Fake<2>;
    type Liveness = Fake<3>;
    type Match = Fake<4>;

    fn build(&mut self) -> Result<LaneStages<Self>, Fault> {
        self.generation += 1;
        (self.before)(self.generation)?;
        let (kit, generation) = (&self.kit, self.generation);
        Ok(LaneStages {
            detect: Fake { kit: Arc::clone(kit), generation },
            track: Fake { kit: Arc::clone(kit), generation },
            embed: Fake { kit: Arc::clone(kit), generation },
            liveness: Fake { kit: Arc::clone(kit), generation },
            matching: Fake { kit: Arc::clone(kit), generation },
        })
    }
}

/// A sink that keeps what it accepted.
struct FakeSink {
    kit: Arc<Kit>,
    accepted: Arc<Mutex<Vec<AttendanceEvent>>>,
}

impl EventSink for FakeSink {
    fn accept(&mut self, batch: &[AttendanceEvent]) -> Result<(), Fault> {
        for event in batch {
            self.kit.meet(0, "sink", &event.decision.key, What::Item(event.decision.track.0))?;
            self.accepted.lock().push(event.clone());
        }
        Ok(())
    }
}

/// The frames of each camera whose events arrived, in order of arrival.
pub type Events = BTreeMap<CameraId, Vec<u64>>;

/// A lane of fakes, and all that is seen in it.
pub struct Rig {
    pub lane: Lane,
    pub mux: FrameMux,
    pub clock: Arc<ManualClock>,
    pub supervisor: Supervisor,
    pub accepted: Arc<Mutex<Vec<AttendanceEvent>>>,
    told: Receiver<Seen>,
    pub seen: Vec<Seen>,
}

pub struct Plan {
    pub mode: MuxMode,
    pub capacity: usize,
    pub hook: Hook,
    pub build: Build,
    pub max_restarts: usize,
}

impl Default for Plan {
    fn default() -> Self {
        Self {
            mode: MuxMode::Evict,
            capacity: 2,
            hook: Box::new(|_| Ok(())),
            build: Box::new(|_| Ok(())),
            max_restarts: 5,
        }
    }
}

impl Plan {
    pub fn hook(hook: impl Fn(&Seen) -> Result<(), Fault> + Send + Sync + 'static) -> Self {
        Self { hook: Box::new(hook), ..Self::default() }
    }

    pub fn try_start(self) -> Result<Rig, LaneError> {
        let clock = Arc::new(ManualClock::default());
        let supervisor = Supervisor::new(Arc::clone(&clock) as _);
        let mux = FrameMux::new(self.mode, capacity(self.capacity));
        let (tell, told) = unbounded();
        let kit = Arc::new(Kit { hook: self.hook, tell });
        let accepted = Arc::<Mutex<Vec<_>>>::default();
        let sink = FakeSink { kit: Arc::clone(&kit), accepted: Arc::clone(&accepted) };
        let factory = Factory { kit, generation: 0, before: self.build };
        let options = LaneOptions {
            check_every: Duration::from_millis(1),
            max_restarts: self.max_restarts,
            ..LaneOptions::live()
        };
        let lane = Lane::spawn(factory, Box::new(sink), &mux, &supervisor, options)?;
        Ok(Rig { lane, mux, clock, supervisor, accepted, told, seen: Vec::new() })
    }

    pub fn start(self) -> Rig {
        self.try_start().unwrap()
    }
}

impl Rig {
    /// Waits until something was seen; all that was seen before it is kept too.
    pub fn wait(&mut self, what: impl Fn(&Seen) -> bool) -> Seen {
        loop {
            let seen = self.told.recv_timeout(PATIENCE).unwrap_or_else(|e| panic!("{e}; seen: {:#?}", self.seen));
            self.seen.push(seen.clone());
            if what(&seen) {
                return seen;
            }
        }
    }

    /// Waits until a stage got an item.
    pub fn wait_item(&mut self, stage: &str, seq: u64) -> Seen {
        self.wait(|s| s.stage == stage && s.what == What::Item(seq))
    }

    /// Moves the clock when no stage but `busy` is still on its way back to its queue: that one would seem to hang.
    pub fn advance(&self, by: Duration, busy: &[&str]) {
        let on_its_way = |t: &ThreadHealth| t.activity == Activity::Busy && !busy.contains(&&*t.name);
        while self.supervisor.threads().iter().any(on_its_way) {
            std::thread::yield_now();
        }
        self.clock.advance(by);
    }

    /// Ends the lane; gives how it ended, what arrived and what was seen.
    pub fn finish(mut self) -> (Result<(), LaneError>, Events, Vec<Seen>) {
        let ended = self.lane.shutdown(PATIENCE).map(drop);
        assert_eq!(self.supervisor.join_all(PATIENCE), Ok(()), "threads are left");
        self.seen.extend(self.told.try_iter());
        let mut events = Events::new();
        for event in self.accepted.lock().iter() {
            events.entry(event.decision.key.camera.clone()).or_default().push(event.decision.track.0);
        }
        (ended, events, self.seen)
    }
}

/// A gate that stands closed until it is opened or dropped.
pub fn gate() -> (Sender<()>, impl Fn() + Send + Sync + 'static) {
    let (open, closed) = unbounded::<()>();
    (open, move || _ = closed.recv_timeout(PATIENCE))
}
