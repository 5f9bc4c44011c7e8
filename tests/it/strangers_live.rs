//! An application that pushes to lists of its own in the Redis of a real Celery: its pushes are
//! nobody's jobs.

use crate::support::python::Celery;
use crate::support::redis::{Redis, RedisOptions};
use crate::support::tailback::{Tailback, quick, wait_for};
use serde_json::{Value, json};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// Pushes and takes what it has pushed, about 200 times a second, until it is told to stop. How many
/// there were.
fn push_until(redis: &Redis, stop: &AtomicBool, with_index: bool) -> u64 {
    let mut connection = redis.connection();
    let mut pushed = 0;
    while !stop.load(Ordering::Relaxed) {
        let mut pipe = redis::pipe();
        pipe.cmd("LPUSH").arg("events").arg(pushed).ignore();
        if with_index {
            pipe.cmd("ZADD")
                .arg("index")
                .arg(pushed)
                .arg(pushed)
                .ignore();
        }
        pipe.cmd("LTRIM").arg("events").arg(0).arg(99).ignore();
        pipe.query::<()>(&mut connection).unwrap();
        pushed += 1;
        std::thread::sleep(Duration::from_millis(5));
    }
    pushed
}

fn total(queue: &Value, name: &str) -> u64 {
    queue[name].as_u64().unwrap_or(0)
}

fn check(with_index: bool) {
    let redis = Redis::start(RedisOptions::default());
    let celery = Celery::new(&redis.url()).settings(&json!({"worker_prefetch_multiplier": 1}));
    let _worker = celery.worker("calm", &["-c", "2"], redis.dir());
    let tailback = Tailback::start_config(&quick(&redis.url()));
    tailback.wait_jobs("celery", "calm", "ready", 0);
    let seen = || tailback.json("/api/v1/queues/main/celery/calm");
    let stop = AtomicBool::new(false);
    let mut sent = 0;
    std::thread::scope(|scope| {
        let pushing = scope.spawn(|| push_until(&redis, &stop, with_index));
        std::thread::sleep(Duration::from_secs(3));
        let idle = seen();
        // Then it works: most of its tasks come and go between two polls.
        for _ in 0..4 {
            celery.send("calm", 60, &[]);
            sent += 60;
        }
        wait_for("the last task", || redis.cli(&["LLEN", "calm"]) == "0");
        std::thread::sleep(Duration::from_secs(2));
        let busy = seen();
        stop.store(true, Ordering::Relaxed);
        let pushed = pushing.join().unwrap();
        assert!(pushed > 300, "{pushed}");
        // Where they write what consumers write, a few are taken for jobs before they are found out.
        let few = if with_index { 8 } else { 3 };
        assert!(total(&idle, "enqueued_total") <= few, "{idle}");
        assert!(total(&busy, "enqueued_total") <= sent + few, "{busy}");
        // Where theirs were taken for jobs it is no lower bound, and does not say so.
        let counts = match (with_index, total(&idle, "enqueued_total")) {
            (true, 1..) => "estimated",
            _ => "lower_bound",
        };
        assert_eq!(busy["flow"]["counts"], counts, "{busy}");
        if !with_index {
            // Some may count as the application's: the counts are a lower bound, and close to the truth.
            let least = sent - sent / 20;
            assert!(total(&busy, "enqueued_total") >= least, "{busy}");
            assert!(total(&busy, "started_total") >= least, "{busy}");
        }
    });
}

#[test]
fn pushes_of_an_application_are_no_jobs_and_hide_none() {
    check(false);
}

#[test]
fn an_application_that_writes_what_consumers_write_is_found_out() {
    check(true);
}
