//! `/metrics`: rendered and compressed once for each snapshot, however many ask.

use super::AppState;
use crate::clock::{self, Now};
use crate::metrics::{Format, OwnMetrics, render};
use crate::model::Snapshot;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderName, HeaderValue, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use std::io::Write as _;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Mutex;

/// Our own metrics and the freshness of brokers change without a new snapshot.
const REUSE: Duration = Duration::from_millis(500);

/// Level 1: a third of the time of level 6 for a body half as large again.
const LEVEL: Compression = Compression::fast();

pub(super) struct Exposition {
    own: OwnMetrics,
    /// The last answer. The lock also keeps many scrapers from each rendering their own.
    last: Mutex<Option<Rendered>>,
}

struct Rendered {
    snapshot: Arc<Snapshot>,
    at: Now,
    form: Form,
    body: Bytes,
}

/// What a scraper wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Form {
    format: Format,
    gzip: bool,
}

impl Exposition {
    pub(super) fn new(own: OwnMetrics) -> Self {
        Self {
            own,
            last: Mutex::new(None),
        }
    }

    async fn body(&self, snapshot: Arc<Snapshot>, form: Form) -> Bytes {
        let mut last = self.last.lock().await;
        let now = clock::now();
        if let Some(rendered) = last.as_ref()
            && Arc::ptr_eq(&rendered.snapshot, &snapshot)
            && rendered.form == form
            && now.mono.saturating_duration_since(rendered.at.mono) < REUSE
        {
            return rendered.body.clone();
        }
        // Frees the last body before the next one is made.
        *last = None;
        let (own, source) = (self.own.clone(), Arc::clone(&snapshot));
        let rendering = tokio::task::spawn_blocking(move || {
            let text = render(&source, &own, now, form.format);
            if form.gzip { compress(&text) } else { text }
        });
        let body = Bytes::from(rendering.await.unwrap_or_default());
        *last = Some(Rendered {
            snapshot,
            at: now,
            form,
            body: body.clone(),
        });
        body
    }
}

fn compress(text: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::with_capacity(text.len() / 8), LEVEL);
    // Writing to a vector cannot fail.
    encoder
        .write_all(text)
        .and_then(|()| encoder.finish())
        .unwrap_or_default()
}

pub(super) async fn metrics(State(state): State<AppState>, headers: HeaderMap) -> Response {
    let form = Form {
        format: if accepts(&headers, &header::ACCEPT, "application/openmetrics-text") {
            Format::OpenMetrics
        } else {
            Format::Text
        },
        gzip: accepts(&headers, &header::ACCEPT_ENCODING, "gzip"),
    };
    let body = state.exposition.body(state.snapshot(), form).await;
    let content_type = HeaderValue::from_static(form.format.content_type());
    let mut response = ([(header::CONTENT_TYPE, content_type)], body).into_response();
    if form.gzip {
        let encoding = HeaderValue::from_static("gzip");
        response
            .headers_mut()
            .insert(header::CONTENT_ENCODING, encoding);
    }
    response.headers_mut().insert(
        header::VARY,
        HeaderValue::from_static("Accept, Accept-Encoding"),
    );
    response
}

/// Whether one of the listed values of a header is `wanted`, and not with weight 0.
fn accepts(headers: &HeaderMap, name: &HeaderName, wanted: &str) -> bool {
    headers
        .get_all(name)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .any(|item| {
            let mut parts = item.split(';').map(str::trim);
            let is_wanted = parts
                .next()
                .is_some_and(|value| value.eq_ignore_ascii_case(wanted));
            let is_refused = parts.any(|part| {
                part.strip_prefix("q=")
                    .is_some_and(|q| q.parse::<f64>().is_ok_and(|q| q == 0.0))
            });
            is_wanted && !is_refused
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_is_read_item_by_item() {
        for (value, want) in [
            ("gzip", true),
            ("deflate, GZIP;q=0.5", true),
            ("gzip;q=0, identity", false),
            ("identity", false),
            ("xgzip", false),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_static(value));
            assert_eq!(
                accepts(&headers, &header::ACCEPT_ENCODING, "gzip"),
                want,
                "{value}"
            );
        }
    }

    #[test]
    fn what_is_compressed_reads_back() {
        let text = b"tailback_broker_up 1\n".repeat(1000);
        let mut back = Vec::new();
        std::io::Read::read_to_end(
            &mut flate2::read::GzDecoder::new(&*compress(&text)),
            &mut back,
        )
        .unwrap();
        assert_eq!(back, text);
    }
}
