//! Logins: families of refresh tokens, and the access tokens that they bring.

use chrono::TimeDelta;
use rollcall_pipeline::WallTime;
use sqlx::Row;
use uuid::Uuid;

use crate::row::{one, row};
use crate::{Actor, ActorKind, Change, Entry, Store, StoreError};

/// How long a login may be refreshed, however busy it is; then the password is asked for again.
pub const LOGIN_AT_MOST: TimeDelta = TimeDelta::days(30);

/// A new pair of tokens, as digests, and how long they are good.
#[derive(Clone, Copy, Debug)]
pub struct TokenPair {
    /// sha256 of the access token.
    pub access: [u8; 32],
    /// sha256 of the refresh token.
    pub refresh: [u8; 32],
    /// The access token ends then.
    pub access_until: WallTime,
    /// The refresh token, and the login unless it is refreshed, ends then.
    pub refresh_until: WallTime,
    /// When they were made.
    pub made: WallTime,
}

impl TokenPair {
    /// The same for a login that began then: no token outlives it.
    fn of_login(self, began: WallTime) -> Self {
        let end = began + LOGIN_AT_MOST;
        Self { access_until: self.access_until.min(end), refresh_until: self.refresh_until.min(end), ..self }
    }
}

/// What came of a refresh.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refreshed {
    /// The new pair is good.
    Done {
        /// Of which account.
        account: Uuid,
        /// How long the access token is good.
        access_until: WallTime,
        /// How long the refresh token is good.
        refresh_until: WallTime,
    },
    /// There is no such token, or not any more.
    Unknown,
    /// The token was turned in before: its login is revoked, for one of the two who had it is a thief.
    Reused,
}

row! {
    /// A login that goes on.
    pub struct Login {
        /// Which.
        pub id: Uuid,
        /// Whose.
        pub account_id: Uuid,
        /// Their name.
        pub account_name: String,
    }
}

impl Store {
    /// The login that a refresh token (its sha256) belongs to; `None` if there is none, or not any more.
    ///
    /// # Errors
    /// When the database is away.
    pub async fn login_by_refresh_token(&self, sha256: &[u8; 32], now: WallTime) -> Result<Option<Login>, StoreError> {
        let row = sqlx::query(
            "select l.id, l.account_id, a.name as account_name
             from refresh_tokens t join logins l on l.id = t.login_id join accounts a on a.id = l.account_id
             where t.sha256 = $1 and t.expires_at > $2 and l.expires_at > $2 and l.revoked_at is null",
        )
        .bind(&sha256[..])
        .bind(now)
        .fetch_optional(&self.pool)
        .await?;
        one(row, Login::read)
    }

    /// Turns a refresh token (its sha256) in for a new pair.
    ///
    /// # Errors
    /// When the database is away.
    pub async fn refresh_login(
        &self,
        sha256: &[u8; 32],
        pair: &TokenPair,
        now: WallTime,
        address: Option<String>,
    ) -> Result<Refreshed, StoreError> {
        let mut tx = self.pool.begin().await?;
        // The lock lets one of two at once find the token unused.
        let row = sqlx::query(
            "select t.login_id, t.used_at is not null as used, l.created_at, a.id, a.name
             from refresh_tokens t join logins l on l.id = t.login_id join accounts a on a.id = l.account_id
             where t.sha256 = $1 and t.expires_at > $2 and l.expires_at > $2 and l.revoked_at is null
               and a.disabled_at is null
             for update of t, l",
        )
        .bind(&sha256[..])
        .bind(now)
        .fetch_optional(&mut *tx)
        .await?;
        let Some(row) = row else { return Ok(Refreshed::Unknown) };
        let (login, account): (Uuid, Uuid) = (row.try_get("login_id")?, row.try_get("id")?);
        if row.try_get("used")? {
            let name = row.try_get("name")?;
            let actor = Actor { kind: ActorKind::Account, id: Some(account), name, address, request_id: None };
            let mut change = Change::of(self, tx, actor);
            change.revoke_login(login, now, "reuse").await?;
            change.commit().await?;
            return Ok(Refreshed::Reused);
        }
        let pair = pair.of_login(row.try_get("created_at")?);
        if pair.refresh_until <= now {
            return Ok(Refreshed::Unknown);
        }
        sqlx::query("update refresh_tokens set used_at = $2 where sha256 = $1")
            .bind(&sha256[..])
            .bind(now)
            .execute(&mut *tx)
            .await?;
        sqlx::query("update logins set expires_at = $2 where id = $1")
            .bind(login)
            .bind(pair.refresh_until)
            .execute(&mut *tx)
            .await?;
        add_tokens(&mut tx, login, &pair).await?;
        tx.commit().await?;
        let TokenPair { access_until, refresh_until, .. } = pair;
        Ok(Refreshed::Done { account, access_until, refresh_until })
    }

    /// Forgets tokens, logins, links and answers that are of no use any more. A few times a day.
    ///
    /// # Errors
    /// When the database is away.
    pub async fn forget_expired_access(&self, now: WallTime) -> Result<(), StoreError> {
        let mut tx = self.pool.begin().await?;
        for sql in [
            "delete from access_tokens where expires_at < $1",
            "delete from refresh_tokens where expires_at < $1",
            "delete from password_links where expires_at < $1",
            // Kept a while: when somebody last logged in, and why they were thrown out.
            "delete from logins where expires_at < $1 - interval '90 days'",
            "delete from idempotency_keys where created_at < $1 - interval '1 day'",
        ] {
            sqlx::query(sql).bind(now).execute(&mut *tx).await?;
        }
        Ok(tx.commit().await?)
    }
}

impl Change<'_> {
    /// Begins a login with a pair of tokens.
    ///
    /// # Errors
    /// When the database is away.
    pub async fn begin_login(
        &mut self,
        account: Uuid,
        pair: &TokenPair,
        user_agent: Option<&str>,
    ) -> Result<Uuid, StoreError> {
        let login = Uuid::now_v7();
        let address = self.actor().address.clone();
        sqlx::query(
            "insert into logins (id, account_id, created_at, expires_at, address, user_agent)
             values ($1, $2, $3, $4, $5, $6)",
        )
        .bind(login)
        .bind(account)
        .bind(pair.made)
        .bind(pair.refresh_until)
        .bind(address)
        .bind(user_agent)
        .execute(self.connection())
        .await?;
        add_tokens(self.connection(), login, pair).await?;
        self.audit(entry("login.begin", login, None)).await?;
        Ok(login)
    }

    /// Notes that somebody failed to log in, and into which account. A login that nobody has is not written down: people
    /// type their passwords there.
    ///
    /// # Errors
    /// When the database is away.
    pub async fn fail_login(&mut self, login: Option<&str>) -> Result<(), StoreError> {
        let account: Option<Uuid> = sqlx::query_scalar("select id from accounts where lower(login) = lower($1)")
            .bind(login)
            .fetch_optional(self.connection())
            .await?;
        let object_id = account.map_or_else(|| "unknown".to_owned(), |account| account.to_string());
        self.audit(Entry { action: "login.failed", object_kind: "account", object_id, ..Entry::default() }).await
    }

    /// Revokes a login: none of its tokens is good any more.
    ///
    /// # Errors
    /// When the database is away.
    pub async fn revoke_login(&mut self, login: Uuid, now: WallTime, why: &str) -> Result<(), StoreError> {
        sqlx::query("update logins set revoked_at = $2, revoked_for = $3 where id = $1 and revoked_at is null")
            .bind(login)
            .bind(now)
            .bind(why)
            .execute(self.connection())
            .await?;
        self.audit(entry("login.revoke", login, Some(why))).await
    }

    /// Revokes all logins of an account but one.
    ///
    /// # Errors
    /// When the database is away.
    pub async fn revoke_logins(
        &mut self,
        account: Uuid,
        but: Option<Uuid>,
        now: WallTime,
        why: &str,
    ) -> Result<(), StoreError> {
        let revoked: Vec<Uuid> = sqlx::query_scalar(
            "update logins set revoked_at = $3, revoked_for = $4
             where account_id = $1 and id is distinct from $2 and revoked_at is null and expires_at > $3 returning id",
        )
        .bind(account)
        .bind(but)
        .bind(now)
        .bind(why)
        .fetch_all(self.connection())
        .await?;
        for login in revoked {
            self.audit(entry("login.revoke", login, Some(why))).await?;
        }
        Ok(())
    }
}

async fn add_tokens(connection: &mut sqlx::PgConnection, login: Uuid, pair: &TokenPair) -> Result<(), sqlx::Error> {
    sqlx::query("insert into refresh_tokens (sha256, login_id, expires_at) values ($1, $2, $3)")
        .bind(&pair.refresh[..])
        .bind(login)
        .bind(pair.refresh_until)
        .execute(&mut *connection)
        .await?;
    sqlx::query("insert into access_tokens (sha256, login_id, expires_at) values ($1, $2, $3)")
        .bind(&pair.access[..])
        .bind(login)
        .bind(pair.access_until)
        .execute(connection)
        .await?;
    Ok(())
}

fn entry<'a>(action: &'a str, login: Uuid, why: Option<&str>) -> Entry<'a> {
    let after = why.map(|why| serde_json::json!({ "why": why }));
    Entry { action, object_kind: "login", object_id: login.to_string(), after, ..Entry::default() }
}
