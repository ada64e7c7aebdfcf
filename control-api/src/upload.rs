//! Pictures and clips that come in: as a multipart form, or in JSON as Base64. Bounded in number and size before anything
//! looks into them, one by one and all together. What they are is told by their content; names and media types of files are not believed, nor kept.

use std::sync::Arc;

use axum::extract::{FromRequest, Multipart, Request};
use axum::http::{HeaderMap, StatusCode, header};
use base64::Engine as _;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::extract::{too_large, unreadable, unsupported};
use crate::problem::{Answer, Problem};
use crate::state::Api;

/// With or without padding.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);
/// Fields of a form, at most, beside the files.
const MAX_TEXTS: usize = 32;
/// Bytes that are held at once of what is being sent, whoever sends it.
const HELD: usize = 256 << 20;
/// The largest body of any operation, for who does not say how much is to come.
const LARGEST: usize = UploadLimits::body(64 << 20);
/// In these pieces they are counted.
const PIECE: usize = 1 << 10;

/// Space for what is being sent, for all who send. Cloning shares it.
#[derive(Clone, Debug)]
pub(crate) struct Space(Arc<Semaphore>);

/// A part of it, until it is let go.
pub(crate) type Held = OwnedSemaphorePermit;

impl Default for Space {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(HELD / PIECE)))
    }
}

impl Space {
    /// As much as the request says that it brings, at most `most`; nothing is waited for.
    ///
    /// # Errors
    /// 503 when there is not that much now.
    pub(crate) fn hold(&self, headers: &HeaderMap, most: usize) -> Answer<Held> {
        let length = headers.get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok());
        let pieces = length.unwrap_or(most).min(most).div_ceil(PIECE);
        let held = Arc::clone(&self.0).try_acquire_many_owned(u32::try_from(pieces).unwrap_or(u32::MAX));
        held.map_err(|_| {
            Problem::busy(StatusCode::SERVICE_UNAVAILABLE, "too much is being sent at once; try again in a moment", 2)
        })
    }
}

/// What may come in.
#[derive(Clone, Copy, Debug)]
pub struct UploadLimits {
    /// The fields that are files; each may come several times.
    pub fields: &'static [&'static str],
    /// The fields of a form that are JSON. What else stands in it is text: a room may be called 101.
    pub json: &'static [&'static str],
    /// Files in all.
    pub files: usize,
    /// Bytes of a file.
    pub file_bytes: usize,
}

impl UploadLimits {
    /// So many files in these fields, each of so many bytes; all else is text.
    pub const fn new(fields: &'static [&'static str], files: usize, file_bytes: usize) -> Self {
        Self { fields, json: &[], files, file_bytes }
    }

    /// Reads these fields of a form as JSON: numbers and lists.
    #[must_use]
    pub const fn with_json(self, json: &'static [&'static str]) -> Self {
        Self { json, ..self }
    }

    /// Bytes of a body that keeps to it, in whatever form; for `DefaultBodyLimit::max`.
    pub const fn body(file_bytes: usize) -> usize {
        file_bytes / 3 * 4 + (2 << 20)
    }
}

/// Files and what was said about them.
#[derive(Debug)]
pub struct Upload<O> {
    /// Field and content, in the order in which they came.
    pub files: Vec<(&'static str, Vec<u8>)>,
    /// Everything else.
    pub options: O,
    /// For as long as the files are worked on.
    pub(crate) held: Held,
}

impl<O> Upload<O> {
    /// The only file of that field.
    ///
    /// # Errors
    /// When there is none, or more than one.
    pub fn one(&mut self, field: &str) -> Answer<Vec<u8>> {
        let mut found: Vec<_> = self.files.extract_if(.., |(name, _)| *name == field).collect();
        match found.len() {
            1 => Ok(found.remove(0).1),
            0 => Err(Problem::invalid_field(&format!("/{field}"), "is missing: send a picture")),
            _ => Err(Problem::invalid_field(&format!("/{field}"), "must come once")),
        }
    }
}

/// Reads files and options, from a form or from JSON. `O` must have `deny_unknown_fields`.
///
/// # Errors
/// When something is too large, too much, of the wrong type or not known, or too much is being sent by all at once.
pub async fn read<O: DeserializeOwned>(api: &Api, request: Request, limits: UploadLimits) -> Answer<Upload<O>> {
    let held =
        api.access.space.hold(request.headers(), UploadLimits::body(limits.files * limits.file_bytes).min(LARGEST))?;
    let media_type = request.headers().get(header::CONTENT_TYPE).and_then(|v| v.to_str().ok()).unwrap_or_default();
    let essence = media_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    let (files, options) = match essence.as_str() {
        "multipart/form-data" => form(request, limits).await?,
        "application/json" => json(request, limits).await?,
        _ => return Err(unsupported("multipart/form-data, or application/json with the pictures in Base64")),
    };
    let text = Value::Object(options).to_string();
    Ok(Upload { files, options: crate::extract::read_json(text.as_bytes())?, held })
}

type Read = (Vec<(&'static str, Vec<u8>)>, Map<String, Value>);

async fn form(request: Request, limits: UploadLimits) -> Answer<Read> {
    let mut form =
        Multipart::from_request(request, &()).await.map_err(|rejection| Problem::bad_request(rejection.body_text()))?;
    let (mut files, mut options) = (Vec::new(), Map::new());
    loop {
        let field = form.next_field().await.map_err(|error| broken(&error))?;
        let Some(mut field) = field else { return Ok((files, options)) };
        let name = field.name().unwrap_or_default().to_owned();
        let file = limits.fields.iter().copied().find(|known| *known == name);
        let most = if file.is_some() { limits.file_bytes } else { 16 << 20 };
        let mut bytes = Vec::new();
        while let Some(chunk) = field.chunk().await.map_err(|error| broken(&error))? {
            if bytes.len() + chunk.len() > most {
                return Err(too_large(format!("{name}: at most {} MB", most >> 20)));
            }
            bytes.extend_from_slice(&chunk);
        }
        match file {
            Some(_) if files.len() >= limits.files => return Err(too_many(limits.files)),
            Some(field) => files.push((field, bytes)),
            None => {
                if options.len() >= MAX_TEXTS {
                    return Err(Problem::bad_request(format!(
                        "a form has at most {MAX_TEXTS} fields beside its files"
                    )));
                }
                let text = String::from_utf8(bytes)
                    .map_err(|_| Problem::invalid_field(&format!("/{name}"), "must be text in UTF-8"))?;
                let value = if limits.json.contains(&name.as_str()) { value(text) } else { Value::String(text) };
                if options.contains_key(&name) {
                    return Err(Problem::invalid_field(&format!("/{name}"), "must come once"));
                }
                options.insert(name, value);
            }
        }
    }
}

/// What is no JSON is refused by the type that it is read as.
fn value(text: String) -> Value {
    serde_json::from_str(&text).unwrap_or(Value::String(text))
}

async fn json(request: Request, limits: UploadLimits) -> Answer<Read> {
    let bytes = axum::body::Bytes::from_request(request, &()).await.map_err(unreadable)?;
    let mut options: Map<String, Value> = crate::extract::read_json(&bytes)?;
    let mut files = Vec::new();
    for field in limits.fields {
        let texts = match options.remove(*field) {
            None | Some(Value::Null) => Vec::new(),
            Some(Value::Array(several)) => several,
            Some(one) => vec![one],
        };
        for text in texts {
            if files.len() >= limits.files {
                return Err(too_many(limits.files));
            }
            let picture = text.as_str().and_then(decode);
            let picture =
                picture.ok_or_else(|| Problem::invalid_field(&format!("/{field}"), "must be a picture in Base64"))?;
            if picture.len() > limits.file_bytes {
                return Err(too_large(format!("{field}: at most {} MB", limits.file_bytes >> 20)));
            }
            files.push((*field, picture));
        }
    }
    Ok((files, options))
}

/// Base64, also as a `data:` address.
pub fn decode(text: &str) -> Option<Vec<u8>> {
    let text = match text.strip_prefix("data:") {
        Some(address) => address.split_once(";base64,")?.1,
        None => text,
    };
    BASE64.decode(text.trim()).ok()
}

fn too_many(most: usize) -> Problem {
    Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "too-large", "Too large", format!("at most {most} files; ask in parts"))
}

fn broken(error: &axum::extract::multipart::MultipartError) -> Problem {
    if error.status() == StatusCode::PAYLOAD_TOO_LARGE {
        return too_large("the body is larger than this operation reads");
    }
    Problem::bad_request(format!("the form cannot be read: {}", error.body_text()))
}
