//! Waiting times without any timestamp, beside the truth: publishers and consumers that write down
//! when they sent and got each message.

use super::*;
use crate::support::nulls;
use crate::support::tailback::Tailback;
use std::sync::{Arc, Mutex};
use std::thread::{JoinHandle, sleep};
use tailback::model::flow::Span;
use tailback::model::{BrokerKind, BrokerState, Counters, Latency, QueueSnapshot, Reason, Report};

/// How far what a client and what the broker takes for the time of an event may be apart.
const CLIENT_SECS: f64 = 0.15;

/// When messages were sent, and when the oldest of them was taken; in seconds of the Unix epoch.
#[derive(Default)]
pub(super) struct Truth {
    pub(super) sent: Vec<f64>,
    pub(super) taken: Vec<f64>,
}

impl Truth {
    /// The age of the oldest waiting message at a time.
    fn head_age(&self, at: f64) -> f64 {
        let head = self.taken.partition_point(|taken| *taken <= at);
        self.sent.get(head).map_or(0.0, |sent| (at - sent).max(0.0))
    }
}

pub(super) fn unix() -> f64 {
    now().as_secs_f64()
}

/// Sends with pauses drawn from `gaps` and takes with pauses of `work`, for so long.
fn traffic(
    url: &str,
    queue: &'static str,
    gaps: fn(f64) -> Duration,
    work: Duration,
    lasting: Duration,
) -> (Arc<Mutex<Truth>>, Vec<JoinHandle<()>>) {
    let truth = Arc::new(Mutex::new(Truth::default()));
    let until = Instant::now() + lasting;
    let (url_a, url_b) = (url.to_owned(), url.to_owned());
    let (sent, taken) = (Arc::clone(&truth), Arc::clone(&truth));
    let send = std::thread::spawn(move || {
        let (client, start) = (Client::new(&url_a), Instant::now());
        while Instant::now() < until {
            let at = unix();
            client.publish(queue, 1, None);
            sent.lock().unwrap().sent.push(at);
            sleep(gaps(start.elapsed().as_secs_f64()));
        }
    });
    let take = std::thread::spawn(move || {
        let client = Client::new(&url_b);
        while Instant::now() < until {
            let get = client
                .channel
                .basic_get(queue.into(), BasicGetOptions::default());
            match client.runtime.block_on(get).unwrap() {
                Some(message) => {
                    taken.lock().unwrap().taken.push(unix());
                    sleep(work);
                    client.ack(message.delivery_tag);
                }
                None => sleep(Duration::from_millis(20)),
            }
        }
    });
    (truth, vec![send, take])
}

/// A poller with the memory that the store has.
pub(super) struct Watch {
    poller: Poller,
    state: BrokerState,
}

impl Watch {
    pub(super) fn new(rabbit: &RabbitMq, vhost: &str) -> Self {
        Self::with(rabbit, vhost, "")
    }

    /// `keys` are as for [`Poller::of`].
    pub(super) fn with(rabbit: &RabbitMq, vhost: &str, keys: &str) -> Self {
        let interval = Duration::from_secs(5);
        let state = BrokerState::new("r".into(), BrokerKind::RabbitMq, interval, 3 * interval);
        let mut poller = Poller::of(rabbit, vhost, keys);
        poller.discover().unwrap();
        Self { poller, state }
    }

    /// Counts waits in buckets with these upper bounds.
    pub(super) fn counting_in(mut self, buckets: &Arc<[f64]>) -> Self {
        self.state = self.state.with_wait_buckets(Arc::clone(buckets));
        self
    }

    /// One poll: each queue with the time that it tells of.
    pub(super) fn poll(&mut self) -> Vec<(QueueSnapshot, Option<Span>)> {
        let outcome = self.poller.poll();
        let spans: Vec<_> = outcome
            .iter()
            .flat_map(|success| &success.observations)
            .map(|seen| {
                (
                    Arc::clone(&seen.queue),
                    seen.flow.as_ref().map(|flow| flow.span),
                )
            })
            .collect();
        self.state.apply(Report {
            broker: "r".into(),
            at: tailback::clock::now(),
            interval: Duration::from_secs(5),
            cost: Default::default(),
            outcome: outcome.map_err(Into::into),
        });
        let snapshot = self.state.snapshot();
        for queue in snapshot.queues.iter() {
            if let (Some(flow), Some(started)) = (&queue.flow, queue.counters.started) {
                // Each start has a known wait or is known to have none, whatever has happened.
                let waits = flow.waits.as_ref().map_or(0, |waits| waits.count());
                let totals = flow.totals;
                let name = &queue.queue;
                assert_eq!(waits + totals.censored, started, "{name}: {totals:?}");
                assert!(totals.late <= started, "{name}: {totals:?} {started}");
            }
        }
        let queues = snapshot.queues.iter();
        queues
            .map(|queue| {
                let span = spans.iter().find(|(name, _)| *name == queue.queue);
                (queue.clone(), span.and_then(|(_, span)| *span))
            })
            .collect()
    }
}

/// What a run of comparisons came to.
#[derive(Default)]
pub(super) struct Score {
    pub(super) polls: usize,
    pub(super) outside: usize,
    unbounded: usize,
    unknown: usize,
    errors: Vec<f64>,
    widths: Vec<f64>,
}

impl Score {
    pub(super) fn add(&mut self, truth: &Truth, latency: Latency, span: Span, polled: f64) {
        // The broker notes its counters somewhere in this span.
        let steps = ((span.to - span.from) / 0.02) as usize;
        let ages: Vec<f64> = (0..=steps)
            .map(|step| truth.head_age(span.from + step as f64 * 0.02))
            .collect();
        let middle = truth.head_age(span.to - 0.8);
        let (min, estimate, max) = match latency {
            Latency::Empty => (0.0, 0.0, Some(0.0)),
            Latency::Known { age, .. } => (
                age.min.as_secs_f64(),
                age.estimate.as_secs_f64(),
                age.max.map(|max| max.as_secs_f64()),
            ),
            // No statement, so none that is wrong: where a worker was killed.
            Latency::Unknown(Reason::PutBack) => {
                self.unknown += 1;
                return;
            }
            Latency::Unknown(reason) => panic!("{reason:?}"),
        };
        self.polls += 1;
        let upper = max.unwrap_or(f64::MAX) + CLIENT_SECS;
        let holds = |age: &f64| min - CLIENT_SECS <= *age && *age <= upper;
        let now = truth.head_age(polled);
        let is_late = latency != Latency::Empty && now > upper;
        if !ages.iter().any(holds) || is_late {
            self.outside += 1;
            eprintln!("outside: {min}..{max:?}, truth {middle} then, {now} now, {span:?}");
        }
        self.unbounded += usize::from(max.is_none());
        self.widths.extend(max.map(|max| max - min));
        self.errors.push((estimate - middle).abs());
    }

    pub(super) fn print(&mut self, what: &str) {
        let median = |values: &mut Vec<f64>| {
            values.sort_by(f64::total_cmp);
            values.get(values.len() / 2).copied().unwrap_or(0.0)
        };
        let p95 = self.errors.len() * 95 / 100;
        let (error, width) = (median(&mut self.errors), median(&mut self.widths));
        eprintln!(
            "{what}: {} polls, {} outside, {} without upper bound, {} more unknown, error of the \
             estimate: median {error:.2} s, p95 {:.2} s; bounds {width:.1} s apart",
            self.polls, self.outside, self.unbounded, self.unknown, self.errors[p95]
        );
    }
}

#[test]
fn the_age_of_the_head_is_within_its_bounds_without_a_timestamp() {
    const LASTING: Duration = Duration::from_secs(75);
    let rabbit = RabbitMq::shared();
    let vhost = rabbit.vhost();
    rabbit.declare(&vhost, "classic", &json!({}));
    rabbit.declare(&vhost, "quorum", &json!({"x-queue-type": "quorum"}));
    let url = rabbit.url(&vhost);
    // More than is taken for 35 s, then less.
    let gaps = |secs: f64| Duration::from_millis(if secs < 35.0 { 45 } else { 250 });
    let work = Duration::from_millis(75);
    let mut watch = Watch::new(rabbit, &vhost);
    // The second watcher begins in the middle and learns the past.
    let mut late = None;
    let runs: Vec<_> = ["classic", "quorum"]
        .into_iter()
        .map(|queue| (queue, traffic(&url, queue, gaps, work, LASTING)))
        .collect();
    let start = Instant::now();
    let mut seen = Vec::new();
    while start.elapsed() < LASTING {
        seen.extend(watch.poll().into_iter().map(|one| ("early", unix(), one)));
        if start.elapsed() > Duration::from_secs(30) {
            let late = late.get_or_insert_with(|| Watch::new(rabbit, &vhost));
            seen.extend(late.poll().into_iter().map(|one| ("late", unix(), one)));
        }
        sleep(Duration::from_millis(2500));
    }
    for (queue, (truth, threads)) in runs {
        for thread in threads {
            thread.join().unwrap();
        }
        let truth = truth.lock().unwrap();
        for watcher in ["early", "late"] {
            let mut score = Score::default();
            for (_, polled, (snapshot, span)) in seen
                .iter()
                .filter(|(who, _, (snapshot, _))| *who == watcher && &*snapshot.queue == queue)
            {
                if let Some(span) = span {
                    score.add(&truth, snapshot.latency, *span, *polled);
                }
            }
            score.print(&format!(
                "{queue}, {watcher}, {} messages",
                truth.sent.len()
            ));
            assert_eq!(score.outside, 0, "{queue} {watcher}");
            assert!(score.polls >= 10, "{queue} {watcher}");
        }
    }
}

#[test]
fn a_purge_and_a_restart_leave_no_wrong_age_behind() {
    let mut rabbit = RabbitMq::start(RabbitMqOptions::default());
    let vhost = rabbit.vhost();
    for (queue, kind) in [("classic", "classic"), ("quorum", "quorum")] {
        rabbit.declare(&vhost, queue, &json!({"x-queue-type": kind}));
    }
    let send = |rabbit: &RabbitMq, times| {
        let client = Client::new(&rabbit.url(&vhost));
        for queue in ["classic", "quorum"] {
            client.publish(queue, times, None);
        }
    };
    let mut watch = Watch::new(&rabbit, &vhost);
    let mut until = |what: &str, rabbit: &RabbitMq, is: &dyn Fn(Latency) -> bool| {
        let (start, mut last) = (Instant::now(), Vec::new());
        while start.elapsed() < Duration::from_secs(60) {
            last = watch.poll();
            if last.len() == 2 && last.iter().all(|(queue, _)| is(queue.latency)) {
                eprintln!("{what}: after {:.0?}", start.elapsed());
                return;
            }
            sleep(Duration::from_millis(2500));
        }
        panic!("{what}: {last:#?} {}", rabbit.log().len());
    };
    let secs = |duration: Duration| duration.as_secs_f64();
    let start = Instant::now();
    send(&rabbit, 50);
    until("a backlog has both bounds", &rabbit, &|latency| {
        let age = start.elapsed().as_secs_f64();
        matches!(latency, Latency::Known { age: seen, .. } if secs(seen.min) > 8.0
            && secs(seen.min) <= age && seen.max.is_some_and(|max| secs(max) >= age - 8.0))
    });
    for queue in ["classic", "quorum"] {
        let path = format!("/api/queues/{vhost}/{queue}/contents");
        rabbit.api("DELETE", &path, None);
    }
    until("a purged queue is empty", &rabbit, &|latency| {
        latency == Latency::Empty
    });
    let start = Instant::now();
    send(&rabbit, 20);
    until("what came after a purge is new", &rabbit, &|latency| {
        let age = start.elapsed().as_secs_f64();
        matches!(latency, Latency::Known { age: seen, .. } if secs(seen.min) > 3.0
            && secs(seen.min) <= age && seen.max.is_some_and(|max| secs(max) < age + 25.0))
    });
    rabbit.kill();
    rabbit.restart();
    until(
        "after a restart there is a lower bound",
        &rabbit,
        &|latency| {
            let age = start.elapsed();
            matches!(latency, Latency::Known { age: seen, .. } if seen.max.is_none_or(|max| max >= age)
            && secs(seen.min) > 3.0 && seen.min <= age)
        },
    );
}

#[test]
fn without_counters_nothing_is_made_up() {
    let rabbit = RabbitMq::start(RabbitMqOptions {
        config: vec!["management.rates_mode = none".to_owned()],
        ..RabbitMqOptions::default()
    });
    let vhost = rabbit.vhost();
    rabbit.declare(&vhost, "q", &json!({}));
    let client = Client::new(&rabbit.url(&vhost));
    client.publish("q", 4, None);
    client.ack(client.take("q"));
    let mut poller = Poller::of(&rabbit, &vhost, "");
    let seen = poller.await_queue("q", |seen| seen.jobs.ready == Some(3));
    assert_eq!(
        (seen.flow, seen.head, seen.counters),
        (None, Head::Unknown(Reason::NotCounted), Counters::default())
    );
    assert_eq!(seen.counters, Counters::default());
    let tailback = Tailback::start_config(&format!(
        "[brokers.main.rabbitmq]\nurl = '{}'\n{}\n",
        rabbit.url(&vhost),
        management_of(&rabbit)
    ));
    tailback.wait_jobs("rabbitmq", "q", "ready", 3);
    let body = tailback.json("/api/v1/queues/main/rabbitmq/q");
    let reasons = nulls::reasons(&body);
    for path in [
        "enqueued_total",
        "finished_total",
        "demand.arrivals_per_second",
        "flow",
    ] {
        let reason = reasons.get(path).map_or("not null", String::as_str);
        assert!(reason.contains("rates_mode"), "{path}: {reason}: {body}");
    }
}
