//! Plain Redis lists that the configuration names as queues. Their elements are nobody's format, so
//! there is a depth, and what positions tell of the flow.

use super::glob;
use super::marker::{MAX_MARKER, Memory, Next, Sight, Watch};
use super::redis::{
    Bytes, KeyMeaning, Layout, Outcome, Probe, QueueRef, Read, Refusal, Registry, Reply, Side,
    Step, UNSTAMPED,
};
use crate::config;
use crate::model::flow::{FlowSample, LineHead, LineSample, Span};
use crate::model::{Head, Observation, Reason, System, Timestamp};
use std::sync::Arc;

/// Bytes that the markers of one conversation may bring in.
const MARKER_BYTES: u64 = 8 * 1024 * 1024;

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
    lists: Vec<List>,
    asked: Vec<usize>,
    /// Bytes that markers may still bring in.
    budget: u64,
}

struct List {
    len: Result<u64, Refusal>,
    sight: Option<Sight>,
    phase: Phase,
}

/// What is asked next.
enum Phase {
    Length(Watch),
    Position(Watch, Read),
    Done,
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
                let watch = Watch::new(Bytes::clone(&queue.raw), self.head, false, marks);
                List {
                    len: Ok(0),
                    sight: None,
                    phase: Phase::Length(watch),
                }
            })
            .collect();
        Box::new(Depths {
            layout: self,
            queues,
            lists,
            asked: Vec::new(),
            budget: MARKER_BYTES,
        })
    }
}

impl Probe for Depths<'_> {
    fn step(&mut self, replies: Vec<Reply>) -> Step {
        for (index, reply) in std::mem::take(&mut self.asked).into_iter().zip(replies) {
            if let Some(list) = self.lists.get_mut(index) {
                list.take(reply, &mut self.layout.memory, &mut self.budget);
            }
        }
        let mut reads = Vec::new();
        for (index, list) in self.lists.iter().enumerate() {
            match &list.phase {
                Phase::Length(watch) => reads.push(Read::Llen(watch.key())),
                Phase::Position(_, read) => reads.push(read.clone()),
                Phase::Done => continue,
            }
            self.asked.push(index);
        }
        if !reads.is_empty() {
            return Step::Read(reads);
        }
        let lists = std::mem::take(&mut self.lists);
        let head = self.layout.head;
        let memory = &mut self.layout.memory;
        Step::Done(
            self.queues
                .iter()
                .zip(lists)
                .map(|(queue, list)| list.observe(queue, head, memory))
                .collect(),
        )
    }
}

impl List {
    fn take(&mut self, reply: Reply, memory: &mut Memory, budget: &mut u64) {
        self.phase = match std::mem::replace(&mut self.phase, Phase::Done) {
            Phase::Length(mut watch) => {
                self.len = reply.count();
                match &self.len {
                    Err(_) => Phase::Done,
                    Ok(0) => {
                        self.sight = Some(watch.conclude_empty(memory));
                        Phase::Done
                    }
                    Ok(_) if memory.refused().is_some() => Phase::Done,
                    Ok(len) => {
                        // Redis does not tell how large elements are before one has been seen.
                        let size = watch.last_head_size().unwrap_or(1024);
                        let cost = 4 * u64::from(size);
                        let markers = size <= MAX_MARKER && cost <= *budget;
                        if markers {
                            *budget -= cost;
                        }
                        let read = watch.ask(*len, markers, memory);
                        Phase::Position(watch, read)
                    }
                }
            }
            Phase::Position(mut watch, _) => match watch.take(reply, memory) {
                Next::Ask(read) => Phase::Position(watch, read),
                Next::Torn => Phase::Done,
                Next::Refused(refusal) => {
                    memory.refuse(refusal);
                    Phase::Done
                }
                Next::Seen(sight) => {
                    self.len = Ok(sight.ready);
                    self.sight = Some(*sight);
                    Phase::Done
                }
            },
            Phase::Done => Phase::Done,
        };
    }

    fn observe(self, queue: &QueueRef, head: Side, memory: &mut Memory) -> Outcome {
        let ready = match self.len {
            Err(refusal) => return Outcome::Unreadable(refusal),
            Ok(ready) => ready,
        };
        let mut observation = Observation::new(System::List, Arc::clone(&queue.shown), UNSTAMPED);
        observation.jobs.ready = Some(ready);
        observation.head = match memory.refused() {
            _ if ready == 0 => Head::Empty,
            Some(_) => Head::Unknown(Reason::PositionsNotReadable),
            None => Head::Unknown(Reason::NoTimestamp),
        };
        observation.flow = self.sight.map(|mut sight| {
            sight.arrivals.is_pushed = head == Side::Right;
            let line = LineSample {
                line: 0,
                ready: sight.ready,
                arrivals: sight.arrivals,
                started: None,
                head: LineHead::PLAIN,
            };
            let is_quiet = sight.ready == 0 && sight.arrivals.total == 0;
            memory.put(&queue.raw, vec![sight.marks]);
            FlowSample {
                span: Span::default(),
                lines: if is_quiet && head == Side::Left {
                    Vec::new()
                } else {
                    vec![line]
                },
            }
        });
        Outcome::Observed(Box::new(observation))
    }
}
