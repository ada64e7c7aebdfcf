//! What the shots of one person's track say together. Pure.

use std::sync::Arc;
use std::time::Duration;

use rollcall_pipeline::ports::Ranking;
use rollcall_pipeline::{
    Candidate, Chip, Embedding, FrameTime, Grounds, Lack, LiveShot, LivenessVerdict, Match, MatchOutcome, ModelId,
    PersonId, ShotQuality, UndecidedReason,
};

use crate::chip;

use super::settings::{LivenessSettings, RecognitionSettings};

/// People that keep votes at most; a new one takes the place of the one with the fewest.
const MAX_VOTED: usize = 16;
/// People blink every three to four seconds: a missing blink says nothing before this.
const BLINK_PATIENCE: Duration = Duration::from_secs(6);

/// Who walks comes nearer by a metre in the time a name waits, and grows from this part of the gate to all of it (at 80 of
/// 1920 pixels, 2.7 m from a camera that sees 70°).
const NEAR: f32 = 0.7;

/// How many times longer is waited for a verdict while what was checked is not clearly alive.
const UNCLEAR_PATIENCE: u64 = 2;

/// Scores of the liveness model, summed up.
#[derive(Clone, Copy, Debug, Default)]
struct Scores {
    sum: f32,
    checks: u32,
}

impl Scores {
    fn add(&mut self, other: Self) {
        self.sum += other.sum;
        self.checks += other.checks;
    }

    fn mean(self) -> f32 {
        self.sum / self.checks.max(1) as f32
    }
}

/// What the liveness model said.
#[derive(Clone, Copy, Debug, Default)]
struct LiveScores {
    all: Scores,
    /// Of these, the shots by which somebody may be called a picture.
    accusing: Scores,
}

impl LiveScores {
    fn of(score: f32, quality: &ShotQuality) -> Self {
        let all = Scores { sum: score, checks: 1 };
        Self { all, accusing: if chip::can_accuse(quality) { all } else { Scores::default() } }
    }

    fn add(&mut self, other: Self) {
        self.all.add(other.all);
        self.accusing.add(other.accusing);
    }
}

/// Shots whose best match was this person.
#[derive(Clone, Copy, Debug)]
struct Votes {
    person: PersonId,
    shots: u32,
    /// Of these shots alone: a living person in the same track must not vouch for a picture of somebody else.
    live: LiveScores,
    /// A blink was seen between two shots in a row that were both of this person.
    blinked: bool,
}

/// The running sums over a track's shots: constant in size however long somebody stands there.
#[derive(Clone, Debug)]
pub(super) struct Evidence {
    model: ModelId,
    /// Σ of what a shot counts (see [`chip::evidence_weight`]) · embedding.
    sum: Vec<f32>,
    /// Σ of the shots' weights.
    pub(super) weight: f32,
    /// Shots taken in.
    pub(super) shots: u32,
    votes: Vec<Votes>,
    /// The best match of the last shot.
    pub(super) last_vote: Option<Candidate>,
    best: Option<(f32, Arc<Chip>)>,
    live: LiveScores,
    /// Somebody blinked, whoever it was.
    blinked: bool,
    pub(super) largest_face_px: f32,
    /// The first shot of any size.
    pub(super) first: FrameTime,
    /// The first shot that can tell who it is: here the clock starts.
    first_usable: Option<FrameTime>,
    pub(super) last: FrameTime,
}

impl Evidence {
    /// The evidence of a first shot.
    pub(super) fn new(shot: LiveShot, vote: Option<Candidate>) -> Self {
        let mut evidence = Self {
            model: shot.embedding.model().clone(),
            sum: vec![0.0; shot.embedding.values().len()],
            weight: 0.0,
            shots: 0,
            votes: Vec::new(),
            last_vote: None,
            best: None,
            live: LiveScores::default(),
            blinked: false,
            largest_face_px: 0.0,
            first: shot.shot.time,
            first_usable: None,
            last: shot.shot.time,
        };
        evidence.add(shot, vote);
        evidence
    }

    /// Takes a shot in; `vote` is the best match of this shot alone.
    pub(super) fn add(&mut self, shot: LiveShot, vote: Option<Candidate>) {
        let LiveShot { shot, embedding, live, blinked } = shot;
        let counts = chip::evidence_weight(&shot.quality);
        for (sum, value) in self.sum.iter_mut().zip(embedding.values()) {
            *sum += counts * value;
        }
        self.weight += shot.quality.weight;
        self.shots += 1;
        self.last = shot.time;
        if self.first_usable.is_none() && chip::is_usable(&shot.quality) {
            self.first_usable = Some(shot.time);
        }
        let live = live.map_or_else(LiveScores::default, |score| LiveScores::of(score, &shot.quality));
        self.live.add(live);
        if let Some(Candidate { person, .. }) = vote {
            // Whoever blinks and then lifts a picture has blinked before the first shot of it.
            let blinked = blinked && self.last_person() == Some(person);
            self.add_votes(Votes { person, shots: 1, live, blinked });
        }
        self.last_vote = vote;
        self.blinked |= blinked;
        self.largest_face_px = self.largest_face_px.max(shot.quality.face_px);
        if self.best.as_ref().is_none_or(|(best, _)| counts > *best) {
            self.best = Some((counts, Arc::new(shot.chip.aligned)));
        }
    }

    /// Adds the evidence of a later part of the same person's track.
    pub(super) fn join(&mut self, later: Self) {
        for (sum, value) in self.sum.iter_mut().zip(&later.sum) {
            *sum += value;
        }
        self.weight += later.weight;
        self.shots += later.shots;
        for votes in later.votes {
            self.add_votes(votes);
        }
        if let Some(best) = later.best
            && self.best.as_ref().is_none_or(|(weight, _)| best.0 > *weight)
        {
            self.best = Some(best);
        }
        self.live.add(later.live);
        self.last_vote = later.last_vote;
        self.blinked |= later.blinked;
        self.largest_face_px = self.largest_face_px.max(later.largest_face_px);
        self.first_usable = self.first_usable.or(later.first_usable);
        self.last = later.last;
    }

    fn add_votes(&mut self, new: Votes) {
        if let Some(votes) = self.votes.iter_mut().find(|votes| votes.person == new.person) {
            votes.shots += new.shots;
            votes.live.add(new.live);
            votes.blinked |= new.blinked;
            return;
        }
        if self.votes.len() >= MAX_VOTED
            && let Some(fewest) = (0..self.votes.len()).min_by_key(|&i| self.votes[i].shots)
        {
            self.votes.swap_remove(fewest);
        }
        self.votes.push(new);
    }

    /// A blink after the last shot: that of whom this was.
    pub(super) fn blinked_since(&mut self) {
        self.blinked = true;
        let last = self.last_person();
        if let Some(votes) = self.votes.iter_mut().find(|votes| Some(votes.person) == last) {
            votes.blinked = true;
        }
    }

    /// When it could first be told who it is; `now` if until now nothing but poor views were there.
    pub(super) fn first_usable(&self, now: FrameTime) -> FrameTime {
        self.first_usable.unwrap_or(now)
    }

    /// The quality-weighted mean face; `None` if the shots cancel out.
    pub(super) fn mean(&self) -> Option<Embedding> {
        Embedding::normalized(self.model.clone(), self.sum.clone())
    }

    /// The best view.
    pub(super) fn best(&self) -> Option<Arc<Chip>> {
        self.best.as_ref().map(|(_, chip)| chip.clone())
    }

    /// Whom the last shot is most like.
    fn last_person(&self) -> Option<PersonId> {
        self.last_vote.map(|vote| vote.person)
    }

    /// Whether a shot was most like this person.
    pub(super) fn has_shown(&self, person: PersonId) -> bool {
        self.votes_for(person).is_some()
    }

    fn votes_for(&self, person: PersonId) -> Option<&Votes> {
        self.votes.iter().find(|votes| votes.person == person)
    }

    /// Who it is. `None` = more shots may tell; at the end of the track (`over`) there is always an answer.
    ///
    /// A name needs a similarity of `settled + (early − settled)·2/n` after `n` shots: two shots name only when they are
    /// overwhelming, many shots when they are good. It needs `min_agreeing` shots that each say the same by themselves, the last
    /// one among them, and a margin to the second-best person; the roster of the moment is searched first, so that the margin to
    /// people who are not expected may be half. Nobody is twice in one picture: where a nearer face is nearly as similar to
    /// whom both are most like (`beside`), this one may be its mirror image.
    pub(super) fn outcome(
        &self,
        ranking: &Ranking,
        beside: Option<f32>,
        settings: &RecognitionSettings,
        over: bool,
    ) -> Option<(MatchOutcome, Grounds)> {
        let needed = self.needed(settings, over);
        let Some(best) = ranking.all.first().copied() else {
            let nobody = Grounds { needed, agreeing: 0, lacks: Some(Lack::Similarity) };
            return over.then_some((MatchOutcome::Unknown, nobody));
        };
        let second = |list: &[Candidate]| list.get(1).map_or(-1.0, |c| c.similarity);
        let margin_all = best.similarity - second(&ranking.all);
        let is_expected = ranking.expected.first().is_some_and(|c| c.person == best.person);
        let margin = if is_expected { best.similarity - second(&ranking.expected) } else { margin_all };
        let apart = margin >= settings.margin && margin_all >= settings.margin / if is_expected { 2.0 } else { 1.0 };
        // Not in a picture that shows somebody else: where people cross, a track may have gone over to the other one.
        let shown = over || self.last_person() == Some(best.person);
        let agreeing = self.votes_for(best.person).map_or(0, |votes| votes.shots);
        let lacks = if best.similarity < needed {
            Some(Lack::Similarity)
        } else if !shown || agreeing < settings.min_agreeing {
            Some(Lack::Agreement)
        } else if !apart {
            Some(Lack::Margin)
        } else if beside.is_some_and(|nearer| best.similarity - nearer < settings.margin) {
            Some(Lack::Elsewhere)
        } else {
            None
        };
        let outcome = match lacks {
            None => {
                let Candidate { person, similarity } = best;
                MatchOutcome::Identified(Match { person, similarity, margin: margin_all })
            }
            Some(_) if !over => return None,
            Some(_) if best.similarity >= settings.review_similarity => MatchOutcome::Ambiguous,
            Some(_) => MatchOutcome::Unknown,
        };
        Some((outcome, Grounds { needed, agreeing, lacks }))
    }

    /// The similarity that a name needs after so many shots.
    fn needed(&self, settings: &RecognitionSettings, over: bool) -> f32 {
        let settled = settings.settled_similarity;
        let graded = settled + (settings.early_similarity - settled) * 2.0 / self.shots.max(2) as f32;
        if over && self.shots > 2 { graded.min(settled) } else { graded }
    }

    /// Whether it is alive; whoever is `named` has to be alive, and to blink, in the shots that named them. `None` = more shots may tell,
    /// and there is time. `wait_when_small`: being checked late is better than being decided without.
    pub(super) fn liveness(
        &self,
        settings: &LivenessSettings,
        wait_when_small: bool,
        named: Option<PersonId>,
        over: bool,
    ) -> Option<LivenessVerdict> {
        if !settings.enabled {
            return Some(LivenessVerdict::Undecided(UndecidedReason::Off));
        }
        let (live, blinked) = named.map_or((self.live, self.blinked), |person| {
            self.votes_for(person).map_or_else(Default::default, |votes| (votes.live, votes.blinked))
        });
        let waited = self.last.media.since(self.first_usable.unwrap_or(self.first).media);
        let out_of_time = over || waited >= Duration::from_millis(settings.patience_ms);
        let undecided = |reason| Some(LivenessVerdict::Undecided(reason));
        if live.all.checks == 0 {
            let too_small = self.largest_face_px < settings.min_face_px;
            let reason = if too_small { UndecidedReason::TooSmall } else { UndecidedReason::TooPoor };
            // A face that is far from large enough will not be checked soon, and waiting for it only costs time.
            let stays_small =
                !wait_when_small && !settings.blink_required && self.largest_face_px < NEAR * settings.min_face_px;
            return if out_of_time || stays_small { undecided(reason) } else { None };
        }
        if live.all.checks < settings.min_checks && !out_of_time {
            return None;
        }
        // A face is called a picture only on full evidence: a single check of a living face can fail badly, and so can all
        // checks of one that is blurred or turned away. Once there is full evidence, it alone counts.
        let full = live.accusing.checks >= settings.min_checks;
        let mean = if full { live.accusing.mean() } else { live.all.mean() };
        if full && mean <= settings.spoof_below {
            return Some(LivenessVerdict::Spoof(mean));
        }
        // The most that comes of scores that are not clearly alive is a review, and that can wait for better views. A blurred
        // view that looks alive does not outweigh sharp ones that do not.
        let accused = !full && live.accusing.checks > 0 && live.accusing.mean() <= settings.spoof_below;
        let longer = Duration::from_millis(settings.patience_ms * UNCLEAR_PATIENCE);
        if (accused || mean < settings.live_from) && !over && waited < longer {
            return None;
        }
        if accused || mean < settings.live_from {
            return undecided(UndecidedReason::Unclear);
        }
        if settings.blink_required && !blinked {
            return if over || waited >= BLINK_PATIENCE { undecided(UndecidedReason::NoBlink) } else { None };
        }
        Some(LivenessVerdict::Live(mean))
    }
}
