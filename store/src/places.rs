//! What the live matcher needs of rooms, sessions and rosters, and the news that any of it changed.

use chrono::NaiveDate;
use rollcall_pipeline::WallTime;
use sqlx::postgres::PgListener;
use uuid::Uuid;

use crate::row::{all, row};
use crate::{Store, StoreError};

/// The channel on which triggers tell of sites, rooms, cameras, courses, timetables and sessions.
const CHANNEL: &str = "rollcall_places";

row! {
    /// A room.
    pub struct PlaceRoom {
        /// Its id.
        pub id: String,
        /// Its zone.
        pub time_zone: String,
        /// Whether a course meets there: outside of its sessions it is off schedule, even in the holidays.
        pub has_timetable: bool,
    }
}

row! {
    /// A session of the database, near the present. Rules in seconds, its own or its course's.
    pub struct PlaceSession {
        /// Id.
        pub id: Uuid,
        /// Where.
        pub room_id: String,
        /// Of which course.
        pub course_id: Option<Uuid>,
        /// Start.
        pub starts_at: WallTime,
        /// End.
        pub ends_at: WallTime,
        /// The room's date at the start.
        pub local_date: NaiveDate,
        /// Early window.
        pub early_s: Option<i32>,
        /// Grace period.
        pub grace_s: Option<i32>,
        /// Leave window.
        pub leave_s: Option<i32>,
        /// When it was opened by hand.
        pub opened_at: Option<WallTime>,
        /// When it was closed by hand.
        pub closed_at: Option<WallTime>,
        /// Who is expected, or was when it closed; null: whoever its course expects, or everybody.
        pub people: Option<Vec<Uuid>>,
    }
}

row! {
    /// An enrolment.
    pub struct PlaceEnrolment {
        /// In which course.
        pub course_id: Uuid,
        /// Who.
        pub person_id: Uuid,
        /// First local date.
        pub valid_from: Option<NaiveDate>,
        /// Last local date.
        pub valid_to: Option<NaiveDate>,
    }
}

/// Rooms, sessions and rosters at one moment.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Places {
    /// All rooms.
    pub rooms: Vec<PlaceRoom>,
    /// The sessions that are held between two moments, without those of the configuration file.
    pub sessions: Vec<PlaceSession>,
    /// The enrolments of their courses, by course and person.
    pub enrolments: Vec<PlaceEnrolment>,
}

impl Store {
    /// The rooms, and the sessions that touch the time between two moments, with their rosters.
    ///
    /// # Errors
    /// When the database is away.
    pub async fn places(&self, from: WallTime, to: WallTime) -> Result<Places, StoreError> {
        let mut tx = self.pool.begin().await?;
        sqlx::query("set transaction isolation level repeatable read, read only").execute(&mut *tx).await?;
        let rooms = sqlx::query(
            "select r.id, coalesce(r.time_zone, i.time_zone) as time_zone,
                    exists (select from timetable_entries t join courses c on c.id = t.course_id
                            where t.room_id = r.id and c.archived_at is null) as has_timetable
             from rooms r join sites i on i.id = r.site_id order by r.id",
        )
        .fetch_all(&mut *tx)
        .await?;
        let sessions = sqlx::query(
            "select s.id, s.room_id, s.course_id, s.starts_at, s.ends_at, s.local_date,
                    coalesce(s.early_s, c.early_s) as early_s, coalesce(s.grace_s, c.grace_s) as grace_s,
                    coalesce(s.leave_s, c.leave_s) as leave_s, s.opened_at, s.closed_at,
                    case when s.listed or (s.state = 'closed' and s.course_id is not null)
                         then array(select e.person_id from expected_people e where e.session_id = s.id order by 1)
                    end as people
             from sessions s left join courses c on c.id = s.course_id
             where s.kind = 'timetabled' and s.origin <> 'file' and s.state <> 'cancelled'
               and s.ends_at > $1 and s.starts_at < $2
             order by s.starts_at, s.id",
        )
        .bind(from)
        .bind(to)
        .fetch_all(&mut *tx)
        .await?;
        let sessions = all(&sessions, PlaceSession::read)?;
        let mut courses: Vec<Uuid> = sessions.iter().filter_map(|s| s.course_id).collect();
        courses.sort_unstable();
        courses.dedup();
        let enrolments = sqlx::query(
            "select course_id, person_id, valid_from, valid_to from enrolments where course_id = any($1)
             order by course_id, person_id",
        )
        .bind(courses)
        .fetch_all(&mut *tx)
        .await?;
        tx.commit().await?;
        Ok(Places {
            rooms: all(&rooms, PlaceRoom::read)?,
            sessions,
            enrolments: all(&enrolments, PlaceEnrolment::read)?,
        })
    }

    /// Listens for changes of places, on a connection of its own. Listen first and load then: a change in between is
    /// reported.
    ///
    /// # Errors
    /// When the database is away.
    pub async fn place_changes(&self) -> Result<PlaceChanges, StoreError> {
        let mut listener = PgListener::connect_with(&self.listening).await?;
        listener.listen(CHANNEL).await?;
        Ok(PlaceChanges { listener })
    }
}

/// Tells when sites, rooms, cameras, courses, timetables or sessions have changed.
#[derive(Debug)]
pub struct PlaceChanges {
    listener: PgListener,
}

impl PlaceChanges {
    /// Waits until something has, or may have, changed. Several changes may be reported as one.
    ///
    /// # Errors
    /// When the connection is lost and does not come back. Listen anew.
    pub async fn changed(&mut self) -> Result<(), StoreError> {
        self.listener.try_recv().await?;
        self.skip();
        Ok(())
    }

    /// Forgets what was told already.
    pub fn skip(&mut self) {
        while self.listener.next_buffered().is_some() {}
    }
}
