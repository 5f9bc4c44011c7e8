//! `/api/v1/queues/{broker}/{system}/{queue}/history`: its body.

use crate::clock::Now;
use crate::model::history::{Point, SLOT};
use crate::model::{BrokerSnapshot, History, QueueSnapshot};
use serde::Serialize;

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
