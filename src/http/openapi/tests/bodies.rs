//! Every field of every body.

use super::{keys, names, written};
use crate::clock;
use crate::http::body::{BrokerBody, BrokersBody, QueueBody, QueuesBody, Unavailable};
use crate::http::history::HistoryBody;
use crate::http::problem::Problem;
use crate::model::{
    BrokerKind, BrokerSnapshot, Cost, Counters, Demand, DropReason, ErrorKind, FlowView, Jobs,
    LastError, Latency, LatencySource, MeasuredView, Objective, QueueSnapshot, ServiceSource,
    ServiceTime, System, SystemTotals, Timestamp, Waits,
};
use axum::http::StatusCode;
use serde::Serialize;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

fn waits() -> Option<Waits> {
    let mut waits = Waits::new([1.0].into());
    waits.record(Duration::from_secs(2));
    Some(waits)
}

/// A queue of which everything is known.
fn known() -> QueueSnapshot {
    let (now, at) = (clock::now(), Some(Timestamp::from_micros(1)));
    QueueSnapshot {
        jobs: Jobs {
            ready: Some(1),
            in_progress: Some(1),
            scheduled: Some(1),
            retry: Some(1),
            deferred: Some(1),
            failed: Some(1),
        },
        priorities: vec![(3, 1)],
        latency: Latency::Known {
            age: crate::model::Age {
                min: Duration::ZERO,
                estimate: Duration::ZERO,
                max: Some(Duration::ZERO),
            },
            since: Timestamp::from_micros(1),
            source: LatencySource::Message,
        },
        source: LatencySource::Message,
        oldest_in_progress: at,
        next_due: at,
        consumers: Some(1),
        busy_workers: Some(1),
        consumer_capacity: Some(1.0),
        paused: Some(false),
        counters: Counters {
            enqueued: Some(1),
            started: Some(1),
            finished: Some(1),
            failures: Some(1),
            retries: Some(1),
            redelivered: Some(1),
        },
        objective: Some(Objective {
            wait: Duration::from_secs(30),
            ratio: 0.99,
            utilization: 0.95,
            slots_per_worker: 2,
            service_time: Some(Duration::from_secs(1)),
        }),
        late_starts: Some(1),
        flow: Some(Arc::new(FlowView {
            waits: waits(),
            drain: Some(Duration::ZERO),
            departures_per_second: 1.0,
            ..FlowView::default()
        })),
        measured: Some(Arc::new(MeasuredView {
            runs: waits(),
            ..MeasuredView::default()
        })),
        demand: Demand {
            arrivals: Some(1.0),
            is_warm: true,
            service_time: Some(ServiceTime {
                secs: 1.0,
                source: ServiceSource::Busy,
            }),
        },
        prefetched: Some(1),
        ..unknown(now)
    }
}

/// A queue of which nothing is known.
fn unknown(now: clock::Now) -> QueueSnapshot {
    let interval = Duration::from_secs(1);
    QueueSnapshot {
        jobs_unknown: Some(crate::model::Reason::TooMany),
        ready_at_least: Some(1),
        ..QueueSnapshot::new(System::Celery, "q".into(), now, interval)
    }
}

fn broker(queue: QueueSnapshot) -> BrokerSnapshot {
    let now = clock::now();
    BrokerSnapshot {
        name: "main".into(),
        kind: BrokerKind::Redis,
        version: Some("7.0.0".into()),
        polls: 1,
        last_poll_ok: true,
        last_success: Some(now),
        last_error: Some(LastError {
            kind: ErrorKind::Timeout,
            message: "slow".into(),
            at: now.wall,
        }),
        errors: [(ErrorKind::Timeout, 1)].into(),
        interval: Duration::from_secs(1),
        stale_after: Duration::from_secs(60),
        cost: Cost {
            commands: [("LLEN", 1)].into(),
            ..Cost::default()
        },
        dropped: DropReason::ALL.map(|reason| (reason, 1)).into(),
        events: None,
        systems: [SystemTotals {
            system: System::Sidekiq,
            jobs: queue.jobs,
            next_due: queue.next_due,
            slots: Some(1),
            busy_workers: Some(1),
            counters: queue.counters,
        }]
        .into(),
        queues: [queue].into(),
    }
}

/// Holds values to their schemas, and remembers which of the described properties had a value.
#[derive(Default)]
struct Check {
    document: Value,
    seen: BTreeSet<String>,
}

impl Check {
    fn body(&mut self, name: &str, body: &impl Serialize) {
        let body = serde_json::to_value(body).unwrap();
        self.value(
            &json!({"$ref": format!("#/components/schemas/{name}")}),
            &body,
            name,
        );
    }

    fn value(&mut self, schema: &Value, value: &Value, place: &str) {
        if let Some(target) = schema["$ref"].as_str() {
            let name = target.rsplit('/').next().unwrap().to_owned();
            let pointer = target.trim_start_matches('#');
            let schema = self.document.pointer(pointer).unwrap().clone();
            return self.value(&schema, value, &name);
        }
        if let Some(either) = schema["oneOf"].as_array() {
            let is_null = either.contains(&json!({"type": "null"}));
            match value.is_null() {
                true => assert!(is_null, "{place}"),
                false => self.value(&either[0], value, place),
            }
            return;
        }
        let kind = match value {
            Value::Null => "null",
            Value::Bool(_) => "boolean",
            Value::Number(number) if number.is_u64() => "integer",
            Value::Number(_) => "number",
            Value::String(_) => "string",
            Value::Array(_) => "array",
            Value::Object(_) => "object",
        };
        let types = match &schema["type"] {
            Value::Array(_) => names(&schema["type"]),
            one => BTreeSet::from([one.as_str().unwrap().to_owned()]),
        };
        let is_number = kind == "integer" && types.contains("number");
        assert!(
            types.contains(kind) || is_number,
            "{place} is {kind}: {value}"
        );
        match value {
            Value::Array(items) => {
                items
                    .iter()
                    .for_each(|item| self.value(&schema["items"], item, place));
            }
            Value::Object(fields) if schema["additionalProperties"].is_object() => {
                fields
                    .values()
                    .for_each(|item| self.value(&schema["additionalProperties"], item, place));
            }
            Value::Object(fields) => {
                assert_eq!(schema["additionalProperties"], false, "{place}");
                assert_eq!(keys(&schema["properties"]), keys(value), "{place}");
                for (key, item) in fields {
                    let place = format!("{place}.{key}");
                    self.value(&schema["properties"][key], item, &place);
                    if !item.is_null() {
                        self.seen.insert(place);
                    }
                }
            }
            _ => {}
        }
    }
}

#[test]
fn every_field_of_every_body_is_described_and_no_other() {
    let mut check = Check {
        document: written(),
        ..Check::default()
    };
    for queue in [known(), unknown(clock::now())] {
        let broker = broker(queue);
        let queue = &broker.queues[0];
        check.body("Queue", &QueueBody::new(&broker, queue));
        let now = clock::now();
        check.body("History", &HistoryBody::new(&broker, queue, now));
        check.body("Broker", &BrokerBody::new(&broker, now));
        let list = QueuesBody {
            queues: vec![QueueBody::new(&broker, queue)],
            total: 1,
            unavailable: vec![Unavailable {
                broker: "main".to_owned(),
                reason: "down".to_owned(),
            }],
        };
        check.body("QueueList", &list);
        let brokers = vec![BrokerBody::new(&broker, now)];
        check.body("BrokerList", &BrokersBody { brokers });
    }
    let problem = Problem::new(StatusCode::NOT_FOUND, "No such queue", "none");
    check.body("Problem", &problem);
    let schemas = check.document["components"]["schemas"].clone();
    let mut never = BTreeSet::new();
    for (name, schema) in schemas.as_object().unwrap() {
        let properties = keys(&schema["properties"]);
        assert_eq!(names(&schema["required"]), properties, "{name}");
        never.extend(properties.iter().map(|key| format!("{name}.{key}")));
    }
    let never: Vec<_> = never.difference(&check.seen).cloned().collect();
    // They need minutes of history, or both are known.
    let elsewhere = [
        "Queue.enqueued_per_second",
        "Queue.latency_max_unknown_reason",
        "Queue.started_per_second",
    ];
    assert_eq!(never, elsewhere);
}
