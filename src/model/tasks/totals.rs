//! What events add up to, task by task.

use super::{EventCounts, LossCounts};
use crate::model::flow::Waits;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// How often tasks of one name went through each step.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct TaskCounts {
    pub started: u64,
    pub succeeded: u64,
    pub failures: u64,
    pub retries: u64,
    pub revoked: u64,
    pub rejected: u64,
}

/// The tasks of one name since the poll before.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct TaskNews {
    pub name: Arc<str>,
    pub counts: TaskCounts,
    pub runs: Vec<Duration>,
}

/// What came in since the poll before.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct EventsReport {
    /// Whether every stream of events is open.
    pub is_listening: bool,
    pub tasks: Vec<TaskNews>,
    pub events: EventCounts,
    pub losses: LossCounts,
    /// Tasks that are known to have been sent and not to have started.
    pub waiting: u64,
    /// Workers that say that they are alive, and the tasks that they run; none if none says it.
    pub workers: Option<u64>,
    pub busy: Option<u64>,
}

/// What came in since the first poll. Immutable and shared.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct EventsView {
    pub is_listening: bool,
    pub tasks: BTreeMap<Arc<str>, TaskView>,
    pub events: EventCounts,
    pub losses: LossCounts,
    pub waiting: u64,
    pub workers: Option<u64>,
}

#[derive(Debug, Clone, Default, PartialEq)]
pub struct TaskView {
    pub counts: TaskCounts,
    pub runs: Option<Waits>,
}

impl TaskCounts {
    fn add(&mut self, other: Self) {
        let sum = |count: &mut u64, more: u64| *count = count.saturating_add(more);
        sum(&mut self.started, other.started);
        sum(&mut self.succeeded, other.succeeded);
        sum(&mut self.failures, other.failures);
        sum(&mut self.retries, other.retries);
        sum(&mut self.revoked, other.revoked);
        sum(&mut self.rejected, other.rejected);
    }
}

impl EventsReport {
    /// Two streams of one broker taken together.
    pub fn merge(&mut self, other: Self) {
        let sum = |a: Option<u64>, b: Option<u64>| match (a, b) {
            (Some(a), Some(b)) => Some(a + b),
            (one, other) => one.or(other),
        };
        self.is_listening &= other.is_listening;
        self.tasks.extend(other.tasks);
        self.events.add(&other.events);
        self.losses.add(&other.losses);
        self.waiting += other.waiting;
        self.workers = sum(self.workers, other.workers);
        self.busy = sum(self.busy, other.busy);
    }
}

impl EventsView {
    /// What was known before with what has come in since.
    pub(in crate::model) fn after(
        before: Option<Arc<Self>>,
        report: EventsReport,
        buckets: &Arc<[f64]>,
    ) -> Arc<Self> {
        let mut view = before.map_or_else(Self::default, Arc::unwrap_or_clone);
        view.is_listening = report.is_listening;
        view.events.add(&report.events);
        view.losses.add(&report.losses);
        (view.waiting, view.workers) = (report.waiting, report.workers);
        for news in report.tasks {
            let task = view.tasks.entry(news.name).or_default();
            task.counts.add(news.counts);
            for run in news.runs {
                task.runs
                    .get_or_insert_with(|| Waits::new(Arc::clone(buckets)))
                    .record(run);
            }
        }
        Arc::new(view)
    }
}
