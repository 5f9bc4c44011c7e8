//! The flow model on a real Celery: the tasks write down how long they waited, and what tailback
//! inferred from the list alone must agree.

use crate::support::python::Celery;
use crate::support::redis::{Redis, RedisOptions};
use crate::support::tailback::{Tailback, quick};
use base64::Engine as _;
use serde_json::{Value, json};
use std::fs;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

const TASKS: u32 = 3000;
const QUEUE: &str = "/api/v1/queues/main/celery/flow";

fn now() -> f64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap()
        .as_secs_f64()
}

/// When the message at the head was sent, as it says itself in a place that tailback does not know.
fn sent(message: &[u8]) -> f64 {
    let message: Value = serde_json::from_slice(message).unwrap();
    let body = base64::engine::general_purpose::STANDARD
        .decode(message["body"].as_str().unwrap())
        .unwrap();
    let body: Value = serde_json::from_slice(&body).unwrap();
    body[0][1].as_f64().unwrap()
}

#[test]
fn what_is_inferred_agrees_with_what_the_tasks_saw_also_when_a_worker_is_killed() {
    let redis = Redis::start(RedisOptions::default());
    let times = redis.dir().join("times");
    let settings = json!({"task_acks_late": true, "worker_prefetch_multiplier": 1});
    let celery = Celery::new(&redis.url()).settings(&settings);
    let options = ["-c", "2"];
    let mut worker = celery.worker("flow", &options, redis.dir());
    let tailback = Tailback::start_config(&quick(&redis.url()));
    tailback.wait_jobs("celery", "flow", "ready", 0);

    let stop = AtomicBool::new(false);
    let (heads, seen) = std::thread::scope(|scope| {
        let heads = scope.spawn(|| {
            let mut connection = redis.connection();
            let mut heads: Vec<(f64, Option<f64>)> = Vec::new();
            while !stop.load(Ordering::Relaxed) {
                let head: Option<Vec<u8>> = redis::cmd("LINDEX")
                    .arg("flow")
                    .arg(-1)
                    .query(&mut connection)
                    .unwrap();
                heads.push((now(), head.map(|head| sent(&head))));
                std::thread::sleep(Duration::from_millis(3));
            }
            heads
        });
        let seen = scope.spawn(|| {
            let mut seen: Vec<Value> = Vec::new();
            while !stop.load(Ordering::Relaxed) {
                seen.push(tailback.json(QUEUE));
                std::thread::sleep(Duration::from_millis(50));
            }
            seen
        });
        celery.send("flow", TASKS, &["--record", times.to_str().unwrap()]);
        worker.kill();
        let _second = celery.worker("flow", &options, redis.dir());
        // No panic in here: the threads above end only when they are told to.
        let until = now() + 60.0;
        let is_done = || {
            let recorded = fs::read_to_string(&times).map_or(0, |times| times.lines().count());
            recorded + 4 >= TASKS as usize && tailback.json(QUEUE)["jobs"]["ready"] == 0
        };
        while now() < until && !is_done() {
            std::thread::sleep(Duration::from_millis(100));
        }
        std::thread::sleep(Duration::from_secs(1));
        stop.store(true, Ordering::Relaxed);
        (heads.join().unwrap(), seen.join().unwrap())
    });

    let mut checked = 0;
    for queue in &seen {
        let Some(latency) = queue["latency_seconds"].as_f64().filter(|age| *age > 0.0) else {
            continue;
        };
        assert_eq!(queue["source"], "flow", "{queue}");
        let at = queue["observed_timestamp_seconds"].as_f64().unwrap();
        let min = queue["latency_min_seconds"].as_f64().unwrap();
        let max = queue["latency_max_seconds"].as_f64().unwrap();
        assert!(min <= latency && latency <= max, "{queue}");
        // The poll read the list at some instant before `at`; a busy machine takes its time.
        let around = |seen_at: f64| (at - 0.25..=at + 0.05).contains(&seen_at);
        let ages: Vec<f64> = heads
            .iter()
            .filter(|(seen_at, _)| around(*seen_at))
            .filter_map(|(_, sent)| Some(at - (*sent)?))
            .collect();
        if ages.is_empty() {
            continue;
        }
        checked += 1;
        let is_inside = |age: &f64| min - 0.25 <= *age && *age <= max + 0.25;
        assert!(ages.iter().any(is_inside), "{queue} {ages:?}");
    }
    assert!(checked > 10, "{checked} of {}", seen.len());

    // Late acknowledgement: a killed worker's tasks were taken and will come back in an hour.
    let times = fs::read_to_string(times).unwrap();
    let waits: Vec<f64> = times
        .lines()
        .filter_map(|line| {
            let (sent, started) = line.split_once(' ')?;
            Some(started.parse::<f64>().ok()? - sent.parse::<f64>().ok()?)
        })
        .collect();
    assert!(waits.len() as u32 + 4 >= TASKS, "{}", waits.len());
    let truth = waits.iter().sum::<f64>() / waits.len() as f64;
    let metrics = tailback.metrics();
    let sum = |name: &str| metrics.sum(name, &[("queue", "flow")]);
    let count = sum("tailback_queue_wait_seconds_count");
    println!("{}", tailback.json(QUEUE));
    assert!((count / f64::from(TASKS) - 1.0).abs() < 0.01, "{count}");
    let mean = sum("tailback_queue_wait_seconds_sum") / count;
    assert!((mean - truth).abs() < 0.5 + 0.05 * truth, "{mean} {truth}");
    println!("{checked} polls inside; mean wait {mean:.3} s, true {truth:.3} s");
}

#[test]
fn two_that_watch_the_same_queue_agree_within_their_bounds() {
    let redis = Redis::start(RedisOptions::default());
    let celery = Celery::new(&redis.url()).settings(&json!({"worker_prefetch_multiplier": 1}));
    let _worker = celery.worker("flow", &["-c", "2"], redis.dir());
    let configuration = quick(&redis.url())
        .replace("200ms", "1s")
        .replace("1500ms", "9s");
    let first = Tailback::start_config(&configuration);
    first.wait_jobs("celery", "flow", "ready", 0);
    // Out of step with the first.
    std::thread::sleep(Duration::from_millis(430));
    let second = Tailback::start_config(&configuration);
    second.wait_jobs("celery", "flow", "ready", 0);
    let times = redis.dir().join("times");
    let mut compared = 0;
    std::thread::scope(|scope| {
        let sending = scope.spawn(|| {
            celery.send("flow", TASKS, &["--record", times.to_str().unwrap()]);
        });
        let until = now() + 60.0;
        let is_done = |tailback: &Tailback| {
            let queue = tailback.json(QUEUE);
            queue["jobs"]["ready"] == 0 && queue["started_total"].as_u64() > Some(0)
        };
        while now() < until && !(sending.is_finished() && is_done(&first) && is_done(&second)) {
            let both = [first.json(QUEUE), second.json(QUEUE)];
            compared += usize::from(compare(&both));
            std::thread::sleep(Duration::from_millis(150));
        }
    });
    std::thread::sleep(Duration::from_secs(3));
    assert!(compared > 10, "{compared}");
    let totals = [first.json(QUEUE), second.json(QUEUE)].map(|queue| {
        let of = |name: &str| queue[name].as_u64().unwrap();
        assert_eq!(queue["flow"]["counts"], "exact");
        (of("enqueued_total"), of("started_total"))
    });
    println!("{compared} pairs of polls agree; enqueued and started {totals:?}");
    assert_eq!(totals, [(u64::from(TASKS), u64::from(TASKS)); 2]);
}

/// Whether both show a backlog; then they must not contradict each other.
fn compare(both: &[Value; 2]) -> bool {
    let of = |name: &str| both.each_ref().map(|queue| queue[name].as_f64());
    let [Some(a), Some(b)] = of("observed_timestamp_seconds") else {
        return false;
    };
    let (mins, maxs) = (of("latency_min_seconds"), of("latency_max_seconds"));
    let ([Some(min_a), Some(min_b)], [Some(max_a), Some(max_b)]) = (mins, maxs) else {
        return false;
    };
    if max_a == 0.0 || max_b == 0.0 {
        return false;
    }
    // The head of the later poll came no earlier than that of the one before, so it ages no faster
    // than time passes; and it is at least as young as that one's bounds allow.
    let since = |at: f64, min: f64, max: f64| (at - max, at - min);
    let ((_, latest), (earliest, _)) = if a <= b {
        (since(b, min_b, max_b), since(a, min_a, max_a))
    } else {
        (since(a, min_a, max_a), since(b, min_b, max_b))
    };
    assert!(earliest <= latest + 0.05, "{both:?}");
    // Between their polls no more was counted than both could see; what came and went just before the
    // backlog is counted once its delivery is, or when the list turns over.
    let [first, second] = of("enqueued_total").map(Option::unwrap_or_default);
    let [earlier, later] = if a <= b {
        [first, second]
    } else {
        [second, first]
    };
    assert!(earlier <= later + 60.0, "{both:?}");
    true
}

#[test]
fn tasks_that_are_due_later_do_not_wait_and_do_not_hide_those_that_do() {
    let redis = Redis::start(RedisOptions::default());
    let times = redis.dir().join("times");
    let record = ["--record", times.to_str().unwrap()];
    let celery = Celery::new(&redis.url());
    let tailback = Tailback::start_config(&quick(&redis.url()));
    // Nobody works yet. In turn: due in an hour, due in two seconds, due at once.
    celery.send("flow", 1, &["--countdown", "3600"]);
    tailback.wait_jobs("celery", "flow", "scheduled", 1);
    for _ in 0..4 {
        celery.send("flow", 5, &["--countdown", "2"]);
        celery.send("flow", 5, &record);
    }
    let (oldest, _) = celery.send("flow", 5, &record);
    std::thread::sleep(Duration::from_secs(4));
    let body = tailback.json(QUEUE);
    println!("{body}");
    let at = body["observed_timestamp_seconds"].as_f64().unwrap();
    let of = |name: &str| body[name].as_f64().unwrap();
    assert_eq!(body["jobs"]["scheduled"], 1, "{body}");
    assert_eq!(body["jobs"]["ready"], 45, "{body}");
    // Those due at once have waited longer than those that were due later.
    let least = at - oldest;
    assert!(of("latency_max_seconds") >= least, "{body}");
    assert!(of("latency_seconds") >= least - 0.5, "{body}");
    let _worker = celery.worker("flow", &["-c", "2"], redis.dir());
    tailback.wait_jobs("celery", "flow", "ready", 0);
    // The one due in an hour is held by the worker and was no start of a job that waited long.
    tailback.wait_jobs("celery", "flow", "scheduled", 1);
    let body = tailback.json(QUEUE);
    assert_eq!(body["flow"]["counts"], "exact", "{body}");
    assert_eq!(body["started_total"].as_u64(), Some(46), "{body}");
}
