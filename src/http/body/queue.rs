//! One queue.

use super::JobsBody;
use super::demand::DemandBody;
use super::reasons::Reasons;
use crate::model::{
    BrokerSnapshot, DemandUnknown, FlowView, Latency, MeasuredView, Objective, QueueSnapshot,
    Reason, Timestamp, Waits,
};
use serde::Serialize;
use std::collections::BTreeMap;

/// One queue.
#[derive(Debug, Serialize)]
pub(in crate::http) struct QueueBody {
    broker: String,
    system: &'static str,
    queue: String,
    jobs: JobsBody,
    /// Why one of `jobs` is null that the system can tell elsewhere.
    jobs_unknown_reason: Option<&'static str>,
    /// How many jobs are ready at least: `jobs.ready`, where that is known.
    jobs_ready_at_least: Option<u64>,
    priorities: BTreeMap<String, u64>,
    latency_seconds: Option<f64>,
    latency_min_seconds: Option<f64>,
    latency_max_seconds: Option<f64>,
    /// Why `latency_seconds` and its bounds are null.
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
    /// From the configuration; null where none is set.
    objective: Option<ObjectiveBody>,
    late_starts_total: Option<u64>,
    drain_seconds: Option<f64>,
    /// Until a job enqueued now would start: behind those that are ready and those prefetched.
    expected_wait_seconds: Option<f64>,
    /// Why `drain_seconds` or `expected_wait_seconds` is null.
    drain_unknown_reason: Option<&'static str>,
    /// Job slots needed to keep the objective; null without one.
    required_workers: Option<f64>,
    /// Why `required_workers` is null, and so `slots` and `workers` of `demand`.
    required_workers_unknown_reason: Option<&'static str>,
    /// The same in workers, and what it is computed from.
    demand: DemandBody,
    /// Jobs that workers have taken in advance, out of `jobs.in_progress`; with late acknowledgement
    /// those that run are among them. Null where nothing tells.
    prefetched: Option<u64>,
    /// What the inference from flow rests on; null where it is not used.
    flow: Option<FlowBody>,
    /// What single jobs' recorded times add up to; null where the job system records none.
    measured: Option<MeasuredBody>,
    consumers: Option<u64>,
    /// Share of time in which the broker could have handed a job to a consumer at once.
    consumer_capacity: Option<f64>,
    busy_workers: Option<u64>,
    paused: Option<bool>,
    /// Why single numbers are null, by their paths.
    unknown_reasons: BTreeMap<&'static str, &'static str>,
    /// Why the others are null, where one is.
    null_reason: Option<&'static str>,
    /// When these numbers were read.
    observed_timestamp_seconds: f64,
    /// How much earlier the broker may have noted what `jobs.ready` says.
    ready_age_seconds: f64,
    /// How often they are read at present.
    interval_seconds: f64,
}

#[derive(Debug, Serialize)]
struct MeasuredBody {
    /// Started jobs whose wait is recorded, and the sum of their waits.
    waits_count: u64,
    waits_sum_seconds: f64,
    /// The same of jobs that are only some of those that started.
    sampled_waits_count: u64,
    sampled_waits_sum_seconds: f64,
    runs_count: u64,
    runs_sum_seconds: f64,
    /// Polls before which records were lost: jobs are missing above.
    gaps_total: u64,
}

#[derive(Debug, Serialize)]
struct ObjectiveBody {
    wait_seconds: f64,
    ratio: f64,
    utilization: f64,
    slots_per_worker: u32,
    service_time_seconds: Option<f64>,
}

#[derive(Debug, Serialize)]
struct FlowBody {
    basis: &'static str,
    /// What ends a wait and counts as a start: `delivery`, when a worker took the job out of the
    /// queue; with prefetch it runs later.
    start: &'static str,
    /// `exact`; `assumed` if it is so unless some other program pushes and pops lists too; `shared` if jobs that no poll has seen were shared out among several queues;
    /// `lower_bound` if some may be missing; `estimated` if others may be counted in vain besides.
    counts: &'static str,
    /// Started jobs whose wait is in the histogram, and the sum of their waits.
    waits_count: u64,
    waits_sum_seconds: f64,
    /// Started jobs that are older than the first poll: their wait is unknown.
    censored_total: u64,
    /// Jobs that left without having been started, where that can be told.
    removed_total: u64,
    /// Jobs that came back to the head.
    put_back_total: u64,
}

// === impl QueueBody ===

impl QueueBody {
    pub(in crate::http) fn new(broker: &BrokerSnapshot, queue: &QueueSnapshot) -> Self {
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
        let required = queue.required_slots(None);
        let expected = queue.expected_wait();
        let reasons = Reasons::of(queue);
        let is_unbounded = latency.is_some() && max.is_none();
        Self {
            broker: broker.name.to_string(),
            system: queue.system.as_str(),
            queue: queue.queue.to_string(),
            jobs: JobsBody::new(jobs),
            jobs_unknown_reason: queue.jobs_unknown.map(Reason::as_str),
            jobs_ready_at_least: jobs.ready.or(queue.ready_at_least),
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
            objective: queue.objective.as_ref().map(ObjectiveBody::new),
            late_starts_total: queue.late_starts,
            drain_seconds: drain,
            required_workers: required.ok(),
            required_workers_unknown_reason: required.err().map(DemandUnknown::as_str),
            demand: DemandBody::new(queue),
            expected_wait_seconds: expected.map(|wait| wait.as_secs_f64()),
            drain_unknown_reason: expected.is_none().then(|| without_drain(queue)),
            prefetched: queue.prefetched,
            flow: queue.flow.as_deref().map(FlowBody::new),
            measured: queue.measured.as_deref().map(MeasuredBody::new),
            consumers: queue.consumers,
            consumer_capacity: queue.consumer_capacity,
            busy_workers: queue.busy_workers,
            paused: queue.paused,
            unknown_reasons: reasons.single,
            null_reason: reasons.general,
            observed_timestamp_seconds: secs(queue.observed.wall),
            ready_age_seconds: queue.ready_age.as_secs_f64(),
            interval_seconds: queue.interval.as_secs_f64(),
        }
    }
}

/// Why there is no upper bound of a latency that is known.
pub(in crate::http) fn without_max(queue: &QueueSnapshot) -> &'static str {
    let by_flow = queue
        .flow
        .as_ref()
        .and_then(|flow| flow.basis.without_max());
    by_flow.unwrap_or("an older job may be waiting elsewhere in the queue")
}

/// Why there is no forecast.
pub(in crate::http) fn without_drain(queue: &QueueSnapshot) -> &'static str {
    match &queue.flow {
        None => "the flow of the queue is not observed",
        Some(flow) if flow.totals.started == 0 => "no job has been seen to start",
        Some(flow) if flow.drain.is_some() => {
            "workers hold jobs, and jobs have not been seen to wait: no rate is known"
        }
        Some(_) => "no job starts while jobs are ready",
    }
}

// === impl ObjectiveBody ===

impl ObjectiveBody {
    fn new(objective: &Objective) -> Self {
        Self {
            wait_seconds: objective.wait.as_secs_f64(),
            ratio: objective.ratio,
            utilization: objective.utilization,
            slots_per_worker: objective.slots_per_worker,
            service_time_seconds: objective.service_time.map(|time| time.as_secs_f64()),
        }
    }
}

// === impl FlowBody ===

impl FlowBody {
    fn new(flow: &FlowView) -> Self {
        let totals = flow.totals;
        Self {
            basis: flow.basis.as_str(),
            start: "delivery",
            counts: totals.counts.as_str(),
            waits_count: flow.waits.as_ref().map_or(0, Waits::count),
            waits_sum_seconds: flow.waits.as_ref().map_or(0.0, Waits::sum),
            censored_total: totals.censored,
            removed_total: totals.removed,
            put_back_total: totals.put_back,
        }
    }
}

// === impl MeasuredBody ===

impl MeasuredBody {
    fn new(measured: &MeasuredView) -> Self {
        let told =
            |times: &Option<Waits>| times.as_ref().map_or((0, 0.0), |t| (t.count(), t.sum()));
        let (waits, sampled) = (told(&measured.waits), told(&measured.sampled_waits));
        let runs = told(&measured.runs);
        Self {
            waits_count: waits.0,
            waits_sum_seconds: waits.1,
            sampled_waits_count: sampled.0,
            sampled_waits_sum_seconds: sampled.1,
            runs_count: runs.0,
            runs_sum_seconds: runs.1,
            gaps_total: measured.gaps,
        }
    }
}
