//! `/`: where the other paths are.

use axum::http::header;
use axum::response::{Html, IntoResponse};

const PAGE: &str = concat!(
    "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\"><title>tailback</title></head>",
    "<body><h1>tailback ",
    env!("CARGO_PKG_VERSION"),
    "</h1><p>How long background jobs wait.</p><ul>",
    "<li><a href=\"/metrics\">Metrics</a></li>",
    "<li><a href=\"/api/v1/queues\">Queues as JSON</a></li>",
    "<li><a href=\"/api/v1/brokers\">Brokers as JSON</a></li>",
    "<li><a href=\"/live\">Live</a>, <a href=\"/ready\">ready</a></li>",
    "</ul></body></html>\n"
);

pub(super) async fn index() -> impl IntoResponse {
    (
        [(
            header::CONTENT_SECURITY_POLICY,
            "default-src 'none'; frame-ancestors 'none'",
        )],
        Html(PAGE),
    )
}
