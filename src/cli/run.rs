//! `run`: wires everything together and lives until a signal.

use crate::config::{self, Config};
use crate::http::{self, Access, AppState};
use crate::keda;
use crate::metrics::OwnMetrics;
use crate::model::Snapshot;
use crate::poll::{self, Keeping, Store};
use crate::redact;
use crate::signal::Signals;
use anyhow::Context;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// How long requests and polls under way may take to end after a signal.
const GRACE: Duration = Duration::from_secs(5);

/// What is ready to answer KEDA.
struct Keda {
    listener: TcpListener,
    tls: Option<keda::Tls>,
}

/// `listening` is told the address once it is listened at.
pub(super) async fn run(config: Config, listening: impl FnOnce(SocketAddr)) -> anyhow::Result<()> {
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
    let (listener, listen) = bind(config.http.listen).await?;
    listening(listen);
    let keda = match config.keda {
        Some(keda) => Some(Keda::prepare(keda).await?),
        None => None,
    };
    let access = Access {
        bearer_token: config.http.bearer_token,
        api_key: config.http.api_key,
        open_metrics: config.http.open_metrics,
    };
    let cancelled = CancellationToken::new();
    let mut server = tokio::spawn(http::serve(
        listener,
        http::router(AppState::new(snapshot.clone(), own.clone(), access)),
        cancelled.clone(),
    ));
    let mut scaler = tokio::spawn(Keda::serve(keda, snapshot, cancelled.clone()));
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
            ended.context("the HTTP server has failed")?;
            anyhow::bail!("the HTTP server has stopped");
        }
        ended = &mut scaler => {
            ended.context("the server for KEDA has failed")?.context("the server for KEDA has stopped")?;
            anyhow::bail!("the server for KEDA has stopped");
        }
        ended = &mut pollers => {
            ended.context("the supervisor has failed")?;
            anyhow::bail!("all pollers have stopped");
        }
    }
    cancelled.cancel();
    tokio::select! {
        _ = async { tokio::join!(&mut server, &mut scaler, &mut pollers) } => tracing::info!("stopped"),
        () = tokio::time::sleep(GRACE) => tracing::warn!("not all ended in time; stopping anyway"),
        name = signals.next() => tracing::warn!("{name} again: stopping at once"),
    }
    Ok(())
}

async fn bind(address: SocketAddr) -> anyhow::Result<(TcpListener, SocketAddr)> {
    let listener = TcpListener::bind(address)
        .await
        .with_context(|| format!("cannot listen on {address}"))?;
    let bound = listener
        .local_addr()
        .context("cannot tell our own address")?;
    Ok((listener, bound))
}

impl Keda {
    /// Binds, and reads the certificates once, so that wrong ones are found at the start.
    async fn prepare(config: config::Keda) -> anyhow::Result<Self> {
        let tls = config.tls.map(|tls| keda::Tls {
            cert_file: tls.cert_file,
            key_file: tls.key_file,
            client_ca_file: tls.client_ca_file,
        });
        if let Some(tls) = &tls {
            tls.load().context("keda.tls")?;
        }
        let (listener, bound) = bind(config.listen).await?;
        tracing::info!(keda.listen = %bound, keda.tls = tls.is_some(), "answering KEDA on {bound}");
        Ok(Self { listener, tls })
    }

    /// Until cancelled, also if there is nobody to answer.
    async fn serve(
        this: Option<Self>,
        snapshot: watch::Receiver<Arc<Snapshot>>,
        cancelled: CancellationToken,
    ) -> io::Result<()> {
        match this {
            Some(Self { listener, tls }) => keda::serve(listener, tls, snapshot, cancelled).await,
            None => {
                cancelled.cancelled().await;
                Ok(())
            }
        }
    }
}
