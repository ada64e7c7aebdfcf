//! Groups of people: classes, divisions.

use rollcall_pipeline::{PersonId, WallTime};
use sqlx::Row;
use uuid::Uuid;

use crate::change::Entry;
use crate::people::IN_SCOPE;
use crate::row::{all, and_one, one, row};
use crate::{Change, Scope, Store, StoreError};

row! {
    /// A group.
    pub struct Group {
        /// Id.
        pub id: Uuid,
        /// Name; no two have the same.
        pub name: String,
        /// How many belong to it, of those in scope.
        pub members: i64,
        /// When it was made.
        pub created_at: WallTime,
        /// Grows with each change.
        pub version: i64,
    }
}

/// The groups in scope: whoever is limited sees those of the people whom they see.
fn group_sql() -> String {
    format!(
        "select * from (select g.id, g.name, g.created_at, g.version,
             (select count(*) from group_members m join people p on p.id = m.person_id
              where m.group_id = g.id and {IN_SCOPE}) as members
             from groups g) g
         where ($1::text[] is null and $3::uuid is null or members > 0)"
    )
}

impl Store {
    /// The groups in `scope`, by name; perhaps those with `text` in their names.
    ///
    /// # Errors
    /// When the database is away.
    pub async fn groups(
        &self,
        scope: &Scope,
        text: Option<&str>,
        after: Option<&str>,
        limit: u32,
    ) -> Result<Vec<Group>, StoreError> {
        let (sites, rooms, own) = scope.bounds();
        let sql = format!(
            "{} and ($4::text is null or strpos(lower(name), lower($4)) > 0) and ($5::text is null or name > $5)
             order by name limit $6",
            group_sql()
        );
        let rows = sqlx::query(sqlx::AssertSqlSafe(sql))
            .bind(sites)
            .bind(rooms)
            .bind(own)
            .bind(text)
            .bind(after)
            .bind(and_one(limit))
            .fetch_all(&self.pool)
            .await?;
        all(&rows, Group::read)
    }

    /// One group.
    ///
    /// # Errors
    /// When the database is away.
    pub async fn group(&self, scope: &Scope, id: Uuid) -> Result<Option<Group>, StoreError> {
        let (sites, rooms, own) = scope.bounds();
        let row = sqlx::query(sqlx::AssertSqlSafe(format!("{} and id = $4", group_sql())))
            .bind(sites)
            .bind(rooms)
            .bind(own)
            .bind(id)
            .fetch_optional(&self.pool)
            .await?;
        one(row, Group::read)
    }
}

impl Change<'_> {
    /// Which of these groups there are in `scope`.
    ///
    /// # Errors
    /// When the database is away.
    pub async fn groups_among(&mut self, scope: &Scope, ids: &[Uuid]) -> Result<Vec<Uuid>, StoreError> {
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        let (sites, rooms, own) = scope.bounds();
        let rows = sqlx::query(sqlx::AssertSqlSafe(format!("{} and id = any($4)", group_sql())))
            .bind(sites)
            .bind(rooms)
            .bind(own)
            .bind(ids)
            .fetch_all(self.connection())
            .await?;
        all(&rows, |row| row.try_get("id"))
    }

    /// A group, until the end of the change nobody else's.
    ///
    /// # Errors
    /// When the database is away.
    pub async fn lock_group(&mut self, scope: &Scope, id: Uuid) -> Result<Option<Group>, StoreError> {
        let (sites, rooms, own) = scope.bounds();
        // Not for update: whoever adds somebody to it has the gallery's state, for which this change may still wait.
        sqlx::query("select from groups where id = $1 for no key update").bind(id).execute(self.connection()).await?;
        let row = sqlx::query(sqlx::AssertSqlSafe(format!("{} and id = $4", group_sql())))
            .bind(sites)
            .bind(rooms)
            .bind(own)
            .bind(id)
            .fetch_optional(self.connection())
            .await?;
        one(row, Group::read)
    }

    /// Makes a group.
    ///
    /// # Errors
    /// When there is one with this name, or the database is away.
    pub async fn add_group(&mut self, name: &str) -> Result<Group, StoreError> {
        let row = sqlx::query(
            "insert into groups (id, name) values ($1, $2) returning id, name, created_at, version, 0::bigint as members",
        )
        .bind(Uuid::now_v7())
        .bind(name)
        .fetch_one(self.connection())
        .await?;
        let group = Group::read(&row)?;
        self.audit(Entry::created("group.create", "group", group.id, &group)).await?;
        Ok(group)
    }

    /// Gives a locked group another name.
    ///
    /// # Errors
    /// When there is one with this name, or the database is away.
    pub async fn rename_group(&mut self, before: &Group, name: &str) -> Result<Group, StoreError> {
        let row = sqlx::query(
            "update groups set name = $2, version = version + 1 where id = $1
             returning id, name, created_at, version, $3::bigint as members",
        )
        .bind(before.id)
        .bind(name)
        .bind(before.members)
        .fetch_one(self.connection())
        .await?;
        let group = Group::read(&row)?;
        self.audit(Entry::changed("group.update", "group", group.id, before, &group)).await?;
        Ok(group)
    }

    /// Removes a locked group; its members stay.
    ///
    /// # Errors
    /// When the database is away.
    pub async fn remove_group(&mut self, group: &Group) -> Result<(), StoreError> {
        sqlx::query("delete from groups where id = $1").bind(group.id).execute(self.connection()).await?;
        self.audit(Entry::removed("group.delete", "group", group.id, group)).await
    }

    /// Takes a locked person into a locked group. False if they belong to it already.
    ///
    /// # Errors
    /// When the database is away.
    pub async fn join_group(&mut self, group: &Group, person: PersonId) -> Result<bool, StoreError> {
        let done =
            sqlx::query("insert into group_members (group_id, person_id) values ($1, $2) on conflict do nothing")
                .bind(group.id)
                .bind(person.0)
                .execute(self.connection())
                .await?;
        self.membership_changed("group.join", group, person, done.rows_affected()).await
    }

    /// Takes a locked person out of a locked group. False if they do not belong to it.
    ///
    /// # Errors
    /// When the database is away.
    pub async fn leave_group(&mut self, group: &Group, person: PersonId) -> Result<bool, StoreError> {
        let done = sqlx::query("delete from group_members where group_id = $1 and person_id = $2")
            .bind(group.id)
            .bind(person.0)
            .execute(self.connection())
            .await?;
        self.membership_changed("group.leave", group, person, done.rows_affected()).await
    }

    async fn membership_changed(
        &mut self,
        action: &str,
        group: &Group,
        person: PersonId,
        rows: u64,
    ) -> Result<bool, StoreError> {
        if rows == 0 {
            return Ok(false);
        }
        let after = Some(serde_json::json!({ "person_id": person.0, "group": group.name }));
        let object_id = group.id.to_string();
        self.audit(Entry { action, object_kind: "group", object_id, person: Some(person), before: None, after })
            .await?;
        // A person is shown with their groups.
        sqlx::query("update people set version = version + 1 where id = $1")
            .bind(person.0)
            .execute(self.connection())
            .await?;
        Ok(true)
    }
}
