//! The review queue: decisions that a human should take. Items are written with their events, see `events`.

use rollcall_pipeline::{EventId, PersonId, WallTime};
use sqlx::{Postgres, QueryBuilder};
use uuid::Uuid;

use crate::change::Entry;
use crate::events::lock_people;
use crate::feed::hold_feed;
use crate::row::{all, and_one, one, row};
use crate::seal::Bound;
use crate::{Change, EventRecord, Scope, Store, StoreError};

row! {
    /// An item of the queue as people look at it.
    pub struct ReviewItem {
        /// The event it is about.
        pub event_id: Uuid,
        /// `unknown`, `ambiguous`, `spoof` or `undecided`.
        pub kind: String,
        /// `open`, `confirmed`, `assigned` or `rejected`.
        pub status: String,
        /// Where.
        pub room_id: String,
        /// The room's name.
        pub room_name: Option<String>,
        /// The room's site.
        pub site_id: String,
        /// Which camera.
        pub camera: String,
        /// When.
        pub captured_at: WallTime,
        /// The best people: `[{"person_id", "name", "similarity"}]`; the name is null of whoever was erased.
        pub candidates: serde_json::Value,
        /// There is a picture of the face.
        pub has_face: bool,
        /// Who it was decided to be.
        pub person_id: Option<Uuid>,
        /// Their name.
        pub person_name: Option<String>,
        /// Who decided.
        pub decided_by: Option<String>,
        /// When.
        pub decided_at: Option<WallTime>,
        /// What they wrote.
        pub note: Option<String>,
        /// The stranger it is taken for.
        pub visitor_id: Option<Uuid>,
        /// Grows with each change.
        pub version: i64,
    }
}

row! {
    /// What an item does not tell of its event.
    pub struct FirstSeen {
        /// When the face was first good enough, for whether somebody was late.
        pub first_usable_at: WallTime,
        /// By a camera that people pass on their way out, or in; null where they do both.
        pub leaving: Option<bool>,
    }
}

/// Which items.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ReviewFilter {
    /// Of this kind.
    pub kind: Option<String>,
    /// In this state.
    pub status: Option<String>,
    /// In this room.
    pub room: Option<String>,
    /// At this site.
    pub site: Option<String>,
    /// Of this camera.
    pub camera: Option<String>,
    /// Of this stranger.
    pub visitor: Option<Uuid>,
}

/// What the next page begins after.
pub type ReviewKey = (WallTime, Uuid);

const ITEM: &str = "select i.event_id, i.kind, i.status, i.room as room_id, r.name as room_name, r.site_id, i.camera,
    i.captured_at, i.sealed_crop is not null as has_face, i.person_id, w.name as person_name, i.decided_by, i.decided_at,
    i.note, i.visitor_id, i.version,
    (select coalesce(jsonb_agg(jsonb_build_object('person_id', c.value->>'person', 'name', p.name,
                                                  'similarity', c.value->'similarity') order by c.ordinality), '[]')
     from jsonb_array_elements(i.candidates) with ordinality c
     left join people p on p.id = (c.value->>'person')::uuid) as candidates
    from review_items i join rooms r on r.id = i.room left join people w on w.id = i.person_id where true";

fn in_scope(q: &mut QueryBuilder<Postgres>, scope: &Scope) {
    if let (Some(sites), Some(rooms)) = scope.places() {
        q.push(" and (r.site_id = any(").push_bind(sites).push(") or i.room = any(").push_bind(rooms).push("))");
    }
}

/// The kind of the item that an event opens: named and doubted is another question than between two names.
pub(crate) fn review_kind(event: &EventRecord) -> &str {
    let named = event.kind == "ambiguous" && event.person.is_some();
    if named && event.liveness == "undecided" { "undecided" } else { &event.kind }
}

/// Where the crop of an event belongs.
pub(crate) fn crop_place(event: Uuid) -> Bound {
    Bound::new("crop", &[event.as_bytes()])
}

impl Store {
    /// The face of an item as a JPEG; `None` if there is no such item or no picture (any more).
    ///
    /// # Errors
    /// When the key is another, the picture was altered, or the database is away.
    pub async fn review_crop(&self, event: EventId) -> Result<Option<Vec<u8>>, StoreError> {
        let sealed: Option<Option<Vec<u8>>> =
            sqlx::query_scalar("select sealed_crop from review_items where event_id = $1")
                .bind(event.0)
                .fetch_optional(&self.pool)
                .await?;
        let opened = sealed.flatten().map(|sealed| self.sealer.open(&crop_place(event.0), &sealed));
        Ok(opened.transpose()?)
    }

    /// The items in `scope`, latest first.
    ///
    /// # Errors
    /// When the database is away.
    pub async fn reviews(
        &self,
        scope: &Scope,
        filter: &ReviewFilter,
        after: Option<&ReviewKey>,
        limit: u32,
    ) -> Result<Vec<ReviewItem>, StoreError> {
        let mut q = QueryBuilder::new(ITEM);
        in_scope(&mut q, scope);
        let texts = [
            ("i.kind", &filter.kind),
            ("i.status", &filter.status),
            ("i.room", &filter.room),
            ("r.site_id", &filter.site),
            ("i.camera", &filter.camera),
        ];
        for (column, wanted) in texts {
            if let Some(wanted) = wanted {
                q.push(" and ").push(column).push(" = ").push_bind(wanted);
            }
        }
        if let Some(visitor) = filter.visitor {
            q.push(" and i.visitor_id = ").push_bind(visitor);
        }
        if let Some((at, event)) = after {
            q.push(" and i.captured_at <= ").push_bind(*at).push(" and (i.captured_at < ").push_bind(*at);
            q.push(" or i.event_id > ").push_bind(*event).push(")");
        }
        q.push(" order by i.captured_at desc, i.event_id limit ").push_bind(and_one(limit));
        let rows = q.build().fetch_all(&self.pool).await?;
        all(&rows, ReviewItem::read)
    }

    /// One item.
    ///
    /// # Errors
    /// When the database is away.
    pub async fn review(&self, scope: &Scope, event: EventId) -> Result<Option<ReviewItem>, StoreError> {
        let mut q = QueryBuilder::new(ITEM);
        in_scope(&mut q, scope);
        q.push(" and i.event_id = ").push_bind(event.0);
        one(q.build().fetch_optional(&self.pool).await?, ReviewItem::read)
    }

    /// What the camera knew of an event that is to be decided. `None` where the event is not kept any more.
    ///
    /// # Errors
    /// When the database is away.
    pub async fn first_seen(&self, event: EventId, captured_at: WallTime) -> Result<Option<FirstSeen>, StoreError> {
        let sql =
            "select first_usable_at, direction = 'exit' as leaving from events where id = $1 and captured_at = $2";
        let row = sqlx::query(sql).bind(event.0).bind(captured_at).fetch_optional(&self.pool).await?;
        one(row, FirstSeen::read)
    }
}

impl Change<'_> {
    /// An item, until the end of the change nobody else's. Whoever decides it for somebody locks their standing first.
    ///
    /// # Errors
    /// When the database is away.
    pub async fn lock_review(&mut self, scope: &Scope, event: EventId) -> Result<Option<ReviewItem>, StoreError> {
        hold_feed(self.connection()).await?;
        let mut q = QueryBuilder::new(ITEM);
        in_scope(&mut q, scope);
        q.push(" and i.event_id = ").push_bind(event.0).push(" for update of i");
        one(q.build().fetch_optional(self.connection()).await?, ReviewItem::read)
    }

    /// Decides a locked item: `confirmed`, `assigned` or `rejected`.
    ///
    /// # Errors
    /// When the database is away.
    pub async fn settle_review(
        &mut self,
        before: &ReviewItem,
        status: &str,
        person: Option<PersonId>,
        note: Option<&str>,
        now: WallTime,
    ) -> Result<ReviewItem, StoreError> {
        let by = self.actor().name.clone();
        sqlx::query(
            "update review_items set status = $2, person_id = $3, note = $4, decided_by = $5, decided_at = $6,
                 version = version + 1
             where event_id = $1",
        )
        .bind(before.event_id)
        .bind(status)
        .bind(person.map(|p| p.0))
        .bind(note)
        .bind(by)
        .bind(now)
        .execute(self.connection())
        .await?;
        let mut q = QueryBuilder::new(ITEM);
        q.push(" and i.event_id = ").push_bind(before.event_id);
        let item = ReviewItem::read(&q.build().fetch_one(self.connection()).await?)?;
        let entry = Entry::changed("review.decide", "review", before.event_id, before, &item);
        self.audit(Entry { person, ..entry }).await?;
        Ok(item)
    }

    /// Notes that somebody looks at the face of an item, and who of those who are still there comes into question.
    ///
    /// # Errors
    /// When the database is away.
    pub async fn note_review_view(&mut self, item: &ReviewItem) -> Result<(), StoreError> {
        let mut ids: Vec<Uuid> = item.candidates.as_array().into_iter().flatten().filter_map(id_of).collect();
        let there = lock_people(self.connection(), ids.iter().copied().chain(item.person_id).collect()).await?;
        ids.retain(|id| there.contains(id));
        let decided = item.person_id.filter(|id| there.contains(id));
        let entry = Entry {
            action: "review_crop.view",
            object_kind: "review",
            object_id: item.event_id.to_string(),
            person: decided.or_else(|| ids.first().copied()).map(PersonId),
            after: Some(serde_json::json!({ "candidates": ids })),
            ..Entry::default()
        };
        self.audit(entry).await
    }
}

fn id_of(candidate: &serde_json::Value) -> Option<Uuid> {
    candidate.get("person_id")?.as_str()?.parse().ok()
}
