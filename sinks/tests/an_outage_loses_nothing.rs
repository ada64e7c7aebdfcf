//! The database away at start, killed in the middle, out of connections; the spool full, or sealed with another key.
#![allow(clippy::unwrap_used, reason = "helpers of tests are tests")]

mod support;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use rollcall_pipeline::ports::EventSink;
use rollcall_pipeline::{AttendanceEvent, Clock, ErrorClass, EventKind, ModelId, MonoTime, SystemClock, WallTime};
use rollcall_sinks::{PgSink, PgSinkOptions};
use rollcall_store::testing::{KEY, data_dir, store, supervisor};
use rollcall_store::{Cluster, Sealer, Store};
use sqlx::ConnectOptions;
use sqlx::postgres::PgConnectOptions;
use support::{event, runtime, sink, wait_until, wait_until_drained};
use tokio::runtime::Runtime;

fn start(dir: &Path) -> Cluster {
    Cluster::start(dir, &supervisor()).unwrap()
}

/// A data directory whose cluster is not running, and how it will be reached.
fn stopped_cluster() -> (tempfile::TempDir, PgConnectOptions) {
    let dir = data_dir();
    let cluster = start(dir.path());
    let options = cluster.connect_options().clone();
    cluster.stop();
    (dir, options)
}

fn store_at(runtime: &Runtime, options: PgConnectOptions) -> Store {
    let _entered = runtime.enter();
    Store::new(options, Sealer::new(KEY), 5)
}

fn strangers(tracks: std::ops::RangeInclusive<u64>) -> Vec<AttendanceEvent> {
    tracks.map(|n| event(n, EventKind::Unknown, None)).collect()
}

fn impatient(options: &mut PgSinkOptions) {
    options.write_budget = Duration::from_millis(100);
}

fn alter(runtime: &Runtime, options: &PgConnectOptions, sql: &'static str) {
    runtime.block_on(async {
        let mut connection = options.connect().await.unwrap();
        sqlx::query(sql).execute(&mut connection).await.unwrap();
    });
}

/// The tracks of all events in the order in which they were written.
fn tracks_written(runtime: &Runtime, options: &PgConnectOptions) -> Vec<i64> {
    runtime.block_on(async {
        let mut connection = options.connect().await.unwrap();
        sqlx::query_scalar("select track_id from events order by recorded_at, track_id")
            .fetch_all(&mut connection)
            .await
            .unwrap()
    })
}

#[test]
fn a_database_that_is_away_at_start_gets_everything_later_in_order() {
    let (runtime, spool) = (runtime(), data_dir());
    let (dir, options) = stopped_cluster();
    let store = store_at(&runtime, options.clone());
    let mut first = sink(&store, &runtime, spool.path(), impatient);
    for part in strangers(1..=20).chunks(3) {
        first.accept(part).unwrap();
    }
    let status = first.monitor().status();
    assert_eq!(status.spooled, 20);
    wait_until(&runtime, "a complaint", || first.monitor().status().trouble.is_some());
    // The daemon, too, is started anew; and one that is patient writes at once what comes when all is well again.
    drop(first);
    let mut second = sink(&store, &runtime, spool.path(), |_| {});
    assert_eq!(second.monitor().status().spooled, 20);
    second.accept(&strangers(21..=25)).unwrap();

    let _cluster = start(dir.path());
    wait_until_drained(&runtime, &second.monitor());
    assert_eq!(tracks_written(&runtime, &options), (1..=25).collect::<Vec<_>>());
    second.accept(&strangers(26..=26)).unwrap();
    let status = second.monitor().status();
    assert_eq!((status.spooled, status.spool_bytes, status.trouble), (0, 0, None), "back to normal");
    assert_eq!(tracks_written(&runtime, &options).len(), 26);
}

/// The system's, but the drainer panics when it first asks it.
#[derive(Debug, Default)]
struct FailsTheDrainerOnce(AtomicBool);

impl Clock for FailsTheDrainerOnce {
    fn mono(&self) -> MonoTime {
        let drainer = std::thread::current().name() == Some("spool-drain");
        assert!(!drainer || self.0.swap(true, Ordering::Relaxed), "the first time");
        SystemClock.mono()
    }

    fn wall(&self) -> WallTime {
        SystemClock.wall()
    }
}

#[test]
fn a_drainer_that_panics_goes_on_where_it_was() {
    let (runtime, spool) = (runtime(), data_dir());
    let (dir, options) = stopped_cluster();
    let store = store_at(&runtime, options.clone());
    let mut settings = PgSinkOptions::new(ModelId::new("sface"), spool.path());
    impatient(&mut settings);
    let mut sink = PgSink::open(
        store,
        runtime.handle().clone(),
        Arc::new(FailsTheDrainerOnce::default()),
        &supervisor(),
        settings,
    )
    .unwrap();
    sink.accept(&strangers(1..=3)).unwrap();
    let told = || sink.monitor().status().trouble.is_some_and(|trouble| trouble.contains("the first time"));
    wait_until(&runtime, "that the panic is told", told);
    let _cluster = start(dir.path());
    wait_until_drained(&runtime, &sink.monitor());
    assert_eq!(tracks_written(&runtime, &options), [1, 2, 3]);
    assert_eq!(sink.monitor().status().trouble, None);
}

#[test]
fn a_postmaster_that_is_killed_in_the_middle_costs_nothing() {
    let (runtime, spool, dir) = (runtime(), data_dir(), data_dir());
    let cluster = start(dir.path());
    let options = cluster.connect_options().clone();
    let store = store_at(&runtime, options.clone());
    let ada = {
        runtime.block_on(store.migrate()).unwrap();
        runtime.block_on(store.upsert_person_by_name("Ada")).unwrap().0
    };
    let mut sink = sink(&store, &runtime, spool.path(), impatient);
    let mut killed = None;
    for n in 1..=60 {
        if n % 20 == 10 {
            // It is told a moment late that one has died: the next is another.
            wait_until(&runtime, "a running database", || cluster.pid().is_some_and(|pid| killed != Some(pid)));
            killed = cluster.pid();
            kill(Pid::from_raw(killed.unwrap() as i32), Signal::SIGKILL).unwrap();
        }
        sink.accept(&[event(n, EventKind::Recorded, Some(ada))]).unwrap();
    }
    wait_until_drained(&runtime, &sink.monitor());
    wait_until(&runtime, "a running database", || cluster.pid().is_some());
    let mut tracks = tracks_written(&runtime, &options);
    tracks.sort_unstable();
    assert_eq!(tracks, (1..=60).collect::<Vec<_>>(), "what was accepted, once");
    let marks = runtime.block_on(store.marks_since(support::at(-9999), 10)).unwrap();
    assert_eq!((marks.len(), marks[0].sightings), (1, 60), "one mark, every sighting counted once");
}

#[test]
fn a_server_without_free_connections_is_waited_for() {
    let (runtime, spool, dir) = (runtime(), data_dir(), data_dir());
    let cluster = start(dir.path());
    let options = cluster.connect_options().clone();
    let store = store_at(&runtime, options.clone());
    let others = runtime.block_on(async {
        let mut others = Vec::new();
        while let Ok(connection) = options.connect().await {
            others.push(connection);
        }
        others
    });
    let mut sink = sink(&store, &runtime, spool.path(), impatient);
    sink.accept(&strangers(1..=3)).unwrap();
    assert_eq!(sink.monitor().status().spooled, 3);
    runtime.block_on(async move { drop(others) });
    wait_until_drained(&runtime, &sink.monitor());
    assert_eq!(tracks_written(&runtime, &options), [1, 2, 3]);
}

#[test]
fn a_full_spool_holds_the_lane_back_until_there_is_room() {
    let (runtime, spool) = (runtime(), data_dir());
    let (dir, options) = stopped_cluster();
    let store = store_at(&runtime, options.clone());
    let mut sink = sink(&store, &runtime, spool.path(), |options| {
        impatient(options);
        options.spool_max_bytes = 8 * 1024;
    });
    let monitor = sink.monitor();
    std::thread::scope(|scope| {
        // Pieces that do not fit at all are made smaller.
        let lane = scope.spawn(|| strangers(1..=100).chunks(50).for_each(|part| sink.accept(part).unwrap()));
        wait_until(&runtime, "a full spool", || monitor.status().trouble.is_some_and(|t| t.contains("is full")));
        assert!(!lane.is_finished(), "held back");
        assert!(monitor.status().spool_bytes <= 8 * 1024);
        let cluster = start(dir.path());
        lane.join().unwrap();
        wait_until_drained(&runtime, &monitor);
        assert_eq!(tracks_written(&runtime, &options), (1..=100).collect::<Vec<_>>());
        cluster.stop();
    });
}

#[test]
fn a_spool_that_is_too_small_for_one_batch_says_so() {
    let (runtime, spool) = (runtime(), data_dir());
    let (_dir, options) = stopped_cluster();
    let store = store_at(&runtime, options);
    let mut sink = sink(&store, &runtime, spool.path(), |options| {
        impatient(options);
        options.spool_max_bytes = 100;
    });
    let fault = sink.accept(&strangers(1..=1)).unwrap_err();
    assert!(fault.class == ErrorClass::Permanent && fault.message.contains("raise spool.max_mb"), "{fault}");
}

#[test]
fn a_spool_of_another_key_waits_for_that_key() {
    let (runtime, spool) = (runtime(), data_dir());
    let (dir, options) = stopped_cluster();
    let store = store_at(&runtime, options.clone());
    sink(&store, &runtime, spool.path(), impatient).accept(&strangers(1..=2)).unwrap();

    let _cluster = start(dir.path());
    let other = {
        let _entered = runtime.enter();
        Store::new(options.clone(), Sealer::new([1; 32]), 2)
    };
    let wrong = sink(&other, &runtime, spool.path(), impatient);
    let monitor = wrong.monitor();
    wait_until(&runtime, "a complaint", || {
        monitor.status().trouble.is_some_and(|t| t.contains("restore the key file"))
    });
    assert_eq!(monitor.status().spooled, 2, "kept");
    drop(wrong);

    let right = sink(&store, &runtime, spool.path(), impatient);
    wait_until_drained(&runtime, &right.monitor());
    assert_eq!(tracks_written(&runtime, &options), [1, 2]);
}

#[test]
fn a_spooled_event_does_not_show_whom_it_is_about() {
    let (runtime, spool) = (runtime(), data_dir());
    let (_dir, options) = stopped_cluster();
    let store = store_at(&runtime, options);
    let who = support::person(0x1234_5678_9abc_def0_1234_5678_9abc_def0);
    sink(&store, &runtime, spool.path(), impatient).accept(&[event(1, EventKind::Recorded, Some(who))]).unwrap();
    let bytes: Vec<u8> = std::fs::read_dir(spool.path())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.is_file())
        .flat_map(|path| std::fs::read(path).unwrap())
        .collect();
    assert!(bytes.len() > 100);
    for needle in [who.0.as_bytes().as_slice(), b"door-1", b"room-1"] {
        assert!(!bytes.windows(needle.len()).any(|window| window == needle));
    }
}

#[test]
fn a_missing_table_keeps_events_instead_of_refusing_them() {
    let (runtime, spool) = (runtime(), data_dir());
    let store = runtime.block_on(store());
    let mut sink = sink(&store, &runtime, spool.path(), impatient);
    sink.accept(&strangers(1..=1)).unwrap();
    wait_until_drained(&runtime, &sink.monitor());
    let options = runtime.block_on(rollcall_store::testing::current_database(&store));
    alter(&runtime, &options, "alter table events rename to elsewhere");
    sink.accept(&strangers(2..=3)).unwrap();
    let status = sink.monitor().status();
    assert_eq!((status.spooled, status.rejected), (2, 0), "an operator is needed, but the events are good");
    alter(&runtime, &options, "alter table elsewhere rename to events");
    wait_until_drained(&runtime, &sink.monitor());
    assert_eq!(tracks_written(&runtime, &options), [1, 2, 3]);
}

/// A database that takes so long for each event, always.
#[track_caller]
fn check_slow(each: f64, events: u64) {
    let (runtime, spool) = (runtime(), data_dir());
    let store = runtime.block_on(store());
    let options = runtime.block_on(rollcall_store::testing::current_database(&store));
    runtime.block_on(async {
        let mut connection = options.connect().await.unwrap();
        let slow = format!(
            "create function wait() returns trigger language plpgsql as
             $$ begin perform pg_sleep({each}); return new; end $$;
             create trigger slow before insert on events for each row execute function wait()"
        );
        sqlx::raw_sql(sqlx::AssertSqlSafe(slow)).execute(&mut connection).await.unwrap();
    });
    let mut sink = sink(&store, &runtime, spool.path(), impatient);
    sink.accept(&strangers(1..=events)).unwrap();
    assert!(sink.monitor().status().spooled > 0, "too slow for the lane");
    wait_until_drained(&runtime, &sink.monitor());
    let written = tracks_written(&runtime, &options);
    assert_eq!(written.len() as u64, events, "each once");
}

#[test]
fn a_slow_database_is_written_to_in_smaller_parts() {
    check_slow(0.02, 40);
}

#[test]
fn a_database_that_is_slower_than_that_is_given_more_time() {
    check_slow(0.25, 3);
}

#[test]
fn a_disk_that_takes_nothing_leaves_it_to_the_database() {
    let (runtime, spool) = (runtime(), data_dir());
    let store = runtime.block_on(store());
    let mut sink = sink(&store, &runtime, spool.path(), impatient);
    sink.accept(&strangers(1..=1)).unwrap();
    wait_until_drained(&runtime, &sink.monitor());
    let options = runtime.block_on(rollcall_store::testing::current_database(&store));
    alter(&runtime, &options, "alter table events rename to elsewhere");
    // Nothing can be made in a directory that is gone, whoever runs this.
    std::fs::remove_dir_all(spool.path()).unwrap();
    let monitor = sink.monitor();
    std::thread::scope(|scope| {
        let lane = scope.spawn(|| sink.accept(&strangers(2..=4)).unwrap());
        let told = || monitor.status().trouble.is_some_and(|t| t.contains("cannot make"));
        wait_until(&runtime, "a complaint", told);
        alter(&runtime, &options, "alter table elsewhere rename to events");
        lane.join().unwrap();
    });
    assert_eq!(tracks_written(&runtime, &options), [1, 2, 3, 4]);
    assert_eq!(monitor.status().trouble, None);
}
