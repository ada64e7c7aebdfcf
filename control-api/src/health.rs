//! `/health`: for whatever restarts the process (live) and whatever sends people there (ready).

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::get;
use axum::{Json, Router};
use serde::Serialize;

use crate::Daemon;

/// Whether a part can do its work.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Part {
    /// It can.
    pub ready: bool,
    /// In plain words: what it is doing, or what is wrong and what to do.
    pub reason: String,
}

impl Part {
    /// It can.
    pub fn ready(reason: impl Into<String>) -> Self {
        Self { ready: true, reason: reason.into() }
    }

    /// It cannot.
    pub fn not_ready(reason: impl Into<String>) -> Self {
        Self { ready: false, reason: reason.into() }
    }
}

/// Whether the daemon can do its work.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Readiness {
    /// Rows are written, not spooled.
    pub database: Part,
    /// The models are loaded.
    pub models: Part,
    /// Frames arrive.
    pub cameras: Part,
    /// Frames are worked on.
    pub lane: Part,
}

impl Readiness {
    /// Every part is.
    pub fn is_ready(&self) -> bool {
        [&self.database, &self.models, &self.cameras, &self.lane].iter().all(|part| part.ready)
    }
}

#[derive(Serialize)]
struct ReadyBody {
    ready: bool,
    #[serde(flatten)]
    parts: Readiness,
}

#[derive(Serialize)]
struct LiveBody {
    live: bool,
}

pub(crate) fn router() -> Router<Arc<dyn Daemon>> {
    Router::new().route("/health/live", get(live)).route("/health/ready", get(ready))
}

/// That this answers is the answer: the lane's own watchdog ends the process when a stage hangs.
async fn live() -> Json<LiveBody> {
    Json(LiveBody { live: true })
}

async fn ready(State(daemon): State<Arc<dyn Daemon>>) -> (StatusCode, Json<ReadyBody>) {
    let parts = daemon.readiness();
    let ready = parts.is_ready();
    let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, Json(ReadyBody { ready, parts }))
}
