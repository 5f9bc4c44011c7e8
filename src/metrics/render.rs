//! A snapshot as an exposition. What is not known, or not fresh, is left out.

mod tasks;

use super::catalog::*;
use super::encode::{Encoder, Format, Value, label};
use super::own::OwnMetrics;
use crate::clock::Now;
use crate::model::{
    BrokerSnapshot, DropReason, Examples, JobState, Latency, QueueSnapshot, Snapshot, SystemTotals,
    Timestamp, Waits,
};
use std::time::Duration;

/// The whole exposition as of `now`, piece by piece.
pub fn render(
    snapshot: &Snapshot,
    own: &OwnMetrics,
    now: Now,
    format: Format,
    sink: &mut dyn FnMut(&[u8]),
) {
    let queues: Vec<(String, &QueueSnapshot)> = snapshot
        .brokers
        .values()
        .flat_map(|broker| {
            broker
                .fresh_queues(now)
                .map(|queue| (labels(broker, queue), queue))
        })
        .collect();
    let mut encoder = Encoder::new(format, sink);
    write_queues(&mut encoder, &queues);
    write_systems(&mut encoder, snapshot, now);
    tasks::write(&mut encoder, snapshot, now);
    write_brokers(&mut encoder, snapshot, now);
    own.write(&mut encoder);
    encoder.finish();
}

fn labels(broker: &BrokerSnapshot, queue: &QueueSnapshot) -> String {
    let mut labels = String::with_capacity(48 + broker.name.len() + queue.queue.len());
    label(&mut labels, "broker", &broker.name);
    label(&mut labels, "system", queue.system.as_str());
    label(&mut labels, "queue", &queue.queue);
    labels
}

type Queues<'a> = [(String, &'a QueueSnapshot)];

fn write_queues(encoder: &mut Encoder<'_>, queues: &Queues<'_>) {
    encoder.family(&QUEUE_JOBS);
    for (labels, queue) in queues {
        for state in JobState::ALL {
            if let Some(jobs) = queue.jobs.get(state) {
                let state = Some(("state", state.as_str()));
                encoder.sample(QUEUE_JOBS.name, labels, state, Value::Int(jobs));
            }
        }
    }
    encoder.family(&QUEUE_PRIORITY_JOBS);
    for (labels, queue) in queues {
        for (priority, jobs) in &queue.priorities {
            let mut buffer = itoa::Buffer::new();
            let priority = Some(("priority", buffer.format(*priority)));
            encoder.sample(
                QUEUE_PRIORITY_JOBS.name,
                labels,
                priority,
                Value::Int(*jobs),
            );
        }
    }
    each(encoder, queues, &QUEUE_LATENCY, |queue| {
        latency(queue, |age| Some(age.estimate))
    });
    each(encoder, queues, &QUEUE_LATENCY_MIN, |queue| {
        latency(queue, |age| Some(age.min))
    });
    each(encoder, queues, &QUEUE_LATENCY_MAX, |queue| {
        latency(queue, |age| age.max)
    });
    each(encoder, queues, &QUEUE_OLDEST, |queue| {
        match queue.latency {
            Latency::Known { since, .. } => Some(time(since)),
            _ => None,
        }
    });
    each(encoder, queues, &QUEUE_OLDEST_IN_PROGRESS, |queue| {
        queue.oldest_in_progress.map(time)
    });
    each(encoder, queues, &QUEUE_NEXT_DUE, |queue| {
        queue.next_due.map(time)
    });
    encoder.family(&QUEUE_SOURCE);
    for (labels, queue) in queues {
        let source = Some(("source", queue.source.as_str()));
        encoder.sample(QUEUE_SOURCE.name, labels, source, Value::Int(1));
    }
    encoder.family(&QUEUE_COUNTS);
    for (labels, queue) in queues {
        if let Some(flow) = &queue.flow {
            let counts = Some(("counts", flow.totals.counts.as_str()));
            encoder.sample(QUEUE_COUNTS.name, labels, counts, Value::Int(1));
        }
    }
    histogram(encoder, queues, &QUEUE_WAIT, |queue| {
        Some((queue.waits()?, wait_examples(queue)))
    });
    histogram(encoder, queues, &QUEUE_SAMPLED_WAIT, |queue| {
        let waits = queue.measured.as_ref()?.sampled_waits.as_ref()?;
        Some((waits, wait_examples(queue)))
    });
    histogram(encoder, queues, &QUEUE_RUN, |queue| {
        let measured = queue.measured.as_ref()?;
        Some((measured.runs.as_ref()?, Some(&measured.run_examples)))
    });
    each(encoder, queues, &QUEUE_GAPS, |queue| {
        Some(Value::Int(queue.measured.as_ref()?.gaps))
    });
    let count = |count: Option<u64>| count.map(Value::Int);
    each(encoder, queues, &QUEUE_LATE_STARTS, |queue| {
        count(queue.late_starts)
    });
    each(encoder, queues, &QUEUE_OBJECTIVE, |queue| {
        let wait = queue.objective?.wait;
        Some(Value::Float(wait.as_secs_f64()))
    });
    each(encoder, queues, &QUEUE_OBJECTIVE_RATIO, |queue| {
        Some(Value::Float(queue.objective?.ratio))
    });
    each(encoder, queues, &QUEUE_ENQUEUED, |queue| {
        count(queue.counters.enqueued)
    });
    each(encoder, queues, &QUEUE_STARTED, |queue| {
        count(queue.counters.started)
    });
    each(encoder, queues, &QUEUE_FINISHED, |queue| {
        count(queue.counters.finished)
    });
    each(encoder, queues, &QUEUE_FAILURES, |queue| {
        count(queue.counters.failures)
    });
    each(encoder, queues, &QUEUE_RETRIES, |queue| {
        count(queue.counters.retries)
    });
    each(encoder, queues, &QUEUE_REDELIVERED, |queue| {
        count(queue.counters.redelivered)
    });
    each(encoder, queues, &QUEUE_DRAIN, |queue| {
        let drain = queue.flow.as_ref()?.drain?;
        Some(Value::Float(drain.as_secs_f64()))
    });
    each(encoder, queues, &QUEUE_EXPECTED_WAIT, |queue| {
        Some(Value::Float(queue.expected_wait()?.as_secs_f64()))
    });
    each(encoder, queues, &QUEUE_REQUIRED_WORKERS, |queue| {
        queue.required_slots(None).ok().map(Value::Float)
    });
    each(encoder, queues, &QUEUE_CONSUMERS, |queue| {
        count(queue.consumers)
    });
    each(encoder, queues, &QUEUE_CONSUMER_CAPACITY, |queue| {
        queue.consumer_capacity.map(Value::Float)
    });
    each(encoder, queues, &QUEUE_BUSY_WORKERS, |queue| {
        count(queue.busy_workers)
    });
    each(encoder, queues, &QUEUE_PAUSED, |queue| {
        queue.paused.map(|is| Value::Int(is.into()))
    });
}

fn wait_examples(queue: &QueueSnapshot) -> Option<&Examples> {
    Some(&queue.measured.as_ref()?.wait_examples)
}

/// A histogram of those queues that have something in it.
fn histogram<'a>(
    encoder: &mut Encoder<'_>,
    queues: &Queues<'a>,
    def: &MetricDef,
    times: impl Fn(&'a QueueSnapshot) -> Option<(&'a Waits, Option<&'a Examples>)>,
) {
    encoder.family(def);
    for (labels, queue) in queues {
        if let Some((waits, examples)) = times(queue) {
            write_histogram(encoder, def, labels, waits, examples);
        }
    }
}

/// The series of one histogram. A job is an example of what is in a bucket only if something is.
fn write_histogram(
    encoder: &mut Encoder<'_>,
    def: &MetricDef,
    labels: &str,
    waits: &Waits,
    examples: Option<&Examples>,
) {
    let name = def.name;
    let [bucket, sum, count] = ["_bucket", "_sum", "_count"].map(|part| format!("{name}{part}"));
    let mut below = 0;
    let mut bounds = 0;
    let example = |index: usize, own: u64| examples?.of(index).filter(|_| own > 0);
    for (bound, within) in waits.buckets() {
        let mut buffer = ryu::Buffer::new();
        let le = buffer.format_finite(bound);
        encoder.bucket(&bucket, labels, le, within, example(bounds, within - below));
        below = within;
        bounds += 1;
    }
    let all = waits.count();
    let example = example(bounds, all.saturating_sub(below));
    encoder.bucket(&bucket, labels, "+Inf", all, example);
    encoder.sample(&sum, labels, None, Value::Float(waits.sum()));
    encoder.sample(&count, labels, None, Value::Int(all));
}

/// One family with at most one series a queue.
fn each(
    encoder: &mut Encoder<'_>,
    queues: &Queues<'_>,
    def: &MetricDef,
    value: impl Fn(&QueueSnapshot) -> Option<Value>,
) {
    encoder.family(def);
    for (labels, queue) in queues {
        if let Some(value) = value(queue) {
            encoder.sample(def.name, labels, None, value);
        }
    }
}

fn latency(
    queue: &QueueSnapshot,
    part: impl Fn(crate::model::Age) -> Option<Duration>,
) -> Option<Value> {
    match queue.latency {
        Latency::Empty => Some(Value::Float(0.0)),
        Latency::Known { age, .. } => part(age).map(|age| Value::Float(age.as_secs_f64())),
        Latency::Unknown(_) => None,
    }
}

fn time(at: Timestamp) -> Value {
    Value::Float(at.as_secs_f64())
}

/// What job systems tell of all their queues together.
fn write_systems(encoder: &mut Encoder<'_>, snapshot: &Snapshot, now: Now) {
    let systems: Vec<(String, &SystemTotals)> = snapshot
        .brokers
        .values()
        .filter(|broker| broker.is_fresh(now))
        .flat_map(|broker| {
            broker.systems.iter().map(|totals| {
                let mut labels = String::new();
                label(&mut labels, "broker", &broker.name);
                label(&mut labels, "system", totals.system.as_str());
                (labels, totals)
            })
        })
        .collect();
    encoder.family(&SYSTEM_JOBS);
    for (labels, totals) in &systems {
        for state in JobState::ALL {
            if let Some(jobs) = totals.jobs.get(state) {
                let state = Some(("state", state.as_str()));
                encoder.sample(SYSTEM_JOBS.name, labels, state, Value::Int(jobs));
            }
        }
    }
    let mut family = |def: &MetricDef, value: &dyn Fn(&SystemTotals) -> Option<Value>| {
        encoder.family(def);
        for (labels, totals) in &systems {
            if let Some(value) = value(totals) {
                encoder.sample(def.name, labels, None, value);
            }
        }
    };
    family(&SYSTEM_NEXT_DUE, &|totals| totals.next_due.map(time));
    family(&SYSTEM_SLOTS, &|totals| totals.slots.map(Value::Int));
    family(&SYSTEM_BUSY_WORKERS, &|totals| {
        totals.busy_workers.map(Value::Int)
    });
    family(&SYSTEM_STARTED, &|totals| {
        totals.counters.started.map(Value::Int)
    });
    family(&SYSTEM_FINISHED, &|totals| {
        totals.counters.finished.map(Value::Int)
    });
    family(&SYSTEM_FAILURES, &|totals| {
        totals.counters.failures.map(Value::Int)
    });
}

fn write_brokers(encoder: &mut Encoder<'_>, snapshot: &Snapshot, now: Now) {
    let brokers: Vec<(String, &BrokerSnapshot)> = snapshot
        .brokers
        .values()
        .map(|broker| {
            let mut labels = String::new();
            label(&mut labels, "broker", &broker.name);
            (labels, broker.as_ref())
        })
        .collect();
    let mut family =
        |def: &MetricDef, each: &mut dyn FnMut(&mut Encoder<'_>, &str, &BrokerSnapshot)| {
            encoder.family(def);
            for (labels, broker) in &brokers {
                each(encoder, labels, broker);
            }
        };
    family(&BROKER_UP, &mut |encoder, labels, broker| {
        let up = Value::Int(broker.is_up(now).into());
        encoder.sample(BROKER_UP.name, labels, None, up);
    });
    family(&BROKER_INFO, &mut |encoder, labels, broker| {
        let mut labels = labels.to_owned();
        label(&mut labels, "kind", broker.kind.as_str());
        label(
            &mut labels,
            "version",
            broker.version.as_deref().unwrap_or("unknown"),
        );
        encoder.sample(BROKER_INFO.name, &labels, None, Value::Int(1));
    });
    family(&BROKER_LAST_SUCCESS, &mut |encoder, labels, broker| {
        if let Some(at) = broker.last_success {
            encoder.sample(BROKER_LAST_SUCCESS.name, labels, None, time(at.wall));
        }
    });
    family(&BROKER_QUEUES, &mut |encoder, labels, broker| {
        if broker.is_fresh(now) {
            let queues = Value::Int(broker.fresh_queues(now).count() as u64);
            encoder.sample(BROKER_QUEUES.name, labels, None, queues);
        }
    });
    family(&BROKER_DROPPED, &mut |encoder, labels, broker| {
        for reason in DropReason::ALL.into_iter().filter(|_| broker.is_fresh(now)) {
            let dropped = broker.dropped.get(&reason).copied().unwrap_or(0);
            let reason = Some(("reason", reason.as_str()));
            encoder.sample(BROKER_DROPPED.name, labels, reason, Value::Int(dropped));
        }
    });
    family(&BROKER_COMMANDS, &mut |encoder, labels, broker| {
        for (command, times) in &broker.cost.commands {
            let command = Some(("command", *command));
            encoder.sample(BROKER_COMMANDS.name, labels, command, Value::Int(*times));
        }
    });
    family(&BROKER_BYTES, &mut |encoder, labels, broker| {
        let cost = &broker.cost;
        for (direction, bytes) in [("sent", cost.bytes_sent), ("received", cost.bytes_received)] {
            let direction = Some(("direction", direction));
            encoder.sample(BROKER_BYTES.name, labels, direction, Value::Int(bytes));
        }
    });
    family(&POLL_INTERVAL, &mut |encoder, labels, broker| {
        let interval = Value::Float(broker.interval.as_secs_f64());
        encoder.sample(POLL_INTERVAL.name, labels, None, interval);
    });
}
