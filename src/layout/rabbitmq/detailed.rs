//! What the Prometheus plugin tells of single queues (`/metrics/detailed`): how many messages and
//! consumers they have and, from RabbitMQ 4.0 on, what has gone through them.
//!
//! The text is taken as it comes in, a line at a time, so that memory grows with the number of
//! queues and nothing else. A node tells of the queues that are its own.
//!
//! | family | tells | since |
//! |---|---|---|
//! | `queue_coarse_metrics` | ready, in progress | 3.10 |
//! | `queue_consumer_count` | consumers | 3.10 |
//! | `queue_delivery_metrics` | delivered, acknowledged, redelivered | 4.0 |
//! | `queue_exchange_metrics` | published, by exchange | 4.0 |

mod labels;
#[cfg(test)]
mod tests;

use super::{Kind, QueueRow, Stats};
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// What to ask for; a node passes over families that it does not know.
pub const FAMILIES: [&str; 4] = [
    "queue_coarse_metrics",
    "queue_consumer_count",
    "queue_delivery_metrics",
    "queue_exchange_metrics",
];
/// Of them the one that tells of each queue's process.
pub const PROCESSES: &str = FAMILIES[0];
/// Two names of 255 bytes with every byte escaped leave much room.
const MAX_LINE: usize = 16 << 10;
/// As many as are read of the management API.
const MAX_QUEUES: usize = 100_000;
/// So much is held back of lines whose names cannot be told before the broker's version is.
const MAX_HELD: usize = 8 << 20;
/// The sample that each queue has once.
const COUNTING: &str = "messages_ready";
const PREFIX: &str = "rabbitmq_detailed_queue_";

/// The answer of one node, or of several.
#[derive(Debug, Default)]
pub struct Detailed {
    /// By vhost and name.
    vhosts: HashMap<String, BTreeMap<String, Told>>,
    queues: usize,
    /// A line that has not ended yet.
    rest: Vec<u8>,
    /// Samples with a backslash in a name, which may be an escape or itself.
    held: Vec<String>,
    held_bytes: usize,
    pub version: Option<String>,
    /// Names of the clusters that the nodes belong to.
    clusters: BTreeSet<String>,
    /// Whether deliveries and publishings are counted by queue.
    counts: [bool; 2],
    /// Queues beyond [`MAX_QUEUES`] or [`MAX_HELD`].
    pub unread: u64,
    /// Queues whose names cannot be read.
    pub unreadable: u64,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Told {
    ready: Option<u64>,
    unacknowledged: Option<u64>,
    consumers: Option<u64>,
    /// What its process has worked. A stream has none, which is how it is told.
    reductions: Option<u64>,
    stats: Stats,
    /// Nodes disagree about what it holds, and nobody knows which of them is of the past.
    is_disputed: bool,
    /// More than one node tells of it.
    is_shared: bool,
}

/// What changes whenever a queue's process has done anything, 5 s later at the most: while it is
/// the same, nothing has come to the queue, left it, or begun or ceased to wait at it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mark {
    ready: u64,
    unacknowledged: u64,
    reductions: u64,
}

// === impl Detailed ===

impl Detailed {
    /// Takes the next bytes, wherever they are cut; says what is wrong with them.
    pub fn take(&mut self, mut bytes: &[u8]) -> Result<(), String> {
        while let Some(end) = bytes.iter().position(|byte| *byte == b'\n') {
            let (line, after) = bytes.split_at(end);
            bytes = after.get(1..).unwrap_or_default();
            if self.rest.is_empty() {
                self.line(&String::from_utf8_lossy(line));
            } else {
                self.rest.extend_from_slice(line);
                let whole = std::mem::take(&mut self.rest);
                self.line(&String::from_utf8_lossy(&whole));
            }
        }
        self.rest.extend_from_slice(bytes);
        if self.rest.len() > MAX_LINE {
            return Err(format!("a line of more than {MAX_LINE} bytes"));
        }
        Ok(())
    }

    fn line(&mut self, line: &str) {
        if let Some(of) = line.strip_prefix("# TYPE ") {
            match of
                .split(' ')
                .next()
                .and_then(|name| name.strip_prefix(PREFIX))
            {
                Some("messages_acked_total") => self.counts[0] = true,
                Some("exchange_messages_published_total") => self.counts[1] = true,
                _ => {}
            }
        } else if let Some(labels) = line.strip_prefix("rabbitmq_build_info{") {
            self.version = info(labels, "rabbitmq_version");
        } else if let Some(labels) = line.strip_prefix("rabbitmq_identity_info{") {
            self.clusters.extend(info(labels, "rabbitmq_cluster"));
        } else if let Some(sample) = line.strip_prefix(PREFIX) {
            if !sample.contains('\\') {
                self.sample(sample, false);
            } else if self.held_bytes + sample.len() <= MAX_HELD {
                self.held_bytes += sample.len();
                self.held.push(sample.to_owned());
            } else {
                self.unread += u64::from(counts_queues(sample));
            }
        }
    }

    /// The answer has ended: what was held back can be read.
    pub fn finish(&mut self) {
        let held = std::mem::take(&mut self.held);
        let is_old = |version: &String| version.starts_with("3.10.");
        let is_escaped = |sample: &String| {
            let labels = sample
                .split_once('{')
                .and_then(|(_, rest)| labels::split(rest));
            labels.is_some_and(|(labels, _)| labels::escaped(labels).is_some())
        };
        let is_raw = self.version.as_ref().is_some_and(is_old) || !held.iter().all(is_escaped);
        for sample in held {
            self.sample(&sample, is_raw);
        }
    }

    /// Takes a sample, whose names are written as they are if `is_raw`.
    fn sample(&mut self, sample: &str, is_raw: bool) {
        let Some((name, rest)) = sample.split_once('{') else {
            return;
        };
        let Some((labels, value)) = labels::split(rest) else {
            return;
        };
        let escaped = labels::escaped(labels).filter(|_| !is_raw);
        let names = match &escaped {
            Some(labels) => labels
                .get("vhost")
                .zip(labels.get("queue"))
                .map(|(vhost, queue)| (vhost.as_str(), queue.as_str())),
            None => labels::raw(labels),
        };
        match (names, whole(value)) {
            (Some(names), Some(value)) => self.note(name, names, value),
            (None, Some(_)) => self.unreadable += u64::from(counts_queues(sample)),
            (_, None) => {}
        }
    }

    fn note(&mut self, name: &str, (vhost, queue): (&str, &str), value: u64) {
        let mut told = Told::default();
        let stats = &mut told.stats;
        match name {
            "messages_ready" => told.ready = Some(value),
            "messages_unacked" => told.unacknowledged = Some(value),
            "consumers" => told.consumers = Some(value),
            "process_reductions_total" => told.reductions = Some(value),
            "messages_delivered_ack_total" | "get_ack_total" => stats.deliver_get = value,
            "messages_delivered_total" => {
                (stats.deliver_get, stats.deliver_no_ack) = (value, value);
            }
            "get_total" => (stats.deliver_get, stats.get_no_ack) = (value, value),
            "messages_redelivered_total" => stats.redeliver = value,
            "messages_acked_total" => stats.ack = value,
            "exchange_messages_published_total" => stats.publish = value,
            _ => return,
        }
        let queues = match self.vhosts.get_mut(vhost) {
            Some(queues) => queues,
            None => self.vhosts.entry(vhost.to_owned()).or_default(),
        };
        match queues.get_mut(queue) {
            Some(known) => known.add(told),
            None if self.queues < MAX_QUEUES => {
                self.queues += 1;
                queues.insert(queue.to_owned(), told);
            }
            None => self.unread += u64::from(name == COUNTING),
        }
    }

    /// Adds what another node tells.
    pub fn merge(&mut self, other: Self) {
        for (vhost, queues) in other.vhosts {
            let here = self.vhosts.entry(vhost).or_default();
            for (name, told) in queues {
                here.entry(name)
                    .and_modify(|known| known.merge(told))
                    .or_insert(told);
            }
        }
        self.unread += other.unread;
        self.unreadable += other.unreadable;
        self.clusters.extend(other.clusters);
        self.version = self.version.take().or(other.version);
        for (here, there) in self.counts.iter_mut().zip(other.counts) {
            *here &= there;
        }
    }

    /// Whether what goes through each queue is counted.
    pub fn counts_messages(&self) -> bool {
        self.counts == [true; 2]
    }

    /// Whether all of it is told by nodes of this cluster.
    pub fn is_of(&self, cluster: &str) -> bool {
        self.clusters.iter().eq([cluster])
    }

    /// `None` of a queue of which nothing tells whether it has worked: a stream has no process, and
    /// of two nodes one may tell of the past.
    pub fn mark(&self, vhost: &str, queue: &str) -> Option<Mark> {
        let told = self.vhosts.get(vhost)?.get(queue)?;
        Some(Mark {
            ready: told.ready?,
            unacknowledged: told.unacknowledged?,
            reductions: told
                .reductions
                .filter(|work| *work > 0 && !told.is_shared)?,
        })
    }

    /// The queues of a vhost. Their totals are told only `with_totals`: those of all nodes.
    pub fn rows(&self, vhost: &str, with_totals: bool) -> BTreeMap<String, QueueRow> {
        let with_totals = with_totals && self.counts_messages();
        let queues = self.vhosts.get(vhost).into_iter().flatten();
        queues
            // A queue that only counters know is gone, or its node is.
            .filter(|(_, told)| told.ready.is_some() || told.consumers.is_some())
            .map(|(name, told)| {
                let depth = |count: Option<u64>| count.filter(|_| !told.is_disputed);
                let row = QueueRow {
                    kind: match told.reductions {
                        Some(0) => Kind::Stream,
                        _ => Kind::Other,
                    },
                    ready: depth(told.ready),
                    unacknowledged: depth(told.unacknowledged),
                    consumers: depth(told.consumers),
                    stats: with_totals.then_some(told.stats),
                    ..QueueRow::named(name.as_str())
                };
                (name.clone(), row)
            })
            .collect()
    }
}

// === impl Told ===

impl Told {
    /// Adds a further line.
    fn add(&mut self, line: Self) {
        self.ready = line.ready.or(self.ready);
        self.unacknowledged = line.unacknowledged.or(self.unacknowledged);
        self.consumers = line.consumers.or(self.consumers);
        self.reductions = line.reductions.or(self.reductions);
        let (all, more) = (&mut self.stats, line.stats);
        for (total, more) in [
            (&mut all.publish, more.publish),
            (&mut all.deliver_get, more.deliver_get),
            (&mut all.deliver_no_ack, more.deliver_no_ack),
            (&mut all.get_no_ack, more.get_no_ack),
            (&mut all.redeliver, more.redeliver),
            (&mut all.ack, more.ack),
        ] {
            *total = total.saturating_add(more);
        }
    }

    /// Adds what another node tells: each counts what its own channels do, and a depth is the one
    /// node's that has the queue.
    fn merge(&mut self, other: Self) {
        let depth = |told: Self| (told.ready, told.unacknowledged, told.consumers);
        let both_tell = self.ready.is_some() && other.ready.is_some();
        self.is_shared |= other.is_shared || both_tell;
        self.is_disputed |= other.is_disputed || both_tell && depth(*self) != depth(other);
        self.add(other);
    }
}

/// Whether a sample is the one by which queues are counted.
fn counts_queues(sample: &str) -> bool {
    sample.split('{').next() == Some(COUNTING)
}

/// A label of a sample that is about the node, from behind its `{`.
fn info(text: &str, label: &str) -> Option<String> {
    let (labels, _) = labels::split(text)?;
    labels::escaped(labels)?.remove(label)
}

/// A count; `None` for NaN and whatever else is none.
fn whole(text: &str) -> Option<u64> {
    text.parse().ok().or_else(|| {
        let number: f64 = text.parse().ok()?;
        (number >= 0.0 && number.fract() == 0.0 && number < 9e15).then_some(number as u64)
    })
}
