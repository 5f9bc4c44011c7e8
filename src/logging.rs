//! Logs go to standard error: text on a terminal, JSON otherwise.

use std::io::{self, IsTerminal};
use tracing_subscriber::EnvFilter;

/// Our own events from `info` on, those of libraries from `warn` on. Lapin logs every connection
/// that breaks as an error of its own, which the poller tells better.
const DEFAULT: &str = "warn,tailback=info,lapin=off,redis=off";

/// Starts logging. `filter` is `TAILBACK_LOG`, in the form of `tracing_subscriber::EnvFilter`.
pub fn init(filter: Option<&str>) -> Result<(), String> {
    let filter = EnvFilter::try_new(filter.unwrap_or(DEFAULT))
        .map_err(|error| format!("TAILBACK_LOG: {error}; try `info` or `warn,tailback=debug`"))?;
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(io::stderr);
    if io::stderr().is_terminal() {
        builder.with_target(false).init();
    } else {
        builder
            .json()
            .flatten_event(true)
            .with_current_span(true)
            .with_span_list(false)
            .init();
    }
    Ok(())
}
