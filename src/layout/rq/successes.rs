//! Whether every job that succeeds is recorded: what the workers count against what `finished`
//! gained. A worker may keep no results, a job may be deleted by its owner or be the same one over
//! and over: none of that shows in a registry, but the worker has counted it.

use super::records::Records;
use super::survey::Worker;
use crate::layout::redis::Bytes;
use std::collections::HashMap;

#[derive(Debug, Default)]
pub(super) struct Successes {
    /// By worker, as it last counted.
    counts: HashMap<Vec<u8>, u64>,
    /// Successes that were counted since, at least: what a worker did before it was first seen and
    /// after it was last seen is not among them.
    counted: u64,
    base: Option<Base>,
    /// What was counted at a poll; to be compared once every queue has been read after it.
    reading: Option<(u64, u32)>,
    /// For good: nothing tells in which queues.
    pub(super) are_unrecorded: bool,
}

/// Where both counts begin.
#[derive(Debug)]
struct Base {
    counted: u64,
    recorded: u64,
    /// How often registries began anew; another number is another beginning.
    beginnings: u64,
}

impl Successes {
    /// Takes what the workers say at the beginning of a poll. A worker's count and the registry
    /// change in one transaction, so what is recorded later is never less.
    pub(super) fn take(
        &mut self,
        workers: &[Worker],
        records: &HashMap<Bytes, Records>,
        poll: u32,
    ) {
        self.count(workers, records);
        let recorded = records.values().map(|queue| queue.finished().ended).sum();
        let beginnings = records
            .values()
            .map(|queue| u64::from(queue.finished().beginnings))
            .sum();
        match &self.base {
            Some(base) if base.beginnings == beginnings => {
                let Some((counted, at)) = self.reading else {
                    self.reading = Some((self.counted, poll));
                    return;
                };
                if records.values().all(|queue| queue.was_read_since(at)) {
                    let missing = (counted - base.counted).saturating_sub(recorded - base.recorded);
                    self.are_unrecorded |= missing > 0;
                    self.reading = Some((self.counted, poll));
                }
            }
            _ => {
                self.base = Some(Base {
                    counted: self.counted,
                    recorded,
                    beginnings,
                });
                self.reading = None;
            }
        }
    }

    /// Only workers all of whose queues are watched.
    fn count(&mut self, workers: &[Worker], records: &HashMap<Bytes, Records>) {
        let mut counts = HashMap::new();
        for worker in workers {
            if worker.queues().all(|queue| records.contains_key(queue)) {
                let before = self.counts.get(&worker.key).copied();
                let gained = worker
                    .successes
                    .saturating_sub(before.unwrap_or(worker.successes));
                self.counted = self.counted.saturating_add(gained);
                counts.insert(worker.key.clone(), worker.successes);
            }
        }
        self.counts = counts;
    }
}
