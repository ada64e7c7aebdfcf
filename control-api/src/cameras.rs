//! `/api/v1/cameras`: the cameras and how they are.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::routing::get;
use axum::{Json, Router};
use serde::Serialize;

use crate::Daemon;

/// A camera and how it is.
#[derive(Clone, Debug, PartialEq, Serialize)]
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

pub(crate) fn router() -> Router<Arc<dyn Daemon>> {
    Router::new().route("/cameras", get(list)).route("/cameras/{id}", get(one))
}

async fn list(State(daemon): State<Arc<dyn Daemon>>) -> Json<Vec<CameraView>> {
    Json(daemon.cameras())
}

async fn one(State(daemon): State<Arc<dyn Daemon>>, Path(id): Path<String>) -> Result<Json<CameraView>, StatusCode> {
    daemon.cameras().into_iter().find(|camera| camera.id == id).map(Json).ok_or(StatusCode::NOT_FOUND)
}
