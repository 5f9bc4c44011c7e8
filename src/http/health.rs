//! `/live` and `/ready`. A broker's outage must neither restart nor unready the pod we sit in.

use super::AppState;
use axum::extract::State;
use axum::http::StatusCode;
use std::sync::atomic::{AtomicBool, Ordering};

/// Opens after the first round of polls, good or bad, and never closes.
#[derive(Debug, Default)]
pub(super) struct ReadyLatch(AtomicBool);

pub(super) async fn live() -> &'static str {
    "live\n"
}

pub(super) async fn ready(State(state): State<AppState>) -> (StatusCode, &'static str) {
    let latch = &state.ready.0;
    if latch.load(Ordering::Relaxed) || state.snapshot().first_round_done() {
        latch.store(true, Ordering::Relaxed);
        (StatusCode::OK, "ready\n")
    } else {
        (
            StatusCode::SERVICE_UNAVAILABLE,
            "the first round of polls is under way\n",
        )
    }
}
