//! What reports and analytics share: which part of the register they are about, and how figures look.

use chrono::{Days, NaiveDate};
use chrono_tz::Tz;
use rollcall_attendance::Tally;
use rollcall_pipeline::PersonId;
use rollcall_store::{FiguresFilter, MAIN_SITE, Scope, Site};
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::caller::Caller;
use crate::problem::{Answer, FieldError, Problem};
use crate::state::Api;
use crate::validate::is_date;

/// Days that figures are about when nobody says.
const DEFAULT_DAYS: u64 = 30;
/// Most days that figures are about.
const MAX_DAYS: i64 = 3_660;
/// Longest id in a filter; those of the configuration file may be longer than others.
const MAX_ID: usize = 200;
/// Most sites of an installation that are looked at to find the time zone.
const MAX_SITES: u32 = 500;

/// Declares query parameters: those that choose a part of the register, and others. (What reads queries knows no flattening.)
macro_rules! figures_params {
    // For what belongs to no people.
    (only places $(#[$doc:meta])* pub struct $name:ident { $($fields:tt)* }) => {
        $crate::figures::figures_params! { @ [] [] $(#[$doc])* $name { $($fields)* } }
    };
    ($(#[$doc:meta])* pub struct $name:ident { $($fields:tt)* }) => {
        $crate::figures::figures_params! {
            @ [
                /// Of this course.
                course_id
                /// Of the people of this group.
                group_id
                /// Of this person.
                person_id
            ] [course: course_id, group: group_id, person: person_id,] $(#[$doc])* $name { $($fields)* }
        }
    };
    (@ [$($(#[$id_doc:meta])* $id:ident)*] [$($what:ident: $from:ident,)*] $(#[$doc:meta])* $name:ident {
        $($(#[doc = $field_doc:literal])* $(#[param($($param:tt)*)])* pub $field:ident: $type:ty,)*
    }) => {
        $(#[$doc])*
        #[derive(Clone, Debug, Default, serde::Deserialize, utoipa::IntoParams)]
        #[serde(deny_unknown_fields)]
        #[into_params(parameter_in = Query)]
        pub(crate) struct $name {
            /// First local date; 30 days before `to` if missing.
            pub from: Option<chrono::NaiveDate>,
            /// Last local date; today if missing. At most 3660 days after `from` (100 for quality).
            pub to: Option<chrono::NaiveDate>,
            /// At this site.
            #[param(min_length = 1, max_length = 200)]
            pub site_id: Option<String>,
            /// In this room.
            #[param(min_length = 1, max_length = 200)]
            pub room_id: Option<String>,
            $($(#[$id_doc])* pub $id: Option<uuid::Uuid>,)*
            $($(#[doc = $field_doc])* $(#[param($($param)*)])* pub $field: $type,)*
        }

        impl $name {
            #[allow(clippy::needless_update, reason = "some ask by everything")]
            fn asked(&self) -> $crate::figures::Asked<'_> {
                $crate::figures::Asked {
                    from: self.from,
                    to: self.to,
                    site: self.site_id.as_deref(),
                    room: self.room_id.as_deref(),
                    $($what: self.$from,)*
                    ..Default::default()
                }
            }
        }
    };
}

pub(crate) use figures_params;

/// What part of the register somebody asks for.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Asked<'a> {
    pub(crate) from: Option<NaiveDate>,
    pub(crate) to: Option<NaiveDate>,
    pub(crate) site: Option<&'a str>,
    pub(crate) room: Option<&'a str>,
    pub(crate) course: Option<Uuid>,
    pub(crate) group: Option<Uuid>,
    pub(crate) person: Option<Uuid>,
}

/// What figures are about: checked, and with the names of everything.
#[derive(Clone, Debug)]
pub(crate) struct Part {
    pub(crate) filter: FiguresFilter,
    /// Of the site; of UTC where there are several in several zones.
    pub(crate) zone: Tz,
    /// The site's name.
    pub(crate) site: String,
    /// What was chosen by, with names.
    pub(crate) chosen: Vec<(String, String)>,
    /// What the reader should know.
    pub(crate) notes: Vec<String>,
}

impl Asked<'_> {
    /// Checks it, and finds out what it is about. What the caller may not see is not there.
    pub(crate) async fn part(self, api: &Api, caller: &Caller) -> Answer<Part> {
        self.check()?;
        let (store, scope) = (&api.store, &caller.scope);
        let mut chosen = Vec::new();
        let mut choose = |what: &str, name: String| chosen.push((what.to_owned(), name));
        let mut at_site = self.site.map(str::to_owned);
        if let Some(id) = self.course {
            let course = store.course(scope, id).await?.ok_or_else(|| Problem::not_found("course"))?;
            at_site.get_or_insert(course.site_id);
            choose("Course", course.code.map_or(course.name.clone(), |code| format!("{} ({code})", course.name)));
        }
        if let Some(id) = self.room {
            let room = store.room(scope, id).await?.ok_or_else(|| Problem::not_found("room"))?;
            choose("Room", room.name.unwrap_or(room.id));
            at_site.get_or_insert(room.site_id);
        }
        if let Some(id) = self.group {
            choose("Group", store.group(scope, id).await?.ok_or_else(|| Problem::not_found("group"))?.name);
        }
        if let Some(id) = self.person {
            let name = store.figures_person(scope, PersonId(id)).await?;
            choose("Person", name.ok_or_else(|| Problem::not_found("person"))?);
        }
        let (site, zone, notes) = match at_site {
            Some(id) => {
                let site = store.site(scope, &id).await?.ok_or_else(|| Problem::not_found("site"))?;
                let zone = zone(&site);
                (site.name, zone, Vec::new())
            }
            None => all_sites(store.sites(scope, None, MAX_SITES).await?),
        };
        if self.site.is_some() {
            chosen.insert(0, ("Site".to_owned(), site.clone()));
        }
        let to = self.to.unwrap_or_else(|| api.clock.wall().with_timezone(&zone).date_naive());
        let from = self.from.or_else(|| to.checked_sub_days(Days::new(DEFAULT_DAYS))).unwrap_or(to);
        check_period(from, to)?;
        let filter = FiguresFilter {
            from,
            to,
            site: self.site.map(str::to_owned),
            room: self.room.map(str::to_owned),
            course: self.course,
            group: self.group,
            person: self.person.map(PersonId),
        };
        Ok(Part { filter, zone, site, chosen, notes })
    }

    fn check(&self) -> Answer<()> {
        let mut errors = Vec::new();
        for (name, id) in [("site_id", self.site), ("room_id", self.room)] {
            if id.is_some_and(|id| !(1..=MAX_ID).contains(&id.chars().count()) || id.chars().any(char::is_control)) {
                let detail = format!("must be 1 to {MAX_ID} characters long, without control characters");
                errors.push(FieldError::query(name, detail));
            }
        }
        for (name, date) in [("from", self.from), ("to", self.to)] {
            if date.is_some_and(|date| !is_date(date)) {
                errors.push(FieldError::query(name, "must lie in the years 1970 to 9998"));
            }
        }
        if errors.is_empty() { Ok(()) } else { Err(Problem::invalid(errors)) }
    }
}

fn check_period(from: NaiveDate, to: NaiveDate) -> Answer<()> {
    let wrong = |name: &str, detail: String| Err(Problem::invalid(vec![FieldError::query(name, detail)]));
    if to < from {
        return wrong("to", format!("is before from, {from}"));
    }
    if (to - from).num_days() > MAX_DAYS {
        return wrong("from", format!("must be at most {MAX_DAYS} days before to, {to}"));
    }
    Ok(())
}

fn zone(site: &Site) -> Tz {
    site.time_zone.parse().unwrap_or(Tz::UTC)
}

/// Name and zone of everything that the caller may see.
fn all_sites(sites: Vec<Site>) -> (String, Tz, Vec<String>) {
    // The site of the file is there even where nobody uses it.
    let used: Vec<&Site> = sites.iter().filter(|site| sites.len() == 1 || site.id != MAIN_SITE).collect();
    let zones: Vec<Tz> = used.iter().map(|site| zone(site)).collect();
    let name = if let [site] = used[..] { site.name.clone() } else { "All sites".to_owned() };
    match zones.split_first() {
        Some((first, rest)) if rest.iter().all(|zone| zone == first) => (name, *first, Vec::new()),
        Some(_) => (name, Tz::UTC, vec!["The sites are in several time zones: times are in UTC.".to_owned()]),
        None => (name, Tz::UTC, Vec::new()),
    }
}

/// How often which status, and what that is in percent. Excused sessions are in no denominator; of nothing there is no
/// percentage (`docs/rules.md`).
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub(crate) struct TallyView {
    /// In time.
    pub present: u64,
    /// Late.
    pub late: u64,
    /// Absent.
    pub absent: u64,
    /// Excused.
    pub excused: u64,
    /// Present, late and absent.
    pub expected: u64,
    /// Present and late, of those expected.
    #[schema(minimum = 0, maximum = 100)]
    pub attendance_percent: Option<f64>,
    /// Present, of those expected.
    #[schema(minimum = 0, maximum = 100)]
    pub punctuality_percent: Option<f64>,
    /// Absent, of those expected.
    #[schema(minimum = 0, maximum = 100)]
    pub absence_percent: Option<f64>,
    /// Late, of those who came.
    #[schema(minimum = 0, maximum = 100)]
    pub lateness_percent: Option<f64>,
}

impl From<Tally> for TallyView {
    fn from(tally: Tally) -> Self {
        Self {
            present: tally.present,
            late: tally.late,
            absent: tally.absent,
            excused: tally.excused,
            expected: tally.expected(),
            attendance_percent: tally.attendance(),
            punctuality_percent: tally.punctuality(),
            absence_percent: tally.absence(),
            lateness_percent: tally.lateness(),
        }
    }
}

/// The scope of whoever looks at everybody's figures: a person's own are elsewhere.
pub(crate) fn of_everybody(caller: &Caller) -> Answer<()> {
    match caller.scope {
        Scope::Person(_) => Err(Problem::forbidden("your own record is at /api/v1/me/attendance")),
        Scope::Everywhere | Scope::Places { .. } => Ok(()),
    }
}
