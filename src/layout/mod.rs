//! What each job system looks like inside a broker: pure decoders, one file a system, one row in
//! [`LAYOUTS`]. No I/O, no clock: a layout says what to read and makes sense of the replies.

pub mod celery;
pub mod name;
pub mod rabbitmq;
pub mod redis;

use crate::config;
use crate::model::System;

/// One job system: how to bind its layout to a configured broker of each kind that it runs on.
pub struct Row {
    pub system: System,
    pub rabbitmq: Option<fn(&config::RabbitMq) -> Box<dyn rabbitmq::Layout>>,
}

/// Every job system. Where several layouts claim one RabbitMQ queue the first row wins, so plain
/// RabbitMQ, which claims everything, is last.
pub static LAYOUTS: &[Row] = &[
    Row {
        system: System::Celery,
        rabbitmq: Some(celery::rabbitmq::bind),
    },
    Row {
        system: System::RabbitMq,
        rabbitmq: Some(rabbitmq::bind),
    },
];
