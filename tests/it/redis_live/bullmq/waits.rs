//! Waits of BullMQ's and Bull's jobs as the workers see them.

use super::super::{queue, redis};
use crate::support::metrics::Metrics;
use crate::support::node::{Bull, Start, Worker};
use crate::support::process::PATIENCE;
use crate::support::tailback::{Tailback, quick, wait_for};
use serde_json::{Value, json};
use std::cell::Cell;

#[test]
fn bullmq_5_waits_are_those_of_its_workers() {
    waits_are_those_of_the_workers(Bull::Five);
}

#[test]
fn bullmq_6_waits_are_those_of_its_workers() {
    waits_are_those_of_the_workers(Bull::Six);
}

fn waits_are_those_of_the_workers(bull: Bull) {
    let redis = redis();
    let url = redis.url();
    let slack = Cell::new(0.0);
    let send = |count, job, data: Value, opts: Value| {
        let took = bull.send(&url, "mail", count, job, (&data, &opts));
        slack.set(slack.get() + f64::from(count) * took);
    };
    bull.client(&url, "mail", &["create", "10000"]);
    let tailback = Tailback::start_config(&quick(&url));
    tailback.wait_jobs("bullmq", "mail", "ready", 0);
    send(20, "sleep", json!({"ms": 30}), json!({}));
    send(5, "noop", json!({}), json!({"priority": 3}));
    send(2, "noop", json!({}), json!({"lifo": true}));
    send(5, "noop", json!({}), json!({"delay": 300}));
    let backoff = json!({"attempts": 3, "backoff": {"type": "fixed", "delay": 400}});
    send(4, "fail", json!({"times": 1}), backoff);
    send(3, "fail", json!({"times": 1}), json!({"attempts": 2}));
    send(1, "fail", json!({"times": 9}), json!({"attempts": 2}));
    send(2, "noop", json!({}), json!({"removeOnComplete": true}));
    let worker = bull.worker(&url, "mail", 2, redis.dir());
    wait_for("all done", || worker.ended("completed") == 41);
    let metrics = tailback.wait_until("all seen", PATIENCE, |metrics| {
        queue(metrics, "tailback_queue_finished_total", "mail") == Some(41.0)
    });
    assert_waits(&metrics, &worker, slack.get());
    let get = |name: &str| queue(&metrics, name, "mail");
    assert_eq!(get("tailback_queue_started_total"), Some(50.0));
    assert_eq!(get("tailback_queue_retries_total"), Some(8.0));
    assert_eq!(get("tailback_queue_failures_total"), Some(1.0));
    assert_eq!(get("tailback_queue_redelivered_total"), Some(0.0));
    assert_eq!(get("tailback_queue_enqueued_total"), Some(42.0));
    assert_eq!(get("tailback_queue_run_seconds_count"), Some(42.0));
    let runs = get("tailback_queue_run_seconds_sum").unwrap();
    assert!((0.6..5.0).contains(&runs), "20 of 30 ms: {runs}");
}

/// As many waits as starts, and in sum what the workers say. They know no better than between when
/// they asked for a job and when they had it; jobs may have been ready `slack` ms later, together,
/// than their producers noted, and those that are tried again when the failed attempt was written
/// down.
fn assert_waits(metrics: &Metrics, worker: &Worker, slack: f64) {
    let starts = worker.starts();
    let get = |name: &str| queue(metrics, name, "mail");
    let count = get("tailback_queue_wait_seconds_count").unwrap();
    assert_eq!(count, starts.len() as f64);
    let sum = |wait: fn(&Start) -> f64| starts.iter().map(wait).sum::<f64>() / 1e3;
    let (least, most) = (
        sum(|start| start.at - start.ready) - slack / 1e3 - 0.005 * count,
        sum(|start| start.by - start.ready) + 0.002 * count,
    );
    let ours = get("tailback_queue_wait_seconds_sum").unwrap();
    assert!((least..=most).contains(&ours), "{ours}: {least} to {most}");
    assert_eq!(get("tailback_queue_gaps_total"), Some(0.0));
}

#[test]
fn bullmq_jobs_that_waited_before_the_first_poll_are_told_by_their_hashes() {
    let redis = redis();
    let url = redis.url();
    let bull = Bull::Six;
    let send = |count, opts: Value| bull.send(&url, "mail", count, "noop", (&json!({}), &opts));
    send(10, json!({}));
    send(3, json!({"delay": 1500}));
    bull.client(&url, "mail", &["flow", "1"]);
    let tailback = Tailback::start_config(&quick(&url));
    tailback.wait_jobs("bullmq", "mail", "scheduled", 3);
    // The children end, so that the parent is ready at a time that its hash does not know.
    let _children = bull.worker(&url, "mail-children", 1, redis.dir());
    tailback.wait_jobs("bullmq", "mail", "ready", 11);
    let worker = bull.worker(&url, "mail", 2, redis.dir());
    wait_for("all done", || worker.ended("completed") == 14);
    let metrics = tailback.wait_until("all seen", PATIENCE, |metrics| {
        queue(metrics, "tailback_queue_finished_total", "mail") == Some(14.0)
    });
    let get = |name: &str| queue(&metrics, name, "mail");
    assert_eq!(get("tailback_queue_wait_seconds_count"), Some(14.0));
    assert_eq!(get("tailback_queue_gaps_total"), Some(0.0));
    // The worker thinks that the parent was ready when it was created, which is why it is left out.
    let theirs = worker
        .starts()
        .iter()
        .map(|start| (start.at - start.ready) / 1e3)
        .sum::<f64>();
    let ours = get("tailback_queue_wait_seconds_sum").unwrap();
    assert!(ours < theirs + 0.35, "{ours}, {theirs}");
}

#[test]
fn bullmq_events_that_were_trimmed_unread_are_a_gap() {
    let redis = redis();
    let url = redis.url();
    let bull = Bull::Six;
    bull.client(&url, "mail", &["create", "50"]);
    let tailback = Tailback::start_config(&quick(&url));
    tailback.wait_jobs("bullmq", "mail", "ready", 0);
    bull.send(
        &url,
        "mail",
        5000,
        "noop",
        (&json!({}), &json!({"removeOnComplete": true})),
    );
    let worker = bull.worker(&url, "mail", 50, redis.dir());
    wait_for("all done", || worker.ended("completed") == 5000);
    let metrics = tailback.wait_until("a gap", PATIENCE, |metrics| {
        queue(metrics, "tailback_queue_gaps_total", "mail") >= Some(1.0)
    });
    let get = |name: &str| queue(&metrics, name, "mail").unwrap();
    let (started, waits) = (
        get("tailback_queue_started_total"),
        queue(&metrics, "tailback_queue_wait_seconds_count", "mail").unwrap_or(0.0),
    );
    println!("{started} starts and {waits} waits of 5000 seen");
    // Where only the additions were trimmed, every start may have been seen.
    assert!(started <= 5000.0 && waits <= started, "{started}, {waits}");
    assert!(waits < 5000.0, "{waits}");
    assert_eq!(get("tailback_queue_enqueued_total"), 5000.0);
}

#[test]
fn bullmq_return_values_do_not_come_in() {
    let redis = redis();
    let url = redis.url();
    let bull = Bull::Five;
    bull.client(&url, "mail", &["create", "10000"]);
    let tailback = Tailback::start_config(&quick(&url));
    tailback.wait_jobs("bullmq", "mail", "ready", 0);
    let before = tailback.peak_rss_bytes();
    let big = json!({"bytes": 3_000_000});
    let took = bull.send(&url, "mail", 100, "big", (&big, &json!({})));
    let worker = bull.worker(&url, "mail", 5, redis.dir());
    wait_for("all done", || worker.ended("completed") == 100);
    let metrics = tailback.wait_until("all seen", PATIENCE, |metrics| {
        queue(metrics, "tailback_queue_finished_total", "mail") == Some(100.0)
    });
    assert_waits(&metrics, &worker, 100.0 * took);
    let grown = tailback.peak_rss_bytes().saturating_sub(before);
    println!("300 MB of return values: {} kB more memory", grown / 1024);
    assert!(grown < 16 << 20, "{grown} bytes");
}

#[test]
fn bull_4_shows_flow_and_a_sample_of_waits() {
    let redis = redis();
    let url = redis.url();
    let bull = Bull::Four;
    bull.send(&url, "mail", 1, "noop", (&json!({}), &json!({})));
    let tailback = Tailback::start_config(&quick(&url));
    tailback.wait_jobs("bullmq", "mail", "ready", 1);
    bull.send(&url, "mail", 6, "sleep", (&json!({"ms": 600}), &json!({})));
    tailback.wait_jobs("bullmq", "mail", "ready", 7);
    let worker = bull.worker(&url, "mail", 1, redis.dir());
    wait_for("all done", || worker.ended("completed") == 7);
    let metrics = tailback.wait_until("all seen", PATIENCE, |metrics| {
        queue(metrics, "tailback_queue_started_total", "mail") == Some(7.0)
    });
    let get = |name: &str| queue(&metrics, name, "mail");
    // The first was there before the first poll.
    assert_eq!(get("tailback_queue_wait_seconds_count"), Some(6.0));
    let sampled = get("tailback_queue_sampled_wait_seconds_count").unwrap();
    assert!((6.0..=7.0).contains(&sampled), "{sampled}");
    let theirs: f64 = worker
        .starts()
        .iter()
        .skip(1)
        .map(|start| (start.at - start.ready) / 1e3)
        .sum();
    let ours = get("tailback_queue_sampled_wait_seconds_sum").unwrap();
    assert!((ours - theirs).abs() < 3.0, "{ours}, not {theirs}");
}
