//! What a poll asks of the log.

use super::TaskLog;
use crate::model::Timestamp;
use crate::model::tasks::EventsReport;
use crate::model::tasks::known::REMEMBERED;
use crate::model::tasks::news::QueueTold;
use crate::model::tasks::waiting::QueueId;
use std::collections::HashMap;
use std::time::Duration;

/// Nothing waits in an empty queue: what was sent there so long ago has been lost, or its start was.
const LATE: Duration = Duration::from_secs(60);

/// Tasks that run now, by queue; none if not all are known.
#[derive(Debug)]
pub struct Busy(Option<HashMap<QueueId, u64>>);

impl Busy {
    fn of(&self, queue: QueueId) -> Option<u64> {
        let queues = self.0.as_ref()?;
        Some(queues.get(&queue).copied().unwrap_or(0))
    }
}

impl TaskLog {
    /// Takes what is new of a queue; none if events have told nothing of it. `empty_since`: at that
    /// time nothing of it was waiting, nor with a worker that has not started it.
    pub fn queue(
        &mut self,
        name: &str,
        busy: &Busy,
        empty_since: Option<Timestamp>,
        now: Timestamp,
    ) -> Option<QueueTold> {
        let queue = self.news.queue_named(name)?;
        if let Some(empty_since) = empty_since {
            self.clear(queue, empty_since.minus(LATE), now);
        }
        self.news.take(queue, busy.of(queue), now)
    }

    /// Forgets tasks that cannot be waiting: purged, expired, or started unheard.
    fn clear(&mut self, queue: QueueId, before: Timestamp, now: Timestamp) {
        let has_some = self
            .news
            .queue(queue)
            .is_some_and(|queue| queue.waiting > 0);
        let cleared = self.cleared.get(&queue);
        let is_due = cleared.is_none_or(|cleared| cleared.age_at(now) > LATE);
        if !has_some || !is_due {
            return;
        }
        self.cleared.insert(queue, now);
        let left = self.waiting.clear(queue, before);
        if let Some(queue) = self.news.queue(queue) {
            queue.waiting = left;
        }
    }

    /// Tasks that run now, by queue.
    pub fn busy(&self, now: Timestamp) -> Busy {
        let Some((_, true)) = self.workers.alive(now) else {
            return Busy(None);
        };
        let mut queues: HashMap<QueueId, u64> = HashMap::new();
        for known in self.known.values().filter(|known| known.is_running()) {
            if !self.workers.is_alive(known.worker, now) {
                continue;
            }
            if known.queue == 0 {
                // It may be any queue's.
                return Busy(None);
            }
            *queues.entry(known.queue).or_default() += 1;
        }
        Busy(Some(queues))
    }

    /// Takes what is new of everything else, after the queues.
    pub fn report(&mut self, now: Timestamp) -> EventsReport {
        self.known.sweep(now, REMEMBERED);
        self.news.drop_unwanted(now);
        EventsReport {
            is_listening: false,
            tasks: self.news.take_tasks(),
            events: std::mem::take(&mut self.events),
            losses: std::mem::take(&mut self.losses),
            waiting: self.waiting.len() as u64,
            workers: self.workers.alive(now).map(|(count, _)| count),
            busy: self.workers.active(now),
        }
    }
}
