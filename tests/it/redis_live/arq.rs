//! ARQ with a real worker, compared with the status that ARQ itself gives to every job.

use super::{Release, commands_of_a_poll, queue, redis, searching_once, unix_now};
use crate::support::process::{PATIENCE, Process};
use crate::support::python::{App, python_of};
use crate::support::redis::Redis;
use crate::support::tailback::{Tailback, quick};
use serde_json::Value;

fn app(redis: &Redis, queue: &str) -> App {
    App::new()
        .env("BROKER_URL", &redis.url())
        .env("QUEUE", queue)
        .with("arq")
}

fn send(redis: &Redis, queue: &str, args: &[&str]) -> Value {
    let args: Vec<&str> = std::iter::once("send")
        .chain(args.iter().copied())
        .collect();
    python_of(&app(redis, queue), "arq_app.py", &args)
}

/// Runs two jobs at once.
fn worker(redis: &Redis, queue: &str) -> Process {
    let mut worker = app(redis, queue).spawn("arq_app", &["work"], redis.dir());
    worker.wait_ready(PATIENCE, |process| process.output().contains("starting"));
    worker
}

#[test]
fn arq_counts_are_what_arq_says_of_its_jobs() {
    let redis = redis();
    let release = Release::new(&redis);
    send(&redis, "arq:queue", &["later", "2"]);
    let worker = worker(&redis, "arq:queue");
    let tailback = Tailback::start_config(&quick(&redis.url()));
    // Tried, and put off for an hour.
    let metrics = tailback.wait_jobs("arq", "arq:queue", "scheduled", 2);
    let get = |metrics: &_, name: &str| queue(metrics, name, "arq:queue");
    let due = get(&metrics, "tailback_queue_next_due_timestamp_seconds").unwrap();
    assert!((due - unix_now() - 3600.0).abs() < 60.0, "{due}");
    tailback.wait_jobs("arq", "arq:queue", "ready", 0);
    let held = send(&redis, "arq:queue", &["hold", "2", release.path()]);
    tailback.wait_jobs("arq", "arq:queue", "in_progress", 2);
    let sent = send(&redis, "arq:queue", &["noop", "5"]);
    let truth = send(&redis, "arq:queue", &["noop", "3", "--defer", "7200"]);
    tailback.wait_jobs("arq", "arq:queue", "scheduled", 5);
    let metrics = tailback.wait_jobs("arq", "arq:queue", "ready", 5);
    for (state, status) in [
        ("ready", "queued"),
        ("in_progress", "in_progress"),
        ("scheduled", "deferred"),
    ] {
        let ours = metrics.jobs("arq", "arq:queue", state);
        assert_eq!(ours, truth[status].as_f64(), "{state}: {truth}");
    }
    // The running jobs are the first of the set; the oldest waiting one is another.
    let time = |value: &Value, name: &str| value[name].as_f64().unwrap();
    let oldest = get(&metrics, "tailback_queue_oldest_job_timestamp_seconds").unwrap();
    let span = time(&sent, "before") - 0.002..time(&sent, "after") + 0.002;
    assert!(span.contains(&oldest), "{oldest} {sent}");
    let started = get(
        &metrics,
        "tailback_queue_oldest_in_progress_timestamp_seconds",
    )
    .unwrap();
    let span = time(&held, "before") - 0.01..time(&held, "after") + 5.0;
    assert!(span.contains(&started), "{started} {held}");
    // Two starts that were seen: their waits were short.
    let sampled = get(&metrics, "tailback_queue_sampled_wait_seconds_count");
    assert_eq!(sampled, Some(2.0));
    let waited = get(&metrics, "tailback_queue_sampled_wait_seconds_sum").unwrap();
    assert!((0.0..10.0).contains(&waited), "{waited}");
    // A worker that is killed leaves what it ran marked as running.
    drop(worker);
    let metrics = tailback.wait_jobs("arq", "arq:queue", "in_progress", 2);
    assert_eq!(metrics.jobs("arq", "arq:queue", "ready"), Some(5.0));
}

#[test]
fn arq_queue_of_another_name_is_found_by_its_health_check() {
    let redis = redis();
    let tailback = Tailback::start_config(&quick(&redis.url()));
    redis.cli(&["SET", "web:health-check", "ok"]);
    let _worker = worker(&redis, "mail");
    send(&redis, "mail", &["noop", "1", "--defer", "3600"]);
    let metrics = tailback.wait_jobs("arq", "mail", "scheduled", 1);
    assert_eq!(metrics.queues("arq"), ["mail"]);
}

#[test]
fn a_long_arq_queue_costs_what_a_short_one_does() {
    let cost = |count: &str| {
        let redis = redis();
        send(&redis, "arq:queue", &["noop", count]);
        let tailback = Tailback::start_config(&searching_once(&redis.url()));
        tailback.wait_jobs("arq", "arq:queue", "ready", count.parse().unwrap());
        let commands = ["zcount", "zrangebyscore", "exists", "pttl", "getrange"];
        commands_of_a_poll(&tailback, &commands)
    };
    let short = cost("20");
    assert_eq!(short, cost("10000"));
    assert_eq!(short, [2.0, 2.0, 16.0, 4.0, 4.0]);
}
