//! All metrics, each named once: a name, its unit, its labels, its help text.
//!
//! Rules: prefix `rollcall_`, unit as suffix, counters end in `_total`, labels only `camera`, `stage`, `edge`, `reason`,
//! `outcome`, `task`, `part`, `version`, `method`, `route` and `status`, whose values are configured names or words of
//! our own, so that their number is bounded.
//! Whoever records often holds a handle: [`counter`], [`gauge`] and [`histogram`] look names up and allocate.
//! Handles made before a recorder is installed record nothing for ever: install the recorder first.

mod camera;
mod handles;
mod names;
mod requests;
mod tally;

use ::metrics::{Counter, Gauge, Histogram, KeyName, Level, Metadata, with_recorder};

use crate::decision::{LivenessVerdict, MatchOutcome};
use crate::event::{AttendanceEvent, EventKind};
use crate::ids::CameraId;

pub use camera::CameraMetrics;
pub use handles::{EdgeMetrics, FaceEngineMetrics, SinkMetrics, StageMetrics};
pub use names::{CounterName, GaugeName, HistogramName, Label};
pub use requests::RequestMetrics;
pub use tally::{CameraTally, camera_tallies};

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
