//! Whether the promises were kept. Pure.

use std::collections::{BTreeMap, HashMap, HashSet};

use chrono::TimeDelta;
use rollcall_pipeline::{EventKind, WallTime};
use serde::Serialize;
use uuid::Uuid;

use crate::ledger::Life;
use crate::witness::Visit;

/// How far a captured time may be from what was shown: what is on its way from the camera, and looks that come late on a
/// busy machine.
const TOLERANCE: TimeDelta = TimeDelta::milliseconds(1500);
/// Takes whom it names for a picture: that is not to have seen him. An ambiguous one with his name is left to a human.
const SPOOF: &str = "spoof";

/// Whether a row says that somebody was here.
fn names_somebody(kind: &str) -> bool {
    EventKind::naming().any(|naming| naming == kind)
}

/// What is promised.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Promise {
    NothingLost,
    NoDuplicate,
    OrderKept,
    RightPeople,
    BackInTime,
    HoldingsBack,
    /// It ends well, and says what a scenario wants it to say.
    Behaves,
}

impl Promise {
    pub(crate) const ALL: [Self; 7] = [
        Self::NothingLost,
        Self::NoDuplicate,
        Self::OrderKept,
        Self::RightPeople,
        Self::BackInTime,
        Self::HoldingsBack,
        Self::Behaves,
    ];

    /// In words.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::NothingLost => "nothing lost",
            Self::NoDuplicate => "no duplicate",
            Self::OrderKept => "order kept",
            Self::RightPeople => "right people",
            Self::BackInTime => "back in time",
            Self::HoldingsBack => "holdings back",
            Self::Behaves => "behaves",
        }
    }
}

/// A promise that was not kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Broken {
    pub(crate) promise: Promise,
    pub(crate) what: String,
}

/// A row of the event log, in the order of the commits.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Row {
    pub(crate) event: Uuid,
    pub(crate) camera: String,
    pub(crate) kind: String,
    pub(crate) name: Option<String>,
    pub(crate) captured: WallTime,
}

/// What is in the database.
#[derive(Clone, Debug, Default)]
pub(crate) struct Rows {
    pub(crate) sightings: Vec<Row>,
    /// Rows of the event log itself: as many as it has told of.
    pub(crate) events: usize,
    /// Name, session, sightings.
    pub(crate) marks: Vec<(String, Uuid, u32)>,
}

/// Nobody need be recognised there then.
#[derive(Clone, Debug)]
pub(crate) struct Excuse {
    /// All cameras, where there is none.
    pub(crate) camera: Option<usize>,
    pub(crate) from: WallTime,
    /// Until the end, where there is none.
    pub(crate) to: Option<WallTime>,
}

/// What is known when it is over.
#[derive(Debug)]
pub(crate) struct Case<'a> {
    pub(crate) lives: &'a [Life],
    pub(crate) rows: &'a Rows,
    pub(crate) visits: &'a [Visit],
    pub(crate) excuses: &'a [Excuse],
    /// From when on the daemon's wall clock was off by how much, in order.
    pub(crate) offsets: &'a [(WallTime, TimeDelta)],
    /// So many accepted events were destroyed by the scenario itself.
    pub(crate) destroyed: usize,
}

/// How the camera with that number is called.
pub(crate) fn camera_name(number: usize) -> String {
    format!("door-{number}")
}

/// Whether somebody was shown from beginning to end, and nothing excuses that they were not seen.
pub(crate) fn must_be_seen(visit: &Visit, excuses: &[Excuse]) -> bool {
    let excused = excuses.iter().any(|excuse| {
        excuse.camera.is_none_or(|camera| camera == visit.camera)
            && excuse.from <= visit.to
            && excuse.to.is_none_or(|to| to >= visit.from)
    });
    visit.whole && !excused
}

impl Case<'_> {
    /// Every promise that was broken.
    pub(crate) fn broken(&self) -> Vec<Broken> {
        let mut broken = Vec::new();
        let mut tell = |promise, what: String| broken.push(Broken { promise, what });
        self.lost(&mut tell);
        self.twice(&mut tell);
        self.disordered(&mut tell);
        self.wrong_people(&mut tell);
        self.missed(&mut tell);
        broken
    }

    fn lost(&self, tell: &mut impl FnMut(Promise, String)) {
        let there: HashSet<Uuid> = self.rows.sightings.iter().map(|row| row.event).collect();
        let mut missing = 0;
        for (number, life) in self.lives.iter().enumerate() {
            let accepted = life.accepted.iter().filter(|event| !there.contains(event)).count();
            let decided = life.decided.iter().filter(|d| life.orderly && !there.contains(&d.event)).count();
            missing += accepted.max(decided);
            if accepted > self.destroyed || decided > self.destroyed {
                tell(
                    Promise::NothingLost,
                    format!(
                        "run {}: of {} accepted events {accepted} have no row, of {} decided {decided}",
                        number + 1,
                        life.accepted.len(),
                        life.decided.len()
                    ),
                );
            }
        }
        if missing != self.destroyed {
            tell(Promise::NothingLost, format!("{missing} events have no row; {} were destroyed", self.destroyed));
        }
        let decided: HashSet<Uuid> = self.lives.iter().flat_map(|life| &life.decided).map(|d| d.event).collect();
        let strange = there.iter().filter(|event| !decided.contains(event)).count();
        if strange > 0 {
            tell(Promise::NothingLost, format!("{strange} rows of which nobody decided anything"));
        }
    }

    fn twice(&self, tell: &mut impl FnMut(Promise, String)) {
        let rows = &self.rows.sightings;
        let events: HashSet<Uuid> = rows.iter().map(|row| row.event).collect();
        if events.len() != rows.len() || self.rows.events != rows.len() {
            tell(
                Promise::NoDuplicate,
                format!("{} events were told {} times and have {} rows", events.len(), rows.len(), self.rows.events),
            );
        }
        let marks: HashSet<_> = self.rows.marks.iter().map(|(name, session, _)| (name, session)).collect();
        if marks.len() != self.rows.marks.len() {
            tell(Promise::NoDuplicate, format!("{} marks of {}", self.rows.marks.len(), marks.len()));
        }
        let mut seen: BTreeMap<&str, u32> = BTreeMap::new();
        for row in rows.iter().filter(|row| names_somebody(&row.kind)) {
            *seen.entry(row.name.as_deref().unwrap_or("somebody who is gone")).or_default() += 1;
        }
        let mut counted: BTreeMap<&str, u32> = BTreeMap::new();
        for (name, _, sightings) in &self.rows.marks {
            *counted.entry(name).or_default() += sightings;
        }
        if seen != counted {
            tell(
                Promise::NoDuplicate,
                format!("rows by person {seen:?}, sightings counted on their marks {counted:?}"),
            );
        }
    }

    fn disordered(&self, tell: &mut impl FnMut(Promise, String)) {
        let decided = self.lives.iter().flat_map(|life| &life.decided).enumerate();
        let places: HashMap<Uuid, usize> = decided.map(|(at, d)| (d.event, at)).collect();
        let mut last: HashMap<&str, usize> = HashMap::new();
        for row in &self.rows.sightings {
            let Some(&at) = places.get(&row.event) else { continue };
            if let Some(before) = last.insert(&row.camera, at)
                && before > at
            {
                tell(Promise::OrderKept, format!("{}: decision {at} was written after decision {before}", row.camera));
            }
        }
    }

    fn wrong_people(&self, tell: &mut impl FnMut(Promise, String)) {
        for row in self.rows.sightings.iter().filter(|row| names_somebody(&row.kind)) {
            let right = self.visits.iter().any(|visit| self.is_of(row, visit));
            if !right {
                let name = row.name.as_deref().unwrap_or_default();
                tell(Promise::RightPeople, format!("{name} was not before {} at {}", row.camera, row.captured));
            }
        }
    }

    fn missed(&self, tell: &mut impl FnMut(Promise, String)) {
        for visit in self.visits.iter().filter(|visit| must_be_seen(visit, self.excuses)) {
            let seen = self.rows.sightings.iter().any(|row| row.kind != SPOOF && self.is_of(row, visit));
            if !seen {
                let camera = camera_name(visit.camera);
                tell(Promise::RightPeople, format!("{} came to {camera} at {} and has no row", visit.who, visit.from));
            }
        }
    }

    /// Visits that must have a row.
    pub(crate) fn visits_that_count(&self) -> usize {
        self.visits.iter().filter(|visit| must_be_seen(visit, self.excuses)).count()
    }

    fn is_of(&self, row: &Row, visit: &Visit) -> bool {
        row.name.as_deref() == Some(visit.who)
            && row.camera == camera_name(visit.camera)
            && self.offsets_during(visit).any(|offset| {
                let captured = row.captured - offset;
                visit.from - TOLERANCE <= captured && captured <= visit.to + TOLERANCE
            })
    }

    /// By how much the wall clock was off while somebody was there.
    fn offsets_during(&self, visit: &Visit) -> impl Iterator<Item = TimeDelta> {
        let ends = self.offsets.iter().skip(1).map(|(since, _)| Some(*since)).chain([None]);
        let (from, to) = (visit.from - TOLERANCE, visit.to + TOLERANCE);
        let during = self.offsets.iter().zip(ends);
        during
            .filter(move |((since, _), end)| *since <= to && end.is_none_or(|end| end >= from))
            .map(|((_, by), _)| *by)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::Decided;

    fn at(second: i64) -> WallTime {
        WallTime::UNIX_EPOCH + TimeDelta::seconds(second)
    }

    fn row(n: u128, name: &str, second: i64) -> Row {
        let kind = if n == 1 { "recorded" } else { "debounced" }.to_owned();
        Row {
            event: Uuid::from_u128(n),
            camera: "door-0".to_owned(),
            kind,
            name: Some(name.to_owned()),
            captured: at(second),
        }
    }

    fn visit(who: &'static str, from: i64) -> Visit {
        Visit { camera: 0, who, from: at(from), to: at(from + 4), whole: true }
    }

    struct World {
        lives: Vec<Life>,
        rows: Rows,
        visits: Vec<Visit>,
        excuses: Vec<Excuse>,
        offsets: Vec<(WallTime, TimeDelta)>,
        destroyed: usize,
    }

    /// All as it has to be: three events, two visits.
    fn right() -> World {
        let decided = |n| Decided { event: Uuid::from_u128(n), camera: "door-0".to_owned() };
        World {
            lives: vec![Life {
                decided: [1, 2, 3].map(decided).to_vec(),
                accepted: [1, 2, 3].map(Uuid::from_u128).into(),
                orderly: true,
            }],
            rows: Rows {
                sightings: vec![row(1, "Alex", 11), row(2, "Alex", 12), row(3, "Franck", 17)],
                events: 3,
                marks: vec![("Alex".to_owned(), Uuid::nil(), 2), ("Franck".to_owned(), Uuid::nil(), 1)],
            },
            visits: vec![visit("Alex", 10), visit("Franck", 16)],
            excuses: vec![],
            offsets: vec![(at(0), TimeDelta::zero())],
            destroyed: 0,
        }
    }

    fn check(change: impl FnOnce(&mut World), promises: &[Promise]) {
        let mut world = right();
        change(&mut world);
        let World { lives, rows, visits, excuses, offsets, destroyed } = &world;
        let case = Case { lives, rows, visits, excuses, offsets, destroyed: *destroyed };
        let broken = case.broken();
        let told: std::collections::BTreeSet<_> = broken.iter().map(|b| b.promise).collect();
        assert_eq!(told.into_iter().collect::<Vec<_>>(), promises, "{broken:?}");
    }

    #[test]
    fn what_is_right_breaks_nothing() {
        check(|_| {}, &[]);
        // A killed run may have decided more than it wrote, and written more than it said it had.
        check(
            |w| {
                w.lives[0].orderly = false;
                w.lives[0].decided.push(Decided { event: Uuid::from_u128(4), camera: "door-0".to_owned() });
                w.lives[0].accepted.remove(&Uuid::from_u128(3));
            },
            &[],
        );
    }

    #[test]
    fn every_broken_promise_is_told() {
        use Promise::{NoDuplicate, NothingLost, OrderKept, RightPeople};
        check(|w| drop(w.rows.sightings.remove(1)), &[NothingLost, NoDuplicate]);
        check(|w| w.lives[0].decided.truncate(2), &[NothingLost]);
        check(|w| w.destroyed = 1, &[NothingLost]);
        check(|w| w.rows.events = 4, &[NoDuplicate]);
        check(|w| w.rows.marks[0].2 = 3, &[NoDuplicate]);
        check(|w| w.rows.marks.push(w.rows.marks[0].clone()), &[NoDuplicate]);
        check(|w| w.rows.sightings.swap(0, 1), &[OrderKept]);
        check(|w| w.visits[1].who = "Alex", &[RightPeople]);
        check(|w| w.visits.push(visit("Alex", 30)), &[RightPeople]);
        check(|w| w.rows.sightings[0].captured = at(30), &[RightPeople]);
        check(
            |w| {
                w.rows.sightings[2].kind = SPOOF.to_owned();
                w.rows.marks.truncate(1);
            },
            &[RightPeople],
        );
    }

    #[test]
    fn what_could_not_be_seen_is_excused() {
        let late = |w: &mut World| w.visits.push(visit("Alex", 30));
        let excuse = |camera, from, to| Excuse { camera, from: at(from), to: Some(at(to)) };
        check(
            |w| {
                late(w);
                w.excuses.push(excuse(None, 33, 40))
            },
            &[],
        );
        check(
            |w| {
                late(w);
                w.excuses.push(excuse(Some(0), 20, 31))
            },
            &[],
        );
        check(
            |w| {
                late(w);
                w.excuses.push(excuse(Some(1), 20, 31))
            },
            &[Promise::RightPeople],
        );
        check(
            |w| {
                late(w);
                w.visits[2].whole = false
            },
            &[],
        );
        check(
            |w| {
                w.rows.sightings[2].captured += TimeDelta::hours(1);
                w.offsets.push((at(15), TimeDelta::hours(1)));
            },
            &[],
        );
        check(
            |w| {
                w.rows.sightings[2].captured += TimeDelta::hours(1);
                w.offsets.push((at(25), TimeDelta::hours(1)));
            },
            &[Promise::RightPeople],
        );
    }
}
