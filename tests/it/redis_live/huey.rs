//! Huey's list and priority storages with a real consumer, compared with Huey's own counts.

use super::{Release, commands_of_a_poll, queue, redis, searching_once};
use crate::support::process::{PATIENCE, Process};
use crate::support::python::{App, python_of};
use crate::support::redis::Redis;
use crate::support::tailback::{Tailback, quick, wait_for};
use serde_json::Value;

fn app(redis: &Redis, storage: &str) -> App {
    App::new()
        .env("REDIS_URL", &redis.url())
        .env("STORAGE", storage)
        .env("NAME", "my-app")
}

fn send(redis: &Redis, storage: &str, args: &[&str]) -> Value {
    python_of(&app(redis, storage), "huey_app.py", args)
}

/// Runs two tasks at once.
fn consumer(redis: &Redis, storage: &str) -> Process {
    let args = ["huey_app.huey", "-w", "2"];
    let consumer = "huey.bin.huey_consumer";
    let mut consumer = app(redis, storage).spawn(consumer, &args, redis.dir());
    consumer.wait_ready(PATIENCE, |process| {
        process
            .output()
            .contains("The following commands are available")
    });
    consumer
}

fn huey_counts_are_what_huey_counts(storage: &str, key_type: &str) {
    let redis = redis();
    let release = Release::new(&redis);
    send(&redis, storage, &["noop", "3"]);
    assert_eq!(redis.cli(&["TYPE", "huey.redis.myapp"]), key_type);
    let tailback = Tailback::start_config(&quick(&redis.url()));
    tailback.wait_jobs("huey", "myapp", "ready", 3);
    let _consumer = consumer(&redis, storage);
    tailback.wait_jobs("huey", "myapp", "ready", 0);
    send(&redis, storage, &["noop", "2", "--delay", "3600"]);
    tailback.wait_jobs("huey", "myapp", "scheduled", 2);
    let depth = || match key_type {
        "list" => redis.cli(&["LLEN", "huey.redis.myapp"]),
        _ => redis.cli(&["ZCARD", "huey.redis.myapp"]),
    };
    send(&redis, storage, &["hold", "2", release.path()]);
    wait_for("they run", || depth() == "0");
    // A task with an ETA waits in the queue first.
    let truth = send(&redis, storage, &["noop", "4", "--delay", "3600"]);
    assert_eq!(
        (&truth["ready"], &truth["scheduled"]),
        (&4.into(), &2.into())
    );
    let metrics = tailback.wait_jobs("huey", "myapp", "ready", 4);
    assert_eq!(metrics.jobs("huey", "myapp", "scheduled"), Some(2.0));
    assert_eq!(metrics.jobs("huey", "myapp", "in_progress"), None);
    let get = |name: &str| queue(&metrics, name, "myapp");
    assert_eq!(get("tailback_queue_next_due_timestamp_seconds"), None);
    let oldest = get("tailback_queue_oldest_job_timestamp_seconds").unwrap();
    let (before, after) = (
        truth["before"].as_f64().unwrap(),
        truth["after"].as_f64().unwrap(),
    );
    // A list tells no time: what follows from its flow is as good as a poll.
    let doubt = if key_type == "list" { 1.0 } else { 0.002 };
    assert!(
        (before - doubt..after + doubt).contains(&oldest),
        "{oldest} {truth}"
    );
    release.now();
    tailback.wait_jobs("huey", "myapp", "scheduled", 6);
    tailback.wait_jobs("huey", "myapp", "ready", 0);
}

#[test]
fn huey_list_counts_are_what_huey_counts() {
    huey_counts_are_what_huey_counts("list", "list");
}

#[test]
fn huey_priority_counts_are_what_huey_counts() {
    huey_counts_are_what_huey_counts("priority", "zset");
}

#[test]
fn huey_priorities_do_not_hide_the_oldest_task() {
    let redis = redis();
    let sent = send(&redis, "priority", &["noop", "2"]);
    send(&redis, "priority", &["noop", "3", "--priority", "7"]);
    let tailback = Tailback::start_config(&quick(&redis.url()));
    let metrics = tailback.wait_jobs("huey", "myapp", "ready", 5);
    for (priority, jobs) in [("0", 2.0), ("7", 3.0)] {
        let labels = [("queue", "myapp"), ("priority", priority)];
        assert_eq!(
            metrics.get("tailback_queue_priority_jobs", &labels),
            Some(jobs)
        );
    }
    let oldest = queue(
        &metrics,
        "tailback_queue_oldest_job_timestamp_seconds",
        "myapp",
    );
    let (before, after) = (sent["before"].as_f64(), sent["after"].as_f64());
    assert!(oldest >= before && oldest <= after, "{oldest:?} {sent}");
    assert!(queue(&metrics, "tailback_queue_latency_max_seconds", "myapp").is_some());
}

#[test]
fn a_long_huey_queue_costs_what_a_short_one_does() {
    let cost = |storage: &str, count: &str, commands: &[&str]| {
        let redis = redis();
        send(&redis, storage, &["noop", count]);
        let tailback = Tailback::start_config(&searching_once(&redis.url()));
        tailback.wait_jobs("huey", "myapp", "ready", count.parse().unwrap());
        commands_of_a_poll(&tailback, commands)
    };
    let commands = ["type", "zcard", "zcount", "zrangebyscore"];
    let short = cost("priority", "10", &commands);
    assert_eq!(short, [1.0, 2.0, 1.0, 2.0]);
    assert_eq!(short, cost("priority", "10000", &commands));
    let commands = ["type", "zcard", "llen", "memory"];
    let short = cost("list", "10", &commands);
    assert_eq!(short, [1.0, 1.0, 2.0, 1.0]);
    assert_eq!(short, cost("list", "10000", &commands));
}
