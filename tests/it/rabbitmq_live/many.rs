//! More queues than are read one and all at every poll.

use super::fallback::prometheus_of;
use super::*;
use std::collections::BTreeMap;

/// What is told of each queue.
type Told = (Option<u64>, Option<u64>, Option<u64>, Option<u64>);

fn told(success: &PollSuccess) -> BTreeMap<String, Told> {
    let seen = success.observations.iter();
    seen.map(|seen| {
        let told = (
            seen.jobs.ready,
            seen.consumers,
            seen.counters.enqueued,
            seen.counters.started,
        );
        (seen.queue.to_string(), told)
    })
    .collect()
}

#[test]
fn of_many_queues_the_still_ones_are_not_read_and_no_busy_one_is_missed() {
    let rabbit = RabbitMq::start(RabbitMqOptions {
        plugins: vec!["rabbitmq_management", "rabbitmq_prometheus"],
        ..RabbitMqOptions::default()
    });
    let client = Client::new(&rabbit.url("/"));
    for number in 0..1050 {
        client.declare(&format!("q{number:04}"));
    }
    client.publish("q0007", 3, None);
    let patient = "interval = \"60s\"\ntimeout = \"50s\"";
    let keys = format!("{}\n{patient}", prometheus_of(&rabbit));
    let mut poller = Poller::of(&rabbit, "/", &keys);
    // A poll that reads the queues that have worked and some others, and no list but of names.
    let reads_few = |poller: &mut Poller| {
        let before = (poller.count("http_queues"), poller.count("http_queue"));
        let success = poller.poll().unwrap();
        assert_eq!(success.faults, []);
        let lists = poller.count("http_queues") - before.0;
        let singles = poller.count("http_queue") - before.1;
        ((lists, singles > 50 && singles < 300) == (1, true)).then_some(success)
    };
    let await_few = |poller: &mut Poller| {
        let until = Instant::now() + 3 * SETTLED;
        loop {
            if let Some(success) = reads_few(poller) {
                return success;
            }
            assert!(Instant::now() < until, "all queues are read at every poll");
            std::thread::sleep(Duration::from_secs(1));
        }
    };
    let success = await_few(&mut poller);
    assert_eq!(success.observations.len(), 1050);
    assert_eq!(told(&success)["q0007"].0, Some(3));

    // A queue that is empty whenever it is looked at, one that fills, one that is consumed from, one
    // that comes and one that goes.
    for _ in 0..5 {
        client.publish("q0700", 1, None);
        client.get("q0700", true).unwrap();
    }
    client.publish("q0800", 2, None);
    let _consumer = client.consume("q0900", 1);
    client.declare("new");
    rabbit.api("DELETE", "/api/queues/%2F/q0001", None);
    let success = poller.await_poll(|success| {
        let told = told(success);
        told["q0700"] == (Some(0), Some(0), Some(5), Some(5))
            && told["q0800"] == (Some(2), Some(0), Some(2), Some(0))
            && told["q0900"].1 == Some(1)
            && told.get("new").is_some_and(|new| new.0 == Some(0))
    });
    assert_eq!(success.observations.len(), 1050);
    assert!(!told(&success).contains_key("q0001"));

    // The same as who reads all of them.
    let success = await_few(&mut poller);
    let mut all = Poller::of(&rabbit, "/", &format!("prometheus = false\n{patient}"));
    let whole = all.poll().unwrap();
    assert_eq!(all.count("http_queues"), 3);
    assert_eq!(all.count("http_detailed"), 0);
    assert_eq!(told(&success), told(&whole));
}
