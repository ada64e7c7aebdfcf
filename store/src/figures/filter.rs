//! Which part of the register figures are made of, and of what: of tallies where that is possible.

use chrono::{Days, NaiveDate, NaiveTime};
use rollcall_pipeline::PersonId;
use sqlx::{Postgres, QueryBuilder};
use uuid::Uuid;

use crate::Scope;

/// Which part of the register.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FiguresFilter {
    /// First local date.
    pub from: NaiveDate,
    /// Last local date.
    pub to: NaiveDate,
    /// At this site.
    pub site: Option<String>,
    /// In this room.
    pub room: Option<String>,
    /// Of this course.
    pub course: Option<Uuid>,
    /// Of the people of this group.
    pub group: Option<Uuid>,
    /// Of this person.
    pub person: Option<PersonId>,
}

/// What figures are made of. Both are joined to `r`, the room, `z`, its site, and `c`, the course.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Source {
    /// Tallies `t` of sessions `s`.
    Sessions,
    /// Rows `x` of the register, of sessions `s`.
    Rows,
}

impl Source {
    /// The cheaper one of those that can tell: a tally does not know people.
    pub(super) fn of(scope: &Scope, filter: &FiguresFilter) -> Self {
        let some_people = filter.group.is_some() || filter.person.is_some() || matches!(scope, Scope::Person(_));
        if some_people { Self::Rows } else { Self::Sessions }
    }

    /// The alias of what has date, start, room and course.
    pub(super) fn place(self) -> &'static str {
        match self {
            Self::Sessions => "s",
            Self::Rows => "x",
        }
    }

    /// Sessions and statuses, counted.
    pub(super) fn counts(self) -> &'static str {
        match self {
            Self::Sessions => {
                "count(*) as sessions, sum(t.present)::bigint as present, sum(t.late)::bigint as late,
                 sum(t.absent)::bigint as absent, sum(t.excused)::bigint as excused"
            }
            Self::Rows => {
                "count(distinct x.session_id) as sessions, count(*) filter (where x.status = 'present') as present,
                 count(*) filter (where x.status = 'late') as late, count(*) filter (where x.status = 'absent') as absent,
                 count(*) filter (where x.status = 'excused') as excused"
            }
        }
    }

    /// From and where.
    pub(super) fn push(self, query: &mut QueryBuilder<Postgres>, scope: &Scope, filter: &FiguresFilter) {
        query.push(match self {
            Self::Sessions => {
                " from session_tallies t join sessions s on s.id = t.session_id join rooms r on r.id = s.room_id
                  join sites z on z.id = r.site_id left join courses c on c.id = s.course_id
                  where t.present + t.late + t.absent + t.excused > 0"
            }
            // The fence (offset 0) is there so that a row's bucket is looked for once, and not once a bucket.
            Self::Rows => {
                " from (select x.*, case when x.status in ('present', 'late') then arrival_bucket(x.minutes_from_start) end as bucket
                        from register x where x.status in ('present', 'late', 'absent', 'excused')"
            }
        });
        self.narrow(query, scope, filter);
        if self == Self::Rows {
            // Left joins cost nothing where nothing is asked of them.
            query.push(
                " offset 0) x left join sessions s on s.id = x.session_id left join rooms r on r.id = x.room_id
                  left join sites z on z.id = r.site_id left join courses c on c.id = x.course_id",
            );
        }
    }

    /// The conditions alone.
    pub(super) fn narrow(self, query: &mut QueryBuilder<Postgres>, scope: &Scope, filter: &FiguresFilter) {
        let place = self.place();
        // Not the room's site: the register has a copy, with an index.
        let site = if self == Self::Rows { "x.site_id" } else { "r.site_id" };
        query.push(format_args!(" and {place}.local_date between ")).push_bind(filter.from);
        query.push(" and ").push_bind(filter.to);
        // The same in UTC, a day wider than zones are apart: that is what the indexes have.
        let first = filter.from.checked_sub_days(Days::new(1)).unwrap_or(filter.from);
        let last = filter.to.checked_add_days(Days::new(2)).unwrap_or(filter.to);
        query.push(format_args!(" and {place}.starts_at >= ")).push_bind(first.and_time(NaiveTime::MIN).and_utc());
        query.push(format_args!(" and {place}.starts_at < ")).push_bind(last.and_time(NaiveTime::MIN).and_utc());
        if let Some(id) = &filter.site {
            query.push(format_args!(" and {site} = ")).push_bind(id.clone());
        }
        if let Some(id) = &filter.room {
            query.push(format_args!(" and {place}.room_id = ")).push_bind(id.clone());
        }
        if let Some(id) = filter.course {
            query.push(format_args!(" and {place}.course_id = ")).push_bind(id);
        }
        match scope {
            Scope::Everywhere => {}
            Scope::Places { sites, rooms } => {
                query.push(format_args!(" and ({site} = any(")).push_bind(sites.clone());
                query.push(format_args!(") or {place}.room_id = any(")).push_bind(rooms.clone()).push("))");
            }
            Scope::Person(person) => {
                query.push(" and x.person_id = ").push_bind(person.0);
            }
        }
        if self == Self::Rows {
            Self::of_people(query, filter);
        }
    }

    /// The conditions on people alone, of whatever `x` is.
    pub(super) fn of_people(query: &mut QueryBuilder<Postgres>, filter: &FiguresFilter) {
        if let Some(id) = filter.person {
            query.push(" and x.person_id = ").push_bind(id.0);
        }
        if let Some(id) = filter.group {
            query.push(" and x.person_id in (select person_id from group_members where group_id = ");
            query.push_bind(id).push(")");
        }
    }
}
