//! CSV after RFC 4180: the rows alone, under one line of headings, lines end with CR LF, UTF-8.
//!
//! Shares are numbers from 0 to 100 and lengths whole minutes; their headings say so. Times are RFC 3339 with the site's offset.
//!
//! **Formula injection.** A spreadsheet runs a cell that begins with `=`, `+`, `-` or `@` as a formula, also after a tab or a line
//! break, and some take the full-width forms for the same. Names and notes come from outside, so a *text* or *status* (or heading)
//! that begins so gets an apostrophe in front: `=1+1` is written as `'=1+1`. Numbers are ours and stay as they are (`-5`).

use std::borrow::Cow;
use std::io::Write;

use chrono::SecondsFormat;
use chrono_tz::Tz;

use crate::error::ReportError;
use crate::report::{Cell, Column, Kind, Report};
use crate::rows::Rows;

/// How CSV is written; the default is what RFC 4180 says and programs expect.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CsvOptions {
    /// Begins with a byte order mark: older versions of Excel take the file for Windows-1252 without it.
    pub byte_order_mark: bool,
    /// Separates with semicolons: what Excel expects where the decimal sign is a comma.
    pub semicolons: bool,
}

pub(crate) fn write(
    report: &Report,
    options: CsvOptions,
    rows: &mut Rows,
    out: &mut dyn Write,
) -> Result<(), ReportError> {
    if options.byte_order_mark {
        out.write_all("\u{FEFF}".as_bytes())?;
    }
    let mut csv = csv::WriterBuilder::new()
        .terminator(csv::Terminator::CRLF)
        .delimiter(if options.semicolons { b';' } else { b',' })
        .from_writer(out);
    for column in &report.columns {
        csv.write_field(guarded(&heading(column)).as_bytes())?;
    }
    csv.write_record(None::<&[u8]>)?;
    while let Some(chunk) = rows.next_chunk()? {
        for row in &chunk {
            for cell in row {
                csv.write_field(field(cell, report.time_zone).as_bytes())?;
            }
            csv.write_record(None::<&[u8]>)?;
        }
    }
    csv.flush()?;
    Ok(())
}

fn heading(column: &Column) -> Cow<'_, str> {
    match column.kind {
        Kind::Percent => Cow::Owned(format!("{} (%)", column.title)),
        Kind::Minutes => Cow::Owned(format!("{} (min)", column.title)),
        _ => Cow::Borrowed(&column.title),
    }
}

fn field(cell: &Cell, zone: Tz) -> Cow<'_, str> {
    match cell {
        Cell::Empty => Cow::Borrowed(""),
        Cell::Text(text) | Cell::Status { label: text, .. } => guarded(text),
        Cell::Integer(n) | Cell::Minutes(n) => Cow::Owned(n.to_string()),
        Cell::Percent(share) => Cow::Owned(format!("{:.2}", share * 100.0)),
        Cell::DateTime(time) => Cow::Owned(time.with_timezone(&zone).to_rfc3339_opts(SecondsFormat::Secs, true)),
        Cell::Date(date) => Cow::Owned(date.to_string()),
    }
}

/// A text that no spreadsheet runs. NUL, which ends the file for some readers, is taken out.
fn guarded(text: &str) -> Cow<'_, str> {
    let text = if text.contains('\0') { Cow::Owned(text.replace('\0', "")) } else { Cow::Borrowed(text) };
    match text.chars().next() {
        Some('=' | '+' | '-' | '@' | '\t' | '\r' | '\n' | '＝' | '＋' | '－' | '＠') => {
            Cow::Owned(format!("'{text}"))
        }
        _ => text,
    }
}
