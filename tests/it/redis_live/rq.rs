//! RQ 2 and 3: every registry, workers, and what stands at the head.

use super::{Release, queue, redis, unix_now};
use crate::support::process::PATIENCE;
use crate::support::python::Rq;
use crate::support::tailback::{Tailback, quick};
use serde_json::Value;

#[test]
fn rq_2_counts_are_what_rq_counts() {
    rq_counts_are_what_rq_counts(Rq::V2, "2.12");
}

#[test]
fn rq_3_counts_are_what_rq_counts() {
    rq_counts_are_what_rq_counts(Rq::V3, "3.0");
}

fn rq_counts_are_what_rq_counts(rq: Rq, version: &str) {
    let redis = redis();
    let url = redis.url();
    let release = Release::new(&redis);
    rq.client(&url, &["send", "mail", "2"]);
    rq.client(&url, &["send", "mail", "3", "--task", "fail"]);
    rq.work_off(&url, &["mail"], redis.dir());
    rq.client(&url, &release.rq_hold());
    let mut worker = rq.worker(&url, &["mail"], &[], redis.dir());
    let tailback = Tailback::start_config(&quick(&url));
    tailback.wait_jobs("rq", "mail", "in_progress", 1);
    rq.client(&url, &["send", "mail", "7"]);
    rq.client(&url, &["schedule", "mail", "2", "3600"]);
    rq.client(&url, &["defer", "mail", "4"]);
    let counts = rq.client(&url, &["counts", "mail"]);
    assert!(
        counts["version"].as_str().unwrap().starts_with(version),
        "{counts}"
    );
    tailback.wait_jobs("rq", "mail", "deferred", 4);
    let metrics = tailback.wait_jobs("rq", "mail", "ready", 7);
    for state in ["ready", "in_progress", "scheduled", "deferred", "failed"] {
        assert_eq!(
            metrics.jobs("rq", "mail", state),
            counts[state].as_f64(),
            "{state}: {counts}"
        );
    }
    assert_eq!(metrics.jobs("rq", "mail", "failed"), Some(3.0));
    let get = |name: &str| queue(&metrics, name, "mail");
    assert_eq!(get("tailback_queue_consumers"), Some(1.0));
    assert_eq!(get("tailback_queue_busy_workers"), Some(1.0));
    assert_eq!(get("tailback_queue_paused"), Some(0.0));
    let started = get("tailback_queue_oldest_in_progress_timestamp_seconds").unwrap();
    assert!((0.0..120.0).contains(&(unix_now() - started)), "{started}");
    let due = get("tailback_queue_next_due_timestamp_seconds").unwrap();
    assert!((due - unix_now() - 3600.0).abs() < 120.0, "{due}");
    assert_same_time(get("tailback_queue_oldest_job_timestamp_seconds"), &counts);

    rq.client(&url, &["suspend", "mail"]);
    tailback.wait_until("paused", PATIENCE, |metrics| {
        queue(metrics, "tailback_queue_paused", "mail") == Some(1.0)
    });
    rq.client(&url, &["resume", "mail"]);
    release.now();
    tailback.wait_jobs("rq", "mail", "ready", 0);
    let metrics = tailback.wait_jobs("rq", "mail", "in_progress", 0);
    assert_eq!(
        queue(&metrics, "tailback_queue_latency_seconds", "mail"),
        Some(0.0)
    );
    worker.signal("TERM");
    worker.wait(PATIENCE);
    tailback.wait_until("no worker", PATIENCE, |metrics| {
        queue(metrics, "tailback_queue_consumers", "mail") == Some(0.0)
    });
}

#[test]
fn rq_2_and_3_in_one_queue() {
    let redis = redis();
    let url = redis.url();
    let oldest = Rq::V2.client(&url, &["send", "mail", "2"]);
    Rq::V3.client(&url, &["send", "mail", "3"]);
    let tailback = Tailback::start_config(&quick(&url));
    let metrics = tailback.wait_jobs("rq", "mail", "ready", 5);
    assert_same_time(
        queue(
            &metrics,
            "tailback_queue_oldest_job_timestamp_seconds",
            "mail",
        ),
        &oldest,
    );
}

#[test]
fn rq_ids_without_jobs_do_not_hide_the_oldest() {
    let redis = redis();
    let url = redis.url();
    Rq::V3.client(&url, &["send", "mail", "2"]);
    let third = Rq::V3.client(&url, &["dangle", "mail", "2"]);
    assert_eq!(third["head_enqueued_at"], Value::Null);
    let kept = unix_now();
    Rq::V3.client(&url, &["send", "mail", "3"]);
    let tailback = Tailback::start_config(&quick(&url));
    let metrics = tailback.wait_jobs("rq", "mail", "ready", 5);
    let oldest = queue(
        &metrics,
        "tailback_queue_oldest_job_timestamp_seconds",
        "mail",
    )
    .unwrap();
    assert!((kept..unix_now()).contains(&oldest), "{kept} {oldest}");
}

#[test]
fn rq_job_put_in_front_does_not_make_the_queue_young() {
    let redis = redis();
    let url = redis.url();
    let counts = Rq::V3.client(&url, &["send", "mail", "1"]);
    Rq::V3.client(&url, &["send", "mail", "1", "--at-front"]);
    let tailback = Tailback::start_config(&quick(&url));
    let metrics = tailback.wait_jobs("rq", "mail", "ready", 2);
    let oldest = queue(
        &metrics,
        "tailback_queue_oldest_job_timestamp_seconds",
        "mail",
    );
    assert_same_time(oldest, &counts);
}

fn assert_same_time(ours: Option<f64>, counts: &Value) {
    let theirs = counts["head_enqueued_at"].as_f64().unwrap();
    assert!(
        (ours.unwrap() - theirs).abs() < 0.001,
        "{ours:?}, RQ says {theirs}"
    );
}
