//! The report of standings: leaderboard, streaks and badges in one table.

use std::sync::Arc;

use axum::Extension;
use axum::extract::State;
use axum::response::Response;
use rollcall_attendance::analytics::Ranked;
use rollcall_reports::{Cell, Column, Kind, Row};
use rollcall_store::StandingRow;

use super::columns::{maybe_text, number, of_tally, share_of, tally};
use super::stream::{Reports, all_at_once};
use super::{FormatParam, SeparatorParam, format, head};
use crate::analytics::{badge_names, ranked};
use crate::caller::Caller;
use crate::extract::Params;
use crate::figures::{figures_params, of_everybody};
use crate::problem::{Answer, Problems};
use crate::rights::Right;
use crate::state::Api;

figures_params! {
    /// What is to be reported, and how.
    pub struct StandingsReportParams {
        /// What it is written as.
        #[param(inline)]
        pub format: Option<FormatParam>,
        /// What separates the fields of CSV.
        #[param(inline)]
        pub separator: Option<SeparatorParam>,
    }
}

/// A report of standings: rank, streaks and badges of each person
///
/// Who was never expected is not in it.
#[utoipa::path(get, path = "/reports/standings", tag = "reports", security(("token" = []), ("key" = [])),
    params(StandingsReportParams),
    responses(
        (status = 200, description = "The report, as a file", content(
            (Object = "application/json"),
            (String = "text/csv"),
            (String = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"),
            (String = "application/pdf"),
        )),
        Problems,
    ))]
pub(super) async fn standings(
    caller: Caller,
    State(api): State<Arc<Api>>,
    Extension(reports): Extension<Reports>,
    Params(params): Params<StandingsReportParams>,
) -> Answer<Response> {
    caller.need(Right::ReportsRead)?;
    of_everybody(&caller)?;
    let part = params.asked().part(&api, &caller).await?;
    let place = reports.place()?;
    let rows = ranked(api.store.standings(&caller.scope, &part.filter).await?, 1);
    let report = head::plain("Standings", &part, columns(), api.clock.wall());
    let lines = rows.into_iter().map(line).collect();
    place.answer(format(params.format, params.separator), report, |to| all_at_once(lines, to)).await
}

fn columns() -> Vec<Column> {
    let mut columns = vec![
        Column::new("rank", "Rank", Kind::Integer),
        Column::new("person", "Person", Kind::Text),
        Column::new("external_id", "Number", Kind::Text),
    ];
    columns.extend(of_tally());
    columns.extend([
        Column::new("current_streak", "Streak", Kind::Integer),
        Column::new("best_streak", "Best streak", Kind::Integer),
        Column::new("early", "Early", Kind::Percent),
        Column::new("badges", "Badges", Kind::Text),
    ]);
    columns
}

fn line((ranked, row): (Ranked, StandingRow)) -> Row {
    let standing = &row.standing;
    let (total, early) = (standing.arrivals.total(), standing.arrivals.before_start());
    let mut cells = vec![number(ranked.rank as u64), Cell::Text(row.name), maybe_text(row.external_id)];
    cells.extend(tally(&standing.tally));
    cells.extend([
        number(standing.streak.current().into()),
        number(standing.streak.best().into()),
        share_of(early, total),
        Cell::Text(badge_names(standing).join(", ")),
    ]);
    cells
}
