//! A RabbitMQ source against real nodes: known numbers in, the same numbers out.

use crate::support::rabbitmq::{RabbitMq, RabbitMqOptions};
use lapin::options::{
    BasicAckOptions, BasicGetOptions, BasicNackOptions, BasicPublishOptions, ConfirmSelectOptions,
};
use lapin::{BasicProperties, Channel, Connection, ConnectionProperties};
use serde_json::json;
use std::time::{Duration, Instant};
use tailback::broker::rabbitmq::RabbitMqSource;
use tailback::broker::{BrokerError, Source};
use tailback::config::{Config, Endpoint, Environment};
use tailback::model::{
    DropReason, ErrorKind, Head, LatencySource, Observation, PollSuccess, Reason, System, Timestamp,
};
use tokio::runtime::Runtime;
use tokio::time::timeout;

/// Statistics settle within this, also a quorum queue's.
const SETTLED: Duration = Duration::from_secs(30);

/// A source and the runtime that it lives in.
struct Poller {
    runtime: Runtime,
    source: RabbitMqSource,
}

impl Poller {
    /// `keys` are further lines of `[brokers.r.rabbitmq]`.
    fn new(url: &str, keys: &str) -> Self {
        Self::from_toml(&format!("[brokers.r.rabbitmq]\nurl = {url:?}\n{keys}\n"))
    }

    fn of(rabbit: &RabbitMq, vhost: &str, keys: &str) -> Self {
        Self::new(&rabbit.url(vhost), &format!("{}\n{keys}", management_of(rabbit)))
    }

    fn from_toml(text: &str) -> Self {
        let config = Config::from_toml(text, "test.toml", &Environment::default()).unwrap();
        let broker = &config.brokers[0];
        let Endpoint::RabbitMq(endpoint) = &broker.endpoint else { panic!("a RabbitMQ") };
        let runtime = Runtime::new().unwrap();
        let source = RabbitMqSource::new(broker, endpoint);
        Self { runtime, source }
    }

    fn poll(&mut self) -> Result<PollSuccess, BrokerError> {
        self.runtime.block_on(self.source.poll())
    }

    fn failure(&mut self) -> BrokerError {
        self.poll().unwrap_err()
    }

    fn discover(&mut self) -> Result<Duration, BrokerError> {
        self.runtime.block_on(self.source.discover())
    }

    /// Polls until the queue is as wanted.
    fn await_queue(&mut self, queue: &str, is_wanted: impl Fn(&Observation) -> bool) -> Observation {
        let mut last = None;
        let until = Instant::now() + SETTLED;
        while Instant::now() < until {
            let success = self.poll().unwrap();
            assert_eq!(success.faults, []);
            last = success.observations.into_iter().find(|seen| &*seen.queue == queue);
            if last.as_ref().is_some_and(&is_wanted) {
                return last.unwrap();
            }
            std::thread::sleep(Duration::from_millis(200));
        }
        panic!("{queue} did not become as wanted: {last:#?}");
    }

    fn count(&self, command: &str) -> u64 {
        self.source.cost().commands.get(command).copied().unwrap_or(0)
    }
}

fn management_of(rabbit: &RabbitMq) -> String {
    format!("management_url = \"http://{}\"", rabbit.management)
}

fn names(success: &PollSuccess) -> Vec<&str> {
    success.observations.iter().map(|seen| &*seen.queue).collect()
}

fn now() -> Timestamp {
    tailback::clock::now().wall
}

/// A client of the test's own.
struct Client {
    runtime: Runtime,
    _connection: Connection,
    channel: Channel,
}

impl Client {
    fn new(url: &str) -> Self {
        let runtime = Runtime::new().unwrap();
        let (connection, channel) = runtime.block_on(async {
            let connection =
                Connection::connect(url, ConnectionProperties::default()).await.unwrap();
            let channel = connection.create_channel().await.unwrap();
            // Wait for the broker to have a message before going on.
            channel.confirm_select(ConfirmSelectOptions::default()).await.unwrap();
            (connection, channel)
        });
        Self { runtime, _connection: connection, channel }
    }

    fn publish(&self, queue: &str, times: u32, timestamp: Option<u64>) {
        let mut properties = BasicProperties::default().with_delivery_mode(2);
        if let Some(timestamp) = timestamp {
            properties = properties.with_timestamp(timestamp);
        }
        self.runtime.block_on(async {
            for _ in 0..times {
                let options = BasicPublishOptions::default();
                let publish = self.channel.basic_publish(
                    "".into(),
                    queue.into(),
                    options,
                    b"job",
                    properties.clone(),
                );
                publish.await.unwrap().await.unwrap();
            }
        });
    }

    /// Takes a message and holds it; its delivery tag.
    fn take(&self, queue: &str) -> u64 {
        let get = self.channel.basic_get(queue.into(), BasicGetOptions::default());
        self.runtime.block_on(get).unwrap().unwrap().delivery_tag
    }

    fn ack(&self, tag: u64) {
        let ack = self.channel.basic_ack(tag, BasicAckOptions::default());
        self.runtime.block_on(ack).unwrap();
    }

    fn requeue(&self, tag: u64) {
        let options = BasicNackOptions { requeue: true, ..BasicNackOptions::default() };
        self.runtime.block_on(self.channel.basic_nack(tag, options)).unwrap();
    }
}

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
    assert_eq!(poller.discover(), Ok(Duration::from_secs(30)));

    // One done, one held: the head's time now covers the held one.
    let (done, held) = (client.take("jobs"), client.take("jobs"));
    client.ack(done);
    let taken = poller.await_queue("jobs", |seen| {
        seen.jobs.in_progress == Some(1) && seen.counters.finished == Some(1)
    });
    assert_eq!(taken.system, System::RabbitMq);
    assert_eq!((taken.jobs.ready, taken.consumers), (Some(3), Some(0)));
    assert_eq!((taken.counters.enqueued, taken.counters.started), (Some(5), Some(2)));
    assert_eq!(taken.counters.redelivered, Some(0));
    assert_eq!(taken.head, Head::Unknown(Reason::IncludesUnacknowledged));

    // Put back, taken again, done: started once.
    client.requeue(held);
    client.ack(client.take("jobs"));
    let settled = poller.await_queue("jobs", |seen| {
        seen.counters.finished == Some(2) && seen.jobs.in_progress == Some(0)
    });
    assert_eq!(settled.jobs.ready, Some(3));
    assert_eq!((settled.counters.started, settled.counters.redelivered), (Some(2), Some(1)));
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
    assert_eq!((empty.head, empty.counters.enqueued), (Head::Empty, Some(0)));
    let stream = poller.await_queue("log", |seen| seen.counters.enqueued == Some(5));
    assert_eq!((stream.jobs.ready, stream.counters.started), (None, None));

    let version = poller.poll().unwrap().version.unwrap();
    assert!(version.starts_with(|c: char| c.is_ascii_digit()), "{version}");
    let cost = poller.source.cost();
    assert!(cost.bytes_sent > 0 && cost.bytes_received > cost.bytes_sent / 10, "{cost:?}");
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
    assert_eq!(first.observations[0].head, Head::Unknown(Reason::NotReported));
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
    assert!(success.observations.iter().all(|seen| seen.jobs.ready == Some(0)));
    assert_eq!(poller.count("amqp_connect"), 2);
}

fn percent(text: &str) -> String {
    percent_encoding::utf8_percent_encode(text, percent_encoding::NON_ALPHANUMERIC).to_string()
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
    assert_eq!(names(&poller.poll().unwrap()), ["celeryev.1", "w@h.celery.pidbox"]);
}

#[test]
fn a_missing_right_is_named() {
    let rabbit = RabbitMq::shared();
    let vhost = rabbit.vhost();
    rabbit.declare(&vhost, "jobs", &json!({}));
    rabbit.user("plain", "pw", "");
    rabbit.permit("plain", &vhost, ("^$", "^$", "^$"));
    rabbit.user("stranger", "pw", "monitoring");
    rabbit.user("watcher", "pw", "monitoring");
    rabbit.permit("watcher", &vhost, ("^$", "^$", "^$"));
    let as_user = |credentials: &str, vhost: &str| {
        let mut poller = Poller::new(
            &rabbit.url_as(credentials, vhost),
            &(management_of(rabbit) + "\ndeclare = [\"*\"]"),
        );
        (poller.poll(), poller.discover())
    };
    for (credentials, vhost, kind, advice) in [
        ("watcher:wrong", &*vhost, ErrorKind::Auth, "name or password of the user `watcher`"),
        ("plain:pw", &vhost, ErrorKind::Auth, "set_user_tags plain monitoring"),
        ("stranger:pw", &vhost, ErrorKind::Permission, "set_permissions -p test-"),
        ("guest:guest", "nowhere", ErrorKind::Permission, "no vhost `nowhere`"),
    ] {
        let (polled, _) = as_user(credentials, vhost);
        let error = polled.unwrap_err();
        assert_eq!(error.kind, kind, "{error}");
        assert!(error.message.contains(advice), "{error}");
        assert!(!error.message.contains("wrong"), "a secret in {error}");
    }
    // The least that will do, for both protocols.
    let (polled, discovered) = as_user("watcher:pw", &vhost);
    let success = polled.unwrap();
    assert_eq!((names(&success), success.faults.len()), (vec!["jobs"], 0));
    assert_eq!(success.observations[0].jobs.ready, Some(0));
    assert!(discovered.is_ok());

    // One of two vhosts closed: the other is read, and the fault told.
    let open = rabbit.vhost();
    rabbit.declare(&open, "jobs", &json!({}));
    rabbit.permit("stranger", &open, ("^$", "^$", "^$"));
    let keys = format!("{}\nvhosts = [{vhost:?}, {open:?}]", management_of(rabbit));
    let mut poller = Poller::new(&rabbit.url_as("stranger:pw", &open), &keys);
    let success = poller.poll().unwrap();
    assert_eq!(names(&success), [format!("{open}/jobs")]);
    assert_eq!(success.faults[0].kind, ErrorKind::Permission);
}

#[test]
fn without_the_management_api_named_queues_are_read_through_amqp() {
    let rabbit = RabbitMq::start(RabbitMqOptions {
        plugins: Vec::new(),
        ..RabbitMqOptions::default()
    });
    let url = rabbit.url("/");
    let client = Client::new(&url);
    let declare = |queue: &str| {
        let options = lapin::options::QueueDeclareOptions { durable: true, ..Default::default() };
        let declaring =
            client.channel.queue_declare(queue.into(), options, lapin::types::FieldTable::default());
        client.runtime.block_on(declaring).unwrap();
    };
    declare("jobs");
    declare("mail");
    client.publish("jobs", 4, None);

    let keys = management_of(&rabbit) + "\ndeclare = [\"jobs\", \"gone\", \"mail\", \"other*\"]";
    let mut poller = Poller::new(&url, &keys);
    let success = poller.poll().unwrap();
    assert_eq!(names(&success), ["jobs", "mail"]);
    let (jobs, mail) = (&success.observations[0], &success.observations[1]);
    assert_eq!(jobs.jobs.ready, Some(4));
    assert_eq!((jobs.jobs.in_progress, jobs.counters.enqueued), (None, None));
    assert_eq!((jobs.consumers, jobs.head), (Some(0), Head::Unknown(Reason::NoTimestamp)));
    assert_eq!(mail.head, Head::Empty);
    assert_eq!(success.faults[0].kind, ErrorKind::Connect);
    // A queue that was missing is asked for again after the next search.
    declare("gone");
    assert_eq!(names(&poller.poll().unwrap()), ["jobs", "mail"]);
    assert!(poller.discover().is_ok());
    assert_eq!(names(&poller.poll().unwrap()), ["gone", "jobs", "mail"]);

    let mut off = Poller::new(&url, "management = false\ndeclare = [\"jobs\"]");
    let success = off.poll().unwrap();
    assert_eq!((names(&success), success.faults.len()), (vec!["jobs"], 0));

    let mut nothing_named = Poller::new(&url, &management_of(&rabbit));
    let error = nothing_named.failure();
    assert_eq!(error.kind, ErrorKind::Connect);
    assert!(error.message.contains("without wildcards"), "{error}");

    let refused = |url: &str| Poller::new(url, "management = false\ndeclare = [\"jobs\"]").failure();
    let error = refused(&rabbit.url_as("guest:wrong", "/"));
    assert_eq!(error.kind, ErrorKind::Auth, "{error}");
    let error = refused(&rabbit.url("nowhere"));
    assert_eq!(error.kind, ErrorKind::Permission, "{error}");
}

#[test]
fn a_restart_is_survived() {
    let mut rabbit = RabbitMq::start(RabbitMqOptions::default());
    let client = Client::new(&rabbit.url("/"));
    rabbit.declare("/", "jobs", &json!({}));
    client.publish("jobs", 3, None);
    let mut poller = Poller::of(&rabbit, "/", "declare = [\"jobs\"]");
    poller.await_queue("jobs", |seen| seen.counters.enqueued == Some(3));

    rabbit.kill();
    let error = poller.failure();
    assert_eq!(error.kind, ErrorKind::Connect, "{error}");
    rabbit.restart();
    // What is durable is still there, and the counters start again.
    let seen = poller.await_queue("jobs", |seen| seen.counters.enqueued == Some(0));
    assert_eq!(seen.jobs.ready, Some(3));
}

#[test]
fn tls_is_verified_on_both_ways() {
    let rabbit = RabbitMq::shared();
    let vhost = rabbit.vhost();
    rabbit.declare(&vhost, "jobs", &json!({}));
    let url = rabbit.url(&vhost).replace("amqp:", "amqps:");
    let url = url.replace(&rabbit.amqp.to_string(), &rabbit.amqps.to_string());
    let keys = format!(
        "management_url = \"https://{}\"\ndeclare = [\"jobs\"]\n",
        rabbit.management_tls
    );
    let files = &rabbit.certificates;
    let trusting = format!(
        "{keys}[brokers.r.rabbitmq.tls]\nca_file = {:?}\ncert_file = {:?}\nkey_file = {:?}\n",
        files.ca, files.client, files.client_key
    );
    let mut poller = Poller::new(&url, &trusting);
    let success = poller.poll().unwrap();
    assert_eq!(success.faults, []);
    assert_eq!(success.observations[0].jobs.ready, Some(0));
    assert_eq!(poller.count("amqp_connect"), 1);

    let error = Poller::new(&url, &keys).failure();
    assert_eq!(error.kind, ErrorKind::Tls, "{error}");
    let error = Poller::new(&url, "management = false\ndeclare = [\"jobs\"]").failure();
    assert_eq!(error.kind, ErrorKind::Tls, "{error}");
}

#[test]
fn another_node_answers_where_one_does_not() {
    let rabbit = RabbitMq::shared();
    let vhost = rabbit.vhost();
    rabbit.declare(&vhost, "jobs", &json!({}));
    // One that refuses, and one that accepts and says nothing.
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let silent_address = silent.local_addr().unwrap();
    let urls: Vec<String> = [closed, silent_address, rabbit.amqp]
        .iter()
        .map(|node| format!("amqp://guest:guest@{node}/{vhost}"))
        .collect();
    let management: Vec<String> = [closed, silent_address, rabbit.management]
        .iter()
        .map(|node| format!("http://{node}"))
        .collect();
    let mut poller = Poller::from_toml(&format!(
        "[brokers.r.rabbitmq]\ntimeout = \"1500ms\"\nurls = {urls:?}\n\
         management_urls = {management:?}\ndeclare = [\"jobs\"]"
    ));
    let started = Instant::now();
    let success = poller.poll().unwrap();
    assert_eq!((names(&success), success.faults.len()), (vec!["jobs"], 0));
    assert!(started.elapsed() < Duration::from_millis(1500), "{:?}", started.elapsed());
    // It stays with the node that works.
    let started = Instant::now();
    poller.poll().unwrap();
    assert!(started.elapsed() < Duration::from_millis(400), "{:?}", started.elapsed());
}

#[test]
fn a_poll_that_is_given_up_leaves_the_next_one_whole() {
    let rabbit = RabbitMq::shared();
    let vhost = rabbit.vhost();
    for queue in 0..20 {
        rabbit.declare(&vhost, &format!("q{queue:02}"), &json!({}));
    }
    let mut poller = Poller::of(rabbit, &vhost, "declare = [\"*\"]");
    for micros in (0..40_000).step_by(1_000) {
        let limit = Duration::from_micros(micros);
        poller.runtime.block_on(async { timeout(limit, poller.source.poll()).await.ok() });
        if micros % 5_000 == 0 {
            let success = poller.poll().unwrap();
            assert_eq!(success.faults, []);
            assert_eq!(success.observations.len(), 20);
            assert!(success.observations.iter().all(|seen| seen.jobs.ready == Some(0)));
        }
    }
    assert!(now() > Timestamp::from_micros(0));
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
    poller.poll().unwrap();
    let before = poller.source.cost();
    let started = Instant::now();
    let success = poller.poll().unwrap();
    let elapsed = started.elapsed();
    let bytes = poller.source.cost().bytes_received - before.bytes_received;
    assert_eq!(success.observations.len(), 1000);
    eprintln!("1,000 RabbitMQ queues: {elapsed:?}, {bytes} bytes");
    assert_eq!(poller.count("http_queues") - before.commands["http_queues"], 2);

    let mut fresh = Poller::of(rabbit, &vhost, "declare = [\"*\"]\ndeclare_limit = 500");
    fresh.poll().unwrap();
    let started = Instant::now();
    fresh.poll().unwrap();
    eprintln!("the same with 500 passive declares: {:?}", started.elapsed());
    assert_eq!(fresh.count("queue_declare_passive"), 1000);
}
