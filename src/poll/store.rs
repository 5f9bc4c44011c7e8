//! The one task that folds reports into the published snapshot. One writer, no locks.

use crate::broker::SourceMemory;
use crate::config;
use crate::model::flow::Shift;
use crate::model::{BrokerState, Objectives, Report, SavedFlows, Snapshot};
use crate::state_file::{Identity, Section, Stamp};
use std::collections::HashMap;
use std::sync::Arc;
use tokio::sync::{mpsc, watch};

/// What pollers tell the store, in the order in which it happened.
pub enum Message {
    Report(Box<Report>),
    /// What the source remembers as of its last report.
    Memory {
        broker: Arc<str>,
        memory: Box<SourceMemory>,
        /// No report of this process follows.
        is_last: bool,
    },
}

impl From<Report> for Message {
    fn from(report: Report) -> Self {
        Self::Report(Box::new(report))
    }
}

/// Where what must outlive the process goes.
struct Keep {
    identities: HashMap<Arc<str>, Identity>,
    sections: mpsc::Sender<Section>,
}

pub struct Store {
    states: HashMap<Arc<str>, BrokerState>,
    snapshot: Snapshot,
    published: watch::Sender<Arc<Snapshot>>,
    keep: Option<Keep>,
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
                keep: None,
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

    /// Queues have these objectives.
    #[must_use]
    pub fn with_objectives(mut self, objectives: &config::Objectives) -> Self {
        let objectives: Arc<dyn Objectives> = Arc::new(objectives.clone());
        let states = self.states.into_iter();
        self.states = states
            .map(|(name, state)| (name, state.with_objectives(Arc::clone(&objectives))))
            .collect();
        self
    }

    /// Runs until the last poller is gone.
    pub async fn run(mut self, mut messages: mpsc::Receiver<Message>) {
        while let Some(message) = messages.recv().await {
            match message {
                Message::Report(report) => self.apply(*report),
                Message::Memory {
                    broker,
                    memory,
                    is_last,
                } => self.keep(&broker, *memory, is_last).await,
            }
        }
    }

    /// Sends what the next process needs to `sections` whenever a source says what it remembers.
    pub fn keeping(&mut self, brokers: &[config::Broker], sections: mpsc::Sender<Section>) {
        let identities = brokers
            .iter()
            .map(|broker| (Arc::clone(&broker.name), Identity::of(broker)));
        self.keep = Some(Keep {
            identities: identities.collect(),
            sections,
        });
    }

    /// Takes up the flows that an earlier process has left of a broker.
    pub fn resume(&mut self, broker: &str, flows: SavedFlows, shift: Shift, with_counters: bool) {
        if let Some(state) = self.states.get_mut(broker) {
            state.resume(flows, shift, with_counters);
        }
    }

    async fn keep(&self, broker: &str, memory: SourceMemory, is_last: bool) {
        let (Some(keep), Some(state)) = (&self.keep, self.states.get(broker)) else {
            return;
        };
        let Some(identity) = keep.identities.get(broker) else {
            return;
        };
        let stamp = Stamp::now();
        let section = Section {
            identity: identity.clone(),
            flows: state.save(stamp.mono()),
            stamp,
            is_last,
            memory,
        };
        // Without the file there is nothing more to do.
        keep.sections.send(section).await.ok();
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
