//! What the cameras made of the faces that they saw, by camera and day.

use chrono::NaiveDate;
use sqlx::{Postgres, QueryBuilder};

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
        /// All of them.
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
    /// The quality of what cameras saw, by day and camera. Course, group and person do not matter here.
    ///
    /// # Errors
    /// When the database is away.
    pub async fn quality(&self, scope: &Scope, filter: &FiguresFilter) -> Result<Vec<QualityRow>, StoreError> {
        let (sites, rooms) = scope.places();
        let mut query = QueryBuilder::<Postgres>::new(
            "select (e.captured_at at time zone coalesce(r.time_zone, z.time_zone))::date as date, e.camera,
                    e.room as room_id, count(*) as tracks,
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
             from events e join rooms r on r.id = e.room join sites z on z.id = r.site_id
             where (e.captured_at at time zone coalesce(r.time_zone, z.time_zone))::date between ",
        );
        query.push_bind(filter.from).push(" and ").push_bind(filter.to);
        // So that only the months that matter are looked into.
        query.push(" and e.captured_at >= (").push_bind(filter.from).push("::date - 1)::timestamp at time zone 'UTC'");
        query.push(" and e.captured_at < (").push_bind(filter.to).push("::date + 2)::timestamp at time zone 'UTC'");
        if let Some(sites) = sites {
            query.push(" and (r.site_id = any(").push_bind(sites.to_vec()).push(") or r.id = any(");
            query.push_bind(rooms.unwrap_or_default().to_vec()).push("))");
        }
        if let Some(site) = &filter.site {
            query.push(" and r.site_id = ").push_bind(site.clone());
        }
        if let Some(room) = &filter.room {
            query.push(" and r.id = ").push_bind(room.clone());
        }
        query.push(" group by 1, 2, 3 order by 1, 2, 3");
        let rows = query.build().fetch_all(&self.pool).await?;
        all(&rows, QualityRow::read)
    }
}
