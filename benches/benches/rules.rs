//! The rules of attendance: what a decision comes to, for somebody who was marked already and for somebody who was not.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use chrono::TimeDelta;
use criterion::{BatchSize, BenchmarkId, Criterion};
use rollcall_attendance::{DecisionPolicy, Register, RoomPlan, Schedule, SitePlan};
use rollcall_pipeline::config::Config;
use rollcall_pipeline::{
    CameraId, CameraTuning, Decision, Epoch, EventKind, FrameTime, GalleryVersion, Grounds, LivenessVerdict, Match,
    MatchOutcome, MediaTime, MonoTime, PersonId, RoomId, StreamKey, TimeSource, TrackId, WallTime,
};
use uuid::Uuid;

const CAMERA: &str =
    "[[rooms]]\nid = \"lab\"\n[[cameras]]\nid = \"door\"\nroom = \"lab\"\nstreams.detect = \"rtsp://192.0.2.1/\"";
const DEBOUNCE: Duration = Duration::from_secs(30);

fn main() {
    let mut criterion = Criterion::default()
        .without_plots()
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_secs(1))
        .sample_size(20)
        .configure_from_args();
    debounce(&mut criterion);
    criterion.final_summary();
}

fn debounce(criterion: &mut Criterion) {
    let config = Config::parse(CAMERA, Path::new("bench.toml"), HashMap::new()).expect("a valid configuration");
    let tuning = Arc::new(config.cameras[0].tuning.clone());
    let room = RoomPlan::new(RoomId::new("lab"));
    let plan = SitePlan { time_zone: chrono_tz::Europe::Berlin, rooms: vec![room] };
    let (schedule, policy) = (Schedule::new(&plan).expect("a plan without problems"), DecisionPolicy::default());
    let start: WallTime = "2026-03-02T08:00:00Z".parse().expect("a time");
    let mut group = criterion.benchmark_group("debounce");
    for people in [1u128, 1_000, 10_000] {
        let mut marked = Register::new(DEBOUNCE);
        for person in 0..people {
            let event = marked.judge(seen(person, start, &tuning), &schedule, &policy);
            assert_eq!(event.kind, EventKind::Recorded);
        }
        let mut person = 0;
        group.bench_function(BenchmarkId::new("marked before, people", people), |bench| {
            bench.iter_batched(
                || {
                    person = (person + 1) % people;
                    seen(person, start + TimeDelta::seconds(5), &tuning)
                },
                |decision| {
                    let event = marked.judge(decision, &schedule, &policy);
                    assert_eq!(event.kind, EventKind::Debounced);
                },
                BatchSize::SmallInput,
            );
        });
    }
    group.bench_function("a first mark", |bench| {
        bench.iter_batched(
            || (Register::new(DEBOUNCE), seen(1, start, &tuning)),
            |(mut register, decision)| register.judge(decision, &schedule, &policy).kind,
            BatchSize::SmallInput,
        );
    });
    group.finish();
}

/// A living person who is named at a moment, on a track of their own.
fn seen(person: u128, at: WallTime, tuning: &Arc<CameraTuning>) -> Decision {
    let time = FrameTime {
        media: MediaTime(at.timestamp_millis().unsigned_abs() * 1_000_000),
        received: MonoTime(Duration::ZERO),
        captured: at,
        source: TimeSource::Ntp,
    };
    Decision {
        key: StreamKey { camera: CameraId::new("door"), epoch: Epoch(Uuid::from_u128(7)) },
        track: TrackId(person as u64),
        first_seen: time,
        first_usable: time,
        decided: time,
        tuning: Arc::clone(tuning),
        outcome: MatchOutcome::Identified(Match {
            person: PersonId(Uuid::from_u128(person)),
            similarity: 0.6,
            margin: 0.3,
        }),
        grounds: Grounds::default(),
        candidates: Vec::new(),
        liveness: LivenessVerdict::Live(0.9),
        shots: 3,
        gallery: GalleryVersion(1),
        best: None,
        face: None,
    }
}
