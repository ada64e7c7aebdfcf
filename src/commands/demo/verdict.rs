//! Whether exactly the right rows are in the database. Pure.

use std::collections::HashMap;

use rollcall_pipeline::{EventKind, MarkStatus, PersonId};
use rollcall_store::{EventRow, MarkRow};

use super::cast::{Outcome, Scene};

/// Rows as they were read back.
#[derive(Default)]
pub(super) struct Rows {
    /// The event log.
    pub(super) events: Vec<EventRow>,
    /// The attendance.
    pub(super) marks: Vec<MarkRow>,
    /// Names of the enrolled.
    pub(super) names: HashMap<PersonId, String>,
}

impl Rows {
    /// The events of a scene, oldest first.
    pub(super) fn of<'a>(&'a self, scene: &'a Scene) -> impl Iterator<Item = &'a EventRow> {
        self.events.iter().filter(|e| e.camera.as_str() == scene.camera)
    }

    /// The name of whoever an event names.
    pub(super) fn name(&self, event: &EventRow) -> Option<&str> {
        self.names.get(&event.person?).map(String::as_str)
    }
}

/// How often a scene had its outcome so far.
pub(super) fn times(scene: &Scene, rows: &Rows) -> usize {
    let repeats = match scene.outcome {
        Outcome::Mark(..) => Some(EventKind::Debounced.as_str()),
        Outcome::NoMark(_) => None,
    };
    let kind = kind(scene).as_str();
    rows.of(scene).filter(|e| e.kind == kind || Some(e.kind.as_str()) == repeats).count()
}

fn kind(scene: &Scene) -> EventKind {
    match scene.outcome {
        Outcome::Mark(_, statuses) if statuses.contains(&MarkStatus::OffRoster) => EventKind::OffRoster,
        Outcome::Mark(..) => EventKind::Recorded,
        Outcome::NoMark(kind) => kind,
    }
}

/// Everything that is not as it has to be after each scene was shown `shown` times; empty is success.
pub(super) fn problems(scenes: &[Scene], rows: &Rows, shown: usize) -> Vec<String> {
    let mut problems = Vec::new();
    for scene in scenes {
        let camera = scene.camera;
        let seen = times(scene, rows);
        if seen < shown {
            problems.push(format!("{camera}: {} came {shown} times and was seen {seen} times", scene.title));
        }
        match scene.outcome {
            Outcome::Mark(person, statuses) => check_mark(scene, person, statuses, rows, &mut problems),
            Outcome::NoMark(kind) => {
                for event in rows.of(scene).filter(|e| e.kind != kind.as_str()) {
                    problems.push(format!("{camera}: {} was called {}", scene.title, said(event, rows)));
                }
            }
        }
    }
    let wanted = |mark: &MarkRow| {
        scenes
            .iter()
            .any(|s| s.camera == mark.camera.as_str() && matches!(s.outcome, Outcome::Mark(p, _) if p == mark.name))
    };
    for mark in rows.marks.iter().filter(|mark| !wanted(mark)) {
        problems.push(format!("{} was marked {} at {}, and must not be", mark.name, mark.status, mark.camera));
    }
    for event in rows.events.iter().filter(|e| scenes.iter().all(|s| s.camera != e.camera.as_str())) {
        problems.push(format!("an event of the unknown camera {}", event.camera));
    }
    problems
}

fn check_mark(scene: &Scene, person: &str, statuses: &[MarkStatus], rows: &Rows, problems: &mut Vec<String>) {
    let camera = scene.camera;
    match rows.marks.iter().filter(|m| m.name == person).collect::<Vec<_>>()[..] {
        [mark] if !statuses.iter().any(|s| s.as_str() == mark.status) => {
            problems.push(format!("{person} was marked {}", mark.status));
        }
        [_] => {}
        [] => problems.push(format!("{person} was not marked")),
        ref several => problems.push(format!("{person} has {} marks", several.len())),
    }
    let kind = kind(scene).as_str();
    let mut first = true;
    for event in rows.of(scene) {
        let right = if first { event.kind == kind } else { event.kind == EventKind::Debounced.as_str() };
        if !right || rows.name(event) != Some(person) {
            problems.push(format!("{camera}: {} was called {}", scene.title, said(event, rows)));
        }
        first = false;
    }
}

fn said(event: &EventRow, rows: &Rows) -> String {
    match rows.name(event) {
        Some(name) => format!("{} ({name})", event.kind),
        None => event.kind.clone(),
    }
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;
    use rollcall_pipeline::{CameraId, EventId, RoomId, SessionId};
    use uuid::Uuid;

    use super::super::cast::{PEOPLE, scenes};
    use super::*;

    fn id(name: &str) -> PersonId {
        PersonId(Uuid::new_v5(&Uuid::NAMESPACE_OID, name.as_bytes()))
    }

    fn event(camera: &str, kind: &str, person: Option<&str>) -> EventRow {
        EventRow {
            id: EventId(Uuid::nil()),
            kind: kind.to_owned(),
            person: person.map(id),
            candidates: Vec::new(),
            room: RoomId::new("hall"),
            camera: CameraId::new(camera),
            first_usable_at: DateTime::UNIX_EPOCH,
            captured_at: DateTime::UNIX_EPOCH,
            recorded_at: DateTime::UNIX_EPOCH,
            similarity: None,
            shots: 3,
            liveness: "live".to_owned(),
            liveness_score: None,
            mark_status: None,
        }
    }

    fn mark(name: &str, status: &str, camera: &str) -> MarkRow {
        MarkRow {
            session: SessionId(Uuid::nil()),
            room: RoomId::new("hall"),
            person: id(name),
            name: name.to_owned(),
            status: status.to_owned(),
            captured_at: DateTime::UNIX_EPOCH,
            recorded_at: DateTime::UNIX_EPOCH,
            event: EventId(Uuid::nil()),
            camera: CameraId::new(camera),
            direction: None,
            similarity: 0.9,
            margin: 0.5,
            shots: 3,
            liveness: "live".to_owned(),
            sightings: 2,
            first_seen_at: DateTime::UNIX_EPOCH,
            last_seen_at: DateTime::UNIX_EPOCH,
            last_exit_at: None,
        }
    }

    /// As it has to be after two visits.
    fn right() -> Rows {
        Rows {
            events: vec![
                event("front-door", "recorded", Some("Alex")),
                event("front-door", "debounced", Some("Alex")),
                event("side-door", "off_roster", Some("Franck")),
                event("side-door", "debounced", Some("Franck")),
                event("back-door", "unknown", None),
                event("back-door", "unknown", None),
                event("lift", "spoof", Some("Obama")),
                event("lift", "spoof", Some("Obama")),
            ],
            marks: vec![mark("Alex", "present", "front-door"), mark("Franck", "off_roster", "side-door")],
            names: PEOPLE.iter().map(|p| (id(p.name), p.name.to_owned())).collect(),
        }
    }

    fn check(change: impl FnOnce(&mut Rows), expected: &[&str]) {
        let mut rows = right();
        change(&mut rows);
        assert_eq!(problems(&scenes(), &rows, 2), expected);
    }

    #[test]
    fn exactly_the_right_rows_pass() {
        check(|_| {}, &[]);
        check(|rows| rows.marks[0].status = "late".to_owned(), &[]);
    }

    #[test]
    fn every_wrong_row_is_told() {
        check(|rows| drop(rows.marks.remove(0)), &["Alex was not marked"]);
        check(|rows| rows.marks.push(mark("Alex", "present", "front-door")), &["Alex has 2 marks"]);
        check(
            |rows| rows.marks.push(mark("Obama", "present", "lift")),
            &["Obama was marked present at lift, and must not be"],
        );
        check(|rows| rows.marks[1].status = "present".to_owned(), &["Franck was marked present"]);
        check(
            |rows| rows.events[1].kind = "recorded".to_owned(),
            &["front-door: Alex, enrolled and expected was called recorded (Alex)"],
        );
        check(
            |rows| rows.events[4] = event("back-door", "ambiguous", None),
            &["back-door: a stranger came 2 times and was seen 1 times", "back-door: a stranger was called ambiguous"],
        );
        check(|rows| rows.events.push(event("roof", "unknown", None)), &["an event of the unknown camera roof"]);
    }
}
