//! Objectives: late starts as counted by tailback, beside what the tasks themselves saw.

use crate::support::python::{Celery, Rq};
use crate::support::redis::{Redis, RedisOptions};
use crate::support::tailback::{Tailback, quick, wait_for};
use serde_json::json;
use std::fs;
use std::time::Duration;

const TASKS: u32 = 800;
const OBJECTIVES: &str = "
[[objectives]]
system = 'celery'
queue = 'fl*'
wait = '1s'
ratio = 0.9
slots_per_worker = 2
[[objectives]]
system = '*'
wait = '1h'
";

#[test]
fn late_starts_are_those_that_the_tasks_saw() {
    let redis = Redis::start(RedisOptions::default());
    let times = redis.dir().join("times");
    let settings = json!({"task_acks_late": true, "worker_prefetch_multiplier": 1});
    let celery = Celery::new(&redis.url()).settings(&settings);
    let _worker = celery.worker("flow", &["-c", "1"], redis.dir());
    Rq::V3.client(&redis.url(), &["send", "mail", "2"]);
    let config = format!("{}{OBJECTIVES}", quick(&redis.url()));
    let tailback = Tailback::start_config(&config);
    tailback.wait_jobs("celery", "flow", "ready", 0);
    tailback.wait_jobs("rq", "mail", "ready", 2);

    celery.send("flow", TASKS, &["--record", times.to_str().unwrap()]);
    let recorded = || fs::read_to_string(&times).map_or(0, |times| times.lines().count());
    wait_for("all tasks have run", || recorded() >= TASKS as usize);
    let flow = [("system", "celery"), ("queue", "flow")];
    let metrics = tailback.wait_until("all starts are seen", Duration::from_secs(5), |metrics| {
        let started = metrics.get("tailback_queue_started_total", &flow);
        started >= Some(f64::from(TASKS) * 0.99)
    });

    let waits: Vec<f64> = fs::read_to_string(&times)
        .unwrap()
        .lines()
        .map(|line| {
            let (sent, started) = line.split_once(' ').unwrap();
            started.parse::<f64>().unwrap() - sent.parse::<f64>().unwrap()
        })
        .collect();
    // Within one poll more or less.
    let later_than = |secs: f64| waits.iter().filter(|wait| **wait > secs).count() as f64;
    let late = metrics
        .get("tailback_queue_late_starts_total", &flow)
        .unwrap();
    println!("late: {late}, truly {}, of {TASKS}", later_than(1.0));
    assert!(later_than(1.0) > 50.0 && later_than(1.0) < f64::from(TASKS) - 50.0);
    assert!(late >= later_than(1.4) && late <= later_than(0.6), "{late}");

    // The bucket at the objective tells the same.
    let on_time = metrics.get(
        "tailback_queue_wait_seconds_bucket",
        &[flow[0], flow[1], ("le", "1.0")],
    );
    let count = metrics.get("tailback_queue_wait_seconds_count", &flow);
    assert_eq!(count.unwrap() - on_time.unwrap(), late);
    let objective = |name: &str, queue: &str| metrics.get(name, &[("queue", queue)]);
    let [wait, ratio] =
        ["seconds", "ratio"].map(|end| format!("tailback_queue_wait_objective_{end}"));
    assert_eq!(
        (objective(&wait, "flow"), objective(&ratio, "flow")),
        (Some(1.0), Some(0.9))
    );
    assert_eq!(
        (objective(&wait, "mail"), objective(&ratio, "mail")),
        (Some(3600.0), Some(0.99))
    );
    let queue = tailback.json("/api/v1/queues/main/celery/flow");
    assert_eq!(queue["late_starts_total"].as_f64(), Some(late));
    assert_eq!(
        queue["objective"],
        json!({"wait_seconds": 1.0, "ratio": 0.9, "utilization": 0.95, "slots_per_worker": 2,
            "service_time_seconds": null})
    );
}
