//! `/api/v1/sites`: places with a time zone, and their holidays.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use chrono::NaiveDate;
use rollcall_store::{Holiday, Site};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::caller::Caller;
use crate::extract::{Body, Created, IfMatch, Params, PathOf, Versioned};
use crate::json::Json;
use crate::page::{self, Page};
use crate::problem::{Answer, FieldError, Problem, Problems};
use crate::rights::Right;
use crate::state::Api;
use crate::validate::{Checks, MAX_NAME, is_date};

/// A place with a time zone.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub(crate) struct SiteView {
    /// Short name.
    #[schema(example = "main")]
    pub id: String,
    /// Name for people.
    pub name: String,
    /// IANA name.
    #[schema(example = "Europe/Berlin")]
    pub time_zone: String,
    /// `api`, or `file` for the site of the configuration file, which is changed there.
    pub managed_by: String,
    /// For If-Match.
    pub version: i64,
}

impl From<Site> for SiteView {
    fn from(site: Site) -> Self {
        let Site { id, name, time_zone, managed_by, version } = site;
        Self { id, name, time_zone, managed_by, version }
    }
}

/// A new site.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewSite {
    /// Short name.
    #[schema(pattern = "^[a-z0-9_-]{1,40}$", min_length = 1, max_length = 40)]
    pub id: String,
    /// Name for people.
    #[schema(min_length = 1, max_length = 200)]
    pub name: String,
    /// IANA name.
    #[schema(example = "Europe/Berlin", max_length = 60)]
    pub time_zone: String,
}

/// What is to be different about a site.
#[derive(Clone, Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct SitePatch {
    /// Name for people.
    #[schema(min_length = 1, max_length = 200, nullable = false)]
    #[serde(deserialize_with = "crate::extract::given")]
    pub name: Option<String>,
    /// IANA name.
    #[schema(max_length = 60, nullable = false)]
    #[serde(deserialize_with = "crate::extract::given")]
    pub time_zone: Option<String>,
}

/// A day without sessions.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct HolidayView {
    /// When.
    pub date: NaiveDate,
    /// Why.
    pub name: String,
    /// For If-Match.
    pub version: i64,
}

impl From<Holiday> for HolidayView {
    fn from(Holiday { date, name, version, .. }: Holiday) -> Self {
        Self { date, name, version }
    }
}

/// A holiday's name.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewHoliday {
    /// Why.
    #[schema(min_length = 1, max_length = 200)]
    pub name: String,
}

/// Which page of a list.
#[derive(Clone, Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct ListParams {
    /// Most rows of the answer.
    #[param(minimum = 1, maximum = 500, default = 50)]
    pub limit: Option<u32>,
    /// `next_cursor` of the page before.
    #[param(max_length = 1000)]
    pub cursor: Option<String>,
}

pub(crate) fn router() -> OpenApiRouter<Arc<Api>> {
    OpenApiRouter::new()
        .routes(routes!(list, create))
        .routes(routes!(read, change, remove))
        .routes(routes!(holidays))
        .routes(routes!(put_holiday, remove_holiday))
}

/// What the file defines is changed there.
pub(crate) fn not_of_the_file(what: &str, managed_by: &str) -> Result<(), Problem> {
    if managed_by != "file" {
        return Ok(());
    }
    Err(Problem::conflict(format!(
        "this {what} is defined in the configuration file: change it there and reload (SIGHUP)"
    )))
}

/// The sites
#[utoipa::path(get, path = "/sites", tag = "places", security(("token" = []), ("key" = [])), params(ListParams),
    responses((status = 200, body = Page<SiteView>), Problems))]
async fn list(
    caller: Caller,
    State(api): State<Arc<Api>>,
    Params(params): Params<ListParams>,
) -> Answer<Json<Page<SiteView>>> {
    caller.need(Right::PlacesRead)?;
    let (limit, after) = (page::limit(params.limit)?, page::after::<String>(params.cursor.as_deref())?);
    let rows = api.store.sites(&caller.scope, after.as_deref(), limit).await?;
    Ok(Json(Page::of(rows, limit, |site| site.id.clone()).map(SiteView::from)))
}

/// Add a site
#[utoipa::path(post, path = "/sites", tag = "places", security(("token" = []), ("key" = [])), request_body = NewSite,
    responses((status = 201, body = SiteView), Problems))]
async fn create(caller: Caller, State(api): State<Arc<Api>>, Body(new): Body<NewSite>) -> Answer<Created<SiteView>> {
    caller.need(Right::PlacesWrite)?;
    caller.need_everywhere()?;
    let mut checks = Checks::default();
    checks.slug("/id", &new.id);
    checks.line("/name", &new.name, MAX_NAME);
    checks.maybe_time_zone("/time_zone", Some(&new.time_zone));
    checks.done()?;
    let mut change = api.store.change(caller.actor()).await?;
    let site = change.add_site(&new.id, &new.name, &new.time_zone).await?;
    change.commit().await?;
    Ok(Created { location: format!("/api/v1/sites/{}", site.id), version: Some(site.version), body: site.into() })
}

/// One site
#[utoipa::path(get, path = "/sites/{id}", tag = "places", security(("token" = []), ("key" = [])),
    params(("id" = String, Path, description = "The site", max_length = 40)),
    responses((status = 200, body = SiteView), Problems))]
async fn read(caller: Caller, State(api): State<Arc<Api>>, PathOf(id): PathOf<String>) -> Answer<Versioned<SiteView>> {
    caller.need(Right::PlacesRead)?;
    let site = api.store.site(&caller.scope, &id).await?.ok_or_else(|| Problem::not_found("site"))?;
    Ok(Versioned(site.version, site.into()))
}

/// Change a site
#[utoipa::path(patch, path = "/sites/{id}", tag = "places", security(("token" = []), ("key" = [])),
    params(("id" = String, Path, description = "The site", max_length = 40),
        ("If-Match" = String, Header, description = "ETag that was read, or *")),
    request_body = SitePatch, responses((status = 200, body = SiteView), Problems))]
async fn change(
    caller: Caller,
    State(api): State<Arc<Api>>,
    PathOf(id): PathOf<String>,
    if_match: IfMatch,
    Body(patch): Body<SitePatch>,
) -> Answer<Versioned<SiteView>> {
    caller.need(Right::PlacesWrite)?;
    let mut checks = Checks::default();
    checks.maybe_line("/name", patch.name.as_deref(), MAX_NAME);
    checks.maybe_time_zone("/time_zone", patch.time_zone.as_deref());
    checks.done()?;
    let mut change = api.store.change(caller.actor()).await?;
    let before = change.lock_site(&caller.scope, &id).await?.ok_or_else(|| Problem::not_found("site"))?;
    not_of_the_file("site", &before.managed_by)?;
    if_match.check(before.version)?;
    let name = patch.name.as_ref().unwrap_or(&before.name);
    let time_zone = patch.time_zone.as_ref().unwrap_or(&before.time_zone);
    let site = change.replace_site(&before, name, time_zone).await?;
    change.commit().await?;
    Ok(Versioned(site.version, site.into()))
}

/// Remove a site that has no rooms and no courses
#[utoipa::path(delete, path = "/sites/{id}", tag = "places", security(("token" = []), ("key" = [])),
    params(("id" = String, Path, description = "The site", max_length = 40),
        ("If-Match" = String, Header, description = "ETag that was read, or *")),
    responses((status = 204), Problems))]
async fn remove(
    caller: Caller,
    State(api): State<Arc<Api>>,
    PathOf(id): PathOf<String>,
    if_match: IfMatch,
) -> Answer<StatusCode> {
    caller.need(Right::PlacesWrite)?;
    caller.need_everywhere()?;
    let mut change = api.store.change(caller.actor()).await?;
    let site = change.lock_site(&caller.scope, &id).await?.ok_or_else(|| Problem::not_found("site"))?;
    not_of_the_file("site", &site.managed_by)?;
    if_match.check(site.version)?;
    change.remove_site(&site).await?;
    change.commit().await?;
    Ok(StatusCode::NO_CONTENT)
}

/// The holidays of a site, by date
#[utoipa::path(get, path = "/sites/{id}/holidays", tag = "places", security(("token" = []), ("key" = [])),
    params(("id" = String, Path, description = "The site", max_length = 40), ListParams),
    responses((status = 200, body = Page<HolidayView>), Problems))]
async fn holidays(
    caller: Caller,
    State(api): State<Arc<Api>>,
    PathOf(id): PathOf<String>,
    Params(params): Params<ListParams>,
) -> Answer<Json<Page<HolidayView>>> {
    caller.need(Right::PlacesRead)?;
    let (limit, after) = (page::limit(params.limit)?, page::after::<NaiveDate>(params.cursor.as_deref())?);
    let site = api.store.site(&caller.scope, &id).await?.ok_or_else(|| Problem::not_found("site"))?;
    let rows = api.store.holidays(&site.id, after, limit).await?;
    Ok(Json(Page::of(rows, limit, |holiday| holiday.date).map(HolidayView::from)))
}

/// Make a day a holiday: no sessions of timetables are held
#[utoipa::path(put, path = "/sites/{id}/holidays/{date}", tag = "places", security(("token" = []), ("key" = [])),
    params(("id" = String, Path, description = "The site", max_length = 40), ("date" = NaiveDate, Path, description = "The day"),
        ("If-Match" = Option<String>, Header, description = "Where there is one: its ETag or version that was read, or *")),
    request_body = NewHoliday, responses((status = 200, body = HolidayView), Problems))]
async fn put_holiday(
    caller: Caller,
    State(api): State<Arc<Api>>,
    PathOf((id, date)): PathOf<(String, NaiveDate)>,
    if_match: Option<IfMatch>,
    Body(new): Body<NewHoliday>,
) -> Answer<Versioned<HolidayView>> {
    caller.need(Right::PlacesWrite)?;
    let mut checks = Checks::default();
    checks.line("/name", &new.name, MAX_NAME);
    checks.done()?;
    if !is_date(date) {
        return Err(Problem::invalid(vec![FieldError::query("date", "must lie in the years 1970 to 9998")]));
    }
    let mut change = api.store.change(caller.actor()).await?;
    let site = change.lock_site(&caller.scope, &id).await?.ok_or_else(|| Problem::not_found("site"))?;
    let before = change.holiday(&site, date).await?;
    IfMatch::check_put(if_match, before.as_ref().map(|holiday| holiday.version))?;
    let holiday = change.put_holiday(&site, before.as_ref(), date, &new.name).await?;
    change.commit().await?;
    Ok(Versioned(holiday.version, holiday.into()))
}

/// Make a holiday a day like others
#[utoipa::path(delete, path = "/sites/{id}/holidays/{date}", tag = "places", security(("token" = []), ("key" = [])),
    params(("id" = String, Path, description = "The site", max_length = 40), ("date" = NaiveDate, Path, description = "The day"),
        ("If-Match" = String, Header, description = "ETag or version that was read, or *")),
    responses((status = 204), Problems))]
async fn remove_holiday(
    caller: Caller,
    State(api): State<Arc<Api>>,
    PathOf((id, date)): PathOf<(String, NaiveDate)>,
    if_match: IfMatch,
) -> Answer<StatusCode> {
    caller.need(Right::PlacesWrite)?;
    if !is_date(date) {
        return Err(Problem::not_found("holiday"));
    }
    let mut change = api.store.change(caller.actor()).await?;
    let site = change.lock_site(&caller.scope, &id).await?.ok_or_else(|| Problem::not_found("site"))?;
    let holiday = change.holiday(&site, date).await?.ok_or_else(|| Problem::not_found("holiday"))?;
    if_match.check(holiday.version)?;
    change.remove_holiday(&holiday).await?;
    change.commit().await?;
    Ok(StatusCode::NO_CONTENT)
}
