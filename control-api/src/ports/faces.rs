//! Faces in pictures, and before live cameras. Implemented by the daemon over its one face engine, which all operations
//! share: its queue is short and cameras come first, so any answer may be [`FacesTrouble::Busy`].

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use axum::http::StatusCode;
use rollcall_pipeline::{CameraId, Embedding, GalleryVersion, ModelId, PersonId, RoomId, SessionId, WallTime};
use rollcall_store::{Actor, StoreError};
use serde::Serialize;
use utoipa::ToSchema;

use crate::problem::Problem;

/// An answer that takes its time.
pub type Later<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Pictures of one request, at most.
pub const MAX_PICTURES: usize = 32;
/// Bytes of a picture or clip, at most.
pub const MAX_PICTURE_BYTES: usize = 20 << 20;
/// Faces of one picture that are told, at most.
pub const MAX_FACES: usize = 64;

/// Looks at faces.
pub trait Faces: Send + Sync + 'static {
    /// The model whose embeddings are compared.
    fn model(&self) -> ModelId;

    /// What the matcher knows at the moment.
    fn gallery(&self) -> GalleryView;

    /// The faces of a picture, best view first.
    fn detect(&self, picture: Vec<u8>, most: usize) -> Later<'_, Result<Vec<FaceView>, FacesTrouble>>;

    /// The faces of a picture with their embeddings, best view first.
    fn encode(&self, picture: Vec<u8>, most: usize) -> Later<'_, Result<Vec<(FaceView, Embedding)>, FacesTrouble>>;

    /// Whether somebody could be enrolled with a picture. A picture that will not do is an answer.
    fn examine(&self, picture: Vec<u8>) -> Later<'_, Result<PictureReport, FacesTrouble>>;

    /// Waits until nobody else enrols. Whoever holds the turn while they ask [`Faces::enrol`] and store what is accepted puts
    /// no face under two names.
    fn turn(&self) -> Later<'_, Turn>;

    /// Which of a person's pictures make templates, decided together; one answer a picture, in order. Stores nothing.
    fn enrol(&self, request: EnrolAsk) -> Later<'_, Result<Vec<PictureOutcome>, FacesTrouble>>;

    /// Whose the faces of a person look like instead, decided together as by [`Faces::enrol`]; one answer a face.
    fn decide(&self, ask: DecideAsk) -> Later<'_, Result<Vec<Result<(), NotTheirs>>, FacesTrouble>>;

    /// The best `most` views of whoever stands before a live camera for the next five seconds; all of one living person.
    fn best_shots(&self, camera: CameraId, most: usize) -> Later<'_, Result<Vec<LiveShot>, FacesTrouble>>;

    /// The most similar people of the gallery.
    ///
    /// # Errors
    /// While it is not loaded: everybody would be nobody.
    fn match_gallery(&self, probe: &Embedding, most: usize) -> Result<Matched<PersonId>, FacesTrouble>;

    /// The most similar of the caller's own list; a label may have several embeddings.
    ///
    /// # Errors
    /// When they were made by another model.
    fn match_list(
        &self,
        probe: &Embedding,
        list: &[(String, Embedding)],
        most: usize,
    ) -> Result<Matched<String>, FacesTrouble>;

    /// Who is in pictures of one moment or in a clip, and the mark that comes of it, kept when this returns.
    fn check_in(&self, ask: CheckIn) -> Later<'_, Result<CheckedIn, CheckInTrouble>>;

    /// Whether two faces are of one person.
    ///
    /// # Errors
    /// When they were made by different models.
    fn verify(&self, a: &Embedding, b: &Embedding) -> Result<(Certainty, Likeness), FacesTrouble>;
}

/// The right to enrol, one at a time; given back when dropped.
#[derive(Debug)]
pub struct Turn(pub tokio::sync::OwnedMutexGuard<()>);

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq)]
pub enum FacesTrouble {
    /// What was sent will not do.
    Refused {
        /// The word for it.
        code: &'static str,
        /// What to do.
        detail: String,
    },
    /// Not now.
    Busy {
        /// Why.
        detail: String,
        /// When to try again.
        retry_after: Duration,
    },
    /// The models failed.
    Failed(String),
}

impl From<FacesTrouble> for Problem {
    fn from(trouble: FacesTrouble) -> Self {
        match trouble {
            FacesTrouble::Refused { code, detail } => {
                Self::new(StatusCode::UNPROCESSABLE_ENTITY, code, "The picture will not do", detail)
            }
            FacesTrouble::Busy { detail, retry_after } => {
                Self::busy(StatusCode::SERVICE_UNAVAILABLE, detail, retry_after.as_secs().max(1))
            }
            FacesTrouble::Failed(cause) => Self::internal(cause),
        }
    }
}

/// What the matcher knows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct GalleryView {
    /// Grows with every change; the same as in the database as soon as a change is live.
    pub version: u64,
    /// People with templates.
    pub people: usize,
    /// Templates.
    pub templates: usize,
    /// The model whose embeddings they are.
    pub model: String,
}

/// A box in pixels of the upright picture; may reach over its edges.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, ToSchema)]
pub struct BoxView {
    /// Left edge.
    pub x: f32,
    /// Top edge.
    pub y: f32,
    /// Width.
    pub w: f32,
    /// Height.
    pub h: f32,
}

/// How good a view of a face is.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, ToSchema)]
pub struct QualityView {
    /// All in one, 0 (useless) to 1.
    pub overall: f32,
    /// Pixels between the eyes.
    pub eye_distance_px: f32,
    /// Width of the face in pixels.
    pub face_px: f32,
    /// Degrees to the side, as far as five points tell; to the picture's right is positive.
    pub yaw: f32,
    /// Degrees up (positive) or down.
    pub pitch: f32,
    /// Degrees of tilt, clockwise in the picture.
    pub roll: f32,
    /// Sharpness, 0 upwards; below 0.025 nobody is enrolled.
    pub sharpness: f32,
    /// Mean brightness, 0 to 255.
    pub brightness: f32,
    /// How far brightness differs within the face.
    pub contrast: f32,
}

/// What one picture says about life. One picture can fool a model: rest nothing that counts on it alone.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct LivenessView {
    /// `live`, `spoof` or `undecided`.
    pub verdict: &'static str,
    /// The model's score, 0 to 1, where the view could be judged.
    pub score: Option<f32>,
    /// Why it is undecided: `too_small`, `too_poor`, `unclear`, `no_blink` or `off`.
    pub reason: Option<&'static str>,
}

/// A face in a picture.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct FaceView {
    /// Where.
    #[serde(rename = "box")]
    pub bbox: BoxView,
    /// Eyes, nose and corners of the mouth, x and y in pixels: from the picture's left
    /// to its right.
    pub landmarks: Vec<[f32; 2]>,
    /// The detector's score, 0 to 1.
    pub score: f32,
    /// How good the view is.
    pub quality: QualityView,
    /// Whether it is alive.
    pub liveness: LivenessView,
}

/// A limit that an enrolment picture is held to.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct GateView {
    /// What is measured.
    pub gate: &'static str,
    /// What was measured.
    pub value: f32,
    /// What it is held to.
    pub limit: f32,
    /// Whether the limit is an upper one.
    pub at_most: bool,
    /// Whether it holds.
    pub pass: bool,
}

/// Whether somebody could be enrolled with a picture.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct PictureReport {
    /// sha256 of the file, in hexadecimal.
    pub sha256: String,
    /// Whether it passes.
    pub accepted: bool,
    /// Why it does not: a word such as `no_face`, `blurred`, `several_faces`.
    pub code: Option<&'static str>,
    /// The same in a sentence that says what to do.
    pub detail: Option<String>,
    /// Where the face is.
    #[serde(rename = "box")]
    pub bbox: Option<BoxView>,
    /// Every limit with what was measured; empty where there is no face to measure.
    pub gates: Vec<GateView>,
}

/// A person's pictures.
#[derive(Clone, Debug)]
pub struct EnrolAsk {
    /// Whose.
    pub person: PersonId,
    /// Their templates so far, all of them.
    pub own: Vec<Embedding>,
    /// The gallery that they are compared with must have come so far: the version that the database has now.
    pub at_least: GalleryVersion,
    /// The files.
    pub pictures: Vec<Vec<u8>>,
}

/// A person's faces.
#[derive(Clone, Debug)]
pub struct DecideAsk {
    /// Whose.
    pub person: PersonId,
    /// Their templates so far, all of them.
    pub own: Vec<Embedding>,
    /// The gallery that they are compared with must have come so far: the version that the database has now.
    pub at_least: GalleryVersion,
    /// The faces.
    pub faces: Vec<Embedding>,
}

/// Why a face is not the person's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotTheirs {
    /// It looks like this other person's.
    LooksLike(PersonId),
    /// It is not the one that the other views show.
    AnotherPerson,
}

impl NotTheirs {
    /// The word for it.
    pub fn code(self) -> &'static str {
        match self {
            Self::LooksLike(_) => "looks_like_another",
            Self::AnotherPerson => "another_person",
        }
    }

    /// In a sentence that names nobody: whose face it is, is not for everybody's eyes.
    pub fn detail(self) -> &'static str {
        match self {
            Self::LooksLike(_) => "the face looks like somebody else's; one of the two has a picture of the other",
            Self::AnotherPerson => "the face is not that of the other pictures; send pictures of one person",
        }
    }
}

/// What became of a picture.
#[derive(Clone, Debug)]
pub struct PictureOutcome {
    /// As of [`Faces::examine`]; `code` may also be `looks_like_another` or `another_person`.
    pub report: PictureReport,
    /// sha256 of the file.
    pub sha256: [u8; 32],
    /// The template, if it is accepted.
    pub template: Option<NewTemplate>,
    /// Whose face it looks like instead.
    pub looks_like: Option<PersonId>,
}

/// A template to be stored.
#[derive(Clone, Debug)]
pub struct NewTemplate {
    /// It.
    pub embedding: Embedding,
    /// How good the view is, 0 to 1.
    pub quality: f32,
}

/// A view of somebody before a camera.
#[derive(Clone, Debug)]
pub struct LiveShot {
    /// The template.
    pub template: NewTemplate,
    /// Every limit with what was measured.
    pub gates: Vec<GateView>,
    /// Where the face was, in pixels of the decoded frame.
    pub bbox: BoxView,
    /// When.
    pub captured: WallTime,
    /// Where it comes from: sha256 of the pixels of the aligned face.
    pub sha256: [u8; 32],
}

/// What may be said.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Certainty {
    /// As similar as views before a camera must be to name somebody, and clearly apart from the second best.
    Confident,
    /// A human should look.
    Uncertain,
    /// Nobody.
    NoMatch,
}

/// How alike two faces are.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, ToSchema)]
pub struct Likeness {
    /// Cosine similarity, −1 to 1.
    pub similarity: f32,
    /// 1 − similarity, 0 to 2.
    pub distance: f32,
    /// 0 to 1 on a scale that reads the same whatever the model: 0.5 where review begins, 0.9 where a name is given. It
    /// ranks; it is not a probability.
    pub confidence: f32,
}

/// The answer to "who is this?".
#[derive(Clone, Debug, PartialEq)]
pub struct Matched<L> {
    /// What may be said about the first.
    pub certainty: Certainty,
    /// The most similar, best first, each once.
    pub ranking: Vec<(L, Likeness)>,
}

/// What somebody shows to be marked.
#[derive(Clone)]
pub enum Shown {
    /// One picture, or several frames of one moment in their order.
    Pictures(Vec<Vec<u8>>),
    /// A short MP4, MOV or WebM.
    Clip(Vec<u8>),
}

/// Somebody wants to be marked.
#[derive(Clone)]
pub struct CheckIn {
    /// By what.
    pub shown: Shown,
    /// The key or account that sends it.
    pub by: Actor,
    /// Where.
    pub room: RoomId,
    /// In which session; `None`: whichever is on.
    pub session: Option<SessionId>,
    /// When.
    pub at: WallTime,
}

/// What came of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum CheckInOutcome {
    /// Marked.
    Recorded,
    /// Marked before.
    AlreadyMarked,
    /// A human decides.
    Review,
    /// Nobody who is enrolled.
    Unknown,
    /// Taken for a picture of a face; a human decides.
    Spoof,
}

/// Somebody was marked, or not.
#[derive(Clone, Debug)]
pub struct CheckedIn {
    /// What came of it.
    pub outcome: CheckInOutcome,
    /// The event that was written; of the outcomes that a human decides, the review item.
    pub event: uuid::Uuid,
    /// Who.
    pub person: Option<PersonId>,
    /// In which session they are marked.
    pub session: Option<SessionId>,
    /// `present`, `late`, `off_roster` or `off_schedule`.
    pub status: Option<String>,
    /// When they were first seen there.
    pub first_seen: Option<WallTime>,
    /// What the pictures say about life.
    pub liveness: LivenessView,
}

/// Why there is no outcome.
#[derive(Debug)]
pub enum CheckInTrouble {
    /// The pictures, or the engine.
    Faces(FacesTrouble),
    /// That session is not on then.
    NotOn,
    /// Nothing could be written; nothing is marked.
    Store(StoreError),
}

impl From<FacesTrouble> for CheckInTrouble {
    fn from(trouble: FacesTrouble) -> Self {
        Self::Faces(trouble)
    }
}

impl From<StoreError> for CheckInTrouble {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl From<CheckInTrouble> for Problem {
    fn from(trouble: CheckInTrouble) -> Self {
        match trouble {
            CheckInTrouble::Faces(trouble) => trouble.into(),
            CheckInTrouble::NotOn => Self::conflict("the session is not on at that time, or it moved a moment ago"),
            CheckInTrouble::Store(error) => error.into(),
        }
    }
}
