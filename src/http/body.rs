//! The bodies of the JSON API's answers.

use crate::clock::Now;
use crate::model::history::{Point, SLOT};
use crate::model::{
    BrokerSnapshot, ErrorKind, FlowView, History, Latency, QueueSnapshot, Reason, Timestamp, Waits,
};
use serde::Serialize;
use std::collections::BTreeMap;

#[derive(Debug, Serialize)]
pub(super) struct QueuesBody {
    pub(super) queues: Vec<QueueBody>,
    /// How many match, also where only a part is listed.
    pub(super) total: usize,
    /// Brokers whose queues are missing above, and why.
    pub(super) unavailable: Vec<Unavailable>,
}

#[derive(Debug, Serialize)]
pub(super) struct Unavailable {
    pub(super) broker: String,
    pub(super) reason: String,
}

/// One queue.
#[derive(Debug, Serialize)]
pub(super) struct QueueBody {
    broker: String,
    system: &'static str,
    queue: String,
    jobs: JobsBody,
    /// Why a state is null that the system can tell elsewhere.
    jobs_unknown_reason: Option<&'static str>,
    priorities: BTreeMap<String, u64>,
    latency_seconds: Option<f64>,
    latency_min_seconds: Option<f64>,
    latency_max_seconds: Option<f64>,
    /// Why `latency_seconds` is null.
    latency_unknown_reason: Option<&'static str>,
    /// Why `latency_max_seconds` is null though a latency is known.
    latency_max_unknown_reason: Option<&'static str>,
    source: &'static str,
    oldest_job_timestamp_seconds: Option<f64>,
    oldest_in_progress_timestamp_seconds: Option<f64>,
    next_due_timestamp_seconds: Option<f64>,
    enqueued_total: Option<u64>,
    started_total: Option<u64>,
    finished_total: Option<u64>,
    failures_total: Option<u64>,
    retries_total: Option<u64>,
    redelivered_total: Option<u64>,
    /// Over the last one to two minutes.
    enqueued_per_second: Option<f32>,
    started_per_second: Option<f32>,
    drain_seconds: Option<f64>,
    expected_wait_seconds: Option<f64>,
    /// Why `drain_seconds` and `expected_wait_seconds` are null.
    drain_unknown_reason: Option<&'static str>,
    /// What the inference from flow rests on; null where it is not used.
    flow: Option<FlowBody>,
    consumers: Option<u64>,
    busy_workers: Option<u64>,
    paused: Option<bool>,
    /// When these numbers were read.
    observed_timestamp_seconds: f64,
    /// How often they are read at present.
    interval_seconds: f64,
}

#[derive(Debug, Serialize)]
struct FlowBody {
    basis: &'static str,
    /// `exact`; `shared` if jobs that no poll has seen were shared out among several queues;
    /// `lower_bound` if they may be missing.
    counts: &'static str,
    /// Started jobs whose wait is in the histogram, and the sum of their waits.
    waits_count: u64,
    waits_sum_seconds: f64,
    /// Started jobs that are older than the first poll: their wait is unknown.
    censored_total: u64,
    /// Jobs that left without having been started, where the broker tells the two apart.
    removed_total: u64,
    /// Jobs that came back to the head.
    put_back_total: u64,
}

#[derive(Debug, Serialize)]
struct JobsBody {
    ready: Option<u64>,
    in_progress: Option<u64>,
    scheduled: Option<u64>,
    retry: Option<u64>,
    deferred: Option<u64>,
    failed: Option<u64>,
}

/// The last hour of one queue: lists of the same length, oldest first, null where nothing is known.
#[derive(Debug, Serialize)]
pub(super) struct HistoryBody {
    broker: String,
    system: &'static str,
    queue: String,
    /// When the first point begins; each stands for `interval_seconds`, the last is under way.
    start_timestamp_seconds: f64,
    interval_seconds: f64,
    /// The highest latency and the most ready jobs.
    latency_seconds: Vec<Option<f32>>,
    ready: Vec<Option<f32>>,
    enqueued_per_second: Vec<Option<f32>>,
    started_per_second: Vec<Option<f32>>,
}

#[derive(Debug, Serialize)]
pub(super) struct BrokersBody {
    pub(super) brokers: Vec<BrokerBody>,
}

#[derive(Debug, Serialize)]
pub(super) struct BrokerBody {
    broker: String,
    kind: &'static str,
    version: Option<String>,
    up: bool,
    /// Whether its queues may be shown as the present state.
    fresh: bool,
    last_success_timestamp_seconds: Option<f64>,
    last_error: Option<ErrorBody>,
    errors: BTreeMap<&'static str, u64>,
    queues: Option<usize>,
    queues_dropped: BTreeMap<&'static str, u64>,
    poll_interval_seconds: f64,
    stale_after_seconds: f64,
    commands: BTreeMap<&'static str, u64>,
    bytes_sent: u64,
    bytes_received: u64,
}

#[derive(Debug, Serialize)]
struct ErrorBody {
    kind: &'static str,
    message: String,
    timestamp_seconds: f64,
}

// === impl QueueBody ===

impl QueueBody {
    pub(super) fn new(broker: &BrokerSnapshot, queue: &QueueSnapshot) -> Self {
        let secs = |at: Timestamp| at.as_secs_f64();
        let (latency, min, max, since, reason) = match queue.latency {
            Latency::Empty => (Some(0.0), Some(0.0), Some(0.0), None, None),
            Latency::Unknown(reason) => (None, None, None, None, Some(reason.as_str())),
            Latency::Known { age, since, .. } => (
                Some(age.estimate.as_secs_f64()),
                Some(age.min.as_secs_f64()),
                age.max.map(|max| max.as_secs_f64()),
                Some(secs(since)),
                None,
            ),
        };
        let (jobs, counters) = (queue.jobs, queue.counters);
        let (enqueued, started) = queue.history.rates();
        let drain = queue.flow.as_ref().and_then(|flow| flow.drain);
        let drain = drain.map(|drain| drain.as_secs_f64());
        let is_unbounded = latency.is_some() && max.is_none();
        Self {
            broker: broker.name.to_string(),
            system: queue.system.as_str(),
            queue: queue.queue.to_string(),
            jobs: JobsBody {
                ready: jobs.ready,
                in_progress: jobs.in_progress,
                scheduled: jobs.scheduled,
                retry: jobs.retry,
                deferred: jobs.deferred,
                failed: jobs.failed,
            },
            jobs_unknown_reason: queue.jobs_unknown.map(Reason::as_str),
            priorities: queue
                .priorities
                .iter()
                .map(|(priority, jobs)| (priority.to_string(), *jobs))
                .collect(),
            latency_seconds: latency,
            latency_min_seconds: min,
            latency_max_seconds: max,
            latency_unknown_reason: reason,
            latency_max_unknown_reason: is_unbounded.then(|| without_max(queue)),
            source: queue.source.as_str(),
            oldest_job_timestamp_seconds: since,
            oldest_in_progress_timestamp_seconds: queue.oldest_in_progress.map(secs),
            next_due_timestamp_seconds: queue.next_due.map(secs),
            enqueued_total: counters.enqueued,
            started_total: counters.started,
            finished_total: counters.finished,
            failures_total: counters.failures,
            retries_total: counters.retries,
            redelivered_total: counters.redelivered,
            enqueued_per_second: enqueued,
            started_per_second: started,
            drain_seconds: drain,
            expected_wait_seconds: drain,
            drain_unknown_reason: drain.is_none().then(|| without_drain(queue)),
            flow: queue.flow.as_deref().map(FlowBody::new),
            consumers: queue.consumers,
            busy_workers: queue.busy_workers,
            paused: queue.paused,
            observed_timestamp_seconds: secs(queue.observed.wall),
            interval_seconds: queue.interval.as_secs_f64(),
        }
    }
}

/// Why there is no upper bound of a latency that is known.
pub(super) fn without_max(queue: &QueueSnapshot) -> &'static str {
    let by_flow = queue
        .flow
        .as_ref()
        .and_then(|flow| flow.basis.without_max());
    by_flow.unwrap_or("an older job may be waiting elsewhere in the queue")
}

/// Why there is no forecast.
pub(super) fn without_drain(queue: &QueueSnapshot) -> &'static str {
    match &queue.flow {
        None => "the flow of the queue is not observed",
        Some(flow) if flow.totals.started == 0 => "no job has been seen to start",
        Some(_) => "no job starts while jobs are ready",
    }
}

// === impl FlowBody ===

impl FlowBody {
    fn new(flow: &FlowView) -> Self {
        let totals = flow.totals;
        Self {
            basis: flow.basis.as_str(),
            counts: totals.counts.as_str(),
            waits_count: flow.waits.as_ref().map_or(0, Waits::count),
            waits_sum_seconds: flow.waits.as_ref().map_or(0.0, Waits::sum),
            censored_total: totals.censored,
            removed_total: totals.removed,
            put_back_total: totals.put_back,
        }
    }
}

// === impl HistoryBody ===

impl HistoryBody {
    pub(super) fn new(broker: &BrokerSnapshot, queue: &QueueSnapshot, now: Now) -> Self {
        let points = queue.history.points(now);
        let all = |value: fn(&Point) -> Option<f32>| points.iter().map(value).collect();
        Self {
            broker: broker.name.to_string(),
            system: queue.system.as_str(),
            queue: queue.queue.to_string(),
            start_timestamp_seconds: History::start(now).as_secs_f64(),
            interval_seconds: SLOT.as_secs_f64(),
            latency_seconds: all(|point| point.latency),
            ready: all(|point| point.ready),
            enqueued_per_second: all(|point| point.enqueued),
            started_per_second: all(|point| point.started),
        }
    }
}

// === impl BrokerBody ===

impl BrokerBody {
    pub(super) fn new(broker: &BrokerSnapshot, now: Now) -> Self {
        let fresh = broker.is_fresh(now);
        Self {
            broker: broker.name.to_string(),
            kind: broker.kind.as_str(),
            version: broker.version.as_deref().map(Into::into),
            up: broker.is_up(now),
            fresh,
            last_success_timestamp_seconds: broker.last_success.map(|at| at.wall.as_secs_f64()),
            last_error: broker.last_error.as_ref().map(|error| ErrorBody {
                kind: error.kind.as_str(),
                message: error.message.to_string(),
                timestamp_seconds: error.at.as_secs_f64(),
            }),
            errors: ErrorKind::ALL
                .into_iter()
                .map(|kind| {
                    (
                        kind.as_str(),
                        broker.errors.get(&kind).copied().unwrap_or(0),
                    )
                })
                .collect(),
            queues: fresh.then(|| broker.fresh_queues(now).count()),
            queues_dropped: broker
                .dropped
                .iter()
                .filter(|_| fresh)
                .map(|(reason, count)| (reason.as_str(), *count))
                .collect(),
            poll_interval_seconds: broker.interval.as_secs_f64(),
            stale_after_seconds: broker.stale_after.as_secs_f64(),
            commands: broker.cost.commands.clone(),
            bytes_sent: broker.cost.bytes_sent,
            bytes_received: broker.cost.bytes_received,
        }
    }
}
