//! `/api/v1/audit`: who did what, and who looked at whose face.

use std::sync::Arc;

use axum::extract::State;
use chrono::{DateTime, Utc};
use rollcall_pipeline::PersonId;
use rollcall_store::{AuditFilter, AuditRow};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use uuid::Uuid;

use crate::caller::Caller;
use crate::extract::Params;
use crate::json::Json;
use crate::page::{self, Page};
use crate::problem::{Answer, FieldError, Problem, Problems};
use crate::rights::Right;
use crate::state::Api;

/// Longest word of a filter.
const MAX_WORD: usize = 200;

/// An entry of the audit log.
#[derive(Clone, Debug, Serialize, ToSchema)]
struct AuditView {
    /// Number; later entries have larger ones.
    id: i64,
    /// When.
    at: DateTime<Utc>,
    /// `account`, `api_key` or `system`.
    actor_kind: String,
    /// Account or key; null for the system.
    actor_id: Option<Uuid>,
    /// What it was called then.
    actor_name: String,
    /// Where it was.
    address: Option<String>,
    /// In which request.
    request_id: Option<String>,
    /// What was done, such as `camera.update`.
    action: String,
    /// To what.
    object_kind: String,
    /// To which.
    object_id: String,
    /// Whose data it is.
    person_id: Option<Uuid>,
    /// What it was; null for what is new, or was only looked at.
    #[schema(value_type = Option<Object>)]
    before: Option<serde_json::Value>,
    /// What it became; null for what is gone, or was only looked at.
    #[schema(value_type = Option<Object>)]
    after: Option<serde_json::Value>,
}

impl From<AuditRow> for AuditView {
    fn from(row: AuditRow) -> Self {
        Self {
            id: row.id,
            at: row.at,
            actor_kind: row.actor_kind,
            actor_id: row.actor_id,
            actor_name: row.actor_name,
            address: row.address,
            request_id: row.request_id,
            action: row.action,
            object_kind: row.object_kind,
            object_id: row.object_id,
            person_id: row.person_id,
            before: row.before,
            after: row.after,
        }
    }
}

#[derive(Clone, Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
struct AuditParams {
    /// Only what this account or key did.
    actor: Option<Uuid>,
    /// Only this action, such as `camera.update`; `camera.` stands for all that is done to cameras.
    #[param(min_length = 1, max_length = 200)]
    action: Option<String>,
    /// Only what was done to such things, such as `camera`.
    #[param(min_length = 1, max_length = 200)]
    object_kind: Option<String>,
    /// Only what was done to this one.
    #[param(min_length = 1, max_length = 200)]
    object_id: Option<String>,
    /// Only what was done with this person's data.
    person: Option<Uuid>,
    /// From then on.
    from: Option<DateTime<Utc>>,
    /// Before then.
    to: Option<DateTime<Utc>>,
    /// Most rows of the answer.
    #[param(minimum = 1, maximum = 500, default = 50)]
    limit: Option<u32>,
    /// `next_cursor` of the page before.
    #[param(max_length = 1000)]
    cursor: Option<String>,
}

pub(crate) fn router() -> OpenApiRouter<Arc<Api>> {
    OpenApiRouter::new().routes(routes!(list))
}

/// The audit log, the newest entry first
#[utoipa::path(get, path = "/audit", tag = "access", security(("token" = []), ("key" = [])), params(AuditParams),
    responses((status = 200, body = Page<AuditView>), Problems))]
async fn list(
    caller: Caller,
    State(api): State<Arc<Api>>,
    Params(params): Params<AuditParams>,
) -> Answer<Json<Page<AuditView>>> {
    caller.need(Right::AuditRead)?;
    caller.need_everywhere()?;
    let words = [("action", &params.action), ("object_kind", &params.object_kind), ("object_id", &params.object_id)];
    let odd = |word: &&String| !(1..=MAX_WORD).contains(&word.chars().count()) || word.chars().any(char::is_control);
    let mut errors: Vec<_> = words
        .iter()
        .filter(|(_, word)| word.as_ref().filter(odd).is_some())
        .map(|(name, _)| FieldError::query(name, format!("must be 1 to {MAX_WORD} plain characters")))
        .collect();
    for (name, time) in [("from", params.from), ("to", params.to)] {
        if time.is_some_and(|time| !crate::validate::is_date(time.date_naive())) {
            errors.push(FieldError::query(name, "must lie in the years 1970 to 9998"));
        }
    }
    if !errors.is_empty() {
        return Err(Problem::invalid(errors));
    }
    let limit = page::limit(params.limit)?;
    let before = page::after(params.cursor.as_deref())?;
    let filter = AuditFilter {
        actor: params.actor,
        action: params.action,
        object_kind: params.object_kind,
        object_id: params.object_id,
        person: params.person.map(PersonId),
        from: params.from,
        to: params.to,
    };
    let rows = api.store.audit_log(&filter, before, limit).await?;
    Ok(Json(Page::of(rows, limit, |row| row.id).map(AuditView::from)))
}
