//! What a report is: a head, figures small enough to keep, and the columns of its rows. The rows themselves are not here; they
//! arrive as a stream (see [`crate::rows`]).

use chrono::{DateTime, NaiveDate, Utc};
use chrono_tz::Tz;

use crate::chart::Chart;
use crate::error::ReportError;

/// The most columns a report may have.
pub const MAX_COLUMNS: usize = 64;
/// The most rows of one table of key figures. What is longer belongs into the rows of the report.
pub const MAX_FIGURE_ROWS: usize = 1_000;
/// The most tables of key figures, filters, notes and charts, each.
pub const MAX_PARTS: usize = 64;

/// A report but for its rows.
#[derive(Clone, Debug)]
pub struct Report {
    /// What it is about: "Attendance of course 3b".
    pub title: String,
    /// A second line under the title.
    pub subtitle: Option<String>,
    /// The name of the site.
    pub site: String,
    /// The site's time zone: every time in the report is shown in it.
    pub time_zone: Tz,
    /// The days it covers; absent where that has no meaning.
    pub period: Option<Period>,
    /// When it was made.
    pub generated_at: DateTime<Utc>,
    /// What the rows were chosen by, as name and value: `("Course", "Algebra I")`.
    pub filters: Vec<(String, String)>,
    /// Remarks for the reader: what a figure means, what is missing.
    pub notes: Vec<String>,
    /// Key figures, shown before the rows. They are kept in memory.
    pub figures: Vec<Figures>,
    /// Pictures of the figures; drawn in the PDF, data in JSON.
    pub charts: Vec<Chart>,
    /// The columns of the rows.
    pub columns: Vec<Column>,
}

/// Days at the site, the last one included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Period {
    /// First day.
    pub from: NaiveDate,
    /// Last day.
    pub until: NaiveDate,
}

/// A column of a table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Column {
    /// Its name in JSON: lower case letters, digits and underscores.
    pub key: String,
    /// Its heading.
    pub title: String,
    /// What its cells hold.
    pub kind: Kind,
}

impl Column {
    /// A column.
    pub fn new(key: impl Into<String>, title: impl Into<String>, kind: Kind) -> Self {
        Self { key: key.into(), title: title.into(), kind }
    }
}

/// What the cells of a column hold. A cell may always be empty.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Any text.
    Text,
    /// A whole number.
    Integer,
    /// A share.
    Percent,
    /// A moment, shown in the site's time zone.
    DateTime,
    /// A day at the site.
    Date,
    /// A length of time in whole minutes.
    Minutes,
    /// One of few words, with a tone.
    Status,
}

/// One value. It has to be of its column's kind, or empty.
#[derive(Clone, Debug, PartialEq)]
pub enum Cell {
    /// Nothing known.
    Empty,
    /// See [`Kind::Text`].
    Text(String),
    /// See [`Kind::Integer`].
    Integer(i64),
    /// A fraction: 0.5 is shown as 50 %.
    Percent(f64),
    /// See [`Kind::DateTime`].
    DateTime(DateTime<Utc>),
    /// See [`Kind::Date`].
    Date(NaiveDate),
    /// See [`Kind::Minutes`]. May be negative: five minutes early.
    Minutes(i64),
    /// See [`Kind::Status`].
    Status {
        /// The word shown.
        label: String,
        /// How it is coloured where there are colours.
        tone: Tone,
    },
}

impl Cell {
    /// A text.
    pub fn text(text: impl Into<String>) -> Self {
        Self::Text(text.into())
    }

    /// A status.
    pub fn status(label: impl Into<String>, tone: Tone) -> Self {
        Self::Status { label: label.into(), tone }
    }

    fn fits(&self, kind: Kind) -> bool {
        match self {
            Self::Empty => true,
            Self::Text(_) => kind == Kind::Text,
            Self::Integer(_) => kind == Kind::Integer,
            Self::Percent(share) => kind == Kind::Percent && share.is_finite(),
            Self::DateTime(_) => kind == Kind::DateTime,
            Self::Date(_) => kind == Kind::Date,
            Self::Minutes(_) => kind == Kind::Minutes,
            Self::Status { .. } => kind == Kind::Status,
        }
    }
}

/// Whether a status is good news.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Tone {
    /// As it should be.
    Good,
    /// Worth a look.
    Warning,
    /// Not as it should be.
    Bad,
    /// Neither.
    #[default]
    Neutral,
}

/// The cells of one row, in the order of the columns.
pub type Row = Vec<Cell>;

/// A small table of key figures.
#[derive(Clone, Debug)]
pub struct Figures {
    /// Its heading.
    pub title: String,
    /// Its columns.
    pub columns: Vec<Column>,
    /// Its rows, at most [`MAX_FIGURE_ROWS`].
    pub rows: Vec<Row>,
}

impl Report {
    /// Checks what every format relies on.
    pub(crate) fn check(&self) -> Result<(), ReportError> {
        check_columns("rows", &self.columns)?;
        let parts = [self.figures.len(), self.filters.len(), self.notes.len(), self.charts.len()];
        if parts.iter().any(|&n| n > MAX_PARTS) {
            return Err(ReportError::shape(format!("more than {MAX_PARTS} figures, filters, notes or charts")));
        }
        for figures in &self.figures {
            check_columns(&figures.title, &figures.columns)?;
            if figures.rows.len() > MAX_FIGURE_ROWS {
                return Err(ReportError::shape(format!("more than {MAX_FIGURE_ROWS} rows in {:?}", figures.title)));
            }
            figures.rows.iter().try_for_each(|row| check_row(&figures.columns, row))?;
        }
        self.charts.iter().try_for_each(Chart::check)
    }
}

fn check_columns(of: &str, columns: &[Column]) -> Result<(), ReportError> {
    if columns.is_empty() || columns.len() > MAX_COLUMNS {
        return Err(ReportError::shape(format!("{of}: {} columns; 1 to {MAX_COLUMNS} can be written", columns.len())));
    }
    for (at, column) in columns.iter().enumerate() {
        let key = &column.key;
        if key.is_empty() || !key.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_') {
            return Err(ReportError::shape(format!("{of}: {key:?} is no column key")));
        }
        if columns[..at].iter().any(|other| other.key == *key) {
            return Err(ReportError::shape(format!("{of}: two columns have the key {key:?}")));
        }
    }
    Ok(())
}

pub(crate) fn check_row(columns: &[Column], row: &[Cell]) -> Result<(), ReportError> {
    if row.len() != columns.len() {
        return Err(ReportError::shape(format!("a row has {} cells for {} columns", row.len(), columns.len())));
    }
    match columns.iter().zip(row).find(|(column, cell)| !cell.fits(column.kind)) {
        // The value may be a name: it does not go into a message.
        Some((column, _)) => Err(ReportError::shape(format!("a cell of {:?} is not of {:?}", column.key, column.kind))),
        None => Ok(()),
    }
}
