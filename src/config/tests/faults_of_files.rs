//! What is refused of files as a whole, in exact words.

use super::super::{Config, Environment};
use super::{faults, load_faults, no_env};
use std::path::Path;

#[test]
fn names_and_kinds_of_brokers() {
    let kinds = "the kinds are `redis` and `rabbitmq`, as in [brokers.NAME.redis]";
    let none = "no broker is configured; begin with [brokers.main.redis] and \
                url = \"redis://localhost:6379/0\"";
    for (text, fault) in [
        ("", format!("1:1: {none}")),
        ("[brokers]", format!("1:1: {none}")),
        (
            "brokers = 3",
            "1:1: brokers: must be a table, not a whole number".to_owned(),
        ),
        (
            "[brokers]\nmain = 3",
            "2:1: brokers.main: must be a table, not a whole number".to_owned(),
        ),
        (
            "[brokers.main]",
            format!("1:10: brokers.main: has no kind; {kinds}"),
        ),
        (
            "[brokers.main]\nurl = 'x'",
            format!("2:1: brokers.main.url: unknown kind of broker; {kinds}"),
        ),
        (
            "[brokers.main.kafka]\nurl = 'x'",
            format!("1:15: brokers.main.kafka: unknown kind of broker; {kinds}"),
        ),
        (
            "[brokers.main]\nredis.url = 'redis://h'\nrabbitmq.url = 'amqp://h'",
            "1:10: brokers.main: is of two kinds; give each broker a name of its own".to_owned(),
        ),
        (
            "[brokers.\"a b\".redis]\nurl = 'redis://h'",
            "1:10: brokers.?: the name of a broker must be of 1 to 64 letters, digits and the \
             characters `_.-`"
                .to_owned(),
        ),
        (
            "[brokers.a.redis]",
            "1:12: brokers.a.redis: has no `url`, for example url = \"redis://localhost:6379/0\""
                .to_owned(),
        ),
        (
            "[brokers.a.rabbitmq]",
            "1:12: brokers.a.rabbitmq: has no `url`, for example \
             url = \"amqp://localhost:5672/%2f\""
                .to_owned(),
        ),
        (
            "listen = ''\n[brokers.a.redis]\nurl = 'redis://h'",
            "1:1: listen: unknown key; known here: `http`, `keda`, `metrics`, `state`, `defaults`, `brokers` and \
             `objectives`"
                .to_owned(),
        ),
        (
            "http.listen = ':9828'\n[brokers.a.redis]\nurl = 'redis://h'",
            "1:15: http.listen: must be an IP address and a port, for example \"0.0.0.0:9828\""
                .to_owned(),
        ),
        (
            "defaults.stale_after = '2s'\n[brokers.a.rabbitmq]\nurl = 'amqp://h'",
            "1:24: defaults.stale_after: must not be shorter than the interval of \
             brokers.a.rabbitmq, 5s"
                .to_owned(),
        ),
    ] {
        assert_eq!(faults(text, &no_env()), format!("c.toml:{fault}"), "{text}");
    }
}

#[test]
fn broken_syntax_has_its_place_too() {
    let text = "[brokers.main.redis]
url = 'redis://h'
url = 'redis://h'
interval = 5s
[brokers.main.redis]
# größer
größer = [1,
";
    assert_eq!(
        faults(text, &no_env()),
        "c.toml:3:1: is not TOML: duplicate key
c.toml:4:12: is not TOML: string values must be quoted, expected literal string
c.toml:5:15: is not TOML: duplicate key
c.toml:7:13: is not TOML: unclosed array, expected `]`"
    );
}

#[test]
fn all_faults_come_at_once_in_the_order_of_their_lines() {
    let text = "[http]
listen = 5
[defaults]
timeout = '0s'
[brokers.b.rabbitmq]
url = 'redis://h'
colour = 'ü'
[brokers.a.redis]
db = 'ü'
interval = 3
[brokers.a.redis.celery]
x = 1
[other]
";
    assert_eq!(
        faults(text, &no_env()),
        "c.toml:2:10: http.listen: must be a string, not a whole number
c.toml:4:11: defaults.timeout: must be between 10ms and 1h
c.toml:6:7: brokers.b.rabbitmq.url: must begin with `amqp://` or `amqps://`
c.toml:7:1: brokers.b.rabbitmq.colour: unknown key; known here: `interval`, `timeout`, \
         `stale_after`, `discovery_interval`, `forget_after`, `max_queues`, \
         `max_payload_bytes`, `include`, `exclude`, `layouts`, `url`, `urls`, `management_url`, \
         `management_urls`, `prometheus_url`, `prometheus_urls`, `management`, `prometheus`, \
         `username`, `password_file`, `password_env`, `vhosts`, `declare`, `declare_objectives`, \
         `declare_limit`, `internal_queues`, `celery` and `tls`
c.toml:8:12: brokers.a.redis: has no `url`, for example url = \"redis://localhost:6379/0\"
c.toml:9:6: brokers.a.redis.db: must be a whole number between 0 and 4294967295, not a string
c.toml:10:12: brokers.a.redis.interval: needs a unit and quotes, for example \"500ms\", \"5s\" or \
         \"1h 30m\"
c.toml:12:1: brokers.a.redis.celery.x: unknown key; known here: `global_keyprefix`, `separator`, \
         `priority_steps`, `timestamp_paths`, `unacked_key`, `unacked_limit`, `events`, `event_exchange`, `events_max_waiting` and `events_max_tasks`
c.toml:13:2: other: unknown key; known here: `http`, `keda`, `metrics`, `state`, `defaults`, `brokers` and \
         `objectives`"
    );
}

#[test]
fn a_file_and_urls_exclude_each_other() {
    let file = Some(Path::new("c.toml"));
    assert_eq!(
        load_faults(file, &["redis://h"], &no_env()),
        "argument 1: a URL cannot be used together with `--config`; write the broker into the file"
    );
    assert_eq!(
        load_faults(
            file,
            &[],
            &Environment::from_pairs([("TAILBACK_BROKERS", "redis://h")])
        ),
        "TAILBACK_BROKERS: cannot be used together with `--config`; unset it or leave the file out"
    );
}

#[test]
fn files_that_cannot_be_read() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("c.toml");
    let shown = path.display();
    assert_eq!(
        load_faults(Some(&path), &[], &no_env()),
        format!("{shown}: cannot be read: No such file or directory (os error 2)")
    );
    std::fs::write(&path, b"\xff").unwrap();
    assert_eq!(
        load_faults(Some(&path), &[], &no_env()),
        format!("{shown}: is not UTF-8")
    );
    std::fs::write(&path, "[brokers.a.redis]\nurl = 'redis://'").unwrap();
    assert_eq!(
        load_faults(Some(&path), &[], &no_env()),
        format!("{shown}:2:7: brokers.a.redis.url: has no host")
    );
    std::fs::write(&path, "[brokers.a.redis]\nurl = 'redis://h'").unwrap();
    let config = Config::load(Some(&path), &[], &no_env()).unwrap();
    assert_eq!(&*config.brokers[0].name, "a");
}
