//! Who was seen when: the lines of the event log that name somebody.

use rollcall_pipeline::{PersonId, WallTime};
use sqlx::{Postgres, QueryBuilder};
use uuid::Uuid;

use crate::row::{all, and_one, row};
use crate::{Scope, Store, StoreError};

row! {
    /// An event that names somebody.
    pub struct Sighting {
        /// The event.
        pub event_id: Uuid,
        /// When the deciding picture was taken.
        pub captured_at: WallTime,
        /// How well that is known.
        pub time_source: String,
        /// A word of `rollcall_pipeline::EventKind`.
        pub kind: String,
        /// Where.
        pub room_id: String,
        /// Which camera.
        pub camera: String,
        /// `entry` or `exit`.
        pub direction: Option<String>,
        /// Similarity to the best template.
        pub similarity: Option<f32>,
        /// `live`, `spoof` or `undecided`.
        pub liveness: String,
        /// The session it belongs to.
        pub session_id: Option<Uuid>,
        /// The mark that it made, or would have made.
        pub mark_status: Option<String>,
    }
}

/// Which sightings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SightingFilter {
    /// Of this person.
    pub person: PersonId,
    /// From then on.
    pub from: Option<WallTime>,
    /// Before then.
    pub to: Option<WallTime>,
}

/// What the next page begins after.
pub type SightingKey = (WallTime, Uuid);

impl Store {
    /// The sightings of a person in `scope`, newest first.
    ///
    /// # Errors
    /// When the database is away.
    pub async fn sightings(
        &self,
        scope: &Scope,
        filter: &SightingFilter,
        after: Option<&SightingKey>,
        limit: u32,
    ) -> Result<Vec<Sighting>, StoreError> {
        let mut q = QueryBuilder::<Postgres>::new(
            "select id as event_id, captured_at, time_source, kind, room as room_id, camera, direction, similarity, liveness,
                    session_id, mark_status
             from events where person_id = ",
        );
        q.push_bind(filter.person.0);
        let (sites, rooms, own) = scope.bounds();
        if let (Some(sites), Some(rooms)) = (sites, rooms) {
            // Looked up once, and no join: the index by person and time has the rows in order.
            q.push(" and room = any(array(select id from rooms where site_id = any(").push_bind(sites);
            q.push(") or id = any(").push_bind(rooms).push(")))");
        }
        if let Some(own) = own {
            q.push(" and person_id = ").push_bind(own);
        }
        if let Some(from) = filter.from {
            q.push(" and captured_at >= ").push_bind(from);
        }
        if let Some(to) = filter.to {
            q.push(" and captured_at < ").push_bind(to);
        }
        if let Some((at, event)) = after {
            q.push(" and captured_at <= ").push_bind(*at).push(" and (captured_at < ").push_bind(*at);
            q.push(" or id > ").push_bind(*event).push(")");
        }
        q.push(" order by captured_at desc, id limit ").push(and_one(limit));
        let rows = q.build().fetch_all(&self.pool).await?;
        all(&rows, Sighting::read)
    }
}
