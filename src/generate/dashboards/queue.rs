//! A queue. Where several are chosen they count as one: jobs, rates and workers are summed, of
//! latencies the largest is shown, as it is for autoscalers.

use super::board::Row;
use super::colour::{BLUE, GREEN, GREY, ORANGE, PURPLE, SKY, VERMILLION};
use super::look::{Kind, Look, Unit, dashed, dotted, solid};
use super::panel::Panel;
use super::query::{
    Over, jobs, max_by, of_queues, on_time, quantile, rate_of_queues, select, sum_by, wait_buckets,
    wait_quantile,
};
use crate::metrics::MetricDef;
use crate::metrics::catalog::*;

pub(super) fn rows() -> Vec<Row> {
    vec![
        Row::new("Now", 4, now()),
        Row::new("Waiting", 9, waiting()),
        Row::new("Jobs", 9, all_jobs()),
        Row::new("Workers", 9, workers()),
    ]
}

fn largest(def: &MetricDef) -> String {
    format!("max({})", select(def))
}

/// Summed over the queues.
fn sum(expr: &str) -> String {
    format!("sum({expr})")
}

fn total_rate(def: &MetricDef) -> String {
    sum(&rate_of_queues(def))
}

/// The strictest of the objectives.
fn objective() -> String {
    format!("min({})", select(&QUEUE_OBJECTIVE))
}

fn now() -> Vec<Panel> {
    vec![
        Panel::stat("Latency", Unit::Seconds, QUEUE_LATENCY.help, largest(&QUEUE_LATENCY)),
        Panel::new(Kind::Word, "Source of the latency", Unit::None, 4)
            .about(
                "Where the latency comes from. message: the job carries its time. broker: the \
                 broker keeps it. flow: inferred from how many jobs arrive and leave. none: nothing \
                 tells it.",
            )
            .each("{{source}}", max_by("source", &select(&QUEUE_SOURCE))),
        Panel::stat("Ready", Unit::Count, "Jobs that a worker could take now.", sum(&jobs("ready"))),
        Panel::stat(
            "Expected wait",
            Unit::Seconds,
            QUEUE_EXPECTED_WAIT.help,
            largest(&QUEUE_EXPECTED_WAIT),
        ),
        Panel::stat(
            "Started on time",
            Unit::Share,
            "Share of the jobs that started within their objective, of those that started in the \
             time shown.",
            on_time("", Over::Shown),
        )
        .without("no objective"),
        Panel::stat("Objective", Unit::Seconds, QUEUE_OBJECTIVE.help, objective()).without("none"),
    ]
}

fn waiting() -> Vec<Panel> {
    // A bound of some of the queues is none of all of them.
    let max = format!(
        "{} and count({}) == count({})",
        largest(&QUEUE_LATENCY_MAX),
        of_queues(&QUEUE_LATENCY_MAX),
        of_queues(&QUEUE_LATENCY)
    );
    let band = Look {
        filled_to: Some("lower bound"),
        ..dotted(SKY)
    };
    vec![
        Panel::new(Kind::Heatmap, "Waits of jobs that started", Unit::Count, 12)
            .about(
                "How many jobs started after which wait. Lighter is more, nothing is none; where a \
                 system shows only some of its jobs, of those. A job that still waits is not in it: \
                 see the latency.",
            )
            .each("{{le}}", wait_buckets("le", Over::Point)),
        Panel::new(Kind::Lines, "Latency and its bounds", Unit::Seconds, 12)
            .about(
                "Age of the oldest ready job. The truth is certainly within the bounds; without an \
                 upper one it is at least the lower.",
            )
            .one("upper bound", band, max)
            .one("latency", solid(BLUE), largest(&QUEUE_LATENCY))
            .one("lower bound", dotted(SKY), largest(&QUEUE_LATENCY_MIN))
            .one("objective", dashed(VERMILLION), objective()),
        Panel::new(Kind::Lines, "Waits of jobs that started: quantiles", Unit::Seconds, 12)
            .about(
                "Half of the jobs waited less than the median. As fine as the buckets of the \
                 histogram. A gap: no job started.",
            )
            .one("p99", dotted(VERMILLION), wait_quantile("0.99", "", Over::Point))
            .one("p95", dashed(ORANGE), wait_quantile("0.95", "", Over::Point))
            .one("median", solid(BLUE), wait_quantile("0.5", "", Over::Point)),
        Panel::new(Kind::Lines, "Forecast", Unit::Seconds, 12)
            .about(
                "Expected wait: of a job enqueued now. Drain time: until all that are ready have \
                 started, at the present rate. A gap: no rate is known.",
            )
            .one("drain time", dashed(ORANGE), largest(&QUEUE_DRAIN))
            .one("expected wait", solid(BLUE), largest(&QUEUE_EXPECTED_WAIT))
            .one("objective", dashed(VERMILLION), objective()),
        Panel::new(Kind::Lines, "Started on time", Unit::Share, 12)
            .about(
                "Share of the jobs that started within their objective, and the share that the \
                 objective asks for. A gap: no job started.",
            )
            .one("on time", solid(BLUE), on_time("", Over::Point))
            .one(
                "goal",
                dashed(VERMILLION),
                format!("max({})", select(&QUEUE_OBJECTIVE_RATIO)),
            ),
        Panel::new(Kind::Lines, "Due", Unit::Seconds, 12)
            .about(
                "How long the earliest scheduled or retrying job has been due: above zero it waits \
                 for a scheduler that does not move it. And how long the longest-running job runs.",
            )
            .one(
                "overdue",
                dashed(ORANGE),
                format!("clamp_min(time() - min({}), 0)", select(&QUEUE_NEXT_DUE)),
            )
            .one(
                "longest run",
                solid(BLUE),
                format!("time() - min({})", select(&QUEUE_OLDEST_IN_PROGRESS)),
            ),
    ]
}

fn all_jobs() -> Vec<Panel> {
    let by_state = max_by("broker, system, queue, state", &select(&QUEUE_JOBS));
    let by_priority = max_by(
        "broker, system, queue, priority",
        &select(&QUEUE_PRIORITY_JOBS),
    );
    vec![
        Panel::new(Kind::Stack, "Jobs by state", Unit::Count, 12)
            .about(QUEUE_JOBS.help)
            .each("{{state}}", sum_by("state", &by_state))
            .named(&[
                ("ready", solid(BLUE)),
                ("in_progress", solid(GREEN)),
                ("scheduled", solid(SKY)),
                ("retry", solid(ORANGE)),
                ("deferred", solid(GREY)),
                ("failed", solid(VERMILLION)),
            ]),
        Panel::new(Kind::Lines, "Arrivals and departures", Unit::PerSecond, 12)
            .about(
                "Jobs that arrive, start and end a second. While arrivals are above starts, more \
                 and more jobs wait.",
            )
            .one("arrive", dashed(ORANGE), total_rate(&QUEUE_ENQUEUED))
            .one("start", solid(BLUE), total_rate(&QUEUE_STARTED))
            .one("done", dotted(GREEN), total_rate(&QUEUE_FINISHED)),
        Panel::new(Kind::Lines, "Failures", Unit::PerSecond, 12)
            .about(
                "Failed: attempts. Retried: put back to be tried again. Redelivered: came back \
                 after a worker had them.",
            )
            .one("failed", solid(VERMILLION), total_rate(&QUEUE_FAILURES))
            .one("retried", dashed(ORANGE), total_rate(&QUEUE_RETRIES))
            .one(
                "redelivered",
                dotted(PURPLE),
                total_rate(&QUEUE_REDELIVERED),
            ),
        Panel::new(Kind::Lines, "Records lost", Unit::PerSecond, 12)
            .about(QUEUE_GAPS.help)
            .each(
                "{{queue}} ({{system}}, {{broker}})",
                rate_of_queues(&QUEUE_GAPS),
            ),
        Panel::new(Kind::Stack, "Ready by priority", Unit::Count, 12)
            .about(QUEUE_PRIORITY_JOBS.help)
            .each("priority {{priority}}", sum_by("priority", &by_priority)),
        Panel::new(Kind::Lines, "Jobs of the whole job system", Unit::Count, 12)
            .about(SYSTEM_JOBS.help)
            .each(
                "{{state}} ({{system}}, {{broker}})",
                max_by("broker, system, state", &select(&SYSTEM_JOBS)),
            )
            .without("told by queue"),
    ]
}

fn workers() -> Vec<Panel> {
    vec![
        Panel::new(Kind::Lines, "Workers: required and present", Unit::Count, 12)
            .about(
                "Required: job slots that would keep the objective. Attached: consumers or \
                 workers, each of which may have several slots. Busy: slots with a job.",
            )
            .one("required", dashed(VERMILLION), sum(&of_queues(&QUEUE_REQUIRED_WORKERS)))
            .one("attached", solid(BLUE), sum(&of_queues(&QUEUE_CONSUMERS)))
            .one("busy", dotted(GREEN), sum(&of_queues(&QUEUE_BUSY_WORKERS))),
        Panel::new(Kind::Lines, "Run times", Unit::Seconds, 12)
            .about(QUEUE_RUN.help)
            .one("p95", dashed(ORANGE), run_quantile("0.95"))
            .one("median", solid(BLUE), run_quantile("0.5")),
        Panel::new(Kind::Lines, "Paused", Unit::Count, 12)
            .about("How many of the queues their job system has paused.")
            .one("paused", solid(ORANGE), sum(&of_queues(&QUEUE_PAUSED))),
        Panel::new(Kind::Lines, "Slots of the job system", Unit::Count, 12)
            .about(
                "Of all queues of the job system together, where it does not tell them apart: slots \
                 that live workers have, and those with a job.",
            )
            .each(
                "slots ({{system}}, {{broker}})",
                max_by("broker, system", &select(&SYSTEM_SLOTS)),
            )
            .each(
                "busy ({{system}}, {{broker}})",
                max_by("broker, system", &select(&SYSTEM_BUSY_WORKERS)),
            )
            .without("told by queue"),
    ]
}

fn run_quantile(of: &'static str) -> String {
    format!("max({})", quantile(of, &QUEUE_RUN, super::query::QUEUE))
}
