//! The feed: what live views are told, in the order of the commits.

use rollcall_pipeline::WallTime;
use sqlx::postgres::{PgListener, PgRow};
use sqlx::types::Json;
use sqlx::{PgConnection, Row};
use uuid::Uuid;

use crate::row::all;
use crate::{Change, Scope, Store, StoreError};

/// The channel on which the trigger of `feed` tells of new rows.
const CHANNEL: &str = "rollcall_feed";
/// Kinds of rows.
pub const KINDS: [&str; 5] = ["mark", "sighting", "review", "camera", "session"];

/// Takes the lock that whoever tells the feed has until their commit. It comes before the rows that others lock with it in
/// their hands, or that go or change with what they remove, so that nobody waits in a circle: first the feed, then sites and
/// rooms, courses and accounts, sessions, register and reviews. A person alone may be locked before, `for no key update`, which
/// keeps nobody from referring to them.
pub(crate) async fn hold_feed(connection: &mut PgConnection) -> Result<(), StoreError> {
    sqlx::query("select pg_advisory_xact_lock(hashtextextended('rollcall.feed', 0))").execute(connection).await?;
    Ok(())
}

impl Change<'_> {
    /// Waits for everybody else who tells the feed. Until the end of the change nobody else does.
    ///
    /// # Errors
    /// When the database is away.
    pub async fn hold_feed(&mut self) -> Result<(), StoreError> {
        hold_feed(self.connection()).await
    }
}

/// Something that happened.
#[derive(Clone, Debug, PartialEq)]
pub struct FeedRow {
    /// Grows from commit to commit.
    pub id: i64,
    /// When it was written.
    pub at: WallTime,
    /// One of [`KINDS`].
    pub kind: String,
    /// Where.
    pub site: Option<String>,
    /// Where.
    pub room: Option<String>,
    /// Whom it is about.
    pub person: Option<Uuid>,
    /// What is told.
    pub payload: serde_json::Value,
}

impl FeedRow {
    /// Whether a caller with this scope may see it: what the queries here ask in SQL.
    pub fn is_within(&self, scope: &Scope) -> bool {
        let among = |place: &Option<String>, places: &[String]| place.as_ref().is_some_and(|p| places.contains(p));
        match scope {
            Scope::Everywhere => true,
            Scope::Places { sites, rooms } => among(&self.site, sites) || among(&self.room, rooms),
            Scope::Person(person) => self.person == Some(person.0),
        }
    }
}

/// How far the feed reaches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FeedBounds {
    /// Everything up to this id may be forgotten.
    pub pruned_to: i64,
    /// The last row.
    pub last: i64,
}

impl Store {
    /// How far the feed reaches.
    ///
    /// # Errors
    /// When the database is away.
    pub async fn feed_bounds(&self) -> Result<FeedBounds, StoreError> {
        let (pruned_to, last): (i64, i64) = sqlx::query_as(
            "select pruned_to, greatest(pruned_to, coalesce((select max(id) from feed), 0)) from feed_state",
        )
        .fetch_one(&self.pool)
        .await?;
        Ok(FeedBounds { pruned_to, last })
    }

    /// The next rows after an id, for whoever may see `scope`, of these kinds; oldest first.
    ///
    /// # Errors
    /// When the database is away.
    pub async fn feed_after(
        &self,
        after: i64,
        scope: &Scope,
        kinds: &[&str],
        limit: u32,
    ) -> Result<Vec<FeedRow>, StoreError> {
        let (sites, rooms, person) = scope.bounds();
        let rows = sqlx::query(
            "select id, at, kind, site_id, room_id, person_id, payload from feed
             where id > $1 and kind = any($2)
               and ($3::text[] is null or site_id = any($3) or room_id = any($4))
               and ($5::uuid is null or person_id = $5)
             order by id limit $6",
        )
        .bind(after)
        .bind(kinds)
        .bind(sites)
        .bind(rooms)
        .bind(person)
        .bind(i64::from(limit))
        .fetch_all(&self.pool)
        .await?;
        all(&rows, row)
    }

    /// Forgets what was written before, and returns how many rows that were. What was pruned is remembered, so that a
    /// reader who was away for too long is told that it missed something.
    ///
    /// # Errors
    /// When the database is away.
    pub async fn prune_feed(&self, before: WallTime) -> Result<u64, StoreError> {
        let mut tx = self.pool.begin().await?;
        sqlx::query("update feed_state set pruned_to = greatest(pruned_to, (select max(id) from feed where at < $1))")
            .bind(before)
            .execute(&mut *tx)
            .await?;
        let gone =
            sqlx::query("delete from feed where id <= (select pruned_to from feed_state)").execute(&mut *tx).await?;
        tx.commit().await?;
        Ok(gone.rows_affected())
    }

    /// Listens for new rows, on a connection of its own. Listen first and read then.
    ///
    /// # Errors
    /// When the database is away.
    pub async fn feed_changes(&self) -> Result<FeedChanges, StoreError> {
        let mut listener = PgListener::connect_with(&self.listening).await?;
        listener.listen(CHANNEL).await?;
        Ok(FeedChanges { listener })
    }
}

fn row(row: &PgRow) -> Result<FeedRow, sqlx::Error> {
    Ok(FeedRow {
        id: row.try_get("id")?,
        at: row.try_get("at")?,
        kind: row.try_get("kind")?,
        site: row.try_get("site_id")?,
        room: row.try_get("room_id")?,
        person: row.try_get("person_id")?,
        payload: row.try_get::<Json<_>, _>("payload")?.0,
    })
}

/// Tells when there are new rows.
#[derive(Debug)]
pub struct FeedChanges {
    listener: PgListener,
}

impl FeedChanges {
    /// Waits until there are, or may be, new rows. Several may be told as one.
    ///
    /// # Errors
    /// When the connection is lost and does not come back. Listen anew.
    pub async fn changed(&mut self) -> Result<(), StoreError> {
        self.listener.try_recv().await?;
        while self.listener.next_buffered().is_some() {}
        Ok(())
    }
}
