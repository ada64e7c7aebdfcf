//! Reading the audit log. Entries are written by [`Change`](crate::Change).

use rollcall_pipeline::{PersonId, WallTime};
use serde_json::Value;
use sqlx::{Postgres, QueryBuilder};
use uuid::Uuid;

use crate::row::{all, and_one, row};
use crate::{Store, StoreError};

row! {
    /// An entry.
    pub struct AuditRow {
        /// They are numbered in the order in which they were begun.
        pub id: i64,
        /// When.
        pub at: WallTime,
        /// `account`, `api_key` or `system`.
        pub actor_kind: String,
        /// Account or key.
        pub actor_id: Option<Uuid>,
        /// What it was called.
        pub actor_name: String,
        /// Where it was.
        pub address: Option<String>,
        /// In which request.
        pub request_id: Option<String>,
        /// What was done.
        pub action: String,
        /// To what.
        pub object_kind: String,
        /// To which.
        pub object_id: String,
        /// Whose data it is.
        pub person_id: Option<Uuid>,
        /// What it was.
        pub before: Option<Value>,
        /// What it became.
        pub after: Option<Value>,
    }
}

/// Which entries.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AuditFilter {
    /// By this account or key.
    pub actor: Option<Uuid>,
    /// Of this name, or, ending in a dot, of this noun.
    pub action: Option<String>,
    /// About such things.
    pub object_kind: Option<String>,
    /// About this one.
    pub object_id: Option<String>,
    /// Of this person's data.
    pub person: Option<PersonId>,
    /// From then on.
    pub from: Option<WallTime>,
    /// Before then.
    pub to: Option<WallTime>,
}

impl Store {
    /// Entries, the newest first, before one.
    ///
    /// # Errors
    /// When the database is away.
    pub async fn audit_log(
        &self,
        filter: &AuditFilter,
        before: Option<i64>,
        limit: u32,
    ) -> Result<Vec<AuditRow>, StoreError> {
        // Built of what is asked for, so that the index that serves it is used.
        let mut sql = QueryBuilder::<Postgres>::new(
            "select id, at, actor_kind, actor_id, actor_name, address, request_id, action, object_kind, object_id,
                 person_id, before, after
             from audit_log where true",
        );
        if let Some(actor) = filter.actor {
            sql.push(" and actor_id = ").push_bind(actor);
        }
        if let Some(action) = &filter.action {
            if action.ends_with('.') {
                sql.push(" and starts_with(action, ").push_bind(action).push(")");
            } else {
                sql.push(" and action = ").push_bind(action);
            }
        }
        if let Some(kind) = &filter.object_kind {
            sql.push(" and object_kind = ").push_bind(kind);
        }
        if let Some(id) = &filter.object_id {
            sql.push(" and object_id = ").push_bind(id);
        }
        if let Some(person) = filter.person {
            sql.push(" and person_id = ").push_bind(person.0);
        }
        if let Some(from) = filter.from {
            sql.push(" and at >= ").push_bind(from);
        }
        if let Some(to) = filter.to {
            sql.push(" and at < ").push_bind(to);
        }
        if let Some(before) = before {
            sql.push(" and id < ").push_bind(before);
        }
        sql.push(" order by id desc limit ").push_bind(and_one(limit));
        let rows = sql.build().fetch_all(&self.pool).await?;
        all(&rows, AuditRow::read)
    }
}
