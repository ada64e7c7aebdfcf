//! The parts that handle numbers and rows: tracker, gallery, spool, PostgreSQL.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use criterion::{BatchSize, BenchmarkId, Criterion, Throughput};
use rollcall_benches::{Numbers, data_dir, face};
use rollcall_pipeline::ports::Matcher;
use rollcall_pipeline::supervisor::Supervisor;
use rollcall_pipeline::{Clock, Detection, GalleryVersion, MediaTime, ModelId, PersonId, SystemClock};
use rollcall_sinks::{Spool, SpoolOptions};
use rollcall_stages::matching::Gallery;
use rollcall_stages::track::{Tracker, TrackerSettings};
use rollcall_store::testing::event_of_nobody;
use rollcall_store::{Cluster, EventRecord, MarkRecord, Sealer, SessionRecord, Store};
use tokio::runtime::Runtime;
use uuid::Uuid;

/// What one event takes in the spool, about.
const RECORD_BYTES: usize = 600;

fn main() {
    let mut criterion = Criterion::default()
        .without_plots()
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(2))
        .sample_size(20)
        .configure_from_args();
    tracker(&mut criterion);
    gallery(&mut criterion);
    spool(&mut criterion);
    postgres(&mut criterion);
    criterion.final_summary();
}

fn tracker(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("tracker");
    for faces in [1u32, 10, 50] {
        let seen: Vec<Vec<Detection>> = (0..64)
            .map(|frame: i32| {
                // To and fro, a few pixels a frame.
                let shift = (frame - 32).abs() as f32 * 2.0;
                (0..faces).map(|i| face((i % 10) as f32 * 180.0 + shift, (i / 10) as f32 * 200.0, 60.0, 0.8)).collect()
            })
            .collect();
        let mut tracker = Tracker::new(TrackerSettings::default());
        let mut frame = 0usize;
        group.bench_function(BenchmarkId::new("faces", faces), |bench| {
            bench.iter(|| {
                frame += 1;
                tracker.update(MediaTime(frame as u64 * 200_000_000), &seen[frame % 64]).seen.len()
            });
        });
    }
}

fn gallery(criterion: &mut Criterion) {
    let model = ModelId::new("bench");
    for dimension in [128, 512] {
        let mut group = criterion.benchmark_group(format!("gallery/{dimension}"));
        // A million is measured beside a peer: see peers/gallery.py.
        for size in [50usize, 1_000, 10_000, 100_000] {
            let mut numbers = Numbers::default();
            let templates =
                (0..size).map(|i| (PersonId(Uuid::from_u128(i as u128)), numbers.embedding(&model, dimension)));
            let gallery = Gallery::new(GalleryVersion(1), model.clone(), templates).expect("templates of one model");
            let probe = numbers.embedding(&model, dimension);
            group.throughput(Throughput::Bytes((size * dimension * size_of::<f32>()) as u64));
            group.bench_function(BenchmarkId::from_parameter(size), |bench| bench.iter(|| gallery.rank(&probe, None)));
        }
    }
}

fn spool(criterion: &mut Criterion) {
    // In the build directory: a temporary directory in memory would sync for nothing.
    let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a writable build directory");
    let mut spool = Spool::open(SpoolOptions::new(dir.path(), 256 << 20)).expect("a new spool");
    let mut group = criterion.benchmark_group("spool append, synced");
    for events in [1usize, 32] {
        let payloads = vec![vec![7u8; RECORD_BYTES]; events];
        group.throughput(Throughput::Elements(events as u64));
        group.bench_function(BenchmarkId::new("events", events), |bench| {
            bench.iter(|| {
                spool.append(&payloads, 0).expect("room");
                if spool.len() > 10_000 {
                    spool.acknowledge(u64::MAX);
                }
            });
        });
    }
}

fn postgres(criterion: &mut Criterion) {
    let runtime = Runtime::new().expect("threads can be started");
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let dir = data_dir().expect("a writable directory on disk");
    let (cluster, store) = match start(dir.path(), &clock, &runtime) {
        Ok(started) => started,
        Err(error) => panic!("{error}: run `make setup`, which installs PostgreSQL"),
    };
    let people: Vec<Uuid> = runtime.block_on(async {
        let mut people = Vec::new();
        for i in 0..128 {
            people.push(store.upsert_person_by_name(&format!("Person {i}")).await.expect("a person").0.0);
        }
        people
    });
    let mut group = criterion.benchmark_group("postgres, events with marks, committed");
    for events in [1usize, 32, 128] {
        group.throughput(Throughput::Elements(events as u64));
        group.bench_function(BenchmarkId::new("events", events), |bench| {
            let batch = || marks(&people[..events], &*clock);
            let write = |batch: Vec<EventRecord>| {
                let written = runtime.block_on(store.write_events(&batch)).expect("a commit");
                assert_eq!(written.marked.len(), events);
            };
            bench.iter_batched(batch, write, BatchSize::PerIteration);
        });
    }
    group.finish();
    runtime.block_on(store.close());
    cluster.stop();
}

fn start(
    dir: &Path,
    clock: &Arc<dyn Clock>,
    runtime: &Runtime,
) -> Result<(Cluster, Store), rollcall_store::StoreError> {
    let cluster = Cluster::start(dir, &Supervisor::new(Arc::clone(clock)))?;
    // The pool belongs to the runtime.
    let _entered = runtime.enter();
    let store = Store::in_cluster(&cluster, Sealer::new([7; 32]), 2);
    runtime.block_on(store.prepare(clock.wall().date_naive()))?;
    Ok((cluster, store))
}

/// Everybody comes to a new session.
fn marks(people: &[Uuid], clock: &dyn Clock) -> Vec<EventRecord> {
    let now = clock.wall();
    let session = SessionRecord {
        id: Uuid::now_v7(),
        room: "bench".to_owned(),
        kind: "timetabled".to_owned(),
        starts_at: now,
        ends_at: now + chrono::Duration::hours(1),
        local_date: now.date_naive(),
    };
    let event = |&person: &Uuid| EventRecord {
        person: Some(person),
        room: session.room.clone(),
        mark: Some(MarkRecord { person, session: session.clone(), status: "present".to_owned() }),
        ..event_of_nobody(Uuid::now_v7(), "recorded", now)
    };
    people.iter().map(event).collect()
}
