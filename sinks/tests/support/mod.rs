//! Events to write, and a sink to write them with.
#![allow(dead_code, reason = "each test binary uses a part")]

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use chrono::{NaiveDate, TimeZone, Utc};
use rollcall_pipeline::clock::SystemClock;
use rollcall_pipeline::event::{Session, SessionKind};
use rollcall_pipeline::{
    AttendanceEvent, CameraId, CameraTuning, Candidate, Chip, Decision, Embedding, Epoch, EventId, EventKind,
    FrameTime, GalleryVersion, Grounds, LivenessVerdict, Mark, MarkStatus, Match, MatchOutcome, MediaTime, ModelId,
    MonoTime, PersonId, RoomId, SessionId, StreamKey, TimeSource, TrackId, WallTime,
};
use rollcall_sinks::{PgSink, PgSinkOptions, SinkMonitor};
use rollcall_store::Store;
use tokio::runtime::Runtime;
use uuid::Uuid;

pub(crate) fn at(second: i64) -> WallTime {
    Utc.with_ymd_and_hms(2026, 3, 2, 8, 0, 0).unwrap() + chrono::Duration::seconds(second)
}

pub(crate) fn person(n: u128) -> PersonId {
    PersonId(Uuid::from_u128(n))
}

fn tuning() -> CameraTuning {
    CameraTuning {
        room: RoomId::new("room-1"),
        direction: None,
        analysis_fps: 5.0,
        detect_size: 640,
        min_face_px: 24.0,
        still_interval_s: 0.0,
        regions_of_interest: vec![],
        privacy_masks: vec![],
    }
}

pub(crate) fn session() -> Session {
    Session {
        id: SessionId(Uuid::from_u128(1)),
        room: RoomId::new("room-1"),
        kind: SessionKind::Day,
        starts_at: at(-8 * 3600),
        ends_at: at(16 * 3600),
        local_date: NaiveDate::from_ymd_opt(2026, 3, 2).unwrap(),
    }
}

/// The `n`-th event: of `kind`, about `who`, at second `n`.
pub(crate) fn event(n: u64, kind: EventKind, who: Option<PersonId>) -> AttendanceEvent {
    let time = FrameTime {
        media: MediaTime(n * 1_000_000_000),
        received: MonoTime(Duration::ZERO),
        captured: at(n as i64),
        source: TimeSource::Ntp,
    };
    let key = StreamKey { camera: CameraId::new("door-1"), epoch: Epoch(Uuid::from_u128(9)) };
    let outcome = match (kind, who) {
        (EventKind::Unknown, _) => MatchOutcome::Unknown,
        (EventKind::Ambiguous, _) | (_, None) => MatchOutcome::Ambiguous,
        (_, Some(person)) => MatchOutcome::Identified(Match { person, similarity: 0.75, margin: 0.5 }),
    };
    let marks = matches!(kind, EventKind::Recorded | EventKind::OffRoster | EventKind::OffSchedule);
    AttendanceEvent {
        id: EventId::derive(&key, TrackId(n), who, kind.as_str(), 0),
        kind,
        mark: who.filter(|_| marks).map(|person| Mark { person, session: session(), status: MarkStatus::Present }),
        repeats: None,
        decision: Decision {
            key,
            track: TrackId(n),
            first_seen: time,
            first_usable: time,
            decided: time,
            tuning: Arc::new(tuning()),
            outcome,
            grounds: Grounds::default(),
            candidates: who.map(|person| Candidate { person, similarity: 0.75 }).into_iter().collect(),
            liveness: LivenessVerdict::Live(0.875),
            shots: 3,
            gallery: GalleryVersion(4),
            best: Some(Arc::new(Chip { side: 16, rgb: vec![128; 16 * 16 * 3] })),
            face: Embedding::normalized(ModelId::new("sface"), vec![1.0, n as f32]),
        },
    }
}

/// A sink that waits for the database however busy the machine is: what it accepted is committed, unless a test says otherwise.
pub(crate) fn sink(store: &Store, runtime: &Runtime, spool: &Path, change: impl FnOnce(&mut PgSinkOptions)) -> PgSink {
    let mut options = PgSinkOptions::new(ModelId::new("sface"), spool);
    options.write_budget = Duration::from_secs(60);
    change(&mut options);
    let supervisor = rollcall_store::testing::supervisor();
    PgSink::open(store.clone(), runtime.handle().clone(), Arc::new(SystemClock), &supervisor, options).unwrap()
}

pub(crate) fn runtime() -> Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap()
}

/// Asks until the answer is yes.
pub(crate) fn wait_until(runtime: &Runtime, what: &str, mut question: impl FnMut() -> bool) {
    let asked = async {
        while !question() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    runtime.block_on(async { tokio::time::timeout(Duration::from_secs(60), asked).await }).expect(what);
}

pub(crate) fn wait_until_drained(runtime: &Runtime, monitor: &SinkMonitor) {
    wait_until(runtime, "an empty spool", || monitor.status().spooled == 0);
}
