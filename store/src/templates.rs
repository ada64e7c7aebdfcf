//! Templates: faces at rest, sealed.

use rollcall_pipeline::{Embedding, ModelId, PersonId, WallTime};
use sqlx::types::Json;
use uuid::Uuid;

use crate::change::Entry;
use crate::row::{all, and_one, row};
use crate::seal::Bound;
use crate::{Actor, Change, Store, StoreError};

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
    /// Digest of what it was made from: the picture's file, or the pixels of a face before a camera.
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
    /// Stores a template on behalf of the system, unless the same picture of the same person is there for the same model.
    /// Whether it was new.
    ///
    /// # Errors
    /// When the person does not exist, or the database is away.
    pub async fn insert_template_if_new(&self, template: &NewTemplate<'_>) -> Result<bool, StoreError> {
        let mut change = self.change(Actor::system("rollcall")).await?;
        let new = change.add_folder(template.person, std::slice::from_ref(template)).await?;
        change.commit().await?;
        Ok(!new.is_empty())
    }
}

row! {
    /// What is told of a template: everything but the face.
    pub struct TemplateRow {
        /// Id.
        pub id: Uuid,
        /// Whose.
        pub person_id: Uuid,
        /// The model that made it.
        pub model_id: String,
        /// The licence under which that was used.
        pub model_licence: String,
        /// Weight of the shot, 0 to 1.
        pub quality: f32,
        /// Digest of what it was made from, in hexadecimal.
        pub source_sha256: String,
        /// `picture`, `camera`, `review` or `folder`.
        pub source: String,
        /// What the quality gates measured.
        pub report: Option<serde_json::Value>,
        /// When it was stored.
        pub created_at: WallTime,
    }
}

const TEMPLATE: &str = "id, person_id, model_id, model_licence, quality,
    encode(source_sha256, 'hex') as source_sha256, source, report, created_at";

/// Where a template comes from, and what was measured.
#[derive(Clone, Debug)]
pub struct TemplateOrigin<'a> {
    /// `picture`, `camera`, `review` or `folder`.
    pub source: &'a str,
    /// What the quality gates measured; null: nobody wrote it down.
    pub report: serde_json::Value,
}

impl Store {
    /// The templates of a person, oldest first.
    ///
    /// # Errors
    /// When the database is away.
    pub async fn templates(
        &self,
        person: PersonId,
        after: Option<Uuid>,
        limit: u32,
    ) -> Result<Vec<TemplateRow>, StoreError> {
        let rows = sqlx::query(sqlx::AssertSqlSafe(format!(
            "select {TEMPLATE} from templates where person_id = $1 and ($2::uuid is null or id > $2) order by id limit $3"
        )))
        .bind(person.0)
        .bind(after)
        .bind(and_one(limit))
        .fetch_all(&self.pool)
        .await?;
        all(&rows, TemplateRow::read)
    }

    /// The faces of a person that `model` made, with the digests of what they were made from. What does not open is left
    /// out.
    ///
    /// # Errors
    /// When the database is away.
    pub async fn faces_of(&self, person: PersonId, model: &ModelId) -> Result<Vec<(Embedding, Vec<u8>)>, StoreError> {
        let rows = sqlx::query(
            "select id, person_id, sealed, source_sha256 from templates where person_id = $1 and model_id = $2 order by id",
        )
        .bind(person.0)
        .bind(model.as_str())
        .fetch_all(&self.pool)
        .await?;
        let mut faces = Vec::with_capacity(rows.len());
        for row in &rows {
            let digest: Vec<u8> = sqlx::Row::try_get(row, "source_sha256")?;
            faces.extend(self.open_template(model, row)?.map(|template| (template.embedding, digest)));
        }
        Ok(faces)
    }
}

impl Change<'_> {
    /// How many templates a locked person has.
    ///
    /// # Errors
    /// When the database is away.
    pub async fn template_count(&mut self, person: PersonId) -> Result<u64, StoreError> {
        let count: i64 = sqlx::query_scalar("select count(*) from templates where person_id = $1")
            .bind(person.0)
            .fetch_one(self.connection())
            .await?;
        Ok(count.unsigned_abs())
    }

    /// Stores templates of a locked person, all at once: one change of the gallery. A picture that is there for the same
    /// model makes none. Returns those that are new.
    ///
    /// # Errors
    /// When the database is away.
    pub async fn add_templates(
        &mut self,
        person: PersonId,
        new: &[(NewTemplate<'_>, TemplateOrigin<'_>)],
    ) -> Result<Vec<TemplateRow>, StoreError> {
        if new.is_empty() {
            return Ok(Vec::new());
        }
        let ids: Vec<Uuid> = new.iter().map(|_| Uuid::now_v7()).collect();
        let sealed: Vec<Vec<u8>> = new
            .iter()
            .zip(&ids)
            .map(|((template, _), id)| {
                let place = place(*id, person.0, template.embedding.model().as_str());
                self.sealer.seal(&place, &to_bytes(template.embedding.values()))
            })
            .collect();
        let rows = sqlx::query(sqlx::AssertSqlSafe(format!(
            "insert into templates (id, person_id, model_id, model_licence, sealed, quality, source_sha256, source, report)
             select id, $1, model, licence, sealed, quality, sha, source, report
             from unnest($2::uuid[], $3::text[], $4::text[], $5::bytea[], $6::real[], $7::bytea[], $8::text[], $9::jsonb[])
                  as t(id, model, licence, sealed, quality, sha, source, report)
             on conflict (person_id, model_id, source_sha256) do nothing returning {TEMPLATE}"
        )))
        .bind(person.0)
        .bind(ids)
        .bind(new.iter().map(|(t, _)| t.embedding.model().as_str()).collect::<Vec<_>>())
        .bind(new.iter().map(|(t, _)| t.model_licence).collect::<Vec<_>>())
        .bind(sealed)
        .bind(new.iter().map(|(t, _)| t.quality).collect::<Vec<_>>())
        .bind(new.iter().map(|(t, _)| t.source_sha256.as_slice()).collect::<Vec<_>>())
        .bind(new.iter().map(|(_, o)| o.source).collect::<Vec<_>>())
        .bind(new.iter().map(|(_, o)| (!o.report.is_null()).then_some(Json(&o.report))).collect::<Vec<_>>())
        .fetch_all(self.connection())
        .await?;
        let made = all(&rows, TemplateRow::read)?;
        for row in &made {
            let entry = Entry::created("template.create", "template", row.id, row);
            self.audit(Entry { person: Some(person), ..entry }).await?;
        }
        Ok(made)
    }

    /// Stores templates of pictures in a folder; those that are there already make none. Returns those that are new.
    ///
    /// # Errors
    /// When the person does not exist, or the database is away.
    pub async fn add_folder(
        &mut self,
        person: PersonId,
        templates: &[NewTemplate<'_>],
    ) -> Result<Vec<TemplateRow>, StoreError> {
        // Asked first and not left to the conflict: the trigger counts statements, and a repeated enrolment of everybody
        // should not make every daemon load the gallery again.
        let known: Vec<(String, Vec<u8>)> =
            sqlx::query_as("select model_id, source_sha256 from templates where person_id = $1")
                .bind(person.0)
                .fetch_all(self.connection())
                .await?;
        let is_known = |new: &NewTemplate<'_>| {
            known.iter().any(|(model, sha)| *model == new.embedding.model().as_str() && *sha == new.source_sha256)
        };
        let origin = TemplateOrigin { source: "folder", report: serde_json::Value::Null };
        let new = templates.iter().filter(|template| !is_known(template)).map(|new| (new.clone(), origin.clone()));
        self.add_templates(person, &new.collect::<Vec<_>>()).await
    }

    /// Erases one template of a locked person, or all of them. Returns how many there were.
    ///
    /// # Errors
    /// When the database is away.
    pub async fn remove_templates(&mut self, person: PersonId, id: Option<Uuid>) -> Result<u64, StoreError> {
        let rows = sqlx::query(sqlx::AssertSqlSafe(format!(
            "delete from templates where person_id = $1 and ($2::uuid is null or id = $2) returning {TEMPLATE}"
        )))
        .bind(person.0)
        .bind(id)
        .fetch_all(self.connection())
        .await?;
        let gone = all(&rows, TemplateRow::read)?;
        for row in &gone {
            let entry = Entry::removed("template.delete", "template", row.id, row);
            self.audit(Entry { person: Some(person), ..entry }).await?;
        }
        Ok(gone.len() as u64)
    }
}
