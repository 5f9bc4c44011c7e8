//! Every kind of queue that RabbitMQ has, in the same situation: ten messages, consumers that hold
//! some of them, one that was given back.

use super::*;
use lapin::options::QueueDeclareOptions;

/// When its messages were sent, as they say themselves.
const SENT: u64 = 1_700_000_000;

/// Whether the broker tells the time of the oldest message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Timed {
    Always,
    /// It does not look on the disk for it.
    InMemory,
    Never,
}

/// What makes a queue of each kind.
fn kinds() -> [(&'static str, serde_json::Value, Timed); 6] {
    [
        ("v1", json!({"x-queue-version": 1}), Timed::Always),
        ("v2", json!({"x-queue-version": 2}), Timed::Always),
        ("lazy", json!({"x-queue-mode": "lazy"}), Timed::InMemory),
        ("priority", json!({"x-max-priority": 5}), Timed::Never),
        ("quorum", json!({"x-queue-type": "quorum"}), Timed::Never),
        (
            "single",
            json!({"x-single-active-consumer": true}),
            Timed::Always,
        ),
    ]
}

#[test]
fn every_kind_of_queue_tells_what_it_holds_and_for_whom() {
    let rabbit = RabbitMq::shared();
    let vhost = rabbit.vhost();
    let mut poller = Poller::of(rabbit, &vhost, "internal_queues = true");
    let client = Client::new(&rabbit.url(&vhost));
    for (queue, arguments, _) in kinds() {
        rabbit.declare(&vhost, queue, &arguments);
    }
    let exclusive = QueueDeclareOptions {
        exclusive: true,
        ..QueueDeclareOptions::default()
    };
    let declaring =
        client
            .channel
            .queue_declare("exclusive".into(), exclusive, FieldTable::default());
    client.runtime.block_on(declaring).unwrap();
    let all = kinds().map(|(queue, _, timed)| (queue, timed));
    let all: Vec<_> = (all.into_iter().chain([("exclusive", Timed::Always)])).collect();
    for (queue, _) in &all {
        client.publish(queue, 10, Some(SENT));
        client.requeue(client.take(queue));
    }
    let earliest = Timestamp::from_micros(1_000_000 * i64::try_from(SENT).unwrap());
    for (queue, timed) in &all {
        let waiting = poller.await_queue(queue, |seen| {
            (seen.jobs.ready, seen.counters.redelivered) == (Some(10), Some(0))
                && seen.counters.started == Some(1)
                && seen.jobs.in_progress == Some(0)
                // These are told apart from the depth, and later.
                && seen.consumers == Some(0)
                && (*timed != Timed::Always || matches!(seen.head, Head::Since { .. }))
        });
        assert_eq!(waiting.consumer_capacity, None, "{queue}");
        match (timed, waiting.head) {
            (Timed::Always | Timed::InMemory, Head::Since { earliest: seen, .. }) => {
                assert_eq!(seen, earliest, "{queue}");
            }
            (Timed::Never | Timed::InMemory, Head::Unknown(Reason::NoTimestamp)) => {}
            (_, head) => panic!("{queue}: {head:?}"),
        }
        assert!(waiting.flow.is_some(), "{queue}");
    }

    // Two consumers, each of which holds three and takes no more.
    let clients = [(); 2].map(|()| Client::new(&rabbit.url(&vhost)));
    let mut consumers = Vec::new();
    for (queue, _) in &all {
        for other in &clients {
            let client = match *queue {
                "exclusive" => &client,
                _ => other,
            };
            consumers.push(client.consume(queue, 3));
        }
    }
    for (queue, timed) in &all {
        // Of a queue with a single active consumer the other one waits.
        let held = if *queue == "single" { 3 } else { 6 };
        // A quorum queue of 3.10 puts what is given back behind the others.
        let again = u64::from(*queue != "quorum");
        let held = poller.await_queue(queue, |seen| {
            seen.jobs.in_progress == Some(held)
                && seen.jobs.ready == Some(10 - held)
                && seen.consumers == Some(2)
                && seen.counters.redelivered == Some(again)
                && (*queue == "quorum" || seen.consumer_capacity.is_some_and(|share| share < 0.1))
        });
        let different = held.jobs.in_progress.map(|held| held + 1 - again);
        assert_eq!(held.counters.started, different, "{queue}: once each");
        assert_eq!(held.counters.finished, Some(0), "{queue}");
        // Nothing can be handed out any more. Of a quorum queue the broker still says that anything
        // could at any time, so that it is not believed.
        match (*queue, held.consumer_capacity) {
            ("quorum", None) => {}
            (_, Some(capacity)) => assert!(capacity < 0.1, "{queue}: {capacity}"),
            (_, None) => panic!("{queue}: no capacity"),
        }
        // What is held has a time too, so that this is no time of waiting.
        match (timed, held.head) {
            (Timed::Always | Timed::InMemory, Head::Unknown(Reason::IncludesUnacknowledged))
            | (Timed::Never | Timed::InMemory, Head::Unknown(Reason::NoTimestamp)) => {}
            (_, head) => panic!("{queue}: {head:?}"),
        }
    }
    drop(consumers);
    assert!(names(&poller.poll().unwrap()).contains(&"exclusive"));
    // A client's own queue holds no jobs, as far as anybody knows.
    let mut poller = Poller::of(rabbit, &vhost, "");
    assert!(!names(&poller.poll().unwrap()).contains(&"exclusive"));
}

#[test]
fn a_stream_says_what_came_and_not_what_waits() {
    let rabbit = RabbitMq::shared();
    let vhost = rabbit.vhost();
    rabbit.declare(&vhost, "log", &json!({"x-queue-type": "stream"}));
    let client = Client::new(&rabbit.url(&vhost));
    client.publish("log", 10, Some(SENT));
    let mut poller = Poller::of(rabbit, &vhost, "declare = [\"log\"]");
    let unread = poller.await_queue("log", |seen| seen.counters.enqueued == Some(10));
    let reader = client.consume("log", 100);
    let read = poller.await_queue("log", |seen| seen.consumers == Some(1));
    for seen in [unread, read] {
        // Ten entries are kept before and after they have been read.
        assert_eq!(seen.jobs, Default::default());
        assert_eq!(seen.head, Head::Unknown(Reason::NoTimestamp));
        let counters = seen.counters;
        assert_eq!(
            (counters.started, counters.finished, seen.consumer_capacity),
            (None, None, None)
        );
        assert_eq!(seen.flow, None);
    }
    drop(reader);
}

#[test]
fn a_time_in_milliseconds_is_the_same_time() {
    let rabbit = RabbitMq::shared();
    let vhost = rabbit.vhost();
    rabbit.declare(&vhost, "q", &json!({}));
    Client::new(&rabbit.url(&vhost)).publish("q", 1, Some(SENT * 1000));
    let mut poller = Poller::of(rabbit, &vhost, "");
    let seen = poller.await_queue("q", |seen| matches!(seen.head, Head::Since { .. }));
    let Head::Since { earliest, .. } = seen.head else {
        unreachable!()
    };
    assert_eq!(earliest.micros(), 1_000_000 * i64::try_from(SENT).unwrap());
}
