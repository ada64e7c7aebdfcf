//! The report of attendance: by session, course, group, person, day, week, month, arrival or hour, or row by row.

use std::sync::Arc;

use axum::Extension;
use axum::extract::State;
use axum::response::Response;
use rollcall_attendance::analytics::Summary;
use rollcall_reports::Row;
use rollcall_store::{FiguresBy, FiguresReading, StoreError};
use serde::Deserialize;
use utoipa::ToSchema;

use super::stream::{Reports, Rows, all_at_once};
use super::{FormatParam, SeparatorParam, columns, format, head, sums};
use crate::caller::Caller;
use crate::extract::Params;
use crate::figures::{figures_params, of_everybody};
use crate::problem::{Answer, Problems};
use crate::rights::Right;
use crate::state::Api;

/// What the lines of a report are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum ByParam {
    /// Sessions.
    #[default]
    Session,
    /// Courses.
    Course,
    /// Groups.
    Group,
    /// People.
    Person,
    /// Days.
    Day,
    /// Weeks, from Monday.
    Week,
    /// Months.
    Month,
    /// Arrivals by minutes from the start.
    Arrival,
    /// The hours of the week in which sessions begin.
    Hour,
    /// The rows of the register: who, when, and why.
    Row,
}

impl ByParam {
    fn figures(self) -> Option<FiguresBy> {
        Some(match self {
            Self::Session => FiguresBy::Session,
            Self::Course => FiguresBy::Course,
            Self::Group => FiguresBy::Group,
            Self::Person => FiguresBy::Person,
            Self::Day => FiguresBy::Day,
            Self::Week => FiguresBy::Week,
            Self::Month => FiguresBy::Month,
            Self::Arrival | Self::Hour | Self::Row => return None,
        })
    }

    fn sums(self, summary: &Summary) -> Option<sums::Table> {
        match self {
            Self::Arrival => Some(sums::arrivals(&summary.arrivals)),
            Self::Hour => Some(sums::hours(&summary.heat_map)),
            _ => None,
        }
    }

    fn title(self) -> &'static str {
        match self {
            Self::Session => "Attendance by session",
            Self::Course => "Attendance by course",
            Self::Group => "Attendance by group",
            Self::Person => "Attendance by person",
            Self::Day => "Attendance by day",
            Self::Week => "Attendance by week",
            Self::Month => "Attendance by month",
            Self::Arrival => "Arrivals by minutes from the start",
            Self::Hour => "Attendance by weekday and hour",
            Self::Row => "Attendance register",
        }
    }
}

figures_params! {
    /// What is to be reported, and how.
    pub struct AttendanceReportParams {
        /// What the lines are.
        #[param(inline)]
        pub by: Option<ByParam>,
        /// What it is written as.
        #[param(inline)]
        pub format: Option<FormatParam>,
        /// What separates the fields of CSV.
        #[param(inline)]
        pub separator: Option<SeparatorParam>,
    }
}

/// A report of attendance
///
/// Streamed while it is read; all of it is of one moment. Times are in the time zone of the site. JSON has shares as fractions of
/// one, CSV in percent.
#[utoipa::path(get, path = "/reports/attendance", tag = "reports", security(("token" = []), ("key" = [])),
    params(AttendanceReportParams),
    responses(
        (status = 200, description = "The report, as a file", content(
            (Object = "application/json"),
            (String = "text/csv"),
            (String = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"),
            (String = "application/pdf"),
        )),
        Problems,
    ))]
pub(super) async fn attendance(
    caller: Caller,
    State(api): State<Arc<Api>>,
    Extension(reports): Extension<Reports>,
    Params(params): Params<AttendanceReportParams>,
) -> Answer<Response> {
    caller.need(Right::ReportsRead)?;
    of_everybody(&caller)?;
    let part = params.asked().part(&api, &caller).await?;
    let place = reports.place()?;
    let by = params.by.unwrap_or_default();
    let mut reading = api.store.read_figures(caller.scope.clone(), part.filter.clone()).await?;
    let summary = reading.summary().await?;
    let format = format(params.format, params.separator);
    let report = |columns| head::report(by.title(), &part, &summary, columns, api.clock.wall());
    if let Some((columns, lines)) = by.sums(&summary.summary) {
        drop(reading);
        return place.answer(format, report(columns), |rows| all_at_once(lines, rows)).await;
    }
    let figures = by.figures();
    match figures {
        Some(by) => reading.open_figures(by).await?,
        None => reading.open_lines().await?,
    }
    let report = report(figures.map_or_else(columns::of_lines, columns::of_figures));
    place.answer(format, report, move |rows| read(reading, figures, rows)).await
}

/// Sends all rows, as long as somebody takes them.
async fn read(mut reading: FiguresReading, by: Option<FiguresBy>, rows: Rows) {
    loop {
        let chunk: Result<Vec<Row>, StoreError> = match by {
            Some(by) => {
                reading.next_figures().await.map(|lines| lines.into_iter().map(|l| columns::figures(by, l)).collect())
            }
            None => reading.next_lines().await.map(|lines| lines.into_iter().map(columns::line).collect()),
        };
        let last = chunk.as_ref().map_or(true, Vec::is_empty);
        if rows.send(chunk.map_err(Into::into)).await.is_err() || last {
            return;
        }
    }
}
