//! What the URLs mean.

use super::super::*;
use super::{no_env, rabbitmq, redis};

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
    let sentinel = |hosts: Vec<HostPort>| {
        RedisTopology::Sentinel(Sentinels {
            hosts,
            master: "mymaster".to_owned(),
            username: None,
            password: None,
        })
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
