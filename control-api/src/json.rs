//! Answers in JSON.

use axum::http::header;
use axum::response::{IntoResponse, Response};
use chrono::{DateTime, SecondsFormat, Utc};
use serde::{Serialize, Serializer};

use crate::problem::Problem;

/// An answer. As axum's, but written to one vector: a page of a list is thousands of small pieces, and axum's buffer takes each by
/// a call of its own.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Json<T>(pub(crate) T);

impl<T: Serialize> IntoResponse for Json<T> {
    fn into_response(self) -> Response {
        match serde_json::to_vec(&self.0) {
            Ok(body) => ([(header::CONTENT_TYPE, "application/json")], body).into_response(),
            Err(error) => Problem::internal(error).into_response(),
        }
    }
}

/// A time, where there may be hundreds in an answer: the same text as without this, but written in one piece. On its own
/// `serde_json` looks at each of its twenty pieces for what is to be escaped.
pub(crate) fn time<T, S>(time: &T, serializer: S) -> Result<S::Ok, S::Error>
where
    T: Copy + Into<Option<DateTime<Utc>>>,
    S: Serializer,
{
    let time: Option<DateTime<Utc>> = (*time).into();
    time.map(|time| time.to_rfc3339_opts(SecondsFormat::AutoSi, true)).serialize(serializer)
}
