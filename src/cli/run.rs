//! `run`: wires everything together and lives until a signal.

use crate::config::Config;
use crate::http::{self, AppState};
use crate::metrics::OwnMetrics;
use crate::poll::{self, Keeping, Store};
use crate::redact;
use crate::signal::Signals;
use anyhow::Context;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

/// How long requests and polls under way may take to end after a signal.
const GRACE: Duration = Duration::from_secs(5);

pub(super) async fn run(config: Config) -> anyhow::Result<()> {
    let mut signals = Signals::install().context("cannot take over signals")?;
    let own = OwnMetrics::new(
        env!("CARGO_PKG_VERSION"),
        option_env!("TAILBACK_REVISION").unwrap_or("unknown"),
        config.brokers.iter().map(|broker| &*broker.name),
    )
    .context("cannot register our own metrics")?;
    let (store, snapshot) = Store::new(&config.brokers);
    let mut store = store
        .with_wait_buckets(&config.metrics.wait_buckets)
        .with_objectives(&config.objectives);
    let listener = TcpListener::bind(config.http.listen)
        .await
        .with_context(|| format!("cannot listen on {}", config.http.listen))?;
    let listen = listener
        .local_addr()
        .context("cannot tell our own address")?;
    let cancelled = CancellationToken::new();
    let mut server = tokio::spawn(http::serve(
        listener,
        AppState::new(snapshot, own.clone()),
        cancelled.clone(),
    ));
    for broker in &config.brokers {
        tracing::info!(
            broker.name = %broker.name,
            broker.kind = broker.kind().as_str(),
            endpoint = %redact::endpoint(&broker.endpoint),
            "watching broker"
        );
    }
    tracing::info!(%listen, version = env!("CARGO_PKG_VERSION"), "serving HTTP on {listen}");
    let keeping = Keeping::start(&config.state, &config.brokers, &mut store);
    let mut pollers = tokio::spawn(poll::run(
        config.brokers,
        store,
        own,
        keeping,
        cancelled.clone(),
    ));
    tokio::select! {
        name = signals.next() => tracing::info!("{name}: stopping"),
        ended = &mut server => {
            ended.context("the HTTP server has failed")?.context("the HTTP server has stopped")?;
            anyhow::bail!("the HTTP server has stopped");
        }
        ended = &mut pollers => {
            ended.context("the supervisor has failed")?;
            anyhow::bail!("all pollers have stopped");
        }
    }
    cancelled.cancel();
    tokio::select! {
        _ = async { tokio::join!(&mut server, &mut pollers) } => tracing::info!("stopped"),
        () = tokio::time::sleep(GRACE) => tracing::warn!("not all ended in time; stopping anyway"),
        name = signals.next() => tracing::warn!("{name} again: stopping at once"),
    }
    Ok(())
}
