//! Who is behind a token or a key. Tokens and keys are kept as digests only.

use rollcall_pipeline::{PersonId, WallTime};
use sqlx::Row;
use uuid::Uuid;

use crate::{Scope, Store, StoreError};

/// Whoever showed a valid access token or key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holder {
    /// Account or key.
    pub id: Uuid,
    /// Its name.
    pub name: String,
    /// Which of the two, and what it may do.
    pub kind: HolderKind,
    /// Where.
    pub scope: Scope,
}

/// What a holder may do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HolderKind {
    /// A person who logged in.
    Account {
        /// `admin`, `operator`, `teacher`, `viewer` or `person`.
        role: String,
        /// The login that the token belongs to.
        login: Uuid,
        /// Nothing but a change of the password is allowed.
        must_change_password: bool,
    },
    /// A machine.
    ApiKey {
        /// Names of rights.
        rights: Vec<String>,
        /// Its own limit of requests a minute.
        rate_per_minute: Option<u32>,
    },
}

const GRANTS: &str = "
    array(select site_id from grants where holder_id = h.id and site_id is not null) as sites,
    array(select room_id from grants where holder_id = h.id and room_id is not null) as rooms";

impl Store {
    /// The account behind an access token (its sha256); `None` if it is unknown, expired, revoked, or the account disabled.
    ///
    /// # Errors
    /// When the database is away.
    pub async fn account_by_access_token(
        &self,
        sha256: &[u8; 32],
        now: WallTime,
    ) -> Result<Option<Holder>, StoreError> {
        let row = sqlx::query(sqlx::AssertSqlSafe(format!(
            "select h.id, h.name, h.role, h.everywhere, h.person_id, h.must_change_password, t.login_id, {GRANTS}
             from access_tokens t join logins l on l.id = t.login_id join accounts h on h.id = l.account_id
             where t.sha256 = $1 and t.expires_at > $2 and l.expires_at > $2 and l.revoked_at is null
               and h.disabled_at is null"
        )))
        .bind(&sha256[..])
        .bind(now)
        .fetch_optional(&self.pool)
        .await?;
        let Some(row) = row else { return Ok(None) };
        let person: Option<Uuid> = row.try_get("person_id")?;
        let scope = match person {
            Some(person) => Scope::Person(PersonId(person)),
            None => scope(&row)?,
        };
        let kind = HolderKind::Account {
            role: row.try_get("role")?,
            login: row.try_get("login_id")?,
            must_change_password: row.try_get("must_change_password")?,
        };
        Ok(Some(Holder { id: row.try_get("id")?, name: row.try_get("name")?, kind, scope }))
    }

    /// The API key with this sha256; `None` if it is unknown, expired or revoked.
    ///
    /// # Errors
    /// When the database is away.
    pub async fn api_key_by_digest(&self, sha256: &[u8; 32], now: WallTime) -> Result<Option<Holder>, StoreError> {
        let row = sqlx::query(sqlx::AssertSqlSafe(format!(
            "select h.id, h.name, h.rights, h.everywhere, h.rate_per_minute, {GRANTS}
             from api_keys h
             where h.sha256 = $1 and h.revoked_at is null and (h.expires_at is null or h.expires_at > $2)"
        )))
        .bind(&sha256[..])
        .bind(now)
        .fetch_optional(&self.pool)
        .await?;
        let Some(row) = row else { return Ok(None) };
        let kind = HolderKind::ApiKey {
            rights: row.try_get("rights")?,
            rate_per_minute: row.try_get::<Option<i32>, _>("rate_per_minute")?.map(i32::unsigned_abs),
        };
        Ok(Some(Holder { id: row.try_get("id")?, name: row.try_get("name")?, kind, scope: scope(&row)? }))
    }

    /// Writes down when a key was last used.
    ///
    /// # Errors
    /// When the database is away.
    pub async fn touch_api_key(&self, key: Uuid, now: WallTime) -> Result<(), StoreError> {
        sqlx::query("update api_keys set last_used_at = greatest(last_used_at, $2) where id = $1")
            .bind(key)
            .bind(now)
            .execute(&self.pool)
            .await?;
        Ok(())
    }
}

fn scope(row: &sqlx::postgres::PgRow) -> Result<Scope, sqlx::Error> {
    if row.try_get("everywhere")? {
        return Ok(Scope::Everywhere);
    }
    Ok(Scope::Places { sites: row.try_get("sites")?, rooms: row.try_get("rooms")? })
}
