//! What concerns all of Sidekiq's queues together: what waits for its time or was given up, what has
//! been done, and the processes with the jobs that they run.

use super::job;
use super::process::{FIELDS, Process};
use crate::layout::prefix::Prefix;
use crate::layout::redis::{Bytes, Read, Refusal, RefusalKind, Reply};
use crate::layout::running::Running;
use crate::layout::tally::{self, Tally};
use crate::model::{Jobs, Reason, System, SystemTotals};
use std::collections::HashMap;

/// Bytes of jobs at work read at one poll, by Redis's own estimate.
const MAX_WORK: u64 = 4 * 1024 * 1024;

pub(super) struct Survey {
    pub(super) keys: Prefix,
    pub(super) totals: Option<SystemTotals>,
    pub(super) running: Running,
    pub(super) complaint: Option<Refusal>,
    /// By identity; `None` while not known.
    processes: Option<HashMap<Vec<u8>, Process>>,
    /// As of the poll before: what a process shows stands until its next beat.
    before: HashMap<Vec<u8>, Process>,
    tally: Tally,
    /// The processes that the reads of the last round were about, and which keys.
    asked: Vec<(Vec<u8>, Bytes)>,
    /// Why `running` is not as of this poll, if so.
    pub(super) not_running: Option<Reason>,
    /// Whether there is more of Sidekiq than the set `queues`, a name that an application may well use:
    /// a process, what one has counted, a job, or a namespace in the configuration.
    pub(super) is_here: bool,
}

impl Survey {
    pub(super) fn new(keys: Prefix) -> Self {
        let is_here = !keys.0.is_empty();
        Self {
            keys,
            totals: None,
            running: Running::default(),
            complaint: None,
            processes: None,
            before: HashMap::new(),
            tally: Tally::default(),
            asked: Vec::new(),
            not_running: None,
            is_here,
        }
    }

    /// Threads that take jobs from the queue.
    pub(super) fn consumers(&self, queue: &[u8]) -> Option<u64> {
        let processes = self.processes.as_ref()?.values();
        processes
            .filter(|process| !process.is_quiet)
            .map(|process| process.slots_for(queue))
            .sum()
    }

    /// One round; see [`crate::layout::redis::Layout::overview`].
    pub(super) fn step(&mut self, round: usize, replies: Vec<Reply>) -> Vec<Read> {
        let reads = match round {
            0 => Ok(self.begin()),
            1 => self.totals(replies),
            2 => self.identities(replies),
            3 => Ok(self.described(replies)),
            4 => Ok(self.sizes(replies)),
            5 => {
                self.work(replies);
                Ok(Vec::new())
            }
            _ => return Vec::new(),
        };
        let reads = reads.unwrap_or_else(|refusal| {
            self.refuse(refusal);
            Vec::new()
        });
        if reads.is_empty() {
            self.conclude();
        }
        reads
    }

    fn begin(&mut self) -> Vec<Read> {
        if let Some(processes) = self.processes.take() {
            self.before = processes;
        }
        (self.totals, self.complaint, self.not_running) = (None, None, None);
        self.asked.clear();
        let key = |name: &[u8]| self.keys.key(&[name]);
        vec![
            Read::Zcard(key(b"schedule")),
            Read::Zcard(key(b"retry")),
            Read::Zcard(key(b"dead")),
            Read::Zrange(key(b"schedule"), 0, 0),
            Read::Zrange(key(b"retry"), 0, 0),
            Read::Getrange(key(b"stat:processed"), tally::DIGITS),
            Read::Getrange(key(b"stat:failed"), tally::DIGITS),
            Read::Scard(key(b"processes")),
        ]
    }

    fn totals(&mut self, replies: Vec<Reply>) -> Result<Vec<Read>, Refusal> {
        let mut replies = replies.into_iter();
        let mut next = || replies.next().unwrap_or(Reply::Nil);
        let jobs = Jobs {
            scheduled: Some(next().count()?),
            retry: Some(next().count()?),
            failed: Some(next().count()?),
            ..Jobs::default()
        };
        let due = [next().first_due(), next().first_due()];
        let (processed, failed) = (next(), next());
        self.is_here |= matches!(&processed, Reply::Bytes(count) if !count.is_empty());
        let counters = self.tally.read(processed, failed)?;
        self.totals = Some(SystemTotals {
            system: System::Sidekiq,
            jobs,
            next_due: due.into_iter().flatten().min(),
            slots: None,
            busy_workers: None,
            counters,
        });
        let processes = next().count()?;
        self.is_here |= processes > 0;
        if processes > u64::from(Read::MAX_ELEMENTS) {
            self.not_running = Some(Reason::TooMany);
            return Ok(Vec::new());
        }
        self.processes = Some(HashMap::new());
        Ok(match processes {
            0 => Vec::new(),
            _ => vec![Read::Smembers(self.keys.key(&[b"processes"]))],
        })
    }

    fn identities(&mut self, replies: Vec<Reply>) -> Result<Vec<Read>, Refusal> {
        let mut reads = Vec::new();
        for reply in replies {
            for identity in reply.array()? {
                let Some(identity) = identity.bytes()? else {
                    continue;
                };
                let key = self.keys.key(&[&identity]);
                reads.push(Read::Hmget(Bytes::clone(&key), FIELDS));
                self.asked.push((identity, key));
            }
        }
        Ok(reads)
    }

    fn described(&mut self, replies: Vec<Reply>) -> Vec<Read> {
        let mut reads = Vec::new();
        let identities = std::mem::take(&mut self.asked);
        for ((identity, _), reply) in identities.into_iter().zip(replies) {
            if let Reply::Refused(refusal) = reply {
                self.refuse(refusal);
                return Vec::new();
            }
            let Some(mut process) = Process::decode(reply) else {
                continue;
            };
            let before = self.before.remove(&identity);
            process.work = match before {
                Some(before) if before.beat == process.beat => before.work,
                _ if process.busy == 0 => Some(Vec::new()),
                _ => None,
            };
            if process.work.is_none() {
                for ending in process.work_keys() {
                    let key = self.keys.key(&[&identity, ending]);
                    reads.push(Read::Hlen(Bytes::clone(&key)));
                    reads.push(Read::MemoryUsage(Bytes::clone(&key)));
                    self.asked.push((identity.clone(), key));
                }
            }
            if let Some(processes) = &mut self.processes {
                processes.insert(identity, process);
            }
        }
        reads
    }

    /// Reads what runs in the processes that have beaten, as far as it is not too much.
    fn sizes(&mut self, replies: Vec<Reply>) -> Vec<Read> {
        let mut left = MAX_WORK;
        let mut reads = Vec::new();
        let mut replies = replies.into_iter();
        let mut at_work = Vec::new();
        for (identity, key) in std::mem::take(&mut self.asked) {
            let len = replies.next().unwrap_or(Reply::Nil).count();
            let size = replies.next().unwrap_or(Reply::Nil).count();
            let len = match len {
                Ok(len) => len,
                Err(refusal) => {
                    self.refuse(refusal);
                    return Vec::new();
                }
            };
            let Some(process) = self.process(&identity) else {
                continue;
            };
            if len == 0 {
                // Of two keys that may hold its jobs the other one may be in use.
                if identity != at_work {
                    process.work = Some(Vec::new());
                }
                continue;
            }
            process.work = None;
            at_work.clone_from(&identity);
            // A server that does not tell sizes: the connection still drops what is too large.
            let size = size.unwrap_or(len.saturating_mul(1024));
            if len <= u64::from(Read::MAX_ELEMENTS) && size <= left {
                left -= size;
                reads.push(Read::Hgetall(Bytes::clone(&key)));
                self.asked.push((identity, key));
            } else {
                self.not_running = Some(Reason::TooMany);
            }
        }
        reads
    }

    fn work(&mut self, replies: Vec<Reply>) {
        let asked = std::mem::take(&mut self.asked);
        for ((identity, _), reply) in asked.into_iter().zip(replies) {
            let fields = match reply.array() {
                Ok(fields) => fields,
                Err(refusal) => {
                    self.refuse(refusal);
                    return;
                }
            };
            let jobs = fields.into_iter().skip(1).step_by(2).map(|job| match job {
                Reply::Bytes(job) => job::running(&job),
                _ => None,
            });
            let jobs: Option<Vec<_>> = jobs.collect();
            if jobs.is_none() {
                self.not_running = Some(Reason::WorkUndecodable);
            }
            if let Some(process) = self.process(&identity) {
                process.work = jobs;
            }
        }
    }

    fn process(&mut self, identity: &[u8]) -> Option<&mut Process> {
        self.processes.as_mut()?.get_mut(identity)
    }

    fn refuse(&mut self, refusal: Refusal) {
        self.not_running = Some(match refusal.kind {
            RefusalKind::NotPermitted => Reason::WorkNotPermitted,
            _ => Reason::WorkUndecodable,
        });
        self.is_here |= refusal.kind == RefusalKind::NotPermitted;
        self.complaint = Some(refusal);
    }

    /// Adds up what the processes say.
    fn conclude(&mut self) {
        let Some(processes) = &self.processes else {
            return;
        };
        if let Some(totals) = &mut self.totals {
            let busy = processes.values().map(|process| process.busy);
            let busy = busy.fold(0, u64::saturating_add);
            totals.busy_workers = Some(busy);
            totals.jobs.in_progress = Some(busy);
            let taking = processes.values().filter(|process| !process.is_quiet);
            totals.slots = taking.map(Process::slots).sum();
        }
        if self.not_running.is_none() {
            let work = processes
                .values()
                .filter_map(|process| process.work.as_ref());
            self.running.show(work.flatten());
        }
    }
}
