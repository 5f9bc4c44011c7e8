//! Dramatiq with a real worker, compared with the broker's own count of its queue.

use super::{Release, commands_of_a_poll, queue, redis, searching_once, unix_now};
use crate::support::metrics::Metrics;
use crate::support::process::{PATIENCE, Process};
use crate::support::python::{App, python_of};
use crate::support::redis::Redis;
use crate::support::tailback::{Tailback, quick};
use serde_json::Value;

fn app(redis: &Redis) -> App {
    let backoff = "600000";
    App::new()
        .env("BROKER_URL", &redis.url())
        .env("BACKOFF_MS", backoff)
}

fn send(redis: &Redis, args: &[&str]) -> Value {
    python_of(&app(redis), "dramatiq_app.py", args)
}

/// Runs two jobs at once, and holds four.
fn worker(redis: &Redis) -> Process {
    let args = ["dramatiq_app", "--processes=1", "--threads=2"];
    let mut worker = app(redis).spawn("dramatiq", &args, redis.dir());
    worker.wait_ready(PATIENCE, |process| {
        process.output().contains("Worker process is ready")
    });
    worker
}

/// All that Dramatiq counts as in the queue.
fn size(metrics: &Metrics) -> f64 {
    let states = ["ready", "in_progress", "scheduled"];
    let jobs = |state: &&str| metrics.jobs("dramatiq", "mail", state).unwrap();
    states.iter().map(jobs).sum()
}

#[test]
fn dramatiq_counts_are_what_dramatiq_counts() {
    let redis = redis();
    let release = Release::new(&redis);
    let sent = send(&redis, &["fail", "3"]);
    let tailback = Tailback::start_config(&quick(&redis.url()));
    let metrics = tailback.wait_jobs("dramatiq", "mail", "ready", 3);
    let get = |metrics: &Metrics, name: &str| queue(metrics, name, "mail");
    let oldest = get(&metrics, "tailback_queue_oldest_job_timestamp_seconds");
    let (before, after) = (sent["before"].as_f64().unwrap(), sent["after"].as_f64());
    assert!(
        oldest >= Some(before - 0.002) && oldest <= after,
        "{oldest:?} {sent}"
    );
    // An older one may have been put back at the tail.
    assert_eq!(get(&metrics, "tailback_queue_latency_max_seconds"), None);
    let mut worker = worker(&redis);
    tailback.wait_jobs("dramatiq", "mail", "failed", 3);
    assert_eq!(redis.cli(&["ZCARD", "dramatiq:mail.XQ"]), "3");
    send(&redis, &["hold", "4", "--arg", release.path()]);
    tailback.wait_jobs("dramatiq", "mail", "in_progress", 4);
    send(&redis, &["noop", "2", "--delay", "3600000"]);
    let last = send(&redis, &["noop", "5"]);
    tailback.wait_jobs("dramatiq", "mail", "scheduled", 2);
    let metrics = tailback.wait_jobs("dramatiq", "mail", "ready", 5);
    assert_eq!(Some(size(&metrics)), last["size"].as_f64(), "{last}");
    assert_eq!(metrics.jobs("dramatiq", "mail", "in_progress"), Some(4.0));
    // Sent while delayed messages were about, so the flow tells how old they are.
    let latency = get(&metrics, "tailback_queue_latency_seconds").unwrap();
    let most = get(&metrics, "tailback_queue_latency_max_seconds").unwrap();
    let truth = unix_now() - last["before"].as_f64().unwrap();
    assert!(
        latency <= truth + 0.5 && most + 0.5 >= latency,
        "{latency} {most} {truth}"
    );
    release.now();
    tailback.wait_jobs("dramatiq", "mail", "in_progress", 0);
    let last = send(&redis, &["flaky", "1"]);
    tailback.wait_jobs("dramatiq", "mail", "scheduled", 3);
    let metrics = tailback.wait_jobs("dramatiq", "mail", "in_progress", 0);
    assert_eq!(size(&metrics), 3.0, "{last}");
    worker.signal("TERM");
    worker.wait(PATIENCE);
}

#[test]
fn dramatiq_delay_is_no_waiting_time() {
    let redis = redis();
    let tailback = Tailback::start_config(&quick(&redis.url()));
    send(&redis, &["noop", "1", "--delay", "4000"]);
    tailback.wait_jobs("dramatiq", "mail", "scheduled", 1);
    // A worker that is busy moves the message to the queue and leaves it there.
    let release = Release::new(&redis);
    send(&redis, &["hold", "6", "--arg", release.path()]);
    let _worker = worker(&redis);
    let metrics = tailback.wait_until("it is moved", PATIENCE, |metrics| {
        metrics.jobs("dramatiq", "mail", "scheduled") == Some(0.0)
    });
    assert!(metrics.jobs("dramatiq", "mail", "ready") >= Some(1.0));
    // The two that were sent before it are ahead of it; after them it is at the head.
    redis.cli(&["LPOP", "dramatiq:mail"]);
    redis.cli(&["LPOP", "dramatiq:mail"]);
    let metrics = tailback.wait_jobs("dramatiq", "mail", "ready", 1);
    let latency = queue(&metrics, "tailback_queue_latency_min_seconds", "mail").unwrap();
    assert!(
        latency < 3.0,
        "delayed by 4 s, it has not waited {latency} s"
    );
    release.now();
}

#[test]
fn a_long_dramatiq_queue_costs_what_a_short_one_does() {
    let cost = |count: &str| {
        let redis = redis();
        send(&redis, &["noop", count]);
        let tailback = Tailback::start_config(&searching_once(&redis.url()));
        tailback.wait_jobs("dramatiq", "mail", "ready", count.parse().unwrap());
        commands_of_a_poll(
            &tailback,
            &["hlen", "zcard", "hget", "llen", "lpos", "lindex"],
        )
    };
    let (short, long) = (cost("10"), cost("10000"));
    assert_eq!(short[..4], [2.0, 1.0, 1.0, 3.0]);
    assert_eq!(short[..4], long[..4], "{short:?} {long:?}");
    assert!(long[4] <= 4.0 && long[5] <= 4.0, "{long:?}");
}
