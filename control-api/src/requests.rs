//! How long requests take to be answered, by what was asked for and how that went. Answers that go on count until their
//! head is there.

use std::sync::Arc;

use axum::extract::{MatchedPath, Request, State};
use axum::http::{Method, StatusCode};
use axum::middleware::Next;
use axum::response::Response;
use rollcall_pipeline::metrics::RequestMetrics;
use rollcall_pipeline::{Clock, MonoTime};

/// The route of paths that are not there.
const NO_ROUTE: &str = "none";
/// The status of what nobody waited for any more.
const GONE: &str = "gone";

/// What requests are measured with.
pub(crate) struct Stopwatch {
    clock: Arc<dyn Clock>,
    metrics: RequestMetrics,
}

impl Stopwatch {
    pub(crate) fn new(clock: Arc<dyn Clock>) -> Self {
        Self { clock, metrics: RequestMetrics::default() }
    }
}

/// Measures a request.
pub(crate) async fn measure(
    State(watch): State<Arc<Stopwatch>>,
    route: Option<MatchedPath>,
    request: Request,
    next: Next,
) -> Response {
    let mut asked = Asked { begun: watch.clock.mono(), method: method(request.method()), route, status: GONE, watch };
    let response = next.run(request).await;
    asked.answered(response.status());
    response
}

/// A request. It counts when it is let go, also where its sender does not wait for the answer: with the slowest few do.
struct Asked {
    watch: Arc<Stopwatch>,
    method: &'static str,
    route: Option<MatchedPath>,
    status: &'static str,
    begun: MonoTime,
}

impl Asked {
    fn answered(&mut self, status: StatusCode) {
        self.status = class(status);
    }
}

impl Drop for Asked {
    fn drop(&mut self) {
        let Stopwatch { clock, metrics } = &*self.watch;
        let route = self.route.as_ref().map_or(NO_ROUTE, MatchedPath::as_str);
        metrics.answered(self.method, route, self.status, clock.mono().since(self.begun));
    }
}

/// A method as a label. Of those that nothing here has there is no end.
fn method(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::OPTIONS => "OPTIONS",
        Method::PUT => "PUT",
        Method::POST => "POST",
        Method::PATCH => "PATCH",
        Method::DELETE => "DELETE",
        _ => "other",
    }
}

/// The class of a status as a label.
fn class(status: StatusCode) -> &'static str {
    match status.as_u16() {
        ..200 => "1xx",
        200..300 => "2xx",
        300..400 => "3xx",
        400..500 => "4xx",
        500.. => "5xx",
    }
}
