//! Monthly partitions of marks and events: made ahead, dropped when too old. And whatever else is too old.

use chrono::NaiveDate;
use sqlx::{Postgres, Transaction};

use crate::feed::hold_feed;
use crate::{Actor, Entry, Store, StoreError};

/// Enough that a daemon which cannot reach its database on the first of the month loses no comfort.
const MONTHS_AHEAD: i32 = 2;
/// Review items that are changed in one transaction.
const AT_ONCE: i64 = 5_000;

/// From which day on things are kept; `None` keeps them for ever. What is older may be dropped, month by month. Marks are kept
/// until a person is erased.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Retention {
    /// The event log.
    pub events_from: Option<NaiveDate>,
    /// Face crops of review items.
    pub crops_from: Option<NaiveDate>,
    /// Review items.
    pub reviews_from: Option<NaiveDate>,
    /// The audit log.
    pub audit_from: Option<NaiveDate>,
    /// Failed logins in the audit log: strangers write them, as many as they like.
    pub failed_logins_from: Option<NaiveDate>,
}

impl Store {
    /// Makes the partitions around `today` that are missing, and returns how many. At start and a few times a day.
    ///
    /// # Errors
    /// When the database is away.
    pub async fn make_partitions(&self, today: NaiveDate) -> Result<i32, StoreError> {
        let made = sqlx::query_scalar("select make_partitions($1, $2)")
            .bind(today)
            .bind(MONTHS_AHEAD)
            .fetch_one(&self.pool)
            .await?;
        Ok(made)
    }

    /// Forgets what is too old, and returns how many partitions were dropped. A few times a day.
    ///
    /// # Errors
    /// When the database is away, or does not forget something; everything else is forgotten all the same.
    pub async fn apply_retention(&self, retention: &Retention) -> Result<i32, StoreError> {
        let events = self.forget_events(retention.events_from).await;
        let minutes = self.forget_minutes(retention.events_from).await;
        let crops = self.forget_crops(retention.crops_from).await;
        let reviews = self.forget_reviews(retention.reviews_from).await;
        let audit = self.forget_audit(retention.audit_from, None).await;
        let failed = self.forget_audit(retention.failed_logins_from, Some("login.failed")).await;
        // One is told by whoever asked; of the others nobody would know.
        for error in [&minutes, &crops, &reviews, &audit, &failed].into_iter().filter_map(|done| done.as_ref().err()) {
            tracing::warn!(%error, "something that is too old stays");
        }
        minutes.and(crops).and(reviews).and(audit).and(failed).and(events)
    }

    async fn forget_events(&self, from: Option<NaiveDate>) -> Result<i32, StoreError> {
        let Some(from) = from else { return Ok(0) };
        let mut tx = self.begin_long().await?;
        let dropped = sqlx::query_scalar("select drop_partitions('events', 'captured_at', $1)")
            .bind(from)
            .fetch_one(&mut *tx)
            .await?;
        tx.commit().await?;
        Ok(dropped)
    }

    async fn forget_minutes(&self, from: Option<NaiveDate>) -> Result<(), StoreError> {
        let Some(from) = from else { return Ok(()) };
        let mut tx = self.begin_long().await?;
        sqlx::query("delete from camera_minutes where minute < $1").bind(from).execute(&mut *tx).await?;
        Ok(tx.commit().await?)
    }

    /// For what nobody waits for and may be much.
    async fn begin_long(&self) -> Result<Transaction<'_, Postgres>, StoreError> {
        let mut tx = self.pool.begin().await?;
        sqlx::query("set local statement_timeout = 0").execute(&mut *tx).await?;
        Ok(tx)
    }

    async fn forget_crops(&self, from: Option<NaiveDate>) -> Result<(), StoreError> {
        let Some(from) = from else { return Ok(()) };
        self.change_reviews(
            "update review_items set sealed_crop = null, sealed_embedding = null
             where event_id in (select event_id from review_items where captured_at < $1
                                    and (sealed_crop is not null or sealed_embedding is not null) limit $2)",
            from,
        )
        .await
    }

    async fn forget_reviews(&self, from: Option<NaiveDate>) -> Result<(), StoreError> {
        let Some(from) = from else { return Ok(()) };
        self.change_reviews(
            "delete from review_items
             where event_id in (select event_id from review_items where captured_at < $1 limit $2)",
            from,
        )
        .await?;
        let mut tx = self.pool.begin().await?;
        hold_feed(&mut tx).await?;
        sqlx::query("delete from visitors v where not exists (select from review_items where visitor_id = v.id)")
            .execute(&mut *tx)
            .await?;
        Ok(tx.commit().await?)
    }

    /// Changes the items from before a day, some at a time: whoever writes something to be told waits for those alone.
    async fn change_reviews(&self, some: &'static str, from: NaiveDate) -> Result<(), StoreError> {
        loop {
            let mut tx = self.pool.begin().await?;
            hold_feed(&mut tx).await?;
            let changed = sqlx::query(some).bind(from).bind(AT_ONCE).execute(&mut *tx).await?.rows_affected();
            tx.commit().await?;
            if changed == 0 {
                return Ok(());
            }
        }
    }

    /// Forgets what was done before a day, or one kind of it, and writes down that it did. This alone may delete from the
    /// audit log.
    async fn forget_audit(&self, from: Option<NaiveDate>, action: Option<&str>) -> Result<(), StoreError> {
        let Some(from) = from else { return Ok(()) };
        let mut change = self.change(Actor::system("retention")).await?;
        // Until the end of this transaction, and in no other. Nobody waits for it, however much there is.
        sqlx::query("select set_config('rollcall.retention', 'on', true), set_config('statement_timeout', '0', true)")
            .execute(change.connection())
            .await?;
        let old = "delete from audit_log where at < $1::date at time zone 'UTC' and ($2::text is null or action = $2)";
        let gone = sqlx::query(old).bind(from).bind(action).execute(change.connection()).await?.rows_affected();
        sqlx::query("select set_config('rollcall.retention', 'off', true)").execute(change.connection()).await?;
        if gone == 0 {
            return Ok(());
        }
        let (object_id, after) =
            (from.to_string(), Some(serde_json::json!({ "entries": gone, "before": from, "of": action })));
        change
            .audit(Entry { action: "audit.forget", object_kind: "audit", object_id, after, ..Entry::default() })
            .await?;
        change.commit().await
    }
}
