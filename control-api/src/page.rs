//! Lists, a page at a time. A cursor names the last row that was seen, so that pages neither skip nor repeat rows when
//! others come and go, and the thousandth page costs what the first does.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Serialize;
use serde::de::DeserializeOwned;
use utoipa::ToSchema;

use crate::problem::{FieldError, Problem};

const DEFAULT_LIMIT: u32 = 50;
/// Most rows of a page.
pub const MAX_LIMIT: u32 = 500;
const MAX_CURSOR: usize = 2_000;

/// A page of a list.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Page<T> {
    /// The rows.
    pub items: Vec<T>,
    /// Asks for the next page when given as `cursor`; null on the last one.
    pub next_cursor: Option<String>,
}

/// Reads `limit`.
///
/// # Errors
/// When it is out of range.
pub fn limit(limit: Option<u32>) -> Result<u32, Problem> {
    let limit = limit.unwrap_or(DEFAULT_LIMIT);
    if (1..=MAX_LIMIT).contains(&limit) {
        return Ok(limit);
    }
    Err(Problem::invalid(vec![FieldError::query("limit", format!("must be 1 to {MAX_LIMIT}"))]))
}

/// Reads `cursor` as the key of the last row that was seen.
///
/// # Errors
/// When we did not make it.
pub fn after<K: DeserializeOwned>(cursor: Option<&str>) -> Result<Option<K>, Problem> {
    let Some(text) = cursor else { return Ok(None) };
    let bytes = (text.len() <= MAX_CURSOR).then(|| URL_SAFE_NO_PAD.decode(text).ok()).flatten();
    let key = bytes.and_then(|bytes| serde_json::from_slice(&bytes).ok());
    let wrong =
        || Problem::invalid(vec![FieldError::query("cursor", "not one of ours: take next_cursor as it is, or none")]);
    key.map(Some).ok_or_else(wrong)
}

impl<T> Page<T> {
    /// Makes a page of `rows`, of which one more than `limit` was asked for; `key` is what the next page begins after.
    pub fn of<K: Serialize>(mut rows: Vec<T>, limit: u32, key: impl Fn(&T) -> K) -> Self {
        let limit = limit as usize;
        let more = rows.len() > limit;
        rows.truncate(limit);
        let last = rows.last().filter(|_| more).and_then(|row| serde_json::to_vec(&key(row)).ok());
        Self { items: rows, next_cursor: last.map(|json| URL_SAFE_NO_PAD.encode(json)) }
    }

    /// The same page with its rows as something else.
    pub fn map<U>(self, f: impl FnMut(T) -> U) -> Page<U> {
        Page { items: self.items.into_iter().map(f).collect(), next_cursor: self.next_cursor }
    }
}
