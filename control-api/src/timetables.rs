//! `/api/v1/courses/{id}/timetable` and `/api/v1/timetable`: when courses meet, and where one week is different.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use chrono::{Datelike, NaiveDate, NaiveTime};
use rollcall_store::{Change, Course, TimetableEntry, TimetableException};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use uuid::Uuid;

use crate::caller::Caller;
use crate::courses::not_archived;
use crate::extract::{Body, Created, IfMatch, Params, PathOf, Versioned, present};
use crate::json::Json;
use crate::page::{self, Page};
use crate::problem::{Answer, FieldError, Problem, Problems};
use crate::rights::Right;
use crate::sites::ListParams;
use crate::state::Api;
use crate::validate::{Checks, is_date};

/// Most lines of one timetable.
const MAX_ENTRIES: i64 = 200;

/// A line of a timetable.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct EntryView {
    /// Id.
    pub id: Uuid,
    /// The course.
    pub course_id: Uuid,
    /// Where it meets.
    pub room_id: String,
    /// ISO: 1 is Monday.
    pub weekdays: Vec<i16>,
    /// Local time.
    #[schema(example = "08:00:00")]
    pub starts: String,
    /// Local time; at or before `starts`: on the next day.
    #[schema(example = "09:30:00")]
    pub ends: String,
    /// First local date; null: always.
    pub valid_from: Option<NaiveDate>,
    /// Last local date; null: always.
    pub valid_to: Option<NaiveDate>,
    /// For If-Match.
    pub version: i64,
}

impl From<TimetableEntry> for EntryView {
    fn from(entry: TimetableEntry) -> Self {
        let TimetableEntry { id, course_id, room_id, weekdays, starts, ends, valid_from, valid_to, version } = entry;
        let (starts, ends) = (starts.to_string(), ends.to_string());
        Self { id, course_id, room_id, weekdays, starts, ends, valid_from, valid_to, version }
    }
}

/// A new line of a timetable.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewEntry {
    /// Where it meets.
    #[schema(max_length = 40)]
    pub room_id: String,
    /// ISO: 1 is Monday; each once.
    #[schema(min_items = 1, max_items = 7, example = json!([1, 3]))]
    pub weekdays: Vec<i16>,
    /// Local time.
    #[schema(pattern = "^([01][0-9]|2[0-3]):[0-5][0-9](:[0-5][0-9])?$", example = "08:00")]
    pub starts: String,
    /// Local time; at or before `starts`: on the next day.
    #[schema(pattern = "^([01][0-9]|2[0-3]):[0-5][0-9](:[0-5][0-9])?$", example = "09:30")]
    pub ends: String,
    /// First local date; null: always.
    #[serde(default)]
    pub valid_from: Option<NaiveDate>,
    /// Last local date; null: always.
    #[serde(default)]
    pub valid_to: Option<NaiveDate>,
}

/// What is to be different about a line.
#[derive(Clone, Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct EntryPatch {
    /// Where it meets.
    #[schema(max_length = 40, nullable = false)]
    #[serde(deserialize_with = "crate::extract::given")]
    pub room_id: Option<String>,
    /// ISO: 1 is Monday; each once.
    #[schema(min_items = 1, max_items = 7, nullable = false)]
    #[serde(deserialize_with = "crate::extract::given")]
    pub weekdays: Option<Vec<i16>>,
    /// Local time.
    #[schema(pattern = "^([01][0-9]|2[0-3]):[0-5][0-9](:[0-5][0-9])?$", nullable = false)]
    #[serde(deserialize_with = "crate::extract::given")]
    pub starts: Option<String>,
    /// Local time.
    #[schema(pattern = "^([01][0-9]|2[0-3]):[0-5][0-9](:[0-5][0-9])?$", nullable = false)]
    #[serde(deserialize_with = "crate::extract::given")]
    pub ends: Option<String>,
    /// First local date; null: always.
    #[serde(deserialize_with = "present")]
    #[schema(value_type = Option<NaiveDate>)]
    pub valid_from: Option<Option<NaiveDate>>,
    /// Last local date; null: always.
    #[serde(deserialize_with = "present")]
    #[schema(value_type = Option<NaiveDate>)]
    pub valid_to: Option<Option<NaiveDate>>,
}

/// What is different about one occurrence: cancelled, or moved to another date and time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub(crate) enum Difference {
    /// It is not held.
    Cancelled {
        /// Why.
        #[serde(default)]
        #[schema(min_length = 1, max_length = 1000)]
        note: Option<String>,
    },
    /// It is held at another time.
    Moved {
        /// On this local date.
        date: NaiveDate,
        /// From when, local time.
        #[schema(pattern = "^([01][0-9]|2[0-3]):[0-5][0-9](:[0-5][0-9])?$")]
        starts: String,
        /// To when, local time.
        #[schema(pattern = "^([01][0-9]|2[0-3]):[0-5][0-9](:[0-5][0-9])?$")]
        ends: String,
        /// Why.
        #[serde(default)]
        #[schema(min_length = 1, max_length = 1000)]
        note: Option<String>,
    },
}

/// One occurrence that is not as the others.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct ExceptionView {
    /// The date that the weekly pattern has for it.
    pub date: NaiveDate,
    /// What is different.
    pub difference: Difference,
    /// For If-Match.
    pub version: i64,
}

impl From<TimetableException> for ExceptionView {
    fn from(exception: TimetableException) -> Self {
        let TimetableException { date, new_date, new_starts, new_ends, note, version, .. } = exception;
        let moved = new_date.zip(new_starts.zip(new_ends));
        let difference = match moved {
            None => Difference::Cancelled { note },
            Some((date, (starts, ends))) => {
                Difference::Moved { date, starts: starts.to_string(), ends: ends.to_string(), note }
            }
        };
        Self { date, difference, version }
    }
}

pub(crate) fn router() -> OpenApiRouter<Arc<Api>> {
    OpenApiRouter::new()
        .routes(routes!(list, create))
        .routes(routes!(read, change, remove))
        .routes(routes!(exceptions))
        .routes(routes!(put_exception, remove_exception))
}

fn check_weekdays(checks: &mut Checks, weekdays: &mut [i16]) {
    weekdays.sort_unstable();
    let distinct = weekdays.windows(2).all(|pair| pair[0] != pair[1]);
    if weekdays.is_empty() || !distinct || weekdays.iter().any(|day| !(1..=7).contains(day)) {
        checks.add("/weekdays", "must name one to seven different days, 1 (Monday) to 7");
    }
}

/// Whether the weekly pattern has a session on `date`: where it has none, there is nothing to cancel or move.
fn occurs_on(entry: &TimetableEntry, date: NaiveDate) -> bool {
    entry.weekdays.contains(&(date.weekday().number_from_monday() as i16))
        && entry.valid_from.is_none_or(|from| from <= date)
        && entry.valid_to.is_none_or(|to| date <= to)
}

fn no_line() -> Problem {
    Problem::not_found("line of a timetable")
}

/// A course meets in rooms of its own site. Neither ever moves to another, so that what is found here still holds when it
/// is written.
async fn check_room(api: &Api, caller: &Caller, course: Uuid, room: &str, checks: &mut Checks) -> Answer<()> {
    let course = api.store.course(&caller.scope, course).await?.ok_or_else(|| Problem::not_found("course"))?;
    match api.store.room(&caller.scope, room).await? {
        None => checks.add("/room_id", "there is no such room"),
        Some(room) if room.site_id != course.site_id => {
            checks.add("/room_id", "is a room of another site than the course")
        }
        Some(_) => {}
    }
    Ok(())
}

/// A line and its course, until the end of the change nobody else's; the course first, as whoever changes that does.
async fn lock_with_course(
    change: &mut Change<'_>,
    caller: &Caller,
    line: &TimetableEntry,
) -> Answer<(Course, TimetableEntry)> {
    let course = change.lock_course(&caller.scope, line.course_id).await?.ok_or_else(no_line)?;
    let line = change.lock_timetable_entry(&caller.scope, line.id).await?.ok_or_else(no_line)?;
    Ok((course, line))
}

/// When a course meets
#[utoipa::path(get, path = "/courses/{id}/timetable", tag = "courses", security(("token" = []), ("key" = [])),
    params(("id" = Uuid, Path, description = "The course"), ListParams),
    responses((status = 200, body = Page<EntryView>), Problems))]
async fn list(
    caller: Caller,
    State(api): State<Arc<Api>>,
    PathOf(id): PathOf<Uuid>,
    Params(params): Params<ListParams>,
) -> Answer<Json<Page<EntryView>>> {
    caller.need(Right::PlacesRead)?;
    let (limit, after) = (page::limit(params.limit)?, page::after::<Uuid>(params.cursor.as_deref())?);
    let course = api.store.course(&caller.scope, id).await?.ok_or_else(|| Problem::not_found("course"))?;
    let rows = api.store.timetable(course.id, after, limit).await?;
    Ok(Json(Page::of(rows, limit, |entry| entry.id).map(EntryView::from)))
}

/// Let a course meet every week; its sessions are made for the next four weeks
#[utoipa::path(post, path = "/courses/{id}/timetable", tag = "courses", security(("token" = []), ("key" = [])),
    params(("id" = Uuid, Path, description = "The course")),
    request_body = NewEntry, responses((status = 201, body = EntryView), Problems))]
async fn create(
    caller: Caller,
    State(api): State<Arc<Api>>,
    PathOf(id): PathOf<Uuid>,
    Body(new): Body<NewEntry>,
) -> Answer<Created<EntryView>> {
    caller.need(Right::PlacesWrite)?;
    let mut checks = Checks::default();
    let mut entry = TimetableEntry {
        id: Uuid::now_v7(),
        course_id: id,
        room_id: new.room_id,
        weekdays: new.weekdays,
        starts: checks.time("/starts", &new.starts),
        ends: checks.time("/ends", &new.ends),
        valid_from: new.valid_from,
        valid_to: new.valid_to,
        version: 1,
    };
    check_weekdays(&mut checks, &mut entry.weekdays);
    checks.validity("", entry.valid_from, entry.valid_to);
    check_room(&api, &caller, id, &entry.room_id, &mut checks).await?;
    let mut change = api.store.change(caller.actor()).await?;
    let course = change.lock_course(&caller.scope, id).await?.ok_or_else(|| Problem::not_found("course"))?;
    checks.done()?;
    not_archived(&course)?;
    if change.count_timetable(course.id).await? >= MAX_ENTRIES {
        return Err(Problem::conflict(format!("a timetable has at most {MAX_ENTRIES} lines")));
    }
    let entry = change.add_timetable_entry(&entry).await?;
    change.commit().await?;
    Ok(Created {
        location: format!("/api/v1/timetable/{}", entry.id),
        version: Some(entry.version),
        body: entry.into(),
    })
}

/// One line of a timetable
#[utoipa::path(get, path = "/timetable/{id}", tag = "courses", security(("token" = []), ("key" = [])),
    params(("id" = Uuid, Path, description = "The line")),
    responses((status = 200, body = EntryView), Problems))]
async fn read(caller: Caller, State(api): State<Arc<Api>>, PathOf(id): PathOf<Uuid>) -> Answer<Versioned<EntryView>> {
    caller.need(Right::PlacesRead)?;
    let entry = api.store.timetable_entry(&caller.scope, id).await?.ok_or_else(no_line)?;
    Ok(Versioned(entry.version, entry.into()))
}

/// Change a line of a timetable; its sessions to come follow
#[utoipa::path(patch, path = "/timetable/{id}", tag = "courses", security(("token" = []), ("key" = [])),
    params(("id" = Uuid, Path, description = "The line"),
        ("If-Match" = String, Header, description = "ETag that was read, or *")),
    request_body = EntryPatch, responses((status = 200, body = EntryView), Problems))]
async fn change(
    caller: Caller,
    State(api): State<Arc<Api>>,
    PathOf(id): PathOf<Uuid>,
    if_match: IfMatch,
    Body(patch): Body<EntryPatch>,
) -> Answer<Versioned<EntryView>> {
    caller.need(Right::PlacesWrite)?;
    let mut checks = Checks::default();
    let known = api.store.timetable_entry(&caller.scope, id).await?.ok_or_else(no_line)?;
    if let Some(room) = &patch.room_id {
        check_room(&api, &caller, known.course_id, room, &mut checks).await?;
    }
    let mut change = api.store.change(caller.actor()).await?;
    let (course, before) = lock_with_course(&mut change, &caller, &known).await?;
    if_match.check(before.version)?;
    not_archived(&course)?;
    let mut time = |pointer: &str, text: Option<String>, was: NaiveTime| text.map_or(was, |t| checks.time(pointer, &t));
    let mut after = TimetableEntry {
        starts: time("/starts", patch.starts, before.starts),
        ends: time("/ends", patch.ends, before.ends),
        room_id: patch.room_id.unwrap_or_else(|| before.room_id.clone()),
        weekdays: patch.weekdays.unwrap_or_else(|| before.weekdays.clone()),
        valid_from: patch.valid_from.unwrap_or(before.valid_from),
        valid_to: patch.valid_to.unwrap_or(before.valid_to),
        ..before.clone()
    };
    check_weekdays(&mut checks, &mut after.weekdays);
    checks.validity("", after.valid_from, after.valid_to);
    checks.done()?;
    let entry = change.replace_timetable_entry(&before, &after).await?;
    change.commit().await?;
    Ok(Versioned(entry.version, entry.into()))
}

/// Remove a line of a timetable; its sessions to come go, those of the past stay
#[utoipa::path(delete, path = "/timetable/{id}", tag = "courses", security(("token" = []), ("key" = [])),
    params(("id" = Uuid, Path, description = "The line"),
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
    change.hold_feed().await?;
    let entry = change.lock_timetable_entry(&caller.scope, id).await?.ok_or_else(no_line)?;
    if_match.check(entry.version)?;
    change.remove_timetable_entry(&entry).await?;
    change.commit().await?;
    Ok(StatusCode::NO_CONTENT)
}

/// The occurrences of a line that are not as the others, by date
#[utoipa::path(get, path = "/timetable/{id}/exceptions", tag = "courses", security(("token" = []), ("key" = [])),
    params(("id" = Uuid, Path, description = "The line"), ListParams),
    responses((status = 200, body = Page<ExceptionView>), Problems))]
async fn exceptions(
    caller: Caller,
    State(api): State<Arc<Api>>,
    PathOf(id): PathOf<Uuid>,
    Params(params): Params<ListParams>,
) -> Answer<Json<Page<ExceptionView>>> {
    caller.need(Right::PlacesRead)?;
    let (limit, after) = (page::limit(params.limit)?, page::after::<NaiveDate>(params.cursor.as_deref())?);
    let entry = api.store.timetable_entry(&caller.scope, id).await?.ok_or_else(no_line)?;
    let rows = api.store.exceptions(entry.id, after, limit).await?;
    Ok(Json(Page::of(rows, limit, |exception| exception.date).map(ExceptionView::from)))
}

/// Cancel or move one occurrence
#[utoipa::path(put, path = "/timetable/{id}/exceptions/{date}", tag = "courses", security(("token" = []), ("key" = [])),
    params(("id" = Uuid, Path, description = "The line"),
        ("date" = NaiveDate, Path, description = "The date that the weekly pattern has for it"),
        ("If-Match" = Option<String>, Header, description = "Where there is one: its ETag or version that was read, or *")),
    request_body = Difference, responses((status = 200, body = ExceptionView), Problems))]
async fn put_exception(
    caller: Caller,
    State(api): State<Arc<Api>>,
    PathOf((id, date)): PathOf<(Uuid, NaiveDate)>,
    if_match: Option<IfMatch>,
    Body(difference): Body<Difference>,
) -> Answer<Versioned<ExceptionView>> {
    caller.need(Right::PlacesWrite)?;
    if !is_date(date) {
        return Err(Problem::invalid(vec![FieldError::query("date", "must lie in the years 1970 to 9998")]));
    }
    let known = api.store.timetable_entry(&caller.scope, id).await?.ok_or_else(no_line)?;
    let mut change = api.store.change(caller.actor()).await?;
    let (course, entry) = lock_with_course(&mut change, &caller, &known).await?;
    not_archived(&course)?;
    if !occurs_on(&entry, date) {
        let detail = "the line has no session on this date; see its weekdays, valid_from and valid_to";
        return Err(Problem::invalid(vec![FieldError::query("date", detail)]));
    }
    let mut checks = Checks::default();
    let exception = match difference {
        Difference::Cancelled { note } => TimetableException {
            entry_id: entry.id,
            date,
            kind: "cancelled".to_owned(),
            new_date: None,
            new_starts: None,
            new_ends: None,
            note,
            version: 1,
        },
        Difference::Moved { date: new_date, starts, ends, note } => {
            if !is_date(new_date) {
                checks.add("/date", "must lie in the years 1970 to 9998");
            }
            TimetableException {
                entry_id: entry.id,
                date,
                kind: "moved".to_owned(),
                new_date: Some(new_date),
                new_starts: Some(checks.time("/starts", &starts)),
                new_ends: Some(checks.time("/ends", &ends)),
                note,
                version: 1,
            }
        }
    };
    checks.maybe_note("/note", exception.note.as_deref());
    checks.done()?;
    let before = change.exception(&entry, date).await?;
    IfMatch::check_put(if_match, before.as_ref().map(|exception| exception.version))?;
    let exception = change.put_exception(before.as_ref(), &exception).await?;
    change.commit().await?;
    Ok(Versioned(exception.version, exception.into()))
}

/// Let an occurrence be as the others again
#[utoipa::path(delete, path = "/timetable/{id}/exceptions/{date}", tag = "courses",
    security(("token" = []), ("key" = [])),
    params(("id" = Uuid, Path, description = "The line"),
        ("date" = NaiveDate, Path, description = "The date that the weekly pattern has for it"),
        ("If-Match" = String, Header, description = "ETag or version that was read, or *")),
    responses((status = 204), Problems))]
async fn remove_exception(
    caller: Caller,
    State(api): State<Arc<Api>>,
    PathOf((id, date)): PathOf<(Uuid, NaiveDate)>,
    if_match: IfMatch,
) -> Answer<StatusCode> {
    caller.need(Right::PlacesWrite)?;
    if !is_date(date) {
        return Err(Problem::not_found("exception"));
    }
    let mut change = api.store.change(caller.actor()).await?;
    let entry = change.lock_timetable_entry(&caller.scope, id).await?.ok_or_else(no_line)?;
    let exception = change.exception(&entry, date).await?.ok_or_else(|| Problem::not_found("exception"))?;
    if_match.check(exception.version)?;
    change.remove_exception(&exception).await?;
    change.commit().await?;
    Ok(StatusCode::NO_CONTENT)
}
