//! Figures of everybody together.

use std::sync::Arc;

use axum::extract::State;
use chrono::NaiveDate;
use rollcall_store::{FiguresBy, RegisterSummary};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::PeriodView;
use crate::caller::Caller;
use crate::extract::Params;
use crate::figures::{Part, TallyView, figures_params, of_everybody};
use crate::json::Json;
use crate::problem::{Answer, Problems};
use crate::rights::Right;
use crate::state::Api;

figures_params! {
    /// Which part of the register.
    pub struct FiguresParams {}
}

figures_params! {
    /// Which part of the register, and how it is cut.
    pub struct TrendParams {
        /// How long a step is.
        #[param(inline)]
        pub by: Option<StepParam>,
    }
}

/// A step of a trend.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum StepParam {
    /// A local date.
    Day,
    /// A week from Monday.
    #[default]
    Week,
    /// A month.
    Month,
}

/// What a part of the register comes to.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub(crate) struct SummaryView {
    /// Which days.
    pub period: PeriodView,
    /// Sessions in which something counts.
    pub sessions: u64,
    /// How often which status.
    pub tally: TallyView,
}

/// When people came.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub(crate) struct ArrivalsView {
    /// Which days.
    pub period: PeriodView,
    /// All arrivals whose time is known.
    pub total: u64,
    /// Of them before the start.
    pub before_start: u64,
    /// How many came when, earliest first.
    pub buckets: Vec<BucketView>,
}

/// Some arrivals.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub(crate) struct BucketView {
    /// From so many minutes after the start; negative: before it; null: however early.
    pub from_minutes: Option<f32>,
    /// Up to so many, exclusive; null: however late.
    pub to_minutes: Option<f32>,
    /// How many.
    pub count: u64,
}

/// Figures over time.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub(crate) struct TrendView {
    /// Which days.
    pub period: PeriodView,
    /// The steps in which something counts, in order.
    pub steps: Vec<StepView>,
}

/// A step of a trend.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub(crate) struct StepView {
    /// Its first local date.
    pub date: NaiveDate,
    /// Sessions in which something counts.
    pub sessions: u64,
    /// How often which status. `lateness_percent` over time is the late trend.
    pub tally: TallyView,
}

/// Figures by weekday and hour.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub(crate) struct HeatMapView {
    /// Which days.
    pub period: PeriodView,
    /// The hours in which something counts, from Monday.
    pub cells: Vec<CellView>,
}

/// An hour of the week.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub(crate) struct CellView {
    /// ISO: 1 is Monday.
    #[schema(minimum = 1, maximum = 7)]
    pub weekday: usize,
    /// The local hour in which sessions begin.
    #[schema(minimum = 0, maximum = 23)]
    pub hour: usize,
    /// How often which status.
    pub tally: TallyView,
}

async fn sum_up(api: &Api, caller: &Caller, params: &FiguresParams) -> Answer<(Part, RegisterSummary)> {
    of_everybody(caller)?;
    let part = params.asked().part(api, caller).await?;
    let summary = api.store.register_summary(&caller.scope, &part.filter).await?;
    Ok((part, summary))
}

/// Totals and percentages
#[utoipa::path(get, path = "/analytics/summary", tag = "analytics", security(("token" = []), ("key" = [])),
    params(FiguresParams), responses((status = 200, body = SummaryView), Problems))]
pub(super) async fn summary(
    caller: Caller,
    State(api): State<Arc<Api>>,
    Params(params): Params<FiguresParams>,
) -> Answer<Json<SummaryView>> {
    caller.need(Right::ReportsRead)?;
    let (part, summed) = sum_up(&api, &caller, &params).await?;
    let tally = summed.summary.tally.into();
    Ok(Json(SummaryView { period: (&part).into(), sessions: summed.sessions, tally }))
}

/// Arrivals by minutes from the start
#[utoipa::path(get, path = "/analytics/arrivals", tag = "analytics", security(("token" = []), ("key" = [])),
    params(FiguresParams), responses((status = 200, body = ArrivalsView), Problems))]
pub(super) async fn arrivals(
    caller: Caller,
    State(api): State<Arc<Api>>,
    Params(params): Params<FiguresParams>,
) -> Answer<Json<ArrivalsView>> {
    caller.need(Right::ReportsRead)?;
    let (part, summed) = sum_up(&api, &caller, &params).await?;
    let arrivals = summed.summary.arrivals;
    let buckets =
        arrivals.buckets().map(|b| BucketView { from_minutes: b.from, to_minutes: b.to, count: b.count }).collect();
    let (total, before_start) = (arrivals.total(), arrivals.before_start());
    Ok(Json(ArrivalsView { period: (&part).into(), total, before_start, buckets }))
}

/// Figures by weekday and hour
#[utoipa::path(get, path = "/analytics/heatmap", tag = "analytics", security(("token" = []), ("key" = [])),
    params(FiguresParams), responses((status = 200, body = HeatMapView), Problems))]
pub(super) async fn heat_map(
    caller: Caller,
    State(api): State<Arc<Api>>,
    Params(params): Params<FiguresParams>,
) -> Answer<Json<HeatMapView>> {
    caller.need(Right::ReportsRead)?;
    let (part, summed) = sum_up(&api, &caller, &params).await?;
    let rows = summed.summary.heat_map.rows().iter().enumerate();
    let cells = rows.flat_map(|(day, hours)| {
        let counted = hours.iter().enumerate().filter(|(_, tally)| tally.expected() + tally.excused > 0);
        counted.map(move |(hour, tally)| CellView { weekday: day + 1, hour, tally: (*tally).into() })
    });
    Ok(Json(HeatMapView { period: (&part).into(), cells: cells.collect() }))
}

/// Figures by day, week or month
#[utoipa::path(get, path = "/analytics/trend", tag = "analytics", security(("token" = []), ("key" = [])),
    params(TrendParams), responses((status = 200, body = TrendView), Problems))]
pub(super) async fn trend(
    caller: Caller,
    State(api): State<Arc<Api>>,
    Params(params): Params<TrendParams>,
) -> Answer<Json<TrendView>> {
    caller.need(Right::ReportsRead)?;
    of_everybody(&caller)?;
    let part = params.asked().part(&api, &caller).await?;
    let by = match params.by.unwrap_or_default() {
        StepParam::Day => FiguresBy::Day,
        StepParam::Week => FiguresBy::Week,
        StepParam::Month => FiguresBy::Month,
    };
    let rows = api.store.figures(&caller.scope, &part.filter, by).await?;
    let step = |row: &rollcall_store::FiguresRow| {
        Some(StepView { date: row.date?, sessions: row.sessions, tally: row.tally.into() })
    };
    Ok(Json(TrendView { period: (&part).into(), steps: rows.iter().filter_map(step).collect() }))
}
