//! What the sightings of one person in one session come to, by the rules of its course.
//!
//! Absent although seen is a hard word, so it needs evidence: who is not seen leaving is taken to have stayed to the end, and
//! of whom nobody knows when they came, it is not said that they came too late or stayed too short.

use std::ops::Range;

use chrono::TimeDelta;
use rollcall_pipeline::WallTime;

use crate::course::{CourseRules, MinPresence};
use crate::schedule::delta;
use crate::tally::AttendanceStatus;

/// When a person was seen in a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sightings {
    /// First.
    pub first: WallTime,
    /// Last.
    pub last: WallTime,
    /// Last by an exit camera.
    pub last_exit: Option<WallTime>,
}

/// How somebody who was seen took part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Presence {
    /// Present, late, or absent and why.
    pub status: Judged,
    /// Whether they left more than [`CourseRules::early_exit`] before the end.
    pub left_early: bool,
    /// How long after the start they came, also within the grace period; zero for who came before.
    pub late_by: TimeDelta,
    /// How much of the session they were there for, as far as it is known: at most. `None` for who was only seen leaving.
    pub present_for: Option<TimeDelta>,
}

/// The status of somebody who was seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Judged {
    /// In time.
    Present,
    /// After the grace period.
    Late,
    /// Seen, and yet absent.
    Absent(AbsentReason),
}

/// Why somebody who was seen counts as absent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum AbsentReason {
    /// They came later than [`CourseRules::absent_after`].
    TooLate,
    /// They were there for less than [`CourseRules::min_presence`].
    TooShort,
}

impl Presence {
    /// Whole minutes from the start to when they came.
    pub fn minutes_late(&self) -> i64 {
        self.late_by.num_minutes()
    }

    /// Whole minutes that they were there for.
    pub fn minutes_present(&self) -> Option<i64> {
        self.present_for.map(|time| time.num_minutes())
    }
}

impl Judged {
    /// The status that counts.
    pub fn status(self) -> AttendanceStatus {
        match self {
            Self::Present => AttendanceStatus::Present,
            Self::Late => AttendanceStatus::Late,
            Self::Absent(_) => AttendanceStatus::Absent,
        }
    }
}

impl AbsentReason {
    /// The word used in rows.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::TooLate => "too_late",
            Self::TooShort => "too_short",
        }
    }
}

/// Judges a person who is expected in `session` and was seen.
pub fn judge_presence(session: &Range<WallTime>, rules: &CourseRules, seen: &Sightings) -> Presence {
    let Range { start, end } = *session;
    let Sightings { first, last, last_exit } = *seen;
    let late_by = (first - start).max(TimeDelta::zero());
    // Who is seen after the last exit came back. Captured times may step back, so `last` may be before `first`.
    let left_at = last_exit.filter(|exit| *exit >= last.max(first));
    // Who is on the way out when first seen came at a time that nobody knows.
    let came_at = Some(first).filter(|_| last_exit.is_none_or(|exit| exit > first));
    let present_for =
        came_at.map(|came| (left_at.unwrap_or(end).min(end) - came.max(start).min(end)).max(TimeDelta::zero()));

    let too_late = came_at.is_some() && rules.absent_after.is_some_and(|after| late_by > delta(after));
    let too_short = present_for.zip(rules.min_presence).is_some_and(|(time, least)| least.is_missed(time, end - start));
    let status = if too_late {
        Judged::Absent(AbsentReason::TooLate)
    } else if too_short {
        Judged::Absent(AbsentReason::TooShort)
    } else if late_by > delta(rules.grace) {
        Judged::Late
    } else {
        Judged::Present
    };
    let left_early = left_at.zip(rules.early_exit).is_some_and(|(left, by)| left < end - delta(by));
    Presence { status, left_early, late_by, present_for }
}

impl MinPresence {
    fn is_missed(self, present: TimeDelta, session: TimeDelta) -> bool {
        match self {
            Self::Time(least) => present < delta(least).min(session),
            Self::Percent(share) => {
                present.num_milliseconds().saturating_mul(100) < session.num_milliseconds().saturating_mul(share.into())
            }
        }
    }
}
