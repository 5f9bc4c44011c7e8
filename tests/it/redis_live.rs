//! Real producers and workers on a real Redis: known numbers in each state in, the same numbers
//! out of `/metrics`.

use crate::support::metrics::Metrics;
use crate::support::python::{Celery, Rq};
use crate::support::redis::{Redis, RedisOptions};
use crate::support::tailback::{Tailback, quick};
use serde_json::{Value, json};
use std::path::PathBuf;
use std::time::{SystemTime, UNIX_EPOCH};

fn redis() -> Redis {
    Redis::start(RedisOptions::default())
}

fn unix_now() -> f64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap()
        .as_secs_f64()
}

/// A file whose coming ends the `hold` tasks.
struct Release(PathBuf);

impl Release {
    fn new(redis: &Redis) -> Self {
        Self(redis.dir().join("release"))
    }

    fn json(&self) -> String {
        json!(self.0).to_string()
    }

    fn path(&self) -> &str {
        self.0.to_str().unwrap()
    }

    fn now(&self) {
        std::fs::write(&self.0, "").unwrap();
    }
}

fn queue(metrics: &Metrics, name: &str, queue: &str) -> Option<f64> {
    metrics.get(name, &[("queue", queue)])
}

#[test]
fn celery_priorities_are_summed_and_told_apart() {
    let redis = redis();
    let celery = Celery::new(&redis.url());
    celery.send("emails", 3, &[]);
    celery.send("emails", 2, &["--priority", "3"]);
    celery.send("emails", 1, &["--priority", "5"]);
    celery.send("emails", 4, &["--priority", "9"]);
    let tailback = Tailback::start_config(&quick(&redis.url()));
    let metrics = tailback.wait_jobs("celery", "emails", "ready", 10);
    assert_eq!(celery.depth("emails"), 10);
    for (priority, jobs) in [("0", 3.0), ("3", 3.0), ("6", 0.0), ("9", 4.0)] {
        let labels = [("queue", "emails"), ("priority", priority)];
        assert_eq!(
            metrics.get("tailback_queue_priority_jobs", &labels),
            Some(jobs),
            "{priority}"
        );
    }
    // Celery's messages carry no time of their own: tailback knows for how long it has watched.
    let latency = "tailback_queue_latency_seconds";
    let metrics = tailback.wait_until(
        "a lower bound",
        crate::support::process::PATIENCE,
        |metrics| queue(metrics, latency, "emails") > Some(0.5),
    );
    assert_eq!(
        queue(&metrics, "tailback_queue_latency_max_seconds", "emails"),
        None
    );
    let labels = [("queue", "emails"), ("source", "flow")];
    assert_eq!(
        metrics.get("tailback_queue_source_info", &labels),
        Some(1.0)
    );
}

#[test]
fn celery_latency_is_the_age_of_the_oldest_message_with_a_time() {
    let redis = redis();
    let (before, after) = Celery::new(&redis.url())
        .writing_enqueue_times()
        .send("stamped", 5, &[]);
    let (before_whole, after_whole) =
        Celery::new(&redis.url()).send("seconds", 2, &["--timestamp"]);
    let tailback = Tailback::start_config(&quick(&redis.url()));
    tailback.wait_jobs("celery", "stamped", "ready", 5);
    let asked = unix_now();
    // A poll from before `asked` may be up to an interval old.
    let metrics = tailback.metrics();
    for (name, before, after, doubt) in [
        ("stamped", before, after, 0.1),
        ("seconds", before_whole - 1.0, after_whole, 1.1),
    ] {
        let get = |metric: &str| {
            queue(&metrics, metric, name).unwrap_or_else(|| panic!("no {metric} of {name}"))
        };
        let latency = get("tailback_queue_latency_seconds");
        assert!(
            latency > asked - after - 1.0,
            "{name}: {latency} but sent {}",
            asked - after
        );
        assert!(latency < unix_now() - before, "{name}: {latency}");
        let (min, max) = (
            get("tailback_queue_latency_min_seconds"),
            get("tailback_queue_latency_max_seconds"),
        );
        assert!(
            min <= latency && latency <= max && max - min < doubt,
            "{min} {latency} {max}"
        );
        let oldest = get("tailback_queue_oldest_job_timestamp_seconds");
        assert!((before..after + 1.0).contains(&oldest), "{name}: {oldest}");
        let labels = [("queue", name), ("source", "message")];
        assert_eq!(
            metrics.get("tailback_queue_source_info", &labels),
            Some(1.0)
        );
    }
}

#[test]
fn celery_tasks_due_later_are_scheduled_not_ready() {
    let redis = redis();
    let celery = Celery::new(&redis.url());
    celery.send("later", 2, &["--countdown", "3600"]);
    celery.send("later", 3, &[]);
    let tailback = Tailback::start_config(&quick(&redis.url()));
    let metrics = tailback.wait_jobs("celery", "later", "scheduled", 2);
    assert_eq!(metrics.jobs("celery", "later", "ready"), Some(3.0));
    let due = queue(
        &metrics,
        "tailback_queue_next_due_timestamp_seconds",
        "later",
    )
    .unwrap();
    assert!((due - unix_now() - 3600.0).abs() < 60.0, "{due}");
}

#[test]
fn celery_worker_with_early_acknowledgement_holds_what_it_prefetched() {
    let redis = redis();
    let celery = Celery::new(&redis.url());
    let release = Release::new(&redis);
    celery.send("work", 14, &["--task", "hold", "--arg", &release.json()]);
    let options = ["-c", "2", "--prefetch-multiplier", "4"];
    let mut worker = celery.worker("work", &options, redis.dir());
    let tailback = Tailback::start_config(&quick(&redis.url()));
    // 2 run and are nowhere in Redis, 8 are prefetched, 4 wait.
    let metrics = tailback.wait_jobs("celery", "work", "in_progress", 8);
    assert_eq!(metrics.jobs("celery", "work", "ready"), Some(4.0));
    assert_eq!(celery.depth("work"), 4);
    celery.send("work", 2, &["--countdown", "3600"]);
    tailback.wait_jobs("celery", "work", "ready", 6);
    release.now();
    // The rest is done; the tasks due later stay in the worker, and the empty queue stays known.
    let metrics = tailback.wait_jobs("celery", "work", "scheduled", 2);
    let metrics = if metrics.jobs("celery", "work", "in_progress") == Some(0.0) {
        metrics
    } else {
        tailback.wait_jobs("celery", "work", "in_progress", 0)
    };
    assert_eq!(metrics.jobs("celery", "work", "ready"), Some(0.0));
    assert_eq!(
        queue(&metrics, "tailback_queue_latency_seconds", "work"),
        Some(0.0)
    );
    // At its end the worker puts them back at the head of the list, where they still do not wait.
    worker.signal("TERM");
    worker.wait(crate::support::process::PATIENCE);
    celery.send("work", 1, &[]);
    let metrics = tailback.wait_jobs("celery", "work", "ready", 1);
    assert_eq!(celery.depth("work"), 3);
    assert_eq!(metrics.jobs("celery", "work", "scheduled"), Some(2.0));
}

#[test]
fn celery_worker_with_late_acknowledgement_holds_what_it_runs() {
    let redis = redis();
    let celery = Celery::new(&redis.url());
    let release = Release::new(&redis);
    celery.send(
        "late",
        9,
        &["--task", "hold_late", "--arg", &release.json()],
    );
    let _worker = celery.worker(
        "late",
        &["-c", "2", "--prefetch-multiplier", "2"],
        redis.dir(),
    );
    let tailback = Tailback::start_config(&quick(&redis.url()));
    let metrics = tailback.wait_jobs("celery", "late", "in_progress", 4);
    assert_eq!(metrics.jobs("celery", "late", "ready"), Some(5.0));
    release.now();
    tailback.wait_jobs("celery", "late", "in_progress", 0);
}

#[test]
fn celery_with_another_separator_steps_and_prefix() {
    let redis = redis();
    let options = json!({
        "sep": ":", "priority_steps": (0..10).collect::<Vec<_>>(), "global_keyprefix": "app/",
        "queue_order_strategy": "priority",
    });
    let celery = Celery::new(&redis.url()).transport_options(&options);
    celery.send("a", 2, &["--priority", "4"]);
    celery.send("a", 1, &["--priority", "7"]);
    let config = quick(&redis.url())
        + "[brokers.main.redis.celery]\nglobal_keyprefix = 'app/'\nseparator = ':'\n\
           priority_steps = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]\n";
    let tailback = Tailback::start_config(&config);
    let metrics = tailback.wait_jobs("celery", "a", "ready", 3);
    let labels = [("queue", "a"), ("priority", "7")];
    assert_eq!(
        metrics.get("tailback_queue_priority_jobs", &labels),
        Some(1.0)
    );
    // kombu 5.7 cannot count with a prefix itself: it looks for the queue without it.
    assert_eq!(redis.cli(&["LLEN", "app/a:4"]), "2");
}

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
    rq.client(
        &url,
        &[
            "send",
            "mail",
            "1",
            "--task",
            "hold",
            "--arg",
            release.path(),
        ],
    );
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
    tailback.wait_until("paused", crate::support::process::PATIENCE, |metrics| {
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
    worker.wait(crate::support::process::PATIENCE);
    tailback.wait_until("no worker", crate::support::process::PATIENCE, |metrics| {
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

#[test]
fn lists_are_counted_by_name_and_by_pattern() {
    let redis = redis();
    redis.cli(&["RPUSH", "jobs", "a", "b", "c"]);
    redis.cli(&["RPUSH", "mail:de", "a"]);
    redis.cli(&["RPUSH", "mail:fr", "a", "b"]);
    redis.cli(&["SET", "mail:last", "yesterday"]);
    let config =
        quick(&redis.url()) + "[brokers.main.redis.list]\nkeys = ['jobs', 'mail:*', 'not-yet']\n";
    let tailback = Tailback::start_config(&config);
    let metrics = tailback.wait_jobs("list", "jobs", "ready", 3);
    assert_eq!(
        metrics.queues("list"),
        ["jobs", "mail:de", "mail:fr", "not-yet"]
    );
    assert_eq!(metrics.jobs("list", "mail:fr", "ready"), Some(2.0));
    // Named, but empty: it does not exist in Redis.
    assert_eq!(metrics.jobs("list", "not-yet", "ready"), Some(0.0));
    redis.cli(&["DEL", "mail:de"]);
    tailback.wait_jobs("list", "mail:de", "ready", 0);
}

#[test]
fn a_queue_that_appears_later_is_found() {
    let redis = redis();
    let tailback = Tailback::start_config(&quick(&redis.url()));
    tailback.wait_up();
    Celery::new(&redis.url()).send("new", 1, &[]);
    Rq::V3.client(&redis.url(), &["send", "new", "2"]);
    tailback.wait_jobs("celery", "new", "ready", 1);
    tailback.wait_jobs("rq", "new", "ready", 2);
}

/// What may reach a production server; every one of them reads or greets.
const ALLOWED: [&str; 28] = [
    "llen",
    "lindex",
    "lpos",
    "lrange",
    "memory|usage",
    "hget",
    "hlen",
    "hmget",
    "hstrlen",
    "scard",
    "smembers",
    "sscan",
    "scan",
    "zcard",
    "zcount",
    "zrange",
    "exists",
    "type",
    "time",
    "ping",
    "hello",
    "auth",
    "select",
    "client|setname",
    "client|setinfo",
    "multi",
    "exec",
    "info",
];

#[test]
fn only_reads_of_fixed_cost_reach_redis() {
    let redis = redis();
    let url = redis.url();
    let celery = Celery::new(&url);
    celery.send("a", 5, &[]);
    celery.send("a", 5, &["--priority", "9", "--countdown", "3600"]);
    Rq::V3.client(&url, &["send", "b", "5"]);
    Rq::V3.client(&url, &["schedule", "b", "5", "3600"]);
    redis.cli(&["RPUSH", "c:1", "x"]);
    redis.cli(&["CONFIG", "RESETSTAT"]);
    let config = format!(
        "[defaults]\ninterval = '100ms'\n[brokers.main.redis]\nurl = '{url}'\n\
         [brokers.main.redis.list]\nkeys = ['c:*']\n"
    );
    let tailback = Tailback::start_config(&config);
    tailback.wait_until("20 polls", crate::support::process::PATIENCE, |metrics| {
        metrics.get("tailback_poll_duration_seconds_count", &[]) >= Some(20.0)
    });
    let metrics = tailback.metrics();
    drop(tailback);
    let stats = redis.cli(&["INFO", "commandstats"]);
    let calls = |line: &str| -> Option<(String, u64)> {
        let (name, rest) = line.strip_prefix("cmdstat_")?.split_once(":calls=")?;
        Some((name.to_owned(), rest.split(',').next()?.parse().ok()?))
    };
    let stats: Vec<(String, u64)> = stats.lines().filter_map(calls).collect();
    assert!(stats.len() > 5, "{stats:?}");
    for (name, calls) in &stats {
        let ours = name != "config|resetstat";
        assert!(
            !ours || ALLOWED.contains(&name.as_str()),
            "{name}: {calls} calls"
        );
        if name == "scan" || name == "type" {
            assert!(
                *calls <= 4,
                "{name} belongs to the search, not to the poll: {calls}"
            );
        }
    }
    // What it says about its own cost is what the server has counted; it has polled on meanwhile.
    let llen = stats.iter().find(|(name, _)| name == "llen").unwrap().1 as f64;
    let told = metrics
        .get("tailback_broker_commands_total", &[("command", "llen")])
        .unwrap();
    assert!(told > 0.0 && told <= llen, "told {told}, counted {llen}");
}
