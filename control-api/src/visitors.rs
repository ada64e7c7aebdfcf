//! `/api/v1/visitors`: strangers who come again. A number, and no name.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use chrono::{DateTime, Utc};
use rollcall_pipeline::PersonId;
use rollcall_store::{ReviewFilter, Visitor};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use uuid::Uuid;

use crate::caller::Caller;
use crate::extract::{Params, PathOf};
use crate::json::Json;
use crate::page::{self, Page};
use crate::ports::faces::Certainty;
use crate::problem::{Answer, Problem, Problems};
use crate::review::{self, ReviewView};
use crate::rights::Right;
use crate::state::Api;

/// Sightings that are shown of one stranger; `/review?visitor_id=` has all of them.
const LATEST: u32 = 50;

/// A stranger, as far as the caller's places have seen them.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub(crate) struct VisitorView {
    /// The number; the same on other days, as long as a face of theirs is kept.
    pub id: Uuid,
    /// First time.
    pub first_seen_at: DateTime<Utc>,
    /// Last time.
    pub last_seen_at: DateTime<Utc>,
    /// How often.
    pub sightings: i64,
    /// Where.
    pub rooms: Vec<String>,
}

impl From<Visitor> for VisitorView {
    fn from(row: Visitor) -> Self {
        let Visitor { id, first_seen_at, last_seen_at, sightings, rooms } = row;
        Self { id, first_seen_at, last_seen_at, sightings, rooms }
    }
}

/// Who a stranger may be by now: somebody whose face was enrolled since. Nothing follows from it by itself.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub(crate) struct LikelyPerson {
    /// Who.
    pub person_id: Uuid,
    /// Their name.
    pub name: String,
    /// Cosine similarity of the stranger's mean face, −1 to 1.
    pub similarity: f32,
    /// Whether that would be enough for a name.
    pub confident: bool,
}

/// A stranger with when and where they were seen.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub(crate) struct VisitorDetail {
    /// The stranger.
    pub visitor: VisitorView,
    /// The latest 50 sightings.
    pub items: Vec<ReviewView>,
    /// Who they may be by now.
    pub likely_person: Option<LikelyPerson>,
}

/// Which page.
#[derive(Clone, Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct VisitorParams {
    /// Most rows of the answer.
    #[param(minimum = 1, maximum = 500, default = 50)]
    pub limit: Option<u32>,
    /// `next_cursor` of the page before.
    #[param(max_length = 1000)]
    pub cursor: Option<String>,
}

pub(crate) fn router() -> OpenApiRouter<Arc<Api>> {
    OpenApiRouter::new().routes(routes!(list)).routes(routes!(read, forget))
}

/// Strangers who were told apart, whoever came last first
///
/// Empty unless `privacy.cluster_unknown` is on.
#[utoipa::path(get, path = "/visitors", tag = "review", security(("token" = []), ("key" = [])), params(VisitorParams),
    responses((status = 200, body = Page<VisitorView>), Problems))]
async fn list(
    caller: Caller,
    State(api): State<Arc<Api>>,
    Params(params): Params<VisitorParams>,
) -> Answer<Json<Page<VisitorView>>> {
    caller.need(Right::ReviewDecide)?;
    let (limit, after) = (page::limit(params.limit)?, page::after::<(DateTime<Utc>, Uuid)>(params.cursor.as_deref())?);
    let rows = api.store.visitors(&caller.scope, after.as_ref(), limit).await?;
    Ok(Json(Page::of(rows, limit, |visitor| (visitor.last_seen_at, visitor.id)).map(VisitorView::from)))
}

/// One stranger, and who they may be by now
#[utoipa::path(get, path = "/visitors/{id}", tag = "review", security(("token" = []), ("key" = [])),
    params(("id" = Uuid, Path, description = "The stranger")),
    responses((status = 200, body = VisitorDetail), Problems))]
async fn read(caller: Caller, State(api): State<Arc<Api>>, PathOf(id): PathOf<Uuid>) -> Answer<Json<VisitorDetail>> {
    caller.need(Right::ReviewDecide)?;
    let visitor = api.store.visitor(&caller.scope, id).await?.ok_or_else(|| Problem::not_found("visitor"))?;
    let filter = ReviewFilter { visitor: Some(id), ..ReviewFilter::default() };
    let mut items = api.store.reviews(&caller.scope, &filter, None, LATEST).await?;
    items.truncate(LATEST as usize);
    let likely_person = match api.store.visitor_face(id, &api.faces.model()).await? {
        Some(face) => {
            let found = api.faces.match_gallery(&face, 1)?;
            match (found.certainty, found.ranking.first()) {
                (Certainty::NoMatch, _) | (_, None) => None,
                (certainty, Some((person, likeness))) => {
                    likely(&api, &caller, *person).await?.map(|name| LikelyPerson {
                        person_id: person.0,
                        name,
                        similarity: likeness.similarity,
                        confident: matches!(certainty, Certainty::Confident),
                    })
                }
            }
        }
        None => None,
    };
    let known = review::known(&api, &caller, &items).await?;
    let items = items.into_iter().map(|item| ReviewView::of(item, &known)).collect();
    Ok(Json(VisitorDetail { visitor: visitor.into(), items, likely_person }))
}

/// The name of somebody whom the caller may know of.
async fn likely(api: &Api, caller: &Caller, person: PersonId) -> Answer<Option<String>> {
    if !api.store.is_person_in(&caller.scope, person).await? {
        return Ok(None);
    }
    Ok(api.store.person(person).await?.map(|person| person.name))
}

/// Forget a stranger: their faces and their number
#[utoipa::path(delete, path = "/visitors/{id}", tag = "review", security(("token" = []), ("key" = [])),
    params(("id" = Uuid, Path, description = "The stranger")), responses((status = 204), Problems))]
async fn forget(caller: Caller, State(api): State<Arc<Api>>, PathOf(id): PathOf<Uuid>) -> Answer<StatusCode> {
    caller.need(Right::ReviewDecide)?;
    // They may have been seen in places that the caller does not see.
    caller.need_everywhere()?;
    let mut change = api.store.change(caller.actor()).await?;
    if !change.forget_visitor(id).await? {
        return Err(Problem::not_found("visitor"));
    }
    change.commit().await?;
    Ok(StatusCode::NO_CONTENT)
}
