//! Celery on Redis, as kombu 4.0–5.7 writes it (`kombu/transport/redis.py`).
//!
//! A queue is one list for each priority step: `<prefix><queue>` for step 0 and
//! `<prefix><queue><separator><step>` for the others; 0 runs first. Producers LPUSH, workers BRPOP,
//! so index −1 is next to run. What is put back (worker shutdown, visibility timeout) is RPUSHed to
//! the head, tasks due in the future among it. The queues are the last parts of the members of the
//! sets `<prefix>_kombu.binding.<exchange>`.

use super::message::{Claimable, Message};
use super::unacked::{Routes, Unacked};
use crate::config;
use crate::layout::redis::{
    Bytes, KeyMeaning, Layout, Outcome, Probe, QueueRef, Read, Refusal, RefusalKind, Registry,
    Reply, Step, UNSTAMPED,
};
use crate::model::{Head, LatencySource, Observation, Reason, System, Timestamp};
use std::sync::Arc;

/// How many messages behind a head that is due later are looked at.
const LOOK_BEHIND: i64 = 16;

pub fn bind(redis: &config::Redis, max_payload: u64) -> Box<dyn Layout> {
    let options = redis.celery.clone();
    let unacked = format!("{}{}", options.global_keyprefix, options.unacked_key);
    Box::new(CeleryRedis {
        unacked: Unacked::new(unacked, options.unacked_limit, max_payload),
        routes: Routes::default(),
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
}

/// The lists of some queues, step by step, queue by queue.
struct CeleryProbe<'a> {
    layout: &'a CeleryRedis,
    queues: &'a [QueueRef],
    now: Timestamp,
    lists: Vec<List>,
    stage: Stage,
    /// The lists that the last reads were about, in their order.
    asked: Vec<usize>,
}

#[derive(Debug, Clone, Copy)]
enum Stage {
    Start,
    Depths,
    Sizes,
    Heads,
    Behind,
}

/// One priority step of one queue.
struct List {
    key: Bytes,
    len: Result<u64, Refusal>,
    /// Messages at the head that are not yet due.
    scheduled: u64,
    next_due: Option<Timestamp>,
    head: Head,
}

impl Layout for CeleryRedis {
    fn registries(&self) -> Vec<Registry> {
        let mut pattern = escape(&self.binding_prefix);
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

    fn probe<'a>(&'a self, queues: &'a [QueueRef], now: Timestamp) -> Box<dyn Probe + Send + 'a> {
        let lists = queues
            .iter()
            .flat_map(|queue| {
                self.options
                    .priority_steps
                    .iter()
                    .map(|step| self.list(queue, *step))
            })
            .collect();
        Box::new(CeleryProbe {
            layout: self,
            queues,
            now,
            lists,
            stage: Stage::Start,
            asked: Vec::new(),
        })
    }
}

impl CeleryRedis {
    fn list(&self, queue: &QueueRef, step: u8) -> List {
        let prefix = self.options.global_keyprefix.as_bytes();
        let separator = self.options.separator.as_bytes();
        let mut key = Vec::with_capacity(prefix.len() + queue.raw.len() + separator.len() + 3);
        key.extend_from_slice(prefix);
        key.extend_from_slice(&queue.raw);
        if step > 0 {
            key.extend_from_slice(separator);
            key.extend_from_slice(step.to_string().as_bytes());
        }
        List {
            key: key.into(),
            len: Ok(0),
            scheduled: 0,
            next_due: None,
            head: Head::Empty,
        }
    }
}

impl Probe for CeleryProbe<'_> {
    fn step(&mut self, replies: Vec<Reply>) -> Step {
        let reads = match self.stage {
            Stage::Start => {
                self.stage = Stage::Depths;
                self.asked = (0..self.lists.len()).collect();
                self.ask(Read::Llen)
            }
            Stage::Depths => {
                self.depths(replies);
                self.stage = Stage::Sizes;
                self.ask(Read::MemoryUsage)
            }
            Stage::Sizes => {
                self.sizes(replies);
                self.stage = Stage::Heads;
                self.ask(|key| Read::Lindex(key, -1))
            }
            Stage::Heads => {
                self.heads(replies);
                self.stage = Stage::Behind;
                self.ask(|key| Read::Lrange(key, -1 - LOOK_BEHIND, -2))
            }
            Stage::Behind => {
                self.behind(replies);
                Vec::new()
            }
        };
        // Nothing to ask: then nothing comes after it either.
        if reads.is_empty() {
            Step::Done(self.outcomes())
        } else {
            Step::Read(reads)
        }
    }
}

impl CeleryProbe<'_> {
    fn ask(&self, read: impl Fn(Bytes) -> Read) -> Vec<Read> {
        self.asked
            .iter()
            .filter_map(|index| self.lists.get(*index))
            .map(|list| read(Bytes::clone(&list.key)))
            .collect()
    }

    /// Hands each reply to the list it is about; `visit` says whether to go on with that list.
    fn each(&mut self, replies: Vec<Reply>, mut visit: impl FnMut(&mut List, Reply) -> bool) {
        let asked = std::mem::take(&mut self.asked);
        for (index, reply) in asked.into_iter().zip(replies) {
            let Some(list) = self.lists.get_mut(index) else {
                continue;
            };
            if visit(list, reply) {
                self.asked.push(index);
            }
        }
    }

    fn depths(&mut self, replies: Vec<Reply>) {
        self.each(replies, |list, reply| {
            list.len = reply.count();
            list.len.as_ref().is_ok_and(|len| *len > 0)
        });
    }

    /// A list element cannot be read in part and its size cannot be asked, so Redis's estimate of
    /// the whole list decides whether the head may be fetched. The estimate is exact for a list of
    /// few nodes; in a longer one a single large element can hide, which the connection then drops
    /// as it comes in.
    fn sizes(&mut self, replies: Vec<Reply>) {
        let max = self.layout.max_payload;
        self.each(replies, |list, reply| {
            let len = list.len.as_ref().copied().unwrap_or(0).max(1);
            let fits = match reply {
                Reply::Int(bytes) => {
                    let bytes = u64::try_from(bytes).unwrap_or(0);
                    bytes <= max || (len > 1 && (bytes / len).saturating_mul(8) <= max)
                }
                // Drained meanwhile, or a server that cannot say (before Redis 4, or no right).
                _ => true,
            };
            if !fits {
                list.head = Head::Unknown(Reason::PayloadTooLarge);
            }
            fits
        });
    }

    fn heads(&mut self, replies: Vec<Reply>) {
        let (paths, now) = (&self.layout.options.timestamp_paths, self.now);
        self.each(replies, |list, reply| match reply {
            // A list without a last element is empty by now.
            Reply::Nil => {
                list.len = Ok(0);
                list.head = Head::Empty;
                false
            }
            other => list.take(other, paths, now),
        });
    }

    fn behind(&mut self, replies: Vec<Reply>) {
        let (paths, now) = (&self.layout.options.timestamp_paths, self.now);
        self.each(replies, |list, reply| {
            for message in reply.array().unwrap_or_default().into_iter().rev() {
                if !list.take(message, paths, now) {
                    return false;
                }
            }
            // Every message of the list is due later: then none waits.
            let all = list.len.as_ref().copied().unwrap_or(0);
            list.head = if list.scheduled >= all {
                Head::Empty
            } else {
                Head::Unknown(Reason::OnlyScheduledSeen)
            };
            false
        });
    }

    fn outcomes(&self) -> Vec<Outcome> {
        let steps = self.layout.options.priority_steps.as_slice();
        self.queues
            .iter()
            .zip(self.lists.chunks(steps.len().max(1)))
            .map(|(queue, lists)| self.observe(queue, steps, lists))
            .collect()
    }

    fn observe(&self, queue: &QueueRef, steps: &[u8], lists: &[List]) -> Outcome {
        let mut observation = Observation::new(System::Celery, Arc::clone(&queue.shown), UNSTAMPED);
        let held = self.layout.unacked.of(&queue.raw);
        let (mut ready, mut scheduled) = (0, 0);
        observation.next_due = held.and_then(|held| held.next_due);
        for (step, list) in steps.iter().zip(lists) {
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
        observation.jobs.scheduled = held.map(|held| held.scheduled + scheduled);
        observation.head = lists
            .iter()
            .map(|list| list.head)
            .fold(Head::Empty, Head::or_older);
        Outcome::Observed(Box::new(observation))
    }
}

// === impl List ===

impl List {
    /// Takes the next message from the head on; whether the one behind it matters too.
    fn take(&mut self, message: Reply, paths: &[Vec<String>], now: Timestamp) -> bool {
        let message = match message {
            Reply::Bytes(bytes) => Message::decode(&bytes),
            Reply::Refused(Refusal {
                kind: RefusalKind::TooLarge,
                ..
            }) => {
                self.head = Head::Unknown(Reason::PayloadTooLarge);
                return false;
            }
            _ => None,
        };
        let Some(message) = message else {
            self.head = Head::Unknown(Reason::Undecodable);
            return false;
        };
        match message.claimable(paths, now) {
            Claimable::From(eta) => {
                self.scheduled += 1;
                self.next_due = Some(self.next_due.map_or(eta, |due| due.min(eta)));
                // Until the one behind it has been seen.
                self.head = Head::Unknown(Reason::OnlyScheduledSeen);
                true
            }
            Claimable::Untimed => {
                self.head = Head::Unknown(Reason::NoTimestamp);
                false
            }
            Claimable::Since {
                earliest,
                latest,
                is_redelivered,
            } => {
                self.head = Head::Since {
                    earliest,
                    latest,
                    // What was put back lies at the head in no order.
                    upper_is_hard: !is_redelivered,
                    source: LatencySource::Message,
                };
                false
            }
        }
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

/// The text as a glob that matches only it.
fn escape(text: &[u8]) -> Vec<u8> {
    text.iter()
        .flat_map(|byte| {
            let special = matches!(byte, b'*' | b'?' | b'[' | b']' | b'\\' | b'^');
            special.then_some(b'\\').into_iter().chain([*byte])
        })
        .collect()
}
