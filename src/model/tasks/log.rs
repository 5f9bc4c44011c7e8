//! The join: what came first of a task, kept until what belongs to it comes.

mod ask;
mod end;

use super::clocks::{Clocks, DELAY, host_of, moved};
use super::known::{Known, KnownTasks, Owes, Started, TaskId};
use super::news::News;
use super::waiting::{QueueId, Waiting};
use super::workers::Workers;
use super::{Event, EventCounts, Loss, LossCounts, TaskStep, What, WorkerState};
use crate::model::{Example, Timestamp};
pub use ask::Busy;
use end::End;
use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};

/// Where a worker's word on which attempt it has is missing, so many are tried.
const ATTEMPTS: u16 = 5;

/// Queues that are told apart.
const MAX_QUEUES: usize = 20_000;

/// How much is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Tasks that wait.
    pub waiting: usize,
    /// Names of tasks.
    pub tasks: usize,
}

/// Everything that events have told and nobody has asked for yet. Of bounded size, however many
/// events there are.
#[derive(Debug)]
pub struct TaskLog {
    seeds: RandomState,
    clocks: Clocks,
    waiting: Waiting,
    known: KnownTasks,
    workers: Workers,
    news: News,
    events: EventCounts,
    losses: LossCounts,
    cleared: HashMap<QueueId, Timestamp>,
}

/// One event on the way through the log.
struct Told<'a> {
    id: &'a str,
    /// Of the task.
    key: u64,
    worker: u64,
    /// By the clock of the host that tells it, and by the one that all have in common, if it is known
    /// how far the host's is from that.
    told: Timestamp,
    at: Option<Timestamp>,
    now: Timestamp,
}

impl TaskLog {
    pub fn new(limits: Limits) -> Self {
        Self {
            seeds: RandomState::new(),
            clocks: Clocks::default(),
            waiting: Waiting::new(limits.waiting),
            known: KnownTasks::default(),
            workers: Workers::default(),
            news: News::new(MAX_QUEUES, limits.tasks),
            events: EventCounts::default(),
            losses: LossCounts::default(),
            cleared: HashMap::new(),
        }
    }

    /// Takes an event that has arrived at `now` by our clock.
    pub fn take(&mut self, event: &Event, now: Timestamp) {
        self.events.note(event.what.kind());
        let host = self.seeds.hash_one(host_of(&event.sender));
        let correction = self.clocks.correction(host, event.at, now);
        let worker = self.seeds.hash_one(&event.sender);
        match &event.what {
            What::Other => {}
            What::Worker(state) => self.worker(worker, *state, event.at, now),
            What::Task { id, step } => {
                let told = Told {
                    id,
                    key: self.seeds.hash_one(id),
                    worker,
                    told: event.at,
                    at: correction.map(|correction| moved(event.at, correction)),
                    now,
                };
                self.step(&told, step, correction);
            }
        }
    }

    /// Messages that could not be read.
    pub fn unreadable(&mut self, messages: u64) {
        self.losses.note(Loss::Decode, messages);
    }

    /// Some events were not heard: the stream broke off, or we stood still.
    pub fn gap(&mut self, loss: Loss) {
        self.losses.note(loss, 1);
        self.news.gaps += 1;
        self.workers.doubt();
    }

    fn step(&mut self, told: &Told<'_>, step: &TaskStep, correction: Option<i64>) {
        match step {
            TaskStep::Sent {
                queue,
                attempt,
                due,
            } => {
                let moved = |due: Option<Timestamp>| Some(moved(due?, correction?));
                let due = told.at.map(|at| at.max(moved(*due).unwrap_or(at)));
                let queue = queue.as_deref().unwrap_or_default();
                self.sent(told, queue, attempt_number(*attempt), due);
            }
            TaskStep::Received { name, attempt } => {
                self.received(told, name, attempt_number(*attempt));
            }
            TaskStep::Started => self.started(told),
            TaskStep::Succeeded { runtime } => {
                let task = self.ended(told, End::Success(*runtime));
                self.count(task, |counts| counts.succeeded += 1);
            }
            TaskStep::Failed => {
                let task = self.ended(told, End::Failure);
                self.count(task, |counts| counts.failures += 1);
            }
            TaskStep::Retried => {
                let task = self.ended(told, End::Retry);
                self.count(task, |counts| counts.retries += 1);
            }
            TaskStep::Revoked => {
                let task = self.ended(told, End::Never);
                self.count(task, |counts| counts.revoked += 1);
            }
            TaskStep::Rejected => {
                let task = self.ended(told, End::Never);
                self.count(task, |counts| counts.rejected += 1);
            }
        }
    }

    fn count(&mut self, task: Option<TaskId>, count: impl FnOnce(&mut super::TaskCounts)) {
        if let Some(counts) = task.and_then(|task| self.news.task(task)) {
            count(counts);
        }
    }

    /// One number for an attempt at a task.
    fn attempt_key(&self, key: u64, attempt: u16) -> u64 {
        self.seeds.hash_one((key, attempt))
    }

    fn sent(&mut self, told: &Told<'_>, queue: &str, attempt: u16, due: Option<Timestamp>) {
        let queue = match queue {
            "" => 0,
            name => self.news.queue_id(name, told.now),
        };
        let known = self.known.get_mut(told.key);
        let had = known.as_ref().and_then(|known| known.attempt);
        if had.is_some_and(|had| had > attempt) {
            // The same event again, or too late.
            return;
        }
        let mut of_this = known.filter(|_| had.is_none_or(|had| had == attempt));
        if let Some(known) = &mut of_this
            && let Some(started) = known.started
        {
            if known.is_joined && known.attempt.is_some() {
                // The same event again.
                return;
            }
            if !known.is_joined {
                // It has started already: a worker can be faster than the news of the sending.
                (known.is_joined, known.queue) = (true, queue);
                let run = known.run.filter(|_| known.ended.is_some());
                self.wait(told, queue, due, started.at);
                if let Some(run) = run {
                    self.run_in(queue, Example::new(told.id, run, told.now));
                }
                return;
            }
        }
        let key = self.attempt_key(told.key, attempt);
        if !self.waiting.insert(key, due, queue, told.now) {
            self.losses.note(Loss::Full, 1);
        } else if let Some(queue) = self.news.queue(queue) {
            queue.waiting += 1;
        }
    }

    fn received(&mut self, told: &Told<'_>, name: &str, attempt: u16) {
        let task = self.news.task_id(name);
        // A worker can have the retry before it tells that the attempt before has failed.
        let mut queue = 0;
        let mut owes = Owes {
            start: attempt > 0,
            end: attempt > 0,
        };
        if let Some(known) = self.known.get_mut(told.key) {
            // The same event again, or one that was overtaken.
            let is_same = known.received == Some(told.told) && known.worker == told.worker;
            if is_same || known.attempt.is_some_and(|known| known > attempt) {
                return;
            }
            if known.is_running() {
                self.workers.ended(known.worker);
            }
            queue = known.queue;
            owes = known.owes();
        }
        let known = Known {
            worker: told.worker,
            task,
            queue,
            attempt: Some(attempt),
            received: Some(told.told),
            owes,
            ..Known::default()
        };
        if !self.known.insert(told.key, known, told.now) {
            self.losses.note(Loss::Full, 1);
        }
    }

    fn started(&mut self, told: &Told<'_>) {
        let started = Started {
            told: told.told,
            at: told.at,
        };
        let (task, attempt, is_followed) = match self.known.get_mut(told.key) {
            Some(known) if known.worker == told.worker => {
                let is_earlier = known.received.is_some_and(|received| told.told < received);
                if known.started.is_some() || is_earlier {
                    // The same event again.
                    return;
                }
                known.started = Some(started);
                (known.task, known.attempt, true)
            }
            // An earlier attempt of another worker, whose events come later.
            Some(known) => {
                if !std::mem::take(&mut known.owes.start) {
                    return;
                }
                let before = known.attempt.map(|attempt| attempt.saturating_sub(1));
                (known.task, before, false)
            }
            None => {
                let known = Known {
                    worker: told.worker,
                    started: Some(started),
                    ..Known::default()
                };
                let is_followed = self.known.insert(told.key, known, told.now);
                (0, None, is_followed)
            }
        };
        self.count(Some(task), |counts| counts.started += 1);
        let is_running = is_followed
            && self
                .known
                .get_mut(told.key)
                .is_some_and(|known| known.is_running());
        if is_running {
            self.workers.started(told.worker, told.now);
        }
        let Some((due, queue)) = self.take_waiting(told.key, attempt) else {
            self.losses.note(Loss::Unmatched, 1);
            return;
        };
        if let Some(known) = self.known.get_mut(told.key).filter(|_| is_followed) {
            (known.is_joined, known.queue) = (true, queue);
        }
        self.wait(told, queue, due, told.at);
    }

    /// Since when the attempt has waited, in which queue.
    fn take_waiting(
        &mut self,
        key: u64,
        attempt: Option<u16>,
    ) -> Option<(Option<Timestamp>, QueueId)> {
        let attempts = attempt.map_or(0..=ATTEMPTS, |attempt| attempt..=attempt);
        let found = attempts
            .into_iter()
            .find_map(|attempt| self.waiting.take(self.attempt_key(key, attempt)))?;
        if let Some(queue) = self.news.queue(found.1) {
            queue.waiting = queue.waiting.saturating_sub(1);
        }
        Some(found)
    }

    fn wait(
        &mut self,
        told: &Told<'_>,
        queue: QueueId,
        due: Option<Timestamp>,
        started: Option<Timestamp>,
    ) {
        let times = due.zip(started);
        let Some((due, started)) = times.filter(|(due, started)| *due <= started.plus(DELAY))
        else {
            self.losses.note(Loss::Clocks, 1);
            return;
        };
        let example = Example::new(told.id, due.age_at(started), started);
        if !self.news.wait(queue, example) {
            self.losses.note(Loss::Full, 1);
        }
    }

    fn worker(&mut self, id: u64, state: WorkerState, at: Timestamp, now: Timestamp) {
        if self.workers.tell(id, state, at, now) {
            self.known.forget(id, at);
        }
    }
}

fn attempt_number(attempt: u32) -> u16 {
    u16::try_from(attempt).unwrap_or(u16::MAX)
}
