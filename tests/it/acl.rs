//! `tailback generate acl`: what it allows is enough for everything, and nothing of it is too much.

use crate::support::metrics::Metrics;
use crate::support::nulls;
use crate::support::process::eventually;
use crate::support::rabbitmq::RabbitMq;
use crate::support::recordings;
use crate::support::redis::{Cluster, Redis, RedisOptions, Sentinel};
use crate::support::tailback::{Tailback, quick, tailback, tailback_ok};
use serde_json::{Value, json};
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(60);

/// What tailback can do without.
const USEFUL: [&str; 3] = ["client|setname", "hello", "info"];

/// Without these it reads in another way.
const REPLACED: [&str; 2] = ["lpos", "multi"];

/// The words of the rule for a user of the password `pw`.
fn rule(args: &[&str]) -> Vec<String> {
    let text = tailback_ok(&[&["generate", "acl"], args].concat());
    let lines: Vec<&str> = text.lines().filter(|line| !line.starts_with('#')).collect();
    let [command, line] = lines[..] else {
        panic!("{text}")
    };
    let words = command.strip_prefix("ACL SETUSER ").unwrap();
    assert_eq!(line.strip_prefix("user "), Some(words));
    let words = words.replace(">PASSWORD", ">pw");
    words.split(' ').map(str::to_owned).collect()
}

fn set_user(redis: &Redis, words: &[String]) {
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    assert_eq!(redis.cli(&[&["ACL", "SETUSER"], &words[..]].concat()), "OK");
}

/// The commands that were refused to users, with them.
fn refused(redis: &Redis) -> Vec<(String, String)> {
    let log = redis.cli(&["ACL", "LOG", "2000"]);
    let lines: Vec<&str> = log.lines().collect();
    let field = |at: usize, name: &str| {
        let mut rest = lines[at..].iter().skip_while(move |line| **line != name);
        rest.nth(1).unwrap().to_string()
    };
    let entries = lines
        .iter()
        .enumerate()
        .filter(|(_, line)| **line == "reason");
    entries
        .map(|(at, _)| (field(at, "username"), field(at, "object")))
        .collect()
}

#[test]
fn each_right_is_needed_and_all_together_are_enough() {
    let redis = Redis::start(RedisOptions {
        config: vec!["acllog-max-len 2000".to_owned()],
        ..RedisOptions::default()
    });
    let all = recordings::all();
    all.iter().for_each(|recording| recording.load(&redis, 0));
    // What the recordings lack: messages that workers hold.
    redis.cli(&["HSET", "unacked", "tag", "{}"]);
    redis.cli(&["ZADD", "unacked_index", "1795410400", "tag"]);
    redis.cli(&["XGROUP", "CREATE", "orders", "held", "0"]);
    let read = [
        "XREADGROUP",
        "GROUP",
        "held",
        "me",
        "COUNT",
        "1",
        "STREAMS",
        "orders",
        ">",
    ];
    assert_ne!(redis.cli(&read), "");
    let rule = rule(&["redis", "--user", "all"]);
    set_user(&redis, &rule);
    let rights: Vec<&str> = rule
        .iter()
        .filter_map(|word| word.strip_prefix('+'))
        .collect();
    let needed: Vec<&str> = rights
        .iter()
        .copied()
        .filter(|right| !USEFUL.contains(right))
        .collect();
    assert_eq!(needed.len() + USEFUL.len(), rights.len());
    let options: String = all.iter().map(|recording| &*recording.config).collect();
    // Two dozen connections that each read everything need patience.
    let mut config = "[defaults]\ninterval = '1s'\ntimeout = '15s'\nstale_after = '30s'\n\
                      discovery_interval = '2s'\n"
        .to_owned();
    let names: Vec<String> = needed.iter().map(|right| right.replace('|', "-")).collect();
    for (name, right) in names.iter().zip(&needed) {
        let mut less = rule.clone();
        less[0].clone_from(name);
        less.retain(|word| word.strip_prefix('+') != Some(right));
        set_user(&redis, &less);
    }
    for name in names.iter().map(String::as_str).chain(["all"]) {
        // The database of this number is asked for only if it is another than 0.
        let mut url = redis.url_as(&format!("{name}:pw"));
        if name == "select" {
            url = url.replace("/0", "/1");
        }
        let options = options.replace("brokers.main.", &format!("brokers.{name}."));
        config += &format!("[brokers.{name}.redis]\nurl = '{url}'\n{options}\n");
    }
    let tailback = Tailback::start_config(&config);
    let errors = |metrics: &Metrics, broker: &str| {
        let of = [("broker", broker), ("kind", "permission")];
        let errors = metrics.get("tailback_poll_errors_total", &of);
        errors.unwrap_or(0.0)
    };
    let unnoticed = |metrics: &Metrics| -> Vec<&str> {
        let rights = names.iter().zip(&needed);
        rights
            .filter(|(name, right)| errors(metrics, name) == 0.0 && !REPLACED.contains(right))
            .map(|(_, right)| *right)
            .collect()
    };
    let metrics = tailback.wait_until("every right is missed", PATIENCE, |metrics| {
        let unnoticed = unnoticed(metrics);
        println!("nobody misses {unnoticed:?}");
        unnoticed.is_empty()
    });
    // None is too much: every one is asked for and refused.
    let is_refused = |name: &String, right: &str| {
        let of = (name.clone(), right.to_owned());
        refused(&redis).contains(&of)
    };
    for (name, right) in names.iter().zip(&needed) {
        eventually(&format!("{right} is refused"), PATIENCE, || {
            is_refused(name, right).then_some(())
        });
    }
    let own = [("broker", "all")];
    assert_eq!(metrics.sum("tailback_poll_errors_total", &own), 0.0);
    assert_eq!(metrics.get("tailback_broker_up", &own), Some(1.0));
    let queues: usize = all.iter().map(|recording| recording.queues.len()).sum();
    let shown = metrics.get("tailback_broker_queues", &own).unwrap();
    assert!(shown >= queues as f64, "{shown} of {queues}");
    let refused = refused(&redis);
    assert!(refused.iter().all(|(user, _)| user != "all"), "{refused:?}");
    // What is missing is named.
    let brokers = tailback.json("/api/v1/brokers");
    let brokers = brokers["brokers"].as_array().unwrap();
    let rights = names.iter().zip(&needed);
    for (name, right) in rights.filter(|(_, right)| !REPLACED.contains(right)) {
        let broker = brokers
            .iter()
            .find(|broker| broker["broker"] == name.as_str());
        let message = broker.unwrap()["last_error"]["message"].to_string();
        assert!(message.contains(right), "{right}: {message}");
    }
    what_a_right_hides_is_not_said_to_be_untold(&tailback);
}

/// What the broker `all` knows and another one does not is hidden by the right that this one lacks.
fn what_a_right_hides_is_not_said_to_be_untold(tailback: &Tailback) {
    let list = tailback.json("/api/v1/queues");
    let queues = list["queues"].as_array().unwrap();
    let id = |queue: &Value| (queue["system"].clone(), queue["queue"].clone());
    let (known, others): (Vec<_>, Vec<_>) =
        queues.iter().partition(|queue| queue["broker"] == "all");
    let (mut hidden, mut wrong) = (0, Vec::new());
    for queue in others {
        let reasons = nulls::reasons(queue);
        // It takes a poll to find another way: until then nothing has been seen.
        if REPLACED.iter().any(|right| queue["broker"] == *right) {
            continue;
        }
        let Some(known) = known.iter().find(|known| id(known) == id(queue)) else {
            continue;
        };
        let untold = nulls::reasons(known);
        let hides = reasons
            .iter()
            .filter(|(path, _)| !untold.contains_key(*path));
        for (path, reason) in hides {
            hidden += 1;
            if reason == nulls::UNTOLD {
                wrong.push(format!("{} {} {path}", queue["broker"], queue["queue"]));
            }
        }
    }
    assert!(hidden > 100 && wrong.is_empty(), "{hidden}: {wrong:#?}");
}

#[test]
fn a_cluster_and_sentinels_have_rules_of_their_own() {
    let cluster = Cluster::start();
    for user in [
        rule(&["redis-cluster"]),
        rule(&["redis", "--user", "alone"]),
    ] {
        cluster.nodes.iter().for_each(|node| set_user(node, &user));
    }
    cluster.cli(&["RPUSH", "jobs", "a"]);
    let of = |user: &str| cluster.url().replace("://", &format!("://{user}:pw@"));
    let config = |url: &str| format!("{}list.keys = ['jobs']\n", quick(url));
    let running = Tailback::start_config(&config(&of("tailback")));
    let metrics = running.wait_jobs("list", "jobs", "ready", 1);
    assert_eq!(metrics.sum("tailback_poll_errors_total", &[]), 0.0);
    let checked = tailback(&["check", &of("alone")]);
    let said = String::from_utf8_lossy(&checked.stdout).into_owned();
    assert!(
        !checked.status.success() && said.contains("cluster|slots"),
        "{said}"
    );

    let sentinel = Sentinel::start();
    sentinel.master().cli(&["RPUSH", "jobs", "a"]);
    set_user(sentinel.master(), &rule(&["redis"]));
    let rule = rule(&["redis-sentinel", "--user", "watch"]);
    let rule: Vec<&str> = rule.iter().map(String::as_str).collect();
    sentinel.each(&[&["ACL", "SETUSER"], &rule[..]].concat());
    let url = sentinel.url().replace("://", "://tailback:pw@");
    let text = format!(
        "{}list.keys = ['jobs']\nsentinel_username = 'watch'\nsentinel_password_env = 'PW'\n",
        quick(&url)
    );
    let path = sentinel.master().dir().join("config.toml");
    std::fs::write(&path, text).unwrap();
    let running = Tailback::start_with(&["--config", path.to_str().unwrap()], &[("PW", "pw")]);
    let metrics = running.wait_jobs("list", "jobs", "ready", 1);
    assert_eq!(metrics.sum("tailback_poll_errors_total", &[]), 0.0);
}

#[test]
fn rabbitmq_is_read_with_what_is_written() {
    let rabbit = RabbitMq::shared();
    let vhost = rabbit.vhost();
    rabbit.declare(&vhost, "jobs", &json!({}));
    rabbit.publish(&vhost, "jobs", "hello", &json!({}));
    let args = [
        "generate", "acl", "rabbitmq", "--user", "acl-test", "--vhost", &vhost,
    ];
    let text = tailback_ok(&args);
    let commands = text
        .lines()
        .filter_map(|line| line.strip_prefix("rabbitmqctl "));
    let mut count = 0;
    for command in commands {
        let words: Vec<&str> = command
            .split(' ')
            .map(|word| word.trim_matches('\''))
            .collect();
        rabbit.ctl(&words);
        count += 1;
    }
    assert_eq!(count, 3);
    let config = |management: &str| {
        format!(
            "[brokers.main.rabbitmq]\nurl = '{}'\nmanagement_url = 'http://{management}'\n\
             interval = '500ms'\n",
            rabbit.url_as("acl-test:PASSWORD", &vhost)
        )
    };
    let running = Tailback::start_config(&config(&rabbit.management.to_string()));
    let metrics = running.wait_jobs("rabbitmq", "jobs", "ready", 1);
    assert_eq!(metrics.sum("tailback_poll_errors_total", &[]), 0.0);
    let path = running.dir().join("check.toml");
    std::fs::write(&path, config(&rabbit.management.to_string())).unwrap();
    let check = || {
        let checked = tailback(&["check", "--config", path.to_str().unwrap()]);
        let said = String::from_utf8_lossy(&checked.stdout).into_owned();
        (checked.status.success(), said)
    };
    assert!(check().0);
    // Without the tag, and without the access.
    rabbit.ctl(&["set_user_tags", "acl-test"]);
    let (is_fine, said) = check();
    assert!(!is_fine && said.contains("monitoring"), "{said}");
    rabbit.ctl(&["set_user_tags", "acl-test", "monitoring"]);
    rabbit.ctl(&["clear_permissions", "-p", &vhost, "acl-test"]);
    let (is_fine, said) = check();
    assert!(!is_fine && said.contains(&vhost), "{said}");
}
