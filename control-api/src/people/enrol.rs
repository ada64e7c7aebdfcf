//! `POST /api/v1/people/{id}/templates`: the faces of somebody, from pictures, from a camera, or from the review queue. A
//! template is made, and never shown: neither the picture is kept nor are the numbers told.

use std::collections::HashSet;
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use rollcall_pipeline::{CameraId, EventId, PersonId};
use rollcall_store::{NewTemplate, NoConsent, PersonDetail, TemplateOrigin};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use super::{no_person, visible};
use crate::caller::Caller;
use crate::cameras::file_camera;
use crate::extract::{Body, PathOf};
use crate::json::Json;
use crate::ports::faces::{DecideAsk, EnrolAsk, LiveShot, MAX_PICTURE_BYTES, NotTheirs, PictureOutcome, PictureReport};
use crate::problem::{Answer, CONTENT_TYPE, Problem, Problems};
use crate::rights::Right;
use crate::state::Api;
use crate::upload::{self, Upload, UploadLimits};

/// Pictures of one request, at most.
const MAX_PICTURES: usize = 10;
/// Bytes of all of them, at most.
const MAX_BYTES: usize = 64 << 20;
/// Bytes of a body that has them.
pub(crate) const MAX_BODY: usize = UploadLimits::body(MAX_BYTES);
/// Views taken from a camera at once.
const FROM_CAMERA: usize = 3;
const LIMITS: UploadLimits = UploadLimits::new(&["pictures"], MAX_PICTURES, MAX_PICTURE_BYTES);

/// What became of a picture or a view.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum PictureState {
    /// It made a template.
    Accepted,
    /// It had made one before.
    Known,
    /// It will not do.
    Refused,
}

/// A picture and what became of it.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub(crate) struct EnrolledPicture {
    /// What became of it.
    pub state: PictureState,
    /// The template that it made.
    pub template_id: Option<Uuid>,
    /// Whose face it looks like instead, where the caller may see them.
    pub looks_like_person_id: Option<Uuid>,
    /// What was measured. `code` may also be `looks_like_another`, `another_person` or `too_many_templates`.
    #[serde(flatten)]
    pub report: PictureReport,
}

/// What an enrolment came to.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub(crate) struct EnrolmentView {
    /// Who.
    pub person_id: Uuid,
    /// Templates that were made.
    pub added: usize,
    /// Templates that there are now.
    pub templates: u64,
    /// The pictures, in the order in which they came.
    pub pictures: Vec<EnrolledPicture>,
}

/// A problem, and, where no picture would do, what is wrong with each.
#[derive(Serialize, ToSchema)]
struct NoneAccepted {
    #[serde(flatten)]
    problem: Problem,
    /// The pictures, in the order in which they came.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pictures: Vec<EnrolledPicture>,
}

/// Pictures of a person.
#[derive(ToSchema)]
#[allow(dead_code, reason = "describes a form")]
struct PicturesForm {
    /// JPEG, PNG or WebP, at most 20 MB each and 64 MB in all; in JSON as Base64.
    #[schema(value_type = Vec<String>, content_media_type = "image/*", min_items = 1, max_items = 10)]
    pictures: Vec<Vec<u8>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NoOptions {}

/// Which camera somebody stands before.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct FromCamera {
    /// The camera.
    #[schema(min_length = 1, max_length = 40, pattern = "^[a-z0-9_-]{1,40}$")]
    pub camera_id: String,
}

/// Which review item shows them.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct FromReview {
    /// The event of the item.
    pub event_id: Uuid,
}

/// Enrol a person with pictures
///
/// Which of them make templates is decided together. A face that is somebody else's is refused, and so is one that the other pictures do not show. The pictures are not kept.
/// 201: at least one made a template. 200: all that are any good were there already. 422: none will do, and `pictures` says
/// why.
#[utoipa::path(post, path = "/people/{id}/templates", tag = "people", security(("token" = []), ("key" = [])),
    params(("id" = Uuid, Path, description = "The person")),
    request_body(content((PicturesForm = "multipart/form-data"), (PicturesForm = "application/json"))),
    responses((status = 201, body = EnrolmentView), (status = 200, body = EnrolmentView), Problems,
        (status = 422, description = "Some fields are wrong, or no picture will do",
            content_type = "application/problem+json", body = NoneAccepted)))]
pub(super) async fn from_pictures(
    caller: Caller,
    State(api): State<Arc<Api>>,
    PathOf(id): PathOf<Uuid>,
    request: Request,
) -> Answer<Response> {
    caller.need(Right::PeopleWrite)?;
    // Before anything is refused: who is told no while they send may never hear it.
    let upload: Upload<NoOptions> = upload::read(&api, request, LIMITS).await?;
    may_be_enrolled(&api, &visible(&api, &caller, id).await?)?;
    let pictures: Vec<Vec<u8>> = upload.files.into_iter().map(|(_, bytes)| bytes).collect();
    if pictures.is_empty() {
        return Err(Problem::invalid_field("/pictures", "is missing: send at least one picture"));
    }
    if pictures.iter().map(Vec::len).sum::<usize>() > MAX_BYTES {
        return Err(crate::extract::too_large("at most 64 MB in all; send the pictures in parts"));
    }
    enrol_pictures(&api, &caller, PersonId(id), "picture", pictures).await
}

/// Enrol whoever stands before a camera now
///
/// They look into it for five seconds, alone; a face that is not alive is refused.
#[utoipa::path(post, path = "/people/{id}/templates/from-camera", tag = "people", security(("token" = []), ("key" = [])),
    params(("id" = Uuid, Path, description = "The person")), request_body = FromCamera,
    responses((status = 201, body = EnrolmentView), (status = 200, body = EnrolmentView), Problems,
        (status = 422, description = "Some fields are wrong, or no picture will do",
            content_type = "application/problem+json", body = NoneAccepted)))]
pub(super) async fn from_camera(
    caller: Caller,
    State(api): State<Arc<Api>>,
    PathOf(id): PathOf<Uuid>,
    Body(body): Body<FromCamera>,
) -> Answer<Response> {
    caller.need(Right::PeopleWrite)?;
    may_be_enrolled(&api, &visible(&api, &caller, id).await?)?;
    let camera = camera(&api, &caller, &body.camera_id).await?;
    let shots = api.faces.best_shots(camera, FROM_CAMERA).await?;
    let person = PersonId(id);
    let _turn = api.faces.turn().await;
    let own = api.store.faces_of(person, &api.faces.model()).await?;
    let known: HashSet<Vec<u8>> = own.iter().map(|(_, digest)| digest.clone()).collect();
    let ask = DecideAsk {
        person,
        own: own.into_iter().map(|(face, _)| face).collect(),
        at_least: api.store.gallery_version().await?,
        faces: shots.iter().map(|shot| shot.template.embedding.clone()).collect(),
    };
    let others = api.faces.decide(ask).await?;
    let outcomes = shots.into_iter().zip(others).map(|(shot, other)| of_shot(shot, other)).collect();
    store(&api, &caller, person, "camera", &known, outcomes).await
}

/// Enrol a person with the face of a review item
#[utoipa::path(post, path = "/people/{id}/templates/from-review", tag = "people", security(("token" = []), ("key" = [])),
    params(("id" = Uuid, Path, description = "The person")), request_body = FromReview,
    responses((status = 201, body = EnrolmentView), (status = 200, body = EnrolmentView), Problems,
        (status = 422, description = "Some fields are wrong, or no picture will do",
            content_type = "application/problem+json", body = NoneAccepted)))]
pub(super) async fn from_review(
    caller: Caller,
    State(api): State<Arc<Api>>,
    PathOf(id): PathOf<Uuid>,
    Body(body): Body<FromReview>,
) -> Answer<Response> {
    caller.need(Right::PeopleWrite)?;
    caller.need(Right::ReviewDecide)?;
    may_be_enrolled(&api, &visible(&api, &caller, id).await?)?;
    let event = EventId(body.event_id);
    let item = api.store.review(&caller.scope, event).await?;
    let item = item.ok_or_else(|| Problem::not_found("review item"))?;
    if item.kind == "spoof" {
        return Err(Problem::conflict("the face of this item was taken for a picture: nobody is enrolled with it"));
    }
    if item.person_id.is_some_and(|other| other != id) {
        return Err(Problem::conflict("this item was decided to be somebody else"));
    }
    let face = api.store.review_crop(event).await?;
    let face =
        face.ok_or_else(|| Problem::conflict("the item has no picture (any more): enrol the person with others"))?;
    enrol_pictures(&api, &caller, PersonId(id), "review", vec![face]).await
}

/// Refuses who withdrew their consent, and whose is needed and not there.
fn may_be_enrolled(api: &Api, person: &PersonDetail) -> Answer<()> {
    Ok(NoConsent::check(Some(person), api.privacy.consent_required)?)
}

/// The camera, if the caller may see it.
async fn camera(api: &Api, caller: &Caller, id: &str) -> Answer<CameraId> {
    if file_camera(api, &caller.scope, id).await?.is_none() {
        api.store.camera(&caller.scope, id).await?.ok_or_else(|| Problem::not_found("camera"))?;
    }
    Ok(CameraId::new(id))
}

async fn enrol_pictures(
    api: &Api,
    caller: &Caller,
    person: PersonId,
    source: &str,
    pictures: Vec<Vec<u8>>,
) -> Answer<Response> {
    // Until it is stored: two people with one face must not pass at the same time.
    let _turn = api.faces.turn().await;
    let own = api.store.faces_of(person, &api.faces.model()).await?;
    let known: HashSet<Vec<u8>> = own.iter().map(|(_, digest)| digest.clone()).collect();
    let ask = EnrolAsk {
        person,
        own: own.into_iter().map(|(face, _)| face).collect(),
        at_least: api.store.gallery_version().await?,
        pictures,
    };
    let outcomes = api.faces.enrol(ask).await?;
    store(api, caller, person, source, &known, outcomes).await
}

/// A view before a camera, as the outcome of a picture.
fn of_shot(shot: LiveShot, whose: Result<(), NotTheirs>) -> PictureOutcome {
    let refused = whose.err();
    let (code, detail) = refused.map(|no| (no.code(), no.detail().to_owned())).unzip();
    let other = match refused {
        Some(NotTheirs::LooksLike(other)) => Some(other),
        _ => None,
    };
    PictureOutcome {
        report: PictureReport {
            sha256: shot.sha256.iter().map(|byte| format!("{byte:02x}")).collect(),
            accepted: refused.is_none(),
            code,
            detail,
            bbox: Some(shot.bbox),
            gates: shot.gates,
        },
        sha256: shot.sha256,
        template: refused.is_none().then_some(shot.template),
        looks_like: other,
    }
}

/// Stores what is accepted. The caller holds the turn.
async fn store(
    api: &Api,
    caller: &Caller,
    person: PersonId,
    source: &str,
    known: &HashSet<Vec<u8>>,
    outcomes: Vec<PictureOutcome>,
) -> Answer<Response> {
    let licence = licence(api)?;
    let alike = known_alike(api, caller, &outcomes).await?;
    let mut change = api.store.change(caller.actor()).await?;
    let locked = change.lock_person(&caller.scope, person).await?.ok_or_else(no_person)?;
    may_be_enrolled(api, &locked)?;
    let before = change.template_count(person).await?;
    let mut room = u64::from(api.privacy.templates_per_person).saturating_sub(before);
    let mut seen = known.clone();
    let mut pictures = Vec::with_capacity(outcomes.len());
    let mut accepted = Vec::new();
    for outcome in &outcomes {
        let mut told = EnrolledPicture {
            state: PictureState::Refused,
            template_id: None,
            looks_like_person_id: None,
            report: outcome.report.clone(),
        };
        match (&outcome.template, outcome.looks_like) {
            (Some(_), _) if !seen.insert(outcome.sha256.to_vec()) => told.state = PictureState::Known,
            (Some(_), _) if room == 0 => {
                let most = api.privacy.templates_per_person;
                told.report.accepted = false;
                told.report.code = Some("too_many_templates");
                told.report.detail = Some(format!("they have {most} templates, which is enough: erase some first"));
            }
            (Some(template), _) => {
                room -= 1;
                told.state = PictureState::Accepted;
                let new = NewTemplate {
                    person,
                    embedding: &template.embedding,
                    model_licence: &licence,
                    quality: template.quality,
                    source_sha256: outcome.sha256,
                };
                let report = serde_json::to_value(&outcome.report.gates).map_err(Problem::internal)?;
                accepted.push((new, TemplateOrigin { source, report }));
            }
            (None, other) => {
                told.looks_like_person_id = other.map(|other| other.0).filter(|other| alike.contains(other));
            }
        }
        pictures.push(told);
    }
    let made = change.add_templates(person, &accepted).await?;
    change.commit().await?;
    for told in pictures.iter_mut().filter(|told| told.state == PictureState::Accepted) {
        told.template_id = made.iter().find(|row| row.source_sha256 == told.report.sha256).map(|row| row.id);
    }
    Ok(told(person, before, made.len(), pictures))
}

/// 201 with the place of what was made; 200 where that was there already; 422 where no picture will do.
fn told(person: PersonId, before: u64, added: usize, pictures: Vec<EnrolledPicture>) -> Response {
    if pictures.iter().all(|told| told.state == PictureState::Refused) {
        return none_accepted(pictures);
    }
    let view = EnrolmentView { person_id: person.0, added, templates: before + added as u64, pictures };
    if added == 0 {
        return Json(view).into_response();
    }
    let place = [(header::LOCATION, format!("/api/v1/people/{}/templates", person.0))];
    (StatusCode::CREATED, place, Json(view)).into_response()
}

/// Of those whom faces look like: whom the caller may know of.
async fn known_alike(api: &Api, caller: &Caller, outcomes: &[PictureOutcome]) -> Answer<HashSet<Uuid>> {
    if !caller.may(Right::PeopleRead) {
        return Ok(HashSet::new());
    }
    let alike: Vec<Uuid> = outcomes.iter().filter_map(|outcome| Some(outcome.looks_like?.0)).collect();
    Ok(api.store.people_among(&caller.scope, &alike).await?)
}

fn none_accepted(pictures: Vec<EnrolledPicture>) -> Response {
    let detail = match pictures.as_slice() {
        [one] => one.report.detail.clone().unwrap_or_else(|| "the picture will not do".to_owned()),
        _ => "none of the pictures will do; `pictures` says what is wrong with each".to_owned(),
    };
    let code = match pictures.as_slice() {
        [one] => one.report.code.unwrap_or("pictures-refused"),
        _ => "pictures-refused",
    };
    let status = StatusCode::UNPROCESSABLE_ENTITY;
    let problem = Problem::new(status, code, "No picture will do", detail);
    (status, [(header::CONTENT_TYPE, CONTENT_TYPE)], Json(NoneAccepted { problem, pictures })).into_response()
}

/// The licence of the model that makes templates.
pub(crate) fn licence(api: &Api) -> Answer<String> {
    let model = api.faces.model();
    let models = api.daemon.version().models;
    let used = models.into_iter().find(|used| used.id == model.as_str());
    used.map(|used| used.licence).ok_or_else(|| Problem::internal("the licence of the model is not known"))
}
