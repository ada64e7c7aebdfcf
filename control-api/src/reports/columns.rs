//! The columns of reports, and how lines fill them.

use chrono::{DateTime, Utc};
use rollcall_attendance::Tally;
use rollcall_reports::{Cell, Column, Kind, Row, Tone};
use rollcall_store::{FiguresBy, FiguresRow, RegisterLine};

use crate::sessions::WaitsFor;

/// Columns of a tally.
pub(super) fn of_tally() -> [Column; 7] {
    [
        Column::new("present", "Present", Kind::Integer),
        Column::new("late", "Late", Kind::Integer),
        Column::new("absent", "Absent", Kind::Integer),
        Column::new("excused", "Excused", Kind::Integer),
        Column::new("attendance", "Attendance", Kind::Percent),
        Column::new("punctuality", "Punctuality", Kind::Percent),
        Column::new("lateness", "Lateness", Kind::Percent),
    ]
}

/// A tally in its columns.
pub(super) fn tally(tally: &Tally) -> [Cell; 7] {
    [
        number(tally.present),
        number(tally.late),
        number(tally.absent),
        number(tally.excused),
        share(tally.attendance()),
        share(tally.punctuality()),
        share(tally.lateness()),
    ]
}

pub(super) fn number(n: u64) -> Cell {
    Cell::Integer(i64::try_from(n).unwrap_or(i64::MAX))
}

/// A percentage as a share.
pub(super) fn share(percent: Option<f64>) -> Cell {
    percent.map_or(Cell::Empty, |percent| Cell::Percent(percent / 100.0))
}

/// So many of all as a share.
pub(super) fn share_of(count: u64, total: u64) -> Cell {
    share((total > 0).then(|| count as f64 * 100.0 / total as f64))
}

pub(super) fn maybe_text(text: Option<String>) -> Cell {
    text.map_or(Cell::Empty, Cell::Text)
}

fn maybe_time(time: Option<DateTime<Utc>>) -> Cell {
    time.map_or(Cell::Empty, Cell::DateTime)
}

/// The columns of figures.
pub(super) fn of_figures(by: FiguresBy) -> Vec<Column> {
    let sessions = || Column::new("sessions", "Sessions", Kind::Integer);
    let mut columns = match by {
        FiguresBy::Session => vec![
            Column::new("date", "Date", Kind::Date),
            Column::new("starts_at", "Starts", Kind::DateTime),
            Column::new("ends_at", "Ends", Kind::DateTime),
            Column::new("course", "Course", Kind::Text),
            Column::new("session", "Session", Kind::Text),
            Column::new("room", "Room", Kind::Text),
        ],
        FiguresBy::Course => {
            vec![Column::new("course", "Course", Kind::Text), Column::new("code", "Code", Kind::Text), sessions()]
        }
        FiguresBy::Group => vec![Column::new("group", "Group", Kind::Text), sessions()],
        FiguresBy::Person => vec![
            Column::new("person", "Person", Kind::Text),
            Column::new("external_id", "Number", Kind::Text),
            sessions(),
        ],
        FiguresBy::Day => vec![Column::new("date", "Date", Kind::Date), sessions()],
        FiguresBy::Week => vec![Column::new("week", "Week from", Kind::Date), sessions()],
        FiguresBy::Month => vec![Column::new("month", "Month from", Kind::Date), sessions()],
    };
    columns.extend(of_tally());
    columns
}

/// A line of figures in its columns.
pub(super) fn figures(by: FiguresBy, line: FiguresRow) -> Row {
    let counted = [number(line.sessions)];
    let date = line.date.map_or(Cell::Empty, Cell::Date);
    let mut row = match by {
        FiguresBy::Session => vec![
            date,
            maybe_time(line.starts_at),
            maybe_time(line.ends_at),
            maybe_text(line.course),
            maybe_text(line.name),
            maybe_text(line.room),
        ],
        FiguresBy::Course => {
            let name = line.name.unwrap_or_else(|| "(no course)".to_owned());
            vec![Cell::Text(name), maybe_text(line.code)]
        }
        FiguresBy::Person => vec![maybe_text(line.name), maybe_text(line.code)],
        FiguresBy::Group => vec![maybe_text(line.name)],
        FiguresBy::Day | FiguresBy::Week | FiguresBy::Month => vec![date],
    };
    if by != FiguresBy::Session {
        row.extend(counted);
    }
    row.extend(tally(&line.tally));
    row
}

/// The columns of the register.
pub(super) fn of_lines() -> Vec<Column> {
    vec![
        Column::new("date", "Date", Kind::Date),
        Column::new("starts_at", "Starts", Kind::DateTime),
        Column::new("course", "Course", Kind::Text),
        Column::new("room", "Room", Kind::Text),
        Column::new("person", "Person", Kind::Text),
        Column::new("external_id", "Number", Kind::Text),
        Column::new("status", "Status", Kind::Status),
        Column::new("arrived_at", "Arrived", Kind::DateTime),
        Column::new("minutes", "From start", Kind::Minutes),
        Column::new("left_at", "Left", Kind::DateTime),
        Column::new("source", "Source", Kind::Text),
        Column::new("remark", "Remark", Kind::Text),
    ]
}

/// A row of the register in its columns.
pub(super) fn line(line: RegisterLine) -> Row {
    let tone = match line.status.as_str() {
        "present" => Tone::Good,
        "late" => Tone::Warning,
        "absent" => Tone::Bad,
        _ => Tone::Neutral,
    };
    let found = line.reason.or_else(|| line.left_early.then(|| "left_early".to_owned()));
    let gaps = WaitsFor::all(line.waits_for).into_iter().map(|gap| format!("{} {}", gap.camera, gap.reason));
    let remark = found.into_iter().chain(gaps).reduce(|all, more| format!("{all}; {more}"));
    vec![
        Cell::Date(line.local_date),
        Cell::DateTime(line.starts_at),
        maybe_text(line.course),
        Cell::Text(line.room),
        Cell::Text(line.name),
        maybe_text(line.external_id),
        Cell::status(line.status, tone),
        maybe_time(line.arrived_at),
        // Whole minutes, as a clock shows them: half a minute late is not yet one.
        line.minutes_from_start.map_or(Cell::Empty, |minutes| Cell::Minutes(minutes.floor() as i64)),
        maybe_time(line.left_at),
        Cell::Text(line.source),
        maybe_text(remark),
    ]
}
