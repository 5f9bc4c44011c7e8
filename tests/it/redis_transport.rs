//! Every way to reach a Redis, and what is said when one is closed.

use crate::support::certificates::Certificates;
use crate::support::process::PATIENCE;
use crate::support::python::{Celery, Rq};
use crate::support::redis::{Cluster, Redis, RedisOptions, Sentinel, Tls};
use crate::support::tailback::{Tailback, quick, tailback};
use serde_json::json;

/// The minimal rights that the README recommends.
const RIGHTS: &str = "resetchannels %R~* -@all +@read -@dangerous +ping +hello +select \
                      +client|setname +time +multi +exec";

/// A Redis with three elements in the list `jobs`.
fn redis(options: RedisOptions) -> Redis {
    let redis = Redis::start(options);
    redis.cli(&["RPUSH", "jobs", "a", "b", "c"]);
    redis
}

/// Reads the list `jobs`; `extra` are further tables.
fn config(url: &str, extra: &str) -> String {
    format!(
        "{}[brokers.main.redis.list]\nkeys = ['jobs']\n{extra}",
        quick(url)
    )
}

fn assert_reads_jobs(config: &str) {
    let tailback = Tailback::start_config(config);
    let metrics = tailback.wait_jobs("list", "jobs", "ready", 3);
    assert_eq!(metrics.get("tailback_broker_up", &[]), Some(1.0));
}

/// Waits for errors of this kind and returns what the log says of it.
fn assert_fails(config: &str, kind: &str) -> String {
    let tailback = Tailback::start_config(config);
    let metrics = tailback.wait_until(kind, PATIENCE, |metrics| {
        metrics.get("tailback_poll_errors_total", &[("kind", kind)]) >= Some(1.0)
    });
    assert_eq!(metrics.get("tailback_broker_up", &[]), Some(0.0));
    assert_eq!(metrics.jobs("list", "jobs", "ready"), None);
    let errors = tailback.logged("ERROR");
    assert!(!errors.is_empty(), "{}", tailback.logs());
    errors.join("\n")
}

fn tls_table(files: &Certificates, with_client: bool) -> String {
    let mut table = format!(
        "[brokers.main.redis.tls]\nca_file = '{}'\n",
        files.ca.to_str().unwrap()
    );
    if with_client {
        table.push_str(&format!(
            "cert_file = '{}'\nkey_file = '{}'\n",
            files.client.to_str().unwrap(),
            files.client_key.to_str().unwrap()
        ));
    }
    table
}

#[test]
fn password() {
    let redis = redis(RedisOptions {
        password: Some("hunter2".to_owned()),
        ..RedisOptions::default()
    });
    assert_reads_jobs(&config(&redis.url(), ""));
    for credentials in ["", ":wrong", "nobody:hunter2"] {
        let said = assert_fails(&config(&redis.url_as(credentials), ""), "auth");
        assert!(
            !said.contains("wrong") && !said.contains("hunter2"),
            "{said}"
        );
    }
}

#[test]
fn password_from_a_file_or_the_environment() {
    let redis = redis(RedisOptions {
        password: Some("hunter2".to_owned()),
        ..RedisOptions::default()
    });
    let file = redis.dir().join("password");
    std::fs::write(&file, "hunter2\n").unwrap();
    let url = redis.url_as("");
    let secret = format!("password_file = '{}'\n", file.display());
    let head = quick(&url);
    let tail = "[brokers.main.redis.list]\nkeys = ['jobs']\n";
    assert_reads_jobs(&format!("{head}{secret}{tail}"));

    let path = redis.dir().join("config.toml");
    std::fs::write(
        &path,
        format!("{head}password_env = 'REDIS_PASSWORD'\n{tail}"),
    )
    .unwrap();
    let path = path.to_str().unwrap();
    let tailback = Tailback::start_with(&["--config", path], &[("REDIS_PASSWORD", "hunter2")]);
    tailback.wait_jobs("list", "jobs", "ready", 3);
}

#[test]
fn tls_with_our_own_authority() {
    let redis = redis(RedisOptions {
        tls: Tls::On,
        ..RedisOptions::default()
    });
    let files = redis.certificates.as_ref().unwrap();
    assert_reads_jobs(&config(&redis.url(), &tls_table(files, false)));
    // Without the authority nobody vouches for the server.
    let said = assert_fails(&config(&redis.url(), ""), "tls");
    assert!(said.contains("ca_file"), "{said}");
    // A server that speaks no TLS takes the handshake for an unfinished command and waits.
    let plain = Redis::start(RedisOptions::default());
    let url = plain.url().replace("redis://", "rediss://");
    let said = assert_fails(&config(&url, &tls_table(files, false)), "tls");
    assert!(said.contains("the port speaks no TLS"), "{said}");
    // And a server that speaks nothing else.
    let url = redis.url().replace("rediss://", "redis://");
    assert_fails(&config(&url, ""), "connect");
}

#[test]
fn tls_with_a_client_certificate() {
    let redis = redis(RedisOptions {
        tls: Tls::WithClientCertificate,
        ..RedisOptions::default()
    });
    let files = redis.certificates.as_ref().unwrap();
    assert_reads_jobs(&config(&redis.url(), &tls_table(files, true)));
    // With TLS 1.3 the server refuses after the handshake, so this may look like a broken
    // connection.
    let tailback = Tailback::start_config(&config(&redis.url(), &tls_table(files, false)));
    tailback.wait_until("errors", PATIENCE, |metrics| {
        metrics.sum("tailback_poll_errors_total", &[]) >= 1.0
    });
    assert_eq!(tailback.metrics().get("tailback_broker_up", &[]), Some(0.0));
}

#[test]
fn unix_socket() {
    let redis = redis(RedisOptions::default());
    assert_reads_jobs(&config(
        &format!("redis+unix://{}", redis.socket().display()),
        "",
    ));
}

#[test]
fn database_by_number() {
    let redis = redis(RedisOptions::default());
    redis.cli(&["-n", "3", "RPUSH", "jobs", "a"]);
    let url = redis.url().replace("/0", "/3");
    let tailback = Tailback::start_config(&config(&url, ""));
    tailback.wait_jobs("list", "jobs", "ready", 1);
}

#[test]
fn minimal_rights_are_enough_for_everything() {
    let redis = redis(RedisOptions {
        users: vec![format!("tail on >pw {RIGHTS}")],
        ..Default::default()
    });
    let celery = Celery::new(&redis.url());
    celery.send("emails", 2, &[]);
    celery.send("emails", 1, &["--countdown", "3600"]);
    crate::support::python::Rq::V3.client(&redis.url(), &["send", "mail", "3"]);
    let tailback = Tailback::start_config(&config(&redis.url_as("tail:pw"), ""));
    let metrics = tailback.wait_jobs("list", "jobs", "ready", 3);
    assert_eq!(metrics.get("tailback_broker_up", &[]), Some(1.0));
    assert_eq!(metrics.jobs("celery", "emails", "ready"), Some(3.0));
    assert_eq!(metrics.jobs("rq", "mail", "ready"), Some(3.0));
    assert_eq!(metrics.sum("tailback_poll_errors_total", &[]), 0.0);
    // Of what is asked, INFO alone is more than these rights: tried once, done without if refused.
    let log = redis.cli(&["ACL", "LOG"]);
    let refused: Vec<&str> = log.split("\nobject\n").skip(1).collect();
    assert!(
        refused.iter().all(|entry| entry.starts_with("info\n")),
        "{log}"
    );
    assert!(refused.len() <= 1 && !log.contains("count\n2"), "{log}");
}

#[test]
fn missing_rights_are_named() {
    let users = vec![
        format!("tail on >pw {RIGHTS} -llen"),
        format!("blind on >pw {RIGHTS} -scan"),
    ];
    let redis = redis(RedisOptions {
        users,
        ..RedisOptions::default()
    });
    let tailback_run = Tailback::start_config(&config(&redis.url_as("tail:pw"), ""));
    tailback_run.wait_until("permission", PATIENCE, |metrics| {
        metrics.get("tailback_poll_errors_total", &[("kind", "permission")]) >= Some(1.0)
    });
    assert_eq!(tailback_run.metrics().jobs("list", "jobs", "ready"), None);
    assert!(
        tailback_run.logs().to_lowercase().contains("llen"),
        "{}",
        tailback_run.logs()
    );

    let path = redis.dir().join("config.toml");
    for (user, right) in [("tail", "llen"), ("blind", "scan")] {
        let config = config(&redis.url_as(&format!("{user}:pw")), "");
        std::fs::write(&path, config).unwrap();
        let output = tailback(&["check", "--config", path.to_str().unwrap()]);
        let said = String::from_utf8_lossy(&output.stdout).to_lowercase()
            + &String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{said}");
        assert!(said.contains(right) && !said.contains("pw@"), "{said}");
    }
}

#[test]
fn every_single_right_that_is_missing_is_named() {
    let missing = [
        ("-llen", "llen"),
        ("-sscan", "sscan"),
        ("-scan", "scan"),
        ("-lindex", "lindex"),
        ("-lrange", "lrange"),
        ("-hmget", "hmget"),
        ("-zcard", "zcard"),
        ("-memory", "memory"),
        ("-memory|usage", "memory|usage"),
        ("-xinfo|groups", "xinfo|groups"),
        ("-xinfo|stream", "xinfo|stream"),
        ("-type", "+type"),
        ("-multi", "multi"),
        ("-exec", "exec"),
        ("-pttl", "pttl"),
        ("-xpending", "xpending"),
        ("-lpos", "lpos"),
        ("-time", "time"),
        ("-select", "select"),
        (
            "resetkeys %R~_kombu.binding.* %R~unacked* %R~emails*",
            "rq:queues",
        ),
        ("resetkeys %R~rq:*", "_kombu.binding"),
        (
            "resetkeys %R~_kombu.binding.* %R~emails* %R~rq:*",
            "unacked",
        ),
    ];
    let users = missing
        .iter()
        .enumerate()
        .map(|(index, (rule, _))| format!("user{index} on >pw {RIGHTS} {rule}"));
    let redis = redis(RedisOptions {
        users: users.collect(),
        ..RedisOptions::default()
    });
    let admin = redis.url().replace("/0", "/1");
    Celery::new(&admin).send("emails", 2, &[]);
    Rq::V3.client(&admin, &["send", "mail", "2"]);
    for (index, (rule, named)) in missing.iter().enumerate() {
        let url = redis.url_as(&format!("user{index}:pw")).replace("/0", "/1");
        let output = tailback(&["check", &url]);
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        assert_eq!(output.status.code(), Some(1), "{rule}: {said}");
        assert!(said.to_lowercase().contains(named), "{rule}: {said}");
    }
}

#[test]
fn what_is_not_known_without_info_is_a_note() {
    let redis = redis(RedisOptions {
        users: vec![
            format!("tail on >pw {RIGHTS}"),
            format!("all on >pw {RIGHTS} +info"),
        ],
        ..RedisOptions::default()
    });
    for (user, is_noted) in [("tail", true), ("all", false)] {
        let output = tailback(&["check", &redis.url_as(&format!("{user}:pw"))]);
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        assert_eq!(output.status.code(), Some(0), "{said}");
        assert_eq!(said.contains("note: without +info"), is_noted, "{said}");
    }
}

#[test]
fn sentinels_lead_to_the_new_master() {
    let mut sentinel = Sentinel::start();
    sentinel.master().cli(&["RPUSH", "jobs", "a", "b", "c"]);
    let tailback = Tailback::start_config(&config(&sentinel.url(), ""));
    tailback.wait_jobs("list", "jobs", "ready", 3);
    sentinel.failover();
    sentinel.master().cli(&["RPUSH", "jobs", "d"]);
    let metrics = tailback.wait_until("the new master is read", PATIENCE, |metrics| {
        metrics.jobs("list", "jobs", "ready") == Some(4.0)
    });
    assert_eq!(metrics.get("tailback_broker_up", &[]), Some(1.0));
    assert!(metrics.sum("tailback_poll_errors_total", &[]) >= 1.0);
}

#[test]
fn cluster_of_three_nodes() {
    let cluster = Cluster::start();
    // Names that lie in the slots of all three nodes.
    for number in 0..30 {
        let key = format!("jobs-{number}");
        let elements = vec!["x"; number + 1];
        cluster.cli(&[&["RPUSH", key.as_str()], elements.as_slice()].concat());
    }
    // kombu keeps together what belongs together by a hash tag in the prefix.
    let node = cluster.nodes.iter().find(|node| {
        let slot = node.cli(&["CLUSTER", "KEYSLOT", "{myapp}:"]);
        let slots = node.cli(&["CLUSTER", "NODES"]);
        let own = slots.lines().find(|line| line.contains("myself")).unwrap();
        let (from, to) = own.split(' ').nth(8).unwrap().split_once('-').unwrap();
        let number = |text: &str| text.parse::<u32>().unwrap();
        (number(from)..=number(to)).contains(&number(&slot))
    });
    let options = json!({"global_keyprefix": "{myapp}:"});
    let celery = Celery::new(&node.unwrap().url()).transport_options(&options);
    celery.send("emails", 4, &[]);
    celery.send("emails", 2, &["--priority", "9"]);
    let config = quick(&cluster.url())
        + "[brokers.main.redis.celery]\nglobal_keyprefix = '{myapp}:'\n\
           [brokers.main.redis.list]\nkeys = ['jobs-*']\n";
    let tailback = Tailback::start_config(&config);
    let metrics = tailback.wait_jobs("celery", "emails", "ready", 6);
    for number in 0..30 {
        let jobs = metrics.jobs("list", &format!("jobs-{number}"), "ready");
        assert_eq!(jobs, Some(f64::from(number + 1)), "jobs-{number}");
    }
    assert_eq!(metrics.get("tailback_broker_up", &[]), Some(1.0));
}
