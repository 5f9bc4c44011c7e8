//! The bodies of the JSON API's answers. `openapi.json` describes every field of them.

mod broker;
mod demand;
mod queue;
mod reasons;

use crate::model::Jobs;
use serde::Serialize;

pub(super) use broker::BrokerBody;
pub(super) use queue::{QueueBody, without_drain, without_max};

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

#[derive(Debug, Serialize)]
pub(super) struct BrokersBody {
    pub(super) brokers: Vec<BrokerBody>,
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

impl JobsBody {
    fn new(jobs: Jobs) -> Self {
        Self {
            ready: jobs.ready,
            in_progress: jobs.in_progress,
            scheduled: jobs.scheduled,
            retry: jobs.retry,
            deferred: jobs.deferred,
            failed: jobs.failed,
        }
    }
}
