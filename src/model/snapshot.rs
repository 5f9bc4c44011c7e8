//! The immutable world that readers see. Published whole, so that all numbers of one scrape belong
//! together.

use super::demand::Demand;
use super::flow::{FlowView, Waits};
use super::history::History;
use super::latency::LatencySource;
use super::measured::MeasuredView;
use super::observation::{Counters, Jobs, SystemTotals};
use super::tasks::EventsView;
use super::{DropReason, ErrorKind, Latency, Objective, Reason, System, Timestamp};
use crate::clock::Now;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// Everything known, broker by broker, in the order of their names.
#[derive(Debug, Clone, Default)]
pub struct Snapshot {
    pub brokers: BTreeMap<Arc<str>, Arc<BrokerSnapshot>>,
}

impl Snapshot {
    /// Whether every broker has been polled at least once, well or badly.
    pub fn first_round_done(&self) -> bool {
        self.brokers.values().all(|broker| broker.polls > 0)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BrokerKind {
    Redis,
    RabbitMq,
    /// Exists only in this process.
    Simulated,
}

impl BrokerKind {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Redis => "redis",
            Self::RabbitMq => "rabbitmq",
            Self::Simulated => "simulated",
        }
    }
}

/// One broker as of its last poll. Whether its numbers may still be shown is asked with
/// [`BrokerSnapshot::is_fresh`] at the time of reading.
#[derive(Debug, Clone)]
pub struct BrokerSnapshot {
    pub name: Arc<str>,
    pub kind: BrokerKind,
    pub version: Option<Arc<str>>,
    /// Polls made, good and bad.
    pub polls: u64,
    /// Whether the latest poll succeeded.
    pub last_poll_ok: bool,
    /// The end of the last poll that succeeded.
    pub last_success: Option<Now>,
    pub last_error: Option<LastError>,
    pub errors: BTreeMap<ErrorKind, u64>,
    /// The interval in force.
    pub interval: Duration,
    /// How long the last success counts: as configured, or two intervals if polls are stretched.
    pub stale_after: Duration,
    pub cost: Cost,
    pub dropped: BTreeMap<DropReason, u64>,
    /// What job systems tell of all their queues together.
    pub systems: Arc<[SystemTotals]>,
    /// What events have told; absent where they are not listened to.
    pub events: Option<Arc<EventsView>>,
    /// Sorted by system, then name; each pair once.
    pub queues: Arc<[QueueSnapshot]>,
}

impl BrokerSnapshot {
    /// Whether the queues may be shown as the present state.
    pub fn is_fresh(&self, now: Now) -> bool {
        self.last_success
            .is_some_and(|at| now.mono.saturating_duration_since(at.mono) <= self.stale_after)
    }

    /// The queues that may be shown as the present state.
    pub fn fresh_queues(&self, now: Now) -> impl Iterator<Item = &QueueSnapshot> {
        let is_fresh = self.is_fresh(now);
        self.queues
            .iter()
            .filter(move |queue| is_fresh && self.is_queue_fresh(queue, now))
    }

    /// Whether one queue's own observation is recent enough.
    pub fn is_queue_fresh(&self, queue: &QueueSnapshot, now: Now) -> bool {
        let limit = held(self.stale_after, queue.interval);
        now.mono.saturating_duration_since(queue.observed.mono) <= limit
    }

    /// Whether the last poll succeeded and is fresh: `tailback_broker_up`.
    pub fn is_up(&self, now: Now) -> bool {
        self.last_poll_ok && self.is_fresh(now)
    }
}

/// How long an observation of a queue that is read at this interval counts.
pub(super) fn held(stale_after: Duration, interval: Duration) -> Duration {
    stale_after.max(interval * 2)
}

/// What the broker was asked and how much went over the wire, since we started.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Cost {
    pub commands: BTreeMap<&'static str, u64>,
    pub bytes_sent: u64,
    pub bytes_received: u64,
}

#[derive(Debug, Clone, PartialEq)]
pub struct LastError {
    pub kind: ErrorKind,
    /// Says what, where and what to do; never a secret.
    pub message: Arc<str>,
    pub at: Timestamp,
}

/// One queue as of the last poll that read it.
#[derive(Debug, Clone, PartialEq)]
pub struct QueueSnapshot {
    pub system: System,
    pub queue: Arc<str>,
    /// The end of that poll.
    pub observed: Now,
    /// How often the queue is read at present: a quiet one less often where the budget is short.
    pub interval: Duration,
    pub jobs: Jobs,
    /// So much earlier the broker may have noted how many jobs are ready.
    pub ready_age: Duration,
    pub jobs_unknown: Option<Reason>,
    pub ready_at_least: Option<u64>,
    pub priorities: Vec<(u8, u64)>,
    pub latency: Latency,
    /// Where the queue's latencies come from; kept while the queue is empty.
    pub source: LatencySource,
    pub oldest_in_progress: Option<Timestamp>,
    pub next_due: Option<Timestamp>,
    /// Delivered to workers, but with early acknowledgement not yet started.
    pub prefetched: Option<u64>,
    pub consumers: Option<u64>,
    pub consumer_capacity: Option<f64>,
    pub busy_workers: Option<u64>,
    pub paused: Option<bool>,
    /// Never falling, also across restarts of the broker.
    pub counters: Counters,
    /// Why arrivals and starts are not counted here, of a queue whose system can tell them elsewhere.
    pub counts_unknown: Option<Reason>,
    /// A part could not be read, which the faults of the poll name.
    pub is_incomplete: bool,
    /// How long its jobs may wait, if the configuration says so.
    pub objective: Option<Objective>,
    /// Jobs that started later than that; never falling. Absent without an objective, and where no
    /// waits can be known.
    pub late_starts: Option<u64>,
    /// Waits and forecasts; absent where the flow of the queue is not observed.
    pub flow: Option<Arc<FlowView>>,
    /// Recorded times of single jobs; absent where the job system records none.
    pub measured: Option<Arc<MeasuredView>>,
    pub demand: Demand,
    /// The last hour.
    pub history: History,
}

impl QueueSnapshot {
    /// A queue of which nothing is known yet.
    pub fn new(system: System, queue: Arc<str>, observed: Now, interval: Duration) -> Self {
        Self {
            system,
            queue,
            observed,
            interval,
            jobs: Jobs::default(),
            ready_age: Duration::ZERO,
            jobs_unknown: None,
            ready_at_least: None,
            priorities: Vec::new(),
            latency: Latency::Unknown(Reason::NoTimestamp),
            source: LatencySource::None,
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
            objective: None,
            late_starts: None,
            flow: None,
            measured: None,
            demand: Demand::NONE,
            history: History::default(),
        }
    }

    /// Forecast for a job that is enqueued now: it starts when all that is ready has been delivered,
    /// and all that workers have taken in advance has been started.
    pub fn expected_wait(&self) -> Option<Duration> {
        let flow = self.flow.as_ref()?;
        let drain = flow.drain?;
        match self.prefetched {
            None | Some(0) => Some(drain),
            Some(held) => {
                let secs = held as f64 / flow.departures_per_second;
                drain.checked_add(Duration::try_from_secs_f64(secs).ok()?)
            }
        }
    }

    /// The histogram of waits: of recorded times where all jobs have them, else inferred. Never of
    /// one after the other, which would fall.
    pub fn waits(&self) -> Option<&Waits> {
        match &self.measured {
            Some(measured) if !measured.is_sample => measured.waits.as_ref(),
            _ => self.flow.as_ref()?.waits.as_ref(),
        }
    }
}
