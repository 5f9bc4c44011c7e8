//! The conversation about Sidekiq's queues: each list as the marker follows it, then the few jobs
//! behind the first one.

use super::{Sidekiq, job};
use crate::layout::heads;
use crate::layout::marker::{Elements, Follow, Several};
use crate::layout::redis::{
    Outcome, Probe, QueueRef, Read, Refusal, RefusalKind, Reply, Side, Step, UNSTAMPED,
};
use crate::model::flow::LineHead;
use crate::model::{Head, LatencySource, Observation, Reason, System};
use std::sync::Arc;

/// Jobs behind the first one whose times are compared with its: jobs that were put back lie in front
/// in no order.
const BEHIND: i64 = 4;

/// Behind a first job larger than this nothing is read.
const MAX_FIRST: usize = 64 * 1024;

pub(super) struct SidekiqProbe<'a> {
    layout: &'a mut Sidekiq,
    queues: &'a [QueueRef],
    following: Several,
    lists: Vec<Follow>,
    /// Which list each read of the last round was about.
    asked: Vec<usize>,
    /// The jobs behind the first one, by list, next to run first.
    behind: Vec<Vec<Reply>>,
}

impl Probe for SidekiqProbe<'_> {
    fn step(&mut self, replies: Vec<Reply>) -> Step {
        if self.lists.is_empty() {
            self.following
                .take(&mut replies.into_iter(), &mut self.layout.memory);
            let reads = self.following.ask();
            if !reads.is_empty() {
                return Step::Read(reads);
            }
            self.lists = std::mem::take(&mut self.following).into_lists();
            self.behind.resize(self.lists.len(), Vec::new());
            let reads = self.behind_reads();
            if !reads.is_empty() {
                return Step::Read(reads);
            }
        } else {
            for (index, reply) in self.asked.drain(..).zip(replies) {
                if let Some(behind) = self.behind.get_mut(index) {
                    *behind = reply
                        .array()
                        .unwrap_or_else(|refusal| vec![Reply::Refused(refusal)]);
                    behind.reverse();
                }
            }
        }
        let lists = std::mem::take(&mut self.lists);
        self.layout.survey.is_here |= lists.iter().any(|list| match &list.len {
            Ok(ready) => *ready > 0,
            Err(refusal) => refusal.kind != RefusalKind::WrongType,
        });
        let behind = std::mem::take(&mut self.behind);
        let queues = self.queues.iter().zip(lists).zip(behind);
        Step::Done(
            queues
                .map(|((queue, list), behind)| observe(queue, list, behind, self.layout))
                .collect(),
        )
    }
}

impl<'a> SidekiqProbe<'a> {
    pub(super) fn new(layout: &'a mut Sidekiq, queues: &'a [QueueRef]) -> Self {
        let follow = |queue: &QueueRef| {
            let key = layout.survey.keys.key(&[b"queue:", &queue.raw]);
            let marks = layout.memory.get(&queue.raw, 0);
            Follow::new(key, Side::Right, Elements::Unique, marks).of_payloads(layout.max_payload)
        };
        Self {
            following: Several::new(queues.iter().map(follow).collect()),
            layout,
            queues,
            lists: Vec::new(),
            asked: Vec::new(),
            behind: Vec::new(),
        }
    }

    fn behind_reads(&mut self) -> Vec<Read> {
        let mut reads = Vec::new();
        for (index, (queue, list)) in self.queues.iter().zip(&self.lists).enumerate() {
            let is_small = matches!(&list.first, Some(Ok(first)) if first.len() <= MAX_FIRST);
            if is_small && list.len.as_ref().is_ok_and(|len| *len > 1) {
                let key = self.layout.survey.keys.key(&[b"queue:", &queue.raw]);
                reads.push(Read::Lrange(key, -1 - BEHIND, -2));
                self.asked.push(index);
            }
        }
        reads
    }
}

fn observe(
    queue: &QueueRef,
    mut list: Follow,
    behind: Vec<Reply>,
    layout: &mut Sidekiq,
) -> Outcome {
    if !layout.survey.is_here {
        return Outcome::Foreign;
    }
    let ready = match list.len {
        Err(refusal) => return Outcome::Unreadable(refusal),
        Ok(ready) => ready,
    };
    let mut observation = Observation::new(System::Sidekiq, Arc::clone(&queue.shown), UNSTAMPED);
    observation.jobs.ready = Some(ready);
    let (head, refusal) = match ready {
        0 => (Head::Empty, None),
        _ => oldest(list.first.take(), ready, behind),
    };
    observation.head = head;
    let (line, memory) = (LineHead::of(head), &mut layout.memory);
    list.tell(&mut observation, &queue.raw, line, memory);
    let survey = &mut layout.survey;
    observation.consumers = survey.consumers(&queue.raw);
    observation.jobs_unknown = survey.not_running;
    if survey.not_running.is_none() {
        let running = survey.running.jobs(&queue.raw);
        observation.jobs.in_progress = Some(running);
        observation.busy_workers = Some(running);
        observation.oldest_in_progress = survey.running.oldest(&queue.raw);
        observation.measured = Some(survey.running.take_waits(&queue.raw));
    }
    Outcome::of(observation, refusal)
}

/// Since when the oldest of the first jobs waits.
fn oldest(
    first: Option<Result<Vec<u8>, Refusal>>,
    ready: u64,
    behind: Vec<Reply>,
) -> (Head, Option<Refusal>) {
    let first = match first {
        None => return (Head::Unknown(Reason::HeadMissing), None),
        Some(Err(refusal)) => {
            return match refusal.kind {
                RefusalKind::TooLarge => (Head::Unknown(Reason::PayloadTooLarge), None),
                _ => (Head::Unknown(Reason::NotPermitted), Some(refusal)),
            };
        }
        Some(Ok(first)) => first,
    };
    let Ok(enqueued) = job::enqueued(&first) else {
        return (Head::Unknown(Reason::Undecodable), None);
    };
    let mut jobs = vec![enqueued];
    if ready > 1 && behind.is_empty() {
        // Nothing was read behind it, so nothing shows that they are in order.
        jobs.push(None);
    }
    jobs.extend(behind.into_iter().map(|reply| match reply {
        Reply::Bytes(job) => job::enqueued(&job).ok().flatten(),
        _ => None,
    }));
    (heads::oldest(&jobs, LatencySource::Message), None)
}
