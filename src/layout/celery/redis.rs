//! Celery on Redis, as kombu 4.0–5.7 writes it (`kombu/transport/redis.py`).
//!
//! A queue is one list for each priority step: `<prefix><queue>` for step 0 and
//! `<prefix><queue><separator><step>` for the others; 0 runs first. Producers LPUSH, workers BRPOP,
//! so index −1 is next to run. What is put back (worker shutdown, visibility timeout) is RPUSHed to
//! the head, tasks due in the future among it. The queues are the last parts of the members of the
//! sets `<prefix>_kombu.binding.<exchange>`.

use super::list::{Context, List};
use super::unacked::{Routes, Unacked};
use crate::config;
use crate::layout::glob;
use crate::layout::marker::{MARKER_BYTES, Memory, Sight};
use crate::layout::redis::{
    Bytes, KeyMeaning, Layout, Outcome, Probe, QueueRef, Read, Refusal, Registry, Reply, Step,
    UNSTAMPED,
};
use crate::model::flow::{FlowSample, LineSample, Span};
use crate::model::{Head, Observation, System, Timestamp};
use std::sync::Arc;

pub fn bind(redis: &config::Redis, max_payload: u64) -> Box<dyn Layout> {
    let options = redis.celery.clone();
    let unacked = format!("{}{}", options.global_keyprefix, options.unacked_key);
    Box::new(CeleryRedis {
        unacked: Unacked::new(unacked, options.unacked_limit, max_payload),
        routes: Routes::default(),
        memory: Memory::default(),
        binding_prefix: format!("{}_kombu.binding.", options.global_keyprefix).into_bytes(),
        options,
        max_payload,
    })
}

struct CeleryRedis {
    options: config::Celery,
    max_payload: u64,
    binding_prefix: Vec<u8>,
    routes: Routes,
    unacked: Unacked,
    memory: Memory,
}

/// The lists of some queues, queue by queue, step by step.
struct CeleryProbe<'a> {
    layout: &'a mut CeleryRedis,
    queues: &'a [QueueRef],
    now: Timestamp,
    lists: Vec<List>,
    /// The lists that the last reads were about, in their order.
    asked: Vec<usize>,
    /// Bytes that markers may still bring in.
    budget: u64,
}

impl Layout for CeleryRedis {
    fn registries(&self) -> Vec<Registry> {
        let mut pattern = glob::escape(&self.binding_prefix);
        pattern.push(b'*');
        vec![Registry::Scan(pattern.into())]
    }

    fn key(&self, key: &[u8]) -> KeyMeaning {
        match key.strip_prefix(self.binding_prefix.as_slice()) {
            // Worker events and remote control.
            None | Some(b"celeryev" | b"celery.pidbox" | b"reply.celery.pidbox") => {
                KeyMeaning::Nothing
            }
            Some(_) => KeyMeaning::Set,
        }
    }

    fn member(&mut self, set: &[u8], member: &[u8]) -> Option<Vec<u8>> {
        let separator = self.options.separator.as_bytes();
        let exchange = set.strip_prefix(self.binding_prefix.as_slice())?;
        // routing key SEP pattern SEP queue
        let cut = find_last(member, separator)?;
        let queue = member
            .get(cut + separator.len()..)
            .filter(|queue| !queue.is_empty())?;
        if is_internal(queue) {
            return None;
        }
        let routing_key = member
            .windows(separator.len())
            .position(|window| window == separator)
            .and_then(|first| member.get(..first))?;
        self.routes.learn(exchange, routing_key, queue);
        Some(queue.to_vec())
    }

    fn overview(&mut self, round: usize, replies: Vec<Reply>, now: Timestamp) -> Vec<Read> {
        self.unacked.step(round, replies, &self.routes, now)
    }

    fn complaints(&self) -> Vec<Refusal> {
        self.unacked.complaint().cloned().into_iter().collect()
    }

    fn lists(&mut self) -> Option<&mut Memory> {
        Some(&mut self.memory)
    }

    fn probe<'a>(
        &'a mut self,
        queues: &'a [QueueRef],
        now: Timestamp,
    ) -> Box<dyn Probe + Send + 'a> {
        let lists = queues
            .iter()
            .flat_map(|queue| {
                let steps = self.options.priority_steps.iter().enumerate();
                steps.map(|(line, step)| {
                    List::new(self.key_of(queue, *step), self.memory.get(&queue.raw, line))
                })
            })
            .collect();
        Box::new(CeleryProbe {
            layout: self,
            queues,
            now,
            lists,
            asked: Vec::new(),
            budget: MARKER_BYTES,
        })
    }
}

impl CeleryRedis {
    fn key_of(&self, queue: &QueueRef, step: u8) -> Bytes {
        let prefix = self.options.global_keyprefix.as_bytes();
        let separator = self.options.separator.as_bytes();
        let mut key = Vec::with_capacity(prefix.len() + queue.raw.len() + separator.len() + 3);
        key.extend_from_slice(prefix);
        key.extend_from_slice(&queue.raw);
        if step > 0 {
            key.extend_from_slice(separator);
            key.extend_from_slice(step.to_string().as_bytes());
        }
        key.into()
    }
}

impl Probe for CeleryProbe<'_> {
    fn step(&mut self, replies: Vec<Reply>) -> Step {
        let mut context = Context {
            paths: &self.layout.options.timestamp_paths,
            now: self.now,
            max_payload: self.layout.max_payload,
            memory: &mut self.layout.memory,
            budget: &mut self.budget,
        };
        for (index, reply) in std::mem::take(&mut self.asked).into_iter().zip(replies) {
            if let Some(list) = self.lists.get_mut(index) {
                list.take(reply, &mut context);
            }
        }
        let mut reads = Vec::new();
        for (index, list) in self.lists.iter().enumerate() {
            if let Some(read) = list.ask() {
                self.asked.push(index);
                reads.push(read);
            }
        }
        if reads.is_empty() {
            Step::Done(self.outcomes())
        } else {
            Step::Read(reads)
        }
    }
}

impl CeleryProbe<'_> {
    fn outcomes(&mut self) -> Vec<Outcome> {
        let steps = self.layout.options.priority_steps.clone();
        let mut lists = std::mem::take(&mut self.lists).into_iter();
        self.queues
            .iter()
            .map(|queue| {
                let own: Vec<List> = lists.by_ref().take(steps.len()).collect();
                self.observe(queue, &steps, own)
            })
            .collect()
    }

    fn observe(&mut self, queue: &QueueRef, steps: &[u8], mut lists: Vec<List>) -> Outcome {
        let mut observation = Observation::new(System::Celery, Arc::clone(&queue.shown), UNSTAMPED);
        let held = self.layout.unacked.of(&queue.raw);
        let (mut ready, mut scheduled) = (0, 0);
        observation.next_due = held.and_then(|held| held.next_due);
        for (step, list) in steps.iter().zip(&lists) {
            let len = match &list.len {
                Ok(len) => len.saturating_sub(list.scheduled),
                Err(refusal) => return Outcome::Unreadable(refusal.clone()),
            };
            ready += len;
            scheduled += list.scheduled;
            observation.priorities.push((*step, len));
            observation.next_due = match (observation.next_due, list.next_due) {
                (Some(a), Some(b)) => Some(a.min(b)),
                (a, b) => a.or(b),
            };
        }
        observation.jobs.ready = Some(ready);
        observation.jobs.in_progress = held.map(|held| held.in_progress);
        observation.prefetched = observation.jobs.in_progress;
        observation.jobs.scheduled = held.map(|held| held.scheduled + scheduled);
        observation.head = lists
            .iter()
            .map(|list| list.head)
            .fold(Head::Empty, Head::or_older);
        observation.jobs_unknown = self.layout.unacked.unknown();
        let refused = lists.iter_mut().find_map(|list| list.refused.take());
        observation.flow = self.flow(queue, &mut lists);
        self.layout.memory.explain(&mut observation);
        Outcome::of(observation, refused)
    }

    /// What the positions in the lists say, if they could be read in all of them.
    fn flow(&mut self, queue: &QueueRef, lists: &mut [List]) -> Option<FlowSample> {
        let sights = lists.iter_mut().map(|list| list.sight.take());
        let sights: Option<Vec<Sight>> = sights.collect();
        let mut sights = sights.filter(|_| self.layout.memory.refused().is_none())?;
        for sight in &mut sights {
            // kombu writes every message that it takes into the index of unacknowledged ones.
            sight.arrivals.is_delivered = true;
        }
        let is_quiet = sights
            .iter()
            .all(|sight| sight.ready == 0 && sight.arrivals.total == 0);
        let lines = sights.iter().zip(lists.iter()).zip(0..=u8::MAX);
        let lines = lines
            // Of a queue that has always been empty, the line that a job would go to.
            .filter(|(_, line)| !is_quiet || *line == 0)
            .map(|((sight, list), line)| LineSample {
                line,
                ready: sight.ready,
                arrivals: sight.arrivals,
                started: None,
                head: list.line_head(sight),
            })
            .collect();
        let marks = sights.into_iter().map(|sight| sight.marks).collect();
        self.layout.memory.put(&queue.raw, marks);
        Some(FlowSample {
            span: Span::default(),
            lines,
        })
    }
}

/// Queues of kombu's own: replies, remote control, events.
fn is_internal(queue: &[u8]) -> bool {
    queue.ends_with(b".celery.pidbox") || queue.starts_with(b"celeryev.")
}

fn find_last(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    haystack
        .windows(needle.len().max(1))
        .rposition(|window| window == needle)
}
