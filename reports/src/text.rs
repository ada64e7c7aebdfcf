//! How values read to a person, and what is taken out of texts before they are shown.

use std::borrow::Cow;

use chrono::{DateTime, NaiveDateTime, Offset, TimeZone, Utc};
use chrono_tz::{OffsetName, Tz};

use crate::report::{Cell, Period, Report};

/// A moment on the site's clocks.
pub(crate) struct Local {
    /// What the clocks show.
    pub(crate) wall: NaiveDateTime,
    /// The zone's abbreviation ("CEST"), where the clocks show this time twice on that day.
    pub(crate) which: Option<String>,
}

/// What the site's clocks show at a moment.
pub(crate) fn local(time: DateTime<Utc>, zone: Tz) -> Local {
    let there = time.with_timezone(&zone);
    let wall = there.naive_local();
    let twice = matches!(zone.from_local_datetime(&wall), chrono::LocalResult::Ambiguous(..));
    let name = || match there.offset().abbreviation() {
        Some(name) => name.to_owned(),
        None => there.offset().fix().to_string(),
    };
    Local { wall, which: twice.then(name) }
}

/// A value as a person reads it in print.
pub(crate) fn shown(cell: &Cell, zone: Tz) -> String {
    match cell {
        Cell::Empty => String::new(),
        Cell::Text(text) | Cell::Status { label: text, .. } => text.clone(),
        Cell::Integer(n) => n.to_string(),
        Cell::Percent(share) => format!("{:.1} %", share * 100.0),
        Cell::DateTime(time) => minute(*time, zone),
        Cell::Date(date) => date.to_string(),
        Cell::Minutes(n) => format!("{n} min"),
    }
}

/// A moment, to the minute.
pub(crate) fn minute(time: DateTime<Utc>, zone: Tz) -> String {
    let Local { wall, which } = local(time, zone);
    let wall = wall.format("%Y-%m-%d %H:%M");
    match which {
        Some(which) => format!("{wall} {which}"),
        None => wall.to_string(),
    }
}

/// A period, in words.
pub(crate) fn period(period: &Period) -> String {
    if period.from == period.until { period.from.to_string() } else { format!("{} to {}", period.from, period.until) }
}

/// What stands on a title page, as name and value.
pub(crate) fn facts(report: &Report) -> Vec<(String, String)> {
    let mut facts = vec![("Site".to_owned(), report.site.clone())];
    facts.extend(report.period.as_ref().map(|p| ("Period".to_owned(), period(p))));
    facts.push(("Time zone".to_owned(), report.time_zone.name().to_owned()));
    facts.push(("Generated".to_owned(), minute(report.generated_at, report.time_zone)));
    facts.extend(report.filters.iter().cloned());
    facts
}

/// Whether a character would break a line, a cell or the order of what stands around it.
fn disrupts(c: char) -> bool {
    // Controls (C0, C1), line and paragraph separators, overrides and isolates of direction, the byte order mark, noncharacters.
    c.is_control()
        || matches!(c, '\u{2028}' | '\u{2029}' | '\u{202A}'..='\u{202E}' | '\u{2066}'..='\u{2069}' | '\u{FEFF}' | '\u{FFFE}' | '\u{FFFF}')
}

/// One line of at most `max` characters, for print and for cells: what disrupts becomes a space, what is cut off an ellipsis.
pub(crate) fn line(text: &str, max: usize) -> Cow<'_, str> {
    if text.len() <= max && !text.contains(disrupts) {
        return Cow::Borrowed(text);
    }
    let mut kept: String = text.chars().take(max).map(|c| if disrupts(c) { ' ' } else { c }).collect();
    if text.chars().nth(max).is_some() {
        kept.pop();
        kept.push('…');
    }
    Cow::Owned(kept)
}
