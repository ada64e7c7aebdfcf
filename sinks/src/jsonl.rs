//! Events as lines of JSON, for `rollcall replay --events`.
//!
//! This is an exchange format: its fields are fixed. It knows nothing of files; whoever makes it opens and names them.

use std::io::Write;

use chrono::SecondsFormat;
use rollcall_pipeline::ports::EventSink;
use rollcall_pipeline::{AttendanceEvent, ErrorClass, Fault, PersonId, StreamKey, TrackId};
use rollcall_store::Scores;
use serde::Serialize;
use uuid::Uuid;

#[derive(Serialize)]
struct Line {
    event_id: Uuid,
    kind: &'static str,
    /// Null unless somebody was named: an attack is nobody, and in doubt there is no name.
    person: Option<String>,
    candidates: Vec<Candidate>,
    camera: String,
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
struct Candidate {
    person: String,
    similarity: f32,
}

type Name = dyn Fn(PersonId) -> Option<String> + Send;
type Number = dyn Fn(&StreamKey, TrackId) -> u64 + Send;

/// Writes one line an event, and flushes after each batch.
pub struct JsonLines<W> {
    out: W,
    name: Box<Name>,
    number: Box<Number>,
}

impl<W> std::fmt::Debug for JsonLines<W> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("JsonLines")
    }
}

impl<W: Write + Send> JsonLines<W> {
    /// Writes to `out`; `name` knows people's names, and whoever has none appears by id. `number` tells the tracks of all
    /// streams apart.
    pub fn new(
        out: W,
        name: impl Fn(PersonId) -> Option<String> + Send + 'static,
        number: impl Fn(&StreamKey, TrackId) -> u64 + Send + 'static,
    ) -> Self {
        Self { out, name: Box::new(name), number: Box::new(number) }
    }

    fn line(&self, event: &AttendanceEvent) -> Line {
        let name = |person: PersonId| (self.name)(person).unwrap_or_else(|| person.to_string());
        let decision = &event.decision;
        let scores = Scores::of(decision);
        Line {
            event_id: event.id.0,
            kind: event.kind.as_str(),
            person: event.person().filter(|_| event.kind.names_somebody()).map(name),
            candidates: decision
                .candidates
                .iter()
                .take(2)
                .map(|c| Candidate { person: name(c.person), similarity: c.similarity })
                .collect(),
            camera: decision.key.camera.to_string(),
            track_id: (self.number)(&decision.key, decision.track),
            media_ms: decision.decided.media.as_millis(),
            captured_at: decision.decided.captured.to_rfc3339_opts(SecondsFormat::Micros, true),
            similarity: scores.similarity,
            margin: scores.margin,
            shots: decision.shots,
            liveness: decision.liveness.as_str(),
            liveness_score: decision.liveness.score(),
        }
    }

    fn write(&mut self, batch: &[AttendanceEvent]) -> std::io::Result<()> {
        let mut text = Vec::new();
        for event in batch {
            serde_json::to_writer(&mut text, &self.line(event))?;
            text.push(b'\n');
        }
        self.out.write_all(&text)?;
        self.out.flush()
    }
}

impl<W: Write + Send> EventSink for JsonLines<W> {
    fn accept(&mut self, batch: &[AttendanceEvent]) -> Result<(), Fault> {
        self.write(batch).map_err(|e| Fault::new(ErrorClass::Permanent, format_args!("cannot write events: {e}")))
    }
}
