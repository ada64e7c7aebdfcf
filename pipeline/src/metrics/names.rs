//! What each metric is called, what it counts, and by what it is labelled.

use ::metrics::{Key, SharedString, Unit};

use crate::ids::CameraId;

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
    /// What is done to something in the API.
    Method(&'static str),
    /// Which operation of the API, by its path with names in the place of ids.
    Route(&'a str),
    /// How the API answered.
    Status(&'static str),
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
            Self::Method(_) => "method",
            Self::Route(_) => "route",
            Self::Status(_) => "status",
        }
    }

    fn to_label(self) -> ::metrics::Label {
        let value: SharedString = match self {
            Self::Camera(id) => id.as_str().to_owned().into(),
            Self::Route(path) => path.to_owned().into(),
            Self::Stage(v)
            | Self::Edge(v)
            | Self::Reason(v)
            | Self::Outcome(v)
            | Self::Version(v)
            | Self::Task(v)
            | Self::Part(v)
            | Self::Method(v)
            | Self::Status(v) => v.into(),
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

            pub(super) fn key(self, labels: &[Label<'_>]) -> Key {
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
        CameraFramesDecoded = "rollcall_camera_frames_decoded_total", Count, ["camera"], "Frames that were decoded, whether they are analysed or not.";
        CameraFramesDozed = "rollcall_camera_frames_dozed_total", Count, ["camera"], "Frames between key frames that were not decoded: nothing happened before the camera.";
        CameraFramesSkipped = "rollcall_camera_frames_skipped_total", Count, ["camera"], "Frames that were not decoded, because no analysed frame depends on them.";
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
        CameraFrameAge = "rollcall_camera_frame_age_seconds", Seconds, ["camera"], "Time since the last decoded frame arrived from the camera, the time that it waited for the decoder included; NaN before the first.";
        CameraClockSkew = "rollcall_camera_clock_skew_seconds", Seconds, ["camera"], "The camera's NTP time less local time; NaN until it tells one.";
        QueueDepth = "rollcall_stage_queue_depth", Count, ["edge"], "Packets waiting on an edge of the lane.";
        QueueCapacity = "rollcall_stage_queue_capacity", Count, ["edge"], "Packets that an edge of the lane holds at most.";
        SpoolDepth = "rollcall_spool_depth", Count, [], "Events on disk that wait for the database.";
        SpoolBytes = "rollcall_spool_bytes", Bytes, [], "Bytes that the spool takes on disk.";
        SpoolCapacity = "rollcall_spool_capacity_bytes", Bytes, [], "Bytes that the spool may take on disk; when they are taken, the lane waits.";
        SpoolOldest = "rollcall_spool_oldest_seconds", Seconds, [], "Age of the oldest event in the spool; 0 when it is empty.";
        SpoolRejected = "rollcall_spool_rejected", Count, [], "Events that the database refused for good; kept aside on disk until they are tried again.";
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
        EndToEnd = "rollcall_event_end_to_end_seconds", Seconds, ["outcome"], "From the first usable face of a track to the committed row, by kind of event (without a name it is decided when nothing more can come), for events that were written at once: those of the spool may be of another process, whose clock had another zero, and their wait is in rollcall_spool_oldest_seconds.";
        FaceJobDuration = "rollcall_face_job_duration_seconds", Seconds, [], "Time the face engine worked on one picture or clip.";
        DbWrite = "rollcall_db_write_seconds", Seconds, [], "Time to commit one batch of events.";
        HttpRequestDuration = "rollcall_http_request_duration_seconds", Seconds, ["method", "route", "status"], "Time until a request was answered, until the head of the answer where it goes on, by route (none: no such path), method (other: one that nothing has) and class of status (gone: nobody waited for the answer).";
    }
}

/// Fine where a stage on this hardware works (1 to 100 ms), coarse up to the point where it counts as hung.
const WORK_SECONDS: &[f64] = &[0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0];
/// Around the aim of one second; long tracks and a database that is slow at the far end.
const LATENCY_SECONDS: &[f64] = &[0.1, 0.2, 0.3, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0, 5.0, 10.0, 30.0, 60.0, 600.0, 3600.0];
/// From a small picture to a clip of ten seconds.
const JOB_SECONDS: &[f64] = &[0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0];
/// From a row that is looked up to the time-out of the API.
const ANSWER_SECONDS: &[f64] = &[0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0];
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
            Self::HttpRequestDuration => ANSWER_SECONDS,
        }
    }
}
