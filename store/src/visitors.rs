//! Strangers who come again: review items of unknown faces, told apart by what is kept sealed of them. A stranger has a
//! number and no name.

use std::collections::{HashMap, HashSet};

use rollcall_pipeline::{Embedding, ModelId, WallTime};
use sqlx::postgres::{PgAdvisoryLock, PgRow};
use sqlx::{Connection, Either, PgConnection, Row};
use uuid::Uuid;

use crate::change::Entry;
use crate::feed::hold_feed;
use crate::row::{all, and_one, one, row};
use crate::seal::{Bound, SealError};
use crate::templates::from_bytes;
use crate::{Change, Scope, Store, StoreError};

/// Faces that are told apart between two commits.
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

/// A face that nobody has told apart yet.
struct Unnumbered {
    event: Uuid,
    at: WallTime,
    face: Embedding,
}

/// What a stranger looks like to a model.
#[derive(Default)]
struct Looks {
    /// Of the faces.
    sum: Vec<f32>,
    /// The direction of the sum.
    mean: Option<Embedding>,
}

/// Strangers while others are compared with them.
#[derive(Default)]
struct Strangers(HashMap<(Uuid, ModelId), Looks>);

impl Strangers {
    fn add(&mut self, id: Uuid, face: &Embedding) {
        let looks = self.0.entry((id, face.model().clone())).or_default();
        looks.sum.resize(face.values().len(), 0.0);
        looks.sum.iter_mut().zip(face.values()).for_each(|(sum, value)| *sum += value);
        looks.mean = Embedding::normalized(face.model().clone(), looks.sum.clone());
    }

    /// The one whose mean face is the most similar, if it is at least `similarity`, or else somebody new.
    fn tell(&mut self, new: &Unnumbered, similarity: f32) -> Uuid {
        let alike = |looks: &Looks| looks.mean.as_ref()?.similarity(&new.face);
        let known = self.0.iter().filter_map(|((id, _), looks)| Some((*id, alike(looks)?)));
        // The same for every order: of two alike that with the smaller id.
        let nearest = known.max_by(|a, b| a.1.total_cmp(&b.1).then(b.0.cmp(&a.0)));
        let nearest = nearest.filter(|(_, alike)| *alike >= similarity);
        let id = nearest.map_or_else(|| Uuid::new_v5(&new.event, b"visitor"), |(id, _)| id);
        self.add(id, &new.face);
        id
    }
}

/// The strangers whom somebody was once taken for, by an item that was decided to be theirs.
pub(crate) const ONCE_A_STRANGER: &str =
    "select visitor_id from review_items where person_id = $1 and visitor_id is not null";

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
        let mut stranger = Strangers::default();
        for row in &rows {
            if let Some(face) = self.open_stranger(row)? {
                stranger.add(id, &face);
            }
        }
        Ok(stranger.0.into_values().find_map(|looks| looks.mean))
    }

    /// `None` if what is kept is not a face: it tells nobody apart, and others go on.
    fn open_stranger(&self, row: &PgRow) -> Result<Option<Embedding>, StoreError> {
        let (event, model): (Uuid, String) = (row.try_get("event_id")?, row.try_get("model_id")?);
        let sealed: &[u8] = row.try_get("sealed_embedding")?;
        match self.sealer.open(&stranger_place(event, &model), sealed) {
            Ok(plain) => Ok(Embedding::normalized(ModelId::new(model.as_str()), from_bytes(&plain))),
            Err(error @ SealError::WrongKey { .. }) => Err(error.into()),
            Err(error) => {
                tracing::error!(%event, %error, "cannot open the face of a stranger");
                Ok(None)
            }
        }
    }

    /// Tells new strangers apart, oldest first: each is the known one whose mean face is the most similar, if it is at
    /// least `similarity`, or else somebody new. Returns how many there were; 0 also while another daemon does it.
    ///
    /// # Errors
    /// When the key is another, or the database is away.
    pub async fn tell_strangers_apart(&self, similarity: f32) -> Result<usize, StoreError> {
        let turn = PgAdvisoryLock::new("rollcall.visitors");
        let Either::Left(mut turn) = turn.try_acquire(self.pool.acquire().await?).await? else { return Ok(0) };
        let told = self.tell_all_apart(&mut turn, similarity).await?;
        turn.release_now().await?;
        Ok(told)
    }

    async fn tell_all_apart(&self, connection: &mut PgConnection, similarity: f32) -> Result<usize, StoreError> {
        let mut told = 0;
        let mut new = self.unnumbered(connection).await?;
        if new.is_empty() {
            return Ok(told);
        }
        // Opened once: to know what everybody looks like is most of the work.
        let mut strangers = self.strangers(connection).await?;
        while !new.is_empty() {
            let ids: Vec<Uuid> = new.iter().map(|new| strangers.tell(new, similarity)).collect();
            number(connection, &new, &ids).await?;
            told += new.len();
            new = self.unnumbered(connection).await?;
            let left: Vec<Uuid> = sqlx::query_scalar("select id from visitors").fetch_all(&mut *connection).await?;
            let left: HashSet<Uuid> = left.into_iter().collect();
            // Whoever was forgotten in the meantime is somebody new when they come again.
            strangers.0.retain(|(id, _), _| left.contains(id));
        }
        Ok(told)
    }

    /// The next faces to be told apart, oldest first. What is not a face is removed, or it would be the next for ever.
    async fn unnumbered(&self, connection: &mut PgConnection) -> Result<Vec<Unnumbered>, StoreError> {
        let rows = sqlx::query(
            "select event_id, model_id, sealed_embedding, captured_at from review_items
             where visitor_id is null and sealed_embedding is not null and model_id is not null and person_id is null
             order by captured_at, event_id limit $1",
        )
        .bind(BATCH)
        .fetch_all(&mut *connection)
        .await?;
        let (mut new, mut broken) = (Vec::with_capacity(rows.len()), Vec::new());
        for row in &rows {
            let event = row.try_get("event_id")?;
            match self.open_stranger(row)? {
                Some(face) => new.push(Unnumbered { event, at: row.try_get("captured_at")?, face }),
                None => broken.push(event),
            }
        }
        if !broken.is_empty() {
            let mut tx = connection.begin().await?;
            hold_feed(&mut tx).await?;
            let forget = sqlx::query("update review_items set sealed_embedding = null where event_id = any($1)");
            forget.bind::<Vec<Uuid>>(broken).execute(&mut *tx).await?;
            tx.commit().await?;
        }
        Ok(new)
    }

    /// Those who have a number, by their latest faces.
    async fn strangers(&self, connection: &mut PgConnection) -> Result<Strangers, StoreError> {
        let rows = sqlx::query(
            "select event_id, model_id, sealed_embedding, visitor_id from review_items
             where visitor_id is not null and sealed_embedding is not null and model_id is not null
             order by captured_at desc, event_id limit $1",
        )
        .bind(MEMBERS)
        .fetch_all(connection)
        .await?;
        let mut strangers = Strangers::default();
        for row in &rows {
            if let Some(face) = self.open_stranger(row)? {
                strangers.add(row.try_get("visitor_id")?, &face);
            }
        }
        Ok(strangers)
    }
}

/// Writes down whose faces these are.
async fn number(connection: &mut PgConnection, new: &[Unnumbered], ids: &[Uuid]) -> Result<(), StoreError> {
    let events: Vec<Uuid> = new.iter().map(|new| new.event).collect();
    let times: Vec<WallTime> = new.iter().map(|new| new.at).collect();
    let mut tx = connection.begin().await?;
    // Whoever writes events waits for this, and for no comparison. Who was forgotten in the meantime stays so.
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
    .bind(times)
    .bind(ids)
    .execute(&mut *tx)
    .await?;
    sqlx::query(
        "update review_items i set visitor_id = n.v from unnest($1::uuid[], $2::uuid[]) as n (e, v)
         where i.event_id = n.e and i.sealed_embedding is not null",
    )
    .bind(&events)
    .bind(ids)
    .execute(&mut *tx)
    .await?;
    Ok(tx.commit().await?)
}

impl Change<'_> {
    /// Forgets the numbers of the strangers whom a person was once taken for. Their faces are the caller's business.
    pub(crate) async fn forget_strangers_of(&mut self, person: Uuid) -> Result<(), StoreError> {
        let numbers = format!("delete from visitors where id in ({ONCE_A_STRANGER})");
        sqlx::query(sqlx::AssertSqlSafe(numbers)).bind(person).execute(self.connection()).await?;
        Ok(())
    }

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
