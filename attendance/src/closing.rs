//! Which absences are written when a session closes, and what that waits for.
//!
//! An absence is said of somebody because no camera saw them. That is known only when every camera of the room has delivered
//! what it saw up to the end of the session's leave window; before that, the absence waits, and says for which camera. It is
//! not known, either, of who may have come while a camera saw nothing; such an absence waits for a human.

use std::collections::HashSet;
use std::ops::Range;
use std::time::Duration;

use chrono::TimeDelta;
use chrono_tz::Tz;
use rollcall_pipeline::{CameraId, PersonId, WallTime};

use crate::course::CourseRules;
use crate::plan::Roster;
use crate::schedule::delta;

/// A shorter time without pictures is no gap: whoever comes through a door is before its camera about as long.
pub const SHORT_GAP: TimeDelta = TimeDelta::seconds(5);

/// Gaps of a camera that are told one by one; what is beyond is told as one.
const MOST_GAPS: usize = 10;

/// How far a camera of the room has got.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CameraProgress {
    /// Which.
    pub camera: CameraId,
    /// Everything that it captured before this has been judged and written. `None`: nothing is known of it.
    pub delivered_until: Option<WallTime>,
    /// Since when it has been offline, if it is.
    pub offline_since: Option<WallTime>,
    /// What it watched without a break, by time.
    pub watched: Vec<Watched>,
}

/// A time through which a camera had pictures.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Watched {
    /// From when to when.
    pub time: Range<WallTime>,
    /// Why there were none before, in plain words.
    pub away_for: Option<String>,
}

/// A session that is to be closed.
#[derive(Clone, Copy, Debug)]
pub struct ToClose<'a> {
    /// When it was held: to its end as planned, or to when it was closed by hand.
    pub held: &'a Range<WallTime>,
    /// How long after the end people may still be seen leaving.
    pub leave: Duration,
    /// When one could come ([`arrivals`]): no camera may have missed any of it.
    pub arrivals: &'a Range<WallTime>,
    /// Who was expected. Where everybody is welcome, nobody is absent.
    pub roster: &'a Roster,
    /// Who needs no absence: they have a mark, or are excused.
    pub settled: &'a HashSet<PersonId>,
    /// The cameras that were on in its room. None: only the clock is waited for, since attendance is taken by other means, or
    /// since somebody decided not to wait.
    pub cameras: &'a [CameraProgress],
    /// The time it is.
    pub now: WallTime,
}

/// What closing a session comes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Closing {
    /// These people are absent, by id. Perhaps nobody; either way the session is done.
    Write(Vec<PersonId>),
    /// It is too early to say.
    Wait {
        /// Up to when every camera has to deliver: the end of the leave window.
        until: WallTime,
        /// The cameras that have not; none if it is only too early.
        cameras: Vec<Behind>,
    },
}

/// A camera that an absence waits for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Behind {
    /// Which.
    pub camera: CameraId,
    /// Why.
    pub reason: BehindReason,
}

/// Why an absence waits for a camera.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BehindReason {
    /// It is offline.
    Offline {
        /// Since when.
        since: WallTime,
        /// Up to when it has delivered.
        delivered: Option<WallTime>,
    },
    /// It is online and has not got as far.
    Delayed {
        /// Up to when it has delivered.
        delivered: WallTime,
    },
    /// It has never delivered anything.
    Silent,
    /// It saw nothing while one could come.
    Gap {
        /// From when to when.
        time: Range<WallTime>,
        /// Why.
        away_for: Option<String>,
    },
}

impl BehindReason {
    /// The reason in plain words, with local times.
    pub fn words(&self, tz: Tz) -> String {
        let local = |at: &WallTime| at.with_timezone(&tz).format("%Y-%m-%d %H:%M").to_string();
        match self {
            Self::Offline { since, delivered: Some(delivered) } => {
                format!("offline since {}; what it saw is known up to {}", local(since), local(delivered))
            }
            Self::Offline { since, delivered: None } => {
                format!("offline since {}; nothing of what it saw is known", local(since))
            }
            Self::Delayed { delivered } => format!("behind: what it saw is known up to {}", local(delivered)),
            Self::Silent => "has not delivered anything yet".to_owned(),
            Self::Gap { time, away_for } => {
                let why = away_for.as_deref().unwrap_or("it was switched off or removed");
                format!("saw nothing from {} to {} ({why})", local(&time.start), local(&time.end))
            }
        }
    }

    /// From when and until when it is not known what was before the camera.
    pub fn unknown(&self) -> (Option<WallTime>, Option<WallTime>) {
        match self {
            Self::Offline { delivered, .. } => (*delivered, None),
            Self::Delayed { delivered } => (Some(*delivered), None),
            Self::Silent => (None, None),
            Self::Gap { time, .. } => (Some(time.start), Some(time.end)),
        }
    }
}

/// When one could come to a session and count as seen: from the early window to its end, or to when whoever comes is absent
/// all the same.
pub fn arrivals(held: &Range<WallTime>, rules: &CourseRules) -> Range<WallTime> {
    let end = rules.absent_after.map_or(held.end, |after| held.end.min(held.start + delta(after)));
    held.start - delta(rules.early)..end
}

/// Decides whether the absences of a session can be written, and which. Once it says whom to write, later progress only
/// takes people off the list, as they are settled.
pub fn close(session: &ToClose<'_>) -> Closing {
    let Roster::People(expected) = session.roster else { return Closing::Write(Vec::new()) };
    let until = session.held.end + delta(session.leave);
    let cameras: Vec<Behind> = session.cameras.iter().flat_map(|c| c.missing(until, session.arrivals)).collect();
    if session.now < until || !cameras.is_empty() {
        // While the session lasts no camera can have got further, and none is to blame.
        let cameras = if session.now < until { Vec::new() } else { cameras };
        return Closing::Wait { until, cameras };
    }
    let mut absent: Vec<PersonId> = expected.iter().filter(|p| !session.settled.contains(p)).copied().collect();
    absent.sort_unstable();
    absent.dedup();
    Closing::Write(absent)
}

impl CameraProgress {
    /// Why it holds back what depends on everything before `until`, and on each moment of `arrivals`.
    fn missing(&self, until: WallTime, arrivals: &Range<WallTime>) -> Vec<Behind> {
        let behind = self.behind(until);
        // What comes after that is not missed, but not known yet.
        let known = behind.as_ref().map_or(Some(until), |_| self.delivered_until);
        let gaps = known.map(|known| self.gaps(&(arrivals.start..arrivals.end.min(known)))).unwrap_or_default();
        let reasons = behind.into_iter().chain(gaps);
        reasons.map(|reason| Behind { camera: self.camera.clone(), reason }).collect()
    }

    /// What it missed of a time.
    fn gaps(&self, of: &Range<WallTime>) -> Vec<BehindReason> {
        let mut gaps = Vec::new();
        let mut seen = None;
        let watched = self.watched.iter().map(|w| (Some(&w.time), w.away_for.as_ref()));
        for (time, away_for) in watched.chain([(None, None)]) {
            let is_long = seen.zip(time).is_none_or(|(seen, time)| time.start - seen > SHORT_GAP);
            let from = seen.map_or(of.start, |seen: WallTime| seen.max(of.start));
            let to = time.map_or(of.end, |time| time.start.min(of.end));
            if is_long && from < to {
                gaps.push((from..to, away_for.cloned()));
            }
            seen = seen.max(time.map(|time| time.end));
        }
        if gaps.len() > MOST_GAPS {
            let rest = gaps.split_off(MOST_GAPS - 1);
            let all = rest[0].0.start..rest[rest.len() - 1].0.end;
            gaps.push((all, Some(format!("{} times", rest.len()))));
        }
        gaps.into_iter().map(|(time, away_for)| BehindReason::Gap { time, away_for }).collect()
    }

    /// Why it holds back what depends on everything before `until`, if it does.
    fn behind(&self, until: WallTime) -> Option<BehindReason> {
        Some(match (self.delivered_until, self.offline_since) {
            (Some(delivered), _) if delivered >= until => return None,
            (delivered, Some(since)) => BehindReason::Offline { since, delivered },
            (Some(delivered), None) => BehindReason::Delayed { delivered },
            (None, None) => BehindReason::Silent,
        })
    }
}
