//! What the `match` stage says of shots: when it names, when it waits, when it leaves it to a human.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on should stop")]

use std::sync::{Arc, Mutex};
use std::time::Duration;

use rollcall_pipeline::ports::{Expectations, Judge, Observer};
use rollcall_pipeline::stage::{Outbox, Stage};
use rollcall_pipeline::{
    AttendanceEvent, CameraId, CameraTuning, Chip, Decision, Embedding, Epoch, EventId, EventKind, FaceChip, FrameTime,
    GalleryVersion, Lack, LiveShot, LivenessVerdict, MatchOutcome, MediaTime, ModelId, MonoTime, PersonId, Pose, Rect,
    RoomId, ShotQuality, StreamKey, TimeSource, TrackEnd, TrackId, TrackShot, Tracked, UndecidedReason, WallTime,
};
use rollcall_stages::matching::{Gallery, LivenessSettings, MatchPorts, MatchStage, RecognitionSettings};
use uuid::Uuid;

const ADA: PersonId = PersonId(Uuid::from_u128(1));
const BOB: PersonId = PersonId(Uuid::from_u128(2));

/// Ada is the x axis, Bob the y axis; strangers are elsewhere.
fn face(x: f32, y: f32) -> Embedding {
    let z = (1.0 - x * x - y * y).max(0.0).sqrt();
    embedding(vec![x, y, z, 0.0])
}

fn somebody_else() -> Embedding {
    embedding(vec![0.0, 0.0, 0.0, 1.0])
}

fn embedding(values: Vec<f32>) -> Embedding {
    Embedding::normalized(ModelId::new("test"), values).unwrap()
}

#[derive(Default)]
struct Watched(Mutex<Vec<String>>);

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
struct AsDecided {
    waits_when_small: bool,
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

struct Door {
    stage: MatchStage,
    out: Outbox<AttendanceEvent>,
    watched: Arc<Watched>,
    now_ms: u64,
}

struct Seen {
    track: u64,
    face: Embedding,
    live: Option<f32>,
    x: f32,
}

/// How large and how sharp a face is.
#[derive(Clone, Copy)]
struct View {
    face_px: f32,
    eye_distance_px: f32,
    sharpness: f32,
}

const SMALL: View = View { face_px: 50.0, eye_distance_px: 24.0, sharpness: 0.1 };
const NEAR: View = View { face_px: 100.0, eye_distance_px: 40.0, sharpness: 0.4 };
const BLURRED: View = View { sharpness: 0.2, ..NEAR };

impl Door {
    fn new() -> Self {
        Self::with(None, LivenessSettings { enabled: false, ..LivenessSettings::default() })
    }

    fn with(roster: Option<Arc<[PersonId]>>, liveness: LivenessSettings) -> Self {
        Self::judged_by(AsDecided { waits_when_small: false }, roster, liveness)
    }

    fn judged_by(judge: AsDecided, roster: Option<Arc<[PersonId]>>, liveness: LivenessSettings) -> Self {
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
    fn see(&mut self, seen: Seen) -> Vec<Decision> {
        let view = if seen.live.is_some() { NEAR } else { SMALL };
        self.see_as(view, seen)
    }

    fn see_as(&mut self, view: View, seen: Seen) -> Vec<Decision> {
        self.see_eyes(view, seen, false)
    }

    /// Shows a living face near by, in a track that may have blinked since the shot before.
    fn see_alive(&mut self, face: Embedding, blinked: bool) -> Vec<Decision> {
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
            bbox: Rect { x: seen.x, y: 0.0, w: 50.0, h: 60.0 },
            quality,
            chip,
        };
        self.process(Tracked::Shot(LiveShot { shot, embedding: seen.face, live: seen.live, blinked }))
    }

    fn shot(&mut self, track: u64, face: Embedding) -> Vec<Decision> {
        self.see(Seen { track, face, live: None, x: 0.0 })
    }

    fn lose(&mut self, track: u64) -> Vec<Decision> {
        self.end(track, false)
    }

    fn end(&mut self, track: u64, blinked: bool) -> Vec<Decision> {
        let (first, last) = (self.time(), self.time());
        let track = TrackId(track);
        self.process(Tracked::Ended(TrackEnd { key: key(), track, first, last, frames: 1, blinked, tuning: tuning() }))
    }

    fn wait(&mut self, ms: u64) -> Vec<Decision> {
        self.now_ms += ms;
        let now = self.time();
        self.process(Tracked::Tick(key(), now))
    }

    fn close(&mut self) -> Vec<Decision> {
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

fn names(decisions: &[Decision]) -> Vec<Option<PersonId>> {
    let name = |d: &Decision| match d.outcome {
        MatchOutcome::Identified(found) => Some(found.person),
        MatchOutcome::Ambiguous | MatchOutcome::Unknown => None,
    };
    decisions.iter().map(name).collect()
}

#[test]
fn two_shots_name_only_when_they_are_overwhelming() {
    let mut door = Door::new();
    assert!(door.shot(1, face(0.9, 0.0)).is_empty(), "one shot never names");
    assert_eq!(names(&door.shot(1, face(0.9, 0.0))), [Some(ADA)]);

    let mut door = Door::new();
    for shot in 1..=3 {
        assert!(door.shot(1, face(0.56, 0.0)).is_empty(), "shot {shot}");
    }
    let named: Vec<_> = (0..10).flat_map(|_| names(&door.shot(1, face(0.56, 0.0)))).collect();
    assert_eq!(named, [Some(ADA)], "many good shots name, once");
}

#[test]
fn a_look_alike_and_a_thin_margin_go_to_review_with_the_right_candidate_first() {
    for (shown, lacks) in [(face(0.45, 0.0), Lack::Similarity), (face(0.70, 0.66), Lack::Margin)] {
        let mut door = Door::new();
        for _ in 0..20 {
            assert!(door.shot(1, shown.clone()).is_empty());
        }
        door.lose(1);
        let said = door.wait(5000);
        assert_eq!(said.len(), 1);
        assert_eq!((said[0].outcome, said[0].candidates[0].person), (MatchOutcome::Ambiguous, ADA));
        assert_eq!(said[0].grounds.lacks, Some(lacks));
    }
}

#[test]
fn a_decision_says_what_it_rests_on() {
    let check = |said: Vec<Decision>, needed: f32, agreeing: u32, lacks: Option<Lack>| {
        let grounds = said[0].grounds;
        assert!((grounds.needed - needed).abs() < 1e-6, "{grounds:?}");
        assert_eq!((grounds.agreeing, grounds.lacks), (agreeing, lacks));
    };
    let mut door = Door::new();
    door.shot(1, face(0.9, 0.0));
    check(door.shot(1, face(0.9, 0.0)), 0.62, 2, None);

    let mut door = Door::new();
    door.shot(1, face(0.9, 0.0));
    check(door.close(), 0.62, 1, Some(Lack::Agreement));

    let mut door = Door::new();
    (0..3).for_each(|_| drop(door.shot(1, face(0.1, 0.0))));
    check(door.close(), 0.52, 3, Some(Lack::Similarity));
}

#[test]
fn a_stranger_is_unknown_once_they_cannot_come_back() {
    let mut door = Door::new();
    door.shot(1, somebody_else());
    door.shot(1, somebody_else());
    door.lose(1);
    assert!(door.wait(1000).is_empty(), "they may come back");
    assert_eq!(door.wait(5000).iter().map(|d| d.outcome).collect::<Vec<_>>(), [MatchOutcome::Unknown]);
    assert!(door.close().is_empty(), "said once");
}

#[test]
fn a_track_that_broke_is_joined_by_appearance_and_stays_one_person() {
    let mut door = Door::new();
    door.shot(1, face(0.9, 0.0));
    door.shot(1, face(0.9, 0.0));
    door.lose(1);
    assert!(door.shot(2, face(0.9, 0.1)).is_empty(), "the same person, named already");
    assert!(door.shot(3, somebody_else()).is_empty());
    assert_eq!(*door.watched.0.lock().unwrap(), ["2 from 0 is 1"]);
    let said = door.close();
    assert_eq!(said.iter().map(|d| (d.track, d.outcome)).collect::<Vec<_>>(), [(TrackId(3), MatchOutcome::Unknown)]);
}

#[test]
fn far_away_it_takes_more_likeness_to_join() {
    let near = |x: f32| {
        let mut door = Door::new();
        door.see(Seen { track: 1, face: embedding(vec![0.0, 0.0, 1.0, 0.0]), live: None, x: 0.0 });
        door.lose(1);
        door.see(Seen { track: 2, face: embedding(vec![0.0, 0.0, 0.47, 0.88]), live: None, x });
        door.watched.0.lock().unwrap().len()
    };
    assert_eq!((near(60.0), near(2000.0)), (1, 0));
}

#[test]
fn a_name_does_not_go_along_when_a_track_goes_over_to_somebody_else() {
    let mut door = Door::new();
    door.shot(1, face(0.9, 0.0));
    assert_eq!(names(&door.shot(1, face(0.9, 0.0))), [Some(ADA)]);
    door.shot(1, somebody_else());
    door.shot(1, somebody_else());
    assert_eq!(door.watched.0.lock().unwrap().len(), 1, "the track was cut");
    let said = door.close();
    assert_eq!(said.iter().map(|d| d.outcome).collect::<Vec<_>>(), [MatchOutcome::Unknown]);
    assert_ne!(said[0].track, TrackId(1));
}

#[test]
fn nobody_is_named_by_a_picture_that_shows_somebody_else() {
    let mut door = Door::with(None, LivenessSettings::default());
    let crossing = |face| Seen { track: 1, face, live: Some(0.9), x: 0.0 };
    assert!(door.see(crossing(face(0.9, 0.0))).is_empty());
    assert!(door.see(crossing(face(0.9, 0.0))).is_empty(), "liveness is not told yet");
    assert!(door.see(crossing(face(0.0, 0.6))).is_empty(), "whoever it is, they are not in this picture");
    assert_eq!(names(&door.see(crossing(face(0.9, 0.0)))), [Some(ADA)]);
}

#[test]
fn a_name_waits_for_liveness_but_not_for_ever() {
    let mut door = Door::with(None, LivenessSettings::default());
    let shown = |live| Seen { track: 1, face: face(0.9, 0.0), live: Some(live), x: 0.0 };
    assert!(door.see(shown(0.9)).is_empty());
    assert!(door.see(shown(0.9)).is_empty(), "two checks are no verdict");
    let said = door.see(shown(0.9));
    assert!(matches!((said[0].liveness, names(&said)[0]), (LivenessVerdict::Live(_), Some(ADA))));

    let mut door = Door::with(None, LivenessSettings::default());
    let poorly_lit = || Seen { track: 1, face: face(0.9, 0.0), live: None, x: 0.0 };
    let said: Vec<_> = (0..10).flat_map(|_| door.see_as(NEAR, poorly_lit())).collect();
    assert_eq!(said.len(), 1);
    assert_eq!(said[0].liveness, LivenessVerdict::Undecided(UndecidedReason::TooPoor));
    assert_eq!(clock_ms(&said[0]), 800);
}

/// From the first usable face to the decision.
fn clock_ms(decision: &Decision) -> u64 {
    decision.decided.media.since(decision.first_usable.media).as_millis() as u64
}

#[test]
fn a_small_face_waits_for_a_check_only_where_one_can_still_come() {
    let decided_after = |face_px, waits_when_small| {
        let mut door = Door::judged_by(AsDecided { waits_when_small }, None, LivenessSettings::default());
        let far = View { face_px, ..SMALL };
        let shown = || Seen { track: 1, face: face(0.9, 0.0), live: None, x: 0.0 };
        let said: Vec<_> = (0..10).flat_map(|_| door.see_as(far, shown())).collect();
        assert_eq!(said.len(), 1);
        assert_eq!(said[0].liveness, LivenessVerdict::Undecided(UndecidedReason::TooSmall));
        clock_ms(&said[0])
    };
    assert_eq!(decided_after(50.0, false), 200, "the second shot names");
    assert_eq!(decided_after(70.0, false), 800, "who walks may come near in that time");
    assert_eq!(decided_after(50.0, true), 800, "being decided without is no better than being decided late");
}

#[test]
fn the_clock_starts_with_the_first_usable_face_and_poor_ones_still_count() {
    let shown = || Seen { track: 1, face: face(0.57, 0.0), live: None, x: 0.0 };
    let poor = [View { eye_distance_px: 12.0, ..SMALL }, View { sharpness: 0.05, ..SMALL }];
    let mut door = Door::new();
    assert!(poor.iter().all(|&view| door.see_as(view, shown()).is_empty()));
    let named: Vec<_> = (0..3).flat_map(|_| door.see_as(SMALL, shown())).collect();
    assert_eq!((named.len(), named[0].shots, clock_ms(&named[0])), (1, 4, 200), "two poor ones and two usable ones");

    let mut door = Door::new();
    let named: Vec<_> = (0..9).flat_map(|_| door.see_as(poor[0], shown())).collect();
    assert_eq!((named.len(), clock_ms(&named[0])), (1, 0), "nobody had to wait for what could not be seen");
}

#[test]
fn a_picture_is_a_spoof_and_one_that_is_found_out_late_corrects_the_name() {
    let mut door = Door::with(None, LivenessSettings::default());
    let said: Vec<_> =
        (0..6).flat_map(|_| door.see(Seen { track: 1, face: face(0.9, 0.0), live: Some(0.01), x: 0.0 })).collect();
    assert_eq!(said.len(), 1);
    assert!(matches!(said[0].liveness, LivenessVerdict::Spoof(_)));

    let mut door = Door::with(None, LivenessSettings::default());
    let small: Vec<_> = (0..10).flat_map(|_| door.shot(1, face(0.9, 0.0))).collect();
    let near: Vec<_> =
        (0..5).flat_map(|_| door.see(Seen { track: 1, face: face(0.9, 0.0), live: Some(0.01), x: 0.0 })).collect();
    assert_eq!((small.len(), near.len()), (1, 1));
    assert!(matches!(near[0].liveness, LivenessVerdict::Spoof(_)));
}

#[test]
fn who_is_blurred_is_neither_called_a_picture_nor_alive_until_a_sharp_view_tells() {
    let shown = |live| Seen { track: 1, face: face(0.9, 0.0), live: Some(live), x: 0.0 };
    let mut door = Door::with(None, LivenessSettings::default());
    let blurred: Vec<_> = (0..20).flat_map(|_| door.see_as(BLURRED, shown(0.01))).collect();
    assert_eq!(names(&blurred), [Some(ADA)]);
    assert_eq!(blurred[0].liveness, LivenessVerdict::Undecided(UndecidedReason::Unclear));
    assert_eq!(clock_ms(&blurred[0]), 1600, "twice what a name waits: it might have become a picture");
    let sharp: Vec<_> = (0..3).flat_map(|_| door.see_as(NEAR, shown(0.2))).collect();
    assert!(matches!(sharp[..], [Decision { liveness: LivenessVerdict::Spoof(_), .. }]), "{sharp:?}");

    // Somebody who looks like a picture while they are blurred is alive once three sharp views say so.
    let mut door = Door::with(None, LivenessSettings::default());
    let blurred: Vec<_> = (0..9).flat_map(|_| door.see_as(BLURRED, shown(0.01))).collect();
    assert_eq!(blurred.len(), 1);
    let said: Vec<_> = (0..3).flat_map(|_| door.see_as(NEAR, shown(0.9))).collect();
    assert!(matches!(said[..], [Decision { liveness: LivenessVerdict::Live(_), .. }]), "{said:?}");

    // A picture that looks alive while it is blurred is a picture once three sharp views say so.
    let mut door = Door::with(None, LivenessSettings::default());
    door.see_as(BLURRED, shown(1.0));
    let said: Vec<_> = (0..6).flat_map(|_| door.see_as(NEAR, shown(0.1))).collect();
    assert!(matches!(said[..], [Decision { liveness: LivenessVerdict::Spoof(_), .. }]), "{said:?}");
}

#[test]
fn a_blurred_view_that_looks_alive_does_not_hide_a_picture() {
    let shown = |live| Seen { track: 1, face: face(0.9, 0.0), live: Some(live), x: 0.0 };
    let mut door = Door::with(None, LivenessSettings::default());
    let mut said: Vec<_> = (0..2).flat_map(|_| door.see_as(BLURRED, shown(1.0))).collect();
    said.extend((0..3).flat_map(|_| door.see_as(NEAR, shown(0.01))).collect::<Vec<_>>());
    assert!(matches!(said[..], [Decision { liveness: LivenessVerdict::Spoof(_), .. }]), "{said:?}");
    assert_eq!(clock_ms(&said[0]), 800, "with the third sharp view, though a name waits less");

    // Two sharp views are too few to call it a picture, and enough not to call it alive.
    let mut door = Door::with(None, LivenessSettings::default());
    let mut said: Vec<_> = (0..6).flat_map(|_| door.see_as(BLURRED, shown(0.5))).collect();
    said.extend((0..2).flat_map(|_| door.see_as(NEAR, shown(0.01))).collect::<Vec<_>>());
    said.extend(door.close());
    let unclear = LivenessVerdict::Undecided(UndecidedReason::Unclear);
    assert!(!said.is_empty() && said.iter().all(|decision| decision.liveness == unclear), "{said:?}");
}

#[test]
fn one_bad_check_of_a_living_face_accuses_nobody() {
    let mut door = Door::with(None, LivenessSettings::default());
    door.see(Seen { track: 1, face: somebody_else(), live: Some(0.02), x: 0.0 });
    let said = door.close();
    assert_eq!(said[0].liveness, LivenessVerdict::Undecided(UndecidedReason::Unclear));
}

#[test]
fn who_stays_is_judged_again_for_the_next_session() {
    let mut door = Door::new();
    let said: Vec<_> = (0..400).flat_map(|_| door.shot(1, face(0.9, 0.0))).collect();
    assert_eq!(names(&said), [Some(ADA); 3], "80 s in view, every 30 s");
    assert_eq!(said.iter().map(clock_ms).collect::<Vec<_>>(), [200, 0, 0], "nobody waited half a minute for a name");
    assert!(door.close().is_empty());
}

#[test]
fn the_roster_comes_first_and_who_is_not_on_it_is_named_all_the_same() {
    // Ada is ahead of Bob by 0.07: too thin, unless Bob is not expected.
    let shown = face(0.70, 0.63);
    let mut anybody = Door::new();
    assert!((0..10).all(|_| anybody.shot(1, shown.clone()).is_empty()));
    let mut ada_only = Door::with(Some(Arc::new([ADA])), LivenessSettings { enabled: false, ..Default::default() });
    let said: Vec<_> = (0..10).flat_map(|_| names(&ada_only.shot(1, shown.clone()))).collect();
    assert_eq!(said, [Some(ADA)]);
    let mut bob_only = Door::with(Some(Arc::new([BOB])), LivenessSettings { enabled: false, ..Default::default() });
    let said: Vec<_> = (0..10).flat_map(|_| names(&bob_only.shot(1, face(0.9, 0.0)))).collect();
    assert_eq!(said, [Some(ADA)], "not expected, and named as such");
}

#[test]
fn who_could_not_be_told_alive_in_time_is_judged_again_when_they_can() {
    let mut door = Door::with(None, LivenessSettings::default());
    let shown = |live| Seen { track: 1, face: face(0.9, 0.0), live: Some(live), x: 0.0 };
    let unclear: Vec<_> = (0..10).flat_map(|_| door.see(shown(0.5))).collect();
    assert_eq!(unclear.len(), 1);
    assert_eq!(unclear[0].liveness, LivenessVerdict::Undecided(UndecidedReason::Unclear));
    let clear: Vec<_> = (0..30).flat_map(|_| door.see(shown(0.99))).collect();
    assert_eq!(clear.len(), 1, "once");
    assert!(matches!(clear[0].liveness, LivenessVerdict::Live(_)));
}

#[test]
fn a_blink_is_waited_for_as_long_as_people_take() {
    let settings = LivenessSettings { blink_required: true, ..LivenessSettings::default() };
    let mut door = Door::with(None, settings);
    let shown = |_| Seen { track: 1, face: face(0.9, 0.0), live: Some(0.99), x: 0.0 };
    let said: Vec<_> = (0..40).flat_map(|i| door.see(shown(i))).collect();
    assert_eq!(said.len(), 1);
    assert_eq!(said[0].liveness, LivenessVerdict::Undecided(UndecidedReason::NoBlink));
    assert_eq!(said[0].decided.media.as_millis() - said[0].first_usable.media.as_millis(), 6000);
}

#[test]
fn a_blink_after_the_last_shot_counts() {
    let settings = LivenessSettings { blink_required: true, ..LivenessSettings::default() };
    let shown = |_| Seen { track: 1, face: face(0.9, 0.0), live: Some(0.99), x: 0.0 };
    let verdict = |shots, blinked| {
        let mut door = Door::with(None, settings);
        let mut said: Vec<_> = (0..shots).flat_map(|i| door.see(shown(i))).collect();
        said.extend(door.end(1, blinked));
        said.extend(door.close());
        said.into_iter().map(|decision| decision.liveness).collect::<Vec<_>>()
    };
    let none = LivenessVerdict::Undecided(UndecidedReason::NoBlink);
    assert_eq!(verdict(8, false), [none]);
    let blinked = verdict(8, true);
    assert!(matches!(blinked[..], [LivenessVerdict::Live(_)]), "{blinked:?}");
    let late = verdict(40, true);
    assert!(late[0] == none && matches!(late[1..], [LivenessVerdict::Live(_)]), "waited for too short: {late:?}");
}

#[test]
fn a_living_person_does_not_vouch_for_a_picture_of_somebody_else() {
    let mut door = Door::with(None, LivenessSettings::default());
    let bob = |live| Seen { track: 1, face: face(0.3, 0.5), live: Some(live), x: 0.0 };
    let ada = |live| Seen { track: 1, face: face(0.98, 0.1), live: Some(live), x: 0.0 };
    let before: Vec<_> = (0..4).flat_map(|_| door.see(bob(0.99))).collect();
    assert!(before.is_empty());
    let after: Vec<_> = (0..12).flat_map(|_| door.see(ada(0.01))).collect();
    assert!(names(&after).contains(&Some(ADA)));
    assert!(after.iter().all(|d| !matches!(d.liveness, LivenessVerdict::Live(_))), "{after:?}");
    assert!(after.last().is_some_and(|d| matches!(d.liveness, LivenessVerdict::Spoof(_))), "{after:?}");
}

#[test]
fn who_blinks_does_not_vouch_for_a_picture_that_they_lift() {
    let settings = LivenessSettings { blink_required: true, ..LivenessSettings::default() };
    let (bob, ada) = (|| face(0.3, 0.5), || face(0.98, 0.1));
    let alive = |said: &[Decision]| said.iter().any(|d| matches!(d.liveness, LivenessVerdict::Live(_)));
    // Told by a shot of Bob, or by the first of the picture: it is his blink either way.
    for blinks in [[false, true, false], [false, false, true]] {
        let mut door = Door::with(None, settings);
        door.see_alive(bob(), blinks[0]);
        door.see_alive(bob(), blinks[1]);
        let mut said = door.see_alive(ada(), blinks[2]);
        said.extend((0..40).flat_map(|_| door.see_alive(ada(), false)));
        assert!(names(&said).contains(&Some(ADA)) && !alive(&said), "{said:?}");
    }
    // Her own counts.
    let mut door = Door::with(None, settings);
    (0..2).for_each(|_| drop(door.see_alive(bob(), true)));
    let said: Vec<_> = (0..40).flat_map(|n| door.see_alive(ada(), n == 20)).collect();
    assert!(alive(&said), "{said:?}");
}

#[test]
fn what_is_cut_off_takes_its_own_rows_along_and_no_others() {
    let mut door = Door::new();
    door.shot(2, somebody_else());
    door.shot(2, somebody_else());
    door.lose(2);
    door.shot(1, face(0.9, 0.0));
    door.shot(1, face(0.9, 0.0));
    door.shot(1, somebody_else());
    let cut_at = door.now_ms / 40;
    let told = door.watched.0.lock().unwrap().clone();
    assert_eq!(told.last(), Some(&format!("1 from {cut_at} is 2")));
}
