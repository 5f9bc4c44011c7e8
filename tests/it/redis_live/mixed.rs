//! One Redis with the keys of every job system in it, and an application's own keys beside them.

use super::redis;
use crate::support::metrics::Metrics;
use crate::support::process::PATIENCE;
use crate::support::recordings::{self, Recording};
use crate::support::redis::{Monitor, Redis};
use crate::support::tailback::{Tailback, quick};
use std::collections::{BTreeMap, BTreeSet};

/// An application's keys, some with names that job systems use.
const UNRELATED: [&[&str]; 17] = [
    &["SET", "session:1f0c", "{\"user\":1}"],
    &["SET", "cache:page:/", "<html></html>"],
    &["SET", "worker:health-check", "Nov-23 05:00:00 j_complete=1"],
    &["SET", "queue:note", "no list"],
    &["HSET", "user:1", "name", "a", "queue", "default"],
    &["HSET", "bull:foo:meta", "title", "how to fight"],
    &["HSET", "bull:bar", "wait", "1"],
    &["RPUSH", "recent", "{\"id\":\"1\",\"task\":\"x\"}"],
    &["RPUSH", "queue:lunch", "people", "in", "line"],
    &["RPUSH", "jobs:offers", "baker"],
    &["ZADD", "leaderboard", "1795409600000", "someone"],
    &["ZADD", "schedule:tv", "1795409600", "news"],
    &["SADD", "tags", "red", "green"],
    &["SADD", "shop:queues", "till-1", "till-2"],
    &["XADD", "audit", "*", "who", "me"],
    &["SETEX", "lock:report", "600", "1"],
    &["SET", "unacked:mail", "3"],
];

/// Asks for a value, or a part of it.
const FETCHES: [&str; 13] = [
    "get",
    "getrange",
    "hget",
    "hgetall",
    "hmget",
    "lindex",
    "lrange",
    "smembers",
    "sscan",
    "zrange",
    "zrangebyscore",
    "xrange",
    "xrevrange",
];

fn config(redis: &Redis, all: &[Recording]) -> String {
    let options: String = all.iter().map(|recording| &*recording.config).collect();
    quick(&redis.url()) + &options
}

/// All queues with their systems.
fn shown(metrics: &Metrics) -> Vec<(String, String)> {
    let ready = metrics.all("tailback_queue_source_info", &[]);
    let label = |name: &str, sample: &crate::support::metrics::Sample| sample.labels[name].clone();
    let mut queues: Vec<_> = ready
        .iter()
        .map(|sample| (label("system", sample), label("queue", sample)))
        .collect();
    queues.sort();
    queues
}

#[test]
fn every_queue_of_every_system_is_found_once_and_nothing_else() {
    let redis = redis();
    let all = recordings::all();
    let mut taken = BTreeSet::new();
    for recording in &all {
        recording.load(&redis, 0);
        for key in recording.keys() {
            assert!(taken.insert(key.to_owned()), "two systems have {key}");
        }
    }
    for command in UNRELATED {
        redis.cli(command);
        assert!(!taken.contains(command[1]), "{command:?}");
    }
    let monitor = Monitor::start(&redis);
    let tailback = Tailback::start_config(&config(&redis, &all));
    let mut wanted: Vec<(String, String)> = all
        .iter()
        .flat_map(|recording| {
            let of = |queue: &String| (recording.system.clone(), queue.clone());
            recording.queues.iter().map(of)
        })
        .collect();
    wanted.sort();
    tailback.wait_until("all queues", PATIENCE, |metrics| {
        wanted.iter().all(|queue| shown(metrics).contains(queue))
    });
    // Three searches later nothing has been added, and nothing unrelated was read again.
    let searches = |monitor: &Monitor| {
        let commands = monitor.commands();
        commands.iter().filter(|words| words[0] == "scan").count()
    };
    let enough = searches(&monitor) + 3;
    let metrics = tailback.wait_until("three more searches", PATIENCE, |_| {
        searches(&monitor) >= enough
    });
    assert_eq!(shown(&metrics), wanted);

    let unrelated: BTreeSet<&str> = UNRELATED.iter().map(|command| command[1]).collect();
    let mut fetched: BTreeMap<Vec<String>, u32> = BTreeMap::new();
    let commands = monitor.commands();
    assert!(commands.len() > 100);
    for words in commands {
        let key = words.get(1).map_or("", String::as_str);
        if FETCHES.contains(&&*words[0]) && unrelated.contains(key) {
            *fetched.entry(words).or_default() += 1;
        }
    }
    assert!(fetched.values().all(|times| *times == 1), "{fetched:?}");
}

#[test]
fn an_application_that_has_keys_of_the_registries_names_is_no_job_system() {
    let redis = redis();
    redis.cli(&["RPUSH", "jobs", "a"]);
    redis.cli(&["SADD", "queues", "till-1", "till-2"]);
    redis.cli(&["HSET", "resque:queues", "till", "1"]);
    redis.cli(&["RPUSH", "asynq:queues", "till"]);
    redis.cli(&["ZADD", "rq:queues", "1", "till"]);
    redis.cli(&["SET", "_kombu.binding.till", "x"]);
    redis.cli(&["SET", "huey.note", "x"]);
    let monitor = Monitor::start(&redis);
    let config = quick(&redis.url()) + "[brokers.main.redis.list]\nkeys = ['jobs']\n";
    let tailback = Tailback::start_config(&config);
    let asked = |key: &str| {
        let commands = monitor.commands();
        let asked = commands
            .iter()
            .filter(|words| words[0] == "sscan" && words[1] == key);
        asked.count()
    };
    let names = ["queues", "resque:queues", "asynq:queues", "rq:queues"];
    let metrics = tailback.wait_until("three searches", PATIENCE, |_| {
        names.iter().all(|name| asked(name) >= 3)
    });
    assert_eq!(shown(&metrics), [("list".to_owned(), "jobs".to_owned())]);
    assert_eq!(metrics.sum("tailback_poll_errors_total", &[]), 0.0);
    assert_eq!(tailback.logged("WARN"), Vec::<String>::new());
}
