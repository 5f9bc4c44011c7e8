//! What is worth computing once: rates and shares by queue, over the windows that alerts and
//! dashboards ask for. Named level:metric:operations.

use super::Recording;
use std::sync::LazyLock;

pub(super) static RECORDINGS: LazyLock<Vec<Recording>> = LazyLock::new(|| {
    let mut all = vec![
        rate(
            "broker_system_queue:tailback_queue_enqueued:rate5m",
            "tailback_queue_enqueued_total",
        ),
        rate(
            "broker_system_queue:tailback_queue_started:rate5m",
            "tailback_queue_started_total",
        ),
        Recording {
            name: "broker_system_queue:tailback_queue_ready:max",
            expr: "max by (broker, system, queue) (tailback_queue_jobs{state=\"ready\"})".to_owned(),
        },
        Recording {
            name: "broker_system_queue:tailback_queue_wait_seconds:p95_rate5m",
            expr: "histogram_quantile(0.95, max by (broker, system, queue, le) \
                   (rate(tailback_queue_wait_seconds_bucket[5m])))"
                .to_owned(),
        },
        Recording {
            name: "broker_system_queue:tailback_queue_failures:ratio_rate15m",
            expr: "max by (broker, system, queue) (rate(tailback_queue_failures_total[15m]))\n  / \
                   (\n    max by (broker, system, queue) (rate(tailback_queue_failures_total[15m]))\
                   \n    + max by (broker, system, queue) (rate(tailback_queue_finished_total[15m]))\
                   \n    > 0\n  )"
                .to_owned(),
        },
    ];
    all.extend(LATE.map(|(name, window)| Recording {
        name,
        expr: format!(
            "max by (broker, system, queue) (rate(tailback_queue_late_starts_total[{window}]))\n  / \
             (max by (broker, system, queue) (rate(tailback_queue_started_total[{window}])) > 0)"
        ),
    }));
    all
});

/// The windows over which lateness is judged.
const LATE: [(&str, &str); 7] = [
    (
        "broker_system_queue:tailback_queue_late_starts:ratio_rate5m",
        "5m",
    ),
    (
        "broker_system_queue:tailback_queue_late_starts:ratio_rate30m",
        "30m",
    ),
    (
        "broker_system_queue:tailback_queue_late_starts:ratio_rate1h",
        "1h",
    ),
    (
        "broker_system_queue:tailback_queue_late_starts:ratio_rate2h",
        "2h",
    ),
    (
        "broker_system_queue:tailback_queue_late_starts:ratio_rate6h",
        "6h",
    ),
    (
        "broker_system_queue:tailback_queue_late_starts:ratio_rate1d",
        "1d",
    ),
    (
        "broker_system_queue:tailback_queue_late_starts:ratio_rate3d",
        "3d",
    ),
];

fn rate(name: &'static str, counter: &str) -> Recording {
    Recording {
        name,
        expr: format!("max by (broker, system, queue) (rate({counter}[5m]))"),
    }
}
