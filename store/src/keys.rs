//! Keys of machines.

use rollcall_pipeline::WallTime;
use serde_json::{Value, json};
use sqlx::Row;
use sqlx::postgres::PgRow;
use uuid::Uuid;

use crate::row::{all, and_one, one};
use crate::{Change, Entry, Grants, Store, StoreError};

/// A key of a machine. The key itself is kept nowhere.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiKey {
    /// Id.
    pub id: Uuid,
    /// What can be changed.
    pub fields: ApiKeyFields,
    /// Its first letters.
    pub prefix: String,
    /// Who made it, while they have an account.
    pub created_by: Option<Uuid>,
    /// When it was made.
    pub created_at: WallTime,
    /// Since when it is void.
    pub revoked_at: Option<WallTime>,
    /// When it was last used, to the minute.
    pub last_used_at: Option<WallTime>,
    /// For changes.
    pub version: i64,
}

/// What can be changed of a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiKeyFields {
    /// What it is for.
    pub name: String,
    /// Names of rights.
    pub rights: Vec<String>,
    /// Where it may look.
    pub grants: Grants,
    /// Its own limit.
    pub rate_per_minute: Option<u32>,
    /// When it ends.
    pub expires_at: Option<WallTime>,
}

impl ApiKey {
    fn audited(&self) -> Value {
        let f = &self.fields;
        json!({
            "name": f.name, "prefix": self.prefix, "rights": f.rights, "everywhere": f.grants.everywhere,
            "sites": f.grants.sites, "rooms": f.grants.rooms, "rate_per_minute": f.rate_per_minute,
            "expires_at": f.expires_at, "revoked_at": self.revoked_at,
        })
    }
}

const COLUMNS: &str = "k.id, k.name, k.prefix, k.rights, k.everywhere, k.rate_per_minute, k.created_by, k.created_at,
    k.expires_at, k.revoked_at, k.last_used_at, k.version,
    array(select site_id from grants where holder_id = k.id and site_id is not null order by 1) as sites,
    array(select room_id from grants where holder_id = k.id and room_id is not null order by 1) as rooms";

fn key(row: &PgRow) -> Result<ApiKey, sqlx::Error> {
    Ok(ApiKey {
        id: row.try_get("id")?,
        fields: ApiKeyFields {
            name: row.try_get("name")?,
            rights: row.try_get("rights")?,
            grants: Grants {
                everywhere: row.try_get("everywhere")?,
                sites: row.try_get("sites")?,
                rooms: row.try_get("rooms")?,
            },
            rate_per_minute: row.try_get::<Option<i32>, _>("rate_per_minute")?.map(i32::unsigned_abs),
            expires_at: row.try_get("expires_at")?,
        },
        prefix: row.try_get("prefix")?,
        created_by: row.try_get("created_by")?,
        created_at: row.try_get("created_at")?,
        revoked_at: row.try_get("revoked_at")?,
        last_used_at: row.try_get("last_used_at")?,
        version: row.try_get("version")?,
    })
}

fn rate(fields: &ApiKeyFields) -> Option<i32> {
    fields.rate_per_minute.map(|rate| i32::try_from(rate).unwrap_or(i32::MAX))
}

impl Store {
    /// Keys, the oldest first, after one; those that are void too.
    ///
    /// # Errors
    /// When the database is away.
    pub async fn api_keys(&self, after: Option<Uuid>, limit: u32) -> Result<Vec<ApiKey>, StoreError> {
        // Ids are made in the order of time.
        let rows = sqlx::query(sqlx::AssertSqlSafe(format!(
            "select {COLUMNS} from api_keys k where $1::uuid is null or k.id > $1 order by k.id limit $2"
        )))
        .bind(after)
        .bind(and_one(limit))
        .fetch_all(&self.pool)
        .await?;
        all(&rows, key)
    }

    /// One key.
    ///
    /// # Errors
    /// When the database is away.
    pub async fn api_key(&self, id: Uuid) -> Result<Option<ApiKey>, StoreError> {
        let row = sqlx::query(sqlx::AssertSqlSafe(format!("select {COLUMNS} from api_keys k where k.id = $1")))
            .bind(id)
            .fetch_optional(&self.pool)
            .await?;
        one(row, key)
    }
}

impl Change<'_> {
    /// One key, which nobody else changes until the end of this change.
    ///
    /// # Errors
    /// When the database is away.
    pub async fn lock_api_key(&mut self, id: Uuid) -> Result<Option<ApiKey>, StoreError> {
        // Locked by a statement of its own: what follows is then read as it is after any wait.
        sqlx::query("select from api_keys where id = $1 for update").bind(id).execute(self.connection()).await?;
        let sql = format!("select {COLUMNS} from api_keys k where k.id = $1");
        let row = sqlx::query(sqlx::AssertSqlSafe(sql)).bind(id).fetch_optional(self.connection()).await?;
        one(row, key)
    }

    /// Keeps the digest of a new key.
    ///
    /// # Errors
    /// When the database is away.
    pub async fn add_api_key(
        &mut self,
        fields: &ApiKeyFields,
        sha256: &[u8; 32],
        prefix: &str,
        created_by: Option<Uuid>,
    ) -> Result<ApiKey, StoreError> {
        let id = Uuid::now_v7();
        sqlx::query(
            "insert into api_keys (id, name, prefix, sha256, rights, everywhere, rate_per_minute, expires_at, created_by)
             values ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
        )
        .bind(id)
        .bind(&fields.name)
        .bind(prefix)
        .bind(&sha256[..])
        .bind(&fields.rights)
        .bind(fields.grants.everywhere)
        .bind(rate(fields))
        .bind(fields.expires_at)
        .bind(created_by)
        .execute(self.connection())
        .await?;
        self.set_grants(id, &fields.grants).await?;
        self.told("api_key.create", id, None).await
    }

    /// Gives `before` other fields.
    ///
    /// # Errors
    /// When the database is away.
    pub async fn update_api_key(&mut self, before: &ApiKey, fields: &ApiKeyFields) -> Result<ApiKey, StoreError> {
        sqlx::query(
            "update api_keys set name = $2, rights = $3, everywhere = $4, rate_per_minute = $5, expires_at = $6,
                 version = version + 1
             where id = $1",
        )
        .bind(before.id)
        .bind(&fields.name)
        .bind(&fields.rights)
        .bind(fields.grants.everywhere)
        .bind(rate(fields))
        .bind(fields.expires_at)
        .execute(self.connection())
        .await?;
        self.set_grants(before.id, &fields.grants).await?;
        self.told("api_key.update", before.id, Some(before.audited())).await
    }

    /// Makes a key void, for ever.
    ///
    /// # Errors
    /// When the database is away.
    pub async fn revoke_api_key(&mut self, before: &ApiKey, now: WallTime) -> Result<ApiKey, StoreError> {
        sqlx::query("update api_keys set revoked_at = $2, version = version + 1 where id = $1 and revoked_at is null")
            .bind(before.id)
            .bind(now)
            .execute(self.connection())
            .await?;
        self.told("api_key.revoke", before.id, Some(before.audited())).await
    }

    async fn told(&mut self, action: &str, id: Uuid, before: Option<Value>) -> Result<ApiKey, StoreError> {
        let key = self.lock_api_key(id).await?.ok_or(sqlx::Error::RowNotFound)?;
        let after = Some(key.audited());
        let entry =
            Entry { action, object_kind: "api_key", object_id: id.to_string(), before, after, ..Entry::default() };
        self.audit(entry).await?;
        Ok(key)
    }
}
