//! Names follow the rules, and what is recorded arrives under the name and labels that are declared.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use metrics::{
    Counter, CounterFn, Gauge, Histogram, Key, KeyName, Metadata, Recorder, SharedString, Unit, with_local_recorder,
};
use parking_lot::Mutex;
use rollcall_pipeline::metrics::{
    CameraMetrics, CounterName, GaugeName, HistogramName, SinkMetrics, describe_all, record_event,
};
use rollcall_pipeline::{
    AttendanceEvent, CameraId, CameraTuning, Decision, Epoch, EventId, EventKind, FrameTime, GalleryVersion, Grounds,
    LivenessVerdict, MarkStatus, MatchOutcome, MediaTime, MonoTime, RoomId, StreamKey, TimeSource, TrackId, WallTime,
};
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
        assert!(
            labels.iter().all(|l| ["camera", "stage", "edge", "reason", "outcome", "version", "task"].contains(l)),
            "{name}"
        );
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
        let camera = CameraMetrics::new(&door);
        camera.decoded(2);
        camera.face_rejected("blur");
        SinkMetrics::new().marked(&door, MarkStatus::Late);
    });
    let expected = [
        ("rollcall_camera_frames_decoded_total{camera=door-1}", 1),
        ("rollcall_camera_frames_dozed_total{camera=door-1}", 2),
        ("rollcall_faces_rejected_total{camera=door-1,reason=blur}", 1),
        ("rollcall_attendance_marked_total{camera=door-1,outcome=late}", 1),
    ];
    assert!(book.counted.lock().iter().map(|(name, n)| (name.as_str(), *n)).eq(expected));
}

/// What was made of a stranger.
fn stranger(kind: EventKind, liveness: LivenessVerdict) -> AttendanceEvent {
    let key = StreamKey { camera: CameraId::new("door-1"), epoch: Epoch(Uuid::nil()) };
    let time = FrameTime {
        media: MediaTime(0),
        received: MonoTime(Duration::ZERO),
        captured: WallTime::UNIX_EPOCH,
        source: TimeSource::File,
    };
    let tuning = CameraTuning {
        room: RoomId::new("hall"),
        direction: None,
        analysis_fps: 5.0,
        detect_size: 640,
        min_face_px: 24.0,
        still_interval_s: 0.0,
        regions_of_interest: Vec::new(),
        privacy_masks: Vec::new(),
    };
    let decision = Decision {
        key,
        track: TrackId(1),
        first_seen: time,
        first_usable: time,
        decided: time,
        tuning: Arc::new(tuning),
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
        with_local_recorder(&book, || record_event(&CameraId::new("door-1"), &stranger(kind, liveness)));
        let counted = book.counted.lock();
        counted.iter().any(|(name, n)| name == "rollcall_liveness_fail_total{camera=door-1}" && *n == 1)
    };
    assert!(failed(EventKind::Spoof, LivenessVerdict::Spoof(0.01)));
    assert!(failed(EventKind::Unknown, LivenessVerdict::Spoof(0.01)), "as unknown_spoof = \"unknown\" has it");
    assert!(!failed(EventKind::Unknown, LivenessVerdict::Live(0.99)));
}
