//! ARQ 0.16 to 0.28 (`arq/connections.py`, `arq/worker.py`).
//!
//! A queue is a sorted set of job ids, scored by the milliseconds from which the job may start: its
//! enqueue time, or what it was deferred to. A job stays in the set, at its score, until it is done;
//! while it runs `arq:in-progress:<id>` exists. Workers start jobs in the order of the scores, so
//! the running ones are the first. `arq:retry:<id>` counts the starts of a job and gets 88,400 s to
//! live at each, which tells when the last one was. A retry that is put off moves the score; one
//! that is not leaves it, and then the job could be taken since a later time than its score. Where
//! nothing waits and nothing is deferred there is no key, but a worker's health check at
//! `<queue>:health-check`; its counters are those of the worker that wrote last, so they are not used.

mod probe;

use super::redis::{Bytes, KeyMeaning, Layout, Probe, QueueRef, Read, Registry, Reply};
use crate::config;
use crate::model::Timestamp;
use probe::ArqProbe;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

/// `default_queue_name`
const DEFAULT: &[u8] = b"arq:queue";

const HEALTH: &[u8] = b":health-check";

/// After so many polls forgotten queues are dropped.
const HOUSEKEEPING: u32 = 256;

/// More than a health check has.
const HEALTH_TEXT: u32 = 256;

pub fn bind(redis: &config::Redis, _max_payload: u64) -> Box<dyn Layout> {
    let queues = redis.arq.queues.iter();
    Box::new(ArqLayout {
        queues: queues.map(|queue| queue.as_bytes().into()).collect(),
        running: Running::default(),
        polls: 0,
    })
}

/// The starts that were seen at the last poll, by queue: job and number of the start.
type Running = HashMap<Bytes, HashSet<(Vec<u8>, u64)>>;

struct ArqLayout {
    queues: Vec<Bytes>,
    running: Running,
    polls: u32,
}

impl Layout for ArqLayout {
    fn is_left_pushed(&self) -> bool {
        false
    }

    fn registries(&self) -> Vec<Registry> {
        let named = |queue: &Bytes| match &**queue {
            // Not every Redis has ARQ.
            DEFAULT => Registry::Scan(Bytes::clone(queue)),
            _ => Registry::Named(Bytes::clone(queue)),
        };
        let mut registries: Vec<Registry> = self.queues.iter().map(named).collect();
        registries.push(Registry::Scan([b"*", HEALTH].concat().into()));
        registries
    }

    fn key(&self, key: &[u8]) -> KeyMeaning {
        match key {
            DEFAULT => KeyMeaning::Queue {
                name: key.to_vec(),
                of_type: &["zset"],
            },
            _ => KeyMeaning::Ask(vec![Read::Getrange(key.into(), HEALTH_TEXT)]),
        }
    }

    fn identify(&mut self, key: &[u8], replies: Vec<Reply>) -> Vec<Vec<u8>> {
        let text = replies.into_iter().next().map(Reply::bytes);
        let Some(Ok(Some(text))) = text else {
            return Vec::new();
        };
        let text = String::from_utf8_lossy(&text);
        let is_ours = ["j_complete=", "j_ongoing=", "queued="]
            .iter()
            .all(|word| text.contains(word));
        let queue = key.strip_suffix(HEALTH).filter(|name| !name.is_empty());
        queue
            .filter(|_| is_ours)
            .map(<[u8]>::to_vec)
            .into_iter()
            .collect()
    }

    fn begin(&mut self) {
        self.polls = self.polls.wrapping_add(1);
        if self.polls.is_multiple_of(HOUSEKEEPING) {
            // What nobody else holds the name of is no longer polled.
            self.running.retain(|queue, _| Arc::strong_count(queue) > 1);
        }
    }

    fn probe<'a>(
        &'a mut self,
        queues: &'a [QueueRef],
        now: Timestamp,
    ) -> Box<dyn Probe + Send + 'a> {
        Box::new(ArqProbe::new(&mut self.running, queues, now))
    }
}

#[cfg(test)]
mod tests;
