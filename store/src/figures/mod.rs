//! Figures over the register: summaries, tables by something, standings of people, and what the cameras made of it.
//!
//! What concerns everybody is made of the tallies of sessions, or of the runs of people's months, which triggers keep; what
//! concerns some people or some rooms, of the register's rows. Both give the same figures, and a test compares them.

mod filter;
mod names;
mod quality;
mod reading;
mod standings;
mod summary;

use chrono::NaiveDate;
use rollcall_attendance::Tally;
use rollcall_pipeline::WallTime;
use sqlx::Row;
use sqlx::postgres::PgRow;

pub use filter::FiguresFilter;
pub use quality::QualityRow;
pub use reading::{FiguresReading, RegisterLine};
pub use standings::StandingRow;
pub use summary::RegisterSummary;

/// What figures are made by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FiguresBy {
    /// Each session.
    Session,
    /// Each course; what belongs to none is one line.
    Course,
    /// Each group. Who is in two counts in both.
    Group,
    /// Each person.
    Person,
    /// Each local date.
    Day,
    /// Each week, from Monday.
    Week,
    /// Each month.
    Month,
}

/// A line of figures. What does not belong to how they are made is empty.
#[derive(Clone, Debug, PartialEq)]
pub struct FiguresRow {
    /// The date, or the first of the week or month.
    pub date: Option<NaiveDate>,
    /// Start of the session.
    pub starts_at: Option<WallTime>,
    /// Its end.
    pub ends_at: Option<WallTime>,
    /// Id of the session, course, group or person.
    pub id: Option<uuid::Uuid>,
    /// Its name.
    pub name: Option<String>,
    /// The course's code, or the person's number in another system.
    pub code: Option<String>,
    /// The session's course.
    pub course: Option<String>,
    /// The session's room.
    pub room: Option<String>,
    /// How many sessions.
    pub sessions: u64,
    /// How often which status.
    pub tally: Tally,
}

impl FiguresRow {
    fn read(row: &PgRow) -> Result<Self, sqlx::Error> {
        Ok(Self {
            date: row.try_get("date")?,
            starts_at: row.try_get("starts_at")?,
            ends_at: row.try_get("ends_at")?,
            id: row.try_get("id")?,
            name: row.try_get("name")?,
            code: row.try_get("code")?,
            course: row.try_get("course")?,
            room: row.try_get("room")?,
            sessions: count(row, "sessions")?,
            tally: tally(row)?,
        })
    }
}

/// A number that is never negative.
fn count(row: &PgRow, column: &str) -> Result<u64, sqlx::Error> {
    Ok(row.try_get::<i64, _>(column)?.unsigned_abs())
}

fn tally(row: &PgRow) -> Result<Tally, sqlx::Error> {
    Ok(Tally {
        present: count(row, "present")?,
        late: count(row, "late")?,
        absent: count(row, "absent")?,
        excused: count(row, "excused")?,
    })
}
