//! The `match` stage: joins tracks, gathers evidence, decides who it is and whether it is alive, and says so once.
//!
//! The module is `matching` because `match` is a keyword. It deliberately knows no rules of attendance: what a name means
//! for a session is the [`Judge`]'s business.
//!
//! - [`gallery`]: who is enrolled, searched exactly
//! - `people`: who is in view
//! - [`calibration`]: how far the enrolled are apart
//! - `evidence`: what the shots of one person say together
//! - `aloud`: what is counted and logged of a decision

mod aloud;
pub mod calibration;
mod codes;
mod evidence;
pub mod gallery;
mod people;
mod settings;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use rollcall_pipeline::ports::{Expectations, Judge, Matcher, Observer};
use rollcall_pipeline::stage::{Outbox, Stage};
use rollcall_pipeline::{
    AttendanceEvent, Decision, EventKind, Fault, FrameTime, LiveShot, LivenessVerdict, StreamKey, Tracked,
};

use people::{People, Person, Said};

pub use aloud::{Aloud, say};
pub use gallery::{Gallery, GalleryError, GalleryHandle};
pub use settings::{LivenessSettings, RecognitionSettings};

/// What the stage asks.
pub struct MatchPorts {
    /// The gallery.
    pub matcher: Arc<dyn Matcher>,
    /// The rosters.
    pub expectations: Arc<dyn Expectations>,
    /// The rules of attendance.
    pub judge: Box<dyn Judge>,
    /// Who watches.
    pub observer: Arc<dyn Observer>,
}

/// The `match` stage.
pub struct MatchStage {
    rules: Rules,
    streams: HashMap<StreamKey, People>,
}

/// By what is decided.
struct Rules {
    ports: MatchPorts,
    recognition: RecognitionSettings,
    liveness: LivenessSettings,
}

impl MatchStage {
    /// Nobody in view yet.
    pub fn new(ports: MatchPorts, recognition: RecognitionSettings, liveness: LivenessSettings) -> Self {
        Self { rules: Rules { ports, recognition, liveness }, streams: HashMap::new() }
    }

    fn shot(&mut self, shot: LiveShot, out: &mut Outbox<AttendanceEvent>) -> Result<(), Fault> {
        let (key, time, seq) = (shot.shot.key.clone(), shot.shot.time, shot.shot.seq);
        let people = self.streams.get_mut(&key).ok_or_else(|| crate::fault::not_open(&key))?;
        let ports = &mut self.rules.ports;
        ports.observer.shot(&shot);
        let mut person = people.shot(shot, &*ports.matcher, &*ports.observer, &self.rules.recognition);
        if let Some(decision) = self.rules.decide(&key, people, &mut person, time, false) {
            let ports = &mut self.rules.ports;
            let event = ports.judge.judge(decision);
            let marked = event.kind.names_somebody();
            person.said = Some(Said { at: time, marked, spoof: event.kind == EventKind::Spoof });
            ports.observer.named(&key, person.track, seq, event.person().filter(|_| marked));
            out.send(event);
        }
        people.keep(person);
        Ok(())
    }

    /// Decides for good about everybody who left.
    fn settle(&mut self, key: &StreamKey, now: Option<FrameTime>, out: &mut Outbox<AttendanceEvent>) {
        let Some(people) = self.streams.get_mut(key) else { return };
        for mut person in people.leave(now, &self.rules.recognition) {
            let last = person.evidence.last;
            if let Some(decision) = self.rules.decide(key, people, &mut person, last, true) {
                out.send(self.rules.ports.judge.judge(decision));
            }
        }
    }
}

impl Stage for MatchStage {
    const NAME: &'static str = "match";
    type In = Tracked<LiveShot>;
    type Out = AttendanceEvent;

    fn process(&mut self, batch: Vec<Self::In>, out: &mut Outbox<Self::Out>) -> Result<(), Fault> {
        for item in batch {
            match item {
                Tracked::Shot(shot) => self.shot(shot, out)?,
                Tracked::Ended(end) => {
                    if let Some(people) = self.streams.get_mut(&end.key) {
                        people.motion_ended(&end);
                    }
                }
                Tracked::Tick(key, now) => self.settle(&key, Some(now), out),
                // They end in `liveness`.
                Tracked::Eyes(_) => {}
            }
        }
        Ok(())
    }

    fn on_open(&mut self, key: &StreamKey) -> Result<(), Fault> {
        self.streams.insert(key.clone(), People::new(key.clone()));
        Ok(())
    }

    fn on_close(&mut self, key: &StreamKey, out: &mut Outbox<Self::Out>) -> Result<(), Fault> {
        self.settle(key, None, out);
        self.streams.remove(key);
        self.rules.ports.observer.closed(key);
        Ok(())
    }
}

impl Rules {
    /// What is to be said about a person now, if anything; `people` are the others of the stream.
    fn decide(
        &self,
        key: &StreamKey,
        people: &People,
        person: &mut Person,
        now: FrameTime,
        over: bool,
    ) -> Option<Decision> {
        let Self { ports, recognition, liveness } = self;
        let probe = person.evidence.mean()?;
        let expected = ports.expectations.expected(&person.tuning.room, now.captured);
        let ranking = ports.matcher.rank(&probe, expected.as_deref());
        person.best = ranking.all.first().copied();
        let marked = person.said.is_some_and(|said| said.marked);
        // Whoever has a name keeps it when somebody like them comes by.
        let beside = person.best.filter(|_| !marked).and_then(|best| people.beside(person, best.person));
        let evidence = &person.evidence;
        let (outcome, grounds) = evidence.outcome(&ranking, beside, recognition, over)?;
        let alive = evidence.liveness(liveness, ports.judge.waits_when_small(), outcome.person(), over)?;
        if person.said.is_some_and(|said| !adds(&said, &alive, recognition, now, over)) {
            return None;
        }
        // The repeat of a mark answers no new face: its clock starts now.
        let repeats = marked && !matches!(alive, LivenessVerdict::Spoof(_));
        Some(Decision {
            key: key.clone(),
            track: person.track,
            first_seen: evidence.first,
            first_usable: if repeats { now } else { evidence.first_usable(now) },
            decided: now,
            tuning: person.tuning.clone(),
            outcome,
            grounds,
            candidates: ranking.all,
            liveness: alive,
            shots: evidence.shots,
            gallery: ranking.gallery,
            best: evidence.best(),
            face: Some(probe),
        })
    }
}

/// Whether a verdict adds to what was said: a picture that is found out late, a life that shows late, and, of somebody who
/// stays, a sign of it now and then.
fn adds(said: &Said, alive: &LivenessVerdict, recognition: &RecognitionSettings, now: FrameTime, over: bool) -> bool {
    match alive {
        _ if said.spoof => false,
        LivenessVerdict::Spoof(_) => true,
        LivenessVerdict::Live(_) if !said.marked => true,
        _ => said.marked && !over && now.media.since(said.at.media) >= Duration::from_millis(recognition.repeat_ms),
    }
}
