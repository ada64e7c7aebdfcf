//! Before every operation: where it comes from, who asks, and whether they ask too often.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{ConnectInfo, Request, State};
use axum::http::header::{self, HeaderName, HeaderValue};
use axum::http::request::Parts;
use axum::http::{Method, StatusCode, Uri};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use tower_http::cors::{AllowOrigin, CorsLayer};

use crate::caller::{API_KEY_HEADER, Caller, REQUEST_ID_HEADER};
use crate::idempotency;
use crate::live::LAST_EVENT_ID;
use crate::problem::Problem;
use crate::setup;
use crate::state::Api;

/// Longest that an answer may take to begin. Streams go on for longer.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(60);

/// Says whose pages may show an answer that they cannot read.
pub(crate) const RESOURCE_POLICY: &str = "cross-origin-resource-policy";

/// Says when a picture was taken.
pub(crate) const CAPTURED_AT: &str = "x-captured-at";

/// Where a request comes from, behind the proxies that are believed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ClientAddress(pub(crate) IpAddr);

/// Who was asked for and refused: asked once a request, told only by operations that want to know.
#[derive(Clone, Debug)]
pub(crate) struct Refused(pub(crate) Problem);

/// Asks all of that.
pub(crate) async fn guard(State(api): State<Arc<Api>>, request: Request, next: Next) -> Response {
    let _changed = (!request.method().is_safe()).then(|| Changed(Arc::clone(&api)));
    guarded(api, request, next).await
}

/// Forgets who is behind tokens and keys, also when the sender does not wait for the answer.
struct Changed(Arc<Api>);

impl Drop for Changed {
    fn drop(&mut self) {
        self.0.access.holders.forget();
    }
}

async fn guarded(api: Arc<Api>, request: Request, next: Next) -> Response {
    let (mut parts, body) = request.into_parts();
    let address = client_address(&api, &parts);
    if let Some(address) = address {
        parts.extensions.insert(ClientAddress(address));
    }
    if !parts.uri.path().starts_with("/api/") {
        return next.run(Request::from_parts(parts, body)).await;
    }
    if let Some(Err(problem)) = address.map(|address| api.access.limits.address(address)) {
        return problem.into_response();
    }
    if let Err(refused) = api.access.tickets.punch(&mut parts, api.clock.wall()) {
        parts.extensions.insert(Refused(refused));
        return next.run(Request::from_parts(parts, body)).await;
    }
    let caller = match Caller::find(&parts, &api).await {
        Ok(Some(caller)) => caller,
        Ok(None) => return next.run(Request::from_parts(parts, body)).await,
        Err(refused) => {
            parts.extensions.insert(Refused(refused));
            return next.run(Request::from_parts(parts, body)).await;
        }
    };
    if let Err(problem) = api.access.limits.caller(&caller) {
        return problem.into_response();
    }
    parts.extensions.insert(caller.clone());
    let request = Request::from_parts(parts, body);
    if idempotency::is_asked_for(&request) {
        return idempotency::once(api, caller, request, next).await.unwrap_or_else(IntoResponse::into_response);
    }
    next.run(request).await
}

/// Gives up on what takes too long, the sending of the request included.
pub(crate) async fn in_time(request: Request, next: Next) -> Response {
    let response = tokio::time::timeout(REQUEST_TIMEOUT, next.run(request)).await;
    response.unwrap_or_else(|_| took_too_long().into_response())
}

/// What whoever waited too long is told.
pub(crate) fn took_too_long() -> Problem {
    Problem::busy(StatusCode::SERVICE_UNAVAILABLE, "this takes too long now: try again later, or ask for less", 10)
}

fn client_address(api: &Api, parts: &Parts) -> Option<IpAddr> {
    let peer = parts.extensions.get::<ConnectInfo<SocketAddr>>()?.0.ip();
    let lines = parts.headers.get_all("x-forwarded-for");
    let lines: Vec<_> = lines.iter().map(|line| line.to_str().unwrap_or_default()).collect();
    Some(api.access.client(peer, &lines))
}

/// What browsers are told about every answer.
pub(crate) async fn headers(uri: Uri, request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    // Two pages bring scripts of their own; everything else is data.
    let policy = if uri.path().starts_with("/docs") {
        "default-src 'self'; img-src 'self' data:; style-src 'self' 'unsafe-inline'; frame-ancestors 'none'"
    } else if uri.path().starts_with(setup::PATH) {
        "default-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
    } else {
        "default-src 'none'; frame-ancestors 'none'"
    };
    let mut set = |name: HeaderName, value: &'static str| {
        headers.entry(name).or_insert(HeaderValue::from_static(value));
    };
    set(header::CONTENT_SECURITY_POLICY, policy);
    set(header::X_CONTENT_TYPE_OPTIONS, "nosniff");
    set(header::X_FRAME_OPTIONS, "DENY");
    set(header::REFERRER_POLICY, "no-referrer");
    set(HeaderName::from_static(RESOURCE_POLICY), "same-origin");
    if uri.path().starts_with("/api/v1/") {
        set(header::CACHE_CONTROL, "no-store");
    }
    response
}

/// Which pages of other origins may use the API.
pub(crate) fn cors(api: &Api) -> CorsLayer {
    let origins = api.access.config.cors_origins.iter().filter_map(|origin| HeaderValue::from_str(origin).ok());
    let names = |names: &[&'static str]| names.iter().map(|name| HeaderName::from_static(name)).collect::<Vec<_>>();
    let asked_with = ["authorization", "content-type", "if-match", API_KEY_HEADER, idempotency::HEADER, LAST_EVENT_ID];
    let ours = [REQUEST_ID_HEADER, idempotency::REPLAYED, CAPTURED_AT];
    let answered_with = [&["etag", "location", "retry-after", "content-disposition"][..], &ours].concat();
    CorsLayer::new()
        .allow_origin(AllowOrigin::list(origins))
        .allow_credentials(true)
        .allow_methods([Method::GET, Method::POST, Method::PUT, Method::PATCH, Method::DELETE])
        .allow_headers(names(&asked_with))
        .expose_headers(names(&answered_with))
        .max_age(std::time::Duration::from_secs(600))
}
