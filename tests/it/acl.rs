//! `tailback generate acl`: what it allows is enough.

use crate::support::rabbitmq::RabbitMq;
use crate::support::redis::{Cluster, Redis, Sentinel};
use crate::support::tailback::{Tailback, quick, tailback, tailback_ok};
use serde_json::json;

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
