//! The decision matrix: who × alive → what to do.

use rollcall_pipeline::config::{DecisionsConfig, ReviewOrMark, SpoofOrUnknown};
use rollcall_pipeline::{LivenessVerdict, MatchOutcome, PersonId, UndecidedReason};

/// What to do with a decision.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Verdict {
    /// The person was here.
    Mark(PersonId),
    /// For review: a human says who it is, or whether they were really there.
    Ambiguous,
    /// For review: an attack, or so it seems.
    Spoof,
    /// A stranger: logged, nothing else.
    Unknown,
}

impl Verdict {
    /// The word used in the documentation's tables.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Mark(_) => "mark",
            Self::Ambiguous => "ambiguous",
            Self::Spoof => "spoof",
            Self::Unknown => "unknown",
        }
    }
}

/// The configurable cells of the matrix. The type of a cell has only the values that make sense in it: no setting marks a
/// stranger, a tie between two people, or a picture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DecisionPolicy {
    /// Identified, but too small for liveness, or liveness is switched off.
    pub identified_undecided: ReviewOrMark,
    /// Identified and large enough, but too dark, too bright or too blurred for liveness in every view.
    pub identified_too_poor: ReviewOrMark,
    /// Identified, liveness looked and could not tell.
    pub identified_unclear: ReviewOrMark,
    /// A stranger, and not alive.
    pub unknown_spoof: SpoofOrUnknown,
}

impl Default for DecisionPolicy {
    /// Marks faces that are too small for liveness, since door cameras see many, and reviews what liveness doubts or was kept
    /// from seeing: a picture on a telephone can be made as bright as one likes.
    fn default() -> Self {
        Self {
            identified_undecided: ReviewOrMark::Mark,
            identified_too_poor: ReviewOrMark::Review,
            identified_unclear: ReviewOrMark::Review,
            unknown_spoof: SpoofOrUnknown::Spoof,
        }
    }
}

impl From<&DecisionsConfig> for DecisionPolicy {
    fn from(config: &DecisionsConfig) -> Self {
        Self {
            identified_undecided: config.identified_undecided,
            identified_too_poor: config.identified_too_poor,
            identified_unclear: config.identified_unclear,
            unknown_spoof: config.unknown_spoof,
        }
    }
}

fn review_or_mark(cell: ReviewOrMark, person: PersonId) -> Verdict {
    match cell {
        ReviewOrMark::Review => Verdict::Ambiguous,
        ReviewOrMark::Mark => Verdict::Mark(person),
    }
}

/// Applies the matrix. The whole of it is here; `docs/decisions.md` shows it as a table.
pub fn decide(outcome: &MatchOutcome, liveness: &LivenessVerdict, policy: &DecisionPolicy) -> Verdict {
    use LivenessVerdict::{Live, Spoof, Undecided};
    use UndecidedReason::{NoBlink, Off, TooPoor, TooSmall, Unclear};
    match (outcome, liveness) {
        (MatchOutcome::Identified(m), Live(_)) => Verdict::Mark(m.person),
        (MatchOutcome::Identified(_), Spoof(_)) => Verdict::Spoof,
        (MatchOutcome::Identified(m), Undecided(TooSmall | Off)) => {
            review_or_mark(policy.identified_undecided, m.person)
        }
        (MatchOutcome::Identified(m), Undecided(TooPoor)) => review_or_mark(policy.identified_too_poor, m.person),
        (MatchOutcome::Identified(m), Undecided(Unclear)) => review_or_mark(policy.identified_unclear, m.person),
        // Somebody asked for a blink and there was none. Who does not want to wait for blinks does not ask for them.
        (MatchOutcome::Identified(_), Undecided(NoBlink)) => Verdict::Ambiguous,
        (MatchOutcome::Ambiguous, Spoof(_)) => Verdict::Spoof,
        (MatchOutcome::Ambiguous, Live(_) | Undecided(_)) => Verdict::Ambiguous,
        (MatchOutcome::Unknown, Spoof(_)) => match policy.unknown_spoof {
            SpoofOrUnknown::Spoof => Verdict::Spoof,
            SpoofOrUnknown::Unknown => Verdict::Unknown,
        },
        (MatchOutcome::Unknown, Live(_) | Undecided(_)) => Verdict::Unknown,
    }
}
