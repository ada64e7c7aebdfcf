//! The HTTP side, one router a noun. The only place that knows HTTP and JSON.
//!
//! A handler reads strictly ([`extract`]), asks who calls (`caller`), asks the store or one of the ports in `state`,
//! and answers with a wire type of its own or a [`problem`]. It knows nothing of the lane and the models.

mod access;
mod accounts;
mod analytics;
mod attendance;
mod audit;
mod auth;
mod board;
mod caller;
mod cameras;
mod check_in;
mod compreface;
mod connections;
mod corrections;
mod courses;
mod drain;
pub mod extract;
mod faces;
mod figures;
mod grants;
mod groups;
mod guard;
mod health;
mod holders;
mod idempotency;
mod json;
mod keys;
mod limits;
mod live;
mod metrics;
mod openapi;
pub mod page;
mod passwords;
mod people;
pub mod ports;
pub mod problem;
mod reports;
mod requests;
mod review;
mod rights;
mod rooms;
mod secrets;
mod sessions;
mod setup;
mod sightings;
mod sites;
mod stall;
mod state;
mod tickets;
mod timetables;
pub mod upload;
pub mod validate;
mod version;
mod visitors;
mod why;

use std::sync::Arc;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::http::HeaderName;
use axum::middleware::{from_fn, from_fn_with_state};
use axum::response::IntoResponse;
use chrono::TimeDelta;
use rollcall_pipeline::{Mark, WallTime};
use rollcall_store::SeenAt;
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::request_id::{MakeRequestUuid, PropagateRequestIdLayer, SetRequestIdLayer};
use utoipa_axum::router::OpenApiRouter;

pub use access::Access;
pub use accounts::AccountView;
pub use caller::{API_KEY_HEADER, Caller, REQUEST_ID_HEADER, digest};
pub use cameras::CameraView;
pub use connections::serve;
pub use health::{Part, Readiness};
pub use live::Live;
pub use metrics::{Metrics, MetricsError};
pub use openapi::document;
pub use passwords::{MAX_PASSWORD, MIN_PASSWORD, hash_password, password_fault};
pub use problem::{Answer, FieldError, Problem};
pub use rights::{Right, Role};
pub use secrets::{NewSecret, NoRandom, SecretKind};
pub use state::Api;
pub use version::{ModelView, VersionView};

/// Largest body, where an operation does not say otherwise.
const MAX_BODY_BYTES: usize = 1 << 20;

/// How long before and after its start somebody may come to a session, and after its end leave it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Windows {
    /// Before the start.
    pub early: TimeDelta,
    /// After the start without being late.
    pub grace: TimeDelta,
    /// After the end.
    pub leave: TimeDelta,
}

/// When a face has a name.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Recognition {
    /// The model whose embeddings are compared.
    pub model: String,
    /// Similarity that two shots need.
    pub early: f32,
    /// Similarity that many shots need.
    pub settled: f32,
    /// Similarity from which on whoever is not named is left for review.
    pub review: f32,
    /// Least distance to the second-best person.
    pub margin: f32,
}

impl Recognition {
    /// What so many shots need, about: the matcher weighs them.
    pub(crate) fn needed(&self, shots: i32) -> f32 {
        if shots <= 2 { self.early } else { self.settled }
    }
}

pub(crate) fn seconds(delta: TimeDelta) -> i32 {
    i32::try_from(delta.num_seconds()).unwrap_or(i32::MAX)
}

/// What can be asked of a running daemon. Answers come at once, from what is known.
pub trait Daemon: Send + Sync + 'static {
    /// Whether it can do its work, part by part.
    fn readiness(&self) -> Readiness;

    /// What is running.
    fn version(&self) -> VersionView;

    /// The windows of sessions that have none of their own.
    fn windows(&self) -> Windows {
        Windows::default()
    }

    /// When a face has a name.
    fn recognition(&self) -> Recognition {
        Recognition::default()
    }

    /// The mark that a camera would have made of somebody who has none there and was first seen at `first`, as the rules in
    /// force have it.
    fn mark_of(&self, _seen: SeenAt<'_>, _first: WallTime) -> Option<Mark> {
        None
    }
}

/// The operations under `/api/v1`, one line a noun.
fn operations() -> OpenApiRouter<Arc<Api>> {
    OpenApiRouter::with_openapi(openapi::head()).merge(health::router()).nest("/api/v1", nouns())
}

fn nouns() -> OpenApiRouter<Arc<Api>> {
    OpenApiRouter::new()
        .merge(accounts::router())
        .merge(analytics::router())
        .merge(attendance::router())
        .merge(audit::router())
        .merge(auth::router())
        .merge(board::router())
        .merge(cameras::router())
        .merge(corrections::router())
        .merge(groups::router())
        .merge(keys::router())
        .merge(live::router())
        .merge(check_in::router())
        .merge(compreface::router())
        .merge(courses::router())
        .merge(people::router())
        .merge(reports::router())
        .merge(faces::router())
        .merge(review::router())
        .merge(rooms::router())
        .merge(sessions::router())
        .merge(sightings::router())
        .merge(sites::router())
        .merge(timetables::router())
        .merge(version::router())
        .merge(visitors::router())
        .merge(why::router())
}

/// All routes.
pub fn router(api: Arc<Api>, metrics: Metrics) -> Router {
    let (operations, document) = operations().split_for_parts();
    let request_id = HeaderName::from_static(REQUEST_ID_HEADER);
    let cors = guard::cors(&api);
    let metrics = metrics::router(metrics, Arc::clone(&api));
    let stopwatch = Arc::new(requests::Stopwatch::new(Arc::clone(&api.clock)));
    operations
        .fallback(problem::no_such_path)
        .method_not_allowed_fallback(problem::no_such_method)
        .layer(from_fn_with_state(Arc::clone(&api), guard::guard))
        .with_state(api)
        .merge(openapi::router(document))
        .merge(metrics)
        .merge(setup::router())
        .layer(DefaultBodyLimit::max(MAX_BODY_BYTES))
        .layer(from_fn(guard::in_time))
        .layer(CatchPanicLayer::custom(|_| Problem::internal("a handler panicked").into_response()))
        .layer(cors)
        .layer(from_fn(drain::drain))
        // Around all that answers by itself: refusals, panics, what takes too long.
        .layer(from_fn_with_state(stopwatch, requests::measure))
        .layer(from_fn(guard::headers))
        .layer(PropagateRequestIdLayer::new(request_id.clone()))
        .layer(SetRequestIdLayer::new(request_id, MakeRequestUuid))
}
