//! Where events go: [`PgSink`] writes them to PostgreSQL, through a [`spool`] on disk while the database is away;
//! [`JsonLines`] writes them to a file. All of them implement `rollcall_pipeline::ports::EventSink`. No SQL and no rules of
//! attendance here: `store` knows the rows, and events arrive judged.

mod codec;
pub mod jsonl;
mod pace;
pub mod postgres;
pub mod rejected;
pub mod spool;
mod writer;

pub use jsonl::JsonLines;
pub use postgres::{PgSink, PgSinkOptions, Refused, SinkMonitor, SinkStatus};
pub use spool::{Spool, SpoolError, SpoolOptions};
