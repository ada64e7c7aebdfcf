//! Looking into pictures: recognize, detect, verify.

use std::sync::Arc;

use axum::extract::{DefaultBodyLimit, Request, State};
use rollcall_pipeline::Embedding;
use serde::{Deserialize, Serialize};
use tokio::task::spawn_blocking;
use tokio::time::Instant;
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use uuid::Uuid;

use super::failure::{Client, Failure, Failures, Reply, code};
use crate::extract::{Params, PathOf};
use crate::json::Json;
use crate::ports::faces::{FaceView, FacesTrouble, Likeness, MAX_FACES, MAX_PICTURE_BYTES};
use crate::problem::Problem;
use crate::rights::Right;
use crate::state::Api;
use crate::upload::{self, Held, Upload, UploadLimits};

/// Predictions of a face, at most.
const MAX_PREDICTIONS: u32 = 50;
pub(super) const FILE: UploadLimits = UploadLimits::new(&["file"], 1, MAX_PICTURE_BYTES);
const PAIR: UploadLimits = UploadLimits::new(&["source_image", "target_image"], 2, MAX_PICTURE_BYTES);

/// A picture.
#[derive(Debug, ToSchema)]
#[expect(dead_code, reason = "describes what upload reads")]
pub(super) struct FileForm {
    /// JPEG, PNG, WebP, GIF or BMP of at most 20 MB; in JSON in Base64.
    #[schema(value_type = String, format = Binary)]
    file: Vec<u8>,
}

/// Two pictures.
#[derive(Debug, ToSchema)]
#[expect(dead_code, reason = "describes what upload reads")]
struct PairForm {
    /// The face to be verified: one face.
    #[schema(value_type = String, format = Binary)]
    source_image: Vec<u8>,
    /// The picture in which it is looked for.
    #[schema(value_type = String, format = Binary)]
    target_image: Vec<u8>,
}

/// What else is sent is not read.
#[derive(Debug, Deserialize)]
pub(super) struct Anything {}

/// What is wanted. Numbers and truth values are read as clients write them.
#[derive(Clone, Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct LookParams {
    /// Most faces, the largest first; 0: all.
    #[param(value_type = Option<u32>, minimum = 0)]
    limit: Option<String>,
    /// Least score of a face, 0 to 1.
    #[param(value_type = Option<f32>, minimum = 0, maximum = 1)]
    det_prob_threshold: Option<String>,
    /// Most subjects of a face.
    #[param(value_type = Option<u32>, minimum = 1, maximum = 50, default = 1)]
    prediction_count: Option<String>,
    /// `landmarks` and `calculator` (the embedding; needs the right `faces:embed`), separated by commas. Others are ignored.
    #[param(max_length = 200)]
    face_plugins: Option<String>,
    /// Whether times and models are told.
    #[param(value_type = Option<bool>)]
    status: Option<String>,
}

/// The same, read.
pub(super) struct Look {
    limit: usize,
    least: f32,
    predictions: usize,
    landmarks: bool,
    embedding: bool,
    status: bool,
}

impl Look {
    pub(super) fn read(client: &Client, params: LookParams) -> Reply<Self> {
        let wrong = |name: &str, what: &str| Failure::bad(code::INVALID, format!("{name}: must be {what}"));
        let number = |name: &str, text: Option<String>, default: u32, range: std::ops::RangeInclusive<u32>| match text {
            None => Ok(default),
            Some(text) => {
                let read = text.parse().ok().filter(|n| range.contains(n));
                read.ok_or_else(|| wrong(name, &format!("{} to {}", range.start(), range.end())))
            }
        };
        let least = match params.det_prob_threshold {
            None => 0.0,
            Some(text) => {
                let read = text.parse::<f32>().ok().filter(|least| (0.0..=1.0).contains(least));
                read.ok_or_else(|| wrong("det_prob_threshold", "0.0 to 1.0"))?
            }
        };
        let status = match params.status.as_deref().map(str::to_ascii_lowercase).as_deref() {
            None | Some("false" | "0" | "") => false,
            Some("true" | "1") => true,
            Some(_) => return Err(wrong("status", "true or false")),
        };
        let plugins = params.face_plugins.unwrap_or_default();
        let has = |plugin: &str| plugins.split(',').any(|p| p.trim() == plugin);
        if has("calculator") {
            client.need(&[Right::FacesEmbed])?;
        }
        Ok(Self {
            limit: match number("limit", params.limit, 0, 0..=u32::MAX)? {
                0 => MAX_FACES,
                limit => limit as usize,
            },
            least,
            predictions: number("prediction_count", params.prediction_count, 1, 1..=MAX_PREDICTIONS)? as usize,
            landmarks: has("landmarks"),
            embedding: has("calculator"),
            status,
        })
    }

    /// The faces of a picture that are wanted, the largest first.
    async fn faces(&self, api: &Api, picture: Vec<u8>) -> Reply<Looked> {
        let begun = Instant::now();
        let mut faces = api.faces.encode(picture, MAX_FACES).await?;
        faces.retain(|(face, _)| face.score >= self.least);
        faces.sort_by(|(a, _), (b, _)| (b.bbox.w * b.bbox.h).total_cmp(&(a.bbox.w * a.bbox.h)));
        faces.truncate(self.limit);
        if faces.is_empty() {
            return Err(Failure::no_face());
        }
        Ok(Looked { faces, took_ms: begun.elapsed().as_secs_f64() * 1000.0 })
    }

    fn face(&self, face: &FaceView, embedding: &Embedding, took_ms: f64) -> SeenFace {
        let round = |v: f32| v.round() as i32;
        let b = face.bbox;
        SeenFace {
            r#box: SeenBox {
                probability: face.score,
                x_max: round(b.x + b.w),
                y_max: round(b.y + b.h),
                x_min: round(b.x),
                y_min: round(b.y),
            },
            landmarks: self.landmarks.then(|| face.landmarks.iter().map(|[x, y]| [round(*x), round(*y)]).collect()),
            embedding: self.embedding.then(|| embedding.values().to_vec()),
            subjects: None,
            similarity: None,
            subject: None,
            execution_time: self.status.then_some(Took { detector: took_ms }),
        }
    }

    fn versions(&self, api: &Api) -> Option<Versions> {
        self.status.then(|| Versions { detector: "rollcall".to_owned(), calculator: api.faces.model().to_string() })
    }
}

struct Looked {
    faces: Vec<(FaceView, Embedding)>,
    took_ms: f64,
}

/// A box in pixels.
#[derive(Debug, Serialize, ToSchema)]
struct SeenBox {
    /// Score of the face, 0 to 1.
    probability: f32,
    /// Right edge.
    x_max: i32,
    /// Lower edge.
    y_max: i32,
    /// Left edge.
    x_min: i32,
    /// Upper edge.
    y_min: i32,
}

/// Somebody a face is like.
#[derive(Debug, Serialize, ToSchema)]
struct SeenSubject {
    /// Who.
    subject: String,
    /// 0 to 1: 0.5 where a human should look, 0.9 where a camera would give the name.
    similarity: f32,
}

/// Milliseconds.
#[derive(Debug, Serialize, ToSchema)]
struct Took {
    /// All of it: the models run together.
    detector: f64,
}

/// The models.
#[derive(Debug, Serialize, ToSchema)]
struct Versions {
    /// What finds faces.
    detector: String,
    /// What makes embeddings.
    calculator: String,
}

/// A face.
#[derive(Debug, Serialize, ToSchema)]
struct SeenFace {
    /// Where.
    r#box: SeenBox,
    /// Eyes, nose and corners of the mouth, where `landmarks` was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    landmarks: Option<Vec<[i32; 2]>>,
    /// Where `calculator` was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    embedding: Option<Vec<f32>>,
    /// Of a recognition: whom it is like, best first.
    #[serde(skip_serializing_if = "Option::is_none")]
    subjects: Option<Vec<SeenSubject>>,
    /// Of a comparison: how alike.
    #[serde(skip_serializing_if = "Option::is_none")]
    similarity: Option<f32>,
    /// Of a comparison with a saved face: whose that is.
    #[serde(skip_serializing_if = "Option::is_none")]
    subject: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    execution_time: Option<Took>,
}

/// The faces of a picture.
#[derive(Debug, Serialize, ToSchema)]
struct SeenFaces {
    /// The largest first.
    result: Vec<SeenFace>,
    #[serde(skip_serializing_if = "Option::is_none")]
    plugins_versions: Option<Versions>,
}

/// A face and those it was compared with.
#[derive(Debug, Serialize, ToSchema)]
struct Compared {
    /// The face of the first picture.
    source_image_face: SeenFace,
    /// The faces of the second, the most similar first.
    face_matches: Vec<SeenFace>,
    #[serde(skip_serializing_if = "Option::is_none")]
    plugins_versions: Option<Versions>,
}

/// The answer to a verification.
#[derive(Debug, Serialize, ToSchema)]
struct ComparedFaces {
    /// One.
    result: Vec<Compared>,
}

pub(super) fn router() -> OpenApiRouter<Arc<Api>> {
    let one = OpenApiRouter::new()
        .routes(routes!(recognize))
        .routes(routes!(detect))
        .routes(routes!(verify_saved))
        .layer(DefaultBodyLimit::max(UploadLimits::body(MAX_PICTURE_BYTES)));
    let two = OpenApiRouter::new().routes(routes!(verify));
    one.merge(two.layer(DefaultBodyLimit::max(UploadLimits::body(2 * MAX_PICTURE_BYTES))))
}

/// The picture, and what is held for it.
pub(super) async fn picture(api: &Api, request: Request) -> Reply<(Vec<u8>, Held)> {
    let mut upload: Upload<Anything> = upload::read(api, request, FILE).await?;
    let missing = |_| Failure::bad(code::MISSING, "Required part 'file' is not present: send one picture");
    Ok((upload.one("file").map_err(missing)?, upload.held))
}

fn similarity(likeness: Likeness) -> f32 {
    likeness.confidence
}

/// Recognize faces (as CompreFace does)
#[utoipa::path(post, path = "/recognition/recognize", tag = "compreface", security(("key" = []), ("token" = [])),
    params(LookParams), request_body(content((FileForm = "multipart/form-data"), (FileForm = "application/json"))),
    responses((status = 200, body = SeenFaces), Failures))]
async fn recognize(
    client: Client,
    State(api): State<Arc<Api>>,
    params: Result<Params<LookParams>, Problem>,
    request: Request,
) -> Reply<Json<SeenFaces>> {
    client.need_people(&[Right::FacesUse, Right::PeopleRead])?;
    let look = Look::read(&client, params?.0)?;
    let (picture, _held) = picture(&api, request).await?;
    let looked = look.faces(&api, picture).await?;
    let probes: Vec<Embedding> = looked.faces.iter().map(|(_, embedding)| embedding.clone()).collect();
    let (most, gallery) = (look.predictions, Arc::clone(&api));
    let rank = move |probe: Embedding| Ok::<_, FacesTrouble>(gallery.faces.match_gallery(&probe, most)?.ranking);
    // Each with everybody: others would wait for their answers meanwhile.
    let ranked = spawn_blocking(move || probes.into_iter().map(rank).collect::<Result<Vec<_>, _>>());
    let rankings = ranked.await.map_err(Problem::internal)??;
    let people: Vec<Uuid> = rankings.iter().flatten().map(|(person, _)| person.0).collect();
    let names = api.store.subjects_of(&people).await?;
    let told = looked.faces.iter().zip(rankings).map(|((face, embedding), ranking)| {
        let subject = |(person, likeness): (rollcall_pipeline::PersonId, Likeness)| {
            Some(SeenSubject { subject: names.get(&person.0)?.clone(), similarity: similarity(likeness) })
        };
        let subjects = Some(ranking.into_iter().filter_map(subject).collect());
        SeenFace { subjects, ..look.face(face, embedding, looked.took_ms) }
    });
    Ok(Json(SeenFaces { result: told.collect(), plugins_versions: look.versions(&api) }))
}

/// Detect faces (as CompreFace does)
#[utoipa::path(post, path = "/detection/detect", tag = "compreface", security(("key" = []), ("token" = [])),
    params(LookParams), request_body(content((FileForm = "multipart/form-data"), (FileForm = "application/json"))),
    responses((status = 200, body = SeenFaces), Failures))]
async fn detect(
    client: Client,
    State(api): State<Arc<Api>>,
    params: Result<Params<LookParams>, Problem>,
    request: Request,
) -> Reply<Json<SeenFaces>> {
    client.need(&[Right::FacesUse])?;
    let look = Look::read(&client, params?.0)?;
    let (picture, _held) = picture(&api, request).await?;
    let looked = look.faces(&api, picture).await?;
    let result = looked.faces.iter().map(|(face, embedding)| look.face(face, embedding, looked.took_ms)).collect();
    Ok(Json(SeenFaces { result, plugins_versions: look.versions(&api) }))
}

/// Compare the faces of a picture with a saved one (as CompreFace does)
#[utoipa::path(post, path = "/recognition/faces/{image_id}/verify", tag = "compreface",
    security(("key" = []), ("token" = [])),
    params(("image_id" = Uuid, Path, description = "The saved face"), LookParams),
    request_body(content((FileForm = "multipart/form-data"), (FileForm = "application/json"))),
    responses((status = 200, body = SeenFaces), Failures))]
async fn verify_saved(
    client: Client,
    State(api): State<Arc<Api>>,
    id: Result<PathOf<Uuid>, Problem>,
    params: Result<Params<LookParams>, Problem>,
    request: Request,
) -> Reply<Json<SeenFaces>> {
    client.need_people(&[Right::FacesUse, Right::PeopleRead])?;
    let look = Look::read(&client, params?.0)?;
    let PathOf(id) = id?;
    let saved = api.store.subject_face(id, &api.faces.model()).await?;
    let (saved, face) = saved.ok_or_else(|| Failure::not_found(code::NO_IMAGE, "Image not found"))?;
    let face = face.ok_or_else(|| Failure::bad(code::INVALID, "the saved face was made by another model"))?;
    let (picture, _held) = picture(&api, request).await?;
    let looked = look.faces(&api, picture).await?;
    let mut result = Vec::new();
    for (seen, embedding) in &looked.faces {
        let (_, likeness) = api.faces.verify(&face, embedding)?;
        let told = look.face(seen, embedding, looked.took_ms);
        result.push(SeenFace { similarity: Some(similarity(likeness)), subject: Some(saved.subject.clone()), ..told });
    }
    Ok(Json(SeenFaces { result, plugins_versions: look.versions(&api) }))
}

/// Compare a face with those of another picture (as CompreFace does)
#[utoipa::path(post, path = "/verification/verify", tag = "compreface", security(("key" = []), ("token" = [])),
    params(LookParams), request_body(content((PairForm = "multipart/form-data"), (PairForm = "application/json"))),
    responses((status = 200, body = ComparedFaces), Failures))]
async fn verify(
    client: Client,
    State(api): State<Arc<Api>>,
    params: Result<Params<LookParams>, Problem>,
    request: Request,
) -> Reply<Json<ComparedFaces>> {
    client.need(&[Right::FacesUse])?;
    let look = Look::read(&client, params?.0)?;
    let mut upload: Upload<Anything> = upload::read(&api, request, PAIR).await?;
    let mut part = |name: &str| {
        let missing = |_| Failure::bad(code::MISSING, format!("Required part '{name}' is not present"));
        upload.one(name).map_err(missing)
    };
    let (source, target) = (part("source_image")?, part("target_image")?);
    let source = look.faces(&api, source).await?;
    let [(face, wanted)] = source.faces.as_slice() else {
        return Err(Failure::bad(code::SEVERAL_FACES, "Found more than one face in the source image"));
    };
    let target = look.faces(&api, target).await?;
    let mut face_matches = Vec::new();
    for (seen, embedding) in &target.faces {
        let (_, likeness) = api.faces.verify(wanted, embedding)?;
        let told = look.face(seen, embedding, target.took_ms);
        face_matches.push(SeenFace { similarity: Some(similarity(likeness)), ..told });
    }
    face_matches.sort_by(|a, b| b.similarity.unwrap_or_default().total_cmp(&a.similarity.unwrap_or_default()));
    let source_image_face = look.face(face, wanted, source.took_ms);
    let compared = Compared { source_image_face, face_matches, plugins_versions: look.versions(&api) };
    Ok(Json(ComparedFaces { result: vec![compared] }))
}
