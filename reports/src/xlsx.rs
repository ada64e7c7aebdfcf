//! XLSX: a title sheet, then the rows with real numbers, shares and dates, a frozen heading and a filter.
//!
//! Rows are spilled to a temporary file as they come, so memory does not grow with them; the workbook itself is a ZIP archive, whose
//! head is written last, and goes to the reader when it is complete. Texts are written as texts: none is ever a formula.
//! A time that the site's clocks show twice in a night carries the zone's abbreviation in its format.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Seek, Write};

use chrono::{Datelike, NaiveDate};
use chrono_tz::Tz;
use rust_xlsxwriter::{Color, DocProperties, Format, FormatAlign, FormatBorder, Workbook, Worksheet};

use crate::error::ReportError;
use crate::report::{Cell, Column, Kind, Report, Row, Tone};
use crate::rows::Rows;
use crate::text;

/// Excel's, less the heading.
pub(crate) const ROWS_A_SHEET: u32 = 1_048_575;
/// Excel's.
const CELL_CHARACTERS: usize = 32_767;
const WIDTHS: std::ops::RangeInclusive<usize> = 6..=48;
const DATE: &str = "yyyy-mm-dd";
const DATE_TIME: &str = "yyyy-mm-dd hh:mm:ss";

pub(crate) fn write(
    report: &Report,
    rows_a_sheet: u32,
    rows: &mut Rows,
    out: &mut dyn Write,
) -> Result<(), ReportError> {
    let mut book = Workbook::new();
    let made = DocProperties::new()
        .set_title(&*text::line(&report.title, 250))
        .set_company(&*text::line(&report.site, 250))
        .set_creation_datetime(&report.generated_at);
    book.set_properties(&made);
    let mut styles = Styles::new(report.time_zone);
    title_sheet(book.add_worksheet(), report, &mut styles)?;

    let mut chunk = rows.next_chunk()?;
    let widths = widths(&report.columns, chunk.as_deref().unwrap_or_default(), report.time_zone);
    let mut number = 1;
    // What did not fit onto the sheet before.
    let mut left = chunk.take().unwrap_or_default().into_iter();
    loop {
        let sheet = book.add_worksheet_with_constant_memory()?;
        sheet.set_name(if number == 1 { "Rows".to_owned() } else { format!("Rows {number}") })?;
        sheet.set_freeze_panes(1, 0)?.set_landscape().set_repeat_rows(0, 0)?;
        for (at, width) in (0..).zip(&widths) {
            sheet.set_column_width(at, *width as f64)?;
        }
        heading(sheet, 0, &report.columns, &styles)?;
        let mut line = 0;
        while line < rows_a_sheet {
            let Some(row) = left.next() else {
                let Some(chunk) = rows.next_chunk()? else { break };
                left = chunk.into_iter();
                continue;
            };
            line += 1;
            write_row(sheet, line, &row, &mut styles)?;
        }
        sheet.autofilter(0, 0, line, last_column(&report.columns))?;
        if line < rows_a_sheet || (left.len() == 0 && !refill(&mut left, rows)?) {
            break;
        }
        number += 1;
    }

    let mut file = tempfile::tempfile()?;
    book.save_to_writer(&mut file)?;
    copy(&mut file, out)
}

/// Whether there is more, which is then in `left`.
fn refill(left: &mut std::vec::IntoIter<Row>, rows: &mut Rows) -> Result<bool, ReportError> {
    let more = rows.next_chunk()?;
    Ok(more.map(|chunk| *left = chunk.into_iter()).is_some())
}

fn copy(file: &mut File, out: &mut dyn Write) -> Result<(), ReportError> {
    file.rewind()?;
    io::copy(file, out)?;
    Ok(())
}

fn last_column(columns: &[Column]) -> u16 {
    (columns.len() - 1) as u16
}

fn title_sheet(sheet: &mut Worksheet, report: &Report, styles: &mut Styles) -> Result<(), ReportError> {
    sheet.set_name("Report")?.set_screen_gridlines(false);
    sheet.set_column_width(0, 24)?.set_column_width(1, 44)?;
    sheet.write_with_format(0, 0, &*cell_text(&report.title), &styles.title)?;
    let mut line = 1;
    if let Some(subtitle) = &report.subtitle {
        sheet.write_with_format(line, 0, &*cell_text(subtitle), &styles.faint)?;
        line += 1;
    }
    line += 1;
    for (name, value) in text::facts(report) {
        sheet.write_with_format(line, 0, &*cell_text(&name), &styles.faint)?;
        sheet.write_string(line, 1, &*cell_text(&value))?;
        line += 1;
    }
    for note in &report.notes {
        line += 1;
        sheet.write_string(line, 0, &*cell_text(note))?;
    }
    for figures in &report.figures {
        line += 2;
        sheet.write_with_format(line, 0, &*cell_text(&figures.title), &styles.section)?;
        line += 1;
        heading(sheet, line, &figures.columns, styles)?;
        for row in &figures.rows {
            line += 1;
            write_row(sheet, line, row, styles)?;
        }
    }
    Ok(())
}

fn heading(sheet: &mut Worksheet, line: u32, columns: &[Column], styles: &Styles) -> Result<(), ReportError> {
    for (at, column) in (0..).zip(columns) {
        let style = if right(column.kind) { &styles.heading_right } else { &styles.heading };
        sheet.write_string_with_format(line, at, &*cell_text(&column.title), style)?;
    }
    Ok(())
}

fn right(kind: Kind) -> bool {
    matches!(kind, Kind::Integer | Kind::Percent | Kind::Minutes)
}

fn write_row(sheet: &mut Worksheet, line: u32, row: &[Cell], styles: &mut Styles) -> Result<(), ReportError> {
    for (at, cell) in (0..).zip(row) {
        match cell {
            Cell::Empty => continue,
            Cell::Text(text) => sheet.write_string(line, at, &*cell_text(text))?,
            Cell::Status { label, tone } => {
                sheet.write_string_with_format(line, at, &*cell_text(label), styles.tone(*tone))?
            }
            // Excel's numbers have 53 bits; a longer one is most likely an identifier.
            Cell::Integer(n) if n.unsigned_abs() > 1 << 53 => sheet.write_string(line, at, n.to_string())?,
            Cell::Integer(n) => sheet.write_number(line, at, *n as f64)?,
            Cell::Percent(share) => sheet.write_number_with_format(line, at, *share, &styles.percent)?,
            Cell::Minutes(n) => sheet.write_number_with_format(line, at, *n as f64, &styles.minutes)?,
            // Excel counts days from 1900 on.
            Cell::Date(date) if !known_to_excel(*date) => sheet.write_string(line, at, date.to_string())?,
            Cell::Date(date) => sheet.write_datetime_with_format(line, at, date, &styles.date)?,
            Cell::DateTime(time) => {
                let local = text::local(*time, styles.zone);
                if known_to_excel(local.wall.date()) {
                    sheet.write_datetime_with_format(line, at, local.wall, styles.date_time(local.which))?
                } else {
                    sheet.write_string(line, at, time.to_rfc3339())?
                }
            }
        };
    }
    Ok(())
}

fn known_to_excel(date: NaiveDate) -> bool {
    (1900..=9999).contains(&date.year())
}

fn cell_text(text: &str) -> std::borrow::Cow<'_, str> {
    text::line(text, CELL_CHARACTERS)
}

/// Widths in characters: as wide as what stands in the first chunk, within reason.
fn widths(columns: &[Column], sample: &[Row], zone: Tz) -> Vec<usize> {
    let widest = |at: usize, column: &Column| {
        let cells = sample.iter().map(|row| match &row[at] {
            Cell::DateTime(_) => DATE_TIME.len(),
            cell => text::shown(cell, zone).chars().count(),
        });
        // The filter's arrow covers two characters of a heading.
        let heading = column.title.chars().count() + 2;
        (cells.max().unwrap_or(0).max(heading) + 1).clamp(*WIDTHS.start(), *WIDTHS.end())
    };
    columns.iter().enumerate().map(|(at, column)| widest(at, column)).collect()
}

struct Styles {
    zone: Tz,
    title: Format,
    section: Format,
    faint: Format,
    heading: Format,
    heading_right: Format,
    percent: Format,
    minutes: Format,
    date: Format,
    tones: [Format; 4],
    /// By the zone's abbreviation; there are two or three in a zone.
    date_times: HashMap<Option<String>, Format>,
}

impl Styles {
    fn new(zone: Tz) -> Self {
        let heading = Format::new()
            .set_bold()
            .set_background_color(Color::RGB(0xE8EDF2))
            .set_border_bottom(FormatBorder::Thin)
            .set_align(FormatAlign::VerticalCenter);
        Self {
            zone,
            title: Format::new().set_bold().set_font_size(18),
            section: Format::new().set_bold().set_font_size(13),
            faint: Format::new().set_font_color(Color::RGB(0x5A6672)),
            heading_right: heading.clone().set_align(FormatAlign::Right),
            heading,
            percent: Format::new().set_num_format("0.0%"),
            minutes: Format::new().set_num_format("0\" min\""),
            date: Format::new().set_num_format(DATE),
            tones: crate::scene::TONES.map(|colour| Format::new().set_font_color(Color::RGB(colour.0))),
            date_times: HashMap::new(),
        }
    }

    fn tone(&self, tone: Tone) -> &Format {
        &self.tones[tone as usize]
    }

    fn date_time(&mut self, which: Option<String>) -> &Format {
        let format = match &which {
            // Abbreviations are letters, or an offset such as +03: nothing that ends the quoted part.
            Some(which) => format!("{DATE_TIME}\" {which}\""),
            None => DATE_TIME.to_owned(),
        };
        self.date_times.entry(which).or_insert_with(|| Format::new().set_num_format(format))
    }
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use calamine::{Reader, Xlsx, open_workbook_from_rs};
    use chrono::DateTime;

    use super::*;

    #[test]
    fn rows_that_do_not_fit_go_onto_further_sheets() {
        let report = Report {
            title: String::new(),
            subtitle: None,
            site: String::new(),
            time_zone: Tz::UTC,
            period: None,
            generated_at: DateTime::UNIX_EPOCH,
            filters: Vec::new(),
            notes: Vec::new(),
            figures: Vec::new(),
            charts: Vec::new(),
            columns: vec![Column::new("n", "N", Kind::Integer)],
        };
        for (rows, sheets) in [(0, vec![0]), (9, vec![9]), (10, vec![10]), (11, vec![10, 1]), (30, vec![10, 10, 10])] {
            let mut chunks = (0..rows).map(|n| Ok(vec![vec![Cell::Integer(n)]]));
            let mut book = Vec::new();
            write(&report, 10, &mut Rows::new(&report.columns, &mut chunks), &mut book).unwrap();
            let mut book: Xlsx<_> = open_workbook_from_rs(Cursor::new(book)).unwrap();
            let found: Vec<_> = book.worksheets().into_iter().skip(1).map(|(_, cells)| cells.height() - 1).collect();
            assert_eq!(found, sheets, "{rows} rows");
        }
    }
}
