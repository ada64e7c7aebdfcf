//! `POST /api/v1/people/import`: people from another system, all of them or none.

use std::sync::Arc;

use axum::body::to_bytes;
use axum::extract::{Request, State};
use axum::http::header;
use rollcall_store::{ImportError, Imported};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::table::{self, Table};
use crate::caller::Caller;
use crate::extract::{Params, too_large, unsupported};
use crate::json::Json;
use crate::problem::{Answer, FieldError, Problem, Problems};
use crate::rights::Right;
use crate::state::Api;

/// Bytes of a table, at most.
pub(crate) const MAX_BYTES: usize = 20 << 20;

/// How to import.
#[derive(Clone, Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct ImportParams {
    /// Only tell what it would do.
    #[serde(default)]
    #[param(default = false)]
    pub dry_run: Option<bool>,
}

/// What an import did, or would do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct ImportView {
    /// Whether nothing was written.
    pub dry_run: bool,
    /// People that are new.
    pub created: u64,
    /// People that are different now.
    pub updated: u64,
    /// People that were like that already.
    pub unchanged: u64,
    /// Groups that are new.
    pub groups_created: u64,
}

pub(super) fn router() -> OpenApiRouter<Arc<Api>> {
    OpenApiRouter::new().routes(routes!(import))
}

/// Add and change people by a table
///
/// CSV in UTF-8, with `,` or `;`, at most 20 MB and 100,000 people. The first line names the columns: `external_id` (by which
/// people are told apart) and `name`, perhaps `groups` (parted by `|`, made if need be), `attribute.NAME` and `id`, which says
/// who it is here: for those without an external id, or to give them one. What has no column stays as it is; nobody is
/// removed. One mistake, and nothing is imported: each is told with its line.
#[utoipa::path(post, path = "/people/import", tag = "people", security(("token" = []), ("key" = [])), params(ImportParams),
    request_body(content = String, content_type = "text/csv",
        example = "external_id,name,groups\n4711,Ada Lovelace,Mathematics|Year 1\n"),
    responses((status = 200, body = ImportView), Problems))]
async fn import(
    caller: Caller,
    State(api): State<Arc<Api>>,
    Params(params): Params<ImportParams>,
    request: Request,
) -> Answer<Json<ImportView>> {
    caller.need(Right::PeopleWrite)?;
    caller.need_everywhere()?;
    let media_type = request.headers().get(header::CONTENT_TYPE).and_then(|v| v.to_str().ok()).unwrap_or_default();
    if !media_type.split(';').next().unwrap_or_default().trim().eq_ignore_ascii_case("text/csv") {
        return Err(unsupported("text/csv"));
    }
    let _held = api.access.space.hold(request.headers(), MAX_BYTES)?;
    let bytes = to_bytes(request.into_body(), MAX_BYTES).await;
    let bytes = bytes.map_err(|_| too_large("the table did not come in whole, or has more than 20 MB"))?;
    let read = tokio::task::spawn_blocking(move || table::read(&bytes)).await.map_err(Problem::internal)?;
    let Table { people, attributes } = read.map_err(wrong_table)?;
    let (lines, people): (Vec<_>, Vec<_>) = people.into_iter().unzip();
    let dry_run = params.dry_run.unwrap_or_default();
    let mut change = api.store.change(caller.actor()).await?;
    let told = change.import_people(&people, &attributes).await.map_err(|error| match error {
        ImportError::Misfits(misfits) => {
            let told = misfits.into_iter().take(table::MAX_TOLD);
            wrong_table(told.map(|(i, why)| table::mistake(lines[i], "", why.to_string())).collect())
        }
        ImportError::Store(error) => error.into(),
    })?;
    if !dry_run {
        change.commit().await?;
    }
    let Imported { created, updated, unchanged, groups_created } = told;
    Ok(Json(ImportView { dry_run, created, updated, unchanged, groups_created }))
}

fn wrong_table(errors: Vec<FieldError>) -> Problem {
    Problem::invalid(errors).explained("nothing was imported: these lines are wrong")
}
