//! Whether brokers are watched, what that costs them, and tailback itself.

use super::board::Row;
use super::colour::{BLUE, ORANGE, SKY, VERMILLION};
use super::look::{Kind, Unit, dashed, solid};
use super::panel::Panel;
use super::query::{SEEN, foreign, max_by, quantile, rate, select, sum_by};
use crate::metrics::catalog::*;

pub(super) fn rows() -> Vec<Row> {
    vec![
        Row::new("Brokers", 8, brokers()),
        Row::new("What it costs them", 8, cost()),
        Row::new("Queues", 8, queues()),
        Row::new("tailback itself", 8, itself()),
    ]
}

/// Each broker as each instance sees it.
const SEEN_BY: &str = "{{broker}} from {{instance}}";
const UP: &[(&str, &str, &str)] = &[("0", "down", VERMILLION), ("1", "up", BLUE)];

fn brokers() -> Vec<Panel> {
    vec![
        Panel::new(Kind::Timeline, "Up", Unit::None, 12)
            .about(BROKER_UP.help)
            .each(SEEN_BY, max_by(SEEN, &select(&BROKER_UP)))
            .words(UP)
            .without("not watched"),
        Panel::new(Kind::Table, "Brokers", Unit::None, 12)
            .about(
                "What each instance sees now. Last good poll: how long ago; well above the poll \
                 interval nothing is known of the present, and the broker's queues are left out.",
            )
            .rows(
                &["broker", "instance", "kind", "version"],
                &["Last good poll"],
            )
            .column(
                "Last good poll",
                Unit::Seconds,
                with_version(&format!(
                    "time() - {}",
                    max_by(SEEN, &select(&BROKER_LAST_SUCCESS))
                )),
            )
            .column(
                "Poll interval",
                Unit::Seconds,
                with_version(&max_by(SEEN, &select(&POLL_INTERVAL))),
            )
            .column(
                "Queues",
                Unit::Count,
                with_version(&max_by(SEEN, &select(&BROKER_QUEUES))),
            )
            .limit(60.0)
            .without(""),
        Panel::new(Kind::Lines, "Freshness", Unit::Seconds, 12)
            .about("Time since the last good poll. It rises while polls fail.")
            .each(
                SEEN_BY,
                format!("time() - {}", max_by(SEEN, &select(&BROKER_LAST_SUCCESS))),
            ),
        Panel::new(Kind::Lines, "Errors", Unit::PerSecond, 12)
            .about(
                "Polls a second, or parts of them, that failed, by kind. The log of tailback, \
                 /api/v1/brokers and `tailback check` say why.",
            )
            .each(
                "{{kind}}: {{broker}} from {{instance}}",
                sum_by("broker, instance, kind", &rate(&POLL_ERRORS)),
            ),
    ]
}

/// A number of each broker, with what the broker is.
fn with_version(expr: &str) -> String {
    let info = max_by("broker, instance, kind, version", &select(&BROKER_INFO));
    format!("({expr}) * on (broker, instance) group_right () {info}")
}

fn cost() -> Vec<Panel> {
    vec![
        Panel::new(Kind::Lines, "Poll time", Unit::Seconds, 12)
            .about(POLL_DURATION.help)
            .each(
                "p95: {{broker}} from {{instance}}",
                quantile("0.95", &POLL_DURATION, SEEN),
            ),
        Panel::new(Kind::Lines, "Poll interval", Unit::Seconds, 12)
            .about(POLL_INTERVAL.help)
            .each(SEEN_BY, max_by(SEEN, &select(&POLL_INTERVAL))),
        Panel::new(Kind::Lines, "Commands and requests", Unit::PerSecond, 12)
            .about("Sent to the broker a second by all instances together, by command.")
            .each(
                "{{command}} ({{broker}})",
                sum_by("broker, command", &rate(&BROKER_COMMANDS)),
            ),
        Panel::new(Kind::Lines, "Bytes", Unit::BytesPerSecond, 12)
            .about("On the wire between the broker and all instances together, a second.")
            .each(
                "{{direction}} ({{broker}})",
                sum_by("broker, direction", &rate(&BROKER_BYTES)),
            ),
    ]
}

fn queues() -> Vec<Panel> {
    let watched = max_by("broker, system, queue", &select(&QUEUE_SOURCE));
    vec![
        Panel::new(Kind::Stack, "Queues watched", Unit::Count, 12)
            .about("Queues that are exported, by job system. A gap: the broker is not read.")
            .each(
                "{{system}} ({{broker}})",
                format!("count by (broker, system) ({watched})"),
            ),
        Panel::new(Kind::Lines, "Queues dropped", Unit::Count, 12)
            .about(
                "Found but not exported. limit: more than max_queues. unreadable: the log names the \
                 first ones. name_collision: two would be shown under one name.",
            )
            .each(
                "{{reason}} ({{broker}})",
                max_by("broker, reason", &select(&BROKER_DROPPED)),
            )
            .limit(1.0),
    ]
}

/// Of the processes that are tailback: other targets have the same metrics.
fn of_ours(expr: &str) -> String {
    format!("{expr} and on (job, instance) {}", select(&BUILD_INFO))
}

fn itself() -> Vec<Panel> {
    // A target that is down says nothing but this, so its job alone tells that it is one of ours.
    let ours = format!(
        "max by (job) (max_over_time({}[$__range]))",
        select(&BUILD_INFO)
    );
    vec![
        Panel::new(Kind::Timeline, "Scraped", Unit::None, 12)
            .about("Whether Prometheus reaches the instances of tailback.")
            .each(
                "{{instance}} ({{job}})",
                format!("{} and on (job) {ours}", foreign("up")),
            )
            .words(UP),
        Panel::new(Kind::Table, "Instances", Unit::None, 12)
            .about("Versions of tailback, and how long each has run.")
            .rows(&["instance", "job", "version", "revision"], &["Running for"])
            .column(
                "Running for",
                Unit::Seconds,
                format!(
                    "(time() - {}) * on (job, instance) group_right () max by (job, instance, version, revision) ({})",
                    max_by("job, instance", &foreign("process_start_time_seconds")),
                    select(&BUILD_INFO)
                ),
            )
            .column(
                "Scrape",
                Unit::Seconds,
                format!(
                    "{} * on (job, instance) group_right () max by (job, instance, version, revision) ({})",
                    max_by("job, instance", &foreign("scrape_duration_seconds")),
                    select(&BUILD_INFO)
                ),
            )
            .without(""),
        Panel::new(Kind::Lines, "Processor", Unit::Share, 12)
            .about("Time of one processor that tailback itself takes.")
            .each(
                "{{instance}}",
                of_ours(&format!(
                    "rate({}[$__rate_interval])",
                    foreign("process_cpu_seconds_total")
                )),
            ),
        Panel::new(Kind::Lines, "Memory", Unit::Bytes, 12)
            .about("Memory of tailback that is resident.")
            .each(
                "{{instance}}",
                of_ours(&foreign("process_resident_memory_bytes")),
            ),
        Panel::new(Kind::Lines, "Samples in a scrape", Unit::Count, 12)
            .about("Size of what Prometheus stores at each scrape, before relabelling and after.")
            .one(
                "scraped",
                dashed(SKY),
                format!("sum({})", of_ours(&foreign("scrape_samples_scraped"))),
            )
            .one(
                "kept",
                solid(BLUE),
                format!(
                    "sum({})",
                    of_ours(&foreign("scrape_samples_post_metric_relabeling"))
                ),
            ),
        Panel::new(Kind::Lines, "Open files", Unit::Count, 12)
            .about("Open files and connections of tailback, and how many it may have.")
            .one(
                "open",
                solid(BLUE),
                format!("sum({})", of_ours(&foreign("process_open_fds"))),
            )
            .one(
                "allowed",
                dashed(ORANGE),
                format!("sum({})", of_ours(&foreign("process_max_fds"))),
            ),
    ]
}
