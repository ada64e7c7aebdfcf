//! Why a report was not written.

use std::io;

use rollcall_pipeline::ErrorClass;

/// What the rows' source may fail with.
pub type SourceError = Box<dyn std::error::Error + Send + Sync>;

/// Why a report was not written, or not to its end.
#[derive(Debug, thiserror::Error)]
pub enum ReportError {
    /// Reading the rows failed.
    #[error("the rows could not be read: {0}")]
    Source(#[source] SourceError),
    /// The reader went away, or a temporary file could not be written.
    #[error("the report could not be written: {0}")]
    Io(#[from] io::Error),
    /// More rows than a PDF holds.
    #[error("a PDF holds at most {limit} rows: narrow the filters, or ask for CSV or XLSX")]
    TooManyRows {
        /// The most it holds.
        limit: usize,
    },
    /// More columns than fit on paper.
    #[error("a PDF holds at most {limit} columns: ask for CSV or XLSX")]
    TooManyColumns {
        /// The most it holds.
        limit: usize,
    },
    /// The report contradicts itself.
    #[error("the report is malformed: {0}")]
    Shape(String),
    /// The workbook could not be made.
    #[error("the workbook could not be made: {0}")]
    Xlsx(#[from] rust_xlsxwriter::XlsxError),
    /// The document could not be made.
    #[error("the PDF could not be made: {0}")]
    Pdf(String),
}

impl ReportError {
    pub(crate) fn shape(what: impl Into<String>) -> Self {
        Self::Shape(what.into())
    }

    /// Whether asking again may help.
    pub fn class(&self) -> ErrorClass {
        match self {
            Self::Source(_) | Self::Io(_) | Self::Xlsx(rust_xlsxwriter::XlsxError::IoError(_)) => ErrorClass::Transient,
            Self::TooManyRows { .. } | Self::TooManyColumns { .. } => ErrorClass::Permanent,
            Self::Shape(_) | Self::Xlsx(_) | Self::Pdf(_) => ErrorClass::Bug,
        }
    }
}

impl From<csv::Error> for ReportError {
    fn from(error: csv::Error) -> Self {
        match error.into_kind() {
            csv::ErrorKind::Io(error) => Self::Io(error),
            other => Self::Shape(format!("{other:?}")),
        }
    }
}

impl From<serde_json::Error> for ReportError {
    fn from(error: serde_json::Error) -> Self {
        Self::Io(error.into())
    }
}
