//! The alerts. Each says what is wrong for the users of a queue, or that nobody can know.

use super::{About, Alert, Severity};
use std::sync::LazyLock;

pub(super) static ALERTS: LazyLock<Vec<Alert>> = LazyLock::new(|| {
    let mut all = about_tailback();
    all.extend(about_waiting());
    all.extend(about_flow());
    all.extend(about_jobs());
    all
});

/// The most that may be late of jobs that burn their budget so many times too fast. A budget of more
/// than 7 % cannot be burnt 14 times too fast, so the share itself is limited as well.
fn budget(factor: &str) -> String {
    format!(
        "clamp_max({factor} * (1 - max by (broker, system, queue) \
         (tailback_queue_wait_objective_ratio)), 0.9)"
    )
}

/// Late in the long window, so that it matters, and in the short one, so that it is over soon after
/// the cause is. A handful of jobs says nothing.
fn burn(long: &str, short: &str, factor: &str) -> String {
    let late = |window: &str| {
        let budget = budget(factor);
        format!("broker_system_queue:tailback_queue_late_starts:ratio_rate{window}\n    > {budget}")
    };
    format!(
        "(\n  {}\n  and\n  {}\n)\nand max by (broker, system, queue) \
         (increase(tailback_queue_late_starts_total[{long}])) > 5",
        late(long),
        late(short)
    )
}

const BURN_SUMMARY: &str =
    "{{ $value | humanizePercentage }} of the jobs in {{ $labels.queue }} start too late";

fn about_tailback() -> Vec<Alert> {
    vec![
        Alert {
            name: "TailbackAbsent",
            severity: Severity::Critical,
            expr: "absent(tailback_build_info)".to_owned(),
            window: None,
            hold: "10m",
            keep: None,
            about: About::Tailback,
            summary: "No tailback is scraped",
            description: "Prometheus has no metrics of any tailback: waiting times of all queues are \
                          unknown, and none of the other alerts on queues can fire.",
        },
        Alert {
            name: "TailbackDown",
            severity: Severity::Critical,
            expr: "up == 0\nand on (job, instance)\n  group by (job, instance) \
                   (last_over_time(tailback_build_info[1d]))"
                .to_owned(),
            window: None,
            hold: "5m",
            keep: None,
            about: About::Tailback,
            summary: "tailback {{ $labels.instance }} cannot be scraped",
            description: "It answered within the last day and no longer does. Unless a replica \
                          watches the same brokers, their waiting times are unknown.",
        },
        Alert {
            name: "TailbackBrokerUnreachable",
            severity: Severity::Critical,
            expr: "max by (broker) (tailback_broker_up) == 0".to_owned(),
            window: None,
            hold: "2m",
            keep: Some("5m"),
            about: About::Broker,
            summary: "tailback cannot read the broker {{ $labels.broker }}",
            description: "The waiting times of its queues are unknown. The broker is down, or \
                          tailback is locked out: `tailback check`, its log, and /api/v1/brokers say \
                          why.",
        },
        Alert {
            name: "TailbackCollectionStale",
            severity: Severity::Warning,
            expr:
                "time() - max by (broker) (tailback_broker_last_success_timestamp_seconds)\n  > 60 \
                   + 5 * max by (broker) (tailback_poll_interval_seconds)"
                    .to_owned(),
            window: None,
            hold: "2m",
            keep: Some("5m"),
            about: About::Broker,
            summary: "The last good poll of {{ $labels.broker }} is {{ $value | humanizeDuration }} old",
            description: "The broker is polled, but no poll ends well. Slow answers are the usual \
                          reason: see tailback_poll_duration_seconds and tailback_poll_errors_total.",
        },
        Alert {
            name: "TailbackQueuesDropped",
            severity: Severity::Warning,
            expr: "max by (broker, reason) (tailback_broker_queues_dropped) > 0".to_owned(),
            window: None,
            hold: "10m",
            keep: None,
            about: About::Broker,
            summary: "{{ $value }} queues of {{ $labels.broker }} are not watched ({{ $labels.reason }})",
            description: "limit: raise max_queues or exclude some. unreadable: tailback's log names \
                          the first ones. name_collision: two queues would be shown under one name.",
        },
        Alert {
            name: "TailbackRecordsLost",
            severity: Severity::Info,
            expr: "max by (broker, system, queue) (increase(tailback_queue_gaps_total[15m])) > 0"
                .to_owned(),
            window: None,
            hold: "15m",
            keep: Some("15m"),
            about: About::Queue,
            summary: "Waits of {{ $labels.queue }} are incomplete",
            description: "Records of jobs were trimmed before tailback could read them, so the \
                          histogram of waits and the counters lack jobs. Keep more of them (BullMQ: \
                          maxLenEvents), or poll more often.",
        },
    ]
}

fn about_waiting() -> Vec<Alert> {
    vec![
        Alert {
            name: "TailbackQueueWaitBudgetBurn",
            severity: Severity::Critical,
            expr: burn("1h", "5m", "14.4"),
            window: Some("1h"),
            hold: "2m",
            keep: Some("5m"),
            about: About::Queue,
            summary: BURN_SUMMARY,
            description: "Jobs of the {{ $labels.system }} queue {{ $labels.queue }} on {{ \
                          $labels.broker }} start later than its objective allows, so many that a \
                          month's budget is gone in two days. Add workers, or find what slows them.",
        },
        Alert {
            name: "TailbackQueueWaitBudgetBurn",
            severity: Severity::Critical,
            expr: burn("6h", "30m", "6"),
            window: Some("6h"),
            hold: "15m",
            keep: Some("10m"),
            about: About::Queue,
            summary: BURN_SUMMARY,
            description: "Jobs of the {{ $labels.system }} queue {{ $labels.queue }} on {{ \
                          $labels.broker }} have started later than its objective allows for hours: a \
                          month's budget is gone in five days. Add workers, or find what slows them.",
        },
        Alert {
            name: "TailbackQueueWaitBudgetBurn",
            severity: Severity::Warning,
            expr: burn("1d", "2h", "3"),
            window: Some("1d"),
            hold: "1h",
            keep: Some("30m"),
            about: About::Queue,
            summary: BURN_SUMMARY,
            description: "Jobs of the {{ $labels.system }} queue {{ $labels.queue }} on {{ \
                          $labels.broker }} start late day by day: a month's budget is gone in ten \
                          days. The workers are too few at some hours.",
        },
        Alert {
            name: "TailbackQueueWaitBudgetBurn",
            severity: Severity::Warning,
            expr: burn("3d", "6h", "1"),
            window: Some("3d"),
            hold: "3h",
            keep: Some("1h"),
            about: About::Queue,
            summary: BURN_SUMMARY,
            description: "Jobs of the {{ $labels.system }} queue {{ $labels.queue }} on {{ \
                          $labels.broker }} start late often enough to miss the objective over the \
                          month. The workers are too few, or the objective is not what is needed.",
        },
        Alert {
            name: "TailbackQueueOldestJobOverdue",
            severity: Severity::Critical,
            // A histogram of waits sees a job when it starts: in a queue that is stuck none does.
            expr: "max by (broker, system, queue) (tailback_queue_latency_seconds)\n  > max by \
                   (broker, system, queue) (tailback_queue_wait_objective_seconds)"
                .to_owned(),
            window: None,
            hold: "2m",
            keep: Some("2m"),
            about: About::Queue,
            summary: "A job in {{ $labels.queue }} has waited {{ $value | humanizeDuration }}",
            description: "The oldest job of the {{ $labels.system }} queue {{ $labels.queue }} on {{ \
                          $labels.broker }} waits longer than its objective allows, and still does. \
                          Are its workers running, and enough of them, and is it not paused?",
        },
        Alert {
            name: "TailbackQueueDrainTimeHigh",
            severity: Severity::Warning,
            expr: "max by (broker, system, queue) (tailback_queue_drain_seconds)\n  > 2 * max by \
                   (broker, system, queue) (tailback_queue_wait_objective_seconds)"
                .to_owned(),
            window: None,
            hold: "10m",
            keep: Some("5m"),
            about: About::Queue,
            summary: "{{ $labels.queue }} needs {{ $value | humanizeDuration }} to drain",
            description: "At the rate at which jobs of the {{ $labels.system }} queue {{ \
                          $labels.queue }} on {{ $labels.broker }} start now, those enqueued now will \
                          wait more than twice as long as its objective allows. Add workers.",
        },
    ]
}

fn about_flow() -> Vec<Alert> {
    vec![
        Alert {
            name: "TailbackQueueStalled",
            severity: Severity::Critical,
            // `for` is the longer part: of a tailback that has just been started, a window knows little. Where jobs
            // may wait for hours, a long one before them wakes nobody.
            expr: "min by (broker, system, queue) \
                   (min_over_time(tailback_queue_jobs{state=\"ready\"}[5m])) > 0\nand max by (broker, \
                   system, queue) (increase(tailback_queue_started_total[5m])) == 0\nunless max by \
                   (broker, system, queue) (tailback_queue_paused) == 1\nunless\n  max by (broker, \
                   system, queue) (tailback_queue_latency_seconds)\n    < 0.5 * max by (broker, system, \
                   queue) (tailback_queue_wait_objective_seconds)"
                .to_owned(),
            window: None,
            hold: "10m",
            keep: Some("2m"),
            about: About::Queue,
            summary: "Nothing starts in {{ $labels.queue }} though {{ $value }} jobs wait",
            description: "No job of the {{ $labels.system }} queue {{ $labels.queue }} on {{ \
                          $labels.broker }} has started for ten minutes. Workers are gone, hang in \
                          long jobs, or listen to other queues.",
        },
        Alert {
            name: "TailbackQueueNoConsumers",
            severity: Severity::Critical,
            expr: "max by (broker, system, queue) (tailback_queue_jobs{state=\"ready\"}) > 0\nand max \
                   by (broker, system, queue) (tailback_queue_consumers) == 0"
                .to_owned(),
            window: None,
            hold: "5m",
            keep: Some("2m"),
            about: About::Queue,
            summary: "Nobody works on {{ $labels.queue }}",
            description: "{{ $value }} jobs wait in the {{ $labels.system }} queue {{ $labels.queue }} \
                          on {{ $labels.broker }} and no worker is attached to it.",
        },
        Alert {
            name: "TailbackQueueBacklogGrowing",
            severity: Severity::Warning,
            expr: "predict_linear(broker_system_queue:tailback_queue_ready:max[30m], 3600)\n  > 3 * \
                   broker_system_queue:tailback_queue_ready:max\nand \
                   broker_system_queue:tailback_queue_ready:max > 100"
                .to_owned(),
            window: None,
            hold: "15m",
            keep: Some("10m"),
            about: About::Queue,
            summary: "{{ $labels.queue }} will hold {{ $value | humanize }} jobs in an hour",
            description: "More jobs arrive in the {{ $labels.system }} queue {{ $labels.queue }} on {{ \
                          $labels.broker }} than start: as it goes, three times as many will wait in \
                          an hour as do now.",
        },
        Alert {
            name: "TailbackQueuePaused",
            severity: Severity::Warning,
            expr: "min by (broker, system, queue) (min_over_time(tailback_queue_paused[1h])) == 1\nand \
                   max by (broker, system, queue) (tailback_queue_paused offset 1h) == 1\nand max by \
                   (broker, system, queue) (tailback_queue_jobs{state=\"ready\"}) > 0"
                .to_owned(),
            window: None,
            hold: "5m",
            keep: None,
            about: About::Queue,
            summary: "{{ $labels.queue }} has been paused for an hour",
            description: "Jobs wait in the {{ $labels.system }} queue {{ $labels.queue }} on {{ \
                          $labels.broker }}, which somebody has paused and perhaps forgotten.",
        },
        Alert {
            name: "TailbackSchedulerStopped",
            severity: Severity::Critical,
            expr: "time() - min by (broker, system, queue) \
                   (tailback_queue_next_due_timestamp_seconds) > 120\nor\ntime() - min by (broker, \
                   system) (tailback_system_next_due_timestamp_seconds) > 120"
                .to_owned(),
            window: None,
            hold: "5m",
            keep: Some("2m"),
            about: About::System,
            summary: "A scheduled {{ $labels.system }} job is overdue by {{ $value | humanizeDuration }}",
            description: "The earliest scheduled or retrying job{{ with $labels.queue }} of the queue {{ \
                          . }}{{ end }} on {{ $labels.broker }} is due and nothing has moved it: is \
                          the scheduler running?",
        },
    ]
}

/// By how many more failed jobs are kept than at some time in the last quarter of an hour.
fn more_than_before(what: &str, labels: &str) -> String {
    let failed = format!("tailback_{what}_jobs{{state=\"failed\"}}");
    format!("max by ({labels}) ({failed} - min_over_time({failed}[15m])) > 0")
}

fn about_jobs() -> Vec<Alert> {
    vec![
        Alert {
            name: "TailbackQueueFailureRatioHigh",
            severity: Severity::Warning,
            expr: "broker_system_queue:tailback_queue_failures:ratio_rate15m > 0.1\nand max by (broker, \
                   system, queue) (increase(tailback_queue_failures_total[15m])) > 5"
                .to_owned(),
            window: None,
            hold: "10m",
            keep: Some("5m"),
            about: About::Queue,
            summary: "{{ $value | humanizePercentage }} of the attempts in {{ $labels.queue }} fail",
            description: "More than a tenth of the attempts at jobs of the {{ $labels.system }} queue \
                          {{ $labels.queue }} on {{ $labels.broker }} fail.",
        },
        Alert {
            name: "TailbackFailedJobsArrived",
            severity: Severity::Info,
            // Not `delta`: somebody may clear old ones meanwhile.
            expr: format!(
                "{}\nor\n{}",
                more_than_before("queue", "broker, system, queue"),
                more_than_before("system", "broker, system")
            ),
            window: None,
            hold: "1m",
            keep: Some("15m"),
            about: About::System,
            summary: "{{ $value }} {{ $labels.system }} jobs have failed for good",
            description: "Jobs{{ with $labels.queue }} of the queue {{ . }}{{ end }} on {{ \
                          $labels.broker }} were given up within the last quarter of an hour. Nothing \
                          will try them again by itself.",
        },
    ]
}
