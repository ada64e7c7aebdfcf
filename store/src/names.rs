//! Names of people, where nothing else of them is wanted.

use std::collections::HashMap;

use uuid::Uuid;

use crate::{Store, StoreError};

impl Store {
    /// The names of these people; whoever is not there any more is left out.
    ///
    /// # Errors
    /// When the database is away.
    pub async fn names_of(&self, people: &[Uuid]) -> Result<HashMap<Uuid, String>, StoreError> {
        let named: Vec<(Uuid, String)> =
            sqlx::query_as("select id, name from people where id = any($1)").bind(people).fetch_all(&self.pool).await?;
        Ok(named.into_iter().collect())
    }
}
