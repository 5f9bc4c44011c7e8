//! The facts of one poll of one queue, as a layout decoded them. Whatever the job system cannot
//! tell is `None`: unknown is not zero.

use super::Timestamp;
use super::flow::{FlowSample, FlowStatistics};
use super::latency::{LatencySource, Reason};
use super::measured::Example;
use std::sync::Arc;
use std::time::Duration;

/// The job system whose layout a queue has. The `system` label.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum System {
    Celery,
    Rq,
    Dramatiq,
    Huey,
    Arq,
    Taskiq,
    Sidekiq,
    Bullmq,
    Resque,
    Asynq,
    Stream,
    List,
    RabbitMq,
}

impl System {
    pub const ALL: [Self; 13] = [
        Self::Celery,
        Self::Rq,
        Self::Dramatiq,
        Self::Huey,
        Self::Arq,
        Self::Taskiq,
        Self::Sidekiq,
        Self::Bullmq,
        Self::Resque,
        Self::Asynq,
        Self::Stream,
        Self::List,
        Self::RabbitMq,
    ];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Celery => "celery",
            Self::Rq => "rq",
            Self::Dramatiq => "dramatiq",
            Self::Huey => "huey",
            Self::Arq => "arq",
            Self::Taskiq => "taskiq",
            Self::Sidekiq => "sidekiq",
            Self::Bullmq => "bullmq",
            Self::Resque => "resque",
            Self::Asynq => "asynq",
            Self::Stream => "stream",
            Self::List => "list",
            Self::RabbitMq => "rabbitmq",
        }
    }
}

/// One poll of one queue.
#[derive(Debug, Clone, PartialEq)]
pub struct Observation {
    pub system: System,
    /// The name as it is shown: what the queue's users call it.
    pub queue: Arc<str>,
    /// When the broker was asked and had answered, on the broker's clock.
    pub window: Window,
    /// How often the queue is read, where that is less often than its broker is polled.
    pub interval: Option<Duration>,
    pub jobs: Jobs,
    /// How much older than the end of the window the number of ready jobs may be.
    pub ready_age: Duration,
    /// Why a state is unknown here that the system can tell elsewhere.
    pub jobs_unknown: Option<Reason>,
    /// How many jobs are ready at least, where it is not known how many there are.
    pub ready_at_least: Option<u64>,
    /// Ready jobs by priority level, where the system has levels.
    pub priorities: Vec<(u8, u64)>,
    pub head: Head,
    /// Start of the longest-running job.
    pub oldest_in_progress: Option<Timestamp>,
    /// When the earliest scheduled or retrying job is due.
    pub next_due: Option<Timestamp>,
    /// Jobs that have been delivered and hold up those that come after: workers have taken them in
    /// advance. With late acknowledgement those that run are among them.
    pub prefetched: Option<u64>,
    /// Consumers or workers attached to the queue.
    pub consumers: Option<u64>,
    /// The share of time in which a job could have been handed to a consumer at once.
    pub consumer_capacity: Option<f64>,
    /// Workers executing a job of the queue.
    pub busy_workers: Option<u64>,
    pub paused: Option<bool>,
    /// Totals as the broker or job system counts them; they may fall back when it restarts.
    pub counters: Counters,
    /// Why arrivals and starts are not counted here, of a queue whose system can tell them elsewhere.
    pub counts_unknown: Option<Reason>,
    /// A part could not be read, which the faults of the poll name.
    pub is_incomplete: bool,
    /// Whether the totals may be sums over several nodes: when they fall back, one node's part may
    /// be missing, and the rest is no news.
    pub counters_are_sums: bool,
    /// Positions or counts, from which the flow model infers what `head` and `counters` do not say.
    pub flow: Option<FlowSample>,
    /// What a front end that reads statistics knows beside its latest sample.
    pub statistics: FlowStatistics,
    /// Times of single jobs that the job system records; `None` where it records none.
    pub measured: Option<Measured>,
}

impl Observation {
    /// An observation that knows nothing but whose it is.
    pub fn new(system: System, queue: Arc<str>, window: Window) -> Self {
        Self {
            system,
            queue,
            window,
            interval: None,
            jobs: Jobs::default(),
            ready_age: Duration::ZERO,
            jobs_unknown: None,
            ready_at_least: None,
            priorities: Vec::new(),
            head: Head::Unknown(Reason::NoTimestamp),
            oldest_in_progress: None,
            next_due: None,
            prefetched: None,
            consumers: None,
            consumer_capacity: None,
            busy_workers: None,
            paused: None,
            counters: Counters::default(),
            counts_unknown: None,
            is_incomplete: false,
            counters_are_sums: false,
            flow: None,
            statistics: FlowStatistics::default(),
            measured: None,
        }
    }
}

/// Times of single jobs as the job system records them: those seen since the observation before, each
/// job once.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Measured {
    /// Waits of jobs that started.
    pub waits: Vec<Duration>,
    /// Run times of jobs that ended.
    pub runs: Vec<Duration>,
    /// Some of the same with the jobs' ids, the latest last; where ids are known.
    pub wait_examples: Vec<Example>,
    pub run_examples: Vec<Example>,
    /// Only some of the jobs that start are seen, so that `waits` cannot be counted up.
    pub is_sample: bool,
    /// Records were lost before they could be read: jobs are missing here and in the counters.
    pub has_gap: bool,
}

/// What a job system tells of all its queues together and not of each.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SystemTotals {
    pub system: System,
    pub jobs: Jobs,
    /// When the earliest scheduled or retrying job of any queue is due.
    pub next_due: Option<Timestamp>,
    /// Slots of all live workers: jobs that they can run at once.
    pub slots: Option<u64>,
    pub busy_workers: Option<u64>,
    pub counters: Counters,
}

/// The span in which a read happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    pub from: Timestamp,
    pub to: Timestamp,
}

/// A state of `tailback_queue_jobs`. Disjoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum JobState {
    Ready,
    InProgress,
    Scheduled,
    Retry,
    Deferred,
    Failed,
}

impl JobState {
    pub const ALL: [Self; 6] = [
        Self::Ready,
        Self::InProgress,
        Self::Scheduled,
        Self::Retry,
        Self::Deferred,
        Self::Failed,
    ];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ready => "ready",
            Self::InProgress => "in_progress",
            Self::Scheduled => "scheduled",
            Self::Retry => "retry",
            Self::Deferred => "deferred",
            Self::Failed => "failed",
        }
    }
}

/// Jobs by state; `None` where the system cannot tell.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Jobs {
    pub ready: Option<u64>,
    pub in_progress: Option<u64>,
    pub scheduled: Option<u64>,
    pub retry: Option<u64>,
    pub deferred: Option<u64>,
    pub failed: Option<u64>,
}

impl Jobs {
    pub const fn get(&self, state: JobState) -> Option<u64> {
        match state {
            JobState::Ready => self.ready,
            JobState::InProgress => self.in_progress,
            JobState::Scheduled => self.scheduled,
            JobState::Retry => self.retry,
            JobState::Deferred => self.deferred,
            JobState::Failed => self.failed,
        }
    }
}

/// What is known of the oldest ready job.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Head {
    /// Nothing is ready.
    Empty,
    /// It became claimable between `earliest` and `latest`. Without `upper_is_hard` an older job
    /// may be waiting elsewhere in the queue.
    Since {
        earliest: Timestamp,
        latest: Timestamp,
        upper_is_hard: bool,
        source: LatencySource,
    },
    Unknown(Reason),
}

impl Head {
    /// A head whose time is known to the microsecond.
    pub const fn exactly(at: Timestamp, source: LatencySource) -> Self {
        Self::Since {
            earliest: at,
            latest: at,
            upper_is_hard: true,
            source,
        }
    }

    /// Of so many jobs, none of which carries a time.
    pub const fn untimed(ready: u64) -> Self {
        match ready {
            0 => Self::Empty,
            _ => Self::Unknown(Reason::NoTimestamp),
        }
    }

    /// The head of two lines taken together: the older of both. Where one of them is not known,
    /// the other is only a lower bound.
    #[must_use]
    pub fn or_older(self, other: Self) -> Self {
        match (self, other) {
            (Self::Empty, head) | (head, Self::Empty) => head,
            (Self::Unknown(reason), Self::Unknown(_)) => Self::Unknown(reason),
            (
                Self::Unknown(_),
                Self::Since {
                    earliest,
                    latest,
                    source,
                    ..
                },
            )
            | (
                Self::Since {
                    earliest,
                    latest,
                    source,
                    ..
                },
                Self::Unknown(_),
            ) => Self::Since {
                earliest,
                latest,
                upper_is_hard: false,
                source,
            },
            (
                Self::Since {
                    earliest: a,
                    latest: b,
                    upper_is_hard: c,
                    source,
                },
                Self::Since {
                    earliest: d,
                    latest: e,
                    upper_is_hard: f,
                    ..
                },
            ) => Self::Since {
                earliest: a.min(d),
                latest: b.min(e),
                upper_is_hard: c && f,
                source,
            },
        }
    }
}

/// Raw totals. Each belongs to the broker or job system and may restart from zero.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Counters {
    pub enqueued: Option<u64>,
    pub started: Option<u64>,
    pub finished: Option<u64>,
    pub failures: Option<u64>,
    pub retries: Option<u64>,
    pub redelivered: Option<u64>,
}

impl Counters {
    /// The same counters, each replaced by what `f` makes of it and its twin in `other`.
    pub fn zip_with<T: Copy>(
        self,
        other: &mut [T; 6],
        mut f: impl FnMut(Option<u64>, &mut T) -> Option<u64>,
    ) -> Self {
        let [enqueued, started, finished, failures, retries, redelivered] = other;
        Self {
            enqueued: f(self.enqueued, enqueued),
            started: f(self.started, started),
            finished: f(self.finished, finished),
            failures: f(self.failures, failures),
            retries: f(self.retries, retries),
            redelivered: f(self.redelivered, redelivered),
        }
    }
}
