//! Sidekiq: every state against Sidekiq's own API, times against its clock, and what a poll costs.

use super::{Release, commands_per_poll, queue, redis, unix_now};
use crate::support::metrics::Metrics;
use crate::support::process::PATIENCE;
use crate::support::redis::{Redis, replay};
use crate::support::ruby::Sidekiq;
use crate::support::tailback::{Tailback, quick};
use serde_json::Value;

fn system(metrics: &Metrics, name: &str) -> Option<f64> {
    metrics.get(name, &[("system", "sidekiq")])
}

fn system_jobs(metrics: &Metrics, state: &str) -> Option<f64> {
    let labels = [("system", "sidekiq"), ("state", state)];
    metrics.get("tailback_system_jobs", &labels)
}

/// Everything that Sidekiq counts for all queues together is what we say.
fn totals_agree(metrics: &Metrics, counts: &Value) -> bool {
    let count = |name: &str| counts[name].as_f64();
    let finished = count("processed").unwrap() - count("failed").unwrap();
    system_jobs(metrics, "scheduled") == count("scheduled")
        && system_jobs(metrics, "retry") == count("retry")
        && system_jobs(metrics, "failed") == count("dead")
        && system_jobs(metrics, "in_progress") == count("busy")
        && system(metrics, "tailback_system_busy_workers") == count("busy")
        && system(metrics, "tailback_system_slots") == count("slots")
        && system(metrics, "tailback_system_finished_total") == Some(finished)
        && system(metrics, "tailback_system_failures_total") == count("failed")
}

#[test]
fn sidekiq_counts_are_what_sidekiq_counts() {
    let redis = redis();
    counts_agree(&redis, Sidekiq::new(&redis.url()), "");
}

#[test]
fn sidekiq_behind_a_namespace_is_the_same() {
    let redis = redis();
    let sidekiq = Sidekiq::new(&redis.url());
    let before = sidekiq.client(&["send", "not-ours", "2", "Noop"]);
    assert_eq!(before["ready"], 2);
    let options = "[brokers.main.redis.sidekiq]\nnamespace = 'app'\n";
    counts_agree(&redis, sidekiq.namespace("app"), options);
}

fn counts_agree(redis: &Redis, sidekiq: Sidekiq, options: &str) {
    let release = Release::new(redis);
    sidekiq.client(&["schedule", "mail", "2", "3600"]);
    sidekiq.client(&["send", "mail", "4", "Noop"]);
    sidekiq.client(&["send", "mail", "3", "Fail"]);
    sidekiq.client(&["send", "mail", "2", "Dead"]);
    let mut worker = sidekiq.worker(&["mail", "other"], 2, redis.dir());
    let tailback = Tailback::start_config(&(quick(&redis.url()) + options));
    let metrics = tailback.wait_until("all done", PATIENCE, |metrics| {
        system(metrics, "tailback_system_finished_total") == Some(4.0)
            && system(metrics, "tailback_system_failures_total") == Some(5.0)
    });
    assert_eq!(metrics.queues("sidekiq"), ["mail"]);
    let counts = sidekiq.client(&["counts", "mail"]);
    assert_eq!((&counts["retry"], &counts["dead"]), (&3.into(), &2.into()));
    assert!(
        totals_agree(&metrics, &counts),
        "{counts}\n{}",
        metrics.text
    );

    let before = unix_now();
    sidekiq.client(&["send", "mail", "2", "Hold", release.path()]);
    sidekiq.client(&["send", "mail", "5", "Noop"]);
    let after = unix_now();
    let metrics = tailback.wait_jobs("sidekiq", "mail", "in_progress", 2);
    let counts = sidekiq.client(&["counts", "mail"]);
    assert_eq!(
        metrics.jobs("sidekiq", "mail", "ready"),
        counts["ready"].as_f64()
    );
    assert_eq!(counts["ready"], 5);
    assert!(
        totals_agree(&metrics, &counts),
        "{counts}\n{}",
        metrics.text
    );
    let get = |name: &str| queue(&metrics, name, "mail");
    assert_eq!(get("tailback_queue_consumers"), counts["slots"].as_f64());
    assert_eq!(get("tailback_queue_busy_workers"), Some(2.0));
    assert_same(
        get("tailback_queue_oldest_in_progress_timestamp_seconds"),
        &counts["oldest_run_at"],
    );
    let oldest = get("tailback_queue_oldest_job_timestamp_seconds");
    assert_same(oldest, &counts["oldest_enqueued_at"]);
    assert!((before..after).contains(&oldest.unwrap()), "{oldest:?}");
    assert_same(
        system(&metrics, "tailback_system_next_due_timestamp_seconds"),
        &counts["next_due"],
    );
    let labels = [("queue", "mail"), ("source", "message")];
    assert_eq!(
        metrics.get("tailback_queue_source_info", &labels),
        Some(1.0)
    );
    // Both started at once, within the second to which their start is cut.
    assert_eq!(get("tailback_queue_sampled_wait_seconds_count"), Some(2.0));
    let waited = get("tailback_queue_sampled_wait_seconds_sum").unwrap();
    assert!(waited <= 2.0 * (after - before + 1.0), "{waited}");
    // Latency grows with the clock, within its bounds.
    let (latency, now) = (get("tailback_queue_latency_seconds").unwrap(), unix_now());
    let truth = now - counts["oldest_enqueued_at"].as_f64().unwrap();
    assert!(
        latency <= truth && latency > truth - 5.0,
        "{latency}, in truth {truth}"
    );
    let bounds = [
        get("tailback_queue_latency_min_seconds"),
        get("tailback_queue_latency_max_seconds"),
    ];
    assert!(
        bounds[0].unwrap() <= latency && latency <= bounds[1].unwrap(),
        "{bounds:?}"
    );

    // Told to stop soon: it goes on with what it has and takes nothing more.
    sidekiq.client(&["quiet", "mail"]);
    let metrics = tailback.wait_until("quiet", PATIENCE, |metrics| {
        queue(metrics, "tailback_queue_consumers", "mail") == Some(0.0)
    });
    assert_eq!(metrics.jobs("sidekiq", "mail", "in_progress"), Some(2.0));
    release.now();
    tailback.wait_jobs("sidekiq", "mail", "in_progress", 0);
    worker.signal("TERM");
    worker.wait(PATIENCE);
    let counts = sidekiq.client(&["counts", "mail"]);
    assert_eq!(counts["processes"], 0);
    tailback.wait_until("the counts after the end", PATIENCE, |metrics| {
        totals_agree(metrics, &counts)
            && metrics.jobs("sidekiq", "mail", "ready") == counts["ready"].as_f64()
    });
}

#[test]
fn a_killed_sidekiq_process_is_not_counted_for_long() {
    let redis = redis();
    let sidekiq = Sidekiq::new(&redis.url());
    let release = Release::new(&redis);
    sidekiq.client(&["send", "mail", "1", "Hold", release.path()]);
    let mut worker = sidekiq.worker(&["mail"], 3, redis.dir());
    let tailback = Tailback::start_config(&quick(&redis.url()));
    tailback.wait_jobs("sidekiq", "mail", "in_progress", 1);
    worker.kill();
    // What expires after a minute, at once: the set still names the process.
    let identity = redis.cli(&["SRANDMEMBER", "processes"]);
    redis.cli(&["DEL", &identity]);
    let metrics = tailback.wait_jobs("sidekiq", "mail", "in_progress", 0);
    assert_eq!(redis.cli(&["SCARD", "processes"]), "1");
    assert_eq!(
        queue(&metrics, "tailback_queue_consumers", "mail"),
        Some(0.0)
    );
    assert_eq!(system(&metrics, "tailback_system_slots"), Some(0.0));
}

#[test]
fn a_poll_of_sidekiq_costs_the_same_whatever_waits() {
    let redis = redis();
    let sidekiq = Sidekiq::new(&redis.url());
    let tailback = Tailback::start_config(&quick(&redis.url()));
    let mut ready = 0;
    let costs = [10, 5_000, 10_000].map(|jobs: u64| {
        let more = (jobs - ready).to_string();
        sidekiq.client(&["bulk", "mail", &more]);
        sidekiq.client(&["schedule", "mail", &(more.len() * 20).to_string(), "3600"]);
        ready = jobs;
        tailback.wait_jobs("sidekiq", "mail", "ready", jobs);
        commands_per_poll(&tailback)
    });
    // A list of more than 2048 has one element more to be remembered by.
    assert!(
        costs[0] > 10.0 && costs[0] <= costs[1] && costs[1] <= costs[0] + 2.0,
        "{costs:?}"
    );
    assert_eq!(costs[1], costs[2]);
}

fn assert_same(ours: Option<f64>, theirs: &Value) {
    let theirs = theirs.as_f64().unwrap();
    assert!(
        (ours.unwrap() - theirs).abs() < 0.001,
        "{ours:?}, Sidekiq says {theirs}"
    );
}

/// A rolling upgrade: clients and processes of both versions on one Redis.
#[test]
fn sidekiq_7_and_8_in_one_redis() {
    let redis = redis();
    // Pushed by 7, then by 8.
    replay(&redis, "sidekiq.json", "v7_waiting");
    let of_7 = redis.cli(&["LRANGE", "queue:default", "0", "-1"]);
    redis.cli(&["DEL", "queue:default", "queue:mailers"]);
    replay(&redis, "sidekiq.json", "v8_waiting");
    for job in of_7.lines() {
        redis.cli(&["RPUSH", "queue:default", job]);
    }
    let tailback = Tailback::start_config(&quick(&redis.url()));
    let metrics = tailback.wait_jobs("sidekiq", "default", "ready", 4);
    let oldest = |metrics: &Metrics| {
        queue(
            metrics,
            "tailback_queue_oldest_job_timestamp_seconds",
            "default",
        )
        .unwrap()
    };
    assert!((oldest(&metrics) - 1_795_410_397.130_607).abs() < 1e-3);
    assert_eq!(system_jobs(&metrics, "scheduled"), Some(2.0));
    redis.cli(&["RPOP", "queue:default"]);
    redis.cli(&["RPOP", "queue:default"]);
    let metrics = tailback.wait_jobs("sidekiq", "default", "ready", 2);
    assert!((oldest(&metrics) - 1_795_410_419.884).abs() < 1e-3);

    // Processes of both, each with its own way to tell of its threads.
    replay(&redis, "sidekiq.json", "v7_running");
    replay(&redis, "sidekiq.json", "v8_running");
    let metrics = tailback.wait_jobs("sidekiq", "default", "in_progress", 4);
    assert_eq!(
        queue(&metrics, "tailback_queue_consumers", "default"),
        Some(4.0)
    );
    assert_eq!(system(&metrics, "tailback_system_slots"), Some(4.0));
    let started = queue(
        &metrics,
        "tailback_queue_oldest_in_progress_timestamp_seconds",
        "default",
    );
    assert_eq!(started, Some(1_795_410_404.0));
}
