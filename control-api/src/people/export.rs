//! `GET /api/v1/people/export`: the table that `import` reads.

use std::sync::Arc;

use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use futures_util::stream;
use rollcall_store::{PersonDetail, PersonFilter, Scope, Store, StoreError};
use serde::Deserialize;
use utoipa::IntoParams;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use uuid::Uuid;

use super::{PersonParams, filter, table};
use crate::caller::Caller;
use crate::extract::Params;
use crate::problem::{Answer, Problems};
use crate::rights::Right;
use crate::state::Api;

/// People of one query, at most.
const PAGE: u32 = 500;
/// Cells that are made at once, about: each person has one for each attribute that anybody has.
const CELLS: usize = 500_000;

/// Which people: all of them in one answer.
#[derive(Clone, Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct ExportParams {
    /// Part of the name or of the external id, whatever the case.
    #[param(min_length = 1, max_length = 200)]
    q: Option<String>,
    /// Members of this group.
    group_id: Option<Uuid>,
    /// With or without templates.
    has_template: Option<bool>,
    /// The one with this external id.
    #[param(min_length = 1, max_length = 200)]
    external_id: Option<String>,
}

pub(super) fn router() -> OpenApiRouter<Arc<Api>> {
    OpenApiRouter::new().routes(routes!(export))
}

/// People as a table
///
/// CSV in UTF-8, by name, with the columns that `import` reads; the id only of whoever has no external id. A cell that a spreadsheet would take for a formula begins
/// with an apostrophe, which `import` takes off.
#[utoipa::path(get, path = "/people/export", tag = "people", security(("token" = []), ("key" = [])), params(ExportParams),
    responses((status = 200, body = String, content_type = "text/csv"), Problems))]
async fn export(caller: Caller, State(api): State<Arc<Api>>, Params(params): Params<ExportParams>) -> Answer<Response> {
    caller.need(Right::PeopleRead)?;
    let ExportParams { q, group_id, has_template, external_id } = params;
    let filter = filter(&PersonParams { q, group_id, has_template, external_id, limit: None, cursor: None })?;
    let attributes = api.store.attribute_names(&caller.scope).await?;
    let rows = Rows { store: api.store.clone(), scope: caller.scope, filter, attributes, after: None };
    // The first page here: a database that is away is a problem and no broken file.
    let (first, rows) = rows.first().await?;
    let rest = stream::try_unfold(rows, Rows::next);
    let all = stream::StreamExt::chain(stream::once(async move { Ok::<_, StoreError>(first) }), rest);
    let headers = [
        (header::CONTENT_TYPE, "text/csv; charset=utf-8"),
        (header::CONTENT_DISPOSITION, "attachment; filename=\"people.csv\""),
    ];
    Ok((headers, Body::from_stream(all)).into_response())
}

/// What is still to come.
struct Rows {
    store: Store,
    scope: Scope,
    filter: PersonFilter,
    attributes: Vec<String>,
    after: Option<(String, Uuid)>,
}

impl Rows {
    async fn first(mut self) -> Result<(Bytes, Option<Self>), StoreError> {
        let head = table::head(&self.attributes);
        let people = self.page().await?;
        let text = lines(std::iter::once(head), &people, &self.attributes);
        Ok((text, (!people.is_empty()).then_some(self)))
    }

    async fn next(rows: Option<Self>) -> Result<Option<(Bytes, Option<Self>)>, StoreError> {
        let Some(mut rows) = rows else { return Ok(None) };
        let people = rows.page().await?;
        if people.is_empty() {
            return Ok(None);
        }
        Ok(Some((lines(std::iter::empty(), &people, &rows.attributes), Some(rows))))
    }

    async fn page(&mut self) -> Result<Vec<PersonDetail>, StoreError> {
        let at_once = CELLS / self.attributes.len().max(1);
        let limit = u32::try_from(at_once).unwrap_or(PAGE).clamp(1, PAGE);
        let people = self.store.people_in(&self.scope, &self.filter, self.after.as_ref(), limit).await?;
        self.after = people.last().map(|person| (person.name.clone(), person.id));
        Ok(people)
    }
}

fn lines(head: impl Iterator<Item = Vec<String>>, people: &[PersonDetail], attributes: &[String]) -> Bytes {
    let mut writer = csv::Writer::from_writer(Vec::new());
    for line in head.chain(people.iter().map(|person| table::line(person, attributes))) {
        // Into memory, and every line has as many fields as the first.
        drop(writer.write_record(line));
    }
    writer.into_inner().unwrap_or_default().into()
}
