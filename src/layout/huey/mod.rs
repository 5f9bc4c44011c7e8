//! Huey 2.5 to 3.5 on Redis (`huey/storage.py`).
//!
//! `RedisHuey`: the list `huey.redis.<name>`, LPUSHed and BRPOPped, of pickled (maybe compressed or
//! signed) tasks without any time. `PriorityRedisHuey`: a sorted set of the same name, scored by the
//! negative priority, whose members begin with the microseconds of their enqueueing as eight bytes,
//! big endian; the lowest score is taken first. The type of the key tells which. The application's
//! name is in the key without what is no letter, digit or underscore. `huey.schedule.<name>` holds
//! what is due later, retries with a delay among them; a task with an ETA first goes through the
//! queue and waits there like any other. The scores of the schedule are off by the UTC offset of the
//! consumer's time zone, which is written down nowhere, so when the next one is due is not told.
//! Tasks are popped before they run and nothing marks it. Both keys vanish when they are empty;
//! `huey.results.<name>` stays as long as a result was not fetched.

mod levels;
mod probe;

use super::marker::Memory;
use super::redis::{Bytes, KeyMeaning, Layout, Probe, QueueRef, Registry};
use crate::config;
use crate::model::Timestamp;
use probe::HueyProbe;

const QUEUE: &[u8] = b"huey.redis.";
const SCHEDULE: &[u8] = b"huey.schedule.";
const RESULTS: &[u8] = b"huey.results.";

pub fn bind(redis: &config::Redis, max_payload: u64) -> Box<dyn Layout> {
    let queues = redis.huey.queues.iter();
    Box::new(HueyLayout {
        queues: queues.map(|queue| queue.as_bytes().into()).collect(),
        max_payload,
        lists: Memory::default(),
    })
}

struct HueyLayout {
    queues: Vec<Bytes>,
    max_payload: u64,
    lists: Memory,
}

impl Layout for HueyLayout {
    fn registries(&self) -> Vec<Registry> {
        let found =
            [QUEUE, SCHEDULE, RESULTS].map(|prefix| Registry::Scan([prefix, b"*"].concat().into()));
        let named = self.queues.iter().map(Bytes::clone).map(Registry::Named);
        found.into_iter().chain(named).collect()
    }

    fn key(&self, key: &[u8]) -> KeyMeaning {
        let queue = |name: &[u8], of_type| match name {
            [] => KeyMeaning::Nothing,
            name => KeyMeaning::Queue {
                name: name.to_vec(),
                of_type,
            },
        };
        let kinds: [(&[u8], &'static [&'static str]); 3] = [
            (QUEUE, &["list", "zset"]),
            (SCHEDULE, &["zset"]),
            (RESULTS, &["hash"]),
        ];
        let found = kinds
            .iter()
            .find_map(|(prefix, of_type)| Some(queue(key.strip_prefix(*prefix)?, of_type)));
        found.unwrap_or(KeyMeaning::Nothing)
    }

    fn lists(&mut self) -> Option<&mut Memory> {
        Some(&mut self.lists)
    }

    fn probe<'a>(
        &'a mut self,
        queues: &'a [QueueRef],
        now: Timestamp,
    ) -> Box<dyn Probe + Send + 'a> {
        Box::new(HueyProbe::new(self, queues, now))
    }
}

#[cfg(test)]
mod tests;
