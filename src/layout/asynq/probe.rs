//! The conversation about Asynq's queues: counts and the list as the marker follows it, then the ids
//! at the head and the groups, then those tasks' times and the groups' sizes.

use super::{Asynq, key};
use crate::layout::heads;
use crate::layout::marker::{Elements, Follow, Several};
use crate::layout::redis::{
    Bytes, Outcome, Probe, QueueRef, Read, Refusal, RefusalKind, Reply, Side, Step, UNSTAMPED,
};
use crate::layout::tally;
use crate::model::flow::LineHead;
use crate::model::{Head, Jobs, LatencySource, Observation, Reason, System, Timestamp};
use std::sync::Arc;

/// Ids at the head that are looked at: those that a shutdown has put back carry no time.
const HEADS: i64 = 8;

/// Groups whose tasks are counted; of more the count is unknown.
const GROUPS: u64 = 64;

const TIMES: &[&str] = &["pending_since"];

pub(super) struct AsynqProbe<'a> {
    layout: &'a mut Asynq,
    queues: Vec<QueueState<'a>>,
    following: Several,
    lists: Vec<Follow>,
    stage: Stage,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Stage {
    Start,
    Counts,
    Following,
    Names,
    Details,
}

struct QueueState<'a> {
    queue: &'a QueueRef,
    counts: Result<Observation, Refusal>,
    groups: u64,
    /// What the reads of the last round were about: so many ids at the head, so many groups.
    asked: (usize, usize),
    heads: Vec<Option<(Timestamp, Timestamp)>>,
    refused: Option<Refusal>,
    /// Why it is not known when the next task is due.
    hidden: Option<Refusal>,
}

/// Reads of the first round for each queue.
const COUNTS: usize = 10;

impl Probe for AsynqProbe<'_> {
    fn step(&mut self, mut replies: Vec<Reply>) -> Step {
        let mut reads = Vec::new();
        if self.queues.is_empty() {
            return Step::Done(Vec::new());
        }
        if self.stage == Stage::Start {
            self.stage = Stage::Counts;
            reads.extend(
                self.queues
                    .iter()
                    .flat_map(|state| count_reads(&state.queue.raw)),
            );
            reads.extend(self.following.ask());
            if !reads.is_empty() {
                return Step::Read(reads);
            }
        }
        if self.stage == Stage::Counts {
            self.stage = Stage::Following;
            let rest = replies.split_off(replies.len().min(COUNTS * self.queues.len()));
            self.counts(replies);
            replies = rest;
        }
        if self.stage == Stage::Following {
            self.following
                .take(&mut replies.into_iter(), &mut self.layout.memory);
            reads = self.following.ask();
            if !reads.is_empty() {
                return Step::Read(reads);
            }
            self.lists = std::mem::take(&mut self.following).into_lists();
            self.stage = Stage::Names;
            reads = self.name_reads();
        } else if self.stage == Stage::Names {
            self.stage = Stage::Details;
            reads = self.names(replies);
        } else {
            self.details(replies);
        }
        if !reads.is_empty() {
            return Step::Read(reads);
        }
        let lists = std::mem::take(&mut self.lists);
        let queues = std::mem::take(&mut self.queues).into_iter().zip(lists);
        Step::Done(
            queues
                .map(|(state, list)| state.observe(list, self.layout))
                .collect(),
        )
    }
}

impl<'a> AsynqProbe<'a> {
    pub(super) fn new(layout: &'a mut Asynq, queues: &'a [QueueRef]) -> Self {
        let follow = |queue: &QueueRef| {
            let marks = layout.memory.get(&queue.raw, 0);
            Follow::new(
                key(&queue.raw, &[b"pending"]),
                Side::Right,
                Elements::Unique,
                marks,
            )
        };
        Self {
            following: Several::new(queues.iter().map(follow).collect()),
            layout,
            queues: queues.iter().map(QueueState::new).collect(),
            lists: Vec::new(),
            stage: Stage::Start,
        }
    }

    fn counts(&mut self, replies: Vec<Reply>) {
        let mut replies = replies.into_iter();
        for state in &mut self.queues {
            // All of them, also where the first is refused: the next ones are the next queue's.
            let own: Vec<Reply> = replies.by_ref().take(COUNTS).collect();
            state.counts = state.decode(own, self.layout);
        }
    }

    /// The ids at the heads, and the names of the groups where they are not too many.
    fn name_reads(&mut self) -> Vec<Read> {
        let mut reads = Vec::new();
        for (state, list) in self.queues.iter_mut().zip(&self.lists) {
            state.asked = (0, 0);
            if list.len.as_ref().is_ok_and(|len| *len > 0) {
                reads.push(Read::Lrange(
                    key(&state.queue.raw, &[b"pending"]),
                    -HEADS,
                    -1,
                ));
                state.asked.0 = 1;
            }
            if (1..=GROUPS).contains(&state.groups) {
                reads.push(Read::Smembers(key(&state.queue.raw, &[b"groups"])));
                state.asked.1 = 1;
            }
        }
        reads
    }

    fn names(&mut self, replies: Vec<Reply>) -> Vec<Read> {
        let mut reads = Vec::new();
        let mut replies = replies.into_iter();
        for state in &mut self.queues {
            let (ids, groups) = state.asked;
            let mut ids = state.strings(replies.by_ref().take(ids));
            // Next to run first.
            ids.reverse();
            let groups = state.strings(replies.by_ref().take(groups));
            let queue = &state.queue.raw;
            let task = |id: &Vec<u8>| Read::Hmget(key(queue, &[b"t:", id]), TIMES);
            let group = |name: &Vec<u8>| Read::Zcard(key(queue, &[b"g:", name]));
            reads.extend(ids.iter().map(task));
            reads.extend(groups.iter().map(group));
            state.asked = (ids.len(), groups.len());
        }
        reads
    }

    fn details(&mut self, replies: Vec<Reply>) {
        let mut replies = replies.into_iter();
        for state in &mut self.queues {
            let (ids, groups) = state.asked;
            for reply in replies.by_ref().take(ids) {
                match reply.array() {
                    Ok(fields) => state.heads.push(pending_since(fields)),
                    Err(refusal) => {
                        state.heads.push(None);
                        state.refused = Some(refusal);
                    }
                }
            }
            let sizes = replies.by_ref().take(groups);
            let sizes = sizes.map(Reply::count).collect::<Result<Vec<u64>, _>>();
            match (sizes, &mut state.counts) {
                (Ok(sizes), Ok(seen)) if state.groups <= GROUPS => {
                    seen.jobs.deferred = Some(sizes.into_iter().fold(0, u64::saturating_add));
                }
                (Err(refusal), _) => state.refused = Some(refusal),
                _ => {}
            }
        }
    }
}

impl<'a> QueueState<'a> {
    fn new(queue: &'a QueueRef) -> Self {
        let unknown = Observation::new(System::Asynq, Arc::clone(&queue.shown), UNSTAMPED);
        Self {
            queue,
            counts: Ok(unknown),
            groups: 0,
            asked: (0, 0),
            heads: Vec::new(),
            refused: None,
            hidden: None,
        }
    }

    fn decode(&mut self, replies: Vec<Reply>, layout: &mut Asynq) -> Result<Observation, Refusal> {
        let mut replies = replies.into_iter();
        let mut next = || replies.next().unwrap_or(Reply::Nil);
        let mut seen = Observation::new(System::Asynq, Arc::clone(&self.queue.shown), UNSTAMPED);
        seen.jobs = Jobs {
            in_progress: Some(next().count()?),
            scheduled: Some(next().count()?),
            retry: Some(next().count()?),
            failed: Some(next().count()?),
            ..Jobs::default()
        };
        self.groups = next().count()?;
        match self.groups {
            0 => seen.jobs.deferred = Some(0),
            1..=GROUPS => {}
            _ => seen.jobs_unknown = Some(Reason::TooMany),
        }
        let due = [next(), next()];
        self.hidden = due.iter().find_map(Reply::refusal).cloned();
        seen.next_due = due.into_iter().filter_map(Reply::first_due).min();
        seen.paused = Some(next().count()? > 0);
        let tally = layout.tallies.entry(Bytes::clone(&self.queue.raw));
        seen.counters = tally.or_default().read(next(), next())?;
        // A worker runs one task.
        seen.busy_workers = seen.jobs.in_progress;
        seen.consumers = layout.survey.consumers(&self.queue.raw);
        if seen.jobs.in_progress > Some(0) {
            seen.oldest_in_progress = layout.survey.oldest(&self.queue.raw);
        }
        Ok(seen)
    }

    /// The strings of at most one array.
    fn strings(&mut self, mut replies: impl Iterator<Item = Reply>) -> Vec<Vec<u8>> {
        let items = replies.next().unwrap_or(Reply::Nil).array();
        let items = items.unwrap_or_else(|refusal| {
            self.refused = Some(refusal);
            Vec::new()
        });
        let strings = items.into_iter().filter_map(|item| item.bytes().ok()?);
        strings.collect()
    }

    fn observe(self, mut list: Follow, layout: &mut Asynq) -> Outcome {
        let (mut seen, ready) = match (self.counts, list.len.clone()) {
            (Ok(seen), Ok(ready)) => (seen, ready),
            (Err(refusal), _) | (_, Err(refusal)) => return Outcome::Unreadable(refusal),
        };
        seen.jobs.ready = Some(ready);
        let refused = self.refused.as_ref().map(|refusal| refusal.kind);
        seen.head = match ready {
            0 => Head::Empty,
            _ if refused == Some(RefusalKind::NotPermitted) => Head::Unknown(Reason::NotPermitted),
            _ => {
                let mut heads = self.heads;
                if heads.is_empty() {
                    heads.push(None);
                }
                heads::oldest(&heads, LatencySource::Message)
            }
        };
        let line = LineHead::of(seen.head);
        list.tell(&mut seen, &self.queue.raw, line, &mut layout.memory);
        Outcome::of(seen, self.refused.or(self.hidden))
    }
}

fn count_reads(queue: &[u8]) -> [Read; COUNTS] {
    let key = |name: &[u8]| key(queue, &[name]);
    [
        Read::Llen(key(b"active")),
        Read::Zcard(key(b"scheduled")),
        Read::Zcard(key(b"retry")),
        Read::Zcard(key(b"archived")),
        Read::Scard(key(b"groups")),
        Read::Zrange(key(b"scheduled"), 0, 0),
        Read::Zrange(key(b"retry"), 0, 0),
        Read::Exists(key(b"paused")),
        Read::Getrange(key(b"processed"), tally::DIGITS),
        Read::Getrange(key(b"failed"), tally::DIGITS),
    ]
}

/// Nanoseconds as text.
fn pending_since(fields: Vec<Reply>) -> Option<(Timestamp, Timestamp)> {
    let text = fields.into_iter().next()?.bytes().ok()??;
    let nanos: i64 = std::str::from_utf8(&text).ok()?.parse().ok()?;
    let at = Timestamp::from_micros(nanos / 1000);
    (nanos > 0).then_some((at, at))
}
