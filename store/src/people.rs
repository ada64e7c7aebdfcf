//! People.

use std::collections::{BTreeMap, HashSet};

use rollcall_pipeline::{PersonId, WallTime};
use sqlx::Row;
use sqlx::postgres::PgRow;
use sqlx::types::Json;
use uuid::Uuid;

use crate::change::Entry;
use crate::row::{all, and_one, one, row};
use crate::subjects::called;
use crate::{Actor, Change, Scope, Store, StoreError};

/// Somebody who can be recognised.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Person {
    /// Id.
    pub id: PersonId,
    /// Display name.
    pub name: String,
    /// Number in another system.
    pub external_id: Option<String>,
    /// When the person was added.
    pub created_at: WallTime,
}

fn person(row: &PgRow) -> Result<Person, sqlx::Error> {
    Ok(Person {
        id: PersonId(row.try_get("id")?),
        name: row.try_get("name")?,
        external_id: row.try_get("external_id")?,
        created_at: row.try_get("created_at")?,
    })
}

/// A group as it stands beside a person.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct GroupName {
    /// Id.
    pub id: Uuid,
    /// Name.
    pub name: String,
}

/// What a site notes of a person.
pub type Attributes = BTreeMap<String, String>;

row! {
    /// A person with what is known of them.
    pub struct PersonDetail {
        /// Id.
        pub id: Uuid,
        /// Display name.
        pub name: String,
        /// Number in another system.
        pub external_id: Option<String>,
        /// Whatever the site notes.
        pub attributes: Json<Attributes>,
        /// Their groups, by name.
        pub groups: Json<Vec<GroupName>>,
        /// How many templates there are.
        pub templates: i64,
        /// Which text they consented to, if that is in force.
        pub consent: Option<String>,
        /// They consented, and no consent of theirs is in force any more.
        pub consent_withdrawn: bool,
        /// When the person was added.
        pub created_at: WallTime,
        /// Grows with each change.
        pub version: i64,
    }
}

const PERSON: &str = "p.id, p.name, p.external_id, p.attributes, p.created_at, p.version,
    coalesce((select jsonb_agg(jsonb_build_object('id', g.id, 'name', g.name) order by g.name)
              from group_members m join groups g on g.id = m.group_id where m.person_id = p.id), '[]') as groups,
    (select count(*) from templates t where t.person_id = p.id) as templates,
    (select c.text_version from consents c where c.person_id = p.id and c.withdrawn_at is null) as consent,
    coalesce((select every(c.withdrawn_at is not null) from consents c where c.person_id = p.id), false)
        as consent_withdrawn
    from people p";

/// Whoever is limited to places sees the people that are expected there or were there. Who belongs nowhere yet is seen, and
/// enrolled, by those alone who see everything.
///
/// Each condition by itself, and none that asks about a course again for each person: the planner then answers them from
/// indices alone, and the first one that holds ends the question.
pub(crate) const IN_SCOPE: &str = "($1::text[] is null
    or exists (select from register n where n.person_id = p.id and n.room_id = any($2))
    or exists (select from register n where n.person_id = p.id and n.site_id = any($1))
    or exists (select from enrolments e where e.person_id = p.id and e.course_id in (
                   select id from courses where site_id = any($1)
                   union all select course_id from timetable_entries where room_id = any($2)
                   union all select course_id from sessions where room_id = any($2)))
    or exists (select from session_people e join sessions x on x.id = e.session_id join rooms r on r.id = x.room_id
               where e.person_id = p.id and (r.site_id = any($1) or r.id = any($2))))
    and ($3::uuid is null or p.id = $3)";

/// Which people.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PersonFilter {
    /// Part of the name or of the external id, whatever the case.
    pub text: Option<String>,
    /// Members of this group.
    pub group: Option<Uuid>,
    /// With or without templates.
    pub has_template: Option<bool>,
    /// The one with this external id.
    pub external_id: Option<String>,
}

/// What a person is to be like.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PersonFields {
    /// Display name.
    pub name: String,
    /// Number in another system.
    pub external_id: Option<String>,
    /// Whatever the site notes.
    pub attributes: Attributes,
    /// Ids of their groups.
    pub groups: Vec<Uuid>,
}

impl Store {
    /// All people, by name.
    ///
    /// # Errors
    /// When the database is away.
    pub async fn people(&self) -> Result<Vec<Person>, StoreError> {
        let rows = sqlx::query("select id, name, external_id, created_at from people order by name, id")
            .fetch_all(&self.pool)
            .await?;
        all(&rows, person)
    }

    /// One person.
    ///
    /// # Errors
    /// When the database is away.
    pub async fn person(&self, id: PersonId) -> Result<Option<Person>, StoreError> {
        let row = sqlx::query("select id, name, external_id, created_at from people where id = $1")
            .bind(id.0)
            .fetch_optional(&self.pool)
            .await?;
        one(row, person)
    }

    /// The people in `scope` that `filter` lets through, by name.
    ///
    /// # Errors
    /// When the database is away.
    pub async fn people_in(
        &self,
        scope: &Scope,
        filter: &PersonFilter,
        after: Option<&(String, Uuid)>,
        limit: u32,
    ) -> Result<Vec<PersonDetail>, StoreError> {
        let (sites, rooms, own) = scope.bounds();
        let rows = sqlx::query(sqlx::AssertSqlSafe(format!(
            "select {PERSON} where {IN_SCOPE}
               and ($4::text is null or strpos(lower(p.name), lower($4)) > 0 or strpos(lower(p.external_id), lower($4)) > 0)
               and ($5::uuid is null or exists (select from group_members m where m.person_id = p.id and m.group_id = $5))
               and ($6::boolean is null or $6 = exists (select from templates t where t.person_id = p.id))
               and ($7::text is null or p.external_id = $7)
               and ($8::text is null or (p.name, p.id) > ($8, $9))
             order by p.name, p.id limit $10"
        )))
        .bind(sites)
        .bind(rooms)
        .bind(own)
        .bind(&filter.text)
        .bind(filter.group)
        .bind(filter.has_template)
        .bind(&filter.external_id)
        .bind(after.map(|(name, _)| name))
        .bind(after.map(|(_, id)| id))
        .bind(and_one(limit))
        .fetch_all(&self.pool)
        .await?;
        all(&rows, PersonDetail::read)
    }

    /// One person with what is known of them.
    ///
    /// # Errors
    /// When the database is away.
    pub async fn person_in(&self, scope: &Scope, id: PersonId) -> Result<Option<PersonDetail>, StoreError> {
        let (sites, rooms, own) = scope.bounds();
        let row = sqlx::query(sqlx::AssertSqlSafe(format!("select {PERSON} where {IN_SCOPE} and p.id = $4")))
            .bind(sites)
            .bind(rooms)
            .bind(own)
            .bind(id.0)
            .fetch_optional(&self.pool)
            .await?;
        one(row, PersonDetail::read)
    }

    /// Whether a caller who sees `scope` may know of a person: everybody, themselves, or whoever is expected or was seen in
    /// the caller's places.
    ///
    /// # Errors
    /// When the database is away.
    pub async fn is_person_in(&self, scope: &Scope, id: PersonId) -> Result<bool, StoreError> {
        let (sites, rooms, own) = scope.bounds();
        let sql = format!("select exists (select from people p where {IN_SCOPE} and p.id = $4)");
        let query = sqlx::query_scalar(sqlx::AssertSqlSafe(sql)).bind(sites).bind(rooms).bind(own).bind(id.0);
        Ok(query.fetch_one(&self.pool).await?)
    }

    /// Which of these people there are in `scope`, by id or by external id: position in the question and who it is.
    ///
    /// # Errors
    /// When the database is away.
    pub async fn find_people(
        &self,
        scope: &Scope,
        ids: &[Option<Uuid>],
        external_ids: &[Option<String>],
    ) -> Result<Vec<(usize, PersonId)>, StoreError> {
        let (sites, rooms, own) = scope.bounds();
        let found: Vec<(i64, Uuid)> = sqlx::query_as(sqlx::AssertSqlSafe(format!(
            "select asked.n, p.id from unnest($4::uuid[], $5::text[]) with ordinality as asked (id, external_id, n)
             join people p on p.id = asked.id or (asked.id is null and p.external_id = asked.external_id)
             where {IN_SCOPE} order by asked.n"
        )))
        .bind(sites)
        .bind(rooms)
        .bind(own)
        .bind(ids)
        .bind(external_ids)
        .fetch_all(&self.pool)
        .await?;
        let place = |n: i64| usize::try_from(n - 1).unwrap_or_default();
        Ok(found.into_iter().map(|(n, id)| (place(n), PersonId(id))).collect())
    }

    /// Those of these people who are in `scope`.
    ///
    /// # Errors
    /// When the database is away.
    pub async fn people_among(&self, scope: &Scope, ids: &[Uuid]) -> Result<HashSet<Uuid>, StoreError> {
        let (sites, rooms, own) = scope.bounds();
        let sql = format!("select p.id from people p where {IN_SCOPE} and p.id = any($4)");
        let query = sqlx::query_scalar(sqlx::AssertSqlSafe(sql)).bind(sites).bind(rooms).bind(own).bind(ids);
        let found: Vec<Uuid> = query.fetch_all(&self.pool).await?;
        Ok(found.into_iter().collect())
    }

    /// The names of all attributes that people in `scope` have, sorted.
    ///
    /// # Errors
    /// When the database is away.
    pub async fn attribute_names(&self, scope: &Scope) -> Result<Vec<String>, StoreError> {
        let (sites, rooms, own) = scope.bounds();
        let names = sqlx::query_scalar(sqlx::AssertSqlSafe(format!(
            "select distinct jsonb_object_keys(p.attributes) from people p where {IN_SCOPE} order by 1"
        )))
        .bind(sites)
        .bind(rooms)
        .bind(own)
        .fetch_all(&self.pool)
        .await?;
        Ok(names)
    }

    /// The person who is called so, added by that name on behalf of the system if there is none; the flag tells which.
    ///
    /// # Errors
    /// When several people have the name and nobody the external id, or the database is away.
    pub async fn upsert_person_by_name(&self, name: &str) -> Result<(PersonId, bool), StoreError> {
        let mut change = self.change(Actor::system("rollcall")).await?;
        if let Some(person) = change.person_called(name).await? {
            return Ok((person, false));
        }
        let person = change.add_person(&PersonFields { name: name.to_owned(), ..PersonFields::default() }).await?;
        change.commit().await?;
        Ok((PersonId(person.id), true))
    }
}

impl Change<'_> {
    /// A person, until the end of the change nobody else's.
    ///
    /// # Errors
    /// When the database is away.
    pub async fn lock_person(&mut self, scope: &Scope, id: PersonId) -> Result<Option<PersonDetail>, StoreError> {
        let (sites, rooms, own) = scope.bounds();
        // Locked by a statement of its own: what follows is then read as it is after any wait. Marks may still be made.
        sqlx::query("select from people where id = $1 for no key update").bind(id.0).execute(self.connection()).await?;
        let row = sqlx::query(sqlx::AssertSqlSafe(format!("select {PERSON} where {IN_SCOPE} and p.id = $4")))
            .bind(sites)
            .bind(rooms)
            .bind(own)
            .bind(id.0)
            .fetch_optional(self.connection())
            .await?;
        one(row, PersonDetail::read)
    }

    pub(crate) async fn person_now(&mut self, id: Uuid) -> Result<PersonDetail, StoreError> {
        let row = sqlx::query(sqlx::AssertSqlSafe(format!("select {PERSON} where p.id = $1")))
            .bind(id)
            .fetch_one(self.connection())
            .await?;
        Ok(PersonDetail::read(&row)?)
    }

    /// The person who is called so, by external id or else by name, if there is one. Until the end of the change nobody else
    /// adds one by name: two changes at once add one person.
    ///
    /// # Errors
    /// When several people have the name and nobody the external id, or the database is away.
    pub async fn person_called(&mut self, name: &str) -> Result<Option<PersonId>, StoreError> {
        // Names are not unique, so no constraint would stop two enrolments of one folder.
        sqlx::query("select pg_advisory_xact_lock(hashtextextended('rollcall.person.' || $1, 0))")
            .bind(name)
            .execute(self.connection())
            .await?;
        called(self.connection(), name).await
    }

    /// Adds a person.
    ///
    /// # Errors
    /// When somebody has the external id, there is no such group, or the database is away.
    pub async fn add_person(&mut self, fields: &PersonFields) -> Result<PersonDetail, StoreError> {
        let id = Uuid::now_v7();
        sqlx::query("insert into people (id, name, external_id, attributes) values ($1, $2, $3, $4)")
            .bind(id)
            .bind(&fields.name)
            .bind(&fields.external_id)
            .bind(Json(&fields.attributes))
            .execute(self.connection())
            .await?;
        self.put_groups_of(id, &fields.groups).await?;
        let person = self.person_now(id).await?;
        self.audit(Entry { person: Some(PersonId(id)), ..Entry::created("person.create", "person", id, &person) })
            .await?;
        Ok(person)
    }

    /// Makes a locked person different.
    ///
    /// # Errors
    /// When somebody else has the external id, there is no such group, or the database is away.
    pub async fn replace_person(
        &mut self,
        before: &PersonDetail,
        fields: &PersonFields,
    ) -> Result<PersonDetail, StoreError> {
        let id = before.id;
        sqlx::query(
            "update people set name = $2, external_id = $3, attributes = $4, version = version + 1 where id = $1",
        )
        .bind(id)
        .bind(&fields.name)
        .bind(&fields.external_id)
        .bind(Json(&fields.attributes))
        .execute(self.connection())
        .await?;
        self.put_groups_of(id, &fields.groups).await?;
        let person = self.person_now(id).await?;
        let entry = Entry::changed("person.update", "person", id, before, &person);
        self.audit(Entry { person: Some(PersonId(id)), ..entry }).await?;
        Ok(person)
    }

    async fn put_groups_of(&mut self, person: Uuid, groups: &[Uuid]) -> Result<(), StoreError> {
        sqlx::query("delete from group_members where person_id = $1 and group_id <> all($2)")
            .bind(person)
            .bind(groups)
            .execute(self.connection())
            .await?;
        sqlx::query(
            "insert into group_members (group_id, person_id) select distinct unnest($2::uuid[]), $1 on conflict do nothing",
        )
        .bind(person)
        .bind(groups)
        .execute(self.connection())
        .await?;
        Ok(())
    }
}
