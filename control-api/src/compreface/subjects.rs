//! Subjects and their faces: people and templates.

use std::sync::Arc;

use axum::extract::{DefaultBodyLimit, Request, State};
use axum::http::StatusCode;
use axum::routing::get;
use rollcall_pipeline::PersonId;
use rollcall_store::{Change, NewTemplate, NoConsent, PersonDetail, PersonFields, TemplateOrigin};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use uuid::Uuid;

use super::failure::{Client, Failure, Failures, Reply, code};
use super::look::{FileForm, picture};
use crate::extract::{Body, ListBody, Params, PathOf};
use crate::json::Json;
use crate::people::enrol::licence;
use crate::ports::faces::{self, EnrolAsk, MAX_PICTURE_BYTES, PictureOutcome};
use crate::problem::Problem;
use crate::rights::Right;
use crate::state::Api;
use crate::upload::UploadLimits;

/// Bytes of a body with a picture.
pub(crate) const MAX_BODY: usize = UploadLimits::body(MAX_PICTURE_BYTES);
const MAX_SUBJECT: usize = 100;
const MAX_PAGE: u32 = 1_000;

/// A subject. Other fields are not read.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
struct Subject {
    /// External id or name of a person.
    #[schema(min_length = 1, max_length = 100)]
    subject: String,
}

/// All subjects.
#[derive(Debug, Serialize, ToSchema)]
struct Subjects {
    /// In order.
    subjects: Vec<String>,
}

/// Whether it was renamed.
#[derive(Debug, Serialize, ToSchema)]
struct Updated {
    /// It was.
    updated: bool,
}

/// How many are gone.
#[derive(Debug, Serialize, ToSchema)]
struct Deleted {
    /// So many.
    deleted: u64,
}

/// A saved face.
#[derive(Debug, Serialize, ToSchema)]
struct SavedFace {
    /// The template.
    image_id: Uuid,
    /// Whose.
    subject: String,
}

/// A page of saved faces.
#[derive(Debug, Serialize, ToSchema)]
struct SavedFaces {
    /// Oldest first.
    faces: Vec<SavedFace>,
    /// Which page, from 0.
    page_number: u32,
    /// How many were asked for.
    page_size: u32,
    /// Pages in all.
    total_pages: i64,
    /// Faces in all.
    total_elements: i64,
}

/// Which faces.
#[derive(Clone, Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct PageParams {
    /// Which page, from 0.
    #[param(minimum = 0, maximum = 1000000)]
    page: Option<u32>,
    /// Faces of a page.
    #[param(minimum = 1, maximum = 1000, default = 20)]
    size: Option<u32>,
    /// Only this subject's.
    #[param(max_length = 100)]
    subject: Option<String>,
}

/// Whose faces.
#[derive(Clone, Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct SubjectParams {
    /// Whose.
    #[param(min_length = 1, max_length = 100)]
    subject: Option<String>,
}

pub(super) fn router() -> OpenApiRouter<Arc<Api>> {
    let faces =
        OpenApiRouter::new().routes(routes!(list_faces, add_face, delete_faces)).layer(DefaultBodyLimit::max(MAX_BODY));
    OpenApiRouter::new()
        .routes(routes!(list, add, delete_all))
        // Its own examples write it so.
        .route("/recognition/subjects/", get(list))
        .routes(routes!(rename, delete))
        .merge(faces)
        .routes(routes!(delete_face))
        .routes(routes!(delete_some))
}

fn valid(subject: &str) -> Reply<&str> {
    let length = subject.chars().count();
    if (1..=MAX_SUBJECT).contains(&length) && !subject.trim().is_empty() && !subject.chars().any(char::is_control) {
        return Ok(subject);
    }
    Err(Failure::bad(
        code::INVALID,
        format!("subject: must be 1 to {MAX_SUBJECT} characters, without control characters"),
    ))
}

fn no_subject() -> Failure {
    Failure::not_found(code::OTHER, "Subject not found")
}

async fn known(api: &Api, subject: &str) -> Reply<PersonId> {
    api.store.subject(valid(subject)?).await?.ok_or_else(no_subject)
}

/// List subjects (as CompreFace does)
#[utoipa::path(get, path = "/recognition/subjects", tag = "compreface", security(("key" = []), ("token" = [])),
    responses((status = 200, body = Subjects), Failures))]
async fn list(client: Client, State(api): State<Arc<Api>>) -> Reply<Json<Subjects>> {
    client.need_people(&[Right::PeopleRead])?;
    Ok(Json(Subjects { subjects: api.store.subjects().await? }))
}

/// Add a subject (as CompreFace does)
#[utoipa::path(post, path = "/recognition/subjects", tag = "compreface", security(("key" = []), ("token" = [])),
    request_body = Subject, responses((status = 201, body = Subject), Failures))]
async fn add(
    client: Client,
    State(api): State<Arc<Api>>,
    body: Result<Body<Subject>, Problem>,
) -> Reply<(StatusCode, Json<Subject>)> {
    client.need_people(&[Right::PeopleWrite])?;
    let Body(Subject { subject }) = body?;
    if api.store.subject(valid(&subject)?).await?.is_some() {
        return Err(Failure::bad(code::INVALID, "Subject already exists"));
    }
    let mut change = api.store.change(client.0.actor()).await?;
    make(&mut change, &subject).await?;
    change.commit().await?;
    Ok((StatusCode::CREATED, Json(Subject { subject })))
}

async fn make(change: &mut Change<'_>, subject: &str) -> Reply<PersonDetail> {
    let fields =
        PersonFields { name: subject.to_owned(), external_id: Some(subject.to_owned()), ..PersonFields::default() };
    Ok(change.add_person(&fields).await?)
}

/// Rename a subject (as CompreFace does)
///
/// Subjects are not merged: another subject's name is refused.
#[utoipa::path(put, path = "/recognition/subjects/{subject}", tag = "compreface", security(("key" = []), ("token" = [])),
    params(("subject" = String, Path, description = "The subject", min_length = 1, max_length = 100)),
    request_body = Subject, responses((status = 200, body = Updated), Failures))]
async fn rename(
    client: Client,
    State(api): State<Arc<Api>>,
    old: Result<PathOf<String>, Problem>,
    body: Result<Body<Subject>, Problem>,
) -> Reply<Json<Updated>> {
    client.need_people(&[Right::PeopleWrite])?;
    let PathOf(old) = old?;
    let Body(Subject { subject: new }) = body?;
    let person = known(&api, &old).await?;
    if api.store.subject(valid(&new)?).await?.is_some_and(|other| other != person) {
        let text = "there is a subject of that name, and subjects are not merged here: move its faces first";
        return Err(Failure::new(StatusCode::CONFLICT, code::OTHER, text));
    }
    let mut change = api.store.change(client.0.actor()).await?;
    let before = change.lock_person(&client.0.scope, person).await?.ok_or_else(no_subject)?;
    let fields = PersonFields {
        name: if before.name == old { new.clone() } else { before.name.clone() },
        external_id: before.external_id.as_ref().map(|id| if *id == old { new.clone() } else { id.clone() }),
        attributes: before.attributes.0.clone(),
        groups: before.groups.0.iter().map(|group| group.id).collect(),
    };
    change.replace_person(&before, &fields).await?;
    change.commit().await?;
    Ok(Json(Updated { updated: true }))
}

/// Delete a subject with everything that is known of them (as CompreFace does)
#[utoipa::path(delete, path = "/recognition/subjects/{subject}", tag = "compreface",
    security(("key" = []), ("token" = [])),
    params(("subject" = String, Path, description = "The subject", min_length = 1, max_length = 100)),
    responses((status = 200, body = Subject), Failures))]
async fn delete(
    client: Client,
    State(api): State<Arc<Api>>,
    subject: Result<PathOf<String>, Problem>,
) -> Reply<Json<Subject>> {
    client.need_people(&[Right::PeopleWrite])?;
    let PathOf(subject) = subject?;
    let person = known(&api, &subject).await?;
    let mut change = api.store.change(client.0.actor()).await?;
    let locked = change.lock_person(&client.0.scope, person).await?.ok_or_else(no_subject)?;
    change.erase_person(&locked).await?;
    change.commit().await?;
    Ok(Json(Subject { subject }))
}

/// Delete all subjects: refused
///
/// A subject is a person with their attendance. Nothing erases everybody at once.
#[utoipa::path(delete, path = "/recognition/subjects", tag = "compreface", security(("key" = []), ("token" = [])),
    responses(Failures))]
async fn delete_all(client: Client) -> Reply<Json<Deleted>> {
    client.need_people(&[Right::PeopleWrite])?;
    Err(Failure::new(
        StatusCode::CONFLICT,
        code::OTHER,
        "subjects are people with their attendance: delete them one by one",
    ))
}

/// List saved faces (as CompreFace does)
#[utoipa::path(get, path = "/recognition/faces", tag = "compreface", security(("key" = []), ("token" = [])),
    params(PageParams), responses((status = 200, body = SavedFaces), Failures))]
async fn list_faces(
    client: Client,
    State(api): State<Arc<Api>>,
    params: Result<Params<PageParams>, Problem>,
) -> Reply<Json<SavedFaces>> {
    client.need_people(&[Right::PeopleRead])?;
    let Params(params) = params?;
    let (page, size) = (params.page.unwrap_or(0), params.size.unwrap_or(20));
    if !(1..=MAX_PAGE).contains(&size) || page > 1_000_000 {
        return Err(Failure::bad(code::INVALID, format!("size: must be 1 to {MAX_PAGE}; page: at most 1000000")));
    }
    let person = match &params.subject {
        Some(subject) => Some(known(&api, subject).await?),
        None => None,
    };
    let (faces, total) = api.store.subject_faces(person, i64::from(page) * i64::from(size), i64::from(size)).await?;
    Ok(Json(SavedFaces {
        faces: faces.into_iter().map(|face| SavedFace { image_id: face.id, subject: face.subject }).collect(),
        page_number: page,
        page_size: size,
        total_pages: (total + i64::from(size) - 1) / i64::from(size),
        total_elements: total,
    }))
}

/// Save a face of a subject (as CompreFace does)
///
/// The picture is held to the limits of any enrolment, and not kept. A subject that is not there is added.
#[utoipa::path(post, path = "/recognition/faces", tag = "compreface", security(("key" = []), ("token" = [])),
    params(SubjectParams), request_body(content((FileForm = "multipart/form-data"), (FileForm = "application/json"))),
    responses((status = 201, body = SavedFace), Failures))]
async fn add_face(
    client: Client,
    State(api): State<Arc<Api>>,
    params: Result<Params<SubjectParams>, Problem>,
    request: Request,
) -> Reply<(StatusCode, Json<SavedFace>)> {
    client.need_people(&[Right::PeopleWrite])?;
    let Params(params) = params?;
    let missing = || Failure::bad(code::MISSING, "Required parameter 'subject' is not present");
    let subject = params.subject.ok_or_else(missing)?;
    let known = api.store.subject(valid(&subject)?).await?;
    if known.is_none() {
        NoConsent::check(None, api.privacy.consent_required)?;
    }
    let (picture, _held) = picture(&api, request).await?;
    // Until it is stored: two subjects with one face must not pass at the same time.
    let _turn = api.faces.turn().await;
    let model = api.faces.model();
    let own = match known {
        Some(person) => api.store.faces_of(person, &model).await?,
        None => Vec::new(),
    };
    let ask = EnrolAsk {
        // Nobody yet: then everybody is somebody else.
        person: known.unwrap_or(PersonId(Uuid::nil())),
        own: own.into_iter().map(|(face, _)| face).collect(),
        at_least: api.store.gallery_version().await?,
        pictures: vec![picture],
    };
    let outcome = api.faces.enrol(ask).await?.pop().ok_or_else(|| Failure::from(Problem::internal("no outcome")))?;
    let Some(template) = &outcome.template else {
        let detail = outcome.report.detail.unwrap_or_default();
        return Err(Failure::refused(outcome.report.code.unwrap_or_default(), detail));
    };
    let image_id = store(&client, &api, known, &subject, &outcome, template).await?;
    Ok((StatusCode::CREATED, Json(SavedFace { image_id, subject })))
}

/// The template of that picture, new or as it is there; with its subject, or neither.
async fn store(
    client: &Client,
    api: &Api,
    known: Option<PersonId>,
    subject: &str,
    outcome: &PictureOutcome,
    template: &faces::NewTemplate,
) -> Reply<Uuid> {
    let licence = licence(api)?;
    let mut change = api.store.change(client.0.actor()).await?;
    let locked = match known {
        Some(person) => change.lock_person(&client.0.scope, person).await?.ok_or_else(no_subject)?,
        None => make(&mut change, subject).await?,
    };
    NoConsent::check(Some(&locked), api.privacy.consent_required)?;
    let person = PersonId(locked.id);
    let known = change.template_of(person, &api.faces.model(), &outcome.sha256).await?;
    if let Some(id) = known {
        return Ok(id);
    }
    let most = u64::from(api.privacy.templates_per_person);
    if change.template_count(person).await? >= most {
        return Err(Failure::bad(
            code::INVALID,
            format!("the subject has {most} faces, which is enough: delete some first"),
        ));
    }
    let report = serde_json::to_value(&outcome.report.gates).map_err(Problem::internal)?;
    let new = NewTemplate {
        person,
        embedding: &template.embedding,
        model_licence: &licence,
        quality: template.quality,
        source_sha256: outcome.sha256,
    };
    let made = change.add_templates(person, &[(new, TemplateOrigin { source: "picture", report })]).await?;
    change.commit().await?;
    let made = made.first().map(|row| row.id);
    made.ok_or_else(|| Failure::from(Problem::conflict("the same picture came twice at once; send it again")))
}

/// Delete the faces of a subject (as CompreFace does)
#[utoipa::path(delete, path = "/recognition/faces", tag = "compreface", security(("key" = []), ("token" = [])),
    params(SubjectParams), responses((status = 200, body = Deleted), Failures))]
async fn delete_faces(
    client: Client,
    State(api): State<Arc<Api>>,
    params: Result<Params<SubjectParams>, Problem>,
) -> Reply<Json<Deleted>> {
    client.need_people(&[Right::PeopleWrite])?;
    let Params(params) = params?;
    let everybody =
        || Failure::new(StatusCode::CONFLICT, code::OTHER, "name a subject: nothing deletes everybody's faces");
    let person = known(&api, &params.subject.ok_or_else(everybody)?).await?;
    let mut change = api.store.change(client.0.actor()).await?;
    change.lock_person(&client.0.scope, person).await?.ok_or_else(no_subject)?;
    let deleted = change.remove_templates(person, None).await?;
    change.commit().await?;
    Ok(Json(Deleted { deleted }))
}

/// Delete a saved face (as CompreFace does)
#[utoipa::path(delete, path = "/recognition/faces/{image_id}", tag = "compreface", security(("key" = []), ("token" = [])),
    params(("image_id" = Uuid, Path, description = "The saved face")),
    responses((status = 200, body = SavedFace), Failures))]
async fn delete_face(
    client: Client,
    State(api): State<Arc<Api>>,
    id: Result<PathOf<Uuid>, Problem>,
) -> Reply<Json<SavedFace>> {
    client.need_people(&[Right::PeopleWrite])?;
    let PathOf(id) = id?;
    let gone = remove(&client, &api, id).await?;
    gone.map(Json).ok_or_else(|| Failure::not_found(code::NO_IMAGE, "Image not found"))
}

/// Delete several saved faces (as CompreFace does)
///
/// Those that are not there are passed over.
#[utoipa::path(post, path = "/recognition/faces/delete", tag = "compreface", security(("key" = []), ("token" = [])),
    request_body = Vec<Uuid>, responses((status = 200, body = [SavedFace]), Failures))]
async fn delete_some(
    client: Client,
    State(api): State<Arc<Api>>,
    body: Result<ListBody<Uuid>, Problem>,
) -> Reply<Json<Vec<SavedFace>>> {
    client.need_people(&[Right::PeopleWrite])?;
    let ListBody(ids) = body?;
    if ids.len() > MAX_PAGE as usize {
        return Err(Failure::bad(code::INVALID, format!("at most {MAX_PAGE} at once")));
    }
    let mut gone = Vec::new();
    for id in ids {
        gone.extend(remove(&client, &api, id).await?);
    }
    Ok(Json(gone))
}

async fn remove(client: &Client, api: &Api, id: Uuid) -> Reply<Option<SavedFace>> {
    let Some((face, _)) = api.store.subject_face(id, &api.faces.model()).await? else { return Ok(None) };
    let mut change = api.store.change(client.0.actor()).await?;
    change.lock_person(&client.0.scope, face.person).await?.ok_or_else(no_subject)?;
    let gone = change.remove_templates(face.person, Some(id)).await?;
    change.commit().await?;
    Ok((gone > 0).then_some(SavedFace { image_id: id, subject: face.subject }))
}
