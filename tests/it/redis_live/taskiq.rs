//! TaskIQ's list and stream brokers with a real worker. TaskIQ itself counts nothing: what was sent
//! and what the worker can hold is the truth.

use super::{Release, commands_of_a_poll, queue, redis, searching_once, unix_now};
use crate::support::process::{PATIENCE, Process};
use crate::support::python::{App, python_of};
use crate::support::redis::Redis;
use crate::support::tailback::{Tailback, quick, wait_for};
use serde_json::Value;

struct Taskiq<'a> {
    redis: &'a Redis,
    broker: &'a str,
    queue: &'a str,
}

impl Taskiq<'_> {
    fn app(&self) -> App {
        App::new()
            .env("BROKER_URL", &self.redis.url())
            .env("BROKER", self.broker)
            .env("QUEUE", self.queue)
    }

    fn send(&self, args: &[&str]) -> Value {
        let args: Vec<&str> = std::iter::once("send")
            .chain(args.iter().copied())
            .collect();
        python_of(&self.app(), "taskiq_app.py", &args)
    }

    fn worker(&self) -> Process {
        let dir = self.redis.dir();
        let mut worker = self.app().spawn("taskiq_app", &["work"], dir);
        worker.wait_ready(PATIENCE, |process| {
            process.output().contains("Listening started")
        });
        worker
    }
}

#[test]
fn taskiq_list_shows_what_waits_and_how_long_it_has() {
    let redis = redis();
    let release = Release::new(&redis);
    let taskiq = Taskiq {
        redis: &redis,
        broker: "list",
        queue: "taskiq",
    };
    taskiq.send(&["noop", "1"]);
    let tailback = Tailback::start_config(&quick(&redis.url()));
    tailback.wait_jobs("taskiq", "taskiq", "ready", 1);
    let _worker = taskiq.worker();
    tailback.wait_jobs("taskiq", "taskiq", "ready", 0);
    // Two running and one prefetched, of which Redis knows nothing.
    taskiq.send(&["hold", "3", release.path()]);
    wait_for("they are taken", || redis.cli(&["LLEN", "taskiq"]) == "0");
    let sent = taskiq.send(&["hold", "6", release.path()]);
    tailback.wait_until("some wait", PATIENCE, |metrics| {
        metrics.jobs("taskiq", "taskiq", "ready") > Some(4.0)
    });
    std::thread::sleep(std::time::Duration::from_secs(2));
    let metrics = tailback.metrics();
    let waiting: f64 = redis.cli(&["LLEN", "taskiq"]).parse().unwrap();
    assert_eq!(metrics.jobs("taskiq", "taskiq", "ready"), Some(waiting));
    assert_eq!(metrics.jobs("taskiq", "taskiq", "in_progress"), None);
    let get = |name: &str| queue(&metrics, name, "taskiq").unwrap();
    let min = unix_now() - sent["after"].as_f64().unwrap();
    let max = unix_now() - sent["before"].as_f64().unwrap();
    assert!(get("tailback_queue_latency_min_seconds") <= max);
    assert!(get("tailback_queue_latency_max_seconds") >= min - 0.5);
    assert!((min - 0.5..max).contains(&get("tailback_queue_latency_seconds")));
    release.now();
    tailback.wait_jobs("taskiq", "taskiq", "ready", 0);
    tailback.wait_until("all have started", PATIENCE, |metrics| {
        queue(metrics, "tailback_queue_started_total", "taskiq") >= Some(10.0)
    });
    assert_eq!(tailback.metrics().queues("stream"), [""; 0]);
}

#[test]
fn taskiq_stream_shows_what_waits_and_what_runs() {
    let redis = redis();
    let release = Release::new(&redis);
    let taskiq = Taskiq {
        redis: &redis,
        broker: "stream",
        queue: "jobs",
    };
    let tailback = Tailback::start_config(&quick(&redis.url()));
    let sent = taskiq.send(&["noop", "5"]);
    let metrics = tailback.wait_jobs("taskiq", "jobs", "ready", 5);
    let oldest = queue(
        &metrics,
        "tailback_queue_oldest_job_timestamp_seconds",
        "jobs",
    );
    let (before, after) = (sent["before"].as_f64().unwrap(), sent["after"].as_f64());
    assert!(
        oldest >= Some(before - 0.002) && oldest <= after,
        "{oldest:?} {sent}"
    );
    let _worker = taskiq.worker();
    // Done and acknowledged, though all of them are still in the stream.
    tailback.wait_jobs("taskiq", "jobs", "ready", 0);
    tailback.wait_jobs("taskiq", "jobs", "in_progress", 0);
    assert_eq!(redis.cli(&["XLEN", "jobs"]), "5");
    taskiq.send(&["hold", "3", release.path()]);
    let metrics = tailback.wait_jobs("taskiq", "jobs", "in_progress", 3);
    let pending = redis.cli(&["XPENDING", "jobs", "taskiq"]);
    assert!(pending.starts_with('3'), "{pending}");
    let started = queue(
        &metrics,
        "tailback_queue_oldest_in_progress_timestamp_seconds",
        "jobs",
    );
    assert!((0.0..60.0).contains(&(unix_now() - started.unwrap())));
    assert_eq!(
        queue(&metrics, "tailback_queue_consumers", "jobs"),
        Some(1.0)
    );
    assert_eq!(metrics.queues("stream"), [""; 0]);
    release.now();
    tailback.wait_jobs("taskiq", "jobs", "in_progress", 0);
}

#[test]
fn a_long_taskiq_list_costs_what_a_short_one_does() {
    let cost = |count: &str| {
        let redis = redis();
        let taskiq = Taskiq {
            redis: &redis,
            broker: "list",
            queue: "taskiq",
        };
        taskiq.send(&["noop", count]);
        let tailback = Tailback::start_config(&searching_once(&redis.url()));
        tailback.wait_jobs("taskiq", "taskiq", "ready", count.parse().unwrap());
        commands_of_a_poll(&tailback, &["type", "llen", "memory", "lindex", "lpos"])
    };
    let (short, long) = (cost("10"), cost("10000"));
    assert_eq!(short[..3], [1.0, 2.0, 1.0]);
    // Three elements are remembered of a long list, of a short one fewer.
    assert_eq!(short[..3], long[..3], "{short:?} {long:?}");
    assert!(long[3] <= 4.0 && long[4] <= 4.0, "{long:?}");
}
