//! Celery, on each broker that it runs on.

pub mod events;
mod list;
mod message;
pub mod rabbitmq;
pub mod redis;
mod unacked;

pub(super) use message::{iso_time, sent_time};

#[cfg(test)]
mod tests;
