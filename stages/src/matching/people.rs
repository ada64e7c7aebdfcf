//! The people in view of one stream: motion tracks joined by appearance into people's tracks, and cut where a motion track
//! went over to somebody else. Pure: shots and times in, what is to be decided out.
//!
//! A person's track has the id of its first motion track. The part of a motion track behind a cut has an id that no motion
//! track can have (bits 32 and up count the cuts).

use std::collections::HashMap;
use std::time::Duration;

use rollcall_pipeline::ports::{Matcher, Observer};
use rollcall_pipeline::{Candidate, Embedding, FrameTime, LiveShot, PersonId, Rect, StreamKey, TrackEnd, TrackId};

use super::evidence::Evidence;
use super::settings::RecognitionSettings;
use crate::track::distance_in_sizes;

/// Somebody whose track broke off is thought to be within this many face sizes …
const REJOIN_REACH: f32 = 3.0;
/// … and so many more for each second that passed.
const REJOIN_REACH_PER_S: f32 = 4.0;
/// By so much less alike than it has to be a track may be, at most, where it is that much more like this one, of which nothing was said,
/// than like anybody else in view or just gone, or more than not at all where there is nobody else. Two strangers would pass for one
/// if that were more.
const REJOIN_APART: f32 = 0.1;
/// It counts for less the less likely it is the same by place, time and size, and for nothing from this part of the way to out of reach
/// on: who stands out there may be an earlier part of the same person, of whom a later one is closer.
const REJOIN_APART_REACH: f32 = 2.0 / 3.0;
/// A track looks for what it continues during its first shots only.
const REJOIN_SHOTS: u32 = 5;
/// A cut needs a shot and a track of some weight on both sides: the embedding of a poor view says nothing.
const CUT_MIN_WEIGHT: f32 = 0.3;
/// Of so many others it is kept at most that they were beside somebody, …
const MAX_BESIDE: usize = 16;
/// … and for so long: an image does not outlive what it shows.
const BESIDE_FOR: Duration = Duration::from_secs(10);

/// Somebody in view, or just gone.
pub(super) struct Person {
    pub(super) track: TrackId,
    pub(super) evidence: Evidence,
    pub(super) tuning: std::sync::Arc<rollcall_pipeline::CameraTuning>,
    pub(super) said: Option<Said>,
    /// Whom all shots together are most like.
    pub(super) best: Option<Candidate>,
    beside: Vec<Beside>,
    /// When the last motion track was lost; `None` while one is in view.
    gone: Option<FrameTime>,
    /// Where the first and the last shot were.
    first_box: Rect,
    last_box: Rect,
    /// The motion tracks it is made of, each from the frame on that is this person's: that of the cut, or 0 for all of it. Empty
    /// once it no longer looks for what it continues.
    parts: Vec<(TrackId, u64)>,
}

impl Person {
    /// How alike a track must be that begins after this one broke off. The more likely it is somebody else by its place, time and size,
    /// the more; and less where it is more like this one than like anybody else, by `apart`, but not if something was said of this one:
    /// whoever follows on somebody's heels must not go by that.
    fn needed_to_join(&self, lost: FrameTime, young: &Self, apart: f32, settings: &RecognitionSettings) -> f32 {
        let began = young.evidence.first.media;
        let unseen = began.since(self.evidence.last.media).as_secs_f32();
        let sizes = distance_in_sizes(&self.last_box, &young.first_box);
        let far = sizes / (REJOIN_REACH + REJOIN_REACH_PER_S * unseen);
        let late = began.since(lost.media).div_duration_f32(Duration::from_millis(settings.rejoin_ms));
        // Whoever shows their face comes nearer: one of half the size is somebody further back.
        let smaller = (self.last_box.size() / young.first_box.size().max(1.0)).log2();
        let unlikely = far.max(late).max(smaller).min(1.0);
        let (least, ease) = match self.said {
            Some(_) => (settings.rejoin_said_similarity, 0.0),
            None => {
                let nearness = (1.0 - unlikely / REJOIN_APART_REACH).max(0.0);
                (settings.rejoin_similarity, apart.clamp(0.0, REJOIN_APART) * nearness)
            }
        };
        least + (settings.rejoin_far_similarity - least) * unlikely - ease
    }

    /// Whether both were in view at the same time, and the other one nearer: a mirror image is further away than what it shows.
    fn was_beside_nearer(&self, other: &Self) -> bool {
        let came_before_left = |one: &Self, two: &Self| two.gone.is_none_or(|at| one.evidence.first.media <= at.media);
        self.track != other.track
            && came_before_left(self, other)
            && came_before_left(other, self)
            && other.evidence.largest_face_px > self.evidence.largest_face_px
    }

    /// Whose image one that is further away may be: whom it is most like. A picture that was found out is nobody.
    fn shown(&self) -> Option<Candidate> {
        self.best.filter(|_| self.said.is_none_or(|said| !said.spoof))
    }

    /// Notes a nearer face beside it, which leaves at that time.
    fn note_beside(&mut self, nearer: &Beside) {
        self.beside.retain(|known| known.best.person != nearer.best.person);
        if self.beside.len() < MAX_BESIDE {
            self.beside.push(*nearer);
        }
    }
}

/// A nearer face that was in view at the same time, and is gone.
#[derive(Clone, Copy, Debug)]
struct Beside {
    /// Whom it was most like.
    best: Candidate,
    /// How wide it was at most, pixels.
    face_px: f32,
    /// When it was seen last.
    last: FrameTime,
}

/// What was already said about a person's track.
#[derive(Clone, Copy, Debug)]
pub(super) struct Said {
    /// When, last.
    pub(super) at: FrameTime,
    /// It came to a mark, or to the repeat of one: there is nothing to add for a while.
    pub(super) marked: bool,
    /// It was called a picture: nothing that follows takes that back but a human.
    pub(super) spoof: bool,
}

/// The people of one stream.
pub(super) struct People {
    key: StreamKey,
    people: HashMap<TrackId, Person>,
    /// Which person's track a motion track belongs to now.
    of_motion: HashMap<TrackId, TrackId>,
    cuts: u64,
}

impl People {
    pub(super) fn new(key: StreamKey) -> Self {
        Self { key, people: HashMap::new(), of_motion: HashMap::new(), cuts: 0 }
    }

    /// Takes a shot in; takes out the person it belongs to, to be [kept](Self::keep).
    pub(super) fn shot(
        &mut self,
        shot: LiveShot,
        matcher: &dyn Matcher,
        observer: &dyn Observer,
        settings: &RecognitionSettings,
    ) -> Person {
        let motion = shot.shot.track;
        let vote = matcher.rank(&shot.embedding, None).all.first().copied();
        let mut track = self.of_motion.get(&motion).copied().unwrap_or(motion);
        let mut first_seq = 0;
        if self.is_somebody_else(track, &shot, settings) {
            self.cuts += 1;
            let cut = TrackId(motion.0 | (self.cuts << 32));
            observer.linked(&self.key, motion, shot.shot.seq, cut);
            if let Some(left) = self.people.get_mut(&track) {
                left.gone = Some(left.evidence.last);
                // A link of all of the motion track would take along what is now cut off.
                left.parts = Vec::new();
            }
            (track, first_seq) = (cut, shot.shot.seq);
        }
        let (bbox, tuning) = (shot.shot.bbox, shot.shot.tuning.clone());
        let person = match self.people.remove(&track) {
            Some(mut person) => {
                person.evidence.add(shot, vote);
                person.last_box = bbox;
                person.tuning = tuning;
                person
            }
            None => Person {
                track,
                evidence: Evidence::new(shot, vote),
                tuning,
                said: None,
                best: None,
                beside: Vec::new(),
                gone: None,
                first_box: bbox,
                last_box: bbox,
                parts: vec![(motion, first_seq)],
            },
        };
        let person = self.join(person, observer, settings);
        self.of_motion.insert(motion, person.track);
        person
    }

    /// Puts somebody back who is in view.
    pub(super) fn keep(&mut self, person: Person) {
        self.people.insert(person.track, person);
    }

    /// How similar to somebody were, at most, the nearer faces that were in view at the same time and most like that one.
    pub(super) fn beside(&self, person: &Person, who: PersonId) -> Option<f32> {
        let present = self.people.values().filter(|other| person.was_beside_nearer(other)).filter_map(Person::shown);
        let left = person.beside.iter().filter(|nearer| {
            nearer.face_px > person.evidence.largest_face_px
                && person.evidence.last.media.since(nearer.last.media) <= BESIDE_FOR
        });
        let all = present.chain(left.map(|nearer| nearer.best));
        all.filter(|best| best.person == who).map(|best| best.similarity).max_by(f32::total_cmp)
    }

    /// A motion track is over.
    pub(super) fn motion_ended(&mut self, end: &TrackEnd) {
        let Some(track) = self.of_motion.remove(&end.track) else { return };
        if let Some(person) = self.people.get_mut(&track) {
            person.gone = Some(end.last);
            if end.blinked {
                person.evidence.blinked_since();
            }
        }
    }

    /// Takes out everybody who has been gone for too long to come back; everybody at all when the stream is `over`.
    pub(super) fn leave(&mut self, now: Option<FrameTime>, settings: &RecognitionSettings) -> Vec<Person> {
        let patience = Duration::from_millis(settings.rejoin_ms);
        let mut left: Vec<Person> = self
            .people
            .extract_if(|_, person| match (now, person.gone) {
                (None, _) => true,
                (Some(now), Some(since)) => now.media.since(since.media) > patience,
                (Some(_), None) => false,
            })
            .map(|(_, person)| person)
            .collect();
        left.sort_by_key(|person| person.track);
        for at in 0..left.len() {
            let (before, [leaving, after @ ..]) = left.split_at_mut(at) else { continue };
            let Some(best) = leaving.shown().filter(|best| best.similarity >= settings.review_similarity) else {
                continue;
            };
            let nearer = Beside { best, face_px: leaving.evidence.largest_face_px, last: leaving.evidence.last };
            let others = before.iter_mut().chain(after).chain(self.people.values_mut());
            others.filter(|other| other.was_beside_nearer(leaving)).for_each(|other| other.note_beside(&nearer));
        }
        left
    }

    /// Joins a young track to the person whose track broke off before it began, if there is one; and what that makes, as long as
    /// it is young. Of somebody who hurries past a motion track is often a single poor view that is like nobody, and several
    /// of them together are not. Who is more like somebody enrolled, whom that person never was like, is that one.
    fn join(&mut self, mut young: Person, observer: &dyn Observer, settings: &RecognitionSettings) -> Person {
        if young.evidence.shots > REJOIN_SHOTS || young.said.is_some() {
            young.parts = Vec::new();
        }
        if young.parts.is_empty() {
            return young;
        }
        let Some(face) = young.evidence.mean() else { return young };
        let began = young.evidence.first.media;
        let likeness = |old: &Person| old.evidence.mean().map_or(-1.0, |mean| similarity(&mean, &face));
        let alike: Vec<(&Person, f32)> = self.people.values().map(|old| (old, likeness(old))).collect();
        let continued = alike
            .iter()
            .filter_map(|&(old, similarity)| {
                let lost = old.gone?;
                if lost.media >= began || began.since(lost.media) > Duration::from_millis(settings.rejoin_ms) {
                    return None;
                }
                let stranger = young.evidence.last_vote.filter(|vote| !old.evidence.has_shown(vote.person));
                if stranger.is_some_and(|vote| vote.similarity > similarity) {
                    return None;
                }
                let others = alike.iter().filter(|(other, _)| other.track != old.track);
                let next = others.map(|&(_, similarity)| similarity).fold(0.0, f32::max);
                let spare = similarity - old.needed_to_join(lost, &young, similarity - next, settings);
                (spare >= 0.0).then_some((old.track, spare))
            })
            .max_by(|a, b| a.1.total_cmp(&b.1));
        let Some(mut old) = continued.and_then(|(track, _)| self.people.remove(&track)) else { return young };
        // From their beginning: the rows that were written under the young id are the old one's.
        for &(motion, from_seq) in &young.parts {
            observer.linked(&self.key, motion, from_seq, old.track);
        }
        old.evidence.join(young.evidence);
        if !old.parts.is_empty() {
            old.parts.append(&mut young.parts);
        }
        young.beside.iter().for_each(|nearer| old.note_beside(nearer));
        let joined = Person { gone: None, last_box: young.last_box, tuning: young.tuning, ..old };
        self.join(joined, observer, settings)
    }

    /// Whether a shot cannot be of the person that its motion track followed so far.
    fn is_somebody_else(&self, track: TrackId, shot: &LiveShot, settings: &RecognitionSettings) -> bool {
        let Some(person) = self.people.get(&track) else { return false };
        shot.shot.quality.weight >= CUT_MIN_WEIGHT
            && person.evidence.weight >= 2.0 * CUT_MIN_WEIGHT
            && person
                .evidence
                .mean()
                .is_some_and(|mean| similarity(&mean, &shot.embedding) < settings.stranger_similarity)
    }
}

/// All shots of a lane are of one model.
fn similarity(a: &Embedding, b: &Embedding) -> f32 {
    a.similarity(b).unwrap_or(-1.0)
}
