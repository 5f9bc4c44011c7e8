//! Brokers with many queues: the list in one piece, and only those queues that have worked.

use super::*;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

/// More than are read in pages.
const MANY: usize = 1001;

/// What a broker with [`MANY`] queues tells: of each its counter and what its process has worked.
#[derive(Clone)]
struct Broker {
    queues: Arc<Mutex<BTreeMap<String, (u64, u64)>>>,
    /// Paths that are never answered.
    silent: Arc<Mutex<Vec<&'static str>>>,
    cluster: &'static str,
}

impl Broker {
    fn new() -> Self {
        let names = (0..MANY).map(|number| format!("q{number:04}"));
        Self {
            queues: Arc::new(Mutex::new(names.map(|name| (name, (0, 100))).collect())),
            silent: Arc::default(),
            cluster: "c@here",
        }
    }

    fn set(&self, name: &str, counter: u64, work: u64) {
        let mut queues = self.queues.lock().unwrap();
        queues.insert(name.to_owned(), (counter, work));
    }

    fn row(name: &str, counter: u64) -> String {
        format!(
            r#"{{"name":"{name}","type":"classic","messages_ready":0,"messages_unacknowledged":0,
                "consumers":0,"message_stats":{{"publish":{counter},"deliver_get":{counter}}}}}"#
        )
    }

    fn answer(&self, path: &str) -> Option<(u16, String)> {
        if self
            .silent
            .lock()
            .unwrap()
            .iter()
            .any(|part| path.contains(part))
        {
            return Some((NEVER, String::new()));
        }
        let queues = self.queues.lock().unwrap();
        if path.starts_with("/api/overview") {
            return Some((200, r#"{"cluster_name":"c@here"}"#.to_owned()));
        }
        if path.starts_with("/metrics/detailed?family=queue_coarse_metrics&vhost=v") {
            let mut text = format!(
                "rabbitmq_identity_info{{rabbitmq_cluster=\"{}\"}} 1\n",
                self.cluster
            );
            for (name, (_, work)) in queues.iter() {
                for (what, value) in [
                    ("messages_ready", 0),
                    ("messages_unacked", 0),
                    ("process_reductions_total", *work),
                ] {
                    let metric = format!("rabbitmq_detailed_queue_{what}");
                    writeln!(text, "{metric}{{vhost=\"v\",queue=\"{name}\"}} {value}").unwrap();
                }
            }
            return Some((200, text));
        }
        if let Some(rest) = path.strip_prefix("/api/queues/v/") {
            let name = rest.split('?').next().unwrap();
            return Some(match queues.get(name) {
                Some((counter, _)) => (200, Self::row(name, *counter)),
                None => (404, r#"{"reason":"Not Found"}"#.to_owned()),
            });
        }
        let rows = queues
            .iter()
            .map(|(name, (counter, _))| Self::row(name, *counter));
        let page = path.strip_prefix("/api/queues/v?page=");
        match page.and_then(|rest| rest.split('&').next()) {
            Some(number) => {
                let number: usize = number.parse().unwrap();
                let rows: Vec<_> = rows.skip((number - 1) * 500).take(500).collect();
                let (rows, count) = (rows.join(","), queues.len());
                let pages = count.div_ceil(500);
                Some((
                    200,
                    format!(
                        r#"{{"items":[{rows}],"page_count":{pages},"filtered_count":{count}}}"#
                    ),
                ))
            }
            None if path == "/api/queues/v?columns=name" => {
                let name = |name: &String| format!(r#"{{"name":"{name}"}}"#);
                let names: Vec<_> = queues.keys().map(name).collect();
                Some((200, format!("[{}]", names.join(","))))
            }
            None if path.starts_with("/api/queues/v?") => {
                Some((200, format!("[{}]", rows.collect::<Vec<_>>().join(","))))
            }
            _ => basics(path),
        }
    }

    async fn start(&self) -> Node {
        let this = self.clone();
        Node::start(move |path| this.answer(path)).await
    }
}

/// How often the whole list, pages of it, and single queues have been asked for since the last time.
fn asked(node: &Node) -> (usize, usize, usize) {
    let paths = std::mem::take(&mut *node.asked.lock().unwrap());
    let count = |start: &str| paths.iter().filter(|path| path.starts_with(start)).count();
    let singles = paths
        .iter()
        .filter(|path| path.starts_with("/api/queues/v/") && path.contains("?columns=name,type"));
    (
        count("/api/queues/v?columns=name,type"),
        count("/api/queues/v?page="),
        singles.count(),
    )
}

/// Lets time pass without waiting for it.
async fn pass(secs: u64) {
    tokio::time::pause();
    tokio::time::advance(Duration::from_secs(secs)).await;
    tokio::time::resume();
}

fn enqueued(success: &PollSuccess, queue: &str) -> Option<u64> {
    let seen = success.observations.iter();
    seen.filter(|seen| &*seen.queue == queue)
        .find_map(|seen| seen.counters.enqueued)
}

const PATIENT: &str = "interval = \"60s\"\ntimeout = \"50s\"";

fn with_plugin(node: &Node) -> RabbitMqSource {
    let url = format!("prometheus_url = \"http://{}\"\n{PATIENT}", node.address);
    source(&[node.address], &url)
}

/// So many of [`MANY`] are read at each poll that need not be.
const TURN: usize = MANY.div_ceil(20);

#[tokio::test]
async fn of_many_queues_those_are_read_that_have_worked() {
    let broker = Broker::new();
    let node = broker.start().await;
    let mut source = with_plugin(&node);
    // The first poll finds out how many there are. Then all is read until nothing that had happened
    // before can still be on its way to the statistics.
    assert_eq!(source.poll().await.unwrap().observations.len(), MANY);
    assert_eq!(asked(&node), (1, 2, 0));
    for wait in [5, 5, 23] {
        source.poll().await.unwrap();
        assert_eq!(asked(&node), (1, 0, 0));
        pass(wait).await;
    }
    source.poll().await.unwrap();
    assert_eq!(asked(&node), (1, 0, 0));
    let success = source.poll().await.unwrap();
    assert_eq!(asked(&node), (0, 0, TURN));
    assert_eq!(success.observations.len(), MANY);
    assert_eq!(success.faults, []);

    // One has worked: it is read at once, and again until it has settled.
    broker.set("q0990", 7, 101);
    let success = source.poll().await.unwrap();
    assert_eq!(asked(&node), (0, 0, TURN + 1));
    assert_eq!(enqueued(&success, "q0990"), Some(7));
    assert_eq!(enqueued(&success, "q0991"), Some(0));
    // The broker notes it late.
    broker.set("q0990", 9, 101);
    let success = source.poll().await.unwrap();
    assert_eq!(asked(&node), (0, 0, TURN + 1));
    assert_eq!(enqueued(&success, "q0990"), Some(9));
    pass(23).await;
    source.poll().await.unwrap();
    assert_eq!(asked(&node), (0, 0, TURN + 1));
    source.poll().await.unwrap();
    assert_eq!(asked(&node), (0, 0, TURN));

    // One comes, one goes.
    broker.set("new", 1, 1);
    broker.queues.lock().unwrap().remove("q0500");
    let success = source.poll().await.unwrap();
    assert_eq!(asked(&node), (0, 0, TURN + 1));
    assert_eq!(success.observations.len(), MANY);
    assert_eq!(enqueued(&success, "new"), Some(1));
    assert!(!names(&success).contains(&"q0500"));

    // What the plugin has not shown comes to light in its turn.
    broker.set("q0300", 5, 100);
    let mut polls = 0;
    while enqueued(&source.poll().await.unwrap(), "q0300") != Some(5) {
        polls += 1;
        assert!(polls < 20);
    }
    asked(&node);

    // Many have worked: to read them all is cheaper.
    for number in 0..300 {
        broker.set(&format!("q{number:04}"), 1, 200);
    }
    let success = source.poll().await.unwrap();
    assert_eq!(asked(&node), (1, 0, 0));
    assert_eq!(enqueued(&success, "q0299"), Some(1));
}

#[tokio::test]
async fn a_queue_that_cannot_be_read_now_keeps_its_last_numbers_and_holds_up_no_other() {
    let broker = Broker::new();
    let node = broker.start().await;
    let short = format!(
        "prometheus_url = \"http://{}\"\ntimeout = \"3s\"",
        node.address
    );
    let mut source = source(&[node.address], &short);
    for _ in 0..3 {
        source.poll().await.unwrap();
        pass(23).await;
    }
    asked(&node);
    broker.set("q0990", 7, 101);
    broker.set("q0991", 7, 101);
    *broker.silent.lock().unwrap() = vec!["/api/queues/v/q0990?"];
    let success = source.poll().await.unwrap();
    assert_eq!(asked(&node).0, 0);
    assert_eq!(enqueued(&success, "q0991"), Some(7));
    assert_eq!(enqueued(&success, "q0990"), None);
    let kept: Vec<_> = success.kept.iter().map(|(_, queue)| &**queue).collect();
    assert_eq!(kept, ["q0990"]);
    let kinds: Vec<_> = success.faults.iter().map(|fault| fault.kind).collect();
    assert_eq!(kinds, [ErrorKind::Timeout]);
    broker.silent.lock().unwrap().clear();
    let success = source.poll().await.unwrap();
    assert_eq!(enqueued(&success, "q0990"), Some(7));
    assert_eq!((success.kept.len(), success.faults), (0, Vec::new()));
}

#[tokio::test]
async fn a_plugin_of_another_cluster_is_not_believed() {
    let broker = Broker {
        cluster: "other@here",
        ..Broker::new()
    };
    let node = broker.start().await;
    let mut source = with_plugin(&node);
    for _ in 0..4 {
        let success = source.poll().await.unwrap();
        assert_eq!(
            (success.observations.len(), success.faults),
            (MANY, Vec::new())
        );
        assert_eq!(asked(&node).0, 1);
        pass(23).await;
    }
}

#[tokio::test]
async fn a_list_that_is_too_slow_in_one_piece_is_read_in_pages_for_a_while() {
    let broker = Broker::new();
    let node = broker.start().await;
    let mut source = source(&[node.address], "timeout = \"4s\"");
    source.poll().await.unwrap();
    assert_eq!(asked(&node), (1, 2, 0));
    *broker.silent.lock().unwrap() = vec!["/api/queues/v?columns=name,type"];
    let success = source.poll().await.unwrap();
    assert_eq!(
        (success.observations.len(), success.faults),
        (MANY, Vec::new())
    );
    assert_eq!(asked(&node), (1, 3, 0));
    // One page that is slow holds up no other.
    *broker.silent.lock().unwrap() = vec!["/api/queues/v?page=2&"];
    let success = source.poll().await.unwrap();
    assert_eq!((success.observations.len(), success.kept.len()), (501, 500));
    assert_eq!(success.faults.len(), 1);
    broker.silent.lock().unwrap().clear();
    let mut polls = 1;
    while asked(&node).0 == 0 {
        source.poll().await.unwrap();
        polls += 1;
    }
    assert_eq!(polls, 21);
}

/// What a person is told of the way, as `tailback check` asks.
async fn told(source: &mut RabbitMqSource) -> String {
    source.poll().await.unwrap();
    source.lacking().await.unwrap();
    source.describe().join("\n")
}

#[tokio::test]
async fn a_person_is_told_that_the_plugin_makes_many_queues_cheaper_where_it_is_not_there() {
    let broker = Broker::new();
    let node = broker.start().await;
    let advice = "rabbitmq-plugins enable rabbitmq_prometheus";
    let cheaper = "more than 1000 queues";
    let without = told(&mut source(&[node.address], PATIENT)).await;
    assert!(
        without.contains(advice) && without.contains(cheaper),
        "{without}"
    );
    let with = told(&mut with_plugin(&node)).await;
    assert_eq!(with, "read through the management API");
    broker.queues.lock().unwrap().remove("q0500");
    let few = told(&mut source(&[node.address], PATIENT)).await;
    assert_eq!(few, "read through the management API");
}
