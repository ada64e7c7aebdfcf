//! The database of this installation: the configured one, or the private cluster in the data directory.

use std::future::Future;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use chrono::NaiveDate;
use rollcall_pipeline::config::Config;
use rollcall_pipeline::supervisor::Supervisor;
use rollcall_pipeline::{Clock, SystemClock};
use rollcall_store::{Cluster, Sealer, Store};
use tokio::runtime::{Builder, Runtime};

use crate::cli::Place;

/// A connection that hangs is not waited for; its server notices.
const CLOSE_PATIENCE: Duration = Duration::from_secs(2);

/// A database, and the cluster behind it if that is ours. Dropping it stops the cluster.
pub(crate) struct Database {
    /// Rows and templates.
    pub(crate) store: Store,
    cluster: Option<Cluster>,
}

impl Database {
    /// Starts (or joins) the private cluster, or prepares to connect to `database.url`, which may be away.
    pub(crate) fn open(
        place: &Place,
        config: &Config,
        supervisor: &Supervisor,
        runtime: &Runtime,
    ) -> anyhow::Result<Self> {
        let data_dir = place.data_dir()?;
        std::fs::create_dir_all(&data_dir).with_context(|| {
            format!("cannot make the data directory {}: choose another with --data-dir", data_dir.display())
        })?;
        let sealer = sealer(config, &data_dir)?;
        let connections = config.database.max_connections;
        // The pool belongs to the runtime.
        let _entered = runtime.enter();
        match &config.database.url {
            Some(url) => {
                let options = Store::parse_url(url.as_secret())?;
                Ok(Self { store: Store::new(options, sealer, connections), cluster: None })
            }
            None => {
                let cluster = Cluster::start(&data_dir, supervisor)?;
                Ok(Self { store: Store::in_cluster(&cluster, sealer, connections), cluster: Some(cluster) })
            }
        }
    }

    /// Closes the connections, and stops the cluster if this process started it.
    pub(crate) fn close(self, runtime: &Runtime) {
        let closed = runtime.block_on(async { tokio::time::timeout(CLOSE_PATIENCE, self.store.close()).await });
        if closed.is_err() {
            tracing::warn!("connections to the database are still in use at the end");
        }
        if let Some(cluster) = self.cluster {
            cluster.stop();
        }
    }
}

/// The key of this installation; made, if there is none.
pub(crate) fn sealer(config: &Config, data_dir: &Path) -> anyhow::Result<Sealer> {
    Ok(match &config.database.key_file {
        Some(path) => Sealer::from_file(path)?,
        None => Sealer::open_or_create(data_dir)?,
    })
}

/// The runtime of sink, database and API. Compute has its own threads.
pub(crate) fn runtime() -> anyhow::Result<Runtime> {
    let runtime = Builder::new_multi_thread().worker_threads(2).thread_name("tokio").enable_all().build();
    runtime.context("no threads can be started")
}

/// Opens the database for a command that is done soon, and closes it afterwards. Bringing its schema up to date is the
/// work's business.
pub(crate) fn with_store<T, F: Future<Output = anyhow::Result<T>>>(
    place: &Place,
    config: &Config,
    work: impl FnOnce(Store, NaiveDate) -> F,
) -> anyhow::Result<T> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let supervisor = Supervisor::new(Arc::clone(&clock));
    let runtime = runtime()?;
    let database = Database::open(place, config, &supervisor, &runtime)?;
    let today = clock.wall().date_naive();
    let result = runtime.block_on(work(database.store.clone(), today));
    database.close(&runtime);
    result
}
