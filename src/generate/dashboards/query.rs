//! PromQL over the catalog: which labels a metric has decides which variables choose among its series.
//!
//! Replicas of tailback see the same queues, so over them the largest is taken and never the sum, as
//! in the alert rules; only what each of them costs a broker adds up.

use crate::metrics::{MetricDef, MetricType};

/// The labels of a queue.
pub(super) const QUEUE: &str = "broker, system, queue";
/// Of a broker as one instance sees it.
pub(super) const SEEN: &str = "broker, instance";

/// The series of a metric that the dashboard's variables choose.
pub(super) fn select(def: &MetricDef) -> String {
    select_where(def, "")
}

/// Of those, the ones with further matchers.
pub(super) fn select_where(def: &MetricDef, matchers: &str) -> String {
    series(def.name, def.labels, matchers)
}

/// The series of a metric that is not of the catalog.
pub(super) fn foreign(name: &str) -> String {
    series(name, &[], "")
}

fn series(name: &str, labels: &[&str], matchers: &str) -> String {
    let mut all = String::from("job=~\"$job\", instance=~\"$instance\"");
    for label in ["broker", "system", "queue"] {
        if labels.contains(&label) {
            all += &format!(", {label}=~\"${label}\"");
        }
    }
    if !matchers.is_empty() {
        all += &format!(", {matchers}");
    }
    format!("{name}{{{all}}}")
}

fn buckets(def: &MetricDef) -> String {
    assert_eq!(def.kind, MetricType::Histogram, "{}", def.name);
    select(def).replacen('{', "_bucket{", 1)
}

/// A second's worth of a counter at each point of a graph.
pub(super) fn rate(def: &MetricDef) -> String {
    assert_eq!(def.kind, MetricType::Counter, "{}", def.name);
    format!("rate({}[$__rate_interval])", select(def))
}

/// What a counter has gained over the time that is shown.
fn gained(def: &MetricDef) -> String {
    assert_eq!(def.kind, MetricType::Counter, "{}", def.name);
    format!("increase({}[$__range])", select(def))
}

pub(super) fn max_by(labels: &str, expr: &str) -> String {
    format!("max by ({labels}) ({expr})")
}

pub(super) fn sum_by(labels: &str, expr: &str) -> String {
    format!("sum by ({labels}) ({expr})")
}

/// A gauge, for each queue.
pub(super) fn of_queues(def: &MetricDef) -> String {
    max_by(QUEUE, &select(def))
}

/// A counter's rate, for each queue.
pub(super) fn rate_of_queues(def: &MetricDef) -> String {
    max_by(QUEUE, &rate(def))
}

/// Jobs in one state, for each queue.
pub(super) fn jobs(state: &str) -> String {
    use crate::metrics::catalog::QUEUE_JOBS;
    let matcher = format!("state=\"{state}\"");
    max_by(QUEUE, &select_where(&QUEUE_JOBS, &matcher))
}

/// Over which time a share or a quantile is taken.
#[derive(Debug, Clone, Copy)]
pub(super) enum Over {
    /// At each point of a graph.
    Point,
    /// All that is shown.
    Shown,
}

/// How many events there were in each bucket of a histogram, for each queue.
fn counts(def: &MetricDef, over: Over) -> String {
    let window = match over {
        Over::Point => "$__rate_interval",
        Over::Shown => "$__range",
    };
    let counts = format!("increase({}[{window}])", buckets(def));
    max_by(&format!("{QUEUE}, le"), &counts)
}

/// Waits by bucket over all chosen queues. Where a system shows only some of its jobs, those.
pub(super) fn wait_buckets(labels: &str, over: Over) -> String {
    use crate::metrics::catalog::{QUEUE_SAMPLED_WAIT, QUEUE_WAIT};
    let all = counts(&QUEUE_WAIT, over);
    let some = counts(&QUEUE_SAMPLED_WAIT, over);
    sum_by(labels, &format!("{all} or {some}"))
}

/// A quantile of the waits.
pub(super) fn wait_quantile(quantile: &str, labels: &str, over: Over) -> String {
    let by = if labels.is_empty() {
        "le".to_owned()
    } else {
        format!("{labels}, le")
    };
    finite(&format!(
        "histogram_quantile({quantile}, {})",
        wait_buckets(&by, over)
    ))
}

/// A quantile of another histogram.
pub(super) fn quantile(quantile: &str, def: &MetricDef, labels: &str) -> String {
    let rates = format!("rate({}[$__rate_interval])", buckets(def));
    let rates = max_by(&format!("{labels}, le"), &rates);
    finite(&format!("histogram_quantile({quantile}, {rates})"))
}

/// Without what has no value: no event, no quantile, and nothing over nothing is no share.
fn finite(expr: &str) -> String {
    format!("{expr} >= 0")
}

/// Share of the jobs that started within their objective.
pub(super) fn on_time(labels: &str, over: Over) -> String {
    use crate::metrics::catalog::{QUEUE_LATE_STARTS, QUEUE_STARTED};
    let part = |def| match over {
        Over::Point => rate(def),
        Over::Shown => gained(def),
    };
    let late = max_by(QUEUE, &part(&QUEUE_LATE_STARTS));
    let started = max_by(QUEUE, &part(&QUEUE_STARTED));
    // Only starts of queues that have an objective.
    let started = format!("{started} and {late}");
    let (late, started) = if labels == QUEUE {
        (late, format!("({started})"))
    } else {
        (sum_by(labels, &late), sum_by(labels, &started))
    };
    // Late starts are seen in the jobs, starts may be counted by the broker, a poll apart.
    finite(&format!("clamp_min(1 - {late} / {started}, 0)"))
}
