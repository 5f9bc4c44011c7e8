//! The flow model on a real Celery: the tasks write down how long they waited, and what tailback
//! inferred from the list alone must agree.

mod restored;
mod truth;
mod watchers;

use crate::support::python::Celery;
use crate::support::redis::{Redis, RedisOptions};
use crate::support::tailback::{Tailback, quick};
use serde_json::{Value, json};
use std::fs;
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

const QUEUE: &str = "/api/v1/queues/main/celery/flow";

fn now() -> f64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap()
        .as_secs_f64()
}

/// Transport options with which messages that a worker has held for so many seconds are put back.
fn restoring_after(secs: u32) -> Value {
    json!({
        "visibility_timeout": secs, "unacked_restore_interval": 1, "unacked_restore_throttle": 1,
    })
}

/// When each task was sent and when it started, as it has written down itself.
fn recorded(times: &Path) -> Vec<(f64, f64)> {
    let times = fs::read_to_string(times).unwrap_or_default();
    let pair = |line: &str| {
        let (sent, started) = line.split_once(' ')?;
        Some((sent.parse().ok()?, started.parse().ok()?))
    };
    times.lines().filter_map(pair).collect()
}

/// An upper bound for the longest poll so far, in seconds.
fn longest_poll(tailback: &Tailback) -> f64 {
    let metrics = tailback.metrics();
    let name = "tailback_poll_duration_seconds";
    let all = metrics.sum(&format!("{name}_count"), &[]);
    let buckets = metrics.all(&format!("{name}_bucket"), &[]);
    let whole = buckets.iter().filter(|bucket| bucket.value >= all);
    let bounds = whole.filter_map(|bucket| bucket.labels["le"].parse::<f64>().ok());
    bounds.fold(f64::INFINITY, f64::min)
}

#[test]
fn tasks_that_are_due_later_do_not_wait_and_do_not_hide_those_that_do() {
    let redis = Redis::start(RedisOptions::default());
    let times = redis.dir().join("times");
    let record = ["--record", times.to_str().unwrap()];
    let celery = Celery::new(&redis.url());
    let tailback = Tailback::start_config(&quick(&redis.url()));
    // Nobody works yet. In turn: due in an hour, due in two seconds, due at once.
    celery.send("flow", 1, &["--countdown", "3600"]);
    tailback.wait_jobs("celery", "flow", "scheduled", 1);
    for _ in 0..4 {
        celery.send("flow", 5, &["--countdown", "2"]);
        celery.send("flow", 5, &record);
    }
    let (oldest, _) = celery.send("flow", 5, &record);
    std::thread::sleep(Duration::from_secs(4));
    let body = tailback.json(QUEUE);
    println!("{body}");
    let at = body["observed_timestamp_seconds"].as_f64().unwrap();
    let of = |name: &str| body[name].as_f64().unwrap();
    assert_eq!(body["jobs"]["scheduled"], 1, "{body}");
    assert_eq!(body["jobs"]["ready"], 45, "{body}");
    // Those due at once have waited longer than those that were due later.
    let least = at - oldest;
    assert!(of("latency_max_seconds") >= least, "{body}");
    assert!(of("latency_seconds") >= least - 0.5, "{body}");
    let _worker = celery.worker("flow", &["-c", "2"], redis.dir());
    tailback.wait_jobs("celery", "flow", "ready", 0);
    // The one due in an hour is held by the worker and was no start of a job that waited long.
    tailback.wait_jobs("celery", "flow", "scheduled", 1);
    let body = tailback.json(QUEUE);
    assert_eq!(body["flow"]["counts"], "exact", "{body}");
    assert_eq!(body["started_total"].as_u64(), Some(46), "{body}");
}
