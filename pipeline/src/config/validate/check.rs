//! Checks of single values. Each returns something usable whatever it was given, so that the rest can be checked too.

use std::collections::HashMap;
use std::fs;
use std::io::{self, Read};
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::time::Duration;

use chrono_tz::Tz;

use super::super::problem::Problem;
use super::super::secret::Secret;

/// Names for people.
const MAX_LABEL: usize = 120;
/// Names for rows, routes and metric labels.
const MAX_ID: usize = 40;
const MAX_SECRET_BYTES: u64 = 4096;

/// Collects problems.
pub(super) struct Checker<'a> {
    base: &'a Path,
    env: &'a HashMap<String, String>,
    /// Problems of words and types come first; what they took out is not reported as missing again.
    problems: Vec<Problem>,
    taken_out: usize,
}

impl<'a> Checker<'a> {
    pub(super) fn new(base: &'a Path, env: &'a HashMap<String, String>, problems: Vec<Problem>) -> Self {
        let taken_out = problems.len();
        Self { base, env, problems, taken_out }
    }

    pub(super) fn into_problems(self) -> Vec<Problem> {
        self.problems
    }

    pub(super) fn add(&mut self, path: impl Into<String>, message: impl Into<String>) {
        let path = path.into();
        let reported = |p: &Problem| {
            p.path.strip_prefix(&path).is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
        };
        if !self.problems[..self.taken_out].iter().any(reported) {
            self.problems.push(Problem { path, message: message.into() });
        }
    }

    /// A path of the configuration: relative ones start at the directory of the file.
    pub(super) fn path(&self, path: &Path) -> PathBuf {
        self.base.join(path)
    }

    /// A whole number within its bounds.
    pub(super) fn int<T: TryFrom<i64>>(&mut self, path: &str, value: i64, range: RangeInclusive<i64>, unit: &str) -> T
    where
        T::Error: std::fmt::Debug,
    {
        let (low, high) = (*range.start(), *range.end());
        if !range.contains(&value) {
            self.add(path, format!("{value} is out of bounds: {low} to {high} {unit}"));
        }
        T::try_from(value.clamp(low, high)).expect("the bounds fit the type: they are constants beside it")
    }

    /// A number within its bounds.
    pub(super) fn float(&mut self, path: &str, value: f64, range: RangeInclusive<f64>) -> f32 {
        let (low, high) = (*range.start(), *range.end());
        if !range.contains(&value) {
            self.add(path, format!("{value} is out of bounds: {low} to {high}"));
            return low as f32;
        }
        value as f32
    }

    pub(super) fn seconds(&mut self, path: &str, value: i64, range: RangeInclusive<i64>) -> Duration {
        Duration::from_secs(self.int(path, value, range, "seconds"))
    }

    /// A window around a session: up to four hours.
    pub(super) fn minutes(&mut self, path: &str, value: i64) -> Duration {
        Duration::from_secs(60 * self.int::<u64>(path, value, 0..=240, "minutes"))
    }

    pub(super) fn time_zone(&mut self, path: &str, name: &str) -> Option<Tz> {
        let zone = name.parse().ok();
        if zone.is_none() {
            self.add(path, format!("\"{name}\" is no IANA time zone: write it as \"Europe/Berlin\" or \"UTC\""));
        }
        zone
    }

    /// Something that must be there.
    pub(super) fn required<'v, T>(&mut self, path: &str, value: &'v Option<T>, what: &str) -> Option<&'v T> {
        if value.is_none() {
            self.add(path, format!("is missing: {what}"));
        }
        value.as_ref()
    }

    /// A short name.
    pub(super) fn id(&mut self, path: &str, value: &Option<String>) -> Option<String> {
        let value = self.required(path, value, "a short name such as \"door-1\"")?;
        let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '-' | '_');
        if value.is_empty() || value.len() > MAX_ID || !value.chars().all(fits) {
            self.add(path, format!("{value:?} is no short name: 1 to {MAX_ID} of a-z, 0-9, - and _"));
        }
        Some(value.clone())
    }

    /// A name for people.
    pub(super) fn label(&mut self, path: &str, value: &str) -> String {
        let length = value.chars().count();
        if value.trim().is_empty() || length > MAX_LABEL || value.chars().any(char::is_control) {
            self.add(path, format!("is no name: 1 to {MAX_LABEL} characters on one line"));
        }
        value.trim().to_owned()
    }

    /// The first line of a file that holds a secret.
    pub(super) fn secret_file(&mut self, path: &str, file: &Path) -> Option<Secret> {
        let file = self.path(file);
        match read_bounded(&file, MAX_SECRET_BYTES) {
            Ok(text) => {
                let secret = text.lines().next().filter(|line| !line.trim().is_empty());
                if secret.is_none() {
                    self.add(path, format!("{} has no first line: write the secret into it", file.display()));
                }
                secret.map(Secret::new)
            }
            Err(error) => {
                self.add(path, unreadable(&file, &error));
                None
            }
        }
    }

    /// A secret that stands in an environment variable.
    pub(super) fn secret_env(&mut self, path: &str, name: &str) -> Option<Secret> {
        match self.env.get(name) {
            Some(value) if !value.is_empty() => Some(Secret::new(value)),
            _ => {
                let advice = "set it wherever rollcall runs, or use password_file";
                self.add(path, format!("the environment variable {name} is not set: {advice}"));
                None
            }
        }
    }
}

/// Why a file that the configuration names cannot be read.
pub(super) fn unreadable(file: &Path, error: &io::Error) -> String {
    format!("cannot read {}: {error}; see that it is there and that this user may read it", file.display())
}

/// Reads a text file that has no business being large.
pub(in crate::config) fn read_bounded(path: &Path, max_bytes: u64) -> io::Result<String> {
    let mut text = String::new();
    fs::File::open(path)?.take(max_bytes + 1).read_to_string(&mut text)?;
    if text.len() as u64 > max_bytes {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, format!("it is larger than {max_bytes} bytes")));
    }
    Ok(text)
}
