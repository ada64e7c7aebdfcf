//! Breaks what can break around the daemon, and holds the rows against what was shown.
//!
//! ```text
//!   this process                                   child processes
//!   RTSP cameras ── film: Alex, nobody, Franck ──► rollcall run ──► PostgreSQL (of ours, or the daemon's own)
//!      │ viewfinder                                    │ log             │
//!      ▼                                               ▼                 ▼
//!   witness: who was shown where and when ──┐    ledger: decided, accepted    rows: the feed, the marks
//!                                           └──────────┬──┴──────────────────┘
//!                                                      ▼
//!                                                   verdict
//! ```
//!
//! Nothing here is simulated but the trouble: the program is the one that is shipped, the cameras speak RTSP, the database
//! is PostgreSQL, and a full disk is a full disk.
//!
//! What counts as *accepted* is what the daemon itself says: its lane logs each event when the sink has taken it, committed or
//! synced to disk (`accepted`, at debug level), and before that when it was decided (`decided`). The pipe holds what was
//! logged before a `kill -9`. So
//!
//! - **nothing lost**: every accepted event is a row in the end; after an orderly end every decided one;
//! - **no duplicate**: no event has two rows, nobody two marks in a session, and the sightings counted on the marks are as many
//!   as there are rows;
//! - **order kept**: rows of one camera were committed in the order in which they were decided;
//! - **right people**: a row names whom the camera showed then, and everybody who was shown for a whole visit, to a camera and
//!   a daemon that were well, has a row;
//! - **back in time**: three seconds after a camera is back it is live;
//! - **holdings back**: resident memory, threads and open files are where they were; asked only of a process that had all its
//!   cameras before the fault and is still the same after it.
//!
//! A scenario excuses only what its fault makes impossible: whoever stands before a camera that is dead is not recognised.

pub mod cli;
mod clock;
mod daemon;
mod film;
mod ledger;
mod postgres;
mod process;
mod report;
mod scenario;
mod site;
mod soak;
mod trial;
mod verdict;
mod witness;

pub use film::portraits;
pub use report::{Outcome, Report};
pub use scenario::{SCENARIOS, SOAK, Scenario, find};
pub use trial::{Matrix, Options};

/// A camera that is back is live after this time.
pub const BACK_WITHIN: std::time::Duration = std::time::Duration::from_secs(3);
