//! RQ 2 and 3: what single jobs waited and ran, against what the jobs themselves wrote down.

use super::{Release, queue, redis};
use crate::support::process::PATIENCE;
use crate::support::python::Rq;
use crate::support::redis::Redis;
use crate::support::tailback::{Tailback, quick};

/// How much later than RQ's `started_at` a job's own first line may run, on a busy machine.
const FORK: f64 = 0.5;

/// Waits and run times as the jobs wrote them down.
fn truth(redis: &Redis) -> Vec<(f64, f64)> {
    let text = std::fs::read_to_string(redis.dir().join("times")).unwrap();
    let line = |line: &str| serde_json::from_str(line).unwrap();
    text.lines().map(line).collect()
}

/// A queue that tailback has read, so that what starts from now on counts.
fn watched(rq: Rq, url: &str, redis: &Redis) -> Tailback {
    rq.client(url, &["send", "mail", "3"]);
    rq.work_off(url, &["mail"], redis.dir());
    let tailback = Tailback::start_config(&quick(url));
    tailback.wait_jobs("rq", "mail", "ready", 0);
    tailback
}

#[test]
fn rq_2_waits_and_run_times_are_those_of_its_jobs() {
    waits_and_run_times_are_those_of_the_jobs(Rq::V2);
}

#[test]
fn rq_3_waits_and_run_times_are_those_of_its_jobs() {
    waits_and_run_times_are_those_of_the_jobs(Rq::V3);
}

fn waits_and_run_times_are_those_of_the_jobs(rq: Rq) {
    let redis = redis();
    let url = redis.url();
    let tailback = watched(rq, &url, &redis);
    let file = redis.dir().join("times");
    let file = file.to_str().unwrap();
    let send = |task: &str, count: &str| {
        rq.client(
            &url,
            &["send", "mail", count, "--task", task, "--arg", file],
        );
    };
    send("timed", "20");
    send("timed_fail", "5");
    rq.work_off(&url, &["mail"], redis.dir());
    let metrics = tailback.wait_until("all jobs to be measured", PATIENCE, |metrics| {
        queue(metrics, "tailback_queue_run_seconds_count", "mail") == Some(25.0)
    });
    let get = |name: &str| queue(&metrics, name, "mail");
    assert_eq!(get("tailback_queue_wait_seconds_count"), Some(25.0));
    assert_eq!(get("tailback_queue_started_total"), Some(25.0));
    assert_eq!(get("tailback_queue_finished_total"), Some(20.0));
    assert_eq!(get("tailback_queue_failures_total"), Some(5.0));
    assert_eq!(get("tailback_queue_gaps_total"), Some(0.0));
    assert_eq!(get("tailback_queue_sampled_wait_seconds_count"), None);

    let times = truth(&redis);
    assert_eq!(times.len(), 25);
    let waits: Vec<f64> = times.iter().map(|(wait, _)| *wait).collect();
    assert!(
        waits.iter().any(|wait| *wait > 1.0),
        "nothing has waited: {waits:?}"
    );
    let sum = get("tailback_queue_wait_seconds_sum").unwrap();
    let true_sum: f64 = waits.iter().sum();
    assert!(
        sum <= true_sum && sum > true_sum - 25.0 * FORK,
        "{sum}, in truth {true_sum}"
    );
    let buckets = metrics.all("tailback_queue_wait_seconds_bucket", &[("queue", "mail")]);
    assert!(buckets.len() > 5);
    for bucket in buckets {
        let le: f64 = bucket.labels["le"].parse().unwrap();
        let within = |limit: f64| waits.iter().filter(|wait| **wait <= limit).count() as f64;
        assert!(
            (within(le)..=within(le + FORK)).contains(&bucket.value),
            "{le}: {} of {waits:?}",
            bucket.value
        );
    }
    let run_sum = get("tailback_queue_run_seconds_sum").unwrap();
    let true_sum: f64 = times.iter().map(|(_, run)| run).sum();
    assert!(
        run_sum >= true_sum - 0.1 && run_sum < true_sum + 25.0 * FORK,
        "{run_sum}, in truth {true_sum}"
    );
}

/// A rolling upgrade: either version writes jobs, and workers of both take them.
#[test]
fn rq_2_and_3_work_off_one_queue_and_every_job_counts_once() {
    let redis = redis();
    let url = redis.url();
    let tailback = watched(Rq::V2, &url, &redis);
    let file = redis.dir().join("times");
    let timed = ["--task", "timed", "--arg", file.to_str().unwrap()];
    for rq in [Rq::V2, Rq::V3] {
        rq.client(&url, &[&["send", "mail", "8"], &timed[..]].concat());
    }
    let mut workers = [Rq::V2, Rq::V3].map(|rq| {
        let name = ["--name", if rq == Rq::V2 { "two" } else { "three" }];
        rq.worker(&url, &["mail"], &name, redis.dir())
    });
    let metrics = tailback.wait_until("all jobs to be measured", PATIENCE, |metrics| {
        queue(metrics, "tailback_queue_run_seconds_count", "mail") == Some(16.0)
    });
    let get = |name: &str| queue(&metrics, name, "mail");
    assert_eq!(get("tailback_queue_wait_seconds_count"), Some(16.0));
    assert_eq!(get("tailback_queue_finished_total"), Some(16.0));
    assert_eq!(get("tailback_queue_gaps_total"), Some(0.0));
    assert_eq!(get("tailback_queue_consumers"), Some(2.0));
    let true_sum: f64 = truth(&redis).iter().map(|(wait, _)| wait).sum();
    let sum = get("tailback_queue_wait_seconds_sum").unwrap();
    assert!(
        sum <= true_sum && sum > true_sum - 16.0 * FORK,
        "{sum}, in truth {true_sum}"
    );
    for worker in &mut workers {
        worker.signal("TERM");
        worker.wait(PATIENCE);
    }
}

#[test]
fn rq_job_seen_running_is_counted_once() {
    let redis = redis();
    let url = redis.url();
    let tailback = watched(Rq::V3, &url, &redis);
    let release = Release::new(&redis);
    Rq::V3.client(&url, &release.rq_hold());
    let mut worker = Rq::V3.worker(&url, &["mail"], &[], redis.dir());
    let count = "tailback_queue_wait_seconds_count";
    // It counts as soon as it runs.
    let metrics = tailback.wait_until("its start", PATIENCE, |metrics| {
        queue(metrics, count, "mail") == Some(1.0)
    });
    assert_eq!(
        queue(&metrics, "tailback_queue_run_seconds_count", "mail"),
        None
    );
    release.now();
    let metrics = tailback.wait_until("its end", PATIENCE, |metrics| {
        queue(metrics, "tailback_queue_run_seconds_count", "mail") == Some(1.0)
    });
    assert_eq!(queue(&metrics, count, "mail"), Some(1.0));
    assert_eq!(
        queue(&metrics, "tailback_queue_started_total", "mail"),
        Some(1.0)
    );
    worker.signal("TERM");
    worker.wait(PATIENCE);
}

#[test]
fn rq_jobs_that_leave_no_record_are_never_counted_as_all() {
    let redis = redis();
    let url = redis.url();
    let tailback = watched(Rq::V3, &url, &redis);
    let metrics = tailback.metrics();
    let finished = "tailback_queue_finished_total";
    assert_eq!(queue(&metrics, finished, "mail"), Some(0.0));
    // One that says so itself, and is seen while it waits.
    let release = Release::new(&redis);
    Rq::V3.client(
        &url,
        &[&release.rq_hold()[..], &["--result-ttl", "0"]].concat(),
    );
    let metrics = tailback.wait_until("a sample", PATIENCE, |metrics| {
        queue(metrics, finished, "mail").is_none()
    });
    assert_eq!(metrics.jobs("rq", "mail", "ready"), Some(1.0));
    let _worker = Rq::V3.worker(&url, &["mail"], &[], redis.dir());
    let sampled = "tailback_queue_sampled_wait_seconds_count";
    tailback.wait_until("its start", PATIENCE, |metrics| {
        queue(metrics, sampled, "mail") == Some(1.0)
    });
    release.now();
    tailback.wait_jobs("rq", "mail", "in_progress", 0);
    assert_eq!(queue(&tailback.metrics(), sampled, "mail"), Some(1.0));
}

#[test]
fn rq_worker_that_keeps_no_results_is_found_out() {
    let redis = redis();
    let url = redis.url();
    let tailback = watched(Rq::V3, &url, &redis);
    let options = ["--results-ttl", "0"];
    let _worker = Rq::V3.worker(&url, &["mail"], &options, redis.dir());
    tailback.wait_until("the worker", PATIENCE, |metrics| {
        queue(metrics, "tailback_queue_consumers", "mail") == Some(1.0)
    });
    let finished = "tailback_queue_finished_total";
    assert_eq!(queue(&tailback.metrics(), finished, "mail"), Some(0.0));
    Rq::V3.client(&url, &["send", "mail", "3"]);
    tailback.wait_until("a sample", PATIENCE, |metrics| {
        queue(metrics, finished, "mail").is_none()
    });
}
