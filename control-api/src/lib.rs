//! The HTTP side: health, metrics and the live state, one router a noun. The only place that knows HTTP and JSON.
//!
//! It knows nothing of the lane, the models or the database: the daemon hands it a [`Daemon`] to ask.

mod cameras;
mod health;
mod metrics;
mod version;

use std::future::Future;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::http::StatusCode;
use tokio::net::TcpListener;
use tower_http::limit::RequestBodyLimitLayer;
use tower_http::timeout::TimeoutLayer;

pub use cameras::CameraView;
pub use health::{Part, Readiness};
pub use metrics::{Metrics, MetricsError};
pub use version::{ModelView, VersionView};

/// Nothing that is served today takes longer than this, and nothing that is accepted is larger.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);
const MAX_BODY_BYTES: usize = 64 << 10;

/// What can be asked of a running daemon. Answers come at once, from what is known.
pub trait Daemon: Send + Sync + 'static {
    /// Whether it can do its work, part by part.
    fn readiness(&self) -> Readiness;

    /// The cameras, in the order of the configuration.
    fn cameras(&self) -> Vec<CameraView>;

    /// What is running.
    fn version(&self) -> VersionView;
}

/// All routes.
pub fn router(daemon: Arc<dyn Daemon>, metrics: Metrics) -> Router {
    let api = Router::new().merge(cameras::router()).merge(version::router());
    Router::new()
        .merge(health::router())
        .nest("/api/v1", api)
        .with_state(daemon)
        .merge(metrics::router(metrics))
        .layer(TimeoutLayer::with_status_code(StatusCode::SERVICE_UNAVAILABLE, REQUEST_TIMEOUT))
        .layer(RequestBodyLimitLayer::new(MAX_BODY_BYTES))
}

/// Serves until `shutdown` is done; requests under way are finished.
///
/// # Errors
/// When the socket fails.
pub async fn serve(
    listener: TcpListener,
    router: Router,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> io::Result<()> {
    axum::serve(listener, router).with_graceful_shutdown(shutdown).await
}
