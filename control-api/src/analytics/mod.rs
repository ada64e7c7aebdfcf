//! `/api/v1/analytics`: figures of the register for dashboards. What they mean is in `docs/rules.md`.

mod people;
mod quality;
mod register;

use std::sync::Arc;

use chrono::NaiveDate;
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::figures::Part;
use crate::state::Api;

pub(crate) use people::{badge_names, ranked};
pub(crate) use quality::quality_is_short;

pub(crate) fn router() -> OpenApiRouter<Arc<Api>> {
    OpenApiRouter::new()
        .routes(routes!(register::summary))
        .routes(routes!(register::arrivals))
        .routes(routes!(register::trend))
        .routes(routes!(register::heat_map))
        .routes(routes!(people::leaderboard))
        .routes(routes!(people::streaks))
        .routes(routes!(people::badges))
        .routes(routes!(quality::quality))
}

/// Which days figures are about.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct PeriodView {
    /// First local date.
    pub from: NaiveDate,
    /// Last local date.
    pub to: NaiveDate,
    /// Zone of the site; UTC where there are several in several zones.
    #[schema(example = "Europe/Berlin")]
    pub time_zone: &'static str,
}

impl From<&Part> for PeriodView {
    fn from(part: &Part) -> Self {
        Self { from: part.filter.from, to: part.filter.to, time_zone: part.zone.name() }
    }
}
