//! Courses (or shifts) and who is enrolled in them.

use std::collections::HashMap;

use chrono::NaiveDate;
use rollcall_pipeline::{PersonId, WallTime};
use sqlx::types::Json;
use uuid::Uuid;

use crate::change::Entry;
use crate::feed::hold_feed;
use crate::row::{all, and_one, one, row};
use crate::{Change, Scope, Store, StoreError};

row! {
    /// A course or a shift. Rules in seconds; null: as configured for the whole installation.
    pub struct Course {
        /// Id.
        pub id: Uuid,
        /// The site.
        pub site_id: String,
        /// Name for people.
        pub name: String,
        /// Number in another system; unique within the site.
        pub code: Option<String>,
        /// Account of whoever teaches it.
        pub teacher_id: Option<Uuid>,
        /// How long before the start people may come.
        pub early_s: Option<i32>,
        /// How long after the start people are not late.
        pub grace_s: Option<i32>,
        /// How long after the end people may be seen leaving.
        pub leave_s: Option<i32>,
        /// Who leaves more than this before the end has left early.
        pub early_exit_s: Option<i32>,
        /// Who is there for less of the session is absent.
        pub min_presence_percent: Option<i32>,
        /// Who comes later than this after the start is absent.
        pub absent_after_s: Option<i32>,
        /// Since when it has no sessions any more.
        pub archived_at: Option<WallTime>,
        /// Grows with each change, of its roster too.
        pub version: i64,
    }
}

row! {
    /// Somebody who is enrolled in a course.
    pub struct Enrolment {
        /// Who.
        pub person_id: Uuid,
        /// Their name.
        pub name: String,
        /// Their number in another system.
        pub external_id: Option<String>,
        /// First local date; without it: always.
        pub valid_from: Option<NaiveDate>,
        /// Last local date.
        pub valid_to: Option<NaiveDate>,
    }
}

/// Who is to be enrolled, from when to when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NewEnrolment {
    /// Who.
    pub person: PersonId,
    /// First local date.
    pub valid_from: Option<NaiveDate>,
    /// Last local date.
    pub valid_to: Option<NaiveDate>,
}

/// What a new roster changed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RosterChange {
    /// People on it now.
    pub enrolled: usize,
    /// New ones.
    pub added: usize,
    /// With other dates.
    pub changed: usize,
    /// Not on it any more.
    pub removed: usize,
    /// The course's version now.
    pub version: i64,
}

/// Which courses.
#[derive(Clone, Debug, Default)]
pub struct CourseFilter {
    /// Of this site.
    pub site: Option<String>,
    /// With this in their name or code.
    pub text: Option<String>,
    /// Taught by this account.
    pub teacher: Option<Uuid>,
    /// Also those that are archived.
    pub archived: bool,
}

const COURSE: &str = "c.id, c.site_id, c.name, c.code, c.teacher_id, c.early_s, c.grace_s, c.leave_s, c.early_exit_s,
    c.min_presence_percent, c.absent_after_s, c.archived_at, c.version from courses c";
/// A room's caller sees the courses that meet there.
const IN_SCOPE: &str = "($1::text[] is null or c.site_id = any($1)
    or exists (select from timetable_entries t where t.course_id = c.id and t.room_id = any($2))
    or exists (select from sessions x where x.course_id = c.id and x.room_id = any($2)))";

impl Store {
    /// The courses in `scope`, by name.
    ///
    /// # Errors
    /// When the database is away.
    pub async fn courses(
        &self,
        scope: &Scope,
        filter: &CourseFilter,
        after: Option<&(String, Uuid)>,
        limit: u32,
    ) -> Result<Vec<Course>, StoreError> {
        let (sites, rooms) = scope.places();
        let rows = sqlx::query(sqlx::AssertSqlSafe(format!(
            "select {COURSE} where {IN_SCOPE} and ($3::text is null or c.site_id = $3)
               and ($4::text is null or strpos(lower(c.name), lower($4)) > 0 or strpos(lower(c.code), lower($4)) > 0)
               and ($5::uuid is null or c.teacher_id = $5) and ($6 or c.archived_at is null)
               and ($7::text is null or (c.name, c.id) > ($7, $8))
             order by c.name, c.id limit $9"
        )))
        .bind(sites)
        .bind(rooms)
        .bind(&filter.site)
        .bind(&filter.text)
        .bind(filter.teacher)
        .bind(filter.archived)
        .bind(after.map(|(name, _)| name))
        .bind(after.map(|(_, id)| *id))
        .bind(and_one(limit))
        .fetch_all(&self.pool)
        .await?;
        all(&rows, Course::read)
    }

    /// One course.
    ///
    /// # Errors
    /// When the database is away.
    pub async fn course(&self, scope: &Scope, id: Uuid) -> Result<Option<Course>, StoreError> {
        let (sites, rooms) = scope.places();
        let row = sqlx::query(sqlx::AssertSqlSafe(format!("select {COURSE} where {IN_SCOPE} and c.id = $3")))
            .bind(sites)
            .bind(rooms)
            .bind(id)
            .fetch_optional(&self.pool)
            .await?;
        one(row, Course::read)
    }

    /// Who is enrolled in a course, by name.
    ///
    /// # Errors
    /// When the database is away.
    pub async fn enrolments(
        &self,
        course: Uuid,
        after: Option<&(String, Uuid)>,
        limit: u32,
    ) -> Result<Vec<Enrolment>, StoreError> {
        let rows = sqlx::query(
            "select e.person_id, p.name, p.external_id, e.valid_from, e.valid_to
             from enrolments e join people p on p.id = e.person_id
             where e.course_id = $1 and ($2::text is null or (p.name, p.id) > ($2, $3))
             order by p.name, p.id limit $4",
        )
        .bind(course)
        .bind(after.map(|(name, _)| name))
        .bind(after.map(|(_, id)| *id))
        .bind(and_one(limit))
        .fetch_all(&self.pool)
        .await?;
        all(&rows, Enrolment::read)
    }

    /// How many are enrolled in a course.
    ///
    /// # Errors
    /// When the database is away.
    pub async fn enrolled(&self, course: Uuid) -> Result<i64, StoreError> {
        let count = sqlx::query_scalar("select count(*) from enrolments where course_id = $1");
        Ok(count.bind(course).fetch_one(&self.pool).await?)
    }

    /// Whether there is such an account that could teach.
    ///
    /// # Errors
    /// When the database is away.
    pub async fn is_teacher(&self, account: Uuid) -> Result<bool, StoreError> {
        let sql = "select exists (select from accounts where id = $1 and role <> 'person')";
        Ok(sqlx::query_scalar(sql).bind(account).fetch_one(&self.pool).await?)
    }
}

impl Change<'_> {
    /// A course, until the end of the change nobody else's. Only whoever may see its whole site changes it.
    ///
    /// # Errors
    /// When the database is away.
    pub async fn lock_course(&mut self, scope: &Scope, id: Uuid) -> Result<Option<Course>, StoreError> {
        let (sites, _) = scope.places();
        let sql = format!(
            "select {COURSE} where c.id = $2 and ($1::text[] is null or c.site_id = any($1)) for no key update"
        );
        let row = sqlx::query(sqlx::AssertSqlSafe(sql)).bind(sites).bind(id).fetch_optional(self.connection()).await?;
        one(row, Course::read)
    }

    /// Makes a course; id and version are its own.
    ///
    /// # Errors
    /// When the site has one with this code, there is no such site, or the database is away.
    pub async fn add_course(&mut self, course: &Course) -> Result<Course, StoreError> {
        let row = sqlx::query(
            "insert into courses as c (id, site_id, name, code, teacher_id, early_s, grace_s, leave_s, early_exit_s,
                 min_presence_percent, absent_after_s, archived_at)
             values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)
             returning c.id, c.site_id, c.name, c.code, c.teacher_id, c.early_s, c.grace_s, c.leave_s, c.early_exit_s,
                 c.min_presence_percent, c.absent_after_s, c.archived_at, c.version",
        )
        .bind(course.id)
        .bind(&course.site_id)
        .bind(&course.name)
        .bind(&course.code)
        .bind(course.teacher_id)
        .bind(course.early_s)
        .bind(course.grace_s)
        .bind(course.leave_s)
        .bind(course.early_exit_s)
        .bind(course.min_presence_percent)
        .bind(course.absent_after_s)
        .bind(course.archived_at)
        .fetch_one(self.connection())
        .await?;
        let course = Course::read(&row)?;
        self.audit(Entry::created("course.create", "course", course.id, &course)).await?;
        Ok(course)
    }

    /// Changes a locked course; id, site and version are its own.
    ///
    /// # Errors
    /// When the site has one with this code, or the database is away.
    pub async fn replace_course(&mut self, before: &Course, after: &Course) -> Result<Course, StoreError> {
        let row = sqlx::query(
            "update courses as c set name = $2, code = $3, teacher_id = $4, early_s = $5, grace_s = $6, leave_s = $7,
                 early_exit_s = $8, min_presence_percent = $9, absent_after_s = $10, archived_at = $11,
                 version = version + 1
             where c.id = $1
             returning c.id, c.site_id, c.name, c.code, c.teacher_id, c.early_s, c.grace_s, c.leave_s, c.early_exit_s,
                 c.min_presence_percent, c.absent_after_s, c.archived_at, c.version",
        )
        .bind(before.id)
        .bind(&after.name)
        .bind(&after.code)
        .bind(after.teacher_id)
        .bind(after.early_s)
        .bind(after.grace_s)
        .bind(after.leave_s)
        .bind(after.early_exit_s)
        .bind(after.min_presence_percent)
        .bind(after.absent_after_s)
        .bind(after.archived_at)
        .fetch_one(self.connection())
        .await?;
        let course = Course::read(&row)?;
        self.audit(Entry::changed("course.update", "course", course.id, before, &course)).await?;
        Ok(course)
    }

    /// Removes a locked course, with its timetable and enrolments. Sessions that nobody was marked in go, too.
    ///
    /// # Errors
    /// When somebody was marked in one of its sessions (archive it instead), or the database is away.
    pub async fn remove_course(&mut self, course: &Course) -> Result<(), StoreError> {
        hold_feed(self.connection()).await?;
        sqlx::query(
            "delete from sessions s where course_id = $1 and not exists (select from register g where g.session_id = s.id)
             and not exists (select from corrections k where k.session_id = s.id)",
        )
        .bind(course.id)
        .execute(self.connection())
        .await?;
        sqlx::query("delete from courses where id = $1").bind(course.id).execute(self.connection()).await?;
        self.audit(Entry::removed("course.delete", "course", course.id, course)).await
    }

    /// Enrols people in a locked course, or gives those who are enrolled other dates; with `only`, nobody else is enrolled afterwards.
    ///
    /// # Errors
    /// When somebody is not there (any more), or the database is away.
    pub async fn enrol(
        &mut self,
        course: Uuid,
        people: &[NewEnrolment],
        only: bool,
    ) -> Result<RosterChange, StoreError> {
        let ids: Vec<Uuid> = people.iter().map(|p| p.person.0).collect();
        let was: Vec<(Uuid, Option<NaiveDate>, Option<NaiveDate>)> = sqlx::query_as(
            "select person_id, valid_from, valid_to from enrolments where course_id = $1 and ($3 or person_id = any($2))",
        )
        .bind(course)
        .bind(&ids)
        .bind(only)
        .fetch_all(self.connection())
        .await?;
        let was = was.into_iter().map(|(person, from, to)| (person, dates(from, to))).collect();
        let is = people.iter().map(|p| (p.person.0, dates(p.valid_from, p.valid_to))).collect();
        let removed: Vec<Uuid> = if only {
            let sql = "delete from enrolments where course_id = $1 and person_id <> all($2) returning person_id";
            sqlx::query_scalar(sql).bind(course).bind(&ids).fetch_all(self.connection()).await?
        } else {
            Vec::new()
        };
        let put: Vec<(Uuid, bool)> = sqlx::query_as(
            "insert into enrolments as e (course_id, person_id, valid_from, valid_to)
             select $1, p, f, t from unnest($2::uuid[], $3::date[], $4::date[]) as n (p, f, t)
             on conflict (course_id, person_id) do update set valid_from = excluded.valid_from, valid_to = excluded.valid_to
             where (e.valid_from, e.valid_to) is distinct from (excluded.valid_from, excluded.valid_to)
             returning person_id, xmax = 0",
        )
        .bind(course)
        .bind(&ids)
        .bind(people.iter().map(|p| p.valid_from).collect::<Vec<_>>())
        .bind(people.iter().map(|p| p.valid_to).collect::<Vec<_>>())
        .fetch_all(self.connection())
        .await?;
        let (added, changed): (Vec<_>, Vec<_>) = put.into_iter().partition(|(_, new)| *new);
        let [added, changed] = [added, changed].map(|people| people.into_iter().map(|(id, _)| id).collect::<Vec<_>>());
        self.audit_people("enrolment.create", "course", course, &added, &was, &is).await?;
        self.audit_people("enrolment.update", "course", course, &changed, &was, &is).await?;
        self.audit_people("enrolment.delete", "course", course, &removed, &was, &is).await?;
        let enrolled: i64 = sqlx::query_scalar("select count(*) from enrolments where course_id = $1")
            .bind(course)
            .fetch_one(self.connection())
            .await?;
        let is_other = !(added.is_empty() && changed.is_empty() && removed.is_empty());
        Ok(RosterChange {
            enrolled: usize::try_from(enrolled).unwrap_or_default(),
            added: added.len(),
            changed: changed.len(),
            removed: removed.len(),
            version: self.roster_version(course, is_other).await?,
        })
    }

    /// The version of a locked course, grown if its roster is another: whoever read the one of before does not overwrite it.
    async fn roster_version(&mut self, course: Uuid, is_other: bool) -> Result<i64, StoreError> {
        let sql = if is_other {
            "update courses set version = version + 1 where id = $1 returning version"
        } else {
            "select version from courses where id = $1"
        };
        Ok(sqlx::query_scalar(sql).bind(course).fetch_one(self.connection()).await?)
    }

    /// Takes somebody off a locked course. False if they were not on it.
    ///
    /// # Errors
    /// When the database is away.
    pub async fn unenrol(&mut self, course: Uuid, person: PersonId) -> Result<bool, StoreError> {
        let sql = "delete from enrolments where course_id = $1 and person_id = $2 returning valid_from, valid_to";
        let gone: Option<(Option<NaiveDate>, Option<NaiveDate>)> =
            sqlx::query_as(sql).bind(course).bind(person.0).fetch_optional(self.connection()).await?;
        let Some((from, to)) = gone else { return Ok(false) };
        let was = Noted::from([(person.0, dates(from, to))]);
        self.audit_people("enrolment.delete", "course", course, &[person.0], &was, &Noted::new()).await?;
        self.roster_version(course, true).await?;
        Ok(true)
    }

    /// One entry of the log for each person, so that erasing one finds it, with what `was` and what `is` noted of them.
    pub(crate) async fn audit_people(
        &mut self,
        action: &str,
        object_kind: &str,
        object: Uuid,
        people: &[Uuid],
        was: &Noted,
        is: &Noted,
    ) -> Result<(), StoreError> {
        if people.is_empty() {
            return Ok(());
        }
        let actor = self.actor().clone();
        let of = |noted: &Noted| people.iter().map(|person| noted.get(person).cloned().map(Json)).collect::<Vec<_>>();
        sqlx::query(
            "insert into audit_log (actor_kind, actor_id, actor_name, address, request_id, action, object_kind, object_id,
                 person_id, before, after)
             select $1, $2, $3, $4, $5, $6, $7, $8, n.* from unnest($9::uuid[], $10::jsonb[], $11::jsonb[]) as n",
        )
        .bind(actor.kind.as_str())
        .bind(actor.id)
        .bind(actor.name)
        .bind(actor.address)
        .bind(actor.request_id)
        .bind(action)
        .bind(object_kind)
        .bind(object.to_string())
        .bind(people)
        .bind(of(was))
        .bind(of(is))
        .execute(self.connection())
        .await?;
        Ok(())
    }
}

/// What the log says of people.
pub(crate) type Noted = HashMap<Uuid, serde_json::Value>;

fn dates(valid_from: Option<NaiveDate>, valid_to: Option<NaiveDate>) -> serde_json::Value {
    serde_json::json!({ "valid_from": valid_from, "valid_to": valid_to })
}
