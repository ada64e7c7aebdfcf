//! The private PostgreSQL: made at the first start, watched, restarted when it dies, stopped with the daemon.
//!
//! One process owns the cluster: whoever holds the lock on `<data_dir>/postgres.lock`. Others on the same data directory
//! (`rollcall enroll` beside the daemon) use it, and the next in line takes over when the owner ends.
//!
//! ```text
//!            lock taken                postmaster.pid says "ready"
//! Waiting ───────────────► Starting ──────────────────────────────► Ready ──┐
//!    │ another owns it         ▲                                      │     │ stop
//!    └────► Ready              └────────────── it died, delay ────────┘     ▼
//!                                                                        Stopped
//! ```
//!
//! A daemon that is killed takes PostgreSQL with it (`setpriv --pdeathsig INT`: an orderly shutdown); where that is not
//! installed, the next start finds the orphan and stops it. It knows nothing of what is in the database.

mod binaries;
mod place;
mod server;

use std::collections::VecDeque;
use std::fs::{File, TryLockError};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use nix::unistd::Pid;
use parking_lot::{Condvar, Mutex};
use rollcall_pipeline::Fault;
use rollcall_pipeline::supervisor::{Supervisor, Worker};
use sqlx::postgres::{PgConnectOptions, PgSslMode};

use crate::StoreError;
use place::{PORT, Place};

/// The one role and the one database of a private cluster.
pub(crate) const NAME: &str = "rollcall";
/// How often a waiting process looks whether the owner is gone.
const FOLLOW_INTERVAL: Duration = Duration::from_millis(200);
const FIRST_RESTART_DELAY: Duration = Duration::from_millis(100);
const LAST_RESTART_DELAY: Duration = Duration::from_secs(10);
/// A backend of a killed postmaster holds its shared memory for a moment, so the first attempts may fail.
const START_ATTEMPTS: u32 = 6;
const LOG_LINES_KEPT: usize = 20;

#[derive(Clone, Debug, PartialEq, Eq)]
enum State {
    Starting,
    Ready(i32),
    Failed(String),
    Stopped,
}

#[derive(Debug)]
struct Inner {
    state: State,
    stopping: bool,
    /// The last lines that PostgreSQL wrote, for the error when it does not start.
    said: VecDeque<String>,
}

#[derive(Debug)]
struct Shared {
    inner: Mutex<Inner>,
    changed: Condvar,
}

impl Shared {
    fn set(&self, state: State) {
        self.inner.lock().state = state;
        self.changed.notify_all();
    }

    fn stopping(&self) -> bool {
        self.inner.lock().stopping
    }

    /// Waits so long, or until the cluster is to be stopped.
    fn pause(&self, time: Duration) {
        self.changed.wait_while_for(&mut self.inner.lock(), |inner| !inner.stopping, time);
    }

    /// Waits so long, whatever happens: for the end of a process that was told to end.
    fn pause_anyway(&self, time: Duration) {
        self.changed.wait_while_for(&mut self.inner.lock(), |_| true, time);
    }

    fn heard(&self, line: &str) {
        let said = &mut self.inner.lock().said;
        if said.len() == LOG_LINES_KEPT {
            said.pop_front();
        }
        said.push_back(line.to_owned());
    }
}

/// A private cluster that runs. Dropping it stops PostgreSQL, if this process started it.
#[derive(Debug)]
pub struct Cluster {
    shared: Arc<Shared>,
    worker: Option<Worker>,
    options: PgConnectOptions,
}

impl Cluster {
    /// Starts the cluster in `<data_dir>/postgres`, making it if there is none, or joins the one that another process of
    /// ours runs there. Blocks until it takes connections: half a second the first time, a tenth later, as long as
    /// PostgreSQL needs after a crash.
    ///
    /// # Errors
    /// When PostgreSQL is not installed, is of another version than the cluster, or does not start; says what to do.
    pub fn start(data_dir: &Path, supervisor: &Supervisor) -> Result<Self, StoreError> {
        let place = Place::prepare(data_dir)?;
        let lock_path = data_dir.join("postgres.lock");
        let lock = File::options()
            .create(true)
            .truncate(false)
            .write(true)
            .open(&lock_path)
            .map_err(StoreError::io(format!("cannot open {}", lock_path.display())))?;
        let options = PgConnectOptions::new_without_pgpass()
            .socket(&place.socket_dir)
            .port(PORT)
            .username(NAME)
            .database(NAME)
            // Whatever PGSSLMODE says: it is a Unix socket.
            .ssl_mode(PgSslMode::Disable);
        let inner = Inner { state: State::Starting, stopping: false, said: VecDeque::new() };
        let shared = Arc::new(Shared { inner: Mutex::new(inner), changed: Condvar::new() });
        let keeper = Keeper { place, lock, supervisor: supervisor.clone(), shared: Arc::clone(&shared) };
        let worker = supervisor
            .spawn("postgres", move |_| {
                keeper.run();
                Ok(())
            })
            .map_err(|fault: Fault| StoreError::Cluster(fault.message))?;
        let cluster = Self { shared, worker: Some(worker), options };
        cluster.await_ready()?;
        Ok(cluster)
    }

    fn await_ready(&self) -> Result<(), StoreError> {
        let mut inner = self.shared.inner.lock();
        loop {
            match &inner.state {
                State::Ready(_) => return Ok(()),
                State::Failed(why) => return Err(StoreError::Cluster(why.clone())),
                State::Stopped => return Err(StoreError::Cluster("it was stopped".to_owned())),
                State::Starting => {}
            }
            let long = Duration::from_secs(5);
            if self.shared.changed.wait_while_for(&mut inner, |i| i.state == State::Starting, long).timed_out() {
                tracing::warn!("PostgreSQL is still starting; after a crash it reads its log first");
            }
        }
    }

    /// How to connect.
    pub fn connect_options(&self) -> &PgConnectOptions {
        &self.options
    }

    /// The postmaster; `None` while there is none.
    pub fn pid(&self) -> Option<u32> {
        match self.shared.inner.lock().state {
            State::Ready(pid) => u32::try_from(pid).ok(),
            _ => None,
        }
    }

    /// Stops PostgreSQL, if this process started it, and waits for its end.
    pub fn stop(self) {
        drop(self);
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        self.shared.inner.lock().stopping = true;
        self.shared.changed.notify_all();
        if let Some(worker) = self.worker.take() {
            worker.join();
        }
    }
}

/// What the thread `postgres` holds. It lives as long as PostgreSQL does, because the death signal follows the thread that
/// started the process.
struct Keeper {
    place: Place,
    lock: File,
    supervisor: Supervisor,
    shared: Arc<Shared>,
}

impl Keeper {
    fn run(self) {
        let mut delay = FIRST_RESTART_DELAY;
        let mut attempts = 0;
        let mut was_ready = false;
        while !self.shared.stopping() {
            match self.lock.try_lock() {
                Ok(()) => {}
                Err(TryLockError::WouldBlock) => {
                    was_ready |= self.follow();
                    self.shared.pause(FOLLOW_INTERVAL);
                    continue;
                }
                Err(TryLockError::Error(e)) => {
                    self.shared.set(State::Failed(format!("cannot lock the data directory: {e}")));
                    return;
                }
            }
            attempts += 1;
            let ended = server::run(&self.place, &self.supervisor, &self.shared);
            if self.shared.stopping() {
                break;
            }
            if let Ok(()) = ended {
                (was_ready, delay) = (true, FIRST_RESTART_DELAY);
                tracing::warn!("PostgreSQL ended by itself; starting it again");
            }
            match ended {
                Err(failure) if !was_ready && (failure.final_() || attempts >= START_ATTEMPTS) => {
                    tracing::error!(error = %failure, attempts, "PostgreSQL does not start; giving up");
                    self.shared.set(State::Failed(failure.to_string()));
                    return;
                }
                Err(failure) if was_ready => tracing::error!(error = %failure, "PostgreSQL does not start; trying on"),
                _ => {}
            }
            self.shared.set(State::Starting);
            self.shared.pause(delay);
            delay = (delay * 2).min(LAST_RESTART_DELAY);
        }
        self.shared.set(State::Stopped);
    }

    /// Another process owns the cluster: tells whether it is up.
    fn follow(&self) -> bool {
        let up = self.place.postmaster().filter(|(_, ready)| *ready);
        self.shared.set(up.map_or(State::Starting, |(pid, _)| State::Ready(Pid::as_raw(pid))));
        up.is_some()
    }
}
