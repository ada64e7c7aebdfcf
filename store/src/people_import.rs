//! People from another system, many at once: all of them or none.

use std::collections::{BTreeSet, HashMap, HashSet};

use serde_json::json;
use sqlx::types::Json;
use uuid::Uuid;

use crate::change::Entry;
use crate::people::Attributes;
use crate::{Change, StoreError};

/// A person as another system has them. They are told apart by their id here, or else by external id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImportedPerson {
    /// Their id here; without it the external id says who it is, perhaps somebody new.
    pub id: Option<Uuid>,
    /// Number in the other system; each once. `None` leaves that of whoever has the id.
    pub external_id: Option<String>,
    /// Display name.
    pub name: String,
    /// Names of their groups; `None` leaves them.
    pub groups: Option<BTreeSet<String>>,
    /// What is noted of them, of what the import names.
    pub attributes: Attributes,
}

/// What an import did, or would do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Imported {
    /// People that are new.
    pub created: u64,
    /// People that are different now.
    pub updated: u64,
    /// People that were like that already.
    pub unchanged: u64,
    /// Groups that are new.
    pub groups_created: u64,
}

/// Most notes of a person.
pub const MAX_ATTRIBUTES: usize = 50;

/// What is wrong with somebody who is to be imported.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Misfit {
    /// They would have more notes than [`MAX_ATTRIBUTES`].
    #[error("would have more than {MAX_ATTRIBUTES} attributes")]
    TooManyAttributes,
    /// Nobody has the id.
    #[error("there is nobody with this id: leave it empty for somebody new")]
    Unknown,
    /// Somebody else has the external id.
    #[error("somebody else has this external_id")]
    Taken,
    /// They came before, by id or by external id.
    #[error("is somebody who stands there already")]
    Twice,
}

/// Why nothing was imported.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// These do not fit: place among the people, and why.
    #[error("{} people do not fit", .0.len())]
    Misfits(Vec<(usize, Misfit)>),
    /// The database.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<sqlx::Error> for ImportError {
    fn from(error: sqlx::Error) -> Self {
        Self::Store(error.into())
    }
}

struct Existing {
    id: Uuid,
    external_id: Option<String>,
    name: String,
    attributes: Attributes,
    groups: BTreeSet<String>,
}

/// Rows of one statement.
const CHUNK: usize = 5_000;

impl Change<'_> {
    /// Adds and changes people, and what is noted of them under the names `noted`: what is not there any more is removed, and
    /// other notes stay. To see what it would do, drop the change afterwards.
    ///
    /// # Errors
    /// When somebody does not fit, or the database is away.
    pub async fn import_people(
        &mut self,
        people: &[ImportedPerson],
        noted: &BTreeSet<String>,
    ) -> Result<Imported, ImportError> {
        // Two imports at once would wait for each other's rows in different orders.
        sqlx::query("select pg_advisory_xact_lock(hashtextextended('rollcall.import', 0))")
            .execute(self.connection())
            .await?;
        let (groups, groups_created) = self.import_groups(people).await?;
        let existing = self.existing(people).await?;
        let by_id: HashMap<Uuid, &Existing> = existing.iter().map(|e| (e.id, e)).collect();
        let by_number: HashMap<&str, &Existing> =
            existing.iter().filter_map(|e| Some((e.external_id.as_deref()?, e))).collect();
        let mut told = Imported { groups_created, ..Imported::default() };
        let (mut written, mut misfits, mut seen) = (Vec::new(), Vec::new(), HashSet::new());
        for (i, person) in people.iter().enumerate() {
            let named = person.external_id.as_deref().and_then(|number| by_number.get(number).copied());
            let before = match person.id {
                Some(id) => by_id.get(&id).copied(),
                None => named,
            };
            let wrong = match before {
                None if person.id.is_some() => Some(Misfit::Unknown),
                Some(before) if named.is_some_and(|named| named.id != before.id) => Some(Misfit::Taken),
                Some(before) if !seen.insert(before.id) => Some(Misfit::Twice),
                _ => None,
            };
            if let Some(wrong) = wrong {
                misfits.push((i, wrong));
                continue;
            }
            let external_id = person.external_id.as_deref().or_else(|| before?.external_id.as_deref());
            let mut attributes = before.map(|b| b.attributes.clone()).unwrap_or_default();
            attributes.retain(|name, _| !noted.contains(name));
            attributes.extend(person.attributes.clone());
            if attributes.len() > MAX_ATTRIBUTES {
                misfits.push((i, Misfit::TooManyAttributes));
                continue;
            }
            match before {
                None => told.created += 1,
                Some(b)
                    if b.name == person.name
                        && b.external_id.as_deref() == external_id
                        && b.attributes == attributes
                        && person.groups.as_ref().is_none_or(|groups| *groups == b.groups) =>
                {
                    told.unchanged += 1;
                    continue;
                }
                Some(_) => told.updated += 1,
            }
            let id = before.map_or_else(Uuid::now_v7, |b| b.id);
            written.push(Row { id, external_id, person, before, attributes });
        }
        if !misfits.is_empty() {
            return Err(ImportError::Misfits(misfits));
        }
        for rows in written.chunks(CHUNK) {
            self.write_people(rows, &groups).await?;
        }
        if told.created + told.updated + told.groups_created > 0 {
            let after = serde_json::to_value(told).ok();
            let object_id = "import".to_owned();
            self.audit(Entry { action: "people.import", object_kind: "people", object_id, after, ..Entry::default() })
                .await?;
        }
        Ok(told)
    }

    /// The ids of all groups that are named, and how many are new.
    async fn import_groups(&mut self, people: &[ImportedPerson]) -> Result<(HashMap<String, Uuid>, u64), StoreError> {
        let names: BTreeSet<&str> =
            people.iter().filter_map(|p| p.groups.as_ref()).flatten().map(String::as_str).collect();
        let names: Vec<&str> = names.into_iter().collect();
        let ids: Vec<Uuid> = names.iter().map(|_| Uuid::now_v7()).collect();
        let made: Vec<(Uuid, String)> = sqlx::query_as(
            "insert into groups (id, name) select * from unnest($1::uuid[], $2::text[]) on conflict (name) do nothing
             returning id, name",
        )
        .bind(ids)
        .bind(&names)
        .fetch_all(self.connection())
        .await?;
        for (id, name) in &made {
            let after = Some(json!({ "id": id, "name": name }));
            let object_id = id.to_string();
            let entry = Entry { action: "group.create", object_kind: "group", object_id, after, ..Entry::default() };
            self.audit(entry).await?;
        }
        let all: Vec<(Uuid, String)> = sqlx::query_as("select id, name from groups where name = any($1) for key share")
            .bind(&names)
            .fetch_all(self.connection())
            .await?;
        Ok((all.into_iter().map(|(id, name)| (name, id)).collect(), made.len() as u64))
    }

    async fn existing(&mut self, people: &[ImportedPerson]) -> Result<Vec<Existing>, StoreError> {
        let numbers: Vec<&str> = people.iter().filter_map(|p| p.external_id.as_deref()).collect();
        let ids: Vec<Uuid> = people.iter().filter_map(|p| p.id).collect();
        sqlx::query("select from people where external_id = any($1) or id = any($2) order by id for no key update")
            .bind(&numbers)
            .bind(&ids)
            .execute(self.connection())
            .await?;
        let rows: Vec<(Uuid, Option<String>, String, Json<Attributes>)> = sqlx::query_as(
            "select id, external_id, name, attributes from people where external_id = any($1) or id = any($2)",
        )
        .bind(&numbers)
        .bind(&ids)
        .fetch_all(self.connection())
        .await?;
        // By a statement of its own: for each person apart, a hundred thousand take half a minute.
        let memberships: Vec<(Uuid, String)> = sqlx::query_as(
            "select m.person_id, g.name from group_members m join groups g on g.id = m.group_id
             where m.person_id = any($1)",
        )
        .bind(rows.iter().map(|(id, ..)| *id).collect::<Vec<_>>())
        .fetch_all(self.connection())
        .await?;
        let mut groups: HashMap<Uuid, BTreeSet<String>> = HashMap::new();
        for (person, group) in memberships {
            groups.entry(person).or_default().insert(group);
        }
        let read = |(id, external_id, name, attributes): (Uuid, Option<String>, String, Json<Attributes>)| {
            let groups = groups.remove(&id).unwrap_or_default();
            Existing { id, external_id, name, attributes: attributes.0, groups }
        };
        Ok(rows.into_iter().map(read).collect())
    }

    async fn write_people(&mut self, rows: &[Row<'_>], groups: &HashMap<String, Uuid>) -> Result<(), StoreError> {
        // In the order in which whoever marks several people locks them, so that nobody waits in a circle.
        sqlx::query(
            "insert into people (id, name, external_id, attributes)
             select * from unnest($1::uuid[], $2::text[], $3::text[], $4::jsonb[]) as p (id) order by p.id
             on conflict (id) do update set name = excluded.name, external_id = excluded.external_id,
                 attributes = excluded.attributes, version = people.version + 1",
        )
        .bind(rows.iter().map(|r| r.id).collect::<Vec<_>>())
        .bind(rows.iter().map(|r| r.person.name.as_str()).collect::<Vec<_>>())
        .bind(rows.iter().map(|r| r.external_id).collect::<Vec<_>>())
        .bind(rows.iter().map(|r| Json(&r.attributes)).collect::<Vec<_>>())
        .execute(self.connection())
        .await?;
        let regrouped: Vec<(Uuid, &BTreeSet<String>)> =
            rows.iter().filter_map(|r| Some((r.id, r.person.groups.as_ref()?))).collect();
        let wanted: Vec<(Uuid, Uuid)> = regrouped
            .iter()
            .flat_map(|(person, names)| names.iter().filter_map(|name| Some((*person, *groups.get(name)?))))
            .collect();
        let (wanted_people, wanted_groups): (Vec<Uuid>, Vec<Uuid>) = wanted.into_iter().unzip();
        sqlx::query(
            "delete from group_members m where person_id = any($1)
               and not exists (select from unnest($2::uuid[], $3::uuid[]) as w(p, g)
                               where w.p = m.person_id and w.g = m.group_id)",
        )
        .bind(regrouped.iter().map(|(person, _)| *person).collect::<Vec<_>>())
        .bind(&wanted_people)
        .bind(&wanted_groups)
        .execute(self.connection())
        .await?;
        sqlx::query(
            "insert into group_members (person_id, group_id) select * from unnest($1::uuid[], $2::uuid[])
             on conflict do nothing",
        )
        .bind(&wanted_people)
        .bind(&wanted_groups)
        .execute(self.connection())
        .await?;
        self.audit_imported(rows).await
    }

    /// As [`Change::audit`] for each of them, in one statement.
    async fn audit_imported(&mut self, rows: &[Row<'_>]) -> Result<(), StoreError> {
        let before = |r: &Row<'_>| {
            r.before.map(|Existing { name, external_id, attributes, groups, .. }| {
                let external_id = external_id.as_deref();
                Json(json!({ "name": name, "external_id": external_id, "attributes": attributes, "groups": groups }))
            })
        };
        let after = |r: &Row<'_>| {
            let Row { person, external_id, attributes, .. } = r;
            let (name, groups) = (&person.name, &person.groups);
            Json(json!({ "name": name, "external_id": external_id, "attributes": attributes, "groups": groups }))
        };
        let actor = self.actor().clone();
        sqlx::query(
            "insert into audit_log (actor_kind, actor_id, actor_name, address, request_id, action, object_kind, object_id,
                 person_id, before, after)
             select $1, $2, $3, $4, $5, case when b is null then 'person.create' else 'person.update' end, 'person',
                    p::text, p, b, a
             from unnest($6::uuid[], $7::jsonb[], $8::jsonb[]) as t(p, b, a)",
        )
        .bind(actor.kind.as_str())
        .bind(actor.id)
        .bind(actor.name)
        .bind(actor.address)
        .bind(actor.request_id)
        .bind(rows.iter().map(|r| r.id).collect::<Vec<_>>())
        .bind(rows.iter().map(before).collect::<Vec<_>>())
        .bind(rows.iter().map(after).collect::<Vec<_>>())
        .execute(self.connection())
        .await?;
        Ok(())
    }
}

/// A person that is written.
struct Row<'a> {
    id: Uuid,
    external_id: Option<&'a str>,
    person: &'a ImportedPerson,
    before: Option<&'a Existing>,
    attributes: Attributes,
}
