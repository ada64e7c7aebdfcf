//! What there is to know when somebody was not recorded.

use rollcall_pipeline::{PersonId, WallTime};
use sqlx::{AssertSqlSafe, Row};
use uuid::Uuid;

use crate::people::IN_SCOPE;
use crate::row::{all, row};
use crate::{Scope, Store, StoreError};

row! {
    /// An event that names somebody, or might have.
    pub struct WhyEvent {
        /// Id.
        pub id: Uuid,
        /// A word of `rollcall_pipeline::EventKind`.
        pub kind: String,
        /// When the deciding picture was taken.
        pub captured_at: WallTime,
        /// Which camera.
        pub camera: String,
        /// Who was named.
        pub person_id: Option<Uuid>,
        /// Their similarity to the face, where they were among the best two.
        pub theirs: Option<f32>,
        /// The other of the best two, if the caller may know of them.
        pub other_id: Option<Uuid>,
        /// Their name.
        pub other_name: Option<String>,
        /// Their similarity.
        pub others: Option<f32>,
        /// Shots that the decision rests on.
        pub shots: i32,
        /// `live`, `spoof` or `undecided`.
        pub liveness: String,
        /// Why it is undecided.
        pub liveness_reason: Option<String>,
        /// Mean score.
        pub liveness_score: Option<f32>,
        /// The session it belongs to.
        pub session_id: Option<Uuid>,
        /// The mark that it made, or would have made.
        pub mark_status: Option<String>,
        /// State of the review item that it opened.
        pub review_status: Option<String>,
    }
}

/// How somebody is known.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Known {
    /// Templates of the model in use.
    pub templates: i64,
    /// Templates of other models.
    pub other_templates: i64,
    /// When the first template of the model in use was made.
    pub since: Option<WallTime>,
    /// A consent is in force.
    pub consents: bool,
    /// There was one, and it was withdrawn.
    pub withdrawn: bool,
}

impl Store {
    /// The events of a room between two moments that name a person, or have them among the best two, by time; and how many
    /// events of the room there were that have not. Others are named who are in `scope`.
    ///
    /// # Errors
    /// When the database is away.
    pub async fn why_events(
        &self,
        scope: &Scope,
        room: &str,
        from: WallTime,
        to: WallTime,
        person: PersonId,
    ) -> Result<(Vec<WhyEvent>, i64), StoreError> {
        let (sites, rooms, own) = scope.bounds();
        let rows = sqlx::query(AssertSqlSafe(format!(
            "select e.id, e.kind, e.captured_at, e.camera, e.person_id,
                    (mine.value->>'similarity')::real as theirs, p.id as other_id,
                    p.name as other_name, (other.value->>'similarity')::real as others, e.shots, e.liveness,
                    e.liveness_reason, e.liveness_score, e.session_id, e.mark_status, i.status as review_status
             from events e
             left join lateral (select value from jsonb_array_elements(e.candidates)
                                where value->>'person' = $7::text limit 1) mine on true
             left join lateral (select value from jsonb_array_elements(e.candidates)
                                where value->>'person' <> $7::text limit 1) other on true
             left join people p on p.id = (other.value->>'person')::uuid and {IN_SCOPE}
             left join review_items i on i.event_id = e.id
             where e.room = $4 and e.captured_at >= $5 and e.captured_at < $6
               and (e.person_id = $8 or mine.value is not null)
             order by e.captured_at, e.id limit 500"
        )))
        .bind(sites)
        .bind(rooms)
        .bind(own)
        .bind(room)
        .bind(from)
        .bind(to)
        .bind(person.0.to_string())
        .bind(person.0)
        .fetch_all(&self.pool)
        .await?;
        let strangers = sqlx::query_scalar(
            "select count(*) from events where room = $1 and captured_at >= $2 and captured_at < $3 and kind = 'unknown'
               and not candidates @> jsonb_build_array(jsonb_build_object('person', $4::text))",
        )
        .bind(room)
        .bind(from)
        .bind(to)
        .bind(person.0.to_string())
        .fetch_one(&self.pool)
        .await?;
        Ok((all(&rows, WhyEvent::read)?, strangers))
    }

    /// How a person is known to the model in use.
    ///
    /// # Errors
    /// When the database is away.
    pub async fn known(&self, person: PersonId, model: &str) -> Result<Known, StoreError> {
        let row = sqlx::query(
            "select count(*) filter (where model_id = $2) as templates, count(*) filter (where model_id <> $2) as others,
                    min(created_at) filter (where model_id = $2) as since,
                    exists (select from consents where person_id = $1 and withdrawn_at is null) as consents,
                    exists (select from consents where person_id = $1 and withdrawn_at is not null) as withdrawn
             from templates where person_id = $1",
        )
        .bind(person.0)
        .bind(model)
        .fetch_one(&self.pool)
        .await?;
        Ok(Known {
            templates: row.try_get("templates")?,
            other_templates: row.try_get("others")?,
            since: row.try_get("since")?,
            consents: row.try_get("consents")?,
            withdrawn: row.try_get("withdrawn")?,
        })
    }
}
