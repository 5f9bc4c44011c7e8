//! On a real RabbitMQ.

use super::*;
use crate::support::process::eventually;
use crate::support::rabbitmq::RabbitMq;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value;

pub(super) fn list(rabbit: &RabbitMq, what: &str, vhost: &str) -> Vec<Value> {
    let vhost = utf8_percent_encode(vhost, NON_ALPHANUMERIC);
    let answer = rabbit
        .api("GET", &format!("/api/{what}/{vhost}"), None)
        .json();
    answer.as_array().unwrap().clone()
}

pub(super) fn names(rabbit: &RabbitMq, what: &str, vhost: &str) -> Vec<String> {
    let all = list(rabbit, what, vhost);
    all.iter()
        .map(|one| one["name"].as_str().unwrap().to_owned())
        .collect()
}

pub(super) fn config(rabbit: &RabbitMq, url: &str) -> String {
    format!(
        "[defaults]\ninterval = '1s'\ndiscovery_interval = '1s'\n[brokers.main.rabbitmq]\n\
         url = '{url}'\nmanagement_url = 'http://{}'\n[brokers.main.rabbitmq.celery]\nevents = true\n",
        rabbit.management
    )
}

#[test]
fn what_celery_tells_on_rabbitmq_is_what_its_tasks_wrote_down() {
    let rabbit = RabbitMq::shared();
    let vhost = rabbit.vhost();
    let dir = tempfile::tempdir().unwrap();
    let celery = telling(&rabbit.url(&vhost));
    // The rights that docs/celery-events.md asks for, and no others.
    rabbit.user("listener", "pw", "monitoring");
    let own = "^celeryev\\.tailback\\.";
    rabbit.permit(
        "listener",
        &vhost,
        (own, own, "^celeryev($|\\.tailback\\.)"),
    );
    let tailback = Tailback::start_config(&config(rabbit, &rabbit.url_as("listener:pw", &vhost)));
    // Nobody has sent an event yet. Others create the exchange; tailback only looks.
    tailback.wait_until("it says what is missing", PATIENCE, |metrics| {
        metrics.get("tailback_poll_errors_total", &[("kind", "protocol")]) >= Some(1.0)
    });
    let complaints = tailback.logged("WARN").join("\n");
    assert!(
        complaints.contains("start Celery's workers with -E"),
        "{complaints}"
    );
    assert!(!names(rabbit, "exchanges", &vhost).contains(&"celeryev".to_owned()));
    celery.send("first", 1, &[]);
    wait_listening(&tailback);

    let ours = || {
        let queues = list(rabbit, "queues", &vhost);
        let is_ours = |queue: &Value| {
            queue["name"]
                .as_str()
                .unwrap()
                .starts_with("celeryev.tailback.")
        };
        queues.into_iter().find(is_ours)
    };
    let queue = eventually("our queue", PATIENCE, ours);
    assert_eq!(
        (&queue["exclusive"], &queue["auto_delete"]),
        (&json!(true), &json!(true))
    );
    assert_eq!(queue["durable"], json!(false));
    let bounds = json!({
        "x-message-ttl": 10_000, "x-max-length": 100_000, "x-max-length-bytes": 64 << 20,
        "x-expires": 60_000,
    });
    assert_eq!(queue["arguments"], bounds);

    compare(&tailback, &celery, dir.path());
    // It is no queue of jobs.
    assert!(!tailback.metrics().text.contains("celeryev.tailback"));
    drop(tailback);
    eventually("our queue is gone", PATIENCE, || {
        ours().is_none().then_some(())
    });
}

#[test]
fn events_that_come_twice_on_rabbitmq_change_nothing() {
    let rabbit = RabbitMq::shared();
    let vhost = rabbit.vhost();
    let dir = tempfile::tempdir().unwrap();
    let celery = telling(&rabbit.url(&vhost));
    let tailback = Tailback::start_config(&config(rabbit, &rabbit.url(&vhost)));
    compare_twice_told(&tailback, &celery, dir.path());
}
