//! Which workers are alive and how many tasks each runs.

use super::WorkerState;
use crate::model::Timestamp;
use std::collections::HashMap;
use std::time::Duration;

/// Workers that are told apart; of more, nothing is said.
const MAX_WORKERS: usize = 10_000;

/// A worker that says nothing for so many of its intervals, or for [`SILENCE`], is gone.
const MISSED: u32 = 3;
const SILENCE: Duration = Duration::from_secs(10);

/// So often in a row may a worker run another number of tasks than its events tell: they are up to a
/// second late.
const DOUBTS: u8 = 5;

#[derive(Debug, Default)]
pub(super) struct Workers {
    workers: HashMap<u64, Worker>,
}

#[derive(Debug, Default)]
struct Worker {
    /// Tasks that have started and not ended, by the events.
    running: u64,
    /// The same, as the worker says.
    active: Option<u64>,
    every: Duration,
    heard: Option<Timestamp>,
    /// When it came, by its own clock.
    online: Option<Timestamp>,
    /// Every task that it runs is known by its events.
    is_known: bool,
    doubts: u8,
}

impl Workers {
    fn worker(&mut self, id: u64, now: Timestamp) -> Option<&mut Worker> {
        if self.workers.len() >= MAX_WORKERS && !self.workers.contains_key(&id) {
            self.workers.retain(|_, worker| worker.is_alive(now));
            if self.workers.len() >= MAX_WORKERS {
                return None;
            }
        }
        Some(self.workers.entry(id).or_default())
    }

    pub(super) fn started(&mut self, id: u64, now: Timestamp) {
        if let Some(worker) = self.worker(id, now) {
            worker.running += 1;
        }
    }

    pub(super) fn ended(&mut self, id: u64) {
        if let Some(worker) = self.workers.get_mut(&id) {
            worker.running = worker.running.saturating_sub(1);
        }
    }

    /// Takes what it told at `told` by its clock. True if it has no task that it had before.
    pub(super) fn tell(
        &mut self,
        id: u64,
        state: WorkerState,
        told: Timestamp,
        now: Timestamp,
    ) -> bool {
        match state {
            WorkerState::Offline => {
                self.workers.remove(&id);
                // Its last events may still be on their way.
                false
            }
            WorkerState::Online => {
                let worker = self.worker(id, now);
                let Some(worker) = worker.filter(|worker| worker.online != Some(told)) else {
                    // The same event again.
                    return false;
                };
                *worker = Worker {
                    online: Some(told),
                    heard: Some(now),
                    is_known: true,
                    ..Worker::default()
                };
                true
            }
            WorkerState::Alive { active, every } => {
                if let Some(worker) = self.worker(id, now) {
                    worker.heard = Some(now);
                    worker.active = active;
                    worker.every = every.unwrap_or_default().min(SILENCE * 6);
                    if active == Some(worker.running) {
                        (worker.is_known, worker.doubts) = (true, 0);
                    } else {
                        worker.doubts = worker.doubts.saturating_add(1);
                        worker.is_known &= worker.doubts < DOUBTS;
                    }
                }
                false
            }
        }
    }

    /// Events were lost: what runs is not known until a worker confirms it.
    pub(super) fn doubt(&mut self) {
        for worker in self.workers.values_mut() {
            worker.is_known = false;
        }
    }

    pub(super) fn is_alive(&self, id: u64, now: Timestamp) -> bool {
        self.workers
            .get(&id)
            .is_some_and(|worker| worker.is_alive(now))
    }

    /// Live workers, and whether every task that they run is known.
    pub(super) fn alive(&self, now: Timestamp) -> Option<(u64, bool)> {
        let alive = || self.workers.values().filter(|worker| worker.is_alive(now));
        let count = alive().count() as u64;
        (count > 0).then(|| (count, alive().all(|worker| worker.is_known)))
    }

    /// Tasks that live workers say they run.
    pub(super) fn active(&self, now: Timestamp) -> Option<u64> {
        let alive = self.workers.values().filter(|worker| worker.is_alive(now));
        let mut active = alive.filter_map(|worker| worker.active).peekable();
        active.peek()?;
        Some(active.sum())
    }
}

impl Worker {
    fn is_alive(&self, now: Timestamp) -> bool {
        let patience = SILENCE.max(self.every * MISSED);
        self.heard
            .is_some_and(|heard| heard.age_at(now) <= patience)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(secs: i64) -> Timestamp {
        Timestamp::from_micros(1_795_000_000_000_000 + secs * 1_000_000)
    }

    fn alive(active: u64) -> WorkerState {
        WorkerState::Alive {
            active: Some(active),
            every: Some(Duration::from_secs(2)),
        }
    }

    #[test]
    fn what_a_worker_runs_is_known_once_it_confirms_it() {
        let mut workers = Workers::default();
        workers.tell(1, alive(2), at(0), at(0));
        assert_eq!(workers.alive(at(1)), Some((1, false)));
        workers.started(1, at(1));
        workers.started(1, at(1));
        workers.tell(1, alive(2), at(2), at(2));
        assert_eq!(workers.alive(at(2)), Some((1, true)));
        // Its events lag behind now and then.
        workers.tell(1, alive(3), at(4), at(4));
        assert_eq!(workers.alive(at(4)), Some((1, true)));
        workers.doubt();
        assert_eq!(workers.alive(at(4)), Some((1, false)));
        assert_eq!(workers.active(at(4)), Some(3));
        for beat in 3..9 {
            workers.tell(1, alive(9), at(beat * 2), at(beat * 2));
        }
        assert_eq!(workers.alive(at(16)), Some((1, false)));
    }

    #[test]
    fn a_worker_that_falls_silent_is_gone_and_one_that_comes_anew_runs_nothing() {
        let mut workers = Workers::default();
        workers.tell(1, alive(0), at(0), at(0));
        assert_eq!(workers.alive(at(10)), Some((1, true)));
        assert_eq!(workers.alive(at(11)), None);
        assert_eq!(workers.active(at(11)), None);
        workers.started(1, at(11));
        assert!(workers.tell(1, WorkerState::Online, at(12), at(12)));
        assert_eq!(workers.alive(at(12)), Some((1, true)));
        assert!(!workers.tell(1, WorkerState::Online, at(12), at(13)));
        workers.tell(1, alive(0), at(13), at(13));
        assert_eq!(workers.alive(at(13)), Some((1, true)));
        assert!(!workers.tell(1, WorkerState::Offline, at(14), at(14)));
        assert_eq!(workers.alive(at(14)), None);
    }
}
