//! `/api/v1/reports`: figures and rows of the register as JSON, CSV, XLSX and PDF.

mod attendance;
mod columns;
mod head;
mod people;
mod quality;
mod stream;
mod sums;

use std::sync::Arc;

use axum::Extension;
use rollcall_reports::{CsvOptions, Format};
use serde::Deserialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::state::Api;
use stream::Reports;

pub(crate) fn router() -> OpenApiRouter<Arc<Api>> {
    OpenApiRouter::new()
        .routes(routes!(attendance::attendance))
        .routes(routes!(people::standings))
        .routes(routes!(quality::quality))
        .layer(Extension(Reports::default()))
}

/// What a report is written as.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum FormatParam {
    /// One object: head, key figures, charts as figures, rows.
    #[default]
    Json,
    /// The rows alone (RFC 4180).
    Csv,
    /// A workbook with a title sheet.
    Xlsx,
    /// A title page with charts, and the rows; at most 20000.
    Pdf,
}

/// What separates the fields of CSV.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum SeparatorParam {
    /// As programs expect it.
    #[default]
    Comma,
    /// As Excel expects it where the decimal sign is a comma; begins with a byte order mark.
    Semicolon,
}

fn format(format: Option<FormatParam>, separator: Option<SeparatorParam>) -> Format {
    let excel = separator.unwrap_or_default() == SeparatorParam::Semicolon;
    match format.unwrap_or_default() {
        FormatParam::Json => Format::Json,
        FormatParam::Csv => Format::Csv(CsvOptions { byte_order_mark: excel, semicolons: excel }),
        FormatParam::Xlsx => Format::Xlsx,
        FormatParam::Pdf => Format::Pdf,
    }
}
