//! Figures of each person: leaderboard, streaks, badges.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::sync::Arc;

use axum::extract::State;
use rollcall_attendance::analytics::{Badge, Ranked, Standing, badges as earned, leaderboard as board};
use rollcall_pipeline::PersonId;
use rollcall_store::StandingRow;
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::caller::Caller;
use crate::extract::Params;
use crate::figures::{TallyView, figures_params, of_everybody};
use crate::json::Json;
use crate::page::{self, Page};
use crate::problem::{Answer, FieldError, Problem, Problems};
use crate::rights::Right;
use crate::state::Api;

/// Most sessions that may be asked for as the least.
const MAX_AT_LEAST: u64 = 10_000;

figures_params! {
    /// Which part of the register, and which page of its people.
    pub struct StandingsParams {
        /// Most rows of the answer.
        #[param(minimum = 1, maximum = 500, default = 50)]
        pub limit: Option<u32>,
        /// `next_cursor` of the page before.
        #[param(max_length = 1000)]
        pub cursor: Option<String>,
    }
}

figures_params! {
    /// Which part of the register, who is ranked, and which page of them.
    pub struct LeaderboardParams {
        /// Only who was expected so often.
        #[param(minimum = 1, maximum = 10000, default = 1)]
        pub at_least: Option<u64>,
        /// Most rows of the answer.
        #[param(minimum = 1, maximum = 500, default = 50)]
        pub limit: Option<u32>,
        /// `next_cursor` of the page before.
        #[param(max_length = 1000)]
        pub cursor: Option<String>,
    }
}

/// A person on the leaderboard.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub(crate) struct RankedView {
    /// Rank from 1. Who ties shares one.
    pub rank: usize,
    /// Who.
    pub person_id: Uuid,
    /// Their name.
    pub name: String,
    /// Their number in another system.
    pub external_id: Option<String>,
    /// What the rank is made of.
    pub tally: TallyView,
}

/// A person's streaks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct StreakView {
    /// Who.
    pub person_id: Uuid,
    /// Their name.
    pub name: String,
    /// Their number in another system.
    pub external_id: Option<String>,
    /// Sessions attended since the last absence.
    pub current: u32,
    /// Most sessions attended without an absence.
    pub best: u32,
}

/// What a person has earned.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct BadgesView {
    /// Who.
    pub person_id: Uuid,
    /// Their name.
    pub name: String,
    /// Their number in another system.
    pub external_id: Option<String>,
    /// `gold`, `silver` or `bronze`; `streak_5`, `streak_10`, `streak_20` or `streak_50`; `early_bird`.
    #[schema(example = json!(["gold", "streak_20"]))]
    pub badges: Vec<String>,
}

/// A page of a list that is made anew for each: the cursor is a place in it.
fn page_of<T>(list: Vec<T>, limit: Option<u32>, cursor: Option<&str>) -> Answer<Page<T>> {
    let (limit, begun) = (page::limit(limit)?, page::after::<u32>(cursor)?.unwrap_or_default());
    let rows: Vec<T> = list.into_iter().skip(begun as usize).take(limit as usize + 1).collect();
    Ok(Page::of(rows, limit, |_| begun.saturating_add(limit)))
}

async fn standings(api: &Api, caller: &Caller, asked: crate::figures::Asked<'_>) -> Answer<Vec<StandingRow>> {
    of_everybody(caller)?;
    let part = asked.part(api, caller).await?;
    Ok(api.store.standings(&caller.scope, &part.filter).await?)
}

/// Who attends most
///
/// By attendance, then by punctuality, compared exactly.
#[utoipa::path(get, path = "/analytics/leaderboard", tag = "analytics", security(("token" = []), ("key" = [])),
    params(LeaderboardParams), responses((status = 200, body = Page<RankedView>), Problems))]
pub(super) async fn leaderboard(
    caller: Caller,
    State(api): State<Arc<Api>>,
    Params(params): Params<LeaderboardParams>,
) -> Answer<Json<Page<RankedView>>> {
    caller.need(Right::ReportsRead)?;
    let at_least = params.at_least.unwrap_or(1);
    if !(1..=MAX_AT_LEAST).contains(&at_least) {
        return Err(Problem::invalid(vec![FieldError::query("at_least", format!("must be 1 to {MAX_AT_LEAST}"))]));
    }
    let rows = standings(&api, &caller, params.asked()).await?;
    let page = page_of(ranked(rows, at_least), params.limit, params.cursor.as_deref())?;
    Ok(Json(page.map(|(ranked, row)| RankedView {
        rank: ranked.rank,
        person_id: row.person.0,
        name: row.name,
        external_id: row.external_id,
        tally: ranked.tally.into(),
    })))
}

/// The leaderboard with names.
pub(crate) fn ranked(rows: Vec<StandingRow>, at_least: u64) -> Vec<(Ranked, StandingRow)> {
    let board = board(rows.iter().map(|row| (row.person, row.standing.tally)), at_least);
    let mut people: HashMap<PersonId, StandingRow> = rows.into_iter().map(|row| (row.person, row)).collect();
    board.into_iter().filter_map(|ranked| Some((ranked, people.remove(&ranked.person)?))).collect()
}

/// Sessions attended one after the other
///
/// The longest current streak comes first.
#[utoipa::path(get, path = "/analytics/streaks", tag = "analytics", security(("token" = []), ("key" = [])),
    params(StandingsParams), responses((status = 200, body = Page<StreakView>), Problems))]
pub(super) async fn streaks(
    caller: Caller,
    State(api): State<Arc<Api>>,
    Params(params): Params<StandingsParams>,
) -> Answer<Json<Page<StreakView>>> {
    caller.need(Right::ReportsRead)?;
    let mut rows = standings(&api, &caller, params.asked()).await?;
    // By name among those that tie, as they come.
    rows.sort_by_key(|row| Reverse((row.standing.streak.current(), row.standing.streak.best())));
    let page = page_of(rows, params.limit, params.cursor.as_deref())?;
    Ok(Json(page.map(|row| StreakView {
        person_id: row.person.0,
        name: row.name,
        external_id: row.external_id,
        current: row.standing.streak.current(),
        best: row.standing.streak.best(),
    })))
}

/// What people have earned
///
/// Of tiers and of streaks the highest; who has none is not on the list.
#[utoipa::path(get, path = "/analytics/badges", tag = "analytics", security(("token" = []), ("key" = [])),
    params(StandingsParams), responses((status = 200, body = Page<BadgesView>), Problems))]
pub(super) async fn badges(
    caller: Caller,
    State(api): State<Arc<Api>>,
    Params(params): Params<StandingsParams>,
) -> Answer<Json<Page<BadgesView>>> {
    caller.need(Right::ReportsRead)?;
    let rows = standings(&api, &caller, params.asked()).await?;
    let with = rows.into_iter().map(|row| (badge_names(&row.standing), row)).filter(|(badges, _)| !badges.is_empty());
    let page = page_of(with.collect(), params.limit, params.cursor.as_deref())?;
    Ok(Json(page.map(|(badges, row)| BadgesView {
        person_id: row.person.0,
        name: row.name,
        external_id: row.external_id,
        badges,
    })))
}

/// The badges of a standing, in words.
pub(crate) fn badge_names(standing: &Standing) -> Vec<String> {
    let name = |badge| match badge {
        Badge::Attendance(tier) => tier.as_str().to_owned(),
        Badge::Streak(length) => format!("streak_{length}"),
        Badge::EarlyBird => "early_bird".to_owned(),
    };
    earned(standing).into_iter().map(name).collect()
}
