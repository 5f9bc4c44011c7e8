//! `/metrics`: rendered and compressed once for each snapshot, however many ask.

use super::AppState;
use crate::clock::{self, Now};
use crate::metrics::{Format, OwnMetrics, render};
use crate::model::Snapshot;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderName, HeaderValue, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use hyper::body::{Frame, SizeHint};
use std::convert::Infallible;
use std::io::Write as _;
use std::pin::Pin;
use std::sync::{Arc, Weak};
use std::task::{Context, Poll};
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
    /// Weak, so that a rare scrape does not keep a world alive.
    snapshot: Weak<Snapshot>,
    at: Now,
    form: Form,
    /// Shared while somebody still reads it.
    pieces: Weak<[Bytes]>,
    /// Kept for the next one if it is small, as compressed ones are.
    _kept: Option<Arc<[Bytes]>>,
}

/// Bodies up to this size are kept.
const KEPT: usize = 1024 * 1024;

/// What a scraper wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Form {
    format: Format,
    gzip: bool,
}

/// A body in pieces whose length is known.
struct Pieces {
    pieces: Arc<[Bytes]>,
    next: usize,
    left: u64,
}

impl Exposition {
    pub(super) fn new(own: OwnMetrics) -> Self {
        Self {
            own,
            last: Mutex::new(None),
        }
    }

    async fn pieces(&self, snapshot: Arc<Snapshot>, form: Form) -> Arc<[Bytes]> {
        let mut last = self.last.lock().await;
        let now = clock::now();
        if let Some(rendered) = last.as_ref()
            && std::ptr::eq(rendered.snapshot.as_ptr(), Arc::as_ptr(&snapshot))
            && rendered.form == form
            && now.mono.saturating_duration_since(rendered.at.mono) < REUSE
            && let Some(pieces) = rendered.pieces.upgrade()
        {
            return pieces;
        }
        // Frees the last body before the next one is made.
        *last = None;
        let source = Arc::downgrade(&snapshot);
        // Here and not on a thread of its own: it takes 10 ms with 100,000 series, the lock lets one
        // worker do it at a time, and every further thread would keep megabytes for itself.
        let pieces: Arc<[Bytes]> = pieces(&snapshot, &self.own, now, form).into();
        *last = Some(Rendered {
            snapshot: source,
            at: now,
            form,
            pieces: Arc::downgrade(&pieces),
            _kept: (pieces.iter().map(Bytes::len).sum::<usize>() <= KEPT)
                .then(|| Arc::clone(&pieces)),
        });
        pieces
    }
}

fn pieces(snapshot: &Snapshot, own: &OwnMetrics, now: Now, form: Form) -> Vec<Bytes> {
    let mut pieces = Vec::new();
    if form.gzip {
        let mut encoder = GzEncoder::new(Vec::new(), LEVEL);
        render(snapshot, own, now, form.format, &mut |piece| {
            // Writing to a vector cannot fail.
            encoder.write_all(piece).ok();
        });
        pieces.extend(encoder.finish().map(Bytes::from));
    } else {
        render(snapshot, own, now, form.format, &mut |piece| {
            pieces.push(Bytes::copy_from_slice(piece));
        });
    }
    pieces
}

impl hyper::body::Body for Pieces {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let Some(piece) = self.pieces.get(self.next).cloned() else {
            return Poll::Ready(None);
        };
        self.next += 1;
        self.left -= piece.len() as u64;
        Poll::Ready(Some(Ok(Frame::data(piece))))
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }
}

pub(super) async fn metrics(State(state): State<AppState>, headers: HeaderMap) -> Response {
    let accepts = |what: &str| weight(&headers, &header::ACCEPT, what);
    let openmetrics = accepts("application/openmetrics-text");
    let form = Form {
        format: if openmetrics > 0.0 && openmetrics >= accepts("text/plain") {
            Format::OpenMetrics
        } else {
            Format::Text
        },
        gzip: weight(&headers, &header::ACCEPT_ENCODING, "gzip") > 0.0,
    };
    let pieces = state.exposition.pieces(state.snapshot(), form).await;
    let left = pieces.iter().map(|piece| piece.len() as u64).sum();
    let body = Body::new(Pieces {
        pieces,
        next: 0,
        left,
    });
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

/// Compressed as everything here is.
pub(super) fn gzipped(body: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), LEVEL);
    // Writing to a vector cannot fail.
    encoder.write_all(body).ok();
    encoder.finish().unwrap_or_default()
}

/// How much one value of a header's list is wanted: its weight, 0 if it is not listed.
pub(super) fn weight(headers: &HeaderMap, name: &HeaderName, wanted: &str) -> f64 {
    headers
        .get_all(name)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|item| {
            let mut parts = item.split(';').map(str::trim);
            parts
                .next()
                .filter(|value| value.eq_ignore_ascii_case(wanted))?;
            let q = parts.find_map(|part| part.strip_prefix("q="));
            Some(q.map_or(1.0, |q| q.parse().unwrap_or(0.0)))
        })
        .fold(0.0, f64::max)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_is_read_item_by_item() {
        for (value, want) in [
            ("gzip", 1.0),
            ("deflate, GZIP;q=0.5", 0.5),
            ("gzip;q=0, identity", 0.0),
            ("gzip;q=much", 0.0),
            ("identity", 0.0),
            ("xgzip", 0.0),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_static(value));
            assert_eq!(
                weight(&headers, &header::ACCEPT_ENCODING, "gzip"),
                want,
                "{value}"
            );
        }
    }
}
