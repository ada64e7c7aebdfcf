//! Accounts of people, their passwords, and the links by which they set one.

use rollcall_pipeline::{PersonId, WallTime};
use serde_json::{Value, json};
use sqlx::Row;
use sqlx::postgres::PgRow;
use uuid::Uuid;

use crate::feed::hold_feed;
use crate::row::{all, and_one, one};
use crate::{Change, Entry, Grants, Store, StoreError};

/// Somebody who can log in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account {
    /// Id.
    pub id: Uuid,
    /// What can be changed.
    pub fields: AccountFields,
    /// Whether a password was set.
    pub has_password: bool,
    /// Nothing but a change of the password is allowed.
    pub must_change_password: bool,
    /// When it was made.
    pub created_at: WallTime,
    /// When somebody last logged in.
    pub last_login_at: Option<WallTime>,
    /// For changes.
    pub version: i64,
}

/// What can be changed of an account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccountFields {
    /// What they log in with.
    pub login: String,
    /// Name of the person.
    pub name: String,
    /// `admin`, `operator`, `teacher`, `viewer` or `person`.
    pub role: String,
    /// Whose own record a `person` sees.
    pub person: Option<PersonId>,
    /// Where they may look.
    pub grants: Grants,
    /// Since when it is of no use.
    pub disabled_at: Option<WallTime>,
}

impl Account {
    /// As the audit log keeps it.
    fn audited(&self) -> Value {
        let f = &self.fields;
        json!({
            "login": f.login, "name": f.name, "role": f.role, "person_id": f.person.map(|p| p.0),
            "everywhere": f.grants.everywhere, "sites": f.grants.sites, "rooms": f.grants.rooms,
            "disabled_at": f.disabled_at,
        })
    }

    /// Whether it is an admin who can log in.
    pub fn is_working_admin(&self) -> bool {
        self.fields.role == "admin" && self.fields.disabled_at.is_none() && self.has_password
    }
}

const COLUMNS: &str =
    "a.id, a.login, a.name, a.role, a.person_id, a.everywhere, a.disabled_at, a.created_at, a.version,
    a.must_change_password, a.password_hash is not null as has_password,
    (select max(l.created_at) from logins l where l.account_id = a.id) as last_login_at,
    array(select site_id from grants where holder_id = a.id and site_id is not null order by 1) as sites,
    array(select room_id from grants where holder_id = a.id and room_id is not null order by 1) as rooms";

fn account(row: &PgRow) -> Result<Account, sqlx::Error> {
    Ok(Account {
        id: row.try_get("id")?,
        fields: AccountFields {
            login: row.try_get("login")?,
            name: row.try_get("name")?,
            role: row.try_get("role")?,
            person: row.try_get::<Option<Uuid>, _>("person_id")?.map(PersonId),
            grants: Grants {
                everywhere: row.try_get("everywhere")?,
                sites: row.try_get("sites")?,
                rooms: row.try_get("rooms")?,
            },
            disabled_at: row.try_get("disabled_at")?,
        },
        has_password: row.try_get("has_password")?,
        must_change_password: row.try_get("must_change_password")?,
        created_at: row.try_get("created_at")?,
        last_login_at: row.try_get("last_login_at")?,
        version: row.try_get("version")?,
    })
}

/// What a password is compared with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Credentials {
    /// The account.
    pub id: Uuid,
    /// Its name.
    pub name: String,
    /// Argon2id in PHC form.
    pub password_hash: Option<String>,
}

/// What a one-time link is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PasswordLink {
    /// Making the first admin.
    FirstAdmin,
    /// Setting the password of this account.
    Account(Uuid),
}

impl Store {
    /// Accounts in the order of their logins, after one.
    ///
    /// # Errors
    /// When the database is away.
    pub async fn accounts(
        &self,
        role: Option<&str>,
        after: Option<&str>,
        limit: u32,
    ) -> Result<Vec<Account>, StoreError> {
        let rows = sqlx::query(sqlx::AssertSqlSafe(format!(
            "select {COLUMNS} from accounts a
             where ($1::text is null or a.role = $1) and ($2::text is null or lower(a.login) > lower($2))
             order by lower(a.login) limit $3"
        )))
        .bind(role)
        .bind(after)
        .bind(and_one(limit))
        .fetch_all(&self.pool)
        .await?;
        all(&rows, account)
    }

    /// One account.
    ///
    /// # Errors
    /// When the database is away.
    pub async fn account(&self, id: Uuid) -> Result<Option<Account>, StoreError> {
        let row = sqlx::query(sqlx::AssertSqlSafe(format!("select {COLUMNS} from accounts a where a.id = $1")))
            .bind(id)
            .fetch_optional(&self.pool)
            .await?;
        one(row, account)
    }

    /// What a password is compared with; `None` if nobody, or nobody who may, logs in so.
    ///
    /// # Errors
    /// When the database is away.
    pub async fn credentials(&self, login: &str) -> Result<Option<Credentials>, StoreError> {
        let row = sqlx::query(
            "select id, name, password_hash from accounts where lower(login) = lower($1) and disabled_at is null",
        )
        .bind(login)
        .fetch_optional(&self.pool)
        .await?;
        one(row, credentials)
    }

    /// The same of an account that is known.
    ///
    /// # Errors
    /// When the database is away.
    pub async fn credentials_of(&self, id: Uuid) -> Result<Option<Credentials>, StoreError> {
        let row = sqlx::query("select id, name, password_hash from accounts where id = $1 and disabled_at is null")
            .bind(id)
            .fetch_optional(&self.pool)
            .await?;
        one(row, credentials)
    }

    /// Whether somebody can log in who may do everything.
    ///
    /// # Errors
    /// When the database is away.
    pub async fn has_admin(&self) -> Result<bool, StoreError> {
        Ok(sqlx::query_scalar(HAS_ADMIN).fetch_one(&self.pool).await?)
    }
}

const HAS_ADMIN: &str =
    "select exists(select from accounts where role = 'admin' and disabled_at is null and password_hash is not null)";

fn credentials(row: &PgRow) -> Result<Credentials, sqlx::Error> {
    Ok(Credentials { id: row.try_get("id")?, name: row.try_get("name")?, password_hash: row.try_get("password_hash")? })
}

impl Change<'_> {
    /// Waits for everybody else who changes who is an admin. Until the end of the change nobody else does.
    ///
    /// # Errors
    /// When the database is away.
    pub async fn hold_admins(&mut self) -> Result<(), StoreError> {
        sqlx::query("select pg_advisory_xact_lock(hashtextextended('rollcall.admins', 0))")
            .execute(self.connection())
            .await?;
        Ok(())
    }

    /// Whether somebody can log in who may do everything, as it stands in this change.
    ///
    /// # Errors
    /// When the database is away.
    pub async fn has_admin(&mut self) -> Result<bool, StoreError> {
        Ok(sqlx::query_scalar(HAS_ADMIN).fetch_one(self.connection()).await?)
    }

    /// One account, which nobody else changes until the end of this change.
    ///
    /// # Errors
    /// When the database is away.
    pub async fn lock_account(&mut self, id: Uuid) -> Result<Option<Account>, StoreError> {
        let sql = format!("select {COLUMNS} from accounts a where a.id = $1 for no key update of a");
        let row = sqlx::query(sqlx::AssertSqlSafe(sql)).bind(id).fetch_optional(self.connection()).await?;
        one(row, account)
    }

    /// The hash of a locked account's password.
    ///
    /// # Errors
    /// When the database is away.
    pub async fn password_hash(&mut self, id: Uuid) -> Result<Option<String>, StoreError> {
        let hash = sqlx::query_scalar("select password_hash from accounts where id = $1").bind(id);
        Ok(hash.fetch_optional(self.connection()).await?.flatten())
    }

    /// Adds an account; without a password hash it waits for its link.
    ///
    /// # Errors
    /// When there is one with that login, or the database is away.
    pub async fn add_account(
        &mut self,
        fields: &AccountFields,
        password_hash: Option<&str>,
    ) -> Result<Account, StoreError> {
        let id = Uuid::now_v7();
        sqlx::query(
            "insert into accounts (id, login, name, role, password_hash, person_id, everywhere, disabled_at)
             values ($1, $2, $3, $4, $5, $6, $7, $8)",
        )
        .bind(id)
        .bind(&fields.login)
        .bind(&fields.name)
        .bind(&fields.role)
        .bind(password_hash)
        .bind(fields.person.map(|p| p.0))
        .bind(fields.grants.everywhere)
        .bind(fields.disabled_at)
        .execute(self.connection())
        .await?;
        self.set_grants(id, &fields.grants).await?;
        let made = self.locked(id).await?;
        self.audit(entry("account.create", &made, None, Some(made.audited()))).await?;
        Ok(made)
    }

    /// Gives `before` other fields.
    ///
    /// # Errors
    /// When there is another one with that login, or the database is away.
    pub async fn update_account(&mut self, before: &Account, fields: &AccountFields) -> Result<Account, StoreError> {
        sqlx::query(
            "update accounts set login = $2, name = $3, role = $4, person_id = $5, everywhere = $6, disabled_at = $7,
                 version = version + 1
             where id = $1",
        )
        .bind(before.id)
        .bind(&fields.login)
        .bind(&fields.name)
        .bind(&fields.role)
        .bind(fields.person.map(|p| p.0))
        .bind(fields.grants.everywhere)
        .bind(fields.disabled_at)
        .execute(self.connection())
        .await?;
        self.set_grants(before.id, &fields.grants).await?;
        let after = self.locked(before.id).await?;
        self.audit(entry("account.update", &after, Some(before.audited()), Some(after.audited()))).await?;
        Ok(after)
    }

    /// Removes an account with its logins and grants. Since it goes with its person, too, whoever locks it for this holds the
    /// feed before.
    ///
    /// # Errors
    /// When the database is away.
    pub async fn delete_account(&mut self, before: &Account) -> Result<(), StoreError> {
        hold_feed(self.connection()).await?;
        self.set_grants(before.id, &Grants::default()).await?;
        sqlx::query("delete from accounts where id = $1").bind(before.id).execute(self.connection()).await?;
        self.audit(entry("account.delete", before, Some(before.audited()), None)).await
    }

    /// Sets the password of an account, or takes it away. Its links are used up.
    ///
    /// # Errors
    /// When the database is away.
    pub async fn set_password(
        &mut self,
        account: &Account,
        password_hash: Option<&str>,
        must_change: bool,
    ) -> Result<(), StoreError> {
        sqlx::query(
            "update accounts set password_hash = $2, must_change_password = $3, version = version + 1 where id = $1",
        )
        .bind(account.id)
        .bind(password_hash)
        .bind(must_change)
        .execute(self.connection())
        .await?;
        sqlx::query("delete from password_links where account_id = $1")
            .bind(account.id)
            .execute(self.connection())
            .await?;
        let action = if password_hash.is_some() { "account.password" } else { "account.reset" };
        self.audit(entry(action, account, None, None)).await
    }

    /// Keeps the digest of a one-time link; earlier ones for the same are void.
    ///
    /// # Errors
    /// When the database is away.
    pub async fn add_password_link(
        &mut self,
        what: PasswordLink,
        sha256: &[u8; 32],
        expires_at: WallTime,
    ) -> Result<(), StoreError> {
        let account = match what {
            PasswordLink::FirstAdmin => None,
            PasswordLink::Account(id) => Some(id),
        };
        sqlx::query("delete from password_links where account_id is not distinct from $1")
            .bind(account)
            .execute(self.connection())
            .await?;
        sqlx::query("insert into password_links (sha256, account_id, expires_at) values ($1, $2, $3)")
            .bind(&sha256[..])
            .bind(account)
            .bind(expires_at)
            .execute(self.connection())
            .await?;
        Ok(())
    }

    /// Uses a one-time link up; `None` if there is none, or not any more.
    ///
    /// # Errors
    /// When the database is away.
    pub async fn use_password_link(
        &mut self,
        sha256: &[u8; 32],
        now: WallTime,
    ) -> Result<Option<PasswordLink>, StoreError> {
        let row = sqlx::query(
            "update password_links set used_at = $2 where sha256 = $1 and used_at is null and expires_at > $2
             returning account_id",
        )
        .bind(&sha256[..])
        .bind(now)
        .fetch_optional(self.connection())
        .await?;
        let Some(row) = row else { return Ok(None) };
        let account: Option<Uuid> = row.try_get("account_id")?;
        Ok(Some(account.map_or(PasswordLink::FirstAdmin, PasswordLink::Account)))
    }

    async fn locked(&mut self, id: Uuid) -> Result<Account, StoreError> {
        Ok(self.lock_account(id).await?.ok_or(sqlx::Error::RowNotFound)?)
    }
}

fn entry<'a>(action: &'a str, account: &Account, before: Option<Value>, after: Option<Value>) -> Entry<'a> {
    Entry {
        action,
        object_kind: "account",
        object_id: account.id.to_string(),
        person: account.fields.person,
        before,
        after,
    }
}
