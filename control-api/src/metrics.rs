//! `/metrics`: everything that `rollcall_pipeline::metrics` names, and the process itself under the names that Prometheus
//! has for every process, in its text format.

use std::sync::Arc;

use axum::Router;
use axum::http::header;
use axum::response::IntoResponse;
use axum::routing::get;
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use metrics_process::Collector;
use rollcall_pipeline::metrics::{GaugeName, HistogramName, Label, describe_all, gauge};

use crate::state::Api;

/// Why metrics cannot be recorded.
#[derive(Debug, thiserror::Error)]
#[error("metrics cannot be recorded: {0}")]
pub struct MetricsError(#[from] metrics_exporter_prometheus::BuildError);

/// The recorder of the process. Cheap to clone.
#[derive(Clone)]
pub struct Metrics {
    recorder: PrometheusHandle,
    process: Collector,
}

impl std::fmt::Debug for Metrics {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Metrics")
    }
}

impl Metrics {
    /// Makes the recorder of the whole process. Before anything that records is made: handles made earlier record nothing.
    ///
    /// # Errors
    /// When there is one already.
    pub fn install() -> Result<Self, MetricsError> {
        let (recorder, process) = (builder()?.install_recorder()?, Collector::default());
        describe_all();
        process.describe();
        gauge(GaugeName::BuildInfo, &[Label::Version(env!("CARGO_PKG_VERSION"))]).set(1.0);
        Ok(Self { recorder, process })
    }

    /// A recorder of its own that nothing records to, for tests.
    ///
    /// # Errors
    /// When the buckets are wrong, which a test rules out.
    pub fn detached() -> Result<Self, MetricsError> {
        Ok(Self { recorder: builder()?.build_recorder().handle(), process: Collector::default() })
    }

    /// The exposition.
    pub fn render(&self) -> String {
        self.process.collect();
        // Drains the histograms' buffers, which grow otherwise: they are only ever read here.
        self.recorder.run_upkeep();
        self.recorder.render()
    }

    /// To be called every few seconds, so that memory stays bounded when nobody scrapes.
    pub fn upkeep(&self) {
        self.recorder.run_upkeep();
    }
}

fn builder() -> Result<PrometheusBuilder, MetricsError> {
    let mut builder = PrometheusBuilder::new();
    for name in HistogramName::ALL {
        builder = builder.set_buckets_for_metric(Matcher::Full(name.as_str().to_owned()), name.buckets())?;
    }
    Ok(builder)
}

pub(crate) fn router(metrics: Metrics, api: Arc<Api>) -> Router {
    let text = [(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")];
    let tell = move || async move {
        // Known whenever it is asked for, and by nobody before.
        api.daemon.readiness().record();
        (text, metrics.render()).into_response()
    };
    Router::new().route("/metrics", get(tell))
}
