//! Celery's events on RabbitMQ: the exchange `celeryev` hands them to whoever has bound a queue to it.
//! That queue is the one thing that tailback creates in a broker. It is ours alone (exclusive), goes
//! with the connection, and can hold little: what is not taken in [`TTL_MS`] is dropped.
//!
//! Messages are acknowledged, many at a time: without that the broker sends as fast as the network
//! takes it, and the client library would keep what we have not read yet without a limit.
//!
//! The broker does not tell when it drops something. It cannot have while the queue was nearly empty
//! within [`STALL`]; else a gap is told, whether there was one or not.

use super::amqp::{Amqp, amqp_code};
use crate::broker::BrokerError;
use crate::broker::events::{Inbox, Listen, OPENING};
use crate::broker::wire::Meter;
use crate::clock;
use crate::layout::celery::events::{Decoded, decode};
use crate::model::ErrorKind;
use futures_core::Stream as _;
use lapin::message::Delivery;
use lapin::options::{
    BasicAckOptions, BasicConsumeOptions, BasicQosOptions, ExchangeDeclareOptions,
    QueueBindOptions, QueueDeclareOptions,
};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{Channel, Consumer, ExchangeKind};
use std::future::poll_fn;
use std::hash::{BuildHasher, RandomState};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, timeout, timeout_at};

/// Messages that may be on their way to us, and how many are acknowledged at once.
const PREFETCH: u16 = 200;
const ACK_EVERY: u16 = 50;

/// What the queue holds at most while we do not read: as long, as many, as much.
const TTL_MS: i32 = 10_000;
const MAX_LENGTH: i32 = 100_000;
const MAX_BYTES: i32 = 64 * 1024 * 1024;

/// So often is the queue asked how much is in it, if anything came since, and so long may it hold more
/// than a few messages.
const LOOK: Duration = Duration::from_secs(1);
const STALL: Duration = Duration::from_secs(5);
const FEW: u32 = 1000;

/// The broker deletes the queue if nobody consumes it for so long.
const EXPIRES_MS: i32 = 60_000;

pub(super) struct Subscription {
    pub(super) amqp: Amqp,
    pub(super) vhost: String,
    pub(super) exchange: String,
    pub(super) max_payload: u64,
    pub(super) meter: Arc<Meter>,
}

impl Listen for Subscription {
    async fn listen(&mut self, inbox: &Inbox) -> BrokerError {
        let link = match self.amqp.connect(&self.vhost).await {
            Ok(link) => link,
            Err(error) => return error,
        };
        let opened = timeout(OPENING, async {
            let channel = link.connection.create_channel().await?;
            let consumer = self.subscribe(&channel).await?;
            lapin::Result::Ok((channel, consumer))
        });
        let (channel, consumer) = match opened.await {
            Ok(Ok(opened)) => opened,
            Ok(Err(error)) => return self.refusal(&error),
            Err(_) => {
                let message = format!("events: no consumer within {OPENING:?}");
                return BrokerError::new(ErrorKind::Timeout, message);
            }
        };
        inbox.opened();
        let why = match self.read(&channel, consumer, inbox).await {
            Some(error) => error.to_string(),
            None => "the broker has cancelled it".to_owned(),
        };
        BrokerError::new(
            ErrorKind::Connect,
            format!("AMQP: the consumer of Celery's events has ended: {why}"),
        )
    }
}

impl Subscription {
    /// The name of our queue, and what reads it.
    async fn subscribe(&self, channel: &Channel) -> lapin::Result<(String, Consumer)> {
        // Only looked at: if it does not exist, nobody sends events.
        self.meter.count("exchange_declare_passive", 1);
        let passive = ExchangeDeclareOptions {
            passive: true,
            ..ExchangeDeclareOptions::default()
        };
        let exchange = self.exchange.as_str();
        let arguments = FieldTable::default();
        channel
            .exchange_declare(exchange.into(), ExchangeKind::Topic, passive, arguments)
            .await?;
        // Named like the queues of Celery's own monitors, which others know to leave alone.
        let queue = format!(
            "{exchange}.tailback.{:016x}",
            RandomState::new().hash_one(())
        );
        self.meter.count("queue_declare", 1);
        let mut arguments = FieldTable::default();
        for (name, value) in [
            ("x-message-ttl", TTL_MS),
            ("x-max-length", MAX_LENGTH),
            ("x-max-length-bytes", MAX_BYTES),
            ("x-expires", EXPIRES_MS),
        ] {
            arguments.insert(name.into(), AMQPValue::LongInt(value));
        }
        let ours = QueueDeclareOptions {
            exclusive: true,
            auto_delete: true,
            ..QueueDeclareOptions::default()
        };
        channel
            .queue_declare(queue.as_str().into(), ours, arguments)
            .await?;
        self.meter.count("queue_bind", 1);
        channel
            .queue_bind(
                queue.as_str().into(),
                exchange.into(),
                "#".into(),
                QueueBindOptions::default(),
                FieldTable::default(),
            )
            .await?;
        channel
            .basic_qos(PREFETCH, BasicQosOptions::default())
            .await?;
        self.meter.count("basic_consume", 1);
        let alone = BasicConsumeOptions {
            exclusive: true,
            ..BasicConsumeOptions::default()
        };
        let consumer = channel
            .basic_consume(
                queue.as_str().into(),
                "tailback".into(),
                alone,
                FieldTable::default(),
            )
            .await?;
        Ok((queue, consumer))
    }

    /// How many messages our queue holds that are not on their way to us.
    async fn waiting(&self, channel: &Channel, queue: &str) -> lapin::Result<u32> {
        self.meter.count("queue_declare_passive", 1);
        let passive = QueueDeclareOptions {
            passive: true,
            ..QueueDeclareOptions::default()
        };
        let queue = channel.queue_declare(queue.into(), passive, FieldTable::default());
        Ok(queue.await?.message_count())
    }

    /// Reads until the consumer ends. Why; `None` if the broker has cancelled it.
    async fn read(
        &self,
        channel: &Channel,
        (queue, mut consumer): (String, Consumer),
        inbox: &Inbox,
    ) -> Option<lapin::Error> {
        let mut unacknowledged = 0;
        let mut has_come = false;
        let mut look = clock::now().mono;
        let mut end = EndOfQueue(look);
        loop {
            let next = poll_fn(|cx| Pin::new(&mut consumer).poll_next(cx));
            let next = timeout_at(look, next).await;
            let now = clock::now().mono;
            if now >= look {
                let is_near = match has_come {
                    false => true,
                    true => match self.waiting(channel, &queue).await {
                        Ok(messages) => messages < FEW,
                        Err(error) => return Some(error),
                    },
                };
                if end.is_missed(is_near, now) {
                    inbox.stalled();
                }
                (look, has_come) = (now + LOOK, false);
            }
            let Ok(delivery) = next else {
                continue;
            };
            has_come = true;
            let delivery = match delivery? {
                Ok(delivery) => delivery,
                Err(error) => return Some(error),
            };
            inbox.take(self.decode(&delivery));
            unacknowledged += 1;
            if unacknowledged >= ACK_EVERY {
                unacknowledged = 0;
                self.meter.count("basic_ack", 1);
                let all = BasicAckOptions { multiple: true };
                if let Err(error) = delivery.acker.ack(all).await {
                    return Some(error);
                }
            }
        }
    }

    fn decode(&self, delivery: &Delivery) -> Decoded {
        if delivery.data.len() as u64 > self.max_payload {
            return Decoded::unreadable("it is larger than `max_payload_bytes`");
        }
        let properties = &delivery.properties;
        let headers = properties.headers().as_ref();
        let is_compressed = headers.is_some_and(|headers| {
            let compression = headers.inner().get("compression");
            compression.is_some_and(|compression| *compression != AMQPValue::Void)
        });
        let of = |text: &Option<lapin::types::ShortString>| text.as_ref().map(ToString::to_string);
        decode(
            of(properties.content_type()).as_deref(),
            of(properties.content_encoding()).as_deref(),
            is_compressed,
            &delivery.data,
        )
    }

    fn refusal(&self, error: &lapin::Error) -> BrokerError {
        let (exchange, vhost) = (&self.exchange, &self.vhost);
        let (kind, message) = match amqp_code(error) {
            Some(404) => (
                ErrorKind::Protocol,
                format!(
                    "AMQP: there is no exchange `{exchange}` in the vhost `{vhost}`, so no worker has \
                     sent events yet: start Celery's workers with -E"
                ),
            ),
            Some(403) => (
                ErrorKind::Permission,
                format!(
                    "AMQP: this user may not listen to Celery's events; docs/celery-events.md has \
                     the permissions: {error}"
                ),
            ),
            _ => (
                ErrorKind::Connect,
                format!("AMQP: Celery's events cannot be consumed: {error}"),
            ),
        };
        BrokerError::new(kind, message)
    }
}

/// When there was last next to nothing in the queue.
struct EndOfQueue(Instant);

impl EndOfQueue {
    /// Whether that was too long ago, so that something may have been dropped before it was read.
    fn is_missed(&mut self, is_near: bool, now: Instant) -> bool {
        let is_missed = now.duration_since(self.0) > STALL;
        if is_near || is_missed {
            self.0 = now;
        }
        is_missed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_who_was_far_from_the_end_for_long_may_have_missed_something() {
        let start = clock::now().mono;
        let at = |secs: u64| start + Duration::from_secs(secs);
        let mut end = EndOfQueue(start);
        // Quiet, then busy, then quiet.
        for (secs, is_near) in [(1, true), (2, true), (3, false), (7, false), (7, true)] {
            assert!(!end.is_missed(is_near, at(secs)), "{secs}");
        }
        // Once for each time that it may have happened.
        assert!(end.is_missed(true, at(13)));
        assert!(!end.is_missed(true, at(13)));
        assert!(end.is_missed(false, at(19)));
        assert!(!end.is_missed(false, at(20)));
        assert!(end.is_missed(false, at(25)));
    }
}
