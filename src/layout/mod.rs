//! What each job system looks like inside a broker: pure decoders, one file a system, one row in
//! [`LAYOUTS`]. No I/O, no clock: a layout says what to read and makes sense of the replies.

pub mod arq;
pub mod asynq;
pub mod bullmq;
pub mod celery;
pub mod dramatiq;
pub mod glob;
mod heads;
pub mod huey;
pub mod list;
mod marker;
pub mod name;
mod prefix;
pub mod rabbitmq;
pub mod redis;
pub mod resque;
pub mod rq;
mod running;
pub mod sidekiq;
pub mod stream;
mod tally;
pub mod taskiq;
#[cfg(test)]
mod testing;

use crate::config;
use crate::model::System;

/// One job system: how to bind its layout to a configured broker of each kind that it runs on.
pub struct Row {
    pub system: System,
    pub redis: Option<BindRedis>,
    pub rabbitmq: Option<BindRabbitMq>,
}

/// Takes the options and the size above which no payload is fetched.
pub type BindRedis = fn(&config::Redis, u64) -> Box<dyn redis::Layout>;

pub type BindRabbitMq = fn(&config::RabbitMq) -> Box<dyn rabbitmq::Layout>;

/// Every job system. Where several layouts claim one RabbitMQ queue the first row wins, so plain
/// RabbitMQ, which claims everything, is last.
pub static LAYOUTS: &[Row] = &[
    Row {
        system: System::Celery,
        redis: Some(celery::redis::bind),
        rabbitmq: Some(celery::rabbitmq::bind),
    },
    Row {
        system: System::Rq,
        redis: Some(rq::bind),
        rabbitmq: None,
    },
    Row {
        system: System::Dramatiq,
        redis: Some(dramatiq::bind),
        rabbitmq: Some(dramatiq::rabbitmq::bind),
    },
    Row {
        system: System::Huey,
        redis: Some(huey::bind),
        rabbitmq: None,
    },
    Row {
        system: System::Arq,
        redis: Some(arq::bind),
        rabbitmq: None,
    },
    Row {
        system: System::Sidekiq,
        redis: Some(sidekiq::bind),
        rabbitmq: None,
    },
    Row {
        system: System::Resque,
        redis: Some(resque::bind),
        rabbitmq: None,
    },
    Row {
        system: System::Asynq,
        redis: Some(asynq::bind),
        rabbitmq: None,
    },
    Row {
        system: System::Bullmq,
        redis: Some(bullmq::bind),
        rabbitmq: None,
    },
    Row {
        system: System::Taskiq,
        redis: Some(taskiq::bind),
        rabbitmq: None,
    },
    Row {
        system: System::Stream,
        redis: Some(stream::bind),
        rabbitmq: None,
    },
    Row {
        system: System::List,
        redis: Some(list::bind),
        rabbitmq: None,
    },
    Row {
        system: System::RabbitMq,
        redis: None,
        rabbitmq: Some(rabbitmq::bind),
    },
];
