//! The tasks that workers have, each with what its events have told so far. 64 bytes a task.

use super::waiting::{AsIs, QueueId};
use crate::model::Timestamp;
use std::collections::HashMap;
use std::hash::BuildHasherDefault;
use std::time::Duration;

/// Tasks that are followed at once, from when a worker received them; a worker receives all tasks
/// with an ETA long before they are due.
pub(super) const MAX_KNOWN: usize = 200_000;

/// So long is an ended task remembered: events may come twice, and its sending may be told late.
pub(super) const REMEMBERED: Duration = Duration::from_secs(5);

/// A number for a task's name; 0 is [`super::OTHER`].
pub(super) type TaskId = u16;

/// One attempt at a task.
#[derive(Debug, Clone, Default)]
pub(super) struct Known {
    pub(super) worker: u64,
    pub(super) task: TaskId,
    pub(super) queue: QueueId,
    pub(super) attempt: Option<u16>,
    /// When the worker received it, by its own clock.
    pub(super) received: Option<Timestamp>,
    pub(super) started: Option<Started>,
    /// When its end was heard of.
    pub(super) ended: Option<Timestamp>,
    pub(super) run: Option<Duration>,
    pub(super) is_joined: bool,
    /// There was another attempt before, or another worker had it: what was not told of that yet.
    pub(super) owes: Owes,
}

/// Events that are still to come. What comes once more is the same event again.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Owes {
    pub(super) start: bool,
    pub(super) end: bool,
}

/// When an attempt started.
#[derive(Debug, Clone, Copy)]
pub(super) struct Started {
    /// By the worker's clock.
    pub(super) told: Timestamp,
    /// On a clock that all hosts have in common, if it is known how far the worker's is from that.
    pub(super) at: Option<Timestamp>,
}

impl Known {
    /// What is still to come of it.
    pub(super) fn owes(&self) -> Owes {
        Owes {
            start: self.started.is_none(),
            end: self.ended.is_none(),
        }
    }

    pub(super) fn is_running(&self) -> bool {
        self.started.is_some() && self.ended.is_none()
    }
}

#[derive(Debug, Default)]
pub(super) struct KnownTasks {
    tasks: HashMap<u64, Known, BuildHasherDefault<AsIs>>,
    swept: Option<Timestamp>,
}

impl KnownTasks {
    pub(super) fn get_mut(&mut self, key: u64) -> Option<&mut Known> {
        self.tasks.get_mut(&key)
    }

    /// False if there is no room.
    pub(super) fn insert(&mut self, key: u64, known: Known, now: Timestamp) -> bool {
        if self.tasks.len() >= MAX_KNOWN && !self.tasks.contains_key(&key) {
            self.sweep(now, Duration::from_secs(1));
            if self.tasks.len() >= MAX_KNOWN {
                return false;
            }
        }
        self.tasks.insert(key, known);
        true
    }

    pub(super) fn values(&self) -> impl Iterator<Item = &Known> {
        self.tasks.values()
    }

    /// Forgets tasks that have ended, if the last time is `pause` ago.
    pub(super) fn sweep(&mut self, now: Timestamp, pause: Duration) {
        if self.swept.is_some_and(|swept| swept.age_at(now) < pause) {
            return;
        }
        self.swept = Some(now);
        self.tasks.retain(|_, known| {
            known
                .ended
                .is_none_or(|ended| ended.age_at(now) < REMEMBERED)
        });
    }

    /// Forgets what a worker had received before this time on its clock.
    pub(super) fn forget(&mut self, worker: u64, before: Timestamp) {
        self.tasks.retain(|_, known| {
            let told = known.started.map(|started| started.told).or(known.received);
            known.worker != worker || known.ended.is_some() || told.is_none_or(|at| at >= before)
        });
    }
}
