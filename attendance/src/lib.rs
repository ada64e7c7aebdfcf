//! The rules of attendance: what a decision about a track comes to, and what the marks of a session come to.
//!
//! Everything here is a pure function of its arguments: no clock, no I/O, no database, no runtime, no randomness. Time
//! comes in as the captured time of frames, timetables as plain data. `docs/decisions.md` has the rules of single decisions in
//! words, `docs/rules.md` those of sessions, courses and figures; their tables are compared with the code by tests.

pub mod analytics;
pub mod calendar;
pub mod closing;
pub mod course;
mod dated;
mod local;
pub mod plan;
pub mod policy;
pub mod presence;
mod problems;
pub mod register;
pub mod schedule;
pub mod tally;

pub use calendar::{Calendar, Exception, Occurrence, WeeklyEntry};
pub use closing::{BehindReason, CameraProgress, Closing, SHORT_GAP, ToClose, Watched, arrivals, close};
pub use course::{CourseRules, MinPresence};
pub use plan::{DatedSession, RoomPlan, Roster, SessionPlan, SitePlan};
pub use policy::{DecisionPolicy, Verdict, decide};
pub use presence::{AbsentReason, Judged, Presence, Sightings, judge_presence};
pub use problems::{PlanError, PlanProblem, YEARS};
pub use register::{MadeMark, Register};
pub use schedule::{Occasion, Schedule};
pub use tally::{AttendanceStatus, Tally};
