//! Answers from the latest snapshot. What is not known is refused, never told as zero: an autoscaler
//! that gets an error keeps its workers, one that gets zero takes them away.

use super::Refused;
use super::query::{Metric, Query};
use crate::clock::Now;
use crate::model::{BrokerSnapshot, DropReason, FlowBasis, Latency, LatencySource};
use crate::model::{QueueSnapshot, Snapshot};

/// The value of the metric: not negative, and a number.
pub(super) fn value(snapshot: &Snapshot, query: &Query, now: Now) -> Result<f64, Refused> {
    let queues = select(snapshot, query, now)?;
    let values = queues.into_iter().map(|queue| value_of(queue, query));
    let combine = match query.metric {
        Metric::RequiredWorkers | Metric::Ready => |a: f64, b: f64| a + b,
        Metric::Latency | Metric::ExpectedWait => f64::max,
    };
    let value = values
        .reduce(|a, b| Ok(combine(a?, b?)))
        .unwrap_or_else(|| Err(Refused::NotFound(format!("no queue {}", query.queue))))?;
    Ok(value.clamp(0.0, f64::MAX))
}

/// Whether there is anything to do, running jobs included: their worker must live until they end.
pub(super) fn is_active(snapshot: &Snapshot, query: &Query, now: Now) -> Result<bool, Refused> {
    let queues = select(snapshot, query, now)?;
    let ready: f64 = queues
        .iter()
        .filter_map(|queue| queue.jobs.ready.or(queue.ready_at_least))
        .map(|ready| ready as f64)
        .sum();
    let is_working = |queue: &QueueSnapshot| queue.held_jobs().is_some_and(|held| held > 0);
    if ready > query.activation_target || queues.iter().any(|queue| is_working(queue)) {
        return Ok(true);
    }
    for queue in queues {
        if queue.jobs.ready.is_none() || queue.held_jobs().is_none() {
            let what = match queue.jobs.ready {
                None => "ready",
                Some(_) => "in progress",
            };
            let why = queue.jobs_unknown.map_or("", |reason| reason.as_str());
            return Err(unknown(queue, &format!("how many jobs are {what}"), why));
        }
    }
    Ok(false)
}

/// The queues that are asked about, at least one, all of them fresh.
fn select<'a>(
    snapshot: &'a Snapshot,
    query: &Query,
    now: Now,
) -> Result<Vec<&'a QueueSnapshot>, Refused> {
    let broker = broker(snapshot, query)?;
    let name = &broker.name;
    if !broker.is_fresh(now) {
        let error = broker.last_error.as_ref();
        let why = error.map_or(String::new(), |error| format!(": {}", error.message));
        let message = format!("broker {name} has not been polled with success lately{why}");
        return Err(Refused::Unavailable(message));
    }
    let of_system = |queue: &&QueueSnapshot| query.system.is_none_or(|only| only == queue.system);
    let all = || broker.queues.iter().filter(of_system);
    let mut queues: Vec<_> = all().filter(|queue| *queue.queue == *query.queue).collect();
    let is_pattern = queues.is_empty();
    if is_pattern {
        queues.extend(all().filter(|queue| query.pattern.is_match(&*queue.queue)));
    }
    let Some(first) = queues.first() else {
        let queue = &query.queue;
        return Err(Refused::NotFound(format!(
            "broker {name} has no queue {queue:?}"
        )));
    };
    if let Some(other) = queues.iter().find(|queue| queue.system != first.system) {
        let [a, b] = [first.system, other.system].map(|system| system.as_str());
        let message = format!("is needed: queues of {a} and of {b} have this name");
        return Err(Refused::invalid("system", message));
    }
    if let Some(stale) = queues
        .iter()
        .find(|queue| !broker.is_queue_fresh(queue, now))
    {
        let message = format!("queue {:?} has not been read lately", stale.queue);
        return Err(Refused::Unavailable(message));
    }
    let unreadable = broker.dropped.get(&DropReason::Unreadable).copied();
    if is_pattern && unreadable.unwrap_or(0) > 0 {
        let message = format!("queues of broker {name} cannot be read: the sum may lack some");
        return Err(Refused::Unavailable(message));
    }
    Ok(queues)
}

fn broker<'a>(snapshot: &'a Snapshot, query: &Query) -> Result<&'a BrokerSnapshot, Refused> {
    let names = || {
        let names: Vec<&str> = snapshot.brokers.keys().map(|name| &**name).collect();
        names.join(", ")
    };
    let mut all = snapshot.brokers.values();
    let found = match &query.broker {
        Some(name) => snapshot.brokers.get(name.as_str()).ok_or_else(|| {
            let message = format!("no broker is named {name:?}; there are {}", names());
            Refused::invalid("broker", message)
        }),
        None => match (all.next(), all.next()) {
            (Some(only), None) => Ok(only),
            _ => {
                let message = format!("is needed: there are {}", names());
                Err(Refused::invalid("broker", message))
            }
        },
    };
    found.map(AsRef::as_ref)
}

fn value_of(queue: &QueueSnapshot, query: &Query) -> Result<f64, Refused> {
    match query.metric {
        Metric::RequiredWorkers => {
            let per_worker = query.slots_per_worker.unwrap_or(queue.slots_per_worker());
            let slots = queue.required_slots(query.target_wait);
            slots.map(|slots| slots / per_worker).map_err(|reason| {
                let message = format!("queue {:?}: {}", queue.queue, reason.as_str());
                match reason.is_passing() {
                    true => Refused::Unavailable(message),
                    false => Refused::NotSetUp(message),
                }
            })
        }
        Metric::Latency => latency(queue),
        Metric::ExpectedWait => {
            let wait = queue.expected_wait().filter(|_| queue.demand.is_warm);
            let wait = wait.map(|wait| wait.as_secs_f64());
            let why = "it has not been watched for long enough, or no job has started";
            wait.ok_or_else(|| unknown(queue, "how long a new job will wait", why))
        }
        Metric::Ready => match queue.jobs.ready {
            Some(ready) => Ok(ready as f64),
            None => Err(unknown(queue, "how many jobs are ready", "")),
        },
    }
}

fn latency(queue: &QueueSnapshot) -> Result<f64, Refused> {
    let what = "how long the oldest job has waited";
    match queue.latency {
        Latency::Empty => Ok(0.0),
        Latency::Unknown(reason) => Err(unknown(queue, what, reason.as_str())),
        Latency::Known { age, source, .. } => {
            let basis = queue.flow.as_ref().map(|flow| flow.basis);
            match basis {
                // A restart of ours would look as if the backlog were gone.
                Some(basis @ FlowBasis::Cold) if source == LatencySource::Flow => {
                    Err(unknown(queue, what, basis.without_max().unwrap_or("")))
                }
                _ => Ok(age.estimate.as_secs_f64()),
            }
        }
    }
}

fn unknown(queue: &QueueSnapshot, what: &str, why: &str) -> Refused {
    let colon = if why.is_empty() { "" } else { ": " };
    Refused::Unavailable(format!(
        "queue {:?}: it is not known {what}{colon}{why}",
        queue.queue
    ))
}
