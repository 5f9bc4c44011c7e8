//! Resque 1.26–3.0 (`lib/resque/data_store.rb`, `worker.rb`) and resque-scheduler 4.
//!
//! The set `<namespace>:queues` holds the names; a queue is the list `<namespace>:queue:<name>`, RPUSHed
//! and LPOPed, so index 0 is next. Jobs are `{"class":…,"args":…}`: no time, no id, and equal jobs are
//! equal bytes, so what is known of their age comes from the flow alone. The list `failed` and the
//! counters `stat:processed`, which contains the failed ones, and `stat:failed` are for all queues
//! together; so are resque-scheduler's jobs, in lists `delayed:<time>` named in the sorted set
//! `delayed_queue_schedule`.
//!
//! The set `workers` names `<host>:<pid>:<queues>`, where queues can be patterns; a worker runs one job
//! at a time and tells it in the string `worker:<its name>`. Its time in the hash `workers:heartbeat`
//! is renewed every minute; Resque itself takes a worker for dead after five.

mod survey;
mod worker;

use super::marker::{Elements, Follow, Memory, Several};
use super::prefix::Prefix;
use super::redis::{
    Layout, Outcome, Probe, QueueRef, Read, Refusal, Registry, Reply, Side, Step, UNSTAMPED,
};
use crate::config;
use crate::model::flow::LineHead;
use crate::model::{Head, Observation, System, SystemTotals, Timestamp};
use std::sync::Arc;
use survey::Survey;

pub fn bind(redis: &config::Redis, max_payload: u64) -> Box<dyn Layout> {
    Box::new(Resque {
        survey: Survey::new(Prefix(format!("{}:", redis.resque.namespace))),
        max_payload,
        memory: Memory::default(),
    })
}

struct Resque {
    survey: Survey,
    max_payload: u64,
    memory: Memory,
}

impl Layout for Resque {
    fn is_left_pushed(&self) -> bool {
        false
    }

    fn registries(&self) -> Vec<Registry> {
        vec![Registry::Set(self.survey.keys.key(&[b"queues"]))]
    }

    fn member(&mut self, _set: &[u8], member: &[u8]) -> Option<Vec<u8>> {
        (!member.is_empty()).then(|| member.to_vec())
    }

    fn overview(&mut self, round: usize, replies: Vec<Reply>, now: Timestamp) -> Vec<Read> {
        self.survey.step(round, replies, now)
    }

    fn complaints(&self) -> Vec<Refusal> {
        self.survey.complaint.clone().into_iter().collect()
    }

    fn totals(&self) -> Option<SystemTotals> {
        self.survey.totals.clone()
    }

    fn lists(&mut self) -> Option<&mut Memory> {
        Some(&mut self.memory)
    }

    fn probe<'a>(
        &'a mut self,
        queues: &'a [QueueRef],
        _now: Timestamp,
    ) -> Box<dyn Probe + Send + 'a> {
        let follow = |queue: &QueueRef| {
            let key = self.survey.keys.key(&[b"queue:", &queue.raw]);
            let marks = self.memory.get(&queue.raw, 0);
            Follow::new(key, Side::Left, Elements::Any, marks).of_payloads(self.max_payload)
        };
        Box::new(ResqueProbe {
            following: Several::new(queues.iter().map(follow).collect()),
            layout: self,
            queues,
        })
    }
}

struct ResqueProbe<'a> {
    layout: &'a mut Resque,
    queues: &'a [QueueRef],
    following: Several,
}

impl Probe for ResqueProbe<'_> {
    fn step(&mut self, replies: Vec<Reply>) -> Step {
        let reads = self.following.step(replies, &mut self.layout.memory);
        if !reads.is_empty() {
            return Step::Read(reads);
        }
        let lists = std::mem::take(&mut self.following).into_lists();
        let queues = self.queues.iter().zip(lists);
        Step::Done(
            queues
                .map(|(queue, list)| observe(queue, list, self.layout))
                .collect(),
        )
    }
}

fn observe(queue: &QueueRef, mut list: Follow, layout: &mut Resque) -> Outcome {
    let ready = match list.len {
        Err(refusal) => return Outcome::Unreadable(refusal),
        Ok(ready) => ready,
    };
    let mut observation = Observation::new(System::Resque, Arc::clone(&queue.shown), UNSTAMPED);
    observation.jobs.ready = Some(ready);
    observation.head = Head::untimed(ready);
    let (line, memory) = (LineHead::PLAIN, &mut layout.memory);
    list.tell(&mut observation, &queue.raw, line, memory);
    let survey = &layout.survey;
    observation.jobs_unknown = survey.not_running;
    if survey.not_running.is_none() {
        let running = survey.running.jobs(&queue.raw);
        observation.consumers = Some(survey.consumers(&queue.raw));
        observation.jobs.in_progress = Some(running);
        observation.busy_workers = Some(running);
        observation.oldest_in_progress = survey.running.oldest(&queue.raw);
    }
    Outcome::Observed(Box::new(observation))
}

#[cfg(test)]
mod tests;
