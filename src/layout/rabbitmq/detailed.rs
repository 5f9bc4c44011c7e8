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

use super::{Kind, QueueRow, Stats};
use std::collections::{BTreeMap, HashMap};

/// What to ask for; a node passes over families that it does not know.
pub const FAMILIES: [&str; 4] = [
    "queue_coarse_metrics",
    "queue_consumer_count",
    "queue_delivery_metrics",
    "queue_exchange_metrics",
];
/// Two names of 255 bytes with every byte escaped leave much room.
const MAX_LINE: usize = 16 << 10;
/// As many as are read of the management API.
const MAX_QUEUES: usize = 100_000;
const PREFIX: &str = "rabbitmq_detailed_queue_";

/// The answer of one node, or of several.
#[derive(Debug, Default)]
pub struct Detailed {
    /// By vhost and name.
    vhosts: HashMap<String, BTreeMap<String, Told>>,
    queues: usize,
    /// A line that has not ended yet.
    rest: Vec<u8>,
    pub version: Option<String>,
    /// Whether deliveries and publishings are counted by queue.
    counts: [bool; 2],
    /// Queues beyond [`MAX_QUEUES`].
    pub unread: u64,
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
        } else if let Some((name, rest)) = line.split_once('{') {
            let is_build = name == "rabbitmq_build_info";
            let name = name.strip_prefix(PREFIX).unwrap_or_default();
            if is_build || !name.is_empty() {
                let Some((labels, value)) = labels(rest) else {
                    return;
                };
                if is_build {
                    self.version = labels.get("rabbitmq_version").cloned();
                } else if let Some(value) = whole(value) {
                    self.sample(name, &labels, value);
                }
            }
        }
    }

    fn sample(&mut self, name: &str, labels: &HashMap<&str, String>, value: u64) {
        let (Some(vhost), Some(queue)) = (labels.get("vhost"), labels.get("queue")) else {
            return;
        };
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
            None => self.vhosts.entry(vhost.clone()).or_default(),
        };
        match queues.get_mut(queue) {
            Some(known) => known.add(told),
            None if self.queues < MAX_QUEUES => {
                self.queues += 1;
                queues.insert(queue.clone(), told);
            }
            // Counted by a line that each queue has once.
            None => self.unread += u64::from(name == "messages_ready"),
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
        self.version = self.version.take().or(other.version);
        for (here, there) in self.counts.iter_mut().zip(other.counts) {
            *here &= there;
        }
    }

    /// Whether what goes through each queue is counted.
    pub fn counts_messages(&self) -> bool {
        self.counts == [true; 2]
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
        self.is_disputed |= other.is_disputed || both_tell && depth(*self) != depth(other);
        self.add(other);
    }
}

/// The labels of a sample, from behind its `{`, and its value.
fn labels(mut text: &str) -> Option<(HashMap<&str, String>, &str)> {
    let mut labels = HashMap::new();
    loop {
        text = text.trim_start_matches(',');
        if let Some(value) = text.strip_prefix('}') {
            return Some((labels, value.trim()));
        }
        let (name, rest) = text.split_once("=\"")?;
        let mut value = String::new();
        let mut chars = rest.char_indices();
        let end = loop {
            let (at, char) = chars.next()?;
            let after = rest.get(at + 1..).and_then(|rest| rest.chars().next());
            // 3.10 escapes nothing: a quote ends a value only where a value can end.
            match (char, after) {
                ('"', Some(',' | '}')) => break at,
                ('\\', Some(escaped @ ('\\' | '"' | 'n'))) => {
                    chars.next();
                    value.push(if escaped == 'n' { '\n' } else { escaped });
                }
                _ => value.push(char),
            }
        };
        labels.insert(name, value);
        text = rest.get(end + 1..)?;
    }
}

/// A count; `None` for NaN and whatever else is none.
fn whole(text: &str) -> Option<u64> {
    text.parse().ok().or_else(|| {
        let number: f64 = text.parse().ok()?;
        (number >= 0.0 && number.fract() == 0.0 && number < 9e15).then_some(number as u64)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::Value;

    fn read(text: &str, cut: usize) -> Detailed {
        let mut detailed = Detailed::default();
        for part in text.as_bytes().chunks(cut.max(1)) {
            detailed.take(part).unwrap();
        }
        detailed
    }

    fn recorded(version: &str) -> String {
        let all: Value = serde_json::from_str(include_str!(
            "../../../tests/fixtures/rabbitmq/detailed.json"
        ))
        .unwrap();
        let lines = all[version].as_array().unwrap().iter();
        lines
            .map(|line| format!("{}\n", line.as_str().unwrap()))
            .collect()
    }

    #[test]
    fn depths_of_a_real_node_without_counters() {
        let rows = read(&recorded("3.10.8"), 100).rows("/", true);
        let big = &rows["h.big"];
        assert_eq!((big.ready, big.unacknowledged), (Some(30_000), Some(0)));
        assert_eq!(big.consumers, Some(0));
        assert!(rows.values().all(|row| row.stats.is_none()));
    }

    #[test]
    fn a_real_node_of_4_0_counts_though_nothing_has_happened_since_it_started() {
        let detailed = read(&recorded("4.0.5"), 4096);
        assert!(detailed.counts_messages());
        let rows = detailed.rows("/", true);
        assert_eq!(rows["t.quorum"].ready, Some(2));
        assert_eq!(rows["t.quorum"].stats, Some(Stats::default()));
        // The totals of one of several nodes are not the cluster's.
        assert_eq!(detailed.rows("/", false)["t.quorum"].stats, None);
    }

    const COUNTED: &str = "\
# TYPE rabbitmq_detailed_queue_messages_acked_total counter
# TYPE rabbitmq_detailed_queue_exchange_messages_published_total counter
rabbitmq_build_info{rabbitmq_version=\"4.0.5\",erlang_version=\"26\"} 1
rabbitmq_detailed_queue_messages_ready{vhost=\"a\\\"b\",queue=\"x\\\\y\"} 7
rabbitmq_detailed_queue_messages_unacked{vhost=\"a\\\"b\",queue=\"x\\\\y\"} NaN
rabbitmq_detailed_queue_messages_delivered_ack_total{vhost=\"a\\\"b\",queue=\"x\\\\y\"} 5
rabbitmq_detailed_queue_messages_delivered_total{vhost=\"a\\\"b\",queue=\"x\\\\y\"} 3
rabbitmq_detailed_queue_get_total{vhost=\"a\\\"b\",queue=\"x\\\\y\"} 2
rabbitmq_detailed_queue_messages_acked_total{vhost=\"a\\\"b\",queue=\"x\\\\y\"} 4
rabbitmq_detailed_queue_messages_redelivered_total{vhost=\"a\\\"b\",queue=\"x\\\\y\"} 1
rabbitmq_detailed_queue_exchange_messages_published_total{vhost=\"a\\\"b\",queue=\"x\\\\y\",exchange=\"\"} 9
rabbitmq_detailed_queue_exchange_messages_published_total{vhost=\"a\\\"b\",queue=\"x\\\\y\",exchange=\"e\"} 8
rabbitmq_detailed_queue_messages_acked_total{vhost=\"a\\\"b\",queue=\"gone\"} 4
";

    #[test]
    fn counters_are_those_of_the_management_api() {
        let detailed = read(COUNTED, 7);
        assert_eq!(detailed.version.as_deref(), Some("4.0.5"));
        let rows = detailed.rows("a\"b", true);
        assert_eq!(rows.len(), 1);
        let row = &rows["x\\y"];
        assert_eq!((row.ready, row.unacknowledged), (Some(7), None));
        let want = Stats {
            publish: 17,
            deliver_get: 10,
            deliver_no_ack: 3,
            get_no_ack: 2,
            redeliver: 1,
            ack: 4,
        };
        assert_eq!(row.stats, Some(want));
    }

    /// As 3.10.8 wrote it.
    const UNESCAPED: &str = r#"
rabbitmq_detailed_queue_messages_ready{vhost="/",queue="jobs "ü""} 4
rabbitmq_detailed_queue_messages_ready{vhost="/",queue="b\s"} 1
rabbitmq_detailed_queue_messages_ready{vhost="/",queue="s.tream"} 1
rabbitmq_detailed_queue_process_reductions_total{vhost="/",queue="s.tream"} 0
rabbitmq_detailed_queue_process_reductions_total{vhost="/",queue="b\s"} 7596
"#;

    #[test]
    fn names_that_are_not_escaped_are_read_and_a_stream_is_told() {
        let rows = read(UNESCAPED, 5).rows("/", true);
        assert_eq!(rows["jobs \"ü\""].ready, Some(4));
        assert_eq!(
            (rows["b\\s"].ready, rows["b\\s"].kind),
            (Some(1), Kind::Other)
        );
        assert_eq!(rows["s.tream"].kind, Kind::Stream);
    }

    #[test]
    fn nodes_that_disagree_about_a_depth_leave_it_unknown() {
        let depth = |ready| {
            let line = format!("{PREFIX}messages_ready{{vhost=\"/\",queue=\"q\"}} {ready}\n");
            read(&line, 9)
        };
        for (other, want) in [(3, Some(3)), (4, None)] {
            let mut detailed = depth(3);
            detailed.merge(depth(other));
            detailed.merge(depth(3));
            let rows = detailed.rows("/", true);
            assert_eq!(rows.get("q").and_then(|row| row.ready), want);
        }
        let mut counted = read(COUNTED, 50);
        counted.merge(read(COUNTED, 60));
        let stats = counted.rows("a\"b", true)["x\\y"].stats.unwrap();
        assert_eq!((stats.publish, stats.ack), (34, 8));
    }

    #[test]
    fn a_line_without_end_is_refused() {
        let mut detailed = Detailed::default();
        assert!(detailed.take(&[b'x'; MAX_LINE + 1]).is_err());
    }

    proptest! {
        #[test]
        fn wherever_it_is_cut_it_says_the_same(cut in 1usize..300) {
            prop_assert_eq!(read(COUNTED, cut).vhosts, read(COUNTED, 10_000).vhosts);
        }

        #[test]
        fn no_text_makes_it_panic(text in "(rabbitmq_detailed_queue_[a-z_]{0,9}[{][ -~]{0,40}\n){0,4}") {
            read(&text, 11);
        }
    }
}
