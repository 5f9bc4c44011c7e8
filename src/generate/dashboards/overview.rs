//! All queues, worst first.

use super::board::Row;
use super::colour::{BLUE, ORANGE, SKY};
use super::look::{Kind, Unit, dashed, solid};
use super::panel::Panel;
use super::query::{
    Over, QUEUE, jobs, max_by, of_queues, on_time, rate_of_queues, select, sum_by, wait_quantile,
};
use crate::metrics::catalog::*;

pub(super) fn rows() -> Vec<Row> {
    vec![
        Row::new("Now", 4, now()),
        Row::new("Queues", 14, vec![table()]),
        Row::new("Over time", 9, over_time()),
    ]
}

fn now() -> Vec<Panel> {
    let (latency, objective) = (of_queues(&QUEUE_LATENCY), of_queues(&QUEUE_OBJECTIVE));
    vec![
        Panel::stat(
            "Late queues",
            Unit::Count,
            "Queues whose oldest job waits longer than their objective allows. Without any \
             objective there is none to be late.",
            format!("sum({latency} > bool {objective})"),
        )
        .limit(1.0)
        .without("no objective"),
        Panel::stat(
            "Longest wait",
            Unit::Seconds,
            "Age of the oldest ready job of all queues.",
            format!("max({latency})"),
        ),
        Panel::stat(
            "Jobs waiting",
            Unit::Count,
            "Ready jobs of all queues.",
            format!("sum({})", jobs("ready")),
        ),
        Panel::stat(
            "Arrivals",
            Unit::PerSecond,
            "Jobs that arrive a second, in queues of which that is known.",
            format!("sum({})", rate_of_queues(&QUEUE_ENQUEUED)),
        ),
        Panel::stat(
            "Starts",
            Unit::PerSecond,
            "Jobs that start a second, in queues of which that is known.",
            format!("sum({})", rate_of_queues(&QUEUE_STARTED)),
        ),
        Panel::stat(
            "Brokers not up",
            Unit::Count,
            "Brokers that no instance of tailback reads. Once that is stale their queues are \
             missing from this dashboard: nothing is known of them.",
            format!("sum(1 - {})", max_by("broker", &select(&BROKER_UP))),
        )
        .limit(1.0),
    ]
}

fn table() -> Panel {
    let (latency, objective) = (of_queues(&QUEUE_LATENCY), of_queues(&QUEUE_OBJECTIVE));
    Panel::new(Kind::Table, "Queues, worst first", Unit::None, 24)
        .about(
            "Late by: how much longer the oldest job has waited than the objective allows; empty \
             where it does not, or where there is none. p95 wait and on time: of the jobs that \
             started in the time shown, where a system shows only some of its jobs, of those. In \
             and out: jobs that arrive and start a second. An empty cell is not known. The name \
             of a queue links to it.",
        )
        .rows(&["queue", "system", "broker"], &["Late by", "Latency"])
        .column(
            "Late by",
            Unit::Seconds,
            format!("{latency} - {objective} > 0"),
        )
        .column("Latency", Unit::Seconds, latency)
        .column("Objective", Unit::Seconds, objective)
        .column(
            "p95 wait",
            Unit::Seconds,
            wait_quantile("0.95", QUEUE, Over::Shown),
        )
        .column("On time", Unit::Share, on_time(QUEUE, Over::Shown))
        .column("Ready", Unit::Count, jobs("ready"))
        .column("In", Unit::PerSecond, rate_of_queues(&QUEUE_ENQUEUED))
        .column("Out", Unit::PerSecond, rate_of_queues(&QUEUE_STARTED))
        .column("Drain time", Unit::Seconds, of_queues(&QUEUE_DRAIN))
        .limit(0.0)
        .without("")
        .linking_queues()
}

fn over_time() -> Vec<Panel> {
    let worst = |expr: &str| format!("topk(10, {expr})");
    vec![
        Panel::new(Kind::Lines, "Longest waits", Unit::Seconds, 12)
            .about(
                "Latency of the ten worst queues at each moment: a line begins and ends where its \
                 queue joins and leaves them. Click a line to go to its queue.",
            )
            .each(
                "{{queue}} ({{system}}, {{broker}})",
                worst(&of_queues(&QUEUE_LATENCY)),
            )
            .linking_queues(),
        Panel::new(Kind::Lines, "Most jobs waiting", Unit::Count, 12)
            .about("Ready jobs of the ten longest queues at each moment.")
            .each("{{queue}} ({{system}}, {{broker}})", worst(&jobs("ready")))
            .linking_queues(),
        Panel::new(Kind::Lines, "Arrivals and starts", Unit::PerSecond, 12)
            .about(
                "Of all queues together of which both are known. While arrivals are above starts, \
                 more and more jobs wait.",
            )
            .one("arrivals", dashed(ORANGE), flow(&QUEUE_ENQUEUED, &QUEUE_STARTED))
            .one("starts", solid(BLUE), flow(&QUEUE_STARTED, &QUEUE_ENQUEUED)),
        Panel::new(Kind::Stack, "Jobs waiting by system", Unit::Count, 12)
            .about("Ready jobs of all queues of a job system on a broker.")
            .each(
                "{{system}} ({{broker}})",
                sum_by("broker, system", &jobs("ready")),
            ),
        Panel::new(Kind::Lines, "Started on time", Unit::Share, 12)
            .about(
                "Share of the jobs that started within their objective, of the ten queues with the \
                 lowest at each moment. A gap: no job of the queue started.",
            )
            .each(
                "{{queue}} ({{system}}, {{broker}})",
                format!("bottomk(10, {})", on_time(QUEUE, Over::Point)),
            )
            .linking_queues(),
        Panel::new(Kind::Lines, "Waits of all jobs", Unit::Seconds, 12)
            .about(
                "Of the jobs that started, over all queues of which waits are known; where a system \
                 shows only some of its jobs, of those.",
            )
            .one("p95", dashed(ORANGE), wait_quantile("0.95", "", Over::Point))
            .one("median", solid(SKY), wait_quantile("0.5", "", Over::Point)),
    ]
}

/// The rate of one counter over queues that have the other one too.
fn flow(of: &crate::metrics::MetricDef, besides: &crate::metrics::MetricDef) -> String {
    let (of, besides) = (rate_of_queues(of), rate_of_queues(besides));
    format!("sum({of} and {besides})")
}
