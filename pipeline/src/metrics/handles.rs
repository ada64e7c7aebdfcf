//! What is counted and measured of the lane, the sink and the face engine.

use std::time::Duration;

use ::metrics::{Counter, Gauge, Histogram};

use super::{CounterName, GaugeName, HistogramName, Label, counter, gauge, histogram};
use crate::event::{EventKind, MarkStatus};
use crate::ids::CameraId;
use crate::time::MonoTime;

/// Handles of one stage.
#[derive(Clone, Debug)]
pub struct StageMetrics {
    duration: Histogram,
    blocked: Histogram,
    batch: Histogram,
    items: Counter,
}

impl StageMetrics {
    /// Looks the handles up.
    pub fn new(stage: &'static str) -> Self {
        let label = [Label::Stage(stage)];
        Self {
            duration: histogram(HistogramName::StageDuration, &label),
            blocked: histogram(HistogramName::StageBlocked, &label),
            batch: histogram(HistogramName::StageBatch, &label),
            items: counter(CounterName::StageItems, &label),
        }
    }

    /// A batch of `items` was finished after `worked`, without the time blocked on send.
    pub fn batch(&self, items: usize, worked: Duration) {
        self.batch.record(items as f64);
        self.items.increment(items as u64);
        self.duration.record(worked.as_secs_f64());
    }

    /// It was blocked on send for so long, or has been since this was told last.
    pub fn blocked(&self, time: Duration) {
        self.blocked.record(time.as_secs_f64());
    }
}

/// Handles of one edge.
#[derive(Clone, Debug)]
pub struct EdgeMetrics {
    depth: Gauge,
    capacity: Gauge,
}

impl EdgeMetrics {
    /// Looks the handles up.
    pub fn new(edge: &'static str) -> Self {
        let label = [Label::Edge(edge)];
        Self { depth: gauge(GaugeName::QueueDepth, &label), capacity: gauge(GaugeName::QueueCapacity, &label) }
    }

    /// Packets that it holds at most.
    pub fn capacity(&self, packets: usize) {
        self.capacity.set(packets as f64);
    }

    /// Packets that wait now.
    pub fn depth(&self, packets: usize) {
        self.depth.set(packets as f64);
    }
}

/// Handles of the sink.
#[derive(Clone, Debug)]
pub struct SinkMetrics {
    spool_depth: Gauge,
    spool_bytes: Gauge,
    spool_oldest: Gauge,
    spool_rejected: Gauge,
    db_write: Histogram,
    end_to_end: [Histogram; EventKind::ALL.len()],
}

impl SinkMetrics {
    /// Looks the handles up.
    pub fn new() -> Self {
        Self {
            spool_depth: gauge(GaugeName::SpoolDepth, &[]),
            spool_bytes: gauge(GaugeName::SpoolBytes, &[]),
            spool_oldest: gauge(GaugeName::SpoolOldest, &[]),
            spool_rejected: gauge(GaugeName::SpoolRejected, &[]),
            db_write: histogram(HistogramName::DbWrite, &[]),
            end_to_end: EventKind::ALL.map(|kind| histogram(HistogramName::EndToEnd, &[Label::Outcome(kind.as_str())])),
        }
    }

    /// How much the spool may take.
    pub fn spool_capacity(&self, bytes: u64) {
        gauge(GaugeName::SpoolCapacity, &[]).set(bytes as f64);
    }

    /// The state of the spool; `oldest` is zero when it is empty. `rejected` lie beside it.
    pub fn spool(&self, events: u64, bytes: u64, oldest: Duration, rejected: u64) {
        self.spool_rejected.set(rejected as f64);
        self.spool_depth.set(events as f64);
        self.spool_bytes.set(bytes as f64);
        self.spool_oldest.set(oldest.as_secs_f64());
    }

    /// A batch was committed.
    pub fn db_write(&self, took: Duration) {
        self.db_write.record(took.as_secs_f64());
    }

    /// An event of this process was committed. Not for events that an earlier process spooled: its clock had another zero.
    pub fn end_to_end(&self, kind: EventKind, first_usable: MonoTime, committed: MonoTime) {
        for (_, latency) in EventKind::ALL.iter().zip(&self.end_to_end).filter(|(of, _)| **of == kind) {
            latency.record(committed.since(first_usable).as_secs_f64());
        }
    }

    /// What became of `n` events: `committed`, `duplicate`, `spooled`, `replayed`, `poison` or `dropped`.
    pub fn events(&self, outcome: &'static str, n: usize) {
        counter(CounterName::SinkEvents, &[Label::Outcome(outcome)]).increment(n as u64);
    }

    /// A write is tried again.
    pub fn retried(&self, reason: &'static str) {
        counter(CounterName::SinkRetries, &[Label::Reason(reason)]).increment(1);
    }

    /// A mark is in the database.
    pub fn marked(&self, camera: &CameraId, status: MarkStatus) {
        let labels = [Label::Camera(camera), Label::Outcome(status.as_str())];
        counter(CounterName::AttendanceMarked, &labels).increment(1);
    }

    /// A mark was in the database before; the constraint refused the second.
    pub fn duplicate_blocked(&self, camera: &CameraId) {
        counter(CounterName::DuplicatesBlocked, &[Label::Camera(camera)]).increment(1);
    }
}

impl Default for SinkMetrics {
    fn default() -> Self {
        Self::new()
    }
}

/// Handles of the face engine.
#[derive(Clone, Debug)]
pub struct FaceEngineMetrics {
    depth: Gauge,
    duration: Histogram,
}

impl FaceEngineMetrics {
    /// Looks the handles up.
    pub fn new() -> Self {
        Self { depth: gauge(GaugeName::FaceQueueDepth, &[]), duration: histogram(HistogramName::FaceJobDuration, &[]) }
    }

    /// Jobs that wait now.
    pub fn depth(&self, jobs: usize) {
        self.depth.set(jobs as f64);
    }

    /// What became of a job: `done`, `refused`, `busy`, `unavailable`, `late` or `failed`.
    pub fn ended(&self, outcome: &'static str) {
        counter(CounterName::FaceJobs, &[Label::Outcome(outcome)]).increment(1);
    }

    /// A job was worked on for so long.
    pub fn worked(&self, took: Duration) {
        self.duration.record(took.as_secs_f64());
    }
}

impl Default for FaceEngineMetrics {
    fn default() -> Self {
        Self::new()
    }
}
