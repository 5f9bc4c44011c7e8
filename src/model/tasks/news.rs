//! What is new of each queue and each task name since the poll before.

use super::known::TaskId;
use super::totals::{TaskCounts, TaskNews};
use super::waiting::QueueId;
use crate::model::{Example, Measured, Timestamp};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

/// Times that are kept between two polls; more are counted as lost.
const MAX_TIMES: usize = 500_000;

/// A longer name, of a task or of a queue, is nobody's.
const MAX_NAME: usize = 256;

/// A queue whose news are not asked for so long is not exported.
const UNWANTED: Duration = Duration::from_secs(60);

/// What events tell of one queue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueueTold {
    /// Waits and run times that came in since the poll before.
    pub measured: Measured,
    /// Totals since the first event.
    pub failures: u64,
    pub retries: u64,
    /// Tasks of the queue that are running; none if not all of them are known.
    pub busy: Option<u64>,
}

/// Names and a number for each, up to a limit. The number 0 stands for those beyond it.
#[derive(Debug)]
struct Names<T> {
    numbers: HashMap<Arc<str>, u16>,
    items: Vec<T>,
    limit: usize,
}

impl<T: Default> Names<T> {
    fn new(limit: usize) -> Self {
        Self {
            numbers: HashMap::new(),
            items: vec![T::default()],
            limit,
        }
    }

    fn number(&mut self, name: &str) -> u16 {
        if let Some(number) = self.numbers.get(name) {
            return *number;
        }
        let Ok(number) = u16::try_from(self.items.len()) else {
            return 0;
        };
        if usize::from(number) > self.limit || name.len() > MAX_NAME {
            return 0;
        }
        self.numbers.insert(name.into(), number);
        self.items.push(T::default());
        number
    }

    fn of(&mut self, number: u16) -> Option<&mut T> {
        self.items.get_mut(usize::from(number))
    }
}

#[derive(Debug)]
pub(super) struct QueueNews {
    measured: Measured,
    failures: u64,
    retries: u64,
    /// Tasks of it that are noted as waiting.
    pub(super) waiting: usize,
    /// Gaps in the stream that have been told.
    gaps: u64,
    /// When its news were last asked for.
    taken: Timestamp,
}

impl Default for QueueNews {
    fn default() -> Self {
        Self {
            measured: Measured::default(),
            failures: 0,
            retries: 0,
            waiting: 0,
            gaps: 0,
            taken: Timestamp::from_micros(0),
        }
    }
}

#[derive(Debug, Default)]
pub(super) struct OneTask {
    pub(super) counts: TaskCounts,
    runs: Vec<Duration>,
}

#[derive(Debug)]
pub(super) struct News {
    queues: Names<QueueNews>,
    tasks: Names<OneTask>,
    times: usize,
    pub(super) gaps: u64,
}

impl News {
    pub(super) fn new(max_queues: usize, max_tasks: usize) -> Self {
        Self {
            queues: Names::new(max_queues),
            tasks: Names::new(max_tasks),
            times: 0,
            gaps: 0,
        }
    }

    /// The number of a queue, 0 if there is none left.
    pub(super) fn queue_id(&mut self, name: &str, now: Timestamp) -> QueueId {
        let is_new = !self.queues.numbers.contains_key(name);
        let number = self.queues.number(name);
        let gaps = self.gaps;
        if let Some(queue) = self.queue(number).filter(|_| is_new) {
            // What was lost before is no gap in what is told of it.
            (queue.gaps, queue.taken) = (gaps, now);
        }
        number
    }

    pub(super) fn task_id(&mut self, name: &str) -> TaskId {
        self.tasks.number(name)
    }

    pub(super) fn task(&mut self, task: TaskId) -> Option<&mut TaskCounts> {
        self.tasks.of(task).map(|task| &mut task.counts)
    }

    pub(super) fn queue(&mut self, queue: QueueId) -> Option<&mut QueueNews> {
        self.queues.of(queue).filter(|_| queue != 0)
    }

    pub(super) fn queue_named(&self, name: &str) -> Option<QueueId> {
        self.queues.numbers.get(name).copied()
    }

    /// Makes room for one more time, if there is any.
    fn has_room(&mut self) -> bool {
        let has_room = self.times < MAX_TIMES;
        self.times += usize::from(has_room);
        has_room
    }

    /// Adds a time to a queue that is known. False if there is no room.
    fn add(
        &mut self,
        queue: QueueId,
        example: Example,
        lists: impl FnOnce(&mut Measured) -> (&mut Vec<Duration>, &mut Vec<Example>),
    ) -> bool {
        if self.queue(queue).is_none() {
            return true;
        }
        let has_room = self.has_room();
        if let Some(news) = self.queue(queue) {
            if has_room {
                let (times, examples) = lists(&mut news.measured);
                times.push(example.time);
                Example::note(examples, example);
            } else {
                news.measured.has_gap = true;
            }
        }
        has_room
    }

    pub(super) fn wait(&mut self, queue: QueueId, example: Example) -> bool {
        self.add(queue, example, |measured| {
            (&mut measured.waits, &mut measured.wait_examples)
        })
    }

    pub(super) fn run_in(&mut self, queue: QueueId, example: Example) -> bool {
        self.add(queue, example, |measured| {
            (&mut measured.runs, &mut measured.run_examples)
        })
    }

    /// Adds a run time to a task's name. False if there is no room.
    pub(super) fn run(&mut self, task: TaskId, time: Duration) -> bool {
        let has_room = self.has_room();
        if let Some(task) = self.tasks.of(task).filter(|_| has_room) {
            task.runs.push(time);
        }
        has_room
    }

    pub(super) fn count_in(&mut self, queue: QueueId, failures: u64, retries: u64) {
        if let Some(news) = self.queue(queue) {
            news.failures += failures;
            news.retries += retries;
        }
    }

    /// Takes what is new of a queue.
    pub(super) fn take(
        &mut self,
        queue: QueueId,
        busy: Option<u64>,
        now: Timestamp,
    ) -> Option<QueueTold> {
        let gaps = self.gaps;
        let news = self.queue(queue)?;
        news.taken = now;
        let mut measured = std::mem::take(&mut news.measured);
        measured.is_sample = true;
        measured.has_gap |= news.gaps < gaps;
        news.gaps = gaps;
        let told = QueueTold {
            failures: news.failures,
            retries: news.retries,
            busy,
            measured,
        };
        let taken = told.measured.waits.len() + told.measured.runs.len();
        self.times = self.times.saturating_sub(taken);
        Some(told)
    }

    /// Drops the times of queues that nobody asks for: they are not exported.
    pub(super) fn drop_unwanted(&mut self, now: Timestamp) {
        for news in &mut self.queues.items {
            if news.taken.age_at(now) > UNWANTED {
                let Measured { waits, runs, .. } = std::mem::take(&mut news.measured);
                let dropped = waits.len() + runs.len();
                news.measured.has_gap = true;
                self.times = self.times.saturating_sub(dropped);
            }
        }
    }

    /// Takes what is new of all tasks.
    pub(super) fn take_tasks(&mut self) -> Vec<TaskNews> {
        let other: Arc<str> = super::OTHER.into();
        let names = self.tasks.numbers.iter();
        let names = names.map(|(name, number)| (Arc::clone(name), *number));
        let names: Vec<_> = names.chain([(other, 0)]).collect();
        let mut all = Vec::new();
        for (name, number) in names {
            let Some(task) = self.tasks.of(number) else {
                continue;
            };
            if task.counts == TaskCounts::default() && task.runs.is_empty() {
                continue;
            }
            let OneTask { counts, runs } = std::mem::take(task);
            self.times = self.times.saturating_sub(runs.len());
            all.push(TaskNews { name, counts, runs });
        }
        all
    }
}

impl Example {
    /// Quarters of an octave: finer than buckets are, which an example is for.
    fn place(time: Duration) -> i64 {
        let micros = time.as_micros().max(1) as f64;
        (micros.log2() * 4.0) as i64
    }

    /// Keeps the latest for each order of magnitude.
    fn note(examples: &mut Vec<Self>, example: Self) {
        let place = Self::place(example.time);
        let same = examples
            .iter_mut()
            .find(|known| Self::place(known.time) == place);
        match same {
            Some(known) => *known = example,
            None => examples.push(example),
        }
    }

    pub(super) fn new(id: &str, time: Duration, at: Timestamp) -> Self {
        Self {
            id: id.into(),
            time,
            at,
        }
    }
}
