//! File and environment → tables of values → [`RawConfig`], with every wrong word and type and not only the first.

use std::collections::HashMap;
use std::ffi::OsString;
use std::path::Path;

use config::{Environment, File, FileFormat, Value, ValueKind};
use serde_path_to_error::Segment;
use toml::Table;

use super::problem::{ConfigError, Problem};
use super::raw::RawConfig;
use super::types::Config;
use super::validate::validate;

/// Much more than a site with thousands of people needs.
const MAX_BYTES: u64 = 4 << 20;

/// Variables are called `ROLLCALL__SECTION__KEY`; the program's own options (`ROLLCALL_CONFIG`) have one underscore.
const PREFIX: &str = "ROLLCALL";
const SEPARATOR: &str = "__";

/// Keys whose values no message may repeat.
const SECRETS: [&str; 2] = ["password", "url"];

/// The variables of this process; those that are no text are nobody's business here.
pub fn environment() -> HashMap<String, String> {
    let texts = |(name, value): (OsString, OsString)| Some((name.into_string().ok()?, value.into_string().ok()?));
    std::env::vars_os().filter_map(texts).collect()
}

impl Config {
    /// Reads a file and the environment over it (`ROLLCALL__SECTION__KEY`), and checks everything. Paths in the file are
    /// relative to the directory of the file.
    ///
    /// # Errors
    /// When the file cannot be read, or with every problem that it has.
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        Self::load_with(path, environment())
    }

    /// [`Config::load`] with a given environment.
    ///
    /// # Errors
    /// As [`Config::load`].
    pub fn load_with(path: &Path, env: HashMap<String, String>) -> Result<Self, ConfigError> {
        let text = super::validate::read_bounded(path, MAX_BYTES)
            .map_err(|error| ConfigError::Unreadable { path: path.to_owned(), error })?;
        Self::parse(&text, path, env)
    }

    /// Checks a text as if it stood in the file `path`.
    ///
    /// # Errors
    /// As [`Config::load`], except that nothing is read but the files that the text names.
    pub fn parse(text: &str, path: &Path, env: HashMap<String, String>) -> Result<Self, ConfigError> {
        let syntax = |message: String| ConfigError::Syntax { path: path.to_owned(), message };
        let from_env =
            Environment::with_prefix(PREFIX).separator(SEPARATOR).ignore_empty(true).source(Some(env.clone()));
        let merged = config::Config::builder()
            .add_source(File::from_str(text, FileFormat::Toml))
            .add_source(from_env)
            .build()
            .map_err(|error| syntax(where_and_what(&error, text)))?;
        let (raw, problems) = read(plain_table(merged.cache), &env);
        let base = path.parent().unwrap_or(Path::new(""));
        let (config, problems) = validate(&raw, base, &env, problems);
        if problems.is_empty() { Ok(config) } else { Err(ConfigError::Invalid(problems)) }
    }

    /// What is in force when nothing is configured.
    pub fn defaults() -> Self {
        // They have no problems: a test checks it.
        validate(&RawConfig::default(), Path::new(""), &HashMap::new(), Vec::new()).0
    }
}

/// Line and reason of a syntax error. The line itself is not shown: a password may stand in it.
fn where_and_what(error: &config::ConfigError, text: &str) -> String {
    let cause = match error {
        config::ConfigError::FileParse { cause, .. } => cause.downcast_ref::<toml::de::Error>(),
        _ => None,
    };
    match cause.map(|cause| (cause.span().unwrap_or_default(), cause.message())) {
        Some((span, message)) => {
            let line = text.bytes().take(span.start).filter(|b| *b == b'\n').count() + 1;
            format!("line {line}: {message}")
        }
        None => error.to_string(),
    }
}

/// Reads all keys that can be read: a value that cannot is reported, taken out, and the rest is tried again, so that one
/// look shows every problem.
///
/// What comes from the environment is text: where the key wants something else, it is read as that.
fn read(mut table: Table, env: &HashMap<String, String>) -> (RawConfig, Vec<Problem>) {
    let mut problems = Vec::new();
    loop {
        let error = match serde_path_to_error::deserialize::<_, RawConfig>(table.clone()) {
            Ok(raw) => return (raw, problems),
            Err(error) => error,
        };
        let mut path: Vec<Segment> = error.path().iter().cloned().collect();
        let message = error.inner().message().trim().to_owned();
        if let Some(key) = unknown_key(&message)
            && !matches!(path.last(), Some(Segment::Map { key: last }) if last == key)
        {
            path.push(Segment::Map { key: key.to_owned() });
        }
        if let Some(value) = typed(&path, &message, env)
            && let Some(slot) = at(&mut table, &path)
            && slot.is_str()
        {
            *slot = value;
            continue;
        }
        problems.push(Problem { message: plain_words(&path, &message), path: display(&path) });
        if !remove(&mut table, &path) {
            return (RawConfig::default(), problems);
        }
    }
}

/// The key of serde's "unknown field" message.
fn unknown_key(message: &str) -> Option<&str> {
    message.strip_prefix("unknown field `")?.split('`').next()
}

fn plain_words(path: &[Segment], message: &str) -> String {
    match (unknown_key(message), message.split_once(", ")) {
        (Some(_), Some((_, known))) => format!("is not a key of Rollcall, {known}"),
        // Serde repeats the value.
        _ if matches!(path.last(), Some(Segment::Map { key }) if SECRETS.contains(&key.as_str())) => {
            "must be a text in quotes".to_owned()
        }
        _ => types_in_words(message),
    }
}

/// Serde names types as Rust does.
fn types_in_words(message: &str) -> String {
    let Some((found, wanted)) = message.rsplit_once(", expected ") else { return message.to_owned() };
    let wanted = match wanted {
        "i64" => "a whole number",
        "f64" => "a number",
        "a boolean" => "true or false",
        "a string" => "a text in quotes",
        "a sequence" => "a list in brackets",
        other => other,
    };
    format!("{found}, expected {wanted}")
}

/// A path as it stands in problems.
pub(super) fn display(path: &[Segment]) -> String {
    let mut text = String::new();
    for segment in path {
        match segment {
            Segment::Seq { index } => text.push_str(&format!("[{index}]")),
            Segment::Map { key } | Segment::Enum { variant: key } => {
                if !text.is_empty() {
                    text.push('.');
                }
                text.push_str(key);
            }
            Segment::Unknown => text.push('?'),
        }
    }
    text
}

/// The value of a variable as what serde expected at `path`, if it is that.
fn typed(path: &[Segment], message: &str, env: &HashMap<String, String>) -> Option<toml::Value> {
    let variable = [PREFIX.to_owned(), display(path).to_ascii_uppercase().replace('.', SEPARATOR)].join(SEPARATOR);
    let text = env.get(&variable)?;
    match message.rsplit_once("expected ")?.1 {
        "i64" => text.parse().ok().map(toml::Value::Integer),
        "f64" => text.parse().ok().map(toml::Value::Float),
        "a boolean" => text.parse().ok().map(toml::Value::Boolean),
        _ => None,
    }
}

/// What stands at `path`.
fn at<'t>(table: &'t mut Table, path: &[Segment]) -> Option<&'t mut toml::Value> {
    let (first, rest) = path.split_first()?;
    let Segment::Map { key } = first else { return None };
    rest.iter().try_fold(table.get_mut(key)?, |value, segment| match segment {
        Segment::Map { key } => value.get_mut(key),
        Segment::Seq { index } => value.get_mut(*index),
        _ => None,
    })
}

/// Removes what stands at the last key of `path` (an item of a list goes with its whole list, so that the numbers of the
/// other items stay true). False if nothing was removed.
fn remove(table: &mut Table, path: &[Segment]) -> bool {
    let Some(last) = path.iter().rposition(|s| matches!(s, Segment::Map { .. })) else { return false };
    let Segment::Map { key } = &path[last] else { return false };
    let parent = if last == 0 { Some(table) } else { at(table, &path[..last]).and_then(toml::Value::as_table_mut) };
    parent.is_some_and(|parent| parent.remove(key).is_some())
}

/// The merged values as plain TOML.
fn plain_table(value: Value) -> Table {
    let ValueKind::Table(entries) = value.kind else { return Table::new() };
    let mut entries: Vec<_> = entries.into_iter().collect();
    entries.sort_by(|a, b| a.0.cmp(&b.0));
    entries.into_iter().filter_map(|(key, value)| plain(value).map(|value| (key, value))).collect()
}

fn plain(value: Value) -> Option<toml::Value> {
    Some(match value.kind {
        ValueKind::Nil => return None,
        ValueKind::Boolean(v) => v.into(),
        ValueKind::I64(v) => v.into(),
        ValueKind::U64(v) => i64::try_from(v).unwrap_or(i64::MAX).into(),
        ValueKind::I128(v) => i64::try_from(v).unwrap_or(i64::MAX).into(),
        ValueKind::U128(v) => i64::try_from(v).unwrap_or(i64::MAX).into(),
        ValueKind::Float(v) => v.into(),
        ValueKind::String(v) => v.into(),
        ValueKind::Table(_) => plain_table(value).into(),
        ValueKind::Array(items) => toml::Value::Array(items.into_iter().filter_map(plain).collect()),
    })
}
