//! Opening, closing, releasing, cancelling and restoring a session by hand.

use std::sync::Arc;

use axum::extract::State;
use chrono::TimeDelta;
use serde::Deserialize;
use utoipa::ToSchema;
use uuid::Uuid;

use super::view::phase;
use super::{Phase, SessionView, lock};
use crate::caller::Caller;
use crate::extract::{Body, IfMatch, PathOf, Versioned};
use crate::problem::{Answer, Problem, Problems};
use crate::rights::Right;
use crate::state::Api;
use crate::validate::{Checks, MAX_WINDOW_S};

/// Why a session is cancelled.
#[derive(Clone, Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Cancellation {
    /// The reason; it stands with everybody who was marked before.
    #[schema(min_length = 1, max_length = 1000)]
    pub reason: String,
}

/// Why a session is held after all.
#[derive(Clone, Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Restoration {
    /// The reason; it stands with everybody who counts again.
    #[schema(min_length = 1, max_length = 1000)]
    pub reason: String,
}

/// Open a session before its time: people may come from now on
#[utoipa::path(post, path = "/sessions/{id}/open", tag = "sessions", security(("token" = []), ("key" = [])),
    params(("id" = Uuid, Path, description = "The session"),
        ("If-Match" = String, Header, description = "ETag that was read, or *")),
    responses((status = 200, body = SessionView), Problems))]
pub(super) async fn open(
    caller: Caller,
    State(api): State<Arc<Api>>,
    PathOf(id): PathOf<Uuid>,
    if_match: IfMatch,
) -> Answer<Versioned<SessionView>> {
    caller.need(Right::AttendanceCorrect)?;
    let now = api.clock.wall();
    let mut change = api.store.change(caller.actor()).await?;
    let before = lock(&mut change, &caller, id).await?;
    if_match.check(before.version)?;
    match phase(&before, now) {
        Phase::Upcoming if before.starts_at - now > TimeDelta::seconds(MAX_WINDOW_S.into()) => {
            return Err(Problem::conflict("it begins in more than 12 hours: set another start instead"));
        }
        Phase::Upcoming => {}
        Phase::On if before.state == "planned" => {}
        Phase::On => return Err(Problem::conflict("it is open already")),
        Phase::Over | Phase::Closed => return Err(Problem::conflict("it is over: hold another session instead")),
        Phase::Cancelled => return Err(Problem::conflict("it is cancelled: hold another session instead")),
    }
    let session = change.open_session(&before, now).await?;
    change.commit().await?;
    Ok(Versioned(session.version, SessionView::of(session, now)))
}

/// Close a session before its time: it ends now, and its absences are written as soon as the cameras have delivered
#[utoipa::path(post, path = "/sessions/{id}/close", tag = "sessions", security(("token" = []), ("key" = [])),
    params(("id" = Uuid, Path, description = "The session"),
        ("If-Match" = String, Header, description = "ETag that was read, or *")),
    responses((status = 200, body = SessionView), Problems))]
pub(super) async fn close(
    caller: Caller,
    State(api): State<Arc<Api>>,
    PathOf(id): PathOf<Uuid>,
    if_match: IfMatch,
) -> Answer<Versioned<SessionView>> {
    caller.need(Right::AttendanceCorrect)?;
    let now = api.clock.wall();
    let mut change = api.store.change(caller.actor()).await?;
    let before = lock(&mut change, &caller, id).await?;
    if_match.check(before.version)?;
    match phase(&before, now) {
        Phase::On if before.starts_at < now => {}
        Phase::On | Phase::Upcoming => return Err(Problem::conflict("it has not begun: cancel it instead")),
        Phase::Over | Phase::Closed => return Err(Problem::conflict("it is over already")),
        Phase::Cancelled => return Err(Problem::conflict("it is cancelled: restore it first")),
    }
    let session = change.close_session(&before, now).await?;
    change.commit().await?;
    Ok(Versioned(session.version, SessionView::of(session, now)))
}

/// Write the absences of a session that is over without waiting for cameras
///
/// Whoever was not seen is absent, with what `waits_for` says as a remark.
#[utoipa::path(post, path = "/sessions/{id}/release", tag = "sessions", security(("token" = []), ("key" = [])),
    params(("id" = Uuid, Path, description = "The session"),
        ("If-Match" = String, Header, description = "ETag that was read, or *")),
    responses((status = 200, body = SessionView), Problems))]
pub(super) async fn release(
    caller: Caller,
    State(api): State<Arc<Api>>,
    PathOf(id): PathOf<Uuid>,
    if_match: IfMatch,
) -> Answer<Versioned<SessionView>> {
    caller.need(Right::AttendanceCorrect)?;
    let now = api.clock.wall();
    let mut change = api.store.change(caller.actor()).await?;
    // Also one of the configuration file: nothing of it is changed.
    let before = change.lock_session(&caller.scope, id).await?.ok_or_else(|| Problem::not_found("session"))?;
    if_match.check(before.version)?;
    match phase(&before, now) {
        Phase::Over if before.kind == "timetabled" => {}
        Phase::Over => {
            return Err(Problem::conflict("this is a day, not a session of a timetable: it has no absences"));
        }
        Phase::Upcoming | Phase::On => {
            return Err(Problem::conflict("it is not over: wait for its end, or close it first"));
        }
        Phase::Closed => return Err(Problem::conflict("its absences are written: correct them instead")),
        Phase::Cancelled => return Err(Problem::conflict("it is cancelled: restore it first")),
    }
    let session = change.release_session(&before, now).await?;
    change.commit().await?;
    Ok(Versioned(session.version, SessionView::of(session, now)))
}

/// Cancel a session: it is not held, nobody is absent, and whoever was marked in it counts nowhere
#[utoipa::path(post, path = "/sessions/{id}/cancel", tag = "sessions", security(("token" = []), ("key" = [])),
    params(("id" = Uuid, Path, description = "The session"),
        ("If-Match" = String, Header, description = "ETag that was read, or *")),
    request_body = Cancellation, responses((status = 200, body = SessionView), Problems))]
pub(super) async fn cancel(
    caller: Caller,
    State(api): State<Arc<Api>>,
    PathOf(id): PathOf<Uuid>,
    if_match: IfMatch,
    Body(why): Body<Cancellation>,
) -> Answer<Versioned<SessionView>> {
    caller.need(Right::AttendanceCorrect)?;
    let mut checks = Checks::default();
    checks.maybe_note("/reason", Some(&why.reason));
    checks.done()?;
    let now = api.clock.wall();
    let mut change = api.store.change(caller.actor()).await?;
    let before = lock(&mut change, &caller, id).await?;
    if_match.check(before.version)?;
    match phase(&before, now) {
        Phase::Upcoming | Phase::On | Phase::Over => {}
        Phase::Closed => return Err(Problem::conflict("its absences are written: correct them instead")),
        Phase::Cancelled => return Err(Problem::conflict("it is cancelled already")),
    }
    let session = change.cancel_session(&before, &why.reason).await?;
    change.commit().await?;
    Ok(Versioned(session.version, SessionView::of(session, now)))
}

/// Restore a session that was cancelled: it is held, and whoever was marked in it counts as before
///
/// Its absences are written once it is over, also if it was over already.
#[utoipa::path(post, path = "/sessions/{id}/restore", tag = "sessions", security(("token" = []), ("key" = [])),
    params(("id" = Uuid, Path, description = "The session"),
        ("If-Match" = String, Header, description = "ETag that was read, or *")),
    request_body = Restoration, responses((status = 200, body = SessionView), Problems))]
pub(super) async fn restore(
    caller: Caller,
    State(api): State<Arc<Api>>,
    PathOf(id): PathOf<Uuid>,
    if_match: IfMatch,
    Body(why): Body<Restoration>,
) -> Answer<Versioned<SessionView>> {
    caller.need(Right::AttendanceCorrect)?;
    let mut checks = Checks::default();
    checks.maybe_note("/reason", Some(&why.reason));
    checks.done()?;
    let now = api.clock.wall();
    let mut change = api.store.change(caller.actor()).await?;
    let before = lock(&mut change, &caller, id).await?;
    if_match.check(before.version)?;
    if phase(&before, now) != Phase::Cancelled {
        return Err(Problem::conflict("it is not cancelled"));
    }
    let session = change.restore_session(&before, &why.reason).await?;
    change.commit().await?;
    Ok(Versioned(session.version, SessionView::of(session, now)))
}
