//! `/api/v1/version`: what is running, and under which licences.

use std::sync::Arc;

use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::json::Json;
use crate::problem::Problems;
use crate::state::Api;

/// What is running.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct VersionView {
    /// Version of the program.
    pub version: String,
    /// Name of the place.
    pub site: String,
    /// Models in use.
    pub models: Vec<ModelView>,
}

/// A model in use.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct ModelView {
    /// Name with version.
    pub id: String,
    /// What it is for.
    pub job: String,
    /// SPDX identifier.
    pub licence: String,
    /// Who made it.
    pub origin: String,
    /// What it runs on: an execution provider of ONNX Runtime.
    pub runs_on: String,
    /// Why that is not the one that is configured.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fallback: Option<String>,
}

pub(crate) fn router() -> OpenApiRouter<Arc<Api>> {
    OpenApiRouter::new().routes(routes!(version))
}

/// What is running, and under which licences
#[utoipa::path(get, path = "/version", tag = "system", responses((status = 200, body = VersionView), Problems))]
async fn version(State(api): State<Arc<Api>>) -> Json<VersionView> {
    Json(api.daemon.version())
}
