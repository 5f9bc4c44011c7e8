//! Streams that are read through consumer groups, on Redis 6.0 to 8 and Valkey (`src/t_stream.c`).
//!
//! Every group of a stream is a queue of its own, shown as `stream/group`. What no consumer has been
//! given waits, what is in the group's pending entries list is in progress; entries stay in the
//! stream after that, so its length tells nothing. An id begins with the server's milliseconds when
//! the entry was added, unless the producer gives ids of its own. `lag` and `entries-read` exist
//! since 7.0 and are null after undelivered entries were deleted or the position was set, until the
//! group has reached the end. Entries that were deleted before their delivery count as read once the
//! group is past them. `consumers` are those that the group knows, also those that have gone without
//! a word.

mod group;
mod name;
mod probe;

use super::redis::{Bytes, KeyMeaning, Layout, Probe, QueueRef, Read, Registry, Reply};
use crate::config;
use crate::model::{System, Timestamp};
pub(super) use group::{GroupRef, Memory, names_of_groups};
pub(super) use probe::Groups;

/// The group of TaskIQ's stream brokers, which are queues of their own system.
pub(super) const TASKIQ_GROUP: &[u8] = b"taskiq";

pub fn bind(redis: &config::Redis, _max_payload: u64) -> Box<dyn Layout> {
    Box::new(Streams {
        results: format!("{}:results:", redis.rq.prefix).into_bytes(),
        events: format!("{}:", redis.bullmq.prefix).into_bytes(),
        memory: Memory::default(),
    })
}

struct Streams {
    /// RQ keeps the result of every job in a stream, BullMQ its events: without groups, and many.
    results: Vec<u8>,
    events: Vec<u8>,
    memory: Memory,
}

impl Layout for Streams {
    fn is_left_pushed(&self) -> bool {
        false
    }

    fn registries(&self) -> Vec<Registry> {
        vec![Registry::ScanType("stream")]
    }

    fn key(&self, key: &[u8]) -> KeyMeaning {
        let is_event = key.starts_with(&self.events) && key.ends_with(b":events");
        if key.starts_with(&self.results) || is_event {
            return KeyMeaning::Nothing;
        }
        // Groups come and go while the stream stays.
        KeyMeaning::AskAgain(vec![Read::XinfoGroups(key.into())])
    }

    fn identify(&mut self, key: &[u8], replies: Vec<Reply>) -> Vec<Vec<u8>> {
        names_of_groups(replies)
            .filter(|group| group != TASKIQ_GROUP)
            .map(|group| name::join(key, &group))
            .collect()
    }

    fn begin(&mut self) {
        self.memory.begin();
    }

    fn probe<'a>(
        &'a mut self,
        queues: &'a [QueueRef],
        now: Timestamp,
    ) -> Box<dyn Probe + Send + 'a> {
        let group = |queue: &'a QueueRef| {
            let (stream, group) = name::split(&queue.raw);
            let (stream, group): (Bytes, Bytes) = (stream.into(), group.into());
            GroupRef {
                queue,
                stream,
                group,
            }
        };
        let groups = queues.iter().map(group).collect();
        Box::new(Groups::new(System::Stream, groups, now, &mut self.memory))
    }
}

#[cfg(test)]
mod tests;
