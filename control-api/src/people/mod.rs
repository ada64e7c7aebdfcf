//! `/api/v1/people`: who can be recognised.

mod consents;
pub(crate) mod enrol;
mod export;
pub(crate) mod import;
mod table;
mod templates;

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use chrono::{DateTime, Utc};
use rollcall_pipeline::PersonId;
use rollcall_store::{Change, GroupName, MAX_ATTRIBUTES, PersonDetail, PersonFields, PersonFilter};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use uuid::Uuid;

use crate::caller::Caller;
use crate::extract::{Body, Created, IfMatch, Params, PathOf, Versioned, present};
use crate::json::Json;
use crate::page::{self, Page};
use crate::ports::faces::GalleryView;
use crate::problem::{Answer, FieldError, Problem, Problems};
use crate::rights::Right;
use crate::state::Api;
use crate::validate::{Checks, MAX_NAME};

/// Longest name of an attribute.
const MAX_ATTRIBUTE_NAME: usize = 60;
/// Longest value of an attribute.
const MAX_ATTRIBUTE: usize = 500;
/// Most groups of a person.
pub(crate) const MAX_GROUPS: usize = 100;
/// Longest text that is searched for.
const MAX_TEXT: usize = 200;

/// A group that somebody belongs to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct GroupNameView {
    /// Id.
    pub id: Uuid,
    /// Name.
    pub name: String,
}

/// A person.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct PersonView {
    /// Id.
    pub id: Uuid,
    /// Name.
    pub name: String,
    /// Number in another system: that of a student or an employee.
    pub external_id: Option<String>,
    /// Whatever the site notes.
    pub attributes: BTreeMap<String, String>,
    /// Their groups, by name.
    pub groups: Vec<GroupNameView>,
    /// How many templates there are. Without one nobody is recognised.
    pub templates: i64,
    /// Version of the text that they consented to, if that is in force.
    pub consent: Option<String>,
    /// When they were added.
    pub created_at: DateTime<Utc>,
    /// For If-Match.
    pub version: i64,
}

impl From<PersonDetail> for PersonView {
    fn from(person: PersonDetail) -> Self {
        let group = |GroupName { id, name }| GroupNameView { id, name };
        Self {
            id: person.id,
            name: person.name,
            external_id: person.external_id,
            attributes: person.attributes.0,
            groups: person.groups.0.into_iter().map(group).collect(),
            templates: person.templates,
            consent: person.consent,
            created_at: person.created_at,
            version: person.version,
        }
    }
}

/// A new person.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewPerson {
    /// Name.
    #[schema(min_length = 1, max_length = 200)]
    pub name: String,
    /// Number in another system; nobody else may have it.
    #[schema(min_length = 1, max_length = 200)]
    #[serde(default)]
    pub external_id: Option<String>,
    /// At most 50 notes of at most 500 characters.
    #[serde(default)]
    pub attributes: BTreeMap<String, String>,
    /// Their groups.
    #[schema(max_items = 100)]
    #[serde(default)]
    pub group_ids: Vec<Uuid>,
}

/// What is to be different about a person.
#[derive(Clone, Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct PersonPatch {
    /// Name.
    #[schema(min_length = 1, max_length = 200, nullable = false)]
    #[serde(deserialize_with = "crate::extract::given")]
    pub name: Option<String>,
    /// Number in another system; null: none.
    #[serde(deserialize_with = "present")]
    #[schema(value_type = Option<String>, min_length = 1, max_length = 200)]
    pub external_id: Option<Option<String>>,
    /// Notes by name; null removes one, and what is not named stays.
    #[schema(value_type = std::collections::HashMap<String, Option<String>>)]
    pub attributes: BTreeMap<String, Option<String>>,
    /// All their groups.
    #[schema(max_items = 100, nullable = false)]
    #[serde(deserialize_with = "crate::extract::given")]
    pub group_ids: Option<Vec<Uuid>>,
}

/// Which people.
#[derive(Clone, Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct PersonParams {
    /// Part of the name or of the external id, whatever the case.
    #[param(min_length = 1, max_length = 200)]
    pub q: Option<String>,
    /// Members of this group.
    pub group_id: Option<Uuid>,
    /// With or without templates.
    pub has_template: Option<bool>,
    /// The one with this external id.
    #[param(min_length = 1, max_length = 200)]
    pub external_id: Option<String>,
    /// Most rows of the answer.
    #[param(minimum = 1, maximum = 500, default = 50)]
    pub limit: Option<u32>,
    /// `next_cursor` of the page before.
    #[param(max_length = 2000)]
    pub cursor: Option<String>,
}

/// What the matcher knows, and whether that is what is stored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct GalleryNowView {
    /// In the matcher.
    pub live: GalleryView,
    /// The version that is stored.
    pub stored_version: u64,
    /// Whether they are the same: within a second of a change they are.
    pub current: bool,
}

pub(crate) fn router() -> OpenApiRouter<Arc<Api>> {
    OpenApiRouter::new()
        .routes(routes!(list, create))
        .routes(routes!(read, change, remove))
        .routes(routes!(gallery))
        .merge(consents::router())
        .merge(export::router())
        .merge(import::router())
        .merge(templates::router())
}

pub(crate) fn no_person() -> Problem {
    Problem::not_found("person")
}

/// The person, if the caller may see them.
pub(crate) async fn visible(api: &Api, caller: &Caller, id: Uuid) -> Answer<PersonDetail> {
    api.store.person_in(&caller.scope, PersonId(id)).await?.ok_or_else(no_person)
}

fn check_attribute_name(checks: &mut Checks, pointer: &str, name: &str) {
    let length = name.chars().count();
    if !(1..=MAX_ATTRIBUTE_NAME).contains(&length) || name.chars().any(char::is_control) || name.trim() != name {
        checks.add(
            pointer,
            format!("the name of an attribute has 1 to {MAX_ATTRIBUTE_NAME} characters, no spaces around"),
        );
    }
}

fn check_fields(checks: &mut Checks, fields: &PersonFields) {
    checks.line("/name", &fields.name, MAX_NAME);
    checks.maybe_line("/external_id", fields.external_id.as_deref(), MAX_NAME);
    if fields.attributes.len() > MAX_ATTRIBUTES {
        checks.add("/attributes", format!("at most {MAX_ATTRIBUTES}"));
    }
    for (name, value) in &fields.attributes {
        let pointer = format!("/attributes/{}", name.replace('~', "~0").replace('/', "~1"));
        check_attribute_name(checks, &pointer, name);
        checks.line(&pointer, value, MAX_ATTRIBUTE);
    }
    if fields.groups.len() > MAX_GROUPS {
        checks.add("/group_ids", format!("at most {MAX_GROUPS}"));
    }
}

/// Notes which of the groups that somebody is to join are not there for the caller. Those of `before` they belong to already.
async fn check_groups(
    change: &mut Change<'_>,
    caller: &Caller,
    groups: &[Uuid],
    before: &[GroupName],
    checks: &mut Checks,
) -> Answer<()> {
    let belongs_to = |id: &Uuid| before.iter().any(|group| group.id == *id);
    let new = groups.iter().enumerate().take(MAX_GROUPS).filter(|(_, group)| !belongs_to(group));
    let (places, new): (Vec<usize>, Vec<Uuid>) = new.map(|(i, group)| (i, *group)).unzip();
    let there = change.groups_among(&caller.scope, &new).await?;
    for (i, _) in places.iter().zip(&new).filter(|(_, group)| !there.contains(group)) {
        checks.add(&format!("/group_ids/{i}"), "there is no such group");
    }
    Ok(())
}

fn filter(params: &PersonParams) -> Answer<PersonFilter> {
    let mut wrong = Vec::new();
    for (name, text) in [("q", &params.q), ("external_id", &params.external_id)] {
        let Some(text) = text else { continue };
        if !(1..=MAX_TEXT).contains(&text.chars().count()) || text.chars().any(char::is_control) {
            wrong.push(FieldError::query(name, format!("must be 1 to {MAX_TEXT} characters, none of them control")));
        }
    }
    if !wrong.is_empty() {
        return Err(Problem::invalid(wrong));
    }
    Ok(PersonFilter {
        text: params.q.clone(),
        group: params.group_id,
        has_template: params.has_template,
        external_id: params.external_id.clone(),
    })
}

/// The people, by name
#[utoipa::path(get, path = "/people", tag = "people", security(("token" = []), ("key" = [])), params(PersonParams),
    responses((status = 200, body = Page<PersonView>), Problems))]
async fn list(
    caller: Caller,
    State(api): State<Arc<Api>>,
    Params(params): Params<PersonParams>,
) -> Answer<Json<Page<PersonView>>> {
    caller.need(Right::PeopleRead)?;
    let filter = filter(&params)?;
    let (limit, after) = (page::limit(params.limit)?, page::after::<(String, Uuid)>(params.cursor.as_deref())?);
    let rows = api.store.people_in(&caller.scope, &filter, after.as_ref(), limit).await?;
    Ok(Json(Page::of(rows, limit, |person| (person.name.clone(), person.id)).map(PersonView::from)))
}

/// Add a person
#[utoipa::path(post, path = "/people", tag = "people", security(("token" = []), ("key" = [])), request_body = NewPerson,
    responses((status = 201, body = PersonView), Problems))]
async fn create(
    caller: Caller,
    State(api): State<Arc<Api>>,
    Body(new): Body<NewPerson>,
) -> Answer<Created<PersonView>> {
    caller.need(Right::PeopleWrite)?;
    caller.need_everywhere()?;
    let fields = PersonFields {
        name: new.name,
        external_id: new.external_id,
        attributes: new.attributes,
        groups: new.group_ids,
    };
    let mut checks = Checks::default();
    check_fields(&mut checks, &fields);
    let mut change = api.store.change(caller.actor()).await?;
    check_groups(&mut change, &caller, &fields.groups, &[], &mut checks).await?;
    checks.done()?;
    let person = change.add_person(&fields).await?;
    change.commit().await?;
    Ok(Created {
        location: format!("/api/v1/people/{}", person.id),
        version: Some(person.version),
        body: person.into(),
    })
}

/// One person
#[utoipa::path(get, path = "/people/{id}", tag = "people", security(("token" = []), ("key" = [])),
    params(("id" = Uuid, Path, description = "The person")),
    responses((status = 200, body = PersonView), Problems))]
async fn read(caller: Caller, State(api): State<Arc<Api>>, PathOf(id): PathOf<Uuid>) -> Answer<Versioned<PersonView>> {
    caller.need(Right::PeopleRead)?;
    let person = visible(&api, &caller, id).await?;
    Ok(Versioned(person.version, person.into()))
}

/// Change a person
#[utoipa::path(patch, path = "/people/{id}", tag = "people", security(("token" = []), ("key" = [])),
    params(("id" = Uuid, Path, description = "The person"),
        ("If-Match" = String, Header, description = "ETag that was read, or *")),
    request_body = PersonPatch, responses((status = 200, body = PersonView), Problems))]
async fn change(
    caller: Caller,
    State(api): State<Arc<Api>>,
    PathOf(id): PathOf<Uuid>,
    if_match: IfMatch,
    Body(patch): Body<PersonPatch>,
) -> Answer<Versioned<PersonView>> {
    caller.need(Right::PeopleWrite)?;
    let mut change = api.store.change(caller.actor()).await?;
    let before = change.lock_person(&caller.scope, PersonId(id)).await?.ok_or_else(no_person)?;
    if_match.check(before.version)?;
    let mut attributes = before.attributes.0.clone();
    for (name, value) in patch.attributes {
        match value {
            Some(value) => drop(attributes.insert(name, value)),
            None => drop(attributes.remove(&name)),
        }
    }
    let groups = before.groups.0.iter().map(|group| group.id);
    let fields = PersonFields {
        name: patch.name.unwrap_or_else(|| before.name.clone()),
        external_id: patch.external_id.unwrap_or_else(|| before.external_id.clone()),
        attributes,
        groups: patch.group_ids.unwrap_or_else(|| groups.collect()),
    };
    let mut checks = Checks::default();
    check_fields(&mut checks, &fields);
    check_groups(&mut change, &caller, &fields.groups, &before.groups.0, &mut checks).await?;
    checks.done()?;
    let person = change.replace_person(&before, &fields).await?;
    change.commit().await?;
    Ok(Versioned(person.version, person.into()))
}

/// Erase a person with everything that is known of them
///
/// Templates, consents, marks, register, corrections and enrolments go at once, and the cameras know them no more within a
/// second; what was seen stays in the event log, of nobody. This cannot be undone.
#[utoipa::path(delete, path = "/people/{id}", tag = "people", security(("token" = []), ("key" = [])),
    params(("id" = Uuid, Path, description = "The person"),
        ("If-Match" = String, Header, description = "ETag that was read, or *")),
    responses((status = 204), Problems))]
async fn remove(
    caller: Caller,
    State(api): State<Arc<Api>>,
    PathOf(id): PathOf<Uuid>,
    if_match: IfMatch,
) -> Answer<StatusCode> {
    caller.need(Right::PeopleWrite)?;
    caller.need_everywhere()?;
    let mut change = api.store.change(caller.actor()).await?;
    let person = change.lock_person(&caller.scope, PersonId(id)).await?.ok_or_else(no_person)?;
    if_match.check(person.version)?;
    change.erase_person(&person).await?;
    change.commit().await?;
    Ok(StatusCode::NO_CONTENT)
}

/// What the matcher knows
#[utoipa::path(get, path = "/gallery", tag = "people", security(("token" = []), ("key" = [])),
    responses((status = 200, body = GalleryNowView), Problems))]
async fn gallery(caller: Caller, State(api): State<Arc<Api>>) -> Answer<Json<GalleryNowView>> {
    caller.need(Right::PeopleRead)?;
    let stored_version = api.store.gallery_version().await?.0;
    let live = api.faces.gallery();
    let current = live.version >= stored_version;
    Ok(Json(GalleryNowView { live, stored_version, current }))
}
