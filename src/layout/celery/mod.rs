//! Celery (through kombu), on Redis and on RabbitMQ.

mod message;
pub mod redis;
mod unacked;

pub(super) use message::iso_time;

#[cfg(test)]
mod tests;
