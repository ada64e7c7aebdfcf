//! `/api/v1/people/{id}/templates`: the faces by which somebody is recognised, but for the faces. How they are made is in
//! `enrol`.

use std::sync::Arc;

use axum::extract::{DefaultBodyLimit, State};
use axum::http::StatusCode;
use chrono::{DateTime, Utc};
use rollcall_pipeline::PersonId;
use rollcall_store::TemplateRow;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use uuid::Uuid;

use super::{enrol, no_person, visible};
use crate::caller::Caller;
use crate::extract::{Params, PathOf};
use crate::json::Json;
use crate::page::{self, Page};
use crate::ports::faces::GateView;
use crate::problem::{Answer, Problem, Problems};
use crate::rights::Right;
use crate::state::Api;

/// A template, without the face.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub(crate) struct TemplateView {
    /// Id.
    pub id: Uuid,
    /// The model that made it.
    pub model: String,
    /// The licence under which that was used.
    pub licence: String,
    /// How good the view is, 0 to 1.
    pub quality: f32,
    /// Where it comes from: `picture`, `camera`, `review` or `folder`.
    pub source: String,
    /// sha256 of what it was made from, in hexadecimal: a file, or the pixels of a face before a camera.
    pub sha256: String,
    /// Every limit with what was measured; empty for pictures of a folder.
    #[schema(value_type = Vec<GateView>)]
    pub gates: serde_json::Value,
    /// When it was made.
    pub created_at: DateTime<Utc>,
}

impl From<TemplateRow> for TemplateView {
    fn from(row: TemplateRow) -> Self {
        Self {
            id: row.id,
            model: row.model_id,
            licence: row.model_licence,
            quality: row.quality,
            source: row.source,
            sha256: row.source_sha256,
            gates: row.report.unwrap_or_else(|| serde_json::json!([])),
            created_at: row.created_at,
        }
    }
}

/// Which page.
#[derive(Clone, Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct TemplateParams {
    /// Most rows of the answer.
    #[param(minimum = 1, maximum = 500, default = 50)]
    pub limit: Option<u32>,
    /// `next_cursor` of the page before.
    #[param(max_length = 1000)]
    pub cursor: Option<String>,
}

pub(super) fn router() -> OpenApiRouter<Arc<Api>> {
    let uploads = OpenApiRouter::new()
        .routes(routes!(list, enrol::from_pictures, remove_all))
        .layer(DefaultBodyLimit::max(enrol::MAX_BODY));
    OpenApiRouter::new()
        .merge(uploads)
        .routes(routes!(remove_one))
        .routes(routes!(enrol::from_camera))
        .routes(routes!(enrol::from_review))
}

/// A person's templates, oldest first, without the faces
#[utoipa::path(get, path = "/people/{id}/templates", tag = "people", security(("token" = []), ("key" = [])),
    params(("id" = Uuid, Path, description = "The person"), TemplateParams),
    responses((status = 200, body = Page<TemplateView>), Problems))]
async fn list(
    caller: Caller,
    State(api): State<Arc<Api>>,
    PathOf(id): PathOf<Uuid>,
    Params(params): Params<TemplateParams>,
) -> Answer<Json<Page<TemplateView>>> {
    caller.need(Right::PeopleRead)?;
    let (limit, after) = (page::limit(params.limit)?, page::after::<Uuid>(params.cursor.as_deref())?);
    let person = visible(&api, &caller, id).await?;
    let rows = api.store.templates(PersonId(person.id), after, limit).await?;
    Ok(Json(Page::of(rows, limit, |template| template.id).map(TemplateView::from)))
}

/// Erase one template
#[utoipa::path(delete, path = "/people/{id}/templates/{template}", tag = "people",
    security(("token" = []), ("key" = [])),
    params(("id" = Uuid, Path, description = "The person"), ("template" = Uuid, Path, description = "The template")),
    responses((status = 204), Problems))]
async fn remove_one(
    caller: Caller,
    State(api): State<Arc<Api>>,
    PathOf((id, template)): PathOf<(Uuid, Uuid)>,
) -> Answer<StatusCode> {
    caller.need(Right::PeopleWrite)?;
    let mut change = api.store.change(caller.actor()).await?;
    change.lock_person(&caller.scope, PersonId(id)).await?.ok_or_else(no_person)?;
    if change.remove_templates(PersonId(id), Some(template)).await? == 0 {
        return Err(Problem::not_found("template"));
    }
    change.commit().await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Erase all templates of a person: they are not recognised any more
#[utoipa::path(delete, path = "/people/{id}/templates", tag = "people", security(("token" = []), ("key" = [])),
    params(("id" = Uuid, Path, description = "The person")), responses((status = 204), Problems))]
async fn remove_all(caller: Caller, State(api): State<Arc<Api>>, PathOf(id): PathOf<Uuid>) -> Answer<StatusCode> {
    caller.need(Right::PeopleWrite)?;
    let mut change = api.store.change(caller.actor()).await?;
    change.lock_person(&caller.scope, PersonId(id)).await?.ok_or_else(no_person)?;
    change.remove_templates(PersonId(id), None).await?;
    change.commit().await?;
    Ok(StatusCode::NO_CONTENT)
}
