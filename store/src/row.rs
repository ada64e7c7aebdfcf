//! Rows, declared once: the type and how it is read.

/// Declares a row with the columns that it is read from. It is serialisable for the audit log; what goes over the wire are
/// types of `control-api`.
macro_rules! row {
    ($(#[$doc:meta])* pub struct $name:ident { $($(#[$field_doc:meta])* pub $field:ident: $type:ty,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, serde::Serialize)]
        pub struct $name {
            $($(#[$field_doc])* pub $field: $type,)*
        }

        impl $name {
            pub(crate) fn read(row: &sqlx::postgres::PgRow) -> Result<Self, sqlx::Error> {
                Self::next(&mut $crate::row::Columns::of(row))
            }

            /// Where it is but a part of a wider row.
            pub(crate) fn next(columns: &mut $crate::row::Columns<'_>) -> Result<Self, sqlx::Error> {
                Ok(Self { $($field: columns.next(stringify!($field))?,)* })
            }
        }
    };
}

pub(crate) use row;

use sqlx::postgres::{PgRow, Postgres};
use sqlx::{Column as _, Decode, Row as _, Type};

use crate::StoreError;

/// The columns of a row, by name. Most queries have them in the order of the fields: a name is looked up only where it is not
/// found in its place, since that takes as long as to read the value.
pub(crate) struct Columns<'r> {
    row: &'r PgRow,
    place: usize,
}

impl<'r> Columns<'r> {
    pub(crate) fn of(row: &'r PgRow) -> Self {
        Self { row, place: 0 }
    }

    pub(crate) fn next<T: Decode<'r, Postgres> + Type<Postgres>>(&mut self, name: &str) -> Result<T, sqlx::Error> {
        let place = self.place;
        self.place += 1;
        match self.row.columns().get(place) {
            Some(column) if column.name() == name => self.row.try_get(place),
            _ => self.row.try_get(name),
        }
    }
}

/// Reads all rows of an answer.
pub(crate) fn all<T>(rows: &[PgRow], read: impl Fn(&PgRow) -> Result<T, sqlx::Error>) -> Result<Vec<T>, StoreError> {
    Ok(rows.iter().map(read).collect::<Result<_, _>>()?)
}

/// Reads the one row of an answer, if there is one.
pub(crate) fn one<T>(
    row: Option<PgRow>,
    read: impl Fn(&PgRow) -> Result<T, sqlx::Error>,
) -> Result<Option<T>, StoreError> {
    Ok(row.as_ref().map(read).transpose()?)
}

/// Rows to ask for when `limit` are to be shown: one more tells whether there is another page.
pub(crate) fn and_one(limit: u32) -> i64 {
    i64::from(limit) + 1
}
