//! `/api/v1/version`: what is running, and under which licences.

use std::sync::Arc;

use axum::extract::State;
use axum::routing::get;
use axum::{Json, Router};
use serde::Serialize;

use crate::Daemon;

/// What is running.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct VersionView {
    /// Version of the program.
    pub version: String,
    /// Name of the place.
    pub site: String,
    /// Models in use.
    pub models: Vec<ModelView>,
}

/// A model in use.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ModelView {
    /// Name with version.
    pub id: String,
    /// What it is for.
    pub job: String,
    /// SPDX identifier.
    pub licence: String,
    /// Who made it.
    pub origin: String,
}

pub(crate) fn router() -> Router<Arc<dyn Daemon>> {
    Router::new().route("/version", get(version))
}

async fn version(State(daemon): State<Arc<dyn Daemon>>) -> Json<VersionView> {
    Json(daemon.version())
}
