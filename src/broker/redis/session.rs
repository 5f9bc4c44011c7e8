//! The open connections of one configured Redis, and which of them serves a key.

use super::calls::Calls;
use super::node::{Hello, Node, Page};
use super::quarantine::Quarantine;
use super::rights::Missing;
use crate::broker::BrokerError;
use crate::clock;
use crate::layout::redis::{Bytes, Read, Refusal, Reply};
use crate::model::{ErrorKind, Timestamp};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Open connections. Dropped as a whole on any fault: a reply that is still due would otherwise be
/// taken for the answer to the next question.
pub(super) struct Session {
    nodes: Vec<Node>,
    /// For a cluster, which node serves each slot.
    slots: Option<Vec<SlotRange>>,
    hello: Hello,
    missing: Missing,
    /// Outlives the session.
    quarantine: Arc<Mutex<Quarantine>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct SlotRange {
    pub(super) from: u16,
    pub(super) to: u16,
    pub(super) node: usize,
}

// === impl Session ===

impl Session {
    /// A session with one node, or with those of a cluster and what each serves.
    pub(super) fn new(
        nodes: Vec<Node>,
        slots: Option<Vec<SlotRange>>,
        hello: Hello,
        quarantine: &Arc<Mutex<Quarantine>>,
    ) -> Self {
        Self {
            nodes,
            slots,
            hello,
            missing: Missing::default(),
            quarantine: Arc::clone(quarantine),
        }
    }

    pub(super) fn version(&self) -> Option<&str> {
        self.hello.version.as_deref()
    }

    pub(super) fn node_count(&self) -> usize {
        self.nodes.len()
    }

    pub(super) fn place(&self) -> &str {
        self.nodes.first().map_or("redis", Node::place)
    }

    /// The rights that reads were refused for.
    pub(super) const fn missing(&self) -> &Missing {
        &self.missing
    }

    pub(super) async fn time(&mut self) -> Result<Timestamp, BrokerError> {
        self.node(0)?.time().await
    }

    /// How often the commands of interest have been called so far, on all nodes; `None` where one
    /// does not tell.
    pub(super) async fn calls(&mut self) -> Result<Option<Calls>, BrokerError> {
        let mut all = Some(Calls::default());
        for node in &mut self.nodes {
            let calls = node.calls().await?;
            all = all.zip(calls).map(|(all, calls)| all + calls);
        }
        Ok(all)
    }

    /// What names this run of the server; none for a cluster, or where it may not be asked.
    pub(super) async fn run_id(&mut self) -> Result<Option<String>, BrokerError> {
        match self.slots {
            Some(_) => Ok(None),
            None => self.node(0)?.run_id().await,
        }
    }

    /// One reply a read, in their order. What was too large a moment ago is not asked for.
    pub(super) async fn execute(&mut self, reads: &[Read]) -> Result<Vec<Reply>, BrokerError> {
        let now = clock::now().mono;
        let screened = self.quarantine().screen(reads, now);
        let Some(mut screened) = screened else {
            let replies = self.send(reads).await?;
            self.quarantine().learn(reads, &replies, now);
            return Ok(replies);
        };
        let sent = std::mem::take(&mut screened.reads);
        let replies = self.send(&sent).await?;
        self.quarantine().learn(&sent, &replies, now);
        Ok(screened.restore(replies))
    }

    fn quarantine(&self) -> MutexGuard<'_, Quarantine> {
        self.quarantine
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    async fn send(&mut self, reads: &[Read]) -> Result<Vec<Reply>, BrokerError> {
        if self.slots.is_none() {
            let reads: Vec<&Read> = reads.iter().collect();
            return self.send_to(0, &reads).await;
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
            let answers = self.send_to(node, &batch).await?;
            for (index, answer) in indexes.into_iter().zip(answers) {
                if let Some(reply) = replies.get_mut(index) {
                    *reply = answer;
                }
            }
        }
        Ok(replies)
    }

    async fn send_to(&mut self, node: usize, reads: &[&Read]) -> Result<Vec<Reply>, BrokerError> {
        let replies = self.node(node)?.execute(reads).await?;
        self.missing.note(reads, &replies);
        Ok(replies)
    }

    /// One page of the walk over all keys of one node.
    pub(super) async fn scan(
        &mut self,
        node: usize,
        cursor: u64,
        what: (&[u8], Option<&'static str>),
        count: u32,
    ) -> Result<Result<Page, Refusal>, BrokerError> {
        self.node(node)?.scan(cursor, what, count).await
    }

    /// One page of each of several sets.
    pub(super) async fn sscan(
        &mut self,
        sets: &[(Bytes, u64)],
        count: u32,
    ) -> Result<Vec<Result<Page, Refusal>>, BrokerError> {
        let mut by_node: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
        for (index, (key, _)) in sets.iter().enumerate() {
            by_node.entry(self.node_of(key)?).or_default().push(index);
        }
        let mut pages: Vec<Result<Page, Refusal>> =
            sets.iter().map(|_| Ok(Page::default())).collect();
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
}
