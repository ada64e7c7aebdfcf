//! What happens, as it happens: a table that follows on a terminal, a line for each event elsewhere.

use std::collections::HashSet;
use std::io::IsTerminal;
use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use rollcall_pipeline::{EventId, EventKind};
use rollcall_store::EventRow;

use super::cast::Scene;
use super::verdict::Rows;
use crate::output;

/// Where events are shown, on stderr.
pub(super) enum Board {
    /// A line for each scene, written over again and again.
    Table(Vec<ProgressBar>),
    /// A line for each event.
    Lines(HashSet<EventId>),
    /// Nothing: a program is watching.
    Silent,
}

impl Board {
    pub(super) fn new(scenes: &[Scene], json: bool) -> Self {
        if json {
            return Self::Silent;
        }
        if !std::io::stderr().is_terminal() {
            return Self::Lines(HashSet::new());
        }
        let table = MultiProgress::new();
        let style = ProgressStyle::with_template("{spinner} {prefix} {wide_msg}");
        let style = style.unwrap_or_else(|_| ProgressStyle::default_spinner());
        let bars = scenes.iter().map(|scene| {
            let bar = table.add(ProgressBar::new_spinner().with_style(style.clone()).with_prefix(heading(scene)));
            bar.enable_steady_tick(Duration::from_millis(200));
            bar.set_message("nobody yet");
            bar
        });
        Self::Table(bars.collect())
    }

    /// Shows what is new.
    pub(super) fn show(&mut self, scenes: &[Scene], rows: &Rows) {
        match self {
            Self::Silent => {}
            Self::Table(bars) => {
                for (bar, scene) in bars.iter().zip(scenes) {
                    if let Some(text) = so_far(scene, rows) {
                        bar.set_message(text);
                    }
                }
            }
            Self::Lines(told) => {
                for event in &rows.events {
                    if told.insert(event.id) {
                        let scene = scenes.iter().find(|s| s.camera == event.camera.as_str());
                        let who = scene.map_or_else(|| event.camera.to_string(), heading);
                        output::note(format_args!(
                            "{} {who} {}",
                            event.recorded_at.format("%T%.3f"),
                            describe(event, rows)
                        ));
                    }
                }
            }
        }
    }

    /// Leaves the table as it is.
    pub(super) fn close(&mut self) {
        if let Self::Table(bars) = self {
            bars.iter().for_each(ProgressBar::abandon);
        }
    }
}

fn heading(scene: &Scene) -> String {
    format!("{:<10} {:<36}", scene.camera, scene.title)
}

/// The first event of a scene, and how often it was seen since.
fn so_far(scene: &Scene, rows: &Rows) -> Option<String> {
    let mut events = rows.of(scene);
    let text = describe(events.next()?, rows);
    let mut again: Vec<(&str, usize)> = Vec::new();
    for event in events {
        match again.iter_mut().find(|(kind, _)| *kind == event.kind) {
            Some((_, count)) => *count += 1,
            None => again.push((&event.kind, 1)),
        }
    }
    let again: String = again.iter().map(|(kind, count)| format!(", then {count} x {kind}")).collect();
    Some(text + &again)
}

/// An event in a few words and figures.
pub(super) fn describe(event: &EventRow, rows: &Rows) -> String {
    let mut text = match rows.name(event) {
        Some(name) if event.kind == EventKind::Spoof.as_str() => format!("spoof of {name}"),
        Some(name) => format!("{} {name}", event.mark_status.as_deref().unwrap_or(&event.kind)),
        None => event.kind.clone(),
    };
    if let Some(similarity) = event.similarity.or(event.candidates.first().map(|c| c.similarity)) {
        text.push_str(&format!(", similarity {similarity:.2}"));
    }
    match event.liveness_score {
        Some(score) => text.push_str(&format!(", {} {score:.3}", event.liveness)),
        None => text.push_str(&format!(", liveness {}", event.liveness)),
    }
    if event.mark_status.is_some() {
        text.push_str(&format!(", {} ms to the row", latency_ms(event)));
    }
    text
}

/// From the first usable face to the committed row.
pub(super) fn latency_ms(event: &EventRow) -> i64 {
    (event.recorded_at - event.first_usable_at).num_milliseconds()
}
