//! A cluster of three nodes, one of which dies and comes back.

use super::*;
use crate::support::metrics::Metrics;
use crate::support::tailback::Tailback;
use std::collections::BTreeMap;

/// All of them, the dying one first: so it is the one that is asked.
fn urls(nodes: &[RabbitMq], first: usize) -> String {
    let order = (0..nodes.len()).map(|at| &nodes[(first + at) % nodes.len()]);
    let (mut amqp, mut management, mut prometheus) = (Vec::new(), Vec::new(), Vec::new());
    for node in order {
        amqp.push(node.url("/"));
        management.push(format!("http://{}", node.management));
        prometheus.push(format!("http://{}", node.prometheus));
    }
    format!(
        "[brokers.r.rabbitmq]\ninterval = \"1s\"\ntimeout = \"3s\"\nstale_after = \"4s\"\nurls = {amqp:?}\n\
         management_urls = {management:?}\nprometheus_urls = {prometheus:?}\n"
    )
}

/// The node that was asked has died: the next poll, or the one after it, is a good one of another node,
/// and the survivor's queue has told of itself.
fn goes_on_at_once(asker: &mut Poller, survivor: &str, asked: impl Fn(&Poller) -> u64) {
    let mut polls = Vec::new();
    loop {
        let before = asked(asker);
        let polled = asker.poll();
        let has_asked = asked(asker) > before;
        let is_good = polled.as_ref().is_ok_and(|success| {
            let mut all = success.observations.iter();
            let seen = all.find(|seen| &*seen.queue == survivor);
            success.faults.is_empty()
                && has_asked
                && seen.is_some_and(|seen| seen.jobs.ready == Some(3))
        });
        polls.push(polled.map(|success| success.faults));
        assert!(polls.len() <= 2, "{polls:#?}");
        if is_good {
            break;
        }
    }
    eprintln!("a good poll after {} of them: {polls:?}", polls.len());
}

#[test]
fn a_cluster_outlives_the_node_that_leads() {
    let first = RabbitMq::start(RabbitMqOptions {
        plugins: vec!["rabbitmq_management", "rabbitmq_prometheus"],
        ..RabbitMqOptions::default()
    });
    let (second, third) = (first.start_member(), first.start_member());
    let mut nodes = [first, second, third];
    nodes[0].declare("/", "quorum", &json!({"x-queue-type": "quorum"}));
    let classic: Vec<String> = (0..3).map(|at| format!("on-{at}")).collect();
    for (queue, node) in classic.iter().zip(&nodes) {
        let body = json!({"durable": true, "node": node.node_name()});
        node.api("PUT", &format!("/api/queues/%2F/{queue}"), Some(&body));
        // Counted by the node that it came to.
        let client = Client::new(&node.url("/"));
        client.publish(queue, 3, None);
        client.publish("quorum", 2, None);
    }
    let queue = nodes[0].api("GET", "/api/queues/%2F/quorum", None).json();
    let leader = nodes
        .iter()
        .position(|node| queue["leader"] == json!(node.node_name()))
        .unwrap_or_else(|| panic!("nobody leads: {queue}"));
    let lost = classic[leader].clone();
    let all = ["on-0", "on-1", "on-2", "quorum"];

    let config = urls(&nodes, leader);
    let tailback = Tailback::start_config(&config);
    let is_management = |line: &&str| line.starts_with("management_urls");
    let others: Vec<&str> = config.lines().filter(|line| !is_management(line)).collect();
    let without_management = format!("{}\nmanagement = false\n", others.join("\n"));
    let mut scraper = Poller::from_toml(&without_management);
    let success = scraper.await_poll(|success| names(success) == all && success.faults.is_empty());
    let ready = |success: &PollSuccess| -> BTreeMap<String, Option<u64>> {
        let all = success.observations.iter();
        all.map(|seen| (seen.queue.to_string(), seen.jobs.ready))
            .collect()
    };
    assert!(ready(&success).values().all(Option::is_some));
    let wanted = |queue: &str| if queue == "quorum" { 6.0 } else { 3.0 };
    let enqueued = "tailback_queue_enqueued_total";
    tailback.wait_until("all queues", SETTLED, |metrics| {
        all.iter().all(|queue| {
            metrics.jobs("rabbitmq", queue, "ready") == Some(wanted(queue))
                && metrics.get(enqueued, &[("queue", queue)]) == Some(wanted(queue))
        })
    });

    // One that asks the queue of a survivor itself too, through AMQP.
    let survivor = classic[(leader + 1) % 3].clone();
    let mut asker = Poller::from_toml(&format!("{config}declare = [{survivor:?}]\n"));
    asker.discover().unwrap();
    asker.await_poll(|success| names(success) == all && success.faults.is_empty());
    let asked = |asker: &Poller| asker.count("queue_declare_passive");
    assert!(asked(&asker) > 0);

    nodes[leader].kill();
    let killed = Instant::now();
    goes_on_at_once(&mut asker, &survivor, asked);
    let mut totals: BTreeMap<&str, f64> = BTreeMap::new();
    let mut look = |metrics: &Metrics| {
        for queue in all {
            if let Some(ready) = metrics.jobs("rabbitmq", queue, "ready") {
                assert_eq!(ready, wanted(queue), "ready of {queue}");
            }
            if let Some(total) = metrics.get(enqueued, &[("queue", queue)]) {
                let before = totals.insert(queue, total).unwrap_or(wanted(queue));
                assert!(total >= before, "{queue} fell from {before} to {total}");
                assert!(total <= wanted(queue), "{queue} jumped to {total}");
            }
        }
    };
    // The survivors go on telling; the dead node's queue is unknown, and not empty.
    tailback.wait_until("the survivors", SETTLED, |metrics| {
        look(metrics);
        metrics.get("tailback_broker_up", &[]) == Some(1.0)
            && metrics.jobs("rabbitmq", &lost, "ready").is_none()
            && metrics.jobs("rabbitmq", "quorum", "ready") == Some(6.0)
    });
    println!("settled after {:?}", killed.elapsed());
    let success = scraper.poll().unwrap();
    assert_eq!(success.faults.len(), 1, "{:?}", success.faults);
    assert_eq!(ready(&success).get(&lost), None);
    assert!(success.kept.iter().any(|(_, queue)| **queue == *lost));

    nodes[leader].restart();
    tailback.wait_until("the node again", SETTLED, |metrics| {
        look(metrics);
        metrics.jobs("rabbitmq", &lost, "ready") == Some(3.0)
    });
    scraper.await_poll(|success| names(success) == all && success.faults.is_empty());
    let end = Instant::now() + Duration::from_secs(3);
    while Instant::now() < end {
        look(&tailback.metrics());
        std::thread::sleep(Duration::from_millis(300));
    }
}
