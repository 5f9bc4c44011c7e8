//! Which values are refused, in exact words.

use super::super::Environment;
use super::{faults, no_env};

/// Asserts that a broker of this kind with a good URL and this line has this one fault, which is
/// in the third line.
fn assert_fault_in(kind: &str, url: &str, cases: &[(&str, &str)]) {
    for (line, fault) in cases {
        let text = format!("[brokers.b.{kind}]\nurl = '{url}'\n{line}\n");
        let (column, message) = fault.split_once(' ').unwrap();
        let expected = format!("c.toml:3:{column}: brokers.b.{kind}.{message}");
        assert_eq!(faults(&text, &no_env()), expected, "{line}");
    }
}

#[test]
fn values_of_the_keys_that_all_brokers_have() {
    let unit = "for example \"500ms\", \"5s\" or \"1h 30m\"";
    let durations = [
        ("interval = 5", "12 interval: needs a unit and quotes, "),
        ("interval = 0.5", "12 interval: needs a unit and quotes, "),
        (
            "interval = '5'",
            "12 interval: must be a number with a unit, ",
        ),
        (
            "interval = '-5s'",
            "12 interval: must be a number with a unit, ",
        ),
        (
            "interval = '${X}'",
            "12 interval: must be a number with a unit, ",
        ),
    ]
    .map(|(line, fault)| (line, format!("{fault}{unit}")));
    let durations: Vec<_> = durations
        .iter()
        .map(|(line, fault)| (*line, fault.as_str()))
        .collect();
    assert_fault_in("redis", "redis://h", &durations);
    assert_fault_in(
        "redis",
        "redis://h",
        &[
            (
                "interval = '99ms'",
                "12 interval: must be between 100ms and 1h",
            ),
            (
                "interval = '61m'",
                "12 interval: must be between 100ms and 1h",
            ),
            ("timeout = '9ms'", "11 timeout: must be between 10ms and 1h"),
            (
                "stale_after = '999ms'",
                "15 stale_after: must not be shorter than the interval, 1s",
            ),
            (
                "discovery_interval = '0s'",
                "22 discovery_interval: must be between 1s and 1day",
            ),
            (
                "max_queues = 0",
                "14 max_queues: must be between 1 and 1000000",
            ),
            (
                "max_queues = -1",
                "14 max_queues: must be between 1 and 1000000",
            ),
            (
                "max_queues = 99999999999999999999999",
                "14 max_queues: must be between 1 and 1000000",
            ),
            (
                "max_queues = 1.5",
                "14 max_queues: must be a whole number between 1 and 1000000, not a fraction",
            ),
            (
                "max_broker_cpu_ratio = 0",
                "24 max_broker_cpu_ratio: must be a number above 0 and at most 1",
            ),
            (
                "max_broker_cpu_ratio = 1.01",
                "24 max_broker_cpu_ratio: must be a number above 0 and at most 1",
            ),
            (
                "max_broker_cpu_ratio = nan",
                "24 max_broker_cpu_ratio: must be a number above 0 and at most 1",
            ),
            (
                "max_payload_bytes = 1023",
                "21 max_payload_bytes: must be between 1024 and 67108864",
            ),
            (
                "include = []",
                "11 include: must have a glob; [\"*\"] includes every queue",
            ),
            (
                "include = '*'",
                "11 include: must be an array of strings, not a string",
            ),
            (
                "exclude = ['a', 5]",
                "17 exclude: each element must be a string",
            ),
            (
                "exclude = ['[']",
                "12 exclude: is not a valid glob: unclosed character class; missing ']'",
            ),
            (
                "layouts = 'rq'",
                "11 layouts: must be \"auto\" or an array of strings",
            ),
            (
                "layouts = []",
                "11 layouts: must have at least one of `celery`, `rq`, `dramatiq`, `huey`, `arq`, `taskiq`, `sidekiq`, `bullmq`, `resque`, `asynq`, `stream` and `list`",
            ),
            ("layouts = ['rq', 'rq']", "18 layouts: is listed twice"),
            (
                "layouts = ['rabbitmq']",
                "12 layouts: the systems that a Redis can have are `celery`, `rq`, `dramatiq`, `huey`, `arq`, `taskiq`, `sidekiq`, `bullmq`, `resque`, `asynq`, `stream` and `list`",
            ),
            (
                "intervall = '5s'",
                "1 intervall: unknown key; did you mean `interval`?",
            ),
        ],
    );
    assert_fault_in(
        "rabbitmq",
        "amqp://h",
        &[(
            "layouts = ['rq']",
            "12 layouts: the systems that a RabbitMQ can have are `celery`, `dramatiq` and `rabbitmq`",
        )],
    );
}

#[test]
fn values_of_a_redis() {
    assert_fault_in(
        "redis",
        "redis://u@h/1",
        &[
            ("db = 2", "6 db: differs from the database in the URL"),
            (
                "username = 'v'",
                "12 username: differs from the user name in the URL",
            ),
            (
                "password = 'x'",
                "1 password: a password is not written here; use `password_file` or `password_env`",
            ),
            (
                "password_env = 'X'",
                "16 password_env: the environment variable of this name is not set",
            ),
            (
                "password_file = '/dev/null/x'",
                "17 password_file: cannot read the file of this name: Not a directory (os error 20)",
            ),
            (
                "password_file = '/dev/null'",
                "17 password_file: names an empty file",
            ),
            (
                "password_file = '/dev/zero'",
                "17 password_file: names a file of more than 65536 bytes",
            ),
            (
                "sentinel_username = 'x'",
                "21 sentinel_username: needs a `redis+sentinel://` or `rediss+sentinel://` URL",
            ),
            (
                "tls.ca_file = 'x'",
                "1 tls: needs a URL with TLS, that is `rediss://`, `rediss+sentinel://` or \
             `rediss+cluster://`",
            ),
            (
                "celery = 1",
                "1 celery: must be a table, not a whole number",
            ),
            (
                "celery.separator = ''",
                "20 celery.separator: must not be empty",
            ),
            (
                "celery.priority_steps = [0, 3, 3]",
                "32 celery.priority_steps: is listed twice",
            ),
            (
                "celery.priority_steps = [3]",
                "25 celery.priority_steps: must have the step 0, the list that has no number in its key",
            ),
            (
                "celery.priority_steps = [0, 256]",
                "29 celery.priority_steps: each element must be a whole number between 0 and 255",
            ),
            (
                "celery.unacked_limit = 10001",
                "24 celery.unacked_limit: must be between 0 and 10000",
            ),
            (
                "celery.seperator = 1",
                "8 celery.seperator: unknown key; did you mean `separator`?",
            ),
            (
                "rq.prefix = 'a b'",
                "13 rq.prefix: must be of letters, digits and the characters `_.:{}-`, as in RQ itself",
            ),
            ("rq.x = 1", "4 rq.x: unknown key; known here: `prefix`"),
            ("list.keys = ['']", "14 list.keys: must not be empty"),
        ],
    );
    for path in [
        "", "a..b", "a.", ".a", "a-b", "\"a", "\"a\"b", "\"\"", "a b",
    ] {
        assert_fault_in(
            "redis",
            "redis://h",
            &[(
                &format!("celery.timestamp_paths = ['{path}']"),
                "27 celery.timestamp_paths: must be names with dots between them; a name that has a \
             dot or a dash itself is put in double quotes, as in 'headers.\"x-time\"'",
            )],
        );
    }
    assert_fault_in(
        "redis",
        "redis+cluster://h",
        &[(
            "db = 1",
            "6 db: must be 0, the only database that a cluster has",
        )],
    );
    assert_fault_in(
        "redis",
        "rediss://:pw@h",
        &[
            (
                "tls.cert_file = 'x'",
                "17 tls.cert_file: needs `key_file` too",
            ),
            (
                "tls.key_file = 'x'",
                "16 tls.key_file: needs `cert_file` too",
            ),
            ("tls.ca_file = ''", "15 tls.ca_file: must not be empty"),
            (
                "tls.server_name = 'a b'",
                "19 tls.server_name: must be a host name or an IP address",
            ),
        ],
    );
    let both = "[brokers.b.redis]\nurl = 'redis://:pw@h'\npassword_env = 'X'";
    assert_eq!(
        faults(both, &Environment::from_pairs([("X", "pw")])),
        "c.toml:3:16: brokers.b.redis.password_env: cannot be used together with a password in \
         the URL"
    );
}

#[test]
fn values_of_a_rabbitmq() {
    assert_fault_in(
        "rabbitmq",
        "amqp://h",
        &[
            (
                "urls = ['amqp://h']",
                "8 urls: cannot be used together with `url`",
            ),
            (
                "vhosts = []",
                "10 vhosts: must have at least one virtual host, for example [\"/\"]",
            ),
            (
                "vhosts = ['']",
                "11 vhosts: must not be empty; the default virtual host is \"/\"",
            ),
            ("vhosts = ['a', 'a']", "16 vhosts: is listed twice"),
            (
                "declare = ['[']",
                "12 declare: is not a valid glob: unclosed character class; missing ']'",
            ),
            (
                "declare_limit = 10001",
                "17 declare_limit: must be between 0 and 10000",
            ),
            (
                "internal_queues = 1",
                "19 internal_queues: must be true or false, not a whole number",
            ),
            (
                "celery.separator = 'x'",
                "8 celery.separator: unknown key; known here: `queues`, `events`, `event_exchange`, `events_max_waiting` and `events_max_tasks`",
            ),
            (
                "tls.ca_file = 'x'",
                "1 tls: needs a URL with TLS, that is `amqps://`, or `https://` for the management API",
            ),
            (
                "management_url = 'amqp://h'",
                "18 management_url: must begin with `http://` or `https://`",
            ),
            (
                "management_url = 'http://h/api/'",
                "18 management_url: must end before `/api`, which is added",
            ),
            (
                "prometheus_url = 'http://h/metrics'",
                "18 prometheus_url: must end before `/metrics`, which is added",
            ),
            (
                "prometheus = false\nprometheus_url = 'http://h'",
                "14 prometheus: cannot be false while there is a URL of the Prometheus plugin",
            ),
            (
                "management_url = 'http://u@h'",
                "18 management_url: must have no user name and password; those of the broker are used",
            ),
            (
                "management_urls = ['http://h', 'https://h']",
                "32 management_urls: must have the same scheme and path as the first URL",
            ),
            (
                "management_urls = []",
                "19 management_urls: must have at least one URL",
            ),
        ],
    );
    assert_eq!(
        faults(
            "[brokers.b.rabbitmq]\nurl = 'amqp://h'\nmanagement = false\nmanagement_url = 'http://h'",
            &no_env()
        ),
        "c.toml:3:14: brokers.b.rabbitmq.management: cannot be false while there is a URL of the \
         management API"
    );
    for url in [
        "amqps://u@b/v",
        "amqp://x@b/v",
        "amqp://u@b/w",
        "amqp://u:p@b/v",
    ] {
        assert_eq!(
            faults(
                &format!("[brokers.b.rabbitmq]\nurls = ['amqp://u@a/v',\n'{url}']"),
                &no_env()
            ),
            "c.toml:3:1: brokers.b.rabbitmq.urls: must have the same scheme, user, password and \
             virtual host as the first URL"
        );
    }
}
