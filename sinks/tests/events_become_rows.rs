//! With a database that is there: every event becomes its rows, once.
#![allow(clippy::unwrap_used, reason = "helpers of tests are tests")]

mod support;

use std::sync::Arc;

use metrics::with_local_recorder;
use metrics_exporter_prometheus::PrometheusBuilder;
use rollcall_pipeline::ports::EventSink;
use rollcall_pipeline::{CameraId, EventKind};
use rollcall_sinks::{Refused, SinkStatus, rejected};
use rollcall_store::testing::{data_dir, store};
use sqlx::ConnectOptions;
use support::{at, event, person, runtime, sink, wait_until_drained};

#[test]
fn each_kind_becomes_its_rows() {
    let (runtime, dir) = (runtime(), data_dir());
    let store = runtime.block_on(store());
    let ada = runtime.block_on(store.upsert_person_by_name("Ada")).unwrap().0;
    let mut sink = sink(&store, &runtime, dir.path(), |_| {});
    let ambiguous = event(3, EventKind::Ambiguous, Some(ada));
    let batch = [
        event(1, EventKind::Recorded, Some(ada)),
        event(2, EventKind::Debounced, Some(ada)),
        ambiguous.clone(),
        event(4, EventKind::Unknown, None),
        event(5, EventKind::Spoof, Some(ada)),
    ];
    // Delivered twice, as after a commit whose answer was lost.
    for _ in 0..2 {
        sink.accept(&batch).unwrap();
        runtime.block_on(async {
            let marks = store.marks_since(at(-9999), 10).await.unwrap();
            assert_eq!(marks.len(), 1);
            let mark = &marks[0];
            assert_eq!((mark.person, mark.event, mark.status.as_str()), (ada, batch[0].id, "present"));
            assert_eq!((mark.sightings, mark.last_seen_at), (2, at(2)));
            let reviews = store.open_reviews(10).await.unwrap();
            let kinds: Vec<_> = reviews.iter().map(|item| item.kind.as_str()).collect();
            assert_eq!(kinds, ["ambiguous", "spoof"], "strangers only if configured");
            let crop = store.review_crop(ambiguous.id).await.unwrap().unwrap();
            assert_eq!(crop[..3], [0xff, 0xd8, 0xff], "a JPEG");
            assert_eq!(store.event_counts().await.unwrap().values().sum::<u64>(), 5);
        });
    }
    assert_eq!(sink.monitor().status(), SinkStatus::default());
}

#[test]
fn strangers_go_to_review_if_configured() {
    let (runtime, dir) = (runtime(), data_dir());
    let store = runtime.block_on(store());
    let mut sink = sink(&store, &runtime, dir.path(), |options| options.review_unknown = true);
    sink.accept(&[event(1, EventKind::Unknown, None)]).unwrap();
    assert_eq!(runtime.block_on(store.open_reviews(10)).unwrap().len(), 1);
}

#[test]
fn two_sinks_that_race_make_one_mark() {
    let runtime = runtime();
    let store = runtime.block_on(store());
    let people: Vec<_> =
        (0..10).map(|n| runtime.block_on(store.upsert_person_by_name(&format!("person {n}"))).unwrap().0).collect();
    // Each sees everybody once, on its own tracks, in its own order.
    let batches: Vec<Vec<_>> = [1u64, 2]
        .into_iter()
        .map(|camera| {
            let mut batch: Vec<_> = people
                .iter()
                .zip(camera * 100..)
                .map(|(who, track)| event(track, EventKind::Recorded, Some(*who)))
                .collect();
            if camera == 2 {
                batch.reverse();
            }
            batch
        })
        .collect();
    std::thread::scope(|scope| {
        for batch in &batches {
            let (store, runtime) = (&store, &runtime);
            scope.spawn(move || {
                let dir = data_dir();
                let mut sink = sink(store, runtime, dir.path(), |_| {});
                batch.chunks(3).for_each(|part| sink.accept(part).unwrap());
                support::wait_until_drained(runtime, &sink.monitor());
            });
        }
    });
    let marks = runtime.block_on(store.marks_since(at(-9999), 100)).unwrap();
    assert_eq!(marks.len(), 10);
    assert!(marks.iter().all(|mark| mark.sightings == 2), "the second one is counted on the first");
}

#[test]
fn poison_is_put_aside_and_the_rest_is_written() {
    let (runtime, dir) = (runtime(), data_dir());
    let store = runtime.block_on(store());
    let mut sink = sink(&store, &runtime, dir.path(), |_| {});
    let mut batch: Vec<_> = (1..=9).map(|n| event(n, EventKind::Unknown, None)).collect();
    for bad in [0, 6] {
        // No text of PostgreSQL has a zero byte in it.
        batch[bad].decision.key.camera = CameraId::new("door\0");
    }
    sink.accept(&batch).unwrap();
    let status = sink.monitor().status();
    assert_eq!((status.spooled, status.rejected, status.trouble), (0, 2, None));
    assert_eq!(runtime.block_on(store.event_counts()).unwrap()["unknown"], 7);
    drop(sink);
    // Kept for whoever is to look into it.
    let recorder = PrometheusBuilder::new().build_recorder();
    let again = with_local_recorder(&recorder, || support::sink(&store, &runtime, dir.path(), |_| {}));
    assert_eq!(again.monitor().status().rejected, 2);
    let told = recorder.handle().render();
    assert!(told.lines().any(|line| line == "rollcall_spool_rejected 2"), "{told}");
}

#[test]
fn what_was_refused_is_shown_and_put_back_when_the_reason_is_gone() {
    let (runtime, dir) = (runtime(), data_dir());
    let store = runtime.block_on(store());
    let options = runtime.block_on(rollcall_store::testing::current_database(&store));
    let alter = |sql: &'static str| {
        runtime.block_on(async {
            let mut connection = options.connect().await.unwrap();
            sqlx::query(sql).execute(&mut connection).await.unwrap();
        });
    };
    alter("alter table events add constraint no_door check (camera <> 'door-1')");
    let mut first = sink(&store, &runtime, dir.path(), |_| {});
    let refused: Vec<_> = (1..=3).map(|n| event(n, EventKind::Unknown, None)).collect();
    first.accept(&refused).unwrap();
    let busy = rejected::list(dir.path(), store.sealer()).unwrap_err();
    assert!(busy.message.contains("in use by another process"), "{busy}");
    drop(first);

    let told = rejected::list(dir.path(), store.sealer()).unwrap();
    let ids: Vec<_> = told.iter().map(|refusal| refusal.event.as_ref().unwrap().id).collect();
    assert_eq!(ids, refused.iter().map(|event| event.id.0).collect::<Vec<_>>());
    assert!(told.iter().all(|refusal| refusal.reason.contains("no_door")), "{told:?}");

    alter("alter table events drop constraint no_door");
    assert_eq!(rejected::retry(dir.path(), 1 << 20, store.sealer()).unwrap(), 3);
    assert_eq!(rejected::list(dir.path(), store.sealer()).unwrap(), []);
    let second = sink(&store, &runtime, dir.path(), |_| {});
    wait_until_drained(&runtime, &second.monitor());
    assert_eq!(runtime.block_on(store.event_counts()).unwrap()["unknown"], 3);
    assert_eq!(second.monitor().status().rejected, 0);
}

#[test]
fn what_was_refused_does_not_name_who_is_erased() {
    let (runtime, dir) = (runtime(), data_dir());
    let store = runtime.block_on(store());
    let options = runtime.block_on(rollcall_store::testing::current_database(&store));
    runtime.block_on(async {
        let mut connection = options.connect().await.unwrap();
        let sql = "alter table events add constraint no_door check (camera <> 'door-1')";
        sqlx::query(sql).execute(&mut connection).await.unwrap();
    });
    let [ada, grace] = ["Ada", "Grace"].map(|name| runtime.block_on(store.upsert_person_by_name(name)).unwrap().0);
    let mut sink = sink(&store, &runtime, dir.path(), |_| {});
    sink.accept(&[event(1, EventKind::Recorded, Some(ada)), event(2, EventKind::Recorded, Some(grace))]).unwrap();
    let monitor = sink.monitor();
    assert_eq!((monitor.status().rejected, runtime.block_on(monitor.forget_erased()).unwrap()), (2, 0));
    assert!(runtime.block_on(store.delete_person(ada)).unwrap());
    assert_eq!(runtime.block_on(monitor.forget_erased()).unwrap(), 1);
    assert_eq!((monitor.status().rejected, runtime.block_on(monitor.forget_erased()).unwrap()), (2, 0), "once");
    drop(sink);
    assert_eq!(runtime.block_on(monitor.forget_erased()).unwrap(), 0, "nor does it look when the sink is closed");
}

#[test]
fn who_remembers_a_mark_is_told_that_it_will_never_be() {
    let (runtime, dir) = (runtime(), data_dir());
    let store = runtime.block_on(store());
    let ada = runtime.block_on(store.upsert_person_by_name("Ada")).unwrap().0;
    let (tell, told) = std::sync::mpsc::channel();
    let mut sink = sink(&store, &runtime, dir.path(), |options| {
        options.refused = Refused::telling(move |person, event| tell.send((person, event)).unwrap());
    });
    let mut refused = event(1, EventKind::Recorded, Some(ada));
    refused.decision.key.camera = CameraId::new("door\0");
    let (good, seen) = (event(2, EventKind::Recorded, Some(ada)), event(3, EventKind::Debounced, Some(ada)));
    sink.accept(&[refused.clone(), good, seen]).unwrap();
    assert_eq!(told.try_iter().collect::<Vec<_>>(), [(ada, refused.id)]);
}

#[test]
fn somebody_who_was_deleted_gets_no_mark_and_stops_nobody() {
    let (runtime, dir) = (runtime(), data_dir());
    let store = runtime.block_on(store());
    let ada = runtime.block_on(store.upsert_person_by_name("Ada")).unwrap().0;
    let mut sink = sink(&store, &runtime, dir.path(), |_| {});
    let gone = event(1, EventKind::Recorded, Some(person(77)));
    sink.accept(&[gone, event(2, EventKind::Recorded, Some(ada))]).unwrap();
    assert_eq!(runtime.block_on(store.marks_since(at(-9999), 10)).unwrap().len(), 1);
    assert_eq!(runtime.block_on(store.event_counts()).unwrap()["recorded"], 2);
}

#[test]
fn a_chip_that_is_none_is_no_reason_to_fail() {
    let (runtime, dir) = (runtime(), data_dir());
    let store = runtime.block_on(store());
    let mut sink = sink(&store, &runtime, dir.path(), |_| {});
    let mut odd = event(1, EventKind::Spoof, None);
    odd.decision.best = Some(Arc::new(rollcall_pipeline::Chip { side: 112, rgb: vec![0; 5] }));
    sink.accept(&[odd]).unwrap();
    assert!(!runtime.block_on(store.open_reviews(10)).unwrap()[0].has_crop);
}
