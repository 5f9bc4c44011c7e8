//! What the keys mean.

use super::super::*;
use super::{load, only_broker, rabbitmq, redis};
use crate::model::System;

#[test]
fn passwords_from_files_and_variables() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("password");
    for (content, password) in [
        ("pw", "pw"),
        ("pw\n", "pw"),
        ("pw\r\n", "pw"),
        ("pw\n\n", "pw\n"),
        (" p w ", " p w "),
    ] {
        std::fs::write(&path, content).unwrap();
        let redis = redis(&format!(
            "url = 'redis://h'\npassword_file = '{}'",
            path.display()
        ));
        assert_eq!(redis.password.unwrap().expose(), password, "{content:?}");
    }
    let env = Environment::from_pairs([("A", "one"), ("B", "two")]);
    let text = "[brokers.main.redis]
        url = 'redis+sentinel://me@h/m'
        username = 'me'
        password_env = 'A'
        sentinel_username = 'watch'
        sentinel_password_env = 'B'";
    let config = Config::from_toml(text, "c.toml", &env).unwrap();
    let Endpoint::Redis(redis) = &config.brokers[0].endpoint else {
        panic!()
    };
    assert_eq!(
        (
            redis.username.as_deref(),
            redis.password.as_ref().unwrap().expose()
        ),
        (Some("me"), "one")
    );
    let RedisTopology::Sentinel(sentinels) = &redis.topology else {
        panic!()
    };
    let password = sentinels.password.as_ref().unwrap().expose();
    assert_eq!(
        (sentinels.username.as_deref(), password),
        (Some("watch"), "two")
    );
}

#[test]
fn own_keys_win_over_defaults_and_the_rest_follows() {
    let seconds = Duration::from_secs;
    let text = "
        [defaults]
        interval = '10s'
        max_queues = 5
        [brokers.a.redis]
        url = 'redis://a'
        [brokers.b.rabbitmq]
        url = 'amqp://b'
        interval = '2s'
        timeout = '9s'
        max_queues = 1_000_000
        max_payload_bytes = 0x400
        [brokers.c.redis]
        url = 'redis://c'
        stale_after = '1m 30s'
        max_broker_cpu_ratio = 1
    ";
    let polls: Vec<Poll> = load(text)
        .brokers
        .into_iter()
        .map(|broker| broker.poll)
        .collect();
    let [a, b, c] = polls.as_slice() else {
        panic!()
    };
    assert_eq!(
        (a.interval, a.timeout, a.stale_after),
        (seconds(10), seconds(2), seconds(30))
    );
    assert_eq!(
        (b.interval, b.timeout, b.stale_after),
        (seconds(2), seconds(9), seconds(11))
    );
    assert_eq!((c.interval, c.stale_after), (seconds(10), seconds(90)));
    assert_eq!((a.max_queues, b.max_queues), (5, 1_000_000));
    assert_eq!(
        (a.max_broker_cpu_ratio, c.max_broker_cpu_ratio),
        (0.02, 1.0)
    );
    assert_eq!(b.max_payload_bytes, 1024);
}

#[test]
fn systems_options() {
    let broker = only_broker(
        "[brokers.main.redis]
        url = 'redis://h'
        layouts = ['list', 'celery']
        include = ['a*']
        [brokers.main.redis.celery]
        global_keyprefix = 'app:'
        separator = ':'
        priority_steps = [9, 0, 5]
        timestamp_paths = ['a', 'headers.\"x.y-z\".t', '\"q\"']
        unacked_key = 'u'
        unacked_limit = 0
        events = true
        event_exchange = 'ev'
        events_max_waiting = 2000
        events_max_tasks = 7
        [brokers.main.redis.rq]
        prefix = 'my.rq:{x}'
        [brokers.main.redis.list]
        keys = ['jobs', 'mail:*']",
    );
    assert_eq!(
        broker.layouts,
        Layouts::Only(vec![System::List, System::Celery])
    );
    assert!(broker.queues.accepts("abc") && !broker.queues.accepts("b"));
    let Endpoint::Redis(redis) = broker.endpoint else {
        panic!()
    };
    let path = |segments: &[&str]| segments.iter().map(|&s| s.to_owned()).collect::<Vec<_>>();
    assert_eq!(
        redis.celery,
        Celery {
            global_keyprefix: "app:".to_owned(),
            separator: ":".to_owned(),
            priority_steps: vec![0, 5, 9],
            timestamp_paths: vec![path(&["a"]), path(&["headers", "x.y-z", "t"]), path(&["q"])],
            unacked_key: "u".to_owned(),
            unacked_limit: 0,
            queues: Vec::new(),
            events: Some(CeleryEvents {
                exchange: "ev".into(),
                max_waiting: 2000,
                max_tasks: 7,
            }),
        }
    );
    assert_eq!(
        (redis.rq.prefix.as_str(), redis.list.keys),
        ("my.rq:{x}", path(&["jobs", "mail:*"]))
    );
    let rabbitmq =
        rabbitmq("url = 'amqp://h'\ncelery.queues = ['c*']\ncelery.events = true\ndeclare = ['x']");
    let events = CeleryEvents {
        exchange: "celeryev".into(),
        max_waiting: 1_500_000,
        max_tasks: 100,
    };
    assert_eq!(rabbitmq.celery.events, Some(events));
    assert_eq!(
        (rabbitmq.celery.queues, rabbitmq.declare),
        (path(&["c*"]), path(&["x"]))
    );
}

#[test]
fn the_buckets_of_waits_are_as_written() {
    let config =
        load("[metrics]\nwait_buckets = [0.5, 2, 1_000.0]\n[brokers.a.redis]\nurl = 'redis://h'\n");
    assert_eq!(*config.metrics.wait_buckets, [0.5, 2.0, 1000.0]);
    for wrong in [
        "[]", "[1, 1]", "[2, 1]", "[0]", "[-1.0]", "[inf]", "['1']", "1",
    ] {
        let text =
            format!("[metrics]\nwait_buckets = {wrong}\n[brokers.a.redis]\nurl = 'redis://h'\n");
        assert!(
            super::faults(&text, &super::no_env()).contains("metrics.wait_buckets"),
            "{wrong}"
        );
    }
}

#[test]
fn jobs_of_a_list_are_taken_at_either_end() {
    let list = |head: &str| {
        let text = format!("[brokers.a.redis]\nurl = 'redis://h'\n[brokers.a.redis.list]\n{head}");
        load(&text)
    };
    let head = |config: Config| match &config.brokers[0].endpoint {
        Endpoint::Redis(redis) => redis.list.head,
        Endpoint::RabbitMq(_) | Endpoint::Simulated => panic!("a Redis"),
    };
    assert_eq!(head(list("")), ListEnd::Right);
    assert_eq!(head(list("head = 'left'")), ListEnd::Left);
}
