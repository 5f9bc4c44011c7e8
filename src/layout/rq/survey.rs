//! What concerns all of RQ's queues together: whether it is suspended, which workers live, and the
//! jobs that a rate limit of RQ 3 holds back – in no queue's list, though each belongs to one.

use crate::layout::redis::{Bytes, Read, Refusal, Reply};
use std::collections::HashMap;

const WORKER_FIELDS: &[&str] = &["queues", "death", "successful_job_count"];
const HELD_FIELDS: &[&str] = &["origin"];

/// Rate limits looked at, and jobs looked up for each; above either the split is unknown.
const LIMITS: u64 = 32;
const HELD: u32 = 64;

/// By queue name; `None` while not known.
type ByQueue = Option<HashMap<Vec<u8>, u64>>;

#[derive(Default)]
pub(super) struct Survey {
    pub(super) suspended: Option<bool>,
    /// Those that live; `None` while not known.
    pub(super) workers: Option<Vec<Worker>>,
    held: ByQueue,
    pub(super) complaint: Option<Refusal>,
    /// What the last round asked for: the set of workers, or these workers; then the rest about
    /// rate limits.
    asked_set: bool,
    asked_workers: Vec<Vec<u8>>,
}

/// A live worker.
pub(super) struct Worker {
    pub(super) key: Vec<u8>,
    /// Names of its queues, with commas between.
    queues: Vec<u8>,
    /// Jobs that it has brought to a good end.
    pub(super) successes: u64,
}

impl Worker {
    pub(super) fn queues(&self) -> impl Iterator<Item = &[u8]> {
        self.queues.split(|byte| *byte == b',')
    }
}

impl Survey {
    pub(super) fn workers(&self, queue: &[u8]) -> Option<u64> {
        let workers = self.workers.as_ref()?.iter();
        let on_queue = workers.filter(|worker| worker.queues().any(|name| name == queue));
        Some(on_queue.count() as u64)
    }

    /// Jobs of the queue that a rate limit holds back.
    pub(super) fn held(&self, queue: &[u8]) -> Option<u64> {
        let held = self.held.as_ref()?;
        Some(held.get(queue).copied().unwrap_or(0))
    }

    /// One round; see [`crate::layout::redis::Layout::overview`].
    pub(super) fn step(
        &mut self,
        round: usize,
        replies: Vec<Reply>,
        key: impl Fn(&[&[u8]]) -> Bytes,
    ) -> Vec<Read> {
        let reads = match round {
            0 => {
                *self = Self::default();
                let sets = [b"workers".as_slice(), b"rl-keys"];
                let mut reads = vec![Read::Exists(key(&[b"suspended"]))];
                reads.extend(sets.map(|set| Read::Scard(key(&[set]))));
                Ok(reads)
            }
            1 => self.sizes(replies, key),
            2 => self.members(replies, key),
            3 => self.details(replies, key),
            4 => self.origins(replies),
            _ => Ok(Vec::new()),
        };
        reads.unwrap_or_else(|refusal| {
            self.complaint = Some(refusal);
            Vec::new()
        })
    }

    fn sizes(
        &mut self,
        replies: Vec<Reply>,
        key: impl Fn(&[&[u8]]) -> Bytes,
    ) -> Result<Vec<Read>, Refusal> {
        let mut replies = replies.into_iter();
        let mut next = || replies.next().unwrap_or(Reply::Nil).count();
        self.suspended = Some(next()? > 0);
        let (workers, limits) = (next()?, next()?);
        // A set that is too large is not read, and its numbers stay unknown; of an empty one they
        // are known to be zero.
        self.workers = (workers == 0).then(Vec::new);
        self.held = (limits == 0).then(HashMap::new);
        let mut reads = Vec::new();
        if (1..=u64::from(Read::MAX_ELEMENTS)).contains(&workers) {
            reads.push(Read::Smembers(key(&[b"workers"])));
        }
        self.asked_set = !reads.is_empty();
        if (1..=LIMITS).contains(&limits) {
            reads.push(Read::Smembers(key(&[b"rl-keys"])));
        }
        Ok(reads)
    }

    fn members(
        &mut self,
        replies: Vec<Reply>,
        key: impl Fn(&[&[u8]]) -> Bytes,
    ) -> Result<Vec<Read>, Refusal> {
        let mut reads = Vec::new();
        for (index, reply) in replies.into_iter().enumerate() {
            for member in strings(reply)? {
                if index == 0 && self.asked_set {
                    reads.push(Read::Hmget(member.as_slice().into(), WORKER_FIELDS));
                    self.asked_workers.push(member);
                } else {
                    let held = key(&[b"rl", &member, b"rate_limited"]);
                    reads.push(Read::Zcard(Bytes::clone(&held)));
                    reads.push(Read::Zrange(held, 0, HELD - 1));
                }
            }
        }
        Ok(reads)
    }

    fn details(
        &mut self,
        replies: Vec<Reply>,
        key: impl Fn(&[&[u8]]) -> Bytes,
    ) -> Result<Vec<Read>, Refusal> {
        let mut replies = replies.into_iter();
        if self.asked_set {
            let mut workers = Vec::new();
            for key in std::mem::take(&mut self.asked_workers) {
                let reply = replies.next().unwrap_or(Reply::Nil);
                workers.extend(live_worker(key, reply)?);
            }
            self.workers = Some(workers);
        }
        let (mut reads, mut limits) = (Vec::new(), 0);
        while let (Some(count), Some(members)) = (replies.next(), replies.next()) {
            let (count, members) = (count.count()?, members.scored()?);
            limits += 1;
            if count > members.len() as u64 {
                return Ok(Vec::new());
            }
            reads.extend(
                members
                    .iter()
                    .map(|(job, _)| Read::Hmget(key(&[b"job", job]), HELD_FIELDS)),
            );
        }
        if reads.is_empty() && limits > 0 {
            self.held = Some(HashMap::new());
        }
        Ok(reads)
    }

    fn origins(&mut self, replies: Vec<Reply>) -> Result<Vec<Read>, Refusal> {
        let mut by_queue = HashMap::new();
        for reply in replies {
            for origin in strings(reply)? {
                *by_queue.entry(origin).or_default() += 1;
            }
        }
        self.held = Some(by_queue);
        Ok(Vec::new())
    }
}

/// Without its hash, or with a time of death, a name is only left over.
fn live_worker(key: Vec<u8>, reply: Reply) -> Result<Option<Worker>, Refusal> {
    let mut fields = reply.array()?.into_iter();
    let mut next = || fields.next().and_then(|field| field.bytes().ok().flatten());
    let (queues, death, successes) = (next(), next(), next());
    let is_dead = death.is_some_and(|at| !at.is_empty());
    // It counts from its first job on.
    let successes = successes
        .and_then(|count| std::str::from_utf8(&count).ok()?.parse().ok())
        .unwrap_or(0);
    Ok(queues.filter(|_| !is_dead).map(|queues| Worker {
        key,
        queues,
        successes,
    }))
}

/// The strings of an array; what is none is left out.
fn strings(reply: Reply) -> Result<Vec<Vec<u8>>, Refusal> {
    let items = reply.array()?.into_iter();
    Ok(items
        .filter_map(|item| item.bytes().ok().flatten())
        .collect())
}
