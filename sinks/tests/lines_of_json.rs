//! The exchange format of `rollcall replay`, field by field.
#![allow(clippy::unwrap_used, reason = "helpers of tests are tests")]

mod support;

use rollcall_pipeline::ports::EventSink;
use rollcall_pipeline::{Candidate, EventKind, LivenessVerdict, UndecidedReason};
use rollcall_sinks::JsonLines;
use support::{event, person};

fn lines(events: &[rollcall_pipeline::AttendanceEvent]) -> String {
    let mut out = Vec::new();
    let names = |id| (id == person(1)).then(|| "Ada Lovelace".to_owned());
    // As if a stream with forty tracks had come before.
    JsonLines::new(&mut out, names, |_, track| 40 + track.0).accept(events).unwrap();
    String::from_utf8(out).unwrap()
}

#[test]
fn every_field_has_its_place() {
    let mut recorded = event(2, EventKind::Recorded, Some(person(1)));
    recorded.decision.candidates.push(Candidate { person: person(2), similarity: 0.25 });
    recorded.decision.candidates.push(Candidate { person: person(3), similarity: 0.125 });
    let expected = format!(
        r#"{{"event_id":"{}","kind":"recorded","person":"Ada Lovelace","candidates":[{{"person":"Ada Lovelace","similarity":0.75}},{{"person":"{}","similarity":0.25}}],"camera":"door-1","track_id":42,"media_ms":2000,"captured_at":"2026-03-02T08:00:02.000000Z","similarity":0.75,"margin":0.5,"shots":3,"liveness":"live","liveness_score":0.875}}"#,
        recorded.id,
        person(2)
    );
    assert_eq!(lines(&[recorded]), expected + "\n");
}

#[test]
fn nobody_is_named_in_doubt() {
    let mut ambiguous = event(1, EventKind::Ambiguous, Some(person(1)));
    ambiguous.decision.candidates.push(Candidate { person: person(2), similarity: 0.5 });
    let mut stranger = event(2, EventKind::Unknown, None);
    stranger.decision.liveness = LivenessVerdict::Undecided(UndecidedReason::TooSmall);
    let text = lines(&[ambiguous, stranger, event(3, EventKind::Spoof, Some(person(1)))]);
    let lines: Vec<serde_json::Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(lines.iter().all(|line| line["person"].is_null()));
    assert_eq!(lines[0]["candidates"][0]["person"], "Ada Lovelace", "a reviewer sees who comes into question");
    assert_eq!((&lines[0]["similarity"], &lines[0]["margin"]), (&0.75.into(), &0.25.into()));
    assert_eq!((&lines[1]["similarity"], &lines[1]["margin"]), (&().into(), &().into()));
    assert_eq!((&lines[1]["liveness"], &lines[1]["liveness_score"]), (&"undecided".into(), &().into()));
}
