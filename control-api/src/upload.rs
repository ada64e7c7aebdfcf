//! Pictures and clips that come in: as a multipart form, or in JSON as Base64. Bounded in number and size while they are
//! read, one by one and all together, so that no body takes much more memory than it is long. What they are is told by their
//! content; names and media types of files are not believed, nor kept.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use axum::extract::{FromRequest, Multipart, Request};
use axum::http::{HeaderMap, StatusCode, header};
use base64::Engine as _;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use serde::de::{DeserializeOwned, DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::value::{RawValue, to_raw_value};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::extract::{read_json, read_json_seed, too_large, unreadable, unsupported};
use crate::problem::{Answer, Problem};
use crate::state::Api;

/// With or without padding.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);
/// Fields, at most, beside the files.
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
    let read = match essence.as_str() {
        "multipart/form-data" => form(request, limits).await?,
        "application/json" => json(request, limits).await?,
        _ => return Err(unsupported("multipart/form-data, or application/json with the pictures in Base64")),
    };
    let Intake { files, options, .. } = read;
    let text = serde_json::to_string(&options).map_err(Problem::internal)?;
    drop(options);
    Ok(Upload { files, options: read_json(text.as_bytes())?, held })
}

/// What has come in so far, within its limits.
struct Intake {
    limits: UploadLimits,
    files: Vec<(&'static str, Vec<u8>)>,
    /// As they are written: what a number or a list takes in memory is for the type to say that they are read as.
    options: BTreeMap<String, Box<RawValue>>,
    /// Why the reading of a JSON body was ended, where Serde has no word for it.
    refused: Option<Problem>,
}

impl Intake {
    fn new(limits: UploadLimits) -> Self {
        Self { limits, files: Vec::new(), options: BTreeMap::new(), refused: None }
    }

    /// The field of this name, if it is one of files.
    fn file_field(&self, name: &str) -> Option<&'static str> {
        self.limits.fields.iter().copied().find(|known| *known == name)
    }

    fn room_for_file(&self) -> Answer<()> {
        if self.files.len() < self.limits.files { Ok(()) } else { Err(too_many(self.limits.files)) }
    }

    fn add_file(&mut self, field: &'static str, bytes: Vec<u8>) -> Answer<()> {
        self.room_for_file()?;
        if bytes.len() > self.limits.file_bytes {
            return Err(too_large(format!("{field}: at most {} MB", self.limits.file_bytes >> 20)));
        }
        self.files.push((field, bytes));
        Ok(())
    }

    fn go_on<E: Error>(&mut self, answer: Answer<()>) -> Result<(), E> {
        answer.map_err(|problem| {
            let error = E::custom(problem.detail());
            self.refused = Some(problem);
            error
        })
    }

    fn room_for_option(&self, name: &str) -> Answer<()> {
        if self.options.contains_key(name) {
            return Err(Problem::invalid_field(&format!("/{name}"), "must come once"));
        }
        if self.options.len() >= MAX_TEXTS {
            return Err(Problem::bad_request(format!("at most {MAX_TEXTS} fields are read beside the files")));
        }
        Ok(())
    }
}

async fn form(request: Request, limits: UploadLimits) -> Answer<Intake> {
    let mut form =
        Multipart::from_request(request, &()).await.map_err(|rejection| Problem::bad_request(rejection.body_text()))?;
    let mut intake = Intake::new(limits);
    loop {
        let field = form.next_field().await.map_err(|error| broken(&error))?;
        let Some(mut field) = field else { return Ok(intake) };
        let name = field.name().unwrap_or_default().to_owned();
        let file = intake.file_field(&name);
        let most = if file.is_some() { limits.file_bytes } else { 16 << 20 };
        let mut bytes = Vec::new();
        while let Some(chunk) = field.chunk().await.map_err(|error| broken(&error))? {
            if bytes.len() + chunk.len() > most {
                return Err(too_large(format!("{name}: at most {} MB", most >> 20)));
            }
            bytes.extend_from_slice(&chunk);
        }
        match file {
            Some(field) => intake.add_file(field, bytes)?,
            None => {
                let text = String::from_utf8(bytes)
                    .map_err(|_| Problem::invalid_field(&format!("/{name}"), "must be text in UTF-8"))?;
                intake.room_for_option(&name)?;
                let value = if limits.json.contains(&name.as_str()) { json_or_text(text) } else { to_raw_value(&text) };
                intake.options.insert(name, value.map_err(Problem::internal)?);
            }
        }
    }
}

/// What is no JSON is refused by the type that it is read as.
fn json_or_text(text: String) -> serde_json::Result<Box<RawValue>> {
    serde_json::from_str(&text).or_else(|_| to_raw_value(&text))
}

async fn json(request: Request, limits: UploadLimits) -> Answer<Intake> {
    let bytes = axum::body::Bytes::from_request(request, &()).await.map_err(unreadable)?;
    read_body(&bytes, limits)
}

fn read_body(bytes: &[u8], limits: UploadLimits) -> Answer<Intake> {
    let mut intake = Intake::new(limits);
    let read = read_json_seed(bytes, Fields(&mut intake));
    if let Some(problem) = intake.refused {
        return Err(problem);
    }
    read.map(|()| intake)
}

/// A body, field by field.
struct Fields<'a>(&'a mut Intake);

impl<'de> DeserializeSeed<'de> for Fields<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Fields<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let Self(intake) = self;
        while let Some(name) = map.next_key::<String>()? {
            if let Some(field) = intake.file_field(&name) {
                map.next_value_seed(Files(File { field, intake: &mut *intake }))?;
            } else {
                let room = intake.room_for_option(&name);
                intake.go_on(room)?;
                intake.options.insert(name, map.next_value()?);
            }
        }
        Ok(())
    }
}

/// What stands in a field of files: one, several, or null for none.
struct Files<'a>(File<'a>);

impl<'de> DeserializeSeed<'de> for Files<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Files<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("pictures in Base64")
    }

    fn visit_unit<E: Error>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<(), E> {
        self.0.visit_str(text)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        let Self(File { field, intake }) = self;
        while list.next_element_seed(File { field, intake: &mut *intake })?.is_some() {}
        Ok(())
    }
}

/// One of them.
struct File<'a> {
    field: &'static str,
    intake: &'a mut Intake,
}

impl<'de> DeserializeSeed<'de> for File<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for File<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a picture in Base64")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<(), E> {
        let room = self.intake.room_for_file();
        self.intake.go_on(room)?;
        let bytes = decode(text).ok_or_else(|| E::custom("must be a picture in Base64"))?;
        let added = self.intake.add_file(self.field, bytes);
        self.intake.go_on(added)
    }
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

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    const LIMITS: UploadLimits = UploadLimits::new(&["images"], 2, 3).with_json(&["candidates"]);

    fn refused(body: &str) -> (u16, Value) {
        let problem = read_body(body.as_bytes(), LIMITS).err().expect("it is refused");
        let status = problem.status().as_u16();
        let told = serde_json::to_value(problem).expect("JSON");
        (status, told.pointer("/errors/0/pointer").cloned().unwrap_or_default())
    }

    #[test]
    fn files_and_options_are_told_apart() {
        for (body, files) in [("null", 0), (r#""eA==""#, 1), (r#"["eA==", "data:image/png;base64,eA=="]"#, 2)] {
            let body = format!(r#"{{"candidates": [0, 1.50], "images": {body}, "most": 3}}"#);
            let Intake { files: read, options, .. } = read_body(body.as_bytes(), LIMITS).expect("it is read");
            assert_eq!(read, vec![("images", b"x".to_vec()); files]);
            assert_eq!(serde_json::to_string(&options).expect("JSON"), r#"{"candidates":[0, 1.50],"most":3}"#);
        }
    }

    /// None of these bodies is JSON to its end: whoever read on would say that.
    #[test]
    fn a_body_is_read_no_further_than_to_what_is_wrong() {
        assert_eq!(refused(r#"{"images": [0, "#), (422, "#/images/0".into()));
        assert_eq!(refused(r#"{"images": [[], "#), (422, "#/images/0".into()));
        assert_eq!(refused(r#"{"images": {"a": "#), (422, "#/images".into()));
        assert_eq!(refused(r#"{"images": ["eA==", "?", "#), (422, "#/images/1".into()));
        assert_eq!(refused(r#"{"images": ["eHh4eA==", "#), (413, Value::Null));
        assert_eq!(refused(r#"{"images": ["", "", "", "#), (413, Value::Null));
        assert_eq!(refused(r#"{"images": "", "images": ["", "", "#), (413, Value::Null));
        assert_eq!(refused(r#"{"a": 0, "a": "#), (422, "#/a".into()));
        let options: Vec<_> = (0..=MAX_TEXTS).map(|n| format!(r#""{n}": "#)).collect();
        assert_eq!(refused(&format!("{{{}", options.join("0, "))), (400, Value::Null));
        assert_eq!(refused("[0, "), (422, "#".into()));
    }

    #[test]
    fn a_body_that_is_not_json_is_told_from_one_that_is_wrong() {
        assert_eq!(refused(r#"{"images": ["eA=="] oh"#), (400, Value::Null));
        assert_eq!(refused(r#"{"images": null} oh"#), (400, Value::Null));
    }
}
