//! What a process takes over from the one before and leaves to the next, wired to store and pollers.

use super::store::Store;
use crate::broker::SourceMemory;
use crate::config::{Broker, State};
use crate::state_file::{self, Earlier, Stamp, Writer};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

/// The state file while tailback runs.
pub struct Keeping {
    pub(super) interval: Duration,
    /// What sources remembered, until they are first started.
    pub(super) memories: HashMap<Arc<str>, SourceMemory>,
    writer: JoinHandle<()>,
}

impl Keeping {
    /// Takes up what the file holds and begins to write it anew; `None` where no file is wanted.
    pub fn start(state: &State, brokers: &[Broker], store: &mut Store) -> Option<Self> {
        let path = state.path.clone()?;
        let mut loaded = state_file::load(&path, brokers, &Stamp::now());
        let mut memories = HashMap::new();
        for (broker, earlier) in std::mem::take(&mut loaded.brokers) {
            let Earlier {
                flows,
                memory,
                shift,
                is_last,
            } = earlier;
            store.resume(&broker, flows, shift, is_last);
            memories.insert(broker, memory);
        }
        let (sections, incoming) = mpsc::channel(brokers.len().max(1));
        store.keeping(brokers, sections);
        let writer = Writer::new(path, state.interval, loaded);
        Some(Self {
            interval: state.interval,
            memories,
            writer: tokio::spawn(writer.run(incoming)),
        })
    }

    /// Waits until the file is written for the last time. The store must be gone.
    pub(super) async fn finish(self) {
        if self.writer.await.is_err() {
            tracing::error!("writing the state file has failed by a fault of tailback's own");
        }
    }
}
