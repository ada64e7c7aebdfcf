//! `/api/v1/keys`: machines that may use the API.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use chrono::{DateTime, Utc};
use rollcall_store::{ApiKey, ApiKeyFields, Change, Grants};
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
use crate::rights::Right;
use crate::secrets::{NewSecret, SecretKind};
use crate::state::Api;
use crate::validate::{Checks, MAX_NAME};

/// Most that a key may be given, a minute.
const MAX_RATE: u32 = 10_000_000;

/// A key of a machine, without the key.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
struct KeyView {
    /// Id.
    id: Uuid,
    /// What it is for.
    name: String,
    /// Its first letters, by which it is found where it should not be.
    prefix: String,
    /// What it may do.
    rights: Vec<String>,
    /// Not limited to some places.
    everywhere: bool,
    /// Whole sites that it may see.
    sites: Vec<String>,
    /// Single rooms that it may see.
    rooms: Vec<String>,
    /// Requests a minute; null: as all others.
    rate_per_minute: Option<u32>,
    /// Who made it, while they have an account.
    created_by: Option<Uuid>,
    /// When it was made.
    created_at: DateTime<Utc>,
    /// When it ends.
    expires_at: Option<DateTime<Utc>>,
    /// Since when it is void.
    revoked_at: Option<DateTime<Utc>>,
    /// When it was last used, to the minute.
    last_used_at: Option<DateTime<Utc>>,
    /// For If-Match.
    version: i64,
}

impl From<ApiKey> for KeyView {
    fn from(key: ApiKey) -> Self {
        let ApiKeyFields { name, rights, grants, rate_per_minute, expires_at } = key.fields;
        let Grants { everywhere, sites, rooms } = grants;
        Self {
            id: key.id,
            name,
            prefix: key.prefix,
            rights,
            everywhere,
            sites,
            rooms,
            rate_per_minute,
            created_by: key.created_by,
            created_at: key.created_at,
            expires_at,
            revoked_at: key.revoked_at,
            last_used_at: key.last_used_at,
            version: key.version,
        }
    }
}

/// A new key.
#[derive(Clone, Serialize, ToSchema)]
struct NewKeyView {
    /// It.
    key: KeyView,
    /// To be sent as `X-API-Key`. Told once.
    secret: String,
}

/// A new key.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct NewKey {
    /// What it is for.
    #[schema(min_length = 1, max_length = 200)]
    name: String,
    /// What it may do; none that its maker may not.
    #[schema(min_items = 1, max_items = 100)]
    rights: Vec<Right>,
    /// Not limited to some places.
    #[serde(default)]
    everywhere: bool,
    /// Whole sites that it may see.
    #[serde(default)]
    #[schema(max_items = 200)]
    sites: Vec<String>,
    /// Single rooms that it may see.
    #[serde(default)]
    #[schema(max_items = 200)]
    rooms: Vec<String>,
    /// Requests a minute; null: as all others.
    #[serde(default)]
    #[schema(minimum = 1, maximum = 10000000)]
    rate_per_minute: Option<u32>,
    /// When it ends.
    #[serde(default)]
    expires_at: Option<DateTime<Utc>>,
}

/// What is to be different about a key.
#[derive(Clone, Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
struct KeyPatch {
    /// What it is for.
    #[schema(min_length = 1, max_length = 200, nullable = false)]
    #[serde(deserialize_with = "crate::extract::given")]
    name: Option<String>,
    /// What it may do.
    #[schema(min_items = 1, max_items = 100, nullable = false)]
    #[serde(deserialize_with = "crate::extract::given")]
    rights: Option<Vec<Right>>,
    /// Not limited to some places.
    #[schema(nullable = false)]
    #[serde(deserialize_with = "crate::extract::given")]
    everywhere: Option<bool>,
    /// Whole sites that it may see.
    #[schema(max_items = 200, nullable = false)]
    #[serde(deserialize_with = "crate::extract::given")]
    sites: Option<Vec<String>>,
    /// Single rooms that it may see.
    #[schema(max_items = 200, nullable = false)]
    #[serde(deserialize_with = "crate::extract::given")]
    rooms: Option<Vec<String>>,
    /// Requests a minute; null: as all others.
    #[serde(deserialize_with = "present")]
    #[schema(value_type = Option<u32>, minimum = 1, maximum = 10000000)]
    rate_per_minute: Option<Option<u32>>,
    /// When it ends; null: never.
    #[serde(deserialize_with = "present")]
    #[schema(value_type = Option<DateTime<Utc>>)]
    expires_at: Option<Option<DateTime<Utc>>>,
}

#[derive(Clone, Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
struct KeyParams {
    /// Most rows of the answer.
    #[param(minimum = 1, maximum = 500, default = 50)]
    limit: Option<u32>,
    /// `next_cursor` of the page before.
    #[param(max_length = 1000)]
    cursor: Option<String>,
}

pub(crate) fn router() -> OpenApiRouter<Arc<Api>> {
    OpenApiRouter::new().routes(routes!(list, add)).routes(routes!(one, change, revoke))
}

fn need(caller: &Caller) -> Answer<()> {
    caller.need(Right::KeysManage)?;
    caller.need_everywhere()
}

/// The keys, those that are void too
#[utoipa::path(get, path = "/keys", tag = "access", security(("token" = []), ("key" = [])), params(KeyParams),
    responses((status = 200, body = Page<KeyView>), Problems))]
async fn list(
    caller: Caller,
    State(api): State<Arc<Api>>,
    Params(params): Params<KeyParams>,
) -> Answer<Json<Page<KeyView>>> {
    need(&caller)?;
    let limit = page::limit(params.limit)?;
    let rows = api.store.api_keys(page::after(params.cursor.as_deref())?, limit).await?;
    Ok(Json(Page::of(rows, limit, |key| key.id).map(KeyView::from)))
}

/// One key
#[utoipa::path(get, path = "/keys/{id}", tag = "access", security(("token" = []), ("key" = [])),
    params(("id" = Uuid, Path, description = "The key")), responses((status = 200, body = KeyView), Problems))]
async fn one(caller: Caller, State(api): State<Arc<Api>>, PathOf(id): PathOf<Uuid>) -> Answer<Versioned<KeyView>> {
    need(&caller)?;
    let key = api.store.api_key(id).await?.ok_or_else(missing)?;
    Ok(Versioned(key.version, key.into()))
}

/// Add a key
///
/// The answer tells it, once.
#[utoipa::path(post, path = "/keys", tag = "access", security(("token" = []), ("key" = [])), request_body = NewKey,
    responses((status = 201, body = NewKeyView), Problems))]
async fn add(caller: Caller, State(api): State<Arc<Api>>, Body(new): Body<NewKey>) -> Answer<Created<NewKeyView>> {
    need(&caller)?;
    let mut fields = ApiKeyFields {
        name: new.name,
        rights: Vec::new(),
        grants: Grants { everywhere: new.everywhere, sites: new.sites, rooms: new.rooms },
        rate_per_minute: new.rate_per_minute,
        expires_at: new.expires_at,
    };
    let secret = NewSecret::random(SecretKind::Key)?;
    let prefix = &secret.told()[..NewSecret::SHOWN];
    let maker = caller.role.map(|_| caller.id);
    let mut change = api.store.change(caller.actor()).await?;
    check(&mut change, &caller, &mut fields, Some(new.rights), None, api.clock.wall()).await?;
    let key = change.add_api_key(&fields, &secret.digest(), prefix, maker).await?;
    change.commit().await?;
    let (location, version) = (format!("/api/v1/keys/{}", key.id), Some(key.version));
    Ok(Created { location, version, body: NewKeyView { key: key.into(), secret: secret.told().to_owned() } })
}

/// Change a key
#[utoipa::path(patch, path = "/keys/{id}", tag = "access", security(("token" = []), ("key" = [])),
    params(("id" = Uuid, Path, description = "The key"), ("If-Match" = String, Header, description = "ETag, or *")), request_body = KeyPatch,
    responses((status = 200, body = KeyView), Problems))]
async fn change(
    caller: Caller,
    State(api): State<Arc<Api>>,
    PathOf(id): PathOf<Uuid>,
    version: IfMatch,
    Body(patch): Body<KeyPatch>,
) -> Answer<Versioned<KeyView>> {
    need(&caller)?;
    let mut change = api.store.change(caller.actor()).await?;
    let before = lock(&mut change, &caller, id, version).await?;
    if before.revoked_at.is_some() {
        return Err(Problem::conflict("this key was revoked: make a new one"));
    }
    let old = before.fields.clone();
    let mut fields = ApiKeyFields {
        name: patch.name.unwrap_or(old.name),
        rights: old.rights,
        grants: Grants {
            everywhere: patch.everywhere.unwrap_or(old.grants.everywhere),
            sites: patch.sites.unwrap_or(old.grants.sites),
            rooms: patch.rooms.unwrap_or(old.grants.rooms),
        },
        rate_per_minute: patch.rate_per_minute.unwrap_or(old.rate_per_minute),
        expires_at: patch.expires_at.unwrap_or(old.expires_at),
    };
    check(&mut change, &caller, &mut fields, patch.rights, old.expires_at, api.clock.wall()).await?;
    let after = change.update_api_key(&before, &fields).await?;
    change.commit().await?;
    Ok(Versioned(after.version, after.into()))
}

/// Revoke a key
///
/// It is void at once, and for ever; what it did stays in the audit log under its name.
#[utoipa::path(delete, path = "/keys/{id}", tag = "access", security(("token" = []), ("key" = [])),
    params(("id" = Uuid, Path, description = "The key"), ("If-Match" = String, Header, description = "ETag, or *")),
    responses((status = 204), Problems))]
async fn revoke(
    caller: Caller,
    State(api): State<Arc<Api>>,
    PathOf(id): PathOf<Uuid>,
    version: IfMatch,
) -> Answer<StatusCode> {
    need(&caller)?;
    let mut change = api.store.change(caller.actor()).await?;
    let before = lock(&mut change, &caller, id, version).await?;
    if before.revoked_at.is_none() {
        change.revoke_api_key(&before, api.clock.wall()).await?;
        change.commit().await?;
    }
    Ok(StatusCode::NO_CONTENT)
}

fn missing() -> Problem {
    Problem::not_found("key")
}

/// The key that is to be changed, by somebody who could have made it.
async fn lock(change: &mut Change<'_>, caller: &Caller, id: Uuid, version: IfMatch) -> Answer<ApiKey> {
    let key = change.lock_api_key(id).await?.ok_or_else(missing)?;
    version.check(key.version)?;
    let rights: Vec<_> = key.fields.rights.iter().filter_map(|right| Right::of(right)).collect();
    caller.need_all(&rights)?;
    Ok(key)
}

/// What is to be kept makes sense, and gives no more than the caller has. `before`: when it was to expire, which may be over.
async fn check(
    change: &mut Change<'_>,
    caller: &Caller,
    fields: &mut ApiKeyFields,
    rights: Option<Vec<Right>>,
    before: Option<DateTime<Utc>>,
    now: DateTime<Utc>,
) -> Answer<()> {
    let mut checks = Checks::default();
    checks.line("/name", &fields.name, MAX_NAME);
    if let Some(mut rights) = rights {
        caller.need_all(&rights)?;
        rights.sort_unstable();
        rights.dedup();
        if rights.is_empty() {
            checks.add("/rights", "must name one at least");
        }
        fields.rights = rights.into_iter().map(|right| right.as_str().to_owned()).collect();
    }
    if fields.rate_per_minute.is_some_and(|rate| !(1..=MAX_RATE).contains(&rate)) {
        checks.add("/rate_per_minute", format!("must be 1 to {MAX_RATE}, or null"));
    }
    let is_new = |at: &DateTime<Utc>| Some(*at) != before;
    if fields.expires_at.filter(is_new).is_some_and(|at| at <= now || !crate::validate::is_date(at.date_naive())) {
        checks.add("/expires_at", "must lie in the future, before the year 10000");
    }
    grants::tidy(&mut fields.grants);
    grants::check(change, &mut checks, &fields.grants, None).await?;
    checks.done()
}
