//! Why numbers of a queue are null that have no reason beside them.

use crate::model::{DemandUnknown, JobState, Latency, QueueSnapshot, Reason, System};
use std::collections::BTreeMap;

/// Nothing is wrong: this is as much as can be told.
const UNTOLD: &str =
    "the job system does not write it down for each queue, or it has not been seen yet";

/// The same where something is.
const UNREAD: &str = "a part of the queue could not be read (`tailback check` names it), or the job \
                      system does not write it down for each queue";

#[derive(Debug, Default)]
pub(super) struct Reasons {
    /// By the path of the number.
    pub(super) single: BTreeMap<&'static str, &'static str>,
    /// Of all other numbers that are null, where one is.
    pub(super) general: Option<&'static str>,
}

impl Reasons {
    pub(super) fn of(queue: &QueueSnapshot) -> Self {
        let mut reasons = Self::default();
        let general = match queue.is_incomplete {
            true => UNREAD,
            false => UNTOLD,
        };
        let nulls = times(queue)
            .into_iter()
            .chain(counts(queue))
            .chain(workers(queue))
            .chain(demand(queue))
            .filter(|(_, is_known, _)| !is_known);
        for (path, _, reason) in nulls {
            match reason {
                Some(reason) => {
                    reasons.single.insert(path, reason);
                }
                None => reasons.general = Some(general),
            }
        }
        let is_told = |state| queue.jobs.get(state).is_some();
        if !JobState::ALL.into_iter().all(is_told) {
            reasons.general = Some(general);
        }
        reasons
    }
}

/// A path, whether there is a number, and why there is none if that is not the general reason.
type Line = (&'static str, bool, Option<&'static str>);

fn times(queue: &QueueSnapshot) -> [Line; 3] {
    let oldest = match queue.latency {
        Latency::Empty => Some("no job is ready"),
        Latency::Unknown(reason) => Some(reason.as_str()),
        Latency::Known { .. } => None,
    };
    let is_known = oldest.is_none();
    let running = match queue.held_jobs() {
        Some(0) => Some("no job is in progress"),
        Some(_) => None,
        None => queue.jobs_unknown.map(Reason::as_str),
    };
    let later = [queue.jobs.scheduled, queue.jobs.retry].into_iter().max();
    let due = (later.flatten() == Some(0))
        .then_some("no job is known to be scheduled or to be tried again");
    [
        ("oldest_job_timestamp_seconds", is_known, oldest),
        (
            "oldest_in_progress_timestamp_seconds",
            queue.oldest_in_progress.is_some(),
            running,
        ),
        ("next_due_timestamp_seconds", queue.next_due.is_some(), due),
    ]
}

fn counts(queue: &QueueSnapshot) -> [Line; 12] {
    let counters = queue.counters;
    let uncounted = queue.counts_unknown.map(Reason::as_str);
    // What no position in a list tells.
    let by_broker = queue
        .counts_unknown
        .filter(|reason| *reason == Reason::CountsNotKept);
    let by_broker = by_broker.map(Reason::as_str);
    let total = |path, count: Option<u64>, reason| (path, count.is_some(), reason);
    let (arrivals, starts) = queue.history.rates();
    let rate = |path, rate: Option<f32>, count: Option<u64>| {
        let reason = match count {
            Some(_) => Some("two polls in succession have not told it yet"),
            None => uncounted,
        };
        (path, rate.is_some(), reason)
    };
    let late = match queue.objective {
        None => Some(DemandUnknown::NoObjective.as_str()),
        Some(_) => uncounted,
    };
    [
        total("enqueued_total", counters.enqueued, uncounted),
        total("started_total", counters.started, uncounted),
        total("finished_total", counters.finished, by_broker),
        total("failures_total", counters.failures, None),
        total("retries_total", counters.retries, None),
        total("redelivered_total", counters.redelivered, uncounted),
        rate("enqueued_per_second", arrivals, counters.enqueued),
        rate("started_per_second", starts, counters.started),
        total("late_starts_total", queue.late_starts, late),
        total(
            "jobs_ready_at_least",
            queue.jobs.ready.or(queue.ready_at_least),
            queue.jobs_unknown.map(Reason::as_str),
        ),
        ("flow", queue.flow.is_some(), uncounted),
        ("measured", queue.measured.is_some(), None),
    ]
}

fn workers(queue: &QueueSnapshot) -> [Line; 5] {
    // Of these the same record tells which jobs are in progress and what workers do.
    let from_workers = matches!(queue.system, System::Sidekiq | System::Resque);
    let unknown = queue.jobs_unknown.map(Reason::as_str);
    let by_workers = unknown.filter(|_| from_workers && queue.jobs.in_progress.is_none());
    let held = unknown.filter(|_| queue.jobs.in_progress.is_none());
    [
        ("prefetched", queue.prefetched.is_some(), held),
        ("consumers", queue.consumers.is_some(), by_workers),
        ("busy_workers", queue.busy_workers.is_some(), by_workers),
        ("consumer_capacity", queue.consumer_capacity.is_some(), None),
        ("paused", queue.paused.is_some(), None),
    ]
}

fn demand(queue: &QueueSnapshot) -> [Line; 6] {
    let demand = queue.demand;
    let arrivals = match (demand.arrivals, queue.counts_unknown) {
        (Some(_), _) => DemandUnknown::NotWarm.as_str(),
        (None, Some(reason)) => reason.as_str(),
        (None, None) => DemandUnknown::NotCounted.as_str(),
    };
    let is_known = demand.arrivals.is_some() && demand.is_warm;
    let has_service = demand.service_time.is_some();
    let no_service = Some(DemandUnknown::NoServiceTime.as_str());
    let unfinished = queue.unfinished_jobs().is_some();
    let objective = queue.objective.as_ref();
    let configured = objective.is_none_or(|objective| objective.service_time.is_some());
    [
        (
            "demand.unfinished_jobs",
            unfinished,
            Some("no job is seen, but not all that may wait or run are counted"),
        ),
        ("demand.arrivals_per_second", is_known, Some(arrivals)),
        ("demand.service_time_seconds", has_service, no_service),
        ("demand.service_time_source", has_service, no_service),
        (
            "objective",
            objective.is_some(),
            Some(DemandUnknown::NoObjective.as_str()),
        ),
        (
            "objective.service_time_seconds",
            configured,
            Some("the objective says none"),
        ),
    ]
}
