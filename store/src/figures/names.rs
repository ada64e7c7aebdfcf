//! The name of whom figures are narrowed to.

use rollcall_pipeline::PersonId;

use crate::{Scope, Store, StoreError};

impl Store {
    /// The name of a person, if the register has them somewhere in `scope`.
    ///
    /// # Errors
    /// When the database is away.
    pub async fn figures_person(&self, scope: &Scope, id: PersonId) -> Result<Option<String>, StoreError> {
        let (sites, rooms, person) = scope.bounds();
        let name = sqlx::query_scalar(
            "select name from people p where id = $1 and ($4::uuid is null or id = $4)
               and ($2::text[] is null or exists (select from register x where x.person_id = p.id
                                                  and (x.site_id = any($2) or x.room_id = any($3))))",
        )
        .bind(id.0)
        .bind(sites)
        .bind(rooms)
        .bind(person)
        .fetch_optional(&self.pool)
        .await?;
        Ok(name)
    }
}
