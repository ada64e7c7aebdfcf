//! `/api/v1/attendance`: the register. For each person and session what counts, and why.

use std::sync::Arc;

use axum::extract::State;
use chrono::{DateTime, NaiveDate, Utc};
use rollcall_attendance::{AttendanceStatus, Tally, analytics::Streak};
use rollcall_pipeline::PersonId;
use rollcall_store::{RecordRow, RegisterFilter, RegisterKey, Registered, Scope};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use uuid::Uuid;

use crate::caller::Caller;
use crate::extract::{Params, PathOf, fits};
use crate::json::{self, Json};
use crate::page::{self, Page};
use crate::problem::{Answer, Problem, Problems};
use crate::rights::Right;
use crate::sessions::WaitsFor;
use crate::state::Api;
use crate::validate::check_range;

/// What counts for somebody in a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum RegisterStatus {
    /// Came in time.
    Present,
    /// Came after the grace period.
    Late,
    /// Did not come, or too late, or for too short.
    Absent,
    /// Was not there and need not have been.
    Excused,
    /// Was seen in a session that did not expect them.
    OffRoster,
    /// Was seen while no session was on.
    OffSchedule,
    /// Counts nowhere, by decision.
    Void,
}

impl RegisterStatus {
    fn as_str(self) -> &'static str {
        match self {
            Self::Present => "present",
            Self::Late => "late",
            Self::Absent => "absent",
            Self::Excused => "excused",
            Self::OffRoster => "off_roster",
            Self::OffSchedule => "off_schedule",
            Self::Void => "void",
        }
    }
}

/// A row of the register.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub(crate) struct AttendanceView {
    /// In which session.
    pub session_id: Uuid,
    /// Who.
    pub person_id: Uuid,
    /// Their name.
    pub name: String,
    /// Their number in another system.
    pub external_id: Option<String>,
    /// What the session is called: its own name or its course's.
    pub session_name: Option<String>,
    /// The room's site.
    pub site_id: String,
    /// Where.
    pub room_id: String,
    /// The room's name.
    pub room_name: String,
    /// The course.
    pub course_id: Option<Uuid>,
    /// The course's name.
    pub course_name: Option<String>,
    /// Start of the session.
    #[serde(serialize_with = "json::time")]
    pub starts_at: DateTime<Utc>,
    /// Its end.
    #[serde(serialize_with = "json::time")]
    pub ends_at: DateTime<Utc>,
    /// The room's date at the start.
    pub local_date: NaiveDate,
    /// What counts: `present`, `late`, `absent`, `excused`, `off_roster`, `off_schedule` or `void`.
    pub status: String,
    /// Who says so: `camera`, `closing` (of the session) or `correction`.
    pub source: String,
    /// Of a correction: why. Of closing: what was found.
    pub reason: Option<String>,
    /// When they were first seen.
    #[serde(serialize_with = "json::time")]
    pub arrived_at: Option<DateTime<Utc>>,
    /// When they were last seen at an exit.
    #[serde(serialize_with = "json::time")]
    pub left_at: Option<DateTime<Utc>>,
    /// Minutes from the start to the arrival; negative: early.
    pub minutes_from_start: Option<f32>,
    /// Whether they went too early.
    pub left_early: bool,
    /// The event behind the mark, if a camera made it.
    pub event_id: Option<Uuid>,
    /// The camera that saw them.
    pub camera: Option<String>,
    /// Similarity to their best template.
    pub similarity: Option<f32>,
    /// Of an absence: the cameras that did not see all of the time in which one could come.
    pub gaps: Vec<WaitsFor>,
    /// When the row last changed.
    #[serde(serialize_with = "json::time")]
    pub updated_at: DateTime<Utc>,
    /// For If-Match of a correction.
    pub version: i64,
}

impl From<Registered> for AttendanceView {
    fn from(Registered { row, session }: Registered) -> Self {
        let gaps = session.waits_for.clone().filter(|_| row.source == "closing");
        Self {
            session_id: row.session_id,
            person_id: row.person_id,
            name: row.name,
            external_id: row.external_id,
            session_name: session.session_name.clone(),
            site_id: row.site_id,
            room_name: session.room_name.as_ref().unwrap_or(&row.room_id).clone(),
            room_id: row.room_id,
            course_id: row.course_id,
            course_name: session.course_name.clone(),
            starts_at: row.starts_at,
            ends_at: session.ends_at,
            local_date: row.local_date,
            status: row.status,
            source: row.source,
            reason: row.reason,
            arrived_at: row.arrived_at,
            left_at: row.left_at,
            minutes_from_start: row.minutes_from_start,
            left_early: row.left_early,
            event_id: row.event_id,
            camera: row.camera,
            similarity: row.similarity,
            gaps: WaitsFor::all(gaps),
            updated_at: row.updated_at,
            version: row.version,
        }
    }
}

/// Which rows.
#[derive(Clone, Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct AttendanceParams {
    /// Of this person.
    pub person_id: Option<Uuid>,
    /// In this room.
    #[param(max_length = 200)]
    pub room_id: Option<String>,
    /// At this site.
    #[param(max_length = 40)]
    pub site_id: Option<String>,
    /// Of this course.
    pub course_id: Option<Uuid>,
    /// Of this session.
    pub session_id: Option<Uuid>,
    /// Of the people of this group.
    pub group_id: Option<Uuid>,
    /// From this local date on.
    pub from: Option<NaiveDate>,
    /// Up to and with this local date.
    pub to: Option<NaiveDate>,
    /// That stand like this; `void` finds what was voided.
    #[param(inline)]
    pub status: Option<RegisterStatus>,
    /// With what was voided.
    pub void: Option<bool>,
    /// Most rows of the answer.
    #[param(minimum = 1, maximum = 500, default = 50)]
    pub limit: Option<u32>,
    /// `next_cursor` of the page before.
    #[param(max_length = 1000)]
    pub cursor: Option<String>,
}

impl AttendanceParams {
    fn filter(&self) -> Answer<RegisterFilter> {
        check_range(self.from, self.to)?;
        Ok(RegisterFilter {
            person: self.person_id.map(PersonId),
            room: self.room_id.clone(),
            site: self.site_id.clone(),
            course: self.course_id,
            session: self.session_id,
            group: self.group_id,
            from: self.from,
            to: self.to,
            status: self.status.map(|status| status.as_str().to_owned()),
            void: self.void.unwrap_or_default(),
        })
    }
}

/// Which part of a person's record.
#[derive(Clone, Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct HistoryParams {
    /// Of this course.
    pub course_id: Option<Uuid>,
    /// From this local date on.
    pub from: Option<NaiveDate>,
    /// Up to and with this local date.
    pub to: Option<NaiveDate>,
    /// Most rows of the answer.
    #[param(minimum = 1, maximum = 500, default = 50)]
    pub limit: Option<u32>,
    /// `next_cursor` of the page before.
    #[param(max_length = 1000)]
    pub cursor: Option<String>,
}

/// What a person's record comes to. Percentages are null where there is nothing to divide by; excused sessions are left out
/// of all of them, and so are sessions that did not expect the person.
#[derive(Clone, Debug, Default, PartialEq, Serialize, ToSchema)]
pub(crate) struct PersonFigures {
    /// Came in time.
    pub present: u64,
    /// Came late.
    pub late: u64,
    /// Missed.
    pub absent: u64,
    /// Excused.
    pub excused: u64,
    /// Seen where they were not expected; counts for nothing.
    pub unexpected: u64,
    /// Present, late and absent.
    pub expected: u64,
    /// Present and late.
    pub attended: u64,
    /// Attended, of the expected.
    pub attendance_percent: Option<f64>,
    /// In time, of the expected.
    pub punctuality_percent: Option<f64>,
    /// Late, of the attended.
    pub lateness_percent: Option<f64>,
    /// Missed, of the expected.
    pub absence_percent: Option<f64>,
    /// Sessions attended since the last one that was missed.
    pub current_streak: u32,
    /// Most sessions attended one after the other.
    pub best_streak: u32,
}

impl PersonFigures {
    /// Of the first letters of statuses, in the order in which the sessions were held.
    fn of(letters: &str) -> Self {
        let status = |letter| AttendanceStatus::ALL.into_iter().find(|status| status.as_str().starts_with(letter));
        let counting: Vec<_> = letters.chars().filter_map(status).collect();
        let tally: Tally = counting.iter().copied().collect();
        let streak: Streak = counting.iter().copied().collect();
        Self {
            present: tally.present,
            late: tally.late,
            absent: tally.absent,
            excused: tally.excused,
            unexpected: (letters.len() - counting.len()) as u64,
            expected: tally.expected(),
            attended: tally.attended(),
            attendance_percent: tally.attendance(),
            punctuality_percent: tally.punctuality(),
            lateness_percent: tally.lateness(),
            absence_percent: tally.absence(),
            current_streak: streak.current(),
            best_streak: streak.best(),
        }
    }
}

/// A person's record.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub(crate) struct HistoryView {
    /// Who.
    pub person_id: Uuid,
    /// Their name.
    pub name: String,
    /// Their number in another system.
    pub external_id: Option<String>,
    /// What the whole of what was asked for comes to, not only this page.
    pub figures: PersonFigures,
    /// The rows, latest first.
    pub items: Vec<AttendanceView>,
    /// Asks for the next page when given as `cursor`; null on the last one.
    pub next_cursor: Option<String>,
}

pub(crate) fn router() -> OpenApiRouter<Arc<Api>> {
    OpenApiRouter::new().routes(routes!(list)).routes(routes!(of_person)).routes(routes!(of_me))
}

fn key(Registered { row, .. }: &Registered) -> RegisterKey {
    (row.starts_at, row.session_id, row.person_id)
}

/// The register, latest session first
#[utoipa::path(get, path = "/attendance", tag = "attendance", security(("token" = []), ("key" = [])),
    params(AttendanceParams), responses((status = 200, body = Page<AttendanceView>), Problems))]
async fn list(
    caller: Caller,
    State(api): State<Arc<Api>>,
    Params(params): Params<AttendanceParams>,
) -> Answer<Json<Page<AttendanceView>>> {
    caller.need(Right::AttendanceRead)?;
    let (limit, after) = (page::limit(params.limit)?, page::after::<RegisterKey>(params.cursor.as_deref())?);
    fits("site_id", params.site_id.as_deref(), 40)?;
    fits("room_id", params.room_id.as_deref(), 200)?;
    let filter = params.filter()?;
    let rows = api.store.reading().await?.register(&caller.scope, &filter, after.as_ref(), limit).await?;
    Ok(Json(Page::of(rows, limit, key).map(AttendanceView::from)))
}

/// A person's record, with percentages
#[utoipa::path(get, path = "/people/{id}/attendance", tag = "attendance", security(("token" = []), ("key" = [])),
    params(("id" = Uuid, Path, description = "The person"), HistoryParams),
    responses((status = 200, body = HistoryView), Problems))]
async fn of_person(
    caller: Caller,
    State(api): State<Arc<Api>>,
    PathOf(id): PathOf<Uuid>,
    Params(params): Params<HistoryParams>,
) -> Answer<Json<HistoryView>> {
    caller.need(Right::AttendanceRead)?;
    history(&api, &caller.scope, PersonId(id), &params).await
}

/// One's own record
#[utoipa::path(get, path = "/me/attendance", tag = "attendance", security(("token" = [])), params(HistoryParams),
    responses((status = 200, body = HistoryView), Problems))]
async fn of_me(
    caller: Caller,
    State(api): State<Arc<Api>>,
    Params(params): Params<HistoryParams>,
) -> Answer<Json<HistoryView>> {
    caller.need(Right::AttendanceRead)?;
    history(&api, &caller.scope, caller.own()?, &params).await
}

async fn history(api: &Api, scope: &Scope, person: PersonId, params: &HistoryParams) -> Answer<Json<HistoryView>> {
    let (limit, after) = (page::limit(params.limit)?, page::after::<RegisterKey>(params.cursor.as_deref())?);
    check_range(params.from, params.to)?;
    let filter = RegisterFilter {
        person: Some(person),
        course: params.course_id,
        from: params.from,
        to: params.to,
        ..RegisterFilter::default()
    };
    let none = || Problem::not_found("person");
    if *scope != Scope::Everywhere && !api.store.is_person_in(scope, person).await? {
        return Err(none());
    }
    let found = api.store.reading().await?.record(scope, person, &filter, after.as_ref(), limit).await?;
    let (record, rows) = found.ok_or_else(none)?;
    let Page { items, next_cursor } = Page::of(rows, limit, key).map(AttendanceView::from);
    let (figures, RecordRow { name, external_id, .. }) = (PersonFigures::of(&record.standing), record);
    Ok(Json(HistoryView { person_id: person.0, name, external_id, figures, items, next_cursor }))
}
