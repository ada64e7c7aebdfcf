//! What is known of somebody and some time in a room, and what it explains. Pure.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};
use rollcall_store::{CameraMinute, Correction, FindingRow, Known, RegisterRow, SessionDetail, WhyEvent};
use serde_json::{Value, json};
use uuid::Uuid;

use super::Reason;
use crate::Recognition;

/// A camera with fewer pictures of a minute was down in it.
const UP_MS: i64 = 50_000;

/// What is known about it.
pub(super) struct Facts<'a> {
    pub(super) person: Uuid,
    pub(super) name: &'a str,
    pub(super) now: DateTime<Utc>,
    pub(super) from: DateTime<Utc>,
    pub(super) to: DateTime<Utc>,
    pub(super) session: Option<&'a SessionDetail>,
    pub(super) expected: bool,
    pub(super) row: Option<RegisterRow>,
    pub(super) finding: Option<FindingRow>,
    pub(super) correction: Option<Correction>,
    pub(super) known: Known,
    pub(super) recognition: Recognition,
    pub(super) events: Vec<WhyEvent>,
    pub(super) strangers: i64,
    pub(super) minutes: Vec<CameraMinute>,
}

impl Facts<'_> {
    /// Everything that explains it, most telling first.
    pub(super) fn reasons(&self) -> Vec<Reason> {
        let mut reasons = Vec::new();
        self.register(&mut reasons);
        self.enrolment(&mut reasons);
        self.sightings(&mut reasons);
        self.cameras(&mut reasons);
        self.expectation(&mut reasons);
        reasons.sort_by_key(|reason| reason.rank);
        reasons
    }

    /// The answer in a sentence.
    pub(super) fn verdict(&self, reasons: &[Reason]) -> String {
        match reasons.first() {
            Some(first) if matches!(first.code, "recorded" | "corrected") => first.text.clone(),
            Some(first) => format!("{} was not recorded: {}.", self.name, first.text.trim_end_matches('.')),
            None => format!("No camera saw anybody like {} there at that time.", self.name),
        }
    }

    /// What counts, and by whose word.
    fn register(&self, reasons: &mut Vec<Reason>) {
        if let Some(correction) = &self.correction {
            reasons.push(Reason {
                code: "corrected",
                text: format!("{} decided by hand: {} ({}).", correction.by_name, correction.kind, correction.reason),
                evidence: json!({ "correction_id": correction.id, "kind": correction.kind, "by": correction.by_name,
                    "at": correction.at, "status_before": correction.status_before }),
                rank: 0,
            });
        }
        if let Some(row) = self.row.as_ref().filter(|row| row.source == "camera") {
            let camera = row.camera.as_deref().unwrap_or("a camera");
            reasons.push(Reason {
                code: "recorded",
                text: format!("{} was recorded as {} by {camera}.", self.name, row.status.replace('_', " ")),
                evidence: json!({ "status": row.status, "event_id": row.event_id, "camera": row.camera,
                    "arrived_at": row.arrived_at, "similarity": row.similarity }),
                rank: 1,
            });
        }
        if let Some(finding) = self.finding.as_ref().filter(|finding| finding.verdict == "absent") {
            let (code, text, rank) = match finding.reason.as_str() {
                "too_late" => ("too_late", "they came so late that it counts as absent", 2),
                "too_short" => ("too_short", "they stayed for so short a time that it counts as absent", 2),
                _ => ("absent_at_closing", "nobody had seen them when the session was closed", 60),
            };
            reasons.push(Reason {
                code,
                text: text.to_owned(),
                evidence: json!({ "reason": finding.reason, "minutes_present": finding.minutes_present,
                    "found_at": finding.found_at }),
                rank,
            });
        }
    }

    /// Whether they can be recognised at all.
    fn enrolment(&self, reasons: &mut Vec<Reason>) {
        let known = &self.known;
        let evidence = json!({ "templates": known.templates, "templates_of_other_models": known.other_templates,
            "model": self.recognition.model, "since": known.since, "consent": known.consents,
            "consent_withdrawn": known.withdrawn });
        let mut told = |code, text: &str| {
            reasons.push(Reason { code, text: text.to_owned(), evidence: evidence.clone(), rank: 5 });
        };
        if known.templates > 0 {
            if known.since.is_some_and(|since| since >= self.to) {
                told("enrolled_later", "their face was enrolled only afterwards");
            }
        } else if known.other_templates > 0 {
            told("other_model", "their face was enrolled with another model than the one in use: enrol it again");
        } else if known.withdrawn && !known.consents {
            told("consent_withdrawn", "their consent was withdrawn, and their templates were erased with it");
        } else {
            told("not_enrolled", "no face of theirs is enrolled");
        }
    }

    /// What was seen of them, or of somebody like them.
    fn sightings(&self, reasons: &mut Vec<Reason>) {
        for event in &self.events {
            let Some((code, text, rank)) = self.sighting(event) else { continue };
            let evidence = json!({ "event_id": event.id, "kind": event.kind, "captured_at": event.captured_at,
                "camera": event.camera, "similarity": event.theirs, "other_person_id": event.other_id,
                "other_similarity": event.others, "needed": self.recognition.needed(event.shots),
                "margin_needed": self.recognition.margin, "shots": event.shots, "liveness": event.liveness,
                "liveness_reason": event.liveness_reason, "liveness_score": event.liveness_score,
                "review": event.review_status });
            // Of many alike the one that came closest.
            match reasons.iter_mut().find(|reason| reason.code == code) {
                Some(first) if event.theirs <= similarity(&first.evidence) => {}
                Some(first) => *first = Reason { code, text, evidence, rank },
                None => reasons.push(Reason { code, text, evidence, rank }),
            }
        }
        if self.strangers > 0 {
            reasons.push(Reason {
                code: "strangers",
                text: format!(
                    "{} faces were seen that are like other people more than like them, or like nobody",
                    self.strangers
                ),
                evidence: json!({ "unknown_faces": self.strangers }),
                rank: 70,
            });
        }
    }

    /// Whether a face is so much like somebody else, too, that this leaves it open who it is.
    fn are_too_alike(&self, theirs: f32, others: f32) -> bool {
        others > self.recognition.review && theirs - others < self.recognition.margin
    }

    /// Code, words and rank of what an event explains, if it explains anything.
    fn sighting(&self, event: &WhyEvent) -> Option<(&'static str, String, u8)> {
        let named = event.person_id == Some(self.person);
        let other = event.other_name.as_deref().unwrap_or("somebody else");
        let theirs = event.theirs.unwrap_or_default();
        let told = |code, text: &str, rank| Some((code, text.to_owned(), rank));
        match event.kind.as_str() {
            "recorded" if named => None,
            "recorded" | "debounced" | "off_roster" | "off_schedule" if !named => {
                let text = format!("a face that was {theirs:.2} like theirs was taken for {other}");
                Some(("taken_for_somebody_else", text, 30))
            }
            "debounced" => {
                told("debounced", "they were seen, and had been marked shortly before: it was only counted", 3)
            }
            "off_roster" => {
                told("off_roster", "they were seen, but are not on the roster of the session that was on", 4)
            }
            "off_schedule" => told("off_schedule", "they were seen while no session was on", 4),
            "spoof" => {
                told("spoof", "their face was seen, but it looked like a picture or a screen; it waits for review", 10)
            }
            "ambiguous" if named => {
                let why = match event.liveness_reason.as_deref() {
                    Some("too_small") => "too small to tell whether they were really there",
                    Some("too_poor") => "too dark or blurred to tell whether they were really there",
                    Some("no_blink") => "seen without the blink that is asked for",
                    _ => "not certainly that of somebody who was really there",
                };
                let text = format!("they were recognised, but their face was {why}; it waits for review");
                Some(("undecided", text, 11))
            }
            "ambiguous" if event.others.is_some_and(|others| self.are_too_alike(theirs, others)) => {
                let others = event.others.unwrap_or_default();
                let text = format!(
                    "their face was too much like that of {other} ({theirs:.2} and {others:.2}); it waits for review"
                );
                Some(("ambiguous", text, 12))
            }
            "ambiguous" if theirs >= self.recognition.needed(event.shots) => {
                let text = format!(
                    "a face was {theirs:.2} like theirs, but too few views of it said so, or a nearer one at the same time was as \
                     much like them, as before a mirror; it waits for review"
                );
                Some(("in_doubt", text, 13))
            }
            "ambiguous" | "unknown" => {
                let needed = self.recognition.needed(event.shots);
                let rank = if event.kind == "ambiguous" { 13 } else { 20 };
                let text = format!("a face was {theirs:.2} like theirs, and {needed:.2} was needed");
                Some(("below_threshold", text, rank))
            }
            _ => None,
        }
    }

    /// Whether there were pictures, and faces that could not be used.
    fn cameras(&self, reasons: &mut Vec<Reason>) {
        if self.from >= self.now {
            reasons.push(Reason {
                code: "not_yet",
                text: "that time has not come yet".to_owned(),
                evidence: json!({ "from": self.from }),
                rank: 2,
            });
            return;
        }
        self.pictures(reasons);
        self.refused_faces(reasons);
    }

    /// When nothing was watched, or a camera gave no pictures.
    fn pictures(&self, reasons: &mut Vec<Reason>) {
        let until = self.to.min(self.now);
        let minutes = (until - self.from).num_minutes().max(1);
        let mut down: BTreeMap<&str, (i64, Option<&str>)> = BTreeMap::new();
        for minute in self.minutes.iter().filter(|minute| minute.up_ms < UP_MS) {
            let entry = down.entry(&minute.camera).or_default();
            entry.0 += 1;
            entry.1 = minute.down_reason.as_deref().or(entry.1);
        }
        let covered: BTreeSet<_> = self.minutes.iter().map(|minute| minute.minute).collect();
        let missing = minutes - i64::try_from(covered.len()).unwrap_or(i64::MAX);
        // The current minute is not written down yet.
        if missing > 1 {
            let most = missing * 2 > minutes;
            reasons.push(Reason {
                code: "daemon_down",
                text: format!("nothing was watching the room for {missing} of {minutes} minutes: the daemon did not run, or the room had no camera"),
                evidence: json!({ "minutes": missing, "of": minutes }),
                rank: if most { 8 } else { 40 },
            });
        }
        for (camera, (lost, why)) in down {
            let most = lost * 2 > minutes;
            reasons.push(Reason {
                code: "camera_down",
                text: format!(
                    "{camera} gave no pictures in {lost} of {minutes} minutes ({})",
                    why.unwrap_or("it was cut off now and then")
                ),
                evidence: json!({ "camera": camera, "minutes": lost, "of": minutes, "reason": why }),
                rank: if most { 9 } else { 41 },
            });
        }
    }

    /// Faces that were left out.
    fn refused_faces(&self, reasons: &mut Vec<Reason>) {
        let mut refused: BTreeMap<&str, i64> = BTreeMap::new();
        for (reason, count) in self.minutes.iter().filter_map(|minute| minute.refused.as_object()).flatten() {
            *refused.entry(reason).or_default() += count.as_i64().unwrap_or_default();
        }
        for (reason, count) in refused {
            let (code, words) = match reason {
                "too_small" => {
                    ("too_small", "too small: come nearer, lower min_face_px, or use a stream of more pixels")
                }
                "outside_region" => {
                    ("outside_region", "outside of the camera's regions_of_interest: widen them if people pass there")
                }
                "too_many" => ("too_many", "too many at once"),
                "turned_away" => {
                    ("turned_away", "turned too far away: hang the camera in line with the way that people come")
                }
                "too_dark" => ("too_dark", "too dark: give the door more light, or the camera another exposure"),
                "too_bright" => ("too_bright", "too bright: turn the camera away from lamps and windows"),
                "low_contrast" => ("low_contrast", "without contrast: look at light, haze and a dirty lens"),
                "blurred" => ("blurred", "too blurred: a shorter exposure, or another focus, may help"),
                "uncertain" => {
                    ("uncertain", "hardly to be recognised as faces: look at a preview for what covers them")
                }
                _ => ("unusable", "of no use"),
            };
            reasons.push(Reason {
                code,
                text: format!("faces were left out because they were {words}"),
                evidence: json!({ "reason": reason, "faces": count }),
                rank: 50,
            });
        }
    }

    /// Whether they were expected.
    fn expectation(&self, reasons: &mut Vec<Reason>) {
        let Some(session) = self.session else {
            reasons.push(Reason {
                code: "no_session",
                text: "no timetabled session was on".to_owned(),
                evidence: json!({}),
                rank: 80,
            });
            return;
        };
        if session.state == "cancelled" {
            let evidence = json!({ "session_id": session.id });
            reasons.push(Reason { code: "cancelled", text: "the session was cancelled".to_owned(), evidence, rank: 2 });
        } else if !self.expected && session.expected > 0 {
            let evidence = json!({ "session_id": session.id, "expected": session.expected });
            reasons.push(Reason {
                code: "not_expected",
                text: "they are not on the roster of the session".to_owned(),
                evidence,
                rank: 45,
            });
        }
    }
}

fn similarity(evidence: &Value) -> Option<f32> {
    #[expect(clippy::cast_possible_truncation, reason = "it was one before it became JSON")]
    evidence.get("similarity").and_then(Value::as_f64).map(|similarity| similarity as f32)
}
