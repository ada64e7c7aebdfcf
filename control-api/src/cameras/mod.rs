//! `/api/v1/cameras`: the cameras, those of the configuration file and those that are kept in the database.

mod find;
mod look;
mod settings;
mod view;

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use rollcall_pipeline::config::{CameraConfig, Secret};
use rollcall_store::{CameraFields, Scope};
use serde::Deserialize;
use serde_json::{Map, Value};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::caller::Caller;
use crate::extract::{Body, Created, IfMatch, Params, PathOf, Versioned, fits, present};
use crate::json::Json;
use crate::page::{self, Page};
use crate::problem::{Answer, FieldError, Problem, Problems};
use crate::rights::Right;
use crate::sites::not_of_the_file;
use crate::state::Api;
use crate::validate::{Checks, MAX_NAME, is_slug};

use settings::{CameraSettings, Given, NewCredentials, field, separate, servers};
pub use view::CameraView;

/// What stands where ids stand.
const PATHS: [&str; 2] = ["discover", "test"];

/// A new camera.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewCamera {
    /// Short name.
    #[schema(pattern = "^[a-z0-9_-]{1,40}$", min_length = 1, max_length = 40)]
    pub(crate) id: String,
    /// The room it looks into.
    #[schema(min_length = 1, max_length = 40)]
    pub(crate) room_id: String,
    /// Name for people; without it the id.
    #[serde(default)]
    #[schema(min_length = 1, max_length = 200)]
    pub(crate) name: Option<String>,
    /// Whether it is opened.
    #[serde(default = "yes")]
    #[schema(default = true)]
    pub(crate) enabled: bool,
    /// How it is opened and analysed.
    pub(crate) settings: CameraSettings,
    /// User and password; may also stand in the address.
    #[serde(default)]
    pub(crate) credentials: Option<NewCredentials>,
}

fn yes() -> bool {
    true
}

/// What is to be different about a camera.
#[derive(Clone, Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct CameraPatch {
    /// The room it looks into.
    #[schema(min_length = 1, max_length = 40, nullable = false)]
    #[serde(deserialize_with = "crate::extract::given")]
    #[serde(default)]
    pub(crate) room_id: Option<String>,
    /// Name for people.
    #[schema(min_length = 1, max_length = 200, nullable = false)]
    #[serde(deserialize_with = "crate::extract::given")]
    #[serde(default)]
    pub(crate) name: Option<String>,
    /// Whether it is opened.
    #[schema(nullable = false)]
    #[serde(deserialize_with = "crate::extract::given")]
    #[serde(default)]
    pub(crate) enabled: Option<bool>,
    /// The settings that are to be different, down to the last level; null: the default.
    #[schema(value_type = CameraSettings, nullable = false)]
    #[serde(deserialize_with = "crate::extract::given")]
    #[serde(default)]
    pub(crate) settings: Option<Map<String, Value>>,
    /// Other credentials; null: none.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<NewCredentials>)]
    pub(crate) credentials: Option<Option<NewCredentials>>,
}

/// Which cameras.
#[derive(Clone, Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct CameraParams {
    /// Of this room.
    #[param(max_length = 40)]
    pub(crate) room_id: Option<String>,
    /// Most rows of the answer.
    #[param(minimum = 1, maximum = 500, default = 50)]
    pub(crate) limit: Option<u32>,
    /// `next_cursor` of the page before.
    #[param(max_length = 1000)]
    pub(crate) cursor: Option<String>,
}

pub(crate) fn router() -> OpenApiRouter<Arc<Api>> {
    OpenApiRouter::new()
        .routes(routes!(list, create))
        .routes(routes!(read, change, remove))
        .merge(look::router())
        .merge(find::router())
}

/// The cameras and how they are, by id
#[utoipa::path(get, path = "/cameras", tag = "cameras", security(("token" = []), ("key" = [])), params(CameraParams),
    responses((status = 200, body = Page<CameraView>), Problems))]
async fn list(
    caller: Caller,
    State(api): State<Arc<Api>>,
    Params(params): Params<CameraParams>,
) -> Answer<Json<Page<CameraView>>> {
    caller.need(Right::CamerasRead)?;
    let (limit, after) = (page::limit(params.limit)?, page::after::<String>(params.cursor.as_deref())?);
    fits("room_id", params.room_id.as_deref(), 40)?;
    let (room, after) = (params.room_id.as_deref(), after.as_deref());
    let of_file = file_cameras(&api, &caller.scope).await?;
    let rows = api.store.cameras(&caller.scope, room, after, limit).await?;
    let cameras = api.cameras.as_ref();
    let in_page = |camera: &&CameraConfig| {
        room.is_none_or(|room| camera.tuning.room.as_str() == room)
            && after.is_none_or(|after| camera.id.as_str() > after)
    };
    let of_file = of_file.iter().filter(in_page).map(|camera| CameraView::of_file(camera, cameras));
    let mut views: Vec<_> = of_file.chain(rows.into_iter().map(|row| CameraView::of_row(row, cameras))).collect();
    // One of the file hides one of the database with its id, here as in the daemon.
    views.sort_by(|a, b| a.id.cmp(&b.id));
    views.dedup_by(|a, b| a.id == b.id);
    Ok(Json(Page::of(views, limit, |camera| camera.id.clone())))
}

/// Those of the file that a caller may see.
async fn file_cameras(api: &Api, scope: &Scope) -> Answer<Vec<CameraConfig>> {
    let mut cameras = api.cameras.of_file();
    let rooms: Vec<_> = cameras.iter().map(|camera| camera.tuning.room.to_string()).collect();
    let visible = api.store.rooms_among(scope, &rooms).await?;
    cameras.retain(|camera| visible.iter().any(|room| room == camera.tuning.room.as_str()));
    Ok(cameras)
}

/// The camera of the file with this id, if a caller may see it.
pub(crate) async fn file_camera(api: &Api, scope: &Scope, id: &str) -> Answer<Option<CameraConfig>> {
    if !is_slug(id) {
        return Err(missing());
    }
    if api.cameras.of_file().iter().all(|camera| camera.id.as_str() != id) {
        return Ok(None);
    }
    let mut cameras = file_cameras(api, scope).await?;
    cameras.retain(|camera| camera.id.as_str() == id);
    cameras.pop().map(Some).ok_or_else(missing)
}

fn missing() -> Problem {
    Problem::not_found("camera")
}

/// Add a camera
///
/// It is opened within two seconds; no other camera notices. The answer does not wait for its first picture: see `status`.
#[utoipa::path(post, path = "/cameras", tag = "cameras", security(("token" = []), ("key" = [])), request_body = NewCamera,
    responses((status = 201, body = CameraView), Problems))]
async fn create(
    caller: Caller,
    State(api): State<Arc<Api>>,
    Body(new): Body<NewCamera>,
) -> Answer<Created<CameraView>> {
    caller.need(Right::CamerasWrite)?;
    let mut checks = Checks::default();
    checks.slug("/id", &new.id);
    if PATHS.contains(&new.id.as_str()) {
        checks.add("/id", "is the name of an operation here: choose another");
    }
    checks.maybe_line("/name", new.name.as_deref(), MAX_NAME);
    let given = separate(&mut checks, new.settings, new.credentials)?;
    if !is_slug(&new.room_id) || api.store.room(&caller.scope, &new.room_id).await?.is_none() {
        checks.add("/room_id", "there is no such room");
    }
    check(&api, checks, &new.id, &new.room_id, &given, given.credentials.clone())?;
    if api.cameras.of_file().iter().any(|camera| camera.id.as_str() == new.id) {
        return Err(Problem::conflict("there is a camera with this id in the configuration file: choose another"));
    }
    let fields = CameraFields {
        room_id: new.room_id,
        name: new.name.unwrap_or_else(|| new.id.clone()),
        enabled: new.enabled,
        settings: given.settings,
    };
    let mut change = api.store.change(caller.actor()).await?;
    let open = change.count_cameras_to_open().await?;
    if fields.enabled {
        has_room(&api, open + 1)?;
    }
    let camera = change.add_camera(&new.id, &fields, given.credentials.as_ref()).await?;
    change.commit().await?;
    let (location, version) = (format!("/api/v1/cameras/{}", camera.id), Some(camera.version));
    Ok(Created { location, version, body: CameraView::of_row(camera, api.cameras.as_ref()) })
}

/// Tells everything that is wrong with a camera at once.
fn check(
    api: &Api,
    mut checks: Checks,
    id: &str,
    room: &str,
    given: &Given,
    credentials: Option<(String, Secret)>,
) -> Answer<()> {
    let wrong = api.cameras.check(id, room, given.settings.clone(), credentials).err().unwrap_or_default();
    for FieldError { pointer, detail } in wrong.into_iter().map(field) {
        // What is said of ids and rooms is said already.
        if !matches!(pointer.as_str(), "#/id" | "#/room_id") {
            checks.add(pointer.trim_start_matches('#'), detail);
        }
    }
    checks.done()
}

/// The memory is shared out when the daemon starts: a camera that does not fit is refused, not squeezed in.
fn has_room(api: &Api, beside_the_file: usize) -> Answer<()> {
    api.cameras.room_for(beside_the_file).map_err(|sum| Problem::conflict(format!("lane.memory_budget_mb: {sum}")))
}

/// One camera and how it is
#[utoipa::path(get, path = "/cameras/{id}", tag = "cameras", security(("token" = []), ("key" = [])),
    params(("id" = String, Path, description = "The camera", max_length = 40)),
    responses((status = 200, body = CameraView), Problems))]
async fn read(caller: Caller, State(api): State<Arc<Api>>, PathOf(id): PathOf<String>) -> Answer<Response> {
    caller.need(Right::CamerasRead)?;
    if let Some(camera) = file_camera(&api, &caller.scope, &id).await? {
        return Ok(Json(CameraView::of_file(&camera, api.cameras.as_ref())).into_response());
    }
    let camera = api.store.camera(&caller.scope, &id).await?.ok_or_else(missing)?;
    let version = camera.version;
    Ok(Versioned(version, CameraView::of_row(camera, api.cameras.as_ref())).into_response())
}

/// Change a camera
///
/// The change is in force within two seconds, for this camera alone: another address or mounting opens it anew, everything
/// else is swapped while its pictures go on. Who sends it to another host, port or scheme gives the credentials again:
/// they are not told to whoever can change an address.
#[utoipa::path(patch, path = "/cameras/{id}", tag = "cameras", security(("token" = []), ("key" = [])),
    params(("id" = String, Path, description = "The camera", max_length = 40),
        ("If-Match" = String, Header, description = "ETag that was read, or *")),
    request_body = CameraPatch, responses((status = 200, body = CameraView), Problems))]
async fn change(
    caller: Caller,
    State(api): State<Arc<Api>>,
    PathOf(id): PathOf<String>,
    if_match: IfMatch,
    Body(patch): Body<CameraPatch>,
) -> Answer<Versioned<CameraView>> {
    caller.need(Right::CamerasWrite)?;
    if file_camera(&api, &caller.scope, &id).await?.is_some() {
        not_of_the_file("camera", "file")?;
    }
    let mut checks = Checks::default();
    checks.maybe_line("/name", patch.name.as_deref(), MAX_NAME);
    if let Some(room) = &patch.room_id
        && (!is_slug(room) || api.store.room(&caller.scope, room).await?.is_none())
    {
        checks.add("/room_id", "there is no such room");
    }
    let mut change = api.store.change(caller.actor()).await?;
    // First, as whoever adds one does: two changes never wait for each other.
    let open = change.count_cameras_to_open().await?;
    let before = change.lock_camera(&caller.scope, &id).await?.ok_or_else(missing)?;
    if_match.check(before.version)?;
    let settings = CameraSettings::patched(&before.settings, patch.settings.unwrap_or_default())?;
    let taken_away = matches!(patch.credentials, Some(None));
    let given = separate(&mut checks, settings, patch.credentials.flatten())?;
    let credentials = match &given.credentials {
        Some(credentials) => Some(Some(credentials)),
        None if taken_away => Some(None),
        None => None,
    };
    let known = servers(&before.settings);
    if before.has_credentials && credentials.is_none() && servers(&given.settings).iter().any(|s| !known.contains(s)) {
        checks.add(
            "/credentials",
            "give them again for another host, port or scheme, or null for none: they are not sent elsewhere",
        );
    }
    let fields = CameraFields {
        room_id: patch.room_id.unwrap_or_else(|| before.room_id.clone()),
        name: patch.name.unwrap_or_else(|| before.name.clone()),
        enabled: patch.enabled.unwrap_or(before.enabled),
        settings: given.settings.clone(),
    };
    // For the check it matters only whether there are any.
    let kept = before.has_credentials.then(|| ("kept".to_owned(), Secret::new("kept")));
    let for_check = credentials.map_or(kept, |credentials| credentials.cloned());
    check(&api, checks, &id, &fields.room_id, &given, for_check)?;
    if fields.enabled && !before.enabled {
        has_room(&api, open + 1)?;
    }
    let camera = change.replace_camera(&before, &fields, credentials).await?;
    change.commit().await?;
    Ok(Versioned(camera.version, CameraView::of_row(camera, api.cameras.as_ref())))
}

/// Remove a camera; what it saw stays
#[utoipa::path(delete, path = "/cameras/{id}", tag = "cameras", security(("token" = []), ("key" = [])),
    params(("id" = String, Path, description = "The camera", max_length = 40),
        ("If-Match" = String, Header, description = "ETag that was read, or *")),
    responses((status = 204), Problems))]
async fn remove(
    caller: Caller,
    State(api): State<Arc<Api>>,
    PathOf(id): PathOf<String>,
    if_match: IfMatch,
) -> Answer<StatusCode> {
    caller.need(Right::CamerasWrite)?;
    if file_camera(&api, &caller.scope, &id).await?.is_some() {
        not_of_the_file("camera", "file")?;
    }
    let mut change = api.store.change(caller.actor()).await?;
    let camera = change.lock_camera(&caller.scope, &id).await?.ok_or_else(missing)?;
    if_match.check(camera.version)?;
    change.remove_camera(&camera).await?;
    change.commit().await?;
    Ok(StatusCode::NO_CONTENT)
}
