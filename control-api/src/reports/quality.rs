//! The report of what cameras made of the faces that they saw.

use std::sync::Arc;

use axum::Extension;
use axum::extract::State;
use axum::response::Response;
use rollcall_reports::{Cell, Column, Kind, Row};
use rollcall_store::QualityRow;

use super::stream::{Reports, all_at_once};
use super::{FormatParam, SeparatorParam, format, head};
use crate::analytics::quality_is_short;
use crate::caller::Caller;
use crate::extract::Params;
use crate::figures::{figures_params, of_everybody};
use crate::problem::{Answer, Problems};
use crate::rights::Right;
use crate::state::Api;

figures_params! {
    only places
    /// What is to be reported, and how.
    pub struct QualityReportParams {
        /// What it is written as.
        #[param(inline)]
        pub format: Option<FormatParam>,
        /// What separates the fields of CSV.
        #[param(inline)]
        pub separator: Option<SeparatorParam>,
    }
}

/// A report of the quality of cameras and recognition, by camera and day
#[utoipa::path(get, path = "/reports/quality", tag = "reports", security(("token" = []), ("key" = [])),
    params(QualityReportParams),
    responses(
        (status = 200, description = "The report, as a file", content(
            (Object = "application/json"),
            (String = "text/csv"),
            (String = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"),
            (String = "application/pdf"),
        )),
        Problems,
    ))]
pub(super) async fn quality(
    caller: Caller,
    State(api): State<Arc<Api>>,
    Extension(reports): Extension<Reports>,
    Params(params): Params<QualityReportParams>,
) -> Answer<Response> {
    caller.need(Right::ReportsRead)?;
    of_everybody(&caller)?;
    let part = params.asked().part(&api, &caller).await?;
    quality_is_short(&part)?;
    let place = reports.place()?;
    let rows = api.store.quality(&caller.scope, &part.filter).await?;
    let report = head::plain("Quality of cameras", &part, columns(), api.clock.wall());
    let lines = rows.into_iter().map(line).collect();
    place.answer(format(params.format, params.separator), report, |to| all_at_once(lines, to)).await
}

fn columns() -> Vec<Column> {
    let counts = [
        ("tracks", "Tracks"),
        ("recorded", "Recorded"),
        ("debounced", "Again"),
        ("unknown", "Unknown"),
        ("ambiguous", "Ambiguous"),
        ("spoof", "Spoof"),
        ("unexpected", "Unexpected"),
        ("live", "Live"),
        ("undecided", "Undecided"),
    ];
    let mut columns = vec![
        Column::new("date", "Date", Kind::Date),
        Column::new("camera", "Camera", Kind::Text),
        Column::new("room", "Room", Kind::Text),
        Column::new("up_share", "Pictures", Kind::Percent),
    ];
    columns.extend(counts.map(|(key, title)| Column::new(key, title, Kind::Integer)));
    columns.extend([
        Column::new("mean_similarity", "Similarity", Kind::Percent),
        Column::new("mean_margin", "Margin", Kind::Percent),
        Column::new("mean_decision_ms", "Decision (ms)", Kind::Integer),
    ]);
    columns
}

fn line(row: QualityRow) -> Row {
    let counts = [
        row.tracks,
        row.recorded,
        row.debounced,
        row.unknown,
        row.ambiguous,
        row.spoof,
        row.unexpected,
        row.live,
        row.undecided,
    ];
    let share = |of: Option<f64>| of.filter(|of| of.is_finite()).map_or(Cell::Empty, Cell::Percent);
    let mut cells = vec![Cell::Date(row.date), Cell::Text(row.camera), Cell::Text(row.room_id)];
    cells.push(share(row.up_share));
    cells.extend(counts.map(Cell::Integer));
    let decision = row.mean_decision_s.map_or(Cell::Empty, |s| Cell::Integer((s * 1_000.0).round() as i64));
    cells.extend([share(row.mean_similarity), share(row.mean_margin), decision]);
    cells
}
