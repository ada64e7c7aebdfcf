//! What is kept: people, templates, rooms, sessions, attendance marks, the event log, the review queue. The only SQL.
//!
//! Queries are grouped by noun, one module each, all as methods of [`Store`]. What is biometric (templates, crops) is
//! sealed before it reaches the database, see [`seal`]. Without a configured server there is a private [`Cluster`] in the
//! data directory. It deliberately does not know when to retry, what to do while the database is away (`sinks`), or who
//! may see what (`control-api`).

mod access;
mod accounts;
mod audit;
mod calendar;
mod camera_minutes;
mod cameras;
mod change;
mod check_in;
mod closing;
mod cluster;
mod consents;
mod corrections;
mod courses;
mod erasure;
mod error;
mod event_log;
mod events;
mod feed;
mod figures;
mod gallery;
mod grants;
mod groups;
mod idempotency;
mod keys;
mod logins;
mod marks;
mod migrate;
mod moments;
mod names;
mod partitions;
mod people;
mod people_import;
mod places;
mod planning;
mod reading;
mod record;
mod register;
mod review;
mod rooms;
mod row;
mod scope;
pub mod seal;
mod sessions;
mod sightings;
mod sites;
mod subjects;
mod templates;
#[cfg(feature = "testing")]
#[doc(hidden)]
pub mod testing;
mod timetables;
mod visitors;
mod why;

use std::sync::Arc;
use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};
use sqlx::postgres::{PgConnectOptions, PgPoolOptions, PgSslMode};
use sqlx::{Connection, PgPool};
use tokio::sync::OnceCell;

pub use access::{Holder, HolderKind};
pub use accounts::{Account, AccountFields, Credentials, PasswordLink};
pub use audit::{AuditFilter, AuditRow};
pub use calendar::{RosterRow, SessionDetail, SessionFilter};
pub use camera_minutes::CameraMinute;
pub use cameras::{Camera, CameraCredentials, CameraFields, StoredCamera};
pub use change::{Actor, ActorKind, Change, Entry};
pub use closing::{CameraWatch, Delivery, EndedSession, Finding, Seen, Settling};
pub use cluster::Cluster;
pub use consents::{Consent, NewConsent, NoConsent, Withdrawn};
pub use corrections::{Correction, NewCorrection, Standing};
pub use courses::{Course, CourseFilter, Enrolment, NewEnrolment, RosterChange};
pub use error::StoreError;
pub use event_log::EventRow;
pub use events::Written;
pub use feed::{FeedBounds, FeedChanges, FeedRow, KINDS as FEED_KINDS};
pub use figures::{
    FiguresBy, FiguresFilter, FiguresReading, FiguresRow, QualityRow, RegisterLine, RegisterSummary, StandingRow,
};
pub use gallery::{Gallery, GalleryChanges, GalleryTemplate};
pub use grants::{Grants, Missing};
pub use groups::Group;
pub use idempotency::Claim;
pub use keys::{ApiKey, ApiKeyFields};
pub use logins::{LOGIN_AT_MOST, Login, Refreshed, TokenPair};
pub use marks::{MarkRow, RestoredMark};
pub use moments::{SeenAt, SessionAt};
pub use partitions::Retention;
pub use people::{Attributes, GroupName, Person, PersonDetail, PersonFields, PersonFilter};
pub use people_import::{ImportError, Imported, ImportedPerson, MAX_ATTRIBUTES, Misfit};
pub use places::{PlaceChanges, PlaceEnrolment, PlaceRoom, PlaceSession, Places};
pub use planning::{FileRoom, Origin, PlanChange, PlannedEntry, PlannedSession, Planning};
pub use reading::Reading;
pub use record::{CandidateRecord, EventRecord, MarkRecord, RECORD_VERSION, Scores, SessionRecord};
pub use register::{
    BoardCount, BoardPerson, FindingRow, OriginalMark, RecordRow, RegisterFilter, RegisterKey, RegisterRow,
    RegisterSession, Registered,
};
pub use review::{FirstSeen, ReviewFilter, ReviewItem, ReviewKey};
pub use rooms::Room;
pub use scope::Scope;
pub use seal::{SealError, Sealer};
pub use sightings::{Sighting, SightingFilter, SightingKey};
pub use sites::{Holiday, MAIN_SITE, Site};
pub use subjects::SubjectFace;
pub use templates::{NewTemplate, TemplateOrigin, TemplateRow};
pub use timetables::{TimetableEntry, TimetableException};
pub use visitors::Visitor;
pub use why::{Known, WhyEvent};

/// One for each channel and whoever follows it; a daemon has four.
const MAX_LISTENERS: u32 = 8;
/// A write that waits longer for a connection is better spooled.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(2);
/// While the schema is brought up to date, the server is asked so often whether it still answers …
const ASK_EVERY: Duration = Duration::from_secs(2);
/// … and is gone when it has not so many times in a row.
const SILENT: u32 = 3;
/// Whoever waits for the schema to be brought up to date looks so often.
const LOOK_EVERY: Duration = Duration::from_millis(200);
/// So long a connection that worked is taken to work.
const TRUSTED: Duration = Duration::from_millis(500);

/// The database. Cloning shares its connections.
#[derive(Clone, Debug)]
pub struct Store {
    pool: PgPool,
    /// Connections that only listen, so that they take none from those that ask.
    listening: PgPool,
    sealer: Arc<Sealer>,
    prepared: Arc<OnceCell<()>>,
}

impl Store {
    /// A store at `options`. Connects when it is first used, so that a daemon whose database is away can start: call
    /// [`prepare`](Self::prepare) before anything else, as often as it takes. Must be called within a tokio runtime.
    pub fn new(options: PgConnectOptions, sealer: Sealer, max_connections: u32) -> Self {
        let options = options
            .application_name("rollcall")
            // Nothing that is asked for here takes longer, and a lane waits for it. To compile a query would take longer
            // than any of ours runs.
            .options([("statement_timeout", "30s"), ("lock_timeout", "10s"), ("jit", "off")]);
        let lazy = |connections: u32, options| {
            let pool = PgPoolOptions::new().max_connections(connections).acquire_timeout(ACQUIRE_TIMEOUT);
            // Each is asked whether it works when it comes back; to ask once more is a way there and back for nothing.
            let tested = pool.test_before_acquire(false).before_acquire(|connection, told| {
                Box::pin(async move {
                    if told.idle_for > TRUSTED {
                        connection.ping().await?;
                    }
                    Ok(true)
                })
            });
            tested.connect_lazy_with(options)
        };
        let (pool, listening) = (lazy(max_connections, options.clone()), lazy(MAX_LISTENERS, options));
        Self { pool, listening, sealer: Arc::new(sealer), prepared: Arc::default() }
    }

    /// A store in a private cluster.
    pub fn in_cluster(cluster: &Cluster, sealer: Sealer, max_connections: u32) -> Self {
        Self::new(cluster.connect_options().clone(), sealer, max_connections)
    }

    /// Reads `database.url`.
    ///
    /// # Errors
    /// When it is not the address of a PostgreSQL database. The error does not repeat it: there may be a password in it.
    pub fn parse_url(url: &SecretString) -> Result<PgConnectOptions, StoreError> {
        let url = url.expose_secret();
        if !["postgres://", "postgresql://"].iter().any(|scheme| url.starts_with(scheme)) {
            return Err(StoreError::Url("it begins with something else".to_owned()));
        }
        let options: PgConnectOptions = url.parse().map_err(|e: sqlx::Error| StoreError::Url(e.to_string()))?;
        // Encryption where the server offers it is sqlx's default; a Unix socket has none.
        Ok(if options.get_socket().is_some() { options.ssl_mode(PgSslMode::Disable) } else { options })
    }

    /// Whether the database answers.
    ///
    /// # Errors
    /// When it does not.
    pub async fn ping(&self) -> Result<(), StoreError> {
        sqlx::query("select 1").execute(&self.pool).await?;
        Ok(())
    }

    /// Makes sure that the next query need not wait for a connection.
    ///
    /// # Errors
    /// When there is none to be had.
    pub async fn reach(&self) -> Result<(), StoreError> {
        drop(self.pool.acquire().await?);
        Ok(())
    }

    /// Brings the schema up to date and makes the partitions of `today`, once; later calls return at once.
    ///
    /// # Errors
    /// When the database is away (try again) or has a schema that this program does not know.
    pub async fn prepare(&self, today: chrono::NaiveDate) -> Result<(), StoreError> {
        let work = async || {
            self.migrate().await?;
            self.make_partitions(today).await
        };
        self.prepared
            .get_or_try_init(|| async {
                // A migration takes as long as it takes; a server that is gone in the middle takes for ever.
                tokio::select! {
                    done = work() => done.map(drop),
                    error = self.falls_silent() => Err(error),
                }
            })
            .await
            .copied()
    }

    /// Waits until the server answers nobody any more.
    async fn falls_silent(&self) -> StoreError {
        let mut silent = 0;
        loop {
            tokio::time::sleep(ASK_EVERY).await;
            let asked = sqlx::query("select 1").execute(&self.listening);
            silent = match tokio::time::timeout(ACQUIRE_TIMEOUT + ASK_EVERY, asked).await {
                Ok(Ok(_)) => 0,
                Ok(Err(_)) | Err(_) => silent + 1,
            };
            if silent == SILENT {
                return sqlx::Error::PoolTimedOut.into();
            }
        }
    }

    /// [`prepare`](Self::prepare) has succeeded.
    pub fn is_prepared(&self) -> bool {
        self.prepared.initialized()
    }

    /// Returns when [`prepare`](Self::prepare) has succeeded, whoever called it.
    pub async fn until_prepared(&self) {
        while !self.is_prepared() {
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    /// The key that seals what is biometric.
    pub fn sealer(&self) -> &Arc<Sealer> {
        &self.sealer
    }

    /// Waits for running queries and closes all connections.
    pub async fn close(&self) {
        self.listening.close().await;
        self.pool.close().await;
    }
}
