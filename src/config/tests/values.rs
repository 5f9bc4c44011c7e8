//! What the keys and URLs mean.

use super::super::*;
use super::{load, no_env, only_broker, rabbitmq, redis};
use crate::model::System;

fn at(host: &str, port: u16) -> HostPort {
    HostPort {
        host: host.to_owned(),
        port,
    }
}

fn redis_at(url: &str) -> Redis {
    redis(&format!("url = '{url}'"))
}

#[test]
fn redis_urls() {
    let single = |host, port| RedisTopology::Single(at(host, port));
    let sentinel = |sentinels: Vec<HostPort>| RedisTopology::Sentinel {
        sentinels,
        master: "mymaster".to_owned(),
        username: None,
        password: None,
    };
    for (url, topology, db, tls) in [
        ("redis://cache", single("cache", 6379), 0, false),
        ("redis://cache:6380/3", single("cache", 6380), 3, false),
        ("REDISS://cache/", single("cache", 6379), 0, true),
        (
            "redis://my_cache.svc?db=2",
            single("my_cache.svc", 6379),
            2,
            false,
        ),
        ("redis://cache/2?db=2", single("cache", 6379), 2, false),
        ("redis://[::1]:6380", single("::1", 6380), 0, false),
        ("redis://[fe80::1]", single("fe80::1", 6379), 0, false),
        (
            "unix:///run/redis.sock?db=4",
            RedisTopology::Unix("/run/redis.sock".into()),
            4,
            false,
        ),
        (
            "redis+unix:///a%20b",
            RedisTopology::Unix("/a b".into()),
            0,
            false,
        ),
        (
            "redis+sentinel://s1:26380,s2,[::1]:7/mymaster/5",
            sentinel(vec![at("s1", 26380), at("s2", 26379), at("::1", 7)]),
            5,
            false,
        ),
        (
            "rediss+sentinel://s1/mymaster",
            sentinel(vec![at("s1", 26379)]),
            0,
            true,
        ),
        (
            "rediss+cluster://n1,n2:7",
            RedisTopology::Cluster(vec![at("n1", 6379), at("n2", 7)]),
            0,
            true,
        ),
        (
            "redis+cluster://n1/0",
            RedisTopology::Cluster(vec![at("n1", 6379)]),
            0,
            false,
        ),
    ] {
        let redis = redis_at(url);
        assert_eq!(redis.topology, topology, "{url}");
        assert_eq!((redis.db, redis.tls.is_some()), (db, tls), "{url}");
    }
}

#[test]
fn users_and_passwords() {
    for (user, username, password) in [
        ("", None, None),
        ("@", None, None),
        ("me@", Some("me"), None),
        (":pw@", None, Some("pw")),
        ("me:@", Some("me"), None),
        ("m%40e:p%2Fw%3a@", Some("m@e"), Some("p/w:")),
        ("me:p:w@", Some("me"), Some("p:w")),
        ("me:p@w@", Some("me"), Some("p@w")),
    ] {
        for form in [
            "redis://{}h",
            "unix://{}/run/s",
            "redis+sentinel://{}h/m",
            "redis+cluster://{}h,i",
        ] {
            let url = form.replace("{}", user);
            let redis = redis_at(&url);
            let shown = (
                redis.username.as_deref(),
                redis.password.as_ref().map(Secret::expose),
            );
            assert_eq!(shown, (username, password), "{url}");
        }
        let url = format!("amqp://{user}h");
        let rabbitmq = rabbitmq(&format!("url = '{url}'"));
        let shown = (&*rabbitmq.username, rabbitmq.password.expose());
        assert_eq!(
            shown,
            (username.unwrap_or("guest"), password.unwrap_or("guest")),
            "{url}"
        );
    }
}

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
    let RedisTopology::Sentinel {
        username, password, ..
    } = &redis.topology
    else {
        panic!()
    };
    assert_eq!(
        (username.as_deref(), password.as_ref().unwrap().expose()),
        (Some("watch"), "two")
    );
}

#[test]
fn rabbitmq_urls() {
    for (url, node, tls, vhost) in [
        ("amqp://r", at("r", 5672), false, "/"),
        ("amqp://r/", at("r", 5672), false, "/"),
        ("amqp://r//", at("r", 5672), false, "/"),
        ("amqp://r/%2f", at("r", 5672), false, "/"),
        ("amqps://r:1/a%20b", at("r", 1), true, "a b"),
        ("amqps://[::1]/x", at("::1", 5671), true, "x"),
    ] {
        let rabbitmq = rabbitmq(&format!("url = '{url}'"));
        assert_eq!(rabbitmq.nodes, std::slice::from_ref(&node), "{url}");
        assert_eq!(
            (rabbitmq.amqp_tls, &*rabbitmq.vhosts),
            (tls, &[vhost.to_owned()][..]),
            "{url}"
        );
        let port = if tls { 15671 } else { 15672 };
        let nodes = vec![at(&node.host, port)];
        assert_eq!(
            rabbitmq.management,
            HttpApi::Nodes {
                nodes,
                tls,
                path_prefix: String::new()
            }
        );
    }
}

#[test]
fn rabbitmq_nodes_and_management() {
    let several = rabbitmq("urls = ['amqp://u@a/v', 'amqp://u@b:1/v', 'amqp://u@a:2/v']");
    assert_eq!(several.nodes, [at("a", 5672), at("b", 1), at("a", 2)]);
    let in_one_url = rabbitmq("url = 'amqp://u@a,b:1,a:2/v'");
    assert_eq!(in_one_url.nodes, several.nodes);
    let management = |lines: &str| rabbitmq(&format!("url = 'amqp://r'\n{lines}")).management;
    let nodes = |nodes: Vec<HostPort>, tls, prefix: &str| HttpApi::Nodes {
        nodes,
        tls,
        path_prefix: prefix.to_owned(),
    };
    assert_eq!(
        several.management,
        nodes(vec![at("a", 15672), at("b", 15672)], false, "")
    );
    assert_eq!(management("management = false"), HttpApi::Off);
    assert_eq!(
        management("management_url = 'http://m'"),
        nodes(vec![at("m", 80)], false, "")
    );
    assert_eq!(
        management("management_url = 'https://m/rabbit/'\ntls.ca_file = 'x'"),
        nodes(vec![at("m", 443)], true, "/rabbit")
    );
    assert_eq!(
        management("management = true\nmanagement_urls = ['http://m:1', 'http://n:2/']"),
        nodes(vec![at("m", 1), at("n", 2)], false, "")
    );

    // The plugin is looked for beside a broker at its usual port, and not beside any other.
    let prometheus = |lines: &str| rabbitmq(lines).prometheus;
    assert_eq!(
        prometheus("url = 'amqp://a,b/v'"),
        nodes(vec![at("a", 15692), at("b", 15692)], false, "")
    );
    assert_eq!(
        prometheus("url = 'amqps://a'"),
        nodes(vec![at("a", 15691)], true, "")
    );
    assert_eq!(prometheus("url = 'amqp://a:5673'"), HttpApi::Off);
    assert_eq!(
        prometheus("url = 'amqp://a'\nprometheus = false"),
        HttpApi::Off
    );
    assert_eq!(
        prometheus("url = 'amqp://a:5673'\nprometheus_urls = ['http://a:1', 'http://b:1']"),
        nodes(vec![at("a", 1), at("b", 1)], false, "")
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

fn names(urls: &[&str]) -> Vec<String> {
    let urls: Vec<String> = urls.iter().map(|&url| url.to_owned()).collect();
    let config = Config::from_urls(&urls, &no_env()).unwrap();
    config
        .brokers
        .iter()
        .map(|broker| broker.name.to_string())
        .collect()
}

#[test]
fn brokers_of_urls_alone_get_names() {
    assert_eq!(
        names(&["redis://cache:6379/0", "amqp://user@rabbit:5672/%2f"]),
        ["rabbitmq", "redis"]
    );
    assert_eq!(
        names(&["redis://b/1", "redis://a", "redis://b/2", "amqp://a"]),
        ["rabbitmq", "redis-a", "redis-b", "redis-b-2"]
    );
    assert_eq!(
        names(&[
            "redis://[::1]",
            "unix:///run/my app.sock".replace(' ', "%20").as_str()
        ]),
        ["redis---1", "redis-my-20app.sock"]
    );
    let long = format!("redis://{}", "x".repeat(200));
    assert!(
        names(&[&long, &format!("{long}/1"), "redis://y"])
            .iter()
            .all(|name| name.len() <= 64)
    );
}

#[test]
fn the_variable_holds_a_list() {
    let names = |list: &str| {
        let env = Environment::from_pairs([("TAILBACK_BROKERS", list)]);
        let config = Config::load(None, &[], &env).unwrap();
        config
            .brokers
            .iter()
            .map(|broker| broker.name.to_string())
            .collect::<Vec<_>>()
    };
    assert_eq!(names("redis://a"), ["redis"]);
    assert_eq!(names(" redis://a,\n amqp://b "), ["rabbitmq", "redis"]);
    assert_eq!(
        names("redis+cluster://a:1,b:2,amqp://x"),
        ["rabbitmq", "redis"]
    );
    let env = Environment::from_pairs([("TAILBACK_BROKERS", "redis://a")]);
    let config = Config::load(None, &["amqp://b".to_owned()], &env).unwrap();
    assert_eq!(&*config.brokers[0].name, "rabbitmq");
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
