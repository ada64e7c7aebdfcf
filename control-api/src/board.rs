//! `/api/v1/rooms/{id}/board`: the day of a room.

use std::collections::HashMap;
use std::sync::Arc;

use axum::extract::State;
use chrono::{DateTime, NaiveDate, Utc};
use chrono_tz::Tz;

use rollcall_store::{BoardPerson, SessionFilter};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use uuid::Uuid;

use crate::caller::Caller;
use crate::extract::{Params, PathOf};
use crate::json::{self, Json};
use crate::problem::{Answer, FieldError, Problem, Problems};
use crate::rights::Right;
use crate::sessions::SessionView;
use crate::state::Api;
use crate::validate::is_date;

/// Most sessions of a day that are shown.
const MAX_SESSIONS: u32 = 100;
/// Most people that are shown of a session.
const MAX_PEOPLE: u32 = 500;

/// Which day.
#[derive(Clone, Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct BoardParams {
    /// The room's local date; without it today.
    pub date: Option<NaiveDate>,
}

/// How many stand how.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct BoardCounts {
    /// Who is expected.
    pub expected: i64,
    /// Came in time.
    pub present: i64,
    /// Came late.
    pub late: i64,
    /// Did not come.
    pub absent: i64,
    /// Need not come.
    pub excused: i64,
    /// Expected, and nothing is known yet.
    pub pending: i64,
    /// Seen without being expected.
    pub unexpected: i64,
}

impl BoardCounts {
    fn add(&mut self, expected: bool, status: Option<&str>, people: i64) {
        *(if expected { &mut self.expected } else { &mut self.unexpected }) += people;
        match status {
            Some("present") => self.present += people,
            Some("late") => self.late += people,
            Some("absent") => self.absent += people,
            Some("excused") => self.excused += people,
            Some(_) => {}
            None => self.pending += people,
        }
    }
}

/// Somebody on the board.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub(crate) struct BoardPersonView {
    /// Who.
    pub person_id: Uuid,
    /// Their name.
    pub name: String,
    /// Their number in another system.
    pub external_id: Option<String>,
    /// Whether they are expected.
    pub expected: bool,
    /// What counts; null while there is nothing to count.
    pub status: Option<String>,
    /// `camera`, `closing` or `correction`.
    pub source: Option<String>,
    /// When they were first seen.
    #[serde(serialize_with = "json::time")]
    pub arrived_at: Option<DateTime<Utc>>,
    /// When they were last seen at an exit.
    #[serde(serialize_with = "json::time")]
    pub left_at: Option<DateTime<Utc>>,
}

impl From<BoardPerson> for BoardPersonView {
    fn from(row: BoardPerson) -> Self {
        let BoardPerson { person_id, name, external_id, expected, status, source, arrived_at, left_at, .. } = row;
        Self { person_id, name, external_id, expected, status, source, arrived_at, left_at }
    }
}

/// A session on the board.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub(crate) struct BoardSession {
    /// The session.
    pub session: SessionView,
    /// How many stand how.
    pub counts: BoardCounts,
    /// The first 500 by name.
    pub people: Vec<BoardPersonView>,
    /// Whether there are more; `/sessions/{id}/roster` has all of them.
    pub people_go_on: bool,
}

/// The day of a room.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub(crate) struct BoardView {
    /// The room.
    pub room_id: String,
    /// Its name.
    pub room_name: String,
    /// The room's local date.
    pub date: NaiveDate,
    /// When this was read.
    pub at: DateTime<Utc>,
    /// The first 100 of its sessions by start.
    pub sessions: Vec<BoardSession>,
    /// Whether there are more; `/sessions`, with `room_id` and `date`, has all of them.
    pub sessions_go_on: bool,
}

pub(crate) fn router() -> OpenApiRouter<Arc<Api>> {
    OpenApiRouter::new().routes(routes!(board))
}

/// The day's board of a room
#[utoipa::path(get, path = "/rooms/{id}/board", tag = "attendance", security(("token" = []), ("key" = [])),
    params(("id" = String, Path, description = "The room", max_length = 200), BoardParams),
    responses((status = 200, body = BoardView), Problems))]
async fn board(
    caller: Caller,
    State(api): State<Arc<Api>>,
    PathOf(id): PathOf<String>,
    Params(params): Params<BoardParams>,
) -> Answer<Json<BoardView>> {
    caller.need(Right::AttendanceRead)?;
    let mut reading = api.store.reading().await?;
    let room = reading.room(&caller.scope, &id).await?.ok_or_else(|| Problem::not_found("room"))?;
    let at = api.clock.wall();
    let zone: Tz = room.zone().parse().map_err(Problem::internal)?;
    let date = params.date.unwrap_or_else(|| at.with_timezone(&zone).date_naive());
    if !is_date(date) {
        return Err(Problem::invalid(vec![FieldError::query("date", "must lie in the years 1970 to 9998")]));
    }
    let filter = SessionFilter { room: Some(room.id.clone()), date: Some(date), ..SessionFilter::default() };
    let mut sessions = reading.sessions(&caller.scope, &filter, None, MAX_SESSIONS).await?;
    let sessions_go_on = sessions.len() > MAX_SESSIONS as usize;
    sessions.truncate(MAX_SESSIONS as usize);
    let ids: Vec<Uuid> = sessions.iter().map(|session| session.id).collect();
    let mut people: HashMap<Uuid, Vec<BoardPersonView>> = HashMap::new();
    for row in reading.board_people(&ids, MAX_PEOPLE).await? {
        people.entry(row.session_id).or_default().push(row.into());
    }
    let go_on = |people: &[BoardPersonView]| people.len() > MAX_PEOPLE as usize;
    let mut counts: HashMap<Uuid, BoardCounts> = HashMap::new();
    // Where all are there, they are counted here: to ask once more would cost as much as all the rest.
    for (session, people) in people.iter().filter(|(_, people)| !go_on(people)) {
        let counts = counts.entry(*session).or_default();
        people.iter().for_each(|person| counts.add(person.expected, person.status.as_deref(), 1));
    }
    let large: Vec<Uuid> = people.iter().filter(|(_, people)| go_on(people)).map(|(session, _)| *session).collect();
    if !large.is_empty() {
        for row in reading.board_counts(&large).await? {
            counts.entry(row.session_id).or_default().add(row.expected, row.status.as_deref(), row.people);
        }
    }
    drop(reading);
    let sessions = sessions.into_iter().map(|session| {
        let mut people = people.remove(&session.id).unwrap_or_default();
        let people_go_on = go_on(&people);
        people.truncate(MAX_PEOPLE as usize);
        let counts = counts.remove(&session.id).unwrap_or_default();
        BoardSession { session: SessionView::of(session, at), counts, people, people_go_on }
    });
    Ok(Json(BoardView {
        sessions: sessions.collect(),
        sessions_go_on,
        room_name: room.name.unwrap_or_else(|| room.id.clone()),
        room_id: room.id,
        date,
        at,
    }))
}
