//! `/`: a page to keep open. Rendered here alone, with script and without: the script asks for the
//! same page again and takes over what has changed. Links are relative, so that it also works behind a
//! proxy that gives it a folder.

mod brokers;
mod html;
mod link;
mod page;
mod sparkline;
mod table;

use super::AppState;
use super::exposition::{gzipped, weight};
use super::listing::Filter;
use crate::clock;
use axum::body::Bytes;
use axum::extract::{Query, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, header};
use axum::response::{IntoResponse, Response};
use link::PageQuery;
use page::Page;

/// Nothing from elsewhere, nothing inline.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; \
    connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

const HEADERS: [(HeaderName, &str); 5] = [
    (header::CONTENT_SECURITY_POLICY, POLICY),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::REFERRER_POLICY, "no-referrer"),
    (header::CACHE_CONTROL, "no-cache"),
    (header::VARY, "Accept-Encoding"),
];

pub(super) async fn page(
    State(state): State<AppState>,
    Query(query): Query<PageQuery>,
    headers: HeaderMap,
) -> Response {
    let now = clock::now();
    let snapshot = state.snapshot();
    let filter = Filter::default().with_search(&query.search);
    let rows = filter.rows(&snapshot, now);
    let html = Page::new(&snapshot, &query, rows, now).render();
    respond(&headers, "text/html; charset=utf-8", html.into_bytes())
}

pub(super) async fn style(headers: HeaderMap) -> Response {
    let css = include_bytes!("status.css");
    respond(&headers, "text/css; charset=utf-8", css.to_vec())
}

pub(super) async fn narrow_style(headers: HeaderMap) -> Response {
    let css = include_bytes!("narrow.css");
    respond(&headers, "text/css; charset=utf-8", css.to_vec())
}

pub(super) async fn script(headers: HeaderMap) -> Response {
    let script = include_bytes!("status.js");
    respond(&headers, "text/javascript; charset=utf-8", script.to_vec())
}

pub(super) async fn icon(headers: HeaderMap) -> Response {
    let icon = include_bytes!("favicon.svg");
    respond(&headers, "image/svg+xml", icon.to_vec())
}

fn respond(headers: &HeaderMap, content_type: &'static str, body: Vec<u8>) -> Response {
    let gzip = weight(headers, &header::ACCEPT_ENCODING, "gzip") > 0.0;
    let body = if gzip { gzipped(&body) } else { body };
    let content_type = (header::CONTENT_TYPE, content_type);
    let mut response = ([content_type], HEADERS, Bytes::from(body)).into_response();
    if gzip {
        let encoding = HeaderValue::from_static("gzip");
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_ENCODING, encoding);
    }
    response
}
