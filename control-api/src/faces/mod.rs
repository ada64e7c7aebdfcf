//! `/api/v1/faces`: faces in pictures that the caller sends. Nothing of them is kept.
//!
//! For systems with a roster of their own: they encode their people once, keep the embeddings, and have pictures matched
//! against them.

mod search;

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{DefaultBodyLimit, Request, State};
use rollcall_pipeline::Embedding;
use serde::{Deserialize, Serialize};
use tokio::time::Instant;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use uuid::Uuid;

use crate::caller::Caller;
use crate::json::Json;
use crate::ports::faces::{
    Certainty, FaceView, FacesTrouble, Likeness, MAX_FACES, MAX_PICTURE_BYTES, MAX_PICTURES, PictureReport,
};
use crate::problem::{Answer, FieldError, Problem, Problems};
use crate::rights::Right;
use crate::state::Api;
use crate::upload::{self, Upload, UploadLimits};

use search::{Found, Search};

const DEFAULT_FACES: u32 = 16;
/// All pictures of one request together.
const MAX_BATCH_BYTES: usize = 48 << 20;
/// Pictures of a batch are begun for so long; an answer that takes longer never arrives.
const BATCH_TIME: Duration = Duration::from_secs(20);

const OPTIONS: &[&str] = &["candidates", "max_faces", "max_matches"];
const ONE: UploadLimits = UploadLimits::new(&["image"], 1, MAX_PICTURE_BYTES).with_json(OPTIONS);
const TWO: UploadLimits = UploadLimits::new(&["source", "target"], 2, MAX_PICTURE_BYTES);
const SEVERAL: UploadLimits = UploadLimits::new(&["images"], MAX_PICTURES, MAX_PICTURE_BYTES).with_json(OPTIONS);

/// A picture.
#[derive(Debug, ToSchema)]
#[expect(dead_code, reason = "describes what upload reads")]
struct PictureForm {
    /// JPEG, PNG, WebP, GIF or BMP of at most 20 MB and 40 megapixels; in JSON in Base64.
    #[schema(value_type = String, format = Binary)]
    image: Vec<u8>,
    /// Most faces of the answer.
    #[schema(minimum = 1, maximum = 64, default = 16)]
    max_faces: Option<u32>,
}

/// A picture, and nothing else.
#[derive(Debug, ToSchema)]
#[expect(dead_code, reason = "describes what upload reads")]
struct PlainPictureForm {
    /// JPEG, PNG, WebP, GIF or BMP of at most 20 MB and 40 megapixels; in JSON in Base64.
    #[schema(value_type = String, format = Binary)]
    image: Vec<u8>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct PictureOptions {
    max_faces: Option<u32>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct NoOptions {}

/// A picture and whom it may show.
#[derive(Debug, ToSchema)]
#[expect(dead_code, reason = "describes what upload reads")]
struct MatchForm {
    /// JPEG, PNG, WebP, GIF or BMP of at most 20 MB; in JSON in Base64.
    #[schema(value_type = String, format = Binary)]
    image: Vec<u8>,
    /// The caller's own list, in a form as JSON; without it, everybody who is enrolled here, which needs `people:read`.
    #[schema(max_items = 10000)]
    candidates: Option<Vec<Labelled>>,
    /// Most faces of the answer.
    #[schema(minimum = 1, maximum = 64, default = 16)]
    max_faces: Option<u32>,
    /// Most matches of a face.
    #[schema(minimum = 1, maximum = 50, default = 3)]
    max_matches: Option<u32>,
}

/// Pictures and whom they may show.
#[derive(Debug, ToSchema)]
#[expect(dead_code, reason = "describes what upload reads")]
struct BatchForm {
    /// 1 to 32 pictures, together at most 48 MB; in JSON in Base64.
    #[schema(value_type = Vec<String>, min_items = 1, max_items = 32)]
    images: Vec<Vec<u8>>,
    /// As for one picture.
    #[schema(max_items = 10000)]
    candidates: Option<Vec<Labelled>>,
    /// Most faces of a picture.
    #[schema(minimum = 1, maximum = 64, default = 16)]
    max_faces: Option<u32>,
    /// Most matches of a face.
    #[schema(minimum = 1, maximum = 50, default = 3)]
    max_matches: Option<u32>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct MatchOptions {
    candidates: Option<Vec<Labelled>>,
    max_faces: Option<u32>,
    max_matches: Option<u32>,
}

/// Two pictures.
#[derive(Debug, ToSchema)]
#[expect(dead_code, reason = "describes what upload reads")]
struct VerifyForm {
    /// A picture of one person; the best view counts. In JSON in Base64.
    #[schema(value_type = String, format = Binary)]
    source: Vec<u8>,
    /// Another one.
    #[schema(value_type = String, format = Binary)]
    target: Vec<u8>,
}

/// A face as a vector. It is biometric data.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct EmbeddingView {
    /// The model that made it: only embeddings of one model can be compared.
    #[schema(max_length = 100)]
    pub(crate) model: String,
    /// The vector.
    #[schema(min_items = 1, max_items = 2048)]
    pub(crate) values: Vec<f32>,
}

/// Somebody of the caller's own list.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Labelled {
    /// What the caller calls them; the same label may come several times.
    #[schema(min_length = 1, max_length = 200)]
    label: String,
    /// Their face, as `/faces/encode` told it.
    embedding: EmbeddingView,
}

/// The faces of a picture.
#[derive(Debug, Serialize, ToSchema)]
struct FacesView {
    /// Best view first.
    faces: Vec<FaceView>,
}

/// A face with its embedding.
#[derive(Debug, Serialize, ToSchema)]
struct EncodedFace {
    #[serde(flatten)]
    face: FaceView,
    /// The face as a vector.
    embedding: EmbeddingView,
}

/// The faces of a picture with their embeddings.
#[derive(Debug, Serialize, ToSchema)]
struct EncodedView {
    /// Best view first.
    faces: Vec<EncodedFace>,
}

/// Somebody a face is like.
#[derive(Debug, Serialize, ToSchema)]
struct MatchView {
    /// Of the caller's own list.
    label: Option<String>,
    /// Of those who are enrolled here.
    person_id: Option<Uuid>,
    /// Their name.
    name: Option<String>,
    #[serde(flatten)]
    likeness: Likeness,
}

/// A face and whom it is like.
#[derive(Debug, Serialize, ToSchema)]
struct MatchedFace {
    #[serde(flatten)]
    face: FaceView,
    /// What may be said about the first match.
    certainty: Certainty,
    /// Best first, each person once.
    matches: Vec<MatchView>,
}

/// The faces of a picture and whom they are like.
#[derive(Debug, Serialize, ToSchema)]
struct MatchedView {
    /// Best view first.
    faces: Vec<MatchedFace>,
}

/// What became of a picture of a batch.
#[derive(Debug, Serialize, ToSchema)]
struct BatchItem {
    /// Its place among the pictures, from 0.
    index: usize,
    /// Its faces, best view first; null where it could not be looked at.
    faces: Option<Vec<MatchedFace>>,
    /// Why not, as a word; `busy`: ask again.
    code: Option<&'static str>,
    /// Why not, and what to do.
    detail: Option<String>,
}

/// What became of each picture, in their order.
#[derive(Debug, Serialize, ToSchema)]
struct BatchView {
    /// One a picture.
    pictures: Vec<BatchItem>,
}

/// Whether two pictures show one person.
#[derive(Debug, Serialize, ToSchema)]
struct VerifiedView {
    /// What may be said.
    certainty: Certainty,
    #[serde(flatten)]
    likeness: Likeness,
    /// The face of the first picture.
    source: FaceView,
    /// The face of the second.
    target: FaceView,
}

pub(crate) fn router() -> OpenApiRouter<Arc<Api>> {
    let body = |bytes| DefaultBodyLimit::max(UploadLimits::body(bytes));
    let one = OpenApiRouter::new().routes(routes!(detect)).routes(routes!(encode)).routes(routes!(examine));
    let more = OpenApiRouter::new().routes(routes!(match_one)).routes(routes!(verify));
    let batch = OpenApiRouter::new().routes(routes!(match_batch));
    // A list of ten thousand is larger than a picture.
    one.layer(body(MAX_PICTURE_BYTES))
        .merge(more.layer(body(2 * MAX_PICTURE_BYTES)))
        .merge(batch.layer(body(MAX_BATCH_BYTES)))
}

fn bounded(name: &str, value: Option<u32>, default: u32, most: u32, wrong: &mut Vec<FieldError>) -> usize {
    let value = value.unwrap_or(default);
    if !(1..=most).contains(&value) {
        wrong.push(FieldError::body(&format!("/{name}"), format!("must be 1 to {most}")));
    }
    value as usize
}

fn faces_of(max_faces: Option<u32>) -> Answer<usize> {
    let mut wrong = Vec::new();
    let most = bounded("max_faces", max_faces, DEFAULT_FACES, MAX_FACES as u32, &mut wrong);
    if wrong.is_empty() { Ok(most) } else { Err(Problem::invalid(wrong)) }
}

/// Find the faces of a picture
///
/// With the quality of each view, and whether it is alive as far as one picture tells.
#[utoipa::path(post, path = "/faces/detect", tag = "faces", security(("token" = []), ("key" = [])),
    request_body(content((PictureForm = "multipart/form-data"), (PictureForm = "application/json"))),
    responses((status = 200, body = FacesView), Problems))]
async fn detect(caller: Caller, State(api): State<Arc<Api>>, request: Request) -> Answer<Json<FacesView>> {
    caller.need(Right::FacesUse)?;
    let mut upload: Upload<PictureOptions> = upload::read(&api, request, ONE).await?;
    let most = faces_of(upload.options.max_faces)?;
    let faces = api.faces.detect(upload.one("image")?, most).await?;
    Ok(Json(FacesView { faces }))
}

/// Make embeddings of the faces of a picture
///
/// For callers who keep a list of their own people. Needs the right `faces:embed` beside `faces:use`.
#[utoipa::path(post, path = "/faces/encode", tag = "faces", security(("token" = []), ("key" = [])),
    request_body(content((PictureForm = "multipart/form-data"), (PictureForm = "application/json"))),
    responses((status = 200, body = EncodedView), Problems))]
async fn encode(caller: Caller, State(api): State<Arc<Api>>, request: Request) -> Answer<Json<EncodedView>> {
    caller.need(Right::FacesUse)?;
    caller.need(Right::FacesEmbed)?;
    let mut upload: Upload<PictureOptions> = upload::read(&api, request, ONE).await?;
    let most = faces_of(upload.options.max_faces)?;
    let faces = api.faces.encode(upload.one("image")?, most).await?;
    let told = |(face, embedding): (FaceView, Embedding)| EncodedFace {
        face,
        embedding: EmbeddingView { model: embedding.model().to_string(), values: embedding.values().to_vec() },
    };
    Ok(Json(EncodedView { faces: faces.into_iter().map(told).collect() }))
}

/// Try whether somebody could be enrolled with a picture
///
/// Every limit with what was measured. Stores nothing.
#[utoipa::path(post, path = "/faces/examine", tag = "faces", security(("token" = []), ("key" = [])),
    request_body(content((PlainPictureForm = "multipart/form-data"), (PlainPictureForm = "application/json"))),
    responses((status = 200, body = PictureReport), Problems))]
async fn examine(caller: Caller, State(api): State<Arc<Api>>, request: Request) -> Answer<Json<PictureReport>> {
    caller.need(Right::FacesUse)?;
    let mut upload: Upload<NoOptions> = upload::read(&api, request, ONE).await?;
    Ok(Json(api.faces.examine(upload.one("image")?).await?))
}

/// Say who is in a picture
///
/// Against the caller's own list, or against everybody who is enrolled here.
#[utoipa::path(post, path = "/faces/match", tag = "faces", security(("token" = []), ("key" = [])),
    request_body(content((MatchForm = "multipart/form-data"), (MatchForm = "application/json"))),
    responses((status = 200, body = MatchedView), Problems))]
async fn match_one(caller: Caller, State(api): State<Arc<Api>>, request: Request) -> Answer<Json<MatchedView>> {
    caller.need(Right::FacesUse)?;
    let mut upload: Upload<MatchOptions> = upload::read(&api, request, ONE).await?;
    let picture = upload.one("image")?;
    let search = Arc::new(Search::new(&caller, upload.options)?);
    let faces = search.look(&api, picture).await?;
    let names = search.names(&api, &faces).await?;
    Ok(Json(MatchedView { faces: faces.into_iter().map(|face| face.told(&names)).collect() }))
}

/// Say who is in each of several pictures
#[utoipa::path(post, path = "/faces/match-batch", tag = "faces", security(("token" = []), ("key" = [])),
    request_body(content((BatchForm = "multipart/form-data"), (BatchForm = "application/json"))),
    responses((status = 200, body = BatchView), Problems))]
async fn match_batch(caller: Caller, State(api): State<Arc<Api>>, request: Request) -> Answer<Json<BatchView>> {
    caller.need(Right::FacesUse)?;
    let upload: Upload<MatchOptions> = upload::read(&api, request, SEVERAL).await?;
    if upload.files.is_empty() {
        return Err(Problem::invalid_field("/images", "is missing: send 1 to 32 pictures"));
    }
    let search = Arc::new(Search::new(&caller, upload.options)?);
    let begun = Instant::now();
    let mut looked: Vec<Result<Vec<Found>, FacesTrouble>> = Vec::new();
    for (_, picture) in upload.files {
        let found = if begun.elapsed() < BATCH_TIME {
            search.look(&api, picture).await
        } else {
            let detail = "there was no time for it; ask for it again".to_owned();
            Err(FacesTrouble::Busy { detail, retry_after: Duration::from_secs(1) })
        };
        match found {
            // Nothing is done yet: the caller may as well ask for all of it again.
            Err(busy @ FacesTrouble::Busy { .. }) if looked.is_empty() => return Err(busy.into()),
            Err(FacesTrouble::Failed(cause)) => return Err(Problem::internal(cause)),
            found => looked.push(found),
        }
    }
    let names = search.names(&api, looked.iter().flatten().flatten()).await?;
    let told = |(index, found): (usize, Result<Vec<Found>, FacesTrouble>)| match found {
        Ok(faces) => {
            let faces = faces.into_iter().map(|face| face.told(&names)).collect();
            BatchItem { index, faces: Some(faces), code: None, detail: None }
        }
        Err(FacesTrouble::Refused { code, detail }) => {
            BatchItem { index, faces: None, code: Some(code), detail: Some(detail) }
        }
        Err(FacesTrouble::Busy { detail, .. } | FacesTrouble::Failed(detail)) => {
            BatchItem { index, faces: None, code: Some("busy"), detail: Some(detail) }
        }
    };
    Ok(Json(BatchView { pictures: looked.into_iter().enumerate().map(told).collect() }))
}

/// Say whether two pictures show one person
#[utoipa::path(post, path = "/faces/verify", tag = "faces", security(("token" = []), ("key" = [])),
    request_body(content((VerifyForm = "multipart/form-data"), (VerifyForm = "application/json"))),
    responses((status = 200, body = VerifiedView), Problems))]
async fn verify(caller: Caller, State(api): State<Arc<Api>>, request: Request) -> Answer<Json<VerifiedView>> {
    caller.need(Right::FacesUse)?;
    let mut upload: Upload<NoOptions> = upload::read(&api, request, TWO).await?;
    let (source, target) = (upload.one("source")?, upload.one("target")?);
    let (source, a) = best_face(&api, source, "source").await?;
    let (target, b) = best_face(&api, target, "target").await?;
    let (certainty, likeness) = api.faces.verify(&a, &b)?;
    Ok(Json(VerifiedView { certainty, likeness, source, target }))
}

/// The best view of a picture.
async fn best_face(api: &Api, picture: Vec<u8>, field: &str) -> Answer<(FaceView, Embedding)> {
    let mut found = api.faces.encode(picture, 1).await?;
    found.pop().ok_or_else(|| Problem::invalid_field(&format!("/{field}"), "there is no face in the picture"))
}
