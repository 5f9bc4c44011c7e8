//! What a real broker does to queues without counting it: expiry, drops, dead-lettering, requeueing,
//! consumers that never acknowledge, and a restart.

use super::flow::{Watch, unix};
use super::*;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, OnceLock};
use std::thread::sleep;
use tailback::model::{Latency, QueueSnapshot};

/// A depth is up to so old, and with it what is known of what is not counted.
const DEPTH_SECS: f64 = 11.0;
/// How far what a client and what the broker takes for the time of an event may be apart.
const CLIENT_SECS: f64 = 0.4;

/// When messages were sent to a queue, and since when its oldest one waits, at any time.
type Sent = Arc<Mutex<Vec<f64>>>;

/// Sends with pauses until told to stop.
fn send(url: &str, queue: &'static str, pause: Duration, until: Instant) -> Sent {
    let (sent, url) = (Sent::default(), url.to_owned());
    let log = Arc::clone(&sent);
    std::thread::spawn(move || {
        let client = Client::new(&url);
        while Instant::now() < until {
            let at = unix();
            client.publish(queue, 1, None);
            log.lock().unwrap().push(at);
            sleep(pause);
        }
    });
    sent
}

/// Polls and compares until then: a queue's oldest message waits since what `since` says of a time.
struct Comparison {
    polls: usize,
    widest: f64,
    unbounded: usize,
    errors: Vec<f64>,
}

impl Comparison {
    fn new() -> Self {
        Self {
            polls: 0,
            widest: 0.0,
            unbounded: 0,
            errors: Vec::new(),
        }
    }

    fn add(&mut self, queue: &QueueSnapshot, polled: f64, age: impl Fn(f64) -> f64) {
        let (min, estimate, max) = match queue.latency {
            Latency::Empty => (0.0, 0.0, Some(0.0)),
            Latency::Known { age, .. } => (
                age.min.as_secs_f64(),
                age.estimate.as_secs_f64(),
                age.max.map(|max| max.as_secs_f64()),
            ),
            Latency::Unknown(_) => return,
        };
        let now = age(polled);
        let lately = (0..=110).map(|back| age(polled - f64::from(back) * DEPTH_SECS / 110.0));
        let least = lately.fold(f64::MAX, f64::min);
        let name = &queue.queue;
        assert!(
            min <= now.max(least + DEPTH_SECS) + CLIENT_SECS,
            "{name}: at least {min}, truly {now}"
        );
        let is_high_enough = max.is_none_or(|max| max + CLIENT_SECS >= now);
        // A depth of 0 may be as old.
        let was_empty = queue.latency == Latency::Empty && least < DEPTH_SECS;
        assert!(
            is_high_enough || was_empty,
            "{name}: at most {max:?}, truly {now}"
        );
        self.polls += 1;
        self.unbounded += usize::from(max.is_none());
        self.widest = self.widest.max(max.map_or(0.0, |max| max - min));
        self.errors.push((estimate - now).abs());
    }

    fn print(&mut self, what: &str) {
        self.errors.sort_by(f64::total_cmp);
        let at = |share: usize| self.errors[self.errors.len() * share / 100];
        eprintln!(
            "{what}: {} polls, {} without upper bound, bounds at most {:.1} s apart, error now: \
             median {:.1} s, p95 {:.1} s",
            self.polls,
            self.unbounded,
            self.widest,
            at(50),
            at(95)
        );
    }
}

#[test]
fn what_nobody_counts_leaves_the_bounds_true() {
    let rabbit = RabbitMq::shared();
    let vhost = rabbit.vhost();
    let url = rabbit.url(&vhost);
    let quorum = "x-queue-type";
    for (queue, arguments) in [
        ("ttl", json!({"x-message-ttl": 8000})),
        (
            "ttl-quorum",
            json!({"x-message-ttl": 8000, quorum: "quorum"}),
        ),
        ("full", json!({"x-max-length": 30})),
        ("full-quorum", json!({"x-max-length": 30, quorum: "quorum"})),
        (
            "source",
            json!({"x-message-ttl": 1000, "x-dead-letter-exchange": "", "x-dead-letter-routing-key": "dead"}),
        ),
        ("dead", json!({})),
        ("auto", json!({})),
        ("back", json!({})),
    ] {
        rabbit.declare(&vhost, queue, &arguments);
    }
    let mut watch = Watch::new(rabbit, &vhost);
    // A queue is known to be empty when it has been so for some time.
    for _ in 0..10 {
        watch.poll();
        sleep(Duration::from_millis(2500));
    }
    let until = Instant::now() + Duration::from_secs(70);
    let pause = Duration::from_millis(100);
    let mut sent: HashMap<&str, Sent> = HashMap::new();
    for queue in ["ttl", "ttl-quorum", "full", "full-quorum", "auto"] {
        sent.insert(queue, send(&url, queue, pause, until));
    }
    sent.insert("source", send(&url, "source", 10 * pause, until));
    sent.insert("back", send(&url, "back", 20 * pause, until));
    let taken = Sent::default();
    let (log, address) = (Arc::clone(&taken), url.clone());
    let auto = std::thread::spawn(move || {
        let client = Client::new(&address);
        while Instant::now() < until {
            let options = BasicGetOptions { no_ack: true };
            let get = client.channel.basic_get("auto".into(), options);
            if client.runtime.block_on(get).unwrap().is_some() {
                log.lock().unwrap().push(unix());
            }
            sleep(Duration::from_millis(120));
        }
    });
    let address = url.clone();
    let put_back = Arc::new(OnceLock::new());
    let first_back = Arc::clone(&put_back);
    let back = std::thread::spawn(move || {
        let client = Client::new(&address);
        sleep(Duration::from_secs(4));
        while Instant::now() < until {
            let tag = client.take("back");
            sleep(Duration::from_millis(700));
            client.requeue(tag);
            first_back.get_or_init(unix);
            sleep(Duration::from_millis(700));
        }
    });

    let mut comparisons: HashMap<String, Comparison> = HashMap::new();
    let mut totals: HashMap<String, [u64; 3]> = HashMap::new();
    while Instant::now() < until {
        for (queue, _) in watch.poll() {
            let polled = unix();
            let name = queue.queue.to_string();
            let counters = queue.counters;
            let seen = [counters.enqueued, counters.started, counters.finished]
                .map(|count| count.unwrap_or(0));
            let before = totals.insert(name.clone(), seen).unwrap_or_default();
            assert!(before.iter().zip(seen).all(|(a, b)| *a <= b), "{name}");
            let times = |queue: &str| sent[queue].lock().unwrap().clone();
            let age =
                |since: Option<&f64>, at: f64| since.map_or(0.0, |since| (at - since).max(0.0));
            let comparison = comparisons
                .entry(name.clone())
                .or_insert_with(Comparison::new);
            match name.as_str() {
                "ttl" | "ttl-quorum" => {
                    let times = times(&name);
                    comparison.add(&queue, polled, |at| {
                        let head = times.partition_point(|sent| *sent < at - 8.0);
                        age(times.get(head), at)
                    });
                }
                "full" | "full-quorum" => {
                    let times = times(&name);
                    comparison.add(&queue, polled, |at| {
                        let come = times.partition_point(|sent| *sent <= at);
                        age(times.get(come.saturating_sub(30)), at)
                    });
                }
                "dead" => {
                    let times = times("source");
                    comparison.add(&queue, polled, |at| (age(times.first(), at) - 1.0).max(0.0));
                }
                "back" => {
                    // That any are put back shows once the first one has been for some time.
                    let times = times("back");
                    let is_shown = |back: &f64| polled - back > DEPTH_SECS;
                    if put_back.get().is_some_and(is_shown) {
                        // It is sometimes held, and the second is at the head.
                        comparison.add(&queue, polled, |at| age(times.first(), at));
                    }
                }
                "auto" => {
                    let (times, taken) = (times("auto"), taken.lock().unwrap().clone());
                    comparison.add(&queue, polled, |at| {
                        let head = taken.partition_point(|taken| *taken <= at);
                        age(times.get(head), at)
                    });
                }
                _ => {}
            }
        }
        sleep(Duration::from_millis(2500));
    }
    auto.join().unwrap();
    back.join().unwrap();
    for (name, comparison) in &mut comparisons {
        if comparison.polls > 0 {
            comparison.print(name);
        }
    }
    let polls = |name: &str| comparisons[name].polls;
    for name in ["ttl", "full", "dead", "back", "auto"] {
        assert!(polls(name) > 10, "{name}");
    }
    // A consumer that never acknowledges is counted all the same.
    let taken = taken.lock().unwrap().len() as u64;
    let [_, started, finished] = totals["auto"];
    assert_eq!(started, finished);
    assert!(
        started <= taken && started + 150 > taken,
        "{started} {taken}"
    );
}

#[test]
fn a_restart_of_the_broker_neither_takes_totals_back_nor_makes_them_jump() {
    let mut rabbit = RabbitMq::start(RabbitMqOptions::default());
    let vhost = rabbit.vhost();
    for (queue, kind) in [("classic", "classic"), ("quorum", "quorum")] {
        rabbit.declare(&vhost, queue, &json!({"x-queue-type": kind}));
    }
    let mut watch = Watch::new(&rabbit, &vhost);
    let mut last: HashMap<String, [u64; 4]> = HashMap::new();
    let mut until = |what: &str, wanted: [u64; 3]| {
        let start = Instant::now();
        while start.elapsed() < Duration::from_secs(60) {
            let seen = watch.poll();
            for (queue, _) in &seen {
                let waits = queue.flow.as_ref().and_then(|flow| flow.waits.as_ref());
                let counters = queue.counters;
                // Absent until the broker counts again.
                let Some(enqueued) = counters.enqueued else {
                    continue;
                };
                let now = [
                    enqueued,
                    counters.started.unwrap(),
                    counters.finished.unwrap(),
                    waits.map_or(0, |waits| waits.count()),
                ];
                let before = last
                    .insert(queue.queue.to_string(), now)
                    .unwrap_or_default();
                let name = &queue.queue;
                assert!(
                    before.iter().zip(now).all(|(a, b)| *a <= b),
                    "{name}: {before:?} {now:?}"
                );
                assert!(
                    now.iter().zip(wanted).all(|(a, b)| *a <= b),
                    "{name}: {now:?}"
                );
                assert!(now[3] <= wanted[1], "{name}: {now:?}");
            }
            // What a classic queue held at a restart is never delivered for the first time.
            let is_done = |(queue, now): (&String, &[u64; 4])| {
                let [enqueued, started, finished, _] = *now;
                [enqueued, finished] == [wanted[0], wanted[2]]
                    && (queue == "classic" || started == wanted[1])
            };
            if last.len() == 2 && last.iter().all(is_done) {
                eprintln!("{what}: after {:.0?}, {last:?}", start.elapsed());
                return;
            }
            sleep(Duration::from_millis(1000));
        }
        panic!("{what}: {last:?}");
    };
    let work = |rabbit: &RabbitMq, sent: u32, done: usize| {
        let client = Client::new(&rabbit.url(&vhost));
        for queue in ["classic", "quorum"] {
            client.publish(queue, sent, None);
            for _ in 0..done {
                client.ack(client.take(queue));
            }
        }
    };
    work(&rabbit, 50, 10);
    until("before", [50, 10, 10]);
    rabbit.kill();
    rabbit.restart();
    // The counters begin again, at less than before.
    work(&rabbit, 7, 3);
    until("after a restart", [57, 13, 13]);
    rabbit.kill();
    rabbit.restart();
    // And at more, which nobody can tell from going on: the 7 and 3 of before are taken for some of
    // these.
    work(&rabbit, 70, 20);
    until("after another", [120, 30, 30]);
}
