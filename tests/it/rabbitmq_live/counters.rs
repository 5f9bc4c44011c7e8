//! What becomes of a broker's counters, whatever happens to messages: the totals are exact, and never
//! fall. (`uncounted` has the ages, and restarts.)

use super::flow::Watch;
use super::*;
use std::collections::HashMap;
use std::thread::sleep;
use tailback::model::QueueSnapshot;

/// Ready, enqueued, started, finished, redelivered.
type Totals = [u64; 5];

/// Unless they are not known yet.
fn totals(queue: &QueueSnapshot) -> Option<Totals> {
    let counters = queue.counters;
    Some([
        queue.jobs.ready?,
        counters.enqueued?,
        counters.started?,
        counters.finished?,
        counters.redelivered?,
    ])
}

/// What a test does with the queue of this name, and what its totals are then.
type Deed = fn(&RabbitMq, &str, &Client, &str) -> Totals;

/// Does it with a classic and with a quorum queue of these arguments, and polls until the totals are as
/// they must be. Until then they may be behind, but never fall and never be too high.
fn compare(arguments: &serde_json::Value, deed: Deed) {
    let rabbit = RabbitMq::shared();
    let vhost = rabbit.vhost();
    let client = Client::new(&rabbit.url(&vhost));
    let mut watch = Watch::new(rabbit, &vhost);
    let mut wanted: HashMap<String, Totals> = HashMap::new();
    for kind in ["classic", "quorum"] {
        let mut arguments = arguments.clone();
        arguments["x-queue-type"] = json!(kind);
        rabbit.declare(&vhost, kind, &arguments);
        wanted.insert(kind.to_owned(), deed(rabbit, &vhost, &client, kind));
    }
    let mut last: HashMap<String, Totals> = HashMap::new();
    let until = Instant::now() + 2 * SETTLED;
    while last != wanted {
        assert!(Instant::now() < until, "{last:#?}, not {wanted:#?}");
        for (queue, _) in watch.poll() {
            let name = queue.queue.to_string();
            let Some((now, most)) = totals(&queue).zip(wanted.get(&name)) else {
                continue;
            };
            let before = last.insert(name.clone(), now).unwrap_or_default();
            for at in 1..now.len() {
                assert!(
                    before[at] <= now[at] && now[at] <= most[at],
                    "{name}: {before:?} {now:?}"
                );
            }
        }
        sleep(Duration::from_millis(500));
    }
}

#[test]
fn what_was_purged_has_not_started() {
    compare(&json!({}), |rabbit, vhost, client, queue| {
        client.publish(queue, 10, None);
        for _ in 0..2 {
            client.ack(client.take(queue));
        }
        let contents = format!("/api/queues/{vhost}/{queue}/contents");
        rabbit.api("DELETE", &contents, None);
        client.publish(queue, 3, None);
        [3, 13, 2, 2, 0]
    });
}

#[test]
fn what_has_expired_has_not_started() {
    compare(&json!({"x-message-ttl": 500}), |_, _, client, queue| {
        client.publish(queue, 10, None);
        [0, 10, 0, 0, 0]
    });
}

#[test]
fn what_a_full_queue_drops_has_not_started() {
    compare(&json!({"x-max-length": 4}), |_, _, client, queue| {
        client.publish(queue, 10, None);
        [4, 10, 0, 0, 0]
    });
}

#[test]
fn dead_letters_leave_unfinished_and_arrive_uncounted() {
    compare(&json!({}), |rabbit, vhost, client, queue| {
        let source = format!("source-{queue}");
        let to = json!({"x-dead-letter-exchange": "", "x-dead-letter-routing-key": queue,
            "x-queue-type": queue});
        rabbit.declare(vhost, &source, &to);
        client.publish(&source, 10, None);
        for _ in 0..6 {
            client.reject(client.take(&source));
        }
        [6, 0, 0, 0, 0]
    });
    compare(
        &json!({"x-dead-letter-exchange": "", "x-dead-letter-routing-key": "nowhere"}),
        |_, _, client, queue| {
            client.publish(queue, 10, None);
            for _ in 0..6 {
                client.reject(client.take(queue));
            }
            [4, 10, 6, 0, 0]
        },
    );
}

#[test]
fn a_consumer_that_never_acknowledges_finishes_what_it_starts() {
    compare(&json!({}), |_, _, client, queue| {
        client.publish(queue, 10, None);
        for _ in 0..7 {
            client.get(queue, true).unwrap();
        }
        [3, 10, 7, 7, 0]
    });
}

#[test]
fn what_was_put_back_starts_once_and_is_redelivered() {
    // A classic queue puts it back at its head, a quorum queue of 3.10 behind the others.
    compare(&json!({}), |_, _, client, queue| {
        client.publish(queue, 10, None);
        for _ in 0..2 {
            client.requeue(client.take(queue));
        }
        while let Some(tag) = client.get(queue, false) {
            client.ack(tag);
        }
        [0, 10, 10, 10, 2]
    });
}

/// [`Watch`] compares waits with starts at every poll.
#[test]
fn what_was_put_back_has_waited_once() {
    let rabbit = RabbitMq::shared();
    let vhost = rabbit.vhost();
    let client = Client::new(&rabbit.url(&vhost));
    let queues = ["classic", "quorum"];
    for kind in queues {
        rabbit.declare(&vhost, kind, &json!({"x-queue-type": kind}));
    }
    let mut watch = Watch::new(rabbit, &vhost);
    let mut look = |secs: u64| {
        let until = Instant::now() + Duration::from_secs(secs);
        loop {
            let seen = watch.poll();
            if Instant::now() > until {
                return seen;
            }
            sleep(Duration::from_millis(2500));
        }
    };
    look(0);
    for queue in queues {
        client.publish(queue, 10, None);
    }
    look(8);
    let held = queues.map(|queue| [(); 5].map(|()| client.take(queue)));
    look(8);
    for tag in held.into_iter().flatten() {
        client.requeue(tag);
    }
    // Some are taken again when the depth has told, some before.
    look(20);
    for queue in queues {
        for _ in 0..3 {
            client.requeue(client.take(queue));
            client.requeue(client.take(queue));
            look(1);
        }
        while let Some(tag) = client.get(queue, false) {
            client.ack(tag);
        }
    }
    let seen = look(25);
    assert_eq!(seen.len(), 2);
    for (queue, _) in seen {
        let flow = queue.flow.as_ref().unwrap();
        let waits = flow.waits.as_ref().unwrap().count();
        let [ready, enqueued, started, ..] = totals(&queue).unwrap();
        assert_eq!(
            (ready, enqueued, started, waits),
            (0, 10, 10, 10),
            "{flow:?}"
        );
        assert_eq!(flow.totals.removed, 0, "{flow:?}");
    }
}

#[test]
fn a_node_that_goes_takes_nothing_from_the_totals_and_adds_nothing() {
    let first = RabbitMq::start(RabbitMqOptions::default());
    let mut second = first.start_member();
    let vhost = first.vhost();
    first.declare(&vhost, "q", &json!({}));
    let mut watch = Watch::new(&first, &vhost);
    let mut last: Totals = [0; 5];
    let mut until = |what: &str, wanted: Totals| {
        let limit = Instant::now() + 2 * SETTLED;
        // For some seconds at least, so that what must not happen has time to.
        for round in 0.. {
            if round > 8 && last == wanted {
                return;
            }
            assert!(Instant::now() < limit, "{what}: {last:?}, not {wanted:?}");
            for (queue, _) in watch.poll() {
                let Some(now) = totals(&queue) else {
                    continue;
                };
                for at in 1..now.len() {
                    assert!(
                        last[at] <= now[at] && now[at] <= wanted[at],
                        "{what}: {last:?} {now:?}"
                    );
                }
                last = now;
            }
            sleep(Duration::from_millis(500));
        }
    };
    // What goes through a node's channels is counted by that node.
    let through = |node: &RabbitMq, published: u32, done: u32| {
        let client = Client::new(&node.url(&vhost));
        client.publish("q", published, None);
        for _ in 0..done {
            client.ack(client.take("q"));
        }
        // A channel that is closed at once may take its last counts with it.
        sleep(Duration::from_secs(3));
    };
    through(&first, 20, 5);
    through(&second, 30, 10);
    until("two nodes", [35, 50, 15, 15, 0]);
    second.kill();
    until("nothing new", [35, 50, 15, 15, 0]);
    through(&first, 4, 1);
    until("one of them gone", [38, 54, 16, 16, 0]);
    second.restart();
    until("back with nothing", [38, 54, 16, 16, 0]);
    through(&second, 3, 2);
    until("and back", [39, 57, 18, 18, 0]);
}
