//! What is measured of the requests to the API.

use std::collections::HashMap;
use std::time::Duration;

use ::metrics::Histogram;
use parking_lot::RwLock;

use super::{HistogramName, Label, histogram};

type ByRoute = HashMap<String, Histogram>;

/// Handles of the API, by method and status: each is looked up when its labels first come up.
#[derive(Debug, Default)]
pub struct RequestMetrics(RwLock<HashMap<(&'static str, &'static str), ByRoute>>);

impl RequestMetrics {
    /// A request was answered after so long. `route` is one of the server's own paths, never what somebody sent.
    pub fn answered(&self, method: &'static str, route: &str, status: &'static str, took: Duration) {
        let known = self.0.read().get(&(method, status)).and_then(|routes| routes.get(route)).cloned();
        let handle = known.unwrap_or_else(|| self.look_up(method, route, status));
        handle.record(took.as_secs_f64());
    }

    fn look_up(&self, method: &'static str, route: &str, status: &'static str) -> Histogram {
        let labels = [Label::Method(method), Label::Route(route), Label::Status(status)];
        let handle = histogram(HistogramName::HttpRequestDuration, &labels);
        self.0.write().entry((method, status)).or_default().insert(route.to_owned(), handle.clone());
        handle
    }
}
