//! Where events go: [`PgSink`] writes them to PostgreSQL, through a [`Spool`] on disk while the database is away;
//! [`JsonLines`] writes them to a file. All of them implement `rollcall_pipeline::ports::EventSink`. No SQL and no rules of
//! attendance here: `store` knows the rows, and events arrive judged.

pub mod jsonl;

pub use jsonl::JsonLines;
