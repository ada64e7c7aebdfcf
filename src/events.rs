//! Events as lines of JSON, for `replay`.

use std::collections::HashMap;
use std::io::Write;
use std::sync::Arc;

use parking_lot::Mutex;
use rollcall_pipeline::ports::EventSink;
use rollcall_pipeline::{AttendanceEvent, ErrorClass, EventKind, Fault, LivenessVerdict, MatchOutcome, PersonId};
use serde::Serialize;

/// Names of people.
pub(crate) type Names = Arc<HashMap<PersonId, String>>;

/// How many events of each kind there were.
pub(crate) type Counts = Arc<Mutex<HashMap<EventKind, u64>>>;

/// Writes a line for each event.
pub(crate) struct JsonLines {
    to: Option<Box<dyn Write + Send>>,
    names: Names,
    counts: Counts,
}

impl JsonLines {
    /// Writes to `to`, if there is one, and counts.
    pub(crate) fn new(to: Option<Box<dyn Write + Send>>, names: Names, counts: Counts) -> Self {
        Self { to, names, counts }
    }
}

#[derive(Serialize)]
struct Line<'a> {
    event_id: String,
    kind: &'static str,
    person: Option<&'a str>,
    candidates: Vec<CandidateLine<'a>>,
    camera: &'a str,
    track_id: u64,
    media_ms: u64,
    captured_at: String,
    similarity: Option<f32>,
    margin: Option<f32>,
    shots: u32,
    liveness: &'static str,
    liveness_score: Option<f32>,
}

#[derive(Serialize)]
struct CandidateLine<'a> {
    person: Option<&'a str>,
    similarity: f32,
}

impl JsonLines {
    fn line<'a>(&'a self, event: &'a AttendanceEvent) -> Line<'a> {
        let decision = &event.decision;
        let name = |person: PersonId| self.names.get(&person).map(String::as_str);
        let found = match decision.outcome {
            MatchOutcome::Identified(found) => Some(found),
            MatchOutcome::Ambiguous | MatchOutcome::Unknown => None,
        };
        let best = decision.candidates.first();
        let (liveness, liveness_score) = match decision.liveness {
            LivenessVerdict::Live(score) => ("live", Some(score)),
            LivenessVerdict::Spoof(score) => ("spoof", Some(score)),
            LivenessVerdict::Undecided(_) => ("undecided", None),
        };
        let margin = || Some(best?.similarity - decision.candidates.get(1)?.similarity);
        Line {
            event_id: event.id.to_string(),
            kind: event.kind.as_str(),
            person: found.and_then(|m| name(m.person)),
            candidates: decision
                .candidates
                .iter()
                .map(|c| CandidateLine { person: name(c.person), similarity: c.similarity })
                .collect(),
            camera: decision.key.camera.as_str(),
            track_id: decision.track.0,
            media_ms: decision.decided.media.as_millis(),
            captured_at: decision.decided.captured.to_rfc3339_opts(chrono::SecondsFormat::Millis, true),
            similarity: found.map(|m| m.similarity).or_else(|| best.map(|c| c.similarity)),
            margin: found.map(|m| m.margin).or_else(margin),
            shots: decision.shots,
            liveness,
            liveness_score,
        }
    }
}

impl EventSink for JsonLines {
    fn accept(&mut self, batch: &[AttendanceEvent]) -> Result<(), Fault> {
        let failed =
            |error: std::io::Error| Fault::new(ErrorClass::Permanent, format!("events cannot be written: {error}"));
        for event in batch {
            *self.counts.lock().entry(event.kind).or_default() += 1;
            if self.to.is_some() {
                let mut text = serde_json::to_vec(&self.line(event)).map_err(|e| Fault::new(ErrorClass::Bug, e))?;
                text.push(b'\n');
                if let Some(to) = &mut self.to {
                    to.write_all(&text).map_err(failed)?;
                }
            }
        }
        self.to.as_mut().map_or(Ok(()), |to| to.flush()).map_err(failed)
    }
}
