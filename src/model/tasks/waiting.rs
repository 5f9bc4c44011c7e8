//! Since when tasks wait, by their ids: 16 bytes a task, and one for the table. At full size the
//! table has up to 2.3 places a task, so a million tasks take 36 MB at most.
//!
//! Whoever is told of more tasks than fit must not forget the oldest: they are the ones whose waits
//! matter most. So what comes when it is full is refused.

use crate::model::Timestamp;
use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};
use std::time::Duration;

/// When it is full, tasks that were sent longer ago are taken for lost.
const FORGOTTEN: Duration = Duration::from_secs(7 * 24 * 3600);

/// Times are kept in units of so many microseconds.
const UNIT: i64 = 100;

/// A number for a queue; 0 for one that is not known.
pub(super) type QueueId = u16;

#[derive(Debug)]
pub(super) struct Waiting {
    tasks: HashMap<u64, Since, BuildHasherDefault<AsIs>>,
    limit: usize,
    swept: Option<Timestamp>,
}

/// Since when a task waits, in which queue: 47 bits of time, one that says whether it is certain, and
/// 16 of queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Since(u64);

const TIMES: u64 = (1 << 47) - 1;

/// The keys are hashes already.
#[derive(Debug, Default)]
pub(super) struct AsIs(u64);

impl Hasher for AsIs {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(*byte);
        }
    }

    fn write_u64(&mut self, number: u64) {
        self.0 = number;
    }
}

impl Since {
    fn new(at: Timestamp, is_certain: bool, queue: QueueId) -> Self {
        let units = u64::try_from(at.micros() / UNIT).unwrap_or(0).min(TIMES);
        Self(units << 17 | u64::from(is_certain) << 16 | u64::from(queue))
    }

    fn at(self) -> Timestamp {
        Timestamp::from_micros((self.0 >> 17) as i64 * UNIT)
    }

    fn is_certain(self) -> bool {
        self.0 >> 16 & 1 == 1
    }

    fn queue(self) -> QueueId {
        (self.0 & 0xffff) as QueueId
    }
}

impl Waiting {
    pub(super) fn new(limit: usize) -> Self {
        Self {
            tasks: HashMap::default(),
            limit,
            swept: None,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.tasks.len()
    }

    /// Notes that a task waits since `at`, if that is known. False if there is no room. Of two times
    /// for the same task, the first holds.
    pub(super) fn insert(
        &mut self,
        key: u64,
        at: Option<Timestamp>,
        queue: QueueId,
        now: Timestamp,
    ) -> bool {
        if self.tasks.contains_key(&key) {
            return true;
        }
        if self.tasks.len() >= self.limit {
            // Walking over all of them is dear.
            if self
                .swept
                .is_some_and(|at| at.age_at(now) < Duration::from_secs(60))
            {
                return false;
            }
            self.swept = Some(now);
            self.tasks
                .retain(|_, since| since.at().age_at(now) < FORGOTTEN);
            if self.tasks.len() >= self.limit {
                return false;
            }
        }
        let since = Since::new(at.unwrap_or(now), at.is_some(), queue);
        self.tasks.insert(key, since);
        true
    }

    /// Since when a task has waited, if that is known, and in which queue.
    pub(super) fn take(&mut self, key: u64) -> Option<(Option<Timestamp>, QueueId)> {
        let since = self.tasks.remove(&key)?;
        Some((since.is_certain().then(|| since.at()), since.queue()))
    }

    /// Forgets the tasks of a queue that were to start before `before`: nothing waits there. How many
    /// are left of it.
    pub(super) fn clear(&mut self, queue: QueueId, before: Timestamp) -> usize {
        let mut left = 0;
        self.tasks.retain(|_, since| {
            let is_its = since.queue() == queue;
            let is_kept = !is_its || since.at() >= before;
            left += usize::from(is_its && is_kept);
            is_kept
        });
        // After a backlog the table is given back.
        self.tasks.shrink_to(self.tasks.len() * 2);
        left
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_kept_to_a_tenth_of_a_millisecond() {
        for micros in [0, 1, 1_795_410_397_123_456, 9_000_000_000_000_000] {
            let since = Since::new(Timestamp::from_micros(micros), micros > 0, 7);
            assert_eq!((since.queue(), since.is_certain()), (7, micros > 0));
            assert!((since.at().micros() - micros).abs() < UNIT, "{micros}");
        }
        assert_eq!(size_of::<(u64, Since)>(), 16);
    }

    #[test]
    fn what_comes_last_is_refused_and_what_nobody_can_wait_for_is_dropped() {
        let at = |secs: i64| Timestamp::from_micros(1_795_000_000_000_000 + secs * 1_000_000);
        let mut waiting = Waiting::new(2);
        assert!(waiting.insert(1, Some(at(0)), 1, at(0)));
        assert!(waiting.insert(2, Some(at(1)), 1, at(1)));
        assert!(!waiting.insert(3, Some(at(2)), 1, at(2)));
        assert!(waiting.insert(1, Some(at(3)), 1, at(3)));
        assert_eq!(waiting.take(1), Some((Some(at(0)), 1)));
        let week = 7 * 24 * 3600;
        assert!(waiting.insert(4, Some(at(week)), 1, at(week)));
        assert!(waiting.insert(5, None, 1, at(week + 2)));
        assert_eq!(waiting.take(2), None);
        assert_eq!(waiting.len(), 2);
        waiting.clear(2, at(2 * week));
        waiting.clear(1, at(week + 1));
        assert_eq!((waiting.take(4), waiting.len()), (None, 1));
        assert_eq!(waiting.take(5), Some((None, 1)));
    }

    #[test]
    fn a_million_tasks_take_no_more_than_they_may_however_many_come_after_them() {
        const LIMIT: u64 = 1_000_000;
        let now = Timestamp::from_micros(1_795_000_000_000_000);
        let mut waiting = Waiting::new(LIMIT as usize);
        let hash = std::hash::RandomState::new();
        let kept = (0..2 * LIMIT).filter(|task| {
            let key = std::hash::BuildHasher::hash_one(&hash, task);
            waiting.insert(key, Some(now), 1, now)
        });
        assert!(kept.eq(0..LIMIT), "the oldest are kept, and no others");
        let bytes = waiting.tasks.capacity() * 8 / 7 * (size_of::<(u64, Since)>() + 1);
        assert!(bytes <= 36_000_000, "{bytes}");
    }
}
