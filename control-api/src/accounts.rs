//! `/api/v1/accounts`: who can log in, as what, and where they may look.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use chrono::{DateTime, Duration, Utc};
use rollcall_pipeline::PersonId;
use rollcall_store::{Account, AccountFields, Change, Grants, PasswordLink};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use uuid::Uuid;

use crate::caller::Caller;
use crate::extract::{Body, Created, IfMatch, Params, PathOf, Versioned, present};
use crate::grants;
use crate::json::Json;
use crate::page::{self, Page};
use crate::problem::{Answer, Problem, Problems};
use crate::rights::{Right, Role};
use crate::secrets::{NewSecret, SecretKind};
use crate::state::Api;
use crate::validate::{Checks, MAX_NAME};

/// Longest login.
pub(crate) const MAX_LOGIN: usize = 200;
/// How long a one-time link is good.
const LINK_FOR: Duration = Duration::hours(24);

/// An account.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct AccountView {
    /// Id.
    pub id: Uuid,
    /// What they log in with.
    pub login: String,
    /// Name of the person.
    pub name: String,
    /// What they are here.
    pub role: String,
    /// Whose own record a `person` sees.
    pub person_id: Option<Uuid>,
    /// Not limited to some places.
    pub everywhere: bool,
    /// Whole sites that they may see.
    pub sites: Vec<String>,
    /// Single rooms that they may see.
    pub rooms: Vec<String>,
    /// Since when nobody can log in with it.
    pub disabled_at: Option<DateTime<Utc>>,
    /// A password was set. Without one the account waits for its one-time link.
    pub has_password: bool,
    /// Nothing but a change of the password is allowed.
    pub must_change_password: bool,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// When somebody last logged in.
    pub last_login_at: Option<DateTime<Utc>>,
    /// For If-Match.
    pub version: i64,
}

impl From<Account> for AccountView {
    fn from(account: Account) -> Self {
        let Account { id, fields, has_password, must_change_password, created_at, last_login_at, version } = account;
        let AccountFields { login, name, role, person, grants, disabled_at } = fields;
        let Grants { everywhere, sites, rooms } = grants;
        Self {
            id,
            login,
            name,
            role,
            person_id: person.map(|p| p.0),
            everywhere,
            sites,
            rooms,
            disabled_at,
            has_password,
            must_change_password,
            created_at,
            last_login_at,
            version,
        }
    }
}

/// A one-time link by which somebody sets their password. Told once.
#[derive(Clone, Serialize, ToSchema)]
struct LinkView {
    /// For `POST /api/v1/auth/setup`.
    token: String,
    /// Until when.
    expires_at: DateTime<Utc>,
}

/// A new account with its link.
#[derive(Clone, Serialize, ToSchema)]
struct NewAccountView {
    /// It.
    account: AccountView,
    /// By which its owner sets the password.
    link: LinkView,
}

/// A new account.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct NewAccount {
    /// What they log in with.
    #[schema(min_length = 1, max_length = 200)]
    login: String,
    /// Name of the person.
    #[schema(min_length = 1, max_length = 200)]
    name: String,
    /// What they are here.
    role: Role,
    /// Whose own record they see; for the role `person`, and only for that.
    #[serde(default)]
    person_id: Option<Uuid>,
    /// Not limited to some places. Admins are not.
    #[serde(default)]
    everywhere: bool,
    /// Whole sites that they may see.
    #[serde(default)]
    #[schema(max_items = 200)]
    sites: Vec<String>,
    /// Single rooms that they may see.
    #[serde(default)]
    #[schema(max_items = 200)]
    rooms: Vec<String>,
}

/// What is to be different about an account.
#[derive(Clone, Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
struct AccountPatch {
    /// What they log in with.
    #[schema(min_length = 1, max_length = 200, nullable = false)]
    #[serde(deserialize_with = "crate::extract::given")]
    login: Option<String>,
    /// Name of the person.
    #[schema(min_length = 1, max_length = 200, nullable = false)]
    #[serde(deserialize_with = "crate::extract::given")]
    name: Option<String>,
    /// What they are here.
    #[schema(nullable = false)]
    #[serde(deserialize_with = "crate::extract::given")]
    role: Option<Role>,
    /// Whose own record they see.
    #[serde(deserialize_with = "present")]
    #[schema(value_type = Option<Uuid>)]
    person_id: Option<Option<Uuid>>,
    /// Not limited to some places.
    #[schema(nullable = false)]
    #[serde(deserialize_with = "crate::extract::given")]
    everywhere: Option<bool>,
    /// Whole sites that they may see.
    #[schema(max_items = 200, nullable = false)]
    #[serde(deserialize_with = "crate::extract::given")]
    sites: Option<Vec<String>>,
    /// Single rooms that they may see.
    #[schema(max_items = 200, nullable = false)]
    #[serde(deserialize_with = "crate::extract::given")]
    rooms: Option<Vec<String>>,
    /// Nobody can log in with it, and whoever is logged in is not any more.
    #[schema(nullable = false)]
    #[serde(deserialize_with = "crate::extract::given")]
    disabled: Option<bool>,
}

#[derive(Clone, Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
struct AccountFilter {
    /// Only this role.
    role: Option<Role>,
    /// Most rows of the answer.
    #[param(minimum = 1, maximum = 500, default = 50)]
    limit: Option<u32>,
    /// `next_cursor` of the page before.
    #[param(max_length = 1000)]
    cursor: Option<String>,
}

pub(crate) fn router() -> OpenApiRouter<Arc<Api>> {
    OpenApiRouter::new().routes(routes!(list, add)).routes(routes!(one, change, remove)).routes(routes!(reset))
}

/// Notes what is wrong with a login.
pub(crate) fn check_login(checks: &mut Checks, pointer: &str, login: &str) {
    checks.line(pointer, login, MAX_LOGIN);
    if login.trim() != login {
        checks.add(pointer, "must not begin or end with spaces");
    }
}

/// Only those who are not limited to some places.
fn need(caller: &Caller) -> Answer<()> {
    caller.need(Right::AccountsManage)?;
    caller.need_everywhere()
}

/// The accounts
#[utoipa::path(get, path = "/accounts", tag = "access", security(("token" = []), ("key" = [])), params(AccountFilter),
    responses((status = 200, body = Page<AccountView>), Problems))]
async fn list(
    caller: Caller,
    State(api): State<Arc<Api>>,
    Params(filter): Params<AccountFilter>,
) -> Answer<Json<Page<AccountView>>> {
    need(&caller)?;
    let limit = page::limit(filter.limit)?;
    let after: Option<String> = page::after(filter.cursor.as_deref())?;
    let after = after.filter(|login| !login.contains('\0'));
    let rows = api.store.accounts(filter.role.map(Role::as_str), after.as_deref(), limit).await?;
    Ok(Json(Page::of(rows, limit, |account| account.fields.login.clone()).map(AccountView::from)))
}

/// One account
#[utoipa::path(get, path = "/accounts/{id}", tag = "access", security(("token" = []), ("key" = [])),
    params(("id" = Uuid, Path, description = "The account")), responses((status = 200, body = AccountView), Problems))]
async fn one(caller: Caller, State(api): State<Arc<Api>>, PathOf(id): PathOf<Uuid>) -> Answer<Versioned<AccountView>> {
    need(&caller)?;
    let account = api.store.account(id).await?.ok_or_else(missing)?;
    Ok(Versioned(account.version, account.into()))
}

/// Add an account
///
/// It has no password: its owner sets one with the token of the answer, at `POST /api/v1/auth/setup`.
#[utoipa::path(post, path = "/accounts", tag = "access", security(("token" = []), ("key" = [])),
    request_body = NewAccount, responses((status = 201, body = NewAccountView), Problems))]
async fn add(
    caller: Caller,
    State(api): State<Arc<Api>>,
    Body(new): Body<NewAccount>,
) -> Answer<Created<NewAccountView>> {
    need(&caller)?;
    let mut fields = AccountFields {
        login: new.login,
        name: new.name,
        role: new.role.as_str().to_owned(),
        person: new.person_id.map(PersonId),
        grants: Grants { everywhere: new.everywhere, sites: new.sites, rooms: new.rooms },
        disabled_at: None,
    };
    let mut change = api.store.change(caller.actor()).await?;
    check(&mut change, &caller, &mut fields, new.role).await?;
    let account = change.add_account(&fields, None).await.map_err(taken)?;
    let link = link(&api, &mut change, account.id).await?;
    change.commit().await?;
    let (location, version) = (format!("/api/v1/accounts/{}", account.id), Some(account.version));
    Ok(Created { location, version, body: NewAccountView { account: account.into(), link } })
}

/// Change an account
#[utoipa::path(patch, path = "/accounts/{id}", tag = "access", security(("token" = []), ("key" = [])),
    params(("id" = Uuid, Path, description = "The account"), ("If-Match" = String, Header, description = "ETag, or *")), request_body = AccountPatch,
    responses((status = 200, body = AccountView), Problems))]
async fn change(
    caller: Caller,
    State(api): State<Arc<Api>>,
    PathOf(id): PathOf<Uuid>,
    version: IfMatch,
    Body(patch): Body<AccountPatch>,
) -> Answer<Versioned<AccountView>> {
    need(&caller)?;
    let now = api.clock.wall();
    let mut change = api.store.change(caller.actor()).await?;
    change.hold_admins().await?;
    let before = lock(&mut change, &caller, id, Some(version)).await?;
    let mut fields = before.fields.clone();
    fields.login = patch.login.unwrap_or(fields.login);
    fields.name = patch.name.unwrap_or(fields.name);
    fields.person = patch.person_id.map_or(fields.person, |person| person.map(PersonId));
    fields.grants = Grants {
        everywhere: patch.everywhere.unwrap_or(fields.grants.everywhere),
        sites: patch.sites.unwrap_or(fields.grants.sites),
        rooms: patch.rooms.unwrap_or(fields.grants.rooms),
    };
    fields.disabled_at = match patch.disabled {
        Some(true) => fields.disabled_at.or(Some(now)),
        Some(false) => None,
        None => fields.disabled_at,
    };
    let role = patch.role.or_else(|| Role::of(&fields.role)).unwrap_or(Role::Viewer);
    role.as_str().clone_into(&mut fields.role);
    check(&mut change, &caller, &mut fields, role).await?;
    let after = change.update_account(&before, &fields).await.map_err(taken)?;
    if fields.disabled_at.is_some() && before.fields.disabled_at.is_none() {
        change.revoke_logins(id, None, now, "disabled").await?;
    }
    keep_an_admin(&mut change, &before).await?;
    change.commit().await?;
    Ok(Versioned(after.version, after.into()))
}

/// Remove an account
#[utoipa::path(delete, path = "/accounts/{id}", tag = "access", security(("token" = []), ("key" = [])),
    params(("id" = Uuid, Path, description = "The account"), ("If-Match" = String, Header, description = "ETag, or *")),
    responses((status = 204), Problems))]
async fn remove(
    caller: Caller,
    State(api): State<Arc<Api>>,
    PathOf(id): PathOf<Uuid>,
    version: IfMatch,
) -> Answer<StatusCode> {
    need(&caller)?;
    let mut change = api.store.change(caller.actor()).await?;
    change.hold_admins().await?;
    change.hold_feed().await?;
    let before = lock(&mut change, &caller, id, Some(version)).await?;
    change.delete_account(&before).await?;
    keep_an_admin(&mut change, &before).await?;
    change.commit().await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Reset a password
///
/// The old one is void at once, all logins end, and the owner sets a new one with the token of the answer.
#[utoipa::path(post, path = "/accounts/{id}/reset", tag = "access", security(("token" = []), ("key" = [])),
    params(("id" = Uuid, Path, description = "The account")), responses((status = 200, body = LinkView), Problems))]
async fn reset(caller: Caller, State(api): State<Arc<Api>>, PathOf(id): PathOf<Uuid>) -> Answer<Json<LinkView>> {
    need(&caller)?;
    let mut change = api.store.change(caller.actor()).await?;
    change.hold_admins().await?;
    let before = lock(&mut change, &caller, id, None).await?;
    change.set_password(&before, None, false).await?;
    change.revoke_logins(id, None, api.clock.wall(), "admin").await?;
    let link = link(&api, &mut change, id).await?;
    keep_an_admin(&mut change, &before).await?;
    change.commit().await?;
    Ok(Json(link))
}

fn missing() -> Problem {
    Problem::not_found("account")
}

/// The account that is to be changed, by somebody who could have made it.
async fn lock(change: &mut Change<'_>, caller: &Caller, id: Uuid, version: Option<IfMatch>) -> Answer<Account> {
    let account = change.lock_account(id).await?.ok_or_else(missing)?;
    if let Some(version) = version {
        version.check(account.version)?;
    }
    caller.need_all(Role::of(&account.fields.role).map_or(&[][..], Role::rights))?;
    Ok(account)
}

/// What is to be kept makes sense, and gives nobody more than the caller has.
async fn check(change: &mut Change<'_>, caller: &Caller, fields: &mut AccountFields, role: Role) -> Answer<()> {
    caller.need_all(role.rights())?;
    let mut checks = Checks::default();
    check_login(&mut checks, "/login", &fields.login);
    checks.line("/name", &fields.name, MAX_NAME);
    match (role, fields.person) {
        (Role::Person, None) => checks.add("/person_id", "is missing: whose record is it that a person sees?"),
        (Role::Person, Some(_)) => {
            if fields.grants != Grants::default() {
                checks.add("/everywhere", "a person sees their own record, and no places");
            }
        }
        (_, Some(_)) => checks.add("/person_id", "is only for the role person"),
        (Role::Admin, None) if !fields.grants.everywhere => {
            checks.add("/everywhere", "must be true: an admin is not limited to some places");
        }
        (_, None) => {}
    }
    grants::tidy(&mut fields.grants);
    grants::check(change, &mut checks, &fields.grants, fields.person).await?;
    checks.done()
}

/// Refuses what would leave nobody who may do everything.
async fn keep_an_admin(change: &mut Change<'_>, before: &Account) -> Answer<()> {
    if before.is_working_admin() && !change.has_admin().await? {
        return Err(Problem::conflict("this is the last admin who can log in: make another one first"));
    }
    Ok(())
}

async fn link(api: &Api, change: &mut Change<'_>, account: Uuid) -> Answer<LinkView> {
    let secret = NewSecret::random(SecretKind::Link)?;
    let expires_at = api.clock.wall() + LINK_FOR;
    change.add_password_link(PasswordLink::Account(account), &secret.digest(), expires_at).await?;
    Ok(LinkView { token: secret.told().to_owned(), expires_at })
}

fn taken(error: rollcall_store::StoreError) -> Problem {
    if error.sqlstate().as_deref() == Some("23505") {
        return Problem::conflict("there is an account with this login already: choose another");
    }
    error.into()
}
