//! A tailback that stands still while events come, and goes on.

use super::redis::{bind, redis};
use super::*;
use crate::support::process::{eventually, run};
use crate::support::rabbitmq::RabbitMq;
use serde_json::Value;
use std::process::Command;
use std::thread::sleep;
use std::time::Duration;

const OURS: &str = "celeryev.tailback.";
const COUNT: &str = "tailback_queue_sampled_wait_seconds_count";
const LATENCY_MIN: &str = "tailback_queue_latency_min_seconds";
const LATENCY_MAX: &str = "tailback_queue_latency_max_seconds";
const FLOW_COUNT: &str = "tailback_queue_wait_seconds_count";

fn signal(tailback: &Tailback, signal: &str) {
    let pid = tailback.pid().to_string();
    run(Command::new("kill").args([&format!("-{signal}"), &pid]));
}

#[test]
fn what_rabbitmq_drops_meanwhile_is_a_gap_and_the_longest_waits_are_kept() {
    const FIRST: u32 = 60;
    let rabbit = RabbitMq::shared();
    let vhost = rabbit.vhost();
    let dir = tempfile::tempdir().unwrap();
    let times = dir.path().join("times");
    let record = ["--record", times.to_str().unwrap()];
    let celery = telling(&rabbit.url(&vhost));
    celery.send("first", 1, &[]);
    let tailback = Tailback::start_config(&super::rabbitmq::config(rabbit, &rabbit.url(&vhost)));
    wait_listening(&tailback);
    let (before, after) = celery.send("jobs", FIRST, &record);
    let enqueued = "tailback_queue_enqueued_total";
    tailback.wait_until("they are known to wait", PATIENCE, |metrics| {
        metrics.get("tailback_events_waiting_tasks", &[]) == Some(f64::from(FIRST))
            && of_queue(metrics, enqueued, "jobs") == Some(f64::from(FIRST))
    });

    signal(&tailback, "STOP");
    // More than is on its way to us at once; the rest waits in our queue, for ten seconds.
    celery.tell_sent("another", "flood", 3000, &[]);
    celery.send("jobs", FIRST, &record);
    let held = |is_held: &dyn Fn(i64) -> bool| {
        eventually("our queue as wanted", PATIENCE, || {
            let queues = super::rabbitmq::list(rabbit, "queues", &vhost);
            let ours = |queue: &Value| queue["name"].as_str().unwrap().starts_with(OURS);
            let ready = queues.into_iter().find(ours)?["messages_ready"].as_i64()?;
            is_held(ready).then_some(())
        });
    };
    held(&|ready| ready > 2000);
    held(&|ready| ready == 0);
    signal(&tailback, "CONT");

    let metrics = tailback.wait_until("a gap", PATIENCE, |metrics| {
        missed(metrics, "stalled") == 1.0
            && of_queue(metrics, "tailback_queue_gaps_total", "jobs") == Some(1.0)
            && metrics.get("tailback_broker_up", &[]) == Some(1.0)
            && of_queue(metrics, enqueued, "jobs") == Some(f64::from(2 * FIRST))
            && of_queue(metrics, LATENCY_MAX, "jobs").is_some()
    });
    assert_eq!(metrics.get("tailback_events_listening", &[]), Some(1.0));
    assert_eq!(missed(&metrics, "disconnected"), 0.0);
    // The flow model has all of them.
    let [least, most] =
        [LATENCY_MIN, LATENCY_MAX].map(|name| of_queue(&metrics, name, "jobs").unwrap());
    let now = unix_now();
    assert!(
        least <= now - before,
        "at least {least}, truly {}",
        now - before
    );
    // The poll is younger than ten seconds.
    assert!(
        most + 10.0 >= now - after,
        "at most {most}, truly {}",
        now - after
    );

    let _worker = celery.worker("jobs", &["-c", "1", "-E"], dir.path());
    let metrics = tailback.wait_until("all have run", PATIENCE, |metrics| {
        of_task(metrics, "tailback_task_succeeded_total", "record") == Some(f64::from(2 * FIRST))
    });
    // Of the others nothing is made up.
    assert_eq!(of_queue(&metrics, COUNT, "jobs"), Some(f64::from(FIRST)));
    assert_eq!(missed(&metrics, "unmatched"), f64::from(FIRST));
    let truth = &recorded_waits(&times)[..FIRST as usize];
    assert!(truth.iter().all(|wait| *wait > 10.0));
    compare_waits(&metrics, "jobs", truth);
    tailback.wait_until("the flow model counts all", PATIENCE, |metrics| {
        // A channel that is closed soon after it was used may take its last counts with it.
        of_queue(metrics, FLOW_COUNT, "jobs") >= Some(f64::from(2 * FIRST - FIRST / 10))
    });
}

#[test]
fn what_redis_keeps_meanwhile_is_no_gap_and_nobody_elses_clock() {
    const TASKS: u32 = 20;
    let redis = redis();
    bind(&redis, "jobs");
    let tailback = Tailback::start_config(&super::redis::config(&redis.url()));
    wait_listening(&tailback);
    tailback.wait_jobs("celery", "jobs", "ready", 0);
    let celery = telling(&redis.url());
    celery.send("jobs", TASKS, &[]);
    tailback.wait_jobs("celery", "jobs", "ready", u64::from(TASKS));

    signal(&tailback, "STOP");
    // Of this host nothing was heard before. Its clock is right, and all that it tells comes late.
    let options = ["-c", "1", "-E", "-n", "w@new"];
    let mut worker = celery.worker("jobs", &options, redis.dir());
    eventually("all have run", PATIENCE, || {
        let ended = worker.output().matches(" succeeded in ").count();
        (ended == TASKS as usize).then_some(())
    });
    worker.signal("TERM");
    worker.wait(PATIENCE);
    sleep(Duration::from_secs(3));
    signal(&tailback, "CONT");
    let metrics = tailback.wait_until("all are told of", PATIENCE, |metrics| {
        of_task(metrics, "tailback_task_succeeded_total", "noop") == Some(f64::from(TASKS))
            && of_queue(metrics, FLOW_COUNT, "jobs") == Some(f64::from(TASKS))
    });
    // Nothing is lost but their waits, which nobody can tell.
    assert_eq!(of_queue(&metrics, COUNT, "jobs").unwrap_or(0.0), 0.0);
    assert_eq!(missed(&metrics, "clocks"), f64::from(TASKS));
    assert_eq!(
        metrics.sum("tailback_events_missed_total", &[]),
        f64::from(TASKS)
    );
    assert_eq!(
        of_queue(&metrics, "tailback_queue_gaps_total", "jobs"),
        Some(0.0)
    );

    let times = redis.dir().join("times");
    let _worker = celery.worker("jobs", &options, redis.dir());
    celery.send("jobs", TASKS, &["--record", times.to_str().unwrap()]);
    let metrics = tailback.wait_until("the next waits", PATIENCE, |metrics| {
        of_queue(metrics, COUNT, "jobs") == Some(f64::from(TASKS))
    });
    compare_waits(&metrics, "jobs", &recorded_waits(&times));
}
