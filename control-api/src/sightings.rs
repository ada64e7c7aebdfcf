//! `/api/v1/people/{id}/sightings`: when and where somebody was seen, whatever came of it.

use std::sync::Arc;

use axum::extract::State;
use chrono::{DateTime, Utc};
use rollcall_pipeline::PersonId;
use rollcall_store::{Scope, Sighting, SightingFilter, SightingKey};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use uuid::Uuid;

use crate::caller::Caller;
use crate::extract::{Params, PathOf};
use crate::json::Json;
use crate::page::{self, Page};
use crate::problem::{Answer, Problem, Problems};
use crate::rights::Right;
use crate::state::Api;
use crate::validate::check_range;

/// An event that names somebody, or that a reviewer decided to be them.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub(crate) struct SightingView {
    /// The event.
    pub event_id: Uuid,
    /// When the deciding picture was taken.
    pub captured_at: DateTime<Utc>,
    /// How well that is known: `ntp`, `estimate` or `file`.
    pub time_source: String,
    /// What came of it: `recorded`, `debounced`, `off_roster`, `off_schedule`, `unknown`, `ambiguous` or `spoof`.
    pub kind: String,
    /// Where.
    pub room_id: String,
    /// Which camera.
    pub camera: String,
    /// `entry` or `exit`; null where a camera tells neither.
    pub direction: Option<String>,
    /// Similarity to their best template, if they were compared.
    pub similarity: Option<f32>,
    /// Whether they were there themselves: `live`, `spoof` or `undecided`.
    pub liveness: String,
    /// The session of the mark.
    pub session_id: Option<Uuid>,
    /// The mark that it made, or would have made if there were none: `present`, `late`, `off_roster` or `off_schedule`.
    pub mark_status: Option<String>,
    /// `confirmed` or `assigned` where a reviewer decided that it was them, `rejected` where one decided that it was not; null
    /// where none decided.
    pub review: Option<String>,
}

impl From<Sighting> for SightingView {
    fn from(row: Sighting) -> Self {
        Self {
            event_id: row.event_id,
            captured_at: row.captured_at,
            time_source: row.time_source,
            kind: row.kind,
            room_id: row.room_id,
            camera: row.camera,
            direction: row.direction,
            similarity: row.similarity,
            liveness: row.liveness,
            session_id: row.session_id,
            mark_status: row.mark_status,
            review: row.review,
        }
    }
}

/// Which of them.
#[derive(Clone, Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct SightingParams {
    /// From then on.
    pub from: Option<DateTime<Utc>>,
    /// Before then.
    pub to: Option<DateTime<Utc>>,
    /// Most rows of the answer.
    #[param(minimum = 1, maximum = 500, default = 50)]
    pub limit: Option<u32>,
    /// `next_cursor` of the page before.
    #[param(max_length = 1000)]
    pub cursor: Option<String>,
}

pub(crate) fn router() -> OpenApiRouter<Arc<Api>> {
    OpenApiRouter::new().routes(routes!(of_person)).routes(routes!(of_me))
}

/// Every event that names a person, newest first
///
/// For as long as events are kept. A face that was only like theirs names nobody, unless a reviewer decided that it was
/// they.
#[utoipa::path(get, path = "/people/{id}/sightings", tag = "attendance", security(("token" = []), ("key" = [])),
    params(("id" = Uuid, Path, description = "The person"), SightingParams),
    responses((status = 200, body = Page<SightingView>), Problems))]
async fn of_person(
    caller: Caller,
    State(api): State<Arc<Api>>,
    PathOf(id): PathOf<Uuid>,
    Params(params): Params<SightingParams>,
) -> Answer<Json<Page<SightingView>>> {
    caller.need(Right::AttendanceRead)?;
    sightings(&api, &caller.scope, PersonId(id), &params).await
}

/// Every event that names oneself, newest first
#[utoipa::path(get, path = "/me/sightings", tag = "attendance", security(("token" = [])), params(SightingParams),
    responses((status = 200, body = Page<SightingView>), Problems))]
async fn of_me(
    caller: Caller,
    State(api): State<Arc<Api>>,
    Params(params): Params<SightingParams>,
) -> Answer<Json<Page<SightingView>>> {
    caller.need(Right::AttendanceRead)?;
    sightings(&api, &caller.scope, caller.own()?, &params).await
}

async fn sightings(
    api: &Api,
    scope: &Scope,
    person: PersonId,
    params: &SightingParams,
) -> Answer<Json<Page<SightingView>>> {
    let (limit, after) = (page::limit(params.limit)?, page::after::<SightingKey>(params.cursor.as_deref())?);
    check_range(params.from, params.to)?;
    if !api.store.is_person_in(scope, person).await? {
        return Err(Problem::not_found("person"));
    }
    let filter = SightingFilter { person, from: params.from, to: params.to };
    let rows = api.store.sightings(scope, &filter, after.as_ref(), limit).await?;
    Ok(Json(Page::of(rows, limit, |row| (row.captured_at, row.event_id)).map(SightingView::from)))
}
