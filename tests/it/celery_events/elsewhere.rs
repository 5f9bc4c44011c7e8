//! Wherever a broker's events come from: TLS, Sentinel, a Redis Cluster, several virtual hosts.

use super::redis::bind;
use super::*;
use crate::support::rabbitmq::RabbitMq;
use crate::support::redis::{Cluster, Redis, RedisOptions, Sentinel, Tls};
use crate::support::tailback::quick;

const WAITS: &str = "tailback_queue_sampled_wait_seconds";

/// Runs tasks, and compares what is told of their waits with what they wrote down, those of
/// earlier runs among them.
fn run_tasks(tailback: &Tailback, celery: &Celery, (queue, shown): (&str, &str), dir: &Path) {
    const TASKS: u32 = 10;
    let times = dir.join(format!("times-{queue}"));
    let recorded = || std::fs::read_to_string(&times).map_or(0, |times| times.lines().count());
    let all = recorded() + TASKS as usize;
    celery.send(queue, TASKS, &["--record", times.to_str().unwrap()]);
    let _worker = celery.worker(queue, &["-c", "1", "-E"], dir);
    let count = format!("{WAITS}_count");
    let metrics = tailback.wait_until("all waits are told", PATIENCE, |metrics| {
        recorded() == all && of_queue(metrics, &count, shown) == Some(all as f64)
    });
    compare_waits(&metrics, shown, &recorded_waits(&times));
}

#[test]
fn events_come_over_tls() {
    let redis = Redis::start(RedisOptions {
        tls: Tls::On,
        ..RedisOptions::default()
    });
    let ca = redis
        .certificates
        .as_ref()
        .unwrap()
        .ca
        .display()
        .to_string();
    let tailback = Tailback::start_config(&format!(
        "{}[brokers.main.redis.tls]\nca_file = '{ca}'\n[brokers.main.redis.celery]\nevents = true\n",
        quick(&redis.url())
    ));
    wait_listening(&tailback);
    bind(&redis, "jobs");
    let url = format!("{}?ssl_cert_reqs=required&ssl_ca_certs={ca}", redis.url());
    run_tasks(&tailback, &telling(&url), ("jobs", "jobs"), redis.dir());
    assert_eq!(
        tailback.metrics().sum("tailback_events_missed_total", &[]),
        0.0
    );
}

#[test]
fn events_come_from_the_master_that_sentinels_name_also_after_a_failover() {
    let mut sentinel = Sentinel::start();
    let dir = tempfile::tempdir().unwrap();
    let tailback = Tailback::start_config(&super::redis::config(&sentinel.url()));
    wait_listening(&tailback);
    let urls: Vec<String> = sentinel
        .sentinels
        .iter()
        .map(|sentinel| format!("sentinel://{sentinel}/0"))
        .collect();
    let celery = telling(&urls.join(";")).transport_options(&json!({"master_name": "mymaster"}));
    run_tasks(&tailback, &celery, ("jobs", "jobs"), dir.path());
    sentinel.failover();
    let metrics = tailback.wait_until("the new master is listened to", PATIENCE, |metrics| {
        missed(metrics, "disconnected") >= 1.0
            && metrics.get("tailback_events_listening", &[]) == Some(1.0)
            && metrics.get("tailback_broker_up", &[]) == Some(1.0)
    });
    assert_eq!(
        of_queue(&metrics, &format!("{WAITS}_count"), "jobs"),
        Some(10.0)
    );
    run_tasks(&tailback, &celery, ("jobs", "jobs"), dir.path());
}

/// kombu knows nothing of Redis Cluster. With a hash tag in its prefix all of its keys are on one node,
/// and that one it takes for a single server.
#[test]
fn events_come_through_a_cluster_in_which_celery_uses_one_node() {
    let cluster = Cluster::start();
    let dir = tempfile::tempdir().unwrap();
    let slot = cluster.cli(&["CLUSTER", "KEYSLOT", "{celery}"]);
    let slot: usize = slot.trim().parse().unwrap();
    let node = cluster
        .nodes
        .iter()
        .find(|node| {
            let own = node.cli(&["CLUSTER", "NODES"]);
            let own = own.lines().find(|line| line.contains("myself")).unwrap();
            let (from, to) = own.split(' ').nth(8).unwrap().split_once('-').unwrap();
            (from.parse().unwrap()..=to.parse().unwrap()).contains(&slot)
        })
        .unwrap();
    let tailback = Tailback::start_config(&format!(
        "{}[brokers.main.redis.celery]\nglobal_keyprefix = '{{celery}}:'\nevents = true\n",
        quick(&cluster.url())
    ));
    wait_listening(&tailback);
    let celery = telling(&node.url()).transport_options(&json!({"global_keyprefix": "{celery}:"}));
    run_tasks(&tailback, &celery, ("jobs", "jobs"), dir.path());
}

#[test]
fn each_virtual_host_has_events_of_its_own() {
    let rabbit = RabbitMq::shared();
    let vhosts = [rabbit.vhost(), rabbit.vhost()];
    let dir = tempfile::tempdir().unwrap();
    let tailback = Tailback::start_config(&format!(
        "[defaults]\ninterval = '1s'\ndiscovery_interval = '1s'\n[brokers.main.rabbitmq]\n\
         url = '{}'\nmanagement_url = 'http://{}'\nvhosts = {vhosts:?}\n\
         [brokers.main.rabbitmq.celery]\nevents = true\n",
        rabbit.url(&vhosts[0]),
        rabbit.management
    ));
    let celeries = vhosts.each_ref().map(|vhost| telling(&rabbit.url(vhost)));
    // Sends events, so that there is something to listen to.
    for celery in &celeries {
        celery.send("first", 1, &[]);
    }
    wait_listening(&tailback);
    for (at, (celery, vhost)) in celeries.iter().zip(&vhosts).enumerate() {
        let queue = format!("jobs-{at}");
        let shown = match at {
            0 => queue.clone(),
            _ => format!("{vhost}/{queue}"),
        };
        run_tasks(&tailback, celery, (&queue, &shown), dir.path());
    }
    // Of one tailback, one queue in each.
    for vhost in &vhosts {
        let queues = super::rabbitmq::names(rabbit, "queues", vhost);
        let ours = queues
            .iter()
            .filter(|name| name.starts_with("celeryev.tailback."));
        assert_eq!(ours.count(), 1, "{queues:?}");
    }
}
