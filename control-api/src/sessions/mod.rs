//! `/api/v1/sessions`: what is, was and will be held.

mod by_hand;
mod plan;
mod view;

use std::sync::Arc;

use axum::extract::State;
use chrono::{DateTime, NaiveDate, Utc};
use rollcall_store::{Change, SessionDetail, SessionFilter};
use serde::Deserialize;
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
use crate::sites::ListParams;
use crate::state::Api;

pub(crate) use view::{Phase, RosterView, SessionView, WaitsFor};

/// State of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum SessionState {
    /// It opens and closes by the clock.
    Planned,
    /// It was opened by hand.
    Open,
    /// Its absences are written.
    Closed,
    /// It is not held.
    Cancelled,
}

/// Kind of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Kind {
    /// Of a timetable, or by hand.
    Timetabled,
    /// A day in a room without timetable.
    Day,
    /// What lies outside of a timetable.
    OffSchedule,
}

/// Which sessions.
#[derive(Clone, Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct SessionParams {
    /// Of this site.
    #[param(max_length = 40)]
    pub site_id: Option<String>,
    /// In this room.
    #[param(max_length = 200)]
    pub room_id: Option<String>,
    /// Of this course.
    pub course_id: Option<Uuid>,
    /// On this local date.
    pub date: Option<NaiveDate>,
    /// That end after this.
    pub from: Option<DateTime<Utc>>,
    /// That begin before this.
    pub to: Option<DateTime<Utc>>,
    /// In this state.
    #[param(inline)]
    pub state: Option<SessionState>,
    /// Of this kind.
    #[param(inline)]
    pub kind: Option<Kind>,
    /// Whether their absences wait for a camera, or for a human: see `waits_for`.
    pub waiting: Option<bool>,
    /// Most rows of the answer.
    #[param(minimum = 1, maximum = 500, default = 50)]
    pub limit: Option<u32>,
    /// `next_cursor` of the page before.
    #[param(max_length = 1000)]
    pub cursor: Option<String>,
}

pub(crate) fn router() -> OpenApiRouter<Arc<Api>> {
    OpenApiRouter::new()
        .routes(routes!(list, plan::create))
        .routes(routes!(read, plan::change, plan::remove))
        .routes(routes!(roster))
        .routes(routes!(by_hand::open))
        .routes(routes!(by_hand::close))
        .routes(routes!(by_hand::release))
        .routes(routes!(by_hand::cancel))
        .routes(routes!(by_hand::restore))
}

/// The sessions, by start
#[utoipa::path(get, path = "/sessions", tag = "sessions", security(("token" = []), ("key" = [])), params(SessionParams),
    responses((status = 200, body = Page<SessionView>), Problems))]
async fn list(
    caller: Caller,
    State(api): State<Arc<Api>>,
    Params(params): Params<SessionParams>,
) -> Answer<Json<Page<SessionView>>> {
    caller.need(Right::PlacesRead)?;
    let (limit, after) = (page::limit(params.limit)?, page::after::<(DateTime<Utc>, Uuid)>(params.cursor.as_deref())?);
    let state = params.state.map(|state| match state {
        SessionState::Planned => "planned",
        SessionState::Open => "open",
        SessionState::Closed => "closed",
        SessionState::Cancelled => "cancelled",
    });
    let kind = params.kind.map(|kind| match kind {
        Kind::Timetabled => "timetabled",
        Kind::Day => "day",
        Kind::OffSchedule => "off_schedule",
    });
    fits("site_id", params.site_id.as_deref(), 40)?;
    fits("room_id", params.room_id.as_deref(), 200)?;
    let filter = SessionFilter {
        site: params.site_id,
        room: params.room_id,
        course: params.course_id,
        date: params.date,
        from: params.from,
        to: params.to,
        state: state.map(str::to_owned),
        kind: kind.map(str::to_owned),
        waiting: params.waiting,
    };
    let now = api.clock.wall();
    let rows = api.store.reading().await?.sessions(&caller.scope, &filter, after.as_ref(), limit).await?;
    Ok(Json(Page::of(rows, limit, |s| (s.starts_at, s.id)).map(|session| SessionView::of(session, now))))
}

/// One session
#[utoipa::path(get, path = "/sessions/{id}", tag = "sessions", security(("token" = []), ("key" = [])),
    params(("id" = Uuid, Path, description = "The session")),
    responses((status = 200, body = SessionView), Problems))]
async fn read(caller: Caller, State(api): State<Arc<Api>>, PathOf(id): PathOf<Uuid>) -> Answer<Versioned<SessionView>> {
    caller.need(Right::PlacesRead)?;
    let session = api.store.session(&caller.scope, id).await?.ok_or_else(|| Problem::not_found("session"))?;
    Ok(Versioned(session.version, SessionView::of(session, api.clock.wall())))
}

/// Who is expected in a session, and who is or was there, by name
#[utoipa::path(get, path = "/sessions/{id}/roster", tag = "sessions", security(("token" = []), ("key" = [])),
    params(("id" = Uuid, Path, description = "The session"), ListParams),
    responses((status = 200, body = Page<RosterView>), Problems))]
async fn roster(
    caller: Caller,
    State(api): State<Arc<Api>>,
    PathOf(id): PathOf<Uuid>,
    Params(params): Params<ListParams>,
) -> Answer<Json<Page<RosterView>>> {
    caller.need(Right::AttendanceRead)?;
    let (limit, after) = (page::limit(params.limit)?, page::after::<(String, Uuid)>(params.cursor.as_deref())?);
    let session = api.store.session(&caller.scope, id).await?.ok_or_else(|| Problem::not_found("session"))?;
    let rows = api.store.roster(session.id, after.as_ref(), limit).await?;
    Ok(Json(Page::of(rows, limit, |row| (row.name.clone(), row.person_id)).map(RosterView::from)))
}

/// Locks a session that the API may change.
async fn lock(change: &mut Change<'_>, caller: &Caller, id: Uuid) -> Answer<SessionDetail> {
    let session = change.lock_session(&caller.scope, id).await?.ok_or_else(|| Problem::not_found("session"))?;
    if session.origin != "file" {
        return Ok(session);
    }
    Err(Problem::conflict(if session.kind == "timetabled" {
        "this session comes from the configuration file: change it there and reload (SIGHUP)"
    } else {
        "this is a day, not a session of a timetable: it begins and ends with the date"
    }))
}
