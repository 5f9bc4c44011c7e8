//! BullMQ 5 and 6 and Bull 4: every state as the library counts it.

mod waits;

use super::{Release, each_command_per_poll, queue, redis, searching_once, unix_now};
use crate::support::node::Bull;
use crate::support::process::PATIENCE;
use crate::support::tailback::{Tailback, quick, wait_for};
use serde_json::{Value, json};

#[test]
fn bull_4_counts_are_what_bull_counts() {
    counts_are_what_bull_counts(Bull::Four);
}

#[test]
fn bullmq_5_counts_are_what_bullmq_counts() {
    counts_are_what_bull_counts(Bull::Five);
}

#[test]
fn bullmq_6_counts_are_what_bullmq_counts() {
    counts_are_what_bull_counts(Bull::Six);
}

/// Jobs in every state, then paused, then worked off.
fn counts_are_what_bull_counts(bull: Bull) {
    let redis = redis();
    let url = redis.url();
    let release = Release::new(&redis);
    let send = |count, job, data: Value, opts: Value| {
        bull.send(&url, "mail", count, job, (&data, &opts));
    };
    let worker = bull.worker(&url, "mail", 2, redis.dir());
    send(3, "fail", json!({"times": 9}), json!({}));
    wait_for("failed", || worker.ended("failed") == 3);
    send(2, "hold", json!({"file": release.path()}), json!({}));
    wait_for("started", || worker.starts().len() == 5);
    let before = unix_now();
    send(7, "noop", json!({}), json!({}));
    let after = unix_now();
    send(3, "noop", json!({}), json!({"priority": 2}));
    send(1, "noop", json!({}), json!({"priority": 5}));
    send(1, "noop", json!({}), json!({"lifo": true}));
    send(2, "noop", json!({}), json!({"delay": 3_600_000}));
    if bull != Bull::Four {
        bull.client(&url, "mail", &["flow", "2"]);
    }
    let tailback = Tailback::start_config(&quick(&url));
    tailback.wait_jobs("bullmq", "mail", "ready", 12);
    assert_same(&tailback, &bull.client(&url, "mail", &["counts"]));
    let metrics = tailback.metrics();
    let get = |name: &str| queue(&metrics, name, "mail");
    assert_eq!(metrics.jobs("bullmq", "mail", "failed"), Some(3.0));
    assert_eq!(metrics.jobs("bullmq", "mail", "scheduled"), Some(2.0));
    let level = |level| {
        let labels = [("queue", "mail"), ("priority", level)];
        metrics.get("tailback_queue_priority_jobs", &labels)
    };
    assert_eq!(["2", "5"].map(level), [Some(3.0), Some(1.0)]);
    let due = get("tailback_queue_next_due_timestamp_seconds").unwrap();
    assert!((due - after - 3600.0).abs() < 60.0, "{due}");
    let oldest = get("tailback_queue_oldest_job_timestamp_seconds").unwrap();
    assert!((before - 0.01..after + 0.01).contains(&oldest), "{oldest}");
    let started = get("tailback_queue_oldest_in_progress_timestamp_seconds").unwrap();
    assert!(
        (before - 60.0..before).contains(&started),
        "{started}, {before}"
    );

    let counts = bull.client(&url, "mail", &["pause"]);
    assert_eq!(counts["isPaused"], true);
    tailback.wait_until("paused", PATIENCE, |metrics| {
        queue(metrics, "tailback_queue_paused", "mail") == Some(1.0)
    });
    assert_same(&tailback, &counts);
    let started = queue(&tailback.metrics(), "tailback_queue_started_total", "mail");
    assert_eq!(started.unwrap_or(0.0), 0.0, "pausing starts nothing");
    let counts = bull.client(&url, "mail", &["resume"]);
    tailback.wait_until("resumed", PATIENCE, |metrics| {
        queue(metrics, "tailback_queue_paused", "mail") == Some(0.0)
    });
    assert_same(&tailback, &counts);

    release.now();
    tailback.wait_jobs("bullmq", "mail", "ready", 0);
    let metrics = tailback.wait_jobs("bullmq", "mail", "in_progress", 0);
    let get = |name: &str| queue(&metrics, name, "mail");
    assert_eq!(get("tailback_queue_latency_seconds"), Some(0.0));
    assert_same(&tailback, &bull.client(&url, "mail", &["counts"]));
}

/// The states as the library counts them; it asks again until both looked at the same moment.
fn assert_same(tailback: &Tailback, counts: &Value) {
    let count = |state: &str| counts[state].as_f64().unwrap_or(0.0);
    let wanted = [
        (
            "ready",
            count("waiting") + count("paused") + count("prioritized"),
        ),
        ("in_progress", count("active")),
        ("scheduled", count("delayed")),
        ("deferred", count("waiting-children")),
        ("failed", count("failed")),
    ];
    let metrics = tailback.wait_until(&format!("{counts}"), PATIENCE, |metrics| {
        let is_same =
            |(state, wanted): &(&str, f64)| metrics.jobs("bullmq", "mail", state) == Some(*wanted);
        wanted.iter().all(is_same)
    });
    // Only where there are any, or were.
    for level in metrics.all("tailback_queue_priority_jobs", &[("queue", "mail")]) {
        let theirs = &counts["priorities"][&level.labels["priority"]];
        let theirs = theirs.as_f64().unwrap();
        assert_eq!(level.value, theirs, "priority {:?}: {counts}", level.labels);
    }
}

#[test]
fn bull_of_all_versions_in_one_redis_and_what_only_looks_like_it() {
    let redis = redis();
    let url = redis.url();
    for (bull, name) in [
        (Bull::Four, "four"),
        (Bull::Five, "five"),
        (Bull::Six, "six"),
        // One queue while its programs are being replaced.
        (Bull::Five, "both"),
        (Bull::Six, "both"),
    ] {
        bull.send(&url, name, 2, "noop", (&json!({}), &json!({})));
        bull.send(
            &url,
            name,
            1,
            "noop",
            (&json!({}), &json!({"delay": 3_600_000})),
        );
    }
    redis.cli(&["HSET", "bull:user:meta", "name", "x"]);
    redis.cli(&["SET", "bull:text:meta", "x"]);
    redis.cli(&["SET", "bull:visits:id", "12"]);
    redis.cli(&["SET", "bull:named:id", "x"]);
    redis.cli(&["RPUSH", "bull:named:wait", "x"]);
    redis.cli(&["RPUSH", "bull:cart:wait", "x"]);
    redis.cli(&["HSET", "bull:text:failed", "x", "y"]);
    let tailback = Tailback::start_config(&quick(&url));
    tailback.wait_jobs("bullmq", "both", "ready", 4);
    let metrics = tailback.wait_jobs("bullmq", "six", "ready", 2);
    assert_eq!(metrics.queues("bullmq"), ["both", "five", "four", "six"]);
    assert_eq!(metrics.queues("list"), Vec::<&str>::new());
    for name in ["four", "five", "six"] {
        assert_eq!(
            metrics.jobs("bullmq", name, "scheduled"),
            Some(1.0),
            "{name}"
        );
    }
    let worker = Bull::Six.worker(&url, "both", 1, redis.dir());
    wait_for("done", || worker.ended("completed") == 4);
    tailback.wait_until("counted", PATIENCE, |metrics| {
        queue(metrics, "tailback_queue_finished_total", "both") == Some(4.0)
    });
}

#[test]
fn bull_queues_cost_the_same_however_long_they_are() {
    let [short, long] = [10, 10_000].map(|jobs| {
        let redis = redis();
        let url = redis.url();
        Bull::Six.send(&url, "six", jobs, "noop", (&json!({}), &json!({})));
        Bull::Four.send(&url, "four", jobs, "noop", (&json!({}), &json!({})));
        let tailback = Tailback::start_config(&searching_once(&url));
        tailback.wait_jobs("bullmq", "six", "ready", jobs.into());
        tailback.wait_jobs("bullmq", "four", "ready", jobs.into());
        let mut each = each_command_per_poll(&tailback);
        // The search for queues asks it of streams too.
        each.remove("xinfo");
        each
    });
    println!("{short:?}");
    // To follow Bull 4's list, one more place in it is remembered if it is long.
    for (name, times) in long {
        // A search for queues may fall between the polls that are counted.
        let most = short[&name] + f64::from(u8::from(name == "lindex")) + 0.2;
        assert!(times <= most, "{name}: {times}, {most} with 10 jobs");
    }
}
