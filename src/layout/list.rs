//! Plain Redis lists that the configuration names as queues. Their elements are nobody's format, so
//! there is a depth and nothing else.

use super::glob;
use super::redis::{
    Bytes, KeyMeaning, Layout, Outcome, Probe, QueueRef, Read, Registry, Reply, Step, UNSTAMPED,
};
use crate::config;
use crate::model::{Head, Observation, Reason, System, Timestamp};
use std::sync::Arc;

pub fn bind(redis: &config::Redis, _max_payload: u64) -> Box<dyn Layout> {
    Box::new(Lists {
        patterns: redis
            .list
            .keys
            .iter()
            .map(|key| key.as_bytes().into())
            .collect(),
    })
}

struct Lists {
    patterns: Vec<Bytes>,
}

struct Depths<'a> {
    queues: &'a [QueueRef],
    asked: bool,
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
            of_type: "list",
        }
    }

    fn probe<'a>(&'a self, queues: &'a [QueueRef], _now: Timestamp) -> Box<dyn Probe + Send + 'a> {
        Box::new(Depths {
            queues,
            asked: false,
        })
    }
}

impl Probe for Depths<'_> {
    fn step(&mut self, replies: Vec<Reply>) -> Step {
        if !self.asked {
            self.asked = true;
            return Step::Read(
                self.queues
                    .iter()
                    .map(|queue| Read::Llen(Bytes::clone(&queue.raw)))
                    .collect(),
            );
        }
        Step::Done(
            self.queues
                .iter()
                .zip(replies)
                .map(|(queue, reply)| observe(queue, reply))
                .collect(),
        )
    }
}

fn observe(queue: &QueueRef, reply: Reply) -> Outcome {
    match reply.count() {
        Err(refusal) => Outcome::Unreadable(refusal),
        Ok(ready) => {
            let mut observation =
                Observation::new(System::List, Arc::clone(&queue.shown), UNSTAMPED);
            observation.jobs.ready = Some(ready);
            observation.head = if ready == 0 {
                Head::Empty
            } else {
                Head::Unknown(Reason::NoTimestamp)
            };
            Outcome::Observed(Box::new(observation))
        }
    }
}
