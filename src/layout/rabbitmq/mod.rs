//! What a layout on RabbitMQ is: it looks at the rows of the management API's queue list, claims
//! those that are its own, and makes observations of them.

pub mod detailed;
pub mod flow;
mod internal;
mod plain;
mod row;
mod rows;
#[cfg(test)]
mod tests;

pub use internal::is_internal;
pub use plain::bind;
pub(super) use plain::observe_one;
pub use row::{Kind, QueueRow, Stats};
pub use rows::Rows;

use crate::model::{Observation, Timestamp, Window};
use std::collections::{HashMap, HashSet};

/// What a virtual host holds, by which a job system is told.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Vhost {
    /// Name and type of every exchange.
    pub exchanges: HashMap<String, String>,
    /// Names of all its queues.
    pub queues: HashSet<String>,
    /// The queue to which each queue's arguments send its dead letters, if directly.
    pub dead_letters: HashMap<String, String>,
}

impl Vhost {
    /// What exchanges and queues tell.
    pub fn of<'a>(
        exchanges: HashMap<String, String>,
        rows: impl Iterator<Item = &'a QueueRow>,
    ) -> Self {
        let mut this = Self {
            exchanges,
            ..Self::default()
        };
        for row in rows {
            this.queues.insert(row.name.clone());
            if let Some(to) = &row.dead_letters_to {
                this.dead_letters.insert(row.name.clone(), to.clone());
            }
        }
        this
    }
}

/// One job system's layout on RabbitMQ, bound to the options of one broker. Layouts are asked in
/// the order of [`super::LAYOUTS`]: the first that claims a row has it.
pub trait Layout: Send {
    /// The name of the queue, as its users know it, that this row is or is a part of; `None` if
    /// the row is not of this system. Rows of one vhost that give the same name are observed
    /// together.
    fn claim(&self, row: &QueueRow, vhost: &Vhost) -> Option<String>;

    /// Makes one observation of all rows that were claimed under one name, of which there is at
    /// least one. Name and window are set by whoever did the reads.
    fn observe(&self, rows: &[&QueueRow]) -> Observation;
}

/// The window of an observation that is not yet stamped.
pub(super) const UNSTAMPED: Window = Window {
    from: Timestamp::from_micros(0),
    to: Timestamp::from_micros(0),
};
