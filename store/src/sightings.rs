//! Who was seen when: the lines of the event log that name somebody, or were decided in review to be them.

use rollcall_pipeline::{PersonId, WallTime};
use sqlx::{Postgres, QueryBuilder};
use uuid::Uuid;

use crate::row::{all, and_one, row};
use crate::{Scope, Store, StoreError};

row! {
    /// An event that names somebody, or that a reviewer decided to be them.
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
        /// Similarity to their best template, if they were compared.
        pub similarity: Option<f32>,
        /// `live`, `spoof` or `undecided`.
        pub liveness: String,
        /// The session it belongs to.
        pub session_id: Option<Uuid>,
        /// The mark that it made, or would have made.
        pub mark_status: Option<String>,
        /// `confirmed` or `assigned` by a reviewer; `rejected` where one decided that it was not them; null where none decided.
        pub review: Option<String>,
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

/// What the cameras made of it for somebody else is not theirs. $1: who.
const SIGHTING: &str =
    "select e.id as event_id, e.captured_at, e.time_source, e.kind, e.room as room_id, e.camera, e.direction,
    case when e.person_id = $1 then e.similarity
         else (select (c->>'similarity')::real from jsonb_array_elements(e.candidates) c
               where c->>'person' = $1::uuid::text limit 1) end as similarity,
    e.liveness, case when e.person_id = $1 then e.session_id end as session_id,
    case when e.person_id = $1 then e.mark_status end as mark_status,
    case when i.person_id = $1 then i.status when i.status in ('confirmed', 'assigned', 'rejected') then 'rejected' end as review
    from seen s join events e on e.id = s.id and e.captured_at = s.captured_at
    left join review_items i on i.event_id = e.id order by e.captured_at desc, e.id";

impl SightingFilter {
    /// The conditions that events and review items have in common.
    fn push(&self, q: &mut QueryBuilder<Postgres>, scope: &Scope, after: Option<&SightingKey>, id: &str) {
        let (sites, rooms, own) = scope.bounds();
        if let (Some(sites), Some(rooms)) = (sites, rooms) {
            // Looked up once, and no join: the index by person and time has the rows in order.
            q.push(" and room = any(array(select id from rooms where site_id = any(").push_bind(sites);
            q.push(") or id = any(").push_bind(rooms).push(")))");
        }
        if let Some(own) = own {
            q.push(" and person_id = ").push_bind(own);
        }
        if let Some(from) = self.from {
            q.push(" and captured_at >= ").push_bind(from);
        }
        if let Some(to) = self.to {
            q.push(" and captured_at < ").push_bind(to);
        }
        if let Some((at, event)) = after {
            q.push(" and captured_at <= ").push_bind(*at).push(" and (captured_at < ").push_bind(*at);
            q.push(" or ").push(id).push(" > ").push_bind(*event).push(")");
        }
    }
}

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
        // Either from its index in this order, and no more of it than a page.
        let limit = and_one(limit);
        let mut q = QueryBuilder::new("with seen as ((select id, captured_at from events where person_id = ");
        q.push_bind(filter.person.0);
        filter.push(&mut q, scope, after, "id");
        q.push(" order by captured_at desc, id limit ").push(limit);
        q.push(") union (select event_id, captured_at from review_items where person_id = $1");
        filter.push(&mut q, scope, after, "event_id");
        q.push(" order by captured_at desc, event_id limit ").push(limit);
        q.push(") order by captured_at desc, id limit ").push(limit).push(") ").push(SIGHTING);
        let rows = q.build().fetch_all(&self.pool).await?;
        all(&rows, Sighting::read)
    }
}
