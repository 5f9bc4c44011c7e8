//! The join: what came first of a task, kept until what belongs to it comes.

mod ask;

use super::clocks::{Clocks, DELAY, host_of, moved};
use super::known::{Known, KnownTasks, Started, TaskId};
use super::news::News;
use super::waiting::{QueueId, Waiting};
use super::workers::Workers;
use super::{Event, EventCounts, Loss, LossCounts, TaskStep, What, WorkerState};
use crate::model::{Example, Timestamp};
pub use ask::Busy;
use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

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
    /// By the clock of the host that tells it, and by the one that all have in common.
    told: Timestamp,
    at: Timestamp,
    now: Timestamp,
}

/// How an attempt ended.
#[derive(Clone, Copy, PartialEq)]
enum End {
    Success(Option<Duration>),
    Failure,
    Retry,
    Never,
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
                    at: moved(event.at, correction),
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

    /// The stream broke off: some events were not heard.
    pub fn broken(&mut self) {
        self.losses.note(Loss::Disconnected, 1);
        self.news.gaps += 1;
        self.workers.doubt();
    }

    fn step(&mut self, told: &Told<'_>, step: &TaskStep, correction: i64) {
        match step {
            TaskStep::Sent {
                queue,
                attempt,
                due,
            } => {
                let due = due.map_or(told.at, |due| told.at.max(moved(due, correction)));
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

    fn sent(&mut self, told: &Told<'_>, queue: &str, attempt: u16, due: Timestamp) {
        let queue = match queue {
            "" => 0,
            name => self.news.queue_id(name, told.now),
        };
        let known = self.known.get_mut(told.key);
        let mut of_this = known.filter(|known| known.attempt.is_none_or(|known| known == attempt));
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
                self.wait(told.id, queue, due, started.at);
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
        }
        let known = Known {
            worker: told.worker,
            task,
            queue,
            attempt: Some(attempt),
            received: Some(told.told),
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
                if known.started.is_some() {
                    return;
                }
                known.started = Some(started);
                (known.task, known.attempt, true)
            }
            // An earlier attempt of another worker, whose events come later.
            Some(known) => (known.task, None, false),
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
        self.wait(told.id, queue, due, told.at);
    }

    /// Since when the attempt has waited, in which queue.
    fn take_waiting(&mut self, key: u64, attempt: Option<u16>) -> Option<(Timestamp, QueueId)> {
        let attempts = attempt.map_or(0..=ATTEMPTS, |attempt| attempt..=attempt);
        let found = attempts
            .into_iter()
            .find_map(|attempt| self.waiting.take(self.attempt_key(key, attempt)))?;
        if let Some(queue) = self.news.queue(found.1) {
            queue.waiting = queue.waiting.saturating_sub(1);
        }
        Some(found)
    }

    fn wait(&mut self, id: &str, queue: QueueId, due: Timestamp, started: Timestamp) {
        if started.plus(DELAY) < due {
            self.losses.note(Loss::Clocks, 1);
            return;
        }
        let example = Example::new(id, due.age_at(started), started);
        if !self.news.wait(queue, example) {
            self.losses.note(Loss::Full, 1);
        }
    }

    fn run_in(&mut self, queue: QueueId, example: Example) {
        if !self.news.run_in(queue, example) {
            self.losses.note(Loss::Full, 1);
        }
    }

    /// Notes an end. The task's name; none if it was told before.
    fn ended(&mut self, told: &Told<'_>, end: End) -> Option<TaskId> {
        let (failures, retries) = (u64::from(end == End::Failure), u64::from(end == End::Retry));
        let mut run = match end {
            End::Success(runtime) => runtime,
            _ => None,
        };
        let Some(known) = self.known.get_mut(told.key) else {
            if end == End::Never {
                self.take_waiting(told.key, None);
            } else if let Some(run) = run {
                self.news.run(0, run);
            }
            return Some(0);
        };
        let task = known.task;
        // A retry that a worker has received before it told that the attempt before has failed.
        let is_earlier = known.worker != told.worker
            || (end == End::Retry
                && known.started.is_none()
                && known.attempt.is_some_and(|attempt| attempt > 0));
        if is_earlier {
            let queue = known.queue;
            self.news.count_in(queue, failures, retries);
            return Some(task);
        }
        if known.ended.is_some() {
            return None;
        }
        if known.is_running() {
            self.workers.ended(known.worker);
        }
        known.ended = Some(told.now);
        if end == End::Failure
            && let Some(started) = known.started
        {
            run = run.or(Some(started.told.age_at(told.told)));
        }
        known.run = run;
        let (queue, attempt, has_started) = (known.queue, known.attempt, known.started.is_some());
        if !has_started && end == End::Never {
            self.take_waiting(told.key, attempt);
        }
        self.news.count_in(queue, failures, retries);
        if let Some(run) = run {
            if !self.news.run(task, run) {
                self.losses.note(Loss::Full, 1);
            }
            self.run_in(queue, Example::new(told.id, run, told.at));
        }
        Some(task)
    }

    fn worker(&mut self, id: u64, state: WorkerState, at: Timestamp, now: Timestamp) {
        if self.workers.tell(id, state, now) {
            self.known.forget(id, at);
        }
    }
}

fn attempt_number(attempt: u32) -> u16 {
    u16::try_from(attempt).unwrap_or(u16::MAX)
}
