//! The HTTP server: `/metrics`, the JSON API, the status page, health. Reads the latest snapshot; never a broker.

mod api;
mod auth;
mod body;
mod demand;
mod exposition;
mod health;
mod history;
mod listing;
mod problem;
mod serve;
mod status;

use crate::metrics::OwnMetrics;
use crate::model::Snapshot;
pub use auth::Access;
use axum::Router;
use axum::middleware;
use axum::routing::get;
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
}

impl AppState {
    pub fn new(snapshot: watch::Receiver<Arc<Snapshot>>, own: OwnMetrics, access: Access) -> Self {
        Self {
            snapshot,
            exposition: Arc::new(exposition::Exposition::new(own)),
            ready: Arc::default(),
            access: Arc::new(access),
        }
    }

    fn snapshot(&self) -> Arc<Snapshot> {
        Arc::clone(&self.snapshot.borrow())
    }
}

/// All paths.
pub fn router(state: AppState) -> Router {
    Router::new()
        .route("/", get(status::page))
        .route("/status.css", get(status::style))
        .route("/narrow.css", get(status::narrow_style))
        .route("/status.js", get(status::script))
        .route("/favicon.svg", get(status::icon))
        .route("/metrics", get(exposition::metrics))
        .route("/live", get(health::live))
        .route("/ready", get(health::ready))
        .route("/api/v1/queues", get(api::queues))
        .route("/api/v1/queues/{broker}/{system}/{queue}", get(api::queue))
        .route(
            "/api/v1/queues/{broker}/{system}/{queue}/history",
            get(api::history),
        )
        .route("/api/v1/brokers", get(api::brokers))
        .fallback(problem::no_such_path)
        .method_not_allowed_fallback(problem::only_get)
        .layer(middleware::from_fn_with_state(state.clone(), auth::guard))
        .with_state(state)
}
