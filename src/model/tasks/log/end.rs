//! How attempts end.

use super::{TaskLog, Told};
use crate::model::Example;
use crate::model::tasks::Loss;
use crate::model::tasks::known::TaskId;
use crate::model::tasks::waiting::QueueId;
use std::time::Duration;

/// How an attempt ended.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum End {
    Success(Option<Duration>),
    Failure,
    Retry,
    Never,
}

impl TaskLog {
    /// Notes an end. The task's name; none if it was told before.
    pub(super) fn ended(&mut self, told: &Told<'_>, end: End) -> Option<TaskId> {
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
            || known
                .started
                .is_some_and(|started| told.told < started.told)
            || (end == End::Retry
                && known.started.is_none()
                && known.attempt.is_some_and(|attempt| attempt > 0));
        if is_earlier {
            if !std::mem::take(&mut known.owes.end) {
                return None;
            }
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
            let at = told.at.unwrap_or(told.now);
            self.run_in(queue, Example::new(told.id, run, at));
        }
        Some(task)
    }

    pub(super) fn run_in(&mut self, queue: QueueId, example: Example) {
        if !self.news.run_in(queue, example) {
            self.losses.note(Loss::Full, 1);
        }
    }
}
