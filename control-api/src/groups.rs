//! `/api/v1/groups`: classes and divisions, and who belongs to them.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use chrono::{DateTime, Utc};
use rollcall_pipeline::PersonId;
use rollcall_store::{Group, PersonFilter};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use uuid::Uuid;

use crate::caller::Caller;
use crate::extract::{Body, Created, IfMatch, Params, PathOf, Versioned};
use crate::json::Json;
use crate::page::{self, Page};
use crate::people::{MAX_GROUPS, PersonView, no_person};
use crate::problem::{Answer, FieldError, Problem, Problems};
use crate::rights::Right;
use crate::state::Api;
use crate::validate::{Checks, MAX_NAME};

/// A group of people.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct GroupView {
    /// Id.
    pub id: Uuid,
    /// Name; no two have the same.
    pub name: String,
    /// How many belong to it, of those that the caller may see.
    pub members: i64,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// For If-Match.
    pub version: i64,
}

impl From<Group> for GroupView {
    fn from(group: Group) -> Self {
        let Group { id, name, members, created_at, version } = group;
        Self { id, name, members, created_at, version }
    }
}

/// A new group, or another name of one.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewGroup {
    /// Name, without `|`: that parts groups in tables.
    #[schema(min_length = 1, max_length = 200, pattern = r"^[^|\x00-\x1f\x7f-\x9f]{1,200}$")]
    pub name: String,
}

/// Which groups.
#[derive(Clone, Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct GroupParams {
    /// Part of the name, whatever the case.
    #[param(min_length = 1, max_length = 200)]
    pub q: Option<String>,
    /// Most rows of the answer.
    #[param(minimum = 1, maximum = 500, default = 50)]
    pub limit: Option<u32>,
    /// `next_cursor` of the page before.
    #[param(max_length = 2000)]
    pub cursor: Option<String>,
}

/// Which page.
#[derive(Clone, Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct MemberParams {
    /// Most rows of the answer.
    #[param(minimum = 1, maximum = 500, default = 50)]
    pub limit: Option<u32>,
    /// `next_cursor` of the page before.
    #[param(max_length = 2000)]
    pub cursor: Option<String>,
}

pub(crate) fn router() -> OpenApiRouter<Arc<Api>> {
    OpenApiRouter::new()
        .routes(routes!(list, create))
        .routes(routes!(read, change, remove))
        .routes(routes!(members))
        .routes(routes!(join, leave))
}

fn no_group() -> Problem {
    Problem::not_found("group")
}

fn check_name(name: &str) -> Answer<()> {
    let mut checks = Checks::default();
    checks.line("/name", name, MAX_NAME);
    if name.contains('|') || name.trim() != name {
        checks.add("/name", "must not contain | nor begin or end with a space");
    }
    checks.done()
}

/// The groups, by name
#[utoipa::path(get, path = "/groups", tag = "people", security(("token" = []), ("key" = [])), params(GroupParams),
    responses((status = 200, body = Page<GroupView>), Problems))]
async fn list(
    caller: Caller,
    State(api): State<Arc<Api>>,
    Params(params): Params<GroupParams>,
) -> Answer<Json<Page<GroupView>>> {
    caller.need(Right::PeopleRead)?;
    let (limit, after) = (page::limit(params.limit)?, page::after::<String>(params.cursor.as_deref())?);
    if params.q.as_deref().is_some_and(|q| !(1..=MAX_NAME).contains(&q.chars().count()) || q.contains('\0')) {
        return Err(Problem::invalid(vec![FieldError::query("q", format!("must be 1 to {MAX_NAME} characters"))]));
    }
    let rows = api.store.groups(&caller.scope, params.q.as_deref(), after.as_deref(), limit).await?;
    Ok(Json(Page::of(rows, limit, |group| group.name.clone()).map(GroupView::from)))
}

/// Add a group
#[utoipa::path(post, path = "/groups", tag = "people", security(("token" = []), ("key" = [])), request_body = NewGroup,
    responses((status = 201, body = GroupView), Problems))]
async fn create(caller: Caller, State(api): State<Arc<Api>>, Body(new): Body<NewGroup>) -> Answer<Created<GroupView>> {
    caller.need(Right::PeopleWrite)?;
    caller.need_everywhere()?;
    check_name(&new.name)?;
    let mut change = api.store.change(caller.actor()).await?;
    let group = change.add_group(&new.name).await?;
    change.commit().await?;
    Ok(Created { location: format!("/api/v1/groups/{}", group.id), version: Some(group.version), body: group.into() })
}

/// One group
#[utoipa::path(get, path = "/groups/{id}", tag = "people", security(("token" = []), ("key" = [])),
    params(("id" = Uuid, Path, description = "The group")),
    responses((status = 200, body = GroupView), Problems))]
async fn read(caller: Caller, State(api): State<Arc<Api>>, PathOf(id): PathOf<Uuid>) -> Answer<Versioned<GroupView>> {
    caller.need(Right::PeopleRead)?;
    let group = api.store.group(&caller.scope, id).await?.ok_or_else(no_group)?;
    Ok(Versioned(group.version, group.into()))
}

/// Give a group another name
#[utoipa::path(patch, path = "/groups/{id}", tag = "people", security(("token" = []), ("key" = [])),
    params(("id" = Uuid, Path, description = "The group"),
        ("If-Match" = String, Header, description = "ETag that was read, or *")),
    request_body = NewGroup, responses((status = 200, body = GroupView), Problems))]
async fn change(
    caller: Caller,
    State(api): State<Arc<Api>>,
    PathOf(id): PathOf<Uuid>,
    if_match: IfMatch,
    Body(patch): Body<NewGroup>,
) -> Answer<Versioned<GroupView>> {
    caller.need(Right::PeopleWrite)?;
    caller.need_everywhere()?;
    check_name(&patch.name)?;
    let mut change = api.store.change(caller.actor()).await?;
    let before = change.lock_group(&caller.scope, id).await?.ok_or_else(no_group)?;
    if_match.check(before.version)?;
    let group = change.rename_group(&before, &patch.name).await?;
    change.commit().await?;
    Ok(Versioned(group.version, group.into()))
}

/// Remove a group; its members stay
#[utoipa::path(delete, path = "/groups/{id}", tag = "people", security(("token" = []), ("key" = [])),
    params(("id" = Uuid, Path, description = "The group"),
        ("If-Match" = String, Header, description = "ETag that was read, or *")),
    responses((status = 204), Problems))]
async fn remove(
    caller: Caller,
    State(api): State<Arc<Api>>,
    PathOf(id): PathOf<Uuid>,
    if_match: IfMatch,
) -> Answer<StatusCode> {
    caller.need(Right::PeopleWrite)?;
    caller.need_everywhere()?;
    let mut change = api.store.change(caller.actor()).await?;
    let group = change.lock_group(&caller.scope, id).await?.ok_or_else(no_group)?;
    if_match.check(group.version)?;
    change.remove_group(&group).await?;
    change.commit().await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Who belongs to a group, by name
#[utoipa::path(get, path = "/groups/{id}/members", tag = "people", security(("token" = []), ("key" = [])),
    params(("id" = Uuid, Path, description = "The group"), MemberParams),
    responses((status = 200, body = Page<PersonView>), Problems))]
async fn members(
    caller: Caller,
    State(api): State<Arc<Api>>,
    PathOf(id): PathOf<Uuid>,
    Params(params): Params<MemberParams>,
) -> Answer<Json<Page<PersonView>>> {
    caller.need(Right::PeopleRead)?;
    let (limit, after) = (page::limit(params.limit)?, page::after::<(String, Uuid)>(params.cursor.as_deref())?);
    let group = api.store.group(&caller.scope, id).await?.ok_or_else(no_group)?;
    let filter = PersonFilter { group: Some(group.id), ..PersonFilter::default() };
    let rows = api.store.people_in(&caller.scope, &filter, after.as_ref(), limit).await?;
    Ok(Json(Page::of(rows, limit, |person| (person.name.clone(), person.id)).map(PersonView::from)))
}

/// Take somebody into a group; done already is done
///
/// Whoever is limited to places knows the groups of the people whom they see, and no others.
#[utoipa::path(put, path = "/groups/{id}/members/{person}", tag = "people", security(("token" = []), ("key" = [])),
    params(("id" = Uuid, Path, description = "The group"), ("person" = Uuid, Path, description = "The person")),
    responses((status = 204), Problems))]
async fn join(
    caller: Caller,
    State(api): State<Arc<Api>>,
    PathOf((id, person)): PathOf<(Uuid, Uuid)>,
) -> Answer<StatusCode> {
    caller.need(Right::PeopleWrite)?;
    let mut change = api.store.change(caller.actor()).await?;
    let group = change.lock_group(&caller.scope, id).await?.ok_or_else(no_group)?;
    let before = change.lock_person(&caller.scope, PersonId(person)).await?.ok_or_else(no_person)?;
    if before.groups.0.len() >= MAX_GROUPS && before.groups.0.iter().all(|of| of.id != group.id) {
        return Err(Problem::conflict(format!(
            "somebody belongs to at most {MAX_GROUPS} groups: take them out of one"
        )));
    }
    change.join_group(&group, PersonId(person)).await?;
    change.commit().await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Take somebody out of a group
#[utoipa::path(delete, path = "/groups/{id}/members/{person}", tag = "people", security(("token" = []), ("key" = [])),
    params(("id" = Uuid, Path, description = "The group"), ("person" = Uuid, Path, description = "The person")),
    responses((status = 204), Problems))]
async fn leave(
    caller: Caller,
    State(api): State<Arc<Api>>,
    PathOf((id, person)): PathOf<(Uuid, Uuid)>,
) -> Answer<StatusCode> {
    caller.need(Right::PeopleWrite)?;
    let mut change = api.store.change(caller.actor()).await?;
    let group = change.lock_group(&caller.scope, id).await?.ok_or_else(no_group)?;
    change.lock_person(&caller.scope, PersonId(person)).await?.ok_or_else(no_person)?;
    if !change.leave_group(&group, PersonId(person)).await? {
        return Err(Problem::not_found("member of this group"));
    }
    change.commit().await?;
    Ok(StatusCode::NO_CONTENT)
}
