//! The servers of the harness do what the tests rely on.

use crate::support::certificates::Certificates;
use crate::support::process::{Process, eventually};
use crate::support::prometheus::{Prometheus, promtool_check_metrics};
use crate::support::rabbitmq::RabbitMq;
use crate::support::redis::{Cluster, Redis, RedisOptions, Sentinel, Tls};
use serde_json::json;
use std::process::Command;
use std::time::Duration;
use tempfile::TempDir;

#[test]
fn redis_starts_pauses_dies_and_comes_back_on_its_port() {
    let mut redis = Redis::start(RedisOptions {
        password: Some("hunter2".to_owned()),
        users: vec!["me on >pw ~* +@read".to_owned()],
        ..RedisOptions::default()
    });
    assert_eq!(
        redis.url(),
        format!("redis://:hunter2@127.0.0.1:{}/0", redis.port)
    );
    assert_eq!(redis.cli(&["LPUSH", "key", "a", "b"]), "2");
    let length: u64 = redis.query(redis::cmd("LLEN").arg("key"));
    assert_eq!(length, 2);
    redis.kill();
    assert!(std::net::TcpStream::connect(redis.address()).is_err());
    redis.restart();
    assert_eq!(redis.cli(&["EXISTS", "key"]), "0");
}

#[test]
fn redis_speaks_tls_and_asks_for_a_certificate() {
    let redis = Redis::start(RedisOptions {
        tls: Tls::WithClientCertificate,
        ..RedisOptions::default()
    });
    let Certificates {
        ca,
        client,
        client_key,
        ..
    } = redis.certificates.as_ref().unwrap();
    let ping = |certificate: bool| {
        let mut command = Command::new("redis-cli");
        command
            .args(["--tls", "-p", &redis.port.to_string(), "--cacert"])
            .arg(ca);
        if certificate {
            command
                .arg("--cert")
                .arg(client)
                .arg("--key")
                .arg(client_key);
        }
        String::from_utf8(command.arg("PING").output().unwrap().stdout).unwrap()
    };
    assert_eq!(ping(true), "PONG\n");
    assert_ne!(ping(false), "PONG\n");
}

#[test]
fn sentinels_make_the_replica_master() {
    let mut sentinel = Sentinel::start();
    let before = sentinel.master().port;
    sentinel.master().cli(&["SET", "key", "value"]);
    sentinel.failover();
    assert_ne!(sentinel.master().port, before);
    sentinel.master().cli(&["SET", "key", "again"]);
}

#[test]
fn cluster_spreads_keys_over_three_nodes() {
    let cluster = Cluster::start();
    for number in 0..50 {
        cluster.cli(&["SET", &format!("key-{number}"), "x"]);
    }
    for node in &cluster.nodes {
        let keys: u64 = node.cli(&["DBSIZE"]).parse().unwrap();
        assert!((1..50).contains(&keys), "{keys}");
    }
}

#[test]
fn rabbitmq_takes_messages_and_counts_them() {
    let rabbit = RabbitMq::shared();
    let vhost = rabbit.vhost();
    rabbit.declare(&vhost, "a/b", &json!({"x-max-priority": 9}));
    for _ in 0..3 {
        rabbit.publish(&vhost, "a/b", "hello", &json!({}));
    }
    eventually(
        "the management API has counted",
        Duration::from_secs(10),
        || {
            let queue = rabbit
                .api("GET", &format!("/api/queues/{vhost}/a%2Fb"), None)
                .json();
            (queue["messages"] == 3).then_some(())
        },
    );
}

#[test]
fn prometheus_scrapes_itself() {
    let mut prometheus = Prometheus::start(&[]);
    let own = prometheus.address;
    prometheus = Prometheus::start(&[own]);
    eventually("a scrape", Duration::from_secs(10), || {
        let up = prometheus.query(&format!("up{{instance=\"{own}\"}}"));
        (!up.is_empty()).then_some(())
    });
}

#[test]
fn promtool_finds_what_is_wrong() {
    let good = "# HELP a_seconds What.\n# TYPE a_seconds gauge\na_seconds 1\n";
    assert_eq!(promtool_check_metrics(good.as_bytes()), "");
    assert_ne!(promtool_check_metrics(b"a_seconds{x=\"\\q\"} 1\n"), "");
}

#[test]
fn a_child_and_its_children_end_with_the_handle() {
    let dir = TempDir::new().unwrap();
    let mut command = Command::new("sh");
    command.args(["-c", "sleep 1000 & echo $!; wait"]);
    let mut process = Process::spawn("parent", &command, dir.path());
    process.wait_ready(Duration::from_secs(5), |process| {
        process.stdout().ends_with('\n')
    });
    let grandchild = process.stdout().trim().to_owned();
    let stat = format!("/proc/{grandchild}/stat");
    assert!(std::fs::read_to_string(&stat).is_ok());
    drop(process);
    // Whoever adopts it may take a moment to reap it.
    eventually("the grandchild is gone", Duration::from_secs(5), || {
        std::fs::read_to_string(&stat)
            .map_or(true, |stat| stat.contains(") Z "))
            .then_some(())
    });
}
