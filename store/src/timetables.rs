//! Timetables: when courses meet every week, and where one week is different.

use chrono::{NaiveDate, NaiveTime};
use uuid::Uuid;

use crate::change::Entry;
use crate::feed::hold_feed;
use crate::row::{all, and_one, one, row};
use crate::{Change, Scope, Store, StoreError};

row! {
    /// A line of a timetable.
    pub struct TimetableEntry {
        /// Id.
        pub id: Uuid,
        /// The course.
        pub course_id: Uuid,
        /// Where it meets.
        pub room_id: String,
        /// ISO: 1 is Monday.
        pub weekdays: Vec<i16>,
        /// Local time.
        pub starts: NaiveTime,
        /// Local time; at or before `starts`: on the next day.
        pub ends: NaiveTime,
        /// First local date.
        pub valid_from: Option<NaiveDate>,
        /// Last local date.
        pub valid_to: Option<NaiveDate>,
        /// Grows with each change.
        pub version: i64,
    }
}

row! {
    /// One occurrence of an entry that is not as the others.
    pub struct TimetableException {
        /// The entry.
        pub entry_id: Uuid,
        /// The date that the weekly pattern has for it.
        pub date: NaiveDate,
        /// `cancelled` or `moved`.
        pub kind: String,
        /// Moved: to this local date.
        pub new_date: Option<NaiveDate>,
        /// Moved: from this local time on.
        pub new_starts: Option<NaiveTime>,
        /// Moved: to this local time.
        pub new_ends: Option<NaiveTime>,
        /// Why.
        pub note: Option<String>,
        /// Grows with each change.
        pub version: i64,
    }
}

const ENTRY: &str = "t.id, t.course_id, t.room_id, t.weekdays, t.starts, t.ends, t.valid_from, t.valid_to, t.version";
pub(crate) const EXCEPTION: &str = "entry_id, date, kind, new_date, new_starts, new_ends, note, version";

impl Store {
    /// The timetable of a course, in the order in which it was made.
    ///
    /// # Errors
    /// When the database is away.
    pub async fn timetable(
        &self,
        course: Uuid,
        after: Option<Uuid>,
        limit: u32,
    ) -> Result<Vec<TimetableEntry>, StoreError> {
        let rows = sqlx::query(sqlx::AssertSqlSafe(format!(
            "select {ENTRY} from timetable_entries t where t.course_id = $1 and ($2::uuid is null or t.id > $2)
             order by t.id limit $3"
        )))
        .bind(course)
        .bind(after)
        .bind(and_one(limit))
        .fetch_all(&self.pool)
        .await?;
        all(&rows, TimetableEntry::read)
    }

    /// One entry.
    ///
    /// # Errors
    /// When the database is away.
    pub async fn timetable_entry(&self, scope: &Scope, id: Uuid) -> Result<Option<TimetableEntry>, StoreError> {
        let (sites, rooms) = scope.places();
        let row = sqlx::query(sqlx::AssertSqlSafe(format!(
            "select {ENTRY} from timetable_entries t join courses c on c.id = t.course_id
             where t.id = $3 and ($1::text[] is null or c.site_id = any($1) or t.room_id = any($2))"
        )))
        .bind(sites)
        .bind(rooms)
        .bind(id)
        .fetch_optional(&self.pool)
        .await?;
        one(row, TimetableEntry::read)
    }

    /// The exceptions of an entry, by date.
    ///
    /// # Errors
    /// When the database is away.
    pub async fn exceptions(
        &self,
        entry: Uuid,
        after: Option<NaiveDate>,
        limit: u32,
    ) -> Result<Vec<TimetableException>, StoreError> {
        let rows = sqlx::query(sqlx::AssertSqlSafe(format!(
            "select {EXCEPTION} from timetable_exceptions where entry_id = $1 and ($2::date is null or date > $2)
             order by date limit $3"
        )))
        .bind(entry)
        .bind(after)
        .bind(and_one(limit))
        .fetch_all(&self.pool)
        .await?;
        all(&rows, TimetableException::read)
    }
}

impl Change<'_> {
    /// An entry, until the end of the change nobody else's. Only whoever may see the course's whole site changes it.
    ///
    /// # Errors
    /// When the database is away.
    pub async fn lock_timetable_entry(
        &mut self,
        scope: &Scope,
        id: Uuid,
    ) -> Result<Option<TimetableEntry>, StoreError> {
        let (sites, _) = scope.places();
        let row = sqlx::query(sqlx::AssertSqlSafe(format!(
            "select {ENTRY} from timetable_entries t join courses c on c.id = t.course_id
             where t.id = $2 and ($1::text[] is null or c.site_id = any($1)) for no key update of t"
        )))
        .bind(sites)
        .bind(id)
        .fetch_optional(self.connection())
        .await?;
        one(row, TimetableEntry::read)
    }

    /// How many entries a course has.
    ///
    /// # Errors
    /// When the database is away.
    pub async fn count_timetable(&mut self, course: Uuid) -> Result<i64, StoreError> {
        let count = sqlx::query_scalar("select count(*) from timetable_entries where course_id = $1");
        Ok(count.bind(course).fetch_one(self.connection()).await?)
    }

    /// Makes an entry; its version is its own.
    ///
    /// # Errors
    /// When there is no such room, or the database is away.
    pub async fn add_timetable_entry(&mut self, entry: &TimetableEntry) -> Result<TimetableEntry, StoreError> {
        let row = sqlx::query(sqlx::AssertSqlSafe(format!(
            "insert into timetable_entries as t (id, course_id, room_id, weekdays, starts, ends, valid_from, valid_to)
             values ($1, $2, $3, $4, $5, $6, $7, $8) returning {ENTRY}"
        )))
        .bind(entry.id)
        .bind(entry.course_id)
        .bind(&entry.room_id)
        .bind(&entry.weekdays)
        .bind(entry.starts)
        .bind(entry.ends)
        .bind(entry.valid_from)
        .bind(entry.valid_to)
        .fetch_one(self.connection())
        .await?;
        let entry = TimetableEntry::read(&row)?;
        self.audit(Entry::created("timetable.create", "timetable_entry", entry.id, &entry)).await?;
        Ok(entry)
    }

    /// Changes a locked entry; id, course and version are its own.
    ///
    /// # Errors
    /// When there is no such room, or the database is away.
    pub async fn replace_timetable_entry(
        &mut self,
        before: &TimetableEntry,
        after: &TimetableEntry,
    ) -> Result<TimetableEntry, StoreError> {
        let row = sqlx::query(sqlx::AssertSqlSafe(format!(
            "update timetable_entries as t set room_id = $2, weekdays = $3, starts = $4, ends = $5, valid_from = $6,
                 valid_to = $7, version = version + 1, changed_at = now()
             where t.id = $1 returning {ENTRY}"
        )))
        .bind(before.id)
        .bind(&after.room_id)
        .bind(&after.weekdays)
        .bind(after.starts)
        .bind(after.ends)
        .bind(after.valid_from)
        .bind(after.valid_to)
        .fetch_one(self.connection())
        .await?;
        let entry = TimetableEntry::read(&row)?;
        self.audit(Entry::changed("timetable.update", "timetable_entry", entry.id, before, &entry)).await?;
        Ok(entry)
    }

    /// Removes a locked entry. Its sessions to come go with the next planning. Since it goes with its course, too, whoever
    /// locks it for this holds the feed before.
    ///
    /// # Errors
    /// When the database is away.
    pub async fn remove_timetable_entry(&mut self, entry: &TimetableEntry) -> Result<(), StoreError> {
        hold_feed(self.connection()).await?;
        sqlx::query("delete from timetable_entries where id = $1").bind(entry.id).execute(self.connection()).await?;
        self.audit(Entry::removed("timetable.delete", "timetable_entry", entry.id, entry)).await
    }

    /// An exception of a locked entry: with the entry it is nobody else's until the end of the change.
    ///
    /// # Errors
    /// When the database is away.
    pub async fn exception(
        &mut self,
        entry: &TimetableEntry,
        date: NaiveDate,
    ) -> Result<Option<TimetableException>, StoreError> {
        let sql = format!("select {EXCEPTION} from timetable_exceptions where entry_id = $1 and date = $2");
        let row =
            sqlx::query(sqlx::AssertSqlSafe(sql)).bind(entry.id).bind(date).fetch_optional(self.connection()).await?;
        one(row, TimetableException::read)
    }

    /// Makes one occurrence of a locked entry different from the others, or, if it is so `before`, different again. Its
    /// version is its own.
    ///
    /// # Errors
    /// When the database is away.
    pub async fn put_exception(
        &mut self,
        before: Option<&TimetableException>,
        exception: &TimetableException,
    ) -> Result<TimetableException, StoreError> {
        let row = sqlx::query(sqlx::AssertSqlSafe(format!(
            "insert into timetable_exceptions as x (entry_id, date, kind, new_date, new_starts, new_ends, note)
             values ($1, $2, $3, $4, $5, $6, $7)
             on conflict (entry_id, date) do update set kind = excluded.kind, new_date = excluded.new_date,
                 new_starts = excluded.new_starts, new_ends = excluded.new_ends, note = excluded.note,
                 version = x.version + 1
             returning {EXCEPTION}"
        )))
        .bind(exception.entry_id)
        .bind(exception.date)
        .bind(&exception.kind)
        .bind(exception.new_date)
        .bind(exception.new_starts)
        .bind(exception.new_ends)
        .bind(&exception.note)
        .fetch_one(self.connection())
        .await?;
        let exception = TimetableException::read(&row)?;
        let action = "timetable_exception.put";
        self.audit(Entry::put(action, "timetable_entry", exception.entry_id, before, &exception)).await?;
        Ok(exception)
    }

    /// Makes an occurrence of a locked entry like the others again.
    ///
    /// # Errors
    /// When the database is away.
    pub async fn remove_exception(&mut self, exception: &TimetableException) -> Result<(), StoreError> {
        sqlx::query("delete from timetable_exceptions where entry_id = $1 and date = $2")
            .bind(exception.entry_id)
            .bind(exception.date)
            .execute(self.connection())
            .await?;
        let action = "timetable_exception.delete";
        self.audit(Entry::removed(action, "timetable_entry", exception.entry_id, exception)).await
    }
}
