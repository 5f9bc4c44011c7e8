//! Starts a poller for each broker and keeps them alive.

use super::backoff::{Backoff, jitter};
use super::keeping::Keeping;
use super::poller::Poller;
use super::store::{Message, Store};
use crate::broker::rabbitmq::RabbitMqSource;
use crate::broker::redis::RedisSource;
use crate::broker::simulated::SimulatedSource;
use crate::broker::{Source, SourceMemory};
use crate::clock;
use crate::config::{Broker, Endpoint};
use crate::metrics::OwnMetrics;
use crate::model::ErrorKind;
use std::collections::HashMap;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::task::{Id, JoinSet};
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

/// Reports on their way to the store: a few, so that a store that lags slows the pollers down.
const QUEUED_REPORTS: usize = 16;

/// Runs store and pollers until cancelled. Returns early only if the store is gone, which leaves
/// nothing to live for.
pub async fn run(
    brokers: Vec<Broker>,
    store: Store,
    own: OwnMetrics,
    mut keeping: Option<Keeping>,
    cancelled: CancellationToken,
) {
    let (reports, received) = mpsc::channel(QUEUED_REPORTS);
    let mut pollers = JoinSet::new();
    let mut running: HashMap<Id, usize> = HashMap::new();
    let mut backoffs =
        vec![Backoff::new(Duration::from_secs(1), Duration::from_secs(60)); brokers.len()];
    let store = tokio::spawn(store.run(received));
    for (index, broker) in brokers.iter().enumerate() {
        let id = spawn(
            &mut pollers,
            broker,
            &own,
            &reports,
            &cancelled,
            Start::after(Duration::ZERO, keeping.as_mut(), broker),
        );
        running.insert(id, index);
    }
    while let Some(ended) = pollers.join_next_with_id().await {
        let (id, panicked) = match ended {
            Ok((id, ())) => (id, false),
            Err(error) => (error.id(), error.is_panic()),
        };
        let Some(index) = running.remove(&id) else {
            continue;
        };
        if !panicked || cancelled.is_cancelled() {
            continue;
        }
        let (Some(broker), Some(backoff)) = (brokers.get(index), backoffs.get_mut(index)) else {
            continue;
        };
        own.poll_error(&broker.name, ErrorKind::Internal);
        let pause = backoff.next(jitter(&broker.name, clock::now().wall.micros()));
        tracing::error!(
            broker.name = %broker.name,
            pause_ms = pause.as_millis() as u64,
            "a poller has failed by a fault of tailback's own and is started again; please report it"
        );
        let start = Start::after(pause, keeping.as_mut(), broker);
        let id = spawn(&mut pollers, broker, &own, &reports, &cancelled, start);
        running.insert(id, index);
    }
    drop(reports);
    if store.await.is_err() {
        tracing::error!("the store has failed by a fault of tailback's own");
    }
    if let Some(keeping) = keeping {
        keeping.finish().await;
    }
}

/// How a poller starts.
struct Start {
    pause: Duration,
    /// How often it tells what its source remembers, and what that was earlier.
    memory: Option<(Duration, Option<SourceMemory>)>,
}

impl Start {
    fn after(pause: Duration, keeping: Option<&mut Keeping>, broker: &Broker) -> Self {
        let memory = keeping.map(|keeping| {
            let earlier = keeping.memories.remove(&broker.name);
            (keeping.interval, earlier)
        });
        Self { pause, memory }
    }

    async fn poll<S: Source>(self, poller: Poller<S>, cancelled: CancellationToken) {
        let poller = match self.memory {
            Some((interval, earlier)) => poller.sending_memory(interval, earlier),
            None => poller,
        };
        poller.run(cancelled).await;
    }
}

fn spawn(
    pollers: &mut JoinSet<()>,
    broker: &Broker,
    own: &OwnMetrics,
    reports: &mpsc::Sender<Message>,
    cancelled: &CancellationToken,
    start: Start,
) -> Id {
    let span = tracing::info_span!("poll", broker.name = %broker.name);
    let (broker, own, reports) = (broker.clone(), own.clone(), reports.clone());
    let cancelled = cancelled.clone();
    let task = async move {
        tokio::select! {
            () = cancelled.cancelled() => return,
            () = tokio::time::sleep(start.pause) => {}
        }
        match &broker.endpoint {
            Endpoint::Redis(redis) => {
                let source = RedisSource::new(&broker, redis);
                let poller = Poller::new(source, &broker, own, reports);
                start.poll(poller, cancelled).await;
            }
            Endpoint::RabbitMq(rabbit) => {
                let source = RabbitMqSource::new(&broker, rabbit);
                let poller = Poller::new(source, &broker, own, reports);
                start.poll(poller, cancelled).await;
            }
            Endpoint::Simulated => {
                let source = SimulatedSource::default();
                let poller = Poller::new(source, &broker, own, reports);
                start.poll(poller, cancelled).await;
            }
        }
    };
    pollers.spawn(task.instrument(span)).id()
}
