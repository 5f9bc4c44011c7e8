//! What goes wrong with streams of events: too many, not readable, not permitted, not there.

use super::redis::{bind, config, redis};
use super::*;
use crate::support::process::run;
use crate::support::redis::{Redis, RedisOptions};
use crate::support::tailback::{quick, tailback};
use base64::Engine as _;
use serde_json::Value;
use std::process::Command;
use std::time::Duration;

/// Publishes bodies as kombu does, many at a time.
fn publish(redis: &Redis, key: &str, bodies: &[Value]) {
    let mut connection = redis.connection();
    for bodies in bodies.chunks(1000) {
        let mut pipeline = ::redis::pipe();
        for body in bodies {
            let body = base64::engine::general_purpose::STANDARD.encode(body.to_string());
            let envelope = json!({
                "body": body, "content-encoding": "utf-8", "content-type": "application/json",
                "headers": {"hostname": "w@made"}, "properties": {"body_encoding": "base64"},
            });
            let channel = format!("/0.celeryev/{key}");
            pipeline
                .cmd("PUBLISH")
                .arg(channel)
                .arg(envelope.to_string());
        }
        let _: Vec<u64> = pipeline.query(&mut connection).unwrap();
    }
}

fn event(kind: &str, uuid: u32, timestamp: f64, more: Value) -> Value {
    let mut event = json!({
        "type": kind, "uuid": format!("{uuid:08}-0000-0000-0000-000000000000"),
        "hostname": "w@made", "utcoffset": -7, "pid": 7, "clock": 9, "timestamp": timestamp,
    });
    let more = more.as_object().unwrap().clone();
    event.as_object_mut().unwrap().extend(more);
    event
}

fn sent(uuid: u32, timestamp: f64) -> Value {
    let more = json!({
        "hostname": "gen1@made", "name": "app.mail", "queue": "backlog", "retries": 0, "eta": null,
        "args": "('someone@example.com',)", "kwargs": "{}", "exchange": "", "routing_key": "backlog",
    });
    event("task-sent", uuid, timestamp, more)
}

#[test]
fn the_longest_waits_of_a_long_backlog_are_told() {
    const TASKS: u32 = 60_000;
    let redis = redis();
    bind(&redis, "backlog");
    // Of a queue that is empty, old tasks are forgotten.
    redis.cli(&["LPUSH", "backlog", "{}"]);
    let tailback = Tailback::start_config(&config(&redis.url()));
    wait_listening(&tailback);
    // Sent over ten minutes, the first 700 s ago, by a host whose clock is right: what comes first
    // tells it.
    let now = unix_now();
    publish(&redis, "task.sent", &[sent(TASKS, now)]);
    let sendings: Vec<Value> = (0..TASKS)
        .map(|task| sent(task, now - 700.0 + f64::from(task) / 100.0))
        .collect();
    publish(&redis, "task.sent", &sendings);
    tailback.wait_until("all are remembered", Duration::from_secs(60), |metrics| {
        metrics.get("tailback_events_waiting_tasks", &[]) == Some(f64::from(TASKS + 1))
    });
    let started = unix_now();
    let batches: Vec<Value> = (0..TASKS)
        .collect::<Vec<u32>>()
        .chunks(24)
        .map(|tasks| {
            let of = |kind: &'static str, more: Value| {
                let each = tasks.iter();
                each.map(move |task| event(kind, *task, started, more.clone()))
            };
            let received = of("task-received", json!({"name": "app.mail", "retries": 0}));
            Value::Array(received.chain(of("task-started", json!({}))).collect())
        })
        .collect();
    publish(&redis, "task.multi", &batches);
    let name = "tailback_queue_sampled_wait_seconds";
    let metrics = tailback.wait_until("all have started", Duration::from_secs(60), |metrics| {
        of_queue(metrics, &format!("{name}_count"), "backlog") == Some(f64::from(TASKS))
    });
    let within = |bound: &str| {
        let labels = [("queue", "backlog"), ("le", bound)];
        metrics.get(&format!("{name}_bucket"), &labels).unwrap()
    };
    // Those sent in the first 100 s and `lag` have waited longer than ten minutes.
    let lag = started - now;
    let longer = f64::from(TASKS) - within("600.0");
    println!("{longer} waited longer than 10 min, lag {lag:.3} s");
    assert!(
        (longer - (100.0 + lag) * 100.0).abs() < 2.0,
        "{longer} {lag}"
    );
    assert_eq!(within("1800.0"), f64::from(TASKS));
    assert_eq!(metrics.sum("tailback_events_missed_total", &[]), 0.0);
}

#[test]
fn a_subscriber_that_is_too_slow_is_cut_off_and_says_so() {
    let redis = Redis::start(RedisOptions {
        config: vec!["client-output-buffer-limit pubsub 256kb 128kb 1".to_owned()],
        ..RedisOptions::default()
    });
    bind(&redis, "backlog");
    let tailback = Tailback::start_config(&config(&redis.url()));
    wait_listening(&tailback);
    let now = unix_now();
    publish(&redis, "task.sent", &[sent(1, now)]);
    tailback.wait_until("the first is remembered", PATIENCE, |metrics| {
        metrics.get("tailback_events_waiting_tasks", &[]) == Some(1.0)
    });
    let pid = tailback.pid().to_string();
    run(Command::new("kill").args(["-STOP", &pid]));
    // More than fits into the sockets and the server's buffer.
    let many: Vec<Value> = (10..30_000).map(|task| sent(task, now)).collect();
    publish(&redis, "task.sent", &many);
    let cut = redis.cli(&["INFO", "stats"]);
    run(Command::new("kill").args(["-CONT", &pid]));
    assert!(cut.contains("pubsub_patterns:0"), "{cut}");
    let metrics = tailback.wait_until("a gap", PATIENCE, |metrics| {
        missed(metrics, "disconnected") == 1.0
            && metrics.get("tailback_events_listening", &[]) == Some(1.0)
            && of_queue(metrics, "tailback_queue_gaps_total", "backlog") == Some(1.0)
    });
    assert_eq!(metrics.get("tailback_broker_up", &[]), Some(1.0));
    // What was known before still is.
    let started = unix_now();
    let event = event("task-started", 1, started, json!({}));
    publish(&redis, "task.multi", &[json!([event])]);
    let name = "tailback_queue_sampled_wait_seconds";
    let metrics = tailback.wait_until("a wait", PATIENCE, |metrics| {
        of_queue(metrics, &format!("{name}_count"), "backlog") == Some(1.0)
    });
    let wait = of_queue(&metrics, &format!("{name}_sum"), "backlog").unwrap();
    assert!((wait - (started - now)).abs() < 0.01, "{wait}");
}

#[test]
fn what_cannot_be_read_is_counted_and_harms_nothing() {
    let redis = redis();
    bind(&redis, "backlog");
    let tailback = Tailback::start_config(&config(&redis.url()).replace(
        "[brokers.main.redis]\n",
        "[brokers.main.redis]\nmax_payload_bytes = 65536\n",
    ));
    wait_listening(&tailback);
    let mut connection = redis.connection();
    let huge = vec![b'x'; 3_000_000];
    for garbage in [b"".as_slice(), b"\xff\xfe", b"{}", b"[1,2", huge.as_slice()] {
        let channel = "/0.celeryev/task.multi";
        let _: u64 = ::redis::cmd("PUBLISH")
            .arg(channel)
            .arg(garbage)
            .query(&mut connection)
            .unwrap();
    }
    publish(
        &redis,
        "task.multi",
        &[json!([7, {"type": "task-started"}, sent(1, unix_now())])],
    );
    let metrics = tailback.wait_until("all are counted", PATIENCE, |metrics| {
        missed(metrics, "decode") == 7.0
            && metrics.get("tailback_events_waiting_tasks", &[]) == Some(1.0)
    });
    assert_eq!(metrics.get("tailback_events_listening", &[]), Some(1.0));
    assert_eq!(missed(&metrics, "disconnected"), 0.0);
    assert_eq!(metrics.get("tailback_broker_up", &[]), Some(1.0));
    let errors = metrics.get("tailback_poll_errors_total", &[("kind", "decode")]);
    assert!(errors >= Some(1.0), "{errors:?}");
    assert!(tailback.peak_rss_bytes() < 200 << 20);
}

/// What `tailback check` prints of a configuration, and whether it is content.
fn check(redis: &Redis, text: &str) -> (String, bool) {
    let path = redis.dir().join("check.toml");
    std::fs::write(&path, text).unwrap();
    let output = tailback(&["check", "--config", path.to_str().unwrap()]);
    (
        String::from_utf8(output.stdout).unwrap(),
        output.status.success(),
    )
}

#[test]
fn check_says_whether_events_come_and_what_is_missing() {
    let rights = "%R~* -@all +@read -@dangerous +ping +hello +select +client|setname +time +multi \
                  +exec +info";
    let redis = Redis::start(RedisOptions {
        users: vec![
            format!("deaf on >pw {rights}"),
            format!("hears on >pw resetchannels &/0.celeryev/* {rights} +psubscribe"),
        ],
        ..RedisOptions::default()
    });
    let celery = telling(&redis.url());
    celery.send("jobs", 1, &[]);
    let (text, is_content) = check(&redis, &config(&redis.url_as("deaf:pw")));
    assert!(!is_content && text.contains("+psubscribe"), "{text}");
    // The numbers of the queues are there all the same.
    assert!(text.contains("jobs"), "{text}");
    let (text, is_content) = check(&redis, &config(&redis.url_as("hears:pw")));
    assert!(
        is_content && text.contains("start Celery's workers with -E"),
        "{text}"
    );
    let _worker = Celery::new(&redis.url()).worker("jobs", &["-c", "1", "-E"], redis.dir());
    let (text, is_content) = check(&redis, &config(&redis.url_as("hears:pw")));
    assert!(is_content && text.contains(", 1 workers"), "{text}");
}

#[test]
fn nothing_is_subscribed_unless_it_is_wanted() {
    let redis = redis();
    bind(&redis, "backlog");
    let quiet = Tailback::start_config(&quick(&redis.url()));
    quiet.wait_jobs("celery", "backlog", "ready", 0);
    assert_eq!(redis.cli(&["PUBSUB", "NUMPAT"]), "0");
    let metrics = quiet.metrics();
    assert!(!metrics.text.contains("tailback_events_") && !metrics.text.contains("tailback_task_"));
    drop(quiet);
    let tailback = Tailback::start_config(&config(&redis.url()));
    wait_listening(&tailback);
    assert_eq!(redis.cli(&["PUBSUB", "NUMPAT"]), "1");
    drop(tailback);
    crate::support::process::eventually("it is gone", PATIENCE, || {
        (redis.cli(&["PUBSUB", "NUMPAT"]) == "0").then_some(())
    });
}
