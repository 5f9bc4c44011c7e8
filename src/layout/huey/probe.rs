//! The conversation about Huey's queues: the kind of each and its schedule, then those of either
//! kind at once.

use super::levels::Levels;
use super::{HueyLayout, QUEUE, SCHEDULE};
use crate::layout::marker::{Elements, Follow, Memory, Several};
use crate::layout::redis::{
    Bytes, Outcome, Probe, QueueRef, Read, Refusal, Reply, Side, Step, UNSTAMPED,
};
use crate::model::flow::LineHead;
use crate::model::{Head, Observation, System, Timestamp};
use std::sync::Arc;

pub(super) struct HueyProbe<'a> {
    layout: &'a mut HueyLayout,
    queues: &'a [QueueRef],
    now: Timestamp,
    stage: Stage,
    states: Vec<State>,
    lists: Several,
    /// Which queues with priorities were asked about in the last round.
    asked: Vec<usize>,
}

enum Stage {
    Start,
    Kinds,
    Reading,
}

struct State {
    scheduled: Result<u64, Refusal>,
    /// None: it is a list.
    levels: Option<Levels>,
}

impl<'a> HueyProbe<'a> {
    pub(super) fn new(layout: &'a mut HueyLayout, queues: &'a [QueueRef], now: Timestamp) -> Self {
        Self {
            layout,
            queues,
            now,
            stage: Stage::Start,
            states: Vec::new(),
            lists: Several::default(),
            asked: Vec::new(),
        }
    }

    /// Sorts the queues by their kind.
    fn begin(&mut self, replies: Vec<Reply>) {
        let mut replies = replies.into_iter();
        let mut lists = Vec::new();
        for queue in self.queues {
            let mut next = || replies.next().unwrap_or(Reply::Nil);
            let is_zset = next() == Reply::Bytes(b"zset".to_vec());
            let key = key(QUEUE, queue);
            let levels = is_zset.then(|| Levels::new(Bytes::clone(&key)));
            if levels.is_none() {
                let marks = self.layout.lists.get(&queue.raw, 0);
                // Every task has an id of its own.
                let list = Follow::new(key, Side::Right, Elements::Unique, marks);
                lists.push(list.of_payloads(self.layout.max_payload));
            }
            self.states.push(State {
                scheduled: next().count(),
                levels,
            });
        }
        self.lists = Several::new(lists);
    }

    fn take(&mut self, replies: Vec<Reply>) {
        let mut replies = replies.into_iter();
        for index in std::mem::take(&mut self.asked) {
            let mut next = || replies.next().unwrap_or(Reply::Nil);
            let (count, first) = (next(), next());
            let state = self.states.get_mut(index);
            if let Some(levels) = state.and_then(|state| state.levels.as_mut()) {
                levels.take(count, first, self.now);
            }
        }
        self.lists.take(&mut replies, &mut self.layout.lists);
    }

    fn ask(&mut self) -> Vec<Read> {
        let mut reads = Vec::new();
        for (index, state) in self.states.iter().enumerate() {
            if let Some(asked) = state.levels.as_ref().and_then(Levels::ask) {
                reads.extend(asked);
                self.asked.push(index);
            }
        }
        reads.extend(self.lists.ask());
        reads
    }

    fn outcomes(&mut self) -> Vec<Outcome> {
        let mut lists = std::mem::take(&mut self.lists).into_lists().into_iter();
        let states = std::mem::take(&mut self.states);
        let memory = &mut self.layout.lists;
        let mut observe = |(queue, state): (&QueueRef, State)| {
            let mut seen = Observation::new(System::Huey, Arc::clone(&queue.shown), UNSTAMPED);
            seen.jobs.scheduled = Some(state.scheduled?);
            let Some(levels) = state.levels else {
                if let Some(list) = lists.next() {
                    observe_list(&mut seen, queue, list, memory)?;
                }
                return Ok(Outcome::Observed(Box::new(seen)));
            };
            (seen.head, seen.priorities) = (levels.head(), levels.priorities());
            seen.jobs.ready = Some(levels.ready?);
            Ok(Outcome::of(seen, levels.refused))
        };
        let queues = self.queues.iter().zip(states);
        queues
            .map(|queue| observe(queue).unwrap_or_else(Outcome::Unreadable))
            .collect()
    }

    fn ask_kinds(&self) -> Vec<Read> {
        let kind = |queue| {
            [
                Read::Type(key(QUEUE, queue)),
                Read::Zcard(key(SCHEDULE, queue)),
            ]
        };
        self.queues.iter().flat_map(kind).collect()
    }
}

impl Probe for HueyProbe<'_> {
    fn step(&mut self, replies: Vec<Reply>) -> Step {
        match self.stage {
            Stage::Start => {
                self.stage = Stage::Kinds;
                let reads = self.ask_kinds();
                if !reads.is_empty() {
                    return Step::Read(reads);
                }
            }
            Stage::Kinds => {
                self.stage = Stage::Reading;
                self.begin(replies);
            }
            Stage::Reading => self.take(replies),
        }
        let reads = self.ask();
        match reads.is_empty() {
            true => Step::Done(self.outcomes()),
            false => Step::Read(reads),
        }
    }
}

fn observe_list(
    seen: &mut Observation,
    queue: &QueueRef,
    mut list: Follow,
    memory: &mut Memory,
) -> Result<(), Refusal> {
    let ready = std::mem::replace(&mut list.len, Ok(0))?;
    seen.jobs.ready = Some(ready);
    seen.head = Head::untimed(ready);
    list.tell(seen, &queue.raw, LineHead::PLAIN, memory);
    Ok(())
}

fn key(prefix: &[u8], queue: &QueueRef) -> Bytes {
    [prefix, &queue.raw].concat().into()
}
