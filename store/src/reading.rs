//! Several questions for one answer.

use sqlx::pool::PoolConnection;
use sqlx::{PgConnection, Postgres};

use crate::{Store, StoreError};

/// A connection for all questions of one answer: to take one for each, and have it tested when it comes back, costs as much
/// as a small question. Whoever has one asks the store for nothing else until it is dropped, as with a
/// [`Change`](crate::Change).
#[derive(Debug)]
pub struct Reading(PoolConnection<Postgres>);

impl Store {
    /// Takes a connection to read with.
    ///
    /// # Errors
    /// When the database is away.
    pub async fn reading(&self) -> Result<Reading, StoreError> {
        Ok(Reading(self.pool.acquire().await?))
    }
}

impl Reading {
    /// The connection, for the modules that read.
    pub(crate) fn connection(&mut self) -> &mut PgConnection {
        &mut self.0
    }
}
