//! The source against a scripted management API: lists that change while they are read, nodes that
//! fail, answers that are none.

mod answers;
mod histories;
mod many;
mod pages;
mod presence;
mod slow;

use super::RabbitMqSource;
use crate::broker::{BrokerError, Source};
use crate::config::{Config, Endpoint, Environment};
use crate::model::{ErrorKind, PollSuccess};
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
