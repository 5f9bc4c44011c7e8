//! The source against a scripted management API: lists that change while they are read, nodes that
//! fail, answers that are none.

mod histories;
mod slow;

use super::RabbitMqSource;
use crate::broker::{BrokerError, Source};
use crate::config::{Config, Endpoint, Environment};
use crate::model::{ErrorKind, PollSuccess};
use serde_json::Value;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};

/// Answers a path with a status and a body; `None` closes the connection instead.
type Script = dyn Fn(&str) -> Option<(u16, String)> + Send + Sync;

/// In place of a status: no answer comes.
const NEVER: u16 = 0;

/// A node of the management API that answers from a script.
struct Node {
    address: SocketAddr,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Node {
    async fn start(script: impl Fn(&str) -> Option<(u16, String)> + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let (script, log): (Arc<Script>, _) = (Arc::new(script), Arc::clone(&asked));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, Arc::clone(&script), Arc::clone(&log)));
            }
        });
        Self { address, asked }
    }

    /// How often a path with this in it has been asked for.
    fn times(&self, part: &str) -> usize {
        self.asked
            .lock()
            .unwrap()
            .iter()
            .filter(|path| path.contains(part))
            .count()
    }
}

async fn serve(stream: TcpStream, script: Arc<Script>, log: Arc<Mutex<Vec<String>>>) {
    let mut stream = BufReader::new(stream);
    loop {
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            if stream.read_line(&mut head).await.unwrap_or(0) == 0 {
                return;
            }
        }
        assert!(
            head.contains("authorization: Basic Z3Vlc3Q6aHVudGVyMg=="),
            "{head}"
        );
        let path = head.split(' ').nth(1).unwrap().to_owned();
        log.lock().unwrap().push(path.clone());
        let Some((status, body)) = script(&path) else {
            return;
        };
        if status == NEVER {
            return std::future::pending().await;
        }
        let answer = format!(
            "HTTP/1.1 {status} X\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        );
        if stream.write_all(answer.as_bytes()).await.is_err() {
            return;
        }
    }
}

fn source(nodes: &[SocketAddr], keys: &str) -> RabbitMqSource {
    let urls: Vec<String> = nodes.iter().map(|node| format!("http://{node}")).collect();
    // Nothing listens at port 1.
    let text = format!(
        "[brokers.r.rabbitmq]\nurl = \"amqp://guest@127.0.0.1:1/v\"\n\
         password_env = \"PW\"\nmanagement_urls = {urls:?}\n{keys}"
    );
    let environment = Environment::from_pairs([("PW", "hunter2")]);
    let config = Config::from_toml(&text, "test.toml", &environment).unwrap();
    let Endpoint::RabbitMq(endpoint) = &config.brokers[0].endpoint else {
        panic!("a RabbitMQ")
    };
    RabbitMqSource::new(&config.brokers[0], endpoint)
}

/// A page of a list of `total` items.
fn page(names: &[&str], pages: usize, total: usize) -> String {
    let rows: Vec<String> = names
        .iter()
        .map(|name| {
            format!(r#"{{"name":"{name}","type":"classic","messages_ready":0,"consumers":0}}"#)
        })
        .collect();
    let rows = rows.join(",");
    format!(r#"{{"items":[{rows}],"page_count":{pages},"filtered_count":{total}}}"#)
}

/// What every script answers to all but the list of queues.
fn basics(path: &str) -> Option<(u16, String)> {
    if path.starts_with("/api/overview") {
        return Some((
            200,
            r#"{"rabbitmq_version":"3.10.8","disable_stats":false}"#.to_owned(),
        ));
    }
    path.starts_with("/api/exchanges/v?")
        .then(|| (200, page(&[], 1, 0)))
}

fn names(success: &PollSuccess) -> Vec<&str> {
    success
        .observations
        .iter()
        .map(|seen| &*seen.queue)
        .collect()
}

async fn failure(source: &mut RabbitMqSource) -> BrokerError {
    let error = source.poll().await.unwrap_err();
    assert!(!error.message.contains("hunter2"), "{error}");
    error
}

const OUT_OF_RANGE: &str = r#"{"error":"page_out_of_range","reason":"Page out of range"}"#;

#[tokio::test]
async fn a_queue_that_goes_away_between_two_pages_takes_no_other_along() {
    let reads = Mutex::new(0);
    let node = Node::start(move |path| {
        basics(path).or_else(|| {
            let mut reads = reads.lock().unwrap();
            *reads += 1;
            // `a` goes after the first page was read, and `c` moves onto that page.
            Some(match (*reads, path.contains("page=1&")) {
                (1, _) => (200, page(&["a", "b"], 2, 4)),
                (2, _) => (200, page(&["d"], 2, 3)),
                (_, true) => (200, page(&["b", "c"], 2, 3)),
                (_, false) => (200, page(&["d"], 2, 3)),
            })
        })
    })
    .await;
    let mut source = source(&[node.address], "");
    let success = source.poll().await.unwrap();
    assert_eq!(names(&success), ["a", "b", "c", "d"]);
    assert_eq!(node.times("/api/queues/v?"), 4);
    let success = source.poll().await.unwrap();
    assert_eq!(names(&success), ["b", "c", "d"]);
}

#[tokio::test]
async fn a_page_that_is_gone_is_the_end_of_the_list() {
    let node = Node::start(|path| {
        basics(path).or_else(|| {
            Some(match path.contains("page=1&") {
                true => (200, page(&["a", "b"], 2, 3)),
                false => (400, OUT_OF_RANGE.to_owned()),
            })
        })
    })
    .await;
    let success = source(&[node.address], "").poll().await.unwrap();
    assert_eq!(names(&success), ["a", "b"]);
}

#[tokio::test]
async fn a_known_queue_that_is_on_no_page_is_looked_for_again() {
    let reads = Mutex::new(0);
    let node = Node::start(move |path| {
        basics(path).or_else(|| {
            let mut reads = reads.lock().unwrap();
            *reads += 1;
            // At the second poll `a` goes and `e` comes between the pages: the length stays.
            Some(match (*reads, path.contains("page=1&")) {
                (1 | 3, _) => (200, page(&["a", "b"], 2, 4)),
                (2, _) => (200, page(&["c", "d"], 2, 4)),
                (4, _) => (200, page(&["d", "e"], 2, 4)),
                (_, true) => (200, page(&["b", "c"], 2, 4)),
                (_, false) => (200, page(&["d", "e"], 2, 4)),
            })
        })
    })
    .await;
    let mut source = source(&[node.address], "");
    source.poll().await.unwrap();
    let success = source.poll().await.unwrap();
    assert_eq!(names(&success), ["a", "b", "c", "d", "e"]);
}

#[tokio::test]
async fn a_node_that_fails_is_left_for_one_that_does_not() {
    let ill = Node::start(|_| Some((503, String::new()))).await;
    let well = Node::start(|path| basics(path).or_else(|| Some((200, page(&["a"], 1, 1))))).await;
    let mut source = source(&[ill.address, well.address], "");
    for _ in 0..3 {
        assert_eq!(names(&source.poll().await.unwrap()), ["a"]);
    }
    assert_eq!(ill.times("/api/"), 1);
    assert_eq!(well.times("/api/overview"), 1);
    assert_eq!(well.times("/api/queues"), 3);
}

#[tokio::test]
async fn a_closed_idle_connection_is_no_failure() {
    let polls = Mutex::new(0);
    let node = Node::start(move |path| {
        basics(path).or_else(|| {
            let mut polls = polls.lock().unwrap();
            *polls += 1;
            (*polls != 2).then(|| (200, page(&["a"], 1, 1)))
        })
    })
    .await;
    let mut source = source(&[node.address], "");
    source.poll().await.unwrap();
    assert_eq!(names(&source.poll().await.unwrap()), ["a"]);
    assert_eq!(node.times("/api/queues"), 3);
}

#[tokio::test]
async fn what_is_no_answer_of_rabbitmqs_is_said_to_be_none() {
    let list_answers = |status: u16, body: &'static str| {
        Node::start(move |path| basics(path).or_else(|| Some((status, body.to_owned()))))
    };
    for (status, body, kind) in [
        (200, "<html>hello</html>", ErrorKind::Decode),
        (200, "[1,", ErrorKind::Decode),
        (200, "{\"items\":7}", ErrorKind::Decode),
        (200, "[]", ErrorKind::Decode),
        (200, "", ErrorKind::Decode),
        (418, "{}", ErrorKind::Protocol),
        (500, "{}", ErrorKind::Protocol),
        (400, OUT_OF_RANGE_OF_ANOTHER_KIND, ErrorKind::Protocol),
    ] {
        let node = list_answers(status, body).await;
        let error = failure(&mut source(&[node.address], "")).await;
        assert_eq!(error.kind, kind, "{body}: {error}");
    }
    let rows = r#"{"items":[7,{"name":"a"},{"name":null}],"page_count":1}"#;
    let node = list_answers(200, rows).await;
    let success = source(&[node.address], "").poll().await.unwrap();
    assert_eq!(names(&success), ["a"]);
    assert_eq!(success.dropped.values().sum::<u64>(), 2);
    assert_eq!(success.faults[0].kind, ErrorKind::Decode);
}

const OUT_OF_RANGE_OF_ANOTHER_KIND: &str = r#"{"error":"invalid_pagination_parameters"}"#;

#[tokio::test]
async fn an_answer_without_end_is_cut_off() {
    let node = Node::start(|path| {
        basics(path).or_else(|| Some((200, " ".repeat(super::http::MAX_BODY_BYTES + 1))))
    })
    .await;
    let error = failure(&mut source(&[node.address], "")).await;
    assert_eq!(error.kind, ErrorKind::Protocol);
    assert!(error.message.contains("more than"), "{error}");
}

#[tokio::test]
async fn another_web_server_is_no_management_api() {
    let node = Node::start(|_| Some((404, "not here".to_owned()))).await;
    let error = failure(&mut source(&[node.address], "")).await;
    assert_eq!(error.kind, ErrorKind::Connect);
    assert!(error.message.contains("rabbitmq-plugins enable"), "{error}");
}

#[tokio::test]
async fn a_broker_without_statistics_is_asked_for_depths_alone() {
    let node = Node::start(|path| {
        if path.starts_with("/api/overview") {
            return Some((200, r#"{"disable_stats":true}"#.to_owned()));
        }
        basics(path).or_else(|| Some((200, page(&["a"], 1, 1))))
    })
    .await;
    source(&[node.address], "").poll().await.unwrap();
    assert_eq!(node.times("enable_queue_totals=true"), 1);
}

#[tokio::test]
async fn a_new_queue_is_judged_by_exchanges_as_new() {
    let polls = Mutex::new(0);
    let node = Node::start(move |path| {
        if path.starts_with("/api/overview") {
            return basics(path);
        }
        let mut polls = polls.lock().unwrap();
        if path.starts_with("/api/exchanges") {
            let body = match *polls {
                0 => page(&[], 1, 0),
                _ => r#"{"items":[{"name":"celeryev","type":"topic"},
                    {"name":"b","type":"direct"}],"page_count":1}"#
                    .to_owned(),
            };
            return Some((200, body));
        }
        *polls += 1;
        Some((
            200,
            if *polls == 1 {
                page(&["a"], 1, 1)
            } else {
                page(&["a", "b"], 1, 2)
            },
        ))
    })
    .await;
    let mut source = source(&[node.address], "");
    source.poll().await.unwrap();
    let systems: Vec<_> = source
        .poll()
        .await
        .unwrap()
        .observations
        .iter()
        .map(|seen| (seen.system.as_str(), seen.queue.to_string()))
        .collect();
    assert_eq!(
        systems,
        [("rabbitmq", "a".to_owned()), ("celery", "b".to_owned())]
    );
    source.poll().await.unwrap();
    assert_eq!(node.times("/api/exchanges"), 2);
}

#[tokio::test]
async fn a_management_api_that_was_there_is_missed_for_a_while_before_amqp_stands_in() {
    let is_there = Arc::new(Mutex::new(true));
    let there = Arc::clone(&is_there);
    let node = Node::start(move |path| {
        if !*there.lock().unwrap() {
            return None;
        }
        basics(path).or_else(|| Some((200, page(&["a"], 1, 1))))
    })
    .await;
    let mut source = source(&[node.address], "declare = [\"b\"]");
    // AMQP is not there either, which is a fault beside the management API's numbers.
    let success = source.poll().await.unwrap();
    assert_eq!((names(&success), success.faults.len()), (vec!["a"], 0));
    *is_there.lock().unwrap() = false;
    for _ in 0..super::substitute::POLLS_BEFORE_FALLBACK {
        let error = failure(&mut source).await;
        assert!(!error.message.contains("127.0.0.1:1"), "{error}");
    }
    let error = failure(&mut source).await;
    assert!(error.message.contains("127.0.0.1:1"), "{error}");
    *is_there.lock().unwrap() = true;
    assert_eq!(names(&source.poll().await.unwrap()), ["a"]);
}

#[tokio::test]
async fn recorded_pages_of_3_10_and_4_0_are_read() {
    const API: &str = include_str!("../../../tests/fixtures/rabbitmq/api.json");
    let file: Value = serde_json::from_str(API).unwrap();
    for (version, queues) in [
        ("3.10.8", ["f.classic", "f.quorum"]),
        ("4.0.5", ["celery", "celery_delayed"]),
    ] {
        let recorded = file[version]["page"].to_string();
        let node = Node::start(move |path| {
            basics(path).or_else(|| {
                Some(match path.contains("page=1&") {
                    true => (200, recorded.clone()),
                    false => (400, OUT_OF_RANGE.to_owned()),
                })
            })
        })
        .await;
        let success = source(&[node.address], "").poll().await.unwrap();
        assert_eq!(names(&success), queues, "{version}");
        assert_eq!(success.dropped.len(), 0);
    }
}

#[tokio::test]
async fn counters_are_those_of_one_node_only_where_the_broker_says_so() {
    for (listeners, are_sums) in [
        (r#"[{"node":"a@h"},{"node":"a@h"}]"#, false),
        (r#"[{"node":"a@h"},{"node":"b@h"}]"#, true),
        ("[]", true),
    ] {
        let node = Node::start(move |path| {
            if path.starts_with("/api/overview") {
                return Some((200, format!(r#"{{"listeners":{listeners}}}"#)));
            }
            basics(path).or_else(|| Some((200, page(&["a"], 1, 1))))
        })
        .await;
        let success = source(&[node.address], "").poll().await.unwrap();
        let seen = &success.observations[0];
        assert_eq!(seen.counters_are_sums, are_sums, "{listeners}");
    }
}

/// lapin's threads of this process.
#[cfg(target_os = "linux")]
fn connection_threads() -> usize {
    std::fs::read_dir("/proc/self/task")
        .unwrap()
        .filter_map(|task| std::fs::read_to_string(task.unwrap().path().join("comm")).ok())
        .filter(|name| name.starts_with("lapin-io-loop"))
        .count()
}

#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread")]
async fn a_silent_amqp_port_costs_its_time_limit_and_leaves_no_thread_behind() {
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let text = format!(
        "[brokers.r.rabbitmq]\nurl = \"amqp://{}\"\nmanagement = false\ndeclare = [\"a\"]\n\
         timeout = \"100ms\"\ninterval = \"1s\"",
        silent.local_addr().unwrap()
    );
    let config = Config::from_toml(&text, "test.toml", &Environment::default()).unwrap();
    let Endpoint::RabbitMq(endpoint) = &config.brokers[0].endpoint else {
        panic!("a RabbitMQ")
    };
    let mut source = RabbitMqSource::new(&config.brokers[0], endpoint);
    assert_eq!(failure(&mut source).await.kind, ErrorKind::Timeout);
    for _ in 0..100 {
        if connection_threads() == 0 {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    panic!("{} threads are left", connection_threads());
}
