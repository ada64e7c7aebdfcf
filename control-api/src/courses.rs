//! `/api/v1/courses`: courses or shifts, their rules, and who is enrolled in them.

use std::collections::HashMap;
use std::sync::Arc;

use axum::extract::{DefaultBodyLimit, FromRequest as _, Request, State};
use axum::http::StatusCode;
use chrono::{DateTime, NaiveDate, Utc};
use rollcall_pipeline::PersonId;
use rollcall_store::{Course, CourseFilter, Enrolment, MAIN_SITE, NewEnrolment, RosterChange};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use uuid::Uuid;

use crate::caller::Caller;
use crate::extract::{Body, Created, IfMatch, Params, PathOf, Versioned, fits, given_object, object, present};
use crate::json::Json;
use crate::page::{self, Page};
use crate::problem::{Answer, Problem, Problems};
use crate::rights::Right;
use crate::sites::ListParams;
use crate::state::Api;
use crate::validate::{Checks, MAX_NAME};
use crate::{Windows, seconds};

/// Most people on the roster of a course.
const MAX_ROSTER: usize = 10_000;
/// Bytes of such a roster, at most: the longest external ids with every letter escaped.
const MAX_ROSTER_BYTES: usize = MAX_ROSTER * 2_560;

/// The rules of a course, in seconds. Null: as configured for the whole installation, or no such rule.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct RulesView {
    /// How long before the start people may come.
    #[schema(minimum = 0, maximum = 43200)]
    pub early_s: Option<i32>,
    /// How long after the start people are not late.
    #[schema(minimum = 0, maximum = 43200)]
    pub grace_s: Option<i32>,
    /// How long after the end people who were there may still be seen leaving.
    #[schema(minimum = 0, maximum = 43200)]
    pub leave_s: Option<i32>,
    /// Who leaves more than this before the end has left early.
    #[schema(minimum = 0, maximum = 43200)]
    pub early_exit_s: Option<i32>,
    /// Who was there for less of the session counts as absent although they were seen.
    #[schema(minimum = 1, maximum = 100)]
    pub min_presence_percent: Option<i32>,
    /// Who comes later than this after the start counts as absent although they were seen. At least the grace time, `grace_s`
    /// or that of the installation.
    #[schema(minimum = 0, maximum = 43200)]
    pub absent_after_s: Option<i32>,
}

impl RulesView {
    /// Where they have no grace time of their own, the installation's counts.
    fn check(&self, default: Windows, checks: &mut Checks) {
        let windows = [
            ("early_s", self.early_s),
            ("grace_s", self.grace_s),
            ("leave_s", self.leave_s),
            ("early_exit_s", self.early_exit_s),
            ("absent_after_s", self.absent_after_s),
        ];
        for (key, value) in windows {
            checks.maybe_window(&format!("/rules/{key}"), value);
        }
        if self.min_presence_percent.is_some_and(|share| !(1..=100).contains(&share)) {
            checks.add("/rules/min_presence_percent", "must be 1 to 100, or null");
        }
        let grace = self.grace_s.unwrap_or_else(|| seconds(default.grace));
        if self.absent_after_s.is_some_and(|after| after < grace) {
            let detail = format!("must be at least grace_s, which is {grace}: who is not late cannot be absent");
            checks.add("/rules/absent_after_s", detail);
        }
    }
}

/// A course or a shift.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub(crate) struct CourseView {
    /// Id.
    pub id: Uuid,
    /// The site.
    pub site_id: String,
    /// Name for people.
    pub name: String,
    /// Number in another system.
    pub code: Option<String>,
    /// Account of whoever teaches it.
    pub teacher_id: Option<Uuid>,
    /// Its rules.
    pub rules: RulesView,
    /// Since when it has no sessions any more.
    pub archived_at: Option<DateTime<Utc>>,
    /// For If-Match.
    pub version: i64,
}

impl From<Course> for CourseView {
    fn from(course: Course) -> Self {
        let rules = RulesView {
            early_s: course.early_s,
            grace_s: course.grace_s,
            leave_s: course.leave_s,
            early_exit_s: course.early_exit_s,
            min_presence_percent: course.min_presence_percent,
            absent_after_s: course.absent_after_s,
        };
        let Course { id, site_id, name, code, teacher_id, archived_at, version, .. } = course;
        Self { id, site_id, name, code, teacher_id, rules, archived_at, version }
    }
}

/// A new course.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewCourse {
    /// Name for people.
    #[schema(min_length = 1, max_length = 200)]
    pub name: String,
    /// The site; without it that of the configuration file.
    #[schema(max_length = 40)]
    #[serde(default)]
    pub site_id: Option<String>,
    /// Number in another system; unique within the site.
    #[schema(min_length = 1, max_length = 200)]
    #[serde(default)]
    pub code: Option<String>,
    /// Account of whoever teaches it.
    #[serde(default)]
    pub teacher_id: Option<Uuid>,
    /// Its rules.
    #[serde(default, deserialize_with = "object")]
    pub rules: RulesView,
}

/// What is to be different about a course. Rules that are given replace all of its rules.
#[derive(Clone, Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct CoursePatch {
    /// Name for people.
    #[schema(min_length = 1, max_length = 200, nullable = false)]
    #[serde(deserialize_with = "crate::extract::given")]
    pub name: Option<String>,
    /// Number in another system.
    #[serde(deserialize_with = "present")]
    #[schema(value_type = Option<String>, min_length = 1, max_length = 200)]
    pub code: Option<Option<String>>,
    /// Account of whoever teaches it.
    #[serde(deserialize_with = "present")]
    #[schema(value_type = Option<Uuid>)]
    pub teacher_id: Option<Option<Uuid>>,
    /// Its rules.
    #[schema(nullable = false)]
    #[serde(deserialize_with = "given_object")]
    pub rules: Option<RulesView>,
    /// True: it has no sessions any more, what there was stays, and nothing is added until it is false again.
    #[schema(nullable = false)]
    #[serde(deserialize_with = "crate::extract::given")]
    pub archived: Option<bool>,
}

/// Which courses.
#[derive(Clone, Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct CourseParams {
    /// Of this site.
    #[param(max_length = 40)]
    pub site_id: Option<String>,
    /// With this in their name or code.
    #[param(max_length = 200)]
    pub q: Option<String>,
    /// Taught by this account.
    pub teacher_id: Option<Uuid>,
    /// Also those that are archived.
    pub archived: Option<bool>,
    /// Most rows of the answer.
    #[param(minimum = 1, maximum = 500, default = 50)]
    pub limit: Option<u32>,
    /// `next_cursor` of the page before.
    #[param(max_length = 1000)]
    pub cursor: Option<String>,
}

/// Somebody who is enrolled.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct EnrolmentView {
    /// Who.
    pub person_id: Uuid,
    /// Their name.
    pub name: String,
    /// Their number in another system.
    pub external_id: Option<String>,
    /// First local date; null: always.
    pub valid_from: Option<NaiveDate>,
    /// Last local date; null: always.
    pub valid_to: Option<NaiveDate>,
}

impl From<Enrolment> for EnrolmentView {
    fn from(enrolment: Enrolment) -> Self {
        let Enrolment { person_id, name, external_id, valid_from, valid_to } = enrolment;
        Self { person_id, name, external_id, valid_from, valid_to }
    }
}

/// From when to when somebody is enrolled.
#[derive(Clone, Copy, Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct EnrolmentDates {
    /// First local date; null: always.
    pub valid_from: Option<NaiveDate>,
    /// Last local date; null: always.
    pub valid_to: Option<NaiveDate>,
}

/// Somebody on a new roster: `person_id` or `external_id`.
#[derive(Clone, Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct RosterLine {
    /// Who.
    pub person_id: Option<Uuid>,
    /// Or their number in another system.
    #[schema(min_length = 1, max_length = 200)]
    pub external_id: Option<String>,
    /// First local date; null: always.
    pub valid_from: Option<NaiveDate>,
    /// Last local date; null: always.
    pub valid_to: Option<NaiveDate>,
}

/// A whole roster.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewRoster {
    /// Everybody who is on it.
    #[schema(max_items = 10000)]
    pub people: Vec<RosterLine>,
}

/// What a roster changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct RosterChangeView {
    /// People on it now.
    pub enrolled: usize,
    /// New ones.
    pub added: usize,
    /// With other dates.
    pub changed: usize,
    /// Not on it any more.
    pub removed: usize,
}

impl From<RosterChange> for RosterChangeView {
    fn from(RosterChange { enrolled, added, changed, removed, .. }: RosterChange) -> Self {
        Self { enrolled, added, changed, removed }
    }
}

pub(crate) fn router() -> OpenApiRouter<Arc<Api>> {
    OpenApiRouter::new()
        .routes(routes!(list, create))
        .routes(routes!(read, change, remove))
        .merge(
            OpenApiRouter::new().routes(routes!(enrolments, put_roster)).layer(DefaultBodyLimit::max(MAX_ROSTER_BYTES)),
        )
        .routes(routes!(enrol, unenrol))
}

/// The courses, by name
#[utoipa::path(get, path = "/courses", tag = "courses", security(("token" = []), ("key" = [])), params(CourseParams),
    responses((status = 200, body = Page<CourseView>), Problems))]
async fn list(
    caller: Caller,
    State(api): State<Arc<Api>>,
    Params(params): Params<CourseParams>,
) -> Answer<Json<Page<CourseView>>> {
    caller.need(Right::PlacesRead)?;
    let (limit, after) = (page::limit(params.limit)?, page::after::<(String, Uuid)>(params.cursor.as_deref())?);
    fits("site_id", params.site_id.as_deref(), 40)?;
    fits("q", params.q.as_deref(), 200)?;
    let filter = CourseFilter {
        site: params.site_id,
        text: params.q,
        teacher: params.teacher_id,
        archived: params.archived.unwrap_or(false),
    };
    let rows = api.store.courses(&caller.scope, &filter, after.as_ref(), limit).await?;
    Ok(Json(Page::of(rows, limit, |course| (course.name.clone(), course.id)).map(CourseView::from)))
}

/// Add a course
#[utoipa::path(post, path = "/courses", tag = "courses", security(("token" = []), ("key" = [])), request_body = NewCourse,
    responses((status = 201, body = CourseView), Problems))]
async fn create(
    caller: Caller,
    State(api): State<Arc<Api>>,
    Body(new): Body<NewCourse>,
) -> Answer<Created<CourseView>> {
    caller.need(Right::PlacesWrite)?;
    let mut checks = Checks::default();
    checks.line("/name", &new.name, MAX_NAME);
    checks.maybe_line("/code", new.code.as_deref(), MAX_NAME);
    new.rules.check(api.daemon.windows(), &mut checks);
    check_teacher(&api, "/teacher_id", new.teacher_id, &mut checks).await?;
    let mut change = api.store.change(caller.actor()).await?;
    let site = change.lock_site(&caller.scope, new.site_id.as_deref().unwrap_or(MAIN_SITE)).await?;
    if site.is_none() {
        checks.add("/site_id", "there is no such site");
    }
    checks.done()?;
    let course = Course {
        id: Uuid::now_v7(),
        site_id: site.ok_or_else(|| Problem::not_found("site"))?.id,
        name: new.name,
        code: new.code,
        teacher_id: new.teacher_id,
        early_s: None,
        grace_s: None,
        leave_s: None,
        early_exit_s: None,
        min_presence_percent: None,
        absent_after_s: None,
        archived_at: None,
        version: 1,
    };
    let course = change.add_course(&with_rules(course, new.rules)).await?;
    change.commit().await?;
    Ok(Created {
        location: format!("/api/v1/courses/{}", course.id),
        version: Some(course.version),
        body: course.into(),
    })
}

fn with_rules(course: Course, rules: RulesView) -> Course {
    let RulesView { early_s, grace_s, leave_s, early_exit_s, min_presence_percent, absent_after_s } = rules;
    Course { early_s, grace_s, leave_s, early_exit_s, min_presence_percent, absent_after_s, ..course }
}

/// Nothing is added to what is archived.
pub(crate) fn not_archived(course: &Course) -> Answer<()> {
    if course.archived_at.is_none() {
        return Ok(());
    }
    Err(Problem::conflict("this course is archived: un-archive it first (PATCH it with \"archived\": false)"))
}

/// Notes it if there is no such account.
pub(crate) async fn check_teacher(api: &Api, pointer: &str, teacher: Option<Uuid>, checks: &mut Checks) -> Answer<()> {
    if let Some(teacher) = teacher
        && !api.store.is_teacher(teacher).await?
    {
        checks.add(pointer, "there is no such account that could teach");
    }
    Ok(())
}

/// One course
#[utoipa::path(get, path = "/courses/{id}", tag = "courses", security(("token" = []), ("key" = [])),
    params(("id" = Uuid, Path, description = "The course")),
    responses((status = 200, body = CourseView), Problems))]
async fn read(caller: Caller, State(api): State<Arc<Api>>, PathOf(id): PathOf<Uuid>) -> Answer<Versioned<CourseView>> {
    caller.need(Right::PlacesRead)?;
    let course = api.store.course(&caller.scope, id).await?.ok_or_else(|| Problem::not_found("course"))?;
    Ok(Versioned(course.version, course.into()))
}

/// Change a course
#[utoipa::path(patch, path = "/courses/{id}", tag = "courses", security(("token" = []), ("key" = [])),
    params(("id" = Uuid, Path, description = "The course"),
        ("If-Match" = String, Header, description = "ETag that was read, or *")),
    request_body = CoursePatch, responses((status = 200, body = CourseView), Problems))]
async fn change(
    caller: Caller,
    State(api): State<Arc<Api>>,
    PathOf(id): PathOf<Uuid>,
    if_match: IfMatch,
    Body(patch): Body<CoursePatch>,
) -> Answer<Versioned<CourseView>> {
    caller.need(Right::PlacesWrite)?;
    let mut checks = Checks::default();
    checks.maybe_line("/name", patch.name.as_deref(), MAX_NAME);
    checks.maybe_line("/code", patch.code.as_ref().and_then(Option::as_deref), MAX_NAME);
    patch.rules.inspect(|rules| rules.check(api.daemon.windows(), &mut checks));
    check_teacher(&api, "/teacher_id", patch.teacher_id.flatten(), &mut checks).await?;
    checks.done()?;
    let mut change = api.store.change(caller.actor()).await?;
    let before = change.lock_course(&caller.scope, id).await?.ok_or_else(|| Problem::not_found("course"))?;
    if_match.check(before.version)?;
    let mut after = before.clone();
    after.name = patch.name.unwrap_or(after.name);
    after.code = patch.code.unwrap_or(after.code);
    after.teacher_id = patch.teacher_id.unwrap_or(after.teacher_id);
    after.archived_at = match patch.archived {
        Some(true) => after.archived_at.or_else(|| Some(api.clock.wall())),
        Some(false) => None,
        None => after.archived_at,
    };
    let after = match patch.rules {
        Some(rules) => with_rules(after, rules),
        None => after,
    };
    let course = change.replace_course(&before, &after).await?;
    change.commit().await?;
    Ok(Versioned(course.version, course.into()))
}

/// Remove a course in whose sessions nobody was ever marked; archive others
#[utoipa::path(delete, path = "/courses/{id}", tag = "courses", security(("token" = []), ("key" = [])),
    params(("id" = Uuid, Path, description = "The course"),
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
    let course = change.lock_course(&caller.scope, id).await?.ok_or_else(|| Problem::not_found("course"))?;
    if_match.check(course.version)?;
    change.remove_course(&course).await?;
    change.commit().await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Who is enrolled in a course, by name
///
/// The ETag is that of the course, and every page has the same while nobody changes either.
#[utoipa::path(get, path = "/courses/{id}/enrolments", tag = "courses", security(("token" = []), ("key" = [])),
    params(("id" = Uuid, Path, description = "The course"), ListParams),
    responses((status = 200, body = Page<EnrolmentView>), Problems))]
async fn enrolments(
    caller: Caller,
    State(api): State<Arc<Api>>,
    PathOf(id): PathOf<Uuid>,
    Params(params): Params<ListParams>,
) -> Answer<Versioned<Page<EnrolmentView>>> {
    caller.need(Right::PeopleRead)?;
    let (limit, after) = (page::limit(params.limit)?, page::after::<(String, Uuid)>(params.cursor.as_deref())?);
    let course = api.store.course(&caller.scope, id).await?.ok_or_else(|| Problem::not_found("course"))?;
    let rows = api.store.enrolments(course.id, after.as_ref(), limit).await?;
    let page = Page::of(rows, limit, |row| (row.name.clone(), row.person_id)).map(EnrolmentView::from);
    Ok(Versioned(course.version, page))
}

/// Give a course a whole roster: who is not on it is not enrolled any more
#[utoipa::path(put, path = "/courses/{id}/enrolments", tag = "courses", security(("token" = []), ("key" = [])),
    params(("id" = Uuid, Path, description = "The course"),
        ("If-Match" = String, Header, description = "ETag of the course or its roster that was read, or *")),
    request_body = NewRoster, responses((status = 200, body = RosterChangeView), Problems))]
async fn put_roster(
    caller: Caller,
    State(api): State<Arc<Api>>,
    PathOf(id): PathOf<Uuid>,
    if_match: IfMatch,
    request: Request,
) -> Answer<Versioned<RosterChangeView>> {
    caller.need(Right::PlacesWrite)?;
    let _held = api.access.space.hold(request.headers(), MAX_ROSTER_BYTES)?;
    let Body(new) = Body::<NewRoster>::from_request(request, &()).await?;
    let mut checks = Checks::default();
    if new.people.len() > MAX_ROSTER {
        checks.add("/people", format!("must be at most {MAX_ROSTER}"));
        checks.done()?;
        return Err(Problem::invalid_field("/people", "is too long"));
    }
    for (i, line) in new.people.iter().enumerate() {
        checks.validity(&format!("/people/{i}"), line.valid_from, line.valid_to);
        checks.maybe_line(&format!("/people/{i}/external_id"), line.external_id.as_deref(), MAX_NAME);
        if line.person_id.is_some() == line.external_id.is_some() {
            checks.add(&format!("/people/{i}"), "needs either person_id or external_id");
        }
    }
    checks.done()?;
    let (ids, external_ids): (Vec<_>, Vec<_>) =
        new.people.iter().map(|line| (line.person_id, line.external_id.clone())).unzip();
    // Whoever is erased between this and the change is not enrolled by it: it fails.
    let found = api.store.find_people(&caller.scope, &ids, &external_ids).await?;
    let found: HashMap<usize, PersonId> = found.into_iter().collect();
    let mut change = api.store.change(caller.actor()).await?;
    let course = change.lock_course(&caller.scope, id).await?.ok_or_else(|| Problem::not_found("course"))?;
    if_match.check(course.version)?;
    not_archived(&course)?;
    let mut checks = Checks::default();
    let mut people = Vec::new();
    let mut seen = HashMap::new();
    for (i, line) in new.people.iter().enumerate() {
        let pointer = format!("/people/{i}");
        let Some(&person) = found.get(&i) else {
            checks.add(&pointer, "there is no such person");
            continue;
        };
        if let Some(first) = seen.insert(person, i) {
            checks.add(&pointer, format!("is the same person as /people/{first}"));
        }
        people.push(NewEnrolment { person, valid_from: line.valid_from, valid_to: line.valid_to });
    }
    checks.done()?;
    let changed = change.enrol(course.id, &people, true).await?;
    change.commit().await?;
    Ok(Versioned(changed.version, changed.into()))
}

/// Enrol somebody, or change from when to when they are
///
/// Who is enrolled with other dates is given these only with If-Match: somebody chose the others.
#[utoipa::path(put, path = "/courses/{id}/enrolments/{person_id}", tag = "courses",
    security(("token" = []), ("key" = [])),
    params(("id" = Uuid, Path, description = "The course"), ("person_id" = Uuid, Path, description = "Who"),
        ("If-Match" = Option<String>, Header, description = "For other dates: ETag of the roster that was read, or *")),
    request_body = EnrolmentDates, responses((status = 200, body = RosterChangeView), Problems))]
async fn enrol(
    caller: Caller,
    State(api): State<Arc<Api>>,
    PathOf((id, person)): PathOf<(Uuid, Uuid)>,
    if_match: Option<IfMatch>,
    Body(dates): Body<EnrolmentDates>,
) -> Answer<Versioned<RosterChangeView>> {
    caller.need(Right::PlacesWrite)?;
    let mut checks = Checks::default();
    checks.validity("", dates.valid_from, dates.valid_to);
    checks.done()?;
    let found = api.store.find_people(&caller.scope, &[Some(person)], &[None]).await?;
    let mut change = api.store.change(caller.actor()).await?;
    let course = change.lock_course(&caller.scope, id).await?.ok_or_else(|| Problem::not_found("course"))?;
    if found.is_empty() {
        return Err(Problem::not_found("person"));
    }
    not_archived(&course)?;
    let new = NewEnrolment { person: PersonId(person), valid_from: dates.valid_from, valid_to: dates.valid_to };
    let changed = change.enrol(course.id, &[new], false).await?;
    // What is refused here is not committed.
    let needs_match = if_match.is_some() || changed.changed > 0;
    IfMatch::check_put(if_match, needs_match.then_some(course.version))?;
    change.commit().await?;
    Ok(Versioned(changed.version, changed.into()))
}

/// Take somebody off a course
#[utoipa::path(delete, path = "/courses/{id}/enrolments/{person_id}", tag = "courses",
    security(("token" = []), ("key" = [])),
    params(("id" = Uuid, Path, description = "The course"), ("person_id" = Uuid, Path, description = "Who")),
    responses((status = 204), Problems))]
async fn unenrol(
    caller: Caller,
    State(api): State<Arc<Api>>,
    PathOf((id, person)): PathOf<(Uuid, Uuid)>,
) -> Answer<StatusCode> {
    caller.need(Right::PlacesWrite)?;
    let mut change = api.store.change(caller.actor()).await?;
    let course = change.lock_course(&caller.scope, id).await?.ok_or_else(|| Problem::not_found("course"))?;
    if !change.unenrol(course.id, PersonId(person)).await? {
        return Err(Problem::not_found("enrolment"));
    }
    change.commit().await?;
    Ok(StatusCode::NO_CONTENT)
}
