//! `/setup`: the page behind one-time links. It has one form, and no text of anybody.

use axum::Router;
use axum::http::header::CONTENT_TYPE;
use axum::routing::get;

/// Where it is.
pub(crate) const PATH: &str = "/setup";

pub(crate) fn router() -> Router {
    let file =
        |media_type: &'static str, text: &'static str| get(move || async move { ([(CONTENT_TYPE, media_type)], text) });
    Router::new()
        .route(PATH, file("text/html; charset=utf-8", include_str!("page.html")))
        .route("/setup/page.css", file("text/css; charset=utf-8", include_str!("page.css")))
        .route("/setup/page.js", file("text/javascript; charset=utf-8", include_str!("page.js")))
}
