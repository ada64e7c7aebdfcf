//! Strangers who come again: review items of unknown faces, told apart by what is kept sealed of them. A stranger has a
//! number and no name.

use rollcall_pipeline::{Embedding, ModelId, WallTime};
use sqlx::Row;
use uuid::Uuid;

use crate::change::Entry;
use crate::feed::hold_feed;
use crate::row::{all, and_one, one, row};
use crate::seal::Bound;
use crate::templates::from_bytes;
use crate::{Change, Scope, Store, StoreError};

/// Faces that are told apart in one go.
const BATCH: i64 = 200;
/// Faces that they are compared with, the latest.
const MEMBERS: i64 = 50_000;

row! {
    /// A stranger, as far as a caller's places have seen them.
    pub struct Visitor {
        /// The number.
        pub id: Uuid,
        /// First time.
        pub first_seen_at: WallTime,
        /// Last time.
        pub last_seen_at: WallTime,
        /// How often.
        pub sightings: i64,
        /// Where.
        pub rooms: Vec<String>,
    }
}

/// Where the face of a stranger belongs.
pub(crate) fn stranger_place(event: Uuid, model: &str) -> Bound {
    Bound::new("stranger", &[event.as_bytes(), model.as_bytes()])
}

/// A stranger while others are compared with them.
struct Known {
    id: Uuid,
    model: ModelId,
    /// Sum of the faces; its direction is the mean face.
    sum: Vec<f32>,
}

impl Known {
    fn mean(&self) -> Option<Embedding> {
        Embedding::normalized(self.model.clone(), self.sum.clone())
    }

    fn add(&mut self, face: &Embedding) {
        self.sum.iter_mut().zip(face.values()).for_each(|(sum, value)| *sum += value);
    }
}

fn add(known: &mut Vec<Known>, id: Uuid, face: &Embedding) {
    match known.iter_mut().find(|k| k.id == id && k.model == *face.model()) {
        Some(stranger) => stranger.add(face),
        None => known.push(Known { id, model: face.model().clone(), sum: face.values().to_vec() }),
    }
}

const VISITOR: &str =
    "select i.visitor_id as id, min(i.captured_at) as first_seen_at, max(i.captured_at) as last_seen_at,
    count(*) as sightings, array_agg(distinct i.room) as rooms
    from review_items i join rooms r on r.id = i.room
    where i.visitor_id is not null and ($1::text[] is null or r.site_id = any($1) or i.room = any($2))";

impl Store {
    /// The strangers in `scope`, whoever came last first.
    ///
    /// # Errors
    /// When the database is away.
    pub async fn visitors(
        &self,
        scope: &Scope,
        after: Option<&(WallTime, Uuid)>,
        limit: u32,
    ) -> Result<Vec<Visitor>, StoreError> {
        let (sites, rooms) = scope.places();
        let rows = sqlx::query(sqlx::AssertSqlSafe(format!(
            "select * from ({VISITOR} group by i.visitor_id) v
             where $3::timestamptz is null or last_seen_at < $3 or (last_seen_at = $3 and id > $4)
             order by last_seen_at desc, id limit $5"
        )))
        .bind(sites)
        .bind(rooms)
        .bind(after.map(|(at, _)| *at))
        .bind(after.map(|(_, id)| *id))
        .bind(and_one(limit))
        .fetch_all(&self.pool)
        .await?;
        all(&rows, Visitor::read)
    }

    /// One stranger.
    ///
    /// # Errors
    /// When the database is away.
    pub async fn visitor(&self, scope: &Scope, id: Uuid) -> Result<Option<Visitor>, StoreError> {
        let (sites, rooms) = scope.places();
        let sql = format!("{VISITOR} and i.visitor_id = $3 group by i.visitor_id");
        let query = sqlx::query(sqlx::AssertSqlSafe(sql)).bind(sites).bind(rooms).bind(id);
        one(query.fetch_optional(&self.pool).await?, Visitor::read)
    }

    /// The mean face of a stranger as far as it is kept, to ask whether they are known by now.
    ///
    /// # Errors
    /// When the key is another, or the database is away.
    pub async fn visitor_face(&self, id: Uuid, model: &ModelId) -> Result<Option<Embedding>, StoreError> {
        let rows = sqlx::query(
            "select event_id, model_id, sealed_embedding from review_items
             where visitor_id = $1 and model_id = $2 and sealed_embedding is not null
             order by captured_at desc, event_id limit 100",
        )
        .bind(id)
        .bind(model.as_str())
        .fetch_all(&self.pool)
        .await?;
        let mut known = Vec::new();
        for row in &rows {
            if let Some((_, face)) = self.open_stranger(row)? {
                add(&mut known, id, &face);
            }
        }
        Ok(known.first().and_then(Known::mean))
    }

    fn open_stranger(&self, row: &sqlx::postgres::PgRow) -> Result<Option<(Uuid, Embedding)>, StoreError> {
        let (event, model): (Uuid, String) = (row.try_get("event_id")?, row.try_get("model_id")?);
        let sealed: Vec<u8> = row.try_get("sealed_embedding")?;
        let values = from_bytes(&self.sealer.open(&stranger_place(event, &model), &sealed)?);
        Ok(Embedding::normalized(ModelId::new(model.as_str()), values).map(|face| (event, face)))
    }

    /// Tells new strangers apart, oldest first: each is the known one whose mean face is the most similar, if it is at
    /// least `similarity`, or else somebody new. Returns how many were looked at; 0 also while another daemon does it.
    ///
    /// # Errors
    /// When the key is another, or the database is away.
    pub async fn tell_strangers_apart(&self, similarity: f32) -> Result<usize, StoreError> {
        let mut tx = self.pool.begin().await?;
        let sql = "select pg_try_advisory_xact_lock(hashtextextended('rollcall.visitors', 0))";
        if !sqlx::query_scalar::<_, bool>(sql).fetch_one(&mut *tx).await? {
            return Ok(0);
        }
        let new = sqlx::query(
            "select event_id, model_id, sealed_embedding, captured_at from review_items
             where visitor_id is null and sealed_embedding is not null and model_id is not null and person_id is null
             order by captured_at, event_id limit $1",
        )
        .bind(BATCH)
        .fetch_all(&mut *tx)
        .await?;
        if new.is_empty() {
            return Ok(0);
        }
        let members = sqlx::query(
            "select event_id, model_id, sealed_embedding, visitor_id from review_items
             where visitor_id is not null and sealed_embedding is not null and model_id is not null
             order by captured_at desc, event_id limit $1",
        )
        .bind(MEMBERS)
        .fetch_all(&mut *tx)
        .await?;
        let mut known = Vec::new();
        for row in &members {
            if let Some((_, face)) = self.open_stranger(row)? {
                add(&mut known, row.try_get("visitor_id")?, &face);
            }
        }
        let (mut events, mut times, mut visitors) = (Vec::new(), Vec::<WallTime>::new(), Vec::new());
        for row in &new {
            let Some((event, face)) = self.open_stranger(row)? else { continue };
            let nearest = known
                .iter()
                .filter_map(|k| Some((k.id, k.mean()?.similarity(&face)?)))
                // The same for every order of rows: of two alike that with the smaller id.
                .max_by(|a, b| a.1.total_cmp(&b.1).then(b.0.cmp(&a.0)))
                .filter(|(_, alike)| *alike >= similarity);
            let id = nearest.map_or_else(|| Uuid::new_v5(&event, b"visitor"), |(id, _)| id);
            add(&mut known, id, &face);
            events.push(event);
            times.push(row.try_get("captured_at")?);
            visitors.push(id);
        }
        // Whoever writes events waits for this from here on, and for no comparison. Who was forgotten in the meantime stays so.
        hold_feed(&mut tx).await?;
        sqlx::query(
            "insert into visitors as v (id, first_seen_at, last_seen_at, sightings)
             select n.v, min(n.at), max(n.at), count(*)
             from unnest($1::uuid[], $2::timestamptz[], $3::uuid[]) as n (e, at, v)
             join review_items i on i.event_id = n.e and i.sealed_embedding is not null group by n.v
             on conflict (id) do update set first_seen_at = least(v.first_seen_at, excluded.first_seen_at),
                 last_seen_at = greatest(v.last_seen_at, excluded.last_seen_at),
                 sightings = v.sightings + excluded.sightings",
        )
        .bind(&events)
        .bind(&times)
        .bind(&visitors)
        .execute(&mut *tx)
        .await?;
        sqlx::query(
            "update review_items i set visitor_id = n.v from unnest($1::uuid[], $2::uuid[]) as n (e, v)
             where i.event_id = n.e and i.sealed_embedding is not null",
        )
        .bind(&events)
        .bind(&visitors)
        .execute(&mut *tx)
        .await?;
        tx.commit().await?;
        Ok(new.len())
    }
}

impl Change<'_> {
    /// Forgets a stranger: their faces and their number. That somebody unknown was seen stays. Whether there was one.
    ///
    /// # Errors
    /// When the database is away.
    pub async fn forget_visitor(&mut self, id: Uuid) -> Result<bool, StoreError> {
        hold_feed(self.connection()).await?;
        let forgotten = sqlx::query(
            "update review_items set visitor_id = null, sealed_embedding = null, sealed_crop = null, version = version + 1
             where visitor_id = $1",
        )
        .bind(id)
        .execute(self.connection())
        .await?
        .rows_affected();
        let gone = sqlx::query("delete from visitors where id = $1").bind(id).execute(self.connection()).await?;
        if gone.rows_affected() == 0 && forgotten == 0 {
            return Ok(false);
        }
        self.audit(Entry {
            action: "visitor.delete",
            object_kind: "visitor",
            object_id: id.to_string(),
            before: Some(serde_json::json!({ "sightings": forgotten })),
            ..Entry::default()
        })
        .await?;
        Ok(true)
    }
}
