//! What a Redis pays stays within its budget: quiet queues are read less often, and still in time.

use crate::support::redis::{Redis, RedisOptions};
use crate::support::tailback::{Tailback, wait_for};
use serde_json::Value;
use std::fmt::Write;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

const INTERVAL: f64 = 0.2;
/// Ten intervals, as long as nothing else stretches.
const BOUND: f64 = 2.0;
const LIMIT: Duration = Duration::from_secs(20);
/// Of a busy machine.
const SLACK: f64 = 1.0;

fn unix_now() -> f64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap()
        .as_secs_f64()
}

fn number(body: &Value, name: &str) -> f64 {
    body[name]
        .as_f64()
        .unwrap_or_else(|| panic!("no {name} in {body}"))
}

#[test]
fn a_quiet_queue_is_read_less_often_and_its_first_job_seen_in_time() {
    let redis = Redis::start(RedisOptions::default());
    let mut config = format!(
        "[brokers.main.redis]\nurl = '{}'\ninterval = '200ms'\ntimeout = '1s'\n\
         stale_after = '600ms'\nmax_broker_cpu_ratio = 0.002\nlayouts = ['list']\n\
         [brokers.main.redis.list]\nkeys = ['busy'",
        redis.url()
    );
    for queue in 0..2000 {
        write!(config, ", 'quiet-{queue}'").unwrap();
    }
    redis.cli(&["RPUSH", "busy", "a", "b"]);
    let tailback = Tailback::start_config(&(config + "]\n"));
    tailback.wait_jobs("list", "busy", "ready", 2);
    let queue = |name: &str| tailback.json(&format!("/api/v1/queues/main/list/{name}"));
    tailback.wait_until("quiet queues are stretched", LIMIT, |_| {
        number(&queue("quiet-77"), "interval_seconds") > INTERVAL
    });
    std::thread::sleep(Duration::from_secs(3));
    // What is read less often is as old as it says, and what has jobs is not.
    let (mut oldest, mut oldest_busy) = (0.0_f64, 0.0_f64);
    for _ in 0..40 {
        let age = |name| unix_now() - number(&queue(name), "observed_timestamp_seconds");
        oldest = oldest.max(age("quiet-77"));
        oldest_busy = oldest_busy.max(age("busy"));
        std::thread::sleep(Duration::from_millis(50));
    }
    let stretched = number(&queue("quiet-77"), "interval_seconds");
    assert!((2.0 * INTERVAL..=BOUND).contains(&stretched), "{stretched}");
    assert!(
        oldest > 1.5 * INTERVAL && oldest < BOUND + SLACK,
        "{oldest}"
    );
    assert!(oldest_busy < oldest, "{oldest_busy} {oldest}");
    // Polls that are slow on a busy machine move apart for a while, too.
    let metrics = tailback.wait_until("the interval is as configured", LIMIT, |metrics| {
        metrics.get("tailback_poll_interval_seconds", &[]) == Some(INTERVAL)
            && number(&queue("busy"), "interval_seconds") == INTERVAL
    });
    assert_eq!(metrics.get("tailback_broker_queues", &[]), Some(2001.0));
    let depths = metrics.all("tailback_queue_jobs", &[("state", "ready")]);
    assert_eq!(
        depths.len(),
        2001,
        "older than `stale_after`, yet in its interval"
    );
    // The first job is met within the interval, and the bounds of its age allow for the gap.
    for name in ["quiet-1", "quiet-999", "quiet-1998"] {
        let stretched = number(&queue(name), "interval_seconds");
        assert!((2.0 * INTERVAL..=BOUND).contains(&stretched), "{stretched}");
        let before = unix_now();
        redis.cli(&["LPUSH", name, "job"]);
        let after = unix_now();
        wait_for("its first job is seen", || {
            queue(name)["jobs"]["ready"] == 1
        });
        let took = unix_now() - after;
        assert!(took < stretched + SLACK, "{name} was met after {took} s");
        let seen = queue(name);
        let at = number(&seen, "observed_timestamp_seconds");
        let (min, max) = (
            number(&seen, "latency_min_seconds"),
            number(&seen, "latency_max_seconds"),
        );
        // The poll ends a little after the read.
        let slack = 0.1;
        assert!(min <= at - before && at - after <= max + slack, "{seen}");
        assert!(max <= at - before + stretched + SLACK, "{seen}");
        // From now on it is read at every poll.
        wait_for("it is read at every poll", || {
            number(&queue(name), "interval_seconds") == INTERVAL
        });
    }
}
