//! The gallery as the matcher wants it: every template of one model, opened, with the version they belong to.

use std::collections::HashMap;

use rollcall_pipeline::{Embedding, GalleryVersion, ModelId, PersonId};
use sqlx::Row;
use sqlx::postgres::{PgListener, PgRow};
use uuid::Uuid;

use crate::seal::SealError;
use crate::{Store, StoreError, templates};

/// The channel on which the trigger of `templates` and `people` tells the new version.
const CHANNEL: &str = "rollcall_gallery";

/// One template.
#[derive(Clone, Debug)]
pub struct GalleryTemplate {
    /// Whose face.
    pub person: PersonId,
    /// The face.
    pub embedding: Embedding,
}

/// All templates of a model at one moment.
#[derive(Clone, Debug)]
pub struct Gallery {
    /// Grows with each change.
    pub version: GalleryVersion,
    /// By person, then by age.
    pub templates: Vec<GalleryTemplate>,
    /// The names of all people, also of those without a template.
    pub names: HashMap<PersonId, String>,
}

impl Store {
    /// Loads the gallery of `model`. A template that does not open is left out and reported.
    ///
    /// # Errors
    /// When the templates were sealed with another key, or the database is away.
    pub async fn gallery(&self, model: &ModelId) -> Result<Gallery, StoreError> {
        let mut tx = self.pool.begin().await?;
        // One snapshot for the version, the templates and the names.
        sqlx::query("set transaction isolation level repeatable read, read only").execute(&mut *tx).await?;
        let version: i64 = sqlx::query_scalar("select version from gallery_state").fetch_one(&mut *tx).await?;
        let rows = sqlx::query(
            "select id, person_id, sealed from templates where model_id = $1 order by person_id, created_at, id",
        )
        .bind(model.as_str())
        .fetch_all(&mut *tx)
        .await?;
        let named: Vec<(Uuid, String)> = sqlx::query_as("select id, name from people").fetch_all(&mut *tx).await?;
        tx.commit().await?;
        let mut templates = Vec::with_capacity(rows.len());
        for row in &rows {
            templates.extend(self.open_template(model, row)?);
        }
        let names = named.into_iter().map(|(id, name)| (PersonId(id), name)).collect();
        Ok(Gallery { version: GalleryVersion(version.unsigned_abs()), templates, names })
    }

    pub(crate) fn open_template(&self, model: &ModelId, row: &PgRow) -> Result<Option<GalleryTemplate>, StoreError> {
        let (id, person): (Uuid, Uuid) = (row.try_get("id")?, row.try_get("person_id")?);
        let sealed: &[u8] = row.try_get("sealed")?;
        match self.sealer.open(&templates::place(id, person, model.as_str()), sealed) {
            Ok(plain) => Ok(Embedding::normalized(model.clone(), templates::from_bytes(&plain))
                .map(|embedding| GalleryTemplate { person: PersonId(person), embedding })),
            // The key of all, or of a part: nobody should be missing from the gallery without a word.
            Err(error @ SealError::WrongKey { .. }) => Err(error.into()),
            Err(error) => {
                tracing::error!(template = %id, person = %person, %error, "left a template out of the gallery");
                Ok(None)
            }
        }
    }

    /// The gallery's version now.
    ///
    /// # Errors
    /// When the database is away.
    pub async fn gallery_version(&self) -> Result<GalleryVersion, StoreError> {
        let version: i64 = sqlx::query_scalar("select version from gallery_state").fetch_one(&self.pool).await?;
        Ok(GalleryVersion(version.unsigned_abs()))
    }

    /// Listens for changes of the gallery, on a connection of its own. Listen first and load then: a change in between is
    /// reported.
    ///
    /// # Errors
    /// When the database is away.
    pub async fn gallery_changes(&self) -> Result<GalleryChanges, StoreError> {
        let mut listener = PgListener::connect_with(&self.listening).await?;
        listener.listen(CHANNEL).await?;
        Ok(GalleryChanges { listener })
    }
}

/// Tells when the gallery has changed.
#[derive(Debug)]
pub struct GalleryChanges {
    listener: PgListener,
}

impl GalleryChanges {
    /// Waits until the gallery has, or may have, changed: told by the database, or because the connection was lost for a
    /// moment. Several changes may be reported as one.
    ///
    /// # Errors
    /// When the connection is lost and does not come back. Listen anew.
    pub async fn changed(&mut self) -> Result<(), StoreError> {
        self.listener.try_recv().await?;
        // An enrolment of many pictures is many changes: one reload is enough for all that are here already.
        while self.listener.next_buffered().is_some() {}
        Ok(())
    }
}
