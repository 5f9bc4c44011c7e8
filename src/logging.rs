//! Logs go to standard error: text on a terminal, JSON otherwise.

use std::io::{self, IsTerminal};
use tracing::Metadata;
use tracing_subscriber::filter::{EnvFilter, FilterExt, filter_fn};
use tracing_subscriber::prelude::*;

/// Our own events from `info` on, those of libraries from `warn` on. Lapin logs every connection
/// that breaks as an error of its own, which the poller tells better.
const DEFAULT: &str = "warn,tailback=info,redis=off";

/// Starts logging. `filter` is `TAILBACK_LOG`, in the form of `tracing_subscriber::EnvFilter`.
pub fn init(filter: Option<&str>) -> Result<(), String> {
    let filter = EnvFilter::try_new(filter.unwrap_or(DEFAULT))
        .map_err(|error| format!("TAILBACK_LOG: {error}; try `info` or `warn,tailback=debug`"))?;
    let filter = filter.and(filter_fn(keeps_secrets));
    let layer = tracing_subscriber::fmt::layer().with_writer(io::stderr);
    let registry = tracing_subscriber::registry();
    if io::stderr().is_terminal() {
        registry
            .with(layer.with_target(false).with_filter(filter))
            .init();
    } else {
        let layer = layer
            .json()
            .flatten_event(true)
            .with_current_span(true)
            .with_span_list(false);
        registry.with(layer.with_filter(filter)).init();
    }
    Ok(())
}

/// Whatever `TAILBACK_LOG` says: lapin traces every frame, the login with the password among them.
fn keeps_secrets(metadata: &Metadata<'_>) -> bool {
    !metadata.target().starts_with("lapin")
}
