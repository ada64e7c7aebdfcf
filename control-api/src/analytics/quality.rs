//! Figures of cameras.

use std::sync::Arc;

use axum::extract::State;
use chrono::NaiveDate;
use rollcall_store::QualityRow;
use serde::Serialize;
use utoipa::ToSchema;

use super::PeriodView;
use crate::caller::Caller;
use crate::extract::Params;
use crate::figures::{Part, figures_params, of_everybody};
use crate::json::Json;
use crate::problem::{Answer, FieldError, Problem, Problems};
use crate::rights::Right;
use crate::state::Api;

/// Most days of one answer: it has a row for each camera and day.
const MAX_DAYS: i64 = 100;

figures_params! {
    only places
    /// Which cameras, and when.
    pub struct QualityParams {}
}

/// Whether there were pictures, and what cameras made of the faces that they saw.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub(crate) struct QualityView {
    /// Which days.
    pub period: PeriodView,
    /// Camera by camera on each day.
    pub days: Vec<CameraDayView>,
}

/// A camera on a day. Counted in `tracks` and what follows are faces from when they appear to when they go.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub(crate) struct CameraDayView {
    /// Local date.
    pub date: NaiveDate,
    /// The camera.
    pub camera_id: String,
    /// Where it looked.
    pub room_id: String,
    /// Minutes for which the daemon watched it.
    pub watched_min: i64,
    /// Part of that time in which there were pictures, 0 to 1; a minute in which the daemon began or ended counts as a whole one.
    pub up_share: Option<f64>,
    /// Faces found, in all frames.
    pub faces: i64,
    /// All tracks.
    pub tracks: i64,
    /// Made a mark.
    pub recorded: i64,
    /// Of somebody who was marked before.
    pub debounced: i64,
    /// Like nobody known.
    pub unknown: i64,
    /// Like two people.
    pub ambiguous: i64,
    /// No live face.
    pub spoof: i64,
    /// Of somebody who is not expected there, or not then.
    pub unexpected: i64,
    /// Judged live.
    pub live: i64,
    /// Judged neither live nor a spoof.
    pub undecided: i64,
    /// Mean similarity of those who were named.
    pub mean_similarity: Option<f64>,
    /// Mean distance of those who were named to the next person.
    pub mean_margin: Option<f64>,
    /// Mean seconds from the first usable view of a face to the picture that decided.
    pub mean_decision_s: Option<f64>,
}

impl From<QualityRow> for CameraDayView {
    fn from(row: QualityRow) -> Self {
        Self {
            date: row.date,
            camera_id: row.camera,
            room_id: row.room_id,
            watched_min: row.watched_min,
            up_share: row.up_share,
            faces: row.faces,
            tracks: row.tracks,
            recorded: row.recorded,
            debounced: row.debounced,
            unknown: row.unknown,
            ambiguous: row.ambiguous,
            spoof: row.spoof,
            unexpected: row.unexpected,
            live: row.live,
            undecided: row.undecided,
            mean_similarity: row.mean_similarity,
            mean_margin: row.mean_margin,
            mean_decision_s: row.mean_decision_s,
        }
    }
}

/// Refuses what would be too long.
pub(crate) fn quality_is_short(part: &Part) -> Answer<()> {
    let (from, to) = (part.filter.from, part.filter.to);
    if (to - from).num_days() <= MAX_DAYS {
        return Ok(());
    }
    let detail = format!("must be at most {MAX_DAYS} days before to, {to}");
    Err(Problem::invalid(vec![FieldError::query("from", detail)]))
}

/// Quality of cameras and recognition
///
/// By camera and day, from the log of decisions and of whether there were pictures, as far back as each is kept. A camera that
/// saw nobody, or was away, has its row, too.
#[utoipa::path(get, path = "/analytics/quality", tag = "analytics", security(("token" = []), ("key" = [])),
    params(QualityParams), responses((status = 200, body = QualityView), Problems))]
pub(super) async fn quality(
    caller: Caller,
    State(api): State<Arc<Api>>,
    Params(params): Params<QualityParams>,
) -> Answer<Json<QualityView>> {
    caller.need(Right::ReportsRead)?;
    of_everybody(&caller)?;
    let part = params.asked().part(&api, &caller).await?;
    quality_is_short(&part)?;
    let rows = api.store.quality(&caller.scope, &part.filter).await?;
    Ok(Json(QualityView { period: (&part).into(), days: rows.into_iter().map(CameraDayView::from).collect() }))
}
