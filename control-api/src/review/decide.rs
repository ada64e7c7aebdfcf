//! What people decide about an item of the queue: who it was, or that it counts for nobody.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use chrono::TimeDelta;
use rollcall_pipeline::{EventId, Mark, MarkStatus, PersonId, SessionKind};
use rollcall_store::{NewCorrection as Wanted, ReviewItem, SeenAt, Standing};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use super::{ReviewView, candidates, no_item, shown};
use crate::attendance::AttendanceView;
use crate::caller::Caller;
use crate::extract::{Body, PathOf};
use crate::json::Json;
use crate::problem::{Answer, Problem, Problems};
use crate::rights::Right;
use crate::seconds;
use crate::state::Api;
use crate::validate::Checks;

/// It was one of the candidates.
#[derive(Clone, Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct ConfirmReview {
    /// Which of them; without it the first.
    pub person_id: Option<Uuid>,
    /// What there is to say about it.
    #[schema(min_length = 1, max_length = 1000)]
    pub note: Option<String>,
}

/// It was somebody else.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct AssignReview {
    /// Who.
    pub person_id: Uuid,
    /// What there is to say about it.
    #[schema(min_length = 1, max_length = 1000)]
    #[serde(default)]
    pub note: Option<String>,
}

/// It counts for nobody.
#[derive(Clone, Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct RejectReview {
    /// Why.
    #[schema(min_length = 1, max_length = 1000)]
    pub note: Option<String>,
}

/// What was decided, and what counts now.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub(crate) struct DecisionView {
    /// The item.
    pub item: ReviewView,
    /// The row of the register; null after a rejection.
    pub attendance: Option<AttendanceView>,
    /// Whether the decision changed it. Not where the person was marked in time already, where somebody had corrected the
    /// row by hand, or where they have one and nobody expects them.
    pub changed: bool,
}

/// It was one of the candidates: the mark counts
#[utoipa::path(post, path = "/review/{event}/confirm", tag = "review", security(("token" = []), ("key" = [])),
    params(("event" = Uuid, Path, description = "The event")), request_body = ConfirmReview,
    responses((status = 200, body = DecisionView), Problems))]
pub(super) async fn confirm(
    caller: Caller,
    State(api): State<Arc<Api>>,
    PathOf(event): PathOf<Uuid>,
    Body(body): Body<ConfirmReview>,
) -> Answer<Json<DecisionView>> {
    caller.need(Right::ReviewDecide)?;
    check_note(body.note.as_deref())?;
    let item = api.store.review(&caller.scope, EventId(event)).await?.ok_or_else(no_item)?;
    let candidates = candidates(&item);
    let person = match body.person_id {
        Some(person) if candidates.iter().any(|candidate| candidate.person_id == Some(person)) => person,
        Some(_) => {
            return Err(Problem::invalid_field("/person_id", "is none of the candidates: assign the item to them"));
        }
        None => {
            let first = candidates.iter().find(|candidate| candidate.name.is_some());
            first
                .and_then(|candidate| candidate.person_id)
                .ok_or_else(|| Problem::conflict("it has no candidate: assign it to somebody, or reject it"))?
        }
    };
    decide(&api, &caller, event, "confirmed", PersonId(person), body.note).await
}

/// It was somebody else: the mark counts for them
#[utoipa::path(post, path = "/review/{event}/assign", tag = "review", security(("token" = []), ("key" = [])),
    params(("event" = Uuid, Path, description = "The event")), request_body = AssignReview,
    responses((status = 200, body = DecisionView), Problems))]
pub(super) async fn assign(
    caller: Caller,
    State(api): State<Arc<Api>>,
    PathOf(event): PathOf<Uuid>,
    Body(body): Body<AssignReview>,
) -> Answer<Json<DecisionView>> {
    caller.need(Right::ReviewDecide)?;
    check_note(body.note.as_deref())?;
    decide(&api, &caller, event, "assigned", PersonId(body.person_id), body.note).await
}

/// It counts for nobody
#[utoipa::path(post, path = "/review/{event}/reject", tag = "review", security(("token" = []), ("key" = [])),
    params(("event" = Uuid, Path, description = "The event")), request_body = RejectReview,
    responses((status = 200, body = DecisionView), Problems))]
pub(super) async fn reject(
    caller: Caller,
    State(api): State<Arc<Api>>,
    PathOf(event): PathOf<Uuid>,
    Body(body): Body<RejectReview>,
) -> Answer<Json<DecisionView>> {
    caller.need(Right::ReviewDecide)?;
    check_note(body.note.as_deref())?;
    let mut change = api.store.change(caller.actor()).await?;
    let item = open(change.lock_review(&caller.scope, EventId(event)).await?)?;
    let item = change.settle_review(&item, "rejected", None, body.note.as_deref(), api.clock.wall()).await?;
    change.commit().await?;
    Ok(Json(DecisionView { item: shown(&api, &caller, item).await?, attendance: None, changed: false }))
}

fn check_note(note: Option<&str>) -> Answer<()> {
    let mut checks = Checks::default();
    checks.maybe_note("/note", note);
    checks.done()
}

/// Refuses what is not there, and what somebody else has decided.
fn open(item: Option<ReviewItem>) -> Answer<ReviewItem> {
    let item = item.ok_or_else(no_item)?;
    if item.status == "open" {
        return Ok(item);
    }
    let by = item.decided_by.as_deref().unwrap_or("somebody");
    Err(Problem::conflict(format!("{by} has decided it already: it is {}", item.status)))
}

async fn decide(
    api: &Api,
    caller: &Caller,
    event: Uuid,
    status: &str,
    person: PersonId,
    note: Option<String>,
) -> Answer<Json<DecisionView>> {
    if !api.store.is_person_in(&caller.scope, person).await? {
        return Err(Problem::not_found("person"));
    }
    let seen = api.store.review(&caller.scope, EventId(event)).await?.ok_or_else(no_item)?;
    let first = api.store.first_seen(EventId(event), seen.captured_at).await?;
    let leaving = first.as_ref().and_then(|first| first.leaving).unwrap_or(false);
    let first = first.map_or(seen.captured_at, |first| first.first_usable_at.min(seen.captured_at));
    let at = SeenAt { room: &seen.room_id, at: seen.captured_at, person, leaving };
    let windows = api.daemon.windows();
    let known = api.store.session_at(at, seconds(windows.early), seconds(windows.leave)).await?;
    let by_rules = api.daemon.mark_of(at, first);
    // As a camera would have marked them: whom nobody expected counts in no figure for having been confirmed.
    let (session, kind, to_make) = match (known, by_rules) {
        (Some(session), Some(mark)) if mark.session.id.0 == session.id => (session.id, mark.status, None),
        (Some(session), _) if session.expects => {
            let grace = session.grace_s.map_or(windows.grace, |s| TimeDelta::seconds(s.into()));
            let late = first > session.starts_at + grace;
            (session.id, if late { MarkStatus::Late } else { MarkStatus::Present }, None)
        }
        // A single session in a room without timetable is not their business: they have the day's mark.
        (Some(session), Some(mark)) if !counts_for_the_day(&mark) => (session.id, MarkStatus::OffRoster, None),
        // No session was on: the day of the room.
        (_, Some(mark)) => (mark.session.id.0, mark.status, Some(mark.session)),
        (_, None) => {
            return Err(Problem::busy(
                StatusCode::SERVICE_UNAVAILABLE,
                "the timetables are being loaded; try again",
                2,
            ));
        }
    };
    let reason =
        note.clone().unwrap_or_else(|| format!("{status} from the review queue ({}, {})", seen.kind, seen.camera));

    let mut change = api.store.change(caller.actor()).await?;
    let standing = change.lock_standing(session, person).await?.ok_or_else(|| Problem::not_found("person"))?;
    if let Some(session) = to_make {
        change.ensure_session(&session).await?;
    }
    let held = change.lock_session(&caller.scope, session).await?;
    let item = open(change.lock_review(&caller.scope, EventId(event)).await?)?;
    if held.is_none_or(|session| session.state == "cancelled") {
        return Err(Problem::conflict("the session of that time was cancelled just now: look again, and decide anew"));
    }
    let changed = betters(kind, &standing);
    if changed {
        let wanted = Wanted { session, person, kind: kind.as_str(), reason: &reason, review: Some(event) };
        change.correct(&standing, &wanted).await?;
    }
    let item = change.settle_review(&item, status, Some(person), note.as_deref(), api.clock.wall()).await?;
    change.commit().await?;
    let attendance = api.store.register_row(&caller.scope, session, person).await?.map(AttendanceView::from);
    Ok(Json(DecisionView { item: shown(api, caller, item).await?, attendance, changed }))
}

fn counts_for_the_day(mark: &Mark) -> bool {
    mark.session.kind == SessionKind::Day && mark.status == MarkStatus::Present
}

/// Whether a sighting counts more than what stands there: what a camera or closing says, but no decision of a human. Being
/// seen where nobody expects them counts more than nothing, and less than all else.
fn betters(kind: MarkStatus, standing: &Standing) -> bool {
    let corrected = standing.source.as_deref() == Some("correction");
    let counts = matches!(kind, MarkStatus::Present | MarkStatus::Late);
    match standing.status.as_deref() {
        Some("present") => false,
        Some("late") => !corrected && kind == MarkStatus::Present,
        // Nobody corrects a row to that: it is a sighting too, also where it was confirmed.
        Some("off_roster" | "off_schedule") => counts,
        Some(_) => !corrected && counts,
        None => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sighting_counts_more_than_no_sighting_and_less_than_a_decision() {
        let of = |status: Option<&str>, source: &str| Standing {
            status: status.map(str::to_owned),
            source: status.map(|_| source.to_owned()),
            ..Standing::default()
        };
        let (present, late) = (MarkStatus::Present, MarkStatus::Late);
        assert!(betters(late, &of(None, "")));
        assert!(betters(late, &of(Some("absent"), "closing")));
        assert!(betters(present, &of(Some("late"), "camera")));
        assert!(!betters(late, &of(Some("present"), "camera")));
        assert!(!betters(present, &of(Some("excused"), "correction")));
        assert!(!betters(present, &of(Some("void"), "correction")));
        // Whoever came to the roster meanwhile counts, and nobody else.
        assert!(betters(late, &of(Some("off_roster"), "camera")));
        assert!(betters(present, &of(Some("off_roster"), "correction")));
        for unexpected in [MarkStatus::OffRoster, MarkStatus::OffSchedule] {
            assert!(betters(unexpected, &of(None, "")));
            for status in ["present", "late", "absent", "excused", "off_roster", "off_schedule", "void"] {
                assert!(!betters(unexpected, &of(Some(status), "camera")), "{unexpected:?} {status}");
            }
        }
    }
}
