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

#[test]
fn totals_are_what_happened_whatever_goes_uncounted() {
    let rabbit = RabbitMq::shared();
    let vhost = rabbit.vhost();
    let client = Client::new(&rabbit.url(&vhost));
    let mut watch = Watch::new(rabbit, &vhost);
    let mut wanted: HashMap<String, Totals> = HashMap::new();
    for kind in ["classic", "quorum"] {
        let dead = format!("dead-{kind}");
        let queues = [
            ("purged", json!({})),
            ("expired", json!({"x-message-ttl": 500})),
            ("full", json!({"x-max-length": 4})),
            ("dead", json!({})),
            (
                "rejected",
                json!({"x-dead-letter-exchange": "", "x-dead-letter-routing-key": dead}),
            ),
            ("auto", json!({})),
            ("back", json!({})),
        ];
        for (queue, mut arguments) in queues {
            arguments["x-queue-type"] = json!(kind);
            rabbit.declare(&vhost, &format!("{queue}-{kind}"), &arguments);
        }
        let name = |queue: &str| format!("{queue}-{kind}");
        for queue in ["purged", "expired", "full", "rejected", "auto", "back"] {
            client.publish(&name(queue), 10, None);
        }
        for _ in 0..2 {
            client.ack(client.take(&name("purged")));
        }
        rabbit.api(
            "DELETE",
            &format!("/api/queues/{vhost}/{}/contents", name("purged")),
            None,
        );
        client.publish(&name("purged"), 3, None);
        for _ in 0..6 {
            client.reject(client.take(&name("rejected")));
        }
        for _ in 0..7 {
            client.get(&name("auto"), true).unwrap();
        }
        // A classic queue puts it back at its head, a quorum queue of 3.10 behind the others.
        for _ in 0..2 {
            client.requeue(client.take(&name("back")));
        }
        while let Some(tag) = client.get(&name("back"), false) {
            client.ack(tag);
        }
        for (queue, totals) in [
            ("purged", [3, 13, 2, 2, 0]),
            ("expired", [0, 10, 0, 0, 0]),
            ("full", [4, 10, 0, 0, 0]),
            // Dead letters arrive without being counted.
            ("dead", [6, 0, 0, 0, 0]),
            ("rejected", [4, 10, 6, 0, 0]),
            ("auto", [3, 10, 7, 7, 0]),
            ("back", [0, 10, 10, 10, 2]),
        ] {
            wanted.insert(name(queue), totals);
        }
    }
    let mut last: HashMap<String, Totals> = HashMap::new();
    let until = Instant::now() + 2 * SETTLED;
    while last != wanted {
        assert!(Instant::now() < until, "{last:#?}");
        for (queue, _) in watch.poll() {
            let Some(now) = totals(&queue) else {
                continue;
            };
            let name = queue.queue.to_string();
            let before = last.insert(name.clone(), now).unwrap_or_default();
            let most = wanted[&name];
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
