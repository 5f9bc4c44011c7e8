//! A RabbitMQ source against real nodes: known numbers in, the same numbers out.

mod celery;
mod celery_waits;
mod cluster;
mod counters;
mod dead_letters;
mod dramatiq;
mod fallback;
mod faults;
mod flow;
mod freshness;
mod kinds;
mod many;
mod numbers;
mod rights;
mod tls;
mod uncounted;

use crate::support::rabbitmq::{RabbitMq, RabbitMqOptions};
use lapin::options::{
    BasicAckOptions, BasicConsumeOptions, BasicGetOptions, BasicNackOptions, BasicPublishOptions,
    ConfirmSelectOptions,
};
use lapin::types::FieldTable;
use lapin::{BasicProperties, Channel, Connection, ConnectionProperties, Consumer};
use serde_json::json;
use std::time::{Duration, Instant};
use tailback::broker::rabbitmq::RabbitMqSource;
use tailback::broker::{BrokerError, Source};
use tailback::config::{Config, Endpoint, Environment};
use tailback::model::{
    DropReason, ErrorKind, Head, LatencySource, Observation, PollSuccess, Reason, System, Timestamp,
};
use tokio::runtime::Runtime;
use tokio::time::timeout;

/// Statistics settle within this, also those of many quorum queues on a busy machine.
const SETTLED: Duration = Duration::from_secs(60);

/// A source and the runtime that it lives in.
struct Poller {
    runtime: Runtime,
    source: RabbitMqSource,
}

impl Poller {
    /// `keys` are further lines of `[brokers.r.rabbitmq]`.
    fn new(url: &str, keys: &str) -> Self {
        Self::from_toml(&format!("[brokers.r.rabbitmq]\nurl = {url:?}\n{keys}\n"))
    }

    fn of(rabbit: &RabbitMq, vhost: &str, keys: &str) -> Self {
        Self::new(
            &rabbit.url(vhost),
            &format!("{}\n{keys}", management_of(rabbit)),
        )
    }

    fn from_toml(text: &str) -> Self {
        let config = Config::from_toml(text, "test.toml", &Environment::default()).unwrap();
        let broker = &config.brokers[0];
        let Endpoint::RabbitMq(endpoint) = &broker.endpoint else {
            panic!("a RabbitMQ")
        };
        let runtime = Runtime::new().unwrap();
        let source = RabbitMqSource::new(broker, endpoint);
        Self { runtime, source }
    }

    fn poll(&mut self) -> Result<PollSuccess, BrokerError> {
        self.runtime.block_on(self.source.poll())
    }

    fn failure(&mut self) -> BrokerError {
        self.poll().unwrap_err()
    }

    fn discover(&mut self) -> Result<Duration, BrokerError> {
        self.runtime.block_on(self.source.discover())
    }

    /// Polls until the queue is as wanted.
    fn await_queue(
        &mut self,
        queue: &str,
        is_wanted: impl Fn(&Observation) -> bool,
    ) -> Observation {
        let mut last = None;
        let until = Instant::now() + SETTLED;
        while Instant::now() < until {
            let success = self.poll().unwrap();
            assert_eq!(success.faults, []);
            last = success
                .observations
                .into_iter()
                .find(|seen| &*seen.queue == queue);
            if last.as_ref().is_some_and(&is_wanted) {
                return last.unwrap();
            }
            std::thread::sleep(Duration::from_millis(200));
        }
        panic!("{queue} did not become as wanted: {last:#?}");
    }

    /// Polls until a poll is as wanted.
    fn await_poll(&mut self, is_wanted: impl Fn(&PollSuccess) -> bool) -> PollSuccess {
        let until = Instant::now() + SETTLED;
        loop {
            let polled = self.poll();
            if let Ok(success) = &polled
                && is_wanted(success)
            {
                return polled.unwrap();
            }
            assert!(Instant::now() < until, "not as wanted: {polled:#?}");
            std::thread::sleep(Duration::from_millis(200));
        }
    }

    fn count(&self, command: &str) -> u64 {
        self.source
            .cost()
            .commands
            .get(command)
            .copied()
            .unwrap_or(0)
    }
}

fn management_of(rabbit: &RabbitMq) -> String {
    format!("management_url = \"http://{}\"", rabbit.management)
}

fn names(success: &PollSuccess) -> Vec<&str> {
    success
        .observations
        .iter()
        .map(|seen| &*seen.queue)
        .collect()
}

fn now() -> Timestamp {
    tailback::clock::now().wall
}

/// A client of the test's own.
struct Client {
    runtime: Runtime,
    _connection: Connection,
    channel: Channel,
}

impl Client {
    fn new(url: &str) -> Self {
        let runtime = Runtime::new().unwrap();
        let (connection, channel) = runtime.block_on(async {
            let connection = Connection::connect(url, ConnectionProperties::default())
                .await
                .unwrap();
            let channel = connection.create_channel().await.unwrap();
            // Wait for the broker to have a message before going on.
            channel
                .confirm_select(ConfirmSelectOptions::default())
                .await
                .unwrap();
            (connection, channel)
        });
        Self {
            runtime,
            _connection: connection,
            channel,
        }
    }

    fn declare(&self, queue: &str) {
        let options = lapin::options::QueueDeclareOptions {
            durable: true,
            ..Default::default()
        };
        let declaring = self
            .channel
            .queue_declare(queue.into(), options, FieldTable::default());
        self.runtime.block_on(declaring).unwrap();
    }

    fn publish(&self, queue: &str, times: u32, timestamp: Option<u64>) {
        let mut properties = BasicProperties::default().with_delivery_mode(2);
        if let Some(timestamp) = timestamp {
            properties = properties.with_timestamp(timestamp);
        }
        self.runtime.block_on(async {
            for _ in 0..times {
                let options = BasicPublishOptions::default();
                let publish = self.channel.basic_publish(
                    "".into(),
                    queue.into(),
                    options,
                    b"job",
                    properties.clone(),
                );
                publish.await.unwrap().await.unwrap();
            }
        });
    }

    /// Takes a message and holds it; its delivery tag.
    fn take(&self, queue: &str) -> u64 {
        self.get(queue, false).unwrap()
    }

    /// Takes a message, with `no_ack` for good, if there is one; its delivery tag.
    fn get(&self, queue: &str, no_ack: bool) -> Option<u64> {
        let options = BasicGetOptions { no_ack };
        let get = self.channel.basic_get(queue.into(), options);
        let message = self.runtime.block_on(get).unwrap()?;
        Some(message.delivery_tag)
    }

    /// Holds so many messages and takes no more.
    fn consume(&self, queue: &str, prefetch: u16) -> Consumer {
        self.runtime.block_on(async {
            let qos = self.channel.basic_qos(prefetch, Default::default());
            qos.await.unwrap();
            let options = BasicConsumeOptions::default();
            let consuming =
                self.channel
                    .basic_consume(queue.into(), "".into(), options, FieldTable::default());
            consuming.await.unwrap()
        })
    }

    fn ack(&self, tag: u64) {
        let ack = self.channel.basic_ack(tag, BasicAckOptions::default());
        self.runtime.block_on(ack).unwrap();
    }

    fn requeue(&self, tag: u64) {
        self.nack(tag, true);
    }

    /// Gives a message back for good: it is dropped, or dead-lettered.
    fn reject(&self, tag: u64) {
        self.nack(tag, false);
    }

    fn nack(&self, tag: u64, requeue: bool) {
        let options = BasicNackOptions {
            requeue,
            ..BasicNackOptions::default()
        };
        self.runtime
            .block_on(self.channel.basic_nack(tag, options))
            .unwrap();
    }
}
