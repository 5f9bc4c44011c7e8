//! Which queues are listed, in which order, and which page of them: the same for the JSON API and
//! the status page.

use crate::clock::Now;
use crate::model::{BrokerSnapshot, JobState, Latency, QueueSnapshot, Snapshot};
use globset::{GlobBuilder, GlobMatcher};
use serde::Deserialize;
use std::cmp::Ordering;

/// One queue of a list.
#[derive(Debug, Clone, Copy)]
pub(super) struct Row<'a> {
    pub(super) broker: &'a BrokerSnapshot,
    pub(super) queue: &'a QueueSnapshot,
    /// Whether it may be shown as the present state.
    pub(super) is_fresh: bool,
}

/// Globs, and words that must be in the names somewhere; all given ones must match.
#[derive(Debug, Default)]
pub(super) struct Filter {
    broker: Option<GlobMatcher>,
    system: Option<GlobMatcher>,
    queue: Option<GlobMatcher>,
    words: Vec<String>,
}

/// What a list is sorted by.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Sort {
    /// Broker, system, queue.
    #[default]
    Name,
    /// What needs a look first.
    Worst,
    Latency,
    Ready,
    InProgress,
    Scheduled,
    Retry,
    Deferred,
    Failed,
    Enqueued,
    Started,
    Drain,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Order {
    Ascending,
    Descending,
}

impl Filter {
    pub(super) fn globs(
        broker: Option<&str>,
        system: Option<&str>,
        queue: Option<&str>,
    ) -> Result<Self, String> {
        let glob = |name: &str, glob: Option<&str>| -> Result<_, String> {
            let glob = glob.map(|glob| GlobBuilder::new(glob).build()).transpose();
            let glob = glob.map_err(|error| format!("{name}: {error}"))?;
            Ok(glob.map(|glob| glob.compile_matcher()))
        };
        Ok(Self {
            broker: glob("broker", broker)?,
            system: glob("system", system)?,
            queue: glob("queue", queue)?,
            words: Vec::new(),
        })
    }

    /// Only queues in whose names all words of `search` are, in upper or lower case.
    #[must_use]
    pub(super) fn with_search(mut self, search: &str) -> Self {
        self.words = search.split_whitespace().map(str::to_lowercase).collect();
        self
    }

    pub(super) fn allows_broker(&self, broker: &BrokerSnapshot) -> bool {
        allows(self.broker.as_ref(), &broker.name)
    }

    fn allows(&self, broker: &BrokerSnapshot, queue: &QueueSnapshot) -> bool {
        let has_words = || {
            let names = format!("{} {} {}", broker.name, queue.system.as_str(), queue.queue);
            let names = names.to_lowercase();
            self.words.iter().all(|word| names.contains(word))
        };
        allows(self.system.as_ref(), queue.system.as_str())
            && allows(self.queue.as_ref(), &queue.queue)
            && (self.words.is_empty() || has_words())
    }

    /// The queues that match, fresh or not, by their names.
    pub(super) fn rows<'a>(&self, snapshot: &'a Snapshot, now: Now) -> Vec<Row<'a>> {
        let brokers = snapshot.brokers.values().map(|broker| &**broker);
        let brokers = brokers.filter(|broker| self.allows_broker(broker));
        let rows = brokers.flat_map(|broker| {
            let is_fresh = broker.is_fresh(now);
            let queues = broker.queues.iter();
            let queues = queues.filter(|queue| self.allows(broker, queue));
            queues.map(move |queue| Row {
                broker,
                queue,
                is_fresh: is_fresh && broker.is_queue_fresh(queue, now),
            })
        });
        rows.collect()
    }
}

fn allows(glob: Option<&GlobMatcher>, text: &str) -> bool {
    glob.is_none_or(|glob| glob.is_match(text))
}

impl Order {
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Ascending => "ascending",
            Self::Descending => "descending",
        }
    }

    pub(super) const fn reversed(self) -> Self {
        match self {
            Self::Ascending => Self::Descending,
            Self::Descending => Self::Ascending,
        }
    }

    /// The order in which a list is most useful.
    pub(super) const fn usual(sort: Sort) -> Self {
        match sort {
            Sort::Name => Self::Ascending,
            _ => Self::Descending,
        }
    }
}

impl Sort {
    /// As it is written in a query.
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Name => "name",
            Self::Worst => "worst",
            Self::Latency => "latency",
            Self::Ready => "ready",
            Self::InProgress => "in_progress",
            Self::Scheduled => "scheduled",
            Self::Retry => "retry",
            Self::Deferred => "deferred",
            Self::Failed => "failed",
            Self::Enqueued => "enqueued",
            Self::Started => "started",
            Self::Drain => "drain",
        }
    }

    pub(super) const fn of(state: JobState) -> Self {
        match state {
            JobState::Ready => Self::Ready,
            JobState::InProgress => Self::InProgress,
            JobState::Scheduled => Self::Scheduled,
            JobState::Retry => Self::Retry,
            JobState::Deferred => Self::Deferred,
            JobState::Failed => Self::Failed,
        }
    }

    /// Sorts rows that are in the order of their names. What is not known comes last either way.
    pub(super) fn sort(self, rows: &mut [Row<'_>], order: Order) {
        if self == Self::Name {
            if order == Order::Descending {
                rows.reverse();
            }
            return;
        }
        rows.sort_by_cached_key(|row| {
            let value = self.value(row);
            let value = match order {
                Order::Ascending => value,
                Order::Descending => value.map(|value| -value),
            };
            (value.is_none(), Total(value.unwrap_or(0.0)))
        });
    }

    fn value(self, row: &Row<'_>) -> Option<f64> {
        if self == Self::Worst {
            return Some(row.badness());
        }
        let queue = Some(row.queue).filter(|_| row.is_fresh)?;
        let jobs = &queue.jobs;
        let jobs = match self {
            Self::Name | Self::Worst => None,
            Self::Latency => return row.latency_secs(),
            Self::Enqueued => return queue.history.rates().0.map(f64::from),
            Self::Started => return queue.history.rates().1.map(f64::from),
            Self::Drain => return Some(queue.flow.as_ref()?.drain?.as_secs_f64()),
            Self::Ready => jobs.ready,
            Self::InProgress => jobs.in_progress,
            Self::Scheduled => jobs.scheduled,
            Self::Retry => jobs.retry,
            Self::Deferred => jobs.deferred,
            Self::Failed => jobs.failed,
        };
        jobs.map(|jobs| jobs as f64)
    }
}

/// A float in its total order.
#[derive(PartialEq)]
struct Total(f64);

impl Eq for Total {}

impl PartialOrd for Total {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Total {
    fn cmp(&self, other: &Self) -> Ordering {
        self.0.total_cmp(&other.0)
    }
}

impl Row<'_> {
    /// The latency in seconds, where it is known and of the present.
    pub(super) fn latency_secs(&self) -> Option<f64> {
        match self.queue.latency {
            _ if !self.is_fresh => None,
            Latency::Empty => Some(0.0),
            Latency::Known { age, .. } => Some(age.estimate.as_secs_f64()),
            Latency::Unknown(_) => None,
        }
    }

    /// How many times the wait that the objective allows the oldest job has waited.
    pub(super) fn lateness(&self) -> Option<f64> {
        let objective = self.queue.objective?;
        Some(self.latency_secs()? / objective.wait.as_secs_f64())
    }

    /// How much it needs a look: what is over its objective first, the worse the earlier, then the
    /// longest waits, then waits that nobody can tell, then what has not been read lately, then empty
    /// queues.
    fn badness(&self) -> f64 {
        /// Longer than any latency.
        const LATE: f64 = 1e12;
        match (self.is_fresh, self.latency_secs()) {
            (true, Some(_)) if self.lateness().is_some_and(|times| times > 1.0) => {
                LATE + self.lateness().unwrap_or(0.0)
            }
            (true, Some(secs)) if secs > 0.0 => secs,
            (true, None) if self.queue.jobs.ready != Some(0) => -1.0,
            (false, _) => -2.0,
            (true, _) => -3.0,
        }
    }
}
