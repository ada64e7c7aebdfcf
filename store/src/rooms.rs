//! Rooms.

use crate::change::Entry;
use crate::row::{all, and_one, one, row};
use crate::{Change, Reading, Scope, Store, StoreError};

row! {
    /// A room.
    pub struct Room {
        /// Short name.
        pub id: String,
        /// The site.
        pub site_id: String,
        /// Name for people; without it the id.
        pub name: Option<String>,
        /// IANA name; without it that of the site.
        pub time_zone: Option<String>,
        /// Of the site.
        pub site_time_zone: String,
        /// `api` or `file`.
        pub managed_by: String,
        /// Grows with each change.
        pub version: i64,
    }
}

impl Room {
    /// The zone in which it keeps its timetable.
    pub fn zone(&self) -> &str {
        self.time_zone.as_deref().unwrap_or(&self.site_time_zone)
    }
}

const ROOM: &str = "r.id, r.site_id, r.name, r.time_zone, s.time_zone as site_time_zone, r.managed_by, r.version
    from rooms r join sites s on s.id = r.site_id";
const IN_SCOPE: &str = "($1::text[] is null or r.site_id = any($1) or r.id = any($2))";

impl Store {
    /// The rooms in `scope`, perhaps of one site, by id.
    ///
    /// # Errors
    /// When the database is away.
    pub async fn rooms(
        &self,
        scope: &Scope,
        site: Option<&str>,
        after: Option<&str>,
        limit: u32,
    ) -> Result<Vec<Room>, StoreError> {
        let (sites, rooms) = scope.places();
        let rows = sqlx::query(sqlx::AssertSqlSafe(format!(
            "select {ROOM} where {IN_SCOPE} and ($3::text is null or r.site_id = $3) and ($4::text is null or r.id > $4)
             order by r.id limit $5"
        )))
        .bind(sites)
        .bind(rooms)
        .bind(site)
        .bind(after)
        .bind(and_one(limit))
        .fetch_all(&self.pool)
        .await?;
        all(&rows, Room::read)
    }

    /// One room.
    ///
    /// # Errors
    /// When the database is away.
    pub async fn room(&self, scope: &Scope, id: &str) -> Result<Option<Room>, StoreError> {
        self.reading().await?.room(scope, id).await
    }
}

impl Reading {
    /// One room.
    ///
    /// # Errors
    /// When the database is away.
    pub async fn room(&mut self, scope: &Scope, id: &str) -> Result<Option<Room>, StoreError> {
        let (sites, rooms) = scope.places();
        let row = sqlx::query(sqlx::AssertSqlSafe(format!("select {ROOM} where {IN_SCOPE} and r.id = $3")))
            .bind(sites)
            .bind(rooms)
            .bind(id)
            .fetch_optional(self.connection())
            .await?;
        one(row, Room::read)
    }
}

impl Change<'_> {
    /// A room, until the end of the change nobody else's.
    ///
    /// # Errors
    /// When the database is away.
    pub async fn lock_room(&mut self, scope: &Scope, id: &str) -> Result<Option<Room>, StoreError> {
        let (sites, rooms) = scope.places();
        let sql = format!("select {ROOM} where {IN_SCOPE} and r.id = $3 for no key update of r");
        let row = sqlx::query(sqlx::AssertSqlSafe(sql))
            .bind(sites)
            .bind(rooms)
            .bind(id)
            .fetch_optional(self.connection())
            .await?;
        one(row, Room::read)
    }

    async fn room_now(&mut self, id: &str) -> Result<Room, StoreError> {
        let row = sqlx::query(sqlx::AssertSqlSafe(format!("select {ROOM} where r.id = $1")))
            .bind(id)
            .fetch_one(self.connection())
            .await?;
        Ok(Room::read(&row)?)
    }

    /// Makes a room.
    ///
    /// # Errors
    /// When there is one with this id, there is no such site, or the database is away.
    pub async fn add_room(
        &mut self,
        id: &str,
        site: &str,
        name: Option<&str>,
        time_zone: Option<&str>,
    ) -> Result<Room, StoreError> {
        sqlx::query("insert into rooms (id, site_id, name, time_zone, managed_by) values ($1, $2, $3, $4, 'api')")
            .bind(id)
            .bind(site)
            .bind(name)
            .bind(time_zone)
            .execute(self.connection())
            .await?;
        // The trigger does not tell of new rooms, because marks make some.
        sqlx::query("select pg_notify('rollcall_places', '')").execute(self.connection()).await?;
        let room = self.room_now(id).await?;
        self.audit(Entry::created("room.create", "room", id, &room)).await?;
        Ok(room)
    }

    /// Gives a locked room another name and zone.
    ///
    /// # Errors
    /// When the database is away.
    pub async fn replace_room(
        &mut self,
        before: &Room,
        name: Option<&str>,
        time_zone: Option<&str>,
    ) -> Result<Room, StoreError> {
        sqlx::query("update rooms set name = $2, time_zone = $3, version = version + 1 where id = $1")
            .bind(&before.id)
            .bind(name)
            .bind(time_zone)
            .execute(self.connection())
            .await?;
        let room = self.room_now(&before.id).await?;
        self.audit(Entry::changed("room.update", "room", &room.id, before, &room)).await?;
        Ok(room)
    }

    /// Removes a locked room.
    ///
    /// # Errors
    /// When there are sessions, cameras or timetables in it, or the database is away.
    pub async fn remove_room(&mut self, room: &Room) -> Result<(), StoreError> {
        sqlx::query("delete from rooms where id = $1").bind(&room.id).execute(self.connection()).await?;
        self.audit(Entry::removed("room.delete", "room", &room.id, room)).await
    }
}
