//! What goes wrong, as RFC 9457 problem details. The only form in which the API says no.

use axum::extract::Request;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use rollcall_pipeline::ErrorClass;
use rollcall_store::{NoConsent, StoreError};
use serde::Serialize;
use utoipa::ToSchema;

use crate::json::Json;

/// Media type of every error.
pub const CONTENT_TYPE: &str = "application/problem+json";

/// An error as the caller sees it (RFC 9457).
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Problem {
    /// Names the kind of problem, `urn:rollcall:problem:KIND`.
    #[serde(rename = "type")]
    #[schema(example = "urn:rollcall:problem:invalid")]
    kind: String,
    /// The kind in words.
    title: &'static str,
    /// The HTTP status.
    #[schema(minimum = 400, maximum = 599)]
    status: u16,
    /// What was wrong this time, and what to do.
    detail: String,
    /// Which fields were wrong.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    errors: Vec<FieldError>,
    /// Seconds after which to try again.
    #[serde(skip)]
    retry_after: Option<u64>,
}

/// What is wrong with one field.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct FieldError {
    /// JSON pointer into the body, such as `#/settings/analysis_fps`, or the name of a parameter of query or path.
    pub pointer: String,
    /// What is wrong, and what to do.
    pub detail: String,
}

impl FieldError {
    /// About the field of the body at `pointer` (`/name`).
    pub fn body(pointer: &str, detail: impl Into<String>) -> Self {
        Self { pointer: format!("#{pointer}"), detail: detail.into() }
    }

    /// About a parameter of query or path.
    pub fn query(name: &str, detail: impl Into<String>) -> Self {
        Self { pointer: name.to_owned(), detail: detail.into() }
    }
}

/// What a handler returns.
pub type Answer<T> = Result<T, Problem>;

impl Problem {
    /// A problem of `kind`.
    pub fn new(status: StatusCode, kind: &str, title: &'static str, detail: impl Into<String>) -> Self {
        Self {
            kind: format!("urn:rollcall:problem:{kind}"),
            title,
            status: status.as_u16(),
            detail: detail.into(),
            errors: Vec::new(),
            retry_after: None,
        }
    }

    /// 400: it cannot be read.
    pub fn bad_request(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "bad-request", "The request cannot be read", detail)
    }

    /// 400: a parameter of query or path cannot be read.
    pub fn bad_parameter(error: FieldError) -> Self {
        let detail = format!("{}: {}", error.pointer, error.detail);
        Self { errors: vec![error], ..Self::bad_request(detail) }
    }

    /// 401: nobody, or somebody whose token or key is not valid (any more).
    pub fn unauthorized(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::UNAUTHORIZED, "unauthorized", "Log in first", detail)
    }

    /// 403: known, but not allowed.
    pub fn forbidden(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::FORBIDDEN, "forbidden", "Not allowed", detail)
    }

    /// 404: not there, or not for the caller's eyes.
    pub fn not_found(what: &str) -> Self {
        Self::new(StatusCode::NOT_FOUND, "not-found", "Not found", format!("there is no such {what}"))
    }

    /// 409: it does not go with what is there.
    pub fn conflict(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::CONFLICT, "conflict", "Does not go with what is there", detail)
    }

    /// 412: somebody else changed it in the meantime.
    pub fn changed_meanwhile() -> Self {
        Self::new(
            StatusCode::PRECONDITION_FAILED,
            "changed-meanwhile",
            "Changed in the meantime",
            "the version in If-Match is not the current one: read it again, then change it",
        )
    }

    /// 422: it can be read, but these fields do not make sense.
    pub fn invalid(errors: Vec<FieldError>) -> Self {
        let detail = match errors.as_slice() {
            [one] => format!("{}: {}", one.pointer, one.detail),
            several => format!("{} fields are wrong", several.len()),
        };
        let problem = Self::new(StatusCode::UNPROCESSABLE_ENTITY, "invalid", "Some fields are wrong", detail);
        Self { errors, ..problem }
    }

    /// 422 for one field of the body, at a JSON pointer such as `/name`.
    pub fn invalid_field(pointer: &str, detail: impl Into<String>) -> Self {
        Self::invalid(vec![FieldError::body(pointer, detail)])
    }

    /// 426: here is a WebSocket and nothing else.
    pub fn no_handshake(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::UPGRADE_REQUIRED, "upgrade", "This is a WebSocket", detail)
    }

    /// 429 or 503: not now.
    pub fn busy(status: StatusCode, detail: impl Into<String>, retry_after_s: u64) -> Self {
        let problem = Self::new(status, "busy", "Not now", detail);
        Self { retry_after: Some(retry_after_s.max(1)), ..problem }
    }

    /// 500: our fault. `cause` goes to the log alone.
    pub fn internal(cause: impl std::fmt::Display) -> Self {
        tracing::error!(%cause, "a request failed for a reason of ours");
        let detail = "it is in the log of the daemon, under the request id of this answer";
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", "Our fault", detail)
    }

    /// The same, explained otherwise.
    #[must_use]
    pub fn explained(self, detail: impl Into<String>) -> Self {
        Self { detail: detail.into(), ..self }
    }

    /// What was wrong this time, and what to do.
    pub fn detail(&self) -> &str {
        &self.detail
    }

    /// Seconds after which to try again.
    pub fn retry_after(&self) -> Option<u64> {
        self.retry_after
    }

    /// The HTTP status.
    pub fn status(&self) -> StatusCode {
        StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
    }
}

impl From<NoConsent> for Problem {
    fn from(no: NoConsent) -> Self {
        Self::new(StatusCode::CONFLICT, "consent-required", "Consent is required", no.to_string())
    }
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        if error.class() == ErrorClass::Transient {
            tracing::warn!(%error, "a request could not be answered");
            let why = match error.sqlstate().as_deref() {
                Some("40001" | "40P01") => "somebody changed the same at this moment; try again",
                _ => "the database is away; try again",
            };
            return Self::busy(StatusCode::SERVICE_UNAVAILABLE, why, 2);
        }
        match error.sqlstate().as_deref() {
            Some("23505") => Self::conflict(
                "there is one with this name, number or place already: choose another, or change that one",
            ),
            Some("23503") => {
                Self::conflict("it refers to something that is not there, or something still refers to it")
            }
            Some("23514" | "22001" | "22003" | "22007" | "22008" | "22021" | "22P02" | "22P05") => Self::new(
                StatusCode::UNPROCESSABLE_ENTITY,
                "invalid",
                "Some fields are wrong",
                "a value is out of its range",
            ),
            _ => Self::internal(error),
        }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let (status, retry_after) = (self.status(), self.retry_after);
        let mut response = (status, Json(self)).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(CONTENT_TYPE));
        if let Some(seconds) = retry_after {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        if status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        if status == StatusCode::UPGRADE_REQUIRED {
            headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
            headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
        }
        response
    }
}

/// The problems that any operation may answer with, for the OpenAPI document.
pub struct Problems;

impl utoipa::IntoResponses for Problems {
    fn responses() -> std::collections::BTreeMap<String, utoipa::openapi::RefOr<utoipa::openapi::Response>> {
        let any = [
            ("400", "The request cannot be read"),
            ("401", "No valid token or key"),
            ("403", "Not allowed"),
            ("404", "Not there, or not for the caller's eyes"),
            ("409", "Does not go with what is there"),
            ("412", "Changed in the meantime"),
            ("413", "Too large"),
            ("415", "Not a media type that is read here"),
            ("422", "Some fields are wrong"),
            ("428", "If-Match is missing"),
            ("429", "Too many requests"),
            ("500", "Our fault"),
            ("503", "Not now"),
        ];
        let response = |text: &str| {
            let content = utoipa::openapi::Content::new(Some(utoipa::openapi::Ref::from_schema_name("Problem")));
            utoipa::openapi::ResponseBuilder::new().description(text).content(CONTENT_TYPE, content).build().into()
        };
        any.into_iter().map(|(status, text)| (status.to_owned(), response(text))).collect()
    }
}

/// For paths that are not there.
pub(crate) async fn no_such_path(request: Request) -> Problem {
    Problem::new(
        StatusCode::NOT_FOUND,
        "no-such-path",
        "Not found",
        format!("nothing is served at {}; /docs shows what is", request.uri().path()),
    )
}

/// For methods that a path does not have.
pub(crate) async fn no_such_method(request: Request) -> Problem {
    let detail = format!("{} is not for {}; the Allow header names what is", request.uri().path(), request.method());
    Problem::new(StatusCode::METHOD_NOT_ALLOWED, "no-such-method", "Not this method", detail)
}
