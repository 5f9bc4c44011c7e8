//! What concerns all of Resque's queues together: what failed, what has been done, what is due later,
//! and the workers.

use super::worker::{self, MAX_TEXT};
use crate::layout::celery::iso_time;
use crate::layout::prefix::Prefix;
use crate::layout::redis::{Read, Refusal, RefusalKind, Reply};
use crate::layout::running::{Running, RunningJob};
use crate::layout::tally::{self, Tally};
use crate::model::{Jobs, Reason, System, SystemTotals, Timestamp};
use std::collections::HashMap;
use std::time::Duration;

/// Due times of resque-scheduler whose jobs are counted; of more the count is unknown.
const DUE_TIMES: u32 = 256;

/// As long without a heartbeat, and Resque takes a worker for dead.
const DEAD_AFTER: Duration = Duration::from_secs(300);

pub(super) struct Survey {
    pub(super) keys: Prefix,
    pub(super) totals: Option<SystemTotals>,
    pub(super) running: Running,
    pub(super) complaint: Option<Refusal>,
    /// Why workers and what they run are not known, if so.
    pub(super) not_running: Option<Reason>,
    tally: Tally,
    /// The names of the live workers.
    workers: Vec<Vec<u8>>,
}

impl Survey {
    pub(super) fn new(keys: Prefix) -> Self {
        Self {
            keys,
            totals: None,
            running: Running::default(),
            complaint: None,
            not_running: None,
            tally: Tally::default(),
            workers: Vec::new(),
        }
    }

    /// Workers that take jobs from the queue.
    pub(super) fn consumers(&self, queue: &[u8]) -> u64 {
        let serving = self
            .workers
            .iter()
            .filter(|name| worker::serves(name, queue));
        serving.count() as u64
    }

    /// One round; see [`crate::layout::redis::Layout::overview`].
    pub(super) fn step(&mut self, round: usize, replies: Vec<Reply>, now: Timestamp) -> Vec<Read> {
        let reads = match round {
            0 => Ok(self.begin()),
            1 => self.counts(replies),
            2 => self.names(replies, now),
            3 => self.jobs(replies),
            _ => return Vec::new(),
        };
        reads.unwrap_or_else(|refusal| {
            self.not_running = Some(match refusal.kind {
                RefusalKind::NotPermitted => Reason::WorkNotPermitted,
                _ => Reason::WorkUndecodable,
            });
            self.complaint = Some(refusal);
            Vec::new()
        })
    }

    fn begin(&mut self) -> Vec<Read> {
        (self.totals, self.complaint, self.not_running) = (None, None, None);
        self.workers.clear();
        let key = |name: &[u8]| self.keys.key(&[name]);
        vec![
            Read::Llen(key(b"failed")),
            Read::Getrange(key(b"stat:processed"), tally::DIGITS),
            Read::Getrange(key(b"stat:failed"), tally::DIGITS),
            Read::Zrange(key(b"delayed_queue_schedule"), 0, DUE_TIMES),
            Read::Scard(key(b"workers")),
            Read::Hlen(key(b"workers:heartbeat")),
        ]
    }

    /// Then reads how many jobs are due at each time, the workers' names and their heartbeats.
    fn counts(&mut self, replies: Vec<Reply>) -> Result<Vec<Read>, Refusal> {
        let mut replies = replies.into_iter();
        let mut next = || replies.next().unwrap_or(Reply::Nil);
        let failed = next().count()?;
        let counters = self.tally.read(next(), next())?;
        let due = next().scored()?;
        let (workers, heartbeats) = (next().count()?, next().count()?);
        let mut jobs = Jobs {
            failed: Some(failed),
            ..Jobs::default()
        };
        let mut reads = Vec::new();
        if due.len() <= DUE_TIMES as usize {
            jobs.scheduled = Some(0);
            let list = |time: &[u8]| Read::Llen(self.keys.key(&[b"delayed:", time]));
            reads.extend(due.iter().map(|(time, _)| list(time)));
        }
        self.totals = Some(SystemTotals {
            system: System::Resque,
            jobs,
            next_due: due
                .first()
                .and_then(|(_, at)| Timestamp::from_secs_f64(*at)),
            slots: None,
            busy_workers: None,
            counters,
        });
        let most = u64::from(Read::MAX_ELEMENTS);
        if workers > most || heartbeats > most {
            self.not_running = Some(Reason::TooMany);
        } else {
            reads.push(Read::Smembers(self.keys.key(&[b"workers"])));
            reads.push(Read::Hgetall(self.keys.key(&[b"workers:heartbeat"])));
        }
        Ok(reads)
    }

    /// Then reads what the live workers run.
    fn names(&mut self, mut replies: Vec<Reply>, now: Timestamp) -> Result<Vec<Read>, Refusal> {
        let workers = match self.not_running {
            None => replies.split_off(replies.len().saturating_sub(2)),
            Some(_) => Vec::new(),
        };
        if let Some(totals) = &mut self.totals
            && totals.jobs.scheduled.is_some()
        {
            let lists = replies.into_iter().map(Reply::count);
            totals.jobs.scheduled = Some(lists.sum::<Result<u64, _>>()?);
        }
        let mut workers = workers.into_iter().map(strings);
        let (Some(names), Some(beats)) = (workers.next(), workers.next()) else {
            return Ok(Vec::new());
        };
        let beats = last_beats(beats?);
        self.workers = names?;
        self.workers.retain(|name| {
            // Before Resque 1.27 there was none.
            let beat = beats.get(name);
            worker::is_name(name) && beat.is_none_or(|beat| beat.age_at(now) < DEAD_AFTER)
        });
        if self.workers.is_empty() {
            self.conclude(&[]);
        }
        let text = |name: &[u8]| Read::Getrange(self.keys.key(&[b"worker:", name]), MAX_TEXT);
        Ok(self.workers.iter().map(|name| text(name)).collect())
    }

    fn jobs(&mut self, replies: Vec<Reply>) -> Result<Vec<Read>, Refusal> {
        let mut jobs = Vec::new();
        for (name, reply) in self.workers.iter().zip(replies) {
            // Nothing while it is idle.
            let text = reply.bytes()?.unwrap_or_default();
            if text.is_empty() {
                continue;
            }
            match worker::running(name, &text) {
                Some(job) => jobs.push(job),
                None => self.not_running = Some(Reason::WorkUndecodable),
            }
        }
        self.conclude(&jobs);
        Ok(Vec::new())
    }

    fn conclude(&mut self, jobs: &[RunningJob]) {
        if self.not_running.is_some() {
            return;
        }
        self.running.show(jobs.iter());
        if let Some(totals) = &mut self.totals {
            totals.slots = Some(self.workers.len() as u64);
            totals.busy_workers = Some(jobs.len() as u64);
            totals.jobs.in_progress = Some(jobs.len() as u64);
        }
    }
}

/// By worker, what the hash of heartbeats says.
fn last_beats(fields: Vec<Vec<u8>>) -> HashMap<Vec<u8>, Timestamp> {
    let mut beats = HashMap::new();
    let mut fields = fields.into_iter();
    while let (Some(name), Some(at)) = (fields.next(), fields.next()) {
        if let Some(at) = std::str::from_utf8(&at).ok().and_then(iso_time) {
            beats.insert(name, at);
        }
    }
    beats
}

/// The strings of an array, all of them or a refusal.
fn strings(reply: Reply) -> Result<Vec<Vec<u8>>, Refusal> {
    let items = reply.array()?.into_iter();
    items
        .map(|item| Ok(item.bytes()?.unwrap_or_default()))
        .collect()
}
