//! `/api/v1/rooms`: rooms, and what is on in them.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use rollcall_store::{MAIN_SITE, Room};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::caller::Caller;
use crate::extract::{Body, Created, IfMatch, Params, PathOf, Versioned, fits, present};
use crate::json::Json;
use crate::page::{self, MAX_LIMIT, Page};
use crate::problem::{Answer, Problem, Problems};
use crate::rights::Right;
use crate::sessions::{RosterView, SessionView};
use crate::sites::not_of_the_file;
use crate::state::Api;
use crate::validate::{Checks, MAX_NAME};

/// A room.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub(crate) struct RoomView {
    /// Short name.
    #[schema(example = "hall")]
    pub id: String,
    /// The site.
    pub site_id: String,
    /// Name for people.
    pub name: String,
    /// IANA name of the zone in which it keeps its timetable.
    pub time_zone: String,
    /// Whether that is its own; else it is that of the site.
    pub own_time_zone: bool,
    /// `api`, or `file` for a room of the configuration file, which is changed there.
    pub managed_by: String,
    /// For If-Match.
    pub version: i64,
}

impl From<Room> for RoomView {
    fn from(room: Room) -> Self {
        Self {
            time_zone: room.zone().to_owned(),
            own_time_zone: room.time_zone.is_some(),
            name: room.name.unwrap_or_else(|| room.id.clone()),
            id: room.id,
            site_id: room.site_id,
            managed_by: room.managed_by,
            version: room.version,
        }
    }
}

/// A new room.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewRoom {
    /// Short name.
    #[schema(pattern = "^[a-z0-9_-]{1,40}$", min_length = 1, max_length = 40)]
    pub id: String,
    /// The site; without it that of the configuration file.
    #[schema(max_length = 40)]
    #[serde(default)]
    pub site_id: Option<String>,
    /// Name for people; without it the id.
    #[schema(min_length = 1, max_length = 200)]
    #[serde(default)]
    pub name: Option<String>,
    /// IANA name; without it that of the site.
    #[schema(max_length = 60)]
    #[serde(default)]
    pub time_zone: Option<String>,
}

/// What is to be different about a room.
#[derive(Clone, Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct RoomPatch {
    /// Name for people; null: the id.
    #[serde(deserialize_with = "present")]
    #[schema(value_type = Option<String>, min_length = 1, max_length = 200)]
    pub name: Option<Option<String>>,
    /// IANA name; null: that of the site.
    #[serde(deserialize_with = "present")]
    #[schema(value_type = Option<String>, max_length = 60)]
    pub time_zone: Option<Option<String>>,
}

/// What is on in a room.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub(crate) struct RoomNowView {
    /// The room.
    pub room: RoomView,
    /// The session that is on; of several, the one that began last. The board has all of them.
    pub now: Option<SessionView>,
    /// The session that comes next.
    pub next: Option<SessionView>,
    /// Who is expected in the session that is on, else in the next one, and who of them is there; the first 500 by name.
    /// The rest is in `/sessions/{id}/roster`.
    pub roster: Vec<RosterView>,
    /// Whether the roster is longer than that.
    pub roster_goes_on: bool,
}

/// Which rooms.
#[derive(Clone, Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct RoomParams {
    /// Of this site.
    #[param(max_length = 40)]
    pub site_id: Option<String>,
    /// Most rows of the answer.
    #[param(minimum = 1, maximum = 500, default = 50)]
    pub limit: Option<u32>,
    /// `next_cursor` of the page before.
    #[param(max_length = 1000)]
    pub cursor: Option<String>,
}

pub(crate) fn router() -> OpenApiRouter<Arc<Api>> {
    OpenApiRouter::new().routes(routes!(list, create)).routes(routes!(read, change, remove)).routes(routes!(now))
}

/// The rooms
#[utoipa::path(get, path = "/rooms", tag = "places", security(("token" = []), ("key" = [])), params(RoomParams),
    responses((status = 200, body = Page<RoomView>), Problems))]
async fn list(
    caller: Caller,
    State(api): State<Arc<Api>>,
    Params(params): Params<RoomParams>,
) -> Answer<Json<Page<RoomView>>> {
    caller.need(Right::PlacesRead)?;
    let (limit, after) = (page::limit(params.limit)?, page::after::<String>(params.cursor.as_deref())?);
    fits("site_id", params.site_id.as_deref(), 40)?;
    let rows = api.store.rooms(&caller.scope, params.site_id.as_deref(), after.as_deref(), limit).await?;
    Ok(Json(Page::of(rows, limit, |room| room.id.clone()).map(RoomView::from)))
}

/// Add a room
#[utoipa::path(post, path = "/rooms", tag = "places", security(("token" = []), ("key" = [])), request_body = NewRoom,
    responses((status = 201, body = RoomView), Problems))]
async fn create(caller: Caller, State(api): State<Arc<Api>>, Body(new): Body<NewRoom>) -> Answer<Created<RoomView>> {
    caller.need(Right::PlacesWrite)?;
    let mut checks = Checks::default();
    checks.slug("/id", &new.id);
    checks.maybe_line("/name", new.name.as_deref(), MAX_NAME);
    checks.maybe_time_zone("/time_zone", new.time_zone.as_deref());
    let mut change = api.store.change(caller.actor()).await?;
    let site = change.lock_site(&caller.scope, new.site_id.as_deref().unwrap_or(MAIN_SITE)).await?;
    if site.is_none() {
        checks.add("/site_id", "there is no such site");
    }
    checks.done()?;
    let site = site.ok_or_else(|| Problem::not_found("site"))?;
    let room = change.add_room(&new.id, &site.id, new.name.as_deref(), new.time_zone.as_deref()).await?;
    change.commit().await?;
    Ok(Created { location: format!("/api/v1/rooms/{}", room.id), version: Some(room.version), body: room.into() })
}

/// One room
#[utoipa::path(get, path = "/rooms/{id}", tag = "places", security(("token" = []), ("key" = [])),
    params(("id" = String, Path, description = "The room", max_length = 40)),
    responses((status = 200, body = RoomView), Problems))]
async fn read(caller: Caller, State(api): State<Arc<Api>>, PathOf(id): PathOf<String>) -> Answer<Versioned<RoomView>> {
    caller.need(Right::PlacesRead)?;
    let room = api.store.room(&caller.scope, &id).await?.ok_or_else(|| Problem::not_found("room"))?;
    Ok(Versioned(room.version, room.into()))
}

/// Change a room
#[utoipa::path(patch, path = "/rooms/{id}", tag = "places", security(("token" = []), ("key" = [])),
    params(("id" = String, Path, description = "The room", max_length = 40),
        ("If-Match" = String, Header, description = "ETag that was read, or *")),
    request_body = RoomPatch, responses((status = 200, body = RoomView), Problems))]
async fn change(
    caller: Caller,
    State(api): State<Arc<Api>>,
    PathOf(id): PathOf<String>,
    if_match: IfMatch,
    Body(patch): Body<RoomPatch>,
) -> Answer<Versioned<RoomView>> {
    caller.need(Right::PlacesWrite)?;
    let mut checks = Checks::default();
    checks.maybe_line("/name", patch.name.as_ref().and_then(Option::as_deref), MAX_NAME);
    checks.maybe_time_zone("/time_zone", patch.time_zone.as_ref().and_then(Option::as_deref));
    checks.done()?;
    let mut change = api.store.change(caller.actor()).await?;
    let before = change.lock_room(&caller.scope, &id).await?.ok_or_else(|| Problem::not_found("room"))?;
    not_of_the_file("room", &before.managed_by)?;
    if_match.check(before.version)?;
    let name = patch.name.unwrap_or_else(|| before.name.clone());
    let time_zone = patch.time_zone.unwrap_or_else(|| before.time_zone.clone());
    let room = change.replace_room(&before, name.as_deref(), time_zone.as_deref()).await?;
    change.commit().await?;
    Ok(Versioned(room.version, room.into()))
}

/// Remove a room in which nothing ever was
#[utoipa::path(delete, path = "/rooms/{id}", tag = "places", security(("token" = []), ("key" = [])),
    params(("id" = String, Path, description = "The room", max_length = 40),
        ("If-Match" = String, Header, description = "ETag that was read, or *")),
    responses((status = 204), Problems))]
async fn remove(
    caller: Caller,
    State(api): State<Arc<Api>>,
    PathOf(id): PathOf<String>,
    if_match: IfMatch,
) -> Answer<StatusCode> {
    caller.need(Right::PlacesWrite)?;
    let mut change = api.store.change(caller.actor()).await?;
    let room = change.lock_room(&caller.scope, &id).await?.ok_or_else(|| Problem::not_found("room"))?;
    not_of_the_file("room", &room.managed_by)?;
    if_match.check(room.version)?;
    change.remove_room(&room).await?;
    change.commit().await?;
    Ok(StatusCode::NO_CONTENT)
}

/// What is on in a room, and who is there
#[utoipa::path(get, path = "/rooms/{id}/now", tag = "places", security(("token" = []), ("key" = [])),
    params(("id" = String, Path, description = "The room", max_length = 40)),
    responses((status = 200, body = RoomNowView), Problems))]
async fn now(caller: Caller, State(api): State<Arc<Api>>, PathOf(id): PathOf<String>) -> Answer<Json<RoomNowView>> {
    caller.need(Right::AttendanceRead)?;
    let room = api.store.room(&caller.scope, &id).await?.ok_or_else(|| Problem::not_found("room"))?;
    let at = api.clock.wall();
    let on = api.store.session_on(&room.id, at).await?;
    let next = api.store.session_next(&room.id, at).await?;
    let mut roster = match on.as_ref().or(next.as_ref()) {
        Some(session) => api.store.roster(session.id, None, MAX_LIMIT).await?,
        None => Vec::new(),
    };
    let roster_goes_on = roster.len() > MAX_LIMIT as usize;
    roster.truncate(MAX_LIMIT as usize);
    let view = |session| SessionView::of(session, at);
    Ok(Json(RoomNowView {
        room: room.into(),
        now: on.map(view),
        next: next.map(view),
        roster: roster.into_iter().map(RosterView::from).collect(),
        roster_goes_on,
    }))
}
