//! The routes of CompreFace, so that its clients work with Rollcall as they are: subjects are people, faces are templates.
//!
//! A subject is the external id of whoever has one, and else the name. Unlike there, no picture is kept, the models tell
//! neither age nor sex nor masks nor pose, subjects are not merged, and nothing here erases everybody at once. `docs/api.md`
//! says so to its users.

mod failure;
mod look;
pub(crate) mod subjects;

use std::sync::Arc;

use utoipa_axum::router::OpenApiRouter;

use crate::state::Api;

pub(crate) fn router() -> OpenApiRouter<Arc<Api>> {
    subjects::router().merge(look::router())
}
