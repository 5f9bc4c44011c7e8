//! Job slots that are needed and that there are, and what comes of it.

use super::board::Row;
use super::colour::{BLUE, GREEN, ORANGE, SKY, VERMILLION};
use super::look::{Kind, Unit, dashed, dotted, solid};
use super::panel::Panel;
use super::query::{QUEUE, jobs, of_queues, quantile, rate_of_queues};
use crate::metrics::catalog::*;

pub(super) fn rows() -> Vec<Row> {
    vec![
        Row::new("Queues with an objective", 10, vec![table()]),
        Row::new("Slots", 9, slots()),
        Row::new("What comes of it", 9, effect()),
    ]
}

const EACH: &str = "{{queue}} ({{system}}, {{broker}})";

fn required() -> String {
    of_queues(&QUEUE_REQUIRED_WORKERS)
}

/// How long the oldest job has waited, by how long one may.
fn of_objective(def: &crate::metrics::MetricDef) -> String {
    format!("{} / {}", of_queues(def), of_queues(&QUEUE_OBJECTIVE))
}

/// Of queues of which it is known how many workers they need.
fn scaled(expr: &str) -> String {
    format!("{expr} and {}", required())
}

/// Of queues with an objective.
fn aimed(expr: &str) -> String {
    format!("{expr} and {}", of_queues(&QUEUE_OBJECTIVE))
}

fn table() -> Panel {
    Panel::new(Kind::Table, "Required and present", Unit::None, 24)
        .about(
            "Of objective: latency by the time that a job may wait; over 100 % it is late. \
             Required: job slots that would keep the objective, from arrivals, run times and \
             backlog. Attached: consumers or workers, each of which may have several slots. An empty \
             cell is not known; a system may not tell its workers by queue.",
        )
        .rows(
            &["queue", "system", "broker"],
            &["Of objective", "Required"],
        )
        .column("Of objective", Unit::Share, of_objective(&QUEUE_LATENCY))
        .column("Required", Unit::Count, required())
        .column("Attached", Unit::Count, aimed(&of_queues(&QUEUE_CONSUMERS)))
        .column("Busy", Unit::Count, aimed(&of_queues(&QUEUE_BUSY_WORKERS)))
        .column("Ready", Unit::Count, aimed(&jobs("ready")))
        .column("Latency", Unit::Seconds, aimed(&of_queues(&QUEUE_LATENCY)))
        .column(
            "Expected wait",
            Unit::Seconds,
            aimed(&of_queues(&QUEUE_EXPECTED_WAIT)),
        )
        .column("Objective", Unit::Seconds, of_queues(&QUEUE_OBJECTIVE))
        .limit(1.0)
        .without("")
        .linking_queues()
}

fn slots() -> Vec<Panel> {
    let sum = |expr: String| format!("sum({expr})");
    vec![
        Panel::new(Kind::Lines, "Required by queue", Unit::Count, 12)
            .about(
                "Job slots that would keep each queue's objective; what KEDA is told. A gap: not \
                 known, and KEDA is told an error, so that it holds the replicas.",
            )
            .each(EACH, required())
            .linking_queues(),
        Panel::new(Kind::Lines, "Required and present", Unit::Count, 12)
            .about(
                "Over the queues of which it is known how many they need. Choose one queue to \
                 compare: what is attached is counted in workers, what is required in job slots.",
            )
            .one("required", dashed(VERMILLION), sum(required()))
            .one(
                "attached",
                solid(BLUE),
                sum(scaled(&of_queues(&QUEUE_CONSUMERS))),
            )
            .one(
                "busy",
                dotted(GREEN),
                sum(scaled(&of_queues(&QUEUE_BUSY_WORKERS))),
            ),
        Panel::new(Kind::Lines, "Attached by queue", Unit::Count, 12)
            .about(QUEUE_CONSUMERS.help)
            .each(EACH, aimed(&of_queues(&QUEUE_CONSUMERS)))
            .linking_queues(),
        Panel::new(
            Kind::Lines,
            "Why: arrivals and run times",
            Unit::PerSecond,
            12,
        )
        .about(
            "Arrivals times run time is the work that comes in: about as many slots as that \
                 are busy if nothing is to pile up.",
        )
        .each(
            "arrivals: {{queue}}",
            aimed(&rate_of_queues(&QUEUE_ENQUEUED)),
        )
        .linking_queues(),
    ]
}

fn effect() -> Vec<Panel> {
    let longest = |expr: String| format!("max({expr})");
    vec![
        Panel::new(Kind::Lines, "Latency of the objective", Unit::Share, 12)
            .about(
                "Latency by the time that a job may wait. Above the dashed line a queue is late.",
            )
            .each(EACH, of_objective(&QUEUE_LATENCY))
            .limit(1.0)
            .linking_queues(),
        Panel::new(Kind::Lines, "Latency and target", Unit::Seconds, 12)
            .about(
                "The longest latency and expected wait of the queues chosen, and the strictest \
                 objective. Choose one queue to compare.",
            )
            .one(
                "latency",
                solid(BLUE),
                longest(aimed(&of_queues(&QUEUE_LATENCY))),
            )
            .one(
                "expected wait",
                dotted(SKY),
                longest(aimed(&of_queues(&QUEUE_EXPECTED_WAIT))),
            )
            .one(
                "target",
                dashed(VERMILLION),
                format!("min({})", of_queues(&QUEUE_OBJECTIVE)),
            ),
        Panel::new(Kind::Lines, "Backlog", Unit::Count, 12)
            .about("Ready jobs of each queue that has an objective.")
            .each(EACH, aimed(&jobs("ready")))
            .linking_queues(),
        Panel::new(Kind::Lines, "Run times", Unit::Seconds, 12)
            .about("p95 of the jobs that ended, where the job system records it.")
            .one(
                "p95",
                dashed(ORANGE),
                format!("max({})", quantile("0.95", &QUEUE_RUN, QUEUE)),
            ),
    ]
}
