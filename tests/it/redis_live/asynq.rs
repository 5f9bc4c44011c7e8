//! Asynq: keys that its servers have written, put back into a Redis, and tasks written as its client
//! writes them.

use super::{commands_per_poll, queue, redis, unix_now};
use crate::support::redis::{Redis, replay};
use crate::support::tailback::{Tailback, quick};
use redis::pipe;

/// The recorded server beats on.
fn revive(redis: &Redis) {
    for set in ["asynq:servers", "asynq:workers"] {
        let member = redis.cli(&["ZRANGE", set, "0", "0"]);
        let expiry = (unix_now() + 600.0).to_string();
        redis.cli(&["ZADD", set, &expiry, &member]);
    }
}

#[test]
fn asynq_as_it_was_recorded() {
    let redis = redis();
    replay(&redis, "asynq.json", "running");
    revive(&redis);
    let tailback = Tailback::start_config(&quick(&redis.url()));
    let metrics = tailback.wait_jobs("asynq", "default", "ready", 2);
    assert_eq!(metrics.queues("asynq"), ["critical", "default"]);
    for (state, jobs) in [
        ("in_progress", 2.0),
        ("scheduled", 1.0),
        ("retry", 1.0),
        ("deferred", 1.0),
        ("failed", 1.0),
    ] {
        assert_eq!(
            metrics.jobs("asynq", "default", state),
            Some(jobs),
            "{state}"
        );
    }
    let get = |name: &str, of: &str| queue(&metrics, name, of);
    for (name, value) in [
        ("tailback_queue_consumers", 2.0),
        ("tailback_queue_busy_workers", 2.0),
        ("tailback_queue_paused", 0.0),
        ("tailback_queue_finished_total", 3.0),
        ("tailback_queue_failures_total", 2.0),
        ("tailback_queue_next_due_timestamp_seconds", 1_795_411_457.0),
    ] {
        assert_eq!(get(name, "default"), Some(value), "{name}");
    }
    assert_eq!(get("tailback_queue_paused", "critical"), Some(1.0));
    let oldest = get("tailback_queue_oldest_job_timestamp_seconds", "default").unwrap();
    assert!((oldest - 1_795_410_858.407_821).abs() < 1e-3, "{oldest}");
    let started = get(
        "tailback_queue_oldest_in_progress_timestamp_seconds",
        "default",
    )
    .unwrap();
    assert!((started - 1_795_410_858.655_549).abs() < 1e-3, "{started}");
}

#[test]
fn a_poll_of_asynq_costs_the_same_whatever_waits() {
    let redis = redis();
    let mut connection = redis.connection();
    let push = |connection: &mut redis::Connection, from: u64, to: u64| {
        let mut pipeline = pipe();
        pipeline.sadd("asynq:queues", "mail").ignore();
        for id in from..to {
            let since = format!("{:.0}", unix_now() * 1e9);
            let task = format!("asynq:{{mail}}:t:{id}");
            pipeline.hset(task, "pending_since", since).ignore();
            pipeline.lpush("asynq:{mail}:pending", id).ignore();
            pipeline.zadd("asynq:{mail}:retry", id, 1e12).ignore();
        }
        pipeline.exec(connection).unwrap();
    };
    let before = unix_now();
    push(&mut connection, 0, 10);
    let after = unix_now();
    let tailback = Tailback::start_config(&quick(&redis.url()));
    let metrics = tailback.wait_jobs("asynq", "mail", "ready", 10);
    let oldest = queue(
        &metrics,
        "tailback_queue_oldest_job_timestamp_seconds",
        "mail",
    );
    assert!(
        (before - 0.001..after).contains(&oldest.unwrap()),
        "{oldest:?}"
    );
    let mut costs = vec![commands_per_poll(&tailback)];
    for (from, to) in [(10, 5_000), (5_000, 10_000)] {
        push(&mut connection, from, to);
        tailback.wait_jobs("asynq", "mail", "ready", to);
        costs.push(commands_per_poll(&tailback));
    }
    // A list of more than 2048 has one element more to be remembered by.
    assert!(costs[0] > 10.0 && costs[1] - costs[0] <= 2.0, "{costs:?}");
    assert_eq!(costs[1], costs[2], "{costs:?}");
}
