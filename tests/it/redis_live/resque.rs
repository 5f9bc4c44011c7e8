//! Resque: keys that it has written, put back into a Redis, and jobs pushed and taken as it does.

use super::{commands_per_poll, queue, redis, unix_now};
use crate::support::metrics::Metrics;
use crate::support::process::PATIENCE;
use crate::support::redis::replay;
use crate::support::tailback::{Tailback, quick};
use redis::pipe;

const JOB: &str = r#"{"class":"Slow","args":[10]}"#;

fn system(metrics: &Metrics, name: &str) -> Option<f64> {
    metrics.get(name, &[("system", "resque")])
}

fn system_jobs(metrics: &Metrics, state: &str) -> Option<f64> {
    let labels = [("system", "resque"), ("state", state)];
    metrics.get("tailback_system_jobs", &labels)
}

#[test]
fn resque_as_it_was_recorded() {
    let redis = redis();
    replay(&redis, "resque.json", "running");
    let worker = redis.cli(&["SRANDMEMBER", "resque:workers"]);
    let heartbeat = "resque:workers:heartbeat";
    redis.cli(&["HSET", heartbeat, &worker, "2099-01-01T00:00:00+00:00"]);
    let due = unix_now().round() + 600.0;
    redis.cli(&[
        "ZADD",
        "resque:delayed_queue_schedule",
        &due.to_string(),
        &due.to_string(),
    ]);
    redis.cli(&["RPUSH", &format!("resque:delayed:{due}"), JOB, JOB]);
    let tailback = Tailback::start_config(&quick(&redis.url()));
    let metrics = tailback.wait_jobs("resque", "slow", "ready", 2);
    assert_eq!(metrics.queues("resque"), ["default", "slow"]);
    assert_eq!(metrics.jobs("resque", "slow", "in_progress"), Some(1.0));
    assert_eq!(metrics.jobs("resque", "default", "in_progress"), Some(0.0));
    // Known of all queues together, and not of each.
    assert_eq!(metrics.jobs("resque", "slow", "failed"), None);
    assert_eq!(system_jobs(&metrics, "failed"), Some(1.0));
    assert_eq!(system_jobs(&metrics, "scheduled"), Some(2.0));
    for (name, value) in [
        ("tailback_system_finished_total", 2.0),
        ("tailback_system_failures_total", 1.0),
        ("tailback_system_slots", 1.0),
        ("tailback_system_busy_workers", 1.0),
        ("tailback_system_next_due_timestamp_seconds", due),
    ] {
        assert_eq!(system(&metrics, name), Some(value), "{name}");
    }
    let get = |name: &str| queue(&metrics, name, "slow");
    assert_eq!(get("tailback_queue_consumers"), Some(1.0));
    let started = get("tailback_queue_oldest_in_progress_timestamp_seconds");
    assert_eq!(started, Some(1_795_410_500.0));
    redis.cli(&["HSET", heartbeat, &worker, "2026-11-23T05:08:20+00:00"]);
    tailback.wait_until("the worker is dead", PATIENCE, |metrics| {
        queue(metrics, "tailback_queue_consumers", "slow") == Some(0.0)
    });
}

#[test]
fn the_flow_of_equal_resque_jobs_is_followed_at_a_fixed_cost() {
    let redis = redis();
    redis.cli(&["SADD", "resque:queues", "slow"]);
    let tailback = Tailback::start_config(&quick(&redis.url()));
    tailback.wait_jobs("resque", "slow", "ready", 0);
    let mut connection = redis.connection();
    let mut push = |jobs: usize| {
        let mut pipeline = pipe();
        pipeline
            .rpush("resque:queue:slow", vec![JOB; jobs])
            .ignore();
        pipeline.exec(&mut connection).unwrap();
    };
    push(10);
    let pushed = unix_now();
    tailback.wait_jobs("resque", "slow", "ready", 10);
    let few = commands_per_poll(&tailback);
    // It was empty when we came: the age of the oldest is known, within a poll.
    let metrics = tailback.metrics();
    let get = |name: &str| queue(&metrics, name, "slow");
    let latency = get("tailback_queue_latency_seconds").unwrap();
    let truth = unix_now() - pushed;
    assert!((latency - truth).abs() < 2.0, "{latency}, in truth {truth}");
    let labels = [("queue", "slow"), ("source", "flow")];
    assert_eq!(
        metrics.get("tailback_queue_source_info", &labels),
        Some(1.0)
    );
    for _ in 0..4 {
        redis.cli(&["LPOP", "resque:queue:slow"]);
    }
    let metrics = tailback.wait_jobs("resque", "slow", "ready", 6);
    assert_eq!(
        queue(&metrics, "tailback_queue_started_total", "slow"),
        Some(4.0)
    );
    assert_eq!(
        queue(&metrics, "tailback_queue_wait_seconds_count", "slow"),
        Some(4.0)
    );
    push(9_994);
    tailback.wait_jobs("resque", "slow", "ready", 10_000);
    let many = commands_per_poll(&tailback);
    // A list of more than 2048 has one element more to be remembered by.
    assert!(few > 5.0 && (many - few).abs() <= 2.0, "{few} {many}");
}
