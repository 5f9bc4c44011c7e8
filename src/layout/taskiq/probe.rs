//! The conversation about TaskIQ's queues: what kind each is, then those of either kind at once.

use super::TaskiqLayout;
use crate::layout::marker::{Elements, Follow, Memory, Several};
use crate::layout::redis::{
    Bytes, Outcome, Probe, QueueRef, Read, Refusal, Reply, Side, Step, UNSTAMPED,
};
use crate::layout::stream::{self, GroupRef, Groups};
use crate::model::flow::LineHead;
use crate::model::{Head, Observation, System, Timestamp};
use std::sync::Arc;

pub(super) struct TaskiqProbe<'a> {
    queues: &'a [QueueRef],
    now: Timestamp,
    max_payload: u64,
    memory: &'a mut Memory,
    stage: Stage<'a>,
}

enum Stage<'a> {
    Start(&'a mut stream::Memory),
    Types(&'a mut stream::Memory),
    Reading {
        is_stream: Vec<Result<bool, Refusal>>,
        lists: Several,
        streams: Box<Streams<'a>>,
    },
    Done,
}

/// The conversation about the streams, which may end before that about the lists.
enum Streams<'a> {
    Asked(Groups<'a>, usize),
    Known(Vec<Outcome>),
}

impl<'a> TaskiqProbe<'a> {
    pub(super) fn new(
        layout: &'a mut TaskiqLayout,
        queues: &'a [QueueRef],
        now: Timestamp,
    ) -> Self {
        Self {
            queues,
            now,
            max_payload: layout.max_payload,
            memory: &mut layout.lists,
            stage: Stage::Start(&mut layout.streams),
        }
    }

    /// Sorts the queues by their kind.
    fn begin(&self, replies: Vec<Reply>, memory: &'a mut stream::Memory) -> Stage<'a> {
        let mut replies = replies.into_iter();
        let mut is_stream = Vec::with_capacity(self.queues.len());
        let (mut lists, mut groups) = (Vec::new(), Vec::new());
        for queue in self.queues {
            let kind = replies.next().unwrap_or(Reply::Nil).bytes();
            let kind = kind.map(|kind| kind.as_deref() == Some(b"stream".as_slice()));
            match kind {
                Ok(true) => groups.push(GroupRef {
                    queue,
                    stream: Bytes::clone(&queue.raw),
                    group: stream::TASKIQ_GROUP.into(),
                }),
                Ok(false) => {
                    let marks = self.memory.get(&queue.raw, 0);
                    let key = Bytes::clone(&queue.raw);
                    // Every message has an id of its own.
                    let list = Follow::new(key, Side::Right, Elements::Unique, marks);
                    lists.push(list.of_payloads(self.max_payload));
                }
                Err(_) => {}
            }
            is_stream.push(kind);
        }
        let groups = Groups::new(System::Taskiq, groups, self.now, memory);
        Stage::Reading {
            is_stream,
            lists: Several::new(lists),
            streams: Box::new(Streams::Asked(groups, 0)),
        }
    }
}

impl Probe for TaskiqProbe<'_> {
    fn step(&mut self, replies: Vec<Reply>) -> Step {
        let mut replies = replies;
        loop {
            match std::mem::replace(&mut self.stage, Stage::Done) {
                Stage::Start(_) if self.queues.is_empty() => return Step::Done(Vec::new()),
                Stage::Start(memory) => {
                    self.stage = Stage::Types(memory);
                    let kind = |queue: &QueueRef| Read::Type(Bytes::clone(&queue.raw));
                    return Step::Read(self.queues.iter().map(kind).collect());
                }
                Stage::Types(memory) => {
                    self.stage = self.begin(std::mem::take(&mut replies), memory);
                }
                Stage::Reading {
                    is_stream,
                    mut lists,
                    mut streams,
                } => {
                    let mut left = std::mem::take(&mut replies).into_iter();
                    let mut reads = streams.step(&mut left);
                    lists.take(&mut left, self.memory);
                    reads.extend(lists.ask());
                    if reads.is_empty() {
                        let lists = lists.into_lists();
                        return Step::Done(self.outcomes(is_stream, lists, *streams));
                    }
                    self.stage = Stage::Reading {
                        is_stream,
                        lists,
                        streams,
                    };
                    return Step::Read(reads);
                }
                Stage::Done => return Step::Done(Vec::new()),
            }
        }
    }
}

impl TaskiqProbe<'_> {
    fn outcomes(
        &mut self,
        is_stream: Vec<Result<bool, Refusal>>,
        lists: Vec<Follow>,
        streams: Streams<'_>,
    ) -> Vec<Outcome> {
        let mut lists = lists.into_iter();
        let mut streams = match streams {
            Streams::Known(outcomes) => outcomes,
            Streams::Asked(..) => Vec::new(),
        }
        .into_iter();
        let gone = || Refusal {
            kind: crate::layout::redis::RefusalKind::Other,
            message: "it was not read to the end".into(),
        };
        let queues = self.queues.iter().zip(is_stream);
        queues
            .map(|(queue, kind)| match kind {
                Err(refusal) => Outcome::Unreadable(refusal),
                Ok(true) => streams
                    .next()
                    .unwrap_or_else(|| Outcome::Unreadable(gone())),
                Ok(false) => match lists.next() {
                    Some(list) => observe(queue, list, self.memory),
                    None => Outcome::Unreadable(gone()),
                },
            })
            .collect()
    }
}

impl Streams<'_> {
    /// Takes its replies and says what to read next.
    fn step(&mut self, replies: &mut impl Iterator<Item = Reply>) -> Vec<Read> {
        let Self::Asked(groups, asked) = self else {
            return Vec::new();
        };
        match groups.step(replies.take(*asked).collect()) {
            Step::Read(reads) => {
                *asked = reads.len();
                reads
            }
            Step::Done(outcomes) => {
                *self = Self::Known(outcomes);
                Vec::new()
            }
        }
    }
}

fn observe(queue: &QueueRef, mut list: Follow, memory: &mut Memory) -> Outcome {
    let ready = match list.len {
        Err(refusal) => return Outcome::Unreadable(refusal),
        Ok(ready) => ready,
    };
    let mut seen = Observation::new(System::Taskiq, Arc::clone(&queue.shown), UNSTAMPED);
    seen.jobs.ready = Some(ready);
    seen.head = Head::untimed(ready);
    list.tell(&mut seen, &queue.raw, LineHead::PLAIN, memory);
    Outcome::Observed(Box::new(seen))
}
