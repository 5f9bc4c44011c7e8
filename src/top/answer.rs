//! What the JSON API says, as far as it is shown here.

use super::conn::Conn;
use serde::Deserialize;

/// The paths to ask.
#[derive(Debug, Clone)]
pub(super) struct Question {
    pub(super) list: String,
    /// The queue that is looked at closely.
    pub(super) queue: Option<String>,
}

/// All that one question brings, or why there is nothing.
pub(super) type Answer = Result<Answers, String>;

#[derive(Debug, Clone, Default)]
pub(super) struct Answers {
    pub(super) list: List,
    pub(super) brokers: Vec<Broker>,
    /// `None` where none was asked for, or it is not there now.
    pub(super) queue: Option<(Queue, History)>,
}

#[derive(Debug, Clone, Default, Deserialize)]
pub(super) struct List {
    pub(super) queues: Vec<Queue>,
    pub(super) total: usize,
    pub(super) unavailable: Vec<Unavailable>,
}

#[derive(Debug, Clone, Deserialize)]
pub(super) struct Unavailable {
    pub(super) reason: String,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct Queue {
    pub(super) broker: String,
    pub(super) system: String,
    pub(super) queue: String,
    pub(super) jobs: Jobs,
    pub(super) latency_seconds: Option<f64>,
    pub(super) latency_min_seconds: Option<f64>,
    pub(super) latency_max_seconds: Option<f64>,
    pub(super) latency_unknown_reason: Option<String>,
    pub(super) latency_max_unknown_reason: Option<String>,
    pub(super) source: String,
    pub(super) enqueued_per_second: Option<f64>,
    pub(super) started_per_second: Option<f64>,
    pub(super) drain_seconds: Option<f64>,
    pub(super) drain_unknown_reason: Option<String>,
    pub(super) objective: Option<Objective>,
    pub(super) consumers: Option<u64>,
    pub(super) busy_workers: Option<u64>,
    pub(super) paused: Option<bool>,
}

#[derive(Debug, Clone, Deserialize)]
pub(super) struct Objective {
    pub(super) wait_seconds: f64,
}

impl Queue {
    /// Whether its oldest job has waited longer than it may.
    pub(super) fn is_late(&self) -> bool {
        let objective = self.objective.as_ref();
        let latency = self.latency_seconds.zip(objective);
        latency.is_some_and(|(latency, objective)| latency > objective.wait_seconds)
    }
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct Jobs {
    pub(super) ready: Option<u64>,
    pub(super) in_progress: Option<u64>,
    pub(super) scheduled: Option<u64>,
    pub(super) retry: Option<u64>,
    pub(super) deferred: Option<u64>,
    pub(super) failed: Option<u64>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct History {
    pub(super) latency_seconds: Vec<Option<f64>>,
    pub(super) ready: Vec<Option<f64>>,
    pub(super) enqueued_per_second: Vec<Option<f64>>,
    pub(super) started_per_second: Vec<Option<f64>>,
}

#[derive(Debug, Clone, Default, Deserialize)]
struct Brokers {
    brokers: Vec<Broker>,
}

#[derive(Debug, Clone, Default, Deserialize)]
pub(super) struct Broker {
    pub(super) broker: String,
    pub(super) up: bool,
    pub(super) fresh: bool,
}

/// Asks all of a question at the same time.
pub(super) async fn ask(conn: Conn, question: Question) -> Answer {
    let queue = async {
        let Some(path) = &question.queue else {
            return Ok(None);
        };
        let history = format!("{path}/history");
        let (queue, history) = tokio::try_join!(conn.get(path), conn.get(&history))?;
        Ok(queue.zip(history))
    };
    let brokers = conn.get::<Brokers>("api/v1/brokers");
    let (list, brokers, queue) = tokio::try_join!(conn.get(&question.list), brokers, queue)?;
    let nothing = || "it has no such path: is it of an earlier version?".to_owned();
    Ok(Answers {
        list: list.ok_or_else(nothing)?,
        brokers: brokers.ok_or_else(nothing)?.brokers,
        queue,
    })
}
