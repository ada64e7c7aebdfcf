//! The rules of a course or a shift.

use std::time::Duration;

use crate::plan::{MAX_WINDOW, SessionPlan};
use crate::problems::{PlanError, PlanProblem, Problems};

/// What counts as late, too late, too short and too early in the sessions of one course or shift.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CourseRules {
    /// How long before the start people may come.
    pub early: Duration,
    /// How long after the start people are not late; the last moment counts.
    pub grace: Duration,
    /// How long after the end people who were there may still be seen leaving.
    pub leave: Duration,
    /// Who leaves more than this before the end has left early; `None`: nobody has.
    pub early_exit: Option<Duration>,
    /// Who was there for less counts as absent although they were seen; `None`: any presence counts.
    pub min_presence: Option<MinPresence>,
    /// Who comes more than this after the start counts as absent although they were seen; `None`: one can always come.
    pub absent_after: Option<Duration>,
}

/// The least presence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MinPresence {
    /// This long, or the whole of a session that is shorter.
    Time(Duration),
    /// This share of the session, 1 to 100.
    Percent(u8),
}

impl Default for CourseRules {
    /// The windows of a timetable's line, and no further rule.
    fn default() -> Self {
        Self {
            early: SessionPlan::EARLY,
            grace: SessionPlan::GRACE,
            leave: SessionPlan::LEAVE,
            early_exit: None,
            min_presence: None,
            absent_after: None,
        }
    }
}

impl CourseRules {
    /// Finds everything that is wrong with them, in order.
    pub fn problems(&self) -> Vec<PlanError> {
        let mut found = Problems::default();
        let Self { early, grace, leave, early_exit, min_presence, absent_after } = *self;
        let optional = [("early_exit", early_exit), ("absent_after", absent_after)];
        let windows = [("early", early), ("grace", grace), ("leave", leave)];
        found.windows(windows.into_iter().chain(optional.into_iter().filter_map(|(key, w)| Some((key, w?)))));
        match min_presence {
            Some(MinPresence::Time(Duration::ZERO)) => found.add("min_presence".to_owned(), PlanProblem::Nothing),
            Some(MinPresence::Time(time)) if time > MAX_WINDOW => {
                found.add("min_presence".to_owned(), PlanProblem::Window);
            }
            Some(MinPresence::Percent(0 | 101..)) => found.add("min_presence".to_owned(), PlanProblem::Percent),
            Some(MinPresence::Time(_) | MinPresence::Percent(_)) | None => {}
        }
        if absent_after.is_some_and(|after| after < grace) {
            found.add("absent_after".to_owned(), PlanProblem::AbsentBeforeLate);
        }
        found.0
    }
}
