//! Sessions made ahead from timetables, and the file's site and rooms as rows. One daemon at a time, in one transaction
//! from what is read to what is written; done again it changes nothing, and says nothing to those who listen.

use std::collections::{HashMap, HashSet};

use chrono::{NaiveDate, NaiveTime};
use rollcall_pipeline::WallTime;
use sqlx::{Postgres, Row, Transaction};
use uuid::Uuid;

use crate::feed::hold_feed;
use crate::row::{all, row};
use crate::sites::{HOLIDAY, MAIN_SITE};
use crate::timetables::EXCEPTION;
use crate::{Store, StoreError};

row! {
    /// A line of a timetable with where it is held.
    pub struct PlannedEntry {
        /// Id.
        pub id: Uuid,
        /// Of which course.
        pub course_id: Uuid,
        /// The course's site, whose holidays count.
        pub site_id: String,
        /// In which room.
        pub room_id: String,
        /// The room's zone.
        pub time_zone: String,
        /// ISO: 1 is Monday.
        pub weekdays: Vec<i16>,
        /// Local time.
        pub starts: NaiveTime,
        /// Local time.
        pub ends: NaiveTime,
        /// First local date.
        pub valid_from: Option<NaiveDate>,
        /// Last local date.
        pub valid_to: Option<NaiveDate>,
        /// When it was last changed.
        pub changed_at: WallTime,
    }
}

/// A session that there should be.
#[derive(Clone, Debug, PartialEq)]
pub struct PlannedSession {
    /// Derived, so that planning again finds it.
    pub id: Uuid,
    /// Of which course.
    pub course: Option<Uuid>,
    /// By which line of its timetable.
    pub entry: Option<Uuid>,
    /// Where.
    pub room: String,
    /// Its own name.
    pub name: Option<String>,
    /// Start.
    pub starts_at: WallTime,
    /// End.
    pub ends_at: WallTime,
    /// The room's date at the start.
    pub local_date: NaiveDate,
    /// Rules of its own, in seconds: early, grace, leave.
    pub windows: [Option<i32>; 3],
    /// It is not made any more if it was over by then.
    pub known_since: WallTime,
    /// Who is expected, where that is not the course's business.
    pub people: Option<Vec<Uuid>>,
}

/// Whose sessions are planned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// The configuration file's.
    File,
    /// Those of timetables in the database.
    Timetable,
}

impl Origin {
    fn as_str(self) -> &'static str {
        match self {
            Self::File => "file",
            Self::Timetable => "timetable",
        }
    }
}

/// A room of the configuration file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileRoom {
    /// Its id.
    pub id: String,
    /// Its name.
    pub name: String,
    /// Its zone, if it is not the site's.
    pub time_zone: Option<String>,
}

/// What planning changed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PlanChange {
    /// New sessions.
    pub made: u64,
    /// Sessions with another time or room.
    pub changed: u64,
    /// Sessions that no longer occur.
    pub removed: u64,
}

/// A planning that is under way.
#[derive(Debug)]
pub struct Planning {
    tx: Transaction<'static, Postgres>,
}

impl Store {
    /// Begins to plan; `None` while another daemon does.
    ///
    /// # Errors
    /// When the database is away.
    pub async fn planning(&self) -> Result<Option<Planning>, StoreError> {
        let mut tx = self.pool.begin().await?;
        let sql = "select pg_try_advisory_xact_lock(hashtextextended('rollcall.planning', 0))";
        let ours: bool = sqlx::query_scalar(sql).fetch_one(&mut *tx).await?;
        Ok(ours.then_some(Planning { tx }))
    }
}

impl Planning {
    /// Makes site and rooms of the configuration file rows, as they are there. A room that the file dropped stays, as one
    /// that the API may change.
    ///
    /// # Errors
    /// When the database is away.
    pub async fn mirror(&mut self, name: &str, time_zone: &str, rooms: &[FileRoom]) -> Result<(), StoreError> {
        // Only what differs: a statement that changes nothing would be told, too. With the feed in hand, since whoever marks
        // somebody waits with it for a room that is being changed.
        self.mirror_site(name, time_zone).await?;
        self.mirror_rooms(rooms).await
    }

    async fn mirror_site(&mut self, name: &str, time_zone: &str) -> Result<(), StoreError> {
        let same: bool = sqlx::query_scalar("select (name, time_zone) = ($2, $3) from sites where id = $1")
            .bind(MAIN_SITE)
            .bind(name)
            .bind(time_zone)
            .fetch_one(&mut *self.tx)
            .await?;
        if !same {
            hold_feed(&mut self.tx).await?;
            sqlx::query("update sites set name = $2, time_zone = $3, version = version + 1 where id = $1")
                .bind(MAIN_SITE)
                .bind(name)
                .bind(time_zone)
                .execute(&mut *self.tx)
                .await?;
        }
        Ok(())
    }

    async fn mirror_rooms(&mut self, rooms: &[FileRoom]) -> Result<(), StoreError> {
        let rows = sqlx::query(
            "select id, name, time_zone, managed_by, site_id from rooms where managed_by = 'file' or id = any($1)",
        )
        .bind(rooms.iter().map(|r| r.id.as_str()).collect::<Vec<_>>())
        .fetch_all(&mut *self.tx)
        .await?;
        let (mut there, mut elsewhere) = (HashMap::new(), HashSet::new());
        for row in &rows {
            let id: String = row.try_get("id")?;
            let managed_by: String = row.try_get("managed_by")?;
            let site: String = row.try_get("site_id")?;
            let what = (row.try_get::<Option<String>, _>("name")?, row.try_get::<Option<String>, _>("time_zone")?);
            if site != MAIN_SITE {
                elsewhere.insert(id.clone());
            }
            there.insert(id, (what, managed_by == "file" && site == MAIN_SITE));
        }
        for room in rooms {
            let wanted = (Some(room.name.clone()), room.time_zone.clone());
            let sql = match there.remove(&room.id) {
                Some((is, true)) if is == wanted => continue,
                Some((_, false)) if elsewhere.contains(&room.id) => {
                    tracing::error!(
                        room = room.id,
                        "a room of another site has this id: the file's is not made; rename one"
                    );
                    continue;
                }
                Some(_) => {
                    "update rooms set name = $2, time_zone = $3, managed_by = 'file', site_id = $4, version = version + 1
                     where id = $1"
                }
                None => {
                    "insert into rooms (id, name, time_zone, managed_by, site_id) values ($1, $2, $3, 'file', $4)
                     on conflict do nothing"
                }
            };
            hold_feed(&mut self.tx).await?;
            sqlx::query(sql)
                .bind(&room.id)
                .bind(&room.name)
                .bind(&room.time_zone)
                .bind(MAIN_SITE)
                .execute(&mut *self.tx)
                .await?;
        }
        let dropped: Vec<String> = there.into_keys().collect();
        if !dropped.is_empty() {
            hold_feed(&mut self.tx).await?;
            sqlx::query("update rooms set managed_by = 'api', version = version + 1 where id = any($1)")
                .bind(dropped)
                .execute(&mut *self.tx)
                .await?;
        }
        Ok(())
    }

    /// All lines of timetables that are in use.
    ///
    /// # Errors
    /// When the database is away.
    pub async fn entries(&mut self) -> Result<Vec<PlannedEntry>, StoreError> {
        let rows = sqlx::query(
            "select t.id, t.course_id, c.site_id, t.room_id, coalesce(r.time_zone, i.time_zone) as time_zone, t.weekdays,
                    t.starts, t.ends, t.valid_from, t.valid_to, t.changed_at
             from timetable_entries t join courses c on c.id = t.course_id join rooms r on r.id = t.room_id
             join sites i on i.id = r.site_id
             where c.archived_at is null order by c.site_id, t.id",
        )
        .fetch_all(&mut *self.tx)
        .await?;
        all(&rows, PlannedEntry::read)
    }

    /// Holidays and exceptions that matter between two dates.
    ///
    /// # Errors
    /// When the database is away.
    pub async fn differences(
        &mut self,
        from: NaiveDate,
        to: NaiveDate,
    ) -> Result<(Vec<crate::Holiday>, Vec<crate::TimetableException>), StoreError> {
        let sql = format!("select {HOLIDAY} from holidays where date between $1 and $2");
        let holidays = sqlx::query(sqlx::AssertSqlSafe(sql)).bind(from).bind(to).fetch_all(&mut *self.tx).await?;
        let exceptions = sqlx::query(sqlx::AssertSqlSafe(format!(
            "select {EXCEPTION} from timetable_exceptions
             where date between $1 and $2 or new_date between $1 and $2"
        )))
        .bind(from)
        .bind(to)
        .fetch_all(&mut *self.tx)
        .await?;
        Ok((all(&holidays, crate::Holiday::read)?, all(&exceptions, crate::TimetableException::read)?))
    }

    /// Makes, changes and removes sessions until those to come are as planned. Sessions in which somebody is marked, that
    /// were opened, closed or cancelled, or that were set by hand, stay as they are; those of the lines `unplanned` too.
    ///
    /// # Errors
    /// When the database is away.
    pub async fn write(
        &mut self,
        origin: Origin,
        now: WallTime,
        planned: &[PlannedSession],
        unplanned: &[Uuid],
    ) -> Result<PlanChange, StoreError> {
        let rows = sqlx::query(
            "select id, course_id, entry_id, room_id, name, starts_at, ends_at, local_date, early_s, grace_s, leave_s,
                    state = 'planned' and not fixed and closed_at is null and ends_at > $2 as free,
                    state = 'closed' as is_closed
             from sessions where kind = 'timetabled' and origin = $1 and (ends_at > $2 or id = any($3))",
        )
        .bind(origin.as_str())
        .bind(now)
        .bind(planned.iter().map(|p| p.id).collect::<Vec<_>>())
        .fetch_all(&mut *self.tx)
        .await?;
        let (mut there, mut closed) = (HashMap::with_capacity(rows.len()), HashSet::new());
        for row in &rows {
            let free: bool = row.try_get("free")?;
            let session = PlannedSession {
                id: row.try_get("id")?,
                course: row.try_get("course_id")?,
                entry: row.try_get("entry_id")?,
                room: row.try_get("room_id")?,
                name: row.try_get("name")?,
                starts_at: row.try_get("starts_at")?,
                ends_at: row.try_get("ends_at")?,
                local_date: row.try_get("local_date")?,
                windows: [row.try_get("early_s")?, row.try_get("grace_s")?, row.try_get("leave_s")?],
                known_since: now,
                people: None,
            };
            if row.try_get("is_closed")? {
                closed.insert(session.id);
            }
            there.insert(session.id, (session, free));
        }
        let (mut new, mut other) = (Vec::new(), Vec::new());
        for session in planned {
            match there.remove(&session.id) {
                None if session.ends_at > session.known_since => new.push(session),
                Some((is, true)) if session.ends_at > now && !is.is_as(session) => other.push(session),
                _ => {}
            }
        }
        let stays = |session: &PlannedSession| session.entry.is_some_and(|entry| unplanned.contains(&entry));
        let gone = there.into_values().filter(|(session, free)| *free && !stays(session));
        let gone: Vec<Uuid> = gone.map(|(session, _)| session.id).collect();
        if !(new.is_empty() && other.is_empty() && gone.is_empty()) {
            hold_feed(&mut self.tx).await?;
        }
        let made = self.insert(origin, &new).await?;
        let changed = self.update(&other).await?;
        let removed = self.delete(&gone).await?;
        if origin == Origin::File {
            let to_come = planned.iter().filter(|p| p.ends_at > now && !closed.contains(&p.id));
            self.write_people(&to_come.collect::<Vec<_>>()).await?;
        }
        Ok(PlanChange { made, changed, removed })
    }

    /// Here, in [`Self::update`] and in [`Self::delete`] is asked again what was read before the feed was held: whether the line
    /// is there, and whether the session is free. Whoever changes either takes the feed before, so it stays until this is done.
    async fn insert(&mut self, origin: Origin, new: &[&PlannedSession]) -> Result<u64, StoreError> {
        if new.is_empty() {
            return Ok(0);
        }
        let done = sqlx::query(
            "insert into sessions (id, course_id, entry_id, room_id, name, starts_at, ends_at, local_date, early_s, grace_s,
                 leave_s, kind, origin)
             select n.*, 'timetabled', $12
             from unnest($1::uuid[], $2::uuid[], $3::uuid[], $4::text[], $5::text[], $6::timestamptz[], $7::timestamptz[],
                 $8::date[], $9::integer[], $10::integer[], $11::integer[]) as n (id, c, e)
             where n.e is null or exists (select from timetable_entries t where t.id = n.e)
             on conflict (id) do nothing",
        );
        Ok(bind(done, new).bind(origin.as_str()).execute(&mut *self.tx).await?.rows_affected())
    }

    async fn update(&mut self, other: &[&PlannedSession]) -> Result<u64, StoreError> {
        if other.is_empty() {
            return Ok(0);
        }
        let done = sqlx::query(
            "update sessions s set course_id = n.c, entry_id = n.e, room_id = n.r, name = n.n, starts_at = n.f,
                 ends_at = n.t, local_date = n.d, early_s = n.w1, grace_s = n.w2, leave_s = n.w3, version = version + 1
             from unnest($1::uuid[], $2::uuid[], $3::uuid[], $4::text[], $5::text[], $6::timestamptz[], $7::timestamptz[],
                 $8::date[], $9::integer[], $10::integer[], $11::integer[]) as n (id, c, e, r, n, f, t, d, w1, w2, w3)
             where s.id = n.id and s.state = 'planned' and not s.fixed and s.closed_at is null
               and not exists (select from register g where g.session_id = s.id)
               and (n.e is null or exists (select from timetable_entries t where t.id = n.e))",
        );
        Ok(bind(done, other).execute(&mut *self.tx).await?.rows_affected())
    }

    async fn delete(&mut self, gone: &[Uuid]) -> Result<u64, StoreError> {
        if gone.is_empty() {
            return Ok(0);
        }
        let done = sqlx::query(
            "delete from sessions s where id = any($1) and s.state = 'planned' and not s.fixed and s.closed_at is null
               and not exists (select from register g where g.session_id = s.id)
               and not exists (select from marks m where m.session_id = s.id)
               and not exists (select from corrections k where k.session_id = s.id)",
        );
        Ok(done.bind(gone).execute(&mut *self.tx).await?.rows_affected())
    }

    /// Who is expected in sessions of the file that are not over.
    async fn write_people(&mut self, to_come: &[&PlannedSession]) -> Result<(), StoreError> {
        let is: Vec<(Uuid, Uuid)> =
            sqlx::query_as("select session_id, person_id from session_people where session_id = any($1)")
                .bind(to_come.iter().map(|p| p.id).collect::<Vec<_>>())
                .fetch_all(&mut *self.tx)
                .await?;
        let is: HashSet<(Uuid, Uuid)> = is.into_iter().collect();
        let named: HashSet<Uuid> = to_come.iter().flat_map(|p| p.people.iter().flatten().copied()).collect();
        let known: Vec<Uuid> = sqlx::query_scalar("select id from people where id = any($1)")
            .bind(named.into_iter().collect::<Vec<_>>())
            .fetch_all(&mut *self.tx)
            .await?;
        let known: HashSet<Uuid> = known.into_iter().collect();
        let wanted: HashSet<(Uuid, Uuid)> = to_come
            .iter()
            .flat_map(|p| p.people.iter().flatten().map(|person| (p.id, *person)))
            .filter(|(_, person)| known.contains(person))
            .collect();
        let (gone, new): (Vec<_>, Vec<_>) =
            (is.difference(&wanted).copied().collect(), wanted.difference(&is).copied().collect());
        for (pairs, sql) in [
            (
                gone,
                "delete from session_people where (session_id, person_id) in (select * from unnest($1::uuid[], $2::uuid[]))",
            ),
            (
                new,
                "insert into session_people (session_id, person_id)
                 select n.s, n.p from unnest($1::uuid[], $2::uuid[]) as n (s, p) join sessions on sessions.id = n.s
                 on conflict do nothing",
            ),
        ] {
            if pairs.is_empty() {
                continue;
            }
            hold_feed(&mut self.tx).await?;
            let (sessions, people): (Vec<Uuid>, Vec<Uuid>) = pairs.into_iter().unzip();
            sqlx::query(sql).bind(sessions).bind(people).execute(&mut *self.tx).await?;
        }
        Ok(())
    }

    /// Makes it last.
    ///
    /// # Errors
    /// When the database is away.
    pub async fn commit(self) -> Result<(), StoreError> {
        Ok(self.tx.commit().await?)
    }
}

impl PlannedSession {
    fn is_as(&self, other: &Self) -> bool {
        let key = |s: &Self| (s.course, s.entry, s.starts_at, s.ends_at, s.local_date, s.windows);
        key(self) == key(other) && self.room == other.room && self.name == other.name
    }
}

type Query<'q> = sqlx::query::Query<'q, Postgres, sqlx::postgres::PgArguments>;

/// Binds the columns of sessions as $1 to $11.
fn bind<'q>(query: Query<'q>, rows: &[&PlannedSession]) -> Query<'q> {
    fn column<T>(rows: &[&PlannedSession], value: impl Fn(&PlannedSession) -> T) -> Vec<T> {
        rows.iter().map(|row| value(row)).collect()
    }
    query
        .bind(column(rows, |s| s.id))
        .bind(column(rows, |s| s.course))
        .bind(column(rows, |s| s.entry))
        .bind(column(rows, |s| s.room.clone()))
        .bind(column(rows, |s| s.name.clone()))
        .bind(column(rows, |s| s.starts_at))
        .bind(column(rows, |s| s.ends_at))
        .bind(column(rows, |s| s.local_date))
        .bind(column(rows, |s| s.windows[0]))
        .bind(column(rows, |s| s.windows[1]))
        .bind(column(rows, |s| s.windows[2]))
}
