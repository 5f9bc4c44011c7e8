use super::*;
use crate::clock;
use crate::model::{Head, Timestamp, Window};

const SECOND: Duration = Duration::from_secs(1);

struct Broker {
    state: BrokerState,
    at: Now,
}

impl Broker {
    fn new() -> Self {
        let name = "main".into();
        Self {
            state: BrokerState::new(name, BrokerKind::Redis, SECOND, 3 * SECOND),
            at: clock::now(),
        }
    }

    fn poll(&mut self, after: u32, outcome: Result<PollSuccess, PollFailure>) {
        self.at.mono += SECOND * after;
        self.state.apply(Report {
            broker: "main".into(),
            at: self.at,
            interval: SECOND,
            cost: Cost::default(),
            outcome,
        });
    }

    /// A poll a second later that reads some queues and keeps others.
    fn read(&mut self, read: &[(&str, u64)], kept: &[&str], kept_interval: u32) {
        let observation = |(queue, ready): &(&str, u64)| {
            let at = Timestamp::from_micros(0);
            let window = Window { from: at, to: at };
            let mut seen = Observation::new(System::Celery, (*queue).into(), window);
            seen.jobs.ready = Some(*ready);
            seen.head = Head::Empty;
            seen.counters.enqueued = Some(*ready);
            seen
        };
        let success = PollSuccess {
            observations: read.iter().map(observation).collect(),
            kept: kept
                .iter()
                .map(|queue| (System::Celery, (*queue).into()))
                .collect(),
            kept_interval: SECOND * kept_interval,
            ..PollSuccess::default()
        };
        self.poll(1, Ok(success));
    }

    /// What is shown: the queues, their jobs, and how old that is.
    fn shown(&self, later: u32) -> Vec<(String, u64, u64)> {
        let mut now = self.at;
        now.mono += SECOND * later;
        let snapshot = self.state.snapshot();
        let shown = snapshot.fresh_queues(now).map(|queue| {
            let age = now.mono - queue.observed.mono;
            let ready = queue.jobs.ready.unwrap();
            (queue.queue.to_string(), ready, age.as_secs())
        });
        shown.collect()
    }
}

fn row(queue: &str, ready: u64, age: u64) -> (String, u64, u64) {
    (queue.to_owned(), ready, age)
}

#[test]
fn a_queue_that_is_not_due_keeps_its_observation_and_its_age() {
    let mut broker = Broker::new();
    broker.read(&[("a", 1), ("b", 0)], &[], 1);
    broker.read(&[("a", 2)], &["b"], 4);
    broker.read(&[("a", 3)], &["b"], 4);
    assert_eq!(broker.shown(0), [row("a", 3, 0), row("b", 0, 2)]);
    let intervals = |broker: &Broker| {
        let queues = broker.state.snapshot().queues;
        queues
            .iter()
            .map(|queue| queue.interval)
            .collect::<Vec<_>>()
    };
    assert_eq!(intervals(&broker), [SECOND, 4 * SECOND]);
    broker.read(&[("b", 7)], &["a"], 4);
    assert_eq!(broker.shown(0), [row("a", 3, 1), row("b", 7, 0)]);
    assert_eq!(intervals(&broker), [4 * SECOND, SECOND]);
}

#[test]
fn a_queue_is_stale_by_its_own_age_though_its_broker_is_fresh() {
    let mut broker = Broker::new();
    broker.read(&[("a", 1), ("b", 0)], &[], 1);
    for _ in 0..8 {
        broker.read(&[("a", 1)], &["b"], 4);
    }
    assert_eq!(broker.shown(0), [row("a", 1, 0), row("b", 0, 8)]);
    // Two of its intervals.
    broker.read(&[("a", 1)], &["b"], 4);
    assert_eq!(broker.shown(0), [row("a", 1, 0)]);
    broker.read(&[("b", 5)], &["a"], 4);
    assert_eq!(broker.shown(0), [row("a", 1, 1), row("b", 5, 0)]);
}

#[test]
fn without_its_broker_no_queue_is_shown_however_long_its_interval() {
    let mut broker = Broker::new();
    broker.read(&[("a", 1), ("b", 0)], &[], 1);
    broker.read(&[("a", 1)], &["b"], 15);
    let failure = PollFailure {
        kind: ErrorKind::Connect,
        message: "refused".to_owned(),
    };
    broker.poll(1, Err(failure));
    assert_eq!(broker.shown(0), [row("a", 1, 1), row("b", 0, 2)]);
    assert_eq!(broker.shown(3), []);
}

#[test]
fn a_queue_neither_read_nor_kept_is_gone_and_counts_go_on_over_gaps() {
    let mut broker = Broker::new();
    broker.read(&[("a", 3), ("b", 4)], &[], 1);
    broker.read(&[], &["a", "b"], 2);
    broker.read(&[("a", 5)], &[], 2);
    assert_eq!(broker.shown(0), [row("a", 5, 0)]);
    let enqueued = |broker: &Broker| broker.state.snapshot().queues[0].counters.enqueued;
    assert_eq!(enqueued(&broker), Some(5));
    // Back again, after it was forgotten: nothing to keep.
    broker.read(&[("a", 5)], &["b"], 2);
    assert_eq!(broker.shown(0), [row("a", 5, 0)]);
}

#[test]
fn a_broker_that_stops_counting_for_a_while_makes_no_total_jump() {
    use crate::model::flow::{Arrivals, FlowSample, LineHead, LineSample, Span};
    let mut broker = Broker::new();
    let mut poll = |secs: f64, total: u64, enqueued: Option<u64>| {
        let at = Timestamp::from_micros((secs * 1e6) as i64);
        let mut seen = Observation::new(System::RabbitMq, "q".into(), Window { from: at, to: at });
        seen.counters.enqueued = enqueued;
        seen.flow = enqueued.map(|_| FlowSample {
            span: Span {
                from: secs,
                to: secs,
            },
            lines: vec![LineSample {
                line: 0,
                ready: 5,
                arrivals: Arrivals {
                    total,
                    ..Arrivals::default()
                },
                started: None,
                head: LineHead::PLAIN,
            }],
        });
        let success = PollSuccess {
            observations: vec![seen],
            ..PollSuccess::default()
        };
        broker.poll(1, Ok(success));
        broker.state.snapshot().queues[0].counters.enqueued
    };
    assert_eq!(poll(1.0, 5, Some(1_000_000)), Some(1_000_000));
    assert_eq!(poll(2.0, 8, Some(1_000_003)), Some(1_000_003));
    assert_eq!(poll(3.0, 8, None), None);
    assert_eq!(poll(4.0, 9, Some(1_000_004)), Some(1_000_004));
}
