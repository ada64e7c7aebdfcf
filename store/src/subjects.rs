//! People as a face service calls them: one word each. That is the external id of whoever has one, and else the name.

use std::collections::HashMap;

use rollcall_pipeline::{Embedding, ModelId, PersonId};
use sqlx::{PgConnection, Row};
use uuid::Uuid;

use crate::{Change, Store, StoreError};

const SUBJECT: &str = "coalesce(p.external_id, p.name)";

/// A template and whose it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SubjectFace {
    /// The template.
    pub id: Uuid,
    /// Whose.
    pub person: PersonId,
    /// What they are called.
    pub subject: String,
}

fn face(row: &sqlx::postgres::PgRow) -> Result<SubjectFace, sqlx::Error> {
    Ok(SubjectFace {
        id: row.try_get("id")?,
        person: PersonId(row.try_get("person_id")?),
        subject: row.try_get("subject")?,
    })
}

/// Who is called so: by external id, or else the only one of that name.
pub(crate) async fn called(connection: &mut PgConnection, subject: &str) -> Result<Option<PersonId>, StoreError> {
    let known: Option<Uuid> = sqlx::query_scalar("select id from people where external_id = $1")
        .bind(subject)
        .fetch_optional(&mut *connection)
        .await?;
    if let Some(id) = known {
        return Ok(Some(PersonId(id)));
    }
    let named: Vec<Uuid> =
        sqlx::query_scalar("select id from people where name = $1").bind(subject).fetch_all(connection).await?;
    match named.as_slice() {
        [] => Ok(None),
        [one] => Ok(Some(PersonId(*one))),
        several => Err(StoreError::AmbiguousName { name: subject.to_owned(), count: several.len() }),
    }
}

impl Store {
    /// What everybody is called, in order.
    ///
    /// # Errors
    /// When the database is away.
    pub async fn subjects(&self) -> Result<Vec<String>, StoreError> {
        let query = format!("select {SUBJECT} as subject from people p order by subject, p.id");
        Ok(sqlx::query_scalar(sqlx::AssertSqlSafe(query)).fetch_all(&self.pool).await?)
    }

    /// The person who is called so: by external id, or else the only one of that name.
    ///
    /// # Errors
    /// When several people have the name and nobody the external id, or the database is away.
    pub async fn subject(&self, subject: &str) -> Result<Option<PersonId>, StoreError> {
        called(&mut *self.pool.acquire().await?, subject).await
    }

    /// What these people are called.
    ///
    /// # Errors
    /// When the database is away.
    pub async fn subjects_of(&self, people: &[Uuid]) -> Result<HashMap<Uuid, String>, StoreError> {
        let query = format!("select p.id, {SUBJECT} from people p where p.id = any($1)");
        let named: Vec<(Uuid, String)> =
            sqlx::query_as(sqlx::AssertSqlSafe(query)).bind(people).fetch_all(&self.pool).await?;
        Ok(named.into_iter().collect())
    }

    /// A page of templates, of one person or of everybody, and how many there are.
    ///
    /// # Errors
    /// When the database is away.
    pub async fn subject_faces(
        &self,
        person: Option<PersonId>,
        offset: i64,
        limit: i64,
    ) -> Result<(Vec<SubjectFace>, i64), StoreError> {
        let person = person.map(|person| person.0);
        let total: i64 = sqlx::query_scalar("select count(*) from templates where $1::uuid is null or person_id = $1")
            .bind(person)
            .fetch_one(&self.pool)
            .await?;
        let query = format!(
            "select t.id, t.person_id, {SUBJECT} as subject from templates t join people p on p.id = t.person_id
             where $1::uuid is null or t.person_id = $1 order by t.id limit $2 offset $3"
        );
        let rows =
            sqlx::query(sqlx::AssertSqlSafe(query)).bind(person).bind(limit).bind(offset).fetch_all(&self.pool).await?;
        Ok((rows.iter().map(face).collect::<Result<_, _>>()?, total))
    }

    /// One template, and the face, if `model` made it.
    ///
    /// # Errors
    /// When the database is away, or the template was sealed with another key.
    pub async fn subject_face(
        &self,
        id: Uuid,
        model: &ModelId,
    ) -> Result<Option<(SubjectFace, Option<Embedding>)>, StoreError> {
        let query = format!(
            "select t.id, t.person_id, t.model_id, t.sealed, {SUBJECT} as subject
             from templates t join people p on p.id = t.person_id where t.id = $1"
        );
        let row = sqlx::query(sqlx::AssertSqlSafe(query)).bind(id).fetch_optional(&self.pool).await?;
        let Some(row) = row else { return Ok(None) };
        let known = row.try_get::<String, _>("model_id")? == model.as_str();
        let opened = if known { self.open_template(model, &row)? } else { None };
        Ok(Some((face(&row)?, opened.map(|template| template.embedding))))
    }
}

impl Change<'_> {
    /// The template that was made of a picture.
    ///
    /// # Errors
    /// When the database is away.
    pub async fn template_of(
        &mut self,
        person: PersonId,
        model: &ModelId,
        sha256: &[u8; 32],
    ) -> Result<Option<Uuid>, StoreError> {
        let query = "select id from templates where person_id = $1 and model_id = $2 and source_sha256 = $3";
        let found = sqlx::query_scalar(query).bind(person.0).bind(model.as_str()).bind(sha256.as_slice());
        Ok(found.fetch_optional(self.connection()).await?)
    }
}
