//! Real producers and workers on a real Redis: known numbers in each state in, the same numbers
//! out of `/metrics`.

mod arq;
mod asynq;
mod bullmq;
mod celery;
mod cost;
mod dramatiq;
mod huey;
mod mixed;
mod resque;
mod rq;
mod rq_times;
mod sidekiq;
mod stream;
mod taskiq;

use crate::support::metrics::Metrics;
use crate::support::process::PATIENCE;
use crate::support::python::{Celery, Rq};
use crate::support::redis::{Redis, RedisOptions};
use crate::support::tailback::{Tailback, quick};
use serde_json::json;
use std::collections::BTreeMap;
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

    /// What sends a job to RQ's queue `mail` that runs until then.
    fn rq_hold(&self) -> [&str; 7] {
        let path = self.path();
        ["send", "mail", "1", "--task", "hold", "--arg", path]
    }

    fn now(&self) {
        std::fs::write(&self.0, "").unwrap();
    }
}

/// What one poll asks of the Redis, without the search for queues, by tailback's own count.
fn commands_per_poll(tailback: &Tailback) -> f64 {
    each_command_per_poll(tailback).values().sum()
}

/// The same by the commands' names.
fn each_command_per_poll(tailback: &Tailback) -> BTreeMap<String, f64> {
    let polls = |metrics: &Metrics| {
        let polls = metrics.get("tailback_poll_duration_seconds_count", &[]);
        polls.unwrap_or_default()
    };
    let commands = |metrics: &Metrics| -> BTreeMap<String, f64> {
        let all = metrics.all("tailback_broker_commands_total", &[]);
        all.iter()
            .map(|sample| (sample.labels["command"].clone(), sample.value))
            .collect()
    };
    // The first polls of a queue are dearer.
    let settled = polls(&tailback.metrics()) + 5.0;
    let wait =
        |count: f64| tailback.wait_until("polls", PATIENCE, |metrics| polls(metrics) >= count);
    let before = wait(settled);
    let after = wait(polls(&before) + 10.0);
    let (times, earlier) = (polls(&after) - polls(&before), commands(&before));
    let mut each = commands(&after);
    each.retain(|command, _| !["scan", "sscan", "type"].contains(&command.as_str()));
    for (command, count) in &mut each {
        *count = (*count - earlier.get(command).unwrap_or(&0.0)) / times;
    }
    each
}

fn queue(metrics: &Metrics, name: &str, queue: &str) -> Option<f64> {
    metrics.get(name, &[("queue", queue)])
}

/// A configuration with which nothing but polls costs anything once the queues are found.
fn searching_once(url: &str) -> String {
    quick(url).replace("discovery_interval = '1s'", "discovery_interval = '1h'")
}

/// How often each of these commands is sent in one poll of an idle server.
fn commands_of_a_poll(tailback: &Tailback, commands: &[&str]) -> Vec<f64> {
    let polls = |metrics: &Metrics| metrics.get("tailback_poll_duration_seconds_count", &[]);
    let counts = |metrics: &Metrics| -> Vec<f64> {
        let count = |command: &&str| {
            let labels = [("command", *command)];
            metrics.get("tailback_broker_commands_total", &labels)
        };
        commands.iter().map(|c| count(c).unwrap_or(0.0)).collect()
    };
    let mut last = (tailback.metrics(), Vec::new());
    for _ in 0..100 {
        let before = &last.0;
        let after = tailback.wait_until("four more polls", PATIENCE, |metrics| {
            polls(metrics) >= polls(before).map(|polls| polls + 4.0)
        });
        let times = polls(&after).unwrap() - polls(before).unwrap();
        let each: Vec<f64> = counts(&after)
            .iter()
            .zip(counts(before))
            .map(|(after, before)| (after - before) / times)
            .collect();
        if each == last.1 {
            return each;
        }
        last = (after, each);
    }
    panic!("no two polls cost the same: {:?}", last.1);
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
    tailback.wait_until("20 polls", PATIENCE, |metrics| {
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
