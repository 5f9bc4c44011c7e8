//! What is read where the management API is missing, has no statistics or lets us not in.

use super::rights::check;
use super::*;

pub(super) fn prometheus_of(rabbit: &RabbitMq) -> String {
    format!("prometheus_url = \"http://{}\"", rabbit.prometheus)
}

#[test]
fn without_the_management_plugin_the_prometheus_plugin_tells_of_all_queues() {
    let rabbit = RabbitMq::start(RabbitMqOptions {
        plugins: vec!["rabbitmq_prometheus"],
        ..RabbitMqOptions::default()
    });
    let url = rabbit.url("/");
    let client = Client::new(&url);
    // 3.10 writes such names as they are, without escaping anything.
    let back = r"back\\slash\";
    for queue in [back, "jobs \"ü\"", "mail"] {
        client.declare(queue);
    }
    client.publish(back, 2, None);
    client.publish("jobs \"ü\"", 4, None);
    client.take("jobs \"ü\"");
    let keys = format!("{}\n{}", management_of(&rabbit), prometheus_of(&rabbit));
    let mut poller = Poller::new(&url, &keys);
    let success = poller.await_poll(|success| {
        let ready = |queue: &str| {
            let mut all = success.observations.iter();
            all.find(|seen| &*seen.queue == queue)?.jobs.ready
        };
        ready("jobs \"ü\"") == Some(3) && ready("mail") == Some(0) && ready(back) == Some(2)
    });
    let [fault] = success.faults.as_slice() else {
        panic!("{:?}", success.faults)
    };
    assert_eq!(fault.kind, ErrorKind::Connect);
    assert!(success.version.unwrap().starts_with("3.10"));
    let [_, jobs, mail] = success.observations.as_slice() else {
        panic!("{:?}", success.observations)
    };
    assert_eq!((jobs.jobs.in_progress, jobs.consumers), (Some(1), Some(0)));
    // What 3.10 does not count is not zero.
    assert_eq!(
        (jobs.counters.enqueued, jobs.counters.started),
        (None, None)
    );
    assert_eq!(jobs.head, Head::Unknown(Reason::NotCounted));
    assert_eq!(mail.head, Head::Empty);
    assert!(poller.discover().is_ok());

    let (code, said) = check(&url, &keys);
    assert_eq!(code, Some(1), "{said}");
    assert!(
        said.contains("source: read through the Prometheus plugin"),
        "{said}"
    );
    assert!(
        said.contains("rabbitmq-plugins enable rabbitmq_management"),
        "{said}"
    );
    let (code, said) = check(
        &url,
        &format!("management = false\n{}", prometheus_of(&rabbit)),
    );
    assert_eq!(code, Some(0), "{said}");

    // A fresh depth where it is wanted.
    let keys = format!(
        "management = false\n{}\ndeclare = [\"mail\"]",
        prometheus_of(&rabbit)
    );
    let mut poller = Poller::new(&url, &keys);
    poller.await_poll(|success| success.observations.len() == 3);
    client.publish("mail", 1, None);
    let success = poller.poll().unwrap();
    let mail = success
        .observations
        .iter()
        .find(|seen| &*seen.queue == "mail");
    assert_eq!(mail.unwrap().jobs.ready, Some(1));

    // Neither of them: named queues through AMQP.
    let keys = "management = false\nprometheus_url = \"http://127.0.0.1:1\"\ndeclare = [\"mail\"]";
    let (code, said) = check(&url, keys);
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("source: read through AMQP alone"), "{said}");
    assert!(
        said.contains("the Prometheus plugin: cannot connect"),
        "{said}"
    );
}

#[test]
fn without_statistics_the_prometheus_plugin_adds_consumers_and_check_explains() {
    for off in [
        "management_agent.disable_metrics_collector = true",
        "management.disable_stats = true",
    ] {
        let rabbit = RabbitMq::start(RabbitMqOptions {
            plugins: vec!["rabbitmq_management", "rabbitmq_prometheus"],
            config: vec![off.to_owned()],
            ..RabbitMqOptions::default()
        });
        rabbit.declare("/", "jobs", &json!({}));
        rabbit.declare("/", "safe", &json!({"x-queue-type": "quorum"}));
        let url = rabbit.url("/");
        let client = Client::new(&url);
        client.publish("jobs", 4, None);
        client.publish("safe", 2, None);
        client.take("jobs");
        let management = management_of(&rabbit);
        let both = format!("{management}\n{}", prometheus_of(&rabbit));
        for (keys, consumers) in [(&management, None), (&both, Some(0))] {
            let mut poller = Poller::new(&url, keys);
            let safe = poller.await_queue("safe", |seen| {
                (seen.jobs.ready, seen.consumers) == (Some(2), consumers)
            });
            assert_eq!(safe.head, Head::Unknown(Reason::NotCounted));
            let jobs = poller.await_queue("jobs", |seen| seen.consumers == consumers);
            assert_eq!((jobs.jobs.ready, jobs.jobs.in_progress), (Some(3), Some(1)));
            assert_eq!(
                (jobs.counters.enqueued, jobs.counters.started),
                (None, None)
            );

            let (code, said) = check(&url, keys);
            assert_eq!(code, Some(0), "{said}");
            assert!(said.contains("collects no statistics"), "{said}");
            let advice = "rabbitmq-plugins enable rabbitmq_prometheus on every node";
            assert_eq!(said.contains(advice), consumers.is_none(), "{said}");
        }

        // A user whom the management API lets not in: all queues through the plugin all the same.
        rabbit.user("plain", "hunter2", "");
        rabbit.permit("plain", "/", ("^$", "^$", "^$"));
        let url = rabbit.url_as("plain:hunter2", "/");
        let success = Poller::new(&url, &both).poll().unwrap();
        assert_eq!(names(&success), ["jobs", "safe"]);
        assert_eq!(success.faults[0].kind, ErrorKind::Permission);
        let (code, said) = check(&url, &both);
        assert_eq!(code, Some(1), "{said}");
        assert!(
            said.contains("source: read through the Prometheus plugin"),
            "{said}"
        );
        assert!(said.contains("set_user_tags plain monitoring"), "{said}");
    }
}
