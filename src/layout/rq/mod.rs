//! RQ 1.16–3.0 (`rq/queue.py`, `rq/job.py`, `rq/registry.py`, `rq/worker/`).
//!
//! The set `<prefix>:queues` holds full keys `<prefix>:queue:<name>`. A queue is a list of job ids,
//! RPUSHed and taken from the left, so index 0 is next; `at_front=True` LPUSHes. A worker on one
//! queue moves the id through `<queue>:intermediate`. The jobs are hashes `<prefix>:job:<id>`, which
//! can expire before their ids are taken. Registries are sorted sets `<prefix>:<registry>:<name>`:
//! `wip` scored by the heartbeat's expiry, `finished` and `failed` by the entry's expiry, `scheduled` by
//! due time.

mod probe;
mod queue;
mod records;
mod successes;
mod survey;

use super::marker::Memory;
use super::redis::{Bytes, Layout, Probe, QueueRef, Read, Refusal, Registry, Reply};
use crate::config;
use crate::model::Timestamp;
use probe::RqProbe;
use records::Records;
use std::collections::HashMap;
use std::sync::Arc;
use successes::Successes;
use survey::Survey;

/// After so many polls queues that are no longer polled are forgotten.
const HOUSEKEEPING: u32 = 256;

pub fn bind(redis: &config::Redis, _max_payload: u64) -> Box<dyn Layout> {
    Box::new(RqLayout {
        keys: Keys(redis.rq.prefix.as_str().into()),
        survey: Survey::default(),
        lists: Memory::default(),
        records: HashMap::new(),
        successes: Successes::default(),
        polls: 0,
    })
}

struct RqLayout {
    keys: Keys,
    survey: Survey,
    lists: Memory,
    /// By queue.
    records: HashMap<Bytes, Records>,
    successes: Successes,
    polls: u32,
}

/// Makes RQ's keys: all begin with the prefix.
#[derive(Clone)]
struct Keys(Arc<str>);

impl Keys {
    fn of(&self, parts: &[&[u8]]) -> Bytes {
        let mut key = self.0.as_bytes().to_vec();
        for part in parts {
            key.push(b':');
            key.extend_from_slice(part);
        }
        key.into()
    }
}

impl Layout for RqLayout {
    fn is_left_pushed(&self) -> bool {
        false
    }

    fn registries(&self) -> Vec<Registry> {
        vec![Registry::Set(self.keys.of(&[b"queues"]))]
    }

    fn member(&mut self, _set: &[u8], member: &[u8]) -> Option<Vec<u8>> {
        let name = member.strip_prefix(&*self.keys.of(&[b"queue", b""]))?;
        (!name.is_empty()).then(|| name.to_vec())
    }

    fn begin(&mut self) {
        self.lists.begin();
        self.polls = self.polls.wrapping_add(1);
        if self.polls.is_multiple_of(HOUSEKEEPING) {
            // Only we still hold the name.
            self.records.retain(|queue, _| Arc::strong_count(queue) > 1);
        }
    }

    fn overview(&mut self, round: usize, replies: Vec<Reply>, _now: Timestamp) -> Vec<Read> {
        let reads = self
            .survey
            .step(round, replies, |parts| self.keys.of(parts));
        if reads.is_empty()
            && let Some(workers) = &self.survey.workers
        {
            self.successes.take(workers, &self.records, self.polls);
        }
        reads
    }

    fn complaints(&self) -> Vec<Refusal> {
        self.survey.complaint.clone().into_iter().collect()
    }

    fn lists(&mut self) -> Option<&mut Memory> {
        Some(&mut self.lists)
    }

    fn distrust(&mut self) {
        self.lists.distrust();
        self.records.clear();
        self.successes = Successes::default();
    }

    fn probe<'a>(
        &'a mut self,
        queues: &'a [QueueRef],
        now: Timestamp,
    ) -> Box<dyn Probe + Send + 'a> {
        Box::new(RqProbe::new(self, queues, now))
    }
}

#[cfg(test)]
mod tests;
