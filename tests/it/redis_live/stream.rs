//! Streams and their consumer groups on a real Redis, driven by redis-py.

use super::{queue, redis, unix_now};
use crate::support::process::PATIENCE;
use crate::support::python::python;
use crate::support::redis::Redis;
use crate::support::tailback::{Tailback, quick};
use serde_json::Value;

/// Does these things to a stream, each a word and a number, and tells what is then true.
fn client(redis: &Redis, stream: &str, group: &str, work: &str) -> Value {
    let url = redis.url();
    let mut args = vec![url.as_str(), stream, group];
    args.extend(work.split_whitespace());
    python("stream_client.py", &args)
}

/// Waits until the queue shows what is true.
fn agree(tailback: &Tailback, name: &str, truth: &Value) {
    for state in ["ready", "in_progress"] {
        let wanted = truth[state].as_u64().unwrap();
        tailback.wait_jobs("stream", name, state, wanted);
    }
    let metrics = tailback.metrics();
    let oldest = queue(
        &metrics,
        "tailback_queue_oldest_job_timestamp_seconds",
        name,
    );
    match truth["head_added_at"].as_f64() {
        None => assert_eq!(oldest, None, "{truth}"),
        Some(at) => assert!((oldest.unwrap() - at).abs() < 0.0015, "{oldest:?} {truth}"),
    }
    let started = queue(
        &metrics,
        "tailback_queue_oldest_in_progress_timestamp_seconds",
        name,
    );
    assert_eq!(
        started.is_some(),
        !truth["longest_ms"].is_null(),
        "{started:?} {truth}"
    );
}

#[test]
fn groups_of_streams_are_queues_whatever_redis_knows_of_their_lag() {
    let redis = redis();
    // Unrelated streams: without a group, and of TaskIQ.
    redis.cli(&["XADD", "log", "*", "a", "b"]);
    client(&redis, "tasks", "taskiq", "create 0 add 3");
    let name = "orders/billing";
    let tailback = Tailback::start_config(&quick(&redis.url()));
    let work = |work| client(&redis, "orders", "billing", work);
    // On an empty stream; then a known lag.
    let truth = work("create 0 add 10");
    agree(&tailback, name, &truth);
    let truth = work("read 4 ack 1");
    assert_eq!(
        (&truth["lag"], &truth["in_progress"]),
        (&6.into(), &3.into())
    );
    agree(&tailback, name, &truth);
    // Redis loses the lag.
    let truth = work("delete 2");
    assert_eq!((&truth["lag"], &truth["ready"]), (&Value::Null, &5.into()));
    agree(&tailback, name, &truth);
    // Found again at the end.
    let truth = work("read 100 add 2");
    assert_eq!((&truth["lag"], &truth["ready"]), (&2.into(), &2.into()));
    agree(&tailback, name, &truth);
    // Trimmed: Redis 7 goes on counting what is no longer there.
    let truth = work("add 3 trim 1");
    assert_eq!(truth["ready"], 1);
    agree(&tailback, name, &truth);
    let truth = work("trim 0");
    assert_eq!(truth["ready"], 0);
    agree(&tailback, name, &truth);
    // Everything once more.
    let truth = work("add 20 read 20 rewind 0");
    assert_eq!((&truth["lag"], &truth["ready"]), (&20.into(), &20.into()));
    agree(&tailback, name, &truth);
    assert_eq!(tailback.metrics().queues("stream"), [name]);
    // A group that comes later, at the end of a stream with entries: no lag until it has read.
    let truth = client(&redis, "orders", "a/b", "create 0 add 7");
    assert_eq!((&truth["lag"], &truth["ready"]), (&Value::Null, &7.into()));
    agree(&tailback, "orders/a%2Fb", &truth);
    assert_eq!(
        tailback.metrics().get(
            "tailback_queue_source_info",
            &[("queue", name), ("source", "broker")]
        ),
        Some(1.0)
    );
}

#[test]
fn more_entries_than_are_counted_are_a_lower_bound() {
    let redis = redis();
    let truth = client(&redis, "orders", "billing", "add 5 create 0 add 500");
    assert_eq!(
        (&truth["lag"], &truth["ready"]),
        (&Value::Null, &500.into())
    );
    let tailback = Tailback::start_config(&quick(&redis.url()));
    let name = "orders/billing";
    let metrics = tailback.wait_until("it has a latency", PATIENCE, |metrics| {
        queue(metrics, "tailback_queue_latency_seconds", name).is_some()
    });
    // Not known exactly, so there is no number.
    assert_eq!(metrics.jobs("stream", name, "ready"), None);
    let json = tailback.json("/api/v1/queues/main/stream/orders%2Fbilling");
    assert_eq!(json["jobs"]["ready"], Value::Null, "{json}");
    assert_eq!(json["jobs_ready_at_least"], 128, "{json}");
    let reason = json["jobs_unknown_reason"].as_str().unwrap();
    assert!(reason.contains("lag"), "{json}");
}

#[test]
fn waits_of_entries_are_told_from_their_counters() {
    let redis = redis();
    client(&redis, "orders", "billing", "create 0");
    let tailback = Tailback::start_config(&quick(&redis.url()));
    let name = "orders/billing";
    // From here on its counters are known.
    tailback.wait_until("it is watched", PATIENCE, |metrics| {
        queue(metrics, "tailback_queue_enqueued_total", name).is_some()
    });
    let before = unix_now();
    client(&redis, "orders", "billing", "add 10");
    tailback.wait_jobs("stream", name, "ready", 10);
    std::thread::sleep(std::time::Duration::from_secs(2));
    client(&redis, "orders", "billing", "read 10");
    let metrics = tailback.wait_until("they have started", PATIENCE, |metrics| {
        queue(metrics, "tailback_queue_wait_seconds_count", name) == Some(10.0)
    });
    let longest = unix_now() - before;
    let mean = queue(&metrics, "tailback_queue_wait_seconds_sum", name).unwrap() / 10.0;
    assert!((2.0..longest).contains(&mean), "{mean} of {longest}");
    let total = |of: &str| queue(&metrics, &format!("tailback_queue_{of}_total"), name);
    assert_eq!(
        (total("enqueued"), total("started")),
        (Some(10.0), Some(10.0))
    );
}

#[test]
fn a_long_stream_costs_what_a_short_one_does() {
    let cost = |work: &str, ready: u64| {
        let redis = redis();
        client(&redis, "orders", "billing", work);
        let tailback = Tailback::start_config(&super::searching_once(&redis.url()));
        tailback.wait_jobs("stream", "orders/billing", "ready", ready);
        super::commands_of_a_poll(
            &tailback,
            &["xinfo", "xlen", "xrange", "xpending", "memory"],
        )
    };
    let short = cost("create 0 add 11 read 1", 10);
    assert_eq!(short, cost("create 0 add 10001 read 1", 10_000));
    assert_eq!(short, [1.0, 1.0, 1.0, 1.0, 0.0]);
}
