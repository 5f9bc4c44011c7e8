//! One broker.

use super::JobsBody;
use crate::clock::Now;
use crate::model::{BrokerSnapshot, ErrorKind, SystemTotals, Timestamp};
use serde::Serialize;
use std::collections::BTreeMap;

/// What a job system tells of all its queues together and not of each.
#[derive(Debug, Serialize)]
struct SystemBody {
    system: &'static str,
    jobs: JobsBody,
    next_due_timestamp_seconds: Option<f64>,
    slots: Option<u64>,
    busy_workers: Option<u64>,
    started_total: Option<u64>,
    finished_total: Option<u64>,
    failures_total: Option<u64>,
}

#[derive(Debug, Serialize)]
pub(in crate::http) struct BrokerBody {
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
    systems: Vec<SystemBody>,
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

// === impl SystemBody ===

impl SystemBody {
    fn new(totals: &SystemTotals) -> Self {
        let counters = totals.counters;
        Self {
            system: totals.system.as_str(),
            jobs: JobsBody::new(totals.jobs),
            next_due_timestamp_seconds: totals.next_due.map(Timestamp::as_secs_f64),
            slots: totals.slots,
            busy_workers: totals.busy_workers,
            started_total: counters.started,
            finished_total: counters.finished,
            failures_total: counters.failures,
        }
    }
}

// === impl BrokerBody ===

impl BrokerBody {
    pub(in crate::http) fn new(broker: &BrokerSnapshot, now: Now) -> Self {
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
            systems: broker
                .systems
                .iter()
                .filter(|_| fresh)
                .map(SystemBody::new)
                .collect(),
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
