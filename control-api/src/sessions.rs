//! `/api/v1/sessions`: what is, was and will be held; by hand: substitutions, one-off sessions, opening and closing.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use chrono::{DateTime, NaiveDate, TimeDelta, Utc};
use chrono_tz::Tz;
use rollcall_store::{Change, Room, RosterRow, SessionDetail, SessionFilter};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use uuid::Uuid;

use crate::caller::Caller;
use crate::courses::check_teacher;
use crate::extract::{Body, Created, IfMatch, Params, PathOf, Versioned, fits, present};
use crate::page::{self, Page};
use crate::problem::{Answer, Problem, Problems};
use crate::rights::Right;
use crate::sites::ListParams;
use crate::state::Api;
use crate::validate::{Checks, MAX_NAME, MAX_WINDOW_S, is_date};

/// Longest session, as the rules of attendance have it.
const MAX_LENGTH: Duration = rollcall_attendance::plan::MAX_LENGTH;
/// Most people of a one-off session.
const MAX_PEOPLE: usize = 10_000;

/// Where a session is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Phase {
    /// It comes.
    Upcoming,
    /// It was opened, or has begun.
    On,
    /// It is over; its absences are not written yet.
    Over,
    /// It is over and its absences are written.
    Closed,
    /// It is not held.
    Cancelled,
}

/// What absences wait for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub(crate) struct WaitsFor {
    /// The camera.
    pub camera: String,
    /// Why, in plain words.
    pub reason: String,
}

/// A session.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub(crate) struct SessionView {
    /// Id.
    pub id: Uuid,
    /// `timetabled`, `day` (a room without a timetable) or `off_schedule`.
    pub kind: String,
    /// `file`, `timetable` or `one_off`.
    pub origin: String,
    /// What it is called: its own name or its course's.
    pub name: Option<String>,
    /// Where.
    pub room_id: String,
    /// The room's site.
    pub site_id: String,
    /// The room's zone.
    pub time_zone: String,
    /// The course.
    pub course_id: Option<Uuid>,
    /// The line of its timetable.
    pub entry_id: Option<Uuid>,
    /// Account of whoever teaches the course.
    pub teacher_id: Option<Uuid>,
    /// Account of whoever stands in for them.
    pub substitute_id: Option<Uuid>,
    /// `planned`, `open` (by hand), `closed` or `cancelled`.
    pub state: String,
    /// The same by the clock.
    pub phase: Phase,
    /// Start.
    pub starts_at: DateTime<Utc>,
    /// End, exclusive.
    pub ends_at: DateTime<Utc>,
    /// The room's date at the start.
    pub local_date: NaiveDate,
    /// How long before the start people may come, in seconds; null: as its course has it.
    pub early_s: Option<i32>,
    /// How long after the start people are not late, in seconds; null: as its course has it.
    pub grace_s: Option<i32>,
    /// How long after the end people may be seen leaving, in seconds; null: as its course has it.
    pub leave_s: Option<i32>,
    /// When it was opened by hand.
    pub opened_at: Option<DateTime<Utc>>,
    /// When it was closed by hand.
    pub closed_at: Option<DateTime<Utc>>,
    /// When its absences were written.
    pub settled_at: Option<DateTime<Utc>>,
    /// What its absences wait for although it is over; of a closed one, what was not waited for any longer.
    pub waits_for: Vec<WaitsFor>,
    /// What somebody wrote about it.
    pub note: Option<String>,
    /// For If-Match.
    pub version: i64,
    /// How many are expected; 0 also where everybody is welcome.
    pub expected: i64,
    /// How many count as present or late.
    pub attended: i64,
}

impl SessionView {
    /// As it is at a moment.
    pub(crate) fn of(session: SessionDetail, now: DateTime<Utc>) -> Self {
        let phase = phase(&session, now);
        let waits_for = session.waits_for.and_then(|json| serde_json::from_value(json).ok()).unwrap_or_default();
        Self {
            phase,
            waits_for,
            id: session.id,
            kind: session.kind,
            origin: session.origin,
            name: session.name.or(session.course_name),
            room_id: session.room_id,
            site_id: session.site_id,
            time_zone: session.time_zone,
            course_id: session.course_id,
            entry_id: session.entry_id,
            teacher_id: session.teacher_id,
            substitute_id: session.substitute_id,
            state: session.state,
            starts_at: session.starts_at,
            ends_at: session.ends_at,
            local_date: session.local_date,
            early_s: session.early_s,
            grace_s: session.grace_s,
            leave_s: session.leave_s,
            opened_at: session.opened_at,
            closed_at: session.closed_at,
            settled_at: session.settled_at,
            note: session.note,
            version: session.version,
            expected: session.expected,
            attended: session.attended,
        }
    }
}

fn phase(session: &SessionDetail, now: DateTime<Utc>) -> Phase {
    match session.state.as_str() {
        "cancelled" => Phase::Cancelled,
        "closed" => Phase::Closed,
        _ if session.closed_at.is_some() || session.ends_at <= now => Phase::Over,
        "open" => Phase::On,
        _ if session.starts_at <= now => Phase::On,
        _ => Phase::Upcoming,
    }
}

/// Somebody who is expected, or was seen.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub(crate) struct RosterView {
    /// Who.
    pub person_id: Uuid,
    /// Their name.
    pub name: String,
    /// Their number in another system.
    pub external_id: Option<String>,
    /// Whether they are expected.
    pub expected: bool,
    /// `present`, `late`, `absent`, `excused`, `off_roster`; null while there is nothing to count.
    pub status: Option<String>,
    /// `camera`, `closing` or `correction`.
    pub source: Option<String>,
    /// When they were first seen.
    pub arrived_at: Option<DateTime<Utc>>,
}

impl From<RosterRow> for RosterView {
    fn from(row: RosterRow) -> Self {
        let RosterRow { person_id, name, external_id, expected, status, source, arrived_at } = row;
        Self { person_id, name, external_id, expected, status, source, arrived_at }
    }
}

/// State of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum SessionState {
    /// It opens and closes by the clock.
    Planned,
    /// It was opened by hand.
    Open,
    /// Its absences are written.
    Closed,
    /// It is not held.
    Cancelled,
}

/// Kind of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Kind {
    /// Of a timetable, or by hand.
    Timetabled,
    /// A day in a room without timetable.
    Day,
    /// What lies outside of a timetable.
    OffSchedule,
}

/// Which sessions.
#[derive(Clone, Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct SessionParams {
    /// Of this site.
    #[param(max_length = 40)]
    pub site_id: Option<String>,
    /// In this room.
    #[param(max_length = 200)]
    pub room_id: Option<String>,
    /// Of this course.
    pub course_id: Option<Uuid>,
    /// On this local date.
    pub date: Option<NaiveDate>,
    /// That end after this.
    pub from: Option<DateTime<Utc>>,
    /// That begin before this.
    pub to: Option<DateTime<Utc>>,
    /// In this state.
    #[param(inline)]
    pub state: Option<SessionState>,
    /// Of this kind.
    #[param(inline)]
    pub kind: Option<Kind>,
    /// Most rows of the answer.
    #[param(minimum = 1, maximum = 500, default = 50)]
    pub limit: Option<u32>,
    /// `next_cursor` of the page before.
    #[param(max_length = 1000)]
    pub cursor: Option<String>,
}

/// A session by hand.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewSession {
    /// Where.
    #[schema(max_length = 200)]
    pub room_id: String,
    /// Start.
    pub starts_at: DateTime<Utc>,
    /// End, exclusive; at most a week after the start.
    pub ends_at: DateTime<Utc>,
    /// What it is called; without it as its course.
    #[schema(min_length = 1, max_length = 200)]
    #[serde(default)]
    pub name: Option<String>,
    /// Its course, whose rules count.
    #[serde(default)]
    pub course_id: Option<Uuid>,
    /// Who is expected. Without it whoever is enrolled in its course; without course everybody is welcome.
    #[schema(max_items = 10000)]
    #[serde(default)]
    pub people: Vec<Uuid>,
    /// Account of whoever stands in for the teacher.
    #[serde(default)]
    pub substitute_id: Option<Uuid>,
    /// How long before the start people may come, in seconds.
    #[schema(minimum = 0, maximum = 43200)]
    #[serde(default)]
    pub early_s: Option<i32>,
    /// How long after the start people are not late, in seconds.
    #[schema(minimum = 0, maximum = 43200)]
    #[serde(default)]
    pub grace_s: Option<i32>,
    /// How long after the end people may be seen leaving, in seconds.
    #[schema(minimum = 0, maximum = 43200)]
    #[serde(default)]
    pub leave_s: Option<i32>,
    /// A remark.
    #[schema(min_length = 1, max_length = 1000)]
    #[serde(default)]
    pub note: Option<String>,
}

/// What is to be different about a session. Room and start stay once somebody is marked in it.
#[derive(Clone, Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct SessionPatch {
    /// Where.
    #[schema(max_length = 200, nullable = false)]
    #[serde(deserialize_with = "crate::extract::given")]
    pub room_id: Option<String>,
    /// Start.
    #[schema(nullable = false)]
    #[serde(deserialize_with = "crate::extract::given")]
    pub starts_at: Option<DateTime<Utc>>,
    /// End, exclusive.
    #[schema(nullable = false)]
    #[serde(deserialize_with = "crate::extract::given")]
    pub ends_at: Option<DateTime<Utc>>,
    /// What it is called.
    #[serde(deserialize_with = "present")]
    #[schema(value_type = Option<String>, min_length = 1, max_length = 200)]
    pub name: Option<Option<String>>,
    /// Who is expected in a one-off session; none: whoever is enrolled in its course.
    #[schema(max_items = 10000, nullable = false)]
    #[serde(deserialize_with = "crate::extract::given")]
    pub people: Option<Vec<Uuid>>,
    /// Account of whoever stands in for the teacher.
    #[serde(deserialize_with = "present")]
    #[schema(value_type = Option<Uuid>)]
    pub substitute_id: Option<Option<Uuid>>,
    /// How long before the start people may come, in seconds.
    #[serde(deserialize_with = "present")]
    #[schema(value_type = Option<i32>, minimum = 0, maximum = 43200)]
    pub early_s: Option<Option<i32>>,
    /// How long after the start people are not late, in seconds.
    #[serde(deserialize_with = "present")]
    #[schema(value_type = Option<i32>, minimum = 0, maximum = 43200)]
    pub grace_s: Option<Option<i32>>,
    /// How long after the end people may be seen leaving, in seconds.
    #[serde(deserialize_with = "present")]
    #[schema(value_type = Option<i32>, minimum = 0, maximum = 43200)]
    pub leave_s: Option<Option<i32>>,
    /// A remark.
    #[serde(deserialize_with = "present")]
    #[schema(value_type = Option<String>, min_length = 1, max_length = 1000)]
    pub note: Option<Option<String>>,
}

/// Why a session is cancelled.
#[derive(Clone, Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Cancellation {
    /// The reason; it stands with everybody who was marked before.
    #[schema(min_length = 1, max_length = 1000)]
    pub reason: String,
}

pub(crate) fn router() -> OpenApiRouter<Arc<Api>> {
    OpenApiRouter::new()
        .routes(routes!(list, create))
        .routes(routes!(read, change, remove))
        .routes(routes!(roster))
        .routes(routes!(open))
        .routes(routes!(close))
        .routes(routes!(cancel))
}

/// The sessions, by start
#[utoipa::path(get, path = "/sessions", tag = "sessions", security(("token" = []), ("key" = [])), params(SessionParams),
    responses((status = 200, body = Page<SessionView>), Problems))]
async fn list(
    caller: Caller,
    State(api): State<Arc<Api>>,
    Params(params): Params<SessionParams>,
) -> Answer<Json<Page<SessionView>>> {
    caller.need(Right::PlacesRead)?;
    let (limit, after) = (page::limit(params.limit)?, page::after::<(DateTime<Utc>, Uuid)>(params.cursor.as_deref())?);
    let state = params.state.map(|state| match state {
        SessionState::Planned => "planned",
        SessionState::Open => "open",
        SessionState::Closed => "closed",
        SessionState::Cancelled => "cancelled",
    });
    let kind = params.kind.map(|kind| match kind {
        Kind::Timetabled => "timetabled",
        Kind::Day => "day",
        Kind::OffSchedule => "off_schedule",
    });
    fits("site_id", params.site_id.as_deref(), 40)?;
    fits("room_id", params.room_id.as_deref(), 200)?;
    let filter = SessionFilter {
        site: params.site_id,
        room: params.room_id,
        course: params.course_id,
        date: params.date,
        from: params.from,
        to: params.to,
        state: state.map(str::to_owned),
        kind: kind.map(str::to_owned),
    };
    let now = api.clock.wall();
    let rows = api.store.sessions(&caller.scope, &filter, after.as_ref(), limit).await?;
    Ok(Json(Page::of(rows, limit, |s| (s.starts_at, s.id)).map(|session| SessionView::of(session, now))))
}

/// The date in the room at a moment.
fn local_date(room_zone: &str, at: DateTime<Utc>) -> NaiveDate {
    at.with_timezone(&room_zone.parse::<Tz>().unwrap_or_default()).date_naive()
}

fn check_times(checks: &mut Checks, starts_at: DateTime<Utc>, ends_at: DateTime<Utc>) {
    for (pointer, at) in [("/starts_at", starts_at), ("/ends_at", ends_at)] {
        if !is_date(at.date_naive()) {
            checks.add(pointer, "must lie in the years 1970 to 9998");
        }
    }
    match (ends_at - starts_at).to_std() {
        Ok(length) if length > MAX_LENGTH => checks.add("/ends_at", "is more than a week after starts_at"),
        Ok(length) if !length.is_zero() => {}
        _ => checks.add("/ends_at", "must be after starts_at"),
    }
}

async fn check_people(api: &Api, people: &mut Vec<Uuid>, checks: &mut Checks) -> Answer<()> {
    if people.len() > MAX_PEOPLE {
        checks.add("/people", format!("must be at most {MAX_PEOPLE}"));
        return Ok(());
    }
    let ids: Vec<_> = people.iter().copied().map(Some).collect();
    let found = api.store.find_people(&ids, &vec![None; ids.len()]).await?;
    let mut known = vec![false; ids.len()];
    found.into_iter().for_each(|(i, _)| known[i] = true);
    for (i, _) in known.iter().enumerate().filter(|(_, known)| !**known) {
        checks.add(&format!("/people/{i}"), "there is no such person");
    }
    people.sort_unstable();
    people.dedup();
    Ok(())
}

async fn find_room(api: &Api, caller: &Caller, id: &str, checks: &mut Checks) -> Answer<Option<Room>> {
    let room = api.store.room(&caller.scope, id).await?;
    if room.is_none() {
        checks.add("/room_id", "there is no such room");
    }
    Ok(room)
}

/// Hold a session once
#[utoipa::path(post, path = "/sessions", tag = "sessions", security(("token" = []), ("key" = [])), request_body = NewSession,
    responses((status = 201, body = SessionView), Problems))]
async fn create(
    caller: Caller,
    State(api): State<Arc<Api>>,
    Body(mut new): Body<NewSession>,
) -> Answer<Created<SessionView>> {
    caller.need(Right::PlacesWrite)?;
    let now = api.clock.wall();
    let mut checks = Checks::default();
    check_times(&mut checks, new.starts_at, new.ends_at);
    checks.maybe_line("/name", new.name.as_deref(), MAX_NAME);
    checks.maybe_note("/note", new.note.as_deref());
    for (pointer, window) in [("/early_s", new.early_s), ("/grace_s", new.grace_s), ("/leave_s", new.leave_s)] {
        checks.maybe_window(pointer, window);
    }
    check_teacher(&api, "/substitute_id", new.substitute_id, &mut checks).await?;
    check_people(&api, &mut new.people, &mut checks).await?;
    let room = find_room(&api, &caller, &new.room_id, &mut checks).await?;
    if let Some(id) = new.course_id {
        match api.store.course(&caller.scope, id).await? {
            None => checks.add("/course_id", "there is no such course"),
            Some(course) if room.as_ref().is_some_and(|room| room.site_id != course.site_id) => {
                checks.add("/course_id", "is a course of another site than the room");
            }
            Some(_) => {}
        }
    }
    checks.done()?;
    let room = room.ok_or_else(|| Problem::not_found("room"))?;
    let session = SessionDetail {
        id: Uuid::now_v7(),
        kind: String::new(),
        origin: String::new(),
        name: new.name,
        local_date: local_date(room.zone(), new.starts_at),
        room_id: room.id,
        site_id: room.site_id,
        time_zone: String::new(),
        course_id: new.course_id,
        course_name: None,
        entry_id: None,
        teacher_id: None,
        substitute_id: new.substitute_id,
        state: String::new(),
        starts_at: new.starts_at,
        ends_at: new.ends_at,
        early_s: new.early_s,
        grace_s: new.grace_s,
        leave_s: new.leave_s,
        opened_at: None,
        closed_at: None,
        settled_at: None,
        waits_for: None,
        note: new.note,
        fixed: true,
        version: 1,
        expected: 0,
        attended: 0,
    };
    let mut change = api.store.change(caller.actor()).await?;
    let session = change.add_session(&session, &new.people).await?;
    change.commit().await?;
    Ok(Created {
        location: format!("/api/v1/sessions/{}", session.id),
        version: Some(session.version),
        body: SessionView::of(session, now),
    })
}

/// One session
#[utoipa::path(get, path = "/sessions/{id}", tag = "sessions", security(("token" = []), ("key" = [])),
    params(("id" = Uuid, Path, description = "The session")),
    responses((status = 200, body = SessionView), Problems))]
async fn read(caller: Caller, State(api): State<Arc<Api>>, PathOf(id): PathOf<Uuid>) -> Answer<Versioned<SessionView>> {
    caller.need(Right::PlacesRead)?;
    let session = api.store.session(&caller.scope, id).await?.ok_or_else(|| Problem::not_found("session"))?;
    Ok(Versioned(session.version, SessionView::of(session, api.clock.wall())))
}

/// Who is expected in a session, and who is or was there, by name
#[utoipa::path(get, path = "/sessions/{id}/roster", tag = "sessions", security(("token" = []), ("key" = [])),
    params(("id" = Uuid, Path, description = "The session"), ListParams),
    responses((status = 200, body = Page<RosterView>), Problems))]
async fn roster(
    caller: Caller,
    State(api): State<Arc<Api>>,
    PathOf(id): PathOf<Uuid>,
    Params(params): Params<ListParams>,
) -> Answer<Json<Page<RosterView>>> {
    caller.need(Right::AttendanceRead)?;
    let (limit, after) = (page::limit(params.limit)?, page::after::<(String, Uuid)>(params.cursor.as_deref())?);
    let session = api.store.session(&caller.scope, id).await?.ok_or_else(|| Problem::not_found("session"))?;
    let rows = api.store.roster(session.id, after.as_ref(), limit).await?;
    Ok(Json(Page::of(rows, limit, |row| (row.name.clone(), row.person_id)).map(RosterView::from)))
}

/// Locks a session that the API may change.
async fn lock(change: &mut Change<'_>, caller: &Caller, id: Uuid) -> Answer<SessionDetail> {
    let session = change.lock_session(&caller.scope, id).await?.ok_or_else(|| Problem::not_found("session"))?;
    if session.origin != "file" {
        return Ok(session);
    }
    Err(Problem::conflict(if session.kind == "timetabled" {
        "this session comes from the configuration file: change it there and reload (SIGHUP)"
    } else {
        "this is a day, not a session of a timetable: it begins and ends with the date"
    }))
}

/// Substitute, move, rename or annotate a session
#[utoipa::path(patch, path = "/sessions/{id}", tag = "sessions", security(("token" = []), ("key" = [])),
    params(("id" = Uuid, Path, description = "The session"),
        ("If-Match" = String, Header, description = "ETag that was read, or *")),
    request_body = SessionPatch, responses((status = 200, body = SessionView), Problems))]
async fn change(
    caller: Caller,
    State(api): State<Arc<Api>>,
    PathOf(id): PathOf<Uuid>,
    if_match: IfMatch,
    Body(mut patch): Body<SessionPatch>,
) -> Answer<Versioned<SessionView>> {
    caller.need(Right::PlacesWrite)?;
    let mut checks = Checks::default();
    checks.maybe_line("/name", patch.name.as_ref().and_then(Option::as_deref), MAX_NAME);
    checks.maybe_note("/note", patch.note.as_ref().and_then(Option::as_deref));
    check_teacher(&api, "/substitute_id", patch.substitute_id.flatten(), &mut checks).await?;
    if let Some(people) = &mut patch.people {
        check_people(&api, people, &mut checks).await?;
    }
    let mut change = api.store.change(caller.actor()).await?;
    let before = lock(&mut change, &caller, id).await?;
    if_match.check(before.version)?;
    let mut after = before.clone();
    after.name = patch.name.unwrap_or(after.name);
    after.note = patch.note.unwrap_or(after.note);
    after.substitute_id = patch.substitute_id.unwrap_or(after.substitute_id);
    after.early_s = patch.early_s.unwrap_or(after.early_s);
    after.grace_s = patch.grace_s.unwrap_or(after.grace_s);
    after.leave_s = patch.leave_s.unwrap_or(after.leave_s);
    for (pointer, window) in [("/early_s", after.early_s), ("/grace_s", after.grace_s), ("/leave_s", after.leave_s)] {
        checks.maybe_window(pointer, window);
    }
    after.starts_at = patch.starts_at.unwrap_or(after.starts_at);
    after.ends_at = patch.ends_at.unwrap_or(after.ends_at);
    if (after.starts_at, after.ends_at) != (before.starts_at, before.ends_at) {
        check_times(&mut checks, after.starts_at, after.ends_at);
    }
    if let Some(id) = patch.room_id.filter(|id| *id != before.room_id)
        && let Some(room) = find_room(&api, &caller, &id, &mut checks).await?
    {
        if room.site_id != before.site_id {
            checks.add("/room_id", "is a room of another site");
        }
        after.time_zone = room.zone().to_owned();
        after.room_id = room.id;
    }
    checks.done()?;
    after.local_date = local_date(&after.time_zone, after.starts_at);
    let place = |s: &SessionDetail| (s.starts_at, s.room_id.clone(), s.ends_at);
    let rules = |s: &SessionDetail| (s.early_s, s.grace_s, s.leave_s);
    let touched = place(&after) != place(&before) || rules(&after) != rules(&before) || patch.people.is_some();
    if touched && matches!(before.state.as_str(), "closed" | "cancelled") {
        return Err(Problem::conflict(format!(
            "this session is {}: only its name, substitute and note can change",
            before.state
        )));
    }
    let (stays, goes) = (place(&before), place(&after));
    if (stays.0, &stays.1) != (goes.0, &goes.1) && change.is_marked(before.id).await? {
        return Err(Problem::conflict("people are marked in this session already: its room and its start stay"));
    }
    after.fixed = before.fixed || stays != goes;
    if let Some(people) = &patch.people {
        if before.origin != "one_off" {
            return Err(Problem::conflict("this session expects whoever is enrolled in its course: change that"));
        }
        change.put_session_people(before.id, people).await?;
    }
    let session = change.replace_session(&before, &after).await?;
    change.commit().await?;
    Ok(Versioned(session.version, SessionView::of(session, api.clock.wall())))
}

/// Remove a one-off session in which nobody was marked; cancel others
#[utoipa::path(delete, path = "/sessions/{id}", tag = "sessions", security(("token" = []), ("key" = [])),
    params(("id" = Uuid, Path, description = "The session"),
        ("If-Match" = String, Header, description = "ETag that was read, or *")),
    responses((status = 204), Problems))]
async fn remove(
    caller: Caller,
    State(api): State<Arc<Api>>,
    PathOf(id): PathOf<Uuid>,
    if_match: IfMatch,
) -> Answer<StatusCode> {
    caller.need(Right::PlacesWrite)?;
    let mut change = api.store.change(caller.actor()).await?;
    let session = lock(&mut change, &caller, id).await?;
    if_match.check(session.version)?;
    if session.origin != "one_off" {
        return Err(Problem::conflict("this session comes from a timetable: cancel it instead"));
    }
    if change.is_marked(session.id).await? {
        return Err(Problem::conflict("people are marked in this session: cancel it instead"));
    }
    change.remove_session(&session).await?;
    change.commit().await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Open a session before its time: people may come from now on
#[utoipa::path(post, path = "/sessions/{id}/open", tag = "sessions", security(("token" = []), ("key" = [])),
    params(("id" = Uuid, Path, description = "The session")),
    responses((status = 200, body = SessionView), Problems))]
async fn open(caller: Caller, State(api): State<Arc<Api>>, PathOf(id): PathOf<Uuid>) -> Answer<Versioned<SessionView>> {
    caller.need(Right::AttendanceCorrect)?;
    let now = api.clock.wall();
    let mut change = api.store.change(caller.actor()).await?;
    let before = lock(&mut change, &caller, id).await?;
    match phase(&before, now) {
        Phase::Upcoming if before.starts_at - now > TimeDelta::seconds(MAX_WINDOW_S.into()) => {
            return Err(Problem::conflict("it begins in more than 12 hours: set another start instead"));
        }
        Phase::Upcoming => {}
        Phase::On if before.state == "planned" => {}
        Phase::On => return Err(Problem::conflict("it is open already")),
        Phase::Over | Phase::Closed => return Err(Problem::conflict("it is over: hold another session instead")),
        Phase::Cancelled => return Err(Problem::conflict("it is cancelled: hold another session instead")),
    }
    let session = change.open_session(&before, now).await?;
    change.commit().await?;
    Ok(Versioned(session.version, SessionView::of(session, now)))
}

/// Close a session before its time: it ends now, and its absences are written as soon as the cameras have delivered
#[utoipa::path(post, path = "/sessions/{id}/close", tag = "sessions", security(("token" = []), ("key" = [])),
    params(("id" = Uuid, Path, description = "The session")),
    responses((status = 200, body = SessionView), Problems))]
async fn close(
    caller: Caller,
    State(api): State<Arc<Api>>,
    PathOf(id): PathOf<Uuid>,
) -> Answer<Versioned<SessionView>> {
    caller.need(Right::AttendanceCorrect)?;
    let now = api.clock.wall();
    let mut change = api.store.change(caller.actor()).await?;
    let before = lock(&mut change, &caller, id).await?;
    match phase(&before, now) {
        Phase::On if before.starts_at < now => {}
        Phase::On | Phase::Upcoming => return Err(Problem::conflict("it has not begun: cancel it instead")),
        Phase::Over | Phase::Closed => return Err(Problem::conflict("it is over already")),
        Phase::Cancelled => return Err(Problem::conflict("it is cancelled")),
    }
    let session = change.close_session(&before, now).await?;
    change.commit().await?;
    Ok(Versioned(session.version, SessionView::of(session, now)))
}

/// Cancel a session: it is not held, nobody is absent, and whoever was marked in it counts nowhere
#[utoipa::path(post, path = "/sessions/{id}/cancel", tag = "sessions", security(("token" = []), ("key" = [])),
    params(("id" = Uuid, Path, description = "The session")), request_body = Cancellation,
    responses((status = 200, body = SessionView), Problems))]
async fn cancel(
    caller: Caller,
    State(api): State<Arc<Api>>,
    PathOf(id): PathOf<Uuid>,
    Body(why): Body<Cancellation>,
) -> Answer<Versioned<SessionView>> {
    caller.need(Right::AttendanceCorrect)?;
    let mut checks = Checks::default();
    checks.maybe_note("/reason", Some(&why.reason));
    checks.done()?;
    let now = api.clock.wall();
    let mut change = api.store.change(caller.actor()).await?;
    let before = lock(&mut change, &caller, id).await?;
    match phase(&before, now) {
        Phase::Upcoming | Phase::On | Phase::Over => {}
        Phase::Closed => return Err(Problem::conflict("its absences are written: correct them instead")),
        Phase::Cancelled => return Err(Problem::conflict("it is cancelled already")),
    }
    let session = change.cancel_session(&before, &why.reason).await?;
    change.commit().await?;
    Ok(Versioned(session.version, SessionView::of(session, now)))
}
