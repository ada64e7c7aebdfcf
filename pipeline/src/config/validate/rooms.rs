//! Rooms and their timetables.

use std::collections::HashSet;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use chrono::{NaiveDate, NaiveTime, Weekday};
use chrono_tz::Tz;

use super::super::raw::{RawDay, RawRoom, RawSession};
use super::super::types::{AttendanceConfig, RoomConfig, SessionConfig};
use super::check::{Checker, read_bounded, unreadable};
use crate::ids::RoomId;

const MAX_ROOMS: usize = 10_000;
const MAX_SESSIONS: usize = 1_000;
const MAX_EXPECTED: usize = 20_000;
const MAX_ROSTER_BYTES: u64 = 4 << 20;

pub(super) fn rooms(c: &mut Checker<'_>, raw: &[RawRoom], site_zone: Tz, rules: &AttendanceConfig) -> Vec<RoomConfig> {
    if raw.len() > MAX_ROOMS {
        c.add("rooms", format!("{} rooms are too many: at most {MAX_ROOMS}", raw.len()));
    }
    let mut seen = HashSet::new();
    raw.iter()
        .take(MAX_ROOMS)
        .enumerate()
        .filter_map(|(i, room)| {
            let at = format!("rooms[{i}]");
            let id = c.id(&format!("{at}.id"), &room.id)?;
            if !seen.insert(id.clone()) {
                c.add(format!("{at}.id"), format!("\"{id}\" is the id of an earlier room: each needs its own"));
            }
            let zone = room.time_zone.as_ref().and_then(|name| c.time_zone(&format!("{at}.time_zone"), name));
            let name = room.name.as_ref().map(|name| c.label(&format!("{at}.name"), name));
            if room.sessions.len() > MAX_SESSIONS {
                let n = room.sessions.len();
                c.add(format!("{at}.sessions"), format!("{n} sessions are too many: at most {MAX_SESSIONS}"));
            }
            let expected = who(c, &at, &room.expected, room.roster_file.as_deref());
            let sessions = room.sessions.iter().take(MAX_SESSIONS).enumerate();
            let sessions = sessions.filter_map(|(j, s)| session(c, &format!("{at}.sessions[{j}]"), s, rules)).collect();
            Some(RoomConfig {
                name: name.unwrap_or_else(|| id.clone()),
                id: RoomId::new(id),
                time_zone: zone.unwrap_or(site_zone),
                expected,
                sessions,
            })
        })
        .collect()
}

fn session(c: &mut Checker<'_>, at: &str, raw: &RawSession, rules: &AttendanceConfig) -> Option<SessionConfig> {
    let name = c.required(&format!("{at}.name"), &raw.name, "what the session is called, such as \"Mathematics\"");
    let name = name.map(|name| c.label(&format!("{at}.name"), name));
    let days = days(c, &format!("{at}.days"), &raw.days);
    let start = time(c, &format!("{at}.start"), &raw.start);
    let end = time(c, &format!("{at}.end"), &raw.end);
    let valid_from = date(c, &format!("{at}.valid_from"), &raw.valid_from);
    let valid_to = date(c, &format!("{at}.valid_to"), &raw.valid_to);
    if let (Some(from), Some(to)) = (valid_from, valid_to)
        && to < from
    {
        c.add(format!("{at}.valid_to"), format!("{to} is before valid_from ({from}): swap them"));
    }
    let mut minutes = |key: &str, value: Option<i64>, default: Duration| {
        value.map_or(default, |value| c.minutes(&format!("{at}.{key}"), value))
    };
    let early = minutes("early_min", raw.early_min, rules.early);
    let grace = minutes("grace_min", raw.grace_min, rules.grace);
    let leave = minutes("leave_min", raw.leave_min, rules.leave);
    let expected = who(c, at, &raw.expected, raw.roster_file.as_deref());
    Some(SessionConfig {
        name: name?,
        days,
        start: start?,
        end: end?,
        valid_from,
        valid_to,
        early,
        grace,
        leave,
        expected,
    })
}

/// Who is expected: a list, a file, or not said.
fn who(c: &mut Checker<'_>, at: &str, names: &Option<Vec<String>>, file: Option<&Path>) -> Option<Arc<[String]>> {
    match (names, file) {
        (Some(_), Some(_)) => {
            c.add(format!("{at}.roster_file"), "stands beside expected: leave one of them out".to_owned());
            None
        }
        (Some(names), None) => Some(expected(c, &format!("{at}.expected"), names.iter().map(String::as_str))),
        (None, Some(file)) => roster_file(c, &format!("{at}.roster_file"), file),
        (None, None) => None,
    }
}

fn days(c: &mut Checker<'_>, path: &str, raw: &Option<Vec<RawDay>>) -> Vec<Weekday> {
    const WHAT: &str = "a list such as [\"mon\", \"tue\", \"wed\", \"thu\", \"fri\"]";
    let Some(raw) = c.required(path, raw, WHAT) else { return Vec::new() };
    let days: Vec<_> = raw.iter().map(|day| weekday(*day)).collect();
    let distinct: HashSet<_> = days.iter().collect();
    if days.is_empty() || distinct.len() != days.len() {
        c.add(path, "must name one to seven different days".to_owned());
    }
    days
}

fn weekday(day: RawDay) -> Weekday {
    match day {
        RawDay::Mon => Weekday::Mon,
        RawDay::Tue => Weekday::Tue,
        RawDay::Wed => Weekday::Wed,
        RawDay::Thu => Weekday::Thu,
        RawDay::Fri => Weekday::Fri,
        RawDay::Sat => Weekday::Sat,
        RawDay::Sun => Weekday::Sun,
    }
}

fn time(c: &mut Checker<'_>, path: &str, raw: &Option<String>) -> Option<NaiveTime> {
    let text = c.required(path, raw, "a local time such as \"08:00\"")?;
    let time = NaiveTime::parse_from_str(text, "%H:%M").or_else(|_| NaiveTime::parse_from_str(text, "%H:%M:%S")).ok();
    if time.is_none() {
        c.add(path, format!("{text:?} is no time: write it as \"08:00\" (00:00 to 23:59)"));
    }
    time
}

fn date(c: &mut Checker<'_>, path: &str, raw: &Option<String>) -> Option<NaiveDate> {
    let text = raw.as_ref()?;
    let date = NaiveDate::parse_from_str(text, "%Y-%m-%d").ok();
    if date.is_none() {
        c.add(path, format!("{text:?} is no date: write it as \"2026-09-01\""));
    }
    date
}

fn roster_file(c: &mut Checker<'_>, path: &str, file: &Path) -> Option<Arc<[String]>> {
    let file = c.path(file);
    match read_bounded(&file, MAX_ROSTER_BYTES) {
        Ok(text) => Some(expected(c, path, super::super::roster::names(&text))),
        Err(error) => {
            c.add(path, unreadable(&file, &error));
            None
        }
    }
}

fn expected<'n>(c: &mut Checker<'_>, path: &str, names: impl Iterator<Item = &'n str>) -> Arc<[String]> {
    let mut seen = HashSet::new();
    let mut list = Vec::new();
    for name in names.take(MAX_EXPECTED + 1) {
        let name = c.label(path, name);
        if seen.insert(name.clone()) {
            list.push(name);
        }
    }
    if list.is_empty() {
        c.add(path, "names nobody: leave it out where everybody is expected".to_owned());
    }
    if list.len() > MAX_EXPECTED {
        c.add(path, format!("names too many people: at most {MAX_EXPECTED}"));
    }
    list.into()
}
