//! Checks of single values. Everything that is wrong with a body is told at once, each with its place.

use chrono::{Datelike, NaiveDate, NaiveTime};
use chrono_tz::Tz;

use crate::problem::{FieldError, Problem};

/// Longest name.
pub const MAX_NAME: usize = 200;
/// Longest note.
pub const MAX_NOTE: usize = 1_000;
/// Longest id that people give.
pub const MAX_ID: usize = 40;
/// Longest early, grace and leave window, in seconds.
pub const MAX_WINDOW_S: i32 = 43_200;

/// Collects what is wrong.
#[derive(Debug, Default)]
pub struct Checks(Vec<FieldError>);

impl Checks {
    /// Notes that the field at a JSON pointer such as `/name` is wrong.
    pub fn add(&mut self, pointer: &str, detail: impl Into<String>) {
        self.0.push(FieldError::body(pointer, detail));
    }

    /// A line of text for people: not empty, not only spaces, no control characters.
    pub fn line(&mut self, pointer: &str, text: &str, max: usize) {
        let length = text.chars().count();
        if length == 0 || length > max {
            self.add(pointer, format!("must be 1 to {max} characters long"));
        } else if text.trim().is_empty() {
            self.add(pointer, "must be more than spaces");
        } else if text.chars().any(char::is_control) {
            self.add(pointer, "must not contain control characters");
        }
    }

    /// The same for a field that may be missing.
    pub fn maybe_line(&mut self, pointer: &str, text: Option<&str>, max: usize) {
        text.inspect(|text| self.line(pointer, text, max));
    }

    /// Text of several lines, which may be missing.
    pub fn maybe_note(&mut self, pointer: &str, text: Option<&str>) {
        let Some(text) = text else { return };
        if !(1..=MAX_NOTE).contains(&text.chars().count()) {
            self.add(pointer, format!("must be 1 to {MAX_NOTE} characters long, or null"));
        } else if text.chars().any(|c| c.is_control() && c != '\n' && c != '\t') {
            self.add(pointer, "must not contain control characters");
        }
    }

    /// An id that people give.
    pub fn slug(&mut self, pointer: &str, id: &str) {
        if !is_slug(id) {
            self.add(pointer, format!("must be 1 to {MAX_ID} of a-z, 0-9, - and _"));
        }
    }

    /// A time zone, which may be missing.
    pub fn maybe_time_zone(&mut self, pointer: &str, name: Option<&str>) {
        if name.is_some_and(|name| name.parse::<Tz>().is_err()) {
            self.add(pointer, "no IANA time zone that is known here, such as Europe/Berlin");
        }
    }

    /// A local time, `08:00` or `08:00:30`.
    pub fn time(&mut self, pointer: &str, text: &str) -> NaiveTime {
        clock_time(text).unwrap_or_else(|| {
            self.add(pointer, "no local time such as 08:00 or 08:00:30 (00:00 to 23:59)");
            NaiveTime::MIN
        })
    }

    /// A window in seconds, which may be missing.
    pub fn maybe_window(&mut self, pointer: &str, seconds: Option<i32>) {
        if seconds.is_some_and(|s| !(0..=MAX_WINDOW_S).contains(&s)) {
            self.add(pointer, format!("must be 0 to {MAX_WINDOW_S} seconds"));
        }
    }

    /// First and last date.
    pub fn validity(&mut self, pointer: &str, from: Option<NaiveDate>, to: Option<NaiveDate>) {
        for (key, date) in [("valid_from", from), ("valid_to", to)] {
            if date.is_some_and(|date| !is_date(date)) {
                self.add(&format!("{pointer}/{key}"), "must lie in the years 1970 to 9998");
            }
        }
        if from.zip(to).is_some_and(|(from, to)| to < from) {
            self.add(&format!("{pointer}/valid_to"), "is before valid_from: swap them");
        }
    }

    /// What was wrong, where the place is told otherwise.
    pub(crate) fn details(self) -> impl Iterator<Item = String> {
        self.0.into_iter().map(|wrong| wrong.detail)
    }

    /// Tells everything that was wrong.
    ///
    /// # Errors
    /// 422 if anything was.
    pub fn done(self) -> Result<(), Problem> {
        if self.0.is_empty() { Ok(()) } else { Err(Problem::invalid(self.0)) }
    }
}

/// Whether people may give this id to something.
pub fn is_slug(id: &str) -> bool {
    (1..=MAX_ID).contains(&id.len())
        && id.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'_')
}

/// Whether calendars, the database and whoever reads it have this date.
pub fn is_date(date: impl Datelike) -> bool {
    rollcall_attendance::YEARS.contains(&date.year())
}

/// Checks `from` and `to` of a query: dates, or moments.
///
/// # Errors
/// 422.
pub fn check_range<T: Copy + Datelike + PartialOrd>(from: Option<T>, to: Option<T>) -> Result<(), Problem> {
    let wrong = [("from", from), ("to", to)].into_iter().filter(|(_, at)| at.is_some_and(|at| !is_date(at)));
    let mut errors: Vec<_> =
        wrong.map(|(name, _)| FieldError::query(name, "must lie in the years 1970 to 9998")).collect();
    if from.zip(to).is_some_and(|(from, to)| to < from) {
        errors.push(FieldError::query("to", "is before from: swap them"));
    }
    if errors.is_empty() { Ok(()) } else { Err(Problem::invalid(errors)) }
}

/// Reads `08:00` or `08:00:30`.
pub fn clock_time(text: &str) -> Option<NaiveTime> {
    let digits = text.bytes().enumerate().all(|(i, b)| if i % 3 == 2 { b == b':' } else { b.is_ascii_digit() });
    match (digits, text.len()) {
        (true, 5) => NaiveTime::parse_from_str(text, "%H:%M").ok(),
        // The parser knows leap seconds; timetables do not.
        (true, 8) if !text.ends_with("60") => NaiveTime::parse_from_str(text, "%H:%M:%S").ok(),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn local_times_have_one_form() {
        for good in ["00:00", "23:59", "08:00:30"] {
            assert!(clock_time(good).is_some(), "{good}");
        }
        for bad in ["", "8:00", "24:00", "08:60", "23:59:60", "08:00:00.5", "08-00", "+8:00", "08:00 ", "08:00:3"] {
            assert!(clock_time(bad).is_none(), "{bad}");
        }
    }

    #[test]
    fn text_for_people_is_bounded_and_plain() {
        let wrong = |text: &str| {
            let mut checks = Checks::default();
            checks.line("/name", text, 5);
            checks.done().is_err()
        };
        assert!(!wrong("Añadé") && wrong("") && wrong("   ") && wrong("abcdef") && wrong("a\0b") && wrong("a\nb"));
    }
}
