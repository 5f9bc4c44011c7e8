//! BullMQ 5 and 6 and Bull 4 (`src/commands/*.lua` of BullMQ, `lib/commands/*.lua` of Bull).
//!
//! Keys are `<prefix>:<queue>:<suffix>`. `wait` is a list of job ids, LPUSHed and taken from the
//! right, so that −1 is next; `lifo` and jobs that are put back are RPUSHed. BullMQ up to 4 may have
//! left a marker `0:…` there. Pausing renames `wait` to `paused` in Bull 4 and BullMQ 5; BullMQ 6
//! leaves it and only sets `paused` in the hash `meta`. `prioritized` is a sorted set scored
//! `priority · 2^32 + n`, taken once `wait` is empty; in Bull 4 priority jobs are at the head of
//! `wait`, and in the sorted set `priority` scored by it. `delayed` is scored `due in ms · 4096 + n`
//! and also holds the jobs that will be tried again. `waiting-children` are held back by other jobs.
//! Jobs are hashes `<prefix>:<queue>:<id>`; the string `id` counts the jobs that were added, also
//! those that turned out to be there already.
//!
//! BullMQ writes what happens to each job to the stream `events`, with the server's time. From it
//! come starts, waits, run times, ends, failures and retries, exact unless it was trimmed before it
//! was read. Bull 4 has no such thing: there the flow of `wait` tells of the starts, and `processedOn`
//! of the running jobs is a sample of the waits. Where a queue has both, events count: a job that is
//! prioritized never is in `wait`.
//!
//! How many workers there are only `CLIENT LIST` tells, which a watcher should not be allowed.

mod job;
mod observe;
mod probe;
mod state;
mod stream;
mod track;

use super::glob;
use super::marker::Memory;
use super::redis::{Bytes, KeyMeaning, Layout, Probe, QueueRef, Read, Registry, Reply};
use crate::config;
use crate::model::{Measured, Timestamp};
use probe::BullProbe;
use state::number;
use std::collections::HashMap;
use std::sync::Arc;
use track::Track;

pub fn bind(redis: &config::Redis, _max_payload: u64) -> Box<dyn Layout> {
    Box::new(BullLayout {
        prefix: redis.bullmq.prefix.clone(),
        memory: Memory::default(),
        tracks: Tracks::default(),
    })
}

struct BullLayout {
    prefix: String,
    /// Of the lists of Bull 4.
    memory: Memory,
    tracks: Tracks,
}

/// What is remembered of the queues' events.
#[derive(Default)]
struct Tracks {
    queues: HashMap<Bytes, Track>,
    /// Jobs that are remembered of all of them.
    held: usize,
    /// Queues whose times have been shown by this poll, but not passed on yet.
    shown: Vec<Bytes>,
    polls: u32,
}

/// Jobs that are remembered of all queues: about 100 bytes each.
const JOBS: usize = 100_000;

/// After so many polls queues that are no longer polled are dropped.
const HOUSEKEEPING: u32 = 256;

/// What one of these keys is has to go with `id` for the queue to be Bull's.
const OF_BULL: [(&[u8], &[u8]); 7] = [
    (b"wait", b"list"),
    (b"paused", b"list"),
    (b"active", b"list"),
    (b"delayed", b"zset"),
    (b"completed", b"zset"),
    (b"failed", b"zset"),
    (b"stalled-check", b"string"),
];

/// A counter of jobs has no more digits.
const DIGITS: u32 = 20;

const IDENTITY: &[&str] = &["version", "opts.maxLenEvents"];

// === impl Tracks ===

impl Tracks {
    fn begin(&mut self) {
        self.shown.clear();
        self.polls = self.polls.wrapping_add(1);
        if self.polls.is_multiple_of(HOUSEKEEPING) {
            // Only we still hold the name: the queue is no longer polled.
            self.queues.retain(|queue, _| Arc::strong_count(queue) > 1);
            self.held = self.queues.values().map(|track| track.jobs.len()).sum();
        }
    }

    /// Times that were shown have arrived.
    fn told(&mut self) {
        for queue in self.shown.drain(..) {
            if let Some(track) = self.queues.get_mut(&queue) {
                track.untold = Measured::default();
            }
        }
    }

    fn take(&mut self, queue: &Bytes) -> Track {
        let track = self.queues.remove(queue).unwrap_or_default();
        self.held = self.held.saturating_sub(track.jobs.len());
        track
    }

    fn put(&mut self, queue: &Bytes, track: Track) {
        self.held += track.jobs.len();
        self.queues.insert(Arc::clone(queue), track);
    }
}

// === impl BullLayout ===

impl BullLayout {
    fn key(&self, queue: &[u8], suffix: &[u8]) -> Bytes {
        [self.prefix.as_bytes(), b":", queue, b":", suffix]
            .concat()
            .into()
    }

    /// The queue and the suffix of a key.
    fn split<'k>(&self, key: &'k [u8]) -> Option<(&'k [u8], &'k [u8])> {
        let rest = key.strip_prefix(self.prefix.as_bytes())?;
        let rest = rest.strip_prefix(b":")?;
        let cut = rest.iter().rposition(|byte| *byte == b':')?;
        let (queue, suffix) = (rest.get(..cut)?, rest.get(cut + 1..)?);
        (!queue.is_empty()).then_some((queue, suffix))
    }
}

impl Layout for BullLayout {
    fn registries(&self) -> Vec<Registry> {
        let mut pattern = glob::escape(self.prefix.as_bytes());
        pattern.extend_from_slice(b":*:*");
        vec![Registry::Scan(pattern.into())]
    }

    /// `meta` says by itself that it is BullMQ's. For Bull 4 the counter `id` and any other key tell
    /// together; they are asked about from each of them, since a queue may have none of the others
    /// when `id` is found.
    fn key(&self, key: &[u8]) -> KeyMeaning {
        let Some((queue, suffix)) = self.split(key) else {
            return KeyMeaning::Nothing;
        };
        let counter = || Read::Getrange(self.key(queue, b"id"), DIGITS + 1);
        let kind = |suffix| Read::Type(self.key(queue, suffix));
        KeyMeaning::Ask(match suffix {
            b"meta" => vec![Read::Hmget(key.into(), IDENTITY)],
            b"id" => std::iter::once(counter())
                .chain(OF_BULL.map(|(suffix, _)| kind(suffix)))
                .collect(),
            _ if OF_BULL.iter().any(|(of_bull, _)| *of_bull == suffix) => {
                vec![counter(), kind(suffix)]
            }
            _ => return KeyMeaning::Nothing,
        })
    }

    fn identify(&mut self, key: &[u8], replies: Vec<Reply>) -> Vec<Vec<u8>> {
        let Some((queue, suffix)) = self.split(key) else {
            return Vec::new();
        };
        let is_one = match (suffix, replies.as_slice()) {
            (b"meta", [Reply::Array(fields)]) => match fields.as_slice() {
                [Reply::Bytes(version), _] => version.starts_with(b"bullmq"),
                [Reply::Nil, Reply::Bytes(length)] => number(length).is_some(),
                _ => false,
            },
            (_, [Reply::Bytes(counter), kinds @ ..]) => {
                let asked = OF_BULL
                    .iter()
                    .filter(|(of_bull, _)| suffix == b"id" || suffix == *of_bull);
                let mut kinds = kinds.iter().zip(asked);
                let is_right = |(kind, (_, wanted)): (&Reply, &(&[u8], &[u8]))| matches!(kind, Reply::Bytes(kind) if kind == wanted);
                number(counter).is_some() && kinds.any(is_right)
            }
            _ => false,
        };
        is_one.then(|| queue.to_vec()).into_iter().collect()
    }

    fn begin(&mut self) {
        self.memory.begin();
        self.tracks.begin();
    }

    fn told(&mut self) {
        self.memory.told();
        self.tracks.told();
    }

    fn lists(&mut self) -> Option<&mut Memory> {
        Some(&mut self.memory)
    }

    fn probe<'a>(
        &'a mut self,
        queues: &'a [QueueRef],
        now: Timestamp,
    ) -> Box<dyn Probe + Send + 'a> {
        Box::new(BullProbe::new(self, queues, now))
    }
}

#[cfg(test)]
mod tests;
