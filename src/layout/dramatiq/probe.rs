//! The conversation about Dramatiq's queues: counts and positions, then the messages at the heads.

use super::DramatiqLayout;
use crate::layout::marker::{Elements, Follow, Several};
use crate::layout::redis::{
    Bytes, Outcome, Probe, QueueRef, Read, Refusal, RefusalKind, Reply, Side, Step, UNSTAMPED,
};
use crate::model::flow::LineHead;
use crate::model::{Head, LatencySource, Observation, Reason, System, Timestamp};
use serde::Deserialize;
use std::sync::Arc;
use std::time::Duration;

pub(super) struct DramatiqProbe<'a> {
    layout: &'a mut DramatiqLayout,
    queues: &'a [QueueRef],
    now: Timestamp,
    counts: Vec<Result<Counts, Refusal>>,
    lists: Several,
    stage: Stage,
}

enum Stage {
    Start,
    Counts,
    Positions,
    Messages(Vec<Follow>),
}

#[derive(Clone, Copy)]
struct Counts {
    held: u64,
    delayed: u64,
    dead: u64,
}

/// Reads of the first round for each queue, besides those about its list.
const COUNTS: usize = 3;

/// What tells of its time in a message (`dramatiq/message.py`, `JSONEncoder`).
#[derive(Deserialize)]
struct Message {
    /// Milliseconds; of the first sending.
    message_timestamp: f64,
    #[serde(default)]
    options: Options,
}

#[derive(Deserialize, Default)]
struct Options {
    /// There since a failure of the job, which was then delayed.
    requeue_timestamp: Option<f64>,
}

impl<'a> DramatiqProbe<'a> {
    pub(super) fn new(
        layout: &'a mut DramatiqLayout,
        queues: &'a [QueueRef],
        now: Timestamp,
    ) -> Self {
        let follow = |queue: &QueueRef| {
            let marks = layout.lists.get(&queue.raw, 0);
            // Every sending has an id of its own.
            Follow::new(
                layout.key(&queue.raw, ""),
                Side::Left,
                Elements::Unique,
                marks,
            )
        };
        Self {
            lists: Several::new(queues.iter().map(follow).collect()),
            layout,
            queues,
            now,
            counts: Vec::new(),
            stage: Stage::Start,
        }
    }

    fn ask_counts(&self, queue: &QueueRef) -> [Read; COUNTS] {
        let key = |suffix| self.layout.key(&queue.raw, suffix);
        let both = vec![Read::Llen(key("")), Read::Hlen(key(".msgs"))];
        [
            Read::Atomic(key(""), both),
            Read::Hlen(key(".DQ.msgs")),
            Read::Zcard(key(".XQ")),
        ]
    }

    /// The messages of which the ids are at the heads.
    fn ask_messages(&self, lists: &[Follow]) -> Vec<Read> {
        let heads = self.queues.iter().zip(lists);
        heads
            .filter_map(|(queue, list)| {
                let id = list.first.as_ref()?.as_ref().ok()?;
                let messages = self.layout.key(&queue.raw, ".msgs");
                Some(Read::Hget(messages, id.as_slice().into()))
            })
            .collect()
    }

    fn outcomes(&mut self, lists: Vec<Follow>, replies: Vec<Reply>) -> Vec<Outcome> {
        let mut replies = replies.into_iter();
        let counts = std::mem::take(&mut self.counts);
        let all = self.queues.iter().zip(counts).zip(lists);
        all.map(|((queue, counts), mut list)| {
            let head = match list.first.take() {
                None => None,
                Some(Err(refusal)) => Some(Err(refusal)),
                Some(Ok(_)) => Some(replies.next().unwrap_or(Reply::Nil).bytes()),
            };
            match counts {
                Ok(counts) => self.observe(queue, counts, list, head),
                Err(refusal) => Outcome::Unreadable(refusal),
            }
        })
        .collect()
    }

    fn observe(
        &mut self,
        queue: &QueueRef,
        counts: Counts,
        mut list: Follow,
        head: Option<Result<Option<Vec<u8>>, Refusal>>,
    ) -> Outcome {
        let ready = match list.len {
            Err(refusal) => return Outcome::Unreadable(refusal),
            Ok(ready) => ready,
        };
        if counts.delayed > 0 {
            let name = Bytes::clone(&queue.raw);
            self.layout.delayed.insert(name, self.now);
        }
        let mut seen = Observation::new(System::Dramatiq, Arc::clone(&queue.shown), UNSTAMPED);
        seen.jobs.ready = Some(ready);
        seen.jobs.in_progress = Some(counts.held);
        seen.jobs.scheduled = Some(counts.delayed);
        seen.jobs.failed = Some(counts.dead);
        let mut refused = None;
        seen.head = match head {
            _ if ready == 0 => Head::Empty,
            None | Some(Ok(None)) => Head::Unknown(Reason::HeadMissing),
            Some(Err(refusal)) => {
                let reason = match refusal.kind {
                    RefusalKind::TooLarge => Reason::PayloadTooLarge,
                    RefusalKind::NotPermitted => Reason::NotPermitted,
                    RefusalKind::WrongType | RefusalKind::Other => Reason::Undecodable,
                };
                refused = Some(refusal);
                Head::Unknown(reason)
            }
            Some(Ok(Some(message))) => match sent(&message) {
                Err(reason) => Head::Unknown(reason),
                Ok(sent) if self.may_have_been_delayed(queue, sent) => {
                    Head::Unknown(Reason::NoTimestamp)
                }
                Ok(sent) => Head::Since {
                    earliest: sent,
                    latest: sent.plus(Duration::from_micros(999)),
                    upper_is_hard: false,
                    source: LatencySource::Message,
                },
            },
        };
        let line = LineHead::of(seen.head);
        list.tell(&mut seen, &queue.raw, line, &mut self.layout.lists);
        Outcome::of(seen, refused)
    }

    fn may_have_been_delayed(&self, queue: &QueueRef, sent: Timestamp) -> bool {
        let delayed = self.layout.delayed.get(&queue.raw);
        delayed.is_some_and(|last| sent <= *last)
    }
}

impl Probe for DramatiqProbe<'_> {
    fn step(&mut self, replies: Vec<Reply>) -> Step {
        let mut replies = replies.into_iter();
        let mut reads = Vec::new();
        match std::mem::replace(&mut self.stage, Stage::Start) {
            Stage::Start => {
                let queues = self.queues.iter();
                reads.extend(queues.flat_map(|queue| self.ask_counts(queue)));
                self.stage = Stage::Counts;
            }
            Stage::Counts => {
                for _ in self.queues {
                    let own: Vec<Reply> = replies.by_ref().take(COUNTS).collect();
                    self.counts.push(Counts::decode(own));
                }
                self.lists.take(&mut replies, &mut self.layout.lists);
                self.stage = Stage::Positions;
            }
            Stage::Positions => {
                self.lists.take(&mut replies, &mut self.layout.lists);
                self.stage = Stage::Positions;
            }
            Stage::Messages(lists) => return Step::Done(self.outcomes(lists, replies.collect())),
        }
        reads.extend(self.lists.ask());
        if !reads.is_empty() {
            return Step::Read(reads);
        }
        let lists = std::mem::take(&mut self.lists).into_lists();
        let reads = self.ask_messages(&lists);
        if reads.is_empty() {
            return Step::Done(self.outcomes(lists, Vec::new()));
        }
        self.stage = Stage::Messages(lists);
        Step::Read(reads)
    }
}

// === impl Counts ===

impl Counts {
    fn decode(replies: Vec<Reply>) -> Result<Self, Refusal> {
        let mut replies = replies.into_iter();
        let mut next = || replies.next().unwrap_or(Reply::Nil);
        let mut both = match next() {
            Reply::Array(both) | Reply::Loose(both) => both.into_iter(),
            other => vec![other].into_iter(),
        };
        let waiting = both.next().unwrap_or(Reply::Nil).count()?;
        let all = both.next().unwrap_or(Reply::Nil).count()?;
        Ok(Self {
            held: all.saturating_sub(waiting),
            delayed: next().count()?,
            dead: next().count()?,
        })
    }
}

/// When a message was sent, if that is since when it could be taken.
fn sent(message: &[u8]) -> Result<Timestamp, Reason> {
    // Other encoders than JSON can be plugged in.
    let message: Message = serde_json::from_slice(message).map_err(|_| Reason::Undecodable)?;
    if message.options.requeue_timestamp.is_some() {
        return Err(Reason::NoTimestamp);
    }
    Timestamp::from_number_of_unknown_unit(message.message_timestamp).ok_or(Reason::NoTimestamp)
}
