//! Jobs that run now, as the workers of a job system tell of them: how many of each queue, since
//! when, and what those have waited that have started since they were last looked at.
//!
//! Short jobs come and go between two looks, so the waits are a sample; which jobs are in it depends
//! on how long they run, not on how long they have waited.

use crate::model::{Measured, Timestamp};
use std::collections::{HashMap, HashSet};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::Duration;

/// Waits kept for a queue until it is read, and looks for which they are kept.
const MAX_WAITS: usize = 1024;
const MAX_LOOKS: u32 = 256;

/// A job at work.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct RunningJob {
    pub(crate) queue: Vec<u8>,
    /// One start of one job: the same at every look.
    pub(crate) start: u64,
    pub(crate) started: Option<Timestamp>,
    /// From enqueueing to the start, where both are told.
    pub(crate) wait: Option<Duration>,
}

#[derive(Debug, Default)]
pub(crate) struct Running {
    /// Starts shown at the last look. Before the first, nothing is new.
    seen: Option<HashSet<u64>>,
    queues: HashMap<Vec<u8>, OfQueue>,
    looks: u32,
}

#[derive(Debug, Default)]
struct OfQueue {
    jobs: u64,
    oldest: Option<Timestamp>,
    waits: Vec<Duration>,
    /// The look that last added a wait.
    added: u32,
}

/// A number for what tells one start of a job from all others.
pub(crate) fn start_id(of: impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    of.hash(&mut hasher);
    hasher.finish()
}

impl Running {
    /// Takes all jobs that run now.
    pub(crate) fn show<'a>(&mut self, jobs: impl Iterator<Item = &'a RunningJob>) {
        self.looks = self.looks.wrapping_add(1);
        let looks = self.looks;
        self.queues.retain(|_, queue| {
            (queue.jobs, queue.oldest) = (0, None);
            !queue.waits.is_empty() && looks.wrapping_sub(queue.added) < MAX_LOOKS
        });
        let mut shown = HashSet::new();
        for job in jobs {
            let is_twice = !shown.insert(job.start);
            if is_twice {
                continue;
            }
            let queue = match self.queues.get_mut(&job.queue) {
                Some(queue) => queue,
                None => self.queues.entry(job.queue.clone()).or_default(),
            };
            queue.jobs += 1;
            queue.oldest = match (queue.oldest, job.started) {
                (Some(a), Some(b)) => Some(a.min(b)),
                (oldest, started) => oldest.or(started),
            };
            let is_new = |seen: &HashSet<u64>| !seen.contains(&job.start);
            if self.seen.as_ref().is_some_and(is_new)
                && let Some(wait) = job.wait
                && queue.waits.len() < MAX_WAITS
            {
                queue.waits.push(wait);
                queue.added = looks;
            }
        }
        self.seen = Some(shown);
    }

    /// How many jobs of the queue run.
    pub(crate) fn jobs(&self, queue: &[u8]) -> u64 {
        self.queues.get(queue).map_or(0, |queue| queue.jobs)
    }

    pub(crate) fn oldest(&self, queue: &[u8]) -> Option<Timestamp> {
        self.queues.get(queue)?.oldest
    }

    /// The waits since the queue was last read.
    pub(crate) fn take_waits(&mut self, queue: &[u8]) -> Measured {
        let queue = self.queues.get_mut(queue);
        Measured {
            waits: queue.map_or_else(Vec::new, |queue| std::mem::take(&mut queue.waits)),
            is_sample: true,
            ..Measured::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NO_WAITS: [Duration; 0] = [];

    fn job(queue: &str, id: &str, started: i64, wait: u64) -> RunningJob {
        RunningJob {
            queue: queue.into(),
            start: start_id((id, started)),
            started: Some(Timestamp::from_micros(started)),
            wait: Some(Duration::from_secs(wait)),
        }
    }

    #[test]
    fn each_start_is_counted_once_and_those_before_us_not_at_all() {
        let mut running = Running::default();
        let (old, new) = (job("q", "a", 5, 1), job("q", "b", 9, 2));
        running.show([&old].into_iter());
        assert_eq!(running.take_waits(b"q").waits, NO_WAITS);
        running.show([&old, &new, &new].into_iter());
        running.show([&new].into_iter());
        assert_eq!(running.jobs(b"q"), 1);
        assert_eq!(running.oldest(b"q"), Some(Timestamp::from_micros(9)));
        let measured = running.take_waits(b"q");
        assert_eq!(measured.waits, [Duration::from_secs(2)]);
        assert!(measured.is_sample);
        assert_eq!(running.take_waits(b"q").waits, NO_WAITS);
        // The same job, started again.
        let again = job("q", "b", 20, 7);
        running.show([&again].into_iter());
        assert_eq!(running.take_waits(b"q").waits, [Duration::from_secs(7)]);
    }

    #[test]
    fn what_nobody_reads_is_forgotten() {
        let mut running = Running::default();
        running.show([].into_iter());
        let jobs: Vec<_> = (0..5000).map(|n| job("q", &n.to_string(), n, 1)).collect();
        running.show(jobs.iter());
        assert_eq!(running.jobs(b"q"), 5000);
        running.show([].into_iter());
        assert_eq!((running.jobs(b"q"), running.oldest(b"q")), (0, None));
        assert_eq!(running.queues[b"q".as_slice()].waits.len(), MAX_WAITS);
        for _ in 0..MAX_LOOKS {
            running.show([].into_iter());
        }
        assert!(running.queues.is_empty());
    }
}
