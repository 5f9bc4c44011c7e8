//! BullMQ 5 and 6 and Bull 4: every state as the library counts it, and waits as its workers see them.

use super::{Release, queue, redis, unix_now};
use crate::support::metrics::Metrics;
use crate::support::node::{Bull, Start, Worker};
use crate::support::process::PATIENCE;
use crate::support::redis::Redis;
use crate::support::tailback::{Tailback, quick, wait_for};
use serde_json::{Value, json};
use std::cell::Cell;
use std::collections::BTreeMap;

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

#[test]
fn bull_queues_cost_the_same_however_long_they_are() {
    let [short, long] = [10, 10_000].map(|jobs| {
        let redis = redis();
        let url = redis.url();
        Bull::Six.send(&url, "six", jobs, "noop", (&json!({}), &json!({})));
        Bull::Four.send(&url, "four", jobs, "noop", (&json!({}), &json!({})));
        commands_per_poll(&redis, jobs)
    });
    println!("{short:?}");
    // To follow Bull 4's list, one more place in it is remembered if it is long.
    for (name, times) in long {
        // A search for queues may fall between the polls that are counted.
        let most = short[&name] + f64::from(u8::from(name == "lindex")) + 0.2;
        assert!(times <= most, "{name}: {times}, {most} with 10 jobs");
    }
}

/// Commands by name that one poll takes, once nothing is searched any more.
fn commands_per_poll(redis: &Redis, jobs: u32) -> BTreeMap<String, f64> {
    let config = quick(&redis.url()).replace("'1s'\n[brokers", "'1h'\n[brokers");
    let tailback = Tailback::start_config(&config);
    tailback.wait_jobs("bullmq", "six", "ready", jobs.into());
    tailback.wait_jobs("bullmq", "four", "ready", jobs.into());
    let polls = |metrics: &Metrics| {
        metrics
            .get("tailback_poll_duration_seconds_count", &[])
            .unwrap()
    };
    let all = |metrics: &Metrics| -> BTreeMap<String, f64> {
        let samples = metrics.all("tailback_broker_commands_total", &[]);
        let named = samples
            .iter()
            .map(|sample| (sample.labels["command"].clone(), sample.value));
        named.collect()
    };
    let settled = polls(&tailback.metrics()) + 3.0;
    let from = tailback.wait_until("settled", PATIENCE, |metrics| polls(metrics) >= settled);
    let enough = polls(&from) + 10.0;
    let to = tailback.wait_until("ten polls", PATIENCE, |metrics| polls(metrics) >= enough);
    let count = polls(&to) - polls(&from);
    let before = all(&from);
    all(&to)
        .into_iter()
        // The search for queues goes its own way.
        .filter(|(name, _)| !["scan", "type", "xinfo"].contains(&name.as_str()))
        .map(|(name, total)| {
            let since = total - before.get(&name).copied().unwrap_or(0.0);
            (name, since / count)
        })
        .collect()
}
