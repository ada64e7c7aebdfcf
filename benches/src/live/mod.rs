//! Live cameras before the real daemon: what they show, the processes, and what is read off them.
//!
//! ```text
//! the benchmark: watches    the benchmark --serve          rollcall run
//!   /metrics, /proc      RTSP cameras in memory ──►  cameras ► lane ► private PostgreSQL
//! ```

#![expect(clippy::print_stderr, reason = "used by commands that report")]

pub mod bare;
pub mod cameras;
pub mod daemon;
pub mod exposition;
pub mod latencies;
pub mod process;
pub mod scene;
