//! The one task that folds reports into the published snapshot. One writer, no locks.

use crate::config;
use crate::model::{BrokerState, Report, Snapshot};
use std::collections::HashMap;
use std::sync::Arc;
use tokio::sync::{mpsc, watch};

pub struct Store {
    states: HashMap<Arc<str>, BrokerState>,
    snapshot: Snapshot,
    published: watch::Sender<Arc<Snapshot>>,
}

impl Store {
    /// A store for these brokers, none polled yet.
    pub fn new(brokers: &[config::Broker]) -> (Self, watch::Receiver<Arc<Snapshot>>) {
        let states: HashMap<_, _> = brokers
            .iter()
            .map(|broker| {
                let name = Arc::clone(&broker.name);
                let state = BrokerState::new(
                    Arc::clone(&name),
                    broker.kind(),
                    broker.poll.interval,
                    broker.poll.stale_after,
                );
                (name, state)
            })
            .collect();
        let brokers = states
            .iter()
            .map(|(name, state)| (Arc::clone(name), Arc::new(state.snapshot())))
            .collect();
        let snapshot = Snapshot { brokers };
        let (published, receiver) = watch::channel(Arc::new(snapshot.clone()));
        (
            Self {
                states,
                snapshot,
                published,
            },
            receiver,
        )
    }

    /// Waits are counted in buckets with these upper bounds, ascending.
    #[must_use]
    pub fn with_wait_buckets(mut self, buckets: &Arc<[f64]>) -> Self {
        let states = self.states.into_iter();
        self.states = states
            .map(|(name, state)| (name, state.with_wait_buckets(Arc::clone(buckets))))
            .collect();
        self
    }

    /// Runs until the last poller is gone.
    pub async fn run(mut self, mut reports: mpsc::Receiver<Report>) {
        while let Some(report) = reports.recv().await {
            self.apply(report);
        }
    }

    pub fn apply(&mut self, report: Report) {
        let name = Arc::clone(&report.broker);
        let Some(state) = self.states.get_mut(&name) else {
            return;
        };
        state.apply(report);
        self.snapshot
            .brokers
            .insert(name, Arc::new(state.snapshot()));
        self.published.send_replace(Arc::new(self.snapshot.clone()));
    }
}
