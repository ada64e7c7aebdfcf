//! Where an account or a key may look.

use rollcall_pipeline::PersonId;
use uuid::Uuid;

use crate::{Change, StoreError};

/// Where an account or a key may look.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Grants {
    /// Everywhere; then the lists are empty.
    pub everywhere: bool,
    /// Whole sites.
    pub sites: Vec<String>,
    /// Single rooms.
    pub rooms: Vec<String>,
}

/// What somebody named that is not there.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Missing {
    /// Sites.
    pub sites: Vec<String>,
    /// Rooms.
    pub rooms: Vec<String>,
    /// The person.
    pub person: bool,
}

impl Change<'_> {
    /// Which of these are not there.
    ///
    /// # Errors
    /// When the database is away.
    pub async fn missing(&mut self, grants: &Grants, person: Option<PersonId>) -> Result<Missing, StoreError> {
        let (sites, rooms, person) = sqlx::query_as(
            "select array(select s from unnest($1::text[]) s where not exists (select from sites where id = s)),
                    array(select r from unnest($2::text[]) r where not exists (select from rooms where id = r)),
                    $3::uuid is not null and not exists (select from people where id = $3)",
        )
        .bind(&grants.sites)
        .bind(&grants.rooms)
        .bind(person.map(|p| p.0))
        .fetch_one(self.connection())
        .await?;
        Ok(Missing { sites, rooms, person })
    }

    /// Replaces the grants of an account or a key.
    pub(crate) async fn set_grants(&mut self, holder: Uuid, grants: &Grants) -> Result<(), StoreError> {
        sqlx::query("delete from grants where holder_id = $1").bind(holder).execute(self.connection()).await?;
        sqlx::query(
            "insert into grants (holder_id, site_id, room_id)
             select $1, s, null from unnest($2::text[]) s union select $1, null, r from unnest($3::text[]) r",
        )
        .bind(holder)
        .bind(&grants.sites)
        .bind(&grants.rooms)
        .execute(self.connection())
        .await?;
        Ok(())
    }
}
