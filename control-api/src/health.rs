//! `/health`: for whatever restarts the process (live) and whatever sends people there (ready).

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use rollcall_pipeline::metrics::record_ready;
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::json::Json;
use crate::state::Api;

/// Whether a part can do its work.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
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
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
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
        self.parts().iter().all(|(_, part)| part.ready)
    }

    /// Tells whoever watches metrics and nothing else.
    pub(crate) fn record(&self) {
        self.parts().into_iter().for_each(|(name, part)| record_ready(name, part.ready));
    }

    fn parts(&self) -> [(&'static str, &Part); 4] {
        [("database", &self.database), ("models", &self.models), ("cameras", &self.cameras), ("lane", &self.lane)]
    }
}

#[derive(Serialize, ToSchema)]
struct ReadyBody {
    ready: bool,
    #[serde(flatten)]
    parts: Readiness,
}

#[derive(Serialize, ToSchema)]
struct LiveBody {
    live: bool,
}

pub(crate) fn router() -> OpenApiRouter<Arc<Api>> {
    OpenApiRouter::new().routes(routes!(live)).routes(routes!(ready))
}

/// Whether the process lives
///
/// That this answers is the answer: the lane's own watchdog ends the process when a stage hangs.
#[utoipa::path(get, path = "/health/live", tag = "system", responses((status = 200, body = LiveBody)))]
async fn live() -> Json<LiveBody> {
    Json(LiveBody { live: true })
}

/// Whether it can do its work, part by part
#[utoipa::path(get, path = "/health/ready", tag = "system",
    responses((status = 200, body = ReadyBody), (status = 503, body = ReadyBody)))]
async fn ready(State(api): State<Arc<Api>>) -> (StatusCode, Json<ReadyBody>) {
    let parts = api.daemon.readiness();
    let ready = parts.is_ready();
    let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, Json(ReadyBody { ready, parts }))
}
