//! `Idempotency-Key`: a POST that is sent twice is done once and answered twice.

use std::sync::Arc;

use axum::body::{Body, Bytes, HttpBody as _, to_bytes};
use axum::extract::{DefaultBodyLimit, FromRequest as _, MatchedPath, Multipart, Request};
use axum::http::request;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use chrono::Duration;
use rollcall_store::Claim;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use utoipa::openapi::Required;
use utoipa::openapi::path::{Parameter, ParameterBuilder, ParameterIn};
use utoipa::openapi::schema::{ObjectBuilder, Type};

use crate::caller::Caller;
use crate::compreface::subjects;
use crate::extract::too_large;
use crate::guard::took_too_long;
use crate::people::{enrol, import};
use crate::problem::Problem;
use crate::state::Api;
use crate::{MAX_BODY_BYTES, check_in};

/// The header.
pub(crate) const HEADER: &str = "idempotency-key";
/// Says that an answer is one of before.
pub(crate) const REPLAYED: &str = "idempotency-replayed";
/// Longest key.
const MAX_KEY: usize = 200;
/// Largest answer that is kept.
const MAX_ANSWER: usize = 1 << 20;
/// Work that takes longer is given up.
const LONGEST: std::time::Duration = std::time::Duration::from_secs(100);
/// Longer than that: whoever did not answer by then died.
const ABANDONED_AFTER: Duration = Duration::minutes(2);
/// Headers that belong to the answer and not to its journey.
const KEPT: [HeaderName; 3] = [header::CONTENT_TYPE, header::LOCATION, header::ETAG];

#[derive(Serialize, Deserialize)]
struct Kept {
    status: u16,
    headers: Vec<(String, String)>,
    #[serde(with = "base64_text")]
    body: Vec<u8>,
}

mod base64_text {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub(super) fn serialize<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&STANDARD.encode(bytes))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
        STANDARD.decode(String::deserialize(deserializer)?).map_err(D::Error::custom)
    }
}

/// What is made anew each time: tokens and tickets, and what is seen in pictures. That creates nothing, and a face as a
/// vector is nobody's to keep but the caller's.
const ANEW: [&str; 8] = [
    "/api/v1/cameras/discover/streams",
    "/api/v1/cameras/test",
    "/api/v1/cameras/{id}/test",
    "/api/v1/detection/detect",
    "/api/v1/live/ticket",
    "/api/v1/recognition/faces/{image_id}/verify",
    "/api/v1/recognition/recognize",
    "/api/v1/verification/verify",
];

/// Whether a request is to be done once.
pub(crate) fn is_asked_for(request: &Request) -> bool {
    request.method() == Method::POST
        && request.headers().contains_key(HEADER)
        && request.extensions().get::<MatchedPath>().is_some_and(|path| !is_anew(path.as_str()))
}

/// How the document describes the header.
pub(crate) fn parameter() -> Parameter {
    let key = ObjectBuilder::new().schema_type(Type::String).pattern(Some(format!("^[!-~]{{1,{MAX_KEY}}}$")));
    ParameterBuilder::new()
        .name("Idempotency-Key")
        .parameter_in(ParameterIn::Header)
        .required(Required::False)
        .description(Some("Sent twice with the same, it is done once and answered twice"))
        .schema(Some(key))
        .build()
}

/// How large a request may be: as its operation reads it.
fn most(path: &str) -> usize {
    match path {
        "/api/v1/attendance/mark" => check_in::MAX_BODY,
        "/api/v1/people/import" => import::MAX_BYTES,
        "/api/v1/people/{id}/templates" => enrol::MAX_BODY,
        "/api/v1/recognition/faces" => subjects::MAX_BODY,
        _ => MAX_BODY_BYTES,
    }
}

/// Whether the header changes nothing about a POST to `path`.
pub(crate) fn is_anew(path: &str) -> bool {
    ANEW.contains(&path) || ["/api/v1/auth/", "/api/v1/faces/"].iter().any(|noun| path.starts_with(noun))
}

/// Does it, or tells again what came of it.
pub(crate) async fn once(api: Arc<Api>, caller: Caller, request: Request, next: Next) -> Result<Response, Problem> {
    let key = key(request.headers())?;
    let (parts, body) = request.into_parts();
    let most = most(parts.extensions.get::<MatchedPath>().map_or("", MatchedPath::as_str));
    if body.size_hint().lower() > most as u64 {
        return Err(too_large("the body is larger than this operation reads"));
    }
    let held = api.access.space.hold(&parts.headers, most)?;
    let body = to_bytes(body, most)
        .await
        .map_err(|_| too_large("the body did not come in whole, or is larger than this operation reads"))?;
    let digest = digest(&parts, &body).await;
    let now = api.clock.wall();
    let claim = api.store.claim_request(caller.id, &key, &digest, now, now - ABANDONED_AFTER).await?;
    match claim {
        Claim::Ours => {}
        Claim::UnderWay => {
            return Err(Problem::conflict("the request with this Idempotency-Key is under way; ask again in a moment"));
        }
        Claim::Taken => {
            return Err(Problem::new(
                StatusCode::UNPROCESSABLE_ENTITY,
                "idempotency-key",
                "Used for another request",
                "this Idempotency-Key came with another request before: take a new one for each",
            ));
        }
        Claim::Done(answer) => return replay(answer),
    }
    // Not cut short when the caller hangs up: that is when they will ask again.
    let done = tokio::spawn(async move {
        let _held = held;
        let work = next.run(Request::from_parts(parts, Body::from(body)));
        let response = tokio::time::timeout(LONGEST, work).await;
        let response = response.unwrap_or_else(|_| took_too_long().into_response());
        api.access.holders.forget();
        keep(&api, &caller, &key, response).await
    });
    done.await.map_err(Problem::internal)
}

/// What tells a request from others: where it goes, which version it is meant for, and what it brings.
async fn digest(parts: &request::Parts, body: &Bytes) -> [u8; 32] {
    let target = parts.uri.path_and_query().map_or("", |target| target.as_str());
    let version = parts.headers.get(header::IF_MATCH).map_or(&b""[..], HeaderValue::as_bytes);
    // What is no form that can be read is told by its bytes.
    let brought = form(&parts.headers, body).await.unwrap_or_else(|| Sha256::digest(body).into());
    let digests = [Sha256::digest(target), Sha256::digest(version), brought.into()];
    digests.into_iter().fold(Sha256::new(), Sha256::chain_update).finalize().into()
}

/// The digest of a form's fields, as `upload` reads them: their names and contents in order. What parts them is drawn anew
/// by whoever sends the form again.
async fn form(headers: &HeaderMap, body: &Bytes) -> Option<[u8; 32]> {
    let mut request = Request::new(Body::from(body.clone()));
    request.headers_mut().insert(header::CONTENT_TYPE, headers.get(header::CONTENT_TYPE)?.clone());
    // It is in memory already.
    DefaultBodyLimit::disable().apply(&mut request);
    let mut form = Multipart::from_request(request, &()).await.ok()?;
    let mut fields = Sha256::new();
    while let Some(mut field) = form.next_field().await.ok()? {
        fields.update(Sha256::digest(field.name().unwrap_or_default()));
        let mut content = Sha256::new();
        while let Some(chunk) = field.chunk().await.ok()? {
            content.update(chunk);
        }
        fields.update(content.finalize());
    }
    Some(fields.finalize().into())
}

fn key(headers: &HeaderMap) -> Result<String, Problem> {
    let key = headers.get(HEADER).and_then(|key| key.to_str().ok()).unwrap_or_default().trim();
    if (1..=MAX_KEY).contains(&key.len()) && key.bytes().all(|b| b.is_ascii_graphic()) {
        return Ok(key.to_owned());
    }
    Err(Problem::bad_request(format!("Idempotency-Key must be 1 to {MAX_KEY} letters, such as a random UUID")))
}

/// Keeps the answer if the request was done; what was refused may be tried again.
async fn keep(api: &Api, caller: &Caller, key: &str, response: Response) -> Response {
    let status = response.status();
    if !status.is_success() {
        log(api.store.give_claim_back(caller.id, key).await);
        return response;
    }
    let (parts, body) = response.into_parts();
    // Only what creates gets here: its answers are small and whole.
    let Ok(body) = to_bytes(body, usize::MAX).await else {
        log(api.store.keep_answer(caller.id, key, status.as_u16(), None).await);
        return Problem::internal("an answer could not be kept").into_response();
    };
    let text = |name: &HeaderName| Some((name.to_string(), parts.headers.get(name)?.to_str().ok()?.to_owned()));
    let headers = KEPT.iter().filter_map(text).collect();
    let kept = Kept { status: status.as_u16(), headers, body: body.to_vec() };
    let bytes = (body.len() <= MAX_ANSWER).then(|| serde_json::to_vec(&kept).ok()).flatten();
    log(api.store.keep_answer(caller.id, key, status.as_u16(), bytes.as_deref()).await);
    Response::from_parts(parts, Body::from(body))
}

fn log(result: Result<(), rollcall_store::StoreError>) {
    if let Err(error) = result {
        tracing::warn!(%error, "an answer was not kept: the same request will be done again");
    }
}

fn replay(answer: Option<Vec<u8>>) -> Result<Response, Problem> {
    let Some(bytes) = answer else {
        let why = "this was done before, but its answer is not kept: it was too large, or somebody was erased since";
        return Err(Problem::conflict(why));
    };
    let kept: Kept = serde_json::from_slice(&bytes).map_err(Problem::internal)?;
    let status = StatusCode::from_u16(kept.status).map_err(Problem::internal)?;
    let mut response = (status, Body::from(Bytes::from(kept.body))).into_response();
    for (name, value) in kept.headers {
        if let (Ok(name), Ok(value)) = (HeaderName::try_from(name), HeaderValue::try_from(value)) {
            response.headers_mut().insert(name, value);
        }
    }
    response.headers_mut().insert(REPLAYED, HeaderValue::from_static("true"));
    Ok(response)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_made_anew_is_there() {
        let document = crate::document();
        let large: Vec<_> = document.paths.paths.keys().filter(|path| most(path) > MAX_BODY_BYTES).collect();
        assert_eq!(large.len(), 4, "{large:?}");
        let posts = |path: &&str| document.paths.paths.get(*path).is_some_and(|item| item.post.is_some());
        assert_eq!(ANEW.iter().filter(|path| !posts(path)).collect::<Vec<_>>(), Vec::<&&str>::new());
    }
}
