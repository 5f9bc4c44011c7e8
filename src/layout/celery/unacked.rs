//! The messages that workers hold unacknowledged. kombu keeps them, for all queues of a database
//! together, in a hash `unacked` (delivery tag → `[message, exchange, routing key]`) and a sorted
//! set `unacked_index` (delivery tag, scored by the time of delivery): `Channel._deliver` and
//! `QoS.append` in `kombu/transport/redis.py`, 4.0–5.7.
//!
//! A tag is never used twice, so each message is fetched once and remembered by its tag.

use super::message::Message;
use crate::layout::name;
use crate::layout::redis::{Bytes, Read, Refusal, RefusalKind, Reply};
use crate::model::{Reason, Timestamp};
use serde_json::Value;
use std::collections::{BTreeSet, HashMap};

/// What is held, by queue.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Held {
    /// Prefetched or, with late acknowledgement, running.
    pub(super) in_progress: u64,
    /// Waiting in a worker for their ETA.
    pub(super) scheduled: u64,
    pub(super) next_due: Option<Timestamp>,
}

pub(super) struct Unacked {
    hash: Bytes,
    index: Bytes,
    limit: u32,
    max_payload: u64,
    by_tag: HashMap<Bytes, Entry>,
    /// The tags held now, in the order of the replies to come.
    held: Vec<Bytes>,
    asked: Vec<Bytes>,
    over_limit: bool,
    split: Option<HashMap<Bytes, Held>>,
    complaint: Option<Refusal>,
}

/// A message as far as it concerns us. Without a route it was not readable.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Entry {
    /// Exchange and routing key.
    route: Option<(Bytes, Bytes)>,
    eta: Option<Timestamp>,
}

/// Which queue a message of an exchange and routing key went to, as the bindings say.
#[derive(Debug, Default)]
pub(super) struct Routes {
    by_exchange: HashMap<Bytes, BTreeSet<(Bytes, Bytes)>>,
}

// === impl Routes ===

impl Routes {
    pub(super) fn learn(&mut self, exchange: &[u8], routing_key: &[u8], queue: &[u8]) {
        self.by_exchange
            .entry(exchange.into())
            .or_default()
            .insert((routing_key.into(), queue.into()));
    }

    /// The default exchange routes to the queue that the key names; others by an equal key, or to
    /// their only queue. What is left (topics with patterns) is not guessed.
    fn queue(&self, exchange: &[u8], routing_key: &[u8]) -> Option<Bytes> {
        if exchange.is_empty() {
            return Some(routing_key.into());
        }
        let bindings = self.by_exchange.get(exchange)?;
        let mut equal = bindings.iter().filter(|(key, _)| &**key == routing_key);
        match (equal.next(), equal.next()) {
            (Some((_, queue)), None) => Some(Bytes::clone(queue)),
            (None, _) => {
                let queues: BTreeSet<&Bytes> = bindings.iter().map(|(_, queue)| queue).collect();
                let only = queues.first().filter(|_| queues.len() == 1)?;
                Some(Bytes::clone(only))
            }
            (Some(_), Some(_)) => None,
        }
    }
}

// === impl Unacked ===

impl Unacked {
    pub(super) fn new(hash: String, limit: u32, max_payload: u64) -> Self {
        Self {
            index: format!("{hash}_index").into_bytes().into(),
            hash: hash.into_bytes().into(),
            limit: limit.min(Read::MAX_ELEMENTS),
            max_payload,
            by_tag: HashMap::new(),
            held: Vec::new(),
            asked: Vec::new(),
            over_limit: false,
            split: None,
            complaint: None,
        }
    }

    /// What workers hold of a queue; `None` where that is not known of every message.
    pub(super) fn of(&self, queue: &[u8]) -> Option<Held> {
        self.split
            .as_ref()
            .map(|split| split.get(queue).copied().unwrap_or_default())
    }

    /// Why [`Self::of`] is `None`, if it is.
    pub(super) fn unknown(&self) -> Option<Reason> {
        match (&self.split, &self.complaint) {
            (Some(_), _) => None,
            (None, Some(refusal)) => Some(match refusal.kind {
                RefusalKind::NotPermitted => Reason::WorkNotPermitted,
                _ => Reason::UnacknowledgedUnreadable,
            }),
            (None, None) if self.over_limit => Some(Reason::TooManyUnacknowledged),
            (None, None) => Some(Reason::UnacknowledgedUnreadable),
        }
    }

    pub(super) fn complaint(&self) -> Option<&Refusal> {
        self.complaint.as_ref()
    }

    /// One round of the conversation; see [`crate::layout::redis::Layout::overview`].
    pub(super) fn step(
        &mut self,
        round: usize,
        replies: Vec<Reply>,
        routes: &Routes,
        now: Timestamp,
    ) -> Vec<Read> {
        let reads = match round {
            0 => {
                self.split = None;
                self.complaint = None;
                self.over_limit = false;
                return vec![
                    Read::Zcard(Bytes::clone(&self.index)),
                    Read::Zrange(Bytes::clone(&self.index), 0, self.limit.saturating_sub(1)),
                ];
            }
            1 => self.tags(replies),
            2 => self.sizes(replies),
            3 => {
                self.messages(replies);
                Ok(Vec::new())
            }
            _ => return Vec::new(),
        };
        match reads {
            Err(refusal) => {
                // The server's words do not name the key.
                let message = format!("{} ({})", refusal.message, name::shown(&self.hash));
                self.complaint = Some(Refusal { message, ..refusal });
                Vec::new()
            }
            Ok(reads) => {
                if reads.is_empty() {
                    self.split = self.sum_up(routes, now);
                }
                reads
            }
        }
    }

    /// Takes the tags and asks for the sizes of the messages not seen before.
    fn tags(&mut self, replies: Vec<Reply>) -> Result<Vec<Read>, Refusal> {
        let mut replies = replies.into_iter();
        let count = replies.next().unwrap_or(Reply::Nil).count()?;
        self.held = replies
            .next()
            .unwrap_or(Reply::Nil)
            .scored()?
            .into_iter()
            .map(|(tag, _)| tag.into())
            .collect();
        if count > u64::from(self.limit) {
            // More than we attribute: forget them all, and say nothing of single queues.
            self.over_limit = true;
            self.by_tag.clear();
            self.held.clear();
            return Ok(Vec::new());
        }
        let held: BTreeSet<&Bytes> = self.held.iter().collect();
        self.by_tag.retain(|tag, _| held.contains(tag));
        self.asked = self
            .held
            .iter()
            .filter(|tag| !self.by_tag.contains_key(*tag))
            .cloned()
            .collect();
        Ok(self
            .asked
            .iter()
            .map(|tag| Read::Hstrlen(Bytes::clone(&self.hash), Bytes::clone(tag)))
            .collect())
    }

    /// Asks for the messages that are small enough.
    fn sizes(&mut self, replies: Vec<Reply>) -> Result<Vec<Read>, Refusal> {
        let mut fetch = Vec::new();
        for (tag, reply) in std::mem::take(&mut self.asked).into_iter().zip(replies) {
            match reply.count()? {
                // Acknowledged since: it is held no longer.
                0 => self.held.retain(|held| *held != tag),
                size if size > self.max_payload => {
                    self.by_tag.insert(tag, Entry::default());
                }
                _ => fetch.push(tag),
            }
        }
        self.asked = fetch;
        Ok(self
            .asked
            .iter()
            .map(|tag| Read::Hget(Bytes::clone(&self.hash), Bytes::clone(tag)))
            .collect())
    }

    fn messages(&mut self, replies: Vec<Reply>) {
        for (tag, reply) in std::mem::take(&mut self.asked).into_iter().zip(replies) {
            match reply {
                Reply::Nil => self.held.retain(|held| *held != tag),
                Reply::Bytes(bytes) => {
                    self.by_tag.insert(tag, Entry::decode(&bytes));
                }
                _ => {
                    self.by_tag.insert(tag, Entry::default());
                }
            }
        }
    }

    /// By queue; `None` if one message could not be attributed, since it may be any queue's.
    fn sum_up(&self, routes: &Routes, now: Timestamp) -> Option<HashMap<Bytes, Held>> {
        if self.over_limit {
            return None;
        }
        let mut split: HashMap<Bytes, Held> = HashMap::new();
        for tag in &self.held {
            let entry = self.by_tag.get(tag)?;
            let (exchange, routing_key) = entry.route.as_ref()?;
            let held = split
                .entry(routes.queue(exchange, routing_key)?)
                .or_default();
            match entry.eta.filter(|eta| *eta > now) {
                None => held.in_progress += 1,
                Some(eta) => {
                    held.scheduled += 1;
                    held.next_due = Some(held.next_due.map_or(eta, |due| due.min(eta)));
                }
            }
        }
        Some(split)
    }
}

// === impl Entry ===

impl Entry {
    fn decode(bytes: &[u8]) -> Self {
        let Ok(Value::Array(parts)) = serde_json::from_slice(bytes) else {
            return Self::default();
        };
        let [message, exchange, routing_key, ..] = parts.as_slice() else {
            return Self::default();
        };
        let text = |value: &Value| value.as_str().unwrap_or_default().as_bytes().into();
        Self {
            route: Some((text(exchange), text(routing_key))),
            eta: Message::from_value(message).and_then(|message| message.eta()),
        }
    }
}
