//! A Redis in memory that answers reads from keys recorded from real job systems, and a driver
//! that holds a layout's conversations with it.

pub(crate) mod arbitrary;
mod driver;
mod fuzz;
mod keyspace;
mod recordings;
mod stored;
mod stream;
mod systems;

use crate::config;
use driver::{Driven, MAX_ROUNDS};
pub(crate) use keyspace::Keyspace;
pub(crate) use stored::Stored;

/// A Redis of which only the options of the job systems matter.
pub(crate) fn redis() -> config::Redis {
    config::Redis {
        topology: config::RedisTopology::Unix("/nowhere".into()),
        username: None,
        password: None,
        db: 0,
        tls: None,
        celery: config::Celery::default(),
        rq: config::Rq::default(),
        dramatiq: config::Dramatiq {
            namespace: "dramatiq".to_owned(),
        },
        huey: config::Huey::default(),
        arq: config::Arq {
            queues: vec!["arq:queue".to_owned()],
        },
        taskiq: config::Taskiq {
            queues: vec!["taskiq".to_owned()],
        },
        sidekiq: config::Sidekiq::default(),
        bullmq: config::Bullmq {
            prefix: "bull".to_owned(),
        },
        resque: config::Resque {
            namespace: "resque".to_owned(),
        },
        list: config::List::default(),
    }
}
