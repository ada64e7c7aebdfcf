//! The dated sessions of a room, ready to be asked which of them are near a moment.

use chrono::{NaiveDate, TimeDelta};
use rollcall_pipeline::{RoomId, Session, SessionId, SessionKind, WallTime};

use crate::plan::{DatedSession, Roster};
use crate::schedule::{Occasion, delta};

/// Dated sessions by start. A look-up is a binary search and a walk over what may still be on: constant in the number of
/// sessions as long as they are spread over time.
#[derive(Clone, Debug, Default)]
pub(crate) struct Dated {
    sessions: Vec<Ready>,
    /// `over[i]`: when all of `sessions[..=i]` are over, their leave windows included. Never decreases.
    over: Vec<WallTime>,
    longest_early: TimeDelta,
}

/// A session, its windows ready to be added.
#[derive(Clone, Debug)]
pub(crate) struct Ready {
    id: SessionId,
    local_date: NaiveDate,
    pub(crate) starts_at: WallTime,
    pub(crate) ends_at: WallTime,
    roster: Roster,
    pub(crate) early: TimeDelta,
    grace: TimeDelta,
    pub(crate) leave: TimeDelta,
}

impl Dated {
    /// The sessions of a checked plan.
    pub(crate) fn new(plan: &[DatedSession], room: &Roster) -> Self {
        let mut sessions: Vec<Ready> = plan.iter().map(|session| Ready::new(session, room)).collect();
        sessions.sort_by_key(|s| s.starts_at);
        let over = sessions
            .iter()
            .scan(WallTime::MIN_UTC, |over, s| {
                *over = (*over).max(s.ends_at + s.leave);
                Some(*over)
            })
            .collect();
        let longest_early = sessions.iter().map(|s| s.early).max().unwrap_or_default();
        Self { sessions, over, longest_early }
    }

    /// All sessions that `at` may belong to, windows included, and perhaps some others; by start.
    pub(crate) fn around(&self, at: WallTime) -> &[Ready] {
        let until = self.sessions.partition_point(|s| s.starts_at <= at + self.longest_early);
        let from = self.over.partition_point(|over| *over <= at);
        self.sessions.get(from..until).unwrap_or_default()
    }
}

impl Ready {
    fn new(plan: &DatedSession, room: &Roster) -> Self {
        Self {
            id: plan.id,
            local_date: plan.local_date,
            starts_at: plan.starts_at,
            ends_at: plan.ends_at,
            roster: plan.expected.as_ref().map_or_else(|| room.clone(), Roster::in_order),
            early: delta(plan.early),
            grace: delta(plan.grace),
            leave: delta(plan.leave),
        }
    }

    pub(crate) fn occasion(&self, room: &RoomId) -> Occasion {
        let Self { id, local_date, starts_at, ends_at, .. } = *self;
        let kind = SessionKind::Timetabled;
        let session = Session { id, room: room.clone(), kind, starts_at, ends_at, local_date };
        Occasion { session, roster: self.roster.clone(), late_after: Some(starts_at + self.grace) }
    }
}
