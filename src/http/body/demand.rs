//! What the JSON API says of the workers that a queue needs.

use crate::model::QueueSnapshot;
use serde::Serialize;

/// The job slots that a queue needs, and what they are computed from.
#[derive(Debug, Serialize)]
pub(super) struct DemandBody {
    /// Jobs that must run at the same time: the same number as `required_workers` of the queue.
    slots: Option<f64>,
    /// Workers, if each runs `slots_per_worker` of the objective's jobs at the same time.
    workers: Option<f64>,
    /// Jobs that wait or run, at least: workers are needed while there are any.
    unfinished_jobs: Option<u64>,
    /// Over about the last five minutes; null where arrivals are not counted or have not been for a
    /// minute.
    arrivals_per_second: Option<f64>,
    service_time_seconds: Option<f64>,
    /// `recorded` by the job system, time of `busy` workers, time of the slots of a `saturated` queue,
    /// or `configured`.
    service_time_source: Option<&'static str>,
}

impl DemandBody {
    pub(super) fn new(queue: &QueueSnapshot) -> Self {
        let slots = queue.required_slots(None).ok();
        let demand = queue.demand;
        let per_worker = queue.slots_per_worker();
        Self {
            slots,
            workers: slots.map(|slots| slots / per_worker),
            unfinished_jobs: queue.unfinished_jobs(),
            arrivals_per_second: demand.arrivals.filter(|_| demand.is_warm),
            service_time_seconds: demand.service_time.map(|time| time.secs),
            service_time_source: demand.service_time.map(|time| time.source.as_str()),
        }
    }
}
