//! Sessions that are made, moved and removed by hand: one-off sessions and substitutions.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::http::StatusCode;
use chrono::{DateTime, NaiveDate, Utc};
use chrono_tz::Tz;
use rollcall_store::{Room, Scope, SessionDetail};
use serde::Deserialize;
use utoipa::ToSchema;
use uuid::Uuid;

use super::{SessionView, lock};
use crate::caller::Caller;
use crate::courses::{check_teacher, not_archived};
use crate::extract::{Body, Created, IfMatch, PathOf, Versioned, present};
use crate::problem::{Answer, Problem, Problems};
use crate::rights::Right;
use crate::state::Api;
use crate::validate::{Checks, MAX_NAME, is_date};

/// Longest session, as the rules of attendance have it.
const MAX_LENGTH: Duration = rollcall_attendance::plan::MAX_LENGTH;
/// Most people of a one-off session.
const MAX_PEOPLE: usize = 10_000;

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

async fn check_people(api: &Api, caller: &Caller, people: &mut Vec<Uuid>, checks: &mut Checks) -> Answer<()> {
    if people.len() > MAX_PEOPLE {
        checks.add("/people", format!("must be at most {MAX_PEOPLE}"));
        return Ok(());
    }
    let ids: Vec<_> = people.iter().copied().map(Some).collect();
    let found = api.store.find_people(&caller.scope, &ids, &vec![None; ids.len()]).await?;
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
pub(super) async fn create(
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
    check_people(&api, &caller, &mut new.people, &mut checks).await?;
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
        released_at: None,
        settled_at: None,
        waits_for: None,
        note: new.note,
        fixed: true,
        version: 1,
        expected: 0,
        attended: 0,
    };
    let mut change = api.store.change(caller.actor()).await?;
    change.hold_feed().await?;
    if let Some(id) = session.course_id {
        // Looked for above, by whoever may see it; archived meanwhile, maybe.
        let course = change.lock_course(&Scope::Everywhere, id).await?.ok_or_else(|| Problem::not_found("course"))?;
        not_archived(&course)?;
    }
    let session = change.add_session(&session, &new.people).await?;
    change.commit().await?;
    Ok(Created {
        location: format!("/api/v1/sessions/{}", session.id),
        version: Some(session.version),
        body: SessionView::of(session, now),
    })
}

/// Substitute, move, rename or annotate a session
#[utoipa::path(patch, path = "/sessions/{id}", tag = "sessions", security(("token" = []), ("key" = [])),
    params(("id" = Uuid, Path, description = "The session"),
        ("If-Match" = String, Header, description = "ETag that was read, or *")),
    request_body = SessionPatch, responses((status = 200, body = SessionView), Problems))]
pub(super) async fn change(
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
        check_people(&api, &caller, people, &mut checks).await?;
    }
    let room = match &patch.room_id {
        Some(id) => find_room(&api, &caller, id, &mut checks).await?,
        None => None,
    };
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
    if let Some(room) = room.filter(|room| room.id != before.room_id) {
        if room.site_id != before.site_id {
            checks.add("/room_id", "is a room of another site");
        }
        after.time_zone = room.zone().to_owned();
        after.room_id = room.id;
    }
    checks.done()?;
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
    if (stays.0, &stays.1) != (goes.0, &goes.1) {
        if change.is_marked(before.id).await? {
            return Err(Problem::conflict("people are marked in this session already: its room and its start stay"));
        }
        // Marks have the date of their session: one that stays keeps it, whatever the zone of its room is by now.
        after.local_date = local_date(&after.time_zone, after.starts_at);
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
pub(super) async fn remove(
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
