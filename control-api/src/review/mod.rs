//! `/api/v1/review`: what the cameras could not decide. What people decide about it is in `decide`.

mod decide;

use std::collections::HashSet;
use std::sync::Arc;

use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use chrono::{DateTime, Utc};
use rollcall_pipeline::EventId;
use rollcall_store::{ReviewFilter, ReviewItem, ReviewKey};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use uuid::Uuid;

use crate::caller::Caller;
use crate::extract::{Params, PathOf, Versioned, fits};
use crate::json::Json;
use crate::page::{self, Page};
use crate::problem::{Answer, Problem, Problems};
use crate::rights::Right;
use crate::state::Api;

/// What the question is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum ReviewKind {
    /// Between two people, or between somebody and a stranger.
    Ambiguous,
    /// A picture or a screen, or so it seems.
    Spoof,
    /// Named, but whether they were really there is not certain.
    Undecided,
    /// A stranger.
    Unknown,
}

/// How far it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum ReviewStatus {
    /// Nobody has decided.
    Open,
    /// It was one of the candidates.
    Confirmed,
    /// It was somebody else.
    Assigned,
    /// It counts for nobody.
    Rejected,
}

/// Who comes into question.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub(crate) struct ReviewCandidate {
    /// Who; null of whoever was erased, or belongs to none of the caller's places.
    pub person_id: Option<Uuid>,
    /// Their name; null of the same.
    pub name: Option<String>,
    /// Cosine similarity, −1 to 1.
    pub similarity: f32,
}

/// An item of the queue.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub(crate) struct ReviewView {
    /// The event it is about; the id of the item.
    pub event_id: Uuid,
    /// `ambiguous`, `spoof`, `undecided` or `unknown`.
    pub kind: String,
    /// `open`, `confirmed`, `assigned` or `rejected`.
    pub status: String,
    /// Where.
    pub room_id: String,
    /// The room's name.
    pub room_name: String,
    /// The room's site.
    pub site_id: String,
    /// Which camera.
    pub camera: String,
    /// When.
    pub captured_at: DateTime<Utc>,
    /// Who comes into question, best first.
    pub candidates: Vec<ReviewCandidate>,
    /// Whether there is a picture of the face, at `/review/{event}/face.jpg`.
    pub has_face: bool,
    /// Who it was decided to be.
    pub person_id: Option<Uuid>,
    /// Their name.
    pub person_name: Option<String>,
    /// Who decided.
    pub decided_by: Option<String>,
    /// When.
    pub decided_at: Option<DateTime<Utc>>,
    /// What they wrote.
    pub note: Option<String>,
    /// The stranger it is taken for.
    pub visitor_id: Option<Uuid>,
    /// Grows with each change.
    pub version: i64,
}

/// Those who come into question in these items and of whom the caller may know.
pub(crate) async fn known(api: &Api, caller: &Caller, items: &[ReviewItem]) -> Answer<HashSet<Uuid>> {
    let people: Vec<Uuid> = items.iter().flat_map(candidates).filter_map(|candidate| candidate.person_id).collect();
    Ok(api.store.people_among(&caller.scope, &people).await?)
}

fn candidates(item: &ReviewItem) -> Vec<ReviewCandidate> {
    Vec::deserialize(&item.candidates).unwrap_or_default()
}

impl ReviewView {
    /// An item as it is shown to whoever may know of these people.
    pub(crate) fn of(item: ReviewItem, known: &HashSet<Uuid>) -> Self {
        let mut candidates = candidates(&item);
        for candidate in &mut candidates {
            candidate.person_id = candidate.person_id.filter(|person| known.contains(person));
            candidate.name = candidate.name.take().filter(|_| candidate.person_id.is_some());
        }
        Self {
            event_id: item.event_id,
            kind: item.kind,
            status: item.status,
            room_name: item.room_name.unwrap_or_else(|| item.room_id.clone()),
            room_id: item.room_id,
            site_id: item.site_id,
            camera: item.camera,
            captured_at: item.captured_at,
            candidates,
            has_face: item.has_face,
            person_id: item.person_id,
            person_name: item.person_name,
            decided_by: item.decided_by,
            decided_at: item.decided_at,
            note: item.note,
            visitor_id: item.visitor_id,
            version: item.version,
        }
    }
}

/// Which items.
#[derive(Clone, Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct ReviewParams {
    /// Of this kind.
    #[param(inline)]
    pub kind: Option<ReviewKind>,
    /// In this state.
    #[param(inline)]
    pub status: Option<ReviewStatus>,
    /// In this room.
    #[param(max_length = 200)]
    pub room_id: Option<String>,
    /// At this site.
    #[param(max_length = 40)]
    pub site_id: Option<String>,
    /// Of this camera.
    #[param(max_length = 200)]
    pub camera: Option<String>,
    /// Of this stranger.
    pub visitor_id: Option<Uuid>,
    /// Most rows of the answer.
    #[param(minimum = 1, maximum = 500, default = 50)]
    pub limit: Option<u32>,
    /// `next_cursor` of the page before.
    #[param(max_length = 1000)]
    pub cursor: Option<String>,
}

pub(crate) fn router() -> OpenApiRouter<Arc<Api>> {
    OpenApiRouter::new()
        .routes(routes!(list))
        .routes(routes!(read))
        .routes(routes!(face))
        .routes(routes!(decide::confirm))
        .routes(routes!(decide::assign))
        .routes(routes!(decide::reject))
}

/// What waits for a decision, and what was decided, latest first
#[utoipa::path(get, path = "/review", tag = "review", security(("token" = []), ("key" = [])), params(ReviewParams),
    responses((status = 200, body = Page<ReviewView>), Problems))]
async fn list(
    caller: Caller,
    State(api): State<Arc<Api>>,
    Params(params): Params<ReviewParams>,
) -> Answer<Json<Page<ReviewView>>> {
    caller.need(Right::ReviewDecide)?;
    let (limit, after) = (page::limit(params.limit)?, page::after::<ReviewKey>(params.cursor.as_deref())?);
    let word = |kind: ReviewKind| match kind {
        ReviewKind::Ambiguous => "ambiguous",
        ReviewKind::Spoof => "spoof",
        ReviewKind::Undecided => "undecided",
        ReviewKind::Unknown => "unknown",
    };
    let state = |status: ReviewStatus| match status {
        ReviewStatus::Open => "open",
        ReviewStatus::Confirmed => "confirmed",
        ReviewStatus::Assigned => "assigned",
        ReviewStatus::Rejected => "rejected",
    };
    fits("site_id", params.site_id.as_deref(), 40)?;
    fits("room_id", params.room_id.as_deref(), 200)?;
    fits("camera", params.camera.as_deref(), 200)?;
    let filter = ReviewFilter {
        kind: params.kind.map(|kind| word(kind).to_owned()),
        status: params.status.map(|status| state(status).to_owned()),
        room: params.room_id,
        site: params.site_id,
        camera: params.camera,
        visitor: params.visitor_id,
    };
    let rows = api.store.reviews(&caller.scope, &filter, after.as_ref(), limit).await?;
    let known = known(&api, &caller, &rows).await?;
    let page = Page::of(rows, limit, |item| (item.captured_at, item.event_id));
    Ok(Json(page.map(|item| ReviewView::of(item, &known))))
}

/// One item
#[utoipa::path(get, path = "/review/{event}", tag = "review", security(("token" = []), ("key" = [])),
    params(("event" = Uuid, Path, description = "The event")),
    responses((status = 200, body = ReviewView, headers(("ETag" = String, description = "Its version"))), Problems))]
async fn read(
    caller: Caller,
    State(api): State<Arc<Api>>,
    PathOf(event): PathOf<Uuid>,
) -> Answer<Versioned<ReviewView>> {
    caller.need(Right::ReviewDecide)?;
    let item = api.store.review(&caller.scope, EventId(event)).await?.ok_or_else(no_item)?;
    Ok(Versioned(item.version, shown(&api, &caller, item).await?))
}

async fn shown(api: &Api, caller: &Caller, item: ReviewItem) -> Answer<ReviewView> {
    let known = known(api, caller, std::slice::from_ref(&item)).await?;
    Ok(ReviewView::of(item, &known))
}

fn no_item() -> Problem {
    Problem::not_found("review item")
}

/// The face; that it was looked at is noted in the audit log
#[utoipa::path(get, path = "/review/{event}/face.jpg", tag = "review", security(("token" = []), ("key" = [])),
    params(("event" = Uuid, Path, description = "The event")),
    responses((status = 200, content_type = "image/jpeg", body = Vec<u8>), Problems))]
async fn face(caller: Caller, State(api): State<Arc<Api>>, PathOf(event): PathOf<Uuid>) -> Answer<Response> {
    caller.need(Right::FacesView)?;
    let item = api.store.review(&caller.scope, EventId(event)).await?.ok_or_else(no_item)?;
    let picture =
        api.store.review_crop(EventId(event)).await?.ok_or_else(|| Problem::not_found("picture (any more)"))?;
    // Noted before it is shown.
    let mut change = api.store.change(caller.actor()).await?;
    change.note_review_view(&item).await?;
    change.commit().await?;
    Ok(([(header::CONTENT_TYPE, "image/jpeg"), (header::CACHE_CONTROL, "no-store")], picture).into_response())
}
