//! Holds a layout's conversations with a Redis in memory, as the Redis source does.

use super::keyspace::Keyspace;
use super::stored::Stored;
use crate::layout::glob;
use crate::layout::name;
use crate::layout::redis::{Bytes, KeyMeaning, Layout, Outcome, QueueRef, Read, Registry, Step};
use crate::model::{Observation, SystemTotals, Timestamp};
use std::collections::BTreeMap;

/// What one poll gave and cost.
pub(super) struct Driven {
    pub(super) outcomes: Vec<Outcome>,
    /// Commands about each queue.
    pub(super) costs: Vec<usize>,
    /// Commands about all queues together.
    pub(super) overview: usize,
    pub(super) totals: Option<SystemTotals>,
}

/// What the Redis source allows a conversation.
pub(super) const MAX_ROUNDS: usize = 16;

impl Keyspace {
    /// Finds the layout's queues and polls them, as the Redis source does.
    pub(crate) fn poll(&self, layout: &mut dyn Layout, now: Timestamp) -> Vec<Outcome> {
        let queues = self.discover(layout);
        self.overview(layout, now);
        let (outcomes, _) = self.converse(layout, &queues, now);
        layout.told();
        outcomes
    }

    /// The same with a conversation for each queue, so that each has its cost.
    pub(super) fn drive(&self, layout: &mut dyn Layout, now: Timestamp) -> Driven {
        let queues = self.discover(layout);
        let overview = self.overview(layout, now);
        let (outcomes, costs) = queues
            .chunks(1)
            .map(|queue| {
                let (mut outcomes, cost) = self.converse(layout, queue, now);
                (outcomes.remove(0), cost)
            })
            .unzip();
        layout.told();
        Driven {
            outcomes,
            costs,
            overview,
            totals: layout.totals(),
        }
    }

    /// What concerns all queues together; the commands that it took.
    fn overview(&self, layout: &mut dyn Layout, now: Timestamp) -> usize {
        layout.begin();
        let mut replies = Vec::new();
        let mut cost = 0;
        for round in 0..MAX_ROUNDS {
            let reads = layout.overview(round, replies, now);
            if reads.is_empty() {
                return cost;
            }
            cost += commands(&reads);
            replies = self.answers(&reads);
        }
        panic!("the overview does not end");
    }

    /// One conversation, and the commands that it took.
    fn converse(
        &self,
        layout: &mut dyn Layout,
        queues: &[QueueRef],
        now: Timestamp,
    ) -> (Vec<Outcome>, usize) {
        let mut probe = layout.probe(queues, now);
        let mut replies = Vec::new();
        let mut cost = 0;
        for _ in 0..MAX_ROUNDS {
            match probe.step(replies) {
                Step::Read(reads) => {
                    cost += commands(&reads);
                    replies = self.answers(&reads);
                }
                Step::Done(outcomes) => {
                    assert_eq!(outcomes.len(), queues.len());
                    return (outcomes, cost);
                }
            }
        }
        panic!("the probe does not end");
    }

    /// The observations by queue, where every queue could be read.
    pub(crate) fn observe(
        &self,
        layout: &mut dyn Layout,
        now: Timestamp,
    ) -> BTreeMap<String, Observation> {
        self.poll(layout, now)
            .into_iter()
            .map(|outcome| match outcome {
                Outcome::Observed(observation) => (observation.queue.to_string(), *observation),
                Outcome::Partly(_, refusal) | Outcome::Unreadable(refusal) => {
                    panic!("unreadable: {refusal:?}")
                }
                Outcome::Foreign => panic!("no queue"),
            })
            .collect()
    }

    pub(super) fn discover(&self, layout: &mut dyn Layout) -> Vec<QueueRef> {
        let mut names: Vec<Vec<u8>> = Vec::new();
        for registry in layout.registries() {
            match registry {
                Registry::Named(name) => names.push(name.to_vec()),
                Registry::Set(key) => names.extend(self.members(layout, &key)),
                Registry::Scan(pattern) => {
                    for (key, stored) in &self.0 {
                        if glob::matches(&pattern, key) {
                            names.extend(self.meant(layout, key, stored));
                        }
                    }
                }
                Registry::ScanType(of_type) => {
                    for (key, stored) in &self.0 {
                        if stored.kind() == of_type {
                            names.extend(self.meant(layout, key, stored));
                        }
                    }
                }
            }
        }
        names.sort();
        names.dedup();
        names
            .into_iter()
            .map(|raw| QueueRef {
                shown: name::shown(&raw).into(),
                raw: Bytes::from(raw),
            })
            .collect()
    }

    /// The queues of which a found key tells.
    fn meant(&self, layout: &mut dyn Layout, key: &[u8], stored: &Stored) -> Vec<Vec<u8>> {
        match layout.key(key) {
            KeyMeaning::Nothing => Vec::new(),
            KeyMeaning::Set => self.members(layout, key),
            KeyMeaning::Ask(reads) | KeyMeaning::AskAgain(reads) => {
                layout.identify(key, self.answers(&reads))
            }
            KeyMeaning::Queue { name, of_type } => {
                let is_one = of_type.contains(&stored.kind());
                is_one.then_some(name).into_iter().collect()
            }
        }
    }

    fn members(&self, layout: &mut dyn Layout, key: &[u8]) -> Vec<Vec<u8>> {
        match self.0.get(key) {
            Some(Stored::Set(members)) => members
                .iter()
                .filter_map(|member| layout.member(key, member))
                .collect(),
            _ => Vec::new(),
        }
    }
}

fn commands(reads: &[Read]) -> usize {
    let width = |read: &Read| match read {
        Read::Atomic(_, reads) => reads.len() + 2,
        _ => 1,
    };
    reads.iter().map(width).sum()
}
