//! People.

use rollcall_pipeline::{PersonId, WallTime};
use sqlx::Row;
use sqlx::postgres::PgRow;
use uuid::Uuid;

use crate::{Store, StoreError};

/// Somebody who can be recognised.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Person {
    /// Id.
    pub id: PersonId,
    /// Display name.
    pub name: String,
    /// Number in another system.
    pub external_id: Option<String>,
    /// When the person was added.
    pub created_at: WallTime,
}

fn person(row: &PgRow) -> Result<Person, sqlx::Error> {
    Ok(Person {
        id: PersonId(row.try_get("id")?),
        name: row.try_get("name")?,
        external_id: row.try_get("external_id")?,
        created_at: row.try_get("created_at")?,
    })
}

impl Store {
    /// All people, by name.
    ///
    /// # Errors
    /// When the database is away.
    pub async fn people(&self) -> Result<Vec<Person>, StoreError> {
        let rows = sqlx::query("select id, name, external_id, created_at from people order by name, id")
            .fetch_all(&self.pool)
            .await?;
        Ok(rows.iter().map(person).collect::<Result<_, _>>()?)
    }

    /// One person.
    ///
    /// # Errors
    /// When the database is away.
    pub async fn person(&self, id: PersonId) -> Result<Option<Person>, StoreError> {
        let row = sqlx::query("select id, name, external_id, created_at from people where id = $1")
            .bind(id.0)
            .fetch_optional(&self.pool)
            .await?;
        Ok(row.as_ref().map(person).transpose()?)
    }

    /// The person of that name, added if there is none; the flag tells which. Two calls at once add one person.
    ///
    /// # Errors
    /// When several people have the name, or the database is away.
    pub async fn upsert_person_by_name(&self, name: &str) -> Result<(PersonId, bool), StoreError> {
        let mut tx = self.pool.begin().await?;
        // Names are not unique, so no constraint would stop two enrolments of one folder.
        sqlx::query("select pg_advisory_xact_lock(hashtextextended('rollcall.person.' || $1, 0))")
            .bind(name)
            .execute(&mut *tx)
            .await?;
        let found: Vec<Uuid> =
            sqlx::query_scalar("select id from people where name = $1").bind(name).fetch_all(&mut *tx).await?;
        match found.as_slice() {
            [] => {
                let id = Uuid::now_v7();
                sqlx::query("insert into people (id, name) values ($1, $2)")
                    .bind(id)
                    .bind(name)
                    .execute(&mut *tx)
                    .await?;
                tx.commit().await?;
                Ok((PersonId(id), true))
            }
            [id] => Ok((PersonId(*id), false)),
            several => Err(StoreError::AmbiguousName { name: name.to_owned(), count: several.len() }),
        }
    }

    /// Deletes a person with their templates and marks. Whether there was one.
    ///
    /// # Errors
    /// When the database is away.
    pub async fn delete_person(&self, id: PersonId) -> Result<bool, StoreError> {
        let done = sqlx::query("delete from people where id = $1").bind(id.0).execute(&self.pool).await?;
        Ok(done.rows_affected() > 0)
    }
}
