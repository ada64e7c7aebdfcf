//! All metrics, each named once: a name, its unit, its labels, its help text.
//!
//! Rules: prefix `rollcall_`, unit as suffix, counters end in `_total`, labels only `camera`, `stage`, `edge`, `reason`,
//! `outcome`, `task`, `part` and `version`, whose values are configured names or words of our own, so that their number is
//! bounded.
//! Whoever records often holds a handle: [`counter`], [`gauge`] and [`histogram`] look names up and allocate.
//! Handles made before a recorder is installed record nothing for ever: install the recorder first.

use std::time::Duration;

use ::metrics::{Counter, Gauge, Histogram, Key, KeyName, Level, Metadata, SharedString, Unit, with_recorder};

use crate::decision::{LivenessVerdict, MatchOutcome};
use crate::event::{AttendanceEvent, EventKind, MarkStatus};
use crate::ids::CameraId;
use crate::time::{MonoTime, WallTime};

/// A label: key and bounded value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Label<'a> {
    /// A configured camera, or what stands for one.
    Camera(&'a CameraId),
    /// A stage of the lane.
    Stage(&'static str),
    /// An edge of the lane.
    Edge(&'static str),
    /// Why.
    Reason(&'static str),
    /// What came of it.
    Outcome(&'static str),
    /// Of the program.
    Version(&'static str),
    /// Of the daemon, beside the lane.
    Task(&'static str),
    /// Of the daemon, as its health is told.
    Part(&'static str),
}

impl Label<'_> {
    /// The key as it stands in the exposition.
    pub fn key(&self) -> &'static str {
        match self {
            Self::Camera(_) => "camera",
            Self::Stage(_) => "stage",
            Self::Edge(_) => "edge",
            Self::Reason(_) => "reason",
            Self::Outcome(_) => "outcome",
            Self::Version(_) => "version",
            Self::Task(_) => "task",
            Self::Part(_) => "part",
        }
    }

    fn to_label(self) -> ::metrics::Label {
        let value: SharedString = match self {
            Self::Camera(id) => id.as_str().to_owned().into(),
            Self::Stage(v)
            | Self::Edge(v)
            | Self::Reason(v)
            | Self::Outcome(v)
            | Self::Version(v)
            | Self::Task(v)
            | Self::Part(v) => v.into(),
        };
        ::metrics::Label::new(self.key(), value)
    }
}

macro_rules! names {
    ($(#[$doc:meta])* $kind:ident { $($variant:ident = $name:literal, $unit:ident, [$($label:literal),*], $text:literal;)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum $kind {
            $(#[doc = $text] $variant,)*
        }

        impl $kind {
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$variant),*];

            /// The name as it stands in the exposition.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $name),* }
            }

            /// The keys of its labels, in order.
            pub fn labels(self) -> &'static [&'static str] {
                match self { $(Self::$variant => &[$($label),*]),* }
            }

            /// What it counts or measures.
            pub fn unit(self) -> Unit {
                match self { $(Self::$variant => Unit::$unit),* }
            }

            /// One sentence for the exposition.
            pub fn help(self) -> &'static str {
                match self { $(Self::$variant => $text),* }
            }

            fn key(self, labels: &[Label<'_>]) -> Key {
                debug_assert!(
                    labels.iter().map(Label::key).eq(self.labels().iter().copied()),
                    "{} takes the labels {:?}", self.as_str(), self.labels(),
                );
                Key::from_parts(self.as_str(), labels.iter().map(|l| l.to_label()).collect::<Vec<_>>())
            }
        }
    };
}

names! {
    /// What only grows.
    CounterName {
        CameraFramesDecoded = "rollcall_camera_frames_decoded_total", Count, ["camera"], "Frames that the decoder gave, before the analysis rate is applied.";
        CameraFramesDozed = "rollcall_camera_frames_dozed_total", Count, ["camera"], "Frames between key frames that were not decoded: nothing happened before the camera.";
        CameraFramesLate = "rollcall_camera_frames_late_total", Count, ["camera"], "Frames that were thrown away undecoded: the decoder was more than two seconds behind the camera.";
        CameraFramesReceived = "rollcall_camera_frames_received_total", Count, ["camera"], "Frames that were chosen for analysis and handed to the lane.";
        CameraFramesEvicted = "rollcall_camera_frames_evicted_total", Count, ["camera", "reason"], "Frames that were handed to the lane and not analysed: pushed out by newer ones (full), thrown away by a restart (restart), or with the first stage when it failed (lost).";
        CameraFramesAnalysed = "rollcall_camera_frames_analysed_total", Count, ["camera"], "Frames that the lane has taken in, whether they were searched or found still.";
        DetectorFrames = "rollcall_detector_frames_total", Count, ["camera", "reason"], "Analysed frames by why they, or parts of them, were searched for faces: the motion gate is off (always), there was nothing to compare with (first), a face was there (face), something moved (motion), time was up (interval); or why not: nothing moved (still), or it was looked at less than a tenth of a second ago (soon).";
        CameraReconnects = "rollcall_camera_reconnects_total", Count, ["camera", "reason"], "Connections that ended, by reason.";
        StageItems = "rollcall_stage_items_total", Count, ["stage"], "Items that a stage took from its queue and finished.";
        FacesDetected = "rollcall_faces_detected_total", Count, ["camera"], "Faces found in analysed frames.";
        FacesRejected = "rollcall_faces_rejected_total", Count, ["camera", "reason"], "Faces found but not used, by reason.";
        Decisions = "rollcall_match_decisions_total", Count, ["camera", "outcome"], "Decisions about tracks: identified, ambiguous or unknown.";
        AttendanceEvents = "rollcall_attendance_events_total", Count, ["camera", "outcome"], "Events by kind: of cameras as they leave the match stage, of check-ins by picture once they are committed.";
        AttendanceMarked = "rollcall_attendance_marked_total", Count, ["camera", "outcome"], "Attendance marks committed, by status.";
        LivenessFail = "rollcall_liveness_fail_total", Count, ["camera"], "Decisions by which somebody is a picture or a screen, whatever the rules make of it.";
        DuplicatesBlocked = "rollcall_duplicates_blocked_total", Count, ["camera"], "Repeated decisions about somebody already marked that were counted on the sighting, not written again.";
        SinkEvents = "rollcall_sink_events_total", Count, ["outcome"], "Events by what the sink did with them: committed, duplicate, spooled, replayed, poison (refused by the database and kept), or dropped (refused, and no room to keep them).";
        SinkRetries = "rollcall_sink_retries_total", Count, ["reason"], "Writes that were tried again, by reason.";
        FaceJobs = "rollcall_face_jobs_total", Count, ["outcome"], "Pictures and clips that were handed in: done, refused (the picture will not do), busy (the queue was full), unavailable (the breaker is open), late (nobody waited any more) or failed.";
        LaneRestarts = "rollcall_lane_restarts_total", Count, ["stage", "reason"], "Restarts of the lane, by the stage that failed and how: panic, fault, or build (the lane could not be built).";
        BackgroundRestarts = "rollcall_background_restarts_total", Count, ["task"], "Tasks of the daemon beside the lane that panicked and were begun again.";
    }
}

names! {
    /// What goes up and down.
    GaugeName {
        CameraUp = "rollcall_camera_up", Count, ["camera"], "1 while frames arrive, else 0; NaN for a camera that was removed or disabled, and for a recording that is over.";
        CameraFrameAge = "rollcall_camera_frame_age_seconds", Seconds, ["camera"], "Time since the last decoded frame arrived from the camera, the time that it waited for the decoder included.";
        CameraClockSkew = "rollcall_camera_clock_skew_seconds", Seconds, ["camera"], "The camera's NTP time less local time.";
        QueueDepth = "rollcall_stage_queue_depth", Count, ["edge"], "Packets waiting on an edge of the lane.";
        QueueCapacity = "rollcall_stage_queue_capacity", Count, ["edge"], "Packets that an edge of the lane holds at most.";
        SpoolDepth = "rollcall_spool_depth", Count, [], "Events on disk that wait for the database.";
        SpoolBytes = "rollcall_spool_bytes", Bytes, [], "Bytes that the spool takes on disk.";
        SpoolCapacity = "rollcall_spool_capacity_bytes", Bytes, [], "Bytes that the spool may take on disk; when they are taken, the lane waits.";
        SpoolOldest = "rollcall_spool_oldest_seconds", Seconds, [], "Age of the oldest event in the spool; 0 when it is empty.";
        FaceQueueDepth = "rollcall_face_queue_depth", Count, [], "Pictures and clips that wait for the face engine.";
        GalleryPersons = "rollcall_gallery_persons", Count, [], "People in the gallery.";
        GalleryTemplates = "rollcall_gallery_templates", Count, [], "Templates in the gallery.";
        Ready = "rollcall_ready", Count, ["part"], "1 while a part of the daemon can do its work, else 0: database, models, cameras or lane. /health/ready says why.";
        BuildInfo = "rollcall_build_info", Count, ["version"], "Always 1: which version runs.";
    }
}

names! {
    /// What is distributed.
    HistogramName {
        StageDuration = "rollcall_stage_duration_seconds", Seconds, ["stage"], "Time a stage worked on one batch, without the time it was blocked on send.";
        StageBlocked = "rollcall_stage_blocked_seconds", Seconds, ["stage"], "Time a stage was blocked on send: once a batch, and every second while it lasts.";
        StageBatch = "rollcall_stage_batch_items", Count, ["stage"], "Items in a batch.";
        LivenessScore = "rollcall_liveness_score", Count, [], "Liveness score of single shots, 0 to 1.";
        MatchScore = "rollcall_match_score", Count, ["outcome"], "Cosine similarity of decided tracks to the best person (best) and to the second best (runner_up).";
        EndToEnd = "rollcall_event_end_to_end_seconds", Seconds, [], "From the first usable face of a track to the committed row, for events that were written at once: those of the spool may be of another process, whose clock had another zero, and their wait is in rollcall_spool_oldest_seconds.";
        FaceJobDuration = "rollcall_face_job_duration_seconds", Seconds, [], "Time the face engine worked on one picture or clip.";
        DbWrite = "rollcall_db_write_seconds", Seconds, [], "Time to commit one batch of events.";
    }
}

/// Fine where a stage on this hardware works (1 to 100 ms), coarse up to the point where it counts as hung.
const WORK_SECONDS: &[f64] = &[0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0];
/// Around the aim of one second; long tracks and a database that is slow at the far end.
const LATENCY_SECONDS: &[f64] = &[0.1, 0.2, 0.3, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0, 5.0, 10.0, 30.0, 60.0, 600.0, 3600.0];
/// From a small picture to a clip of ten seconds.
const JOB_SECONDS: &[f64] = &[0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0];
/// Steps of 0.05 where thresholds lie.
const SIMILARITY: &[f64] = &[0.0, 0.1, 0.15, 0.2, 0.25, 0.3, 0.35, 0.4, 0.45, 0.5, 0.55, 0.6, 0.65, 0.7, 0.8, 0.9, 1.0];
const PROBABILITY: &[f64] = &[0.01, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99, 1.0];
const BATCH_ITEMS: &[f64] = &[1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0];

impl HistogramName {
    /// Upper bounds of its buckets, growing, without infinity.
    pub fn buckets(self) -> &'static [f64] {
        match self {
            Self::StageDuration | Self::StageBlocked | Self::DbWrite => WORK_SECONDS,
            Self::StageBatch => BATCH_ITEMS,
            Self::LivenessScore => PROBABILITY,
            Self::MatchScore => SIMILARITY,
            Self::EndToEnd => LATENCY_SECONDS,
            Self::FaceJobDuration => JOB_SECONDS,
        }
    }
}

const METADATA: Metadata<'static> = Metadata::new("rollcall", Level::INFO, None);

/// Gives the recorder the help text and unit of every metric. Call once, after the recorder is installed.
pub fn describe_all() {
    with_recorder(|r| {
        for m in CounterName::ALL {
            r.describe_counter(KeyName::from_const_str(m.as_str()), Some(m.unit()), m.help().into());
        }
        for m in GaugeName::ALL {
            r.describe_gauge(KeyName::from_const_str(m.as_str()), Some(m.unit()), m.help().into());
        }
        for m in HistogramName::ALL {
            r.describe_histogram(KeyName::from_const_str(m.as_str()), Some(m.unit()), m.help().into());
        }
    });
}

/// A handle. `labels` are those that the name declares, in order.
///
/// # Panics
/// In debug builds, if the labels are others.
pub fn counter(name: CounterName, labels: &[Label<'_>]) -> Counter {
    with_recorder(|r| r.register_counter(&name.key(labels), &METADATA))
}

/// A handle. `labels` are those that the name declares, in order.
///
/// # Panics
/// In debug builds, if the labels are others.
pub fn gauge(name: GaugeName, labels: &[Label<'_>]) -> Gauge {
    with_recorder(|r| r.register_gauge(&name.key(labels), &METADATA))
}

/// A handle. `labels` are those that the name declares, in order.
///
/// # Panics
/// In debug builds, if the labels are others.
pub fn histogram(name: HistogramName, labels: &[Label<'_>]) -> Histogram {
    with_recorder(|r| r.register_histogram(&name.key(labels), &METADATA))
}

/// Counters of one camera that differ by reason: each is looked up when its reason first comes up.
#[derive(Clone, Debug)]
struct ByReason {
    name: CounterName,
    camera: CameraId,
    known: Vec<(&'static str, Counter)>,
}

impl ByReason {
    fn new(name: CounterName, camera: &CameraId) -> Self {
        Self { name, camera: camera.clone(), known: Vec::new() }
    }

    fn count(&mut self, reason: &'static str) {
        let at = self.known.iter().position(|(known, _)| *known == reason).unwrap_or_else(|| {
            let labels = [Label::Camera(&self.camera), Label::Reason(reason)];
            self.known.push((reason, counter(self.name, &labels)));
            self.known.len() - 1
        });
        self.known[at].1.increment(1);
    }
}

/// Handles of one camera. Frames received, evicted and analysed are counted by the mux, nobody else.
#[derive(Clone, Debug)]
pub struct CameraMetrics {
    camera: CameraId,
    up: Gauge,
    frame_age: Gauge,
    clock_skew: Gauge,
    decoded: Counter,
    dozed: Counter,
    late: Counter,
    looks: ByReason,
    faces: Counter,
    rejected: ByReason,
    pub(crate) received: Counter,
    pub(crate) evicted_full: Counter,
    pub(crate) evicted_restart: Counter,
    pub(crate) evicted_lost: Counter,
    pub(crate) analysed: Counter,
}

impl CameraMetrics {
    /// Looks the handles up.
    pub fn new(camera: &CameraId) -> Self {
        let id = Label::Camera(camera);
        let evicted = |reason| counter(CounterName::CameraFramesEvicted, &[id, Label::Reason(reason)]);
        Self {
            camera: camera.clone(),
            up: gauge(GaugeName::CameraUp, &[id]),
            frame_age: gauge(GaugeName::CameraFrameAge, &[id]),
            clock_skew: gauge(GaugeName::CameraClockSkew, &[id]),
            decoded: counter(CounterName::CameraFramesDecoded, &[id]),
            dozed: counter(CounterName::CameraFramesDozed, &[id]),
            late: counter(CounterName::CameraFramesLate, &[id]),
            looks: ByReason::new(CounterName::DetectorFrames, camera),
            faces: counter(CounterName::FacesDetected, &[id]),
            rejected: ByReason::new(CounterName::FacesRejected, camera),
            received: counter(CounterName::CameraFramesReceived, &[id]),
            evicted_full: evicted("full"),
            evicted_restart: evicted("restart"),
            evicted_lost: evicted("lost"),
            analysed: counter(CounterName::CameraFramesAnalysed, &[id]),
        }
    }

    /// Whether frames arrive.
    pub fn up(&self, up: bool) {
        self.up.set(f64::from(u8::from(up)));
    }

    /// The camera is no longer wanted: what is measured of it has no value any more, so that nobody is called because of it.
    pub fn gone(&self) {
        for gauge in [&self.up, &self.frame_age, &self.clock_skew] {
            gauge.set(f64::NAN);
        }
    }

    /// Time since the last decoded frame came from the camera; to be set now and then, also while none arrives.
    pub fn frame_age(&self, last: MonoTime, now: MonoTime) {
        self.frame_age.set(now.since(last).as_secs_f64());
    }

    /// The camera's own time against ours at the same moment.
    pub fn clock_skew(&self, camera: WallTime, local: WallTime) {
        self.clock_skew.set((camera - local).as_seconds_f64());
    }

    /// A frame came from the decoder, whether it is analysed or not, after `dozed` that were not decoded.
    pub fn decoded(&self, dozed: u64) {
        self.decoded.increment(1);
        self.dozed.increment(dozed);
    }

    /// Frames were thrown away undecoded.
    pub fn late(&self, n: u64) {
        self.late.increment(n);
    }

    /// It was decided whether an analysed frame is searched, for this reason.
    pub fn looked(&mut self, reason: &'static str) {
        self.looks.count(reason);
    }

    /// Faces were found in a frame.
    pub fn faces_detected(&self, n: usize) {
        self.faces.increment(n as u64);
    }

    /// A face was not used.
    pub fn face_rejected(&mut self, reason: &'static str) {
        self.rejected.count(reason);
    }

    /// A connection ended. Rare enough for a look-up.
    pub fn reconnected(&self, reason: &'static str) {
        counter(CounterName::CameraReconnects, &[Label::Camera(&self.camera), Label::Reason(reason)]).increment(1);
    }
}

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
    db_write: Histogram,
    end_to_end: Histogram,
}

impl SinkMetrics {
    /// Looks the handles up.
    pub fn new() -> Self {
        Self {
            spool_depth: gauge(GaugeName::SpoolDepth, &[]),
            spool_bytes: gauge(GaugeName::SpoolBytes, &[]),
            spool_oldest: gauge(GaugeName::SpoolOldest, &[]),
            db_write: histogram(HistogramName::DbWrite, &[]),
            end_to_end: histogram(HistogramName::EndToEnd, &[]),
        }
    }

    /// How much the spool may take.
    pub fn spool_capacity(&self, bytes: u64) {
        gauge(GaugeName::SpoolCapacity, &[]).set(bytes as f64);
    }

    /// The state of the spool; `oldest` is zero when it is empty.
    pub fn spool(&self, events: u64, bytes: u64, oldest: Duration) {
        self.spool_depth.set(events as f64);
        self.spool_bytes.set(bytes as f64);
        self.spool_oldest.set(oldest.as_secs_f64());
    }

    /// A batch was committed.
    pub fn db_write(&self, took: Duration) {
        self.db_write.record(took.as_secs_f64());
    }

    /// An event of this process was committed. Not for events that an earlier process spooled: its clock had another zero.
    pub fn end_to_end(&self, first_usable: MonoTime, committed: MonoTime) {
        self.end_to_end.record(committed.since(first_usable).as_secs_f64());
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

/// Records an event under the name of a camera: its decision, scores and kind. A few a minute: handles are looked up.
pub fn record_event(camera: &CameraId, event: &AttendanceEvent) {
    let camera = Label::Camera(camera);
    let outcome = match event.decision.outcome {
        MatchOutcome::Identified(_) => "identified",
        MatchOutcome::Ambiguous => "ambiguous",
        MatchOutcome::Unknown => "unknown",
    };
    counter(CounterName::Decisions, &[camera, Label::Outcome(outcome)]).increment(1);
    counter(CounterName::AttendanceEvents, &[camera, Label::Outcome(event.kind.as_str())]).increment(1);
    // Whatever is made of it: strangers' pictures may be nothing but strangers to the rules.
    if matches!(event.decision.liveness, LivenessVerdict::Spoof(_)) {
        counter(CounterName::LivenessFail, &[camera]).increment(1);
    }
    if event.kind == EventKind::Debounced {
        counter(CounterName::DuplicatesBlocked, &[camera]).increment(1);
    }
    for (candidate, rank) in event.decision.candidates.iter().zip(["best", "runner_up"]) {
        let scores = histogram(HistogramName::MatchScore, &[Label::Outcome(rank)]);
        scores.record(f64::from(candidate.similarity));
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

/// Records the size of the gallery that is now in force.
pub fn record_gallery(persons: usize, templates: usize) {
    gauge(GaugeName::GalleryPersons, &[]).set(persons as f64);
    gauge(GaugeName::GalleryTemplates, &[]).set(templates as f64);
}

/// Records whether a part of the daemon can do its work.
pub fn record_ready(part: &'static str, ready: bool) {
    gauge(GaugeName::Ready, &[Label::Part(part)]).set(f64::from(u8::from(ready)));
}

/// Records a restart of the lane; `reason` is `panic`, `fault` or `build`.
pub fn record_lane_restart(stage: &'static str, reason: &'static str) {
    counter(CounterName::LaneRestarts, &[Label::Stage(stage), Label::Reason(reason)]).increment(1);
}
