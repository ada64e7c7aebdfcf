//! Changes that people and machines make: in one transaction with their entry in the audit log, or not at all.
//!
//! What is only read is asked of [`Store`]; what is changed on somebody's behalf goes through a [`Change`], so that a
//! change without an author cannot be written. It has one connection, and asks nobody for another.

use rollcall_pipeline::PersonId;
use serde::Serialize;
use sqlx::types::Json;
use sqlx::{PgConnection, Postgres, Transaction};
use uuid::Uuid;

use crate::{Sealer, Store, StoreError};

/// Who changes something.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Actor {
    /// What they are.
    pub kind: ActorKind,
    /// Account or key; `None` for the system.
    pub id: Option<Uuid>,
    /// Name of the account or key at that time.
    pub name: String,
    /// Address of the caller.
    pub address: Option<String>,
    /// The request.
    pub request_id: Option<String>,
}

/// What an actor is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ActorKind {
    /// A person who logged in.
    Account,
    /// A machine.
    ApiKey,
    /// The command line, or the daemon itself.
    System,
}

impl ActorKind {
    /// As it stands in rows.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Account => "account",
            Self::ApiKey => "api_key",
            Self::System => "system",
        }
    }
}

impl Actor {
    /// The command line or the daemon itself, such as `rollcall admin create`.
    pub fn system(name: impl Into<String>) -> Self {
        Self { kind: ActorKind::System, id: None, name: name.into(), address: None, request_id: None }
    }
}

/// What an entry of the audit log is about.
#[derive(Clone, Debug, Default)]
pub struct Entry<'a> {
    /// Noun and verb, such as `camera.update`.
    pub action: &'a str,
    /// The noun.
    pub object_kind: &'a str,
    /// Which one.
    pub object_id: String,
    /// Whose data it is, so that erasing a person finds it.
    pub person: Option<PersonId>,
    /// What it was; `None` for what is new or only looked at. Never a secret, never a template.
    pub before: Option<serde_json::Value>,
    /// What it is now.
    pub after: Option<serde_json::Value>,
}

impl<'a> Entry<'a> {
    /// Something new.
    pub(crate) fn created(action: &'a str, object_kind: &'a str, id: impl ToString, after: &impl Serialize) -> Self {
        Self { action, object_kind, object_id: id.to_string(), after: json(after), ..Self::default() }
    }

    /// Something that is different now.
    pub(crate) fn changed<T: Serialize>(
        action: &'a str,
        object_kind: &'a str,
        id: impl ToString,
        before: &T,
        after: &T,
    ) -> Self {
        Self::put(action, object_kind, id, Some(before), after)
    }

    /// Something that is as wished now, new or not.
    pub(crate) fn put<T: Serialize>(
        action: &'a str,
        object_kind: &'a str,
        id: impl ToString,
        before: Option<&T>,
        after: &T,
    ) -> Self {
        Self { before: before.and_then(json), ..Self::created(action, object_kind, id, after) }
    }

    /// Something that is gone.
    pub(crate) fn removed(action: &'a str, object_kind: &'a str, id: impl ToString, before: &impl Serialize) -> Self {
        Self { action, object_kind, object_id: id.to_string(), before: json(before), ..Self::default() }
    }
}

/// Rows are plain values: there is nothing in them that JSON has no word for.
fn json(value: &impl Serialize) -> Option<serde_json::Value> {
    serde_json::to_value(value).ok()
}

/// A transaction on somebody's behalf. Dropped without [`commit`](Self::commit), nothing of it happened.
#[derive(Debug)]
pub struct Change<'s> {
    pub(crate) sealer: &'s Sealer,
    pub(crate) tx: Transaction<'static, Postgres>,
    actor: Actor,
}

impl Store {
    /// Begins a change. Whoever has one asks nothing of the store until its end: a change that waits for a second
    /// connection keeps its first from others, and where all do so nobody gets one.
    ///
    /// # Errors
    /// When the database is away.
    pub async fn change(&self, actor: Actor) -> Result<Change<'_>, StoreError> {
        Ok(Change::of(self, self.pool.begin().await?, actor))
    }
}

impl<'s> Change<'s> {
    /// A change in a transaction that has begun.
    pub(crate) fn of(store: &'s Store, tx: Transaction<'static, Postgres>, actor: Actor) -> Self {
        Self { sealer: &store.sealer, tx, actor }
    }
}

impl Change<'_> {
    /// Who makes it.
    pub fn actor(&self) -> &Actor {
        &self.actor
    }

    /// The connection, for the modules that write.
    pub(crate) fn connection(&mut self) -> &mut PgConnection {
        &mut self.tx
    }

    /// Writes an entry to the audit log; the writing modules call it themselves. Callers need it for what is only looked at.
    ///
    /// # Errors
    /// When the database is away.
    pub async fn audit(&mut self, entry: Entry<'_>) -> Result<(), StoreError> {
        sqlx::query(
            "insert into audit_log (actor_kind, actor_id, actor_name, address, request_id, action, object_kind, object_id,
                 person_id, before, after)
             values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)",
        )
        .bind(self.actor.kind.as_str())
        .bind(self.actor.id)
        .bind(&self.actor.name)
        .bind(&self.actor.address)
        .bind(&self.actor.request_id)
        .bind(entry.action)
        .bind(entry.object_kind)
        .bind(entry.object_id)
        .bind(entry.person.map(|p| p.0))
        .bind(entry.before.map(Json))
        .bind(entry.after.map(Json))
        .execute(&mut *self.tx)
        .await?;
        Ok(())
    }

    /// Makes it last.
    ///
    /// # Errors
    /// When the database is away; then nothing of it happened, or (rarely, when the answer got lost) all of it.
    pub async fn commit(self) -> Result<(), StoreError> {
        Ok(self.tx.commit().await?)
    }
}
