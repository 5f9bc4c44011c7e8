//! The file that lets a restart go on with the waiting times that are known: what is in it, whether
//! it may be trusted, and its way to and from the disk. What the parts mean is known to `model` and
//! `layout`, which check them when they take them up.

mod disk;
mod format;
mod lock;
mod stamp;
mod writer;

use lock::Lock;
pub use stamp::Stamp;
pub use writer::Writer;

use crate::broker::SourceMemory;
use crate::config::{Broker, Endpoint};
use crate::model::SavedFlows;
use crate::model::flow::Shift;
use crate::redact;
use format::Refusal;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

/// What is kept of one broker.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Section {
    pub identity: Identity,
    pub stamp: Stamp,
    /// Written at the end of a process: its counters are the last that anyone was shown.
    pub is_last: bool,
    pub flows: SavedFlows,
    pub memory: SourceMemory,
}

/// What a section belongs to. No secrets.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    name: String,
    kind: String,
    endpoint: String,
    /// The options that decide which list is which line of a queue, as a checksum.
    options: u32,
}

/// What an earlier process has left of one broker.
#[derive(Debug)]
pub struct Earlier {
    pub flows: SavedFlows,
    pub memory: SourceMemory,
    pub shift: Shift,
    /// Whether its counters may go on.
    pub is_last: bool,
}

/// What was found at the start.
#[derive(Debug, Default)]
pub struct Loaded {
    pub brokers: BTreeMap<Arc<str>, Earlier>,
    /// The same as it was found, to be written again until there is something newer.
    sections: Vec<Section>,
    lock: Lock,
}

impl Identity {
    pub fn of(broker: &Broker) -> Self {
        let options = match &broker.endpoint {
            Endpoint::Redis(redis) => format!(
                "{:?}",
                (
                    &redis.celery.global_keyprefix,
                    &redis.celery.separator,
                    &redis.celery.priority_steps,
                    redis.list.head,
                )
            ),
            Endpoint::RabbitMq(_) | Endpoint::Simulated => String::new(),
        };
        Self {
            name: broker.name.to_string(),
            kind: broker.kind().as_str().to_owned(),
            endpoint: redact::endpoint(&broker.endpoint),
            options: format::checksum(options.as_bytes()),
        }
    }

    pub fn name(&self) -> &str {
        &self.name
    }
}

/// Reads the file, and says in the log what came of it. Whatever is wrong with it, tailback goes on
/// without. Does I/O that blocks, so it is for the start only.
pub fn load(path: &Path, brokers: &[Broker], now: &Stamp) -> Loaded {
    let shown = path.display();
    let mut lock = Lock::default();
    // Whoever writes the file also moves it out of the way.
    let is_ours = lock.take(path);
    let refuse = |refusal: &Refusal| match is_ours {
        true => set_aside(path, refusal),
        false => tracing::warn!(path = %shown, "the state file is not used: {refusal}"),
    };
    let anew = |lock| Loaded {
        lock,
        ..Loaded::default()
    };
    let sections = match disk::read(path).map(|bytes| bytes.map(|bytes| format::decode(&bytes))) {
        Ok(None) => {
            tracing::info!(path = %shown, "there is no state file yet; beginning anew");
            return anew(lock);
        }
        Ok(Some(Ok(sections))) => sections,
        Ok(Some(Err(refusal))) => {
            refuse(&refusal);
            return anew(lock);
        }
        Err(error) => {
            refuse(&Refusal::Unreadable(error.to_string()));
            return anew(lock);
        }
    };
    let found = sections.len();
    let mut loaded = anew(lock);
    let mut strangers = Vec::new();
    for section in sections {
        let broker = brokers
            .iter()
            .find(|broker| Identity::of(broker) == section.identity);
        let Some(broker) = broker else {
            strangers.push(section.identity.name);
            continue;
        };
        match section.stamp.shift_to(now) {
            Err(reason) => tracing::warn!(
                path = %shown,
                broker.name = %broker.name,
                "the state of this broker is not used: {reason}"
            ),
            Ok(shift) => {
                tracing::info!(
                    path = %shown,
                    broker.name = %broker.name,
                    queues = section.flows.queues(),
                    gap_seconds = shift.gap,
                    "going on with the state of an earlier run"
                );
                let earlier = Earlier {
                    flows: section.flows.clone(),
                    memory: section.memory.clone(),
                    shift,
                    is_last: section.is_last,
                };
                loaded.brokers.insert(Arc::clone(&broker.name), earlier);
                loaded.sections.push(section);
            }
        }
    }
    if found > 0 && strangers.len() == found {
        refuse(&Refusal::Foreign);
        return loaded;
    }
    for name in strangers {
        let is_there = brokers.iter().any(|broker| *broker.name == *name);
        let why = match is_there {
            true => "configured otherwise than it was (its server, or which lists are its queues)",
            false => "not configured",
        };
        tracing::warn!(
            path = %shown,
            broker.name = %name,
            "the state file forgets what it knew of broker {name}, which is {why}"
        );
    }
    loaded
}

/// Tells why the file is not used, and moves it out of the way.
fn set_aside(path: &Path, refusal: &Refusal) {
    let shown = path.display();
    match disk::set_aside(path, Stamp::now().unix_secs()) {
        Ok(aside) => tracing::warn!(
            path = %shown,
            "the state file is not used and was moved to {}: {refusal}",
            aside.display()
        ),
        Err(error) => tracing::warn!(
            path = %shown,
            "the state file is not used: {refusal}; moving it away failed: {error}"
        ),
    }
}

#[cfg(test)]
mod tests;
