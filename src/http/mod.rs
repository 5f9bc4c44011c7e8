//! The HTTP server: `/metrics`, the JSON API, the status page, health. Reads the latest snapshot; never a broker.

mod api;
mod auth;
mod body;
mod exposition;
mod health;
mod history;
mod listing;
mod openapi;
mod problem;
mod serve;
mod status;

use crate::metrics::OwnMetrics;
use crate::model::Snapshot;
pub use auth::Access;
use axum::Router;
use axum::middleware;
use axum::routing::{MethodRouter, get};
use bytes::Bytes;
pub use serve::serve;
use std::sync::Arc;
use tokio::sync::watch;

/// What every handler may use.
#[derive(Clone)]
pub struct AppState {
    snapshot: watch::Receiver<Arc<Snapshot>>,
    exposition: Arc<exposition::Exposition>,
    ready: Arc<health::ReadyLatch>,
    access: Arc<Access>,
    /// The API described.
    description: Bytes,
}

impl AppState {
    pub fn new(snapshot: watch::Receiver<Arc<Snapshot>>, own: OwnMetrics, access: Access) -> Self {
        Self {
            snapshot,
            exposition: Arc::new(exposition::Exposition::new(own)),
            ready: Arc::default(),
            description: openapi::document(&access),
            access: Arc::new(access),
        }
    }

    fn snapshot(&self) -> Arc<Snapshot> {
        Arc::clone(&self.snapshot.borrow())
    }
}

/// What programs ask for: the paths that `openapi.json` describes.
fn interface() -> [(&'static str, MethodRouter<AppState>); 8] {
    [
        ("/metrics", get(exposition::metrics)),
        ("/live", get(health::live)),
        ("/ready", get(health::ready)),
        ("/api/v1/queues", get(api::queues)),
        ("/api/v1/queues/{broker}/{system}/{queue}", get(api::queue)),
        (
            "/api/v1/queues/{broker}/{system}/{queue}/history",
            get(api::history),
        ),
        ("/api/v1/brokers", get(api::brokers)),
        ("/openapi.json", get(openapi::openapi)),
    ]
}

/// All paths.
pub fn router(state: AppState) -> Router {
    let page = Router::new()
        .route("/", get(status::page))
        .route("/status.css", get(status::style))
        .route("/narrow.css", get(status::narrow_style))
        .route("/status.js", get(status::script))
        .route("/favicon.svg", get(status::icon));
    interface()
        .into_iter()
        .fold(page, |router, (path, answer)| router.route(path, answer))
        .fallback(problem::no_such_path)
        .method_not_allowed_fallback(problem::only_get)
        .layer(middleware::from_fn_with_state(state.clone(), auth::guard))
        .with_state(state)
}
