//! Looking at cameras: a probe of one that is not kept yet, a picture, the live view. Every look at faces is noted in the
//! audit log before the first of them is shown.

use std::convert::Infallible;
use std::future::poll_fn;
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body as HttpBody, Bytes};
use axum::extract::ws::rejection::WebSocketUpgradeRejection;
use axum::extract::ws::{CloseFrame, Message, WebSocket, WebSocketUpgrade, close_code};
use axum::extract::{Request, State};
use axum::http::request::Parts;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use futures_util::stream;
use rollcall_pipeline::CameraId;
use rollcall_pipeline::config::CameraConfig;
use rollcall_store::{Entry, Scope};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::time::{Instant, interval, sleep_until, timeout};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::settings::{CameraSettings, NewCredentials, field, separate};
use super::{file_camera, missing};
use crate::caller::Caller;
use crate::extract::{Body, Params, PathOf};
use crate::guard::{CAPTURED_AT, RESOURCE_POLICY};
use crate::json::Json;
use crate::ports::cameras::{CameraProbe, NoPicture, Overlay, Picture, Pictures};
use crate::problem::{Answer, FieldError, Problem, Problems};
use crate::rights::Right;
use crate::stall::unstalled;
use crate::state::Api;
use crate::validate::{Checks, is_slug};

/// Pictures a second that anybody is shown.
const MAX_FPS: f32 = 5.0;
const MIN_FPS: f32 = 0.1;
/// A camera that is live and analysed shows a picture by then.
const SNAPSHOT_WITHIN: Duration = Duration::from_secs(10);
/// A token that was revoked is good for so long at most.
const ASK_EVERY: Duration = Duration::from_secs(5);
/// Who takes no picture for so long is not there any more.
const STALLED: Duration = Duration::from_secs(20);
const HEARTBEAT: Duration = Duration::from_secs(15);
/// Viewers send nothing that matters.
const MAX_MESSAGE: usize = 4 << 10;
/// Longest preview that can be asked for by its length.
const MAX_SECONDS: u64 = 3_600;

/// A camera that is to be looked at once.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct CameraTest {
    /// How it is opened.
    pub(crate) settings: CameraSettings,
    /// User and password; may also stand in the address.
    #[serde(default)]
    pub(crate) credentials: Option<NewCredentials>,
    /// The room that it is for; whoever is limited to some places names one of theirs.
    #[schema(max_length = 40)]
    #[serde(default)]
    pub(crate) room_id: Option<String>,
}

/// What is drawn onto the pictures.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Shown {
    /// Nothing.
    None,
    /// Boxes and track ids.
    Boxes,
    /// Names too: needs people:read.
    Names,
}

/// How to watch.
#[derive(Clone, Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct WatchParams {
    /// Pictures a second, at most.
    #[param(minimum = 0.1, maximum = 5, default = 5)]
    fps: Option<f32>,
    /// What is drawn in. Without it: as much as the caller may see.
    #[param(inline)]
    overlay: Option<Shown>,
    /// Ends after so many seconds.
    #[param(minimum = 1, maximum = 3600)]
    seconds: Option<u64>,
    /// Instead of a header, where none can be set: a ticket of `/live/ticket`.
    #[param(max_length = 200)]
    #[serde(rename = "ticket")]
    _ticket: Option<String>,
}

pub(crate) fn router() -> OpenApiRouter<Arc<Api>> {
    OpenApiRouter::new()
        .routes(routes!(test))
        .routes(routes!(test_kept))
        .routes(routes!(snapshot))
        .routes(routes!(preview))
        .routes(routes!(preview_socket))
}

/// Look at a camera without keeping it
///
/// Opens it for some seconds, ten at most. That there is no picture is an answer too: `ok` is false then, and `reason` says
/// why.
#[utoipa::path(post, path = "/cameras/test", tag = "cameras", security(("token" = []), ("key" = [])),
    request_body = CameraTest, responses((status = 200, body = CameraProbe), Problems))]
async fn test(caller: Caller, State(api): State<Arc<Api>>, Body(test): Body<CameraTest>) -> Answer<Json<CameraProbe>> {
    caller.need(Right::CamerasWrite)?;
    let mut checks = Checks::default();
    let given = separate(&mut checks, test.settings, test.credentials)?;
    let known = match &test.room_id {
        Some(room) => is_slug(room) && api.store.room(&caller.scope, room).await?.is_some(),
        None => caller.scope == Scope::Everywhere,
    };
    if !known {
        checks.add("/room_id", "there is no such room; whoever is limited to some places names one of theirs");
    }
    let noted = json!({ "room_id": test.room_id, "settings": given.settings });
    let checked = api.cameras.check("under-test", "none", given.settings, given.credentials);
    let camera = match checked {
        Ok(camera) => Some(camera),
        Err(problems) => {
            for FieldError { pointer, detail } in problems.into_iter().map(field) {
                checks.add(pointer.trim_start_matches('#'), detail);
            }
            None
        }
    };
    checks.done()?;
    let camera = camera.ok_or_else(|| Problem::internal("a camera failed the check without a problem"))?;
    note(&api, &caller, "camera.test", "", Some(noted)).await?;
    Ok(Json(api.cameras.probe(camera).await?))
}

/// Look at a camera that is kept, with the settings and credentials that it has
#[utoipa::path(post, path = "/cameras/{id}/test", tag = "cameras", security(("token" = []), ("key" = [])),
    params(("id" = String, Path, description = "The camera", max_length = 40)),
    responses((status = 200, body = CameraProbe), Problems))]
async fn test_kept(
    caller: Caller,
    State(api): State<Arc<Api>>,
    PathOf(id): PathOf<String>,
) -> Answer<Json<CameraProbe>> {
    caller.need(Right::CamerasWrite)?;
    let camera = match file_camera(&api, &caller.scope, &id).await? {
        Some(camera) => camera,
        None => kept(&api, &caller, &id).await?,
    };
    note(&api, &caller, "camera.test", &id, None).await?;
    Ok(Json(api.cameras.probe(camera).await?))
}

async fn kept(api: &Api, caller: &Caller, id: &str) -> Answer<CameraConfig> {
    let row = api.store.camera(&caller.scope, id).await?.ok_or_else(missing)?;
    let credentials = api.store.camera_credentials(&row.id).await?;
    api.cameras.check(&row.id, &row.room_id, row.settings, credentials).map_err(|problems| {
        let told: Vec<_> = problems.iter().map(ToString::to_string).collect();
        Problem::conflict(format!("it cannot be opened as it is: {}", told.join("; ")))
    })
}

pub(super) async fn note(api: &Api, caller: &Caller, action: &str, id: &str, after: Option<Value>) -> Answer<()> {
    let mut change = api.store.change(caller.actor()).await?;
    let entry = Entry { action, object_kind: "camera", object_id: id.to_owned(), after, ..Entry::default() };
    change.audit(entry).await?;
    Ok(change.commit().await?)
}

/// What a camera sees now, with nothing drawn in; that it was looked at is noted in the audit log
#[utoipa::path(get, path = "/cameras/{id}/snapshot.jpg", tag = "cameras", security(("token" = []), ("key" = [])),
    params(("id" = String, Path, description = "The camera", max_length = 40)),
    responses((status = 200, content_type = "image/jpeg", body = Vec<u8>), Problems))]
async fn snapshot(caller: Caller, State(api): State<Arc<Api>>, PathOf(id): PathOf<String>) -> Answer<Response> {
    caller.need(Right::CamerasRead)?;
    let camera = live(&api, &caller, &id).await?;
    let mut pictures = api.cameras.watch(&camera, MAX_FPS, Overlay::None)?;
    note(&api, &caller, "camera.snapshot", &id, None).await?;
    let picture = timeout(SNAPSHOT_WITHIN, poll_fn(|context| pictures.poll_next(context))).await;
    let late =
        |_| NoPicture::Unavailable("no picture was analysed in time: look at the state of the camera".to_owned());
    let picture = picture.map_err(late)??;
    let jpeg = Bytes::from_owner(picture.jpeg);
    let captured = picture.captured.to_rfc3339_opts(chrono::SecondsFormat::Millis, true);
    Ok(([(header::CONTENT_TYPE, "image/jpeg"), (header::CACHE_CONTROL, "no-store")], [(CAPTURED_AT, captured)], jpeg)
        .into_response())
}

/// The camera, if the caller may see it.
async fn visible(api: &Api, caller: &Caller, id: &str) -> Answer<CameraId> {
    if file_camera(api, &caller.scope, id).await?.is_none() {
        let row = api.store.camera(&caller.scope, id).await?.ok_or_else(missing)?;
        if !row.enabled {
            return Err(Problem::conflict("the camera is disabled: enable it first"));
        }
    }
    Ok(CameraId::new(id))
}

/// The camera, if the caller may see it and there is anything to be seen.
async fn live(api: &Api, caller: &Caller, id: &str) -> Answer<CameraId> {
    let camera = visible(api, caller, id).await?;
    let status = api.cameras.status(&camera).unwrap_or_default();
    if status.state != "live" {
        let why = status.reason.unwrap_or_else(|| "no picture came yet".to_owned());
        return Err(Problem::conflict(format!("the camera is not live: {why}")));
    }
    Ok(camera)
}

/// Watch a camera, as a multipart stream of JPEGs (MJPEG)
///
/// For `<img>` and players. Boxes are drawn in, and names for those who may see people. It goes on until the viewer leaves,
/// the token ends, or the camera is removed; while the camera is away no picture comes. That somebody watched is noted in the
/// audit log.
#[utoipa::path(get, path = "/cameras/{id}/preview", tag = "cameras", security(("token" = []), ("key" = [])),
    params(("id" = String, Path, description = "The camera", max_length = 40), WatchParams),
    responses((status = 200, content_type = "multipart/x-mixed-replace; boundary=picture", body = Vec<u8>), Problems))]
async fn preview(
    caller: Caller,
    State(api): State<Arc<Api>>,
    PathOf(id): PathOf<String>,
    Params(params): Params<WatchParams>,
    request: Request,
) -> Answer<Response> {
    let shown_by = api.access.shown_by();
    let watching = Watching::begin(caller, api, id, params, request.into_parts().0).await?;
    let parts = stream::unfold(watching, |mut watching| async move {
        let picture = watching.next().await.ok()?;
        Some((Ok::<Bytes, Infallible>(part(&picture)), watching))
    });
    // A viewer that is slow is shown fewer.
    let body = unstalled(parts, STALLED);
    let kind = "multipart/x-mixed-replace; boundary=picture";
    let headers = [(header::CONTENT_TYPE, kind), (header::CACHE_CONTROL, "no-store")];
    // Proxies that collect answers would make it anything but live.
    let more = [("x-accel-buffering", "no"), (RESOURCE_POLICY, shown_by)];
    Ok((headers, more, HttpBody::from_stream(body)).into_response())
}

fn part(picture: &Picture) -> Bytes {
    let captured = picture.captured.to_rfc3339_opts(chrono::SecondsFormat::Millis, true);
    let mut part = format!(
        "--picture\r\nContent-Type: image/jpeg\r\nContent-Length: {}\r\nX-Captured-At: {captured}\r\n\r\n",
        picture.jpeg.len(),
    )
    .into_bytes();
    part.extend_from_slice(&picture.jpeg);
    part.extend_from_slice(b"\r\n");
    part.into()
}

/// Watch a camera, over a WebSocket
///
/// Every binary message is a JPEG. The socket is closed with 1008 when the token ends, and with 1001 otherwise.
#[utoipa::path(get, path = "/cameras/{id}/preview/ws", tag = "cameras", security(("token" = []), ("key" = [])),
    params(("id" = String, Path, description = "The camera", max_length = 40), WatchParams),
    responses((status = 101, description = "The socket is open"),
        (status = 426, description = "No WebSocket handshake", content_type = "application/problem+json", body = Problem,
            headers(("Upgrade" = String, description = "What is spoken here: websocket"))),
        Problems))]
async fn preview_socket(
    caller: Caller,
    State(api): State<Arc<Api>>,
    PathOf(id): PathOf<String>,
    Params(params): Params<WatchParams>,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
    request: Request,
) -> Answer<Response> {
    caller.need(Right::CamerasRead)?;
    visible(&api, &caller, &id).await?;
    let upgrade = upgrade.map_err(|rejection| Problem::no_handshake(rejection.body_text()))?;
    let watching = Watching::begin(caller, api, id, params, request.into_parts().0).await?;
    Ok(upgrade.max_message_size(MAX_MESSAGE).on_upgrade(|socket| show(socket, watching)).into_response())
}

async fn show(mut socket: WebSocket, mut watching: Watching) {
    let mut beat = interval(HEARTBEAT);
    beat.reset();
    loop {
        let message = tokio::select! {
            picture = watching.next() => match picture {
                Ok(picture) => Message::Binary(Bytes::from_owner(picture.jpeg)),
                Err(end) => {
                    let close = CloseFrame { code: end.code(), reason: end.as_str().into() };
                    // It ends either way.
                    drop(timeout(STALLED, socket.send(Message::Close(Some(close)))).await);
                    return;
                }
            },
            heard = socket.recv() => match heard {
                Some(Ok(Message::Close(_)) | Err(_)) | None => return,
                Some(Ok(_)) => continue,
            },
            _ = beat.tick() => Message::Ping(Bytes::new()),
        };
        if !matches!(timeout(STALLED, socket.send(message)).await, Ok(Ok(()))) {
            return;
        }
    }
}

/// Why a preview is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// The token or key is not good any more, or not for this camera.
    Refused,
    /// The camera is removed or disabled.
    Gone,
    /// The daemon ends, or drawing failed.
    Stopping,
    /// It was asked for so long and no longer.
    Over,
}

impl End {
    fn as_str(self) -> &'static str {
        match self {
            Self::Refused => "the token or key is not valid any more",
            Self::Gone => "the camera is gone",
            Self::Stopping => "the preview has ended; come back",
            Self::Over => "the time is over",
        }
    }

    fn code(self) -> u16 {
        if self == Self::Refused { close_code::POLICY } else { close_code::AWAY }
    }
}

/// One who watches: what they see, and for how long.
struct Watching {
    api: Arc<Api>,
    id: String,
    overlay: Overlay,
    /// What the token is read from again.
    parts: Parts,
    pictures: Box<dyn Pictures>,
    ask_at: Instant,
    until: Option<Instant>,
}

impl Watching {
    async fn begin(caller: Caller, api: Arc<Api>, id: String, params: WatchParams, parts: Parts) -> Answer<Self> {
        caller.need(Right::CamerasRead)?;
        let fps = params.fps.unwrap_or(MAX_FPS);
        let mut wrong = Vec::new();
        if !(MIN_FPS..=MAX_FPS).contains(&fps) {
            wrong.push(FieldError::query("fps", format!("must be {MIN_FPS} to {MAX_FPS}")));
        }
        if params.seconds.is_some_and(|seconds| !(1..=MAX_SECONDS).contains(&seconds)) {
            wrong.push(FieldError::query("seconds", format!("must be 1 to {MAX_SECONDS}")));
        }
        if !wrong.is_empty() {
            return Err(Problem::invalid(wrong));
        }
        let overlay = match params.overlay {
            Some(Shown::None) => Overlay::None,
            Some(Shown::Boxes) => Overlay::Boxes,
            Some(Shown::Names) => {
                caller.need(Right::PeopleRead)?;
                Overlay::Names
            }
            None if caller.may(Right::PeopleRead) => Overlay::Names,
            None => Overlay::Boxes,
        };
        let camera = visible(&api, &caller, &id).await?;
        let pictures = api.cameras.watch(&camera, fps, overlay)?;
        note(&api, &caller, "camera.preview", &id, Some(json!({ "names": overlay == Overlay::Names }))).await?;
        let now = Instant::now();
        let until = params.seconds.map(|seconds| now + Duration::from_secs(seconds));
        Ok(Self { api, id, overlay, parts, pictures, ask_at: now + ASK_EVERY, until })
    }

    /// The next picture. May be dropped while it waits.
    async fn next(&mut self) -> Result<Picture, End> {
        loop {
            // First of all, and also when there is always a picture.
            let now = Instant::now();
            if self.until.is_some_and(|until| now >= until) {
                return Err(End::Over);
            }
            if now >= self.ask_at {
                self.ask_again().await?;
                self.ask_at = Instant::now() + ASK_EVERY;
            }
            let wake = self.until.map_or(self.ask_at, |until| until.min(self.ask_at));
            let pictures = &mut self.pictures;
            tokio::select! {
                () = sleep_until(wake) => {}
                picture = poll_fn(|context| pictures.poll_next(context)) => return picture.map_err(|_| End::Stopping),
            }
        }
    }

    /// Whether the caller may still watch what they watch.
    async fn ask_again(&mut self) -> Result<(), End> {
        let seen = async {
            let Some(caller) = Caller::find(&self.parts, &self.api).await? else {
                return Ok(Err(End::Refused));
            };
            if !caller.may(Right::CamerasRead) || (self.overlay == Overlay::Names && !caller.may(Right::PeopleRead)) {
                return Ok(Err(End::Refused));
            }
            visible(&self.api, &caller, &self.id).await?;
            Ok::<_, Problem>(Ok(()))
        };
        match seen.await {
            Ok(outcome) => outcome,
            // The database is away; the camera is not.
            Err(problem) if problem.status().is_server_error() => Ok(()),
            Err(problem) if problem.status() == StatusCode::UNAUTHORIZED => Err(End::Refused),
            Err(_) => Err(End::Gone),
        }
    }
}
