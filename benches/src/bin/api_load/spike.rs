//! Nine o'clock: everybody comes within a minute, somebody checks in by picture in one room after the other, and dashboards look on.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, ensure};
use chrono::TimeDelta;
use rollcall_pipeline::event::{Session, SessionKind};
use rollcall_pipeline::ports::EventSink;
use rollcall_pipeline::supervisor::Supervisor;
use rollcall_pipeline::{
    AttendanceEvent, CameraId, CameraTuning, Candidate, Clock, Decision, Epoch, EventId, EventKind, FrameTime,
    GalleryVersion, Grounds, LivenessVerdict, Mark, MarkStatus, Match, MatchOutcome, MediaTime, ModelId, MonoTime,
    PersonId, RoomId, SessionId, StreamKey, SystemClock, TimeSource, TrackId,
};
use rollcall_sinks::{PgSink, PgSinkOptions};
use rollcall_store::Store;
use rollcall_store::testing::Load;
use tokio::runtime::Runtime;
use uuid::Uuid;

use crate::Options;
use crate::daemon::Daemon;
use crate::http::{Figures, steadily, wait_until};
use crate::kiosk::Kiosk;

/// People of a room.
const A_ROOM: usize = 50;
/// The dashboards ask so often, all together.
const ASKED_EVERY: Duration = Duration::from_millis(10);

/// Sends the events through a sink of this process, as the lane does, one by one, and asks the API meanwhile. A mark's time is
/// from when its person came, so that waiting for the ones before counts.
pub(crate) fn measure(
    options: &Options,
    daemon: &Daemon,
    store: &Store,
    runtime: &Runtime,
    filled: &Load,
) -> anyhow::Result<String> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let events = events(filled, &*clock);
    let over = Duration::from_secs(options.spike_seconds);
    let kiosk = Kiosk::prepare(daemon, &filled.rooms, &*clock)?;
    let (sent, before) = (events.len() + kiosk.marks(), counted(daemon, filled)?);
    let spool = PgSinkOptions::new(ModelId::new("bench"), daemon.dir().join("bench-spool"));
    let supervisor = Supervisor::new(Arc::clone(&clock));
    let mut sink = PgSink::open(store.clone(), runtime.handle().clone(), Arc::clone(&clock), &supervisor, spool)?;
    let (monitor, watch) = (sink.monitor(), sink.monitor());
    let boards: Vec<_> = filled.rooms.iter().map(|room| format!("/api/v1/rooms/{room}/board")).collect();
    let lane_clock = Arc::clone(&clock);
    let lane =
        std::thread::Builder::new().name("lane".to_owned()).spawn(move || -> anyhow::Result<(Vec<f64>, usize)> {
            // What lies on disk is committed later than is told here.
            let (began, mut took, mut late) = (lane_clock.mono(), Vec::with_capacity(events.len()), 0);
            for (n, event) in events.iter().enumerate() {
                let due = over.mul_f64(n as f64 / events.len() as f64);
                wait_until(&*lane_clock, began, due);
                sink.accept(std::slice::from_ref(event)).context("the sink takes nothing")?;
                late += usize::from(watch.status().spooled > 0);
                took.push(lane_clock.mono().since(began).saturating_sub(due).as_secs_f64());
            }
            Ok((took, late))
        })?;
    let (asked, checked_in) = std::thread::scope(|scope| {
        let checks = scope.spawn(|| kiosk.check_in(daemon, over, &*clock));
        let asked = runtime.block_on(steadily(daemon, &boards, ASKED_EVERY, over, &*clock));
        (asked, checks.join())
    });
    let gone = |_| anyhow::anyhow!("a sender panicked");
    let (asked, checked_in) = (asked?, Figures::new(checked_in.map_err(gone)??, over));
    let (commits, late) = lane.join().map_err(gone)??;
    let commits = Figures::new(commits, over);
    let written = counted(daemon, filled)? - before;
    let status = monitor.status();
    ensure!(status.spooled == 0 && status.rejected == 0, "{status:?}");
    ensure!(written == sent as u64, "{sent} marks were sent, and {written} rows are counted");
    Ok(format!(
        "Nine o'clock: {} rooms of {A_ROOM} people within {} s, and {} check in by picture: {sent} sent, {written} rows counted. \
         The marks are ready-made: no camera takes part. {late} went to the spool, or came while it was not empty, and were committed \
         later than is told.\n\n\
         | | a second | p50 | p95 | p99 |\n| --- | ---: | ---: | ---: | ---: |\n\
         | mark, from arrival to commit | {commits} |\n\
         | check-in by picture, from request to answer | {checked_in} |\n| board of a room, meanwhile | {asked} |",
        filled.rooms.len(),
        options.spike_seconds,
        kiosk.marks(),
    ))
}

/// Present people of the last day, as the API counts them.
fn counted(daemon: &Daemon, filled: &Load) -> anyhow::Result<u64> {
    // What is opened now may be of tomorrow where the site is.
    let (from, to) = (filled.to, filled.to + TimeDelta::days(1));
    let told = daemon.get(&format!("/api/v1/analytics/summary?from={from}&to={to}&site_id=big"))?;
    told["tally"]["present"].as_u64().context("no tally")
}

/// Everybody comes to a new session of their room; the rooms take turns.
fn events(filled: &Load, clock: &dyn Clock) -> Vec<AttendanceEvent> {
    let captured = clock.wall();
    let rooms: Vec<(RoomId, StreamKey, Session)> = filled
        .rooms
        .iter()
        .map(|room| {
            let room = RoomId::new(room.clone());
            let key = StreamKey { camera: CameraId::new(format!("door-{room}")), epoch: Epoch(Uuid::now_v7()) };
            let session = Session {
                id: SessionId(Uuid::now_v7()),
                room: room.clone(),
                kind: SessionKind::Timetabled,
                starts_at: captured,
                ends_at: captured + TimeDelta::hours(1),
                local_date: filled.to,
            };
            (room, key, session)
        })
        .collect();
    let mut events = Vec::new();
    for turn in 0..A_ROOM {
        for (n, (room, key, session)) in rooms.iter().enumerate() {
            let person = PersonId(filled.people[(n * A_ROOM + turn) % filled.people.len()]);
            let track = TrackId(turn as u64);
            let media = MediaTime(turn as u64 * 1_000_000_000);
            let time = FrameTime { media, received: MonoTime(Duration::ZERO), captured, source: TimeSource::Ntp };
            events.push(AttendanceEvent {
                id: EventId::derive(key, track, Some(person), EventKind::Recorded.as_str(), 0),
                kind: EventKind::Recorded,
                mark: Some(Mark { person, session: session.clone(), status: MarkStatus::Present }),
                repeats: None,
                decision: Decision {
                    key: key.clone(),
                    track,
                    first_seen: time,
                    first_usable: time,
                    decided: time,
                    tuning: Arc::new(tuning(room)),
                    outcome: MatchOutcome::Identified(Match { person, similarity: 0.75, margin: 0.5 }),
                    grounds: Grounds::default(),
                    candidates: vec![Candidate { person, similarity: 0.75 }],
                    liveness: LivenessVerdict::Live(0.9),
                    shots: 3,
                    gallery: GalleryVersion(1),
                    best: None,
                    face: None,
                },
            });
        }
    }
    events
}

fn tuning(room: &RoomId) -> CameraTuning {
    CameraTuning {
        room: room.clone(),
        direction: None,
        analysis_fps: 5.0,
        detect_size: 640,
        min_face_px: 24.0,
        still_interval_s: 0.0,
        regions_of_interest: Vec::new(),
        privacy_masks: Vec::new(),
    }
}
