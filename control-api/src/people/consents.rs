//! `/api/v1/people/{id}/consents`: that somebody's face may be stored.

use std::sync::Arc;

use axum::extract::State;
use chrono::{DateTime, TimeDelta, Utc};
use rollcall_pipeline::PersonId;
use rollcall_store::{Consent, NewConsent, Withdrawn};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use uuid::Uuid;

use super::{no_person, visible};
use crate::caller::Caller;
use crate::extract::{Body, Created, Params, PathOf};
use crate::json::Json;
use crate::page::{self, Page};
use crate::problem::{Answer, Problem, Problems};
use crate::rights::Right;
use crate::state::Api;
use crate::validate::{Checks, MAX_NAME};

/// Clocks of two machines differ.
const AHEAD: TimeDelta = TimeDelta::minutes(5);
/// Where consent is not required somebody may have templates and none to withdraw.
const NONE_IN_FORCE: &str =
    "no consent of theirs is in force; to erase their faces without one: DELETE /api/v1/people/{id}/templates";

/// A consent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct ConsentView {
    /// Id.
    pub id: Uuid,
    /// Whose face it is about.
    pub person_id: Uuid,
    /// Version of the text that they agreed to.
    pub text_version: String,
    /// Who agreed: the person, or for example a parent.
    pub given_by: String,
    /// When they did.
    pub given_at: DateTime<Utc>,
    /// Who recorded it.
    pub recorded_by: String,
    /// When it was recorded.
    pub recorded_at: DateTime<Utc>,
    /// Since when it is not in force any more.
    pub withdrawn_at: Option<DateTime<Utc>>,
    /// Who recorded that.
    pub withdrawn_recorded_by: Option<String>,
}

impl From<Consent> for ConsentView {
    fn from(consent: Consent) -> Self {
        Self {
            id: consent.id,
            person_id: consent.person_id,
            text_version: consent.text_version,
            given_by: consent.given_by,
            given_at: consent.given_at,
            recorded_by: consent.recorded_by,
            recorded_at: consent.recorded_at,
            withdrawn_at: consent.withdrawn_at,
            withdrawn_recorded_by: consent.withdrawn_recorded_by,
        }
    }
}

/// A consent that was given.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ConsentGiven {
    /// Version of the text that they agreed to.
    #[schema(min_length = 1, max_length = 200, example = "2026-09")]
    pub text_version: String,
    /// Who agreed: the person, or for example a parent.
    #[schema(min_length = 1, max_length = 200)]
    pub given_by: String,
    /// When they did; without it now.
    #[serde(default)]
    pub given_at: Option<DateTime<Utc>>,
}

/// A consent that was withdrawn.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct WithdrawnView {
    /// As it is now.
    pub consent: ConsentView,
    /// Templates that were erased with it.
    pub templates_erased: u64,
    /// Pictures in the review queue that were erased with it: theirs, those of the strangers whom they were once taken for, and
    /// those of nobody yet that were most like them.
    pub pictures_erased: u64,
}

/// Which page.
#[derive(Clone, Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct ConsentParams {
    /// Most rows of the answer.
    #[param(minimum = 1, maximum = 500, default = 50)]
    pub limit: Option<u32>,
    /// `next_cursor` of the page before.
    #[param(max_length = 1000)]
    pub cursor: Option<String>,
}

pub(super) fn router() -> OpenApiRouter<Arc<Api>> {
    OpenApiRouter::new().routes(routes!(list, give)).routes(routes!(withdraw))
}

/// A person's consents, newest first
#[utoipa::path(get, path = "/people/{id}/consents", tag = "people", security(("token" = []), ("key" = [])),
    params(("id" = Uuid, Path, description = "The person"), ConsentParams),
    responses((status = 200, body = Page<ConsentView>), Problems))]
async fn list(
    caller: Caller,
    State(api): State<Arc<Api>>,
    PathOf(id): PathOf<Uuid>,
    Params(params): Params<ConsentParams>,
) -> Answer<Json<Page<ConsentView>>> {
    caller.need(Right::PeopleRead)?;
    let (limit, before) = (page::limit(params.limit)?, page::after::<Uuid>(params.cursor.as_deref())?);
    let person = visible(&api, &caller, id).await?;
    let rows = api.store.consents(PersonId(person.id), before, limit).await?;
    Ok(Json(Page::of(rows, limit, |consent| consent.id).map(ConsentView::from)))
}

/// Record that somebody consented to their face being stored
#[utoipa::path(post, path = "/people/{id}/consents", tag = "people", security(("token" = []), ("key" = [])),
    params(("id" = Uuid, Path, description = "The person")), request_body = ConsentGiven,
    responses((status = 201, body = ConsentView), Problems))]
async fn give(
    caller: Caller,
    State(api): State<Arc<Api>>,
    PathOf(id): PathOf<Uuid>,
    Body(given): Body<ConsentGiven>,
) -> Answer<Created<ConsentView>> {
    caller.need(Right::PeopleWrite)?;
    let now = api.clock.wall();
    let given_at = given.given_at.unwrap_or(now);
    let mut checks = Checks::default();
    checks.line("/text_version", &given.text_version, MAX_NAME);
    checks.line("/given_by", &given.given_by, MAX_NAME);
    if given_at > now + AHEAD || given_at < DateTime::UNIX_EPOCH {
        checks.add("/given_at", "must lie in the past");
    }
    checks.done()?;
    let mut change = api.store.change(caller.actor()).await?;
    let person = change.lock_person(&caller.scope, PersonId(id)).await?.ok_or_else(no_person)?;
    if let Some(text) = &person.consent {
        return Err(Problem::conflict(format!("their consent to {text:?} is in force: withdraw it first")));
    }
    let new = NewConsent { text_version: &given.text_version, given_by: &given.given_by, given_at };
    let consent = change.add_consent(PersonId(id), &new).await?;
    change.commit().await?;
    Ok(Created { location: format!("/api/v1/people/{id}/consents"), version: None, body: consent.into() })
}

/// Record that somebody withdrew their consent: their templates, and their pictures in the review queue, are erased with it
#[utoipa::path(post, path = "/people/{id}/consents/withdraw", tag = "people", security(("token" = []), ("key" = [])),
    params(("id" = Uuid, Path, description = "The person")),
    responses((status = 200, body = WithdrawnView), Problems))]
async fn withdraw(
    caller: Caller,
    State(api): State<Arc<Api>>,
    PathOf(id): PathOf<Uuid>,
) -> Answer<Json<WithdrawnView>> {
    caller.need(Right::PeopleWrite)?;
    let mut change = api.store.change(caller.actor()).await?;
    change.lock_person(&caller.scope, PersonId(id)).await?.ok_or_else(no_person)?;
    let withdrawn = change.withdraw_consent(PersonId(id), api.clock.wall()).await?;
    let Withdrawn { consent, templates, pictures } = withdrawn.ok_or_else(|| Problem::conflict(NONE_IN_FORCE))?;
    change.commit().await?;
    Ok(Json(WithdrawnView { consent: consent.into(), templates_erased: templates, pictures_erased: pictures }))
}
