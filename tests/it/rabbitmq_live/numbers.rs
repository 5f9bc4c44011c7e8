//! Known numbers go in.

use super::*;

#[test]
fn known_numbers_go_in_and_the_same_come_out() {
    let rabbit = RabbitMq::shared();
    let vhost = rabbit.vhost();
    for (queue, kind) in [("jobs", "classic"), ("qjobs", "quorum"), ("log", "stream")] {
        rabbit.declare(&vhost, queue, &json!({"x-queue-type": kind}));
    }
    rabbit.declare(&vhost, "prio", &json!({"x-max-priority": 9}));
    rabbit.declare(&vhost, "empty", &json!({}));
    let client = Client::new(&rabbit.url(&vhost));
    const SENT: u64 = 1_700_000_000;
    for queue in ["jobs", "qjobs", "log", "prio"] {
        client.publish(queue, 5, Some(SENT));
    }
    let mut poller = Poller::of(rabbit, &vhost, "");
    assert_eq!(poller.discover(), Ok(Duration::from_secs(10)));

    // One done, one held: the head's time now covers the held one.
    let (done, held) = (client.take("jobs"), client.take("jobs"));
    client.ack(done);
    let taken = poller.await_queue("jobs", |seen| {
        seen.jobs.in_progress == Some(1)
            && seen.counters.finished == Some(1)
            && seen.consumers.is_some()
    });
    assert_eq!(taken.system, System::RabbitMq);
    assert_eq!((taken.jobs.ready, taken.consumers), (Some(3), Some(0)));
    assert_eq!(
        (taken.counters.enqueued, taken.counters.started),
        (Some(5), Some(2))
    );
    assert_eq!(taken.counters.redelivered, Some(0));
    assert_eq!(taken.head, Head::Unknown(Reason::IncludesUnacknowledged));

    // Put back, taken again, done: started once.
    client.requeue(held);
    client.ack(client.take("jobs"));
    let settled = poller.await_queue("jobs", |seen| {
        seen.counters.finished == Some(2) && seen.jobs.in_progress == Some(0)
    });
    assert_eq!(settled.jobs.ready, Some(3));
    assert_eq!(
        (settled.counters.started, settled.counters.redelivered),
        (Some(2), Some(1))
    );
    let earliest = Timestamp::from_micros(1_000_000 * i64::try_from(SENT).unwrap());
    assert_eq!(
        settled.head,
        Head::Since {
            earliest,
            latest: earliest.plus(Duration::from_secs(1)),
            upper_is_hard: true,
            source: LatencySource::Broker
        }
    );
    let span = settled.window.from.age_at(settled.window.to);
    assert!(span >= Duration::from_secs(10), "{span:?}");

    let quorum = poller.await_queue("qjobs", |seen| seen.jobs.ready == Some(5));
    assert_eq!(quorum.head, Head::Unknown(Reason::NoTimestamp));
    let prio = poller.await_queue("prio", |seen| seen.jobs.ready == Some(5));
    assert_eq!(prio.head, Head::Unknown(Reason::NoTimestamp));
    let empty = poller.await_queue("empty", |seen| seen.jobs.ready == Some(0));
    assert_eq!(
        (empty.head, empty.counters.enqueued),
        (Head::Empty, Some(0))
    );
    let stream = poller.await_queue("log", |seen| seen.counters.enqueued == Some(5));
    assert_eq!((stream.jobs.ready, stream.counters.started), (None, None));

    let version = poller.poll().unwrap().version.unwrap();
    assert!(
        version.starts_with(|c: char| c.is_ascii_digit()),
        "{version}"
    );
    let cost = poller.source.cost();
    assert!(
        cost.bytes_sent > 0 && cost.bytes_received > cost.bytes_sent / 10,
        "{cost:?}"
    );
    assert_eq!(cost.commands.get("http_overview"), Some(&1));
    assert_eq!(cost.commands.get("queue_declare_passive"), None);
}

#[test]
fn a_new_queue_is_unknown_and_not_empty() {
    let rabbit = RabbitMq::shared();
    let vhost = rabbit.vhost();
    rabbit.declare(&vhost, "new", &json!({"x-queue-type": "quorum"}));
    Client::new(&rabbit.url(&vhost)).publish("new", 3, None);
    let mut poller = Poller::of(rabbit, &vhost, "");
    let first = poller.poll().unwrap();
    assert_eq!(names(&first), ["new"]);
    assert_eq!(first.observations[0].jobs.ready, None);
    assert_eq!(
        first.observations[0].head,
        Head::Unknown(Reason::NotReported)
    );
    poller.await_queue("new", |seen| seen.jobs.ready == Some(3));
}

#[test]
fn a_declared_queue_is_fresh_at_once() {
    let rabbit = RabbitMq::shared();
    let vhost = rabbit.vhost();
    for queue in ["fast.a", "fast.b", "slow"] {
        rabbit.declare(&vhost, queue, &json!({}));
    }
    let mut poller = Poller::of(rabbit, &vhost, "declare = [\"fast.*\"]");
    poller.poll().unwrap();
    let client = Client::new(&rabbit.url(&vhost));
    for queue in ["fast.a", "slow"] {
        client.publish(queue, 7, None);
    }
    let seen = poller.poll().unwrap();
    assert_eq!(seen.observations[0].jobs.ready, Some(7));
    assert_eq!(names(&seen), ["fast.a", "fast.b", "slow"]);
    assert_ne!(seen.observations[2].jobs.ready, Some(7));
    assert_eq!(seen.observations[1].head, Head::Empty);
    let window = seen.observations[0].window;
    assert!(window.from.age_at(window.to) < Duration::from_secs(1));
    // A queue with a head's time has the window of the statistics.
    client.publish("fast.b", 1, Some(1_700_000_000));
    let timed = poller.await_queue("fast.b", |seen| matches!(seen.head, Head::Since { .. }));
    assert!(timed.window.from.age_at(timed.window.to) >= Duration::from_secs(10));
    assert!(poller.count("queue_declare_passive") >= 4);
    assert_eq!(poller.count("amqp_connect"), 1);
}

#[test]
fn vhosts_are_told_apart() {
    let rabbit = RabbitMq::shared();
    let (first, second) = (rabbit.vhost(), format!("{} %/ü", rabbit.vhost()));
    rabbit.api(
        "PUT",
        &format!("/api/vhosts/{}", percent(&second)),
        Some(&json!({})),
    );
    rabbit.permit("guest", &second, (".*", ".*", ".*"));
    for vhost in [&first, &second] {
        rabbit.declare(vhost, "mail", &json!({}));
    }
    let keys = format!("vhosts = [{first:?}, {second:?}]\ndeclare = [\"*\"]");
    let mut poller = Poller::of(rabbit, &first, &keys);
    let success = poller.poll().unwrap();
    assert_eq!(success.faults, []);
    assert_eq!(names(&success), ["mail", &format!("{second}/mail")]);
    assert!(
        success
            .observations
            .iter()
            .all(|seen| seen.jobs.ready == Some(0))
    );
    assert_eq!(poller.count("amqp_connect"), 2);
}

#[test]
fn only_job_queues_that_are_wanted_are_shown_and_the_rest_is_counted() {
    let rabbit = RabbitMq::shared();
    let vhost = rabbit.vhost();
    for queue in ["a", "b", "c", "d", "x", "celeryev.1", "w@h.celery.pidbox"] {
        rabbit.declare(&vhost, queue, &json!({}));
    }
    let toml = |queues: &str, keys: &str| {
        format!(
            "[brokers.r.rabbitmq]\nmax_queues = 3\n{queues}\nurl = {:?}\n{}\n{keys}",
            rabbit.url(&vhost),
            management_of(rabbit)
        )
    };
    let mut poller = Poller::from_toml(&toml("exclude = [\"x\"]", ""));
    let success = poller.poll().unwrap();
    assert_eq!(names(&success), ["a", "b", "c"]);
    assert_eq!(success.dropped.get(&DropReason::Limit), Some(&1));
    let mut poller = Poller::from_toml(&toml("include = [\"*e*\"]", "internal_queues = true"));
    assert_eq!(
        names(&poller.poll().unwrap()),
        ["celeryev.1", "w@h.celery.pidbox"]
    );
}

#[test]
fn a_thousand_queues_are_read_in_two_pages() {
    let rabbit = RabbitMq::shared();
    let vhost = rabbit.vhost();
    let client = Client::new(&rabbit.url(&vhost));
    client.runtime.block_on(async {
        for queue in 0..1000 {
            let declaring = client.channel.queue_declare(
                format!("q{queue:04}").into(),
                Default::default(),
                Default::default(),
            );
            declaring.await.unwrap();
        }
    });
    let mut poller = Poller::of(rabbit, &vhost, "");
    // With statistics, which make up most of a row.
    poller.await_queue("q0999", |seen| seen.jobs.ready == Some(0));
    let before = poller.source.cost();
    let started = Instant::now();
    let success = poller.poll().unwrap();
    let elapsed = started.elapsed();
    let bytes = poller.source.cost().bytes_received - before.bytes_received;
    assert_eq!(success.observations.len(), 1000);
    eprintln!("1,000 RabbitMQ queues: {elapsed:?}, {bytes} bytes");
    assert_eq!(
        poller.count("http_queues") - before.commands["http_queues"],
        2
    );

    let mut fresh = Poller::of(rabbit, &vhost, "declare = [\"*\"]\ndeclare_limit = 500");
    fresh.poll().unwrap();
    let started = Instant::now();
    fresh.poll().unwrap();
    eprintln!(
        "the same with 500 passive declares: {:?}",
        started.elapsed()
    );
    assert_eq!(fresh.count("queue_declare_passive"), 1000);
}
fn percent(text: &str) -> String {
    percent_encoding::utf8_percent_encode(text, percent_encoding::NON_ALPHANUMERIC).to_string()
}
