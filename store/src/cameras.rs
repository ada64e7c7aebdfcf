//! Cameras that are kept here; those of the configuration file are not.

use rollcall_pipeline::config::Secret;
use serde_json::Value;
use sqlx::Row;
use sqlx::types::Json;

use crate::change::Entry;
use crate::row::{all, and_one, one, row};
use crate::seal::Bound;
use crate::{Change, Scope, SealError, Sealer, Store, StoreError};

row! {
    /// A camera.
    pub struct Camera {
        /// Short name.
        pub id: String,
        /// The room it looks into.
        pub room_id: String,
        /// The room's site.
        pub site_id: String,
        /// Name for people.
        pub name: String,
        /// Whether it is opened.
        pub enabled: bool,
        /// The keys of a `[[cameras]]` table of the configuration, as they were given.
        pub settings: Value,
        /// Whether there are user and password.
        pub has_credentials: bool,
        /// Grows with each change.
        pub version: i64,
    }
}

/// What may be different about a camera.
#[derive(Clone, Debug, PartialEq)]
pub struct CameraFields {
    /// The room it looks into.
    pub room_id: String,
    /// Name for people.
    pub name: String,
    /// Whether it is opened.
    pub enabled: bool,
    /// The keys of a `[[cameras]]` table of the configuration, without secrets.
    pub settings: Value,
}

/// User and password of a camera.
pub type CameraCredentials = (String, Secret);

/// A camera with what it takes to open it.
#[derive(Debug)]
pub struct StoredCamera {
    /// The row.
    pub camera: Camera,
    /// User and password, or why they cannot be read.
    pub credentials: Result<Option<CameraCredentials>, SealError>,
}

const CAMERA: &str = "c.id, c.room_id, r.site_id, c.name, c.enabled, c.settings, c.version,
    c.sealed_credentials is not null as has_credentials from cameras c join rooms r on r.id = c.room_id";
const IN_SCOPE: &str = "($1::text[] is null or r.site_id = any($1) or r.id = any($2))";

fn place(id: &str) -> Bound {
    Bound::new("camera credentials", &[id.as_bytes()])
}

fn seal(sealer: &Sealer, id: &str, (username, password): &CameraCredentials) -> Vec<u8> {
    let plain = serde_json::json!([username, password.expose()]).to_string();
    sealer.seal(&place(id), plain.as_bytes())
}

fn unseal(sealer: &Sealer, id: &str, sealed: Option<Vec<u8>>) -> Result<Option<CameraCredentials>, SealError> {
    let Some(sealed) = sealed else { return Ok(None) };
    let plain = sealer.open(&place(id), &sealed)?;
    serde_json::from_slice(&plain).map(Some).map_err(|_| SealError::Malformed("not user and password"))
}

impl Store {
    /// The cameras in `scope`, perhaps of one room, by id: in the order of its bytes, as those of the configuration file are
    /// put between them. That of the database depends on its locale.
    ///
    /// # Errors
    /// When the database is away.
    pub async fn cameras(
        &self,
        scope: &Scope,
        room: Option<&str>,
        after: Option<&str>,
        limit: u32,
    ) -> Result<Vec<Camera>, StoreError> {
        let (sites, rooms) = scope.places();
        let rows = sqlx::query(sqlx::AssertSqlSafe(format!(
            "select {CAMERA} where {IN_SCOPE} and ($3::text is null or c.room_id = $3)
               and ($4::text is null or c.id collate \"C\" > $4)
             order by c.id collate \"C\" limit $5"
        )))
        .bind(sites)
        .bind(rooms)
        .bind(room)
        .bind(after)
        .bind(and_one(limit))
        .fetch_all(&self.pool)
        .await?;
        all(&rows, Camera::read)
    }

    /// One camera.
    ///
    /// # Errors
    /// When the database is away.
    pub async fn camera(&self, scope: &Scope, id: &str) -> Result<Option<Camera>, StoreError> {
        let (sites, rooms) = scope.places();
        let row = sqlx::query(sqlx::AssertSqlSafe(format!("select {CAMERA} where {IN_SCOPE} and c.id = $3")))
            .bind(sites)
            .bind(rooms)
            .bind(id)
            .fetch_optional(&self.pool)
            .await?;
        one(row, Camera::read)
    }

    /// User and password of a camera, to open it with.
    ///
    /// # Errors
    /// When the database is away, or they were sealed with another key.
    pub async fn camera_credentials(&self, id: &str) -> Result<Option<CameraCredentials>, StoreError> {
        let sealed: Option<Option<Vec<u8>>> =
            sqlx::query_scalar("select sealed_credentials from cameras where id = $1")
                .bind(id)
                .fetch_optional(&self.pool)
                .await?;
        Ok(unseal(&self.sealer, id, sealed.flatten())?)
    }

    /// All cameras that are to be opened, by id.
    ///
    /// # Errors
    /// When the database is away.
    pub async fn cameras_to_open(&self) -> Result<Vec<StoredCamera>, StoreError> {
        let sql = format!("select c.sealed_credentials, {CAMERA} where c.enabled order by c.id");
        let rows = sqlx::query(sqlx::AssertSqlSafe(sql)).fetch_all(&self.pool).await?;
        let cameras = rows.iter().map(|row| {
            let camera = Camera::read(row)?;
            let credentials = unseal(&self.sealer, &camera.id, row.try_get("sealed_credentials")?);
            Ok(StoredCamera { camera, credentials })
        });
        cameras.collect()
    }

    /// Which of these rooms are in `scope`.
    ///
    /// # Errors
    /// When the database is away.
    pub async fn rooms_among(&self, scope: &Scope, ids: &[String]) -> Result<Vec<String>, StoreError> {
        let (sites, rooms) = scope.places();
        // A room of the file may not be a row yet.
        if sites.is_none() {
            return Ok(ids.to_vec());
        }
        let sql = format!("select r.id from rooms r where {IN_SCOPE} and r.id = any($3)");
        let found = sqlx::query_scalar(sqlx::AssertSqlSafe(sql)).bind(sites).bind(rooms).bind(ids);
        Ok(found.fetch_all(&self.pool).await?)
    }

    /// Tells live views how a camera is.
    ///
    /// # Errors
    /// When the database is away.
    pub async fn tell_camera(&self, room: &str, payload: Value) -> Result<(), StoreError> {
        sqlx::query(
            "insert into feed (kind, site_id, room_id, payload)
             values ('camera', (select site_id from rooms where id = $1), $1, $2)",
        )
        .bind(room)
        .bind(Json(payload))
        .execute(&self.pool)
        .await?;
        Ok(())
    }
}

impl Change<'_> {
    /// A camera, until the end of the change nobody else's.
    ///
    /// # Errors
    /// When the database is away.
    pub async fn lock_camera(&mut self, scope: &Scope, id: &str) -> Result<Option<Camera>, StoreError> {
        let (sites, rooms) = scope.places();
        // Locked by a statement of its own: what follows is then read as it is after any wait, in whatever room by then.
        sqlx::query("select from cameras where id = $1 for update").bind(id).execute(self.connection()).await?;
        let row = sqlx::query(sqlx::AssertSqlSafe(format!("select {CAMERA} where {IN_SCOPE} and c.id = $3")))
            .bind(sites)
            .bind(rooms)
            .bind(id)
            .fetch_optional(self.connection())
            .await?;
        one(row, Camera::read)
    }

    /// How many cameras are to be opened; until the end of the change nobody else adds one.
    ///
    /// # Errors
    /// When the database is away.
    pub async fn count_cameras_to_open(&mut self) -> Result<usize, StoreError> {
        sqlx::query("select pg_advisory_xact_lock(hashtextextended('rollcall.cameras', 0))")
            .execute(self.connection())
            .await?;
        let count: i64 =
            sqlx::query_scalar("select count(*) from cameras where enabled").fetch_one(self.connection()).await?;
        Ok(usize::try_from(count).unwrap_or_default())
    }

    /// Makes a camera.
    ///
    /// # Errors
    /// When there is one with this id, there is no such room, or the database is away.
    pub async fn add_camera(
        &mut self,
        id: &str,
        fields: &CameraFields,
        credentials: Option<&CameraCredentials>,
    ) -> Result<Camera, StoreError> {
        let sealed = credentials.map(|credentials| seal(self.sealer, id, credentials));
        sqlx::query(
            "insert into cameras (id, room_id, name, enabled, settings, sealed_credentials) values ($1, $2, $3, $4, $5, $6)",
        )
        .bind(id)
        .bind(&fields.room_id)
        .bind(&fields.name)
        .bind(fields.enabled)
        .bind(Json(&fields.settings))
        .bind(sealed)
        .execute(self.connection())
        .await?;
        let camera = self.camera_now(id).await?;
        self.audit(Entry::created("camera.create", "camera", id, &camera)).await?;
        Ok(camera)
    }

    /// Makes a locked camera different. `credentials`: `None` leaves them, `Some(None)` takes them away.
    ///
    /// # Errors
    /// When there is no such room, or the database is away.
    pub async fn replace_camera(
        &mut self,
        before: &Camera,
        fields: &CameraFields,
        credentials: Option<Option<&CameraCredentials>>,
    ) -> Result<Camera, StoreError> {
        let sealed = credentials.flatten().map(|credentials| seal(self.sealer, &before.id, credentials));
        sqlx::query(
            "update cameras set room_id = $2, name = $3, enabled = $4, settings = $5,
                 sealed_credentials = case when $6 then $7 else sealed_credentials end, version = version + 1
             where id = $1",
        )
        .bind(&before.id)
        .bind(&fields.room_id)
        .bind(&fields.name)
        .bind(fields.enabled)
        .bind(Json(&fields.settings))
        .bind(credentials.is_some())
        .bind(sealed)
        .execute(self.connection())
        .await?;
        let camera = self.camera_now(&before.id).await?;
        // That there are other credentials shows in the version alone: what they were and are is nobody's business.
        self.audit(Entry::changed("camera.update", "camera", &camera.id, before, &camera)).await?;
        Ok(camera)
    }

    /// Removes a locked camera. What it saw stays.
    ///
    /// # Errors
    /// When the database is away.
    pub async fn remove_camera(&mut self, camera: &Camera) -> Result<(), StoreError> {
        sqlx::query("delete from cameras where id = $1").bind(&camera.id).execute(self.connection()).await?;
        self.audit(Entry::removed("camera.delete", "camera", &camera.id, camera)).await
    }

    async fn camera_now(&mut self, id: &str) -> Result<Camera, StoreError> {
        let row = sqlx::query(sqlx::AssertSqlSafe(format!("select {CAMERA} where c.id = $1")))
            .bind(id)
            .fetch_one(self.connection())
            .await?;
        Ok(Camera::read(&row)?)
    }
}
