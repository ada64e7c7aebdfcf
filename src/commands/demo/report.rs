//! What is said at the end.

use std::net::SocketAddr;

use rollcall_store::EventRow;
use serde::Serialize;

use super::board::{describe, latency_ms};
use super::cast::Scene;
use super::verdict::Rows;
use crate::output;

/// The outcome.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    /// Exactly the right marks are in the database.
    pub(super) passed: bool,
    /// What is not as it has to be.
    problems: Vec<String>,
    /// The rows that count.
    marks: Vec<MarkLine>,
    /// Every event, scene by scene.
    events: Vec<EventLine>,
    /// From the first usable face to the row, over all marks, milliseconds.
    slowest_mark_ms: Option<i64>,
    /// From the start of the program.
    seconds: f64,
    /// Where the daemon listens.
    api: String,
}

#[derive(Debug, Serialize)]
struct MarkLine {
    person: String,
    status: String,
    room: String,
    camera: String,
    /// How often the person was seen in this session.
    sightings: u32,
    /// From the first usable face to the row.
    latency_ms: Option<i64>,
}

#[derive(Debug, Serialize)]
struct EventLine {
    camera: String,
    kind: String,
    person: Option<String>,
    similarity: Option<f32>,
    shots: u32,
    liveness: String,
    liveness_score: Option<f32>,
    #[serde(skip)]
    row: Vec<String>,
}

impl Report {
    pub(super) fn new(scenes: &[Scene], rows: &Rows, problems: Vec<String>, seconds: f64, api: SocketAddr) -> Self {
        let marks: Vec<MarkLine> = rows
            .marks
            .iter()
            .map(|mark| MarkLine {
                person: mark.name.clone(),
                status: mark.status.clone(),
                room: mark.room.to_string(),
                camera: mark.camera.to_string(),
                sightings: mark.sightings,
                latency_ms: rows.events.iter().find(|e| e.id == mark.event).map(latency_ms),
            })
            .collect();
        let events = scenes.iter().flat_map(|scene| rows.of(scene).map(|event| line(scene, event, rows))).collect();
        Self {
            passed: problems.is_empty(),
            problems,
            slowest_mark_ms: marks.iter().filter_map(|m| m.latency_ms).max(),
            marks,
            events,
            seconds: (seconds * 10.0).round() / 10.0,
            api: api.to_string(),
        }
    }

    pub(super) fn text(&self) -> String {
        let rows: Vec<_> = self.events.iter().map(|event| event.row.clone()).collect();
        let mut text = format!("\nevents, as the database has them:\n{}\n\nmarks:\n", output::table(&rows));
        let marks: Vec<_> = self
            .marks
            .iter()
            .map(|m| {
                vec![
                    m.person.clone(),
                    m.status.clone(),
                    format!("at {}", m.camera),
                    format!("seen {} times", m.sightings),
                ]
            })
            .collect();
        text.push_str(&output::table(&marks));
        if let Some(slowest) = self.slowest_mark_ms {
            text.push_str(&format!("\n\nfrom the first usable face to the row: at most {slowest} ms"));
        }
        text.push_str(&format!("\n{:.1} s in all\n", self.seconds));
        if self.passed {
            text.push_str("passed: exactly the right people are marked");
        } else {
            text.push_str("FAILED:\n  ");
            text.push_str(&self.problems.join("\n  "));
        }
        text
    }
}

fn line(scene: &Scene, event: &EventRow, rows: &Rows) -> EventLine {
    EventLine {
        camera: event.camera.to_string(),
        kind: event.kind.clone(),
        person: rows.name(event).map(str::to_owned),
        similarity: event.similarity.or(event.candidates.first().map(|c| c.similarity)),
        shots: event.shots,
        liveness: event.liveness.clone(),
        liveness_score: event.liveness_score,
        row: vec![
            event.captured_at.format("%T").to_string(),
            scene.camera.to_owned(),
            scene.title.to_owned(),
            event.kind.clone(),
            describe(event, rows),
        ],
    }
}
