//! Rights, outages, TLS, nodes that do not answer.

use super::*;
use crate::support::tailback::Tailback;

#[test]
fn no_password_is_logged_at_any_level() {
    let rabbit = RabbitMq::shared();
    let vhost = rabbit.vhost();
    rabbit.declare(&vhost, "jobs", &json!({}));
    rabbit.user("quiet", "hunter2", "monitoring");
    rabbit.permit("quiet", &vhost, ("^$", "^$", "^$"));
    let dir = tempfile::TempDir::new().unwrap();
    let file = dir.path().join("tailback.toml");
    let config = format!(
        "[brokers.r.rabbitmq]\nurl = {:?}\n{}\ndeclare = [\"jobs\"]\n",
        rabbit.url_as("quiet:hunter2", &vhost),
        management_of(rabbit),
    );
    std::fs::write(&file, config).unwrap();
    let tailback = Tailback::start_with(
        &["--config", file.to_str().unwrap()],
        &[("TAILBACK_LOG", "trace,lapin=trace")],
    );
    // Only then the trace has an AMQP login in it.
    tailback.wait_until("AMQP is used", SETTLED, |metrics| {
        let declares = [("command", "queue_declare_passive")];
        metrics
            .get("tailback_broker_commands_total", &declares)
            .is_some_and(|declares| declares > 0.0)
    });
    let logs = tailback.logs();
    // lapin writes the login as the numbers of its bytes, the management API's is in Base64.
    let bytes: Vec<String> = "hunter2".bytes().map(|byte| byte.to_string()).collect();
    for form in ["hunter2", &bytes.join(", "), "cXVpZXQ6aHVudGVyMg"] {
        assert!(!logs.contains(form), "{form} in {logs}");
    }
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
        (
            "watcher:wrong",
            &*vhost,
            ErrorKind::Auth,
            "name or password of the user `watcher`",
        ),
        (
            "plain:pw",
            &vhost,
            ErrorKind::Permission,
            "set_user_tags plain monitoring",
        ),
        (
            "stranger:pw",
            &vhost,
            ErrorKind::Permission,
            "set_permissions -p test-",
        ),
        (
            "guest:guest",
            "nowhere",
            ErrorKind::Permission,
            "no vhost `nowhere`",
        ),
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
    client.declare("jobs");
    client.declare("mail");
    client.publish("jobs", 4, None);

    let keys = management_of(&rabbit) + "\ndeclare = [\"jobs\", \"gone\", \"mail\", \"other*\"]";
    let mut poller = Poller::new(&url, &keys);
    let success = poller.poll().unwrap();
    assert_eq!(names(&success), ["jobs", "mail"]);
    let (jobs, mail) = (&success.observations[0], &success.observations[1]);
    assert_eq!(jobs.jobs.ready, Some(4));
    assert_eq!(
        (jobs.jobs.in_progress, jobs.counters.enqueued),
        (None, None)
    );
    assert_eq!(
        (jobs.consumers, jobs.head),
        (Some(0), Head::Unknown(Reason::NotCounted))
    );
    assert_eq!(mail.head, Head::Empty);
    assert_eq!(success.faults[0].kind, ErrorKind::Connect);
    // A queue that was missing is asked for again after the next search.
    client.declare("gone");
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

    let refused =
        |url: &str| Poller::new(url, "management = false\ndeclare = [\"jobs\"]").failure();
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
fn another_node_answers_where_one_does_not() {
    let rabbit = RabbitMq::shared();
    let vhost = rabbit.vhost();
    rabbit.declare(&vhost, "jobs", &json!({}));
    // One that refuses, and one that accepts and says nothing.
    let closed = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
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
    // Each node gets a sixth of it.
    let mut poller = Poller::from_toml(&format!(
        "[brokers.r.rabbitmq]\ninterval = \"30s\"\ntimeout = \"24s\"\nurls = {urls:?}\n\
         management_urls = {management:?}\ndeclare = [\"jobs\"]"
    ));
    silent.set_nonblocking(true).unwrap();
    let callers = || std::iter::from_fn(|| silent.accept().ok()).count();
    let success = poller.poll().unwrap();
    assert_eq!((names(&success), success.faults.len()), (vec!["jobs"], 0));
    assert!(callers() > 0, "it was its turn");
    // It stays with the node that works.
    for _ in 0..3 {
        let success = poller.poll().unwrap();
        assert_eq!((names(&success), success.faults.len()), (vec!["jobs"], 0));
    }
    assert_eq!(callers(), 0);
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
        poller
            .runtime
            .block_on(async { timeout(limit, poller.source.poll()).await.ok() });
        if micros % 5_000 == 0 {
            let success = poller.poll().unwrap();
            assert_eq!(success.faults, []);
            assert_eq!(success.observations.len(), 20);
            assert!(
                success
                    .observations
                    .iter()
                    .all(|seen| seen.jobs.ready == Some(0))
            );
        }
    }
    assert!(now() > Timestamp::from_micros(0));
}
