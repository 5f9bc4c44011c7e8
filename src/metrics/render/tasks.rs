//! What events tell.

use super::write_histogram;
use crate::clock::Now;
use crate::metrics::catalog::*;
use crate::metrics::encode::{Encoder, Value, label};
use crate::model::tasks::{EventKind, EventsView, Loss, TaskCounts};
use crate::model::{Snapshot, System};

pub(super) fn write(encoder: &mut Encoder<'_>, snapshot: &Snapshot, now: Now) {
    let brokers = snapshot.brokers.values();
    let brokers: Vec<(String, &EventsView)> = brokers
        .filter(|broker| broker.is_fresh(now))
        .filter_map(|broker| {
            let mut labels = String::new();
            label(&mut labels, "broker", &broker.name);
            label(&mut labels, "system", System::Celery.as_str());
            Some((labels, broker.events.as_deref()?))
        })
        .collect();
    let tasks: Vec<_> = brokers
        .iter()
        .flat_map(|(labels, events)| {
            events.tasks.iter().map(move |(name, task)| {
                let mut labels = labels.clone();
                label(&mut labels, "task", name);
                (labels, task)
            })
        })
        .collect();
    let mut count = |def: &MetricDef, value: fn(&TaskCounts) -> u64| {
        encoder.family(def);
        for (labels, task) in &tasks {
            encoder.sample(def.name, labels, None, Value::Int(value(&task.counts)));
        }
    };
    count(&TASK_STARTED, |counts| counts.started);
    count(&TASK_SUCCEEDED, |counts| counts.succeeded);
    count(&TASK_FAILURES, |counts| counts.failures);
    count(&TASK_RETRIES, |counts| counts.retries);
    count(&TASK_REVOKED, |counts| counts.revoked);
    count(&TASK_REJECTED, |counts| counts.rejected);
    encoder.family(&TASK_RUN);
    for (labels, task) in &tasks {
        if let Some(runs) = &task.runs {
            write_histogram(encoder, &TASK_RUN, labels, runs, None);
        }
    }
    let mut family = |def: &MetricDef, value: &dyn Fn(&EventsView) -> Option<u64>| {
        encoder.family(def);
        for (labels, events) in &brokers {
            if let Some(value) = value(events) {
                encoder.sample(def.name, labels, None, Value::Int(value));
            }
        }
    };
    family(&EVENTS_LISTENING, &|events| {
        Some(events.is_listening.into())
    });
    family(&EVENTS_WAITING, &|events| Some(events.waiting));
    family(&EVENTS_WORKERS, &|events| events.workers);
    encoder.family(&EVENTS);
    for (labels, events) in &brokers {
        for kind in EventKind::ALL {
            let label = Some(("event", kind.as_str()));
            encoder.sample(
                EVENTS.name,
                labels,
                label,
                Value::Int(events.events.of(kind)),
            );
        }
    }
    encoder.family(&EVENTS_MISSED);
    for (labels, events) in &brokers {
        for loss in Loss::ALL {
            let label = Some(("reason", loss.as_str()));
            encoder.sample(
                EVENTS_MISSED.name,
                labels,
                label,
                Value::Int(events.losses.of(loss)),
            );
        }
    }
}
