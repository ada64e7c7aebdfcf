//! Writes reports as JSON, CSV, XLSX and PDF.
//!
//! It is given a [`Report`] (head, key figures, charts, columns) and a stream of rows in chunks, and writes them to a
//! [`Write`]. It knows nothing of attendance, SQL or HTTP, reads no clock, and blocks. Memory does not grow with the rows, but for
//! PDF, which refuses more than [`PDF_MAX_ROWS`].
//!
//! JSON and CSV are written while the rows come: after an error part of them is out, so cut the connection, lest the reader take
//! it for all. XLSX and PDF are written when they are complete: nothing is out after an error that is not [`ReportError::Io`].

use std::io::{BufWriter, Write};
use std::path::PathBuf;
use std::sync::OnceLock;

mod chart;
mod csv;
mod error;
mod json;
mod name;
mod pdf;
mod report;
mod rows;
mod scene;
mod svg;
mod text;
mod xlsx;

pub use chart::{Chart, HeatMap, Histogram, MAX_LINES, MAX_POINTS, Trend, Unit};
pub use csv::CsvOptions;
pub use error::{ReportError, SourceError};
pub use pdf::{PDF_MAX_COLUMNS, PDF_MAX_ROWS};
pub use report::{Cell, Column, Figures, Kind, MAX_COLUMNS, MAX_FIGURE_ROWS, MAX_PARTS, Period, Report, Row, Tone};
pub use rows::Chunk;

use rows::Rows;

/// What a report is written as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// One object with everything, the charts as figures.
    Json,
    /// The rows alone.
    Csv(CsvOptions),
    /// A title sheet with the key figures, and the rows.
    Xlsx,
    /// Everything, for paper.
    Pdf,
}

impl Format {
    /// Its media type.
    pub fn content_type(self) -> &'static str {
        match self {
            Self::Json => "application/json",
            Self::Csv(_) => "text/csv; charset=utf-8; header=present",
            Self::Xlsx => "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
            Self::Pdf => "application/pdf",
        }
    }

    /// How its files end.
    pub fn extension(self) -> &'static str {
        match self {
            Self::Json => "json",
            Self::Csv(_) => "csv",
            Self::Xlsx => "xlsx",
            Self::Pdf => "pdf",
        }
    }

    /// A name for the report as a file: ASCII letters, digits and hyphens, with site, title and period.
    pub fn file_name(self, report: &Report) -> String {
        name::of(report, self)
    }
}

/// Writes reports. Keeps the fonts, so make one and share it.
pub struct Renderer {
    fallback_fonts: Vec<PathBuf>,
    fonts: OnceLock<pdf::Fonts>,
}

impl Default for Renderer {
    fn default() -> Self {
        Self { fallback_fonts: pdf::system_fonts(), fonts: OnceLock::new() }
    }
}

impl Renderer {
    /// Looks here, and not where Debian puts them, for a font with what DejaVu lacks (Chinese, Japanese, Korean). The first file
    /// that is a font is taken; with none of them such texts are written in Latin letters in the PDF.
    pub fn fallback_fonts(mut self, files: impl IntoIterator<Item = PathBuf>) -> Self {
        self.fallback_fonts = files.into_iter().collect();
        self
    }

    /// Writes a report and returns how many rows it has.
    ///
    /// # Errors
    ///
    /// See [`ReportError`]; what is written by then is said at the head of this crate.
    pub fn render(
        &self,
        format: Format,
        report: &Report,
        rows: &mut dyn Iterator<Item = Chunk>,
        out: &mut dyn Write,
    ) -> Result<u64, ReportError> {
        report.check()?;
        let mut rows = Rows::new(&report.columns, rows);
        let mut out = BufWriter::with_capacity(1 << 16, out);
        match format {
            Format::Json => json::write(report, &mut rows, &mut out),
            Format::Csv(options) => csv::write(report, options, &mut rows, &mut out),
            Format::Xlsx => xlsx::write(report, xlsx::ROWS_A_SHEET, &mut rows, &mut out),
            Format::Pdf => {
                let fonts = self.fonts.get_or_init(|| pdf::Fonts::load(&self.fallback_fonts));
                pdf::write(report, fonts, &mut rows, &mut out)
            }
        }?;
        out.flush()?;
        Ok(rows.count())
    }
}
