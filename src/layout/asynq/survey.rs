//! What concerns all of Asynq's queues together: its servers, and the tasks that their workers run.

use super::message::{Server, Worker};
use crate::layout::redis::{Bytes, Read, Refusal, RefusalKind, Reply};
use crate::layout::running::{Running, RunningJob, start_id};
use crate::model::{Reason, Timestamp};
use std::collections::HashMap;

const SERVERS: &[u8] = b"asynq:servers";
const WORKERS: &[u8] = b"asynq:workers";

/// Servers looked at, and bytes of their workers read at one poll, by Redis's own estimate.
const MAX_SERVERS: u32 = 512;
const MAX_WORK: u64 = 4 * 1024 * 1024;

#[derive(Default)]
pub(super) struct Survey {
    pub(super) complaint: Option<Refusal>,
    servers: Option<Vec<Server>>,
    running: Running,
    /// What the workers of a server run, by the key that tells it, as of its last beat.
    work: HashMap<Vec<u8>, Work>,
    /// Why what runs is not known, if so.
    not_running: Option<Reason>,
    /// Keys that the reads of the last round were about.
    asked: Vec<Vec<u8>>,
}

struct Work {
    /// When it expires: later with every beat.
    expiry: f64,
    jobs: Option<Vec<RunningJob>>,
}

impl Survey {
    /// Tasks of the queue that servers can run at once, in so far as they are not busy with others.
    pub(super) fn consumers(&self, queue: &[u8]) -> Option<u64> {
        let servers = self.servers.as_ref()?.iter();
        let serving = servers.filter(|server| {
            server.status == b"active" && server.queues.iter().any(|name| name == queue)
        });
        let slots = serving.map(|server| server.concurrency);
        Some(slots.fold(0, u64::saturating_add))
    }

    /// The start of the longest-running task of the queue.
    pub(super) fn oldest(&self, queue: &[u8]) -> Option<Timestamp> {
        match self.not_running {
            None => self.running.oldest(queue),
            Some(_) => None,
        }
    }

    /// One round; see [`crate::layout::redis::Layout::overview`].
    pub(super) fn step(&mut self, round: usize, replies: Vec<Reply>, now: Timestamp) -> Vec<Read> {
        let reads = match round {
            0 => {
                (self.servers, self.complaint, self.not_running) = (None, None, None);
                self.asked.clear();
                let living = |key: &[u8]| Read::ZrangeByScore {
                    key: key.into(),
                    min: now.as_secs_f64(),
                    max: f64::INFINITY,
                    limit: MAX_SERVERS + 1,
                };
                Ok(vec![living(SERVERS), living(WORKERS)])
            }
            1 => self.living(replies),
            2 => self.described(replies),
            3 => self.at_work(replies),
            _ => return Vec::new(),
        };
        let reads = reads.unwrap_or_else(|refusal| {
            self.not_running = Some(match refusal.kind {
                RefusalKind::NotPermitted => Reason::WorkNotPermitted,
                _ => Reason::WorkUndecodable,
            });
            self.complaint = Some(refusal);
            Vec::new()
        });
        if reads.is_empty() && self.not_running.is_none() {
            let jobs = self.work.values().filter_map(|work| work.jobs.as_ref());
            self.running.show(jobs.flatten());
        }
        reads
    }

    fn living(&mut self, replies: Vec<Reply>) -> Result<Vec<Read>, Refusal> {
        let mut replies = replies.into_iter();
        let mut next = || replies.next().unwrap_or(Reply::Nil).scored();
        let (servers, workers) = (next()?, next()?);
        let many = MAX_SERVERS as usize;
        let mut reads = Vec::new();
        if servers.len() <= many {
            self.servers = Some(Vec::new());
            let read = |key: Vec<u8>| Read::Getrange(key.into(), Read::MAX_TEXT);
            reads.extend(servers.into_iter().map(|(key, _)| read(key)));
        }
        if workers.len() > many {
            self.not_running = Some(Reason::TooMany);
            return Ok(reads);
        }
        let mut before = std::mem::take(&mut self.work);
        for (key, expiry) in workers {
            let known = before.remove(&key);
            let known = known.filter(|work| work.expiry == expiry && work.jobs.is_some());
            if known.is_none() {
                let hash = Bytes::from(key.as_slice());
                reads.extend([Read::Hlen(Bytes::clone(&hash)), Read::MemoryUsage(hash)]);
                self.asked.push(key.clone());
            }
            let jobs = known.and_then(|work| work.jobs);
            self.work.insert(key, Work { expiry, jobs });
        }
        Ok(reads)
    }

    fn described(&mut self, replies: Vec<Reply>) -> Result<Vec<Read>, Refusal> {
        let mut replies = replies.into_iter();
        let asked = std::mem::take(&mut self.asked);
        let servers = replies.len().saturating_sub(2 * asked.len());
        for reply in replies.by_ref().take(servers) {
            let text = reply.bytes()?.unwrap_or_default();
            // Gone since: an empty text, which is a server that can do nothing.
            match (Server::decode(&text), &mut self.servers) {
                (Some(server), Some(known)) => known.push(server),
                _ => self.servers = None,
            }
        }
        let mut left = MAX_WORK;
        let mut reads = Vec::new();
        for key in asked {
            let len = replies.next().unwrap_or(Reply::Nil).count()?;
            let size = replies.next().unwrap_or(Reply::Nil).count();
            let size = size.unwrap_or(len.saturating_mul(1024));
            if len == 0 {
                if let Some(work) = self.work.get_mut(&key) {
                    work.jobs = Some(Vec::new());
                }
            } else if len <= u64::from(Read::MAX_ELEMENTS) && size <= left {
                left -= size;
                reads.push(Read::Hgetall(key.as_slice().into()));
                self.asked.push(key);
            } else {
                self.not_running = Some(Reason::TooMany);
            }
        }
        Ok(reads)
    }

    fn at_work(&mut self, replies: Vec<Reply>) -> Result<Vec<Read>, Refusal> {
        for (key, reply) in std::mem::take(&mut self.asked).into_iter().zip(replies) {
            let workers = reply.array()?.into_iter().skip(1).step_by(2);
            let jobs: Option<Vec<RunningJob>> = workers
                .map(|worker| Worker::decode(&worker.bytes().ok()??).map(running))
                .collect();
            if jobs.is_none() {
                self.not_running = Some(Reason::WorkUndecodable);
            }
            if let Some(work) = self.work.get_mut(&key) {
                work.jobs = jobs;
            }
        }
        Ok(Vec::new())
    }
}

fn running(worker: Worker) -> RunningJob {
    RunningJob {
        start: start_id((&worker.id, &worker.queue, worker.started)),
        queue: worker.queue,
        started: worker.started,
        wait: None,
    }
}
