//! Plain Redis lists that the configuration names as queues. Their elements are nobody's format, so
//! there is a depth, and what positions tell of the flow.

use super::glob;
use super::marker::{Elements, Follow, Memory, Several};
use super::redis::{
    Bytes, KeyMeaning, Layout, Outcome, Probe, QueueRef, Registry, Reply, Side, Step, UNSTAMPED,
};
use crate::config;
use crate::model::flow::LineHead;
use crate::model::{Head, Observation, System, Timestamp};
use std::sync::Arc;

pub fn bind(redis: &config::Redis, _max_payload: u64) -> Box<dyn Layout> {
    Box::new(Lists {
        patterns: redis
            .list
            .keys
            .iter()
            .map(|key| key.as_bytes().into())
            .collect(),
        head: match redis.list.head {
            config::ListEnd::Left => Side::Left,
            config::ListEnd::Right => Side::Right,
        },
        memory: Memory::default(),
    })
}

struct Lists {
    patterns: Vec<Bytes>,
    /// The end at which jobs are taken.
    head: Side,
    memory: Memory,
}

struct Depths<'a> {
    layout: &'a mut Lists,
    queues: &'a [QueueRef],
    lists: Several,
}

impl Layout for Lists {
    fn registries(&self) -> Vec<Registry> {
        let registry = |pattern: &Bytes| {
            if glob::is_literal(pattern) {
                Registry::Named(Bytes::clone(pattern))
            } else {
                Registry::Scan(Bytes::clone(pattern))
            }
        };
        self.patterns.iter().map(registry).collect()
    }

    fn key(&self, key: &[u8]) -> KeyMeaning {
        KeyMeaning::Queue {
            name: key.to_vec(),
            of_type: &["list"],
        }
    }

    fn lists(&mut self) -> Option<&mut Memory> {
        Some(&mut self.memory)
    }

    fn probe<'a>(
        &'a mut self,
        queues: &'a [QueueRef],
        _now: Timestamp,
    ) -> Box<dyn Probe + Send + 'a> {
        let lists = queues
            .iter()
            .map(|queue| {
                let marks = self.memory.get(&queue.raw, 0);
                // Nobody's format: two elements may well be alike.
                Follow::new(Bytes::clone(&queue.raw), self.head, Elements::Any, marks)
            })
            .collect();
        Box::new(Depths {
            layout: self,
            queues,
            lists: Several::new(lists),
        })
    }
}

impl Probe for Depths<'_> {
    fn step(&mut self, replies: Vec<Reply>) -> Step {
        let reads = self.lists.step(replies, &mut self.layout.memory);
        if !reads.is_empty() {
            return Step::Read(reads);
        }
        let lists = std::mem::take(&mut self.lists).into_lists();
        let memory = &mut self.layout.memory;
        Step::Done(
            self.queues
                .iter()
                .zip(lists)
                .map(|(queue, list)| observe(queue, list, memory))
                .collect(),
        )
    }
}

fn observe(queue: &QueueRef, mut list: Follow, memory: &mut Memory) -> Outcome {
    let ready = match list.len {
        Err(refusal) => return Outcome::Unreadable(refusal),
        Ok(ready) => ready,
    };
    let mut observation = Observation::new(System::List, Arc::clone(&queue.shown), UNSTAMPED);
    observation.jobs.ready = Some(ready);
    observation.head = Head::untimed(ready);
    list.tell(&mut observation, &queue.raw, LineHead::PLAIN, memory);
    Outcome::Observed(Box::new(observation))
}
