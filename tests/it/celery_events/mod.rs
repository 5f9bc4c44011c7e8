//! Celery's events: real workers with `-E` on real brokers, and streams of events as Celery writes
//! them. What tailback tells of them is compared with what the tasks wrote down themselves.

mod clocks;
mod elsewhere;
mod faults;
mod rabbitmq;
mod redis;
mod stalls;

use crate::support::metrics::Metrics;
use crate::support::process::PATIENCE;
use crate::support::python::Celery;
use crate::support::tailback::Tailback;
use serde_json::json;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

/// A Celery that tells of sendings too.
fn telling(url: &str) -> Celery {
    Celery::new(url).settings(&json!({"task_send_sent_event": true}))
}

fn unix_now() -> f64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    since.as_secs_f64()
}

fn of_queue(metrics: &Metrics, name: &str, queue: &str) -> Option<f64> {
    metrics.get(name, &[("queue", queue)])
}

fn of_task(metrics: &Metrics, name: &str, task: &str) -> Option<f64> {
    let task = format!("celery_app.{task}");
    metrics.get(name, &[("task", &task)])
}

fn missed(metrics: &Metrics, reason: &str) -> f64 {
    let labels = [("reason", reason)];
    metrics
        .get("tailback_events_missed_total", &labels)
        .unwrap_or(0.0)
}

fn wait_listening(tailback: &Tailback) {
    tailback.wait_until("events are listened to", PATIENCE, |metrics| {
        metrics.get("tailback_events_listening", &[]) == Some(1.0)
    });
}

/// What `record` tasks wrote down: the waits, by their own account.
fn recorded_waits(path: &Path) -> Vec<f64> {
    let text = std::fs::read_to_string(path).unwrap();
    let wait = |line: &str| {
        let (sent, started) = line.split_once(' ').unwrap();
        started.parse::<f64>().unwrap() - sent.parse::<f64>().unwrap()
    };
    text.lines().map(wait).collect()
}

/// Compares a histogram of waits with the truth. A task is sent a moment before the event that tells
/// it, and writes down its start a moment after the worker's.
fn compare_waits(metrics: &Metrics, queue: &str, truth: &[f64]) {
    const DOUBT: f64 = 0.25;
    let name = "tailback_queue_sampled_wait_seconds";
    let of = |part: &str| of_queue(metrics, &format!("{name}{part}"), queue).unwrap();
    assert_eq!(of("_count"), truth.len() as f64);
    let (mean, true_mean) = (
        of("_sum") / of("_count"),
        truth.iter().sum::<f64>() / truth.len() as f64,
    );
    eprintln!("{queue}: mean wait {mean:.3} s, truly {true_mean:.3} s");
    assert!((mean - true_mean).abs() < DOUBT, "{mean} {true_mean}");
    for bucket in metrics.all(&format!("{name}_bucket"), &[("queue", queue)]) {
        let bound: f64 = bucket.labels["le"].parse().unwrap();
        let within = |bound: f64| truth.iter().filter(|wait| **wait <= bound).count() as f64;
        let range = within(bound - DOUBT)..=within(bound + DOUBT);
        assert!(
            range.contains(&bucket.value),
            "{bound}: {bucket:?} {range:?}"
        );
    }
}

/// The same while a real producer publishes every event a second time.
fn compare_twice_told(tailback: &Tailback, celery: &Celery, dir: &Path) {
    let _echo = celery.echo_events(dir);
    compare(tailback, celery, dir);
    // They were there indeed.
    let metrics = tailback.metrics();
    let heard = |event: &str| metrics.sum("tailback_events_total", &[("event", event)]);
    assert_eq!(
        (heard("sent"), heard("started")),
        (2.0 * 157.0, 2.0 * 157.0)
    );
}

/// Sends tasks, starts a worker once they have waited, and compares all that is told of them.
fn compare(tailback: &Tailback, celery: &Celery, dir: &Path) {
    wait_listening(tailback);
    let times = dir.join("times");
    let retries = dir.join("retries");
    celery.send("jobs", 150, &["--record", times.to_str().unwrap()]);
    celery.send("jobs", 3, &["--task", "fail"]);
    let path = json!(retries).to_string();
    celery.send("retried", 1, &["--task", "retry_twice", "--arg", &path]);
    let late = dir.join("late");
    let late_text = late.to_str().unwrap();
    celery.send("later", 1, &["--record", late_text, "--countdown", "4"]);
    std::thread::sleep(std::time::Duration::from_secs(3));
    let mut worker = celery.worker("jobs,retried,later", &["-c", "2", "-E"], dir);
    let metrics = tailback.wait_until("all tasks are told of", PATIENCE, |metrics| {
        of_task(metrics, "tailback_task_succeeded_total", "record") == Some(151.0)
            && of_task(metrics, "tailback_task_failures_total", "fail") == Some(3.0)
            && of_task(metrics, "tailback_task_succeeded_total", "retry_twice") == Some(1.0)
    });
    let of = |name: &str, task: &str| of_task(&metrics, name, task);
    assert_eq!(of("tailback_task_started_total", "record"), Some(151.0));
    assert_eq!(of("tailback_task_started_total", "fail"), Some(3.0));
    assert_eq!(of("tailback_task_started_total", "retry_twice"), Some(3.0));
    assert_eq!(of("tailback_task_retries_total", "retry_twice"), Some(2.0));
    assert_eq!(of("tailback_task_run_seconds_count", "record"), Some(151.0));
    assert_eq!(
        of_queue(&metrics, "tailback_queue_failures_total", "jobs"),
        Some(3.0)
    );
    assert_eq!(
        of_queue(&metrics, "tailback_queue_retries_total", "retried"),
        Some(2.0)
    );
    assert_eq!(
        of_queue(&metrics, "tailback_queue_run_seconds_count", "jobs"),
        Some(153.0)
    );
    // Each runs for 5 ms and more.
    let runs = of("tailback_task_run_seconds_sum", "record").unwrap();
    assert!((0.75..30.0).contains(&runs), "{runs}");
    assert_eq!(metrics.get("tailback_events_waiting_tasks", &[]), Some(0.0));
    assert_eq!(metrics.sum("tailback_events_missed_total", &[]), 0.0);
    assert_eq!(metrics.get("tailback_events_workers", &[]), Some(1.0));

    // The failing tasks were sent last and started last.
    let mut truth = recorded_waits(&times);
    truth.sort_by(f64::total_cmp);
    assert_eq!(truth.len(), 150);
    let longest = *truth.last().unwrap();
    assert!(longest > 3.0, "{longest}");
    truth.extend([longest; 3]);
    compare_waits(&metrics, "jobs", &truth);

    // A retry waits from when it is due: its countdown of a second does not count.
    let sum = |queue: &str| of_queue(&metrics, "tailback_queue_sampled_wait_seconds_sum", queue);
    let starts = std::fs::read_to_string(&retries).unwrap();
    let starts: Vec<f64> = starts
        .lines()
        .map(|line| line.split_once(' ').unwrap().1.parse().unwrap())
        .collect();
    let of_retries = starts[2] - starts[0] - 2.0;
    let first = sum("retried").unwrap() - of_retries;
    eprintln!("retries waited {of_retries:.3} s in truth, the first attempt {first:.3} s");
    assert!((2.5..longest + 3.0).contains(&first), "{first}");
    // So does a task with a countdown.
    let (later, truth) = (sum("later").unwrap(), recorded_waits(&late)[0] - 4.0);
    eprintln!("with a countdown {later:.3} s, truly {truth:.3} s");
    assert!((later - truth).abs() < 0.25, "{later} {truth}");
    worker.signal("TERM");
    worker.wait(PATIENCE);
}
