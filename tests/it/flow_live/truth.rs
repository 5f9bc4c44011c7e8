//! Fan-outs through workers of which one is killed, against what the tasks themselves saw.

use super::*;
use base64::Engine as _;
use std::sync::atomic::{AtomicBool, Ordering};

/// How a fan-out is sent and worked off.
struct FanOut {
    name: &'static str,
    tasks: u32,
    /// One in so many is due only later; such a task is held by the worker, and no start of it is
    /// written down.
    due_later: Option<u32>,
    settings: Value,
    transport: Value,
}

const PROCESSES: &str = "4";

/// Most that a worker of four processes with a prefetch of four each holds, and some that it has popped.
const HELD: usize = 32;

/// Sender, worker and tailback read one clock, each a little before or after what it dates.
const CLIENT_SECS: f64 = 0.25;

/// When the message at the head was sent, as it says itself in a place that tailback does not know.
fn sent(message: &[u8]) -> f64 {
    let message: Value = serde_json::from_slice(message).unwrap();
    let body = base64::engine::general_purpose::STANDARD
        .decode(message["body"].as_str().unwrap())
        .unwrap();
    let body: Value = serde_json::from_slice(&body).unwrap();
    body[0][1].as_f64().unwrap()
}

/// What was seen while a fan-out was worked off.
struct Seen {
    /// The message at the head: when it was read, and when it was sent, if there was one.
    heads: Vec<(f64, Option<f64>)>,
    polls: Vec<Value>,
    tasks: Vec<(f64, f64)>,
}

impl FanOut {
    fn run(&self) {
        let redis = Redis::start(RedisOptions::default());
        let celery = Celery::new(&redis.url())
            .settings(&self.settings)
            .transport_options(&self.transport);
        let bounds = (0..64).map(|step| format!("{:.2}", 0.25 * 1.1_f64.powi(step)));
        let bounds: Vec<String> = bounds.collect();
        let buckets = format!("[metrics]\nwait_buckets = [{}]\n", bounds.join(", "));
        let tailback = Tailback::start_config(&(quick(&redis.url()) + &buckets));
        let seen = self.watch(&redis, &celery, &tailback);
        self.check_heads(&seen, longest_poll(&tailback));
        self.check_waits(&seen, &tailback);
    }

    fn watch(&self, redis: &Redis, celery: &Celery, tailback: &Tailback) -> Seen {
        let times = redis.dir().join("times");
        let options = ["-c", PROCESSES];
        let mut worker = celery.worker("flow", &options, redis.dir());
        tailback.wait_jobs("celery", "flow", "ready", 0);
        let recorded_lines = || fs::read_to_string(&times).map_or(0, |times| times.lines().count());
        let stop = AtomicBool::new(false);
        let (heads, polls) = std::thread::scope(|scope| {
            let heads = scope.spawn(|| heads(redis, &stop));
            let polls = scope.spawn(|| {
                let mut seen: Vec<Value> = Vec::new();
                while !stop.load(Ordering::Relaxed) {
                    seen.push(tailback.json(QUEUE));
                    std::thread::sleep(Duration::from_millis(50));
                }
                seen
            });
            let sending = scope.spawn(|| {
                let later = self.due_later.unwrap_or(0).to_string();
                let times = times.to_str().unwrap();
                let options = ["--record", times, "--work", "0.001", "--due-later", &later];
                celery.send("flow", self.tasks, &options);
            });
            // No panic in here: the threads above end only when they are told to.
            let until = now() + 240.0;
            let wait = |done: &dyn Fn() -> bool| {
                while now() < until && !done() {
                    std::thread::sleep(Duration::from_millis(100));
                }
            };
            wait(&|| recorded_lines() >= self.tasks as usize / 4);
            worker.kill();
            let _second = celery.worker("flow", &options, redis.dir());
            let expected = self.tasks as usize - self.unrecorded();
            wait(&|| {
                recorded_lines() >= expected
                    && sending.is_finished()
                    && tailback.json(QUEUE)["jobs"]["ready"] == 0
            });
            std::thread::sleep(Duration::from_secs(1));
            stop.store(true, Ordering::Relaxed);
            (heads.join().unwrap(), polls.join().unwrap())
        });
        Seen {
            heads,
            polls,
            tasks: recorded(&times),
        }
    }

    /// Tasks whose start is written down nowhere, at most. What a killed worker held may come
    /// back in an hour or never.
    fn unrecorded(&self) -> usize {
        let due_later = self.due_later.map_or(0, |each| self.tasks / each);
        due_later as usize + HELD
    }

    /// The oldest waiting task was inside the bounds at every poll.
    fn check_heads(&self, seen: &Seen, longest: f64) {
        let (mut checked, mut without_max) = (0, 0);
        for queue in &seen.polls {
            let of = |name: &str| queue[name].as_f64();
            let Some(latency) = of("latency_seconds").filter(|age| *age > 0.0) else {
                continue;
            };
            // A task that was due later says when it has become due.
            let sources = ["flow", "message"].map(Value::from);
            assert!(
                sources[..1 + usize::from(self.due_later.is_some())].contains(&queue["source"]),
                "{queue}"
            );
            let at = of("observed_timestamp_seconds").unwrap();
            let min = of("latency_min_seconds").unwrap();
            let max = of("latency_max_seconds");
            without_max += usize::from(max.is_none());
            assert_eq!(
                max.is_none(),
                queue["latency_max_unknown_reason"].is_string(),
                "{queue}"
            );
            let max = max.unwrap_or(f64::INFINITY);
            assert!(min <= latency && latency <= max, "{queue}");
            // The poll read the list at some instant before `at`.
            let around = at - longest.max(0.25)..=at + 0.05;
            let heads = seen.heads.iter().filter(|(read, _)| around.contains(read));
            let ages: Vec<f64> = heads.filter_map(|(_, sent)| Some(at - (*sent)?)).collect();
            if ages.is_empty() {
                continue;
            }
            checked += 1;
            let is_inside = |age: &f64| min - CLIENT_SECS <= *age && *age <= max + CLIENT_SECS;
            assert!(ages.iter().any(is_inside), "{queue} {ages:?}");
        }
        eprintln!(
            "{}: {checked} readings inside, {without_max} without an upper bound",
            self.name
        );
        assert!(checked > 10, "{checked} of {}", seen.polls.len());
    }

    /// Each wait is known but for the polls at either end of it, so that is all by which a quantile
    /// can be off. A wait ends when a worker takes the task, and not when it starts it; the worker
    /// holds no more than so many.
    fn check_waits(&self, seen: &Seen, tailback: &Tailback) {
        let mut polled: Vec<f64> = seen
            .polls
            .iter()
            .filter_map(|queue| queue["observed_timestamp_seconds"].as_f64())
            .collect();
        polled.dedup();
        let gaps = polled.windows(2).map(|pair| pair[1] - pair[0]);
        let doubt = 2.0 * gaps.fold(0.0, f64::max) + CLIENT_SECS;
        let (mut sent, mut started): (Vec<f64>, Vec<f64>) = seen.tasks.iter().copied().unzip();
        let mut until_start: Vec<f64> = seen.tasks.iter().map(|(a, b)| b - a).collect();
        for times in [&mut sent, &mut started, &mut until_start] {
            times.sort_by(f64::total_cmp);
        }
        let held = HELD + self.unrecorded();
        let taken = |(index, sent): (usize, &f64)| match index.checked_sub(held) {
            Some(before) => (started[before] - sent).max(0.0),
            None => 0.0,
        };
        let mut until_taken: Vec<f64> = sent.iter().enumerate().map(taken).collect();
        until_taken.sort_by(f64::total_cmp);

        let metrics = tailback.metrics();
        let name = "tailback_queue_wait_seconds";
        let labels = [("queue", "flow")];
        let all = f64::from(self.tasks);
        let counted = metrics.sum(&format!("{name}_count"), &labels);
        let few = self.unrecorded() as f64 + f64::from(self.tasks) / 200.0;
        eprintln!("{}", tailback.json(QUEUE));
        assert!((counted - all).abs() <= few, "{counted} of {all}");
        let mut buckets: Vec<(f64, f64)> = metrics
            .all(&format!("{name}_bucket"), &labels)
            .iter()
            .filter_map(|bucket| Some((bucket.labels["le"].parse().ok()?, bucket.value)))
            .collect();
        buckets.sort_by(|a, b| a.0.total_cmp(&b.0));
        let within =
            |waits: &[f64], bound: f64| waits.partition_point(|wait| *wait <= bound) as f64;
        for (bound, counted) in &buckets {
            let least = within(&until_start, bound - doubt) - few;
            let most = within(&until_taken, bound + doubt) + few;
            assert!(
                (least..=most).contains(counted),
                "{bound}: {counted}, {least} to {most}"
            );
        }
        let of = |waits: &[f64], share: f64| {
            waits[((waits.len() as f64 * share) as usize).min(waits.len() - 1)]
        };
        for share in [0.5, 0.95, 0.99] {
            let rank = share * counted;
            let index = buckets.partition_point(|(_, within)| *within < rank);
            let told = (
                index.checked_sub(1).map_or(0.0, |before| buckets[before].0),
                buckets[index].0,
            );
            let (least, most) = (of(&until_taken, share), of(&until_start, share));
            eprintln!(
                "{}: p{} between {} and {} s, truly {least:.2} to {most:.2} s",
                self.name,
                share * 100.0,
                told.0,
                told.1
            );
            assert!(
                least - doubt <= told.1 && told.0 <= most + doubt,
                "p{share}: {doubt}"
            );
        }
    }
}

fn heads(redis: &Redis, stop: &AtomicBool) -> Vec<(f64, Option<f64>)> {
    let mut connection = redis.connection();
    let mut heads = Vec::new();
    while !stop.load(Ordering::Relaxed) {
        let mut command = redis::cmd("LINDEX");
        let head: Option<Vec<u8>> = command.arg("flow").arg(-1).query(&mut connection).unwrap();
        heads.push((now(), head.map(|head| sent(&head))));
        std::thread::sleep(Duration::from_millis(3));
    }
    heads
}

#[test]
fn a_fan_out_of_20_000_waits_as_long_as_its_tasks_say_also_when_a_worker_is_killed() {
    FanOut {
        name: "early acknowledgement, prefetch 4",
        tasks: 20_000,
        due_later: Some(50),
        settings: json!({}),
        transport: json!({}),
    }
    .run();
}

#[test]
fn a_fan_out_with_late_acknowledgement_waits_as_long_as_its_tasks_say_also_when_a_worker_is_killed()
{
    FanOut {
        name: "late acknowledgement, prefetch 4",
        tasks: 5000,
        due_later: None,
        settings: json!({"task_acks_late": true}),
        transport: restoring_after(3),
    }
    .run();
}
