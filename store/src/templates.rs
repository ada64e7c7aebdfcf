//! Templates: faces at rest, sealed.

use rollcall_pipeline::{Embedding, PersonId};
use uuid::Uuid;

use crate::seal::Bound;
use crate::{Store, StoreError};

/// A template to be stored.
#[derive(Clone, Debug)]
pub struct NewTemplate<'a> {
    /// Whose face.
    pub person: PersonId,
    /// The face.
    pub embedding: &'a Embedding,
    /// The licence under which the model was used.
    pub model_licence: &'a str,
    /// Weight of the shot, 0 to 1.
    pub quality: f32,
    /// Digest of the picture's file.
    pub source_sha256: [u8; 32],
}

/// Where a template belongs.
pub(crate) fn place(id: Uuid, person: Uuid, model: &str) -> Bound {
    Bound::new("template", &[id.as_bytes(), person.as_bytes(), model.as_bytes()])
}

pub(crate) fn to_bytes(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|v| v.to_le_bytes()).collect()
}

pub(crate) fn from_bytes(bytes: &[u8]) -> Vec<f32> {
    bytes.as_chunks().0.iter().map(|chunk| f32::from_le_bytes(*chunk)).collect()
}

impl Store {
    /// Stores a template, unless the same picture of the same person is there for the same model. Whether it was new.
    ///
    /// # Errors
    /// When the person does not exist, or the database is away.
    pub async fn insert_template_if_new(&self, template: &NewTemplate<'_>) -> Result<bool, StoreError> {
        let id = Uuid::now_v7();
        let (person, model) = (template.person.0, template.embedding.model().as_str());
        let sealed = self.sealer.seal(&place(id, person, model), &to_bytes(template.embedding.values()));
        // Asked first and not left to the conflict: the trigger counts statements, and a repeated enrolment of everybody
        // should not make every daemon load the gallery again.
        let known: bool = sqlx::query_scalar(
            "select exists (select from templates where person_id = $1 and model_id = $2 and source_sha256 = $3)",
        )
        .bind(person)
        .bind(model)
        .bind(template.source_sha256.as_slice())
        .fetch_one(&self.pool)
        .await?;
        if known {
            return Ok(false);
        }
        let done = sqlx::query(
            "insert into templates (id, person_id, model_id, model_licence, sealed, quality, source_sha256)
             values ($1, $2, $3, $4, $5, $6, $7) on conflict (person_id, model_id, source_sha256) do nothing",
        )
        .bind(id)
        .bind(person)
        .bind(model)
        .bind(template.model_licence)
        .bind(sealed)
        .bind(template.quality)
        .bind(template.source_sha256.as_slice())
        .execute(&self.pool)
        .await?;
        Ok(done.rows_affected() > 0)
    }

    /// Deletes all templates of a person, and returns how many there were.
    ///
    /// # Errors
    /// When the database is away.
    pub async fn delete_templates(&self, person: PersonId) -> Result<u64, StoreError> {
        let done = sqlx::query("delete from templates where person_id = $1").bind(person.0).execute(&self.pool).await?;
        Ok(done.rows_affected())
    }
}
