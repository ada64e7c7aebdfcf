//! The rows of a report: chunks from a source that is slow, long and may fail, checked on their way to a format.

use crate::error::{ReportError, SourceError};
use crate::report::{Column, Row, check_row};

/// Some rows, or why there are no more. A chunk of a few hundred rows is a good size; an empty one is no end.
pub type Chunk = Result<Vec<Row>, SourceError>;

/// Checks what a source gives and counts it.
pub(crate) struct Rows<'a> {
    columns: &'a [Column],
    source: &'a mut dyn Iterator<Item = Chunk>,
    count: u64,
}

impl<'a> Rows<'a> {
    pub(crate) fn new(columns: &'a [Column], source: &'a mut dyn Iterator<Item = Chunk>) -> Self {
        Self { columns, source, count: 0 }
    }

    /// The next rows, at least one; `None` at the end.
    pub(crate) fn next_chunk(&mut self) -> Result<Option<Vec<Row>>, ReportError> {
        for chunk in &mut *self.source {
            let chunk = chunk.map_err(ReportError::Source)?;
            chunk.iter().try_for_each(|row| check_row(self.columns, row))?;
            self.count += chunk.len() as u64;
            if !chunk.is_empty() {
                return Ok(Some(chunk));
            }
        }
        Ok(None)
    }

    /// The rows given so far.
    pub(crate) fn count(&self) -> u64 {
        self.count
    }
}
