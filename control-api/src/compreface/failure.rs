//! What goes wrong, in the words of CompreFace: a message and a number.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use rollcall_store::{NoConsent, StoreError};
use serde::Serialize;
use utoipa::ToSchema;

use crate::caller::Caller;
use crate::json::Json;
use crate::ports::faces::FacesTrouble;
use crate::problem::Problem;
use crate::rights::Right;
use crate::state::Api;

/// Numbers of CompreFace that clients may know.
pub(super) mod code {
    pub(in super::super) const OTHER: u32 = 0;
    pub(in super::super) const NO_IMAGE: u32 = 11;
    pub(in super::super) const NO_KEY: u32 = 20;
    pub(in super::super) const NO_PICTURE: u32 = 21;
    pub(in super::super) const INVALID: u32 = 26;
    pub(in super::super) const NO_FACE: u32 = 28;
    pub(in super::super) const SEVERAL_FACES: u32 = 31;
    pub(in super::super) const MISSING: u32 = 33;
    pub(in super::super) const BROKEN: u32 = 41;
}

/// An error as clients of CompreFace expect it.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(super) struct Failure {
    /// What was wrong.
    message: String,
    /// The kind of error.
    code: u32,
    #[serde(skip)]
    status: u16,
    #[serde(skip)]
    retry_after: Option<u64>,
}

/// What a handler returns.
pub(super) type Reply<T> = Result<T, Failure>;

impl Failure {
    pub(super) fn new(status: StatusCode, code: u32, message: impl Into<String>) -> Self {
        Self { message: message.into(), code, status: status.as_u16(), retry_after: None }
    }

    pub(super) fn bad(code: u32, message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, code, message)
    }

    pub(super) fn not_found(code: u32, message: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, code, message)
    }

    pub(super) fn no_face() -> Self {
        Self::bad(code::NO_FACE, "No face is found in the given image")
    }

    /// What is refused of a picture.
    pub(super) fn refused(word: &str, detail: impl Into<String>) -> Self {
        match word {
            "no_face" => Self::no_face(),
            "several_faces" => Self::bad(code::SEVERAL_FACES, "Found more than one face in the given image"),
            "unreadable" => Self::bad(code::NO_PICTURE, detail),
            _ => Self::bad(code::INVALID, detail),
        }
    }
}

impl From<Problem> for Failure {
    fn from(problem: Problem) -> Self {
        let (status, code) = match problem.status() {
            StatusCode::UNAUTHORIZED => (StatusCode::UNAUTHORIZED, code::NO_KEY),
            StatusCode::UNPROCESSABLE_ENTITY | StatusCode::BAD_REQUEST => (StatusCode::BAD_REQUEST, code::INVALID),
            StatusCode::UNSUPPORTED_MEDIA_TYPE => (StatusCode::UNSUPPORTED_MEDIA_TYPE, code::NO_PICTURE),
            status if status.is_server_error() => (status, code::BROKEN),
            status => (status, code::OTHER),
        };
        Self { retry_after: problem.retry_after(), ..Self::new(status, code, problem.detail()) }
    }
}

impl From<FacesTrouble> for Failure {
    fn from(trouble: FacesTrouble) -> Self {
        match trouble {
            FacesTrouble::Refused { code, detail } => Self::refused(code, detail),
            other => Problem::from(other).into(),
        }
    }
}

impl From<NoConsent> for Failure {
    fn from(no: NoConsent) -> Self {
        Problem::from(no).into()
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::AmbiguousName { .. } => Self::bad(code::INVALID, error.to_string()),
            error => Problem::from(error).into(),
        }
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let retry_after = self.retry_after;
        let mut response = (status, Json(self)).into_response();
        if let Some(seconds) = retry_after {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}

/// What any of these operations may answer instead, for the OpenAPI document. What is refused before the operation is
/// reached (limits of rate and size) is a problem as everywhere.
pub(super) struct Failures;

impl utoipa::IntoResponses for Failures {
    fn responses() -> BTreeMap<String, utoipa::openapi::RefOr<utoipa::openapi::Response>> {
        use utoipa::PartialSchema as _;
        use utoipa::openapi::{ContentBuilder, RefOr, ResponseBuilder};
        let any = ["400", "401", "403", "404", "409", "413", "415", "429", "500", "503"];
        let response = || {
            let failure = ContentBuilder::new().schema(Some(Failure::schema())).build();
            let problem = ContentBuilder::new().schema(Some(Problem::schema())).build();
            ResponseBuilder::new()
                .description("Not done; the message says why")
                .content("application/json", failure)
                .content(crate::problem::CONTENT_TYPE, problem)
                .build()
        };
        any.into_iter().map(|status| (status.to_owned(), RefOr::T(response()))).collect()
    }
}

/// Who asks, refused in the words of CompreFace.
pub(super) struct Client(pub(super) Caller);

impl Client {
    pub(super) fn need(&self, rights: &[Right]) -> Reply<()> {
        rights.iter().try_for_each(|right| self.0.need(*right))?;
        Ok(())
    }

    /// For what concerns everybody who is enrolled.
    pub(super) fn need_people(&self, rights: &[Right]) -> Reply<()> {
        self.need(rights)?;
        Ok(self.0.need_everywhere()?)
    }
}

impl FromRequestParts<Arc<Api>> for Client {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, api: &Arc<Api>) -> Result<Self, Failure> {
        Ok(Self(Caller::from_request_parts(parts, api).await?))
    }
}
