//! The connections of one configured Redis, whatever its topology: a single node, the master that
//! Sentinel names, or every master of a cluster.

use super::node::{Hello, Login, Node, Page};
use crate::broker::BrokerError;
use crate::broker::tls::TlsContext;
use crate::broker::wire::{self, Meter};
use crate::config::{HostPort, Redis, RedisTopology};
use crate::layout::redis::{Bytes, Read, Reply};
use crate::model::{ErrorKind, Timestamp};
use redis::Value;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Open connections. Dropped as a whole on any fault: a reply that is still due would otherwise be
/// taken for the answer to the next question.
pub(super) struct Session {
    nodes: Vec<Node>,
    /// For a cluster, which node serves each slot.
    slots: Option<Vec<SlotRange>>,
    hello: Hello,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct SlotRange {
    from: u16,
    to: u16,
    node: usize,
}

/// What is needed to connect.
pub(super) struct Connector<'a> {
    pub(super) config: &'a Redis,
    pub(super) max_payload: u64,
    pub(super) meter: &'a Arc<Meter>,
}

// === impl Connector ===

impl Connector<'_> {
    pub(super) async fn connect(&self) -> Result<Session, BrokerError> {
        let login = Login {
            username: self.config.username.clone(),
            password: self.config.password.clone(),
            db: self.config.db,
        };
        match &self.config.topology {
            RedisTopology::Single(host) => {
                let mut node = self.node(host, &login).await?;
                let hello = node.hello().await;
                Ok(Session {
                    nodes: vec![node],
                    slots: None,
                    hello,
                })
            }
            RedisTopology::Unix(path) => {
                let stream = wire::connect_unix(path, self.meter).await?;
                let place = format!("redis at {}", path.display());
                let mut node =
                    Node::open(stream, &login, self.max_payload, self.meter, place).await?;
                let hello = node.hello().await;
                Ok(Session {
                    nodes: vec![node],
                    slots: None,
                    hello,
                })
            }
            RedisTopology::Sentinel {
                sentinels,
                master,
                username,
                password,
            } => {
                let sentinel_login = Login {
                    username: username.clone(),
                    password: password.clone(),
                    db: 0,
                };
                let (node, hello) = self
                    .master(sentinels, master, &sentinel_login, &login)
                    .await?;
                Ok(Session {
                    nodes: vec![node],
                    slots: None,
                    hello,
                })
            }
            RedisTopology::Cluster(seeds) => self.cluster(seeds, &login).await,
        }
    }

    async fn node(&self, host: &HostPort, login: &Login) -> Result<Node, BrokerError> {
        let tls = self.config.tls.as_ref().map(TlsContext::load).transpose()?;
        let stream = wire::connect(host, tls.as_ref(), self.meter).await?;
        Node::open(
            stream,
            login,
            self.max_payload,
            self.meter,
            format!("redis at {host}"),
        )
        .await
    }

    /// Asks the sentinels in turn until one names a node that is a master.
    async fn master(
        &self,
        sentinels: &[HostPort],
        master: &str,
        sentinel_login: &Login,
        login: &Login,
    ) -> Result<(Node, Hello), BrokerError> {
        let mut last = None;
        for sentinel in sentinels {
            match self
                .master_by(sentinel, master, sentinel_login, login)
                .await
            {
                Ok(found) => return Ok(found),
                Err(error) => last = Some(error),
            }
        }
        Err(last
            .unwrap_or_else(|| BrokerError::new(ErrorKind::Connect, "no sentinel is configured")))
    }

    async fn master_by(
        &self,
        sentinel: &HostPort,
        master: &str,
        sentinel_login: &Login,
        login: &Login,
    ) -> Result<(Node, Hello), BrokerError> {
        let mut asked = self.node(sentinel, sentinel_login).await?;
        let mut question = redis::cmd("SENTINEL");
        question.arg("GET-MASTER-ADDR-BY-NAME").arg(master);
        let answer = asked.raw("sentinel", &question).await?;
        let Some((host, port)) = redis::from_redis_value::<Option<(String, u16)>>(answer)
            .ok()
            .flatten()
        else {
            return Err(BrokerError::new(
                ErrorKind::Protocol,
                format!("the sentinel {sentinel} knows no master named `{master}`"),
            ));
        };
        let address = HostPort { host, port };
        let mut node = self.node(&address, login).await?;
        let hello = node.hello().await;
        if hello.role.as_deref().is_some_and(|role| role != "master") {
            return Err(BrokerError::new(
                ErrorKind::Protocol,
                format!(
                    "the sentinel {sentinel} names {address} as the master of `{master}`, which \
                     is a replica; a failover is under way"
                ),
            ));
        }
        Ok((node, hello))
    }

    /// Learns the slots from the first seed that answers and connects to every master.
    async fn cluster(&self, seeds: &[HostPort], login: &Login) -> Result<Session, BrokerError> {
        let mut last = None;
        for seed in seeds {
            match self.cluster_from(seed, login).await {
                Ok(session) => return Ok(session),
                Err(error) => last = Some(error),
            }
        }
        Err(last.unwrap_or_else(|| {
            BrokerError::new(ErrorKind::Connect, "no cluster node is configured")
        }))
    }

    async fn cluster_from(&self, seed: &HostPort, login: &Login) -> Result<Session, BrokerError> {
        let mut first = self.node(seed, login).await?;
        let answer = first
            .raw("cluster", redis::cmd("CLUSTER").arg("SLOTS"))
            .await?;
        let masters = parse_slots(answer, seed);
        if masters.is_empty() {
            return Err(BrokerError::new(
                ErrorKind::Protocol,
                format!("redis at {seed} serves no slots: it is not part of a working cluster"),
            ));
        }
        let hello = first.hello().await;
        let mut nodes = Vec::with_capacity(masters.len());
        let mut slots = Vec::new();
        for (address, ranges) in masters {
            for (from, to) in ranges {
                slots.push(SlotRange {
                    from,
                    to,
                    node: nodes.len(),
                });
            }
            nodes.push(self.node(&address, login).await?);
        }
        slots.sort_by_key(|range| range.from);
        Ok(Session {
            nodes,
            slots: Some(slots),
            hello,
        })
    }
}

/// Masters and their slot ranges out of a `CLUSTER SLOTS` reply. An empty host means the node that
/// was asked.
fn parse_slots(answer: Value, seed: &HostPort) -> BTreeMap<HostPort, Vec<(u16, u16)>> {
    let mut masters: BTreeMap<HostPort, Vec<(u16, u16)>> = BTreeMap::new();
    let Value::Array(ranges) = answer else {
        return masters;
    };
    for range in ranges {
        let Value::Array(range) = range else { continue };
        let [Value::Int(from), Value::Int(to), Value::Array(master), ..] = range.as_slice() else {
            continue;
        };
        let [host, Value::Int(port), ..] = master.as_slice() else {
            continue;
        };
        let host = match host {
            Value::BulkString(host) if !host.is_empty() => {
                String::from_utf8_lossy(host).into_owned()
            }
            _ => seed.host.clone(),
        };
        let (Ok(port), Ok(from), Ok(to)) = (
            u16::try_from(*port),
            u16::try_from(*from),
            u16::try_from(*to),
        ) else {
            continue;
        };
        masters
            .entry(HostPort { host, port })
            .or_default()
            .push((from, to));
    }
    masters
}

// === impl Session ===

impl Session {
    pub(super) fn version(&self) -> Option<&str> {
        self.hello.version.as_deref()
    }

    pub(super) fn node_count(&self) -> usize {
        self.nodes.len()
    }

    pub(super) fn place(&self) -> &str {
        self.nodes.first().map_or("redis", Node::place)
    }

    pub(super) async fn time(&mut self) -> Result<Timestamp, BrokerError> {
        self.node(0)?.time().await
    }

    /// How many `LPUSH` there have been so far, on all nodes; `None` where one does not tell.
    pub(super) async fn pushes(&mut self) -> Result<Option<u64>, BrokerError> {
        let mut all = Some(0);
        for node in &mut self.nodes {
            let pushes = node.pushes().await?;
            all = all.zip(pushes).map(|(all, pushes)| all + pushes);
        }
        Ok(all)
    }

    pub(super) async fn execute(&mut self, reads: &[Read]) -> Result<Vec<Reply>, BrokerError> {
        if self.slots.is_none() {
            let reads: Vec<&Read> = reads.iter().collect();
            return self.node(0)?.execute(&reads).await;
        }
        let mut by_node: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
        for (index, read) in reads.iter().enumerate() {
            by_node
                .entry(self.node_of(read.key())?)
                .or_default()
                .push(index);
        }
        let mut replies: Vec<Reply> = vec![Reply::Nil; reads.len()];
        for (node, indexes) in by_node {
            let batch: Vec<&Read> = indexes
                .iter()
                .filter_map(|index| reads.get(*index))
                .collect();
            let answers = self.node(node)?.execute(&batch).await?;
            for (index, answer) in indexes.into_iter().zip(answers) {
                if let Some(reply) = replies.get_mut(index) {
                    *reply = answer;
                }
            }
        }
        Ok(replies)
    }

    /// One page of the walk over all keys of one node.
    pub(super) async fn scan(
        &mut self,
        node: usize,
        cursor: u64,
        pattern: &[u8],
        count: u32,
    ) -> Result<Page, BrokerError> {
        self.node(node)?.scan(cursor, pattern, count).await
    }

    /// One page of each of several sets.
    pub(super) async fn sscan(
        &mut self,
        sets: &[(Bytes, u64)],
        count: u32,
    ) -> Result<Vec<Option<Page>>, BrokerError> {
        let mut by_node: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
        for (index, (key, _)) in sets.iter().enumerate() {
            by_node.entry(self.node_of(key)?).or_default().push(index);
        }
        let mut pages: Vec<Option<Page>> = sets.iter().map(|_| None).collect();
        for (node, indexes) in by_node {
            let batch: Vec<(&[u8], u64)> = indexes
                .iter()
                .filter_map(|index| sets.get(*index))
                .map(|(key, cursor)| (&**key, *cursor))
                .collect();
            let answers = self.node(node)?.sscan(&batch, count).await?;
            for (index, answer) in indexes.into_iter().zip(answers) {
                if let Some(page) = pages.get_mut(index) {
                    *page = answer;
                }
            }
        }
        Ok(pages)
    }

    fn node(&mut self, index: usize) -> Result<&mut Node, BrokerError> {
        self.nodes
            .get_mut(index)
            .ok_or_else(|| BrokerError::new(ErrorKind::Internal, "no connection to that node"))
    }

    fn node_of(&self, key: &[u8]) -> Result<usize, BrokerError> {
        let Some(slots) = &self.slots else {
            return Ok(0);
        };
        let slot = slot_of(key);
        slots
            .iter()
            .find(|range| (range.from..=range.to).contains(&slot))
            .map(|range| range.node)
            .ok_or_else(|| {
                BrokerError::new(
                    ErrorKind::Protocol,
                    format!("no cluster node serves slot {slot}; the cluster is not complete"),
                )
            })
    }
}

/// The slot of a key: of the part between the first `{` and the next `}`, if it is not empty, else
/// of the whole key (Redis cluster specification, "Hash tags").
fn slot_of(key: &[u8]) -> u16 {
    let tag = key.iter().position(|byte| *byte == b'{').and_then(|open| {
        let inside = key.get(open + 1..)?;
        let close = inside.iter().position(|byte| *byte == b'}')?;
        inside.get(..close).filter(|tag| !tag.is_empty())
    });
    crc16::State::<crc16::XMODEM>::calculate(tag.unwrap_or(key)) % 16384
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_are_those_of_cluster_keyslot() {
        // Answers of `CLUSTER KEYSLOT` on Redis 7.0.15.
        for (key, slot) in [
            ("foo", 12182),
            ("{foo}:bar", 12182),
            ("foo{}", 5542),
            ("123456789", 12739),
        ] {
            assert_eq!(slot_of(key.as_bytes()), slot, "{key}");
        }
    }

    #[test]
    fn slot_ranges_are_gathered_by_master_and_an_empty_host_is_the_seed() {
        let seed = HostPort {
            host: "seed".into(),
            port: 1,
        };
        let range = |from, to, host: &str, port| {
            let master = vec![Value::BulkString(host.into()), Value::Int(port)];
            Value::Array(vec![Value::Int(from), Value::Int(to), Value::Array(master)])
        };
        let answer = Value::Array(vec![
            range(0, 5, "a", 7000),
            range(6, 9, "", 7001),
            range(10, 12, "a", 7000),
            Value::Nil,
        ]);
        let masters: Vec<_> = parse_slots(answer, &seed)
            .into_iter()
            .map(|(at, slots)| (at.to_string(), slots))
            .collect();
        assert_eq!(
            masters,
            [
                ("a:7000".into(), vec![(0, 5), (10, 12)]),
                ("seed:7001".into(), vec![(6, 9)])
            ]
        );
    }
}
