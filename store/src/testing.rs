//! A database for a test, cheaply: one private cluster a test binary, one migrated template in it, one copy a test. And an event
//! to be written there.

mod load;
mod rows;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use chrono::NaiveDate;
use rollcall_pipeline::WallTime;
use rollcall_pipeline::clock::SystemClock;
use rollcall_pipeline::supervisor::Supervisor;
use sqlx::postgres::PgConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, PgConnection};
use tokio::sync::{Mutex, OnceCell};
use uuid::Uuid;

use crate::{Cluster, EventRecord, Sealer, Store};

pub use load::{Load, fill_register};

const TEMPLATE: &str = "template_rollcall";

/// The key of every test store.
pub const KEY: [u8; 32] = [7; 32];

/// The cluster of this test binary. It ends with the process: nobody drops what is static, and the death signal does it.
struct Server {
    options: PgConnectOptions,
    _cluster: Cluster,
    _dir: tempfile::TempDir,
    // Only one copy of a template can be made at a time.
    copying: Mutex<()>,
}

static SERVER: OnceCell<Server> = OnceCell::const_new();
static COUNT: AtomicU32 = AtomicU32::new(0);

/// Partitions are there for the months around it.
fn first_day() -> NaiveDate {
    NaiveDate::from_ymd_opt(2026, 3, 1).expect("a date")
}

/// A supervisor on the system's clock.
pub fn supervisor() -> Supervisor {
    Supervisor::new(Arc::new(SystemClock))
}

/// A directory that the user `postgres` can reach, which one of mode 0700 would not be.
pub fn data_dir() -> tempfile::TempDir {
    use std::os::unix::fs::PermissionsExt;
    let open = std::fs::Permissions::from_mode(0o755);
    tempfile::Builder::new().prefix("rollcall").permissions(open).tempdir().expect("a temporary directory")
}

async fn server() -> &'static Server {
    SERVER
        .get_or_init(|| async {
            sweep();
            let dir = data_dir();
            std::fs::write(dir.path().join("owner"), std::process::id().to_string()).expect("a writable directory");
            let path = dir.path().to_path_buf();
            let cluster = tokio::task::spawn_blocking(move || Cluster::start(&path, &supervisor()))
                .await
                .expect("no panic")
                .expect("a private cluster");
            let options = cluster.connect_options().clone();
            let server = Server { options, _cluster: cluster, _dir: dir, copying: Mutex::new(()) };
            let mut admin = server.admin().await;
            // Tests are about what is written, not about power cuts.
            for sql in ["alter system set fsync = off", "select pg_reload_conf()", "create database template_rollcall"]
            {
                sqlx::query(sql).execute(&mut admin).await.expect("an administrator");
            }
            let store = Store::new(server.options.clone().database(TEMPLATE), Sealer::new(KEY), 2);
            store.prepare(first_day()).await.expect("a schema");
            store.close().await;
            server
        })
        .await
}

/// Removes what earlier test binaries left: their directories outlive them.
fn sweep() {
    for entry in std::fs::read_dir(std::env::temp_dir()).into_iter().flatten().flatten() {
        let owner = std::fs::read_to_string(entry.path().join("owner")).ok();
        if entry.file_name().to_string_lossy().starts_with("rollcall")
            && owner.is_some_and(|pid| !Path::new("/proc").join(pid.trim()).exists())
        {
            // Two binaries may sweep at once.
            std::fs::remove_dir_all(entry.path()).unwrap_or_default();
        }
    }
}

impl Server {
    async fn admin(&self) -> PgConnection {
        self.options.clone().database("postgres").connect().await.expect("a connection")
    }
}

/// How to connect to a new database; `migrated` or empty.
pub async fn database(migrated: bool) -> PgConnectOptions {
    let server = server().await;
    let name = format!("test_{}", COUNT.fetch_add(1, Ordering::Relaxed));
    let template = if migrated { TEMPLATE } else { "template1" };
    let copying = server.copying.lock().await;
    let mut admin = server.admin().await;
    sqlx::query(AssertSqlSafe(format!("create database {name} template {template}")))
        .execute(&mut admin)
        .await
        .expect("a copy of the template");
    admin.close().await.expect("a connection that closes");
    drop(copying);
    server.options.clone().database(&name)
}

/// A store in a new, migrated database.
pub async fn store() -> Store {
    let store = Store::new(database(true).await, Sealer::new(KEY), 5);
    store.prepare(first_day()).await.expect("a schema that is there");
    store
}

/// How to connect to the database of a store that [`store`] made.
pub async fn current_database(store: &Store) -> PgConnectOptions {
    let name: String =
        sqlx::query_scalar("select current_database()").fetch_one(&store.pool).await.expect("a connection");
    server().await.options.clone().database(&name)
}

/// Returns once somebody waits for a row or a lock of the database that is asked.
pub async fn until_somebody_waits(db: &mut PgConnection) {
    let waits =
        "select exists (select from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock')";
    while !sqlx::query_scalar::<_, bool>(waits).fetch_one(&mut *db).await.expect("a connection") {}
}

/// An event as a lane writes it down, of `door-1` in `room-1`: it names nobody and marks nobody.
pub fn event_of_nobody(id: Uuid, kind: &str, at: WallTime) -> EventRecord {
    EventRecord {
        id,
        kind: kind.to_owned(),
        person: None,
        candidates: Vec::new(),
        room: "room-1".to_owned(),
        camera: "door-1".to_owned(),
        direction: None,
        epoch: Uuid::nil(),
        track_id: 1,
        media_ms: 40,
        captured_at: at,
        time_source: "ntp".to_owned(),
        first_usable_at: at,
        similarity: Some(0.7),
        margin: Some(0.3),
        shots: 3,
        liveness: "live".to_owned(),
        liveness_score: Some(0.9),
        liveness_reason: None,
        gallery_version: 1,
        model_id: "m".to_owned(),
        mark: None,
        review: false,
        sealed_crop: None,
        sealed_embedding: None,
    }
}
