//! TaskIQ with taskiq-redis 1.x (`taskiq_redis/redis_broker.py`).
//!
//! `ListQueueBroker`: one list, LPUSHed and BRPOPed, of JSON objects without any time. A message is
//! popped before it runs and nothing marks it then, so what is in progress is not known; its flow
//! is. Nothing lists the queues: the default `taskiq` is recognised by its messages, others are in
//! the configuration. `RedisStreamBroker`: a stream with the consumer group `taskiq`, whose entries
//! stay after they were acknowledged; prefetched messages are pending like running ones. A group of
//! another name is shown as a stream. `PubSubBroker` keeps nothing. Schedules have prefixes of the
//! application's choice.

mod probe;

use super::marker::Memory;
use super::redis::{Bytes, KeyMeaning, Layout, Probe, QueueRef, Read, Registry, Reply};
use super::stream;
use crate::config;
use crate::model::Timestamp;
use probe::TaskiqProbe;
use serde::Deserialize;
use serde::de::IgnoredAny;

/// `queue_name` where the application sets none.
const DEFAULT: &[u8] = b"taskiq";

pub fn bind(redis: &config::Redis, max_payload: u64) -> Box<dyn Layout> {
    let queues = redis.taskiq.queues.iter();
    Box::new(TaskiqLayout {
        queues: queues.map(|queue| queue.as_bytes().into()).collect(),
        max_payload,
        lists: Memory::default(),
        streams: stream::Memory::default(),
    })
}

struct TaskiqLayout {
    queues: Vec<Bytes>,
    max_payload: u64,
    lists: Memory,
    streams: stream::Memory,
}

/// What every message has.
#[derive(Deserialize)]
#[expect(dead_code, reason = "that they are there is all that counts")]
struct Message {
    task_id: String,
    task_name: String,
    labels: IgnoredAny,
}

impl Layout for TaskiqLayout {
    fn registries(&self) -> Vec<Registry> {
        let named = |queue: &Bytes| match &**queue {
            // Not every Redis has TaskIQ.
            DEFAULT => Registry::Scan(Bytes::clone(queue)),
            _ => Registry::Named(Bytes::clone(queue)),
        };
        let mut registries: Vec<Registry> = self.queues.iter().map(named).collect();
        registries.push(Registry::ScanType("stream"));
        registries
    }

    fn key(&self, key: &[u8]) -> KeyMeaning {
        let key = Bytes::from(key);
        let groups = Read::XinfoGroups(Bytes::clone(&key));
        match &*key {
            DEFAULT => KeyMeaning::Ask(vec![groups, Read::Lindex(key, -1)]),
            _ => KeyMeaning::AskAgain(vec![groups]),
        }
    }

    fn identify(&mut self, key: &[u8], replies: Vec<Reply>) -> Vec<Vec<u8>> {
        let is_list = replies.get(1).is_some_and(is_message);
        let is_stream = stream::names_of_groups(replies).any(|name| name == stream::TASKIQ_GROUP);
        match is_list || is_stream {
            true => vec![key.to_vec()],
            false => Vec::new(),
        }
    }

    fn begin(&mut self) {
        self.lists.begin();
        self.streams.begin();
    }

    fn lists(&mut self) -> Option<&mut Memory> {
        Some(&mut self.lists)
    }

    fn probe<'a>(
        &'a mut self,
        queues: &'a [QueueRef],
        now: Timestamp,
    ) -> Box<dyn Probe + Send + 'a> {
        Box::new(TaskiqProbe::new(self, queues, now))
    }
}

fn is_message(reply: &Reply) -> bool {
    match reply {
        Reply::Bytes(bytes) => serde_json::from_slice::<Message>(bytes).is_ok(),
        _ => false,
    }
}

#[cfg(test)]
mod tests;
