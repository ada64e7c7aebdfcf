//! What comes in, read strictly: unknown fields are refused, and every refusal names its field.

use std::error::Error as _;
use std::marker::PhantomData;

use axum::extract::path::ErrorKind;
use axum::extract::rejection::{BytesRejection, PathRejection, QueryRejection};
use axum::extract::{FromRequest, FromRequestParts, Path, Query, Request};
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::de::{DeserializeOwned, DeserializeSeed};
use serde::{Deserialize, Deserializer, Serialize};
use serde_path_to_error::{Segment, Track};

use crate::json::Json;
use crate::problem::{FieldError, Problem};

/// A JSON body. The types that are read must have `deny_unknown_fields`.
#[derive(Clone, Debug)]
pub struct Body<T>(pub T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Body<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        expect_json(&request)?;
        let bytes = axum::body::Bytes::from_request(request, state).await.map_err(unreadable)?;
        // Serde reads the fields of a struct from a list too, in the order of their declaration: nobody means that.
        if bytes.trim_ascii_start().starts_with(b"[") {
            let errors =
                vec![FieldError { pointer: "#".to_owned(), detail: "must be an object, not a list".to_owned() }];
            return Err(Problem::invalid(errors));
        }
        read_json(&bytes).map(Self)
    }
}

/// A JSON body that is a list.
#[derive(Clone, Debug)]
pub struct ListBody<T>(pub Vec<T>);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for ListBody<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        expect_json(&request)?;
        let bytes = axum::body::Bytes::from_request(request, state).await.map_err(unreadable)?;
        read_json(&bytes).map(Self)
    }
}

fn expect_json(request: &Request) -> Result<(), Problem> {
    let media_type = request.headers().get(header::CONTENT_TYPE).and_then(|v| v.to_str().ok()).unwrap_or_default();
    let essence = media_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    if essence == "application/json" || (essence.starts_with("application/") && essence.ends_with("+json")) {
        return Ok(());
    }
    Err(unsupported("application/json"))
}

/// 415, saying what would be read.
pub fn unsupported(expected: &str) -> Problem {
    Problem::new(
        StatusCode::UNSUPPORTED_MEDIA_TYPE,
        "media-type",
        "Not a media type that is read here",
        format!("send it as Content-Type: {expected}"),
    )
}

/// A body that did not come in whole.
pub fn unreadable(rejection: BytesRejection) -> Problem {
    if rejection.status() == StatusCode::PAYLOAD_TOO_LARGE {
        return too_large("the body is larger than this operation reads");
    }
    Problem::bad_request(rejection.body_text())
}

/// 413.
pub fn too_large(detail: impl Into<String>) -> Problem {
    Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "too-large", "Too large", detail)
}

/// Reads JSON; what has the wrong shape names its place.
pub fn read_json<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Problem> {
    read_json_seed(bytes, PhantomData)
}

/// [`read_json`] piece by piece, for who cannot trust the whole to fit.
pub(crate) fn read_json_seed<'de, S: DeserializeSeed<'de>>(bytes: &'de [u8], seed: S) -> Result<S::Value, Problem> {
    let (mut json, mut track) = (serde_json::Deserializer::from_slice(bytes), Track::new());
    let read = seed.deserialize(serde_path_to_error::Deserializer::new(&mut json, &mut track));
    let value = read.map_err(|inner| {
        let pointer = pointer(&track.path());
        if inner.is_data() {
            Problem::invalid(vec![FieldError { pointer, detail: without_place(&inner.to_string()) }])
        } else {
            Problem::bad_request(format!("the body is not JSON: {inner}"))
        }
    })?;
    json.end().map_err(|error| Problem::bad_request(format!("the body goes on after its JSON: {error}")))?;
    Ok(value)
}

fn pointer(path: &serde_path_to_error::Path) -> String {
    let mut pointer = String::from("#");
    for segment in path {
        pointer.push('/');
        match segment {
            Segment::Seq { index } => pointer.push_str(&index.to_string()),
            Segment::Map { key } => pointer.push_str(&key.replace('~', "~0").replace('/', "~1")),
            Segment::Enum { variant } => pointer.push_str(variant),
            Segment::Unknown => pointer.push('?'),
        }
    }
    pointer
}

/// Line and column of a body that a program wrote help nobody.
fn without_place(message: &str) -> String {
    message.rsplit_once(" at line ").map_or(message, |(text, _)| text).to_owned()
}

/// The query string.
#[derive(Clone, Debug)]
pub struct Params<T>(pub T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for Params<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        Query::from_request_parts(parts, state).await.map(|Query(value)| Self(value)).map_err(of_query)
    }
}

type QueryError = serde_path_to_error::Error<serde::de::value::Error>;

/// Names the parameter that cannot be read.
fn of_query(rejection: QueryRejection) -> Problem {
    let mut causes = std::iter::successors(rejection.source(), |&cause| cause.source());
    let Some(error) = causes.find_map(|cause| cause.downcast_ref::<QueryError>()) else {
        return Problem::bad_request(rejection.body_text());
    };
    let detail = error.inner().to_string();
    let name = match error.path().iter().next() {
        Some(Segment::Map { key }) => key.as_str(),
        // One that is missing, or comes twice, stands in the message alone.
        _ => detail.split('`').nth(1).unwrap_or_default(),
    };
    Problem::bad_parameter(FieldError::query(name, detail.as_str()))
}

/// Refuses a filter that is longer than anything it could find.
///
/// # Errors
/// 422.
pub fn fits(name: &str, text: Option<&str>, most: usize) -> Result<(), Problem> {
    if text.is_none_or(|text| text.chars().count() <= most) {
        return Ok(());
    }
    Err(Problem::invalid(vec![FieldError::query(name, format!("must be at most {most} characters long"))]))
}

/// The variable parts of the path.
#[derive(Clone, Debug)]
pub struct PathOf<T>(pub T);

impl<T: DeserializeOwned + Send, S: Send + Sync> FromRequestParts<S> for PathOf<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        Path::from_request_parts(parts, state).await.map(|Path(value)| Self(value)).map_err(of_path)
    }
}

/// Names the part of the path that cannot be read.
fn of_path(rejection: PathRejection) -> Problem {
    let text = rejection.body_text();
    let PathRejection::FailedToDeserializePathParams(wrong) = rejection else { return Problem::bad_request(text) };
    match wrong.into_kind() {
        ErrorKind::DeserializeError { key, message, .. } => Problem::bad_parameter(FieldError::query(&key, message)),
        ErrorKind::InvalidUtf8InPathParam { key } => Problem::bad_parameter(FieldError::query(&key, "is not UTF-8")),
        _ => Problem::bad_request(text),
    }
}

/// Which version a change is meant for: the header `If-Match`. Without it a change is refused with 428, so that nobody
/// overwrites what they have not seen; `If-Match: *` overwrites on purpose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IfMatch {
    /// Whatever is there.
    Any,
    /// This version and no other.
    Version(i64),
}

impl IfMatch {
    /// Refuses a change that is meant for another version than `current`.
    ///
    /// # Errors
    /// 412.
    pub fn check(self, current: i64) -> Result<(), Problem> {
        match self {
            Self::Version(version) if version != current => Err(Problem::changed_meanwhile()),
            Self::Version(_) | Self::Any => Ok(()),
        }
    }

    /// Refuses a PUT that is meant for something else than the version `current`; where nothing is there, nobody has to
    /// name one, and 0 stands for that.
    ///
    /// # Errors
    /// 412, or 428 when it would overwrite what it does not name.
    pub fn check_put(given: Option<Self>, current: Option<i64>) -> Result<(), Problem> {
        match (given, current) {
            (None, None) => Ok(()),
            (None, Some(_)) => Err(Self::missing()),
            (Some(if_match), current) => if_match.check(current.unwrap_or(0)),
        }
    }

    fn missing() -> Problem {
        Problem::new(
            StatusCode::PRECONDITION_REQUIRED,
            "if-match",
            "If-Match is missing",
            "send If-Match with the ETag that you read, or * to overwrite whatever is there",
        )
    }

    fn read(headers: &HeaderMap) -> Result<Option<Self>, Problem> {
        let Some(value) = headers.get(header::IF_MATCH) else { return Ok(None) };
        let text = value.to_str().unwrap_or_default().trim();
        if text == "*" {
            return Ok(Some(Self::Any));
        }
        let version = text.strip_prefix('"').and_then(|text| text.strip_suffix('"')).and_then(|text| text.parse().ok());
        // An ETag that is not ours is that of no version.
        version.map(|version| Some(Self::Version(version))).ok_or_else(Problem::changed_meanwhile)
    }
}

impl<S: Send + Sync> FromRequestParts<S> for IfMatch {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        Self::read(&parts.headers)?.ok_or_else(Self::missing)
    }
}

// By its whole name: in scope, every other extractor would be two.
impl<S: Send + Sync> axum::extract::OptionalFromRequestParts<S> for IfMatch {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Option<Self>, Problem> {
        Self::read(&parts.headers)
    }
}

/// An answer with its version as ETag.
#[derive(Clone, Debug)]
pub struct Versioned<T>(pub i64, pub T);

impl<T: Serialize> IntoResponse for Versioned<T> {
    fn into_response(self) -> Response {
        ([(header::ETAG, format!("\"{}\"", self.0))], Json(self.1)).into_response()
    }
}

/// 201 with the place of what was made.
#[derive(Clone, Debug)]
pub struct Created<T> {
    /// Path of the new thing.
    pub location: String,
    /// Its version, if it has any.
    pub version: Option<i64>,
    /// It.
    pub body: T,
}

impl<T: Serialize> IntoResponse for Created<T> {
    fn into_response(self) -> Response {
        let mut headers = HeaderMap::new();
        if let Ok(location) = self.location.parse() {
            headers.insert(header::LOCATION, location);
        }
        if let Some(Ok(tag)) = self.version.map(|version| format!("\"{version}\"").parse()) {
            headers.insert(header::ETAG, tag);
        }
        (StatusCode::CREATED, headers, Json(self.body)).into_response()
    }
}

/// Tells a field that is null from one that is not there, for changes of nullable fields:
/// `#[serde(default, deserialize_with = "present")] field: Option<Option<T>>`.
///
/// # Errors
/// When the value is of the wrong type.
pub fn present<'de, T: Deserialize<'de>, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Option<T>>, D::Error> {
    Option::deserialize(deserializer).map(Some)
}

/// Refuses null for a field that may be missing but not be cleared:
/// `#[serde(default, deserialize_with = "given")] field: Option<T>`.
///
/// # Errors
/// When the value is null, or of the wrong type.
pub fn given<'de, T: Deserialize<'de>, D: Deserializer<'de>>(deserializer: D) -> Result<Option<T>, D::Error> {
    T::deserialize(deserializer).map(Some)
}

/// Reads a struct from an object alone: serde would take a list of its fields too.
/// `#[serde(default, deserialize_with = "object")] field: T`.
///
/// # Errors
/// When the value is no object, or not one of this kind.
pub fn object<'de, T: DeserializeOwned, D: Deserializer<'de>>(deserializer: D) -> Result<T, D::Error> {
    let map = serde_json::Map::deserialize(deserializer)?;
    T::deserialize(serde_json::Value::Object(map)).map_err(serde::de::Error::custom)
}

/// [`object`] for a field that may be missing but not be cleared.
///
/// # Errors
/// When the value is no object, or not one of this kind.
pub fn given_object<'de, T: DeserializeOwned, D: Deserializer<'de>>(deserializer: D) -> Result<Option<T>, D::Error> {
    object(deserializer).map(Some)
}
