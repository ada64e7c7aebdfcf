//! What can go wrong with the database, by what one can do about it.

use std::io;

use rollcall_pipeline::ErrorClass;
use sqlx::migrate::MigrateError;

use crate::seal::SealError;

/// An error of the store.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// PostgreSQL or the way to it.
    #[error("database: {}", with_advice(.0))]
    Database(#[from] sqlx::Error),
    /// The schema could not be brought up to date.
    #[error("cannot bring the database schema up to date: {0}")]
    Migrate(#[from] MigrateError),
    /// `database.url` is not one.
    #[error("database.url is not a PostgreSQL address such as postgres://user@host/database: {0}")]
    Url(String),
    /// The private cluster could not be started.
    #[error("cannot start the private PostgreSQL: {0}")]
    Cluster(String),
    /// A file or directory.
    #[error("{what}: {source}")]
    Io {
        /// What was tried, with the path.
        what: String,
        /// What the system said.
        source: io::Error,
    },
    /// A template or crop did not open.
    #[error(transparent)]
    Seal(#[from] SealError),
    /// More than one person has the name.
    #[error("{count} people are called {name:?}: give each an external id and name them by it")]
    AmbiguousName {
        /// The name.
        name: String,
        /// How many have it.
        count: usize,
    },
}

impl StoreError {
    pub(crate) fn io(what: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let what = what.into();
        move |source| Self::Io { what, source }
    }

    /// What a retry would bring.
    pub fn class(&self) -> ErrorClass {
        match self {
            Self::Database(e) | Self::Migrate(MigrateError::Execute(e) | MigrateError::ExecuteMigration(e, _)) => {
                class_of(e)
            }
            Self::Io { .. } => ErrorClass::Transient,
            Self::Migrate(_) | Self::Url(_) | Self::Cluster(_) | Self::Seal(_) | Self::AmbiguousName { .. } => {
                ErrorClass::Permanent
            }
        }
    }

    /// The five characters by which PostgreSQL names the error, if it was PostgreSQL that refused.
    pub fn sqlstate(&self) -> Option<String> {
        let Self::Database(e) = self else { return None };
        Some(e.as_database_error()?.code()?.into_owned())
    }

    /// The values of a row are at fault (SQLSTATE class 22, data exception, or 23, integrity): any other row may still be
    /// written. Everything else that is permanent (a wrong password, a missing table) concerns all rows alike.
    pub fn is_row_fault(&self) -> bool {
        match self {
            Self::Database(sqlx::Error::Encode(_)) => true,
            _ => self.sqlstate().is_some_and(|code| code.starts_with("22") || code.starts_with("23")),
        }
    }
}

/// What PostgreSQL or the way to it says, with what an operator can do about it. Rows that it refuses are nobody's to mend here.
fn with_advice(error: &sqlx::Error) -> String {
    let code = error.as_database_error().and_then(|refusal| refusal.code());
    let advice = match (error, code.as_deref()) {
        (sqlx::Error::Io(_) | sqlx::Error::PoolTimedOut, _) => {
            ": see that PostgreSQL runs, and that database.url leads to it where it is set"
        }
        (sqlx::Error::Tls(_), _) => ": check sslmode in database.url, and the certificate of the server",
        (_, Some("28P01" | "28000")) => ": check user and password in database.url",
        (_, Some("3D000")) => ": make this database, or name another in database.url",
        (_, Some("42501")) => ": let the user in database.url own the database",
        (_, Some("53100")) => ": free space on the disk of the database",
        (_, Some("53300")) => ": raise max_connections of the server, or lower database.max_connections",
        _ => "",
    };
    format!("{error}{advice}")
}

fn class_of(error: &sqlx::Error) -> ErrorClass {
    match error {
        sqlx::Error::Database(e) => e.code().map_or(ErrorClass::Permanent, |code| class_of_sqlstate(&code)),
        sqlx::Error::Io(_)
        | sqlx::Error::Tls(_)
        | sqlx::Error::PoolTimedOut
        | sqlx::Error::PoolClosed
        | sqlx::Error::WorkerCrashed
        // A connection that breaks in the middle of a message reads as garbage.
        | sqlx::Error::Protocol(_) => ErrorClass::Transient,
        _ => ErrorClass::Permanent,
    }
}

/// Connection exceptions (08), transaction rollbacks such as deadlocks (40), insufficient resources (53), shutdowns and
/// starts (57P01 to 57P05), a lock or a statement that took too long (55P03, 57014) pass by themselves.
/// <https://www.postgresql.org/docs/current/errcodes-appendix.html>
fn class_of_sqlstate(code: &str) -> ErrorClass {
    let passes = ["08", "40", "53", "57P0"].iter().any(|prefix| code.starts_with(prefix));
    if passes || matches!(code, "55P03" | "57014" | "25006") { ErrorClass::Transient } else { ErrorClass::Permanent }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_follow_sqlstate() {
        for code in ["08006", "40P01", "40001", "53300", "53100", "57P01", "57P03", "55P03", "57014", "25006"] {
            assert_eq!(class_of_sqlstate(code), ErrorClass::Transient, "{code}");
        }
        for code in ["22001", "23505", "28P01", "3D000", "42P01", "42501"] {
            assert_eq!(class_of_sqlstate(code), ErrorClass::Permanent, "{code}");
        }
        assert_eq!(StoreError::from(sqlx::Error::PoolTimedOut).class(), ErrorClass::Transient);
    }

    #[test]
    fn an_operator_is_told_what_to_look_at() {
        let told = StoreError::from(sqlx::Error::PoolTimedOut).to_string();
        assert!(told.contains("see that PostgreSQL runs"), "{told}");
    }
}
