//! The right to be forgotten: a person goes with everything that is known of them, in one transaction.
//!
//! What stays says nothing of anybody: that a door saw somebody at that time, and that somebody was erased, by whom.

use uuid::Uuid;

use crate::change::Entry;
use crate::feed::hold_feed;
use crate::visitors::ONCE_A_STRANGER;
use crate::{Change, PersonDetail, StoreError};

/// Whoever an event or a review item names as a candidate.
const IS_CANDIDATE: &str = "candidates @> jsonb_build_array(jsonb_build_object('person', $1::uuid::text))";
const OTHER_CANDIDATES: &str = "coalesce((select jsonb_agg(c order by n) from jsonb_array_elements(candidates)
    with ordinality as t(c, n) where c->>'person' <> $1::uuid::text), '[]')";

impl Change<'_> {
    /// Erases a locked person: templates, consents, marks, register, corrections, enrolments, their account; their id from
    /// events, reviews and the feed; the strangers whom they were once taken for; what was said of them from the audit log;
    /// all answers that are kept for whoever asks again. The entry that this writes is the only place that still has their id.
    ///
    /// # Errors
    /// When the database is away.
    pub async fn erase_person(&mut self, person: &PersonDetail) -> Result<(), StoreError> {
        let id = person.id;
        hold_feed(self.connection()).await?;
        // Whoever writes of them holds this row until they are done, and finds nobody from now on.
        sqlx::query("select from people where id = $1 for update").bind(id).execute(self.connection()).await?;
        let accounts: Vec<Uuid> = sqlx::query_scalar("select id from accounts where person_id = $1")
            .bind(id)
            .fetch_all(self.connection())
            .await?;
        // Forgotten by the deletes, and still with a picture of them; also from when nobody knew yet whose it was.
        let theirs =
            format!("select event_id from review_items where person_id = $1 or visitor_id in ({ONCE_A_STRANGER})");
        let theirs: Vec<Uuid> =
            sqlx::query_scalar(sqlx::AssertSqlSafe(theirs)).bind(id).fetch_all(self.connection()).await?;
        self.forget_strangers_of(id).await?;
        sqlx::query("delete from people where id = $1").bind(id).execute(self.connection()).await?;
        let events = format!(
            "update events set person_id = nullif(person_id, $1), candidates = {OTHER_CANDIDATES}
             where person_id = $1 or {IS_CANDIDATE}"
        );
        let reviews = format!(
            "update review_items set candidates = {OTHER_CANDIDATES}, note = null, sealed_crop = null,
                 sealed_embedding = null, version = version + 1
             where event_id = any($2) or {IS_CANDIDATE}"
        );
        sqlx::query(sqlx::AssertSqlSafe(events)).bind(id).execute(self.connection()).await?;
        sqlx::query(sqlx::AssertSqlSafe(reviews)).bind(id).bind(theirs).execute(self.connection()).await?;
        sqlx::query("delete from feed where person_id = $1 or strpos(payload::text, $1::uuid::text) > 0")
            .bind(id)
            .execute(self.connection())
            .await?;
        // Sealed, and about anybody: none of them is told again, nor what is being answered now. That it was done stays.
        sqlx::query(
            "update idempotency_keys set sealed_answer = null, forgotten = true
             where sealed_answer is not null or (status is null and not forgotten)",
        )
        .execute(self.connection())
        .await?;
        sqlx::query("select set_config('rollcall.erasing', 'on', true)").execute(self.connection()).await?;
        let ids: Vec<Uuid> = accounts.iter().copied().chain([id]).collect();
        sqlx::query(
            "update audit_log set person_id = nullif(person_id, $1), before = null, after = null,
                 object_id = case when mentioned(object_id, null, null) && $2 then 'erased' else object_id end,
                 actor_name = case when actor_id = any($2) then 'erased' else actor_name end,
                 address = case when actor_id = any($2) or action = 'login.failed' then null else address end,
                 actor_id = case when actor_id = any($2) then null else actor_id end
             where person_id = $1 or actor_id = any($2) or mentioned(object_id, before, after) && $2",
        )
        .bind(id)
        .bind(ids)
        .execute(self.connection())
        .await?;
        sqlx::query("select set_config('rollcall.erasing', 'off', true)").execute(self.connection()).await?;
        let object_id = id.to_string();
        let after = Some(serde_json::json!({ "templates": person.templates, "accounts": accounts.len() }));
        self.audit(Entry { action: "person.erase", object_kind: "person", object_id, after, ..Entry::default() }).await
    }
}
