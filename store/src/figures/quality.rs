//! Whether there were pictures, and what the cameras made of the faces that they saw, by camera and day.

use chrono::NaiveDate;

use super::filter::FiguresFilter;
use crate::row::{all, row};
use crate::{Scope, Store, StoreError};

row! {
    /// One camera on one day. Counted are tracks, that is faces from when they appear to when they go.
    pub struct QualityRow {
        /// The room's date.
        pub date: NaiveDate,
        /// The camera.
        pub camera: String,
        /// Where it looked.
        pub room_id: String,
        /// Minutes for which the daemon watched it.
        pub watched_min: i64,
        /// Part of that time in which there were pictures, 0 to 1; a minute in which the daemon began or ended counts as a whole one.
        pub up_share: Option<f64>,
        /// Faces found, in all frames.
        pub faces: i64,
        /// All tracks.
        pub tracks: i64,
        /// Made a mark.
        pub recorded: i64,
        /// Of somebody who was marked before.
        pub debounced: i64,
        /// Like nobody known.
        pub unknown: i64,
        /// Like two people.
        pub ambiguous: i64,
        /// No live face.
        pub spoof: i64,
        /// Not expected there, or not then.
        pub unexpected: i64,
        /// Judged live.
        pub live: i64,
        /// Not judged either way.
        pub undecided: i64,
        /// Mean similarity of those who were named.
        pub mean_similarity: Option<f64>,
        /// Mean distance of those who were named to the next person.
        pub mean_margin: Option<f64>,
        /// Mean seconds from the first usable view of a face to the picture that decided.
        pub mean_decision_s: Option<f64>,
    }
}

impl Store {
    /// How cameras did, by day and camera: those that saw nobody and those that were away, too. Course, group and person do not
    /// matter here.
    ///
    /// # Errors
    /// When the database is away.
    pub async fn quality(&self, scope: &Scope, filter: &FiguresFilter) -> Result<Vec<QualityRow>, StoreError> {
        let (sites, rooms) = scope.places();
        // The bounds in UTC are there so that only the months that matter are looked into.
        let rows = sqlx::query(
            "with place as (
                 select r.id, coalesce(r.time_zone, z.time_zone) as zone
                 from rooms r join sites z on z.id = r.site_id
                 where ($1::text[] is null or r.site_id = any($1) or r.id = any($2))
                   and ($3::text is null or r.site_id = $3) and ($4::text is null or r.id = $4)),
             seen as (
                 select (e.captured_at at time zone p.zone)::date as date, e.camera, e.room as room_id,
                        count(*) as tracks,
                        count(*) filter (where e.kind = 'recorded') as recorded,
                        count(*) filter (where e.kind = 'debounced') as debounced,
                        count(*) filter (where e.kind = 'unknown') as unknown,
                        count(*) filter (where e.kind = 'ambiguous') as ambiguous,
                        count(*) filter (where e.kind = 'spoof') as spoof,
                        count(*) filter (where e.kind in ('off_roster', 'off_schedule')) as unexpected,
                        count(*) filter (where e.liveness = 'live') as live,
                        count(*) filter (where e.liveness = 'undecided') as undecided,
                        avg(e.similarity) filter (where e.person_id is not null) as mean_similarity,
                        avg(e.margin) filter (where e.person_id is not null) as mean_margin,
                        avg(extract(epoch from e.captured_at - e.first_usable_at))::float8 as mean_decision_s
                 from events e join place p on p.id = e.room
                 where (e.captured_at at time zone p.zone)::date between $5 and $6
                   and e.captured_at >= ($5::date - 1)::timestamp at time zone 'UTC'
                   and e.captured_at < ($6::date + 2)::timestamp at time zone 'UTC'
                 group by 1, 2, 3),
             watched as (
                 select (m.minute at time zone p.zone)::date as date, m.camera, m.room as room_id,
                        count(*) as watched_min, sum(m.up_ms)::float8 / (60000 * count(*)) as up_share,
                        sum(m.faces)::bigint as faces
                 from camera_minutes m join place p on p.id = m.room
                 where (m.minute at time zone p.zone)::date between $5 and $6
                   and m.minute >= ($5::date - 1)::timestamp at time zone 'UTC'
                   and m.minute < ($6::date + 2)::timestamp at time zone 'UTC'
                 group by 1, 2, 3)
             select date, camera, room_id, coalesce(watched_min, 0) as watched_min, up_share, coalesce(faces, 0) as faces,
                    coalesce(tracks, 0) as tracks, coalesce(recorded, 0) as recorded,
                    coalesce(debounced, 0) as debounced, coalesce(unknown, 0) as unknown,
                    coalesce(ambiguous, 0) as ambiguous, coalesce(spoof, 0) as spoof,
                    coalesce(unexpected, 0) as unexpected, coalesce(live, 0) as live,
                    coalesce(undecided, 0) as undecided, mean_similarity, mean_margin, mean_decision_s
             from seen full join watched using (date, camera, room_id) order by date, camera, room_id",
        )
        .bind(sites)
        .bind(rooms)
        .bind(&filter.site)
        .bind(&filter.room)
        .bind(filter.from)
        .bind(filter.to)
        .fetch_all(&self.pool)
        .await?;
        all(&rows, QualityRow::read)
    }
}
