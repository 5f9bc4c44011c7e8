//! Dramatiq 1.x and 2.x; here on Redis (`dramatiq/brokers/redis.py`, `dramatiq/brokers/redis/dispatch.lua`).
//!
//! A queue is the list `<namespace>:<queue>` of ids, RPUSHed and LPOPped, with the messages in the
//! hash `<queue>.msgs`, which keeps them until they are acknowledged: what is in the hash and not in
//! the list is held by workers, running or prefetched. Delayed messages, retries among them, are in
//! `<queue>.DQ.msgs` whether or not a worker holds them; dead ones in the sorted set `<queue>.XQ` for
//! a week. Nothing lists the queues. Workers and producers alike leave heartbeats, so nobody can be
//! counted.
//!
//! A message carries the milliseconds of its first sending. Once a delayed message or a retry is
//! moved to the queue nothing tells that it was delayed, so its time is used only if it was sent
//! after delayed messages were last seen in its queue; otherwise the flow tells. Workers put what
//! they hold back at the tail when they stop, so an older message may always be behind the head.

mod probe;
pub mod rabbitmq;

use super::marker::Memory;
use super::redis::{Bytes, KeyMeaning, Layout, Probe, QueueRef, Registry};
use crate::config;
use crate::model::Timestamp;
use probe::DramatiqProbe;
use std::collections::HashMap;
use std::sync::Arc;

pub fn bind(redis: &config::Redis, _max_payload: u64) -> Box<dyn Layout> {
    Box::new(DramatiqLayout {
        namespace: redis.dramatiq.namespace.clone(),
        lists: Memory::default(),
        delayed: HashMap::new(),
    })
}

struct DramatiqLayout {
    namespace: String,
    lists: Memory,
    /// When a queue was last seen to have delayed messages.
    delayed: HashMap<Bytes, Timestamp>,
}

impl DramatiqLayout {
    fn key(&self, queue: &[u8], suffix: &str) -> Bytes {
        let namespace = self.namespace.as_bytes();
        [namespace, b":", queue, suffix.as_bytes()].concat().into()
    }
}

impl Layout for DramatiqLayout {
    fn is_left_pushed(&self) -> bool {
        false
    }

    fn registries(&self) -> Vec<Registry> {
        vec![Registry::Scan(self.key(b"*", ".msgs"))]
    }

    fn key(&self, key: &[u8]) -> KeyMeaning {
        let queue = || {
            let name = key.strip_prefix(self.namespace.as_bytes())?;
            let name = name.strip_prefix(b":")?.strip_suffix(b".msgs")?;
            let parked = name
                .strip_suffix(b".DQ")
                .or_else(|| name.strip_suffix(b".XQ"));
            Some(parked.unwrap_or(name)).filter(|name| !name.is_empty())
        };
        match queue() {
            Some(name) => KeyMeaning::Queue {
                name: name.to_vec(),
                of_type: &["hash"],
            },
            None => KeyMeaning::Nothing,
        }
    }

    fn begin(&mut self) {
        self.lists.begin();
        // A queue whose name nobody but the markers holds is no longer polled.
        self.delayed.retain(|queue, _| Arc::strong_count(queue) > 2);
    }

    fn lists(&mut self) -> Option<&mut Memory> {
        Some(&mut self.lists)
    }

    fn probe<'a>(
        &'a mut self,
        queues: &'a [QueueRef],
        now: Timestamp,
    ) -> Box<dyn Probe + Send + 'a> {
        Box::new(DramatiqProbe::new(self, queues, now))
    }
}

#[cfg(test)]
mod tests;
