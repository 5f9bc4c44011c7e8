//! What concerns all of RQ's queues together: whether it is suspended, which workers live, and the
//! jobs that a rate limit of RQ 3 holds back – in no queue's list, though each belongs to one.

use crate::layout::redis::{Bytes, Read, Refusal, Reply};
use std::collections::HashMap;

const WORKER_FIELDS: &[&str] = &["queues", "death"];
const HELD_FIELDS: &[&str] = &["origin"];

/// Rate limits looked at, and jobs looked up for each; above either the split is unknown.
const LIMITS: u64 = 32;
const HELD: u32 = 64;

/// By queue name; `None` while not known.
type ByQueue = Option<HashMap<Vec<u8>, u64>>;

#[derive(Default)]
pub(super) struct Survey {
    pub(super) suspended: Option<bool>,
    workers: ByQueue,
    held: ByQueue,
    pub(super) complaint: Option<Refusal>,
    /// What the last round asked for: so many workers, then the rest about rate limits.
    asked_workers: usize,
}

impl Survey {
    pub(super) fn workers(&self, queue: &[u8]) -> Option<u64> {
        of(&self.workers, queue)
    }

    /// Jobs of the queue that a rate limit holds back.
    pub(super) fn held(&self, queue: &[u8]) -> Option<u64> {
        of(&self.held, queue)
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
        self.workers = (workers == 0).then(HashMap::new);
        self.held = (limits == 0).then(HashMap::new);
        let mut reads = Vec::new();
        if (1..=u64::from(Read::MAX_ELEMENTS)).contains(&workers) {
            reads.push(Read::Smembers(key(&[b"workers"])));
        }
        self.asked_workers = reads.len();
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
        let asked_workers = std::mem::take(&mut self.asked_workers);
        for (index, reply) in replies.into_iter().enumerate() {
            for member in strings(reply)? {
                if index < asked_workers {
                    self.asked_workers += 1;
                    reads.push(Read::Hmget(member.into(), WORKER_FIELDS));
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
        if self.asked_workers > 0 {
            let workers = replies.by_ref().take(self.asked_workers).collect();
            self.workers = Some(count_workers(workers)?);
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

fn of(by_queue: &ByQueue, queue: &[u8]) -> Option<u64> {
    by_queue
        .as_ref()
        .map(|by_queue| by_queue.get(queue).copied().unwrap_or(0))
}

/// Live workers by queue. Without its hash, or with a time of death, a name is only left over.
fn count_workers(replies: Vec<Reply>) -> Result<HashMap<Vec<u8>, u64>, Refusal> {
    let mut by_queue = HashMap::new();
    for reply in replies {
        let mut fields = reply.array()?.into_iter();
        let mut next = || fields.next().and_then(|field| field.bytes().ok().flatten());
        let (Some(queues), death) = (next(), next()) else {
            continue;
        };
        if death.is_some_and(|at| !at.is_empty()) {
            continue;
        }
        for queue in queues.split(|byte| *byte == b',') {
            *by_queue.entry(queue.to_vec()).or_default() += 1;
        }
    }
    Ok(by_queue)
}

/// The strings of an array; what is none is left out.
fn strings(reply: Reply) -> Result<Vec<Vec<u8>>, Refusal> {
    let items = reply.array()?.into_iter();
    Ok(items
        .filter_map(|item| item.bytes().ok().flatten())
        .collect())
}
