//! Every metric that tailback exports: the one place for names, types, labels and help. The README's
//! table is checked against it, and the encoder takes nothing else.

/// What a metric is called and what it means.
#[derive(Debug, PartialEq, Eq)]
pub struct MetricDef {
    pub name: &'static str,
    pub kind: MetricType,
    pub labels: &'static [&'static str],
    pub help: &'static str,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MetricType {
    Gauge,
    Counter,
    Histogram,
}

impl MetricType {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Gauge => "gauge",
            Self::Counter => "counter",
            Self::Histogram => "histogram",
        }
    }
}

const QUEUE: &[&str] = &["broker", "system", "queue"];
const SYSTEM: &[&str] = &["broker", "system"];
const TASK: &[&str] = &["broker", "system", "task"];
const BROKER: &[&str] = &["broker"];

/// Declares the metrics as constants and lists them all in [`CATALOG`].
macro_rules! catalog {
    ($($id:ident = $kind:ident $name:literal $labels:expr, $help:literal;)*) => {
        $(pub(crate) const $id: MetricDef = MetricDef {
            name: $name,
            kind: MetricType::$kind,
            labels: $labels,
            help: $help,
        };)*
        /// Every metric, in the order of exposition.
        pub static CATALOG: &[MetricDef] = &[$($id),*];
    };
}

catalog! {
    QUEUE_JOBS = Gauge "tailback_queue_jobs" &["broker", "system", "queue", "state"],
        "Jobs by state; the states are disjoint, and one that the system cannot tell is absent.";
    QUEUE_PRIORITY_JOBS = Gauge "tailback_queue_priority_jobs"
        &["broker", "system", "queue", "priority"],
        "Ready jobs by priority level.";
    QUEUE_LATENCY = Gauge "tailback_queue_latency_seconds" QUEUE,
        "Age of the oldest ready job as of the last poll; 0 when the queue is empty.";
    QUEUE_LATENCY_MIN = Gauge "tailback_queue_latency_min_seconds" QUEUE,
        "Hard lower bound of the latency.";
    QUEUE_LATENCY_MAX = Gauge "tailback_queue_latency_max_seconds" QUEUE,
        "Hard upper bound of the latency; absent where only a lower bound is known.";
    QUEUE_OLDEST = Gauge "tailback_queue_oldest_job_timestamp_seconds" QUEUE,
        "When the oldest ready job became claimable; absent when the queue is empty.";
    QUEUE_OLDEST_IN_PROGRESS = Gauge "tailback_queue_oldest_in_progress_timestamp_seconds" QUEUE,
        "When the longest-running job was started.";
    QUEUE_NEXT_DUE = Gauge "tailback_queue_next_due_timestamp_seconds" QUEUE,
        "When the earliest scheduled or retrying job is due; in the past, the scheduler has stopped.";
    QUEUE_SOURCE = Gauge "tailback_queue_source_info" &["broker", "system", "queue", "source"],
        "Where the latency comes from: message, broker, flow or none.";
    QUEUE_COUNTS = Gauge "tailback_queue_counts_info" &["broker", "system", "queue", "counts"],
        "How good the counts are that are inferred from flow: exact, assumed, shared, lower_bound or estimated.";
    QUEUE_WAIT = Histogram "tailback_queue_wait_seconds" QUEUE,
        "Waits of jobs that started: from when they could be taken until a worker took them.";
    QUEUE_SAMPLED_WAIT = Histogram "tailback_queue_sampled_wait_seconds" QUEUE,
        "Waits of some of the jobs that started, where only some are visible: its count is no throughput.";
    QUEUE_RUN = Histogram "tailback_queue_run_seconds" QUEUE,
        "Run times of jobs that ended, where the job system records them.";
    QUEUE_GAPS = Counter "tailback_queue_gaps_total" QUEUE,
        "Polls before which records of jobs were lost unread: waits, run times and counters lack those jobs.";
    QUEUE_LATE_STARTS = Counter "tailback_queue_late_starts_total" QUEUE,
        "Jobs that started later than the queue's objective allows; absent without an objective.";
    QUEUE_OBJECTIVE = Gauge "tailback_queue_wait_objective_seconds" QUEUE,
        "How long a job may wait, as configured.";
    QUEUE_OBJECTIVE_RATIO = Gauge "tailback_queue_wait_objective_ratio" QUEUE,
        "Share of jobs that must start within that time, as configured.";
    QUEUE_ENQUEUED = Counter "tailback_queue_enqueued_total" QUEUE, "Jobs that arrived.";
    QUEUE_STARTED = Counter "tailback_queue_started_total" QUEUE,
        "Jobs handed to a worker for the first time.";
    QUEUE_FINISHED = Counter "tailback_queue_finished_total" QUEUE, "Jobs done.";
    QUEUE_FAILURES = Counter "tailback_queue_failures_total" QUEUE, "Failed attempts.";
    QUEUE_RETRIES = Counter "tailback_queue_retries_total" QUEUE, "Jobs put back to be tried again.";
    QUEUE_REDELIVERED = Counter "tailback_queue_redelivered_total" QUEUE,
        "Jobs that came back after a worker had them: handed out again, or seen to return to the queue.";
    QUEUE_DRAIN = Gauge "tailback_queue_drain_seconds" QUEUE,
        "Time until the ready jobs are taken at the present rate; absent when no rate is known.";
    QUEUE_EXPECTED_WAIT = Gauge "tailback_queue_expected_wait_seconds" QUEUE,
        "Forecast of the wait of a job enqueued now, also behind those that workers have prefetched; absent when no rate is known.";
    QUEUE_REQUIRED_WORKERS = Gauge "tailback_queue_required_workers" QUEUE,
        "Job slots needed to keep the objective; absent without one.";
    QUEUE_CONSUMERS = Gauge "tailback_queue_consumers" QUEUE,
        "Consumers or workers attached to the queue.";
    QUEUE_CONSUMER_CAPACITY = Gauge "tailback_queue_consumer_capacity_ratio" QUEUE,
        "Share of time in which the broker could have handed a job to a consumer at once; classic RabbitMQ queues with consumers only.";
    QUEUE_BUSY_WORKERS = Gauge "tailback_queue_busy_workers" QUEUE,
        "Workers executing a job of the queue.";
    QUEUE_PAUSED = Gauge "tailback_queue_paused" QUEUE, "1 if the job system has paused the queue.";
    SYSTEM_JOBS = Gauge "tailback_system_jobs" &["broker", "system", "state"],
        "Jobs by state in all queues of a job system that does not tell them apart by queue.";
    SYSTEM_NEXT_DUE = Gauge "tailback_system_next_due_timestamp_seconds" SYSTEM,
        "When the earliest scheduled or retrying job of any queue is due; in the past, the scheduler has stopped.";
    SYSTEM_SLOTS = Gauge "tailback_system_slots" SYSTEM,
        "Jobs that the job system's live workers can run at once.";
    SYSTEM_BUSY_WORKERS = Gauge "tailback_system_busy_workers" SYSTEM,
        "Workers executing a job of any queue.";
    SYSTEM_STARTED = Counter "tailback_system_started_total" SYSTEM,
        "Jobs started in all queues together.";
    SYSTEM_FINISHED = Counter "tailback_system_finished_total" SYSTEM,
        "Jobs done in all queues together.";
    SYSTEM_FAILURES = Counter "tailback_system_failures_total" SYSTEM,
        "Failed attempts in all queues together.";
    TASK_STARTED = Counter "tailback_task_started_total" TASK,
        "Starts of tasks, as events tell; `other` stands for tasks beyond the limit, or without a name.";
    TASK_SUCCEEDED = Counter "tailback_task_succeeded_total" TASK, "Tasks that succeeded, as events tell.";
    TASK_FAILURES = Counter "tailback_task_failures_total" TASK, "Tasks that failed, as events tell.";
    TASK_RETRIES = Counter "tailback_task_retries_total" TASK,
        "Attempts that ended with a retry, as events tell.";
    TASK_REVOKED = Counter "tailback_task_revoked_total" TASK,
        "Tasks that were revoked or had expired, as events tell.";
    TASK_REJECTED = Counter "tailback_task_rejected_total" TASK,
        "Tasks that a worker rejected, as events tell.";
    TASK_RUN = Histogram "tailback_task_run_seconds" TASK,
        "Run times of tasks that succeeded or failed, as events tell.";
    EVENTS_LISTENING = Gauge "tailback_events_listening" SYSTEM,
        "1 while events are heard; absent where they are not listened to.";
    EVENTS = Counter "tailback_events_total" &["broker", "system", "event"],
        "Events heard, by what they tell.";
    EVENTS_MISSED = Counter "tailback_events_missed_total" &["broker", "system", "reason"],
        "What events could have told and did not: streams that broke off, messages that could not be read, tasks beyond the limit, starts without a sending or before it.";
    EVENTS_WAITING = Gauge "tailback_events_waiting_tasks" SYSTEM,
        "Tasks remembered as sent and not started.";
    EVENTS_WORKERS = Gauge "tailback_events_workers" SYSTEM,
        "Workers that tell that they are alive; absent where none does.";
    BROKER_UP = Gauge "tailback_broker_up" BROKER,
        "1 if the last poll succeeded and is fresh; at 0 the broker's queues are absent once stale.";
    BROKER_INFO = Gauge "tailback_broker_info" &["broker", "kind", "version"],
        "The broker's kind and version.";
    BROKER_LAST_SUCCESS = Gauge "tailback_broker_last_success_timestamp_seconds" BROKER,
        "End of the last poll that succeeded.";
    BROKER_QUEUES = Gauge "tailback_broker_queues" BROKER, "Queues exported.";
    BROKER_DROPPED = Gauge "tailback_broker_queues_dropped" &["broker", "reason"],
        "Queues discovered but not exported.";
    BROKER_COMMANDS = Counter "tailback_broker_commands_total" &["broker", "command"],
        "Commands and requests sent to the broker.";
    BROKER_BYTES = Counter "tailback_broker_bytes_total" &["broker", "direction"],
        "Bytes on the wire to (sent) and from (received) the broker.";
    POLL_DURATION = Histogram "tailback_poll_duration_seconds" BROKER,
        "How long polls took, failed ones included.";
    POLL_INTERVAL = Gauge "tailback_poll_interval_seconds" BROKER,
        "Interval in force; longer than configured when the broker is slow or down.";
    POLL_ERRORS = Counter "tailback_poll_errors_total" &["broker", "kind"],
        "Polls, or parts of them, that failed.";
    BUILD_INFO = Gauge "tailback_build_info" &["version", "revision"],
        "The version of tailback that answers.";
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "a test's own switch")]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn names_are_unique_and_follow_the_conventions() {
        let names: HashSet<_> = CATALOG.iter().map(|def| def.name).collect();
        assert_eq!(names.len(), CATALOG.len());
        for def in CATALOG {
            assert!(def.name.starts_with("tailback_"), "{}", def.name);
            assert_eq!(
                def.kind == MetricType::Counter,
                def.name.ends_with("_total"),
                "{}",
                def.name
            );
            assert!(
                def.help.ends_with('.') && !def.help.contains('\n'),
                "{}",
                def.name
            );
        }
    }

    /// The README's table is written from the catalog. With `UPDATE_README=1` this test writes it.
    #[test]
    fn the_readme_tells_every_metric() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/README.md");
        let readme = std::fs::read_to_string(path).unwrap();
        let (before, rest) = readme.split_once("by a test -->\n").unwrap();
        let (table, after) = rest.split_once("<!-- /metrics -->").unwrap();
        let mut want = String::from("| metric | type | labels | meaning |\n|---|---|---|---|\n");
        for def in CATALOG {
            let labels = def.labels.join("`, `");
            want += &format!(
                "| `{}` | {} | `{labels}` | {} |\n",
                def.name,
                def.kind.as_str(),
                def.help.trim_end_matches('.')
            );
        }
        if std::env::vars_os().any(|(name, _)| name == "UPDATE_README") {
            std::fs::write(
                path,
                format!("{before}by a test -->\n{want}<!-- /metrics -->{after}"),
            )
            .unwrap();
        } else {
            assert_eq!(table, want, "run `UPDATE_README=1 cargo test --lib readme`");
        }
    }
}
