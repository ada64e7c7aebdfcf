//! `/api/v1/auth`: in, out, and who one is.

use std::sync::Arc;

use axum::extract::State;
use axum::http::header::{COOKIE, SET_COOKIE};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{AppendHeaders, IntoResponse, Response};
use chrono::Duration;
use rollcall_pipeline::WallTime;
use rollcall_store::{
    Account, AccountFields, Actor, ActorKind, Change, Credentials, Grants, PasswordLink, Refreshed, Scope, TokenPair,
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use uuid::Uuid;

use crate::accounts::{AccountView, MAX_LOGIN, check_login};
use crate::caller::{Caller, Visitor, digest};
use crate::extract::Body;
use crate::json::Json;
use crate::passwords::{MAX_PASSWORD, check_password, password_fault};
use crate::problem::{Answer, Problem, Problems};
use crate::rights::{Right, Role};
use crate::secrets::{NewSecret, SecretKind};
use crate::state::Api;
use crate::validate::{Checks, MAX_NAME};

/// How long an access token is good.
const ACCESS_S: i64 = 15 * 60;
/// How long a refresh token is good.
const REFRESH_S: i64 = 7 * 24 * 3600;
const REFRESH_COOKIE: &str = "rollcall_refresh";
const COOKIE_PATH: &str = "/api/v1/auth";

/// Login and password.
#[derive(Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct NewLogin {
    /// What the account is called.
    #[schema(min_length = 1, max_length = 200)]
    login: String,
    /// Its password.
    #[schema(min_length = 1, max_length = 200, format = Password)]
    password: String,
}

/// An access token.
#[derive(Clone, Serialize, ToSchema)]
struct TokenView {
    /// To be sent as `Authorization: Bearer`.
    access_token: String,
    /// `Bearer`.
    token_type: &'static str,
    /// Seconds that it is good for.
    expires_in: i64,
    /// Whose it is.
    account: AccountView,
}

/// Who asks.
#[derive(Clone, Serialize, ToSchema)]
struct MeView {
    /// Id of the account or key.
    id: Uuid,
    /// `account` or `api_key`.
    kind: &'static str,
    /// Its name.
    name: String,
    /// The role; null for keys.
    role: Option<Role>,
    /// What it may do.
    rights: Vec<Right>,
    /// It is not limited to some places.
    everywhere: bool,
    /// Whole sites that it may see.
    sites: Vec<String>,
    /// Single rooms that it may see.
    rooms: Vec<String>,
    /// Whose record is all that it may see.
    person_id: Option<Uuid>,
    /// Nothing but a change of the password is allowed.
    must_change_password: bool,
}

/// A change of one's own password.
#[derive(Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct PasswordChange {
    /// The one that is good now.
    #[schema(min_length = 1, max_length = 200, format = Password)]
    old_password: String,
    /// The one that is to be.
    #[schema(min_length = 12, max_length = 200, format = Password)]
    new_password: String,
}

/// What a one-time link is used for.
#[derive(Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct SetUp {
    /// From the link.
    #[schema(min_length = 1, max_length = 200)]
    token: String,
    /// The password that is to be.
    #[schema(min_length = 12, max_length = 200, format = Password)]
    password: String,
    /// The first admin's login; of an account that is there already it is known.
    #[serde(default)]
    #[schema(min_length = 1, max_length = 200)]
    login: Option<String>,
    /// The first admin's name. Without it: the login.
    #[serde(default)]
    #[schema(min_length = 1, max_length = 200)]
    name: Option<String>,
}

pub(crate) fn router() -> OpenApiRouter<Arc<Api>> {
    OpenApiRouter::new()
        .routes(routes!(log_in))
        .routes(routes!(refresh))
        .routes(routes!(log_out))
        .routes(routes!(me))
        .routes(routes!(change_password))
        .routes(routes!(set_up))
}

/// Log in
///
/// The answer brings an access token, good for 15 minutes, and a cookie that brings new ones for seven days. Each of these
/// brings a cookie for another seven days, until 30 days after the login.
#[utoipa::path(post, path = "/auth/login", tag = "access", request_body = NewLogin,
    responses((status = 200, body = TokenView), Problems))]
async fn log_in(visitor: Visitor, State(api): State<Arc<Api>>, Body(new): Body<NewLogin>) -> Answer<Response> {
    api.access.limits.login_from(visitor.address)?;
    // The database has no word for NUL, and nobody has so long a login.
    let possible = new.login.chars().count() <= MAX_LOGIN && !new.login.chars().any(char::is_control);
    if !possible || new.password.chars().count() > MAX_PASSWORD {
        return refuse_stranger(&api, &visitor, None).await;
    }
    api.access.limits.login_as(&new.login, api.clock.mono())?;
    let known = api.store.credentials(&new.login).await?;
    let hash = known.as_ref().and_then(|known| known.password_hash.clone());
    let right = api.access.passwords.is_right(new.password, hash.clone()).await?;
    let Some(Credentials { id, name, .. }) = known.filter(|_| right) else {
        return refuse_stranger(&api, &visitor, Some(&new.login)).await;
    };
    api.access.limits.logged_in_as(&new.login);
    let mut change = api.store.change(visitor.actor(ActorKind::Account, Some(id), &name)).await?;
    // Disabled, or given another password, in the meantime.
    let account = change.lock_account(id).await?.filter(|a| a.fields.disabled_at.is_none());
    let same = change.password_hash(id).await? == hash;
    match account.filter(|_| same) {
        Some(account) => begin(&api, change, account, &visitor).await,
        None => refuse(change, Some(&new.login)).await,
    }
}

/// Says no to somebody who has not shown who they are.
async fn refuse_stranger(api: &Api, visitor: &Visitor, login: Option<&str>) -> Answer<Response> {
    let change = api.store.change(visitor.actor(ActorKind::System, None, "somebody")).await?;
    refuse(change, login).await
}

/// Says no to whoever tried to log in, and writes down that they did.
async fn refuse(mut change: Change<'_>, login: Option<&str>) -> Answer<Response> {
    tracing::warn!(address = ?change.actor().address, "somebody failed to log in");
    change.fail_login(login).await?;
    change.commit().await?;
    Err(Problem::unauthorized("no account has this login with this password"))
}

/// Get a new access token
///
/// For the cookie of the login, which is replaced by its successor. A cookie that is turned in twice ends the login: one of
/// the two who had it is a thief.
#[utoipa::path(post, path = "/auth/refresh", tag = "access",
    params(
        ("rollcall_refresh" = Option<String>, Cookie, pattern = "^rcr_[A-Za-z0-9_-]{1,196}$", description = "As the login set it")
    ),
    responses((status = 200, body = TokenView), Problems))]
async fn refresh(visitor: Visitor, State(api): State<Arc<Api>>, headers: HeaderMap) -> Answer<Response> {
    let refused = || Problem::unauthorized("this login is over: log in again");
    let token = cookie(&headers).filter(|token| SecretKind::Refresh.may_be(token)).ok_or_else(refused)?;
    let now = api.clock.wall();
    let (pair, access, refresh) = new_tokens(now)?;
    let address = visitor.address.map(|address| address.to_string());
    match api.store.refresh_login(&digest(token), &pair, now, address).await? {
        Refreshed::Done { account, access_until, refresh_until } => {
            let account = api.store.account(account).await?.ok_or_else(refused)?;
            let good_for = [access_until, refresh_until].map(|until| (until - now).num_seconds());
            Ok(token_answer(&api, account, &access, &refresh, good_for))
        }
        Refreshed::Unknown => Err(refused()),
        Refreshed::Reused => {
            tracing::warn!(address = ?visitor.address, "a refresh token was used twice: its login is revoked");
            Err(refused())
        }
    }
}

/// Log out
///
/// All tokens of this login are void at once. Where the access token is over, the cookie says which login it is. Whoever is
/// logged in no more is told the same; a cookie that no login sets is refused.
#[utoipa::path(post, path = "/auth/logout", tag = "access", security(("token" = []), ()),
    params(
        ("rollcall_refresh" = Option<String>, Cookie, pattern = "^rcr_[A-Za-z0-9_-]{1,196}$", description = "As the login set it")
    ),
    responses((status = 204), Problems))]
async fn log_out(
    visitor: Visitor,
    caller: Result<Caller, Problem>,
    State(api): State<Arc<Api>>,
    headers: HeaderMap,
) -> Answer<Response> {
    let now = api.clock.wall();
    let ended = match caller {
        Ok(caller) => {
            let key = || Problem::forbidden("a key does not log out: revoke it");
            Some((caller.login.ok_or_else(key)?, caller.actor()))
        }
        Err(refused) if refused.status() == StatusCode::UNAUTHORIZED => login_of(&api, &visitor, &headers, now).await?,
        Err(refused) => return Err(refused),
    };
    if let Some((login, actor)) = ended {
        let mut change = api.store.change(actor).await?;
        change.revoke_login(login, now, "logout").await?;
        change.commit().await?;
    }
    let gone = set_cookie(&api, "", 0);
    Ok((StatusCode::NO_CONTENT, AppendHeaders([(SET_COOKIE, gone)])).into_response())
}

/// The login that a cookie belongs to, and whoever ends it.
async fn login_of(api: &Api, visitor: &Visitor, headers: &HeaderMap, now: WallTime) -> Answer<Option<(Uuid, Actor)>> {
    let Some(token) = cookie(headers) else { return Ok(None) };
    if !SecretKind::Refresh.may_be(token) {
        return Err(Problem::unauthorized("no login sets such a cookie: leave it out"));
    }
    let login = api.store.login_by_refresh_token(&digest(token), now).await?;
    Ok(login.map(|login| (login.id, visitor.actor(ActorKind::Account, Some(login.account_id), &login.account_name))))
}

/// Who one is, and what one may do
#[utoipa::path(get, path = "/auth/me", tag = "access", security(("token" = []), ("key" = [])),
    responses((status = 200, body = MeView), Problems))]
async fn me(caller: Caller) -> Json<MeView> {
    let person_id = caller.person().map(|person| person.0);
    let (everywhere, sites, rooms) = match &caller.scope {
        Scope::Everywhere => (true, Vec::new(), Vec::new()),
        Scope::Places { sites, rooms } => (false, sites.clone(), rooms.clone()),
        Scope::Person(_) => (false, Vec::new(), Vec::new()),
    };
    Json(MeView {
        id: caller.id,
        kind: if caller.role.is_some() { "account" } else { "api_key" },
        rights: caller.rights().to_vec(),
        must_change_password: caller.must_change_password(),
        name: caller.name,
        role: caller.role,
        everywhere,
        sites,
        rooms,
        person_id,
    })
}

/// Change one's own password
///
/// All other logins of the account end.
#[utoipa::path(post, path = "/auth/password", tag = "access", security(("token" = [])), request_body = PasswordChange,
    responses((status = 204), Problems))]
async fn change_password(
    caller: Caller,
    State(api): State<Arc<Api>>,
    Body(new): Body<PasswordChange>,
) -> Answer<StatusCode> {
    let Some(login) = caller.login else {
        return Err(Problem::forbidden("a key has no password"));
    };
    api.access.limits.password_of(caller.id)?;
    let account = api.store.account(caller.id).await?.ok_or_else(|| Problem::not_found("account"))?;
    let mut checks = Checks::default();
    check_password(&mut checks, "/new_password", &new.new_password, &account.fields.login);
    if new.new_password == new.old_password {
        checks.add("/new_password", "is the old one");
    }
    checks.done()?;
    let known = api.store.credentials_of(caller.id).await?.and_then(|known| known.password_hash);
    if new.old_password.chars().count() > MAX_PASSWORD
        || !api.access.passwords.is_right(new.old_password, known.clone()).await?
    {
        return Err(Problem::invalid_field("/old_password", "is not the password"));
    }
    let hash = api.access.passwords.hash(new.new_password).await?;
    let mut change = api.store.change(caller.actor()).await?;
    let account = change.lock_account(caller.id).await?.ok_or_else(|| Problem::not_found("account"))?;
    if change.password_hash(caller.id).await? != known {
        return Err(Problem::conflict("the password was changed in the meantime: log in with the new one"));
    }
    change.set_password(&account, Some(&hash), false).await?;
    change.revoke_logins(caller.id, Some(login), api.clock.wall(), "password").await?;
    change.commit().await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Use a one-time link
///
/// Sets the password of the account that the link is for, or makes the first admin; then logs in.
#[utoipa::path(post, path = "/auth/setup", tag = "access", request_body = SetUp,
    responses((status = 200, body = TokenView), Problems))]
async fn set_up(visitor: Visitor, State(api): State<Arc<Api>>, Body(new): Body<SetUp>) -> Answer<Response> {
    api.access.limits.login_from(visitor.address)?;
    let mut checks = Checks::default();
    check_password(&mut checks, "/password", &new.password, new.login.as_deref().unwrap_or_default());
    if let Some(login) = &new.login {
        check_login(&mut checks, "/login", login);
    }
    checks.maybe_line("/name", new.name.as_deref(), MAX_NAME);
    checks.done()?;
    let hash = api.access.passwords.hash(new.password.clone()).await?;
    let now = api.clock.wall();
    let mut change = api.store.change(visitor.actor(ActorKind::System, None, "one-time link")).await?;
    change.hold_admins().await?;
    let refused = || Problem::unauthorized("this link was used, replaced, or is too old: ask for a new one");
    let link = change.use_password_link(&digest(&new.token), now).await?.ok_or_else(refused)?;
    let account = match link {
        PasswordLink::FirstAdmin => {
            if change.has_admin().await? {
                return Err(Problem::conflict("there is an admin already: ask them for an account"));
            }
            let login = new.login.ok_or_else(|| Problem::invalid_field("/login", "is missing"))?;
            let fields = AccountFields {
                name: new.name.unwrap_or_else(|| login.clone()),
                login,
                role: Role::Admin.as_str().to_owned(),
                person: None,
                grants: Grants { everywhere: true, ..Grants::default() },
                disabled_at: None,
            };
            change.add_account(&fields, Some(&hash)).await?
        }
        PasswordLink::Account(id) => {
            let account = change.lock_account(id).await?.filter(|a| a.fields.disabled_at.is_none());
            let account = account.ok_or_else(refused)?;
            // The link stays: nothing is committed.
            if let Some(fault) = password_fault(&new.password, &account.fields.login) {
                return Err(Problem::invalid_field("/password", fault));
            }
            change.set_password(&account, Some(&hash), false).await?;
            change.revoke_logins(id, None, now, "password").await?;
            account
        }
    };
    begin(&api, change, account, &visitor).await
}

/// Begins a login and tells its tokens.
async fn begin(api: &Api, mut change: Change<'_>, account: Account, visitor: &Visitor) -> Answer<Response> {
    let (pair, access, refresh) = new_tokens(api.clock.wall())?;
    change.begin_login(account.id, &pair, visitor.user_agent.as_deref()).await?;
    change.commit().await?;
    // As it is now: the login itself is part of it.
    let account = api.store.account(account.id).await?.unwrap_or(account);
    Ok(token_answer(api, account, &access, &refresh, [ACCESS_S, REFRESH_S]))
}

fn new_tokens(now: WallTime) -> Answer<(TokenPair, NewSecret, NewSecret)> {
    let (access, refresh) = (NewSecret::random(SecretKind::Access)?, NewSecret::random(SecretKind::Refresh)?);
    let pair = TokenPair {
        made: now,
        access: access.digest(),
        refresh: refresh.digest(),
        access_until: now + Duration::seconds(ACCESS_S),
        refresh_until: now + Duration::seconds(REFRESH_S),
    };
    Ok((pair, access, refresh))
}

/// Both tokens, and for how many seconds each is good.
fn token_answer(
    api: &Api,
    account: Account,
    access: &NewSecret,
    refresh: &NewSecret,
    [access_s, refresh_s]: [i64; 2],
) -> Response {
    let body = TokenView {
        access_token: access.told().to_owned(),
        token_type: "Bearer",
        expires_in: access_s,
        account: AccountView::from(account),
    };
    let cookie = set_cookie(api, refresh.told(), refresh_s);
    (AppendHeaders([(SET_COOKIE, cookie)]), Json(body)).into_response()
}

/// Out of the reach of scripts, and sent to nothing but these operations, by no page but our own.
fn set_cookie(api: &Api, value: &str, max_age: i64) -> HeaderValue {
    let secure = if api.access.secure() { "; Secure" } else { "" };
    let text =
        format!("{REFRESH_COOKIE}={value}; Path={COOKIE_PATH}; Max-Age={max_age}; HttpOnly; SameSite=Strict{secure}");
    HeaderValue::from_str(&text).unwrap_or_else(|_| HeaderValue::from_static(""))
}

fn cookie(headers: &HeaderMap) -> Option<&str> {
    let pairs = headers.get_all(COOKIE).iter().filter_map(|line| line.to_str().ok()).flat_map(|line| line.split(';'));
    let mut values = pairs.filter_map(|pair| pair.trim().split_once('=')).filter(|(name, _)| *name == REFRESH_COOKIE);
    values.next().map(|(_, value)| value.trim())
}
