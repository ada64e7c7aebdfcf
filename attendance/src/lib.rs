//! The rules of attendance: what a decision about a track comes to.
//!
//! Everything here is a pure function of its arguments: no clock, no I/O, no database, no runtime, no randomness. Time
//! comes in as the captured time of frames, timetables as plain data. `docs/decisions.md` has the rules in words, and its
//! tables are compared with [`decide`] by a test.

mod local;
pub mod plan;
pub mod policy;
pub mod register;
pub mod schedule;

pub use plan::{PlanError, PlanProblem, RoomPlan, Roster, SessionPlan, SitePlan};
pub use policy::{DecisionPolicy, Verdict, decide};
pub use register::{MadeMark, Register};
pub use schedule::{Occasion, Schedule};
