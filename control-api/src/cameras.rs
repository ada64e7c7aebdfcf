//! `/api/v1/cameras`: the cameras and how they are.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::caller::Caller;
use crate::extract::PathOf;
use crate::problem::{Answer, Problem, Problems};
use crate::rights::Right;
use crate::state::Api;

/// A camera and how it is.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct CameraView {
    /// Its name.
    pub id: String,
    /// The room it looks into.
    pub room: String,
    /// `entry`, `exit`, or both ways.
    pub direction: Option<&'static str>,
    /// `connecting`, `live` or `backoff`.
    pub state: String,
    /// Why it is not live, in plain words.
    pub reason: Option<String>,
    /// Codec of the stream.
    pub codec: Option<String>,
    /// Width of the decoded picture.
    pub width: Option<u32>,
    /// Height of the decoded picture.
    pub height: Option<u32>,
    /// Frames a second that arrive.
    pub fps: Option<f64>,
    /// Milliseconds since the last frame.
    pub frame_age_ms: Option<u64>,
    /// Connections that ended since the start.
    pub reconnects: u64,
    /// Where capture times come from.
    pub time_source: Option<&'static str>,
    /// The camera's clock less ours.
    pub clock_skew_ms: Option<i64>,
}

pub(crate) fn router() -> OpenApiRouter<Arc<Api>> {
    OpenApiRouter::new().routes(routes!(list)).routes(routes!(one))
}

/// The cameras and how they are
#[utoipa::path(get, path = "/cameras", tag = "cameras", security(("token" = []), ("key" = [])),
    responses((status = 200, body = [CameraView]), Problems))]
async fn list(caller: Caller, State(api): State<Arc<Api>>) -> Answer<Json<Vec<CameraView>>> {
    caller.need(Right::CamerasRead)?;
    Ok(Json(api.daemon.cameras()))
}

/// One camera and how it is
#[utoipa::path(get, path = "/cameras/{id}", tag = "cameras", security(("token" = []), ("key" = [])),
    params(("id" = String, Path, description = "Name of the camera")),
    responses((status = 200, body = CameraView), Problems))]
async fn one(caller: Caller, State(api): State<Arc<Api>>, PathOf(id): PathOf<String>) -> Answer<Json<CameraView>> {
    caller.need(Right::CamerasRead)?;
    let camera = api.daemon.cameras().into_iter().find(|camera| camera.id == id);
    camera.map(Json).ok_or_else(|| Problem::not_found("camera"))
}
