//! Every null of the JSON API has a reason, and it is the true one.

use crate::support::nulls::{UNTOLD, reasons};
use crate::support::rabbitmq::RabbitMq;
use crate::support::recordings;
use crate::support::redis::{Redis, RedisOptions};
use crate::support::tailback::{Tailback, quick, wait_for};
use serde_json::{Value, json};
use std::collections::BTreeMap;

const OBJECTIVE: &str = "no objective is set for the queue";

fn redis(rights: &str) -> Redis {
    Redis::start(RedisOptions {
        users: vec![format!("tail on >pw %R~* +@all {rights}")],
        ..RedisOptions::default()
    })
}

fn queue(tailback: &Tailback, system: &str, name: &str) -> (Value, BTreeMap<String, String>) {
    let body = tailback.json(&format!("/api/v1/queues/main/{system}/{name}"));
    let reasons = reasons(&body);
    (body, reasons)
}

fn has(reasons: &BTreeMap<String, String>, path: &str, words: &str) {
    let reason = reasons.get(path).map_or("not null", String::as_str);
    assert!(reason.contains(words), "{path}: {reason}");
}

#[test]
fn of_every_system_and_in_every_state() {
    let redis = redis("");
    let all = recordings::all();
    all.iter().for_each(|recording| recording.load(&redis, 0));
    let options: String = all.iter().map(|recording| &*recording.config).collect();
    let config = quick(&redis.url()) + &options;
    let tailback = Tailback::start_config(&config);
    let found: usize = all.iter().map(|recording| recording.queues.len()).sum();
    let queues = || tailback.json("/api/v1/queues")["queues"].clone();
    wait_for("all queues", || queues().as_array().unwrap().len() >= found);
    // Without polls to compare, then with some, then of queues that are empty or gone.
    for what in ["first", "later", "flushed"] {
        let queues = queues();
        for body in queues.as_array().unwrap() {
            let reasons = reasons(body);
            has(&reasons, "objective", OBJECTIVE);
            has(&reasons, "late_starts_total", OBJECTIVE);
            if body["latency_seconds"] == 0.0 {
                has(&reasons, "oldest_job_timestamp_seconds", "no job is ready");
            }
            if let Some(reason) = reasons.get("demand.arrivals_per_second") {
                let is_counted = !body["enqueued_total"].is_null();
                let is_young = reason.contains("less than a minute");
                assert_eq!(is_counted, is_young, "{what}: {body}");
            }
        }
        println!("{what}: {} queues", queues.as_array().unwrap().len());
        std::thread::sleep(std::time::Duration::from_secs(1));
        if what == "later" {
            redis.cli(&["FLUSHALL"]);
        }
    }
}

#[test]
fn of_lists_whose_positions_may_not_be_read() {
    let redis = redis("-lindex -lpos -lrange");
    redis.cli(&["SADD", "_kombu.binding.cel", "\u{6}\u{16}\u{6}\u{16}cel"]);
    redis.cli(&["RPUSH", "cel", "garbage", "more"]);
    redis.cli(&["RPUSH", "jobs", "a"]);
    let objective = "[[objectives]]\nqueue = 'cel'\nwait = '30s'\n";
    let url = redis.url_as("tail:pw");
    let config = quick(&url) + "list.keys = ['idle', 'jobs']\n" + objective;
    let tailback = Tailback::start_config(&config);
    tailback.wait_jobs("celery", "cel", "ready", 2);
    tailback.wait_jobs("list", "jobs", "ready", 1);
    let totals = |name: &str| queue(&tailback, "list", name).0["enqueued_total"].clone();
    // That they may not be read shows at the first list that has jobs.
    wait_for("no totals", || totals("idle").is_null());
    for (system, name) in [("celery", "cel"), ("list", "jobs"), ("list", "idle")] {
        let (body, reasons) = queue(&tailback, system, name);
        let is_known = name == "idle";
        assert_eq!(body["latency_seconds"].is_number(), is_known, "{body}");
        for path in [
            "enqueued_total",
            "started_total",
            "redelivered_total",
            "enqueued_per_second",
            "demand.arrivals_per_second",
            "flow",
        ] {
            has(&reasons, path, "lpos or lrange");
        }
        let oldest = match is_known {
            true => "no job is ready",
            false => "right",
        };
        has(&reasons, "oldest_job_timestamp_seconds", oldest);
        has(
            &reasons,
            "demand.service_time_source",
            "how long a job runs",
        );
    }
    let (_, cel) = queue(&tailback, "celery", "cel");
    has(&cel, "late_starts_total", "lpos or lrange");
    has(&cel, "objective.service_time_seconds", "none");
    let (_, jobs) = queue(&tailback, "list", "jobs");
    has(&jobs, "late_starts_total", OBJECTIVE);
    // What comes and goes is not counted, and not said to be none.
    redis.cli(&["RPUSH", "idle", "b"]);
    tailback.wait_jobs("list", "idle", "ready", 1);
    redis.cli(&["DEL", "idle"]);
    tailback.wait_jobs("list", "idle", "ready", 0);
    assert!(totals("idle").is_null());
}

#[test]
fn of_what_workers_do_where_it_may_not_be_read() {
    let redis = redis("-zcard -hlen");
    redis.cli(&["SADD", "_kombu.binding.cel", "\u{6}\u{16}\u{6}\u{16}cel"]);
    redis.cli(&["RPUSH", "cel", "garbage"]);
    let tailback = Tailback::start_config(&quick(&redis.url_as("tail:pw")));
    tailback.wait_jobs("celery", "cel", "ready", 1);
    let (body, reasons) = queue(&tailback, "celery", "cel");
    for path in ["jobs.in_progress", "prefetched"] {
        has(&reasons, path, "what workers do");
    }
    has(&reasons, "paused", "could not be read");
    assert_eq!(body["enqueued_total"], 0, "{body}");
}

#[test]
fn of_queues_of_a_rabbitmq() {
    let rabbit = RabbitMq::shared();
    let vhost = rabbit.vhost();
    let config = format!(
        "[brokers.main.rabbitmq]\nurl = '{}'\nmanagement_url = 'http://{}'\n\
         interval = '500ms'\ndiscovery_interval = '1s'\n",
        rabbit.url(&vhost),
        rabbit.management,
    );
    let tailback = Tailback::start_config(&config);
    rabbit.declare(&vhost, "idle", &json!({}));
    rabbit.declare(&vhost, "log", &json!({"x-queue-type": "stream"}));
    let list = || tailback.json("/api/v1/queues")["queues"].clone();
    // From the moment that it is known on, the broker tells one number after the other.
    wait_for("both are found and the depth is told", || {
        let queues = list();
        let queues = queues.as_array().unwrap();
        for body in queues {
            let reasons = reasons(body);
            if body["queue"] == "idle" && body["jobs"]["ready"].is_null() {
                has(&reasons, "jobs.ready", "has not reported");
            }
        }
        queues.len() == 2 && queues.iter().any(|body| body["jobs"]["ready"] == 0)
    });
    let (_, reasons) = queue(&tailback, "rabbitmq", "idle");
    has(&reasons, "late_starts_total", OBJECTIVE);
    has(&reasons, "oldest_job_timestamp_seconds", "no job is ready");
    has(
        &reasons,
        "oldest_in_progress_timestamp_seconds",
        "no job is in progress",
    );
    has(&reasons, "retries_total", UNTOLD);
}
