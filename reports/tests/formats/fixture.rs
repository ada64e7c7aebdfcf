//! A report with a column of each kind.

use chrono::{DateTime, NaiveDate, Utc};
use chrono_tz::Europe::Berlin;
use rollcall_reports::{Cell, Chunk, Column, Figures, Format, Kind, Period, Renderer, Report, ReportError, Row, Tone};

pub(crate) fn time(rfc3339: &str) -> DateTime<Utc> {
    rfc3339.parse().unwrap()
}

pub(crate) fn day(date: &str) -> NaiveDate {
    date.parse().unwrap()
}

pub(crate) fn report() -> Report {
    Report {
        title: "Attendance of 3b".into(),
        subtitle: Some("By person".into()),
        site: "Lindenschule".into(),
        time_zone: Berlin,
        period: Some(Period { from: day("2026-09-01"), until: day("2026-12-18") }),
        generated_at: time("2026-12-18T15:00:00Z"),
        filters: vec![("Course".into(), "Algebra".into())],
        notes: vec!["Cancelled sessions are not counted.".into()],
        figures: vec![Figures {
            title: "In all".into(),
            columns: vec![Column::new("what", "What", Kind::Text), Column::new("share", "Share", Kind::Percent)],
            rows: vec![vec![Cell::text("present"), Cell::Percent(0.5)]],
        }],
        charts: Vec::new(),
        columns: vec![
            Column::new("person", "Person", Kind::Text),
            Column::new("n", "Sessions", Kind::Integer),
            Column::new("share", "Presence", Kind::Percent),
            Column::new("at", "Arrived", Kind::DateTime),
            Column::new("day", "Day", Kind::Date),
            Column::new("late", "Late by", Kind::Minutes),
            Column::new("status", "Status", Kind::Status),
        ],
    }
}

pub(crate) fn row(person: &str, n: i64, at: &str) -> Row {
    vec![
        Cell::text(person),
        Cell::Integer(n),
        Cell::Percent(0.935),
        Cell::DateTime(time(at)),
        Cell::Date(day("2026-10-25")),
        Cell::Minutes(-5),
        Cell::status("present", Tone::Good),
    ]
}

/// Summer time begins and ends, in Berlin: what is an hour apart here is two hours or none apart on the wall.
pub(crate) fn changes_of_the_clock() -> Vec<Row> {
    let times = ["2026-03-29T00:59:00Z", "2026-03-29T01:00:00Z", "2026-10-25T00:30:00Z", "2026-10-25T01:30:00Z"];
    times.map(|at| row("Ada", 1, at)).to_vec()
}

/// A report of one column of texts.
pub(crate) fn texts() -> Report {
    Report { columns: vec![Column::new("text", "Text", Kind::Text)], ..report() }
}

pub(crate) fn render(format: Format, report: &Report, chunks: Vec<Vec<Row>>) -> Vec<u8> {
    let mut out = Vec::new();
    let rows = chunks.iter().map(Vec::len).sum::<usize>() as u64;
    assert_eq!(try_render(format, report, chunks.into_iter().map(Ok), &mut out).unwrap(), rows);
    out
}

pub(crate) fn try_render(
    format: Format,
    report: &Report,
    mut chunks: impl Iterator<Item = Chunk>,
    out: &mut Vec<u8>,
) -> Result<u64, ReportError> {
    // The fonts of this machine are not the test's business.
    Renderer::default().fallback_fonts([]).render(format, report, &mut chunks, out)
}
