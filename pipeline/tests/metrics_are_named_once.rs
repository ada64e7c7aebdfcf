//! Names follow the rules, and what is recorded arrives under the name and labels that are declared.

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use metrics::{
    Counter, CounterFn, Gauge, Histogram, Key, KeyName, Metadata, Recorder, SharedString, Unit, with_local_recorder,
};
use parking_lot::Mutex;
use rollcall_pipeline::metrics::{
    CameraMetrics, CounterName, GaugeName, HistogramName, SinkMetrics, describe_all, record_event,
};
use rollcall_pipeline::stage::Source;
use rollcall_pipeline::{
    AttendanceEvent, BatchPolicy, CameraId, Decision, EventId, EventKind, Frame, FrameMux, GalleryVersion, Grounds,
    LivenessVerdict, MarkStatus, MatchOutcome, MuxMode, MuxReceiver, TrackId,
};
use support::{camera, capacity, frame};
use uuid::Uuid;

/// Keeps what it is told.
#[derive(Clone, Default)]
struct Book {
    described: Arc<Mutex<BTreeSet<String>>>,
    counted: Arc<Mutex<Vec<(String, u64)>>>,
}

struct Line(String, Arc<Mutex<Vec<(String, u64)>>>);

impl CounterFn for Line {
    fn increment(&self, value: u64) {
        self.1.lock().push((self.0.clone(), value));
    }

    fn absolute(&self, _: u64) {}
}

impl Recorder for Book {
    fn describe_counter(&self, key: KeyName, _: Option<Unit>, _: SharedString) {
        self.described.lock().insert(key.as_str().to_owned());
    }

    fn describe_gauge(&self, key: KeyName, unit: Option<Unit>, text: SharedString) {
        self.describe_counter(key, unit, text);
    }

    fn describe_histogram(&self, key: KeyName, unit: Option<Unit>, text: SharedString) {
        self.describe_counter(key, unit, text);
    }

    fn register_counter(&self, key: &Key, _: &Metadata<'_>) -> Counter {
        let labels: Vec<_> = key.labels().map(|l| format!("{}={}", l.key(), l.value())).collect();
        Counter::from_arc(Arc::new(Line(format!("{}{{{}}}", key.name(), labels.join(",")), Arc::clone(&self.counted))))
    }

    fn register_gauge(&self, _: &Key, _: &Metadata<'_>) -> Gauge {
        Gauge::noop()
    }

    fn register_histogram(&self, _: &Key, _: &Metadata<'_>) -> Histogram {
        Histogram::noop()
    }
}

/// Each has values of a number that is bounded.
const LABELS: [&str; 11] =
    ["camera", "stage", "edge", "reason", "outcome", "version", "task", "part", "method", "route", "status"];

#[test]
fn names_follow_the_rules() {
    let counters = CounterName::ALL.iter().map(|m| (m.as_str(), m.labels(), m.unit(), true));
    let gauges = GaugeName::ALL.iter().map(|m| (m.as_str(), m.labels(), m.unit(), false));
    let histograms = HistogramName::ALL.iter().map(|m| (m.as_str(), m.labels(), m.unit(), false));
    let mut names = BTreeSet::new();
    for (name, labels, unit, is_counter) in counters.chain(gauges).chain(histograms) {
        assert!(names.insert(name), "{name} twice");
        assert!(name.starts_with("rollcall_"), "{name}");
        assert_eq!(name.ends_with("_total"), is_counter, "{name}");
        assert_eq!(name.ends_with("_seconds"), unit == Unit::Seconds, "{name}");
        assert!(labels.iter().all(|label| LABELS.contains(label)), "{name}");
    }
    let book = Book::default();
    with_local_recorder(&book, describe_all);
    assert!(book.described.lock().iter().map(String::as_str).eq(names));
}

#[test]
fn buckets_grow() {
    for m in HistogramName::ALL {
        assert!(m.buckets().is_sorted_by(|a, b| a < b), "{}", m.as_str());
    }
}

#[test]
fn what_is_recorded_arrives() {
    let book = Book::default();
    let door = CameraId::new("door-1");
    with_local_recorder(&book, || {
        let mut camera = CameraMetrics::new(&door);
        camera.decoded(3);
        camera.undecoded(2, 4);
        for reason in ["blur", "too_small", "blur"] {
            camera.face_rejected(reason);
        }
        camera.looked("still");
        SinkMetrics::new().marked(&door, MarkStatus::Late);
    });
    let expected = [
        ("rollcall_camera_frames_decoded_total{camera=door-1}", 3),
        ("rollcall_camera_frames_dozed_total{camera=door-1}", 2),
        ("rollcall_camera_frames_skipped_total{camera=door-1}", 4),
        ("rollcall_faces_rejected_total{camera=door-1,reason=blur}", 1),
        ("rollcall_faces_rejected_total{camera=door-1,reason=too_small}", 1),
        ("rollcall_faces_rejected_total{camera=door-1,reason=blur}", 1),
        ("rollcall_detector_frames_total{camera=door-1,reason=still}", 1),
        ("rollcall_attendance_marked_total{camera=door-1,outcome=late}", 1),
    ];
    assert!(book.counted.lock().iter().map(|(name, n)| (name.as_str(), *n)).eq(expected));
}

/// What was made of a stranger.
fn stranger(kind: EventKind, liveness: LivenessVerdict) -> AttendanceEvent {
    let Frame { key, time, tuning, .. } = frame(0);
    let decision = Decision {
        key,
        track: TrackId(1),
        first_seen: time,
        first_usable: time,
        decided: time,
        tuning,
        outcome: MatchOutcome::Unknown,
        grounds: Grounds::default(),
        candidates: Vec::new(),
        liveness,
        shots: 3,
        gallery: GalleryVersion(0),
        best: None,
        face: None,
    };
    AttendanceEvent { id: EventId(Uuid::nil()), kind, mark: None, repeats: None, decision }
}

#[test]
fn a_picture_counts_as_one_whatever_the_rules_make_of_it() {
    let failed = |kind, liveness| {
        let book = Book::default();
        with_local_recorder(&book, || record_event(&camera(1), &stranger(kind, liveness)));
        let counted = book.counted.lock();
        counted.iter().any(|(name, n)| name == "rollcall_liveness_fail_total{camera=door-1}" && *n == 1)
    };
    assert!(failed(EventKind::Spoof, LivenessVerdict::Spoof(0.01)));
    assert!(failed(EventKind::Unknown, LivenessVerdict::Spoof(0.01)), "as unknown_spoof = \"unknown\" has it");
    assert!(!failed(EventKind::Unknown, LivenessVerdict::Live(0.99)));
}

#[test]
fn frames_are_conserved_in_what_is_exported_also_where_the_first_stage_fails() {
    let book = Book::default();
    with_local_recorder(&book, || {
        let mux = FrameMux::new(MuxMode::Evict, capacity(2));
        let mut lane = mux.attach();
        let door = mux.open(&camera(1)).unwrap();
        let take = |lane: &mut MuxReceiver| assert!(lane.recv(BatchPolicy::SINGLE).is_some());
        take(&mut lane);
        (0..3).for_each(|seq| door.push(frame(seq)).unwrap());
        take(&mut lane);
        take(&mut lane);
        door.push(frame(3)).unwrap();
        // It fails with a frame in its hands, and is started again.
        drop(lane);
        drop(mux.attach());
    });
    let mut sums = BTreeMap::new();
    for (name, n) in book.counted.lock().iter().filter(|(_, n)| *n > 0) {
        *sums.entry(name.clone()).or_insert(0) += n;
    }
    let expected = [
        ("rollcall_camera_frames_analysed_total{camera=door-1}", 1),
        ("rollcall_camera_frames_evicted_total{camera=door-1,reason=full}", 1),
        ("rollcall_camera_frames_evicted_total{camera=door-1,reason=lost}", 1),
        ("rollcall_camera_frames_evicted_total{camera=door-1,reason=restart}", 1),
        ("rollcall_camera_frames_received_total{camera=door-1}", 4),
    ];
    assert!(sums.iter().map(|(name, n)| (name.as_str(), *n)).eq(expected), "{sums:?}");
}
