//! What is in the database, and what is done there, in fewer words than the product has for it.

use std::collections::BTreeMap;

use rollcall_pipeline::PersonId;
use sqlx::types::Json;

use crate::row::{all, row};
use crate::{Actor, CandidateRecord, Scope, Store, StoreError};

row! {
    /// An open item of the review queue.
    pub struct OpenReview {
        /// `unknown`, `ambiguous`, `spoof` or `undecided`.
        pub kind: String,
        /// The best two people.
        pub candidates: Json<Vec<CandidateRecord>>,
        /// There is a picture of the face.
        pub has_crop: bool,
    }
}

impl Store {
    /// The open items, oldest first, at most `limit`; also those of rooms that are none.
    ///
    /// # Errors
    /// When the database is away.
    pub async fn open_reviews(&self, limit: u32) -> Result<Vec<OpenReview>, StoreError> {
        let sql = "select kind, candidates, sealed_crop is not null as has_crop from review_items
            where status = 'open' order by captured_at, event_id limit $1";
        let rows = sqlx::query(sql).bind(i64::from(limit)).fetch_all(&self.pool).await?;
        all(&rows, OpenReview::read)
    }

    /// The number of events by kind.
    ///
    /// # Errors
    /// When the database is away.
    pub async fn event_counts(&self) -> Result<BTreeMap<String, u64>, StoreError> {
        let rows: Vec<(String, i64)> =
            sqlx::query_as("select kind, count(*) from events group by kind").fetch_all(&self.pool).await?;
        Ok(rows.into_iter().map(|(kind, count)| (kind, count.unsigned_abs())).collect())
    }

    /// Erases a person on behalf of the system. Whether there was one.
    ///
    /// # Errors
    /// When the database is away.
    pub async fn delete_person(&self, id: PersonId) -> Result<bool, StoreError> {
        let mut change = self.change(Actor::system("rollcall")).await?;
        let Some(person) = change.lock_person(&Scope::Everywhere, id).await? else { return Ok(false) };
        change.erase_person(&person).await?;
        change.commit().await?;
        Ok(true)
    }
}
