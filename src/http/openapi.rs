//! `/openapi.json`: the API described. The document is written by hand; tests hold it to the paths, the
//! query's parameters, the bodies and the closed sets of the code.

use super::AppState;
use super::auth::Access;
use axum::extract::State;
use axum::http::{HeaderName, HeaderValue, header};
use bytes::Bytes;
use serde_json::{Value, json};

const DOCUMENT: &str = include_str!("openapi.json");

/// The document as this process serves it: with its version, and with what it asks of clients.
pub(super) fn document(access: &Access) -> Bytes {
    let mut document: Value = serde_json::from_str(DOCUMENT).unwrap_or_default();
    if let Some(version) = document.pointer_mut("/info/version") {
        *version = env!("CARGO_PKG_VERSION").into();
    }
    let ways = access.schemes();
    if !ways.is_empty() {
        let ways: Vec<Value> = ways.iter().map(|scheme| json!({ *scheme: [] })).collect();
        if let Some(document) = document.as_object_mut() {
            document.insert("security".to_owned(), ways.into());
        }
        if access.open_metrics
            && let Some(Value::Object(metrics)) = document.pointer_mut("/paths/~1metrics/get")
        {
            metrics.insert("security".to_owned(), json!([]));
        }
    }
    document.to_string().into()
}

pub(super) async fn openapi(
    State(state): State<AppState>,
) -> ([(HeaderName, HeaderValue); 1], Bytes) {
    let json = HeaderValue::from_static("application/json");
    ([(header::CONTENT_TYPE, json)], state.description.clone())
}

#[cfg(test)]
mod tests;
